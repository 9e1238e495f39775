package kev_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/kev"
	"thymus/internal/read/readtest"
	"thymus/internal/testdata"
)

const good = `{
  "title": "CISA Catalog of Known Exploited Vulnerabilities",
  "catalogVersion": "2026.01.02",
  "dateReleased": "2026-01-02T12:00:00.000Z",
  "count": 2,
  "vulnerabilities": [
    {"cveID": "CVE-2021-44228", "vendorProject": "Apache", "product": "Log4j2", "vulnerabilityName": "Log4Shell",
     "dateAdded": "2021-12-10", "dueDate": "2021-12-24", "knownRansomwareCampaignUse": "Known", "notes": "", "cwes": ["CWE-20"]},
    {"cveID": "CVE-2024-1", "dateAdded": "2024-02-03", "knownRansomwareCampaignUse": "Unknown", "from_the_future": {}}
  ]
}`

func TestReader(t *testing.T) {
	entry := func(s string) []byte { return []byte(`{"catalogVersion":"1","vulnerabilities":[` + s + `]}`) }
	readtest.Run(t, kev.New(), readtest.Cases{
		Good: map[string][]byte{"two": []byte(good)},
		Bad: map[string]readtest.Bad{
			"empty":          {Body: entry(``), Code: fault.Invalid, Contains: "/vulnerabilities"},
			"no list":        {Body: []byte(`{"catalogVersion":"1","vulnerabilities":{}}`), Code: fault.Invalid, Contains: "/vulnerabilities"},
			"no CVE":         {Body: entry(`{"dateAdded":"2024-01-01"}`), Code: fault.Invalid, Contains: "/vulnerabilities/0"},
			"bad CVE":        {Body: entry(`{"cveID":"CVE-x","dateAdded":"2024-01-01"}`), Code: fault.Invalid, Contains: "/vulnerabilities/0/cveID"},
			"no date":        {Body: entry(`{"cveID":"CVE-2024-1"}`), Code: fault.Invalid, Contains: "CVE-2024-1"},
			"bad date":       {Body: entry(`{"cveID":"CVE-2024-1","dateAdded":"01/02/2024"}`), Code: fault.Invalid, Contains: "/vulnerabilities/0/dateAdded"},
			"second is null": {Body: entry(`{"cveID":"CVE-2024-1","dateAdded":"2024-01-01"},null`), Code: fault.Invalid, Contains: "/vulnerabilities/1"},
		},
	})
}

func FuzzReader(f *testing.F) { readtest.Fuzz(f, kev.New(), []byte(good)) }

func TestFacts(t *testing.T) {
	got, err := readtest.Facts(t.Context(), kev.New(), read.Input{Body: []byte(good)})
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) estate.Time {
		v, err := estate.ParseTime(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := []estate.Fact{
		&estate.Exploited{CVE: "CVE-2021-44228", List: "CISA KEV", Added: day("2021-12-10"), Due: day("2021-12-24"), Ransomware: true, Note: "Log4Shell"},
		&estate.Exploited{CVE: "CVE-2024-1", List: "CISA KEV", Added: day("2024-02-03")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRealCatalogue counts what the published catalogue holds.
func TestRealCatalogue(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(testdata.Shared(t), "feeds", "kev.json"))
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	if !kev.New().Detect(readtest.Head(body), nil) {
		t.Error("not detected")
	}
	var ref struct {
		Count           int
		Vulnerabilities []struct{ KnownRansomwareCampaignUse string }
	}
	if err := json.Unmarshal(body, &ref); err != nil {
		t.Fatal(err)
	}
	ransomware := 0
	for _, v := range ref.Vulnerabilities {
		if v.KnownRansomwareCampaignUse == "Known" {
			ransomware++
		}
	}
	facts, err := readtest.Facts(t.Context(), kev.New(), read.Input{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, f := range facts {
		if err := readtest.Check(f); err != nil {
			t.Error(err)
		}
		if f.(*estate.Exploited).Ransomware {
			got++
		}
	}
	t.Logf("%d entries, %d used by ransomware", len(facts), got)
	if len(facts) != ref.Count || got != ransomware {
		t.Errorf("%d entries and %d used by ransomware; want %d and %d", len(facts), got, ref.Count, ransomware)
	}
}
