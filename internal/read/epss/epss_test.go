package epss_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/epss"
	"thymus/internal/read/readtest"
)

const (
	head = "#model_version:v2025.03.14,score_date:2026-01-02T12:55:00Z\ncve,epss,percentile\n"
	good = head + "CVE-1999-0001,0.01242,0.78\nCVE-2021-44228,0.94358,0.99957\n"
	old  = "cve,epss\r\nCVE-2020-5902,0.65117\r\n"
)

func TestReader(t *testing.T) {
	readtest.Run(t, epss.New(), readtest.Cases{
		Good: map[string][]byte{
			"today":         []byte(good),
			"first form":    []byte(old),
			"a mark":        []byte("\xEF\xBB\xBF" + good),
			"other columns": []byte("cve,epss,new,percentile\nCVE-2024-1,1e-05,x,0\n"),
		},
		Bad: map[string]readtest.Bad{
			"header only":    {Body: []byte(head), Code: fault.Invalid, Contains: "document"},
			"no header":      {Body: []byte("#model_version:v1,score_date:2026-01-02\nCVE-2024-1,0.1,0.2\n"), Code: fault.Invalid, Contains: "line 2"},
			"bad date":       {Body: []byte("#model_version:v1,score_date:soon\n"), Code: fault.Invalid, Contains: "line 1"},
			"bad CVE":        {Body: []byte(head + "CVE-1,0.1,0.2\n"), Code: fault.Invalid, Contains: "line 3"},
			"over 1":         {Body: []byte(head + "CVE-2024-1,1.01,0.2\n"), Code: fault.Invalid, Contains: "line 3"},
			"negative":       {Body: []byte(head + "CVE-2024-1,0.1,-0.2\n"), Code: fault.Invalid, Contains: "line 3"},
			"NaN":            {Body: []byte(head + "CVE-2024-1,NaN,0.2\n"), Code: fault.Invalid, Contains: "line 3"},
			"no score":       {Body: []byte(head + "CVE-2024-1\n"), Code: fault.Invalid, Contains: "line 3"},
			"cut short":      {Body: []byte(head + "CVE-2024-1,0.9,0.9\nCVE-2024-2,0.9"), Code: fault.Invalid, Contains: "line 4"},
			"a long line":    {Body: []byte(head + strings.Repeat("x", 5000) + "\n"), Code: fault.TooLarge, Contains: "line 3"},
			"not UTF-8":      {Body: []byte(head + "CVE-2024-1,\xff,0\n"), Code: fault.Invalid, Contains: "line 3"},
			"another header": {Body: []byte("cve,epss_is_gone\n"), Code: fault.Invalid, Contains: "line 1"},
		},
	})
}

func FuzzReader(f *testing.F) { readtest.Fuzz(f, epss.New(), []byte(good), []byte(old)) }

func TestFacts(t *testing.T) {
	got, err := readtest.Facts(t.Context(), epss.New(), read.Input{Body: []byte(good)})
	if err != nil {
		t.Fatal(err)
	}
	day, _ := estate.ParseTime("2026-01-02T12:55:00Z")
	want := []estate.Fact{
		&estate.Likelihood{CVE: "CVE-1999-0001", Score: 0.01242, Percentile: 0.78, At: day},
		&estate.Likelihood{CVE: "CVE-2021-44228", Score: 0.94358, Percentile: 0.99957, At: day},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestZone reads the dates of files before 2025.
func TestZone(t *testing.T) {
	body := "#model_version:v2023.03.01,score_date:2024-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2024-1,0.5,0.9\n"
	got, err := readtest.Facts(t.Context(), epss.New(), read.Input{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	if at := got[0].(*estate.Likelihood).At.String(); at != "2024-01-01T00:00:00Z" {
		t.Errorf("At = %s", at)
	}
}

func TestEveryLineIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var body strings.Builder
		body.WriteString(head)
		var want []estate.Fact
		day, _ := estate.ParseTime("2026-01-02T12:55:00Z")
		for range rapid.IntRange(1, 3000).Draw(t, "lines") {
			l := &estate.Likelihood{
				CVE:   fmt.Sprintf("CVE-2024-%d", rapid.IntRange(1, 99999).Draw(t, "cve")),
				Score: float64(rapid.IntRange(0, 100000).Draw(t, "score")) / 100000, Percentile: 0.5, At: day,
			}
			fmt.Fprintf(&body, "%s,%.5f,0.5\n", l.CVE, l.Score)
			want = append(want, l)
		}
		got, err := readtest.Facts(t.Context(), epss.New(), read.Input{Body: []byte(body.String())})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
