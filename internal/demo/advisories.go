package demo

import (
	"fmt"
	"strings"

	"thymus/internal/estate"
)

// record is one revision of an advisory of the story.
type record struct {
	known  estate.Time // zero: with the first load
	absent bool        // affects nothing here, on purpose
	osv    osvRecord
}

type osvRecord struct {
	Schema    string         `json:"schema_version"`
	ID        string         `json:"id"`
	Published estate.Time    `json:"published"`
	Modified  estate.Time    `json:"modified"`
	Withdrawn *estate.Time   `json:"withdrawn,omitempty"`
	Aliases   []string       `json:"aliases,omitempty"`
	Related   []string       `json:"related,omitempty"`
	Upstream  []string       `json:"upstream,omitempty"`
	Summary   string         `json:"summary"`
	Severity  []osvSeverity  `json:"severity,omitempty"`
	Affected  []*osvAffected `json:"affected"`
	Links     []osvLink      `json:"references,omitempty"`
	Specific  *osvSpecific   `json:"database_specific,omitempty"`
}

type osvSeverity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

type osvAffected struct {
	Package  *osvPackage `json:"package,omitempty"`
	Ranges   []osvRange  `json:"ranges,omitempty"`
	Versions []string    `json:"versions,omitempty"`
}

type osvPackage struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

type osvRange struct {
	Type   string              `json:"type"`
	Repo   string              `json:"repo,omitempty"`
	Events []estate.RangeEvent `json:"events"`
}

type osvLink struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type osvSpecific struct {
	Severity string `json:"severity"`
}

// readAdvisories reads the advisory records.
func (s *story) readAdvisories() error {
	var r *record
	return lines("advisories.txt", func(line string) error {
		verb, rest, _ := strings.Cut(line, " ")
		words := strings.Fields(rest)
		if len(words) == 0 {
			return fmt.Errorf("%q says nothing", verb)
		}
		if r == nil && strings.ToLower(verb) == verb {
			return fmt.Errorf("%q before the first record", verb)
		}
		switch verb {
		case "alias":
			r.osv.Aliases = words
		case "related":
			r.osv.Related = words
		case "upstream":
			r.osv.Upstream = words
		case "say":
			r.osv.Summary = rest
		case "link":
			r.osv.Links = append(r.osv.Links, osvLink{"WEB", words[0]})
		case "grade":
			r.osv.Specific = &osvSpecific{words[0]}
		case "cvss":
			r.osv.Severity = append(r.osv.Severity, osvSeverity{"CVSS_V3", words[0]})
		case "git":
			rg, err := events("GIT", words[1:])
			if err != nil {
				return err
			}
			rg.Repo = words[0]
			r.osv.Affected = append(r.osv.Affected, &osvAffected{Ranges: []osvRange{rg}})
		case "affects":
			return r.affects(words)
		default:
			var err error
			if r, err = newRecord(verb, words); err != nil {
				return err
			}
			s.advisories = append(s.advisories, r)
		}
		return nil
	})
}

func newRecord(id string, words []string) (*record, error) {
	words, opts := options(words, "absent")
	if len(words) != 2 {
		return nil, fmt.Errorf("want: ID published modified, got %q", id)
	}
	r := &record{osv: osvRecord{Schema: "1.7.0", ID: id}, absent: has(opts, "absent")}
	var withdrawn estate.Time
	for _, t := range []struct {
		text string
		to   *estate.Time
	}{{words[0], &r.osv.Published}, {words[1], &r.osv.Modified}, {opts["known"], &r.known}, {opts["withdrawn"], &withdrawn}} {
		if t.text == "" {
			continue
		}
		at, err := moment(t.text)
		if err != nil {
			return nil, err
		}
		*t.to = at
	}
	if withdrawn != 0 {
		r.osv.Withdrawn = &withdrawn
	}
	return r, nil
}

// affects reads "ecosystem name range…".
func (r *record) affects(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("want: affects ecosystem name range")
	}
	a := &osvAffected{Package: &osvPackage{words[0], words[1]}}
	kind := "ECOSYSTEM"
	if words[0] == "npm" || words[0] == "Go" {
		kind = "SEMVER" // OSV schema, affected[].ranges[].type
	}
	var spans []string
	for _, w := range words[2:] {
		if v, ok := strings.CutPrefix(w, "="); ok {
			a.Versions = append(a.Versions, v)
		} else {
			spans = append(spans, w)
		}
	}
	if len(spans) > 0 {
		rg, err := events(kind, spans)
		if err != nil {
			return err
		}
		a.Ranges = []osvRange{rg}
	}
	r.osv.Affected = append(r.osv.Affected, a)
	return nil
}

// events reads "a..b", "a..=b" and "a.." spans.
func events(kind string, spans []string) (osvRange, error) {
	r := osvRange{Type: kind}
	for _, span := range spans {
		from, to, ok := strings.Cut(span, "..")
		if !ok || from == "" {
			return r, fmt.Errorf("%q is no range like 1.0..1.4", span)
		}
		r.Events = append(r.Events, estate.RangeEvent{Introduced: from})
		if last, ok := strings.CutPrefix(to, "="); ok {
			r.Events = append(r.Events, estate.RangeEvent{LastAffected: last})
		} else if to != "" {
			r.Events = append(r.Events, estate.RangeEvent{Fixed: to})
		}
	}
	return r, nil
}
