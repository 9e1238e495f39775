// Package api is the HTTP face: questions and documents under /api/v1, and the
// interfaces of OSV and Dependency-Track, so that existing clients work
// unchanged. It asks package answer and tells package engine; it never sees SQL.
//
// A request passes one gate: the route is looked up in one table of rules
// (rules.go), the caller is authenticated, role, scope, rate and size are
// checked, and only then a handler runs, with the principal in its context. A
// route without a rule is refused. Answers receive the principal's scope.
// Errors are problem+json (RFC 9457) with a code of package fault.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"thymus/internal/access"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
)

// Options of a server. Everything may be left out but Tokens, without which
// only the socket is of use.
type Options struct {
	Tokens  *access.Tokens
	Feeds   *feed.Client // for updates and offline bundles by request
	Version string       // of Thymus, as shown
	Log     *slog.Logger // internal errors, with their incident; nil discards
	Now     func() estate.Time
	// Rate and Burst limit the requests of each token, per second; 0 is 100 and
	// 200. Callers on the socket are not limited.
	Rate  float64
	Burst int
	// Ready tells why the server cannot answer yet; nil means it always can.
	Ready func() error
	// Assets serves what no route matches, to everyone: files without data.
	Assets http.Handler
}

// Server is the HTTP face. It is an http.Handler for callers that show a token;
// Socket is the handler for local ones. A request whose context carries a
// principal already (package access) acts as that principal.
type Server struct {
	e       backend
	o       Options
	mux     *mux
	api     huma.API
	rules   map[string]rule
	spec    spec
	boot    string              // part of entity tags: another process, other tags
	tokens  *limiters           // requests by token
	guesses *limiters           // failed authentications by address
	bodies  *semaphore.Weighted // bytes of request bodies in memory
	metrics *metrics
}

const maxBodies = 2 << 30 // bytes of all request bodies in memory at once

// New makes a server for an engine.
func New(e *engine.Engine, o Options) *Server { return newServer(live{e}, o) }

func newServer(e backend, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() estate.Time { return estate.At(time.Now()) }
	}
	if o.Rate <= 0 {
		o.Rate = 100
	}
	if o.Burst <= 0 {
		o.Burst = 200
	}
	s := &Server{
		e: e, o: o, mux: newMux(), rules: rules(), boot: newIncident(),
		tokens: newLimiters(rate.Limit(o.Rate), o.Burst), guesses: newLimiters(5, 20),
		bodies: semaphore.NewWeighted(maxBodies), metrics: newMetrics(e, o.Version),
	}
	s.api = s.newHuma()
	s.questions()
	s.pushes()
	s.admin()
	s.events()
	s.osv()
	s.dtrack()
	s.plain()
	s.spec = newSpec(s.api.OpenAPI())
	return s
}

// ServeHTTP serves callers that show a token.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r, false) }

// Socket serves callers that may open the socket in the data directory: they
// act as admin.
func (s *Server) Socket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, true) })
}

// serve is the gate.
func (s *Server) serve(rw http.ResponseWriter, r *http.Request, local bool) {
	w := &recorder{ResponseWriter: rw}
	start := time.Now()
	pattern := ""
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			err := errPanic{v}
			if w.status == 0 {
				s.refuse(w, r, err)
			} else {
				s.problem(r.Context(), err)
			}
		}
		s.metrics.observe(pattern, w.status, time.Since(start))
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")

	_, pattern = s.mux.Handler(r)
	if pattern == "" {
		s.unmatched(w, r)
		return
	}
	need, ok := s.rules[pattern]
	if !ok {
		s.refuse(w, r, fault.New(fault.Forbidden, "nobody may use this route: it has no access rule"))
		return
	}
	p, err := s.principal(r, need, local)
	if err == nil {
		err = s.allow(need, p)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	ctx := access.With(r.Context(), p)
	deadlines := http.NewResponseController(rw)
	if need.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, need.timeout)
		defer cancel()
		// A recorder in a test knows no deadlines; a connection does.
		_ = deadlines.SetReadDeadline(start.Add(need.timeout))
		_ = deadlines.SetWriteDeadline(start.Add(need.timeout + 30*time.Second))
	} else {
		_ = deadlines.SetReadDeadline(time.Time{})
		_ = deadlines.SetWriteDeadline(time.Time{})
	}
	r = r.WithContext(ctx)
	if r.Body != nil && need.body > 0 {
		// One byte more, so that a handler's own limit is met first.
		r.Body = http.MaxBytesReader(w, r.Body, need.body+1)
	}
	if need.etag {
		tag := s.tag(r, p)
		if matches(r.Header.Values("If-None-Match"), tag) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Cache-Control", "private, no-cache")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.tag = tag
	}
	s.mux.ServeHTTP(w, r)
}

// principal finds out who asks.
func (s *Server) principal(r *http.Request, need rule, local bool) (access.Principal, error) {
	if p := access.From(r.Context()); p.Role != access.NoRole {
		return p, nil
	}
	if local {
		return access.Local(), nil
	}
	if need.open || need.loopback && fromLoopback(r) {
		return access.From(r.Context()), nil
	}
	secret := credential(r)
	if secret == "" || s.o.Tokens == nil {
		return access.Principal{}, fault.New(fault.Unauthenticated, "a token is needed: Authorization: Bearer …, or X-Api-Key")
	}
	p, err := s.o.Tokens.Authenticate(r.Context(), secret)
	// Good tokens from an address from which others guess go on working.
	if fault.Of(err) == fault.Unauthenticated && !s.guesses.allow(host(r.RemoteAddr)) {
		return access.Principal{}, errTooMany
	}
	if err != nil {
		return access.Principal{}, err
	}
	if !s.tokens.allow(p.ID) {
		return access.Principal{}, errTooMany
	}
	return p, nil
}

// allow checks the rule.
func (s *Server) allow(need rule, p access.Principal) error {
	switch {
	case need.open || need.loopback: // principal has seen to it
		return nil
	case !p.Role.May(need.role) || need.role == access.NoRole:
		return fault.New(fault.Forbidden, "this needs the role %s; the token is of a %s", need.role, p.Role)
	case need.unscoped && p.Scope.Limited:
		return fault.New(fault.Forbidden, "a token limited to domains may not do this")
	}
	return nil
}

// credential is the token that a request shows.
func credential(r *http.Request) string {
	if scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value)
	}
	return r.Header.Get("X-Api-Key")
}

// fromLoopback tells whether the caller is on this machine and no proxy spoke
// for somebody else.
func fromLoopback(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	ip := net.ParseIP(host(r.RemoteAddr))
	return ip != nil && ip.IsLoopback()
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// unmatched answers for addresses without a route.
func (s *Server) unmatched(w http.ResponseWriter, r *http.Request) {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := s.mux.Handler(other); pattern != "" {
			methods = append(methods, m)
		}
	}
	if len(methods) > 0 {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		p := s.problem(r.Context(), fault.New(fault.Invalid, "%s is not for %s", r.URL.Path, r.Method))
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		p.write(w)
		return
	}
	if api := strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/osv/") || strings.HasPrefix(r.URL.Path, "/dtrack/"); s.o.Assets != nil && !api {
		w.Header().Del("Cache-Control")
		s.o.Assets.ServeHTTP(w, r)
		return
	}
	s.refuse(w, r, fault.New(fault.NotFound, "there is nothing at %s", r.URL.Path))
}

// recorder remembers the status of an answer and tags good ones.
type recorder struct {
	http.ResponseWriter
	status int
	tag    string
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		if w.tag != "" && status == http.StatusOK {
			w.Header().Set("ETag", w.tag)
			w.Header().Set("Cache-Control", "private, no-cache")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var errTooMany = &Problem{
	Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests,
	Code: fault.Unavailable, Detail: "too many requests with this token or from this address; try again in a second",
}

func newIncident() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// isLimit tells whether reading a body failed because it is too large.
func isLimit(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}
