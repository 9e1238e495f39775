package version

import (
	"fmt"
	"strings"
)

// apk is a version of an apk package, in the grammar of apk-package(5),
//
//	number{.number}...{letter}{_suffix{number}}...{~hash}{-r#}
//
// and in the order of apk-tools: tokens are compared pairwise, and where the
// kinds differ, a pre-release suffix is lowest, and otherwise the token that
// comes earlier in the grammar is higher. Numbers after a letter, which apk-tools
// 2 still read ("6.6.2p1"), are read too.
type apk []apkToken

// apkToken is one token. kind holds the order of kinds at one position; a
// suffix's weight is part of it.
type apkToken struct {
	kind uint8
	text string // digits, letter or hash
}

// The kinds, in rising order at one position. The suffixes around apkEnd stand
// in apk-tools' order: alpha, beta, pre, rc, (none), cvs, svn, git, hg, p.
const (
	apkAlpha uint8 = iota
	apkBeta
	apkPre
	apkRC
	apkEnd
	apkRevision
	apkHash
	apkSuffixNumber
	apkCVS
	apkSVN
	apkGit
	apkHg
	apkP
	apkLetter
	apkNumber
	apkFirst
)

func apkSuffix(s string) (uint8, bool) {
	switch s {
	case "alpha":
		return apkAlpha, true
	case "beta":
		return apkBeta, true
	case "pre":
		return apkPre, true
	case "rc":
		return apkRC, true
	case "cvs":
		return apkCVS, true
	case "svn":
		return apkSVN, true
	case "git":
		return apkGit, true
	case "hg":
		return apkHg, true
	case "p":
		return apkP, true
	}
	return 0, false
}

func parseAPK(s string) (apk, error) {
	n := digits(s)
	if n == 0 {
		return nil, fmt.Errorf("want a number at %q", s)
	}
	v := apk{{apkFirst, s[:n]}}
	s = s[n:]
	for len(s) > 0 && s[0] == '.' {
		if n = digits(s[1:]); n == 0 {
			return nil, fmt.Errorf("want a number at %q", s)
		}
		v = append(v, apkToken{apkNumber, s[1 : 1+n]})
		s = s[1+n:]
	}
	if len(s) > 0 && isLower(s[0]) {
		v = append(v, apkToken{apkLetter, s[:1]})
		s = s[1:]
		if n = digits(s); n > 0 {
			v = append(v, apkToken{apkNumber, s[:n]})
			s = s[n:]
		}
	}
	for len(s) > 0 && s[0] == '_' {
		n = 1
		for n < len(s) && isLower(s[n]) {
			n++
		}
		kind, ok := apkSuffix(s[1:n])
		if !ok {
			return nil, fmt.Errorf("suffix %q is unknown", s[:n])
		}
		v, s = append(v, apkToken{kind, ""}), s[n:]
		if n = digits(s); n > 0 {
			v = append(v, apkToken{apkSuffixNumber, s[:n]})
			s = s[n:]
		}
	}
	if len(s) > 0 && s[0] == '~' {
		n = 1
		for n < len(s) && (isDigit(s[n]) || s[n] >= 'a' && s[n] <= 'f') {
			n++
		}
		if n == 1 {
			return nil, fmt.Errorf("want a commit hash at %q", s)
		}
		v = append(v, apkToken{apkHash, s[1:n]})
		s = s[n:]
	}
	if rest, ok := strings.CutPrefix(s, "-r"); ok {
		n = digits(rest)
		v = append(v, apkToken{apkRevision, rest[:n]})
		s = rest[n:]
	}
	if s != "" {
		return nil, fmt.Errorf("unexpected %q", s)
	}
	return v, nil
}

func (v apk) at(i int) apkToken {
	if i < len(v) {
		return v[i]
	}
	return apkToken{kind: apkEnd}
}

func (v apk) compare(w apk) int {
	for i := range max(len(v), len(w)) {
		a, b := v.at(i), w.at(i)
		if a.kind != b.kind {
			return sign(int(a.kind) - int(b.kind))
		}
		if c := a.compare(b); c != 0 {
			return c
		}
	}
	return 0
}

// compare orders two tokens of one kind.
func (a apkToken) compare(b apkToken) int {
	switch a.kind {
	case apkLetter, apkHash:
		return strings.Compare(a.text, b.text)
	case apkNumber:
		// A leading zero makes the part a fraction: .02 < .1 < .10.
		if a.text[0] == '0' || b.text[0] == '0' {
			return strings.Compare(a.text, b.text)
		}
	}
	return compareNumbers(trimZeros(a.text), trimZeros(b.text))
}
