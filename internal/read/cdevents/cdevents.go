// Package cdevents reads CDEvents (https://cdevents.dev, specification 0.3 to
// 0.5): what continuous delivery tools say when they deploy. An event comes as
// a structured CloudEvent, as a batch of them, as the body of a binary
// CloudEvent whose attributes are the ce-* headers of the claim, or bare.
//
//   - service.deployed, service.upgraded and service.rolledback become an
//     estate.Deployments of one item;
//   - service.removed one whose item is removed;
//   - artifact.packaged and artifact.published an estate.Packaged.
//
// Other events say nothing about what runs, and are refused as unsupported.
//
// The release is what artifactId says: its digest, and name and version of the
// package URL, marked as derived. An event without artifactId, as
// service.removed may be, is about the service that ends the subject's id:
// "daemonset/cart" is cart.
package cdevents

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

const prefix = "dev.cdevents."

// Reader reads CDEvents.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "cdevents".
func (Reader) Name() string { return "cdevents" }

// Detect tells whether the headers or the document say that it is a CDEvent.
func (Reader) Detect(head []byte, headers map[string]string) bool {
	if strings.HasPrefix(headers["ce-type"], prefix) {
		return true
	}
	if !bytes.Contains(head, []byte(prefix)) {
		return false
	}
	o := outline.Of(head)
	for _, at := range []string{"/type", "/context/type", "/data/context/type", "/0/type", "/0/context/type"} {
		if strings.HasPrefix(o[at], prefix) {
			return true
		}
	}
	return false
}

// Read yields one fact for each event.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		facts, err := document(ctx, in)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// event is what Thymus takes of one.
type event struct {
	kind        string // type, as written
	at          estate.Time
	subject     string // its id
	environment string
	artifact    string
	encoded     string // data_base64
}

func document(ctx context.Context, in read.Input) ([]estate.Fact, error) {
	d, err := scan.NewJSON(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	outer := event{kind: in.Claim.Headers["ce-type"], subject: in.Claim.Headers["ce-subject"]}
	if at := in.Claim.Headers["ce-time"]; at != "" {
		if outer.at, err = estate.ParseTime(at); err != nil {
			return nil, fault.New(fault.Invalid, "header ce-time: %w", err)
		}
	}
	var facts []estate.Fact
	one := func(where string) error {
		e := outer
		if err := e.read(d); err != nil {
			return err
		}
		if e.encoded != "" {
			if err := e.decode(ctx); err != nil {
				return fmt.Errorf("%s/data_base64: %w", where, err)
			}
		}
		f, err := e.fact(in.Claim)
		if err != nil {
			return fmt.Errorf("%s%w", where, err)
		}
		facts = append(facts, f)
		return nil
	}
	if d.Kind() == '[' {
		err = d.Array(func(i int) error { return one(fmt.Sprintf("/%d", i)) })
		if err == nil && len(facts) == 0 {
			err = fault.New(fault.Invalid, "the document is an empty batch")
		}
	} else {
		err = one("")
	}
	if err == nil {
		err = d.End()
	}
	return facts, err
}

// decode reads the event that a CloudEvent carries as base64.
func (e *event) decode(ctx context.Context) error {
	body, err := base64.StdEncoding.DecodeString(e.encoded)
	if err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	d, err := scan.NewJSON(ctx, body)
	if err != nil {
		return err
	}
	if err := e.read(d); err != nil {
		return err
	}
	return d.End()
}

// read takes what an object says: a CloudEvent, whose data is walked too, or a
// CDEvent. What the inner one says comes last, and wins.
func (e *event) read(d *scan.JSON) error {
	if d.Kind() != '{' {
		return d.Errorf(fault.Invalid, "an event is an object")
	}
	inner := *e
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "type":
			e.kind, err = d.String()
		case "time":
			e.at, err = when(d)
		case "data":
			if d.Kind() == '{' {
				err = inner.read(d)
			}
		case "data_base64":
			e.encoded, err = d.String()
		case "context":
			err = d.Object(func(key []byte) (err error) {
				switch string(key) {
				case "type":
					inner.kind, err = d.String()
				case "timestamp":
					inner.at, err = when(d)
				}
				return err
			})
		case "subject":
			// In a CloudEvent it is a string, in a CDEvent an object.
			if d.Kind() == '"' {
				e.subject, err = d.String()
			} else {
				err = inner.readSubject(d)
			}
		}
		return err
	})
	if inner.kind != "" {
		e.kind = inner.kind
	}
	if inner.at != 0 {
		e.at = inner.at
	}
	if inner.subject != "" {
		e.subject = inner.subject
	}
	e.environment, e.artifact = inner.environment, inner.artifact
	return err
}

func (e *event) readSubject(d *scan.JSON) error {
	return d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			e.subject, err = d.String()
		case "content":
			err = d.Object(func(key []byte) (err error) {
				switch string(key) {
				case "environment":
					e.environment, err = environment(d)
				case "artifactId":
					e.artifact, err = d.String()
				}
				return err
			})
		}
		return err
	})
}

// environment reads a reference to an environment: its id, else its name.
func environment(d *scan.JSON) (string, error) {
	if d.Kind() == '"' {
		return d.String()
	}
	var id, name string
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			id, err = d.String()
		case "name":
			name, err = d.String()
		}
		return err
	})
	if id == "" {
		id = name
	}
	return id, err
}

func when(d *scan.JSON) (estate.Time, error) {
	s, err := d.String()
	if err != nil || s == "" {
		return 0, err
	}
	at, err := estate.ParseTime(s)
	if err != nil {
		return 0, d.Errorf(fault.Invalid, "%v", err)
	}
	return at, nil
}

// fact turns the event into a fact. Errors begin with the pointer of the place.
func (e *event) fact(claim estate.Claim) (estate.Fact, error) {
	rest, ok := strings.CutPrefix(e.kind, prefix)
	if !ok {
		return nil, fault.New(fault.Invalid, "/context/type: %q is no type of a CDEvent", scan.Quote(e.kind))
	}
	subject, rest, _ := strings.Cut(rest, ".")
	predicate, _, _ := strings.Cut(rest, ".")
	switch what := subject + "." + predicate; what {
	case "service.deployed", "service.upgraded", "service.rolledback", "service.removed":
		return e.deployment(what == "service.removed", claim)
	case "artifact.packaged", "artifact.published":
		return e.packaged()
	default:
		return nil, fault.New(fault.Unsupported, "/context/type: %s says nothing about what runs or what a release ships as", scan.Quote(e.kind))
	}
}

func (e *event) deployment(removed bool, claim estate.Claim) (estate.Fact, error) {
	env := e.environment
	if env == "" {
		env = claim.Environment
	}
	if env == "" {
		return nil, fault.New(fault.Invalid, "/subject/content/environment/id: the environment is missing")
	}
	if err := ident.CheckText(env); err != nil {
		return nil, fault.New(fault.Invalid, "/subject/content/environment/id: %w", err)
	}
	sub, err := e.release()
	if err != nil {
		return nil, err
	}
	if !removed && sub.Version == "" && sub.Digest == "" && claim.Subject.Version == "" && claim.Subject.Digest == "" {
		return nil, fault.New(fault.Invalid, "/subject/content/artifactId: %q says neither the version nor the digest of what was deployed", scan.Quote(e.artifact))
	}
	return &estate.Deployments{Environment: env, At: e.at, Items: []estate.Deployment{{Subject: sub, Removed: removed}}}, nil
}

// release is what the artifact says, else the end of the subject's id.
func (e *event) release() (estate.Subject, error) {
	const at = "/subject/content/artifactId: "
	if ident.IsPurl(e.artifact) {
		p, err := ident.ParsePurl(e.artifact)
		if err != nil {
			return estate.Subject{}, fault.New(fault.Invalid, at+"%w", err)
		}
		return p.Subject, nil
	}
	// Before 0.3 the artifact was any string.
	digest := ident.Digest(e.artifact)
	if digest == "" && e.artifact != "" {
		sub, ok := ident.Image(e.artifact)
		if !ok {
			return estate.Subject{}, fault.New(fault.Invalid, at+"%q is neither a package URL nor an image", scan.Quote(e.artifact))
		}
		return sub, nil
	}
	name := strings.TrimRight(e.subject, "/")
	name = name[strings.LastIndex(name, "/")+1:]
	if err := ident.CheckText(name); err != nil {
		return estate.Subject{}, fault.New(fault.Invalid, "/subject/id: %w", err)
	}
	if name == "" && digest == "" {
		return estate.Subject{}, fault.New(fault.Invalid, "/subject/id: the event names no service")
	}
	return estate.Subject{Name: name, Digest: digest, Derived: true}, nil
}

func (e *event) packaged() (estate.Fact, error) {
	p, err := ident.ParsePurl(e.subject)
	if err != nil {
		return nil, fault.New(fault.Invalid, "/subject/id: %w", err)
	}
	if p.Subject.Digest == "" {
		return nil, fault.New(fault.Unsupported, "/subject/id: %q has no digest, so it ties nothing to the release", scan.Quote(e.subject))
	}
	return &estate.Packaged{Subject: p.Subject, Purl: e.subject, At: e.at}, nil
}
