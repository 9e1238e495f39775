// Package host puts a running Thymus together: the data directory, the ledger in
// it, the engine on that, and the faces' parts (feeds, tokens, the API's
// handler). It is the one place that knows them all; the command line uses it to
// serve, and to answer one question without a server.
package host

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"thymus/internal/access"
	"thymus/internal/api"
	"thymus/internal/catalog"
	"thymus/internal/datadir"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Options of a host.
type Options struct {
	Dir   string             // the data directory; made when there is none
	Now   func() estate.Time // nil means the system's clock
	Log   *slog.Logger       // nil discards
	Feeds Feeds
	// Version of Thymus, as the API shows it.
	Version string
}

// Feeds says where feeds come from: URLs, "off", or "" for the defaults.
type Feeds struct{ OSV, KEV, EPSS string }

// Running is the error of Open when another process owns the directory.
type Running struct {
	Dir    string
	Socket string // where that process serves, if it does
	err    error
}

// Error says who has the directory.
func (r *Running) Error() string { return r.err.Error() }

// Unwrap returns the cause, with its code.
func (r *Running) Unwrap() error { return r.err }

// Host is an open data directory with everything on it. Its methods may be
// called concurrently; Close comes last.
type Host struct {
	Engine *engine.Engine
	Tokens *access.Tokens
	Feeds  *feed.Client

	log  *slog.Logger
	own  *datadir.Owner
	face *api.Server
}

// Open takes the data directory and loads what is in it. It fails with *Running
// when another process owns the directory.
func Open(ctx context.Context, o Options) (_ *Host, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() estate.Time { return estate.At(time.Now()) }
	}
	h := &Host{log: o.Log}
	if h.own, err = datadir.Own(o.Dir); err != nil {
		return nil, owned(o.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	h.Engine, err = engine.Open(ctx, engine.Options{
		Readers: catalog.Readers(), Now: o.Now, Log: o.Log,
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return sqlite.Open(ctx, o.Dir, sqlite.Options{Fold: fold, OnChange: onChange})
		},
	})
	if err != nil {
		return nil, err
	}
	store := h.Engine.Ledger()
	h.Tokens = access.NewTokens(store, o.Now)
	h.Feeds, err = feed.New(h.Engine, store, feed.Options{
		OSV: o.Feeds.OSV, KEV: o.Feeds.KEV, EPSS: o.Feeds.EPSS,
		Dir: filepath.Join(o.Dir, "feeds"), Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	h.face = api.New(h.Engine, api.Options{Tokens: h.Tokens, Feeds: h.Feeds, Version: o.Version, Now: o.Now, Log: o.Log})
	return h, nil
}

// owned turns the error of a directory that another process owns into *Running.
// It is the one that is unavailable without a cause.
func owned(dir string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.Unavailable || f.Err != nil {
		return err
	}
	socket, serr := datadir.SocketPath(dir)
	if serr != nil {
		return serr
	}
	return &Running{Dir: dir, Socket: socket, err: err}
}

// fold is how package names of an ecosystem compare, for the ledger's index.
func fold(ecosystem, name string) string {
	return purl.FoldName(version.ParseEcosystem(ecosystem), name)
}

// Handler is the API for callers that show a token.
func (h *Host) Handler() http.Handler { return h.face }

// Local is the API for whoever may open the data directory: an admin.
func (h *Host) Local() http.Handler { return h.face.Socket() }

// Import reads feeds from a file or folder, and returns the report as the API
// renders it.
func (h *Host) Import(ctx context.Context, path string) ([]byte, error) {
	report, err := h.Feeds.Import(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return json.Marshal(report)
}

// Close closes the engine with its ledger and lets the directory go.
func (h *Host) Close() error {
	var errs []error
	if h.Engine != nil {
		errs = append(errs, h.Engine.Close())
	}
	if h.own != nil {
		errs = append(errs, h.own.Close())
	}
	return errors.Join(errs...)
}

// Serving says how to serve.
type Serving struct {
	Listener net.Listener  // for callers with tokens; Serve closes it
	TLS      *tls.Config   // nil: plain HTTP
	Feeds    bool          // fetch feeds in the background
	Every    time.Duration // how often; 0 is the feeds' default
}

// When serving ends, requests may take grace to end; their contexts, and so all
// streams, end after streams.
const (
	grace   = 10 * time.Second
	streams = 2 * time.Second
)

// Serve serves on the listener and on the socket in the data directory, mints
// and fetches in the background, and returns when ctx ends or a part fails.
func (h *Host) Serve(ctx context.Context, s Serving) error {
	socket, err := h.socket()
	if err != nil {
		return errors.Join(err, s.Listener.Close())
	}
	ln := s.Listener
	if s.TLS != nil {
		config := s.TLS.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		ln = tls.NewListener(ln, config)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	parts := []func() error{
		func() error { return h.serve(ctx, ln, h.Handler()) },
		func() error { return h.serve(ctx, socket, h.Local()) },
		func() error { return h.Engine.Run(ctx) },
	}
	if s.Feeds {
		parts = append(parts, func() error { return h.Feeds.Run(ctx, s.Every, h.Engine.EcosystemsInUse) })
	}
	done := make(chan error, len(parts))
	for _, part := range parts {
		go func() { done <- part() }()
	}
	// The first part to end, by failure or by ctx, ends the others.
	for range parts {
		if perr := <-done; perr != nil && !errors.Is(perr, context.Canceled) {
			err = errors.Join(err, perr)
		}
		cancel()
	}
	return err
}

// serve serves one listener until ctx ends, and then lets requests finish.
// Streams of events would go on for ever: they are cut after a moment.
func (h *Host) serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		defer time.AfterFunc(streams, cut).Stop()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := server.Shutdown(end)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		ended <- err
	}()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return <-ended
}

// socket listens on the socket in the data directory, for its owner alone. What
// a process that was killed left there is removed: the directory is ours.
func (h *Host) socket() (net.Listener, error) {
	path := h.own.SocketPath()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), ln.Close())
	}
	return ln, nil
}

// Bootstrap writes the first admin token to a file in the data directory when
// there is no token yet. It returns the file, and whether it did.
func (h *Host) Bootstrap(ctx context.Context) (file string, made bool, err error) {
	file = h.own.AdminTokenPath()
	made, err = h.Tokens.Bootstrap(ctx, file)
	return file, made, err
}
