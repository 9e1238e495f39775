package demo

import (
	"context"
	"strings"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/read"
	"thymus/internal/read/cdevents"
	"thymus/internal/read/cyclonedx"
	"thymus/internal/read/deployment"
	"thymus/internal/read/epss"
	"thymus/internal/read/estatefile"
	"thymus/internal/read/kev"
	"thymus/internal/read/openvex"
	"thymus/internal/read/osv"
	"thymus/internal/read/spdx"
)

// readOne reads one document of the story with the one reader that knows it.
func readOne(t *testing.T, d Document) (name string, facts []estate.Fact) {
	t.Helper()
	readers := []read.Reader{
		cdevents.New(), cyclonedx.Reader{}, deployment.New(), epss.New(), estatefile.New(), kev.New(), openvex.New(), osv.New(), spdx.Reader{},
	}
	head := d.Body[:min(len(d.Body), read.HeadSize)]
	for _, r := range readers {
		if !r.Detect(head, d.Claim.Headers) {
			continue
		}
		if name != "" {
			t.Errorf("%s: both %s and %s claim it", d.Name, name, r.Name())
		}
		name = r.Name()
		for f, err := range r.Read(context.Background(), read.Input{Body: d.Body, Claim: d.Claim}) {
			if err != nil {
				t.Errorf("%s: %s: %v", d.Name, name, err)
				break
			}
			facts = append(facts, f)
		}
	}
	if name == "" {
		t.Errorf("%s: no reader knows it", d.Name)
	}
	return name, facts
}

func TestReadersReadTheStory(t *testing.T) {
	s, docs := told(t)
	formats := map[string]int{}
	bills, deployments, packaged, verdicts, advisories, exploited, likely := 0, 0, 0, 0, 0, 0, 0
	for _, d := range docs {
		name, facts := readOne(t, d)
		formats[name]++
		if len(facts) == 0 {
			t.Errorf("%s: says nothing", d.Name)
		}
		for _, f := range facts {
			switch f := f.(type) {
			case *estate.Bill:
				bills++
				checkBill(t, s, d, f)
			case *estate.Deployments:
				deployments++
				if f.At == 0 || f.Environment == "" || len(f.Items) == 0 {
					t.Errorf("%s: a deployment without time, place or release: %+v", d.Name, f)
				}
			case *estate.Packaged:
				packaged++
				if f.Subject.Digest != d.Claim.Subject.Digest {
					t.Errorf("%s: packaged %q, claimed %q", d.Name, f.Subject.Digest, d.Claim.Subject.Digest)
				}
			case *estate.Verdict:
				verdicts++
				t.Logf("%s: %+v", d.Name, *f)
				if f.Advisory == "" || f.Status == "" || (f.Status == estate.StatusNotAffected && f.Reason == "") {
					t.Errorf("%s: a verdict without advisory, status or reason: %+v", d.Name, f)
				}
				if f.Release.Name != "" && f.Release.Name != d.Claim.Subject.Name {
					t.Errorf("%s: decides about %s, claimed of %s", d.Name, f.Release, d.Claim.Subject)
				}
			case *estate.Advisory:
				advisories++
				if f.Published == 0 || f.Modified == 0 || f.Summary == "" || len(f.Affected) == 0 {
					t.Errorf("%s: incomplete: %+v", d.Name, f)
				}
			case *estate.Exploited:
				exploited++
			case *estate.Likelihood:
				likely++
			case *estate.Description:
				if len(f.Services) != 18 || f.Since == 0 {
					t.Errorf("%s: %d services since %s", d.Name, len(f.Services), f.Since)
				}
			}
		}
	}
	if packaged == 0 || verdicts != 3 || exploited == 0 || likely == 0 || advisories != len(s.advisories) {
		t.Errorf("%d packaged, %d verdicts, %d exploited, %d likely, %d of %d advisories",
			packaged, verdicts, exploited, likely, advisories, len(s.advisories))
	}
	t.Logf("%v; %d bills, %d deployment facts, %d packaged, %d verdicts, %d advisories", formats, bills, deployments, packaged, verdicts, advisories)
}

// checkBill compares what a reader made of an SBOM with what the story put in.
func checkBill(t *testing.T, s *story, d Document, f *estate.Bill) {
	t.Helper()
	if strings.HasPrefix(d.Name, "vex/") {
		return
	}
	rest := strings.TrimPrefix(d.Name, "sbom/")
	i := strings.LastIndex(rest, "/")
	r := s.byName[rest[:i]]
	if f.Subject.Name != r.subject.Name || f.Subject.Version != r.subject.Version {
		t.Errorf("%s: says that it is about %s", d.Name, f.Subject)
	}
	if f.Made != r.built {
		t.Errorf("%s: made %s, built %s", d.Name, f.Made, r.built)
	}
	if !strings.HasPrefix(f.Generator, rest[i+1:]) {
		t.Errorf("%s: made by %q", d.Name, f.Generator)
	}
	var b *bill
	for _, c := range r.bills {
		if c.generator == rest[i+1:] {
			b = c
		}
	}
	edges, got := 0, 0
	for _, n := range b.tree.nodes {
		edges += len(n.depends)
	}
	for _, to := range f.Depends {
		got += len(to)
	}
	// SPDX lists the release itself as a package, with edges of its own.
	extra := len(f.Packages) - len(b.tree.nodes)
	if extra < 0 || extra > 1 || got < edges {
		t.Errorf("%s: %d packages and %d edges; want %d and %d", d.Name, len(f.Packages), got, len(b.tree.nodes), edges)
	}
	if len(f.Notes) > 0 {
		t.Logf("%s: %v", d.Name, f.Notes)
	}
}
