package engine_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger/sqlite"
)

// seeded is an engine with a little of everything, and its folder.
func seeded(t *testing.T) (*engine.Engine, string) {
	t.Helper()
	dir := t.TempDir()
	e := open(t, dir, boutiqueClock)
	push(t, e, log4jBill, estate.Claim{Deploy: true, Environment: "production"})
	push(t, e, "thymus: estate/v1\napplications:\n  - name: shop\n    services: [checkout]\n", estate.Claim{})
	push(t, e, `{"id":"TEST-0","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Maven","name":"org.apache.logging.log4j:log4j-core"},
		"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"2"},{"fixed":"3"}]}]}]}`, estate.Claim{})
	push(t, e, `{"thymus":"verdict/v1","advisory":"TEST-0","status":"affected"}`, estate.Claim{})
	if _, err := e.Settle(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	return e, dir
}

// stored counts the rows of every table of the ledger that evidence reaches.
func stored(t *testing.T, dir string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.FileName)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]int{}
	for _, table := range []string{"evidence", "body", "claim", "change", "bill", "shape", "package", "subject", "event", "artifact",
		"verdict", "description", "exploited", "likelihood", "advisory", "advisory_revision", "appversion"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatalf("table %s: %v", table, err)
		}
		out[table] = n
	}
	return out
}

// allocated runs f and returns how many bytes it allocated in all, freed or not,
// which bounds what it held at any one time.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostile: each input is refused with a code and a place, costs memory in
// proportion to its size, and leaves nothing behind.
func TestHostile(t *testing.T) {
	e, dir := seeded(t)
	before, rowsBefore := dumpOf(t, e), stored(t, dir)
	inputs := hostileInputs()
	codes := map[fault.Code]int{}
	// A document may cost this much however small it is (buffers, decoders'
	// windows), and this many times its size: the shortest component has 13
	// bytes and takes 250, and a list that grows is copied.
	const free, times = 12 << 20, 120
	worst, worstName := 0.0, ""
	for _, h := range inputs {
		t.Run(h.name, func(t *testing.T) {
			defer func() { rowsBefore = stored(t, dir) }() // the next input is judged by itself
			var r *engine.Receipt
			var err error
			body := []byte(h.body)
			h.claim.Source = "test"
			used := allocated(func() { r, err = e.Ingest(context.Background(), body, h.claim) })
			if err == nil {
				t.Fatalf("it was accepted: %+v", r)
			}
			code := fault.Of(err)
			codes[code]++
			switch {
			case h.code != "" && code != h.code:
				t.Errorf("code %s, want %s: %v", code, h.code, err)
			case !slices.Contains([]fault.Code{fault.Invalid, fault.TooLarge, fault.Unsupported, fault.Usage}, code):
				t.Errorf("code %s: %v", code, err)
			}
			text := err.Error()
			if !strings.Contains(text, h.place) {
				t.Errorf("the message does not name %q: %s", h.place, text)
			}
			if len(text) > 1500 || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("the message is not fit to be shown: %d bytes, %.200q", len(text), text)
			}
			size := len(body) + h.inflates
			if used > uint64(free+times*size) {
				t.Errorf("%d bytes were allocated for %d bytes of input", used, size)
			}
			if size > 1<<16 {
				if ratio := float64(used) / float64(size); ratio > worst {
					worst, worstName = ratio, h.name
				}
			}
			sum := sha256.Sum256(body)
			if _, err := e.Ledger().Evidence(context.Background(), hex.EncodeToString(sum[:])); fault.Of(err) != fault.NotFound {
				t.Errorf("the document was stored: %v", err)
			}
			if diff := cmp.Diff(rowsBefore, stored(t, dir)); diff != "" {
				t.Errorf("rows were stored (-before +after):\n%s", diff)
			}
		})
	}
	sameTables(t, "refusing", before, dumpOf(t, e))
	t.Logf("%d inputs refused: %v; the most memory for its size, %.1f bytes a byte, took %q", len(inputs), codes, worst, worstName)
}

// TestSurvived: what is odd but not wrong is kept, and noted where it costs
// something.
func TestSurvived(t *testing.T) {
	const claims = `"metadata":{"component":{"type":"application","name":"web","version":"1"}},`
	bill := func(rest string) string { return cdxHead + claims + rest + `}` }
	// As many as a list may have; fewer where time is short.
	many := make([]string, 1_000_000)
	if testing.Short() {
		many = many[:100_000]
	}
	for i := range many {
		many[i] = fmt.Sprintf(`"1.%d"`, i)
	}
	noted := func(words string) func(*testing.T, *engine.Engine, *engine.Receipt) {
		return func(t *testing.T, _ *engine.Engine, r *engine.Receipt) {
			t.Helper()
			if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, words) }) {
				t.Errorf("no note says %q: %q", words, r.Notes)
			}
		}
	}
	packages := func(n int, unmatched estate.Unmatched, bad int) func(*testing.T, *engine.Engine, *engine.Receipt) {
		return func(t *testing.T, _ *engine.Engine, r *engine.Receipt) {
			t.Helper()
			if r.Packages != n || r.Unmatched[unmatched] != bad {
				t.Errorf("%d packages, unmatched %v; want %d, and %d for %q", r.Packages, r.Unmatched, n, bad, unmatched)
			}
		}
	}
	matches := func(id, ver string, want bool) func(*testing.T, *engine.Engine, *engine.Receipt) {
		return func(t *testing.T, e *engine.Engine, _ *engine.Receipt) {
			t.Helper()
			a, err := e.Asker(context.Background(), 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.OSVMatch(context.Background(), answer.OSVQuery{Ecosystem: "npm", Name: "odd", Version: ver})
			if err != nil {
				t.Fatal(err)
			}
			if in := slices.ContainsFunc(got, func(r answer.OSVRecord) bool { return r.ID == id }); in != want {
				t.Errorf("%s matches %s: %t, want %t", id, ver, in, want)
			}
		}
	}
	record := func(id, affected string) string {
		return `{"id":"` + id + `","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"odd"},` + affected + `}]}`
	}
	for _, c := range []struct {
		name, body string
		checks     []func(*testing.T, *engine.Engine, *engine.Receipt)
	}{
		{"a cycle of dependencies", bill(`"components":[{"type":"library","bom-ref":"a","name":"a","version":"1","purl":"pkg:npm/a@1"},{"type":"library","bom-ref":"b","name":"b","version":"1","purl":"pkg:npm/b@1"}],
			"dependencies":[{"ref":"a","dependsOn":["b","a"]},{"ref":"b","dependsOn":["a"]}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(2, "", 0), func(t *testing.T, e *engine.Engine, r *engine.Receipt) {
				s, err := e.Ledger().Shape(context.Background(), 1)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([][]int32{{1}, {0}}, s.Depends); diff != "" {
					t.Errorf("the graph (-want +got):\n%s", diff)
				}
				if got := affected(t, e, "pkg:npm/b@1"); got.Counts.Releases != 1 {
					t.Errorf("%s", got.Verdict)
				}
			}}},
		{"a later version of CycloneDX", strings.Replace(bill(`"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]`), `"1.6"`, `"1.99"`, 1),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, "", 0), noted("1.99")}},
		{"a reference given twice", bill(`"components":[{"type":"library","bom-ref":"a","name":"a","version":"1","purl":"pkg:npm/a@1"},{"type":"library","bom-ref":"a","name":"b","version":"1","purl":"pkg:npm/b@1"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(2, "", 0), noted("more than one package")}},
		{"dependencies on nothing", bill(`"components":[{"type":"library","bom-ref":"a","name":"a","version":"1","purl":"pkg:npm/a@1"}],"dependencies":[{"ref":"a","dependsOn":["z"]}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, "", 0), noted(`"z"`)}},
		{"a purl that is none", bill(`"components":[{"type":"library","name":"a","version":"1","purl":"a@1"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, estate.BadPurl, 1)}},
		{"no purl", bill(`"components":[{"type":"library","name":"../../etc/passwd","version":"1"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, estate.NoPurl, 1)}},
		{"a version that is none", bill(`"components":[{"type":"library","name":"a","version":"what","purl":"pkg:npm/a@what"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, estate.BadVersion, 1)}},
		{"a lone surrogate, read as U+FFFD", bill(`"components":[{"type":"library","name":"\ud800","version":"1"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, estate.NoPurl, 1), func(t *testing.T, e *engine.Engine, _ *engine.Receipt) {
				if got := dumpOf(t, e).Packages[0].Name; got != "\uFFFD" {
					t.Errorf("the name is %q", got)
				}
			}}},
		{"an unknown status of OpenVEX, which closes nothing", `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/vex","author":"a","timestamp":"2024-01-01T00:00:00Z","version":1,
			"statements":[{"vulnerability":{"name":"CVE-2024-0001"},"products":[{"@id":"pkg:oci/a"}],"status":"who knows"}]}`,
			[]func(*testing.T, *engine.Engine, *engine.Receipt){func(t *testing.T, e *engine.Engine, _ *engine.Receipt) {
				v := dumpOf(t, e).Verdicts
				if len(v) != 1 || v[0].Status != estate.StatusInvestigate || !strings.Contains(v[0].Reason, "who knows") {
					t.Errorf("verdicts are %+v", v)
				}
			}}},
		{"a byte order mark", "\xEF\xBB\xBF" + bill(`"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, "", 0)}},
		{"UTF-16 in gzip", gzipped([]byte(utf16Of(bill(`"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]`)))),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){packages(1, "", 0)}},
		{"a deployment in the future", `{"thymus":"deployment/v1","environment":"p","at":"2999-01-01","deployments":[{"service":"web","version":"1"}]}`,
			[]func(*testing.T, *engine.Engine, *engine.Receipt){func(t *testing.T, e *engine.Engine, r *engine.Receipt) {
				for _, ev := range dumpOf(t, e).Events {
					if ev.At != r.Known {
						t.Errorf("it is at %s, and was received at %s", ev.At, r.Known)
					}
				}
			}}},
		{"a range that runs backward", record("BACK-1", `"ranges":[{"type":"SEMVER","events":[{"introduced":"3.0.0"},{"fixed":"2.0.0"}]},{"type":"SEMVER","events":[{"introduced":"5.0.0"},{"fixed":"5.1.0"}]}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){matches("BACK-1", "2.5.0", false), matches("BACK-1", "3.0.0", false), matches("BACK-1", "9.0.0", false), matches("BACK-1", "5.0.5", true),
				func(t *testing.T, e *engine.Engine, _ *engine.Receipt) {
					push(t, e, bill(`"components":[{"type":"library","name":"odd","version":"5.0.5","purl":"pkg:npm/odd@5.0.5"}]`), estate.Claim{At: date(2024, 1, 2)})
					a, err := e.Asker(context.Background(), 0)
					if err != nil {
						t.Fatal(err)
					}
					c, err := a.Coverage(context.Background(), answer.Scope{}, answer.When{})
					if err != nil {
						t.Fatal(err)
					}
					if !slices.ContainsFunc(c.Problems, func(p string) bool { return strings.Contains(p, "BACK-1") && strings.Contains(p, "before its start") }) {
						t.Errorf("coverage does not report it: %q", c.Problems)
					}
				}}},
		{"a million enumerated versions", record("MANY-1", `"versions":[`+strings.Join(many, ",")+`]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){matches("MANY-1", fmt.Sprintf("1.%d", len(many)-1), true), matches("MANY-1", "1.1000000", false)}},
		{"a range of an unknown type and one that is good", record("TYPE-1", `"ranges":[{"type":"LUNAR","events":[{"introduced":"0"}]},{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"fixed":"2.0.0"}]}]`),
			[]func(*testing.T, *engine.Engine, *engine.Receipt){matches("TYPE-1", "1.5.0", true), matches("TYPE-1", "2.0.0", false)}},
		{"an ecosystem that nobody knows", `{"id":"ECO-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Mars","name":"odd"},"versions":["1"]}]}`,
			[]func(*testing.T, *engine.Engine, *engine.Receipt){func(t *testing.T, e *engine.Engine, r *engine.Receipt) {
				if r.Advisories != 1 {
					t.Errorf("%+v", r)
				}
			}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t, t.TempDir(), boutiqueClock)
			var r *engine.Receipt
			used := allocated(func() { r = push(t, e, c.body, estate.Claim{}) })
			for _, check := range c.checks {
				check(t, e, r)
			}
			if size := len(c.body); size > 1<<20 {
				t.Logf("%d bytes were allocated for %d bytes, %.1f a byte", used, size, float64(used)/float64(size))
				if used > uint64(100*size) {
					t.Errorf("%d bytes were allocated for %d bytes of input", used, size)
				}
			}
			if push(t, e, c.body, estate.Claim{}).Duplicate != true && !strings.Contains(c.name, "backward") {
				t.Errorf("the same again is no duplicate")
			}
			var all estate.Change = dumpOf(t, e)
			if err := e.Rebuild(context.Background()); err != nil {
				t.Fatalf("rebuild: %v", err)
			}
			sameTables(t, "rebuild", all, dumpOf(t, e))
		})
	}
}

// TestBadRecordsCostOnlyThemselves: in a feed, which nobody can mend, a broken
// record is refused and named, and its neighbours are stored.
func TestBadRecordsCostOnlyThemselves(t *testing.T) {
	good := func(id string) string {
		return `{"id":"` + id + `","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"odd"},"versions":["1.0.0"]}]}`
	}
	bad := []struct{ record, place string }{
		{``, "OSV record"},
		{`{}`, "/id"},
		{`[]`, "OSV record"},
		{"\x00\x01", "line 1"},
		{good("CUT-1")[:60], "CUT-1"},
		{good("TAIL-1") + "x", "TAIL-1"},
		{good("../up"), "/id"},
		{good(`A\u0000B`), "/id"},
		{strings.Replace(good("TYPE-1"), `["1.0.0"]`, `{"a":1}`, 1), "TYPE-1"},
		{strings.Replace(good("NUL-1"), `odd`, `o\u0000dd`, 1), "NUL-1"},
		{strings.Replace(good("UTF-1"), `odd`, "o\xffdd", 1), "UTF-8"},
		{strings.Replace(good("TIME-1"), `2024-01-01T`, `yesterday`, 1), "TIME-1"},
		{strings.Replace(good("DEEP-1"), `"npm"`, strings.Repeat("[", 5000)+strings.Repeat("]", 5000), 1), "DEEP-1"},
		{strings.Replace(good("LONG-1"), `odd`, strings.Repeat("o", 2<<20), 1), "LONG-1"},
	}
	var raw [][]byte
	for n, b := range bad {
		raw = append(raw, []byte(good(fmt.Sprintf("GOOD-%d", n))), []byte(b.record))
	}
	e := open(t, t.TempDir(), boutiqueClock)
	report, err := e.IngestRecords(context.Background(), "osv", each(raw))
	if err != nil {
		t.Fatal(err)
	}
	if report.Read != 2*len(bad) || report.Refused != len(bad) || report.Changed != len(bad) || len(report.Refusals) != len(bad) {
		t.Fatalf("%d read, %d refused, %d stored; want %d, %d, %d: %q", report.Read, report.Refused, report.Changed, 2*len(bad), len(bad), len(bad), report.Refusals)
	}
	for n, b := range bad {
		if !strings.Contains(report.Refusals[n], b.place) || len(report.Refusals[n]) > 500 {
			t.Errorf("refusal %d does not name %s: %.500s", n, b.place, report.Refusals[n])
		}
	}
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.OSVMatch(context.Background(), answer.OSVQuery{Ecosystem: "npm", Name: "odd", Version: "1.0.0"})
	if err != nil || len(got) != len(bad) {
		t.Errorf("%d records match, want %d; %v", len(got), len(bad), err)
	}
}
