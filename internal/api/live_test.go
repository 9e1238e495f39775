package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/catalog"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/feed"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// The whole way, on the real engine: an advisory comes by its feed, an SBOM by
// the address of Dependency-Track, a deployment and a verdict by the API.
func TestEndToEnd(t *testing.T) {
	ctx := t.Context()
	const record = `{"schema_version":"1.6.0","id":"GHSA-aaaa-bbbb-cccc","aliases":["CVE-2026-0001"],"published":"2026-01-01T00:00:00Z",
		"modified":"2026-01-02T00:00:00Z","summary":"Bad","affected":[{"package":{"ecosystem":"npm","name":"left-pad"},
		"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}`
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/npm/all.zip":
			z := zip.NewWriter(w)
			f, err := z.Create("GHSA-aaaa-bbbb-cccc.json")
			if err == nil {
				_, err = f.Write([]byte(record))
			}
			if err != nil || z.Close() != nil {
				panic(http.ErrAbortHandler)
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(origin.Close)
	dir := t.TempDir()
	e, err := engine.Open(ctx, engine.Options{
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return sqlite.Open(ctx, dir, sqlite.Options{OnChange: onChange, Fold: func(eco, name string) string {
				return purl.FoldName(version.ParseEcosystem(eco), name)
			}})
		},
		Readers: catalog.Readers(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	store := e.Ledger()
	feeds, err := feed.New(e, store, feed.Options{OSV: origin.URL, KEV: feed.Off, EPSS: feed.Off, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := New(e, Options{Tokens: access.NewTokens(store, e.Now), Feeds: feeds, Now: e.Now})
	call := func(token, method, path, body string, want int, v any) []byte {
		t.Helper()
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		h := s.Socket()
		if token != "" {
			req.Header.Set("X-Api-Key", token)
			h = s
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != want {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if v != nil {
			if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
		}
		return w.Body.Bytes()
	}
	var made NewToken
	call("", "POST", "/api/v1/tokens", `{"name":"ci","role":"publisher"}`, 201, &made)
	bom := `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"left-pad","version":"1.2.0","purl":"pkg:npm/left-pad@1.2.0"}]}`
	body, err := json.Marshal(map[string]any{"projectName": "shop/cart", "projectVersion": "1.4", "autoCreate": true, "bom": []byte(bom)})
	if err != nil {
		t.Fatal(err)
	}
	call(made.Secret, "PUT", "/dtrack/api/v1/bom", string(body), 200, nil)
	call(made.Secret, "GET", "/api/v1/project/lookup?name=shop/cart&version=1.4", "", 200, nil)
	call(made.Secret, "POST", "/api/v1/deployments", `{"service":"shop/cart","version":"1.4","environment":"production"}`, 200, nil)

	var report feed.Report
	call("", "POST", "/api/v1/feeds/update", "", 200, &report)
	if len(report.Feeds) != 1 || report.Feeds[0].Changed != 1 || report.Feeds[0].Opened != 1 {
		t.Errorf("feeds: %+v", report)
	}
	var hit answer.Affected
	call(made.Secret, "GET", "/api/v1/affected?q=CVE-2026-0001", "", 200, &hit)
	if hit.State != answer.StateAffected || len(hit.Releases) != 1 || hit.Releases[0].Service != "shop/cart" {
		t.Errorf("affected: %+v", hit)
	}
	evidence := hit.Releases[0].Packages[0].Why[0].Evidence
	if got := call(made.Secret, "GET", "/api/v1/evidence/"+evidence, "", 200, nil); !bytes.Contains(got, []byte("left-pad")) {
		t.Errorf("evidence: %s", got)
	}
	if got := string(call(made.Secret, "POST", "/osv/v1/query", `{"version":"1.2.0","package":{"name":"left-pad","ecosystem":"npm"}}`, 200, nil)); !strings.Contains(got, "GHSA-aaaa-bbbb-cccc") {
		t.Errorf("OSV: %s", got)
	}
	if got := string(call(made.Secret, "POST", "/osv/v1/query", `{"version":"1.3.0","package":{"name":"left-pad","ecosystem":"npm"}}`, 200, nil)); got != "{}" {
		t.Errorf("OSV, fixed: %s", got)
	}
	call(made.Secret, "POST", "/api/v1/verdicts", `{"advisory":"CVE-2026-0001","status":"not_affected","service":"shop/cart"}`, 200, nil)
	call(made.Secret, "GET", "/api/v1/affected?q=CVE-2026-0001", "", 200, &hit)
	if hit.State != answer.StateClosed {
		t.Errorf("after the verdict: %s", hit.State)
	}
	for _, path := range []string{"/apps", "/services", "/service?name=shop/cart", "/release?name=shop/cart@1.4", "/package?q=npm:left-pad",
		"/exposures?state=all", "/fixes", "/coverage", "/metrics", "/feeds", "/me"} {
		call(made.Secret, "GET", "/api/v1"+path, "", 200, nil)
	}
	call(made.Secret, "GET", "/api/v1/apps/none", "", 404, nil)
	call(made.Secret, "GET", "/api/v1/evidence/"+strings.Repeat("0", 64), "", 404, nil)

	// What the feeds brought goes to another place in one file.
	bundle := call("", "GET", "/api/v1/feeds/export", "", 200, nil)
	call("", "POST", "/api/v1/feeds/import", string(bundle), 200, &report)
	if len(report.Feeds) != 1 || report.Feeds[0].Feed != "osv/npm" || report.Feeds[0].Error != "" {
		t.Errorf("import: %+v", report)
	}
	call("", "POST", "/api/v1/feeds/import", string(bundle[:len(bundle)/2]), 400, nil)
	// One archive counts as its feed only under its name in OSV's layout.
	archive := archiveOf(t, map[string]string{"GHSA-aaaa-bbbb-cccc.json": record})
	call("", "POST", "/api/v1/feeds/import", archive, 200, &report)
	if len(report.Feeds) != 1 || strings.HasPrefix(report.Feeds[0].Feed, "osv/") || report.Feeds[0].Records != 1 {
		t.Errorf("import without a name: %+v", report)
	}
	call("", "POST", "/api/v1/feeds/import?name=PyPI/all.zip", archive, 200, &report)
	if len(report.Feeds) != 1 || report.Feeds[0].Feed != "osv/PyPI" || report.Feeds[0].Records != 1 {
		t.Errorf("import by name: %+v", report)
	}
	const exploited = `{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"2026.01.05","dateReleased":"2026-01-05T00:00:00Z","count":1,
		"vulnerabilities":[{"cveID":"CVE-2026-0001","vendorProject":"x","product":"y","vulnerabilityName":"z","dateAdded":"2026-01-04","shortDescription":"d","requiredAction":"a","dueDate":"2026-01-25","knownRansomwareCampaignUse":"Unknown"}]}`
	call("", "POST", "/api/v1/feeds/import?name=kev.json", exploited, 200, &report)
	if len(report.Feeds) != 1 || report.Feeds[0].Feed != "kev" {
		t.Errorf("import of a signal: %+v", report)
	}
	for _, name := range []string{"../all.zip", "/all.zip", "a/b/all.zip", "npm/", ".", `..\all.zip`} {
		call("", "POST", "/api/v1/feeds/import?name="+url.QueryEscape(name), archive, 400, nil)
	}
	if got := string(call("", "POST", "/api/v1/feeds/import?name=npm/all.zip", archive[:len(archive)/2], 400, nil)); !strings.Contains(got, `"npm/all.zip `) {
		t.Errorf("a broken archive: %s", got)
	}
	var feedList struct{ Items []feed.State }
	call("", "GET", "/api/v1/feeds", "", 200, &feedList)
	var names []string
	for _, f := range feedList.Items {
		names = append(names, f.Feed)
	}
	slices.Sort(names)
	if d := cmp.Diff([]string{"kev", "osv/PyPI", "osv/npm"}, names); d != "" {
		t.Errorf("feeds: %s", d)
	}

	// A set that ran minutes ago by its own account waits for quiet here, or for settle.
	call(made.Secret, "POST", "/api/v1/ingest", "thymus: estate/v1\napplications:\n  - name: shop\n    services: [shop/cart]\n", 200, nil)
	var versions answer.AppVersionList
	call(made.Secret, "GET", "/api/v1/apps/shop/versions", "", 200, &versions)
	if versions.Pending == 0 || len(versions.Items) != 0 {
		t.Errorf("before settle: %+v", versions)
	}
	var settled Settled
	call(made.Secret, "POST", "/api/v1/settle", "", 200, &settled)
	if d := cmp.Diff(Settled{1, []MintedVersion{{"shop", 1}}}, settled); d != "" {
		t.Errorf("settle: %s", d)
	}
	call(made.Secret, "POST", "/api/v1/settle", "", 200, &settled)
	if d := cmp.Diff(Settled{0, []MintedVersion{}}, settled); d != "" {
		t.Errorf("settle again: %s", d)
	}
	versions = answer.AppVersionList{}
	call(made.Secret, "GET", "/api/v1/apps/shop/versions", "", 200, &versions)
	if versions.Pending != 0 || len(versions.Items) != 1 {
		t.Errorf("after settle: %+v", versions)
	}
	call("", "POST", "/api/v1/rebuild", "", 200, nil)
	call(made.Secret, "GET", "/api/v1/affected?q=CVE-2026-0001", "", 200, &hit)
	if hit.State != answer.StateClosed {
		t.Errorf("after the rebuild: %s", hit.State)
	}
	call("", "DELETE", fmt.Sprintf("/api/v1/tokens/%s", made.ID), "", 204, nil)
	call(made.Secret, "GET", "/api/v1/me", "", 401, nil)
}

// archiveOf makes an archive of records.
func archiveOf(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, body := range files {
		f, err := z.Create(name)
		if err == nil {
			_, err = f.Write([]byte(body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
