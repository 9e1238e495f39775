package sqlite

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"thymus/internal/estate"
)

// The JSON forms of rows. Times are numbers in them: estate.Time's own JSON
// form is for faces, and refuses years that a ledger must give back as they
// were. A field of the outer struct hides the one of the same name within.

type claimJSON struct {
	estate.Claim
	At int64 `json:"at,omitempty"`
}

func encodeClaim(c estate.Claim) ([]byte, error) {
	return json.Marshal(claimJSON{c, int64(c.At)})
}

func decodeClaim(b []byte) (estate.Claim, error) {
	var c claimJSON
	if err := json.Unmarshal(b, &c); err != nil {
		return estate.Claim{}, fmt.Errorf("stored claim: %w", err)
	}
	c.Claim.At = estate.Time(c.At)
	return c.Claim, nil
}

// claimHash identifies equal evidence under an equal claim, in 128 bits.
func claimHash(sha, claim []byte) []byte {
	h := sha256.New()
	h.Write(sha)
	h.Write(claim)
	return h.Sum(nil)[:16]
}

type verdictJSON struct {
	estate.Verdict
	At, Expires int64 `json:",omitempty"`
}

func encodeVerdict(v estate.Verdict) ([]byte, error) {
	return json.Marshal(verdictJSON{v, int64(v.At), int64(v.Expires)})
}

func decodeVerdict(b []byte) (estate.Verdict, error) {
	var v verdictJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return estate.Verdict{}, fmt.Errorf("stored verdict: %w", err)
	}
	v.Verdict.At, v.Verdict.Expires = estate.Time(v.At), estate.Time(v.Expires)
	return v.Verdict, nil
}

type descriptionJSON struct {
	estate.Description
	Since int64 `json:",omitempty"`
}

func encodeDescription(d estate.Description) ([]byte, error) {
	return json.Marshal(descriptionJSON{d, int64(d.Since)})
}

func decodeDescription(b []byte) (estate.Description, error) {
	var d descriptionJSON
	if err := json.Unmarshal(b, &d); err != nil {
		return estate.Description{}, fmt.Errorf("stored description: %w", err)
	}
	d.Description.Since = estate.Time(d.Since)
	return d.Description, nil
}

// advisoryJSON is a lean estate.Advisory: without Raw, and blanks left out.
type advisoryJSON struct {
	ID         string          `json:"id"`
	Aliases    []string        `json:"aliases,omitempty"`
	Related    []string        `json:"related,omitempty"`
	Upstream   []string        `json:"upstream,omitempty"`
	Published  int64           `json:"published,omitempty"`
	Modified   int64           `json:"modified,omitempty"`
	Withdrawn  int64           `json:"withdrawn,omitempty"`
	Summary    string          `json:"summary,omitempty"`
	Scores     []scoreJSON     `json:"scores,omitempty"`
	Graded     estate.Severity `json:"graded,omitempty"`
	Affected   []affectedJSON  `json:"affected,omitempty"`
	References []referenceJSON `json:"references,omitempty"`
}

type scoreJSON struct {
	Type   string `json:"type,omitempty"`
	Vector string `json:"vector,omitempty"`
}

type referenceJSON struct {
	Type string `json:"type,omitempty"`
	URL  string `json:"url,omitempty"`
}

type affectedJSON struct {
	Ecosystem string      `json:"ecosystem,omitempty"`
	Name      string      `json:"name,omitempty"`
	Purl      string      `json:"purl,omitempty"`
	Ranges    []rangeJSON `json:"ranges,omitempty"`
	Versions  []string    `json:"versions,omitempty"`
	Scores    []scoreJSON `json:"scores,omitempty"`
}

type rangeJSON struct {
	Type   string              `json:"type,omitempty"`
	Repo   string              `json:"repo,omitempty"`
	Events []estate.RangeEvent `json:"events,omitempty"`
}

// each converts a slice; an empty one becomes nil.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

func encodeAdvisory(a estate.Advisory) ([]byte, error) {
	toScore := func(s estate.Score) scoreJSON { return scoreJSON(s) }
	return json.Marshal(advisoryJSON{
		ID: a.ID, Aliases: a.Aliases, Related: a.Related, Upstream: a.Upstream,
		Published: int64(a.Published), Modified: int64(a.Modified), Withdrawn: int64(a.Withdrawn),
		Summary: a.Summary, Scores: each(a.Scores, toScore), Graded: a.Graded,
		Affected: each(a.Affected, func(f estate.Affected) affectedJSON {
			return affectedJSON{f.Ecosystem, f.Name, f.Purl,
				each(f.Ranges, func(r estate.Range) rangeJSON { return rangeJSON(r) }),
				f.Versions, each(f.Scores, toScore)}
		}),
		References: each(a.References, func(r estate.Reference) referenceJSON { return referenceJSON(r) }),
	})
}

func decodeAdvisory(b []byte) (estate.Advisory, error) {
	var a advisoryJSON
	if err := json.Unmarshal(b, &a); err != nil {
		return estate.Advisory{}, fmt.Errorf("stored advisory: %w", err)
	}
	score := func(s scoreJSON) estate.Score { return estate.Score(s) }
	return estate.Advisory{
		ID: a.ID, Aliases: a.Aliases, Related: a.Related, Upstream: a.Upstream,
		Published: estate.Time(a.Published), Modified: estate.Time(a.Modified), Withdrawn: estate.Time(a.Withdrawn),
		Summary: a.Summary, Scores: each(a.Scores, score), Graded: a.Graded,
		Affected: each(a.Affected, func(f affectedJSON) estate.Affected {
			return estate.Affected{Ecosystem: f.Ecosystem, Name: f.Name, Purl: f.Purl,
				Ranges:   each(f.Ranges, func(r rangeJSON) estate.Range { return estate.Range(r) }),
				Versions: f.Versions, Scores: each(f.Scores, score)}
		}),
		References: each(a.References, func(r referenceJSON) estate.Reference { return estate.Reference(r) }),
	}, nil
}

// encodeStrings gives a JSON array, or "" for none.
func encodeStrings(s []string) (string, error) {
	if len(s) == 0 {
		return "", nil
	}
	b, err := json.Marshal(s)
	return string(b), err
}

func decodeStrings(b []byte) ([]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var out []string
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("stored list: %w", err)
	}
	return out, nil
}
