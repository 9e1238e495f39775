// Package sbom holds what the readers of SBOM formats share: gathering packages
// and the edges between their references into one estate.Bill, and deriving
// what documents say of a distribution's packages in places other than the purl.
package sbom

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
)

// Builder gathers a bill in one walk of a document. References may come before
// what they refer to; Finish resolves them. The zero value is ready.
type Builder struct {
	Bill estate.Bill

	index    map[string]int32 // reference to package
	subject  map[string]bool  // references that mean the subject
	other    map[string]bool  // references that are known and are no packages
	edges    []edge
	repeated []string // references given twice
}

type edge struct{ from, to string }

// Reserve makes room for a package and returns its index, so that what a
// package contains can name it before it has been read whole.
func (b *Builder) Reserve() (int32, error) {
	if len(b.Bill.Packages) >= read.MaxComponents {
		return 0, fault.New(fault.TooLarge, "more than %d packages", read.MaxComponents)
	}
	b.Bill.Packages = append(b.Bill.Packages, estate.Component{Parent: -1})
	return int32(len(b.Bill.Packages) - 1), nil
}

// Set fills a reserved place. Of a reference that is given twice the first
// package keeps it; a note tells.
func (b *Builder) Set(i int32, c estate.Component) {
	if c.Ref != "" {
		if b.index == nil {
			b.index = map[string]int32{}
		}
		if _, ok := b.index[c.Ref]; ok {
			b.repeated = append(b.repeated, c.Ref)
			c.Ref = ""
		} else {
			b.index[c.Ref] = i
		}
	}
	b.Bill.Packages[i] = c
}

// Lookup returns the index of the package with that reference.
func (b *Builder) Lookup(ref string) (int32, bool) {
	i, ok := b.index[ref]
	return i, ok
}

// Subject says that a reference means the subject of the document.
func (b *Builder) Subject(ref string) { mark(&b.subject, ref) }

// IsSubject tells whether a reference means the subject.
func (b *Builder) IsSubject(ref string) bool { return b.subject[ref] }

// Other says that a reference is known and is no package: a service, a file, the
// document.
func (b *Builder) Other(ref string) { mark(&b.other, ref) }

func mark(set *map[string]bool, ref string) {
	if ref == "" {
		return
	}
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[ref] = true
}

// Depend says that one reference depends on another.
func (b *Builder) Depend(from, to string) { b.edges = append(b.edges, edge{from, to}) }

// Note adds to the bill's notes, of which a document cannot cause many.
func (b *Builder) Note(format string, args ...any) {
	const most = 50
	if len(b.Bill.Notes) < most {
		b.Bill.Notes = append(b.Bill.Notes, fmt.Sprintf(format, args...))
	}
}

// Finish resolves the references and the distribution, and returns the bill.
// Edges from or to nowhere are left out with a note; cycles are kept.
func (b *Builder) Finish() *estate.Bill {
	if n := len(b.repeated); n > 0 {
		b.Note("%d references are given to more than one package, the first %q; edges go to the first of them", n, quote(b.repeated[0]))
	}
	b.resolve()
	b.distribute()
	return &b.Bill
}

func (b *Builder) resolve() {
	packages := b.Bill.Packages
	if len(b.edges) == 0 {
		return
	}
	services := map[string]int{}
	for i, s := range b.Bill.Services {
		if s.Ref != "" {
			services[s.Ref] = i
		}
	}
	depends := make([][]int32, len(packages))
	var direct []int32
	lost, found := 0, false
	var firstLost string
	for _, e := range b.edges {
		to, ok := b.index[e.to]
		if i, is := services[e.from]; is {
			b.Bill.Services[i].Depends = append(b.Bill.Services[i].Depends, e.to)
		}
		from, fromPackage := b.index[e.from]
		fromSubject := b.subject[e.from]
		if !ok && !b.subject[e.to] && !b.other[e.to] || !fromPackage && !fromSubject && !b.other[e.from] {
			if lost++; lost == 1 {
				firstLost = e.to
				if ok {
					firstLost = e.from
				}
			}
			continue
		}
		if !ok {
			continue
		}
		if fromSubject && !b.subject[e.to] {
			direct = append(direct, to)
		}
		if fromPackage && from != to {
			depends[from] = append(depends[from], to)
			found = true
		}
	}
	if found {
		for i := range depends {
			depends[i] = unique(depends[i])
		}
		b.Bill.Depends = depends
	}
	b.Bill.Direct = unique(direct)
	b.edges = nil
	if lost > 0 {
		b.Note("%d dependencies refer to nothing in the document, the first %q", lost, quote(firstLost))
	}
}

// unique sorts in place and drops repetitions.
func unique(xs []int32) []int32 {
	slices.Sort(xs)
	return slices.Compact(xs)
}

func quote(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// distribute gives the packages of a distribution the release that the document
// states on an operating system of its own.
func (b *Builder) distribute() {
	packages := b.Bill.Packages
	var systems []int32
	names := map[string]bool{}
	for i := range packages {
		c := &packages[i]
		if c.Type != "operating-system" {
			continue
		}
		if c.Distro == "" {
			c.Distro = Distro(c.Name, c.Version)
		}
		if c.Distro != "" {
			systems = append(systems, int32(i))
			names[c.Distro] = true
		}
	}
	if len(systems) == 0 {
		return
	}
	if len(names) > 1 { // each system speaks for what it contains or depends on
		for _, s := range systems {
			if b.Bill.Depends != nil {
				for _, i := range b.Bill.Depends[s] {
					give(&packages[i], packages[s].Distro)
				}
			}
		}
	}
	left := 0
	for i := range packages {
		c := &packages[i]
		if c.Distro != "" || !lacksDistro(c.Purl) {
			continue
		}
		switch {
		case len(names) == 1:
			give(c, packages[systems[0]].Distro)
		case c.Parent >= 0 && packages[c.Parent].Type == "operating-system":
			give(c, packages[c.Parent].Distro)
		default:
			left++
		}
	}
	if left > 0 {
		b.Note("%d packages of distributions state no release, and the document names several", left)
	}
}

// give sets the distribution of a package that states none and may belong to it.
func give(c *estate.Component, distro string) {
	if c.Distro != "" || !lacksDistro(c.Purl) {
		return
	}
	// Debian's and Ubuntu's packages share a type, and not their versions.
	id, _, _ := strings.Cut(distro, "-")
	if rest, ok := strings.CutPrefix(c.Purl, "pkg:deb/"); ok {
		if vendor, _, _ := strings.Cut(rest, "/"); vendor != id {
			return
		}
	}
	c.Distro = distro
}

// lacksDistro tells whether a purl names a distribution's package and not its
// release.
func lacksDistro(purl string) bool {
	for _, kind := range []string{"pkg:deb/", "pkg:rpm/", "pkg:apk/", "pkg:alpm/"} {
		if strings.HasPrefix(purl, kind) {
			_, qualifiers, _ := strings.Cut(purl, "?")
			return !strings.HasPrefix(qualifiers, "distro=") && !strings.Contains(qualifiers, "&distro=")
		}
	}
	return false
}

// Distro brings the name and version of an operating system to the form
// "debian-12", "alpine-3.18", "rhel-9": as much of the version as advisories
// tell apart. It is "" when either is missing.
func Distro(name, version string) string {
	id := strings.ToLower(strings.TrimSpace(name))
	for _, known := range []struct{ id, is string }{
		{"red hat", "rhel"}, {"redhat", "rhel"}, {"rhel", "rhel"}, {"centos", "centos"}, {"rocky", "rocky"}, {"alma", "almalinux"},
		{"debian", "debian"}, {"ubuntu", "ubuntu"}, {"alpine", "alpine"}, {"amazon", "amzn"}, {"amzn", "amzn"}, {"oracle", "ol"},
		{"fedora", "fedora"}, {"wolfi", "wolfi"}, {"chainguard", "chainguard"},
	} {
		if strings.HasPrefix(id, known.id) {
			id = known.is
			break
		}
	}
	fields := strings.Fields(version)
	if id == "" || len(fields) == 0 || strings.ContainsAny(id, " /") {
		return ""
	}
	release := strings.TrimPrefix(fields[0], "v")
	parts := strings.Split(release, ".")
	switch id {
	case "debian", "rhel", "centos", "rocky", "almalinux", "ol":
		release = parts[0]
	case "alpine", "ubuntu":
		release = strings.Join(parts[:min(2, len(parts))], ".")
	}
	return id + "-" + release
}

// Property reads the properties by which scanners name the source package of a
// distribution's package, its file and the like. They come in any order: give
// each to Set, and Apply them at the end.
type Property struct {
	srcName, srcVersion, srcRelease, srcEpoch string
	origin, sourceRPM                         string
	distro, release                           string
	found                                     string
	dev                                       bool
}

// Set takes one property by its name; unknown ones are passed over.
func (p *Property) Set(name, value string) {
	switch name {
	case "aquasecurity:trivy:SrcName", "syft:metadata:source":
		p.srcName = value
	case "aquasecurity:trivy:SrcVersion", "syft:metadata:sourceVersion":
		p.srcVersion = value
	case "aquasecurity:trivy:SrcRelease":
		p.srcRelease = value
	case "aquasecurity:trivy:SrcEpoch":
		p.srcEpoch = value
	case "syft:metadata:originPackage":
		p.origin = value
	case "syft:metadata:sourceRpm":
		p.sourceRPM = value
	case "syft:distro:id":
		p.distro = value
	case "syft:distro:versionID":
		p.release = value
	case "syft:location:0:path", "aquasecurity:trivy:FilePath", "SrcFile", "cdx:npm:package:path":
		if p.found == "" {
			p.found = value
		}
	case "cdx:npm:package:development", "cdx:composer:package:isDevRequirement", "cdx:pyproject:group:dev":
		p.dev = value == "true"
	}
}

// Apply writes what the properties said into a component.
func (p *Property) Apply(c *estate.Component) {
	if c.Found == "" {
		c.Found = p.found
	}
	if p.dev && c.Scope == "" {
		c.Scope = "dev"
	}
	if c.Type == "operating-system" {
		c.Distro = Distro(p.distro, p.release)
	}
	name, version := p.srcName, p.srcVersion
	if version != "" {
		if p.srcRelease != "" {
			version += "-" + p.srcRelease
		}
		if p.srcEpoch != "" && p.srcEpoch != "0" {
			version = p.srcEpoch + ":" + version
		}
	}
	if name == "" {
		name = p.origin
	}
	if name == "" {
		name, version = splitRPM(p.sourceRPM)
	}
	if name != "" {
		c.Source, c.SourceVersion = name, version
	}
}

// splitRPM splits "bash-4.2.46-31.el7.src.rpm" into name and version-release.
func splitRPM(file string) (name, version string) {
	file, ok := strings.CutSuffix(file, ".src.rpm")
	if !ok {
		return "", ""
	}
	release := strings.LastIndexByte(file, '-')
	if release <= 0 {
		return "", ""
	}
	at := strings.LastIndexByte(file[:release], '-')
	if at <= 0 {
		return "", ""
	}
	return file[:at], file[at+1:]
}

// HashName brings the name of a hash algorithm to CycloneDX's form: "SHA-256",
// "SHA3-512", "MD5".
func HashName(alg string) string {
	alg = strings.ToUpper(strings.TrimSpace(alg))
	if rest, ok := strings.CutPrefix(alg, "SHA"); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' && !strings.ContainsAny(rest, "-_") {
		return "SHA-" + rest
	}
	if rest, ok := strings.CutPrefix(alg, "SHA3_"); ok {
		return "SHA3-" + rest
	}
	return alg
}

// Subject derives the identity of a release from the component that a document
// describes. It is Derived: a claim, and any explicit name, beats it. image
// says that the name is an image reference.
func Subject(c estate.Component, image bool) estate.Subject {
	sub := estate.Subject{Name: c.Name, Version: c.Version, Derived: true}
	digest := ""
	if strings.HasPrefix(c.Version, "sha256:") { // syft gives images their digest as version
		if digest = ident.Digest(c.Version); digest != "" {
			sub.Version = ""
		}
	}
	ref, isImage := ident.Image(c.Name)
	switch {
	case image && isImage:
		ref.Derived = true
		if ref.Version == "" {
			ref.Version = sub.Version
		}
		sub = ref
	case strings.Contains(c.Name, "/"): // a module path, a scoped name, a directory
		name := strings.TrimRight(c.Name, "/")
		sub.Name = name[strings.LastIndexByte(name, '/')+1:]
	}
	if sub.Digest == "" {
		sub.Digest = digest
	}
	if sub.Digest == "" && c.Purl != "" {
		if p, err := ident.ParsePurl(c.Purl); err == nil {
			sub.Digest = p.Subject.Digest
			if p.Image && sub.Name == "" {
				sub.Name = p.Subject.Name
			}
			if p.Image && sub.Version == "" {
				sub.Version = p.Subject.Version
			}
		}
	}
	if sub.Digest == "" {
		sub.Digest = ident.Digest(c.Hashes["SHA-256"])
	}
	// A group is a namespace of ours only when it looks like one: no reversed
	// domain, no registry path, no npm scope.
	if c.Group != "" && strings.Trim(strings.ToLower(c.Group), "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" {
		sub.Namespace = c.Group
	}
	if ident.CheckText(sub.Name) != nil || sub.Name == "." {
		sub.Name, sub.Namespace = "", ""
	}
	if ident.CheckText(sub.Version) != nil {
		sub.Version = ""
	}
	if sub == (estate.Subject{Derived: true}) {
		return estate.Subject{}
	}
	return sub
}

// Claimed lays what the sender says over what the document says, field by
// field.
func Claimed(document, claim estate.Subject) estate.Subject {
	out := document
	if claim.Name != "" {
		out.Namespace, out.Name, out.Derived = claim.Namespace, claim.Name, claim.Derived
	}
	if claim.Version != "" {
		out.Version = claim.Version
	}
	if claim.Digest != "" {
		out.Digest = claim.Digest
	}
	return out
}

// Contain says which packages the subject contains. Of these, the ones on which
// nothing else depends count as its direct dependencies: to a scanner of images
// everything lies in the image. Call it after every Depend.
func (b *Builder) Contain(refs iter.Seq[string]) {
	needed := map[string]bool{}
	for _, e := range b.edges {
		if !b.subject[e.from] {
			needed[e.to] = true
		}
	}
	var subject string
	for ref := range b.subject {
		subject = max(subject, ref)
	}
	for ref := range refs {
		if subject != "" && !needed[ref] {
			b.Depend(subject, ref)
		}
	}
}
