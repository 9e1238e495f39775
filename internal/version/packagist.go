package version

import (
	"fmt"
	"regexp"
	"strings"
)

// composer is a Composer version: normalised as composer/semver's VersionParser
// does, then split into tokens which PHP's version_compare orders.
type composer struct {
	tokens []composerToken
	branch string // of "dev-<name>", which Composer holds no range to contain
}

// composerToken is one token; number is set for numbers only.
type composerToken struct {
	rank   uint8
	number string
}

// The ranks of version_compare's forms, with the end of the shorter version and
// numbers in their place.
const (
	composerWord uint8 = iota // any word that is not known
	composerDev
	composerAlpha
	composerBeta
	composerRC
	composerEnd
	composerNumber
	composerPatch
)

const composerModifier = `[._-]?(?:(stable|beta|b|RC|alpha|a|patch|pl|p)((?:[.-]?\d+)*)?)?([.-]?dev)?`

var (
	composerAlias     = regexp.MustCompile(`^([^,\s]+) +as +[^,\s]+$`)
	composerStability = regexp.MustCompile(`(?i)@(?:stable|RC|beta|alpha|dev)$`)
	composerBuild     = regexp.MustCompile(`^([^,\s+]+)\+\S+$`)
	composerClassic   = regexp.MustCompile(`(?i)^v?(\d{1,5})(\.\d+)?(\.\d+)?(\.\d+)?` + composerModifier + `$`)
	composerDate      = regexp.MustCompile(`(?i)^v?(\d{4}(?:[.:-]?\d{2}){1,6}(?:[.:-]?\d{1,3})?)` + composerModifier + `$`)
	composerBranch    = regexp.MustCompile(`(?i)^v?(\d+)(\.(?:\d+|[x*]))?(\.(?:\d+|[x*]))?(\.(?:\d+|[x*]))?[.-]?dev$`)
	composerLoose     = regexp.MustCompile(`(?i)^v?(\d+(?:\.\d+)*)([0-9a-z._+-]*)$`)
	composerSplit     = regexp.MustCompile(`\d+|[^\d._+-]+`)
)

// normalComposer gives Composer's normal form: four numeric parts, the stability
// in its long form, no build metadata. Versions that Composer itself refuses but
// that open with a number are padded and left to version_compare, since
// advisories written by hand contain them.
func normalComposer(s string) (string, error) {
	if m := composerAlias.FindStringSubmatch(s); m != nil {
		s = m[1]
	}
	s = composerStability.ReplaceAllString(s, "")
	switch s {
	case "master", "trunk", "default":
		return "dev-" + s, nil
	}
	if len(s) > 4 && strings.EqualFold(s[:4], "dev-") {
		return "dev-" + s[4:], nil
	}
	if m := composerBuild.FindStringSubmatch(s); m != nil {
		s = m[1]
	}
	var numbers string
	var mod []string
	if m := composerClassic.FindStringSubmatch(s); m != nil {
		numbers, mod = m[1], m[5:]
		for _, p := range m[2:5] {
			if p == "" {
				p = ".0"
			}
			numbers += p
		}
	} else if m := composerDate.FindStringSubmatch(s); m != nil {
		numbers, mod = strings.NewReplacer(":", ".", "-", ".").Replace(m[1]), m[2:]
	}
	if mod != nil {
		switch strings.ToLower(mod[0]) {
		case "":
		case "stable":
			return numbers, nil
		case "a", "alpha":
			numbers += "-alpha" + strings.TrimLeft(mod[1], ".-")
		case "b", "beta":
			numbers += "-beta" + strings.TrimLeft(mod[1], ".-")
		case "rc":
			numbers += "-RC" + strings.TrimLeft(mod[1], ".-")
		default:
			numbers += "-patch" + strings.TrimLeft(mod[1], ".-")
		}
		if mod[2] != "" {
			numbers += "-dev"
		}
		return numbers, nil
	}
	if m := composerBranch.FindStringSubmatch(s); m != nil {
		out := m[1]
		for _, p := range m[2:5] {
			if p == "" || strings.ContainsAny(p, "xX*") {
				p = ".9999999"
			}
			out += p
		}
		return out + "-dev", nil
	}
	if m := composerLoose.FindStringSubmatch(s); m != nil && !wildcardPart(s) {
		return m[1] + strings.Repeat(".0", max(0, 3-strings.Count(m[1], "."))) + m[2], nil
	}
	return "", fmt.Errorf("Composer knows no such form")
}

// wildcardPart tells whether a dotted part is "x".
func wildcardPart(s string) bool {
	for p := range strings.SplitSeq(s, ".") {
		if p == "x" || p == "X" {
			return true
		}
	}
	return false
}

func parseComposer(s string) (composer, error) {
	norm, err := normalComposer(s)
	if err != nil {
		return composer{}, err
	}
	if name, ok := strings.CutPrefix(norm, "dev-"); ok {
		return composer{branch: name}, nil
	}
	var v composer
	for _, t := range composerSplit.FindAllString(norm, -1) {
		v.tokens = append(v.tokens, composerForm(t))
	}
	return v, nil
}

// composerForm ranks a token by its beginning, as version_compare does.
func composerForm(t string) composerToken {
	if isDigit(t[0]) {
		return composerToken{composerNumber, trimZeros(t)}
	}
	for _, f := range []struct {
		form string
		rank uint8
	}{
		{"dev", composerDev}, {"a", composerAlpha}, {"b", composerBeta}, {"rc", composerRC}, {"RC", composerRC}, {"p", composerPatch},
	} {
		if strings.HasPrefix(t, f.form) {
			return composerToken{rank: f.rank}
		}
	}
	return composerToken{rank: composerWord}
}

func (v composer) at(i int) composerToken {
	if i < len(v.tokens) {
		return v.tokens[i]
	}
	return composerToken{rank: composerEnd}
}

// compare puts branches below all versions, as version_compare does, by name.
func (v composer) compare(w composer) int {
	switch {
	case v.branch != "" && w.branch != "":
		return strings.Compare(v.branch, w.branch)
	case v.branch != "":
		return -1
	case w.branch != "":
		return 1
	}
	for i := range max(len(v.tokens), len(w.tokens)) {
		a, b := v.at(i), w.at(i)
		if a.rank != b.rank {
			return sign(int(a.rank) - int(b.rank))
		}
		if c := compareNumbers(a.number, b.number); c != 0 {
			return c
		}
	}
	return 0
}
