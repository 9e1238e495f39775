package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"thymus/internal/fault"
)

const (
	attempts     = 4
	maxRedirects = 5
	maxArchive   = 4 << 30 // bytes of one archive
)

// defaultHTTP verifies certificates, follows few redirects and never from https
// to http.
func defaultHTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: t, CheckRedirect: checkRedirect}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirected from https to http")
	}
	return nil
}

// temporary is a failure that may pass.
type temporary struct {
	err   error
	after time.Duration // Retry-After; 0 when not stated
}

func (t *temporary) Error() string { return t.err.Error() }
func (t *temporary) Unwrap() error { return t.err }

// retry runs f until it succeeds, fails for good, or has failed too often. It
// waits longer each time, with jitter, or as long as the server asks for.
func (c *Client) retry(ctx context.Context, f func() error) error {
	wait := c.backoff
	for attempt := 1; ; attempt++ {
		err := f()
		var t *temporary
		if err == nil || !errors.As(err, &t) || attempt == attempts || t.after > c.maxWait || ctx.Err() != nil {
			return err
		}
		pause := wait/2 + rand.N(wait)
		if t.after > 0 {
			pause = t.after
		}
		wait *= 2
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// do sends one GET. It returns answers of status 200, 206, 304 and 416; other
// statuses are errors. The body fails when no byte arrives for c.stall.
func (c *Client) do(ctx context.Context, url string, header http.Header) (*http.Response, error) {
	watched, cancel := context.WithCancelCause(ctx)
	stalled := fmt.Errorf("no data for %s", c.stall)
	timer := time.AfterFunc(c.stall, func() { cancel(stalled) })
	give := func(err error) (*http.Response, error) {
		timer.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := http.NewRequestWithContext(watched, http.MethodGet, url, nil)
	if err != nil {
		return give(fault.New(fault.Usage, "feed address %s: %w", url, err))
	}
	req.Header = header
	req.Header.Set("User-Agent", "thymus")
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(context.Cause(watched), stalled) {
			err = fmt.Errorf("get %s: %w", url, stalled)
		}
		return give(&temporary{err: fault.New(fault.Unavailable, "%w", err)})
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
		res.Body = &watchedBody{body: res.Body, timer: timer, stall: c.stall, cause: func() error { return context.Cause(watched) },
			close: func() { timer.Stop(); cancel(nil) }}
		return res, nil
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	res.Body.Close()
	failure := fault.New(fault.Unavailable, "get %s: %s", url, res.Status)
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		failure.Code = fault.NotFound
		return give(failure)
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return give(&temporary{err: failure, after: retryAfter(res.Header.Get("Retry-After"), c.o.Now().Std())})
	}
	return give(failure)
}

// watchedBody gives up a request that sends nothing.
type watchedBody struct {
	body  io.ReadCloser
	timer *time.Timer
	stall time.Duration
	cause func() error
	close func()
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.timer.Reset(w.stall)
	if err != nil && err != io.EOF {
		if cause := w.cause(); cause != nil {
			err = cause
		}
		err = &temporary{err: fault.New(fault.Unavailable, "%w", err)}
	}
	return n, err
}

func (w *watchedBody) Close() error {
	err := w.body.Close()
	w.close()
	return err
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < 1<<30 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// validators are what a server says of a version of a resource.
type validators struct{ etag, modified string }

func validatorsOf(h http.Header) validators {
	return validators{h.Get("ETag"), h.Get("Last-Modified")}
}

// conditions asks for the resource only if it is another version.
func (v validators) conditions() http.Header {
	h := http.Header{}
	if v.etag != "" {
		h.Set("If-None-Match", v.etag)
	}
	if v.modified != "" {
		h.Set("If-Modified-Since", v.modified)
	}
	return h
}

// fetch gets a whole document of at most limit bytes into memory. A nil body
// without an error means that it has not changed.
func (c *Client) fetch(ctx context.Context, url string, known validators, limit int64) (body []byte, v validators, err error) {
	err = c.retry(ctx, func() error {
		res, err := c.do(ctx, url, known.conditions())
		if err != nil {
			return err
		}
		defer res.Body.Close()
		v = validatorsOf(res.Header)
		switch res.StatusCode {
		case http.StatusNotModified:
			body, v = nil, known
			return nil
		case http.StatusOK:
		default:
			return fault.New(fault.Unavailable, "get %s: %s", url, res.Status)
		}
		body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
		if err != nil {
			return fmt.Errorf("get %s: %w", url, err)
		}
		if int64(len(body)) > limit {
			return fault.New(fault.TooLarge, "get %s: more than %d bytes", url, limit)
		}
		if len(body) == 0 {
			return fault.New(fault.Invalid, "get %s: empty", url)
		}
		return nil
	})
	if err != nil {
		return nil, validators{}, err
	}
	return body, v, nil
}

// partial describes a download that has not finished; it lies beside the data.
type partial struct {
	URL      string `json:"url"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"last_modified,omitempty"`
}

// download gets a large file to path. A transfer that breaks off is resumed,
// also by a later call, when the server knows ranges and the file is still the
// same version (RFC 9110 §13.1.5, If-Range). It tells false when the file has
// not changed; path is then not written.
func (c *Client) download(ctx context.Context, feed, url, path string, known validators, progress func(Progress)) (changed bool, v validators, err error) {
	err = c.retry(ctx, func() error {
		changed, v, err = c.transfer(ctx, feed, url, path, known, progress)
		return err
	})
	if err != nil {
		return false, validators{}, err
	}
	return changed, v, nil
}

func (c *Client) transfer(ctx context.Context, feed, url, path string, known validators, progress func(Progress)) (bool, validators, error) {
	part, note := path+".part", path+".part.json"
	header := known.conditions()
	header.Set("Accept-Encoding", "identity") // ranges are of the file itself
	var offset int64
	if p, size, ok := readPartial(part, note); ok && p.URL == url {
		if validator := p.strong(); validator != "" {
			header = http.Header{"Accept-Encoding": {"identity"}}
			header.Set("Range", fmt.Sprintf("bytes=%d-", size))
			header.Set("If-Range", validator)
			offset = size
		}
	}
	res, err := c.do(ctx, url, header)
	if err != nil {
		return false, validators{}, err
	}
	defer res.Body.Close()
	v := validatorsOf(res.Header)
	flags := os.O_WRONLY | os.O_CREATE
	switch res.StatusCode {
	case http.StatusNotModified:
		return false, known, nil
	case http.StatusOK:
		offset = 0
		flags |= os.O_TRUNC
	case http.StatusPartialContent:
		if !strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			os.Remove(part)
			return false, v, &temporary{err: fault.New(fault.Unavailable, "get %s: range %q was not asked for", url, res.Header.Get("Content-Range"))}
		}
		flags |= os.O_APPEND
	default: // 416: what we hold is no beginning of the file
		os.Remove(part)
		return false, v, &temporary{err: fault.New(fault.Unavailable, "get %s: %s", url, res.Status)}
	}
	total := int64(0)
	if res.ContentLength >= 0 {
		total = offset + res.ContentLength
	}
	if total > maxArchive {
		return false, v, fault.New(fault.TooLarge, "get %s: more than %d bytes", url, int64(maxArchive))
	}
	value, err := json.Marshal(partial{URL: url, ETag: v.etag, Modified: v.modified})
	if err == nil {
		err = os.WriteFile(note, value, 0o600)
	}
	if err != nil {
		return false, v, fmt.Errorf("download of %s: %w", feed, err)
	}
	f, err := os.OpenFile(part, flags, 0o600)
	if err != nil {
		return false, v, fmt.Errorf("download of %s: %w", feed, err)
	}
	n, err := io.Copy(&counter{w: f, done: offset, total: total, feed: feed, progress: progress}, io.LimitReader(res.Body, maxArchive-offset+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return false, v, fmt.Errorf("get %s: after %d bytes: %w", url, offset+n, err)
	case offset+n > maxArchive:
		os.Remove(part)
		return false, v, fault.New(fault.TooLarge, "get %s: more than %d bytes", url, int64(maxArchive))
	}
	if err := os.Rename(part, path); err != nil {
		return false, v, fmt.Errorf("download of %s: %w", feed, err)
	}
	os.Remove(note)
	return true, v, nil
}

// strong returns the validator that If-Range may carry: a weak ETag may not.
func (p partial) strong() string {
	if p.ETag != "" && !strings.HasPrefix(p.ETag, "W/") {
		return p.ETag
	}
	return p.Modified
}

func readPartial(part, note string) (p partial, size int64, ok bool) {
	info, err := os.Stat(part)
	if err != nil || info.Size() == 0 {
		return p, 0, false
	}
	value, err := os.ReadFile(note)
	if err != nil || json.Unmarshal(value, &p) != nil {
		return p, 0, false
	}
	return p, info.Size(), true
}

// counter reports progress once a megabyte.
type counter struct {
	w           io.Writer
	feed        string
	done, total int64
	told        int64
	progress    func(Progress)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.done += int64(n)
	if c.done-c.told >= 1<<20 || c.done == c.total {
		c.told = c.done
		tell(c.progress, Progress{Feed: c.feed, Stage: "download", Done: c.done, Total: c.total})
	}
	return n, err
}
