package version

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// everyEcosystem is the OSV schema's list.
const everyEcosystem = `AlmaLinux|Alpaquita|Alpine|Android|Azure Linux|BellSoft Hardened Containers|Bioconductor|Bitnami|Chainguard|CleanStart|ConanCenter|CRAN|crates.io|Debian|Docker Hardened Images|Echo|FreeBSD|GHC|GIT|GitHub Actions|Go|Hackage|Hex|Julia|Kubernetes|Linux|Mageia|Maven|MinimOS|npm|NuGet|opam|openEuler|openSUSE|OSS-Fuzz|Packagist|Photon OS|Pub|PyPI|Red Hat|Rocky Linux|Root|RubyGems|SUSE|SwiftURL|TuxCare|Ubuntu|VSCode|Wolfi`

// shapes are the versions that each family writes, mostly usable, in a space
// small enough for ties.
var shapes = map[family]string{
	unordered:      `v?[0-3](\.[0-2])?|main`,
	semverOrder:    `v?(0|1|2|10)(\.(0|1|10)){0,3}(-(0|1|alpha|beta|rc)(\.(1|2|11|x1|-1)){0,2})?(\+b1)?`,
	goOrder:        `(v|go)?(0|1)(\.(0|1|21|22)){0,2}((rc|beta)[12]|-rc\.1|-0|-0\.2020010100000[01]-abcdef|\+incompatible)?`,
	packagistOrder: `v?(0|1|2)(\.(0|1|10|x)){0,4}((-|\.|_)?(dev|alpha|a|beta|b|RC|rc|stable|patch|p|pl|post|foo)\.?[12]?)?(-dev|\+x1|@dev)?|dev-(master|foo1)|2020\.?01\.?0[12]`,
	apkOrder:       `(0|1|2|01)(\.(0|1|10|01|010)){0,3}[ab]?2?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[012]?){0,2}(~(ab|c0))?(-r(0|1|01|10))?`,
	debianOrder:    `([01]:)?(0|1|2)(\.(0|1|10)){0,2}(~rc1|\+dfsg|a|~|\+~|\.~1|-|b1)?(-(0|1|1~|1\.1|1\+deb12u(1|2|10)|0ubuntu0\.1))?`,
	rpmOrder:       `([01]:)?(0|1|2|a1|1a)(\.(0|1|10|01|a|b1|)){0,2}(~rc1|\^git1|~|\^|~\^1)?(-(0|1|1\.el9|1\.el9_2\.10|1~))?`,
	pypiOrder:      `v?(1!)?(0|1|2)(\.(0|1|10)){0,3}(\.|-|_)?(a1|b2|rc1|c1|alpha|preview2)?(\.?post[12]|-1)?(\.dev[01])?(\+(abc|1)(\.(2|x))?)?|200[45][a-d]|0\.1-bulb`,
	mavenOrder:     `(0|1|2|a)((\.|-)?(0|1|10|alpha|beta|a|b|m|rc|cr|snapshot|SNAPSHOT|ga|final|Final|sp|foo|xyz|RELEASE|jre|android)){0,4}|Hoxton\.SR[12]`,
	gemOrder:       `(0|1|2)(\.(0|1|10|a|b|pre|rc1|a2)){0,4}(-java|-x86_64-linux|-rc)?`,
	nugetOrder:     `v?(0|1|2)(\.(0|1|10)){0,3}(-(alpha|Beta|1|rc)(\.(1|2|11)){0,2})?(\+B)?`,
	pubOrder:       `(0|1|2)(\.(0|1|10)){2}(-(alpha|1|rc)(\.(1|2|11)){0,2})?(\+(1|2|x))?`,
	cranOrder:      `(0|1|2)((\.|-)(0|1|10|01)){0,3}`,
	hackageOrder:   `(0|1|2)(\.(0|1|10)){0,4}`,
}

// TestOrder proves for every ecosystem that Compare is a total preorder on what
// Parse accepts, and that String gives back what was written.
func TestOrder(t *testing.T) {
	for name := range strings.SplitSeq(everyEcosystem, "|") {
		e := ParseEcosystem(name)
		if e.Base != name {
			t.Errorf("%s is read as %s", name, e.Base)
		}
		tr, ok := traitOf(strings.ToLower(name))
		if !ok {
			t.Errorf("%s is unknown", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			accepted, tried := 0, 0
			gen := rapid.StringMatching(shapes[tr.family])
			rapid.Check(t, func(t *rapid.T) {
				var vs []Version
				for _, s := range rapid.SliceOfN(gen, 3, 12).Draw(t, "versions") {
					tried++
					v, err := Parse(e, s)
					if err != nil {
						continue
					}
					accepted++
					if v.String() != s {
						t.Fatalf("%q became %q", s, v)
					}
					vs = append(vs, v)
				}
				checkOrder(t, vs)
			})
			if accepted*2 < tried {
				t.Errorf("only %d of %d generated versions were accepted", accepted, tried)
			}
		})
	}
}

type fataler interface{ Fatalf(string, ...any) }

func checkOrder(t fataler, vs []Version) {
	for _, a := range vs {
		if a.Compare(a) != 0 {
			t.Fatalf("%q is not itself", a)
		}
		for _, b := range vs {
			ab := a.Compare(b)
			if ab != -b.Compare(a) || ab < -1 || ab > 1 {
				t.Fatalf("%q against %q: %d, back %d", a, b, ab, b.Compare(a))
			}
			for _, c := range vs {
				if ab <= 0 && b.Compare(c) <= 0 && (a.Compare(c) > 0 || a.Compare(c) == 0 && (ab < 0 || b.Compare(c) < 0)) {
					t.Fatalf("not transitive: %q %d %q %d %q, but %d", a, ab, b, b.Compare(c), c, a.Compare(c))
				}
			}
		}
	}
}

// TestRefused holds nonsense, everywhere.
func TestRefused(t *testing.T) {
	for name := range strings.SplitSeq(everyEcosystem, "|") {
		e := Ecosystem{Base: name}
		bad := []string{"", " ", "\t\n", strings.Repeat("1", 257)}
		if e.Ordered() {
			bad = append(bad, "unknown", "latest", "UNKNOWN", "*", "1.*", "${project.version}", "<2.0", ">=1.0", "^1", "1.0 || 2.0", "[1.0,2.0)", "(devel)", "\x00", "1.0\x00", "1.0 beta", "<end-of-life>", "NOASSERTION", "none")
		}
		for _, s := range bad {
			if v, err := Parse(e, s); err == nil {
				t.Errorf("%s accepts %q as %v", name, s, v)
			}
		}
	}
	for _, name := range []string{"", "nosuch", "go mod"} {
		if _, err := Parse(Ecosystem{Base: name}, "1.0"); err == nil {
			t.Errorf("ecosystem %q is accepted", name)
		}
	}
	for _, c := range []struct{ base, s string }{{"npm", "1.x"}, {"npm", "1.2.x"}, {"Packagist", "1.x"}, {"Packagist", "foo"}, {"Alpine", "1.2_blah"}, {"CRAN", "1.a"}, {"Hackage", "1.0-a"}, {"NuGet", "1.2.3.4.5"}} {
		if _, err := Parse(Ecosystem{Base: c.base}, c.s); err == nil {
			t.Errorf("%s accepts %q", c.base, c.s)
		}
	}
}

func ecosystems() []Ecosystem {
	var out []Ecosystem
	for name := range strings.SplitSeq(everyEcosystem, "|") {
		out = append(out, Ecosystem{Base: name})
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1.0", "1:2.3-4", "dev-master", "1.x-dev", "go1.22rc1", "1.2_rc1-r3", "1.0.0-SNAPSHOT", "2!1.0.post1.dev2+x", "a.b-1", "1.0~^~", "9999999999999999999999", "ä1", "v", "1-", "1..2"} {
		f.Add(s, "1.0.1")
	}
	es := ecosystems()
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, e := range es {
			v, errA := Parse(e, a)
			w, errB := Parse(e, b)
			if errA == nil && v.String() != a {
				t.Fatalf("%q became %q", a, v)
			}
			if errA == nil && errB == nil {
				var vs []Version
				for _, s := range []string{"1", "1.0.1", "0.1.0-1"} {
					if x, err := Parse(e, s); err == nil {
						vs = append(vs, x)
					}
				}
				checkOrder(t, slices.Concat([]Version{v, w}, vs))
			}
		}
	})
}
