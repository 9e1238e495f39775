package version

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"thymus/internal/estate"
)

// rangeOf reads "+1 -2 =3 |4": introduced, fixed, last affected, limit.
func rangeOf(kind, s string) estate.Range {
	r := estate.Range{Type: kind}
	for f := range strings.FieldsSeq(s) {
		switch f[0] {
		case '+':
			r.Events = append(r.Events, estate.RangeEvent{Introduced: f[1:]})
		case '-':
			r.Events = append(r.Events, estate.RangeEvent{Fixed: f[1:]})
		case '=':
			r.Events = append(r.Events, estate.RangeEvent{LastAffected: f[1:]})
		case '|':
			r.Events = append(r.Events, estate.RangeEvent{Limit: f[1:]})
		}
	}
	return r
}

func affected(versions string, ranges ...string) estate.Affected {
	a := estate.Affected{Versions: strings.Fields(versions)}
	for _, r := range ranges {
		kind, events, _ := strings.Cut(r, ":")
		a.Ranges = append(a.Ranges, rangeOf(kind, events))
	}
	return a
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		name, ecosystem string
		a               estate.Affected
		in, out         string
		problems        int
	}{
		{"open range stays open", "npm", affected("", "SEMVER:+2.0.0"), "2.0.0 2.0.1 99.0.0", "1.9.9 2.0.0-rc.1", 0},
		{"zero is before pre-releases", "npm", affected("", "SEMVER:+0 -1.0.0"), "0.0.0-alpha 0.0.1 1.0.0-rc.1", "1.0.0 1.0.1", 0},
		{"several intervals in one range", "Go", affected("", "SEMVER:+0 -1.2.3 +1.3.0-0 -1.3.1"), "v1.2.2 1.3.0 v1.3.0-rc.1", "1.2.3 1.2.99 1.3.1", 0},
		{"several ranges", "PyPI", affected("", "ECOSYSTEM:+2.2 -2.2.28", "ECOSYSTEM:+3.2 -3.2.13"), "2.2 3.2.0 3.2.12", "3.1 2.2.28 3.2.13", 0},
		{"a GIT range first hides nothing", "PyPI", affected("", "GIT:+0 -abcdef", "ECOSYSTEM:+3.2 -3.2.16"), "3.2 3.2.0 3.2.15", "3.2.16", 0},
		{"unordered events", "npm", affected("", "SEMVER:-4.0.0 +3.0.0 -2.0.0 +0"), "1.0.0 3.5.0", "2.0.0 2.9.0 4.0.0", 0},
		{"last affected includes itself", "RubyGems", affected("", "ECOSYSTEM:+6.0.3 =6.0.3.9"), "6.0.3 6.0.3.1 6.0.3.9", "6.0.3.10 6.0.4", 0},
		{"introduced and last affected at once", "npm", affected("", "SEMVER:+1.2.3 =1.2.3"), "1.2.3", "1.2.2 1.2.4 1.2.3-rc.1", 0},
		{"fixed and introduced at once", "npm", affected("", "SEMVER:+1.0.0 -2.0.0 +2.0.0 -3.0.0"), "1.0.0 2.0.0 2.5.0", "3.0.0", 0},
		{"fixed where introduced", "npm", affected("", "SEMVER:+1.0.0 -1.0.0 +2.0.0 -3.0.0"), "2.0.0", "1.0.0 1.0.1 3.0.0", 1},
		{"end before start is dropped alone", "npm", affected("", "SEMVER:+0 -1.0.0 +9.0.0 -1.24431.7", "SEMVER:+5.0.0 -5.1.0"), "0.9.0 5.0.5", "1.0.0 2.0.0 9.0.0 99.0.0", 1},
		{"several fixes: the first closes", "npm", affected("", "SEMVER:+0 -1.2.0 -2.0.0"), "1.1.0", "1.2.0 1.3.0 2.0.0", 0},
		{"limit bounds", "npm", affected("", "SEMVER:+1.0.0 |2.0.0"), "1.0.0 1.9.9", "2.0.0 3.0.0", 0},
		{"the widest limit bounds", "npm", affected("", "SEMVER:+1.0.0 |2.0.0 |4.0.0"), "3.0.0", "4.0.0", 0},
		{"limit * does not", "npm", affected("", "SEMVER:+1.0.0 |*"), "9.0.0", "0.9.0", 0},
		{"only a list", "PyPI", affected("3.2 1.0rc1"), "3.2.0 3.2 1.0c1 1.0.0rc1", "3.2.1 1.0", 0},
		{"a list beside ranges", "npm", affected("0.5.0 2.0.0", "SEMVER:+1.0.0 -1.5.0"), "0.5.0 1.2.0 2.0.0", "0.6.0 1.5.0", 0},
		{"an unreadable event", "npm", affected("", "SEMVER:+0 -1.0.0 +latest -2.0.0", "SEMVER:+3.0.0 -3.1.0"), "0.9.0 3.0.5", "1.0.0 1.5.0 3.1.0", 1},
		{"an unreadable fix leaves it open", "npm", affected("", "SEMVER:+1.0.0 -unknown"), "1.0.0 5.0.0", "0.9.0", 1},
		{"an unknown type", "npm", affected("", "CPE:+0", "SEMVER:+1.0.0 -2.0.0"), "1.5.0", "0.5.0", 1},
		{"an unordered ecosystem", "GitHub Actions", affected("v1 v2", "ECOSYSTEM:+0 -v3"), "v1 v2", "v3 V1", 1},
		{"Debian's zero and end of life", "Debian:11", affected("", "ECOSYSTEM:+0 -<end-of-life>"), "0 1.0-1 1:0~rc1-1", "", 1},
		{"Debian updates", "Debian:12", affected("", "ECOSYSTEM:+0 -3.0.11-1~deb12u10"), "3.0.11-1~deb12u2 3.0.11-1~deb12u1", "3.0.11-1~deb12u10 3.0.11-1 1:0", 0},
		{"apk revisions", "Alpine:v3.18", affected("", "ECOSYSTEM:+0 -3.1.1-r15"), "3.1.1-r1 3.1.1-r9 3.1.1_rc1-r20 3.1.1", "3.1.1-r15 3.1.1_p1-r0 3.1.1a-r0", 0},
		{"rpm epochs", "Rocky Linux:9", affected("", "ECOSYSTEM:+0 -1:3.0.7-16.el9_2"), "3.0.8-1.el9 1:3.0.7-6.el9_2 1:3.0.7~rc1-99", "1:3.0.7-16.el9_2 1:3.0.7-18.el9_2 2:1-1", 0},
		{"Maven qualifiers", "Maven", affected("", "ECOSYSTEM:+4.1.0.Final -4.1.10.Final", "ECOSYSTEM:+2.9.0 -2.9.10.8"), "4.1.9.Final 4.1.10.CR1 2.9.10.4 2.9.10", "4.1.10 4.1.10.Final 2.9.10.8 2.9.0-rc1", 0},
		{"NuGet's fourth part", "NuGet", affected("", "ECOSYSTEM:+1.0 -1.0.0.10"), "1.0.0 1.0.0.9 1.0.0.10-Beta", "1.0.0.10 1.0.0.11", 0},
		{"Composer", "Packagist", affected("", "ECOSYSTEM:+6.0.0 -6.5.8"), "v6.0 6.5.7.0 6.5.8-RC1 6.5.8-dev", "6.5.8 6.5.8.0 6.5.8-patch1 6.0.0-beta1 dev-master 6.x-dev", 0},
		{"a Composer branch by list", "Packagist", affected("dev-main", "ECOSYSTEM:+0 -2"), "dev-main", "dev-master", 0},
		{"Go's standard library", "Go", affected("", "SEMVER:+0 -1.21.9 +1.22.0-0 -1.22.2"), "go1.22.1 1.22.1 go1.22rc1 1.21.8 1.22", "go1.22.2 1.22.2 1.21.9 go1.21.9-corp", 0},
		{"Go pseudo-versions", "Go", affected("", "SEMVER:+0 -0.0.0-20220314234659-1baeb1ce4c0b"), "v0.0.0-20210921155107-089bfa567519", "v0.0.0-20220314234659-1baeb1ce4c0b v0.1.0 v0.0.0-20230101000000-000000000000", 0},
		{"nothing", "npm", estate.Affected{}, "", "1.0.0", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := ParseEcosystem(c.ecosystem)
			s := Compile(e, c.a)
			if len(s.Problems) != c.problems {
				t.Errorf("problems: %q, want %d", s.Problems, c.problems)
			}
			byHand := Spans{Intervals: s.Intervals, Listed: s.Listed} // as another package would build it
			for _, want := range []bool{true, false} {
				for raw := range strings.FieldsSeq(map[bool]string{true: c.in, false: c.out}[want]) {
					v, err := Parse(e, raw)
					if err != nil {
						t.Fatal(err)
					}
					in, why := s.Contains(e, v)
					if in != want || in == (why == "") {
						t.Errorf("%s: %v (%q) in %+v", raw, in, why, s.Intervals)
					}
					if again, whyAgain := byHand.Contains(e, v); again != in || whyAgain != why {
						t.Errorf("%s: made by hand it gives %v (%q)", raw, again, whyAgain)
					}
				}
			}
		})
	}
}

func TestCompileShape(t *testing.T) {
	e := Ecosystem{Base: "npm"}
	got := Compile(e, affected("1.1.0 0.1.0 0.1.0 3.0.0", "SEMVER:+1.0.0 -1.2.0 +2.0.0 =2.5.0", "SEMVER:+1.0.0 -1.2.0", "SEMVER:+0 -0.0.9"))
	want := Spans{
		Intervals: []Interval{{From: "1.0.0", To: "1.2.0"}, {From: "2.0.0", To: "2.5.0", Closed: true}, {To: "0.0.9"}},
		Listed:    []string{"0.1.0", "3.0.0"},
		Fixed:     []string{"0.0.9", "1.2.0"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Spans{})); diff != "" {
		t.Error(diff)
	}
	v, _ := Parse(e, "2.5.0")
	if _, why := got.Contains(e, v); why != "introduced 2.0.0, last affected 2.5.0" {
		t.Errorf("why %q", why)
	}
	v, _ = Parse(e, "0.0.1-rc1")
	if _, why := got.Contains(e, v); why != "introduced 0, fixed 0.0.9" {
		t.Errorf("why %q", why)
	}
}

func TestNearestSafe(t *testing.T) {
	e := Ecosystem{Base: "npm"}
	spans := []Spans{
		Compile(e, affected("", "SEMVER:+0 -1.2.0 +2.0.0 -2.3.0")),
		Compile(e, affected("2.3.0", "SEMVER:+1.0.0 -1.3.0")),
	}
	for _, c := range []struct {
		v, candidates, want string
		major, ok           bool
	}{
		{"1.1.0", "", "1.3.0", false, true},
		{"1.1.0", "1.2.5 1.3.0-rc.1 0.9.0", "1.3.0", false, true},
		{"2.1.0", "", "", false, false},
		{"2.1.0", "2.3.1 latest", "2.3.1", false, true},
		{"0.1.0", "", "1.3.0", true, true},
		{"5.0.0", "", "5.0.0", false, true},
	} {
		v, _ := Parse(e, c.v)
		fix, major, ok := NearestSafe(e, v, spans, strings.Fields(c.candidates))
		if fix != c.want || major != c.major || ok != c.ok {
			t.Errorf("%s: %q %v %v, want %q %v %v", c.v, fix, major, ok, c.want, c.major, c.ok)
		}
	}
}

func TestParseRange(t *testing.T) {
	for _, c := range []struct{ ecosystem, in, in1, out string }{
		{"Maven", "<2.15.0", "2.14.9 2.15.0-rc1 0", "2.15.0 3"},
		{"npm", ">=1.0,<1.4", "1.0.0 1.3.9", "0.9.0 1.4.0"},
		{"npm", ">= 1.0 < 1.4", "1.0.0 1.3.9", "0.9.0 1.4.0"},
		{"npm", ">1.0 <=1.4 !=1.2.0", "1.0.1 1.4.0 1.2.1", "1.0.0 1.2.0 1.4.1"},
		{"npm", "=1.2", "1.2.0", "1.2.1 1.1.9"},
		{"npm", "1.2.0", "v1.2.0", "1.2.1"},
		{"npm", "1.2 - 1.4", "1.2.0 1.4.0", "1.4.1 1.1.0"},
		{"npm", "<1 || >=2,<3 || =5", "0.1.0 2.0.0 5.0.0", "1.0.0 3.0.0 5.0.1"},
		{"npm", "*", "0.0.0-a 9.0.0", ""},
		{"npm", "!=1.0.0", "0.9.0 1.0.1", "1.0.0"},
		{"Debian:12", ">=1:2.0~rc1,<1:2.0-3", "1:2.0~rc2 1:2.0-2", "2.5 1:2.0-3"},
		{"npm", "vers:npm/1.2.3|>=2.0.0|<5.0.0|!=3.0.0", "1.2.3 2.0.0 4.9.0", "1.2.4 3.0.0 5.0.0"},
		{"npm", "vers:npm/<1.0|>=2.0|<3.0|>4.0", "0.1.0 2.5.0 4.1.0", "1.0.0 3.0.0 4.0.0"},
		{"Debian:12", "vers:deb/%3C1", "", ""},
		{"Debian:12", "vers:deb/<1%2Bdfsg-1", "1-1", "1+dfsg-1"},
		{"PyPI", "vers:pypi/*", "1.0", ""},
	} {
		e := ParseEcosystem(c.ecosystem)
		is, err := ParseRange(e, c.in)
		if c.in1 == "" && c.out == "" {
			if err == nil {
				t.Errorf("%s is read as %v", c.in, is)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		for _, want := range []bool{true, false} {
			for raw := range strings.FieldsSeq(map[bool]string{true: c.in1, false: c.out}[want]) {
				v, err := Parse(e, raw)
				if err != nil {
					t.Fatal(err)
				}
				if in, _ := (Spans{Intervals: is}).Contains(e, v); in != want {
					t.Errorf("%s holds %s: %v; intervals %+v", c.in, raw, in, is)
				}
			}
		}
	}
	for _, bad := range []string{"", "  ", "||", "<", "<>1", "^1.2", "~1.2", ">2 <1", "<latest", "1.2 - ", "vers:", "vers:npm", "vers:npm/", "vers:pypi/<1.0", "vers:npm/~1.0", "vers:npm/<%zz", strings.Repeat("1,", 9000), ">=1.0 || "} {
		if is, err := ParseRange(Ecosystem{Base: "npm"}, bad); err == nil {
			t.Errorf("%q is read as %+v", bad, is)
		}
	}
	if _, err := ParseRange(Ecosystem{Base: "GitHub Actions"}, "<1"); err == nil {
		t.Error("an unordered ecosystem has ranges")
	}
}

// TestRangeAgreesWithCompare proves for single comparators that the intervals
// hold what the operator says.
func TestRangeAgreesWithCompare(t *testing.T) {
	for _, base := range []string{"npm", "Debian", "Maven", "PyPI", "Alpine", "Red Hat", "Packagist"} {
		e := Ecosystem{Base: base}
		tr, _ := traitOf(strings.ToLower(base))
		gen := rapid.StringMatching(shapes[tr.family])
		rapid.Check(t, func(t *rapid.T) {
			a, errA := Parse(e, gen.Draw(t, "a"))
			b, errB := Parse(e, gen.Draw(t, "b"))
			if errA != nil || errB != nil || a.Branch() || b.Branch() {
				return
			}
			op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "=", "!="}).Draw(t, "op")
			is, err := ParseRange(e, op+b.String())
			if err != nil {
				t.Fatal(err)
			}
			c := a.Compare(b)
			want := map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0, "=": c == 0, "!=": c != 0}[op]
			if in, _ := (Spans{Intervals: is}).Contains(e, a); in != want {
				t.Fatalf("%s: %q %s %q: %v", base, a, op, b, in)
			}
		})
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"<2.15.0", ">=1.0,<1.4", "1.2 - 1.4", "<1 || =5", "vers:npm/1.2.3|>=2.0.0|<5.0.0|!=3.0.0", "vers:deb/<1%2B2", "!=1 !=2 >1", "*"} {
		f.Add(s)
	}
	es := ecosystems()
	f.Fuzz(func(t *testing.T, s string) {
		for _, e := range es {
			is, err := ParseRange(e, s)
			if err == nil && len(is) == 0 {
				t.Fatalf("%q of %s is empty without an error", s, e)
			}
			for _, i := range is {
				if _, ok := boundsOf(e, i); !ok {
					t.Fatalf("%q of %s gives %+v, which cannot be read", s, e, i)
				}
			}
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add("+0 -1.0 +2.0 =3.0 |4", "1.5 2.x", "1.2")
	f.Add("+9.0.0 -1.24431.7", "", "9.1")
	f.Add("=1 =1 +1 -1 -1 +1", "dev-main", "1")
	f.Add("+0 -<end-of-life> |*", "<b> latest", "0")
	es := ecosystems()
	f.Fuzz(func(t *testing.T, events, versions, version string) {
		if len(events)+len(versions) > 2000 {
			return
		}
		for _, e := range es {
			a := affected(versions, "ECOSYSTEM:"+events, "GIT:"+events)
			s := Compile(e, a)
			v, err := Parse(e, version)
			if err != nil {
				continue
			}
			in, why := s.Contains(e, v)
			if in == (why == "") {
				t.Fatalf("%v without a reason, or the other way round: %q", in, why)
			}
			if fix, _, ok := NearestSafe(e, v, []Spans{s}, nil); ok {
				w, err := Parse(e, fix)
				if err != nil || w.Compare(v) < 0 {
					t.Fatalf("fix %q for %q: %v", fix, v, err)
				}
				if in, _ := s.Contains(e, w); in {
					t.Fatalf("fix %q is affected", fix)
				}
			}
		}
	})
}
