package version

import (
	"fmt"
	"slices"
	"strings"

	"thymus/internal/estate"
)

// Interval is a run of versions. From is inclusive, "" is before everything,
// pre-releases included. To is exclusive unless Closed; "" is no end. After
// takes From itself out, which only ranges written by people need (">1.0").
type Interval struct {
	From, To string
	Closed   bool
	After    bool
}

// String explains an interval in OSV's words.
func (i Interval) String() string {
	from := "introduced " + i.From
	switch {
	case i.From == "":
		from = "introduced 0"
	case i.After:
		from = "after " + i.From
	}
	switch {
	case i.To == "":
		return from + ", no fix"
	case i.Closed:
		return from + ", last affected " + i.To
	}
	return from + ", fixed " + i.To
}

// Spans is what one affected entry of an advisory says, compiled for one
// ecosystem.
type Spans struct {
	Intervals []Interval
	// Listed holds the enumerated versions that no interval covers, as written.
	// They match by comparison, and literally where they cannot be compared.
	Listed []string
	// Fixed holds every fixed event that is a version, in order, each once.
	Fixed []string
	// Problems says what was malformed and left out.
	Problems []string

	bounds []bounds  // of Intervals; nil in Spans made by hand
	listed []Version // of Listed; the zero Version where it cannot be parsed
}

// bounds are an interval's ends, parsed.
type bounds struct{ from, to Version }

// boundsOf parses an interval's ends; ok is false when one is no version.
func boundsOf(e Ecosystem, i Interval) (b bounds, ok bool) {
	var err error
	if i.From != "" {
		if b.from, err = Parse(e, i.From); err != nil {
			return b, false
		}
	}
	if i.To != "" {
		if b.to, err = Parse(e, i.To); err != nil {
			return b, false
		}
	}
	return b, true
}

func (i Interval) holds(b bounds, v Version) bool {
	if i.From != "" {
		if c := v.Compare(b.from); c < 0 || c == 0 && i.After {
			return false
		}
	}
	if i.To != "" {
		if c := v.Compare(b.to); c > 0 || c == 0 && !i.Closed {
			return false
		}
	}
	return true
}

// Compile evaluates the ranges and versions of one affected entry by OSV's
// algorithm (https://ossf.github.io/osv-schema/#evaluation). Every range counts,
// GIT ranges aside, which speak of commits. What is malformed is left out and
// told in Problems, and never takes the rest with it.
//
// In an ecosystem that is not ordered there are no intervals, and every
// enumerated version is listed.
func Compile(e Ecosystem, a estate.Affected) Spans {
	var s Spans
	for i, r := range a.Ranges {
		switch strings.ToUpper(r.Type) {
		case "GIT":
			continue
		case "SEMVER", "ECOSYSTEM":
		default:
			s.problem("range %d: type %s is unknown", i, quote(r.Type))
			continue
		}
		if !e.Ordered() {
			s.problem("range %d: versions of ecosystem %q cannot be compared", i, e.Base)
			continue
		}
		s.add(e, i, r)
	}
	s.Fixed = sortVersions(e, s.Fixed)
	seen := make(map[string]bool, len(a.Versions))
	for _, w := range a.Versions {
		if strings.TrimSpace(w) == "" || seen[w] {
			continue
		}
		seen[w] = true
		v, err := Parse(e, w)
		if err == nil {
			if _, in := s.within(e, v); in {
				continue
			}
		} else {
			s.problem("versions: %v", err)
		}
		s.Listed = append(s.Listed, w)
		s.listed = append(s.listed, v)
	}
	return s
}

func (s *Spans) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// An event of a range. order is its place in the document.
type event struct {
	kind    uint8
	version Version
	raw     string
	order   int
	start   bool // "0": before everything
}

const (
	introduced uint8 = iota
	fixed
	lastAffected
)

// add evaluates one range. OSV sorts the events by version and walks them: a
// version is affected when the last event at or below it opened; last_affected
// closes only above its own version. Events of one version keep their order in
// the document.
func (s *Spans) add(e Ecosystem, index int, r estate.Range) {
	var events []event
	var limits []Version
	for i, re := range r.Events {
		for _, f := range []struct {
			kind uint8
			raw  string
		}{{introduced, re.Introduced}, {fixed, re.Fixed}, {lastAffected, re.LastAffected}} {
			if f.raw == "" {
				continue
			}
			ev := event{kind: f.kind, raw: f.raw, order: i}
			if strings.TrimSpace(f.raw) == "0" && f.kind == introduced {
				ev.start = true
				events = append(events, ev)
				continue
			}
			if f.kind == fixed && neverFixed(f.raw) {
				s.problem("range %d: fixed %s means that there is no fix", index, quote(f.raw))
				continue
			}
			v, err := Parse(e, f.raw)
			if err != nil {
				s.problem("range %d: %v", index, err)
				continue
			}
			ev.version = v
			if f.kind == fixed {
				s.Fixed = append(s.Fixed, f.raw)
			}
			events = append(events, ev)
		}
		if re.Limit != "" && re.Limit != "*" {
			if v, err := Parse(e, re.Limit); err != nil {
				s.problem("range %d: limit: %v", index, err)
			} else {
				limits = append(limits, v)
			}
		}
	}
	events = s.dropBackward(index, events)
	var limit *Version
	if len(limits) > 0 && !hasStarLimit(r) {
		// A version is before the limits when it is below any of them.
		top := slices.MaxFunc(limits, Version.Compare)
		limit = &top
	}
	for _, i := range walk(events) {
		s.keep(e, index, i, limit)
	}
}

func hasStarLimit(r estate.Range) bool {
	return slices.ContainsFunc(r.Events, func(e estate.RangeEvent) bool { return e.Limit == "*" })
}

// neverFixed tells the marks by which distributions say that no fix will come.
func neverFixed(s string) bool {
	switch strings.Trim(strings.ToLower(strings.TrimSpace(s)), "<>") {
	case "end-of-life", "unfixed", "no-dsa", "ignored", "postponed":
		return true
	}
	return false
}

func sortEvents(events []event) []event {
	out := slices.Clone(events)
	slices.SortStableFunc(out, func(a, b event) int {
		if a.start || b.start {
			return sign(b2i(b.start) - b2i(a.start))
		}
		return a.version.Compare(b.version)
	})
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// dropBackward takes out an introduced event together with the end that follows
// it in the document but lies before it. Sorted, such a pair would be read as a
// range that never ends, which no author meant. An end that closes something
// else is left alone.
func (s *Spans) dropBackward(index int, events []event) []event {
	open := false
	dangling := map[int]bool{} // by place in the document
	for _, ev := range sortEvents(events) {
		switch {
		case ev.kind == introduced:
			open = true
		case !open:
			dangling[ev.order] = true
		default:
			open = false
		}
	}
	if len(dangling) == 0 {
		return events
	}
	var out []event
	for _, ev := range events {
		if n := len(out); n > 0 && dangling[ev.order] && ev.kind != introduced && out[n-1].kind == introduced &&
			!out[n-1].start && ev.version.Compare(out[n-1].version) < 0 {
			s.problem("range %d: it ends at %s, before its start %s", index, ev.raw, out[n-1].raw)
			out = out[:n-1]
			continue
		}
		out = append(out, ev)
	}
	return out
}

// walk turns events into intervals.
func walk(events []event) []Interval {
	var out []Interval
	open, from := false, ""
	sorted := sortEvents(events)
	for i := 0; i < len(sorted); {
		j := i + 1
		for j < len(sorted) && sorted[i].start == sorted[j].start && sorted[i].version.Compare(sorted[j].version) == 0 {
			j++
		}
		// at is the state of the version itself, after that of those just above it.
		at, after := open, open
		for _, ev := range sorted[i:j] {
			if ev.kind == introduced {
				at, after = true, true
			} else {
				after = false
				at = at && ev.kind == lastAffected
			}
		}
		here := sorted[i].raw
		if sorted[i].start {
			here = ""
		}
		switch {
		case !open && at:
			from = here
			if !after {
				out = append(out, Interval{From: from, To: here, Closed: true})
			}
		case !open && sorted[i].kind == introduced:
			out = append(out, Interval{From: here, To: here}) // empty: fixed where it was introduced
		case open && !at:
			out = append(out, Interval{From: from, To: here})
		case open && !after:
			out = append(out, Interval{From: from, To: here, Closed: true})
		}
		open = after
		i = j
	}
	if open {
		out = append(out, Interval{From: from})
	}
	return out
}

// keep adds an interval, bounded by limit, unless it is empty or known.
func (s *Spans) keep(e Ecosystem, index int, i Interval, limit *Version) {
	b, ok := boundsOf(e, i)
	if !ok {
		s.problem("range %d: %s cannot be read", index, i)
		return
	}
	if limit != nil && (i.To == "" || limit.Compare(b.to) <= 0) {
		i.To, i.Closed, b.to = limit.raw, false, *limit
	}
	if i.To != "" && i.From != "" {
		if c := b.from.Compare(b.to); c > 0 || c == 0 && !i.Closed {
			s.problem("range %d: %s is empty", index, i)
			return
		}
	}
	if !slices.Contains(s.Intervals, i) {
		s.Intervals = append(s.Intervals, i)
		s.bounds = append(s.bounds, b)
	}
}

// sortVersions orders versions and drops equal ones.
func sortVersions(e Ecosystem, raw []string) []string {
	vs := parseAll(e, raw)
	slices.SortStableFunc(vs, Version.Compare)
	vs = slices.CompactFunc(vs, func(a, b Version) bool { return a.Compare(b) == 0 })
	var out []string
	for _, v := range vs {
		out = append(out, v.raw)
	}
	return out
}

// parseAll parses what can be parsed.
func parseAll(e Ecosystem, raw []string) []Version {
	out := make([]Version, 0, len(raw))
	for _, r := range raw {
		if v, err := Parse(e, r); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// within returns the first interval that holds v.
func (s Spans) within(e Ecosystem, v Version) (Interval, bool) {
	if v.value == nil || v.Branch() {
		return Interval{}, false
	}
	for i, iv := range s.Intervals {
		var b bounds
		ok := true
		if len(s.bounds) == len(s.Intervals) {
			b = s.bounds[i]
		} else {
			b, ok = boundsOf(e, iv)
		}
		if ok && iv.holds(b, v) {
			return iv, true
		}
	}
	return Interval{}, false
}

// Contains tells whether v is affected, and why: "introduced 2.0.0, fixed
// 2.15.0", or "listed". v is a version of ecosystem e.
func (s Spans) Contains(e Ecosystem, v Version) (in bool, why string) {
	if iv, ok := s.within(e, v); ok {
		return true, iv.String()
	}
	for i, raw := range s.Listed {
		if raw == v.raw && raw != "" {
			return true, "listed"
		}
		var w Version
		if len(s.listed) == len(s.Listed) {
			w = s.listed[i]
		} else {
			w, _ = Parse(e, raw)
		}
		if w.value != nil && v.value != nil && w.Compare(v) == 0 {
			return true, "listed"
		}
	}
	return false, ""
}

// majorOf returns the first number of a version, after its epoch.
func majorOf(v Version) string {
	s := strings.TrimSpace(v.raw)
	switch v.family {
	case debianOrder, rpmOrder:
		if _, rest, ok := strings.Cut(s, ":"); ok {
			s = rest
		}
	case pypiOrder:
		if _, rest, ok := strings.Cut(s, "!"); ok {
			s = rest
		}
	}
	i := strings.IndexAny(s, "0123456789")
	if i < 0 {
		return s
	}
	return trimZeros(s[i : i+digits(s[i:])])
}
