// Package cyclonedx reads CycloneDX 1.0 to 1.7, JSON and XML
// (https://cyclonedx.org/specification/overview/): SBOMs, SaaSBOMs, and VEX,
// embedded or alone. json.go and xml.go walk the two forms into one document,
// which assemble.go and verdict.go turn into facts.
//
// The walk is our own rather than cyclonedx-go's decoder, which takes three times
// as long for JSON, lets a megabyte of empty components become hundreds of
// megabytes, and names no place in its errors; a test compares what both read.
//
// What is survived with a note: a newer specVersion (read as the newest known),
// references given twice or leading nowhere, unreadable times. A key given twice
// counts twice: lists are joined, and of single values the last one holds.
package cyclonedx

import (
	"bytes"
	"context"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/outline"
	"thymus/internal/read/sbom"
)

// Newest is the newest version of the specification that is known here.
const Newest = "1.7"

// Reader reads CycloneDX.
type Reader struct{}

// Name returns "cyclonedx".
func (Reader) Name() string { return "cyclonedx" }

var bom = []byte("\xEF\xBB\xBF")

// Detect knows JSON by its bomFormat, or its schema, or by components with
// bom-refs when bomFormat comes late; and XML by the namespace of its root.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, bom))
	switch {
	case len(head) == 0:
		return false
	case head[0] == '<':
		return bytes.Contains(head, []byte("cyclonedx.org/schema/bom/1.")) &&
			(bytes.Contains(head, []byte("<bom")) || bytes.Contains(head, []byte(":bom")))
	case head[0] != '{' || !bytes.Contains(head, []byte("CycloneDX")) && !bytes.Contains(head, []byte("cyclonedx.org/schema/")) &&
		!bytes.Contains(head, []byte(`"bom-ref"`)):
		return false
	}
	o := outline.Of(head)
	return strings.EqualFold(o["/bomFormat"], "CycloneDX") || strings.Contains(o["/$schema"], "cyclonedx.org/schema/bom") ||
		!o.Has("/bomFormat") && (o.Has("/components/0/bom-ref") || o.Has("/metadata/component/bom-ref") || o.Has("/services/0/bom-ref"))
}

// Read yields a Bill, unless the document is a pure VEX, and then the verdicts
// of its vulnerabilities.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		d := &document{claim: in.Claim.Subject}
		var err error
		if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(in.Body, bom), " \t\r\n"), []byte("<")) {
			err = d.readXML(ctx, in.Body)
		} else {
			err = d.readJSON(ctx, in.Body)
		}
		if err != nil {
			yield(nil, fault.New(fault.Of(err), "CycloneDX: %w", err))
			return
		}
		facts, err := d.facts()
		if err != nil {
			yield(nil, fault.New(fault.Of(err), "CycloneDX: %w", err))
			return
		}
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// document is what both forms are read into.
type document struct {
	sbom.Builder
	claim estate.Subject

	encoding  string // "JSON", "XML"
	version   string // specVersion
	bom       string // version of this BOM, as BOM-Links give it
	serial    string
	timestamp string
	tools     []string
	author    string
	described bool // metadata.component is there
	component estate.Component
	repoTag   string // of the described component, as scanners of images note it
	digest    string
	vulns     []vulnerability
}

// vulnerability is one entry of vulnerabilities.
type vulnerability struct {
	id, source       string
	aliases          []string
	severity         estate.Severity
	state, why, text string // analysis
	updated          string
	affects          []affect
	place            string
}

type affect struct {
	ref      string
	versions []affectedVersion
}

// affectedVersion is a version or a vers range, with a status.
type affectedVersion struct{ version, span, status string }

// room keeps lists that are nested, or that a document repeats, within what one
// list may hold.
func (d *document) room(n int, what string) error {
	if n >= read.MaxComponents {
		return fault.New(fault.TooLarge, "more than %d %s", read.MaxComponents, what)
	}
	return nil
}

// part is a component while it is read.
type part struct {
	c       estate.Component
	p       sbom.Property
	repoTag string
	digest  string
}

func (p *part) property(name, value string) {
	switch name {
	case "aquasecurity:trivy:RepoTag":
		if p.repoTag == "" {
			p.repoTag = value
		}
	case "aquasecurity:trivy:RepoDigest":
		if _, sum, ok := strings.Cut(value, "@"); ok && p.digest == "" {
			p.digest = sum
		}
	default:
		p.p.Set(name, value)
	}
}

func (p *part) hash(alg, value string) {
	if alg == "" || value == "" {
		return
	}
	if p.c.Hashes == nil {
		p.c.Hashes = map[string]string{}
	}
	p.c.Hashes[sbom.HashName(alg)] = strings.ToLower(value)
}

func (p *part) license(s string) {
	if s != "" {
		p.c.Licenses = append(p.c.Licenses, s)
	}
}

// done finishes a component; it reports whether the component says what it is.
func (p *part) done() bool {
	p.c.Scope = strings.ToLower(p.c.Scope)
	switch p.c.Scope {
	case "required", "optional", "excluded":
	default:
		p.c.Scope = ""
	}
	p.c.Type = strings.ToLower(p.c.Type)
	p.p.Apply(&p.c)
	return p.c.Name != "" || p.c.Purl != "" || p.c.Ref != "" || p.c.CPE != "" || p.c.Version != ""
}

// describe keeps the component that the document is about.
func (d *document) describe(p *part) {
	d.described, d.component = true, p.c
	d.repoTag, d.digest = p.repoTag, p.digest
	d.Builder.Subject(p.c.Ref)
}

// rating joins the severities of one vulnerability: the highest holds.
func (v *vulnerability) rating(severity, score string) {
	var s estate.Severity
	switch strings.ToLower(severity) {
	case "info":
		s = estate.None
	case "", "unknown":
		if f, ok := number(score); ok {
			s = estate.SeverityOf(f)
		}
	default:
		s, _ = estate.ParseSeverity(severity) // Unscored when it is no severity
	}
	v.severity = max(v.severity, s)
}
