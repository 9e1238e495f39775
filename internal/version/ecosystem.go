// Package version orders the versions of every ecosystem that OSV names, and
// evaluates the ranges of advisories against them. It is the one matcher: ingest,
// query, gate and scan all use it, so that they cannot disagree.
//
// Data flows in one direction. ParseEcosystem normalises the name that an
// advisory or a package states; Parse turns a version into something that can be
// compared, and refuses what is no version; Compile turns one affected entry of
// an advisory into Spans (intervals and a list); Contains answers whether a
// version lies in them, and why. Every version is parsed at load time, so that
// what follows can work on ranks.
//
// Order is github.com/google/osv-scalibr/semantic for most ecosystems, behind a
// grammar that refuses nonsense first. Four families are our own, where that
// package departs from the authority: semver (four-part versions and Go's own
// spellings), Composer (normalisation), apk (token order) and Maven (whose
// older rules, which it follows, are not transitive).
//
// Nothing here panics on outside bytes. All functions are pure, and all values
// may be used concurrently.
package version

import (
	"regexp"
	"strings"
)

// Ecosystem is an OSV ecosystem: Base in OSV's spelling, Release the normalised
// suffix, "" when there is none or when it does not tell packages apart.
type Ecosystem struct{ Base, Release string }

// family is a way of ordering versions.
type family uint8

const (
	unordered family = iota
	semverOrder
	goOrder
	packagistOrder
	apkOrder
	debianOrder
	rpmOrder
	pypiOrder
	mavenOrder
	gemOrder
	nugetOrder
	pubOrder
	cranOrder
	hackageOrder
)

// trait is what is known of an ecosystem.
type trait struct {
	base   string // OSV's spelling
	family family
	distro bool // the release is part of identity
}

// traitOf finds an ecosystem by its lower-case name: the names of the OSV schema
// (https://ossf.github.io/osv-schema/#defined-ecosystems). Azure Linux and Photon
// OS ship RPMs, Echo ships Debian packages, CleanStart ships apks, and Kubernetes,
// VSCode extensions follow semver, so their orders are those.
func traitOf(lower string) (trait, bool) {
	switch lower {
	case "almalinux":
		return trait{"AlmaLinux", rpmOrder, true}, true
	case "alpaquita":
		return trait{"Alpaquita", apkOrder, true}, true
	case "alpine":
		return trait{"Alpine", apkOrder, true}, true
	case "android":
		return trait{"Android", unordered, false}, true
	case "azure linux":
		return trait{"Azure Linux", rpmOrder, true}, true
	case "bellsoft hardened containers":
		return trait{"BellSoft Hardened Containers", apkOrder, true}, true
	case "bioconductor":
		return trait{"Bioconductor", semverOrder, false}, true
	case "bitnami":
		return trait{"Bitnami", semverOrder, false}, true
	case "chainguard":
		return trait{"Chainguard", apkOrder, false}, true
	case "cleanstart":
		return trait{"CleanStart", apkOrder, false}, true
	case "conancenter":
		return trait{"ConanCenter", semverOrder, false}, true
	case "cran":
		return trait{"CRAN", cranOrder, false}, true
	case "crates.io":
		return trait{"crates.io", semverOrder, false}, true
	case "debian":
		return trait{"Debian", debianOrder, true}, true
	case "docker hardened images":
		return trait{"Docker Hardened Images", semverOrder, false}, true
	case "echo":
		return trait{"Echo", debianOrder, false}, true
	case "freebsd":
		return trait{"FreeBSD", unordered, false}, true
	case "ghc":
		return trait{"GHC", semverOrder, false}, true
	case "git":
		return trait{"GIT", unordered, false}, true
	case "github actions":
		return trait{"GitHub Actions", unordered, false}, true
	case "go":
		return trait{"Go", goOrder, false}, true
	case "hackage":
		return trait{"Hackage", hackageOrder, false}, true
	case "hex":
		return trait{"Hex", semverOrder, false}, true
	case "julia":
		return trait{"Julia", semverOrder, false}, true
	case "kubernetes":
		return trait{"Kubernetes", semverOrder, false}, true
	case "linux":
		return trait{"Linux", unordered, false}, true
	case "mageia":
		return trait{"Mageia", rpmOrder, true}, true
	case "maven":
		return trait{"Maven", mavenOrder, false}, true
	case "minimos":
		return trait{"MinimOS", apkOrder, false}, true
	case "npm":
		return trait{"npm", semverOrder, false}, true
	case "nuget":
		return trait{"NuGet", nugetOrder, false}, true
	case "opam":
		return trait{"opam", unordered, false}, true
	case "openeuler":
		return trait{"openEuler", rpmOrder, true}, true
	case "opensuse":
		return trait{"openSUSE", rpmOrder, true}, true
	case "oss-fuzz":
		return trait{"OSS-Fuzz", unordered, false}, true
	case "packagist":
		return trait{"Packagist", packagistOrder, false}, true
	case "photon os":
		return trait{"Photon OS", rpmOrder, true}, true
	case "pub":
		return trait{"Pub", pubOrder, false}, true
	case "pypi":
		return trait{"PyPI", pypiOrder, false}, true
	case "red hat":
		return trait{"Red Hat", rpmOrder, true}, true
	case "rocky linux":
		return trait{"Rocky Linux", rpmOrder, true}, true
	case "root":
		return trait{"Root", unordered, true}, true
	case "rubygems":
		return trait{"RubyGems", gemOrder, false}, true
	case "suse":
		return trait{"SUSE", rpmOrder, true}, true
	case "swifturl":
		return trait{"SwiftURL", semverOrder, false}, true
	case "tuxcare":
		return trait{"TuxCare", unordered, true}, true
	case "ubuntu":
		return trait{"Ubuntu", debianOrder, true}, true
	case "vscode":
		return trait{"VSCode", semverOrder, false}, true
	case "wolfi":
		return trait{"Wolfi", apkOrder, false}, true
	}
	return trait{}, false
}

func (e Ecosystem) trait() trait {
	t, _ := traitOf(strings.ToLower(e.Base))
	return t
}

// ParseEcosystem splits and normalises an OSV ecosystem name, whose base is
// matched in any case. Debian and Ubuntu code names become numbers, point
// releases become their release, and Enterprise Linux is kept by its major
// version. A suffix of an ecosystem that is no distribution (a repository
// address, as in "Packagist:https://packages.drupal.org/8") is dropped, since no
// package states it. An unknown name is kept as written.
func ParseEcosystem(s string) Ecosystem {
	base, release, _ := strings.Cut(strings.TrimSpace(s), ":")
	base, release = strings.TrimSpace(base), strings.TrimSpace(release)
	t, known := traitOf(strings.ToLower(base))
	if !known {
		return Ecosystem{base, release}
	}
	if !t.distro {
		return Ecosystem{Base: t.base}
	}
	return Ecosystem{t.base, normalRelease(t.base, release)}
}

// normalRelease brings the release suffix of a distribution to one form. It is
// idempotent.
func normalRelease(base, release string) string {
	if release == "" {
		return ""
	}
	low := strings.ToLower(release)
	switch base {
	case "Debian":
		if n := debianCode(low); n != "" {
			return n
		}
		return firstNumbers(low, 1)
	case "Ubuntu":
		return ubuntuRelease(release)
	case "Alpine":
		low = strings.TrimPrefix(low, "v")
		return firstNumbers(low, 2)
	case "Rocky Linux", "AlmaLinux", "Azure Linux", "Mageia":
		return firstNumbers(low, 1)
	case "Red Hat":
		return redHatRelease(low)
	case "SUSE":
		return suseRelease(release)
	case "openSUSE":
		return opensuseRelease(release)
	case "openEuler":
		return strings.ToUpper(release) // "24.03-LTS-SP1"
	}
	return release
}

// firstNumbers keeps the first n numbers of "12.4", and anything that is no
// dotted number as it is.
func firstNumbers(s string, n int) string {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return s
	}
	parts := strings.Split(s, ".")
	return strings.Join(parts[:min(n, len(parts))], ".")
}

// debianCode gives the number of a Debian code name, "" for none.
func debianCode(name string) string {
	switch name {
	case "squeeze":
		return "6"
	case "wheezy":
		return "7"
	case "jessie":
		return "8"
	case "stretch":
		return "9"
	case "buster":
		return "10"
	case "bullseye":
		return "11"
	case "bookworm":
		return "12"
	case "trixie":
		return "13"
	case "forky":
		return "14"
	case "duke":
		return "15"
	case "unstable":
		return "sid"
	}
	return ""
}

// ubuntuCode gives the number of an Ubuntu code name, "" for none.
func ubuntuCode(name string) string {
	switch name {
	case "precise":
		return "12.04"
	case "trusty":
		return "14.04"
	case "xenial":
		return "16.04"
	case "bionic":
		return "18.04"
	case "focal":
		return "20.04"
	case "groovy":
		return "20.10"
	case "hirsute":
		return "21.04"
	case "impish":
		return "21.10"
	case "jammy":
		return "22.04"
	case "kinetic":
		return "22.10"
	case "lunar":
		return "23.04"
	case "mantic":
		return "23.10"
	case "noble":
		return "24.04"
	case "oracular":
		return "24.10"
	case "plucky":
		return "25.04"
	case "questing":
		return "25.10"
	case "resolute":
		return "26.04"
	}
	return ""
}

// ubuntuRelease drops the LTS mark and keeps the Pro channel: "Pro:22.04:LTS"
// becomes "Pro:22.04".
func ubuntuRelease(s string) string {
	var out []string
	for part := range strings.SplitSeq(s, ":") {
		low := strings.ToLower(strings.TrimSpace(part))
		switch {
		case low == "" || low == "lts":
		case low == "pro":
			out = append(out, "Pro")
		case ubuntuCode(low) != "":
			out = append(out, ubuntuCode(low))
		default:
			out = append(out, firstNumbers(strings.TrimSuffix(strings.TrimSpace(part), " LTS"), 2))
		}
	}
	return strings.Join(out, ":")
}

// redHatRelease keeps Enterprise Linux by its major version, whatever the
// repository ("enterprise_linux:9::appstream"). Other products, extended-update
// streams among them, get fixes of their own and stay apart.
func redHatRelease(s string) string {
	product, rest, found := strings.Cut(s, ":")
	if !found {
		return firstNumbers(s, 1)
	}
	if product == "enterprise_linux" {
		number, _, _ := strings.Cut(rest, ":")
		return firstNumbers(number, 1)
	}
	return s
}

var (
	suseEdition = regexp.MustCompile(`(?i)^(?:sles|suse linux enterprise|linux enterprise)\b.*?\b(\d+)(?:[ .-]?(?:SP)?(\d+))?(-[A-Za-z][A-Za-z0-9-]*)?$`)
	suseShort   = regexp.MustCompile(`(?i)^(\d+)(?:(?:\.| ?SP)(\d+))?(-[A-Za-z][A-Za-z0-9-]*)?$`)
)

// suseRelease keeps Linux Enterprise by its number and service pack ("15 SP5"),
// since a package is found in one of many modules of the same product, and marks
// long-term support apart.
func suseRelease(s string) string {
	m := suseEdition.FindStringSubmatch(s)
	if m == nil {
		m = suseShort.FindStringSubmatch(s)
	}
	if m == nil {
		return s
	}
	out := m[1]
	if m[2] != "" && m[2] != "0" {
		out += " SP" + m[2]
	}
	return out + strings.ToUpper(m[3])
}

func opensuseRelease(s string) string {
	low := strings.ToLower(s)
	if strings.HasPrefix(low, "tumbleweed") {
		return "Tumbleweed"
	}
	if rest, ok := strings.CutPrefix(low, "leap"); ok {
		return "Leap " + strings.Trim(rest, " -:")
	}
	if low[0] >= '0' && low[0] <= '9' {
		if len(low) == 8 && strings.Trim(low, "0123456789") == "" { // Tumbleweed's snapshots are dates
			return "Tumbleweed"
		}
		return "Leap " + low
	}
	return s
}

// String renders OSV's form, "Debian:12".
func (e Ecosystem) String() string {
	if e.Release == "" {
		return e.Base
	}
	return e.Base + ":" + e.Release
}

// Ordered tells whether versions of this ecosystem can be compared. Where they
// cannot, advisories match by their enumerated versions only.
func (e Ecosystem) Ordered() bool { return e.trait().family != unordered }

// Distro tells whether this is a Linux distribution whose release is part of
// identity. Rolling ones without releases, such as Wolfi, are not.
func (e Ecosystem) Distro() bool { return e.trait().distro }

// Applies tells whether an advisory entry written for ecosystem adv speaks of a
// package in ecosystem pkg: the bases are equal, and the releases are, or the
// advisory names none. A package of a distribution without a release matches
// nothing, since any answer would be a guess.
func Applies(adv, pkg Ecosystem) bool {
	if adv.Base == "" || !strings.EqualFold(adv.Base, pkg.Base) {
		return false
	}
	if pkg.Release == "" && pkg.Distro() {
		return false
	}
	return adv.Release == "" || adv.Release == pkg.Release
}
