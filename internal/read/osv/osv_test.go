package osv_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/osv"
	"thymus/internal/read/readtest"
	"thymus/internal/testdata"
)

const full = `{
  "schema_version": "1.7.5",
  "id": "GHSA-aaaa-bbbb-cccc",
  "modified": "2024-05-02T10:00:00Z",
  "published": "2024-05-01T10:00:00.5Z",
  "withdrawn": "2024-06-01T00:00:00Z",
  "aliases": ["CVE-2024-1000", "not/an id"],
  "related": ["CVE-2024-1001"],
  "upstream": ["CVE-2024-1002"],
  "summary": "Prototype pollution",
  "details": "Long text",
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}, {"type": "Ubuntu", "score": "medium"}],
  "affected": [
    {
      "package": {"ecosystem": "npm", "name": "@scope/a", "purl": "pkg:npm/%40scope/a"},
      "severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}],
      "ranges": [
        {"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.3"}, {"introduced": "2.0.0", "last_affected": "2.4.0"}]},
        {"type": "GIT", "repo": "https://git.example/a", "events": [{"introduced": "0"}, {"limit": "abc"}]},
        {"type": "FUTURE", "events": [{"somewhen": "1"}]}
      ],
      "versions": ["1.0.0", "1.1.0"],
      "ecosystem_specific": {"severity": 7, "imports": [{"path": "a"}]},
      "database_specific": {"cvss": null}
    },
    {"package": {"ecosystem": "Quux:12", "name": "b"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]},
    {}
  ],
  "references": [{"type": "FIX", "url": "https://git.example/a/fix"}, {"type": "TELEPATHY", "url": "https://a.example"}],
  "credits": [{"name": "someone"}],
  "database_specific": {"severity": "MODERATE", "cwe_ids": ["CWE-1321"]},
  "from_the_future": {"a": [1, 2, {"b": null}]}
}`

const minimal = `{"id":"MAL-2024-1","modified":"2024-05-02T10:00:00Z","affected":[{"package":{"ecosystem":"PyPI","name":"evil"},"versions":["1"]}]}`

func cases() readtest.Cases {
	return readtest.Cases{
		Good: map[string][]byte{
			"full":    []byte(full),
			"minimal": []byte(minimal),
			"a mark":  []byte("\xEF\xBB\xBF" + minimal),
			"list":    []byte("[" + minimal + "," + full + "]"),
			"query":   []byte(`{"vulns":[` + minimal + `],"next_page_token":"x"}`),
		},
		Bad: map[string]readtest.Bad{
			"no id":            {Body: []byte(`{"modified":"2024-05-02T10:00:00Z"}`), Code: fault.Invalid, Contains: "/id"},
			"blank id":         {Body: []byte(`{"id":"","modified":"2024-05-02T10:00:00Z"}`), Code: fault.Invalid, Contains: "/id"},
			"id with a slash":  {Body: []byte(`{"id":"../../etc/passwd","modified":"2024-05-02T10:00:00Z"}`), Code: fault.Invalid, Contains: "/id"},
			"id with a break":  {Body: []byte(`{"id":"A\nB","modified":"2024-05-02T10:00:00Z"}`), Code: fault.Invalid, Contains: "/id"},
			"id too long":      {Body: []byte(`{"id":"` + strings.Repeat("A", 129) + `","affected":[]}`), Code: fault.Invalid, Contains: "/id"},
			"id of a number":   {Body: []byte(`{"id":7,"affected":[]}`), Code: fault.Invalid, Contains: "/id"},
			"bad time":         {Body: []byte(`{"id":"A-1","modified":"yesterday"}`), Code: fault.Invalid, Contains: "OSV record A-1: line 1, /modified"},
			"withdrawn wrong":  {Body: []byte(`{"id":"A-1","withdrawn":true,"modified":"2024-05-02T10:00:00Z"}`), Code: fault.Invalid, Contains: "/withdrawn"},
			"versions wrong":   {Body: []byte(`{"id":"A-1","affected":[{"versions":[1]}]}`), Code: fault.Invalid, Contains: "/affected/0/versions/0"},
			"events wrong":     {Body: []byte(`{"id":"A-1","affected":[{"ranges":[{"type":"SEMVER","events":{"introduced":"0"}}]}]}`), Code: fault.Invalid, Contains: "/affected/0/ranges/0/events"},
			"NUL in a name":    {Body: []byte(`{"id":"A-1","affected":[{"package":{"name":"a\u0000b"}}]}`), Code: fault.Invalid, Contains: "/affected/0/package/name"},
			"second of a list": {Body: []byte("[" + minimal + ",\n{\"id\":\"A-1\",\"modified\":1}]"), Code: fault.Invalid, Contains: "record 1, which follows line"},
			"empty vulns":      {Body: []byte(`{"vulns":[]}`), Code: fault.Invalid, Contains: "/vulns"},
			"list of null":     {Body: []byte(`[null]`), Code: fault.Invalid, Contains: "record 0"},
			"huge string":      {Body: []byte(`{"id":"A-1","summary":"` + strings.Repeat("x", read.MaxString+1) + `"}`), Code: fault.TooLarge, Contains: "/summary"},
		},
	}
}

func TestReader(t *testing.T) { readtest.Run(t, osv.New(), cases()) }

func FuzzReader(f *testing.F) {
	readtest.Fuzz(f, osv.New(), []byte(full), []byte(minimal), []byte("["+minimal+"]"), []byte(`{"vulns":[`+minimal+`]}`))
}

func at(t *testing.T, s string) estate.Time {
	t.Helper()
	v, err := estate.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDecode(t *testing.T) {
	got, err := osv.Decode([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &estate.Advisory{
		ID:      "GHSA-aaaa-bbbb-cccc",
		Aliases: []string{"CVE-2024-1000"}, Related: []string{"CVE-2024-1001"}, Upstream: []string{"CVE-2024-1002"},
		Published: at(t, "2024-05-01T10:00:00.5Z"), Modified: at(t, "2024-05-02T10:00:00Z"), Withdrawn: at(t, "2024-06-01"),
		Summary: "Prototype pollution",
		Scores: []estate.Score{
			{Type: "CVSS_V3", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
			{Type: "Ubuntu", Vector: "medium"},
		},
		Graded: estate.Medium,
		Affected: []estate.Affected{
			{
				Ecosystem: "npm", Name: "@scope/a", Purl: "pkg:npm/%40scope/a",
				Ranges: []estate.Range{
					{Type: "SEMVER", Events: []estate.RangeEvent{{Introduced: "0"}, {Fixed: "1.2.3"}, {Introduced: "2.0.0"}, {LastAffected: "2.4.0"}}},
					{Type: "GIT", Repo: "https://git.example/a", Events: []estate.RangeEvent{{Introduced: "0"}, {Limit: "abc"}}},
					{Type: "FUTURE"},
				},
				Versions: []string{"1.0.0", "1.1.0"},
				Scores:   []estate.Score{{Type: "CVSS_V4", Vector: "CVSS:4.0/AV:N"}},
			},
			{Ecosystem: "Quux:12", Name: "b", Ranges: []estate.Range{{Type: "ECOSYSTEM", Events: []estate.RangeEvent{{Introduced: "0"}}}}},
		},
		References: []estate.Reference{{Type: "FIX", URL: "https://git.example/a/fix"}, {Type: "TELEPATHY", URL: "https://a.example"}},
		Raw:        []byte(full),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTolerated(t *testing.T) {
	for name, body := range map[string]string{
		"no modified":                 `{"id":"A-1"}`,
		"year 1":                      `{"id":"A-1","published":"0001-01-01T00:00:00Z","modified":"0001-01-01T00:00:00Z"}`,
		"nulls":                       `{"id":"A-1","schema_version":null,"modified":null,"aliases":null,"severity":null,"affected":null,"references":null,"database_specific":null}`,
		"database_specific of a list": `{"id":"A-1","database_specific":[1]}`,
		"severity of a number":        `{"id":"A-1","database_specific":{"severity":7.5}}`,
		"unknown severity":            `{"id":"A-1","database_specific":{"severity":"APOCALYPTIC"}}`,
		"other type of id keys":       `{"ID":"B","Id":[],"id":"A-1"}`,
	} {
		got, err := osv.Decode([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&estate.Advisory{ID: "A-1", Raw: []byte(body)}, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

func TestSummaryFromDetails(t *testing.T) {
	for details, want := range map[string]string{
		"":                               "",
		"\n\n# Impact\nA flaw.":          "Impact",
		"A flaw.\r\nMore.":               "A flaw.",
		strings.Repeat("é", 100):         strings.Repeat("é", 80) + "…",
		"  \n##\n":                       "",
		strings.Repeat("a", 159) + "é x": strings.Repeat("a", 159) + "…",
	} {
		body, _ := json.Marshal(map[string]string{"id": "A-1", "details": details})
		got, err := osv.Decode(body)
		if err != nil || got.Summary != want {
			t.Errorf("details %q: summary %q, %v; want %q", details, got.Summary, err, want)
		}
	}
}

// TestAgreesWithEncodingJSON decodes what the standard library encodes.
func TestAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~é\t"\\]{0,20}`)
		type m = map[string]any
		var events []any
		want := estate.Range{Type: "T" + text.Draw(t, "type")}
		for range rapid.IntRange(0, 4).Draw(t, "events") {
			v := rapid.StringMatching(`[0-9.a-z"]{1,8}`).Draw(t, "version")
			key := rapid.SampledFrom([]string{"introduced", "fixed"}).Draw(t, "key")
			events = append(events, m{key: v})
			if key == "fixed" {
				want.Events = append(want.Events, estate.RangeEvent{Fixed: v})
			} else {
				want.Events = append(want.Events, estate.RangeEvent{Introduced: v})
			}
		}
		summary, name := rapid.StringMatching(`[a-zé"\\/]{1,20}`).Draw(t, "summary"), text.Draw(t, "name")
		body, err := json.Marshal(m{
			"id": "A-1", "summary": summary,
			"affected": []any{m{"package": m{"name": name}, "ranges": []any{m{"type": want.Type, "events": events}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := osv.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&estate.Advisory{
			ID: "A-1", Summary: summary, Raw: body,
			Affected: []estate.Affected{{Name: name, Ranges: []estate.Range{want}}},
		}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestThousandsOfVersions(t *testing.T) {
	versions := make([]string, 50_000)
	for i := range versions {
		versions[i] = fmt.Sprintf("1.%d", i)
	}
	body, _ := json.Marshal(map[string]any{"id": "A-1", "affected": []any{map[string]any{"versions": versions}}})
	got, err := osv.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(versions, got.Affected[0].Versions); diff != "" {
		t.Error(diff)
	}
}

// TestBlanksCostNothing: a list of empty objects must not become one of structs,
// which would take many times the memory of the document.
func TestBlanksCostNothing(t *testing.T) {
	blanks := "[" + strings.Repeat("{},", 1_000_000-1) + "{}]"
	for _, shape := range []string{
		`{"id":"A-1","affected":%s}`, `{"id":"A-1","references":%s}`, `{"id":"A-1","severity":%s}`,
		`{"id":"A-1","affected":[{"ranges":%s}]}`, `{"id":"A-1","affected":[{"ranges":[{"events":%s}]}]}`,
	} {
		body := []byte(strings.Replace(shape, "%s", blanks, 1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := osv.Decode(body); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(body)) {
			t.Errorf("%s: %d bytes were allocated for a document of %d", shape, used, len(body))
		}
	}
}

// export yields the records of an ecosystem's export in the real data.
func export(t testing.TB, path string, each func(name string, raw []byte)) {
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
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		each(f.Name, raw)
	}
}

// TestRealExports decodes every record, and compares counts with a second,
// independent reading of the same text.
func TestRealExports(t *testing.T) {
	paths, _ := filepath.Glob(filepath.Join(testdata.Shared(t), "osv", "*", "all.zip"))
	if len(paths) == 0 {
		t.Skip("skipped: no OSV exports among the real data")
	}
	records, withdrawn := 0, 0
	for _, path := range paths {
		export(t, path, func(name string, raw []byte) {
			var ref struct {
				ID       string
				Aliases  []string
				Affected []struct {
					Package  struct{ Ecosystem, Name string }
					Ranges   []struct{ Events []map[string]string }
					Versions []string
				}
			}
			if err := json.Unmarshal(raw, &ref); err != nil {
				t.Fatal(err)
			}
			if !osv.New().Detect(readtest.Head(raw), nil) {
				t.Errorf("%s: not detected", name)
			}
			a, err := osv.Decode(raw)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			records++
			if a.Withdrawn != 0 {
				withdrawn++
			}
			if a.ID != ref.ID || len(a.Aliases) != len(ref.Aliases) || len(a.Affected) != len(ref.Affected) || !bytes.Equal(a.Raw, raw) {
				t.Fatalf("%s: something was lost: %+v", name, a)
			}
			for i, f := range a.Affected {
				r := ref.Affected[i]
				if f.Ecosystem != r.Package.Ecosystem || f.Name != r.Package.Name || len(f.Ranges) != len(r.Ranges) || len(f.Versions) != len(r.Versions) {
					t.Fatalf("%s: affected %d differs", name, i)
				}
				for j := range f.Ranges {
					n := 0
					for _, e := range r.Ranges[j].Events {
						n += len(e)
					}
					if len(f.Ranges[j].Events) != n {
						t.Fatalf("%s: range %d/%d has %d events, want %d", name, i, j, len(f.Ranges[j].Events), n)
					}
				}
			}
		})
	}
	t.Logf("%d records in %d exports, %d withdrawn", records, len(paths), withdrawn)
	if records < 14_000 || withdrawn == 0 {
		t.Errorf("%d records, %d withdrawn; the real data has 14,950 and 29", records, withdrawn)
	}
}

func BenchmarkDecode(b *testing.B) {
	var raws [][]byte
	size := int64(0)
	export(b, filepath.Join(testdata.Shared(b), "osv", "Go", "all.zip"), func(_ string, raw []byte) {
		raws = append(raws, raw)
		size += int64(len(raw))
	})
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for _, raw := range raws {
			if _, err := osv.Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(raws)), "records")
}
