package purl

import (
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/version"
)

// FoldName gives the form of a name under which advisories and packages of an
// ecosystem meet. PyPI folds by PEP 503; NuGet, Packagist and GitHub take names
// in any case; everywhere else, Go and Maven included, case counts.
func FoldName(e version.Ecosystem, name string) string {
	switch e.Base {
	case "PyPI":
		return pep503(name)
	case "NuGet", "Packagist", "GitHub Actions":
		return strings.ToLower(name)
	}
	return name
}

// Query reads a user's question, "purl[@version or range]": as a package URL,
// but the version may be anything that version.ParseRange reads, unencoded
// ("pkg:maven/org.apache.logging.log4j/log4j-core@<2.15.0"). Qualifiers go to the
// end. name is folded, without the release; versionOrRange is "" for all
// versions. A distribution's package is asked for by its source where the
// qualifiers name one. Errors are fault.Invalid, or fault.Unsupported for a
// package that no advisory could name.
func Query(s string) (name estate.PackageName, ecosystem version.Ecosystem, versionOrRange string, err error) {
	base, wanted, qualifiers := splitQuery(strings.TrimSpace(s))
	p, err := Parse(base + qualifiers)
	if err != nil {
		return estate.PackageName{}, version.Ecosystem{}, "", err
	}
	e, n, ok := ecosystemOf(p)
	if !ok {
		return estate.PackageName{}, version.Ecosystem{}, "", fault.New(fault.Unsupported, "package URL %q: no advisories are published for packages of this type", base)
	}
	if wanted != "" && wanted != "*" {
		if isRange(wanted) {
			_, err = version.ParseRange(e, wanted)
		} else {
			p.Version = wanted
			wanted = withEpoch(p)
			_, err = version.Parse(e, wanted)
		}
		if err != nil {
			return estate.PackageName{}, version.Ecosystem{}, "", err
		}
	}
	if usesSource(p.Type) {
		n = sourceOf(p, estate.Coordinate{Name: n}).Name
	}
	return estate.PackageName{Ecosystem: e.Base, Name: FoldName(e, n)}, e, strings.TrimPrefix(wanted, "*"), nil
}

// splitQuery takes the version or range out of the middle of a query.
func splitQuery(s string) (base, wanted, qualifiers string) {
	rest, qualifiers := s, ""
	if i := strings.IndexByte(s, '?'); i >= 0 {
		rest, qualifiers = s[:i], s[i:]
	}
	base, wanted = cutVersion(rest)
	// A range may hold "/" (vers:npm/<1), and then its own "@" does not count.
	if i := strings.Index(rest, "@vers:"); i > 0 {
		base, wanted = rest[:i], rest[i+1:]
	}
	if d, err := decode(wanted); err == nil && !strings.HasPrefix(wanted, "vers:") {
		wanted = d
	}
	return base, strings.TrimSpace(wanted), qualifiers
}

func isRange(s string) bool {
	return strings.HasPrefix(s, "vers:") || strings.ContainsAny(s, "<>|!^,") || s[0] == '=' || s[0] == '~' || strings.Contains(s, " - ")
}

// ToPurl renders the package URL of what an advisory names; "" where the
// ecosystem has no purl type. Identify reads it back to the same ecosystem and
// name.
func ToPurl(e version.Ecosystem, name, ver string) string {
	p := PURL{Name: name, Version: ver}
	slashed := func() {
		if ns, n, ok := cutLast(name, '/'); ok {
			p.Namespace, p.Name = ns, n
		}
	}
	switch e.Base {
	case "npm":
		p.Type = "npm"
		slashed()
	case "Go":
		p.Type = "golang"
		slashed()
	case "Packagist":
		p.Type = "composer"
		slashed()
	case "SwiftURL":
		p.Type = "swift"
		name = strings.TrimPrefix(name, "https://")
		slashed()
	case "GitHub Actions":
		p.Type = "github"
		slashed()
	case "Kubernetes":
		p.Type = "k8s"
		slashed()
	case "Maven":
		group, artifact, ok := strings.Cut(name, ":")
		if !ok {
			return ""
		}
		p.Type, p.Namespace, p.Name = "maven", group, artifact
	default:
		p.Type, p.Namespace = typeOf(e)
		if distro := distroOf(e); distro != "" {
			p.Qualifiers = map[string]string{"distro": distro}
		}
	}
	if p.Type == "" || p.Name == "" {
		return ""
	}
	p.fold()
	return p.String()
}

// typeOf gives the purl type, and the namespace of a distribution.
func typeOf(e version.Ecosystem) (typ, namespace string) {
	switch e.Base {
	case "PyPI":
		return "pypi", ""
	case "RubyGems":
		return "gem", ""
	case "crates.io":
		return "cargo", ""
	case "NuGet":
		return "nuget", ""
	case "Hex":
		return "hex", ""
	case "Pub":
		return "pub", ""
	case "CRAN":
		return "cran", ""
	case "Bioconductor":
		return "bioconductor", ""
	case "Hackage":
		return "hackage", ""
	case "Julia":
		return "julia", ""
	case "opam":
		return "opam", ""
	case "ConanCenter":
		return "conan", ""
	case "Bitnami":
		return "bitnami", ""
	case "Debian", "Ubuntu", "Echo":
		return "deb", strings.ToLower(e.Base)
	case "Alpine", "Alpaquita", "Wolfi", "Chainguard", "MinimOS", "CleanStart":
		return "apk", strings.ToLower(e.Base)
	case "Red Hat":
		return "rpm", "redhat"
	case "Rocky Linux":
		return "rpm", "rocky"
	case "AlmaLinux", "openSUSE", "SUSE", "Mageia", "openEuler":
		return "rpm", strings.ToLower(e.Base)
	case "Azure Linux":
		return "rpm", "azurelinux"
	case "Photon OS":
		return "rpm", "photon"
	}
	return "", ""
}

// distroOf renders the distro qualifier of a release, "" without one.
func distroOf(e version.Ecosystem) string {
	if e.Release == "" {
		return ""
	}
	switch e.Base {
	case "Red Hat":
		return "rhel-" + e.Release
	case "SUSE":
		return "sles-" + strings.Replace(e.Release, " SP", ".", 1)
	case "openSUSE":
		return "opensuse-" + strings.ToLower(strings.ReplaceAll(e.Release, " ", "-"))
	}
	_, namespace := typeOf(e)
	return namespace + "-" + e.Release
}
