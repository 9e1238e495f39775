package purl

import (
	"cmp"
	"regexp"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/version"
)

// keep tells which qualifiers are part of a package's key: those that tell
// packages apart or that matching needs. All others are dropped, since they say
// where a copy came from and not what it is: checksum(s), download_url, vcs_url,
// repository_url, file_name, package-id, goos, goarch, and whatever tools invent.
// The subpath is dropped too. source, origin, sourcerpm and sourceversion, which
// some tools write for upstream, become upstream.
func keep(typ, key, value string) bool {
	switch key {
	case "type":
		// "jar" is Maven's default, and Go's "module" and "package" say how it was found.
		return typ != "golang" && (typ != "maven" || value != "jar")
	case "arch", "channel", "classifier", "distro", "epoch", "modularitylabel", "platform", "rpmmod",
		"upstream", "user", "uuid":
		return true
	}
	return false
}

// Identify makes a package of a component. It never fails: what cannot be
// matched says why in Unmatched, and has no ecosystem. Identifying a key again
// gives the same key and the same match.
func Identify(c estate.Component) estate.Package {
	p, err := Parse(c.Purl)
	if err != nil {
		return unidentified(c)
	}
	p = canonical(p, c)
	pkg := estate.Package{Key: p.String(), Version: p.Version}
	e, name, known := ecosystemOf(p)
	pkg.Name = name
	switch {
	case c.Type == "operating-system", p.Type == "oci", p.Type == "docker", c.Type == "file" && !known:
		pkg.Unmatched = estate.NotAPackage
		return pkg
	case !known:
		pkg.Unmatched = estate.UnknownEcosystem
		return pkg
	case p.Version == "":
		pkg.Unmatched = estate.NoVersion
		return pkg
	case e.Distro() && e.Release == "":
		pkg.Unmatched = estate.NoDistroRelease
		return pkg
	}
	pkg.Match = matches(p, name)
	if _, err := version.Parse(e, pkg.Match[0].Version); err != nil {
		pkg.Match, pkg.Unmatched = [2]estate.Coordinate{}, estate.BadVersion
		return pkg
	}
	if _, err := version.Parse(e, pkg.Match[1].Version); err != nil {
		pkg.Match[1] = estate.Coordinate{}
	}
	pkg.Ecosystem = e.String()
	return pkg
}

// unidentified is a component whose purl is missing or unusable.
func unidentified(c estate.Component) estate.Package {
	name := strings.ToValidUTF8(c.Name, "�")
	if c.Group != "" {
		name = strings.ToValidUTF8(c.Group, "�") + "/" + name
	}
	why := estate.NoPurl
	if strings.TrimSpace(c.Purl) != "" {
		why = estate.BadPurl
		if name == "" {
			name = strings.ToValidUTF8(c.Purl, "�")
		}
	}
	if c.Type == "operating-system" || c.Type == "file" {
		why = estate.NotAPackage
	}
	v := strings.ToValidUTF8(c.Version, "�")
	key := "?" + strings.ToValidUTF8(c.Type, "�") + ":" + name
	if v != "" {
		key += "@" + v
	}
	return estate.Package{Key: key, Name: name, Version: v, Unmatched: why}
}

// canonical keeps the qualifiers that count and adds what the document says
// outside the purl, so that the key alone decides the match.
func canonical(p PURL, c estate.Component) PURL {
	q := map[string]string{}
	for k, v := range p.Qualifiers {
		if keep(p.Type, k, v) {
			q[k] = v
		}
	}
	if p.Version == "" {
		p.Version = clean(c.Version)
	}
	if p.Type == "deb" || p.Type == "apk" || p.Type == "rpm" {
		if q["distro"] == "" {
			set(q, "distro", clean(c.Distro))
		}
		source, ver := q["upstream"], ""
		if source == "" {
			was := p.Qualifiers
			source, ver = cmp.Or(was["source"], was["origin"], was["sourcerpm"]), was["sourceversion"]
		}
		if source == "" {
			source, ver = clean(c.Source), clean(c.SourceVersion)
		}
		delete(q, "upstream")
		set(q, "upstream", upstream(p, source, ver))
	}
	p.Qualifiers, p.Subpath = q, ""
	return p
}

// upstream renders a source package for the qualifier, "" where it adds nothing
// to the package itself.
func upstream(p PURL, source, ver string) string {
	switch {
	case source == "" || source == p.Name && (ver == "" || ver == p.Version):
		return ""
	case ver == "":
		return source
	}
	return source + "@" + ver
}

func set(q map[string]string, key, value string) {
	if value != "" {
		q[key] = value
	}
}

// clean drops from a document's value what a purl could not carry back.
func clean(s string) string {
	out, err := decode(strings.ReplaceAll(s, "%", "%25"))
	if err != nil || len(out) > 1024 {
		return ""
	}
	return out
}

// matches returns how advisories name the package.
func matches(p PURL, name string) (m [2]estate.Coordinate) {
	binary := estate.Coordinate{Name: name, Version: withEpoch(p)}
	source := sourceOf(p, binary)
	switch {
	case usesSource(p.Type):
		m[0] = source
	case p.Type == "rpm":
		m[0] = binary
		if source.Name != binary.Name {
			m[1] = source
		}
	default:
		m[0] = binary
	}
	return m
}

// withEpoch puts the epoch qualifier of an RPM or Debian package before its
// version. Zero is the same as none.
func withEpoch(p PURL) string {
	epoch := p.Qualifiers["epoch"]
	if p.Type != "rpm" && p.Type != "deb" || epoch == "" || strings.Trim(epoch, "0") == "" || strings.Contains(p.Version, ":") {
		return p.Version
	}
	return epoch + ":" + p.Version
}

var (
	// sourceRPM is "name-version-release.src.rpm".
	sourceRPM = regexp.MustCompile(`^(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm$`)
	// binNMU is the mark of a rebuild of an unchanged Debian source package.
	binNMU = regexp.MustCompile(`\+b\d+$`)
)

// sourceOf returns the source package that the upstream qualifier, or what
// tools write for it, names: "openssl", "openssl@3.0.1-1" or "openssl-3.0.7-1.src.rpm". Without a
// version of its own it has the binary's.
func sourceOf(p PURL, binary estate.Coordinate) estate.Coordinate {
	q := p.Qualifiers
	up := cmp.Or(q["upstream"], q["source"], q["origin"], q["sourcerpm"])
	up, _, _ = strings.Cut(up, ",") // several are one source written for several origins
	up = strings.TrimSpace(up)
	own := binary.Version
	if p.Type == "deb" {
		own = binNMU.ReplaceAllString(own, "")
	}
	if up == "" {
		return estate.Coordinate{Name: binary.Name, Version: own}
	}
	if m := sourceRPM.FindStringSubmatch(up); m != nil && p.Type == "rpm" {
		v := m[2]
		if epoch, _, ok := strings.Cut(binary.Version, ":"); ok { // a source file name has no epoch; its packages share it
			v = epoch + ":" + v
		}
		return estate.Coordinate{Name: m[1], Version: v}
	}
	if name, v, ok := strings.Cut(up, "@"); ok && name != "" {
		return estate.Coordinate{Name: name, Version: cmp.Or(strings.TrimSpace(v), own)}
	}
	return estate.Coordinate{Name: up, Version: own}
}
