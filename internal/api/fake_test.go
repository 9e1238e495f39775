package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
	"thymus/internal/graph"
	"thymus/internal/read/verdict"
)

// fake is a backend that remembers what it was asked and told.
type fake struct {
	mu      sync.Mutex
	asked   []string
	claims  []estate.Claim
	bodies  []string
	verdict verdict.Document
	seq     int64
	err     error                         // of every question
	domains map[string]string             // service to domain
	osv     map[string][]answer.OSVRecord // "name@version" or purl
	events  chan engine.Event
	feeds   []feed.State
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return ""
	}
	return f.asked[len(f.asked)-1]
}

func (f *fake) Ingest(_ context.Context, body []byte, c estate.Claim) (*engine.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claims, f.bodies = append(f.claims, c), append(f.bodies, string(body))
	return &engine.Receipt{Evidence: "e", Release: c.Subject.String()}, f.err
}

func (f *fake) Decide(_ context.Context, v verdict.Document, source string) (*engine.Receipt, error) {
	f.verdict = v
	return &engine.Receipt{Verdicts: 1}, f.note("decide %s", source)
}

func (f *fake) Asker(_ context.Context, known estate.Time) (asker, error) {
	if known != 0 {
		return fakeAsker{f}, f.note("known %s", known)
	}
	return fakeAsker{f}, nil
}
func (f *fake) EcosystemsInUse() map[string]int               { return map[string]int{"npm": 1, "Debian:12": 2} }
func (f *fake) Subscribe(context.Context) <-chan engine.Event { return f.events }
func (f *fake) Rebuild(context.Context) error                 { return f.note("rebuild") }
func (f *fake) Settle(context.Context) ([]estate.AppVersionRow, error) {
	return []estate.AppVersionRow{{Application: "shop", Number: 3}}, f.note("settle")
}
func (f *fake) Stats() engine.Stats {
	return engine.Stats{Counts: graph.Counts{Services: 3}, Seq: f.seq}
}
func (f *fake) Evidence(_ context.Context, sum string) (string, []byte, error) {
	return "cyclonedx", []byte("<script>"), f.note("evidence %s", sum)
}
func (f *fake) Record(_ context.Context, id string) (answer.OSVRecord, error) {
	if id != "GHSA-1" {
		return answer.OSVRecord{}, fault.New(fault.NotFound, "no record %s", id)
	}
	return answer.OSVRecord{ID: id, Raw: []byte(`{"id":"GHSA-1"}`)}, nil
}
func (f *fake) Retain(_ context.Context, evidence, revisions estate.Time) (Dropped, error) {
	return Dropped{1, 2}, f.note("retain %s %s", evidence, revisions)
}
func (f *fake) Feeds(context.Context) ([]feed.State, error) { return f.feeds, f.err }
func (f *fake) Export() feed.Records                        { return nil }

type fakeAsker struct{ *fake }

func (a fakeAsker) Affected(_ context.Context, s answer.Scope, w answer.When, q string, p answer.Page) (*answer.Affected, error) {
	return &answer.Affected{When: w, Query: q, State: answer.StateAffected}, a.note("affected %v %s %s %+v", s, w.At, q, p)
}
func (a fakeAsker) Exposures(_ context.Context, s answer.Scope, q answer.ExposureQuery) (*answer.ExposureList, error) {
	return &answer.ExposureList{When: q.When}, a.note("exposures %v %s %s exploited=%v overdue=%v %v", s, q.Advisory, q.MinSeverity, value(q.Exploited), value(q.Overdue), q.Page)
}
func (a fakeAsker) Fixes(_ context.Context, s answer.Scope, q answer.ExposureQuery) (*answer.FixList, error) {
	return &answer.FixList{}, a.note("fixes %v", s)
}
func (a fakeAsker) Apps(context.Context, answer.Scope, answer.When) ([]answer.AppSummary, error) {
	return nil, a.note("apps")
}
func (a fakeAsker) App(_ context.Context, _ answer.Scope, _ answer.When, name string) (*answer.AppDetail, error) {
	return &answer.AppDetail{}, a.note("app %s", name)
}
func (a fakeAsker) AppVersions(_ context.Context, _ answer.Scope, _ answer.When, name string, p answer.Page) (*answer.AppVersionList, error) {
	return &answer.AppVersionList{}, a.note("versions %s %v", name, p)
}
func (a fakeAsker) AppDiff(_ context.Context, _ answer.Scope, _ answer.When, name string, from, to int) (*answer.AppDiff, error) {
	return &answer.AppDiff{}, a.note("diff %s %d %d", name, from, to)
}
func (a fakeAsker) AppExport(_ context.Context, _ answer.Scope, _ answer.When, name string, n int, format string, out io.Writer) error {
	io.WriteString(out, `{"bomFormat":"CycloneDX"}`)
	return a.note("export %s %d %s", name, n, format)
}
func (a fakeAsker) Services(_ context.Context, _ answer.Scope, _ answer.When, f answer.ServiceFilter, p answer.Page) (*answer.ServiceList, error) {
	return &answer.ServiceList{}, a.note("services %+v %v", f, p)
}
func (a fakeAsker) Service(_ context.Context, s answer.Scope, _ answer.When, name string) (*answer.Service, error) {
	if err := a.note("service %s", name); err != nil {
		return nil, err
	}
	domain, ok := a.domains[name]
	if !ok || s.Limited && !slices.Contains(s.Domains, domain) {
		return nil, fault.New(fault.NotFound, "no service %q", name)
	}
	return &answer.Service{Name: name, Domain: domain}, nil
}
func (a fakeAsker) Release(_ context.Context, _ answer.Scope, _ answer.When, release string) (*answer.Release, error) {
	if strings.Contains(release, "unknown") {
		return nil, fault.New(fault.NotFound, "no release %q", release)
	}
	name, version, _ := strings.Cut(release, "@")
	return &answer.Release{Service: name, Version: version, SBOMs: []answer.SBOM{{Known: 5, Format: "CycloneDX 1.6 JSON"}}}, a.note("release %s", release)
}
func (a fakeAsker) Package(_ context.Context, _ answer.Scope, _ answer.When, q string) (*answer.PackageDetail, error) {
	return &answer.PackageDetail{}, a.note("package %s", q)
}
func (a fakeAsker) Coverage(context.Context, answer.Scope, answer.When) (*answer.Coverage, error) {
	return &answer.Coverage{}, a.note("coverage")
}
func (a fakeAsker) Metrics(_ context.Context, _ answer.Scope, _ answer.When, app, env string) (*answer.Metrics, error) {
	if app == "panic" {
		panic("secret detail")
	}
	return &answer.Metrics{}, a.note("metrics %s %s", app, env)
}
func (a fakeAsker) OSVMatch(_ context.Context, q answer.OSVQuery) ([]answer.OSVRecord, error) {
	if q.Ecosystem == "Hex" {
		return nil, fault.New(fault.NotAssessed, "no feed for Hex")
	}
	return a.osv[q.Purl+q.Name+"@"+q.Version], nil
}

func value(b *bool) any {
	if b == nil {
		return "any"
	}
	return *b
}

// memory is a store for tokens.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *memory) Get(_ context.Context, _, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "no %s", key)
}
func (m *memory) Put(_ context.Context, _, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = bytes.Clone(value)
	return nil
}
func (m *memory) Delete(_ context.Context, _, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}
func (m *memory) List(context.Context, string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values), nil
}

const testNow estate.Time = 1_790_000_000_000

// rig is a server with a token of each kind.
type rig struct {
	t      *testing.T
	s      *Server
	e      *fake
	log    *bytes.Buffer
	tokens map[string]string // kind to secret
	now    estate.Time
}

func newRig(t *testing.T, edit func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, log: &bytes.Buffer{}, tokens: map[string]string{}, now: testNow}
	r.e = &fake{domains: map[string]string{"shop/cart": "shop", "pay": "payments"}, osv: map[string][]answer.OSVRecord{}, events: make(chan engine.Event, 10)}
	now := func() estate.Time { return r.now }
	o := Options{Tokens: access.NewTokens(&memory{values: map[string][]byte{}}, now), Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: now, Rate: 1e6, Burst: 1e6}
	if edit != nil {
		edit(&o)
	}
	for kind, spec := range map[string]access.Spec{
		"reader": {Role: access.Reader}, "publisher": {Role: access.Publisher}, "admin": {Role: access.Admin},
		"limited reader":    {Role: access.Reader, Domains: []string{"shop"}},
		"limited publisher": {Role: access.Publisher, Domains: []string{"shop"}},
	} {
		spec.Name = kind
		secret, _, err := o.Tokens.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		r.tokens[kind] = secret
	}
	r.s = newServer(r.e, o)
	return r
}

// do sends a request as a kind of caller: a token's, "socket" or "" for nobody.
func (r *rig) do(kind, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" && strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	if secret := r.tokens[kind]; secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	if kind == "socket" {
		r.s.Socket().ServeHTTP(w, req)
	} else {
		r.s.ServeHTTP(w, req)
	}
	return w
}

func (r *rig) problem(w *httptest.ResponseRecorder, status int, code fault.Code) Problem {
	r.t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		r.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("status %d, %s %s; want %d %s", w.Code, w.Header().Get("Content-Type"), w.Body, status, code)
	}
	return p
}
