package api

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"thymus/internal/access"
)

// Limits of requests.
const (
	small     = 1 << 20   // bytes of a JSON body
	document  = 256 << 20 // bytes of a document
	encoded   = document/3*4 + small
	archive   = 8 << 30 // bytes of an offline bundle
	question  = 30 * time.Second
	pushing   = 5 * time.Minute
	long      = time.Hour
	unlimited = 0
)

// rule says who may use a route, and how much of it.
type rule struct {
	role     access.Role   // at least; NoRole: nobody, unless open or loopback
	open     bool          // everyone, without a token
	loopback bool          // a token of any role, or a caller on this machine
	unscoped bool          // not with a token limited to domains
	body     int64         // bytes
	timeout  time.Duration // unlimited for streams
	etag     bool          // the answer depends on the graph and the request alone
}

// rules is the one table of routes. What is missing here is refused.
func rules() map[string]rule {
	ask := rule{role: access.Reader, timeout: question, body: small, etag: true}
	fresh := rule{role: access.Reader, timeout: question, body: small}
	push := rule{role: access.Publisher, timeout: pushing, body: document}
	decide := rule{role: access.Publisher, timeout: question, body: small}
	admin := rule{role: access.Admin, timeout: question, body: small}
	open := rule{open: true, timeout: question, body: small}
	with := func(r rule, f func(*rule)) rule { f(&r); return r }

	t := map[string]rule{
		"GET /api/v1/affected":             ask,
		"GET /api/v1/apps":                 ask,
		"GET /api/v1/apps/{name}":          ask,
		"GET /api/v1/apps/{name}/versions": ask,
		"GET /api/v1/apps/{name}/diff":     ask,
		"GET /api/v1/apps/{name}/export":   with(ask, func(r *rule) { r.timeout = pushing }),
		"GET /api/v1/services":             ask,
		"GET /api/v1/service":              ask,
		"GET /api/v1/release":              ask,
		"GET /api/v1/package":              ask,
		"GET /api/v1/exposures":            ask,
		"GET /api/v1/fixes":                ask,
		"GET /api/v1/metrics":              ask,
		"GET /api/v1/coverage":             fresh,
		"GET /api/v1/feeds":                fresh,
		"GET /api/v1/evidence/{sha256}":    with(fresh, func(r *rule) { r.unscoped = true }),
		"GET /api/v1/events":               {role: access.Reader, timeout: unlimited, body: small},
		"GET /api/v1/me":                   fresh,

		"POST /api/v1/ingest":        push,
		"POST /api/v1/deployments":   decide,
		"POST /api/v1/undeployments": decide,
		"POST /api/v1/verdicts":      decide,
		// It mints for every application, so not for one who sees a part of them.
		"POST /api/v1/settle": with(decide, func(r *rule) { r.timeout, r.unscoped = pushing, true }),

		"GET /api/v1/tokens":         admin,
		"POST /api/v1/tokens":        admin,
		"DELETE /api/v1/tokens/{id}": admin,
		"POST /api/v1/rebuild":       with(admin, func(r *rule) { r.timeout = long }),
		"POST /api/v1/retention":     with(admin, func(r *rule) { r.timeout = long }),
		"POST /api/v1/feeds/update":  with(admin, func(r *rule) { r.timeout = long }),
		"POST /api/v1/feeds/import":  with(admin, func(r *rule) { r.timeout, r.body = long, archive }),
		"GET /api/v1/feeds/export":   with(admin, func(r *rule) { r.timeout = long }),

		"GET /api/v1/openapi.json": open,
		"GET /api/v1/openapi.yaml": open,
		"GET /healthz":             open,
		"GET /readyz":              open,
		"GET /metrics":             {loopback: true, role: access.Reader, timeout: question, body: small},

		"POST /osv/v1/query":      with(fresh, func(r *rule) { r.body = small }),
		"POST /osv/v1/querybatch": with(fresh, func(r *rule) { r.body = 4 * small }),
		"GET /osv/v1/vulns/{id}":  fresh,
	}
	for _, prefix := range dtrackPrefixes {
		t["PUT "+prefix+"/api/v1/bom"] = with(push, func(r *rule) { r.body = encoded })
		t["POST "+prefix+"/api/v1/bom"] = with(push, func(r *rule) { r.body = document + small })
		t["GET "+prefix+"/api/v1/bom/token/{uuid}"] = fresh
		t["GET "+prefix+"/api/v1/event/token/{uuid}"] = fresh
		t["GET "+prefix+"/api/v1/project/lookup"] = fresh
		t["GET "+prefix+"/api/v1/team/self"] = fresh
		t["GET "+prefix+"/api/version"] = open
	}
	return t
}

// mux is http.ServeMux that remembers its patterns.
type mux struct {
	*http.ServeMux
	patterns []string
}

func newMux() *mux { return &mux{ServeMux: http.NewServeMux()} }

// HandleFunc registers a handler.
func (m *mux) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, f)
}

// limiters are rate limits by key, of which those long unused are dropped.
type limiters struct {
	limit rate.Limit
	burst int
	mu    sync.Mutex
	by    map[string]*limiter
}

type limiter struct {
	*rate.Limiter
	used time.Time
}

const maxLimiters = 10_000

func newLimiters(limit rate.Limit, burst int) *limiters {
	return &limiters{limit: limit, burst: burst, by: map[string]*limiter{}}
}

func (l *limiters) of(key string) *limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	got := l.by[key]
	if got == nil {
		if len(l.by) >= maxLimiters {
			for k, v := range l.by {
				// Full again: nothing is forgotten by dropping it.
				if v.Tokens() >= float64(l.burst) || len(l.by) >= maxLimiters && now.Sub(v.used) > time.Minute {
					delete(l.by, k)
				}
			}
			if len(l.by) >= maxLimiters {
				clear(l.by)
			}
		}
		got = &limiter{Limiter: rate.NewLimiter(l.limit, l.burst)}
		l.by[key] = got
	}
	got.used = now
	return got
}

// allow takes one; it tells whether there was one.
func (l *limiters) allow(key string) bool { return l.of(key).Allow() }
