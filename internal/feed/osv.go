package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

const (
	listName    = "modified_id.csv"
	archiveName = "all.zip"
	overlap     = time.Hour // how late a record may appear in the list
	maxRecent   = 5000
	maxID       = 128 // bytes
	workers     = 8
)

// updateOSV brings one ecosystem up to date. It changes s and f only as far as
// it got; the caller keeps s on success alone.
func (c *Client) updateOSV(ctx context.Context, ecosystem string, s *State, f *FeedReport, progress func(Progress)) error {
	base := c.o.OSV + "/" + url.PathEscape(ecosystem)
	if s.URL != base {
		// Another origin may hold other records: its list tells nothing of ours.
		s.URL, s.ETag, s.LastModified, s.ZipETag, s.ZipModified, s.From, s.Recent = base, "", "", "", "", 0, nil
	}
	if s.From == 0 {
		return c.whole(ctx, s, f, progress)
	}
	news, v, err := c.news(ctx, base+"/"+listName, s)
	switch {
	case fault.Of(err) == fault.NotFound:
		// A mirror without lists: the archive is all it has.
		return c.whole(ctx, s, f, progress)
	case errors.Is(err, errTooMuchNews):
		s.ZipETag, s.ZipModified = "", ""
		return c.whole(ctx, s, f, progress)
	case err != nil:
		return err
	}
	s.ETag, s.LastModified = v.etag, v.modified
	if len(news) == 0 {
		f.Unchanged = true
		return nil
	}
	return c.some(ctx, base, news, s, f, progress)
}

// whole reads the whole archive of an ecosystem, when it has changed.
func (c *Client) whole(ctx context.Context, s *State, f *FeedReport, progress func(Progress)) error {
	file := filepath.Join(c.o.Dir, fileName(s.Feed))
	known := validators{s.ZipETag, s.ZipModified}
	if s.From == 0 {
		known = validators{}
	}
	changed, v, err := c.download(ctx, s.Feed, s.URL+"/"+archiveName, file, known, progress)
	if fault.Of(err) == fault.NotFound {
		return fault.New(fault.NotFound, "%s has no feed for this ecosystem: %w", c.o.OSV, err)
	}
	if err != nil {
		return err
	}
	if !changed {
		f.Unchanged = true
		return nil
	}
	defer os.Remove(file)
	archive, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("archive of %s: %w", s.Feed, err)
	}
	defer archive.Close()
	info, err := archive.Stat()
	if err != nil {
		return fmt.Errorf("archive of %s: %w", s.Feed, err)
	}
	if err := c.archive(ctx, s.URL+"/"+archiveName, archive, info.Size(), s, f, progress); err != nil {
		return err
	}
	// The list is read again next time, whatever its ETag: it may be newer than the archive.
	s.ETag, s.LastModified, s.ZipETag, s.ZipModified = "", "", v.etag, v.modified
	return nil
}

// archive reads an archive of records into the sink and starts the state anew.
func (c *Client) archive(ctx context.Context, name string, r io.ReaderAt, size int64, s *State, f *FeedReport, progress func(Progress)) error {
	z, err := openZip(name, r, size)
	if err != nil {
		return err
	}
	f.Whole = true
	w := window{recent: map[string]estate.Time{}}
	counted := 0
	var broken error // whatever the sink makes of it
	observed := func(yield func([]byte, error) bool) {
		for body, err := range recordsIn(ctx, name, z) {
			broken = err
			if err == nil {
				w.see(body)
				if counted++; counted%1000 == 0 {
					tell(progress, Progress{Feed: s.Feed, Stage: "records", Done: int64(counted), Total: int64(len(z.File))})
				}
			}
			if !yield(body, err) {
				return
			}
		}
	}
	report, err := c.sink.IngestRecords(ctx, osvSource, observed)
	if err != nil {
		return fmt.Errorf("store records of %s: %w", s.Feed, err)
	}
	if broken != nil {
		return broken
	}
	if counted == 0 {
		return fault.New(fault.Invalid, "%s has no records", name)
	}
	f.add(report)
	w.close()
	s.Newest, s.From, s.Recent, s.Records = w.newest, w.from, w.recent, counted
	if s.From == 0 {
		s.From = 1 // no record has a time: read the whole list, but not the archive again
	}
	return nil
}

// some fetches changed records one by one.
func (c *Client) some(ctx context.Context, base string, news []entry, s *State, f *FeedReport, progress func(Progress)) error {
	w := window{newest: s.Newest, from: s.From, recent: maps.Clone(s.Recent)}
	if w.recent == nil {
		w.recent = map[string]estate.Time{}
	}
	var failed error
	counted := 0
	records := func(yield func([]byte, error) bool) {
		for r := range c.fetchAll(ctx, base, news) {
			switch {
			case r.err == nil:
				counted++
				tell(progress, Progress{Feed: s.Feed, Stage: "records", Done: int64(counted), Total: int64(len(news))})
				if !yield(r.body, nil) {
					return
				}
			case fault.Of(r.err) == fault.NotFound:
				// One record that is listed and missing must not hold up all others for ever.
				f.Notes = append(f.Notes, fmt.Sprintf("%s is listed and cannot be fetched: %v", r.entry.ID, r.err))
			default:
				failed = r.err
				continue // what did arrive is stored; it is read again next time
			}
			w.add(r.entry.ID, r.entry.Time)
		}
	}
	report, err := c.sink.IngestRecords(ctx, osvSource, records)
	if err != nil {
		return fmt.Errorf("store records of %s: %w", s.Feed, err)
	}
	f.add(report)
	if failed != nil {
		return failed
	}
	w.close()
	s.Newest, s.From, s.Recent = w.newest, w.from, w.recent
	s.Records += counted
	return nil
}

type fetched struct {
	entry entry
	body  []byte
	err   error
}

// fetchAll gets records concurrently and yields them as they arrive.
func (c *Client) fetchAll(ctx context.Context, base string, news []entry) iter.Seq[fetched] {
	return func(yield func(fetched) bool) {
		ctx, cancel := context.WithCancel(ctx)
		todo, done := make(chan entry), make(chan fetched)
		var wg sync.WaitGroup
		go func() {
			defer close(todo)
			for _, e := range news {
				select {
				case todo <- e:
				case <-ctx.Done():
					return
				}
			}
		}()
		for range min(workers, len(news)) {
			wg.Go(func() {
				for e := range todo {
					r := fetched{entry: e}
					if r.err = c.limit.Wait(ctx); r.err == nil {
						r.body, _, r.err = c.fetch(ctx, base+"/"+url.PathEscape(e.ID)+".json", validators{}, maxRecord)
					}
					select {
					case done <- r:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		go func() { wg.Wait(); close(done) }()
		defer func() {
			cancel()
			for range done { // until every worker has stopped
			}
		}()
		for r := range done {
			if !yield(r) {
				return
			}
		}
	}
}

// entry is one line of a list of modified records.
type entry struct {
	Time estate.Time
	ID   string
}

var errTooMuchNews = errors.New("the list does not reach back to what is known, or holds too much")

// news reads the list of modified records, newest first, down to s.From, and
// returns those that have not been read, oldest first.
func (c *Client) news(ctx context.Context, at string, s *State) (news []entry, v validators, err error) {
	known := validators{s.ETag, s.LastModified}
	err = c.retry(ctx, func() error {
		news = nil
		res, err := c.do(ctx, at, known.conditions())
		if err != nil {
			return err
		}
		defer res.Body.Close()
		v = validatorsOf(res.Header)
		switch res.StatusCode {
		case http.StatusNotModified:
			v = known
			return nil
		case http.StatusOK:
		default:
			return fault.New(fault.Unavailable, "get %s: %s", at, res.Status)
		}
		reached, many := false, false
		seen := map[string]bool{}
		if err := parseList(res.Body, func(e entry) bool {
			switch {
			case e.Time < s.From:
				reached = true
				return false
			case seen[e.ID]:
				return true
			case s.Recent[e.ID] >= e.Time:
				reached = true
			default:
				news = append(news, e)
			}
			seen[e.ID] = true
			many = len(news) > c.maxDelta
			return !many
		}); err != nil {
			return fmt.Errorf("list %s: %w", at, err)
		}
		if many || !reached {
			return errTooMuchNews
		}
		return nil
	})
	if err != nil {
		return nil, validators{}, err
	}
	slices.Reverse(news)
	return news, v, nil
}

// parseList reads lines "time,ID" (or "time,ecosystem/ID", as in the list of
// all ecosystems) until yield returns false. It reads no further than it must.
func parseList(r io.Reader, yield func(entry) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), 4096)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		when, id, ok := strings.Cut(line, ",")
		if !ok {
			return fault.New(fault.Invalid, "line %d: want time,ID", n)
		}
		t, err := estate.ParseTime(when)
		if err != nil {
			return fault.New(fault.Invalid, "line %d: %w", n, err)
		}
		id = id[strings.LastIndexByte(id, '/')+1:]
		if !validID(id) {
			return fault.New(fault.Invalid, "line %d: %q is no record id", n, id)
		}
		if !yield(entry{t, id}) {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fault.New(fault.Invalid, "line %d is too long", n+1)
	}
	return lines.Err()
}

// validID tells whether a record id can be part of an address: letters, digits
// and a few marks, as in "GHSA-…", "RHSA-2024:1234", "openSUSE-SU-2024:0001-1".
func validID(id string) bool {
	if id == "" || len(id) > maxID || id[0] == '.' {
		return false
	}
	for _, r := range id {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.:+~", r):
		default:
			return false
		}
	}
	return true
}

// window remembers the records of the newest hour of a feed.
type window struct {
	newest, from estate.Time
	recent       map[string]estate.Time
}

// see notes a record by what it says of itself; one that says nothing usable is
// left to the sink, which refuses it.
func (w *window) see(body []byte) {
	var r struct{ ID, Modified string }
	if json.Unmarshal(body, &r) != nil {
		return
	}
	if t, err := estate.ParseTime(r.Modified); err == nil {
		w.add(r.ID, t)
	}
}

func (w *window) add(id string, t estate.Time) {
	if !validID(id) {
		return
	}
	w.newest = max(w.newest, t)
	if t < w.newest.Add(-overlap) {
		return
	}
	w.recent[id] = max(w.recent[id], t)
	if len(w.recent) > 4*maxRecent {
		w.close()
	}
}

// close drops what lies before the window, and shortens the window when it
// holds too much.
func (w *window) close() {
	w.from = max(w.from, w.newest.Add(-overlap))
	times := slices.Sorted(maps.Values(w.recent))
	if len(times) > maxRecent {
		// Whatever shares the last instant is kept or dropped together.
		w.from = max(w.from, times[len(times)-maxRecent]+1)
		if w.from > w.newest {
			w.from = w.newest
		}
	}
	maps.DeleteFunc(w.recent, func(_ string, t estate.Time) bool { return t < w.from })
}

// fileName makes a file name of a feed's name.
func fileName(feed string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '_'
	}, feed) + ".zip"
}
