// Package fold brings names to the form in which they compare: Unicode NFC,
// case folded, "_" as "-" (DESIGN's identity rule 1). No suffix is stripped, and
// nothing is fuzzy. It stands alone, because readers check names by the rule by
// which the graph joins them.
package fold

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Name returns the form of a name in which it compares.
func Name(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return strings.ReplaceAll(norm.NFC.String(cases.Fold().String(norm.NFC.String(s))), "_", "-")
		}
	}
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}
