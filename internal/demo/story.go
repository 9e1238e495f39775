package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"thymus/internal/estate"
)

// Who sends the documents. The pipeline pushes SBOMs and deployments, feeds
// bring advisories, and decisions come from people.
const (
	pipeline = "pipeline"
	cluster  = "cluster eu-1"
	feed     = "osv.dev"
	person   = "cli"
)

// firstLoad is when Thymus was started: nothing can have become known before.
var firstLoad = estate.At(time.Date(2026, 2, 16, 8, 0, 0, 0, time.UTC))

// tell makes the documents: those of the timeline, and those that come by themselves.
func (s *story) tell() error {
	if err := s.sboms(); err != nil {
		return err
	}
	for _, r := range s.advisories {
		if r.known != 0 {
			if err := s.addAdvisory(r, r.known); err != nil {
				return err
			}
		}
	}
	return lines("story.txt", func(line string) error {
		words := strings.Fields(line)
		if len(words) < 2 {
			return fmt.Errorf("want: time what …")
		}
		at, err := moment(words[0])
		if err != nil {
			return err
		}
		return s.scene(at, words[1], words[2:])
	})
}

func (s *story) add(name string, body []byte, c estate.Claim, known estate.Time) {
	s.documents = append(s.documents, Document{Name: name, Body: body, Claim: c, Known: known})
}

// scene carries out one line of the timeline.
func (s *story) scene(at estate.Time, what string, words []string) error {
	switch what {
	case "estate":
		body, err := file("estate.yaml")
		if err != nil {
			return err
		}
		s.add("estate.yaml", body, estate.Claim{Source: person}, at)
		return nil
	case "advisories":
		for i, r := range s.advisories {
			if r.known != 0 {
				continue
			}
			if err := s.addAdvisory(r, at.Add(time.Duration(i)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	case "kev":
		day := at.Std().Format(time.DateOnly)
		body, err := s.kev(day)
		if err != nil {
			return err
		}
		s.add("kev/"+day, body, estate.Claim{Source: "cisa.gov"}, at)
		return nil
	case "epss":
		if len(words) != 1 {
			return fmt.Errorf("want: epss day")
		}
		s.add("epss/"+words[0], s.epss(words[0], at > firstLoad.Add(24*time.Hour)), estate.Claim{Source: "first.org"}, at)
		return nil
	case "vex":
		if len(words) != 3 || words[1] != "about" {
			return fmt.Errorf("want: vex file about release")
		}
		body, err := file(words[0])
		if err != nil {
			return err
		}
		about, err := estate.ParseSubject(words[2])
		if err != nil {
			return err
		}
		s.add("vex/"+words[0], body, estate.Claim{Source: person, Subject: about, At: at}, at)
		return nil
	case "dump", "deploy", "undeploy":
		return s.deployment(at, what, words)
	case "event":
		if len(words) != 2 {
			return fmt.Errorf("want: event environment release")
		}
		return s.event(at, words[0], words[1])
	}
	return fmt.Errorf("%q happens in no story", what)
}

func (s *story) addAdvisory(r *record, known estate.Time) error {
	body, err := encode(r.osv)
	if err != nil {
		return fmt.Errorf("advisory %s: %w", r.osv.ID, err)
	}
	// A revised record is a document of its own.
	name := "osv/" + r.osv.ID + "@" + r.osv.Modified.Std().Format(time.DateOnly)
	s.add(name, body, estate.Claim{Source: feed}, known)
	return nil
}

// sboms makes the SBOMs of every release. Those built before Thymus was there
// were pushed on its first day, one a minute.
func (s *story) sboms() error {
	backfill := firstLoad.Add(20 * time.Minute)
	for _, r := range s.releases {
		known := r.known
		if known == 0 {
			known = r.built.Add(2 * time.Minute)
		}
		if known < firstLoad {
			known, backfill = backfill, backfill.Add(time.Minute)
		}
		for i, b := range r.bills {
			body, err := r.render(b)
			if err != nil {
				return err
			}
			c := estate.Claim{Source: pipeline, Subject: r.subject, At: r.built}
			if i == 0 && r.deploy != "" {
				c.Environment, c.Deploy = r.deploy, true
			}
			s.add("sbom/"+r.subject.String()+"/"+b.generator, body, c, known.Add(time.Duration(i)*time.Second))
		}
	}
	return nil
}

// watcher is who tells what runs in an environment. It is always the same, since
// a deployment ends only those that came from its own source.
func watcher(environment string) string {
	if environment == "development" {
		return pipeline
	}
	return cluster
}

type deploymentDocument struct {
	Thymus      string           `json:"thymus"`
	Environment string           `json:"environment"`
	At          estate.Time      `json:"at"`
	Complete    bool             `json:"complete,omitempty"`
	Items       []deploymentItem `json:"deployments"`
}

type deploymentItem struct {
	Service   string `json:"service"`
	Version   string `json:"version,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Removed   bool   `json:"removed,omitempty"`
	Alongside bool   `json:"alongside,omitempty"`
	Config    string `json:"config,omitempty"`
	Replicas  int    `json:"replicas,omitempty"`
}

// deployment makes a deployment document: a complete dump, or events.
func (s *story) deployment(at estate.Time, what string, words []string) error {
	words, opts := options(words, "alongside", "digest")
	if len(words) < 2 {
		return fmt.Errorf("want: %s environment release…", what)
	}
	known := at.Add(time.Minute)
	if k := opts["known"]; k != "" {
		var err error
		if known, err = moment(k); err != nil {
			return err
		}
	}
	doc := deploymentDocument{Thymus: "deployment/v1", Environment: words[0], At: at, Complete: what == "dump"}
	for _, w := range words[1:] {
		w, replicas, _ := strings.Cut(w, ":")
		sub, err := estate.ParseSubject(w)
		if err != nil {
			return err
		}
		item := deploymentItem{
			Service: sub.Service(), Version: sub.Version,
			Removed: what == "undeploy", Alongside: has(opts, "alongside"),
		}
		if replicas != "" {
			if item.Replicas, err = strconv.Atoi(replicas); err != nil {
				return fmt.Errorf("replicas of %s: %w", w, err)
			}
		}
		if has(opts, "digest") {
			item.Version, item.Digest = "", digest(sub)
		}
		if c := opts["config"]; c != "" {
			sum := sha256.Sum256([]byte("configuration " + c))
			item.Config = "sha256:" + hex.EncodeToString(sum[:])
		}
		doc.Items = append(doc.Items, item)
	}
	body, err := encode(doc)
	if err != nil {
		return err
	}
	s.add(what+"/"+words[0]+"/"+at.String(), body, estate.Claim{Source: watcher(words[0]), At: at}, known)
	return nil
}

type cloudEvent struct {
	Spec    string      `json:"specversion"`
	ID      string      `json:"id"`
	Source  string      `json:"source"`
	Type    string      `json:"type"`
	Subject string      `json:"subject"`
	Time    estate.Time `json:"time"`
	Content string      `json:"datacontenttype"`
	Data    cdEvent     `json:"data"`
}

type cdEvent struct {
	Context cdContext `json:"context"`
	Subject cdSubject `json:"subject"`
}

type cdContext struct {
	Version   string      `json:"version"`
	ID        string      `json:"id"`
	Source    string      `json:"source"`
	Type      string      `json:"type"`
	Timestamp estate.Time `json:"timestamp"`
}

type cdSubject struct {
	ID      string         `json:"id"`
	Source  string         `json:"source"`
	Type    string         `json:"type"`
	Content map[string]any `json:"content"`
}

// event makes two CDEvents: the artifact was packaged at the build, which
// claims its digest for the release, and the service was upgraded to it. A
// release is packaged once, wherever it goes.
func (s *story) event(at estate.Time, environment, release string) error {
	r := s.byName[release]
	if r == nil {
		return fmt.Errorf("no release %q", release)
	}
	sub := r.subject
	artifact := "pkg:oci/" + sub.Name + "@" + url.QueryEscape(sub.Digest) +
		"?repository_url=registry.marmot.example/" + sub.Name + "&tag=" + sub.Version
	if !r.packaged {
		r.packaged = true
		packaged, err := encode(envelope("dev.cdevents.artifact.packaged.0.2.0", r.built, "", cdSubject{
			ID: artifact, Type: "artifact",
			Content: map[string]any{"change": map[string]string{"id": "build-" + sub.Version}},
		}))
		if err != nil {
			return err
		}
		s.add("cdevents/packaged/"+sub.String(), packaged, estate.Claim{Source: pipeline, Subject: sub}, r.built.Add(5*time.Minute))
	}
	upgraded, err := encode(envelope("dev.cdevents.service.upgraded.0.2.0", at, environment, cdSubject{
		ID: "service/" + sub.Name, Type: "service",
		Content: map[string]any{"environment": map[string]string{"id": environment}, "artifactId": artifact},
	}))
	if err != nil {
		return err
	}
	s.add("cdevents/upgraded/"+sub.String()+"/"+environment, upgraded, estate.Claim{Source: watcher(environment)}, at.Add(time.Minute))
	return nil
}

func envelope(kind string, at estate.Time, environment string, subject cdSubject) cloudEvent {
	const source = "https://ci.marmot.example"
	id := uuid(kind + " " + subject.ID + " " + environment)
	subject.Source = source
	return cloudEvent{
		Spec: "1.0", ID: id, Source: source, Type: kind, Subject: subject.ID, Time: at, Content: "application/json",
		Data: cdEvent{Context: cdContext{Version: "0.4.1", ID: id, Source: source, Type: kind, Timestamp: at}, Subject: subject},
	}
}
