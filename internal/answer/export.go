package answer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
)

// aggregate is the bill of materials of an application version.
type aggregate struct {
	app      string
	row      estate.AppVersionRow
	hidden   int
	packages []aggregatePackage
	releases []aggregateRelease
	matches  []aggregateMatch
}

type aggregatePackage struct {
	estate.Package
	Releases []string // "[namespace/]name@version" that bring it
	Licenses []string
	Hashes   map[string]string
	ref      string
}

type aggregateRelease struct {
	name, version string
	hasSBOM       bool
	packages      []estate.PackageID
	evidence      []string
}

type aggregateMatch struct {
	Advisory
	refs     []string
	decision *Decision
	fix      string
}

// AppExport writes the aggregated SBOM of an application version, each package
// naming the releases that bring it, with matching advisories and verdicts
// attached (VEX). format is "cyclonedx" (1.6 JSON) or "spdx" (2.3 JSON);
// number 0 is the newest. The output of one version is reproducible but for
// what is newly known of advisories.
func (a *Asker) AppExport(ctx context.Context, s Scope, w When, name string, number int, format string, out io.Writer) error {
	w = a.when(w)
	if format != "cyclonedx" && format != "spdx" {
		return fault.New(fault.Usage, "format %q is none of cyclonedx, spdx", format)
	}
	var agg aggregate
	var err error
	a.Graph.View(func(v *graph.View) { agg, err = aggregateOf(v, s, w, name, number) })
	if err != nil {
		return err
	}
	if err := a.enrich(ctx, &agg); err != nil {
		return err
	}
	if format == "cyclonedx" {
		enc := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON)
		enc.SetPretty(true)
		if err := enc.EncodeVersion(agg.cyclonedx(w), cdx.SpecVersion1_6); err != nil {
			return fmt.Errorf("application %s: CycloneDX: %w", agg.app, err)
		}
		return nil
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(agg.spdx(w)); err != nil {
		return fmt.Errorf("application %s: SPDX: %w", agg.app, err)
	}
	return nil
}

func aggregateOf(v *graph.View, s Scope, w When, name string, number int) (aggregate, error) {
	id, err := application(v, s, name)
	if err != nil {
		return aggregate{}, err
	}
	row, err := versionRow(v, id, w, number)
	if err != nil {
		return aggregate{}, err
	}
	agg := aggregate{app: v.App(id).Name, row: row}
	index := map[estate.PackageID]int{}
	matches := map[graph.GroupID]map[estate.PackageID]*Decision{}
	for _, m := range row.Members {
		svc, _, _ := v.FindService(m.Service)
		if svc < 0 || !s.sees(v, svc) {
			agg.hidden++
			continue
		}
		rel := aggregateRelease{name: m.Service, version: m.Release}
		r := v.FindRelease(svc, m.Release)
		if r >= 0 {
			rel.hasSBOM = v.Release(r).HasSBOM()
			for _, b := range v.Bills(r) {
				if !b.Replaced {
					rel.evidence = append(rel.evidence, b.Evidence)
				}
			}
			v.EachPackage(r, func(p estate.PackageID) {
				rel.packages = append(rel.packages, p)
				i, ok := index[p]
				if !ok {
					i = len(agg.packages)
					index[p] = i
					pkg := v.Pkg(p)
					agg.packages = append(agg.packages, aggregatePackage{Package: estate.Package{ID: p, Key: pkg.Key, Name: pkg.Name, Version: pkg.Version, Unmatched: pkg.Unmatched}})
				}
				agg.packages[i].Releases = append(agg.packages[i].Releases, m.Service+"@"+m.Release)
			})
			for g, ps := range v.GroupsAt(r, w.At) {
				if matches[g] == nil {
					matches[g] = map[estate.PackageID]*Decision{}
				}
				for _, p := range ps {
					matches[g][p] = nil
					for _, slot := range v.Release(r).Slots {
						if d := v.Decision(g, slot, r, p, w.At); d != nil {
							matches[g][p] = decision(d)
						}
					}
				}
			}
		}
		agg.releases = append(agg.releases, rel)
	}
	sort.Slice(agg.packages, func(i, j int) bool { return agg.packages[i].Key < agg.packages[j].Key })
	refs := map[estate.PackageID]string{}
	used := map[string]bool{}
	for i := range agg.packages {
		p := &agg.packages[i]
		p.ref = p.Key
		if strings.HasPrefix(p.Key, "?") {
			p.ref = "package" + p.Key
		}
		for used[p.ref] {
			p.ref += "+"
		}
		used[p.ref] = true
		refs[p.ID] = p.ref
	}
	for g, ps := range matches {
		m := aggregateMatch{Advisory: advisory(v, g)}
		for p, d := range ps {
			m.refs = append(m.refs, refs[p])
			if d != nil {
				m.decision = d
			}
			if to, _, ok := v.Fix([]graph.GroupID{g}, p); ok {
				m.fix = v.Pkg(p).Name + " " + to
			}
		}
		sort.Strings(m.refs)
		agg.matches = append(agg.matches, m)
	}
	sort.Slice(agg.matches, func(i, j int) bool { return agg.matches[i].ID < agg.matches[j].ID })
	return agg, nil
}

// enrich adds licences and hashes from the documents themselves.
func (a *Asker) enrich(ctx context.Context, agg *aggregate) error {
	index := map[estate.PackageID]int{}
	for i := range agg.packages {
		index[agg.packages[i].ID] = i
	}
	for _, rel := range agg.releases {
		for _, sha := range rel.evidence {
			bill, err := a.Details.Bill(ctx, sha)
			if fault.Of(err) == fault.NotFound {
				continue // retention dropped the document; its facts stay
			}
			if err != nil {
				return fmt.Errorf("SBOM of %s@%s: %w", rel.name, rel.version, err)
			}
			ids := a.identify(bill)
			for i := range bill.Packages {
				k, ok := index[ids[i]]
				if !ok {
					continue
				}
				p, c := &agg.packages[k], &bill.Packages[i]
				for _, l := range c.Licenses {
					if !containsString(p.Licenses, l) {
						p.Licenses = append(p.Licenses, l)
					}
				}
				if p.Hashes == nil {
					p.Hashes = c.Hashes
				}
			}
		}
	}
	return nil
}

func (agg *aggregate) root() string { return fmt.Sprintf("application:%s@%d", agg.app, agg.row.Number) }

// uuid shapes the version's hash as a name-based UUID, so that the same version
// has the same serial number.
func (agg *aggregate) uuid() string {
	h := agg.row.Hash
	return fmt.Sprintf("%s-%s-8%s-a%s-%s", h[0:8], h[8:12], h[13:16], h[17:20], h[20:32])
}

func (agg *aggregate) cyclonedx(w When) *cdx.BOM {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + agg.uuid()
	bom.Version = 1
	bom.Metadata = &cdx.Metadata{
		Timestamp: w.At.String(),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "thymus"}}},
		Component: &cdx.Component{BOMRef: agg.root(), Type: cdx.ComponentTypeApplication, Name: agg.app, Version: fmt.Sprint(agg.row.Number)},
	}
	var components []cdx.Component
	deps := []cdx.Dependency{}
	refs := map[estate.PackageID]string{}
	for i := range agg.packages {
		refs[agg.packages[i].ID] = agg.packages[i].ref
	}
	var top []string
	incomplete := agg.hidden > 0
	for _, r := range agg.releases {
		ref := "release:" + r.name + "@" + r.version
		for n := 2; containsString(top, ref); n++ {
			ref = fmt.Sprintf("release:%s@%s#%d", r.name, r.version, n)
		}
		c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: r.name, Version: r.version}
		if !r.hasSBOM {
			incomplete = true
			c.Properties = &[]cdx.Property{{Name: "thymus:sbom", Value: "none"}}
		}
		components = append(components, c)
		top = append(top, ref)
		var has []string
		for _, p := range r.packages {
			has = append(has, refs[p])
		}
		sort.Strings(has)
		deps = append(deps, cdx.Dependency{Ref: ref, Dependencies: &has})
	}
	sort.Strings(top)
	deps = append([]cdx.Dependency{{Ref: agg.root(), Dependencies: &top}}, deps...)
	for _, p := range agg.packages {
		c := cdx.Component{BOMRef: p.ref, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version}
		if strings.HasPrefix(p.Key, "pkg:") {
			c.PackageURL = p.Key
		}
		props := make([]cdx.Property, 0, len(p.Releases))
		for _, r := range p.Releases {
			props = append(props, cdx.Property{Name: "thymus:release", Value: r})
		}
		c.Properties = &props
		if len(p.Licenses) > 0 {
			var ls cdx.Licenses
			for _, l := range p.Licenses {
				ls = append(ls, cdx.LicenseChoice{License: &cdx.License{Name: l}})
			}
			c.Licenses = &ls
		}
		if len(p.Hashes) > 0 {
			var hs []cdx.Hash
			for _, alg := range sortedKeys(p.Hashes) {
				hs = append(hs, cdx.Hash{Algorithm: cdx.HashAlgorithm(alg), Value: p.Hashes[alg]})
			}
			c.Hashes = &hs
		}
		components = append(components, c)
	}
	bom.Components = &components
	bom.Dependencies = &deps
	state := cdx.CompositionAggregateComplete
	if incomplete {
		state = cdx.CompositionAggregateIncomplete
	}
	bom.Compositions = &[]cdx.Composition{{Aggregate: state, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(agg.root())}}}
	if len(agg.matches) > 0 {
		var vs []cdx.Vulnerability
		for i := range agg.matches {
			vs = append(vs, agg.matches[i].cyclonedx())
		}
		bom.Vulnerabilities = &vs
	}
	return bom
}

func (m *aggregateMatch) cyclonedx() cdx.Vulnerability {
	v := cdx.Vulnerability{BOMRef: "advisory:" + m.ID, ID: m.ID, Description: m.Summary, Published: m.Published.String()}
	if m.fix != "" {
		v.Recommendation = "Upgrade to " + m.fix
	}
	if m.Severity != estate.Unscored {
		r := cdx.VulnerabilityRating{Severity: cdx.Severity(m.Severity.String()), Vector: m.Vector}
		if m.Severity == estate.Malware {
			r.Severity = cdx.SeverityCritical
		}
		if m.Score > 0 {
			score := m.Score
			r.Score = &score
		}
		switch {
		case strings.HasPrefix(m.Vector, "CVSS:4.0"):
			r.Method = cdx.ScoringMethodCVSSv4
		case strings.HasPrefix(m.Vector, "CVSS:3.1"):
			r.Method = cdx.ScoringMethodCVSSv31
		case strings.HasPrefix(m.Vector, "CVSS:3.0"):
			r.Method = cdx.ScoringMethodCVSSv3
		case m.Vector != "":
			r.Method = cdx.ScoringMethodCVSSv2
		}
		v.Ratings = &[]cdx.VulnerabilityRating{r}
	}
	var refs []cdx.VulnerabilityReference
	for _, a := range m.Aliases {
		refs = append(refs, cdx.VulnerabilityReference{ID: a, Source: &cdx.Source{Name: "OSV"}})
	}
	if refs != nil {
		v.References = &refs
	}
	var affects []cdx.Affects
	for _, r := range m.refs {
		affects = append(affects, cdx.Affects{Ref: r})
	}
	v.Affects = &affects
	if d := m.decision; d != nil {
		an := &cdx.VulnerabilityAnalysis{Detail: d.Reason}
		switch d.Status {
		case estate.StatusNotAffected:
			an.State = cdx.IASNotAffected
		case estate.StatusFixed:
			an.State = cdx.IASResolved
		case estate.StatusAffected:
			an.State = cdx.IASExploitable
		default:
			an.State = cdx.IASInTriage
		}
		v.Analysis = an
	}
	return v
}

// The part of SPDX 2.3 JSON that an aggregated SBOM needs
// (https://spdx.github.io/spdx-spec/v2.3/).
type spdxDocument struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      spdxCreation   `json:"creationInfo"`
	Comment           string         `json:"comment,omitempty"`
	DocumentDescribes []string       `json:"documentDescribes"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []spdxRelation `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string         `json:"SPDXID"`
	Name             string         `json:"name"`
	VersionInfo      string         `json:"versionInfo,omitempty"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	CopyrightText    string         `json:"copyrightText"`
	PrimaryPurpose   string         `json:"primaryPackagePurpose,omitempty"`
	Comment          string         `json:"comment,omitempty"`
	ExternalRefs     []spdxExternal `json:"externalRefs,omitempty"`
}

type spdxExternal struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
	Comment  string `json:"comment,omitempty"`
}

type spdxRelation struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

func (agg *aggregate) spdx(w When) *spdxDocument {
	const none = "NOASSERTION"
	doc := &spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: fmt.Sprintf("%s-%d", agg.app, agg.row.Number),
		DocumentNamespace: "urn:uuid:" + agg.uuid(),
		CreationInfo:      spdxCreation{Created: w.At.Std().Format("2006-01-02T15:04:05Z"), Creators: []string{"Tool: thymus"}},
		DocumentDescribes: []string{"SPDXRef-application"},
	}
	pkg := func(id, name, ver, purpose string) spdxPackage {
		return spdxPackage{SPDXID: id, Name: name, VersionInfo: ver, DownloadLocation: none, LicenseConcluded: none, LicenseDeclared: none, CopyrightText: none, PrimaryPurpose: purpose}
	}
	doc.Packages = append(doc.Packages, pkg("SPDXRef-application", agg.app, fmt.Sprint(agg.row.Number), "APPLICATION"))
	doc.Relationships = append(doc.Relationships, spdxRelation{"SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-application"})
	ids := map[estate.PackageID]string{}
	advisories := map[string][]*aggregateMatch{}
	for i := range agg.matches {
		for _, r := range agg.matches[i].refs {
			advisories[r] = append(advisories[r], &agg.matches[i])
		}
	}
	for i := range agg.packages {
		p := &agg.packages[i]
		ids[p.ID] = fmt.Sprintf("SPDXRef-package-%d", i+1)
		sp := pkg(ids[p.ID], p.Name, p.Version, "LIBRARY")
		sp.Comment = "brought by " + strings.Join(p.Releases, ", ")
		if len(p.Licenses) > 0 {
			sp.Comment += "; licences as stated: " + strings.Join(p.Licenses, ", ")
		}
		if strings.HasPrefix(p.Key, "pkg:") {
			sp.ExternalRefs = append(sp.ExternalRefs, spdxExternal{Category: "PACKAGE-MANAGER", Type: "purl", Locator: p.Key})
		}
		for _, m := range advisories[p.ref] {
			ref := spdxExternal{Category: "SECURITY", Type: "advisory", Locator: "https://osv.dev/vulnerability/" + m.ID}
			if m.decision != nil {
				ref.Comment = string(m.decision.Status) + ": " + m.decision.Reason
			}
			sp.ExternalRefs = append(sp.ExternalRefs, ref)
		}
		doc.Packages = append(doc.Packages, sp)
	}
	for i, r := range agg.releases {
		id := fmt.Sprintf("SPDXRef-release-%d", i+1)
		sp := pkg(id, r.name, r.version, "APPLICATION")
		if !r.hasSBOM {
			sp.Comment = "no SBOM is known for this release"
		}
		doc.Packages = append(doc.Packages, sp)
		doc.Relationships = append(doc.Relationships, spdxRelation{"SPDXRef-application", "CONTAINS", id})
		for _, p := range r.packages {
			doc.Relationships = append(doc.Relationships, spdxRelation{id, "CONTAINS", ids[p]})
		}
	}
	if agg.hidden > 0 {
		doc.Comment = fmt.Sprintf("%d releases outside the scope of who asked are left out", agg.hidden)
	}
	return doc
}
