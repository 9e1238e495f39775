// Package fold brings names to the form in which they compare: Unicode NFC,
// case folded, "_" as "-" (DESIGN's identity rule 1). No suffix is stripped, and
// nothing is fuzzy. It stands alone, because readers check names by the rule by
// which the graph joins them.
package fold

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Name returns the form of a name in which it compares.
func Name(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			s = cases.Fold().String(norm.NFC.String(s))
			return strings.ReplaceAll(norm.NFC.String(strings.Map(least, s)), "_", "-")
		}
	}
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}

// least is the letter that stands for all that differ from r in case alone.
// Full folding leaves some scripts (Cherokee) with two forms.
func least(r rune) rune {
	out := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		out = min(out, f)
	}
	if 'A' <= out && out <= 'Z' {
		out += 'a' - 'A' // as names of ASCII letters alone are folded
	}
	return out
}
