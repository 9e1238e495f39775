package readtest

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"strings"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
)

// toy reads {"toy": "CVE-…"} well.
type toy struct{}

func (toy) Name() string { return "toy" }
func (toy) Detect(head []byte, _ map[string]string) bool {
	return bytes.Contains(head, []byte(`"toy"`))
}

func (toy) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		var doc struct{ Toy string }
		err := ctx.Err()
		if err == nil {
			err = json.Unmarshal(in.Body, &doc)
		}
		switch {
		case ctx.Err() != nil:
			yield(nil, fault.New(fault.Unavailable, "stopped: %w", err))
		case err != nil:
			yield(nil, fault.New(fault.Invalid, "document: %w", err))
		case doc.Toy == "" || strings.ContainsRune(doc.Toy, 0):
			yield(nil, fault.New(fault.Invalid, "/toy is missing"))
		default:
			yield(&estate.Exploited{CVE: doc.Toy, List: "toys"}, nil)
		}
	}
}

func TestRunPassesAReaderThatKeepsThePromises(t *testing.T) {
	Run(t, toy{}, Cases{
		Good: map[string][]byte{"one": []byte(`{"toy":"CVE-2024-1"}`)},
		Bad:  map[string]Bad{"blank": {Body: []byte(`{"toy":""}`), Code: fault.Invalid, Contains: "/toy"}},
	})
}

func FuzzToy(f *testing.F) { Fuzz(f, toy{}, []byte(`{"toy":"CVE-2024-1"}`)) }

// broken yields what it is made of.
type broken struct {
	toy
	yields []struct {
		f   estate.Fact
		err error
	}
}

func (b broken) Read(context.Context, read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		for _, y := range b.yields {
			if !yield(y.f, y.err) {
				return
			}
		}
	}
}

func TestFactsSeesBrokenProtocols(t *testing.T) {
	type yields = []struct {
		f   estate.Fact
		err error
	}
	fact, failure := &estate.Exploited{}, fault.New(fault.Invalid, "line 1")
	for want, y := range map[string]yields{
		"neither a fact nor an error": {},
		"a nil fact":                  {{nil, nil}},
		"beside the error":            {{fact, failure}},
		"after the error":             {{nil, failure}, {fact, nil}},
	} {
		if _, err := Facts(t.Context(), broken{yields: y}, read.Input{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestCheckSeesBrokenFacts(t *testing.T) {
	release, who := estate.Subject{Name: "a"}, estate.StatusFixed
	for want, f := range map[string]estate.Fact{
		"Bill.Packages[0].Name holds NUL":    &estate.Bill{Format: "x", Packages: []estate.Component{{Name: "\x00", Parent: -1}}},
		"Bill.Packages[0].Name is not UTF-8": &estate.Bill{Format: "x", Packages: []estate.Component{{Name: "\xff", Parent: -1}}},
		"Bill.Notes[0] has":                  &estate.Bill{Format: "x", Notes: []string{strings.Repeat("a", read.MaxString+1)}},
		"Depends is as long":                 &estate.Bill{Format: "x", Depends: [][]int32{{0}}},
		"Depends[0] holds 1":                 &estate.Bill{Format: "x", Packages: make([]estate.Component, 1), Depends: [][]int32{{1}}},
		"Direct holds -1":                    &estate.Bill{Format: "x", Direct: []int32{-1}},
		"Packages[0].Parent = 0":             &estate.Bill{Format: "x", Packages: make([]estate.Component, 1)},
		"Packages[0].Scope":                  &estate.Bill{Format: "x", Packages: []estate.Component{{Scope: "x", Parent: -1}}},
		"without a format":                   &estate.Bill{},
		"without an advisory":                &estate.Verdict{Status: who},
		"with the status":                    &estate.Verdict{Advisory: "A"},
		"2 scopes":                           &estate.Verdict{Advisory: "A", Status: who, Release: release, Domain: "d"},
		"of no package":                      &estate.Verdict{Advisory: "A", Status: who, Range: "<1"},
		"blank subject":                      &estate.Deployments{Items: make([]estate.Deployment, 1)},
		"without a digest":                   &estate.Packaged{},
		"Advisory without an id":             &estate.Advisory{},
		"score 2":                            &estate.Likelihood{CVE: "A", Score: 2},
		"without a CVE":                      &estate.Exploited{},
	} {
		if err := Check(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
