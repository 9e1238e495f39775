package engine_test

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/testdata"
	"thymus/internal/version"
)

// osvRecord is what the reference reads of a record, with its own eyes.
type osvRecord struct {
	ID        string
	Aliases   []string
	Related   []string
	Withdrawn string
	Affected  []osvAffected
}

type osvAffected struct {
	Package  struct{ Ecosystem, Name, Purl string }
	Versions []string
	Ranges   []osvRange
}

type osvRange struct {
	Type   string
	Events []map[string]string
}

// long tells whether everything is to be tested, and not a sample.
func long() bool { return os.Getenv("THYMUS_LONG") != "" }

// osvArchives returns the advisory archives of the real data, by ecosystem.
func osvArchives(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t), "osv", "*", "all.zip"))
	if err != nil || len(files) != 9 {
		t.Fatalf("archives are %v, %v; want 9", files, err)
	}
	return files
}

func readArchive(t *testing.T, file string) (raw [][]byte, records []osvRecord) {
	t.Helper()
	z, err := zip.OpenReader(file)
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
		if err != nil {
			t.Fatal(err)
		}
		var rec osvRecord
		if err := json.Unmarshal(body, &rec); err != nil {
			t.Fatalf("%s in %s: %v", f.Name, file, err)
		}
		raw, records = append(raw, body), append(records, rec)
	}
	return raw, records
}

func each(raw [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range raw {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func importArchive(t *testing.T, e *engine.Engine, file string) (records []osvRecord, changed int) {
	t.Helper()
	raw, records := readArchive(t, file)
	report, err := e.IngestRecords(context.Background(), "osv", each(raw))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if report.Read != len(raw) || report.Refused != 0 {
		t.Errorf("%s: %d read, %d refused: %v", file, report.Read, report.Refused, report.Refusals)
	}
	return records, report.Changed
}

// matcher asks OSV's question and remembers the answers.
type matcher struct {
	t     *testing.T
	a     *answer.Asker
	asked map[answer.OSVQuery]map[string]bool
}

func (m *matcher) ids(q answer.OSVQuery) map[string]bool {
	if got, ok := m.asked[q]; ok {
		return got
	}
	out := map[string]bool{}
	rs, err := m.a.OSVMatch(context.Background(), q)
	if err != nil {
		m.t.Errorf("%+v: %v", q, err)
	}
	for _, r := range rs {
		out[r.ID] = true
	}
	m.asked[q] = out
	return out
}

// TestAdvisoriesMatchEveryVersion imports nine real databases and asks of each
// version that a record names: what is enumerated or begins an interval is
// matched, and what is fixed is not, unless the same record says otherwise.
func TestAdvisoriesMatchEveryVersion(t *testing.T) {
	e := open(t, t.TempDir(), boutiqueClock)
	type database struct {
		name    string
		records []osvRecord
	}
	var all []database
	for _, file := range osvArchives(t) {
		started := time.Now()
		records, changed := importArchive(t, e, file)
		name := filepath.Base(filepath.Dir(file))
		all = append(all, database{name, records})
		t.Logf("%s: %d records, %d new, in %s", name, len(records), changed, time.Since(started).Round(time.Millisecond))
	}
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	step := 7
	if testing.Short() {
		step = 70
	}
	if long() {
		step = 1
	}
	for _, db := range all {
		m := &matcher{t: t, a: a, asked: map[answer.OSVQuery]map[string]bool{}}
		var n struct{ records, withdrawn, listed, starts, fixed, covered, last, unsorted int }
		bad := 0
		wrong := func(format string, args ...any) {
			t.Helper()
			if bad++; bad <= 15 {
				t.Errorf(db.name+": "+format, args...)
			}
		}
		for i := 0; i < len(db.records); i += step {
			r := &db.records[i]
			n.records++
			for k := range r.Affected {
				af := &r.Affected[k]
				if af.Package.Name == "" || af.Package.Ecosystem == "" {
					continue
				}
				eco := version.ParseEcosystem(af.Package.Ecosystem)
				matches := func(ver string) bool {
					q := answer.OSVQuery{Ecosystem: af.Package.Ecosystem, Name: af.Package.Name, Version: ver}
					if k%2 == 1 && af.Package.Purl != "" {
						q = answer.OSVQuery{Purl: af.Package.Purl, Version: ver}
					}
					return m.ids(q)[r.ID]
				}
				check := func(what, ver string) {
					want := osvAffects(eco, af.Package.Name, r.Affected, ver)
					if got := matches(ver); got != want {
						wrong("%s: %s %s %s (%s): matched %t, want %t", r.ID, af.Package.Ecosystem, af.Package.Name, ver, what, got, want)
					}
				}
				if r.Withdrawn != "" {
					n.withdrawn++
					for _, ver := range af.Versions {
						if matches(ver) {
							wrong("%s is withdrawn and matches %s", r.ID, ver)
						}
					}
					for _, rg := range af.Ranges {
						for _, ev := range rg.Events {
							if from := ev["introduced"]; from != "" && rg.Type != "GIT" && matches(from) {
								wrong("%s is withdrawn and matches %s", r.ID, from)
							}
						}
					}
					continue
				}
				for _, ver := range af.Versions {
					n.listed++
					if !matches(ver) {
						wrong("%s: %s %s %s is enumerated and not matched", r.ID, af.Package.Ecosystem, af.Package.Name, ver)
					}
				}
				for _, rg := range af.Ranges {
					if rg.Type == "GIT" {
						continue
					}
					if backward(eco, rg) {
						n.unsorted++
						t.Logf("%s: %s: the range %v runs backward; not compared", db.name, r.ID, rg.Events)
						continue
					}
					for _, ev := range rg.Events {
						if from, ok := ev["introduced"]; ok {
							n.starts++
							if from == "0" && rg.Type == "SEMVER" {
								from = "0.0.0"
							}
							check("introduced", from)
						}
						if to, ok := ev["fixed"]; ok {
							n.fixed++
							if osvAffects(eco, af.Package.Name, r.Affected, to) {
								n.covered++
							}
							check("fixed", to)
						}
						if to, ok := ev["last_affected"]; ok {
							n.last++
							check("last affected", to)
						}
					}
				}
			}
		}
		t.Logf("%s: %d records sampled, %d withdrawn entries; %d enumerated versions, %d starts, %d fixed (%d of them covered by the same record), %d last affected, %d backward ranges; %d questions; %d wrong",
			db.name, n.records, n.withdrawn, n.listed, n.starts, n.fixed, n.covered, n.last, n.unsorted, len(m.asked), bad)
	}
}

// backward tells whether a range ends before it starts, which the schema's
// evaluation would read as never ending; Thymus leaves it out and reports it.
func backward(eco version.Ecosystem, r osvRange) bool {
	from, open := version.Version{}, false
	for _, ev := range r.Events {
		if raw, ok := ev["introduced"]; ok {
			v, err := version.Parse(eco, raw)
			from, open = v, err == nil && raw != "0"
		}
		for _, kind := range []string{"fixed", "last_affected"} {
			if raw, ok := ev[kind]; ok {
				if v, err := version.Parse(eco, raw); err == nil && open && v.Compare(from) < 0 {
					return true
				}
				open = false
			}
		}
	}
	return false
}

const log4jBill = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,
 "metadata":{"component":{"type":"application","name":"checkout","version":"3.1.0"}},
 "components":[
  {"type":"library","bom-ref":"a","group":"org.apache.logging.log4j","name":"log4j-core","version":"2.14.1","purl":"pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"}]}`

func push(t *testing.T, e *engine.Engine, body string, c estate.Claim) *engine.Receipt {
	t.Helper()
	c.Source = "test"
	r, err := e.Ingest(context.Background(), []byte(body), c)
	if err != nil {
		t.Fatalf("ingest: %v", err)
	}
	return r
}

func affected(t *testing.T, e *engine.Engine, query string) *answer.Affected {
	t.Helper()
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Affected(context.Background(), answer.Scope{}, answer.When{}, query, answer.Page{})
	if err != nil {
		t.Fatalf("affected %s: %v", query, err)
	}
	return got
}

// TestLog4Shell asks the question of the day of real data: an advisory is out,
// are we hit?
func TestLog4Shell(t *testing.T) {
	const cve = "CVE-2021-44228"
	var own, related []string
	e := open(t, t.TempDir(), boutiqueClock)
	for _, file := range osvArchives(t) {
		if name := filepath.Base(filepath.Dir(file)); name != "Maven" && name != "Debian" {
			continue
		}
		records, _ := importArchive(t, e, file)
		for _, r := range records {
			switch {
			case slices.Contains(r.Aliases, cve) || r.ID == cve:
				own = append(own, r.ID)
			case slices.Contains(r.Related, cve):
				related = append(related, r.ID)
			}
		}
	}
	sort.Strings(own)
	sort.Strings(related)
	debian := slices.ContainsFunc(related, func(id string) bool { return strings.HasPrefix(id, "DSA-") })
	if len(own) == 0 || !debian {
		t.Fatalf("the data has %v and related %v", own, related)
	}
	t.Logf("%s is carried by %v and named as related by %v", cve, own, related)

	receipt := push(t, e, log4jBill, estate.Claim{Deploy: true, Environment: "production", At: estate.At(time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC))})
	if receipt.Opened == 0 {
		t.Errorf("the push opened no exposure: %+v", receipt)
	}
	got := affected(t, e, cve)
	if got.State != answer.StateAffected || got.Counts.Running != 1 || got.Counts.Exposures != 1 {
		t.Fatalf("state %s, counts %+v: %s", got.State, got.Counts, got.Verdict)
	}
	var named []string
	for _, a := range got.Advisories {
		for _, id := range append([]string{a.ID}, a.Aliases...) {
			if id != cve {
				named = append(named, id)
			}
		}
	}
	for _, id := range own {
		if !slices.Contains(named, id) {
			t.Errorf("record %s is not among %v", id, named)
		}
	}
	if len(got.Fixes) != 1 || got.Fixes[0].To != "2.17.0" || !slices.Equal(got.Fixes[0].From, []string{"2.14.1"}) || got.Fixes[0].Major {
		t.Errorf("fixes are %+v", got.Fixes)
	}
	var seen []string
	for _, r := range got.Related {
		seen = append(seen, r.ID)
		if r.By != "related" || r.Releases != 0 {
			t.Errorf("related record %+v", r)
		}
	}
	sort.Strings(seen)
	if !slices.Equal(seen, related) {
		t.Errorf("related are %v, want %v", seen, related)
	}
	hit := got.Releases[0]
	if hit.Service != "checkout" || hit.Version != "3.1.0" || len(hit.Packages) != 1 || hit.Packages[0].Fix != "2.17.0" ||
		len(hit.Packages[0].Why) == 0 || hit.Packages[0].Why[0].Line != 4 || hit.Packages[0].Why[0].Evidence != receipt.Evidence {
		t.Errorf("release is %+v", hit)
	}

	t.Run("KEV marks it exploited", func(t *testing.T) {
		if x := got.Advisories[0].Exploited; x != nil {
			t.Fatalf("it is exploited already: %+v", x)
		}
		kev, err := os.ReadFile(filepath.Join(testdata.Shared(t), "feeds", "kev.json"))
		if err != nil {
			t.Fatal(err)
		}
		r := push(t, e, string(kev), estate.Claim{})
		if r.Signals != 1404 {
			t.Errorf("%d rows of KEV, want 1404", r.Signals)
		}
		if !push(t, e, string(kev), estate.Claim{}).Duplicate {
			t.Errorf("the same list again is no duplicate")
		}
		x := affected(t, e, cve).Advisories[0].Exploited
		if x == nil || x.Added != date(2021, 12, 10) || x.Due != date(2021, 12, 24) || !x.Ransomware {
			t.Errorf("exploited is %+v", x)
		}
		a, err := e.Asker(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		yes := true
		list, err := a.Exposures(context.Background(), answer.Scope{}, answer.ExposureQuery{Exploited: &yes})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list.Items, func(x answer.Exposure) bool { return x.Advisory == cve }) {
			t.Errorf("exploited exposures are %v", rows(list.Items))
		}
	})

	t.Run("no feed for an ecosystem in use", func(t *testing.T) {
		push(t, e, `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[
			{"type":"library","name":"left-pad","version":"1.3.0","purl":"pkg:npm/left-pad@1.3.0"}]}`,
			estate.Claim{Subject: estate.Subject{Name: "web", Version: "1"}, Deploy: true, Environment: "production", At: date(2022, 1, 1)})
		const other = "CVE-2021-4104" // log4j 1, which nothing here has
		got := affected(t, e, other)
		if got.State != answer.StateNotAssessed || len(got.NotAssessed) != 1 || got.NotAssessed[0].Kind != "feed" ||
			got.NotAssessed[0].What != "npm" || got.NotAssessed[0].Count != 1 || got.NotAssessed[0].Remedy == "" || !strings.Contains(got.Verdict, "npm") {
			t.Errorf("state %s, gaps %+v: %s", got.State, got.NotAssessed, got.Verdict)
		}
		if got := affected(t, e, cve); got.State != answer.StateAffected || len(got.NotAssessed) != 1 {
			t.Errorf("what is known is not said: %s, %+v", got.State, got.NotAssessed)
		}
		if got := affected(t, e, "CVE-1999-0001"); got.State != answer.StateNotAssessed {
			t.Errorf("an unknown id is %s: %s", got.State, got.Verdict)
		}
		for _, file := range osvArchives(t) {
			if filepath.Base(filepath.Dir(file)) == "npm" {
				importArchive(t, e, file)
			}
		}
		if got := affected(t, e, other); got.State != answer.StateNotAffected || len(got.NotAssessed) != 0 {
			t.Errorf("with the feed: state %s, gaps %+v: %s", got.State, got.NotAssessed, got.Verdict)
		}
	})

	t.Run("a withdrawn record closes", func(t *testing.T) {
		a, err := e.Asker(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		closed := 0
		for _, id := range own {
			row, err := a.Details.Record(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(row.Raw, &doc); err != nil {
				t.Fatal(err)
			}
			doc["withdrawn"], doc["modified"] = "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"
			body, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			closed += push(t, e, string(body), estate.Claim{}).Closed
		}
		got := affected(t, e, cve)
		if closed != 1 || got.State != answer.StateNotAffected || got.Counts.Exposures != 0 || !strings.Contains(got.Verdict, "withdrawn") {
			t.Errorf("%d closed; state %s, counts %+v: %s", closed, got.State, got.Counts, got.Verdict)
		}
		list, err := a.Exposures(context.Background(), answer.Scope{}, answer.ExposureQuery{State: "closed", Advisory: cve})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].ClosedBy != "withdrawn" || list.Items[0].Closed != date(2026, 11, 1) {
			t.Errorf("closed are %v", rows(list.Items))
		}
	})
}

func date(y, m, d int) estate.Time {
	return estate.At(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC))
}
