// Package estate is the vocabulary of Thymus: one word for one thing, used in
// code, SQL, JSON, commands, screens and documentation alike. It imports the
// standard library only.
//
// Data goes one way. Readers turn the bytes of a document into facts (fact.go);
// the engine hands facts to the ledger, which keeps them; the graph joins them
// into services, releases, deployments and exposures; answers are functions of
// the graph.
package estate

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Time is an instant in milliseconds since the Unix epoch, UTC. The zero value
// means "not stated". It is one integer, so that interval tables stay small.
type Time int64

// Forever is later than every instant: the end of an interval that is open.
const Forever Time = math.MaxInt64

// At converts a time.Time. The zero time.Time becomes the zero Time.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Std converts to a time.Time in UTC; zero stays zero.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// Add returns t moved by d; Forever and zero stay what they are.
func (t Time) Add(d time.Duration) Time {
	if t == 0 || t == Forever {
		return t
	}
	return t + Time(d.Milliseconds())
}

// Sub returns the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String renders RFC 3339 in UTC with at most millisecond precision; "" for
// zero and "forever" for Forever.
func (t Time) String() string {
	switch t {
	case 0:
		return ""
	case Forever:
		return "forever"
	}
	return t.Std().Format("2006-01-02T15:04:05.999Z07:00")
}

// MarshalJSON renders String, and null for zero and Forever.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 || t == Forever {
		return []byte("null"), nil
	}
	return json.Marshal(t.String())
}

// UnmarshalJSON reads RFC 3339, or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if s == nil || *s == "" {
		*t = 0
		return nil
	}
	v, err := ParseTime(*s)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// ParseTime reads RFC 3339, or a date (the first instant of that day, UTC).
// Years before 1970 and after 2999 are refused: they are mistakes in documents.
func ParseTime(s string) (Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			if y := t.Year(); y < 1970 || y > 2999 {
				return 0, fmt.Errorf("time %q is out of range", s)
			}
			return At(t), nil
		}
	}
	return 0, fmt.Errorf("time %q is neither RFC 3339 nor a date", s)
}

// Subject is the identity that a piece of evidence asserts for a release. Every
// field may be blank; the graph joins subjects to services and releases by
// DESIGN's identity rules, and never changes what was asserted.
type Subject struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`    // the service
	Version   string `json:"version,omitempty"` // as written
	Digest    string `json:"digest,omitempty"`  // "sha256:<hex>" of an artifact
	// Derived tells that the name was derived from something else (a purl's
	// name, say), so that every explicit name and every digest beats it.
	Derived bool `json:"derived,omitempty"`
}

// ParseSubject splits "[namespace/]name[@version]".
func ParseSubject(s string) (Subject, error) {
	name, version, _ := strings.Cut(s, "@")
	sub := Subject{Name: name, Version: version}
	if i := strings.LastIndex(name, "/"); i >= 0 {
		sub.Namespace, sub.Name = name[:i], name[i+1:]
	}
	if sub.Name == "" {
		return Subject{}, fmt.Errorf("%q names no service; want [namespace/]name", s)
	}
	return sub, nil
}

// Service renders "[namespace/]name".
func (s Subject) Service() string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Namespace + "/" + s.Name
}

// String renders "[namespace/]name[@version]", or the digest where there is no name.
func (s Subject) String() string {
	out := s.Service()
	if out == "" {
		return s.Digest
	}
	if s.Version != "" {
		out += "@" + s.Version
	}
	return out
}

// Claim is who says what of a piece of evidence, and when. The bytes are stored
// once; every claim is kept.
type Claim struct {
	// Source is the origin that facts show: a token's name, "cli", a feed.
	Source string `json:"source"`
	// Subject is what the sender says the document is about. It beats what the
	// document says itself, field by field.
	Subject Subject `json:"subject,omitzero"`
	// Environment, with Deploy, says that the release runs there from At on.
	Environment string `json:"environment,omitempty"`
	Deploy      bool   `json:"deploy,omitempty"`
	// Alongside keeps the other releases of the service running in that environment.
	Alongside bool `json:"alongside,omitempty"`
	// At is when the document's content became true, if the sender knows.
	At Time `json:"at,omitempty"`
	// Headers carries what surrounds the body where a format needs it (the ce-*
	// headers of a binary CloudEvent, lower-cased).
	Headers map[string]string `json:"headers,omitempty"`
}

// Severity orders advisories. Unscored is not Low, and Malware is above
// Critical.
type Severity uint8

// The severities, in rising order.
const (
	Unscored Severity = iota
	None
	Low
	Medium
	High
	Critical
	Malware
)

var severityNames = [...]string{"unscored", "none", "low", "medium", "high", "critical", "malware"}

// String returns the lower-case name.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return "unscored"
}

// MarshalText renders String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name in any case; "moderate" is medium and "important" high.
func (s *Severity) UnmarshalText(b []byte) error {
	v, err := ParseSeverity(string(b))
	*s = v
	return err
}

// ParseSeverity reads a name in any case; "moderate" is medium and "important" high.
func ParseSeverity(name string) (Severity, error) {
	switch n := strings.ToLower(name); n {
	case "moderate":
		return Medium, nil
	case "important":
		return High, nil
	default:
		for i, known := range severityNames {
			if n == known {
				return Severity(i), nil
			}
		}
	}
	return Unscored, fmt.Errorf("severity %q is unknown; want one of %s", name, strings.Join(severityNames[:], ", "))
}

// SeverityOf grades a CVSS base score, 0 to 10, by the qualitative scale of CVSS
// 3.1 §5 and 4.0 §6, which CVSS 2 scores share here.
func SeverityOf(score float64) Severity {
	switch {
	case score <= 0:
		return None
	case score < 4:
		return Low
	case score < 7:
		return Medium
	case score < 9:
		return High
	}
	return Critical
}
