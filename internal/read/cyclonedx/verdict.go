package cyclonedx

import (
	"net/url"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read/ident"
	"thymus/internal/read/sbom"
	"thymus/internal/read/scan"
)

// status maps CycloneDX's analysis states to OpenVEX's statuses.
func status(state string) (estate.Status, bool) {
	switch strings.ToLower(state) {
	case "not_affected", "false_positive":
		return estate.StatusNotAffected, true
	case "resolved", "resolved_with_pedigree":
		return estate.StatusFixed, true
	case "exploitable":
		return estate.StatusAffected, true
	case "in_triage":
		return estate.StatusInvestigate, true
	}
	return "", false
}

// justification maps CycloneDX's justifications to OpenVEX's where one means
// the same; others are kept as written.
func justification(why string) string {
	switch why {
	case "code_not_present":
		return "vulnerable_code_not_present"
	case "code_not_reachable":
		return "vulnerable_code_not_in_execute_path"
	case "protected_by_compiler", "protected_at_runtime", "protected_at_perimeter", "protected_by_mitigating_control":
		return "inline_mitigations_already_exist"
	}
	return why
}

// verdicts turns vulnerabilities with an analysis into verdicts, and the others
// into Reported.
func (d *document) verdicts() ([]*estate.Verdict, error) {
	var out []*estate.Verdict
	at := d.Bill.Made
	for i := range d.vulns {
		v := &d.vulns[i]
		id := ident.Pick(append([]string{v.id}, v.aliases...)...)
		if id == "" {
			return nil, fault.New(fault.Invalid, "%s: the id %q cannot be that of an advisory", v.place, scan.Quote(v.id))
		}
		decided, ok := status(v.state)
		if !ok {
			if v.state != "" {
				d.Note("%s: the analysis state %q is unknown, so the vulnerability counts as reported only", v.place, scan.Quote(v.state))
			}
			d.report(v, id)
			continue
		}
		verdict := estate.Verdict{Advisory: id, Status: decided, Justification: justification(v.why), Reason: v.text, Author: d.author, At: at}
		if v.updated != "" {
			if t, err := estate.ParseTime(v.updated); err == nil {
				verdict.At = t
			} else {
				d.Note("%s: %s", v.place, scan.Quote(err.Error()))
			}
		}
		if len(v.affects) == 0 {
			// Nothing is named, so it speaks of the whole document's subject.
			v.affects = []affect{{}}
		}
		for _, a := range v.affects {
			if !d.scope(&verdict, a.ref) {
				d.Note("%s: the verdict on %q names nothing that can be told apart, and was left out", v.place, scan.Quote(a.ref))
				continue
			}
			out = d.split(out, verdict, v, a)
			if err := d.room(len(out), "verdicts"); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (d *document) report(v *vulnerability, id string) {
	r := estate.Reported{ID: id, Severity: v.severity}
	for _, alias := range append([]string{v.id}, v.aliases...) {
		if alias != id && ident.CheckID(alias) == nil {
			r.Aliases = append(r.Aliases, alias)
		}
	}
	for _, a := range v.affects {
		r.Refs = append(r.Refs, a.ref)
	}
	d.Bill.Reported = append(d.Bill.Reported, r)
}

// scope says which package, and in which release, a verdict on ref is about. It
// returns false when that would be everything, which no document means.
//
// A reference into another document (a BOM-Link, urn:cdx:serial/version#ref)
// belongs to the release that the sender claims, else to whatever release that
// document describes: its URN stands as the name of the release, and joins
// nothing by accident.
func (d *document) scope(v *estate.Verdict, ref string) bool {
	v.Package, v.Range, v.Release = "", "", sbom.Claimed(d.Bill.Subject, d.claim)
	if rest, ok := strings.CutPrefix(ref, "urn:cdx:"); ok {
		document, fragment, _ := strings.Cut(rest, "#")
		if s, err := url.PathUnescape(fragment); err == nil && isText(s) {
			fragment = s
		}
		own, _, _ := strings.Cut(document, "/")
		if d.serial != "" && own == strings.TrimPrefix(d.serial, "urn:uuid:") {
			ref = fragment
		} else {
			if d.claim == (estate.Subject{}) {
				v.Release = estate.Subject{Name: "urn:cdx:" + document, Derived: true}
			}
			if ident.IsPurl(fragment) {
				v.Package = fragment
			}
			return true
		}
	}
	if i, ok := d.Lookup(ref); ok && !d.IsSubject(ref) {
		c := d.Bill.Packages[i]
		if c.Purl == "" {
			return false // no advisory matches it either
		}
		v.Package = c.Purl
		return true
	}
	if ident.IsPurl(ref) && !d.IsSubject(ref) {
		v.Package = ref
		return true
	}
	for _, s := range d.Bill.Services {
		if s.Ref == ref && ref != "" {
			v.Release = estate.Subject{Name: s.Name, Version: s.Version, Derived: true}
			return true
		}
	}
	// The subject, or a reference to nowhere: a decision of this document on
	// its subject as a whole.
	if ref != "" && !d.IsSubject(ref) && len(d.Bill.Packages) > 0 {
		return false
	}
	return v.Release != (estate.Subject{})
}

func isText(s string) bool { return scan.InvalidUTF8([]byte(s)) < 0 && strings.IndexByte(s, 0) < 0 }

// split yields one verdict for each version or range that an affected
// component states.
func (d *document) split(out []*estate.Verdict, base estate.Verdict, vuln *vulnerability, a affect) []*estate.Verdict {
	if len(a.versions) == 0 {
		return append(out, &base)
	}
	for _, of := range a.versions {
		if of.version == "" && of.span == "" {
			continue
		}
		v := base
		switch of.status {
		case "unaffected":
			if v.Status != estate.StatusFixed {
				v.Status = estate.StatusNotAffected
			}
		case "unknown":
			v.Status = estate.StatusInvestigate
		}
		closes := v.Status == estate.StatusNotAffected || v.Status == estate.StatusFixed
		switch {
		case v.Package != "" && of.span != "":
			v.Package, v.Range = unversioned(v.Package), of.span
		case v.Package != "" && of.version != "":
			v.Package, v.Range = unversioned(v.Package), "="+of.version
		case of.version != "" && ident.CheckText(of.version) == nil:
			v.Release.Version, v.Release.Digest = of.version, ""
		case closes && of.span != "":
			// Versions of a service have no order, so that the range would
			// have to be left away, and that would close too much.
			d.Note("%s: %q is a range of versions of what is no package, and was left out", vuln.place, scan.Quote(of.span))
			continue
		}
		out = append(out, &v)
	}
	return out
}

// unversioned drops the version of a purl; qualifiers and subpath stay.
func unversioned(purl string) string {
	end := len(purl)
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		end = i
	}
	at := strings.LastIndexByte(purl[:end], '@')
	if at < 0 || at < strings.LastIndexByte(purl[:end], '/') {
		return purl
	}
	return purl[:at] + purl[end:]
}
