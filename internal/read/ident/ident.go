// Package ident reads the identifiers that advisories, VEX documents and
// deployment events state: ids of advisories, digests, and what a package URL
// says of a service. It asserts keys only; the graph joins them.
package ident

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"thymus/internal/estate"
	"thymus/internal/purl"
)

// MaxID is the longest id of an advisory, in bytes. The longest in use have
// about 40.
const MaxID = 128

// CheckID tells why a string cannot be the id of an advisory: ids become file
// names, URL segments and table cells, so they are short and printable, and
// hold neither space nor slash.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("the id is blank")
	case len(id) > MaxID:
		return fmt.Errorf("an id of %d bytes; the limit is %d", len(id), MaxID)
	case id == "." || id == "..":
		return fmt.Errorf("%q is no id", id)
	}
	for i, r := range id {
		if r == utf8.RuneError || r == ' ' || r == '/' || r == '\\' || !unicode.IsPrint(r) {
			return fmt.Errorf("the id %q holds %q at byte %d", id, r, i)
		}
	}
	return nil
}

// IsCVE tells whether an id has the form of a CVE number: CVE-, four digits of
// a year, and one or more digits.
func IsCVE(id string) bool {
	rest, ok := strings.CutPrefix(id, "CVE-")
	if !ok || len(rest) < 6 || len(rest) > 24 || rest[4] != '-' {
		return false
	}
	for i := range len(rest) {
		if i != 4 && (rest[i] < '0' || rest[i] > '9') {
			return false
		}
	}
	return true
}

// Pick chooses the id that a verdict is about from those that a document gives
// for one vulnerability, in order of preference: the first CVE, since alias
// groups are keyed by it, else the first that can be an id; "" when there is
// none.
func Pick(ids ...string) string {
	for _, id := range ids {
		if IsCVE(id) {
			return id
		}
	}
	for _, id := range ids {
		if CheckID(id) == nil {
			return id
		}
	}
	return ""
}

// Digest returns "sha256:" and 64 lower-case hexadecimal digits, from that form
// or from the digits alone; "" for anything else.
func Digest(s string) string {
	hex := strings.ToLower(s)
	hex = strings.TrimPrefix(hex, "sha256:")
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return "sha256:" + hex
}

// Purl is a package URL in the two ways in which documents about services use
// one.
type Purl struct {
	// Image tells that it names a container image, so a release rather than a
	// package of one.
	Image bool
	// Versioned tells that it names one version.
	Versioned bool
	// Subject is what it says of the release that it stands for: the digest,
	// and name and version with Derived set. Its namespace is that of a
	// registry or repository, never a service's, and is left out.
	Subject estate.Subject
}

// ParsePurl reads a package URL. A version or checksum that begins with sha256:
// and is no SHA-256 digest is an error.
func ParsePurl(s string) (Purl, error) {
	p, err := purl.Parse(s)
	if err != nil {
		return Purl{}, err
	}
	out := Purl{
		Image:     p.Type == "oci" || p.Type == "docker",
		Versioned: p.Version != "",
		Subject:   estate.Subject{Name: p.Name, Version: p.Version, Derived: true},
	}
	q := p.Qualifiers
	digest := ""
	if strings.HasPrefix(p.Version, "sha256:") || out.Image && Digest(p.Version) != "" {
		digest = p.Version
		out.Subject.Version = q["tag"]
	} else {
		for sum := range strings.SplitSeq(q["checksum"], ",") {
			if strings.HasPrefix(sum, "sha256:") {
				digest = sum
			}
		}
	}
	if digest != "" {
		if out.Subject.Digest = Digest(digest); out.Subject.Digest == "" {
			return Purl{}, fmt.Errorf("package URL %.200q: %.80q is no SHA-256 digest", s, digest)
		}
	}
	for _, part := range []string{out.Subject.Name, out.Subject.Version} {
		if err := CheckText(part); err != nil {
			return Purl{}, fmt.Errorf("package URL %.200q: %w", s, err)
		}
	}
	return out, nil
}

// IsPurl tells whether a string claims to be a package URL.
func IsPurl(s string) bool { return len(s) >= 4 && strings.EqualFold(s[:4], "pkg:") }

// MaxName is the longest name or version of a service, environment and the
// like, in bytes.
const MaxName = 512

// CheckText tells why a string cannot be a name or version of something of the
// estate: it is over MaxName, not UTF-8, or holds a character that is not
// printable. "" passes.
func CheckText(s string) error {
	if len(s) > MaxName {
		return fmt.Errorf("a name of %d bytes; the limit is %d", len(s), MaxName)
	}
	for i, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return fmt.Errorf("the name %q holds the character %U at byte %d", s, r, i)
		}
	}
	return nil
}

// Image reads a container image reference, "[registry/][path/]name[:tag][@digest]",
// into a derived subject. It returns false for something else.
func Image(ref string) (estate.Subject, bool) {
	name, digest, pinned := strings.Cut(ref, "@")
	sub := estate.Subject{Derived: true}
	if pinned {
		if sub.Digest = Digest(digest); sub.Digest == "" {
			return estate.Subject{}, false
		}
	}
	name = name[strings.LastIndex(name, "/")+1:]
	sub.Name, sub.Version, _ = strings.Cut(name, ":")
	if sub.Name == "" || strings.ContainsAny(ref, " \t?#") || CheckText(ref) != nil {
		return estate.Subject{}, false
	}
	return sub, true
}
