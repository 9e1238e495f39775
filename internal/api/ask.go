package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
)

// Times are the two clocks of a question.
type Times struct {
	At    string `query:"at" doc:"When things were true: RFC 3339 or a date; now when left out" example:"2026-03-01T12:00:00Z"`
	Known string `query:"known" doc:"What Thymus knew by then; now when left out"`
}

func (t *Times) when() (answer.When, error) {
	at, err := parseTime("at", t.At)
	if err != nil {
		return answer.When{}, err
	}
	known, err := parseTime("known", t.Known)
	return answer.When{At: at, Known: known}, err
}

func parseTime(name, value string) (estate.Time, error) {
	if value == "" {
		return 0, nil
	}
	t, err := estate.ParseTime(value)
	if err != nil {
		return 0, fault.New(fault.Invalid, "parameter %s: %w", name, err)
	}
	return t, nil
}

// Paging asks for a page of a list.
type Paging struct {
	Limit int    `query:"limit" minimum:"0" maximum:"500" doc:"Items on the page; 0 is 50"`
	After string `query:"after" doc:"The member next of the page before"`
	Brief bool   `query:"brief" doc:"Leave out what is fetched row by row: paths, lines, references"`
}

func (p *Paging) page() answer.Page {
	return answer.Page{Limit: p.Limit, After: p.After, Brief: p.Brief}
}

// truth is a parameter that is true, false or left out.
type truth string

func (t truth) pointer(name string) (*bool, error) {
	switch t {
	case "":
		return nil, nil
	case "true", "1":
		v := true
		return &v, nil
	case "false", "0":
		v := false
		return &v, nil
	}
	return nil, fault.New(fault.Invalid, "parameter %s: %q is neither true nor false", name, string(t))
}

// inquiry is a question being asked.
type inquiry struct {
	asker
	scope answer.Scope
	when  answer.When
}

// asking finds the graph as known at the time asked about.
func (s *Server) asking(ctx context.Context, w answer.When) (inquiry, error) {
	a, err := s.e.Asker(ctx, w.Known)
	if err != nil {
		return inquiry{}, err
	}
	return inquiry{a, access.From(ctx).Scope, w}, nil
}

// ask registers a question.
func ask[I, O any](s *Server, path, id, summary string, f func(context.Context, inquiry, *I) (*O, error)) {
	add(s, s.operation(http.MethodGet, root+path, id, summary, nil), func(ctx context.Context, in *I) (*O, error) {
		w, err := any(in).(interface{ when() (answer.When, error) }).when()
		if err != nil {
			return nil, err
		}
		q, err := s.asking(ctx, w)
		if err != nil {
			return nil, err
		}
		return f(ctx, q, in)
	})
}

// Inputs that several questions share; huma fills exported ones alone.
type (
	justTimes struct{ Times }
	Named     struct {
		Times
		Name string `query:"name" required:"true" minLength:"1"`
	}
	Queried struct {
		Times
		Q string `query:"q" required:"true" minLength:"1"`
	}
	App struct {
		Times
		Name string `path:"name"`
	}
)

// AppList is the answer to GET /apps.
type AppList struct {
	When  answer.When         `json:"when"`
	Items []answer.AppSummary `json:"items"`
}

func (s *Server) questions() {
	ask(s, "/affected", "affected", "Are we hit by an advisory, or by a package? q is any id of the advisory, or a purl with or without a version or range",
		func(ctx context.Context, q inquiry, in *struct {
			Queried
			Paging
		}) (*answer.Affected, error) {
			return q.Affected(ctx, q.scope, q.when, in.Q, in.Paging.page())
		})
	ask(s, "/apps", "apps", "All logical applications",
		func(ctx context.Context, q inquiry, _ *justTimes) (*AppList, error) {
			items, err := q.Apps(ctx, q.scope, q.when)
			if items == nil {
				items = []answer.AppSummary{}
			}
			w := q.when
			if w.At == 0 {
				w.At = s.o.Now()
			}
			if w.Known == 0 {
				w.Known = s.o.Now()
			}
			return &AppList{w, items}, err
		})
	ask(s, "/apps/{name}", "app", "One application: its services, and what of them runs",
		func(ctx context.Context, q inquiry, in *App) (*answer.AppDetail, error) {
			return q.App(ctx, q.scope, q.when, in.Name)
		})
	ask(s, "/apps/{name}/versions", "app-versions", "The versions of an application, newest first",
		func(ctx context.Context, q inquiry, in *struct {
			App
			Paging
		}) (*answer.AppVersionList, error) {
			return q.AppVersions(ctx, q.scope, q.when, in.Name, in.Paging.page())
		})
	ask(s, "/apps/{name}/diff", "app-diff", "What changed between two versions of an application",
		func(ctx context.Context, q inquiry, in *struct {
			App
			From int `query:"from" required:"true" minimum:"1"`
			To   int `query:"to" required:"true" minimum:"1"`
		}) (*answer.AppDiff, error) {
			return q.AppDiff(ctx, q.scope, q.when, in.Name, in.From, in.To)
		})
	s.export()
	ask(s, "/services", "services", "Services, by name",
		func(ctx context.Context, q inquiry, in *struct {
			Times
			Paging
			Text        string `query:"text" doc:"In the name"`
			Domain      string `query:"domain" doc:"With its sub-domains"`
			Team        string `query:"team"`
			Application string `query:"application"`
			Environment string `query:"environment" doc:"Where they run"`
		}) (*answer.ServiceList, error) {
			f := answer.ServiceFilter{Text: in.Text, Domain: in.Domain, Team: in.Team, Application: in.Application, Environment: in.Environment}
			return q.Services(ctx, q.scope, q.when, f, in.Paging.page())
		})
	ask(s, "/service", "service", "One service, by [namespace/]name",
		func(ctx context.Context, q inquiry, in *Named) (*answer.Service, error) {
			return q.Service(ctx, q.scope, q.when, in.Name)
		})
	ask(s, "/release", "release", "One release, by [namespace/]name@version",
		func(ctx context.Context, q inquiry, in *Named) (*answer.Release, error) {
			return q.Release(ctx, q.scope, q.when, in.Name)
		})
	ask(s, "/package", "package", "A package over all its versions in use; q is a purl without version, or Ecosystem:name",
		func(ctx context.Context, q inquiry, in *Queried) (*answer.PackageDetail, error) {
			return q.Package(ctx, q.scope, q.when, in.Q)
		})
	ask(s, "/exposures", "exposures", "Exposures: an advisory, a service and an environment",
		func(ctx context.Context, q inquiry, in *exposuresInput) (*answer.ExposureList, error) {
			eq, err := in.query(q.when)
			if err != nil {
				return nil, err
			}
			return q.Exposures(ctx, q.scope, eq)
		})
	ask(s, "/fixes", "fixes", "The changes that would close most exposures",
		func(ctx context.Context, q inquiry, in *exposuresInput) (*answer.FixList, error) {
			eq, err := in.query(q.when)
			if err != nil {
				return nil, err
			}
			return q.Fixes(ctx, q.scope, eq)
		})
	ask(s, "/coverage", "coverage", "What Thymus does not know",
		func(ctx context.Context, q inquiry, _ *justTimes) (*answer.Coverage, error) {
			return q.Coverage(ctx, q.scope, q.when)
		})
	ask(s, "/metrics", "metrics", "How fast exposures are found and healed",
		func(ctx context.Context, q inquiry, in *struct {
			Times
			Application string `query:"application" doc:"All when left out"`
			Environment string `query:"environment" doc:"All when left out"`
		}) (*answer.Metrics, error) {
			return q.Metrics(ctx, q.scope, q.when, in.Application, in.Environment)
		})
	s.evidence()
	add(s, s.operation(http.MethodGet, root+"/feeds", "feeds", "The feeds, and how old their data is", nil), s.feeds)
	add(s, s.operation(http.MethodGet, root+"/me", "me", "Who the token stands for", nil),
		func(ctx context.Context, _ *struct{}) (*Me, error) {
			p := access.From(ctx)
			return &Me{Name: p.Name, Role: p.Role, Limited: p.Scope.Limited, Domains: p.Scope.Domains}, nil
		})
}

// Me is the answer to GET /me.
type Me struct {
	Name    string      `json:"name"`
	Role    access.Role `json:"role"`
	Limited bool        `json:"limited" doc:"The token is limited to the domains"`
	Domains []string    `json:"domains,omitempty"`
}

// exposuresInput holds every filter of answer.ExposureQuery.
type exposuresInput struct {
	Times
	Paging
	Advisory    string  `query:"advisory" doc:"Any id of it"`
	Service     string  `query:"service"`
	Team        string  `query:"team"`
	Domain      string  `query:"domain" doc:"With its sub-domains"`
	Application string  `query:"application"`
	Environment string  `query:"environment"`
	Tier        string  `query:"tier" doc:"Of the environment"`
	Package     string  `query:"package" doc:"Name, or purl without version"`
	Ecosystem   string  `query:"ecosystem"`
	MinSeverity string  `query:"min_severity" doc:"none, low, medium, high, critical or malware"`
	MinEPSS     float64 `query:"min_epss" minimum:"0" maximum:"1"`
	Exploited   truth   `query:"exploited" doc:"true or false"`
	Fixable     truth   `query:"fixable" doc:"true or false"`
	Overdue     truth   `query:"overdue" doc:"true or false"`
	State       string  `query:"state" enum:"open,suppressed,closed,all" doc:"open when left out"`
	Sort        string  `query:"sort" enum:"severity,epss,published,opened,service,-severity,-epss,-published,-opened,-service" doc:"severity when left out; a leading - reverses"`
}

func (in *exposuresInput) query(w answer.When) (q answer.ExposureQuery, err error) {
	q = answer.ExposureQuery{
		When: w, Advisory: in.Advisory, Service: in.Service, Team: in.Team, Domain: in.Domain,
		Application: in.Application, Environment: in.Environment, Tier: in.Tier, Package: in.Package,
		Ecosystem: in.Ecosystem, MinEPSS: in.MinEPSS, State: in.State, Sort: in.Sort, Page: in.Paging.page(),
	}
	if in.MinSeverity != "" {
		if q.MinSeverity, err = estate.ParseSeverity(in.MinSeverity); err != nil {
			return q, fault.New(fault.Invalid, "parameter min_severity: %w", err)
		}
	}
	for _, f := range []struct {
		name string
		from truth
		to   **bool
	}{{"exploited", in.Exploited, &q.Exploited}, {"fixable", in.Fixable, &q.Fixable}, {"overdue", in.Overdue, &q.Overdue}} {
		if *f.to, err = f.from.pointer(f.name); err != nil {
			return q, err
		}
	}
	return q, nil
}

// file is an answer that is no JSON of ours.
type file struct {
	ContentType string `header:"Content-Type"`
	Format      string `header:"Thymus-Format"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

func (s *Server) export() {
	op := s.operation(http.MethodGet, root+"/apps/{name}/export", "app-export", "The SBOM of an application version", binary("application/vnd.cyclonedx+json", "application/spdx+json"))
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		App
		Version int    `query:"version" minimum:"0" doc:"0, or left out: the newest"`
		Format  string `query:"format" enum:"cyclonedx,spdx" default:"cyclonedx" doc:"CycloneDX 1.6 JSON or SPDX 2.3 JSON"`
	}) (*file, error) {
		w, err := in.when()
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		q, err := s.asking(ctx, w)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		// Written whole before it is sent, since an error may come late.
		var b bytes.Buffer
		if err := q.AppExport(ctx, q.scope, q.when, in.Name, in.Version, in.Format, &b); err != nil {
			return nil, s.problem(ctx, err)
		}
		mime := "application/vnd.cyclonedx+json; version=1.6"
		if in.Format == "spdx" {
			mime = "application/spdx+json"
		}
		return &file{ContentType: mime, Body: b.Bytes()}, nil
	})
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *Server) evidence() {
	op := s.operation(http.MethodGet, root+"/evidence/{sha256}", "evidence", "A document as stored: secrets are redacted", binary("application/octet-stream"))
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		SHA256 string `path:"sha256"`
	}) (*file, error) {
		sum := strings.ToLower(in.SHA256)
		if !digest.MatchString(sum) {
			return nil, s.problem(ctx, fault.New(fault.Invalid, "%q is no SHA-256", in.SHA256))
		}
		format, body, err := s.e.Evidence(ctx, sum)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		// Whatever it holds, a browser must not act on it.
		return &file{ContentType: "application/octet-stream", Format: format, Policy: "sandbox; default-src 'none'", Body: body}, nil
	})
}

// binary documents an answer that is no JSON.
func binary(types ...string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		content := map[string]*huma.MediaType{}
		for _, t := range types {
			content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		}
		op.Responses["200"] = &huma.Response{Description: "The document", Content: content}
	}
}

// FeedAge is one feed, and how old its data is.
type FeedAge struct {
	Feed    string      `json:"feed"`
	URL     string      `json:"url,omitempty"`
	Newest  estate.Time `json:"newest,omitempty" doc:"Modification of the newest record"`
	Checked estate.Time `json:"checked" doc:"The last attempt"`
	OK      estate.Time `json:"ok" doc:"The last one that succeeded: data is as old as this"`
	Age     *int64      `json:"age_seconds" doc:"Since ok; null: never"`
	Error   string      `json:"error,omitempty" doc:"Why the last attempt failed"`
	Records int         `json:"records"`
}

// FeedList is the answer to GET /feeds. Missing are ecosystems in use without a feed.
type FeedList struct {
	Items   []FeedAge `json:"items"`
	Missing []string  `json:"missing"`
}

func (s *Server) feeds(ctx context.Context, _ *struct{}) (*FeedList, error) {
	states, err := s.e.Feeds(ctx)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	l := &FeedList{Items: []FeedAge{}, Missing: []string{}}
	loaded := map[string]bool{}
	for _, st := range states {
		f := FeedAge{Feed: st.Feed, URL: st.URL, Newest: st.Newest, Checked: st.CheckedAt, OK: st.OKAt, Error: st.Error, Records: st.Records}
		if st.OKAt != 0 {
			age := int64(now.Sub(st.OKAt) / time.Second)
			f.Age = &age
			loaded[st.Feed] = true
		}
		l.Items = append(l.Items, f)
	}
	for _, e := range feed.Ecosystems(s.e.EcosystemsInUse()) {
		if !loaded["osv/"+e] {
			l.Missing = append(l.Missing, e)
		}
	}
	return l, nil
}

// tag is the entity tag of an answer: it changes with the graph, the asker's
// scope, the question and, since answers about now depend on the clock, each minute.
func (s *Server) tag(r *http.Request, p access.Principal) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%d\x00%d\x00%v\x00%q\x00%s\x00%s", s.boot, s.e.Stats().Seq, s.o.Now()/60_000, p.Scope.Limited, p.Scope.Domains, r.URL.RequestURI(), r.Header.Get("Accept"))
	return `W/"` + hex.EncodeToString(h.Sum(nil)[:12]) + `"`
}

// matches tells whether an If-None-Match header names the tag (RFC 9110 §13.1.2).
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for t := range strings.SplitSeq(header, ",") {
			t = strings.TrimSpace(t)
			if t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}
