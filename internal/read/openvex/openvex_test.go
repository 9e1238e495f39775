package openvex_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/openvex"
	"thymus/internal/read/readtest"
	"thymus/internal/testdata"
)

var digest = strings.Repeat("0123456789abcdef", 4)

func doc(statements string) []byte {
	return []byte(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://shop.example/vex/1","author":"Security","timestamp":"2026-01-02T00:00:00Z","version":1,"statements":[` + statements + `]}`)
}

var current = doc(`
  {"vulnerability":{"@id":"https://nvd.nist.gov/vuln/detail/CVE-2026-1","name":"GHSA-aaaa-bbbb-cccc","aliases":["CVE-2026-1"]},
   "products":[
     {"@id":"pkg:oci/cart@sha256%3A` + digest + `?tag=1.4.2","subcomponents":[{"@id":"pkg:npm/a@1.0.0"},{"@id":"pkg:npm/b@2.0.0"},{"@id":"no purl"}]},
     {"@id":"shop/cart@1.4.2"},
     {"@id":"pkg:npm/c@3"},
     {"@id":"https://shop.example/products/cart","identifiers":{"purl":"pkg:docker/shop/cart@1.4.2","cpe23":"cpe:2.3:a:x"},"hashes":{"sha-256":"` + digest + `"}},
     {"@id":"https://shop.example/products/web"}],
   "status":"not_affected","justification":"vulnerable_code_not_in_execute_path","impact_statement":"Never called","status_notes":"Reviewed",
   "timestamp":"2026-01-01T00:00:00Z","last_updated":"2026-01-05T00:00:00Z"},
  {"vulnerability":{"name":"CVE-2026-2"},"products":[{"@id":"cart"}],"status":"affected","action_statement":"Upgrade"},
  {"vulnerability":{"name":"CVE-2026-3"},"products":[{"@id":"cart"}],"status":"mitigated_by_prayer"}`)

var early = []byte(`{"@context":"https://openvex.dev/ns","@id":"x","author":"Security","timestamp":"2023-01-02T00:00:00+01:00","version":"1",
  "statements":[{"vulnerability":"CVE-2023-1","products":["pkg:oci/cart?tag=1","pkg:oci/web"],"subcomponents":["pkg:deb/debian/curl@7.74.0-1.3"],"status":"fixed"}]}`)

func TestReader(t *testing.T) {
	readtest.Run(t, openvex.New(), readtest.Cases{
		Good: map[string][]byte{"current": current, "early": early},
		Bad: map[string]readtest.Bad{
			"no statements":      {Body: doc(``), Code: fault.Invalid, Contains: "/statements"},
			"no vulnerability":   {Body: doc(`{"products":["a"],"status":"fixed"}`), Code: fault.Invalid, Contains: "/statements/0"},
			"unusable id":        {Body: doc(`{"vulnerability":{"name":"a b"},"products":["a"],"status":"fixed"}`), Code: fault.Invalid, Contains: "/statements/0"},
			"no status":          {Body: doc(`{"vulnerability":"CVE-2026-1","products":["a"]}`), Code: fault.Invalid, Contains: "/statements/0"},
			"no product":         {Body: doc(`{"vulnerability":"CVE-2026-1","status":"not_affected"}`), Code: fault.Invalid, Contains: "/statements/0"},
			"empty products":     {Body: doc(`{"vulnerability":"CVE-2026-1","products":[],"status":"not_affected"}`), Code: fault.Invalid, Contains: "/statements/0"},
			"null product":       {Body: doc(`{"vulnerability":"CVE-2026-1","products":[null],"status":"fixed"}`), Code: fault.Invalid, Contains: "/statements/0/products/0"},
			"bad purl":           {Body: doc(`{"vulnerability":"CVE-2026-1","products":["a","pkg:npm"],"status":"fixed"}`), Code: fault.Invalid, Contains: "/statements/0/products/1"},
			"bad digest":         {Body: doc(`{"vulnerability":"CVE-2026-1","products":[{"@id":"a","hashes":{"sha-256":"beef"}}],"status":"fixed"}`), Code: fault.Invalid, Contains: "products/0"},
			"no name":            {Body: doc(`{"vulnerability":"CVE-2026-1","products":["@1.0"],"status":"fixed"}`), Code: fault.Invalid, Contains: "products/0"},
			"bad time":           {Body: doc(`{"vulnerability":"CVE-2026-1","products":["a"],"status":"fixed","timestamp":"soon"}`), Code: fault.Invalid, Contains: "/statements/0/timestamp"},
			"only nameless subs": {Body: doc(`{"vulnerability":"CVE-2026-1","products":[{"@id":"a","subcomponents":["b"]}],"status":"not_affected"}`), Code: fault.Invalid, Contains: "/statements"},
			"too many verdicts": {Body: doc(`{"vulnerability":"CVE-2026-1","status":"fixed","products":["a"` + strings.Repeat(`,"a"`, 1100) +
				`],"subcomponents":["pkg:npm/a"` + strings.Repeat(`,"pkg:npm/a"`, 1000) + `]}`), Code: fault.TooLarge, Contains: "/statements/0"},
		},
	})
}

func FuzzReader(f *testing.F) { readtest.Fuzz(f, openvex.New(), current, early) }

func at(t *testing.T, s string) estate.Time {
	t.Helper()
	v, err := estate.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verdicts(t *testing.T, in read.Input) []*estate.Verdict {
	t.Helper()
	facts, err := readtest.Facts(t.Context(), openvex.New(), in)
	if err != nil {
		t.Fatal(err)
	}
	var out []*estate.Verdict
	for _, f := range facts {
		out = append(out, f.(*estate.Verdict))
	}
	return out
}

func TestVerdicts(t *testing.T) {
	base := estate.Verdict{
		Advisory: "CVE-2026-1", Status: estate.StatusNotAffected,
		Justification: "vulnerable_code_not_in_execute_path", Reason: "Never called\nReviewed",
		Author: "Security", At: at(t, "2026-01-05"),
	}
	with := func(pkg string, release estate.Subject) *estate.Verdict {
		v := base
		v.Package, v.Release = pkg, release
		return &v
	}
	image := estate.Subject{Name: "cart", Version: "1.4.2", Digest: "sha256:" + digest, Derived: true}
	want := []*estate.Verdict{
		with("pkg:npm/a@1.0.0", image),
		with("pkg:npm/b@2.0.0", image),
		with("", estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4.2"}),
		with("pkg:npm/c@3", estate.Subject{}),
		with("", image),
		with("", estate.Subject{Name: "https://shop.example/products/web", Derived: true}),
		{Advisory: "CVE-2026-2", Release: estate.Subject{Name: "cart"}, Status: estate.StatusAffected, Reason: "Upgrade", Author: "Security", At: at(t, "2026-01-02")},
		{Advisory: "CVE-2026-3", Release: estate.Subject{Name: "cart"}, Status: estate.StatusInvestigate, Reason: "status: mitigated_by_prayer", Author: "Security", At: at(t, "2026-01-02")},
	}
	if diff := cmp.Diff(want, verdicts(t, read.Input{Body: current})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	old := estate.Verdict{Advisory: "CVE-2023-1", Package: "pkg:deb/debian/curl@7.74.0-1.3", Status: estate.StatusFixed, Author: "Security", At: at(t, "2023-01-01T23:00:00Z")}
	first, second := old, old
	first.Release = estate.Subject{Name: "cart", Derived: true}
	second.Release = estate.Subject{Name: "web", Derived: true}
	if diff := cmp.Diff([]*estate.Verdict{&first, &second}, verdicts(t, read.Input{Body: early})); diff != "" {
		t.Errorf("early form (-want +got):\n%s", diff)
	}
}

// TestClaimGivesTheProduct: a statement without products is about the release
// that it was pushed for, and about nothing else.
func TestClaimGivesTheProduct(t *testing.T) {
	claim := estate.Claim{Subject: estate.Subject{Name: "cart", Version: "1"}}
	body := doc(`{"vulnerability":"CVE-2026-1","status":"fixed"},{"vulnerability":"CVE-2026-2","status":"fixed","subcomponents":["pkg:npm/a"]}`)
	got := verdicts(t, read.Input{Body: body, Claim: claim})
	if len(got) != 2 || got[0].Release != claim.Subject || got[0].Package != "" || got[1].Release != claim.Subject || got[1].Package != "pkg:npm/a" {
		t.Errorf("got %+v", got)
	}
}

func TestRealDocument(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(testdata.Shared(t), "sboms", "trivy", "openvex.json"))
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	if !openvex.New().Detect(readtest.Head(body), nil) {
		t.Error("not detected")
	}
	want := []*estate.Verdict{{
		Advisory: "CVE-2022-23628", Package: "pkg:golang/github.com/open-policy-agent/opa@v0.35.0",
		Release: estate.Subject{Name: "testdata", Derived: true},
		Status:  estate.StatusNotAffected, Justification: "vulnerable_code_not_in_execute_path", Reason: "The vulnerable code isn't called",
		Author: "Aqua Security", At: at(t, "2024-07-09T11:38:00.115697+04:00"),
	}}
	if diff := cmp.Diff(want, verdicts(t, read.Input{Body: body})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
