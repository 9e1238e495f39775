package spdx3

import (
	"context"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/sbom"
	"thymus/internal/read/scan"
)

// graph is what is taken out of a document.
type graph struct {
	documentID, sbomID       string
	creation                 string // id of the document's CreationInfo
	documentRoots, sbomRoots []string
	packages                 []estate.Component
	files                    map[string]bool
	relations                []relation
	assessments              []assessment
	tools                    map[string]string // id to name
	created                  map[string]creation
	licenses                 map[string]string // id to expression
	vulns                    map[string]vulnerability
}

type relation struct {
	from, kind, to, scope string
	partial               bool
}

type creation struct {
	at, version string
	using       []string
}

type vulnerability struct {
	name string
	ids  []string
}

type assessment struct {
	place                     string
	from                      string
	to                        []string
	status                    estate.Status
	justification, reason, at string
}

// element is one object of the graph while it is read.
type element struct {
	id, kind, name, creation     string
	version, purl, purpose       string // of packages
	from, relation, scope        string // of relationships
	completeness                 string
	to, roots, using             []string
	at, specVersion              string
	license                      string
	justification, impact, notes string
	published                    string
	identifiers                  [][2]string
	hashes                       map[string]string
}

// typeName brings "software_Package", "Software/Package" and full IRIs to
// "software_Package"; the core profile has no prefix.
func typeName(s string) string {
	if i := strings.Index(s, "/terms/"); i >= 0 {
		s = s[i+len("/terms/"):]
	}
	profile, name, ok := strings.Cut(s, "/")
	if !ok {
		return s
	}
	if strings.EqualFold(profile, "core") {
		return name
	}
	return strings.ToLower(profile) + "_" + name
}

// value brings a term, or its IRI, to its last part.
func value(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func (d *graph) read(ctx context.Context, body []byte) error {
	j, err := scan.NewJSON(ctx, body)
	if err != nil {
		return err
	}
	w := walk{d, j}
	var single element // a document of one element has no @graph
	context := ""
	if err := w.Object(func(key []byte) error {
		switch string(key) {
		case "@context":
			if w.Kind() == '"' {
				context, err = w.String()
				return err
			}
			context = "listed"
			return nil
		case "@graph":
			return w.Array(func(int) error {
				var e element
				if err := w.Object(func(key []byte) error { return w.member(&e, key) }); err != nil {
					return err
				}
				if e.kind == "" {
					return w.Errorf(fault.Invalid, "the element has no type")
				}
				return d.keep(&e, w)
			})
		}
		return w.member(&single, key)
	}); err != nil {
		return err
	}
	if err := w.End(); err != nil {
		return err
	}
	if context == "" {
		return fault.New(fault.Invalid, "/@context is missing")
	}
	if single.kind != "" {
		return d.keep(&single, w)
	}
	return nil
}

type walk struct {
	d *graph
	*scan.JSON
}

// ref takes an id, or the id of an object given in place, which is kept too.
func (w walk) ref() (string, error) {
	if w.Kind() != '{' {
		return w.String()
	}
	var e element
	if err := w.Object(func(key []byte) error { return w.member(&e, key) }); err != nil {
		return "", err
	}
	if e.id == "" && e.kind == "CreationInfo" {
		e.id = "_:inline"
	}
	if e.kind == "" {
		return e.id, nil
	}
	return e.id, w.d.keep(&e, w)
}

// refs takes a list of ids, or one.
func (w walk) refs() (out []string, err error) {
	if w.Kind() != '[' {
		id, err := w.ref()
		if id == "" {
			return nil, err
		}
		return []string{id}, err
	}
	err = w.Array(func(int) error {
		id, err := w.ref()
		if err == nil && id == "" {
			return w.Errorf(fault.Invalid, "a blank id")
		}
		out = append(out, id)
		return err
	})
	return out, err
}

func (w walk) member(e *element, key []byte) (err error) {
	switch string(key) {
	case "spdxId", "@id":
		e.id, err = w.String()
	case "type", "@type":
		var kinds []string
		if kinds, err = w.Strings(); len(kinds) > 0 {
			e.kind = typeName(kinds[0])
		}
	case "name":
		e.name, err = w.String()
	case "creationInfo":
		e.creation, err = w.ref()
	case "software_packageVersion":
		e.version, err = w.String()
	case "software_packageUrl":
		e.purl, err = w.String()
	case "software_primaryPurpose":
		e.purpose, err = w.String()
	case "externalIdentifier":
		err = w.pairs("externalIdentifierType", "identifier", func(kind, id string) {
			e.identifiers = append(e.identifiers, [2]string{value(kind), id})
		})
	case "verifiedUsing":
		err = w.pairs("algorithm", "hashValue", func(alg, sum string) {
			if alg != "" && sum != "" {
				if e.hashes == nil {
					e.hashes = map[string]string{}
				}
				e.hashes[sbom.HashName(value(alg))] = strings.ToLower(sum)
			}
		})
	case "from":
		e.from, err = w.ref()
	case "to":
		e.to, err = w.refs()
	case "relationshipType":
		var s string
		s, err = w.String()
		e.relation = value(s)
	case "scope":
		var s string
		s, err = w.String()
		e.scope = value(s)
	case "completeness":
		var s string
		s, err = w.String()
		e.completeness = value(s)
	case "rootElement":
		e.roots, err = w.refs()
	case "created":
		e.at, err = w.String()
	case "specVersion":
		e.specVersion, err = w.String()
	case "createdUsing":
		e.using, err = w.refs()
	case "simplelicensing_licenseExpression":
		e.license, err = w.String()
	case "security_justificationType":
		var s string
		s, err = w.String()
		e.justification = value(s)
	case "security_impactStatement":
		e.impact, err = w.String()
	case "security_statusNotes":
		e.notes, err = w.String()
	case "security_publishedTime":
		e.published, err = w.String()
	}
	return err
}

// pairs walks a list of objects, or one, of each of which two members matter.
func (w walk) pairs(first, second string, f func(a, b string)) error {
	one := func(int) error {
		var a, b string
		err := w.Object(func(key []byte) (err error) {
			switch string(key) {
			case first:
				a, err = w.String()
			case second:
				b, err = w.String()
			}
			return err
		})
		f(a, b)
		return err
	}
	if w.Kind() == '{' {
		return one(0)
	}
	return w.Array(one)
}

// keep takes of an element what is of interest.
func (d *graph) keep(e *element, w walk) error {
	switch e.kind {
	case "software_Package", "ai_AIPackage", "dataset_DatasetPackage":
		return d.pack(e, w)
	case "software_File":
		if d.files == nil {
			d.files = map[string]bool{}
		}
		d.files[e.id] = true
	case "SpdxDocument":
		d.documentID, d.creation, d.documentRoots = e.id, e.creation, e.roots
	case "software_Sbom", "Bom":
		d.sbomID, d.sbomRoots = e.id, append(d.sbomRoots, e.roots...)
		if d.creation == "" {
			d.creation = e.creation
		}
	case "CreationInfo":
		d.created[e.id] = creation{e.at, e.specVersion, e.using}
	case "Tool":
		d.tools[e.id] = e.name
	case "simplelicensing_LicenseExpression":
		d.licenses[e.id] = e.license
	case "security_Vulnerability":
		v := vulnerability{name: e.name}
		for _, id := range e.identifiers {
			v.ids = append(v.ids, id[1])
		}
		d.vulns[e.id] = v
	case "Relationship", "LifecycleScopedRelationship":
		if e.from == "" || e.relation == "" {
			return w.Errorf(fault.Invalid, "the relationship lacks from or relationshipType")
		}
		for _, to := range e.to {
			d.relations = append(d.relations, relation{e.from, e.relation, to, e.scope, e.completeness == "incomplete"})
		}
		if len(e.to) == 0 && e.completeness == "incomplete" {
			d.relations = append(d.relations, relation{e.from, e.relation, "NoAssertionElement", "", true})
		}
	default:
		return d.assess(e, w)
	}
	return nil
}

func (d *graph) pack(e *element, w walk) error {
	if len(d.packages) >= read.MaxComponents {
		return w.Errorf(fault.TooLarge, "more than %d packages", read.MaxComponents)
	}
	c := estate.Component{Ref: e.id, Name: e.name, Version: e.version, Purl: e.purl, Type: purpose(e.purpose), Hashes: e.hashes, Parent: -1}
	for _, id := range e.identifiers {
		switch {
		case (id[0] == "packageUrl" || id[0] == "purl") && c.Purl == "":
			c.Purl = id[1]
		case (id[0] == "cpe23" || id[0] == "cpe22") && (c.CPE == "" || id[0] == "cpe23"):
			c.CPE = id[1]
		}
	}
	if c.Name == "" && c.Ref == "" && c.Purl == "" {
		return w.Errorf(fault.Invalid, "the package has neither spdxId nor name")
	}
	d.packages = append(d.packages, c)
	return nil
}

// purpose brings "operatingSystem" to CycloneDX's "operating-system".
func purpose(s string) string {
	var b strings.Builder
	for _, r := range value(s) {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return strings.TrimPrefix(b.String(), "-")
}

// assess keeps a VEX assessment.
func (d *graph) assess(e *element, w walk) error {
	a := assessment{from: e.from, to: e.to, justification: justification(e.justification), reason: e.impact, at: e.published}
	if a.reason == "" {
		a.reason = e.notes
	}
	switch e.kind {
	case "security_VexNotAffectedVulnAssessmentRelationship":
		a.status = estate.StatusNotAffected
	case "security_VexAffectedVulnAssessmentRelationship":
		a.status = estate.StatusAffected
	case "security_VexFixedVulnAssessmentRelationship":
		a.status = estate.StatusFixed
	case "security_VexUnderInvestigationVulnAssessmentRelationship":
		a.status = estate.StatusInvestigate
	default:
		return nil // licences, agents, annotations, builds, …
	}
	a.place = w.Pointer()
	if a.from == "" || len(a.to) == 0 {
		return w.Errorf(fault.Invalid, "the assessment lacks from or to")
	}
	d.assessments = append(d.assessments, a)
	return nil
}

// justification brings "vulnerableCodeNotPresent" to OpenVEX's spelling.
func justification(s string) string { return strings.ReplaceAll(purpose(s), "-", "_") }
