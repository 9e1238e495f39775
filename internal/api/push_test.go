package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
	"thymus/internal/read/verdict"
)

const sbom = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`

func TestIngestClaims(t *testing.T) {
	r := newRig(t, nil)
	want := estate.Claim{
		Source: "publisher", Subject: estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4", Digest: "sha256:ab"},
		Environment: "production", Deploy: true, Alongside: true, At: 1767225600000,
		Headers: map[string]string{"ce-type": "dev.cdevents.x", "ce-id": "7"},
	}
	ce := []string{"Ce-Type", "dev.cdevents.x", "CE-ID", "7"}
	w := r.do("publisher", "POST", "/api/v1/ingest?service=shop/cart&version=1.4&digest=sha256:ab&environment=production&deploy=true&alongside=1&at=2026-01-01", sbom, ce...)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"release":"shop/cart@1.4"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = r.do("publisher", "POST", "/api/v1/ingest", sbom, append(ce, "Thymus-Service", "shop/cart@1.4", "Thymus-Digest", "sha256:ab",
		"Thymus-Environment", "production", "Thymus-Deploy", "true", "Thymus-Alongside", "true", "Thymus-At", "2026-01-01", "Content-Type", "text/xml")...)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for i, got := range r.e.claims {
		if d := cmp.Diff(want, got); d != "" || r.e.bodies[i] != sbom {
			t.Errorf("claim %d: %s", i, d)
		}
	}
	r.do("admin", "POST", "/api/v1/ingest?source=ci", sbom)
	if got := r.e.claims[2].Source; got != "ci" {
		t.Errorf("source %q", got)
	}
	r.problem(r.do("publisher", "POST", "/api/v1/ingest?source=other", sbom), 403, fault.Forbidden)
	for _, bad := range []string{"service=shop/", "deploy=true", "deploy=x", "at=x", "service=a@1&version=2"} {
		r.problem(r.do("publisher", "POST", "/api/v1/ingest?"+bad, sbom), 400, fault.Invalid)
	}
}

func TestDeployAndDecide(t *testing.T) {
	r := newRig(t, nil)
	w := r.do("publisher", "POST", "/api/v1/deployments", `{"service":"shop/cart@1.4","environment":"production","replicas":2,"alongside":true,"config":"c","digest":"d"}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var got any
	if err := json.Unmarshal([]byte(r.e.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"thymus": "deployment/v1", "environment": "production", "at": testNow.String(), "deployments": []any{
		map[string]any{"service": "shop/cart", "version": "1.4", "replicas": 2.0, "alongside": true, "config": "c", "digest": "d"},
	}}
	if d := cmp.Diff(any(want), got); d != "" || r.e.claims[0].Source != "publisher" {
		t.Error(d)
	}
	w = r.do("publisher", "POST", "/api/v1/undeployments", `{"service":"cart","environment":"staging","at":"2026-01-01T00:00:00Z"}`)
	if w.Code != 200 || r.e.bodies[1] != `{"at":"2026-01-01T00:00:00Z","deployments":[{"removed":true,"service":"cart"}],"environment":"staging","thymus":"deployment/v1"}` {
		t.Errorf("%d %s: %s", w.Code, w.Body, r.e.bodies[1])
	}
	for _, bad := range []string{`{"service":"cart"}`, `{"service":"cart@1","version":"2","environment":"e"}`, `{"service":"cart","environment":"e","typo":1}`, `{"service":"cart","environment":"e","at":"x"}`} {
		r.problem(r.do("publisher", "POST", "/api/v1/deployments", bad), 400, fault.Invalid)
	}

	w = r.do("publisher", "POST", "/api/v1/verdicts", `{"advisory":"CVE-1","status":"not_affected","release":"shop/cart@1.4","environment":"production","package":"pkg:npm/x","range":"<2","reason":"r","expires":"2027-01-01"}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if d := cmp.Diff(verdict.Document{
		Thymus: verdict.Format, Advisory: "CVE-1", Status: estate.StatusNotAffected, Release: "shop/cart@1.4",
		Environment: "production", Package: "pkg:npm/x", Range: "<2", Reason: "r", Author: "publisher", Expires: 1798761600000,
	}, r.e.verdict); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{
		`{"advisory":"A","status":"fixed","service":"a","domain":"b"}`, `{"advisory":"A","status":"fixed","range":"<2"}`,
		`{"advisory":"A","status":"fixed","service":"a/"}`, `{"status":"fixed"}`,
	} {
		r.problem(r.do("publisher", "POST", "/api/v1/verdicts", bad), 400, fault.Invalid)
	}
}

func TestLimitedPublisher(t *testing.T) {
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		path, body string
		want       int
	}{
		"own service":        {"/ingest?service=shop/cart", sbom, 200},
		"unknown service":    {"/ingest?service=new", sbom, 200},
		"another domain's":   {"/ingest?service=pay", sbom, 403},
		"no service":         {"/ingest", sbom, 403},
		"no SBOM":            {"/ingest?service=shop/cart", `{"domains":[{"name":"shop"}]}`, 403},
		"deploy own":         {"/deployments", `{"service":"shop/cart","version":"1","environment":"e"}`, 200},
		"deploy other":       {"/deployments", `{"service":"pay","version":"1","environment":"e"}`, 403},
		"undeploy other":     {"/undeployments", `{"service":"pay","environment":"e"}`, 403},
		"verdict own":        {"/verdicts", `{"advisory":"A","status":"fixed","service":"shop/cart"}`, 200},
		"verdict other":      {"/verdicts", `{"advisory":"A","status":"fixed","service":"pay"}`, 403},
		"verdict everywhere": {"/verdicts", `{"advisory":"A","status":"fixed"}`, 403},
		"verdict for domain": {"/verdicts", `{"advisory":"A","status":"fixed","domain":"shop"}`, 403},
	} {
		if w := r.do("limited publisher", "POST", "/api/v1"+c.path, c.body); w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.want)
		}
		if w := r.do("publisher", "POST", "/api/v1"+c.path, c.body); w.Code != 200 {
			t.Errorf("%s, not limited: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestAdmin(t *testing.T) {
	r := newRig(t, nil)
	w := r.do("admin", "POST", "/api/v1/tokens", `{"name":"ci","role":"publisher","domains":["shop"],"expires":"2027-01-01"}`)
	var made NewToken
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 || made.Role != access.Publisher || !strings.HasPrefix(made.Secret, access.Prefix) {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	r.tokens["ci"] = made.Secret
	if w := r.do("ci", "GET", "/api/v1/me", ""); w.Code != 200 {
		t.Errorf("the new token: %d", w.Code)
	}
	if w := r.do("admin", "GET", "/api/v1/tokens", ""); w.Code != 200 || !strings.Contains(w.Body.String(), made.ID) || strings.Contains(w.Body.String(), "thy_") || strings.Contains(w.Body.String(), "hash") {
		t.Errorf("list: %s", w.Body)
	}
	if w := r.do("admin", "DELETE", "/api/v1/tokens/"+made.ID, ""); w.Code != 204 {
		t.Errorf("revoke: %d %s", w.Code, w.Body)
	}
	r.problem(r.do("ci", "GET", "/api/v1/me", ""), 401, fault.Unauthenticated)
	r.problem(r.do("admin", "DELETE", "/api/v1/tokens/"+made.ID, ""), 404, fault.NotFound)
	r.problem(r.do("admin", "POST", "/api/v1/tokens", `{"name":"x","role":"root"}`), 400, fault.Invalid)
	if w := r.do("publisher", "POST", "/api/v1/settle", ""); w.Code != 200 || r.e.last() != "settle" || !strings.Contains(w.Body.String(), `{"minted":1,"versions":[{"application":"shop","number":3}]}`) {
		t.Errorf("settle: %d %s", w.Code, w.Body)
	}
	if w := r.do("socket", "POST", "/api/v1/rebuild", ""); w.Code != 200 || r.e.last() != "rebuild" {
		t.Errorf("rebuild: %d %s", w.Code, w.Body)
	}
	if w := r.do("admin", "POST", "/api/v1/retention", `{"evidence":"2026-01-01"}`); w.Code != 200 || r.e.last() != "retain 2026-01-01T00:00:00Z " {
		t.Errorf("retention: %d %s, %q", w.Code, w.Body, r.e.last())
	}
	r.problem(r.do("admin", "POST", "/api/v1/retention", `{}`), 400, fault.Invalid)
	for _, path := range []string{"/feeds/update", "/feeds/import"} {
		r.problem(r.do("admin", "POST", "/api/v1"+path, ""), 503, fault.Unavailable)
	}
}

func TestFeeds(t *testing.T) {
	r := newRig(t, nil)
	r.e.feeds = []feed.State{
		{Feed: "osv/npm", OKAt: testNow - 90_000, CheckedAt: testNow - 1000, Error: "HTTP 503", Newest: 5, Records: 7, ETag: "hidden"},
		{Feed: "kev", CheckedAt: testNow, Error: "HTTP 403"},
	}
	w := r.do("reader", "GET", "/api/v1/feeds", "")
	var l FeedList
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || len(l.Items) != 2 {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if *l.Items[0].Age != 90 || l.Items[0].Error != "HTTP 503" || l.Items[1].Age != nil || !cmp.Equal(l.Missing, []string{"Debian"}) {
		t.Errorf("%s", w.Body)
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t, nil)
	r.e.seq = 40
	server := httptest.NewServer(r.s)
	t.Cleanup(server.Close) // after the listeners have gone
	listen := func(kind, last string) (next func() string) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.tokens[kind])
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v, %v", res, err)
		}
		t.Cleanup(func() { res.Body.Close() })
		lines := bufio.NewScanner(res.Body)
		return func() string {
			var got []string
			for lines.Scan() && lines.Text() != "" {
				got = append(got, lines.Text())
			}
			return strings.Join(got, " ")
		}
	}
	next := listen("reader", "30")
	if got := next(); got != ": connected retry: 2000" {
		t.Errorf("%q", got)
	}
	if got := next(); got != `id: 40 event: gap data: {"seq":40}` {
		t.Errorf("%q", got)
	}
	r.e.events <- engine.Event{Seq: 41, Transition: &engine.Transition{Service: "pay", Opened: true}}
	if got := next(); !strings.HasPrefix(got, `id: 41 event: transition data: {"seq":41,"transition":{`) {
		t.Errorf("%q", got)
	}

	r.e.events = make(chan engine.Event, 10)
	next = listen("limited reader", "40")
	for i, e := range []engine.Event{
		{Transition: &engine.Transition{Service: "pay"}}, {Transition: &engine.Transition{Service: "shop/cart"}},
		{Ingested: &engine.Receipt{Release: "pay@1"}}, {Ingested: &engine.Receipt{Release: "shop/cart@1"}}, {Ingested: &engine.Receipt{}},
		{Minted: &estate.AppVersionRow{Members: []estate.Member{{Service: "pay"}, {Service: "shop/cart"}}}},
		{Minted: &estate.AppVersionRow{Members: []estate.Member{{Service: "pay"}}}}, {Recomputed: true},
	} {
		e.Seq = int64(50 + i)
		r.e.events <- e
	}
	next() // connected
	for _, want := range []string{"id: 51 event: transition", "id: 53 event: ingested", "id: 55 event: minted", "id: 57 event: recomputed"} {
		if got := next(); !strings.HasPrefix(got, want) || strings.Contains(got, `"pay`) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOSV(t *testing.T) {
	r := newRig(t, nil)
	record := func(id string) answer.OSVRecord {
		return answer.OSVRecord{ID: id, Modified: 1767225600000, Raw: []byte(`{"id":"` + id + `"}`)}
	}
	r.e.osv["jinja2@2.4.1"] = []answer.OSVRecord{record("B"), record("A")}
	r.e.osv["pkg:npm/%40babel/core@7.0.0@"] = []answer.OSVRecord{record("C")}
	many := make([]answer.OSVRecord, 2500)
	for i := range many {
		many[i] = record(fmt.Sprintf("X-%04d", i))
	}
	r.e.osv["many@1"] = many

	ask := func(path, body string) (int, string, http.Header) {
		w := r.do("reader", "POST", "/osv/v1/"+path, body)
		return w.Code, strings.TrimSpace(w.Body.String()), w.Header()
	}
	for _, c := range []struct {
		path, body string
		code       int
		want       string
	}{
		{"query", `{"version":"2.4.1","package":{"name":"jinja2","ecosystem":"PyPI"}}`, 200, `{"vulns":[{"id":"A"},{"id":"B"}]}`},
		{"query", `{"package":{"purl":"pkg:npm/%40babel/core@7.0.0"},"unknown":1}`, 200, `{"vulns":[{"id":"C"}]}`},
		{"query", `{"version":"1","package":{"name":"clean","ecosystem":"npm"}}`, 200, `{}`},
		{"querybatch", `{"queries":[{"version":"2.4.1","package":{"name":"jinja2","ecosystem":"PyPI"}},{"version":"1","package":{"name":"clean","ecosystem":"npm"}}]}`, 200,
			`{"results":[{"vulns":[{"id":"A","modified":"2026-01-01T00:00:00Z"},{"id":"B","modified":"2026-01-01T00:00:00Z"}]},{}]}`},
	} {
		if code, got, _ := ask(c.path, c.body); code != c.code || got != c.want {
			t.Errorf("%s: %d %s, want %s", c.body, code, got, c.want)
		}
	}
	for _, bad := range []string{
		`{`, `{}`, `{"package":{"name":"x"}}`, `{"package":{"purl":"pkg:npm/x","name":"x"}}`, `{"version":"1","package":{"purl":"pkg:npm/x@1"}}`,
		`{"package":{"purl":"pkg:npm/x"},"page_token":"!"}`,
	} {
		if code, got, _ := ask("query", bad); code != 400 || !strings.Contains(got, `"code":3`) {
			t.Errorf("%s: %d %s", bad, code, got)
		}
	}
	if code, got, _ := ask("query", `{"commit":"abc"}`); code != 422 || !strings.Contains(got, `"code":9`) {
		t.Errorf("commit: %d %s", code, got)
	}
	code, got, header := ask("querybatch", `{"queries":[{"commit":"abc"},{"package":{"name":"x","ecosystem":"Hex"}},{"package":{"purl":"pkg:npm/%40babel/core@7.0.0"}}]}`)
	if code != 200 || header.Get("Thymus-Not-Assessed") != "2" || !strings.HasPrefix(got, `{"results":[{},{},{"vulns":[{"id":"C"`) {
		t.Errorf("a batch with gaps: %d %s %v", code, got, header)
	}
	if code, _, _ := ask("querybatch", `{"queries":[`+strings.Repeat(`{},`, osvQueries)+`{}]}`); code != 400 {
		t.Errorf("a batch that is too large: %d", code)
	}
	token, seen := "", 0
	for pages := 1; ; pages++ {
		_, got, _ := ask("query", `{"version":"1","package":{"name":"many","ecosystem":"npm"},"page_token":"`+token+`"}`)
		var p osvVulns
		if err := json.Unmarshal([]byte(got), &p); err != nil {
			t.Fatal(err)
		}
		seen += len(p.Vulns)
		if token = p.Next; token == "" {
			if pages != 3 || seen != len(many) {
				t.Errorf("%d pages, %d records", pages, seen)
			}
			break
		}
	}
	if w := r.do("reader", "GET", "/osv/v1/vulns/GHSA-1", ""); w.Body.String() != `{"id":"GHSA-1"}` {
		t.Errorf("record: %s", w.Body)
	}
	if w := r.do("reader", "GET", "/osv/v1/vulns/GHSA-2", ""); w.Code != 404 || !strings.Contains(w.Body.String(), `"code":5`) {
		t.Errorf("no record: %d %s", w.Code, w.Body)
	}
}

func TestDependencyTrack(t *testing.T) {
	r := newRig(t, nil)
	key := []string{"X-Api-Key", r.tokens["publisher"]}
	put := func(prefix, body string) *httptest.ResponseRecorder {
		return r.do("", "PUT", prefix+"/api/v1/bom", body, key...)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(sbom))
	form := func(fields map[string]string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, value := range fields {
			if err := w.WriteField(name, value); err != nil {
				t.Fatal(err)
			}
		}
		f, err := w.CreateFormFile("bom", "bom.json")
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(sbom))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String(), w.FormDataContentType()
	}
	for _, prefix := range []string{"", "/dtrack"} {
		r.e.claims, r.e.bodies = nil, nil
		w := put(prefix, `{"projectName":"shop/cart","projectVersion":"1.4","autoCreate":true,"parentName":"x","isLatestProjectVersion":"true","projectTags":[{"name":"a"}],"bom":"`+encoded+`"}`)
		var token struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &token); err != nil || w.Code != 200 || len(token.Token) != 36 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		body, kind := form(map[string]string{"projectName": "@acme/cart", "projectVersion": "2", "autoCreate": "true"})
		if w := r.do("", "POST", prefix+"/api/v1/bom", body, append(key, "Content-Type", kind)...); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		want := []estate.Claim{
			{Source: "publisher", Subject: estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4"}},
			{Source: "publisher", Subject: estate.Subject{Namespace: "@acme", Name: "cart", Version: "2"}},
		}
		if d := cmp.Diff(want, r.e.claims); d != "" || r.e.bodies[0] != sbom || r.e.bodies[1] != sbom {
			t.Errorf("%s %q", d, r.e.bodies)
		}
		for _, path := range []string{"/api/v1/event/token/", "/api/v1/bom/token/"} {
			if w := r.do("", "GET", prefix+path+token.Token, "", key...); w.Body.String() != `{"processing":false}` {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		if w := r.do("", "GET", prefix+"/api/v1/project/lookup?name=shop/cart&version=1.4", "", key...); w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"shop/cart"`) || !strings.Contains(w.Body.String(), `"version":"1.4"`) {
			t.Errorf("lookup: %d %s", w.Code, w.Body)
		}
		if w := r.do("", "GET", prefix+"/api/v1/project/lookup?name=unknown&version=1", "", key...); w.Code != 404 {
			t.Errorf("lookup of nothing: %d", w.Code)
		}
		if w := r.do("", "GET", prefix+"/api/version", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"version":"4.`) {
			t.Errorf("version: %d %s", w.Code, w.Body)
		}
		if w := r.do("", "GET", prefix+"/api/v1/team/self", "", key...); !strings.Contains(w.Body.String(), "BOM_UPLOAD") {
			t.Errorf("team: %s", w.Body)
		}
	}
	r.problem(put("", `{"bom":"`+encoded+`"}`), 400, fault.Invalid)
	r.problem(put("", `{"projectName":"a","projectVersion":"1","bom":"***"}`), 400, fault.Invalid)
	r.problem(put("", `{"projectName":"a","projectVersion":"1"}`), 400, fault.Invalid)
	r.problem(put("", `{"projectName":"a/","bom":"`+encoded+`"}`), 400, fault.Invalid)
	r.problem(put("", `{"project":"7c1e7f0a-5d6c-4b7e-9c58-0d9f4d8b1a11","bom":"`+encoded+`"}`), 404, fault.NotFound)
	r.problem(r.do("", "POST", "/api/v1/bom", "x", key...), 415, fault.Unsupported)
	r.problem(r.do("limited publisher", "PUT", "/api/v1/bom", `{"projectName":"pay","projectVersion":"1","bom":"`+encoded+`"}`), 403, fault.Forbidden)
}

func TestPlain(t *testing.T) {
	var notReady error
	r := newRig(t, func(o *Options) {
		o.Ready = func() error { return notReady }
		o.Assets = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ui")) })
		o.Version = "1.2.3"
	})
	if w := r.do("", "GET", "/healthz", ""); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
	if w := r.do("", "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("ready: %d", w.Code)
	}
	notReady = fault.New(fault.Internal, "secret")
	if p := r.problem(r.do("", "GET", "/readyz", ""), 503, fault.Unavailable); strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
	if w := r.do("", "GET", "/", ""); w.Body.String() != "ui" {
		t.Errorf("assets: %d %s", w.Code, w.Body)
	}
	r.problem(r.do("", "GET", "/api/v2/x", ""), 404, fault.NotFound)

	r.e.feeds = []feed.State{{Feed: "kev", OKAt: 5000, Error: "x"}}
	w := r.do("reader", "GET", "/metrics", "")
	for _, want := range []string{`thymus_info{version="1.2.3"} 1`, `thymus_estate{kind="services"} 3`, `thymus_feed_failing{feed="kev"} 1`, `thymus_feed_last_success_seconds{feed="kev"} 5`, `thymus_http_requests_total{route="GET /healthz",status="200"} 1`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for header, want := range map[string]int{"": 200, "X-Forwarded-For": 401} {
		local := httptest.NewRequest("GET", "/metrics", nil)
		local.RemoteAddr = "127.0.0.1:5555"
		if header != "" {
			local.Header.Set(header, "10.0.0.1")
		}
		rec := httptest.NewRecorder()
		r.s.ServeHTTP(rec, local)
		if rec.Code != want {
			t.Errorf("metrics from this machine with %q: %d, want %d", header, rec.Code, want)
		}
	}
}

func TestLimitersStayBounded(t *testing.T) {
	l := newLimiters(1, 1)
	for i := range maxLimiters + 50 {
		l.allow(fmt.Sprint(i))
	}
	if len(l.by) > maxLimiters {
		t.Errorf("%d limiters", len(l.by))
	}
	if l.allow("x") != true || l.allow("x") != false {
		t.Error("no limit")
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`{"queries":[{"package":{"purl":"pkg:npm/x"}}]}`)
	f.Add(`{} {}`)
	f.Fuzz(func(t *testing.T, body string) {
		var q osvQuery
		req := httptest.NewRequest("POST", "/", strings.NewReader(body))
		if err := readJSON(req, &q); err != nil && fault.Of(err) != fault.Invalid {
			t.Errorf("%v", err)
		}
	})
}

// A body that never ends is cut off by the route's time.
func TestSlowBody(t *testing.T) {
	r := newRig(t, nil)
	need := r.s.rules["POST /api/v1/ingest"]
	need.timeout = 200 * time.Millisecond
	r.s.rules["POST /api/v1/ingest"] = need
	server := httptest.NewServer(r.s)
	defer server.Close()
	body := &slow{make(chan struct{})}
	defer close(body.end)
	req, err := http.NewRequest("POST", server.URL+"/api/v1/ingest", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1000
	req.Header.Set("Authorization", "Bearer "+r.tokens["publisher"])
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("answered %s", res.Status)
		}
	}
	if len(r.e.bodies) != 0 {
		t.Error("half a document was ingested")
	}
}

type slow struct{ end chan struct{} }

func (s *slow) Read(p []byte) (int, error) {
	<-s.end
	return 0, context.Canceled
}
