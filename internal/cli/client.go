package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thymus/internal/cli/host"
	"thymus/internal/fault"
)

// client speaks the HTTP API, over TCP, over a data directory's socket or to a
// handler in this process.
type client struct {
	base  string
	token string
	http  *http.Client
	host  *host.Host // the directory, when this process owns it
}

// patience is how long a command waits for a directory that another one owns.
const patience = 5 * time.Second

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 30

// connect finds the server of this call; see the package comment.
func (s *session) connect(ctx context.Context) (*client, error) {
	if at := s.env["THYMUS_URL"]; at != "" && !s.chosen {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fault.New(fault.Usage, "THYMUS_URL %q is no http or https URL", at)
		}
		return &client{base: strings.TrimSuffix(at, "/"), token: s.env["THYMUS_TOKEN"], http: &http.Client{}}, nil
	}
	dir, err := s.directory()
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		h, err := host.Open(ctx, host.Options{Dir: dir, Version: build().Version, Log: s.defects()})
		if err == nil {
			return &client{base: "http://thymus", http: &http.Client{Transport: inProcess{h.Local()}}, host: h}, nil
		}
		var running *host.Running
		if !errors.As(err, &running) {
			return nil, err
		}
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", running.Socket)
		}
		probe, derr := dial(ctx, "", "")
		if derr == nil {
			probe.Close()
			return &client{base: "http://thymus", http: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
		}
		// Owned, and no socket: another command that will soon be done, or a
		// server that starts or stops.
		if time.Since(began) > patience {
			return nil, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// defects is the log of an API in this process: it hides the text of internal
// errors from its callers and logs it, and here both are the same person.
func (s *session) defects() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.errs.w, &slog.HandlerOptions{Level: slog.LevelError}))
}

// directory is the data directory that flags and environment name.
func (s *session) directory() (string, error) {
	for _, dir := range []string{s.data, s.env["THYMUS_DATA"]} {
		if dir != "" {
			return dir, nil
		}
	}
	// The XDG base directory specification, which other systems' tools follow too.
	if base := s.env["XDG_DATA_HOME"]; filepath.IsAbs(base) {
		return filepath.Join(base, "thymus"), nil
	}
	if base := s.env["LOCALAPPDATA"]; runtime.GOOS == "windows" && base != "" {
		return filepath.Join(base, "thymus"), nil
	}
	if home := s.env["HOME"]; home != "" {
		return filepath.Join(home, ".local", "share", "thymus"), nil
	}
	return "", fault.New(fault.Usage, "no data directory: give --data, or set THYMUS_DATA or THYMUS_URL")
}

func (c *client) close() error {
	if c.host == nil {
		return nil
	}
	return c.host.Close()
}

// with connects, calls f and closes; a failure to close is reported when f had none.
func (s *session) with(ctx context.Context, f func(*client) error) (err error) {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := c.close(); err == nil {
			err = cerr
		}
	}()
	return f(c)
}

// call sends a request and returns the body of a good answer. body may be nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) ([]byte, error) {
	res, err := c.send(ctx, method, path, query, contentType, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, wrapf(err, "answer of %s", path)
	}
	if len(out) > maxAnswer {
		return nil, fault.New(fault.TooLarge, "answer of %s is over %d bytes", path, maxAnswer)
	}
	return out, nil
}

// send sends a request; the caller closes the answer's body. An answer that is
// no success becomes an error with the API's code.
func (c *client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fault.New(fault.Usage, "request of %s: %w", path, err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which stands here already
		}
		return nil, fault.New(fault.Unavailable, "no answer from %s: %w", c.base, err)
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		err := problem(res)
		if fault.Of(err) == fault.Unauthenticated {
			if c.token == "" {
				return nil, fault.New(fault.Unauthenticated, "%s asks for a token: set THYMUS_TOKEN (“thymus token create” makes one, beside the server)", c.base)
			}
			return nil, wrapf(err, "THYMUS_TOKEN at %s", c.base)
		}
		return nil, err
	}
	return res, nil
}

// problem turns a problem+json answer (RFC 9457) into an error. Its member
// "code" is a code of package fault.
func problem(res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var p struct {
		Title, Detail, Code string
		Errors              []struct{ Message, Location string }
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.Title+p.Detail == "" {
		p.Detail = "the server answered " + res.Status
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	for _, e := range p.Errors {
		message += "; " + e.Message
		if e.Location != "" {
			message += " (" + e.Location + ")"
		}
	}
	code := fault.Code(p.Code)
	if code == "" {
		code = codeOf(res.StatusCode)
	}
	return &fault.Error{Code: code, Message: clean(message)}
}

// codeOf guesses the code of an answer that does not say one, say from a proxy.
func codeOf(status int) fault.Code {
	switch {
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusUnauthorized:
		return fault.Unauthenticated
	case status == http.StatusForbidden:
		return fault.Forbidden
	case status == http.StatusServiceUnavailable, status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		return fault.Unavailable
	case status >= 500:
		return fault.Internal
	}
	return fault.Invalid
}

// ask gets an answer, prints it (as JSON, exactly as it came, or by show) and
// returns it.
func ask[T any](ctx context.Context, s *session, path string, query url.Values, show func(*T)) (v *T, err error) {
	err = s.with(ctx, func(c *client) error {
		stop := s.errs.progress("asking")
		raw, err := c.call(ctx, http.MethodGet, path, query, "", nil)
		stop()
		if err != nil {
			return err
		}
		v, err = present(s, raw, show)
		return err
	})
	return v, err
}

// tell sends a document or a decision and prints the answer.
func tell[T any](ctx context.Context, s *session, path string, query url.Values, contentType string, body io.Reader, show func(*T)) error {
	return s.with(ctx, func(c *client) error {
		stop := s.errs.progress("sending")
		raw, err := c.call(ctx, http.MethodPost, path, query, contentType, body)
		stop()
		if err != nil {
			return err
		}
		_, err = present(s, raw, show)
		return err
	})
}

// present prints an answer's JSON as it came, or shows it.
func present[T any](s *session, raw []byte, show func(*T)) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fault.New(fault.Internal, "the server's answer is not understood: %w", err)
	}
	if s.output == "json" {
		s.out.write(string(bytes.TrimRight(raw, "\n")) + "\n")
	} else {
		show(v)
	}
	return v, nil
}

// inProcess is a transport that calls a handler in this process. The body of an
// answer streams through a pipe.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	in := req.Clone(req.Context())
	if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // a client says 0 for what it does not know, a server -1
	}
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "@"
	in.Host = req.URL.Host
	r, w := io.Pipe()
	rw := &pipeWriter{header: http.Header{}, body: w, ready: make(chan struct{})}
	go func() {
		defer in.Body.Close()
		defer func() {
			if p := recover(); p != nil {
				rw.WriteHeader(http.StatusInternalServerError)
				_ = w.CloseWithError(fault.New(fault.Internal, "the handler failed: %v", p))
				return
			}
			rw.WriteHeader(http.StatusOK)
			_ = w.Close()
		}()
		t.handler.ServeHTTP(rw, in)
	}()
	select {
	case <-rw.ready:
	case <-req.Context().Done():
		_ = r.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", rw.status, http.StatusText(rw.status)), StatusCode: rw.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rw.sent, Body: r, ContentLength: -1, Request: req,
	}, nil
}

// pipeWriter is the ResponseWriter of inProcess. Like those of net/http, it is
// for one goroutine.
type pipeWriter struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	ready        chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status != 0 || (status >= 100 && status < 200) {
		return
	}
	w.status, w.sent = status, w.header.Clone()
	close(w.ready)
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush has nothing to do: nothing is held back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// times are the flags --as-of and --as-known, on every question.
type times struct{ at, known string }

func (t *times) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.at, "as-of", "", "ask what was true at this `time` (RFC 3339 or a date; default now)")
	c.Flags().StringVar(&t.known, "as-known", "", "ask what Thymus knew by this `time` (default now)")
}

// page are the flags of a long list.
type page struct {
	limit int
	after string
}

func (p *page) flags(c *cobra.Command) {
	c.Flags().IntVar(&p.limit, "limit", 0, "rows on this page (default 50, at most 500)")
	c.Flags().StringVar(&p.after, "after", "", "the `cursor` that the page before ended with")
}
