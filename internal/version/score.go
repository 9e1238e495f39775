package version

import (
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"thymus/internal/estate"
)

// Score returns the severity of an advisory, and its score, 0 to 10, and vector
// where a CVSS vector gives it. The highest CVSS version wins, then the highest
// score: base scores for CVSS 2 and 3, the score of the metrics given for CVSS 4.
// The vector tells its version, whatever its type says. Without a usable vector a
// named priority (Ubuntu's) decides, then graded. Nothing of all that is
// Unscored, which is not Low. A MAL- record is Malware.
func Score(scores []estate.Score, graded estate.Severity, id string) (severity estate.Severity, score float64, vector string) {
	best := 0
	named := estate.Unscored
	for _, s := range scores {
		if v, n, ok := cvss(s.Vector); ok {
			if v > best || v == best && n > score {
				best, score, vector = v, n, s.Vector
			}
		} else if g := priority(s.Vector); g > named {
			named = g
		}
	}
	switch {
	case best > 0:
		severity = estate.SeverityOf(score)
	case named != estate.Unscored:
		severity = named
	default:
		severity = graded
	}
	if strings.HasPrefix(id, "MAL-") {
		severity = estate.Malware
	}
	return severity, score, vector
}

// priority reads a grade in words.
func priority(s string) estate.Severity {
	if strings.EqualFold(s, "negligible") {
		return estate.Low
	}
	g, err := estate.ParseSeverity(s)
	if err != nil {
		return estate.Unscored
	}
	return g
}

// cvss scores a vector; version is 20, 30, 31 or 40.
func cvss(vector string) (version int, score float64, ok bool) {
	if len(vector) > 1024 {
		return 0, 0, false
	}
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		v, err := gocvss40.ParseVector(vector)
		if err != nil {
			return 0, 0, false
		}
		return 40, v.Score(), true
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		v, err := gocvss31.ParseVector(vector)
		if err != nil {
			return 0, 0, false
		}
		return 31, v.BaseScore(), true
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		v, err := gocvss30.ParseVector(vector)
		if err != nil {
			return 0, 0, false
		}
		return 30, v.BaseScore(), true
	case strings.HasPrefix(strings.TrimPrefix(vector, "("), "AV:"):
		v, err := gocvss20.ParseVector(strings.Trim(vector, "()"))
		if err != nil {
			return 0, 0, false
		}
		return 20, v.BaseScore(), true
	}
	return 0, 0, false
}
