package version

import (
	"fmt"
	"strings"
)

// semver is a Semantic Versioning 2.0.0 version (https://semver.org), read
// loosely: any number of numeric parts, missing ones being zero, and a
// pre-release that may follow without a hyphen ("1.0.0beta1"), as npm's loose
// mode has it. A fourth numeric part is a number and not a pre-release. Build
// metadata has no place in the order (§10).
type semver struct {
	numbers []string // without leading zeros, trailing zero parts cut
	pre     []string
}

// parseSemver reads s without a leading "v" or "=".
func parseSemver(s string) (semver, error) {
	s, build, built := strings.Cut(s, "+")
	if built && !allOf(build, isIdentifier) {
		return semver{}, fmt.Errorf("build metadata %q is malformed", build)
	}
	var v semver
	for {
		n := digits(s)
		if n == 0 {
			return semver{}, fmt.Errorf("want a number at %q", s)
		}
		v.numbers = append(v.numbers, trimZeros(s[:n]))
		s = s[n:]
		if len(s) < 2 || s[0] != '.' || !isDigit(s[1]) {
			break
		}
		s = s[1:]
	}
	for len(v.numbers) > 0 && v.numbers[len(v.numbers)-1] == "0" {
		v.numbers = v.numbers[:len(v.numbers)-1]
	}
	if s == "" {
		return v, nil
	}
	if s[0] == '-' || s[0] == '.' {
		s = s[1:]
	}
	if s == "" {
		return semver{}, fmt.Errorf("it ends in a separator")
	}
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || !allOf(id, isIdentifier) || id == "x" || id == "X" {
			return semver{}, fmt.Errorf("pre-release part %q is malformed", id)
		}
		v.pre = append(v.pre, id)
	}
	return v, nil
}

func (v semver) compare(w semver) int {
	for i := range max(len(v.numbers), len(w.numbers)) {
		if c := compareNumbers(part(v.numbers, i), part(w.numbers, i)); c != 0 {
			return c
		}
	}
	switch {
	case len(v.pre) == 0 && len(w.pre) == 0:
		return 0
	case len(v.pre) == 0:
		return 1
	case len(w.pre) == 0:
		return -1
	}
	for i := range min(len(v.pre), len(w.pre)) {
		a, b := v.pre[i], w.pre[i]
		an, bn := digits(a) == len(a), digits(b) == len(b)
		var c int
		switch {
		case an && bn:
			c = compareNumbers(trimZeros(a), trimZeros(b))
		case an:
			c = -1
		case bn:
			c = 1
		default:
			c = strings.Compare(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return sign(len(v.pre) - len(w.pre))
}

// goVersion brings the spellings of Go to semver: module versions with or
// without "v", and releases of the toolchain and standard library
// (https://go.dev/ref/mod#go-mod-file-go), "go1.22.2", "1.22rc1", "1.21beta1",
// whose custom suffixes ("go1.22.2-corp", "go1.22.2 X:boringcrypto") do not
// order. As a module version, "1.22rc1" has no other meaning.
func goVersion(s string) string {
	if rest, ok := strings.CutPrefix(s, "go"); ok && len(rest) > 0 && isDigit(rest[0]) {
		s, _, _ = strings.Cut(rest, " ")
		if i := strings.IndexAny(s, "-+"); i >= 0 && !strings.HasPrefix(s[i:], "-rc") && !strings.HasPrefix(s[i:], "-beta") && s[i:] != "-0" {
			s = s[:i]
		}
	}
	for _, word := range []string{"rc", "beta"} {
		number, n, ok := strings.Cut(s, word)
		if ok && number != "" && n != "" && digits(n) == len(n) && strings.Trim(number, "0123456789.") == "" && isDigit(number[len(number)-1]) {
			for strings.Count(number, ".") < 2 {
				number += ".0"
			}
			return number + "-" + word + "." + n
		}
	}
	return s
}

// part returns the i-th number, 0 beyond the end.
func part(ns []string, i int) string {
	if i < len(ns) {
		return ns[i]
	}
	return "0"
}

// compareNumbers compares decimal numbers of any size, without leading zeros.
func compareNumbers(a, b string) int {
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func trimZeros(s string) string {
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return "0"
}

// digits counts the leading ASCII digits of s.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isAlnum(c byte) bool { return isDigit(c) || isLower(c|0x20) }

func isIdentifier(c byte) bool { return isAlnum(c) || c == '-' || c == '.' || c == '_' }

func allOf(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
