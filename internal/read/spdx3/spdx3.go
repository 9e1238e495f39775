// Package spdx3 reads SPDX 3.0 as JSON-LD
// (https://spdx.github.io/spdx-spec/v3.0.1/): packages, relationships and VEX
// assessments out of the flat @graph, in which elements refer to each other by
// id in any order. It reads the compact form that the specification prescribes
// for exchange, not JSON-LD in general: no context is ever fetched.
//
// graph.go takes elements out of the document; this file joins them into a bill
// and verdicts.
package spdx3

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/sbom"
	"thymus/internal/read/scan"
)

// Reader reads SPDX 3.
type Reader struct{}

// Name returns "spdx3".
func (Reader) Name() string { return "spdx3" }

// Detect knows the document by its JSON-LD context.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte("spdx.org/rdf/3.")) {
		return false
	}
	o := outline.Of(head)
	return strings.Contains(o["/@context"], "spdx.org/rdf/3.") || strings.Contains(o["/@context/0"], "spdx.org/rdf/3.")
}

// Read yields one Bill, then the verdicts of VEX assessments.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		d := graph{tools: map[string]string{}, created: map[string]creation{}, licenses: map[string]string{}, vulns: map[string]vulnerability{}}
		err := d.read(ctx, in.Body)
		var facts []estate.Fact
		if err == nil {
			facts, err = d.facts(in.Claim.Subject)
		}
		if err != nil {
			yield(nil, fault.New(fault.Of(err), "SPDX 3: %w", err))
			return
		}
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (d *graph) facts(claim estate.Subject) ([]estate.Fact, error) {
	if len(d.packages) == 0 && len(d.assessments) == 0 {
		return nil, fault.New(fault.Invalid, "the document has no packages in /@graph: it says nothing")
	}
	b := &sbom.Builder{}
	created := d.created[d.creation]
	for _, c := range d.created { // the document's, else the only one
		if d.creation == "" && len(d.created) == 1 {
			created = c
		}
	}
	switch version := created.version; {
	case version == "":
		b.Bill.Format = "SPDX 3.0 JSON-LD"
	case strings.HasPrefix(version, "3.0"):
		b.Bill.Format = "SPDX " + scan.Quote(version) + " JSON-LD"
	default:
		b.Bill.Format = "SPDX " + scan.Quote(version) + " JSON-LD"
		b.Note("specVersion %q is unknown; read as 3.0", scan.Quote(version))
	}
	b.Bill.Serial = d.documentID
	if created.at != "" {
		made, err := estate.ParseTime(created.at)
		if err != nil {
			b.Note("created: %s", scan.Quote(err.Error()))
		}
		b.Bill.Made = made
	}
	var tools []string
	for _, id := range created.using {
		if name := d.tools[id]; name != "" && ident.CheckText(name) == nil && !slices.Contains(tools, name) && len(tools) < 5 {
			tools = append(tools, name)
		}
	}
	b.Bill.Generator = strings.Join(tools, ", ")

	subject := d.subject()
	for i, c := range d.packages {
		if i == subject {
			b.Bill.Subject = sbom.Subject(c, c.Type == "container" || strings.HasPrefix(c.Purl, "pkg:oci/") || strings.HasPrefix(c.Purl, "pkg:docker/"))
			b.Subject(c.Ref)
			if len(d.packages) > 1 {
				continue
			}
		}
		at, err := b.Reserve()
		if err != nil {
			return nil, err
		}
		b.Set(at, c)
	}
	for _, id := range []string{d.documentID, d.sbomID} {
		b.Other(id)
	}
	d.relate(b)
	bill := b.Finish()
	verdicts, err := d.verdicts(b, sbom.Claimed(bill.Subject, claim))
	if err != nil {
		return nil, err
	}
	var facts []estate.Fact
	if len(d.packages) > 0 && !(len(bill.Packages) == 0 && len(verdicts) > 0) {
		facts = append(facts, bill)
	}
	for _, v := range verdicts {
		facts = append(facts, v)
	}
	if len(facts) == 0 {
		return nil, fault.New(fault.Unsupported, "none of the %d assessments in /@graph names a package or a release", len(d.assessments))
	}
	return facts, nil
}

// subject returns the index of the one package at the root of the SBOM, or -1.
func (d *graph) subject() int {
	roots := d.sbomRoots
	if len(roots) == 0 {
		roots = d.documentRoots
	}
	found := -1
	for i := range d.packages {
		if d.packages[i].Ref == "" || !slices.Contains(roots, d.packages[i].Ref) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}

// noElement tells whether an id is one of those that stand for "none" and "not
// known" (NoneElement and NoAssertionElement).
func noElement(id string) (none, unknown bool) {
	return strings.HasSuffix(id, "/NoneElement") || id == "NoneElement" || strings.HasSuffix(id, "/Core/None"),
		strings.HasSuffix(id, "/NoAssertionElement") || id == "NoAssertionElement" || strings.HasSuffix(id, "/Core/NoAssertion")
}

func (d *graph) relate(b *sbom.Builder) {
	var contained []string
	for _, r := range d.relations {
		if r.partial && (r.kind == "dependsOn" || r.kind == "contains") {
			b.Bill.Partial = true
		}
		none, unknown := noElement(r.to)
		if unknown && (r.kind == "dependsOn" || r.kind == "contains") {
			b.Bill.Partial = true
		}
		if none || unknown {
			continue
		}
		to, known := b.Lookup(r.to)
		switch r.kind {
		case "dependsOn", "hasStaticLink", "hasDynamicLink", "hasPrerequisite", "hasProvidedDependency", "hasOptionalDependency":
			if d.files[r.from] || d.files[r.to] {
				continue
			}
			b.Depend(r.from, r.to)
			if known && b.Bill.Packages[to].Scope == "" {
				switch {
				case r.kind == "hasOptionalDependency":
					b.Bill.Packages[to].Scope = "optional"
				case r.scope == "development" || r.scope == "test":
					b.Bill.Packages[to].Scope = "dev"
				}
			}
		case "contains":
			if !known {
				continue
			}
			if b.IsSubject(r.from) {
				contained = append(contained, r.to)
			} else if from, ok := b.Lookup(r.from); ok && from != to {
				b.Depend(r.from, r.to)
				if b.Bill.Packages[to].Parent < 0 {
					b.Bill.Packages[to].Parent = from
				}
			}
		case "generates": // a source package generates a binary one
			if from, ok := b.Lookup(r.from); ok && known && from != to && b.Bill.Packages[to].Source == "" {
				b.Bill.Packages[to].Source, b.Bill.Packages[to].SourceVersion = b.Bill.Packages[from].Name, b.Bill.Packages[from].Version
			}
		case "hasConcludedLicense", "hasDeclaredLicense":
			from, ok := b.Lookup(r.from)
			license := d.licenses[r.to]
			if ok && license != "" && (len(b.Bill.Packages[from].Licenses) == 0 || r.kind == "hasConcludedLicense") {
				b.Bill.Packages[from].Licenses = []string{license}
			}
		}
	}
	b.Contain(slices.Values(contained))
}

// verdicts turns VEX assessment relationships into verdicts.
func (d *graph) verdicts(b *sbom.Builder, release estate.Subject) ([]*estate.Verdict, error) {
	var out []*estate.Verdict
	left := 0
	for _, a := range d.assessments {
		v := d.vulns[a.from]
		last := a.from[strings.LastIndexAny(a.from, "/#:")+1:]
		id := ident.Pick(append(v.ids, v.name, last)...)
		if id == "" {
			return nil, fault.New(fault.Invalid, "%s: the vulnerability %q has no id that an advisory could have", a.place, scan.Quote(a.from))
		}
		for _, to := range a.to {
			verdict := &estate.Verdict{Advisory: id, Status: a.status, Justification: a.justification, Reason: a.reason, Release: release, At: b.Bill.Made}
			if a.at != "" {
				if t, err := estate.ParseTime(a.at); err == nil {
					verdict.At = t
				}
			}
			if i, ok := b.Lookup(to); ok && !b.IsSubject(to) {
				verdict.Package = b.Bill.Packages[i].Purl
			} else if ident.IsPurl(to) {
				verdict.Package = to
			} else if !b.IsSubject(to) && len(d.packages) > 0 {
				left++
				continue
			}
			if verdict.Package == "" && (release == (estate.Subject{}) || !b.IsSubject(to) && len(d.packages) > 0) {
				left++
				continue
			}
			if len(out) >= read.MaxComponents {
				return nil, fault.New(fault.TooLarge, "more than %d verdicts", read.MaxComponents)
			}
			out = append(out, verdict)
		}
	}
	if left > 0 {
		b.Note("%d assessments name no package with a purl and no release, and were left out", left)
	}
	return out, nil
}
