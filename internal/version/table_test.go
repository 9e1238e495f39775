package version

import (
	"math"
	"strings"
	"testing"

	"thymus/internal/estate"
)

// TestChains holds rising chains per ecosystem; "=" joins equal spellings.
func TestChains(t *testing.T) {
	for _, c := range []struct{ ecosystem, chain string }{
		{"npm", "0.9.9 1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0=v1.0.0=1.0=1.0.0+build 1.0.0.1 1.0.1 1.10.0 2.0.0-rc.1 2.0.0"},
		{"crates.io", "0.0.0-0 0.1.0-rc.1 0.1.0 0.1.10"},
		{"Hex", "1.0.0-dev 1.0.0 1.0.1"},
		{"SwiftURL", "1.0.0-beta 1.0.0=v1.0.0 2.0.0"},
		{"Kubernetes", "1.27.0-alpha.1 v1.27.0=1.27.0 1.27.10"},
		{"Go", "v0.0.0-20210921155107-089bfa567519 v0.0.0-20220314234659-1baeb1ce4c0b v0.0.1 1.21beta1 go1.21rc2=1.21.0-rc.2 1.21.0=go1.21=go1.21.0 go1.21.9=go1.21.9-corp go1.22rc1 go1.22.2=1.22.2=v1.22.2 v2.0.0=v2.0.0+incompatible"},
		{"RubyGems", "6.0.3.a 6.0.3.rc1 6.0.3=6.0.3.0 6.0.3.1 6.0.3.9 6.0.3.10=6.0.3.10-x86_64-linux=6.0.3.10-java 6.0.4"},
		{"Maven", "1.0-alpha-1=1.0-a1 1.0-beta 1.0-m1 1.0-rc1=1.0.CR1 1.0-SNAPSHOT 1.0=1=1.0.0.Final=1.0.0.RELEASE=1-ga 1.0-sp 1.0-1 1.0.1 2.9.10.4 2.9.10.8 4.1.9.Final 4.1.10.Final"},
		{"Maven", "31.0-android 31.0-jre 31.1-android"},
		{"NuGet", "1.0.0-alpha 1.0.0-Beta 1.0.0-rc.2 1.0.0-rc.11 1.0=1.0.0.0=1.0.0+x 1.0.0.1 1.0.0.9 1.0.0.10 1.0.1"},
		{"PyPI", "2004d 1.0.dev1 1.0a1 1.0b2 1.0rc1=1.0c1=1.0-RC.1 1.0=1.0.0=v1.0 1.0+local 1.0.post1=1.0-1 1.1 3.2=3.2.0 1!0.5"},
		{"Packagist", "dev-master 1.0.0-dev 1.0.0-alpha1=1.0.0a1 1.0.0-beta2=1.0.0b2 1.0.0-RC1=1.0RC1 1.0.0=v1.0=1=1.0.0.0=1.0.0+build=1.0.0-stable 1.0.0-patch1=1.0.0-p1=1.0.0pl1 1.0.1 1.x-dev 2.0.0"},
		{"Debian:12", "0 1.0~rc1-1 1.0-1~deb12u1 1.0-1~deb12u2 1.0-1~deb12u10 1.0-1 1.0-1+b1 1.0+dfsg-1 1.0.1-1 2.0 1:0.1-1"},
		{"Ubuntu:22.04", "3.0.2-0ubuntu1 3.0.2-0ubuntu1.2 3.0.2-0ubuntu1.10"},
		{"Alpine:v3.18", "1.0_alpha 1.0_alpha1 1.0_beta 1.0_pre 1.0_rc1 1.0 1.0-r0 1.0-r1 1.0-r9=1.0-r09 1.0-r15 1.0_cvs1 1.0_svn1 1.0_git1 1.0_hg1 1.0_p1 1.0_p1-r2 1.0a 1.0b 1.0.1 1.0.10 1.1 1.10 10"},
		{"Alpine:v3.18", "1.0 1.01 1.02 1.1 1.2 1.10"},
		{"Wolfi", "3.1.4~ab12-r0 3.1.4~ab13-r0 3.1.4_git20230101-r0 3.1.4_p1-r0"},
		{"Red Hat", "1.0~rc1-1 1.0-1.el9 1.0-1.el9_2 1.0-2.el9 1.0-10.el9 1.0^git1-1 1.0.1-1 1:0.5-1"},
		{"CRAN", "1.0 1.0.0 1.0-1=1.0.1 1.10"},
		{"Hackage", "1.0 1.0.0 1.0.1 1.10"},
		{"Pub", "1.0.0-dev.1 1.0.0 1.0.0+1 1.0.1"},
		{"Photon OS:5.0", "1.0-1.ph5 1.0-2.ph5 1.0-10.ph5"},
	} {
		e := ParseEcosystem(c.ecosystem)
		var vs []Version
		rank := map[string]int{}
		for i, group := range strings.Fields(c.chain) {
			for raw := range strings.SplitSeq(group, "=") {
				v, err := Parse(e, raw)
				if err != nil {
					t.Errorf("%s: %v", c.ecosystem, err)
					continue
				}
				vs, rank[raw] = append(vs, v), i
			}
		}
		for _, a := range vs {
			for _, b := range vs {
				if got, want := a.Compare(b), sign(rank[a.raw]-rank[b.raw]); got != want {
					t.Errorf("%s: %s against %s is %d, want %d", c.ecosystem, a, b, got, want)
				}
			}
		}
	}
}

func TestEcosystem(t *testing.T) {
	for in, want := range map[string]string{
		"Debian:12": "Debian:12", "debian:bookworm": "Debian:12", "Debian:12.4": "Debian:12", "Debian:sid": "Debian:sid", "Debian": "Debian",
		"Ubuntu:22.04:LTS": "Ubuntu:22.04", "Ubuntu:Pro:22.04:LTS": "Ubuntu:Pro:22.04", "Ubuntu:jammy": "Ubuntu:22.04", "Ubuntu:23.10": "Ubuntu:23.10", "Ubuntu:22.04.3": "Ubuntu:22.04", "Ubuntu:Pro:FIPS:20.04:LTS": "Ubuntu:Pro:FIPS:20.04",
		"Alpine:v3.18": "Alpine:3.18", "alpine:3.18.4": "Alpine:3.18", "Alpine:edge": "Alpine:edge",
		"Red Hat:enterprise_linux:9::appstream": "Red Hat:9", "Red Hat:9.3": "Red Hat:9", "Red Hat:rhel_eus:9.2::baseos": "Red Hat:rhel_eus:9.2::baseos",
		"Rocky Linux:9.3": "Rocky Linux:9", "AlmaLinux:9": "AlmaLinux:9", "Wolfi": "Wolfi", "Chainguard": "Chainguard",
		"SUSE:Linux Enterprise Module for Basesystem 15 SP5": "SUSE:15 SP5", "SUSE:15.5": "SUSE:15 SP5", "SUSE:Linux Enterprise Server 15 SP3-LTSS": "SUSE:15 SP3-LTSS", "SUSE:Linux Enterprise Server 12": "SUSE:12",
		"openSUSE:Leap 15.5": "openSUSE:Leap 15.5", "openSUSE:leap-15.5": "openSUSE:Leap 15.5", "openSUSE:15.5": "openSUSE:Leap 15.5", "openSUSE:Tumbleweed": "openSUSE:Tumbleweed", "openSUSE:20240101": "openSUSE:Tumbleweed",
		"NPM": "npm", "pypi": "PyPI", "CRATES.IO": "crates.io", "Packagist:https://packages.drupal.org/8": "Packagist", "GitHub actions": "GitHub Actions",
		"Mystery:1": "Mystery:1", "": "",
	} {
		got := ParseEcosystem(in)
		if got.String() != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
		if again := ParseEcosystem(got.String()); again != got {
			t.Errorf("%q again is %v, before %v", in, again, got)
		}
	}
}

func TestApplies(t *testing.T) {
	for _, c := range []struct {
		advisory, pkg string
		want          bool
	}{
		{"Debian:12", "Debian:bookworm", true}, {"Debian:12", "Debian:11", false}, {"Debian", "Debian:11", true}, {"Debian:12", "Debian", false}, {"Debian", "Debian", false},
		{"Ubuntu:22.04:LTS", "Ubuntu:jammy", true}, {"Ubuntu:Pro:22.04:LTS", "Ubuntu:22.04", false}, {"Ubuntu:22.04", "Debian:12", false},
		{"Red Hat:enterprise_linux:9::appstream", "Red Hat:9.4", true}, {"Rocky Linux:9", "AlmaLinux:9", false},
		{"npm", "npm", true}, {"npm", "PyPI", false}, {"Wolfi", "Wolfi", true}, {"", "", false}, {"Packagist:https://x", "Packagist", true},
	} {
		if got := Applies(ParseEcosystem(c.advisory), ParseEcosystem(c.pkg)); got != c.want {
			t.Errorf("%s for %s: %v", c.advisory, c.pkg, got)
		}
	}
}

func TestScore(t *testing.T) {
	const (
		v2  = "AV:N/AC:L/Au:N/C:C/I:C/A:C"                                      // 10.0
		v30 = "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"                    // 9.8
		v31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"                    // 6.1
		v40 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N" // 8.7
		no  = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"
	)
	for _, c := range []struct {
		name     string
		vectors  []string
		graded   estate.Severity
		id       string
		severity estate.Severity
		score    float64
		vector   string
	}{
		{"nothing", nil, 0, "GHSA-1", estate.Unscored, 0, ""},
		{"graded", nil, estate.Medium, "GHSA-1", estate.Medium, 0, ""},
		{"the vector beats the grade", []string{v31}, estate.Critical, "GHSA-1", estate.Medium, 6.1, v31},
		{"highest version", []string{v2, v30, v31}, 0, "CVE-1", estate.Medium, 6.1, v31},
		{"CVSS 4", []string{v30, v40}, 0, "CVE-1", estate.High, 8.7, v40},
		{"highest score", []string{v31, no}, 0, "CVE-1", estate.Medium, 6.1, v31},
		{"CVSS 2", []string{v2}, 0, "CVE-1", estate.Critical, 10, v2},
		{"none is not unscored", []string{no}, 0, "CVE-1", estate.None, 0, no},
		{"priority", []string{"medium"}, 0, "UBUNTU-CVE-1", estate.Medium, 0, ""},
		{"negligible", []string{"negligible"}, 0, "UBUNTU-CVE-1", estate.Low, 0, ""},
		{"untriaged", []string{"untriaged"}, 0, "UBUNTU-CVE-1", estate.Unscored, 0, ""},
		{"malware", []string{v31}, 0, "MAL-2024-1", estate.Malware, 6.1, v31},
		{"broken", []string{"CVSS:3.1/AV:N", "CVSS:4.0/", "", "7.5"}, estate.Low, "X", estate.Low, 0, ""},
	} {
		var ss []estate.Score
		for _, v := range c.vectors {
			ss = append(ss, estate.Score{Type: "CVSS_V3", Vector: v})
		}
		sev, score, vector := Score(ss, c.graded, c.id)
		if sev != c.severity || math.Abs(score-c.score) > 1e-9 || vector != c.vector {
			t.Errorf("%s: %v %v %q, want %v %v %q", c.name, sev, score, vector, c.severity, c.score, c.vector)
		}
	}
}

func FuzzScore(f *testing.F) {
	f.Add("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N", "AV:N/AC:L/Au:N/C:C/I:C/A:C")
	f.Add("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P", "(AV:N)")
	f.Fuzz(func(t *testing.T, a, b string) {
		sev, score, vector := Score([]estate.Score{{Vector: a}, {Vector: b}}, estate.Unscored, "")
		if score < 0 || score > 10 || vector != "" && sev != estate.SeverityOf(score) {
			t.Fatalf("%v %v %q", sev, score, vector)
		}
	})
}
