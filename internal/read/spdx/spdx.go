// Package spdx reads SPDX 2.0 to 2.3, JSON and tag-value
// (https://spdx.github.io/spdx-spec/v2.3/), and the SBOM that GitHub's API wraps
// in {"sbom": …}. json.go and tagvalue.go take the two forms into one document,
// which this file turns into a bill.
//
// Both forms are read by our own code: tools-golang builds the whole document,
// files and snippets included, before anything can be bounded, and refuses
// documents for mistakes in parts that are of no interest here. Snippets, files,
// annotations and reviews are passed over.
//
// The one package that a document describes is the subject, and not among the
// packages, unless there is no other. Containment counts as an edge, since most
// tools say nothing else of what depends on what.
package spdx

import (
	"bytes"
	"context"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/sbom"
	"thymus/internal/read/scan"
)

// Reader reads SPDX 2.
type Reader struct{}

// Name returns "spdx".
func (Reader) Name() string { return "spdx" }

var bom = []byte("\xEF\xBB\xBF")

// Detect knows JSON by spdxVersion or the document's SPDXID, and tag-value by a
// line with the tag SPDXVersion among lines of tags.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, bom))
	switch {
	case len(head) == 0:
		return false
	case head[0] != '{':
		return isTagValue(head)
	case !bytes.Contains(head, []byte("SPDXRef-")) && !bytes.Contains(head, []byte(`"SPDX-2.`)):
		return false
	}
	o := outline.Of(head)
	for _, at := range []string{"", "/sbom"} {
		if strings.HasPrefix(o[at+"/spdxVersion"], "SPDX-2.") || o[at+"/SPDXID"] == "SPDXRef-DOCUMENT" || o.Has(at+"/packages/0/SPDXID") {
			return true
		}
	}
	return false
}

// Read yields one Bill.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		var (
			d    document
			bill *estate.Bill
			err  error
		)
		if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(in.Body, bom), " \t\r\n"), []byte("{")) {
			err = d.readJSON(ctx, in.Body)
		} else {
			err = d.readTagValue(ctx, in.Body)
		}
		if err == nil {
			bill, err = d.bill()
		}
		if err != nil {
			yield(nil, fault.New(fault.Of(err), "SPDX: %w", err))
			return
		}
		yield(bill, nil)
	}
}

// document is what both forms are read into.
type document struct {
	form       string // "JSON", "tag-value"
	version    string // "SPDX-2.3"
	namespace  string
	created    string
	tools      []string
	documentID string
	described  []string // by documentDescribes
	packages   []estate.Component
	relations  []relation
}

type relation struct{ from, kind, to string }

// part is a package while it is read.
type part struct {
	c                   estate.Component
	concluded, declared string
	cpe22               string
}

func stated(s string) bool { return s != "" && s != "NOASSERTION" && s != "NONE" }

// external takes an external reference by its type and locator.
func (p *part) external(kind, locator string) {
	switch strings.ToLower(kind) {
	case "purl":
		if p.c.Purl == "" {
			p.c.Purl = locator
		}
	case "cpe23type":
		if p.c.CPE == "" {
			p.c.CPE = locator
		}
	case "cpe22type":
		p.cpe22 = locator
	}
}

func (p *part) checksum(alg, value string) {
	if alg == "" || value == "" {
		return
	}
	if p.c.Hashes == nil {
		p.c.Hashes = map[string]string{}
	}
	p.c.Hashes[sbom.HashName(alg)] = strings.ToLower(strings.TrimSpace(value))
}

// sourceInfo understands what scanners write into this free text: Trivy "built
// package from: openssl 1.0.2k-16.el7", syft "acquired package info from DPKG
// DB: /var/lib/dpkg/status", SCALIBR "Identified by the os/dpkg extractor from
// var/lib/dpkg/status".
func (p *part) sourceInfo(s string) {
	if rest, ok := strings.CutPrefix(s, "built package from: "); ok {
		p.c.Source, p.c.SourceVersion, _ = strings.Cut(strings.TrimSpace(rest), " ")
	} else if strings.HasPrefix(s, "acquired package info from") {
		if _, path, ok := strings.Cut(s, ": "); ok {
			p.c.Found, _, _ = strings.Cut(path, ", ")
		}
	} else if _, path, ok := strings.Cut(s, " extractor from "); ok {
		p.c.Found = path
	}
}

// add finishes a package. It returns false when the package says nothing.
func (d *document) add(p *part) bool {
	c := p.c
	c.Parent = -1
	c.Type = strings.ToLower(strings.ReplaceAll(c.Type, "_", "-"))
	if c.Type == "" { // SPDX before 2.3 has no purpose; Trivy says it in the id
		switch {
		case strings.HasPrefix(c.Ref, "SPDXRef-OperatingSystem-"):
			c.Type = "operating-system"
		case strings.HasPrefix(c.Ref, "SPDXRef-ContainerImage-"):
			c.Type = "container"
		}
	}
	if c.Version == "NOASSERTION" || c.Version == "NONE" {
		c.Version = ""
	}
	if c.CPE == "" {
		c.CPE = p.cpe22
	}
	switch {
	case stated(p.concluded):
		c.Licenses = []string{p.concluded}
	case stated(p.declared):
		c.Licenses = []string{p.declared}
	}
	if c.Ref == "" && c.Name == "" && c.Purl == "" {
		return false
	}
	d.packages = append(d.packages, c)
	return true
}

func (d *document) creator(s string) {
	if tool, ok := strings.CutPrefix(strings.TrimSpace(s), "Tool:"); ok {
		d.tools = append(d.tools, strings.TrimSpace(tool))
	}
}

// bill turns the document into a bill.
func (d *document) bill() (*estate.Bill, error) {
	if len(d.packages) == 0 {
		return nil, fault.New(fault.Invalid, "the document has no packages: it says nothing")
	}
	b := &sbom.Builder{}
	version := strings.TrimPrefix(d.version, "SPDX-")
	switch version {
	case "2.0", "2.1", "2.2", "2.2.1", "2.2.2", "2.3":
	case "":
		b.Note("the document does not state spdxVersion; read as 2.3")
	default:
		version = scan.Quote(version)
		b.Note("spdxVersion %q is unknown; read as 2.3", version)
	}
	b.Bill.Format = strings.Join(strings.Fields("SPDX "+version+" "+d.form), " ")
	b.Bill.Serial = d.namespace
	b.Bill.Generator = generator(d.tools)
	if d.created != "" {
		made, err := estate.ParseTime(d.created)
		if err != nil {
			b.Note("created: %s", scan.Quote(err.Error()))
		}
		b.Bill.Made = made
	}

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
	b.Subject(d.documentID)
	d.relate(b)
	return b.Finish(), nil
}

// generator takes tools without their versions: "syft-1.2.3", "trivy 0.50",
// "Microsoft.SBOMTool-2.2.6".
func generator(tools []string) string {
	var names []string
	for _, t := range tools {
		name, version, ok := strings.Cut(t, " ")
		if !ok {
			if i := strings.LastIndexByte(t, '-'); i > 0 {
				name, version = t[:i], t[i+1:]
			}
		}
		if version = strings.TrimPrefix(version, "v"); version == "" || version[0] < '0' || version[0] > '9' && version != "dev" {
			name = t
		}
		if strings.HasSuffix(t, "-dev") {
			name = strings.TrimSuffix(t, "-dev")
		}
		if name != "" && ident.CheckText(name) == nil && len(names) < 5 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// subject returns the index of the one package that the document describes,
// or -1.
func (d *document) subject() int {
	refs := map[string]bool{}
	for _, r := range d.described {
		refs[r] = true
	}
	for _, r := range d.relations {
		switch {
		case r.kind == "DESCRIBES" && d.isDocument(r.from):
			refs[r.to] = true
		case r.kind == "DESCRIBED_BY" && d.isDocument(r.to):
			refs[r.from] = true
		}
	}
	found := -1
	for i := range d.packages {
		if !refs[d.packages[i].Ref] {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}

func (d *document) isDocument(ref string) bool {
	return ref == "SPDXRef-DOCUMENT" || ref == d.documentID
}

// relate turns relationships into edges, parents, scopes and sources
// (https://spdx.github.io/spdx-spec/v2.3/relationships-between-SPDX-elements/).
func (d *document) relate(b *sbom.Builder) {
	var contained []relation // by the subject
	for _, r := range d.relations {
		from, to := r.from, r.to
		scope := ""
		switch kind := r.kind; kind {
		case "DEPENDS_ON", "HAS_PREREQUISITE", "STATIC_LINK", "DYNAMIC_LINK":
		case "DEPENDENCY_OF", "RUNTIME_DEPENDENCY_OF", "BUILD_DEPENDENCY_OF", "PROVIDED_DEPENDENCY_OF", "PREREQUISITE_FOR":
			from, to = to, from
		case "DEV_DEPENDENCY_OF", "TEST_DEPENDENCY_OF":
			from, to, scope = to, from, "dev"
		case "OPTIONAL_DEPENDENCY_OF":
			from, to, scope = to, from, "optional"
		case "CONTAINS", "CONTAINED_BY", "PACKAGE_OF":
			if kind != "CONTAINS" {
				from, to = to, from
			}
			if r.to == "NOASSERTION" {
				b.Bill.Partial = true
				continue
			}
			child, ok := b.Lookup(to)
			if !ok {
				continue // a file
			}
			if b.IsSubject(from) {
				contained = append(contained, relation{from, kind, to})
				continue
			}
			if parent, ok := b.Lookup(from); ok && parent != child {
				b.Depend(from, to)
				if b.Bill.Packages[child].Parent < 0 {
					b.Bill.Packages[child].Parent = parent
				}
			}
			continue
		case "GENERATED_FROM", "GENERATES":
			if kind == "GENERATES" {
				from, to = to, from
			}
			binary, ok := b.Lookup(from)
			source, known := b.Lookup(to)
			if ok && known && binary != source && b.Bill.Packages[binary].Source == "" {
				s := b.Bill.Packages[source]
				b.Bill.Packages[binary].Source, b.Bill.Packages[binary].SourceVersion = s.Name, s.Version
			}
			continue
		default:
			continue
		}
		if from == "NOASSERTION" || to == "NOASSERTION" {
			b.Bill.Partial = true // https://spdx.github.io/spdx-spec/v2.3/relationships-between-SPDX-elements/#11.1.2
			continue
		}
		if from == "NONE" || to == "NONE" {
			continue
		}
		for _, ref := range []string{from, to} {
			if strings.HasPrefix(ref, "DocumentRef-") || strings.HasPrefix(ref, "SPDXRef-File") {
				b.Other(ref)
			}
		}
		b.Depend(from, to)
		if at, ok := b.Lookup(to); ok && scope != "" && b.Bill.Packages[at].Scope == "" {
			b.Bill.Packages[at].Scope = scope
		}
	}
	b.Contain(func(yield func(string) bool) {
		for _, r := range contained {
			if !yield(r.to) {
				return
			}
		}
	})
}
