package purl

import (
	"regexp"
	"strings"

	"thymus/internal/version"
)

// ecosystemOf maps a package URL to OSV's ecosystem and the name that OSV writes
// there. ok is false for a type or distribution that OSV does not know.
func ecosystemOf(p PURL) (e version.Ecosystem, name string, ok bool) {
	full := strings.Trim(p.Namespace+"/"+p.Name, "/")
	plain := func(base, name string) (version.Ecosystem, string, bool) {
		return version.Ecosystem{Base: base}, name, true
	}
	switch p.Type {
	case "npm":
		return plain("npm", full)
	case "golang":
		switch full {
		case "std", "go": // cyclonedx-gomod's and others' word for the standard library
			full = "stdlib"
		}
		return plain("Go", full)
	case "pypi":
		return plain("PyPI", p.Name)
	case "maven":
		if p.Namespace == "" {
			return version.Ecosystem{}, full, false
		}
		return plain("Maven", p.Namespace+":"+p.Name)
	case "gem":
		return plain("RubyGems", p.Name)
	case "cargo":
		return plain("crates.io", p.Name)
	case "nuget":
		return plain("NuGet", p.Name)
	case "composer":
		return plain("Packagist", full)
	case "hex":
		return plain("Hex", p.Name)
	case "pub":
		return plain("Pub", p.Name)
	case "cran":
		return plain("CRAN", p.Name)
	case "bioconductor":
		return plain("Bioconductor", p.Name)
	case "hackage":
		return plain("Hackage", p.Name)
	case "julia":
		return plain("Julia", p.Name)
	case "opam":
		return plain("opam", p.Name)
	case "conan":
		return plain("ConanCenter", p.Name)
	case "bitnami":
		return plain("Bitnami", p.Name)
	case "k8s":
		return plain("Kubernetes", full)
	case "swift":
		return plain("SwiftURL", strings.TrimSuffix(full, ".git"))
	case "github", "githubactions":
		parts := strings.SplitN(full, "/", 3)
		if len(parts) < 2 {
			return version.Ecosystem{}, full, false
		}
		return plain("GitHub Actions", parts[0]+"/"+parts[1]) // a path below the repository is one of its actions
	case "deb", "apk", "rpm":
		e, ok := distribution(p)
		return e, p.Name, ok
	}
	return version.Ecosystem{}, full, false
}

// distroID gives OSV's base name for an os-release ID or a purl namespace.
func distroID(id string) (base string, ok bool) {
	switch id {
	case "debian":
		return "Debian", true
	case "ubuntu":
		return "Ubuntu", true
	case "echo":
		return "Echo", true
	case "alpine":
		return "Alpine", true
	case "alpaquita":
		return "Alpaquita", true
	case "wolfi":
		return "Wolfi", true
	case "chainguard":
		return "Chainguard", true
	case "minimos":
		return "MinimOS", true
	case "cleanstart":
		return "CleanStart", true
	case "redhat", "rhel", "red-hat", "centos":
		return "Red Hat", true
	case "rocky", "rockylinux", "rocky-linux":
		return "Rocky Linux", true
	case "alma", "almalinux", "alma-linux":
		return "AlmaLinux", true
	case "opensuse", "opensuse-leap", "opensuse-tumbleweed", "leap", "tumbleweed":
		return "openSUSE", true
	case "suse", "sles", "sled", "sle", "sle_hpc", "sles_sap":
		return "SUSE", true
	case "mageia":
		return "Mageia", true
	case "openeuler":
		return "openEuler", true
	case "azurelinux", "azure-linux", "mariner":
		return "Azure Linux", true
	case "photon", "photonos":
		return "Photon OS", true
	}
	return "", false
}

// fits tells whether a distribution ships packages of a purl type, so that
// a contradictory qualifier is not believed.
func fits(typ, base string) bool {
	switch base {
	case "Debian", "Ubuntu", "Echo":
		return typ == "deb"
	case "Alpine", "Alpaquita", "Wolfi", "Chainguard", "MinimOS", "CleanStart":
		return typ == "apk"
	}
	return typ == "rpm"
}

// elTag is the distribution tag in an RPM's release: "6.el9_2" was built for
// Enterprise Linux 9.
var elTag = regexp.MustCompile(`\.el(\d+)(?:[_.+~]|$)`)

// distribution reads the distribution and its release from the namespace and the
// distro qualifier: "debian-12", "bookworm", "alpine-3.18.4", "rhel-9.3",
// "opensuse-leap-15.5". A qualifier that names a distribution beats the
// namespace.
func distribution(p PURL) (version.Ecosystem, bool) {
	base, known := distroID(p.Namespace)
	known = known && fits(p.Type, base)
	distro := strings.ToLower(p.Qualifiers["distro"])
	release := distro
	// The longest prefix that is an ID: "opensuse-leap-15.5", "rocky-linux-9".
	for i := len(distro); i > 0; i = strings.LastIndexByte(distro[:i], '-') {
		if b, ok := distroID(distro[:i]); ok && fits(p.Type, b) {
			base, known = b, true
			release = strings.TrimPrefix(distro[i:], "-")
			if b == "openSUSE" && strings.Contains(distro[:i], "tumbleweed") {
				release = "tumbleweed"
			}
			break
		}
	}
	if !known {
		// A code name or a foreign ID alone.
		if p.Namespace == "" && p.Type == "deb" {
			for _, b := range []string{"Debian", "Ubuntu"} {
				if e := version.ParseEcosystem(b + ":" + distro); distro != "" && e.Release != distro {
					return e, true
				}
			}
		}
		return version.Ecosystem{}, false
	}
	if release != "" && strings.Contains(release, "-") && release == distro {
		// "kali-2024.1" in the namespace debian: another distribution.
		if id, _, _ := strings.Cut(release, "-"); id != "" && (id[0] < '0' || id[0] > '9') {
			return version.Ecosystem{}, false
		}
	}
	if release == "" && (base == "Red Hat" || base == "Rocky Linux" || base == "AlmaLinux") {
		if m := elTag.FindStringSubmatch(p.Version); m != nil {
			release = m[1]
		}
	}
	e := version.ParseEcosystem(base + ":" + release)
	switch base {
	case "Red Hat", "Rocky Linux", "AlmaLinux":
		// "centos-stream-9" is none of their releases.
		return e, strings.Trim(e.Release, "0123456789") == ""
	}
	return e, true
}

// usesSource tells whether advisories of the ecosystem name source packages
// only. RPM distributions differ: Red Hat and AlmaLinux name binaries, SUSE and
// Rocky Linux sources.
func usesSource(typ string) bool { return typ == "deb" || typ == "apk" }
