package version

import (
	"slices"
	"sort"
)

// Union is the union of spans, ready to be asked often: bounds are parsed once,
// and intervals that meet are one. It is immutable.
type Union struct {
	e         Ecosystem
	intervals []stretch // in order, apart from each other
	listed    []Version
	literal   map[string]bool // listed versions that cannot be compared
	fixed     []Version       // in order, each once
}

// stretch is an interval with parsed ends; open ends have no value.
type stretch struct {
	bounds
	after, closed bool
}

// Unite makes the union of spans of one ecosystem.
func Unite(e Ecosystem, all []Spans) *Union {
	u := &Union{e: e, literal: map[string]bool{}}
	var in []stretch
	for _, s := range all {
		for _, iv := range s.Intervals {
			if b, ok := boundsOf(e, iv); ok {
				in = append(in, stretch{b, iv.After, iv.Closed})
			}
		}
		for _, raw := range s.Listed {
			if v, err := Parse(e, raw); err == nil {
				u.listed = append(u.listed, v)
			} else {
				u.literal[raw] = true
			}
		}
		u.fixed = append(u.fixed, parseAll(e, s.Fixed)...)
	}
	u.listed = ordered(u.listed)
	u.fixed = ordered(u.fixed)
	slices.SortStableFunc(in, func(a, b stretch) int {
		switch av, bv := a.from.value != nil, b.from.value != nil; {
		case av && bv:
			return a.from.Compare(b.from)
		case av:
			return 1
		case bv:
			return -1
		}
		return 0
	})
	for _, s := range in {
		if n := len(u.intervals); n > 0 && u.intervals[n-1].meets(s) {
			u.intervals[n-1].extend(s)
			continue
		}
		u.intervals = append(u.intervals, s)
	}
	return u
}

func ordered(vs []Version) []Version {
	slices.SortStableFunc(vs, Version.Compare)
	return slices.CompactFunc(vs, func(a, b Version) bool { return a.Compare(b) == 0 })
}

// meets tells that nothing lies between the end of s and the start of next,
// which does not start earlier.
func (s stretch) meets(next stretch) bool {
	if s.to.value == nil || next.from.value == nil {
		return true
	}
	c := next.from.Compare(s.to)
	return c < 0 || c == 0 && (s.closed || !next.after)
}

func (s *stretch) extend(next stretch) {
	switch {
	case s.to.value == nil:
	case next.to.value == nil:
		s.to, s.closed = next.to, false
	default:
		if c := next.to.Compare(s.to); c > 0 || c == 0 && next.closed {
			s.to, s.closed = next.to, next.closed
		}
	}
}

// Contains tells whether a version is in the union.
func (u *Union) Contains(v Version) bool {
	if v.value != nil && !v.Branch() {
		// The last interval that starts at or before v.
		i := sort.Search(len(u.intervals), func(i int) bool {
			from := u.intervals[i].from
			return from.value != nil && from.Compare(v) > 0
		}) - 1
		for ; i >= 0; i-- {
			s := &u.intervals[i]
			if s.from.value != nil && s.after && s.from.Compare(v) == 0 {
				continue // it starts right behind v
			}
			if s.to.value == nil {
				return true
			}
			if c := v.Compare(s.to); c < 0 || c == 0 && s.closed {
				return true
			}
			break
		}
	}
	if v.value != nil {
		i := sort.Search(len(u.listed), func(i int) bool { return u.listed[i].Compare(v) >= 0 })
		if i < len(u.listed) && u.listed[i].Compare(v) == 0 {
			return true
		}
	}
	return u.literal[v.raw]
}

// Nearest returns the smallest version outside the union that is not below v:
// v itself, a fixed event, or a candidate. ok is false when none is known.
// major tells that its first number (after an epoch) differs from v's.
func (u *Union) Nearest(v Version, candidates []Version) (fix string, major, ok bool) {
	if !u.Contains(v) && !v.Branch() {
		return v.raw, false, true
	}
	var best Version
	for _, options := range [][]Version{u.fixed, candidates} {
		for _, o := range options {
			if o.Branch() || o.Compare(v) < 0 || best.value != nil && o.Compare(best) >= 0 || u.Contains(o) {
				continue
			}
			best = o
		}
	}
	if best.value == nil {
		return "", false, false
	}
	return best.raw, majorOf(best) != majorOf(v), true
}

// NearestSafe is Nearest of the union of all spans.
func NearestSafe(e Ecosystem, v Version, all []Spans, candidates []string) (fix string, major, ok bool) {
	return Unite(e, all).Nearest(v, parseAll(e, candidates))
}

// Bare returns the spans without what only speeds up asking them: the same, in
// less memory.
func (s Spans) Bare() Spans {
	return Spans{Intervals: slices.Clip(s.Intervals), Listed: s.Listed, Fixed: s.Fixed}
}
