// Package ledgertest is the definition of a ledger: the conformance suite that
// every implementation of ledger.Ledger passes. An implementation's test calls
// Run with a function that opens it; the suite opens, closes and opens again.
package ledgertest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// Fold is the folding of package names with which the suite expects a ledger
// to be opened: lower case, and in PyPI "_" is "-".
func Fold(ecosystem, name string) string {
	name = strings.ToLower(name)
	if ecosystem == "PyPI" {
		name = strings.ReplaceAll(name, "_", "-")
	}
	return name
}

// Run runs the suite. open opens the ledger in dir, with Fold; opening a
// directory again, after Close, gives the same ledger. The suite closes what it
// opens.
func Run(t *testing.T, open func(t *testing.T, dir string) ledger.Ledger) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"duplicates", duplicates},
		{"lanes", lanes},
		{"known rises", knownRises},
		{"every kind of fact", everyFact},
		{"refused entries", refused},
		{"parallel appends", parallel},
		{"neighbours of a refused entry", neighbours},
		{"load at a past time", loadPast},
		{"load in chunks", loadChunks},
		{"load ends with its caller", loadEnds},
		{"evidence", evidence},
		{"shapes", shapes},
		{"records", records},
		{"records of unused packages", unusedRecords},
		{"record leaves a package", recordLeaves},
		{"refused records", refusedRecords},
		{"ecosystems", ecosystems},
		{"signals", signals},
		{"many likelihoods", manyLikelihoods},
		{"application versions", appVersions},
		{"values", values},
		{"rebuild", rebuild},
		{"rebuild with another reader", rebuildChanged},
		{"rebuild that fails", rebuildFails},
		{"rebuild after retention", rebuildRetained},
		{"retention", retention},
		{"closed", closed},
		{"ended context", endedContext},
		{"reopen", reopen},
		{"model", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{dir: t.TempDir(), open: open}
			s.reopen(t)
			t.Cleanup(func() { s.close(t) })
			c.test(t, s)
		})
	}
}

// suite is one ledger under test.
type suite struct {
	ledger.Ledger
	dir  string
	open func(t *testing.T, dir string) ledger.Ledger
}

func (s *suite) close(t *testing.T) {
	t.Helper()
	if s.Ledger == nil {
		return
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s.Ledger = nil
}

func (s *suite) reopen(t *testing.T) {
	t.Helper()
	s.close(t)
	s.Ledger = s.open(t, s.dir)
}

// add appends an entry that must be accepted as new.
func (s *suite) add(t *testing.T, e ledger.Entry) ledger.Outcome {
	t.Helper()
	out, err := s.Append(context.Background(), e)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if out.Duplicate {
		t.Fatalf("Append: a new entry is called a duplicate")
	}
	return out
}

func (s *suite) addRecords(t *testing.T, rs ...ledger.Record) estate.Change {
	t.Helper()
	c, err := s.AppendRecords(context.Background(), rs)
	if err != nil {
		t.Fatalf("AppendRecords: %v", err)
	}
	return c
}

// load returns what Load yields at a time as one change, and checks the feed's
// own rules: Seq rises, nothing refers to a package or subject not yet seen,
// and ids are dense.
func (s *suite) load(t failer, known estate.Time) estate.Change {
	t.Helper()
	var all estate.Change
	err := s.Load(context.Background(), known, func(c estate.Change) error {
		if c.Seq <= all.Seq {
			return fmt.Errorf("Seq %d follows %d", c.Seq, all.Seq)
		}
		all.Seq = c.Seq
		merge(&all, c)
		for i, p := range all.Packages {
			if int(p.ID) != i+1 {
				return fmt.Errorf("package %d has id %d", i+1, p.ID)
			}
		}
		for i, r := range all.Subjects {
			if int(r.ID) != i+1 {
				return fmt.Errorf("subject %d has id %d", i+1, r.ID)
			}
		}
		for i, b := range all.Bills {
			if int(b.ID) != i+1 {
				return fmt.Errorf("bill %d has id %d", i+1, b.ID)
			}
			if int(b.Subject) > len(all.Subjects) {
				return fmt.Errorf("bill %d: subject %d is not there yet", b.ID, b.Subject)
			}
			if !slices.IsSorted(b.Packages) || len(b.Packages) > 0 && int(slices.Max(b.Packages)) > len(all.Packages) {
				return fmt.Errorf("bill %d: packages %v are not sorted, or not there yet", b.ID, b.Packages)
			}
		}
		for _, e := range c.Events {
			if int(e.Subject) > len(all.Subjects) {
				return fmt.Errorf("event %d: subject %d is not there yet", e.ID, e.Subject)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	slices.SortFunc(all.Advisories, func(a, b estate.AdvisoryRow) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// merge adds the rows of a change to another.
func merge(into *estate.Change, c estate.Change) {
	into.Packages = append(into.Packages, c.Packages...)
	into.Subjects = append(into.Subjects, c.Subjects...)
	into.Bills = append(into.Bills, c.Bills...)
	into.Events = append(into.Events, c.Events...)
	into.Artifacts = append(into.Artifacts, c.Artifacts...)
	into.Verdicts = append(into.Verdicts, c.Verdicts...)
	into.Advisories = append(into.Advisories, c.Advisories...)
	into.Exploited = append(into.Exploited, c.Exploited...)
	into.Likelihoods = append(into.Likelihoods, c.Likelihoods...)
	into.Descriptions = append(into.Descriptions, c.Descriptions...)
	into.AppVersions = append(into.AppVersions, c.AppVersions...)
}

func same(t failer, what string, got, want any) {
	t.Helper()
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, d)
	}
}

func wantCode(t *testing.T, what string, err error, code fault.Code) {
	t.Helper()
	if fault.Of(err) != code {
		t.Fatalf("%s: code %q (%v), want %q", what, fault.Of(err), err, code)
	}
}

// doc makes evidence of a body.
func doc(body string) ledger.Evidence {
	sum := sha256.Sum256([]byte(body))
	return ledger.Evidence{SHA256: hex.EncodeToString(sum[:]), Format: "test", Body: []byte(body)}
}

// pkg makes a package of an npm-like key: "name@version".
func pkg(ecosystem, name, version string) estate.Package {
	return estate.Package{Key: "pkg:" + strings.ToLower(ecosystem) + "/" + name + "@" + version, Name: name, Version: version,
		Ecosystem: ecosystem, Match: [2]estate.Coordinate{{Name: name, Version: version}}}
}

func subject(name, version string) estate.Subject {
	return estate.Subject{Name: name, Version: version}
}

// bill makes a fact of a bill of npm packages.
func bill(sub estate.Subject, names ...string) ledger.Fact {
	b := &ledger.NewBill{Subject: sub, Format: "test 1", Generator: "gen", At: 5}
	for _, n := range names {
		name, version, _ := strings.Cut(n, "@")
		b.Packages = append(b.Packages, pkg("npm", name, version))
	}
	return ledger.Fact{Bill: b}
}

// entry makes an entry with a body of its own.
func entry(body string, known estate.Time, facts ...ledger.Fact) ledger.Entry {
	return ledger.Entry{Evidence: doc(body), Claim: estate.Claim{Source: "test"}, Known: known, Facts: facts}
}

// advisory makes a record on packages written "ecosystem/name".
func advisory(id string, modified, known estate.Time, names ...string) ledger.Record {
	a := estate.Advisory{ID: id, Published: 10, Modified: modified, Summary: fmt.Sprintf("%s as of %d", id, modified),
		Raw: fmt.Appendf(nil, `{"id":%q,"modified":%d}`, id, modified)}
	for _, n := range names {
		ecosystem, name, _ := strings.Cut(n, "/")
		a.Affected = append(a.Affected, estate.Affected{Ecosystem: ecosystem, Name: name,
			Ranges: []estate.Range{{Type: "SEMVER", Events: []estate.RangeEvent{{Introduced: "0"}, {Fixed: "2.0.0"}}}}})
	}
	return ledger.Record{Advisory: a, Source: "osv", Known: known}
}

// ids lists the record ids of rows with their revisions: "A#2".
func ids(rows []estate.AdvisoryRow) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s#%d", r.ID, r.Revision))
	}
	slices.Sort(out)
	return out
}
