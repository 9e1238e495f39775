package version

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"thymus/internal/testdata"
)

// TestFixtures runs the optional comparison fixtures: lines "a < b", "a = b".
func TestFixtures(t *testing.T) {
	dir := filepath.Join(testdata.Shared(t), "versions")
	ecosystems := map[string][]string{
		"rubygems": {"RubyGems"}, "nuget": {"NuGet"}, "packagist": {"Packagist"}, "maven": {"Maven"},
		"pypi": {"PyPI"}, "debian": {"Debian", "Ubuntu"}, "cran": {"CRAN"}, "alpine": {"Alpine", "Wolfi"}, "redhat": {"Red Hat", "SUSE"},
		"hackage": {"Hackage"}, "pub": {"Pub"}, "semver": {"npm", "crates.io", "Go", "Hex"},
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures in %s: %v", dir, err)
	}
	for _, name := range names {
		base := filepath.Base(name)
		prefix, _, _ := strings.Cut(base, "-")
		if len(ecosystems[prefix]) == 0 {
			t.Errorf("no ecosystem for %s", base)
		}
		for _, eco := range ecosystems[prefix] {
			t.Run(base+"/"+eco, func(t *testing.T) { runFixture(t, name, Ecosystem{Base: eco}) })
		}
	}
}

func runFixture(t *testing.T, name string, e Ecosystem) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	prefix, _, _ := strings.Cut(filepath.Base(name), "-")
	contradicted, refused := lines(contradictedLines[prefix]), lines(refusedLines[prefix])
	total, kept, won, bad := 0, 0, 0, 0
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "//") {
			continue
		}
		total++
		parts := strings.Fields(line)
		if len(parts) != 3 {
			t.Fatalf("line %q", line)
		}
		a, errA := Parse(e, parts[0])
		b, errB := Parse(e, parts[2])
		got := "refused"
		if errA == nil && errB == nil {
			if back := b.Compare(a); a.Compare(b) != -back {
				t.Errorf("%s: not antisymmetric", line)
			}
			got = map[int]string{-1: "<", 0: "=", 1: ">"}[a.Compare(b)]
		}
		want := parts[1]
		switch {
		case refused[line]:
			want, kept = "refused", kept+1
		case contradicted[fmt.Sprintf("%s (%s)", line, got)]:
			want, won = got, won+1
		}
		if got != want {
			t.Errorf("%s: got %s, want %s (%v, %v)", line, got, want, errA, errB)
			bad++
		}
	}
	t.Logf("%s as %s: %d comparisons, %d failed, %d refused as no versions, %d where the authority says otherwise",
		filepath.Base(name), e.Base, total, bad, kept, won)
}

func lines(s string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out[line] = true
		}
	}
	return out
}

// contradictedLines are those whose result the ecosystem's own authority
// contradicts, with the authority's result. Composer pads to four parts ("3.0" is
// "3.0.0.0", above "3.0.0-beta"), reads stability in any case, and takes
// "-stable" for nothing. Maven, from 3.9 on, lets the word of a qualifier decide
// and not its separator ("1.0.x" is "1-x"); the lines hold what Maven 3.8 did.
var contradictedLines = map[string]string{"packagist": `
	v3.0 < v3.0.0-beta (>)
	v3.4 < v3.4.0-alpha (>)
	v4-beta4 < v4.0-alpha (>)
	v4.4 < v4.4.0-beta (>)
	v6.5 < v6.5.0-beta-0 (>)
	v6.6 < v6.6.0-beta (>)
	v1.9.0-ALPHA.1 = v1.9.0-BETA.1 (<)
	v1.9.0-BETA.1 < v1.9.0-ALPHA.2 (>)
	v1.9.0-ALPHA.2 = v1.9.0-BETA.2 (<)
	5.1.0-stable < 5.1.0-beta2 (>)
	1.0.0 > 1.0 (=)
`, "maven": `
	1.0.0-RC16 < 1.0.0.RC8-beta (>)
	1.0.0-gradle-rework-beta3 < 1.0.0.RC7-3 (>)
	2.9.0-1 < 2.9.0.RC1 (>)
	3.6.2.FL.20090615 < 3.6.2-FL-2009-05-11 (>)
	6.1.12.rc5 < 6.1.12rc1 (>)
	1.1.31.sec10 < 1.1.31_noneautotype (>)
	1.1.34.sec10 < 1.1.34_noneautotype (>)
	1.1.46.sec10 < 1.1.46_noneautotype (>)
	1.2.8.sec10_noneautotype < 1.2.8_noneautotype (>)
	1.2.31.sec10 < 1.2.31_noneautotype (>)
	1.2.48.sec10 < 1.2.48_noneautotype (>)
	1.2.50.sec10 < 1.2.50_noneautotype (>)
	1.2.54.sec10 < 1.2.54_noneautotype (>)
	1.2.57.sec10 < 1.2.57_noneautotype (>)
	1.2.60.sec10 < 1.2.60_noneautotype (>)
	1.2.67.sec10 < 1.2.67_noneautotype (>)
	1.0.0rc0 < 1.0.beta8 (>)
	1.5.9.RC1 < 1.5.9-RC0 (>)
	3.5.0-CR-2 < 3.5.0.Beta-1 (>)
	1.1.0-01-glassfish < 1.1.0.Beta1 (>)
`}

// refusedLines are those with a version that is none: words without a number
// (every ecosystem), what apk-tools refuses (TOKEN_INVALID; the fixture itself
// says that its order differs between releases of apk), and Composer's "#".
var refusedLines = map[string]string{
	"alpine": `
	1-r-0 < 1-r0
	1-r-1 < 1-r0
	0.r1 < 0r2
	0..1..0 < 0..1..1
	0...1...0 < 0...1...1
	0...1...0.r1 < 0...1...0.r2
	0...1...0r1 < 0...1...0r2
	0..8 = 0..8
	0..8 > 0...8
	0.8.21.r2 > 0.8.21.r1
	10.2.24.r0 > 10.2.22.r0
	0.8.21.r2 < 0.8.21r2
	1.2.0A < 1.2.0d
	1.2.0D < 1.2.0d
	1-r2 > 1-r-1
	1 > 1-ruff
	1-r0-1 = 1-r-2
	1-r0-1 = 1-r0-2
	1-ruff2 = 1-ruff1
	1-ruff2 = 1--ruff1
	1-r0-ruff2 = 1-r0-ruff1
	1.2 > 1.2_blah
	1.2_svn1 > 1.2_csv2
	1.2_cvs1 > 1.2_blah
	.1 < 1
	1 > .1
	.2 > .1
	a < b
	c > b
	c = c
	23_foo > 4_beta
	1.0 < 1.0bc`,
	"maven": `
	client_hc_no_vehicle < 2.0
	SNAPHSOT < 1.0-beta-1
	client_hc_no_vehicle < feature_1850_01
	profiles_01 < stable
	stable < 0.11.0`,
	"packagist": `
	1.2.3.# = 1.2.3
	1.2.3.# = 1.2.3.#
	1.2.3.# = 1.2.3.1
	1.2.3.#.1 > 1.2.3
	1.2.3.#.p3 > 1.2.3
	1.2.3.#.beta < 1.2.3`,
	"pypi": `
	-class.-jw.util.version.Version- < 1.0.dev1
	trunk < 3.2.3
	-class.-jw.util.version.version-pre < 1.0
	-class.-jw.util.version.version-preview < 1.0
	-class.-jw.util.version.version-dev < 1.0`,
	"redhat": `
	a = a
	a+ = a+
	a+ = a_
	a_ = a+
	+a = +a
	+a = _a
	_a = +a
	+_ = +_
	_+ = +_
	_+ = _+
	+ = _
	_ = +`,
}
