package version

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"thymus/internal/fault"
)

// maxLength is the longest version that is read, in bytes. Real ones stay below
// 120; comparing is linear or worse in the length.
const maxLength = 256

// Version is a parsed version of one ecosystem. It is immutable and may be used
// concurrently. The zero Version is below all others.
type Version struct {
	raw    string
	family family
	value  any // semver, apk, composer, maven, literal or semantic.Version
}

// literal is a version of an ecosystem without an order: equal to itself only.
type literal struct{}

// Parse reads a version as its ecosystem writes it. It refuses, with
// fault.Invalid, an unknown ecosystem, the empty string, words without a number,
// wildcards, expressions, and anything over 256 bytes. A version that is refused
// is neither safe nor affected. In an ecosystem that is not ordered every word
// is a version, equal to itself only.
func Parse(e Ecosystem, s string) (Version, error) {
	t, known := traitOf(strings.ToLower(e.Base))
	if !known {
		return Version{}, fault.New(fault.Invalid, "version %s: ecosystem %q is unknown", quote(s), e.Base)
	}
	value, err := parse(t.family, strings.TrimSpace(s))
	if err != nil {
		return Version{}, fault.New(fault.Invalid, "version %s of ecosystem %s: %w", quote(s), t.base, err)
	}
	return Version{s, t.family, value}, nil
}

// quote renders s for a message, shortened.
func quote(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.60q…", s)
	}
	return fmt.Sprintf("%q", s)
}

// The grammars that come before semantic, which accepts words in silence.
var (
	// PEP 440, or a version from before it ("2004d"), which sorts below all others.
	pypiGrammar = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._!+:-]*$`)
	// Maven has no grammar; code names with a number ("Hoxton.SR1") are versions.
	mavenGrammar  = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+-]*$`)
	debianGrammar = regexp.MustCompile(`^(\d+:)?[0-9A-Za-z][0-9A-Za-z.+~:_-]*$`)
	// rpm takes letters of every script and skips them in the order.
	rpmGrammar     = regexp.MustCompile(`^[0-9\pL._+-][0-9\pL._+~^:-]*$`)
	gemGrammar     = regexp.MustCompile(`^\d+(\.[0-9A-Za-z]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$|^\d[0-9A-Za-z.]*$`)
	gemPlatform    = regexp.MustCompile(`-(?:java|jruby|mswin\d*|mingw\d*|(?:x86_64|x86|x64|i[3-6]86|aarch64|arm64|arm|universal|ppc64le|s390x|riscv64)(?:-.+)?)$`)
	nugetGrammar   = regexp.MustCompile(`^\d+(\.\d+){0,3}(-?[0-9A-Za-z][0-9A-Za-z.-]*)?(\+[0-9A-Za-z.-]*)?$`)
	pubGrammar     = regexp.MustCompile(`^\d+(\.\d+)*(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]*)?$`)
	cranGrammar    = regexp.MustCompile(`^\d+([.-]\d+)*$`)
	hackageGrammar = regexp.MustCompile(`^\d+(\.\d+)*$`)
)

var errGrammar = errors.New("it is not a version there")

// parse dispatches to the family's parser.
func parse(f family, s string) (any, error) {
	switch {
	case s == "":
		return nil, errors.New("it is empty")
	case len(s) > maxLength:
		return nil, fmt.Errorf("it is longer than %d bytes", maxLength)
	case strings.ContainsAny(s, "*<>=| \t\r\n") && f != packagistOrder && f != goOrder && f != unordered && s[0] != '=':
		return nil, errors.New("it is an expression")
	case !strings.ContainsAny(s, "0123456789") && f != packagistOrder && f != unordered:
		return nil, errors.New("it holds no number")
	}
	switch f {
	case unordered:
		return literal{}, nil
	case semverOrder:
		return parseSemver(trimV(strings.TrimPrefix(s, "=")))
	case goOrder:
		return parseSemver(goVersion(trimV(s)))
	case apkOrder:
		return parseAPK(s)
	case packagistOrder:
		return parseComposer(s)
	case pypiOrder:
		return check(pypiGrammar, "PyPI", s, s)
	case mavenOrder:
		if !mavenGrammar.MatchString(s) {
			return nil, errGrammar
		}
		return parseMaven(s), nil
	case debianOrder:
		return check(debianGrammar, "Debian", s, s)
	case rpmOrder:
		return check(rpmGrammar, "Red Hat", s, s)
	case gemOrder:
		s = gemPlatform.ReplaceAllString(trimV(s), "")
		// Gem::Version reads "-" as ".pre.".
		return check(gemGrammar, "RubyGems", s, strings.ReplaceAll(s, "-", ".pre."))
	case nugetOrder:
		return check(nugetGrammar, "NuGet", trimV(s), trimV(s))
	case pubOrder:
		return check(pubGrammar, "Pub", trimV(s), trimV(s))
	case cranOrder:
		return check(cranGrammar, "CRAN", s, s)
	case hackageOrder:
		return check(hackageGrammar, "Hackage", trimV(s), trimV(s))
	}
	return nil, errGrammar
}

// check holds s against a grammar and has semantic read its normal form.
func check(grammar *regexp.Regexp, base, s, normal string) (any, error) {
	if !grammar.MatchString(s) {
		return nil, errGrammar
	}
	v, err := semantic.Parse(normal, base)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// trimV drops one leading "v" before a number.
func trimV(s string) string {
	if len(s) > 1 && s[0]|0x20 == 'v' && isDigit(s[1]) {
		return s[1:]
	}
	return s
}

// Compare returns -1, 0 or 1 as v comes before w, equals it, or comes after it.
// Versions of unlike ecosystems are ordered by their text, which means nothing
// but is stable.
func (v Version) Compare(w Version) int {
	switch a := v.value.(type) {
	case semver:
		if b, ok := w.value.(semver); ok {
			return a.compare(b)
		}
	case apk:
		if b, ok := w.value.(apk); ok {
			return a.compare(b)
		}
	case composer:
		if b, ok := w.value.(composer); ok {
			return a.compare(b)
		}
	case maven:
		if b, ok := w.value.(maven); ok {
			return a.compare(b)
		}
	case semantic.Version:
		if b, ok := w.value.(semantic.Version); ok && v.family == w.family {
			if c, err := a.Compare(b); err == nil {
				return sign(c)
			}
		}
	}
	return strings.Compare(v.raw, w.raw)
}

// String returns the version as written.
func (v Version) String() string { return v.raw }

// Branch tells that this is a Composer branch ("dev-main"). It has a place in
// the order, below all releases, but no range contains it: only an enumeration
// can name it.
func (v Version) Branch() bool {
	c, ok := v.value.(composer)
	return ok && c.branch != ""
}
