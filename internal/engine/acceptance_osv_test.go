package engine_test

import (
	"sort"

	"thymus/internal/version"
)

// osvAffects is OSV's evaluation, word by word
// (https://ossf.github.io/osv-schema/#evaluation), over every entry of the
// record for that package. Of Thymus it uses the order of versions alone.
func osvAffects(eco version.Ecosystem, name string, all []osvAffected, ver string) bool {
	v, err := version.Parse(eco, ver)
	for _, a := range all {
		if a.Package.Name != name || version.ParseEcosystem(a.Package.Ecosystem) != eco {
			continue
		}
		for _, listed := range a.Versions {
			if listed == ver {
				return true
			}
			if w, bad := version.Parse(eco, listed); err == nil && bad == nil && w.Compare(v) == 0 {
				return true
			}
		}
		if err != nil || v.Branch() {
			continue
		}
		for _, r := range a.Ranges {
			if r.Type != "GIT" && inRange(eco, r, v) {
				return true
			}
		}
	}
	return false
}

func inRange(eco version.Ecosystem, r osvRange, v version.Version) bool {
	type event struct {
		kind string
		at   version.Version
		zero bool
	}
	var events []event
	for _, e := range r.Events {
		for kind, raw := range e {
			at, err := version.Parse(eco, raw)
			if raw != "0" && err != nil {
				continue
			}
			events = append(events, event{kind, at, raw == "0" && kind == "introduced"})
		}
	}
	sort.SliceStable(events, func(i, j int) bool {
		a, b := events[i], events[j]
		if a.zero || b.zero {
			return a.zero && !b.zero
		}
		return a.at.Compare(b.at) < 0
	})
	in := false
	for _, e := range events {
		switch {
		case e.kind == "introduced" && (e.zero || v.Compare(e.at) >= 0):
			in = true
		case e.kind == "fixed" && v.Compare(e.at) >= 0:
			in = false
		case e.kind == "last_affected" && v.Compare(e.at) > 0:
			in = false
		}
	}
	return in
}
