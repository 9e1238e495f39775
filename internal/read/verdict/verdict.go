// Package verdict reads Thymus's own verdict document: one decision of a person
// on an advisory, as the command line and the API make it. It is evidence like
// any other document, so that a rebuild finds it again.
//
//	{"thymus":"verdict/v1","advisory":"CVE-2021-44228","service":"cart",
//	 "status":"not_affected","reason":"the lookup class is removed","author":"kim"}
package verdict

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/purl"
	"thymus/internal/read"
	"thymus/internal/version"
)

// Format is the value of the member "thymus" of a verdict document.
const Format = "verdict/v1"

// Document is a verdict on the wire. Blank members do not limit it.
type Document struct {
	Thymus   string `json:"thymus"`
	Advisory string `json:"advisory"`          // any id of the alias group
	Package  string `json:"package,omitempty"` // purl, version optional
	Range    string `json:"range,omitempty"`   // of Package: "<2.15.0"
	// Scope: at most one of Service, Release, Application and Domain.
	Service       string        `json:"service,omitempty"` // "[namespace/]name"
	Release       string        `json:"release,omitempty"` // "[namespace/]name@version"
	Application   string        `json:"application,omitempty"`
	Domain        string        `json:"domain,omitempty"`
	Environment   string        `json:"environment,omitempty"`
	Status        estate.Status `json:"status"` // not_affected, affected, fixed, under_investigation
	Justification string        `json:"justification,omitempty"`
	Reason        string        `json:"reason,omitempty"`
	Author        string        `json:"author,omitempty"`
	At            estate.Time   `json:"at,omitzero"`
	Expires       estate.Time   `json:"expires,omitzero"`
}

// Reader implements read.Reader.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name is "verdict".
func (Reader) Name() string { return "verdict" }

// Detect looks for the member "thymus" with this format's value.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	head = bytes.TrimSpace(head)
	return bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(`"`+Format+`"`)) && bytes.Contains(head, []byte(`"thymus"`))
}

// Read yields one *estate.Verdict.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, fault.New(fault.Unavailable, "verdict: %w", err))
			return
		}
		v, err := Parse(in.Body)
		if err != nil {
			yield(nil, err)
			return
		}
		yield(v, nil)
	}
}

// Parse reads one document. Unknown members are refused: this is our own format.
func Parse(body []byte) (*estate.Verdict, error) {
	if err := once(body); err != nil {
		return nil, err
	}
	var d Document
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fault.New(fault.Invalid, "verdict: at byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fault.New(fault.Invalid, "verdict: at byte %d: more than one document", dec.InputOffset())
	}
	return d.Verdict()
}

// once refuses a member given twice, of which encoding/json would silently take
// the last, in whatever case it is written. Other faults are left to the decoder.
func once(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	seen := map[string]bool{}
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	for dec.More() {
		tok, err := dec.Token()
		key, ok := tok.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			return nil
		}
		if key = strings.ToLower(key); seen[key] {
			return fault.New(fault.Invalid, "verdict: at byte %d: the member %.100q is given twice", dec.InputOffset(), key)
		}
		seen[key] = true
	}
	return nil
}

// Verdict checks the document and returns its fact.
func (d *Document) Verdict() (*estate.Verdict, error) {
	v := &estate.Verdict{
		Advisory: d.Advisory, Package: d.Package, Range: d.Range, Application: d.Application, Domain: d.Domain,
		Environment: d.Environment, Status: d.Status, Justification: d.Justification, Reason: d.Reason,
		Author: d.Author, At: d.At, Expires: d.Expires,
	}
	if d.Thymus != Format {
		return nil, fault.New(fault.Invalid, "verdict: /thymus is %q; want %q", d.Thymus, Format)
	}
	if d.Advisory == "" {
		return nil, fault.New(fault.Invalid, "verdict: /advisory is missing")
	}
	switch d.Status {
	case estate.StatusNotAffected, estate.StatusAffected, estate.StatusFixed, estate.StatusInvestigate:
	default:
		return nil, fault.New(fault.Invalid, "verdict: /status %q is none of not_affected, affected, fixed, under_investigation", d.Status)
	}
	scopes := 0
	for _, s := range []string{d.Service, d.Release, d.Application, d.Domain} {
		if s != "" {
			scopes++
		}
	}
	if scopes > 1 {
		return nil, fault.New(fault.Invalid, "verdict: only one of /service, /release, /application and /domain may be given")
	}
	if d.Range != "" && d.Package == "" {
		return nil, fault.New(fault.Invalid, "verdict: /range needs /package")
	}
	if d.Package != "" {
		_, eco, _, err := purl.Query(d.Package)
		if err != nil {
			return nil, fault.New(fault.Invalid, "verdict: /package: %w", err)
		}
		if _, err := version.ParseRange(eco, d.Range); d.Range != "" && err != nil {
			return nil, fault.New(fault.Invalid, "verdict: /range: %w", err)
		}
	}
	if d.Expires != 0 && d.At != 0 && d.Expires <= d.At {
		return nil, fault.New(fault.Invalid, "verdict: /expires is not after /at")
	}
	var err error
	switch {
	case d.Service != "":
		v.Release, err = estate.ParseSubject(d.Service)
		if err == nil && v.Release.Version != "" {
			return nil, fault.New(fault.Invalid, "verdict: /service %q has a version; use /release", d.Service)
		}
	case d.Release != "":
		v.Release, err = estate.ParseSubject(d.Release)
		if err == nil && v.Release.Version == "" {
			return nil, fault.New(fault.Invalid, "verdict: /release %q has no version; use /service", d.Release)
		}
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "verdict: scope: %w", err)
	}
	return v, nil
}
