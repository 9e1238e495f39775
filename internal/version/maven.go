package version

import "strings"

// maven is a Maven version as Maven 3.9 and 4 order it
// (https://maven.apache.org/pom.html#version-order-specification): tokens split
// at dots, hyphens and changes between digits and letters, nulls trimmed at
// hyphens and before qualifiers, then compared position by position. The
// separator before a qualifier does not matter: "1.0.x" is "1-x" and "1.0.0.x".
//
// The order of Maven 3.8 and before, in which it did, is not transitive
// ("0-alpha" < "0" < "0.jre" < "0-alpha"), so that no sort and no range could
// rely on it.
type maven []mavenToken

type mavenToken struct {
	rank uint8
	text string // a number without leading zeros, or an unknown word
}

// The ranks, in rising order at one position.
const (
	mavenAlpha uint8 = iota
	mavenBeta
	mavenMilestone
	mavenRC
	mavenSnapshot
	mavenEnd // also "ga", "final" and "release"
	mavenSP
	mavenWord
	mavenDashNumber
	mavenDotNumber
)

func mavenQualifier(word string, beforeNumber bool) uint8 {
	switch word {
	case "alpha":
		return mavenAlpha
	case "beta":
		return mavenBeta
	case "milestone":
		return mavenMilestone
	case "rc", "cr":
		return mavenRC
	case "snapshot":
		return mavenSnapshot
	case "ga", "final", "release":
		return mavenEnd
	case "sp":
		return mavenSP
	case "a", "b", "m":
		if beforeNumber {
			return map[string]uint8{"a": mavenAlpha, "b": mavenBeta, "m": mavenMilestone}[word]
		}
	}
	return mavenWord
}

func parseMaven(s string) maven {
	s = strings.ToLower(s)
	var v maven
	dash := false
	for {
		end := 0
		for end < len(s) && s[end] != '.' && s[end] != '-' && isDigit(s[end]) == isDigit(s[0]) {
			end++
		}
		word := s[:end]
		switch {
		case word == "":
			v = v.add(mavenToken{mavenNumber(dash), "0"}, dash)
		case isDigit(word[0]):
			v = v.add(mavenToken{mavenNumber(dash), trimZeros(word)}, dash)
		default:
			t := mavenToken{rank: mavenQualifier(word, end < len(s) && isDigit(s[end]))}
			if t.rank == mavenWord {
				t.text = word
			}
			v = v.add(t, dash)
		}
		if end == len(s) {
			return v.trim()
		}
		dash = true
		if s[end] == '.' || s[end] == '-' {
			dash = s[end] == '-'
			end++
		}
		if s = s[end:]; s == "" {
			return v.trim() // an empty last token is null
		}
	}
}

func mavenNumber(dash bool) uint8 {
	if dash {
		return mavenDashNumber
	}
	return mavenDotNumber
}

// add appends a token, after trimming nulls where the order asks for it.
func (v maven) add(t mavenToken, dash bool) maven {
	if dash || t.rank < mavenDashNumber && t.rank != mavenEnd {
		v = v.trim()
	}
	return append(v, t)
}

// trim drops trailing nulls: zeros and release words.
func (v maven) trim() maven {
	for len(v) > 0 && (v[len(v)-1].rank == mavenEnd || v[len(v)-1].text == "0") {
		v = v[:len(v)-1]
	}
	return v
}

func (v maven) at(i int) mavenToken {
	if i < len(v) {
		return v[i]
	}
	return mavenToken{rank: mavenEnd}
}

func (v maven) compare(w maven) int {
	for i := range max(len(v), len(w)) {
		a, b := v.at(i), w.at(i)
		if a.rank != b.rank {
			return sign(int(a.rank) - int(b.rank))
		}
		switch {
		case a.rank >= mavenDashNumber:
			if c := compareNumbers(a.text, b.text); c != 0 {
				return c
			}
		case a.rank == mavenWord:
			if c := strings.Compare(a.text, b.text); c != 0 {
				return c
			}
		}
	}
	return 0
}
