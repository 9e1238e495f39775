// Package openvex reads OpenVEX documents (https://github.com/openvex/spec,
// versions 0.0.x and 0.2). Each statement becomes one estate.Verdict for each
// of its products, and for each subcomponent of a product where it names some.
//
// What a product is decides the verdict's scope:
//
//   - with subcomponents, the subcomponent is the package, and the product the
//     release or service in which it does or does not matter;
//   - a product that is a container image is a release, and the verdict holds
//     for all packages in it;
//   - a product that is any other package URL is the package, everywhere;
//   - "[namespace/]name[@version]" is a service or a release of it.
//
// A verdict never gets wider than its statement: a statement without products
// takes the release that the claim names, and is refused without one.
package openvex

import (
	"bytes"
	"context"
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

// Reader reads OpenVEX documents.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "openvex".
func (Reader) Name() string { return "openvex" }

// Detect tells whether a document's JSON-LD context is OpenVEX's, or its format
// the media type that drafts of the specification used instead.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte("openvex")) && !bytes.Contains(head, []byte("vex+json")) {
		return false
	}
	o := outline.Of(head)
	for _, at := range []string{"/@context", "/@context/0"} {
		if strings.HasPrefix(o[at], "https://openvex.dev/ns") {
			return true
		}
	}
	return o["/format"] == "text/vex+json" || o["/format"] == "text/vex"
}

// Read yields the verdicts, in document order.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		verdicts, err := document(ctx, in)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, v := range verdicts {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// component is a product or subcomponent.
type component struct {
	id, purl, digest string
	inner            []component
}

// statement is one statement before it is spread over its products.
type statement struct {
	index         int
	advisory      string
	status        estate.Status
	justification string
	reason        string
	at            estate.Time
	products      []component
	// inner are the subcomponents of versions 0.0.x, which stand beside the
	// products and belong to each.
	inner []component
}

func document(ctx context.Context, in read.Input) ([]*estate.Verdict, error) {
	d, err := scan.NewJSON(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	if d.Kind() != '{' {
		return nil, d.Errorf(fault.Invalid, "an OpenVEX document is an object")
	}
	var (
		author     string
		at         estate.Time
		statements []statement
	)
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "author":
			author, err = d.String()
		case "timestamp":
			at, err = when(d)
		case "statements":
			err = d.Array(func(i int) error {
				s, err := readStatement(d)
				s.index = i
				statements = append(statements, s)
				return err
			})
		}
		return err
	})
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return nil, err
	}
	if len(statements) == 0 {
		return nil, fault.New(fault.Invalid, "/statements: the document makes no statement")
	}
	var out []*estate.Verdict
	for _, s := range statements {
		if s.at == 0 {
			s.at = at
		}
		if out, err = s.spread(out, author, in.Claim.Subject); err != nil {
			return nil, fmt.Errorf("/statements/%d (%s): %w", s.index, s.advisory, err)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "/statements: no subcomponent of any statement has a package URL")
	}
	return out, nil
}

func when(d *scan.JSON) (estate.Time, error) {
	s, err := d.String()
	if err != nil || s == "" || strings.HasPrefix(s, "0001-01-01") {
		return 0, err
	}
	at, err := estate.ParseTime(s)
	if err != nil {
		return 0, d.Errorf(fault.Invalid, "%v", err)
	}
	return at, nil
}

func readStatement(d *scan.JSON) (s statement, err error) {
	var ids []string
	var updated estate.Time
	var impact, action, notes, status string
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "vulnerability":
			ids, err = vulnerability(d)
		case "products":
			s.products, err = components(d, true)
		case "subcomponents":
			s.inner, err = components(d, false)
		case "status":
			status, err = d.String()
		case "justification":
			s.justification, err = d.String()
		case "impact_statement":
			impact, err = d.String()
		case "action_statement":
			action, err = d.String()
		case "status_notes", "statement":
			notes, err = d.String()
		case "timestamp":
			s.at, err = when(d)
		case "last_updated":
			updated, err = when(d)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	if s.at = max(s.at, updated); len(ids) == 0 {
		return s, d.Errorf(fault.Invalid, "the statement names no vulnerability")
	}
	if s.advisory = ident.Pick(ids...); s.advisory == "" {
		return s, d.Errorf(fault.Invalid, "the vulnerability %q has no usable id", scan.Quote(ids[0]))
	}
	reasons := []string{impact, action, notes}
	switch s.status = estate.Status(status); s.status {
	case estate.StatusNotAffected, estate.StatusAffected, estate.StatusFixed, estate.StatusInvestigate:
	case "":
		return s, d.Errorf(fault.Invalid, "the statement has no status")
	default:
		// A status of a later version is kept in words, and closes nothing.
		s.status = estate.StatusInvestigate
		reasons = append([]string{"status: " + scan.Quote(status)}, reasons...)
	}
	s.reason = join(reasons...)
	if len(s.reason) > read.MaxString {
		return s, d.Errorf(fault.TooLarge, "the reasons have %d bytes; the limit is %d", len(s.reason), read.MaxString)
	}
	return s, nil
}

// join puts the texts that say something together.
func join(texts ...string) string {
	var out []string
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, "\n")
}

// vulnerability reads the ids of a vulnerability: a string in versions 0.0.x,
// an object since 0.2.
func vulnerability(d *scan.JSON) ([]string, error) {
	if d.Kind() == '"' {
		id, err := d.String()
		return []string{last(id)}, err
	}
	var name, iri string
	var aliases []string
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			name, err = d.String()
		case "@id":
			iri, err = d.String()
		case "aliases":
			aliases, err = d.Strings()
		}
		return err
	})
	var out []string
	for _, id := range append([]string{name, iri}, aliases...) {
		if id != "" {
			out = append(out, last(id))
		}
	}
	return out, err
}

// last cuts an id out of the IRI that it may be the end of:
// https://nvd.nist.gov/vuln/detail/CVE-2021-44228.
func last(iri string) string {
	if !strings.Contains(iri, "://") {
		return iri
	}
	iri = strings.TrimRight(iri, "/")
	return iri[strings.LastIndexAny(iri, "/#=")+1:]
}

func components(d *scan.JSON, nested bool) (out []component, err error) {
	err = d.Array(func(int) error {
		c, err := readComponent(d, nested)
		out = append(out, c)
		return err
	})
	return out, err
}

func readComponent(d *scan.JSON, nested bool) (c component, err error) {
	if d.Kind() == '"' {
		c.id, err = d.String()
	} else {
		err = d.Object(func(key []byte) (err error) {
			switch string(key) {
			case "@id":
				c.id, err = d.String()
			case "identifiers":
				err = d.Object(func(key []byte) (err error) {
					if string(key) == "purl" {
						c.purl, err = d.String()
					}
					return err
				})
			case "hashes":
				err = d.Object(func(key []byte) (err error) {
					if string(key) == "sha-256" || string(key) == "sha256" {
						c.digest, err = d.String()
					}
					return err
				})
			case "subcomponents":
				if nested {
					c.inner, err = components(d, false)
				}
			}
			return err
		})
	}
	if err != nil {
		return c, err
	}
	if c.purl == "" && ident.IsPurl(c.id) {
		c.purl = c.id
	}
	if c.purl != "" {
		if _, err := ident.ParsePurl(c.purl); err != nil {
			return c, d.Errorf(fault.Invalid, "%v", err)
		}
	}
	if c.id == "" && c.purl == "" && c.digest == "" {
		return c, d.Errorf(fault.Invalid, "the component has neither @id nor identifiers")
	}
	return c, nil
}

// maxCrossed is how many verdicts the statements of versions 0.0.x, with their
// two lists, may make.
const maxCrossed = 100_000

// spread appends the verdicts of a statement.
func (s statement) spread(out []*estate.Verdict, author string, claimed estate.Subject) ([]*estate.Verdict, error) {
	emit := func(pkg string, release estate.Subject) error {
		if len(out) >= read.MaxComponents {
			return fault.New(fault.TooLarge, "more than %d verdicts", read.MaxComponents)
		}
		out = append(out, &estate.Verdict{
			Advisory: s.advisory, Package: pkg, Release: release,
			Status: s.status, Justification: s.justification, Reason: s.reason,
			Author: author, At: s.at,
		})
		return nil
	}
	within := func(release estate.Subject, inner []component) error {
		for _, c := range inner {
			// Without a package URL the verdict would cover the whole release.
			if c.purl == "" {
				continue
			}
			if err := emit(c.purl, release); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.products) == 0 {
		if claimed == (estate.Subject{}) {
			return out, fault.New(fault.Invalid, "the statement names no product, and nothing says which release it is about")
		}
		if len(s.inner) > 0 {
			return out, within(claimed, s.inner)
		}
		return out, emit("", claimed)
	}
	// Of two lists each item of one goes with each of the other, so a small
	// document could make a great many verdicts.
	if len(s.inner) > 0 && len(out)+len(s.inner)*len(s.products) > maxCrossed {
		return out, fault.New(fault.TooLarge, "products and subcomponents of the statements make more than %d pairs", maxCrossed)
	}
	for i, p := range s.products {
		inner := p.inner
		if len(inner) == 0 {
			inner = s.inner
		}
		release, image, err := p.release()
		if err == nil {
			switch {
			case len(inner) > 0:
				err = within(release, inner)
			case p.purl != "" && !image:
				err = emit(p.purl, estate.Subject{})
			default:
				err = emit("", release)
			}
		}
		if err != nil {
			return out, fmt.Errorf("products/%d: %w", i, err)
		}
	}
	return out, nil
}

// release is the release or service that a product stands for.
func (c component) release() (sub estate.Subject, image bool, err error) {
	switch {
	case c.purl != "":
		p, err := ident.ParsePurl(c.purl)
		if err != nil {
			return sub, false, fault.New(fault.Invalid, "%w", err)
		}
		sub, image = p.Subject, p.Image
	case strings.Contains(c.id, ":"):
		// Some other identifier. It is kept as a name, so that coverage shows
		// that it joined nothing.
		sub = estate.Subject{Name: c.id, Derived: true}
	case c.id != "":
		if sub, err = estate.ParseSubject(c.id); err != nil {
			return sub, false, fault.New(fault.Invalid, "%w", err)
		}
	}
	if c.digest != "" && sub.Digest == "" {
		if sub.Digest = ident.Digest(c.digest); sub.Digest == "" {
			return sub, false, fault.New(fault.Invalid, "%q is no SHA-256 digest", scan.Quote(c.digest))
		}
	}
	return sub, image, nil
}
