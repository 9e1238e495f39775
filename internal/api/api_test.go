package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/access"
	"thymus/internal/fault"
)

// needs says, apart from the table in rules.go, who may use a route: a route
// that is added must be added here too.
var needs = map[string]string{
	"GET /api/v1/affected": "reader", "GET /api/v1/apps": "reader", "GET /api/v1/apps/{name}": "reader",
	"GET /api/v1/apps/{name}/versions": "reader", "GET /api/v1/apps/{name}/diff": "reader", "GET /api/v1/apps/{name}/export": "reader",
	"GET /api/v1/services": "reader", "GET /api/v1/service": "reader", "GET /api/v1/release": "reader", "GET /api/v1/package": "reader",
	"GET /api/v1/exposures": "reader", "GET /api/v1/fixes": "reader", "GET /api/v1/coverage": "reader", "GET /api/v1/metrics": "reader",
	"GET /api/v1/feeds": "reader", "GET /api/v1/me": "reader", "GET /api/v1/events": "reader", "GET /api/v1/evidence/{sha256}": "unlimited reader",
	"POST /api/v1/ingest": "publisher", "POST /api/v1/deployments": "publisher", "POST /api/v1/undeployments": "publisher", "POST /api/v1/verdicts": "publisher",
	"POST /api/v1/settle": "unlimited publisher",
	"GET /api/v1/tokens":  "admin", "POST /api/v1/tokens": "admin", "DELETE /api/v1/tokens/{id}": "admin",
	"POST /api/v1/rebuild": "admin", "POST /api/v1/retention": "admin",
	"POST /api/v1/feeds/update": "admin", "POST /api/v1/feeds/import": "admin", "GET /api/v1/feeds/export": "admin",
	"GET /api/v1/openapi.json": "nobody", "GET /api/v1/openapi.yaml": "nobody", "GET /healthz": "nobody", "GET /readyz": "nobody",
	"GET /metrics":       "reader", // from another machine
	"POST /osv/v1/query": "reader", "POST /osv/v1/querybatch": "reader", "GET /osv/v1/vulns/{id}": "reader",
	"PUT /api/v1/bom": "publisher", "POST /api/v1/bom": "publisher", "GET /api/v1/bom/token/{uuid}": "reader",
	"GET /api/v1/event/token/{uuid}": "reader", "GET /api/v1/project/lookup": "reader", "GET /api/v1/team/self": "reader", "GET /api/version": "nobody",
	"PUT /dtrack/api/v1/bom": "publisher", "POST /dtrack/api/v1/bom": "publisher", "GET /dtrack/api/v1/bom/token/{uuid}": "reader",
	"GET /dtrack/api/v1/event/token/{uuid}": "reader", "GET /dtrack/api/v1/project/lookup": "reader", "GET /dtrack/api/v1/team/self": "reader", "GET /dtrack/api/version": "nobody",
}

func TestEveryRouteHasARule(t *testing.T) {
	r := newRig(t, nil)
	registered := slices.Sorted(slices.Values(r.s.mux.patterns))
	if d := cmp.Diff(slices.Sorted(maps.Keys(r.s.rules)), registered); d != "" {
		t.Errorf("rules (-) and routes (+) differ: %s", d)
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(needs)), registered); d != "" {
		t.Errorf("this test (-) and routes (+) differ: %s", d)
	}
	for pattern, rule := range r.s.rules {
		if rule.body <= 0 || rule.timeout <= 0 && pattern != "GET /api/v1/events" {
			t.Errorf("%s has no limit: %+v", pattern, rule)
		}
		if rule.etag && !strings.HasPrefix(pattern, "GET ") {
			t.Errorf("%s cannot have an entity tag", pattern)
		}
	}
	r.s.mux.HandleFunc("GET /api/v1/forgotten", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") })
	for _, kind := range []string{"", "admin", "socket"} {
		if w := r.do(kind, "GET", "/api/v1/forgotten", ""); w.Code != http.StatusForbidden {
			t.Errorf("a route without a rule answers %q with %d", kind, w.Code)
		}
	}
}

func TestRolesAndRoutes(t *testing.T) {
	kinds := map[string]int{"": 0, "reader": 1, "limited reader": 1, "publisher": 2, "limited publisher": 2, "admin": 3, "socket": 3}
	level := map[string]int{"nobody": 0, "reader": 1, "unlimited reader": 1, "publisher": 2, "unlimited publisher": 2, "admin": 3}
	r := newRig(t, nil)
	r.e.err = fault.New(fault.Conflict, "reached the engine")
	close(r.e.events)
	checked := 0
	for pattern, need := range needs {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{name}", "x", "{sha256}", strings.Repeat("a", 64), "{id}", "GHSA-1", "{uuid}", "u").Replace(path)
		for kind, has := range kinds {
			w := r.do(kind, method, path, "")
			want := 0
			switch {
			case has >= level[need] && !(strings.HasPrefix(need, "unlimited ") && strings.HasPrefix(kind, "limited")):
			case kind == "":
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			limited := strings.HasPrefix(kind, "limited") && need == "publisher" // must name a service
			switch {
			case want != 0 && w.Code != want:
				t.Errorf("%s as %q: %d, want %d", pattern, kind, w.Code, want)
			case want == 0 && !limited && (w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden):
				t.Errorf("%s as %q: %d, want it to pass", pattern, kind, w.Code)
			}
			checked++
		}
		for _, bad := range []string{"Bearer ", "Bearer thy_x", "Basic " + r.tokens["admin"], r.tokens["admin"]} {
			if w := r.do("", method, path, "", "Authorization", bad); need != "nobody" && w.Code != http.StatusUnauthorized && w.Code != http.StatusTooManyRequests {
				t.Errorf("%s with %q: %d", pattern, bad, w.Code)
			}
		}
	}
	t.Logf("%d routes × %d callers", len(needs), checked/len(needs))
}

func TestAuthentication(t *testing.T) {
	r := newRig(t, nil)
	if w := r.do("", "GET", "/api/v1/me", "", "X-Api-Key", r.tokens["limited reader"]); w.Code != 200 || !strings.Contains(w.Body.String(), `"domains":["shop"]`) {
		t.Errorf("X-Api-Key: %d %s", w.Code, w.Body)
	}
	w := r.do("", "GET", "/api/v1/me", "")
	r.problem(w, 401, fault.Unauthenticated)
	if w.Header().Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	req := httptest.NewRequest("GET", "/api/v1/me", nil)
	req = req.WithContext(access.With(req.Context(), access.Local()))
	rec := httptest.NewRecorder()
	r.s.ServeHTTP(rec, req)
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"role":"admin"`) {
		t.Errorf("a principal in the context: %d %s", rec.Code, rec.Body)
	}
	for i := range 25 {
		if w := r.do("", "GET", "/api/v1/me", "", "Authorization", "Bearer thy_"+strings.Repeat("x", 43)); i > 21 && w.Code != http.StatusTooManyRequests {
			t.Errorf("guess %d: %d", i, w.Code)
		}
	}

	r = newRig(t, func(o *Options) { o.Rate, o.Burst = 0.001, 2 })
	for i, want := range []int{200, 200, 429} {
		w := r.do("reader", "GET", "/api/v1/me", "")
		if w.Code != want || want == 429 && w.Header().Get("Retry-After") == "" {
			t.Errorf("request %d: %d, want %d", i, w.Code, want)
		}
	}
	if w := r.do("publisher", "GET", "/api/v1/me", ""); w.Code != 200 {
		t.Errorf("another token: %d", w.Code)
	}
	if w := r.do("socket", "GET", "/api/v1/me", ""); w.Code != 200 {
		t.Errorf("socket: %d", w.Code)
	}
}

func TestQuestions(t *testing.T) {
	r := newRig(t, nil)
	for path, want := range map[string]string{
		"/affected?q=CVE-2021-44228&limit=7&after=x&brief=true&at=2026-01-02": `affected {false []} 2026-01-02T00:00:00Z CVE-2021-44228 {Limit:7 After:x Brief:true}`,
		"/apps":                                   "apps",
		"/apps/shop%2Ffront":                      "app shop/front",
		"/apps/shop/versions?limit=3":             "versions shop {3  false}",
		"/apps/shop/diff?from=1&to=2":             "diff shop 1 2",
		"/apps/shop/export?version=4&format=spdx": "export shop 4 spdx",
		"/apps/shop/export":                       "export shop 0 cyclonedx",
		"/services?text=c&domain=d&team=t&application=a&environment=e":                    "services {Text:c Domain:d Team:t Application:a Environment:e} {0  false}",
		"/release?name=shop/cart@1.4":                                                     "release shop/cart@1.4",
		"/package?q=pkg:npm/%40babel/core":                                                "package pkg:npm/@babel/core",
		"/exposures?advisory=A&min_severity=HIGH&exploited=true&overdue=false&sort=-epss": "exposures {false []} A high exploited=true overdue=false {0  false}",
		"/fixes":                                "fixes {false []}",
		"/coverage":                             "coverage",
		"/metrics?application=a&environment=e":  "metrics a e",
		"/evidence/" + strings.Repeat("AB", 32): "evidence " + strings.Repeat("ab", 32),
	} {
		w := r.do("reader", "GET", "/api/v1"+path, "")
		if w.Code != 200 || r.e.last() != want {
			t.Errorf("%s: %d %s; asked %q, want %q", path, w.Code, w.Body, r.e.last(), want)
		}
	}
	if w := r.do("reader", "GET", "/api/v1/service?name=shop/cart", ""); w.Code != 200 {
		t.Errorf("service: %d %s", w.Code, w.Body)
	}
	if w := r.do("limited reader", "GET", "/api/v1/affected?q=x", ""); w.Code != 200 || !strings.HasPrefix(r.e.last(), "affected {true [shop]}") {
		t.Errorf("scope: %q", r.e.last())
	}
	if w := r.do("reader", "GET", "/api/v1/apps?known=2026-01-02T03:04:05Z", ""); w.Code != 200 || !slices.Contains(r.e.asked, "known 2026-01-02T03:04:05Z") {
		t.Errorf("known: %q", r.e.asked)
	}
	w := r.do("reader", "GET", "/api/v1/evidence/"+strings.Repeat("a", 64), "")
	if h := w.Header(); h.Get("Content-Type") != "application/octet-stream" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a browser may act on evidence: %v", h)
	}

	for _, bad := range []string{
		"/affected", "/affected?q=x&at=yesterday", "/affected?q=x&limit=501", "/affected?q=x&limit=many", "/exposures?min_severity=bad",
		"/exposures?exploited=maybe", "/exposures?state=x", "/exposures?sort=x", "/exposures?min_epss=2", "/apps/x/diff?from=1",
		"/apps/x/export?format=pdf", "/evidence/abc", "/service",
	} {
		r.problem(r.do("reader", "GET", "/api/v1"+bad, ""), 400, fault.Invalid)
	}
}

func TestProblems(t *testing.T) {
	r := newRig(t, nil)
	r.e.err = errors.New("disk /var/secret is gone")
	p := r.problem(r.do("reader", "GET", "/api/v1/coverage", ""), 500, fault.Internal)
	if p.Incident == "" || strings.Contains(p.Detail, "secret") || !strings.Contains(r.log.String(), p.Incident) || !strings.Contains(r.log.String(), "/var/secret") {
		t.Errorf("%+v, log %s", p, r.log)
	}
	r.e.err = nil
	p = r.problem(r.do("reader", "GET", "/api/v1/metrics?application=panic", ""), 500, fault.Internal)
	if p.Incident == "" || strings.Contains(p.Detail, "secret") || !strings.Contains(r.log.String(), "secret detail") {
		t.Errorf("%+v", p)
	}
	for code, status := range map[fault.Code]int{
		fault.NotFound: 404, fault.Ambiguous: 409, fault.NotAssessed: 422, fault.Unavailable: 503, fault.Failed: 422, fault.Unsupported: 415,
	} {
		r.e.err = fmt.Errorf("question: %w", fault.New(code, "because"))
		if p := r.problem(r.do("reader", "GET", "/api/v1/coverage", ""), status, code); p.Detail != "question: because" {
			t.Errorf("%+v", p)
		}
	}
	r.e.err = context.DeadlineExceeded
	r.problem(r.do("reader", "GET", "/api/v1/coverage", ""), 503, fault.Unavailable)
	r.e.err = nil
	r.problem(r.do("reader", "GET", "/api/v1/none", ""), 404, fault.NotFound)
	if w := r.do("reader", "DELETE", "/api/v1/apps", ""); w.Header().Get("Allow") != "GET" {
		t.Errorf("Allow %q", w.Header().Get("Allow"))
	} else {
		r.problem(w, 405, fault.Invalid)
	}
	r.problem(r.do("admin", "POST", "/api/v1/verdicts", `{"advisory":"A","status":"maybe"}`), 400, fault.Invalid)
	r.problem(r.do("admin", "POST", "/api/v1/verdicts", `{`), 400, fault.Invalid)
	r.problem(r.do("admin", "POST", "/api/v1/verdicts", `{"advisory":"`+strings.Repeat("x", 1<<20)+`"}`), 413, fault.TooLarge)
	r.problem(r.do("publisher", "POST", "/api/v1/ingest", ""), 400, fault.Invalid)
	big := httptest.NewRequest("POST", "/api/v1/ingest", strings.NewReader("x"))
	big.ContentLength = document + 1
	big.Header.Set("Authorization", "Bearer "+r.tokens["publisher"])
	w := httptest.NewRecorder()
	r.s.ServeHTTP(w, big)
	r.problem(w, 413, fault.TooLarge)
}

func TestEntityTags(t *testing.T) {
	r := newRig(t, nil)
	tag := r.do("reader", "GET", "/api/v1/apps", "").Header().Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	again := func(kind, path string) int { return r.do(kind, "GET", path, "", "If-None-Match", `"x", `+tag).Code }
	if got := again("reader", "/api/v1/apps"); got != 304 {
		t.Errorf("unchanged: %d", got)
	}
	for what, got := range map[string]int{
		"other question": again("reader", "/api/v1/apps?at=2026-01-01"),
		"other scope":    again("limited reader", "/api/v1/apps"),
		"nobody":         again("", "/api/v1/apps") - 201,
	} {
		if got != 200 {
			t.Errorf("%s: %d", what, got)
		}
	}
	r.e.seq++
	if got := again("reader", "/api/v1/apps"); got != 200 {
		t.Errorf("after a change: %d", got)
	}
	tag = r.do("reader", "GET", "/api/v1/apps", "").Header().Get("ETag")
	r.now = r.now + 60_000
	if got := again("reader", "/api/v1/apps"); got != 200 {
		t.Errorf("after a minute: %d", got)
	}
	r.e.err = fault.New(fault.NotFound, "no")
	if w := r.do("reader", "GET", "/api/v1/apps", ""); w.Header().Get("ETag") != "" {
		t.Error("an error has an ETag")
	}
}

func TestOpenAPI(t *testing.T) {
	r := newRig(t, nil)
	var doc struct {
		OpenAPI    string                    `json:"openapi"`
		Paths      map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	w := r.do("", "GET", "/api/v1/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%q, %v", doc.OpenAPI, err)
	}
	for pattern := range r.s.rules {
		method, path, _ := strings.Cut(pattern, " ")
		ours := strings.HasPrefix(path, "/api/v1/") && !strings.Contains(path, "/bom") && !strings.Contains(path, "openapi") &&
			!slices.Contains([]string{"/api/v1/event/token/{uuid}", "/api/v1/project/lookup", "/api/v1/team/self"}, path)
		if _, ok := doc.Paths[path][strings.ToLower(method)]; ok != ours {
			t.Errorf("%s documented: %v, want %v", pattern, ok, ours)
		}
	}
	when := doc.Components.Schemas["When"].Properties["at"]
	if fmt.Sprint(when["type"]) != "[string null]" {
		t.Errorf("time is %v", when)
	}
	if s := doc.Components.Schemas["Exposure"].Properties["severity"]; s["type"] != "string" || len(s["enum"].([]any)) != 7 {
		t.Errorf("severity is %v", s)
	}
	if w := r.do("", "GET", "/api/v1/openapi.yaml", ""); !strings.Contains(w.Body.String(), "openapi: 3.1") {
		t.Errorf("YAML: %.100s", w.Body)
	}
}
