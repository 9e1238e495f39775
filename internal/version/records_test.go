package version

import (
	"archive/zip"
	"encoding/json"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/testdata"
)

// record is what this test needs of an OSV record.
type record struct {
	ID        string
	Withdrawn string
	Affected  []struct {
		Package struct{ Ecosystem, Name string }
		Ranges  []struct {
			Type   string
			Events []estate.RangeEvent
		}
		Versions []string
	}
}

// eachRecord yields every record of an OSV export.
func eachRecord(t *testing.T, path string, yield func(record)) {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		var rec record
		if err := json.Unmarshal(body, &rec); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		yield(rec)
	}
}

// tally counts one ecosystem's checks.
type tally struct {
	records, withdrawn, entries, listed, unparsed, starts, ends, fixes, covered, missed, wrong, problems, empty int
}

// TestRecords holds every record of the optional real data against the matcher:
// what a record enumerates or implies matches, and no fixed version does unless
// the record itself covers it. What a record implies is judged by affectedByOSV,
// which follows the schema's pseudo-code word for word.
func TestRecords(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(testdata.Shared(t), "osv", "*", "all.zip"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no exports: %v", err)
	}
	var sum tally
	for _, path := range paths {
		base := filepath.Base(filepath.Dir(path))
		t.Run(base, func(t *testing.T) {
			var n tally
			eachRecord(t, path, func(rec record) { checkRecord(t, rec, &n) })
			t.Logf("%s: %d records (%d withdrawn), %d package entries; matched %d enumerated versions (%d more are no versions), %d starts, %d ends; %d fixed versions, %d covered by the same record; missed %d, wrong %d; %d problems, %d of them backward or empty intervals",
				base, n.records, n.withdrawn, n.entries, n.listed, n.unparsed, n.starts, n.ends, n.fixes, n.covered, n.missed, n.wrong, n.problems, n.empty)
			if n.missed+n.wrong > 0 {
				t.Errorf("missed %d, wrong %d", n.missed, n.wrong)
			}
			sum.records += n.records
			sum.listed += n.listed
			sum.starts += n.starts
			sum.fixes += n.fixes
		})
	}
	t.Logf("in all: %d records, %d enumerated versions, %d starts, %d fixed versions", sum.records, sum.listed, sum.starts, sum.fixes)
}

func checkRecord(t *testing.T, rec record, n *tally) {
	n.records++
	if rec.Withdrawn != "" {
		n.withdrawn++
	}
	// Entries of one package, all read together: one may cover what another fixes.
	type key struct{ ecosystem, name string }
	entries := map[key][]estate.Affected{}
	for _, a := range rec.Affected {
		aff := estate.Affected{Ecosystem: a.Package.Ecosystem, Name: a.Package.Name, Versions: a.Versions}
		for _, r := range a.Ranges {
			aff.Ranges = append(aff.Ranges, estate.Range{Type: r.Type, Events: r.Events})
		}
		k := key{a.Package.Ecosystem, a.Package.Name}
		entries[k] = append(entries[k], aff)
	}
	for k, affs := range entries {
		e := ParseEcosystem(k.ecosystem)
		var spans []Spans
		backward := map[string]bool{} // starts of intervals that were dropped and reported
		for _, a := range affs {
			n.entries++
			s := Compile(e, a)
			spans = append(spans, s)
			for _, p := range s.Problems {
				n.problems++
				if strings.Contains(p, "before its start") || strings.Contains(p, "is empty") {
					n.empty++
					if _, start, ok := strings.Cut(p, "before its start "); ok {
						backward[start] = true
					}
					t.Logf("%s %s: %s", rec.ID, k.name, p)
				}
			}
		}
		hit := func(raw string) bool {
			v, err := Parse(e, raw)
			if err != nil {
				return false
			}
			for _, s := range spans {
				if in, _ := s.Contains(e, v); in {
					return true
				}
			}
			return false
		}
		must := func(what, raw string) {
			if !hit(raw) {
				n.missed++
				t.Errorf("%s %s: %s %q is missed", rec.ID, k.name, what, raw)
			}
		}
		for _, a := range affs {
			for _, w := range a.Versions {
				if _, err := Parse(e, w); err != nil {
					n.unparsed++
					t.Logf("%s %s: %v", rec.ID, k.name, err)
					continue
				}
				n.listed++
				must("enumerated version", w)
			}
			for _, r := range a.Ranges {
				if r.Type == "GIT" {
					continue
				}
				for _, ev := range r.Events {
					for _, raw := range []string{ev.Introduced, ev.Fixed, ev.LastAffected} {
						if raw == "" || raw == "0" || backward[raw] && raw == ev.Introduced {
							continue
						}
						want := affectedByOSV(t, e, affs, raw)
						if got := hit(raw); got != want && want {
							must("event", raw)
						} else if got != want {
							n.wrong++
							t.Errorf("%s %s: %q matches and should not", rec.ID, k.name, raw)
						}
						switch {
						case ev.Fixed != "" && want:
							n.fixes++
							n.covered++
						case ev.Fixed != "":
							n.fixes++
						case ev.LastAffected != "":
							n.ends++
						case want:
							n.starts++
						}
					}
				}
			}
		}
		for _, s := range spans {
			for _, i := range s.Intervals {
				if i.From != "" {
					must("start", i.From)
					continue
				}
				n.starts++
				if low := below(e, i.To); low != "" {
					must("version below the first fix", low)
				} else {
					t.Errorf("%s %s: found no version below %q to try", rec.ID, k.name, i.To)
				}
			}
		}
	}
}

// below constructs a version just below to, "1" for no end.
func below(e Ecosystem, to string) string {
	if to == "" {
		return "1"
	}
	high, err := Parse(e, to)
	if err != nil {
		return ""
	}
	tries := []string{to + "-0", to + ".dev0", to + "~", to + ".a", to + "-alpha", to + "-dev", to + ".0"}
	// Or the last number that can be lowered, lowered.
	for i := len(to) - 1; i >= 0; i-- {
		if to[i] >= '1' && to[i] <= '9' {
			n, _ := strconv.Atoi(to[i : i+1])
			tries = append(tries, to[:i]+strconv.Itoa(n-1)+to[i+1:])
		}
	}
	for _, s := range append(tries, "0.0.0-0", "0.dev0", "0") {
		if v, err := Parse(e, s); err == nil && v.Compare(high) < 0 {
			return s
		}
	}
	return ""
}

// affectedByOSV is the schema's evaluation, naively.
func affectedByOSV(t *testing.T, e Ecosystem, affs []estate.Affected, raw string) bool {
	v, err := Parse(e, raw)
	if err != nil {
		return false
	}
	for _, a := range affs {
		for _, w := range a.Versions {
			if x, err := Parse(e, w); err == nil && x.Compare(v) == 0 {
				return true
			}
		}
		for _, r := range a.Ranges {
			if r.Type == "GIT" {
				continue
			}
			state := false
			for _, ev := range sortedEvents(e, r.Events) {
				at := ev.Introduced + ev.Fixed + ev.LastAffected
				c := 1
				if at != "0" || ev.Introduced == "" {
					x, err := Parse(e, at)
					if err != nil {
						t.Fatalf("event %q: %v", at, err)
					}
					c = v.Compare(x)
				}
				switch {
				case ev.Introduced != "" && c >= 0:
					state = true
				case ev.Fixed != "" && c >= 0, ev.LastAffected != "" && c > 0:
					state = false
				}
			}
			if state {
				return true
			}
		}
	}
	return false
}

func sortedEvents(e Ecosystem, events []estate.RangeEvent) []estate.RangeEvent {
	var out []estate.RangeEvent
	for _, ev := range events {
		v, _ := Parse(e, ev.Introduced+ev.Fixed+ev.LastAffected)
		i := 0
		if ev.Introduced != "0" {
			for i = len(out); i > 0; i-- {
				w, _ := Parse(e, out[i-1].Introduced+out[i-1].Fixed+out[i-1].LastAffected)
				if out[i-1].Introduced == "0" || w.Compare(v) <= 0 {
					break
				}
			}
		}
		out = append(out[:i], append([]estate.RangeEvent{ev}, out[i:]...)...)
	}
	return out
}
