package verdict_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/readtest"
	"thymus/internal/read/verdict"
)

const (
	service = `{"thymus":"verdict/v1","advisory":"CVE-2021-44228","service":"shop/cart","environment":"production",
		"status":"not_affected","justification":"vulnerable_code_not_present","reason":"the class is removed","author":"kim",
		"at":"2026-02-01T00:00:00Z","expires":"2026-08-01T00:00:00Z"}`
	release = `{"thymus":"verdict/v1","advisory":"GHSA-jfh8-c2jp-5v3q","package":"pkg:maven/org.apache.logging.log4j/log4j-core",
		"range":"<2.15.0","release":"cart@1.4.2","status":"fixed"}`
)

func TestReader(t *testing.T) {
	readtest.Run(t, verdict.New(), readtest.Cases{
		Good: map[string][]byte{"service": []byte(service), "release": []byte(release)},
		Bad: map[string]readtest.Bad{
			"no advisory":      {Body: []byte(`{"thymus":"verdict/v1","status":"fixed"}`), Code: fault.Invalid, Contains: "/advisory"},
			"unknown status":   {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fine"}`), Code: fault.Invalid, Contains: "/status"},
			"two scopes":       {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","service":"a","domain":"b"}`), Code: fault.Invalid, Contains: "only one"},
			"unknown member":   {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","scope":"a"}`), Code: fault.Invalid, Contains: "scope"},
			"range alone":      {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","range":"<1"}`), Code: fault.Invalid, Contains: "/range"},
			"expired at once":  {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","at":"2026-02-01T00:00:00Z","expires":"2026-01-01T00:00:00Z"}`), Code: fault.Invalid, Contains: "/expires"},
			"service, version": {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","service":"a@1"}`), Code: fault.Invalid, Contains: "/release"},
			"release alone":    {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","release":"a"}`), Code: fault.Invalid, Contains: "/service"},
			"no purl":          {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","package":"left pad"}`), Code: fault.Invalid, Contains: "/package"},
			"two documents":    {Body: []byte(release + release), Code: fault.Invalid, Contains: "byte"},
			"member twice":     {Body: []byte(`{"thymus":"verdict/v1","advisory":"A","status":"fixed","status":"affected"}`), Code: fault.Invalid, Contains: "status"},
		},
	})
}

func TestFact(t *testing.T) {
	facts, err := readtest.Facts(context.Background(), verdict.New(), read.Input{Body: []byte(service)})
	if err != nil {
		t.Fatal(err)
	}
	at, _ := estate.ParseTime("2026-02-01")
	until, _ := estate.ParseTime("2026-08-01")
	want := []estate.Fact{&estate.Verdict{Advisory: "CVE-2021-44228", Release: estate.Subject{Namespace: "shop", Name: "cart"},
		Environment: "production", Status: estate.StatusNotAffected, Justification: "vulnerable_code_not_present",
		Reason: "the class is removed", Author: "kim", At: at, Expires: until}}
	if d := cmp.Diff(want, facts); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
}

func FuzzRead(f *testing.F) {
	readtest.Fuzz(f, verdict.New(), []byte(service), []byte(release))
}
