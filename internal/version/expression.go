package version

import (
	"net/url"
	"slices"
	"strings"

	"thymus/internal/fault"
)

// maxExpression is the longest range expression that is read, in bytes.
const maxExpression = 16 << 10

// comparator is one part of a range expression: an operator and a version.
type comparator struct {
	op      string // "<", "<=", ">", ">=", "=", "!="
	version Version
}

// ParseRange reads a range as people and VEX documents write it: "<2.15.0",
// ">=1.0,<1.4" (comma or space: both hold), "=1.2" or "1.2", "1.2 - 1.4"
// (both inclusive), "*" for all, "||" for a union, and the vers notation
// (https://github.com/package-url/vers-spec), "vers:npm/>=1.0|<1.4". Errors are
// fault.Invalid.
func ParseRange(e Ecosystem, s string) ([]Interval, error) {
	if len(s) > maxExpression {
		return nil, fault.New(fault.TooLarge, "version range: it is longer than %d bytes", maxExpression)
	}
	if !e.Ordered() {
		return nil, fault.New(fault.Invalid, "version range %s: versions of ecosystem %q cannot be compared", quote(s), e.Base)
	}
	text := strings.TrimSpace(s)
	if len(text) > 5 && strings.EqualFold(text[:5], "vers:") {
		return parseVers(e, text)
	}
	var out []Interval
	for clause := range strings.SplitSeq(text, "||") {
		cs, err := parseClause(e, strings.TrimSpace(clause))
		if err != nil {
			return nil, fault.New(fault.Invalid, "version range %s: %w", quote(s), err)
		}
		is := intersect(cs)
		if len(is) == 0 {
			return nil, fault.New(fault.Invalid, "version range %s: nothing satisfies it", quote(s))
		}
		out = append(out, is...)
	}
	return out, nil
}

// parseClause reads comparators that all hold.
func parseClause(e Ecosystem, s string) ([]comparator, error) {
	if s == "" {
		return nil, fault.New(fault.Invalid, "an alternative is empty")
	}
	if s == "*" {
		return nil, nil
	}
	if low, high, ok := strings.Cut(s, " - "); ok {
		a, err := Parse(e, strings.TrimSpace(low))
		if err != nil {
			return nil, err
		}
		b, err := Parse(e, strings.TrimSpace(high))
		if err != nil {
			return nil, err
		}
		return []comparator{{">=", a}, {"<=", b}}, nil
	}
	var out []comparator
	for {
		s = strings.TrimLeft(s, " \t\n\r,")
		if s == "" {
			if len(out) == 0 {
				return nil, fault.New(fault.Invalid, "it holds no version")
			}
			return out, nil
		}
		n := 0
		for n < len(s) && strings.IndexByte("<>=!~^", s[n]) >= 0 {
			n++
		}
		op := s[:n]
		switch op {
		case "", "==", "===":
			op = "="
		case "<", "<=", ">", ">=", "=", "!=":
		default:
			return nil, fault.New(fault.Invalid, "operator %q is unknown; want one of < <= > >= = !=", op)
		}
		s = strings.TrimLeft(s[n:], " \t\n\r")
		end := strings.IndexAny(s, " \t\n\r,<>=")
		if end < 0 {
			end = len(s)
		}
		v, err := Parse(e, s[:end])
		if err != nil {
			return nil, err
		}
		out, s = append(out, comparator{op, v}), s[end:]
	}
}

// intersect returns the versions that satisfy all comparators, as intervals; none
// when nothing can.
func intersect(cs []comparator) []Interval {
	low, high := comparator{}, comparator{}
	var holes []comparator
	for _, c := range cs {
		if c.op == "!=" {
			holes = append(holes, c)
			continue
		}
		if c.op != "<" && c.op != "<=" { // a lower bound; "=" is both
			op := strings.Replace(c.op, "=", ">=", 1)
			if c.op == ">=" {
				op = c.op
			}
			if d := c.version.Compare(low.version); low.op == "" || d > 0 || d == 0 && op == ">" {
				low = comparator{op, c.version}
			}
		}
		if c.op != ">" && c.op != ">=" {
			op := "<="
			if c.op == "<" {
				op = c.op
			}
			if d := c.version.Compare(high.version); high.op == "" || d < 0 || d == 0 && op == "<" {
				high = comparator{op, c.version}
			}
		}
	}
	slices.SortFunc(holes, func(a, b comparator) int { return a.version.Compare(b.version) })
	var out []Interval
	for _, h := range holes {
		out = appendInterval(out, low, cut(high, comparator{"<", h.version}))
		if low.op == "" || h.version.Compare(low.version) >= 0 {
			low = comparator{">", h.version}
		}
	}
	return appendInterval(out, low, high)
}

// cut returns the lower of two upper bounds.
func cut(a, b comparator) comparator {
	if a.op == "" {
		return b
	}
	if d := a.version.Compare(b.version); d < 0 || d == 0 && a.op == "<" {
		return a
	}
	return b
}

// appendInterval adds the versions from low to high, unless there are none.
func appendInterval(out []Interval, low, high comparator) []Interval {
	if low.op != "" && high.op != "" {
		d := low.version.Compare(high.version)
		if d > 0 || d == 0 && (low.op == ">" || high.op == "<") {
			return out
		}
	}
	i := Interval{After: low.op == ">", Closed: high.op == "<="}
	if low.op != "" {
		i.From = low.version.raw
	}
	if high.op != "" {
		i.To = high.version.raw
	}
	return append(out, i)
}

// parseVers reads the vers notation: constraints in the order of their
// versions, pairs of bounds making intervals.
func parseVers(e Ecosystem, s string) ([]Interval, error) {
	scheme, body, ok := strings.Cut(s[len("vers:"):], "/")
	if !ok || strings.TrimSpace(body) == "" {
		return nil, fault.New(fault.Invalid, "version range %s: want vers:<type>/<constraints>", quote(s))
	}
	if !schemeFits(strings.ToLower(strings.TrimSpace(scheme)), e) {
		return nil, fault.New(fault.Invalid, "version range %s: %q is not the versioning of %s", quote(s), scheme, e.Base)
	}
	if strings.TrimSpace(body) == "*" {
		return []Interval{{}}, nil
	}
	var cs, holes []comparator
	var out []Interval
	for c := range strings.SplitSeq(body, "|") {
		c = strings.TrimSpace(c)
		if c == "" {
			continue
		}
		n := 0
		for n < len(c) && strings.IndexByte("<>=!", c[n]) >= 0 {
			n++
		}
		raw, err := url.PathUnescape(strings.TrimSpace(c[n:]))
		if err != nil {
			return nil, fault.New(fault.Invalid, "version range %s: %w", quote(s), err)
		}
		v, err := Parse(e, raw)
		if err != nil {
			return nil, fault.New(fault.Invalid, "version range %s: %w", quote(s), err)
		}
		switch op := c[:n]; op {
		case "", "=":
			out = append(out, Interval{From: v.raw, To: v.raw, Closed: true})
		case "!=":
			holes = append(holes, comparator{op, v})
		case "<", "<=", ">", ">=":
			cs = append(cs, comparator{op, v})
		default:
			return nil, fault.New(fault.Invalid, "version range %s: operator %q is unknown", quote(s), op)
		}
	}
	slices.SortStableFunc(cs, func(a, b comparator) int { return a.version.Compare(b.version) })
	groups := [][]comparator{}
	var low []comparator
	for i, c := range cs {
		switch {
		case c.op[0] == '>' && len(low) == 0:
			low = []comparator{c}
		case c.op[0] == '>': // a second start within the first adds nothing
		case len(low) > 0:
			groups = append(groups, []comparator{low[0], c})
			low = nil
		case i == 0:
			groups = append(groups, []comparator{c})
		default: // a second end: the wider one holds
			if n := len(groups); n > 0 {
				groups[n-1][len(groups[n-1])-1] = c
			}
		}
	}
	if len(low) > 0 {
		groups = append(groups, low)
	}
	if len(groups) == 0 && len(holes) > 0 && len(out) == 0 {
		groups = append(groups, nil)
	}
	for _, g := range groups {
		out = append(out, intersect(append(g, holes...))...)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "version range %s: nothing satisfies it", quote(s))
	}
	return out, nil
}

// schemeFits tells whether a vers type speaks of ecosystem e; types that are not
// known here are taken at their word.
func schemeFits(scheme string, e Ecosystem) bool {
	want := ""
	switch scheme {
	case "npm":
		want = "npm"
	case "pypi":
		want = "PyPI"
	case "maven":
		want = "Maven"
	case "gem":
		want = "RubyGems"
	case "golang", "go":
		want = "Go"
	case "cargo":
		want = "crates.io"
	case "composer":
		want = "Packagist"
	case "nuget":
		want = "NuGet"
	case "hex":
		want = "Hex"
	case "pub":
		want = "Pub"
	case "cran":
		want = "CRAN"
	case "deb":
		return e.trait().family == debianOrder
	case "rpm":
		return e.trait().family == rpmOrder
	case "apk", "alpine":
		return e.trait().family == apkOrder
	default:
		return true
	}
	return e.Base == want
}
