package feed

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

const maxDocument = 256 << 20 // bytes of one file that is a document

// Import reads from disk what Update would fetch: an offline bundle, a folder
// with the layout of OSV's export (<ecosystem>/all.zip, and kev.json, epss.csv
// or epss.csv.gz where present), one archive of records, or one document (an
// OSV record, KEV, EPSS). A bundle is verified whole before anything of it is
// stored. A feed for which newer data is stored is left as it is, with a note.
func (c *Client) Import(ctx context.Context, path string, progress func(Progress)) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Report{}, fault.New(fault.NotFound, "import: %w", err)
		}
		return Report{}, fmt.Errorf("import: %w", err)
	}
	if info.IsDir() {
		return c.importFolder(ctx, path, progress)
	}
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		return Report{}, fault.New(fault.Invalid, "import %s: the file is empty or cannot be read: %w", path, err)
	}
	if magic := string(head[:n]); magic != "PK\x03\x04" && magic != "PK\x05\x06" {
		return c.importDocument(ctx, path)
	}
	z, err := openZip(path, f, info.Size())
	if err != nil {
		return Report{}, err
	}
	has := func(kind func(name string) bool) bool {
		return slices.ContainsFunc(z.File, func(e *zip.File) bool { return kind(e.Name) })
	}
	switch {
	case has(func(name string) bool { return name == manifestName }):
		return c.importBundle(ctx, path, f, info.Size(), z, progress)
	case has(func(name string) bool { return memberFeed(name) != "" }):
		return Report{}, fault.New(fault.Invalid, "bundle %s: it has no %s", path, manifestName)
	}
	if filepath.Base(path) == archiveName {
		return c.importArchive(ctx, path, filepath.Base(filepath.Dir(path)), progress)
	}
	// Which ecosystems it holds, and whether all of each, nobody says: it is no
	// state of a feed.
	report := FeedReport{Feed: filepath.Base(path)}
	var s State
	err = c.archive(ctx, path, f, info.Size(), &s, &report, progress)
	return Report{Feeds: []FeedReport{report}}, err
}

// importFolder imports all that it finds; one bad file does not stop the others.
func (c *Client) importFolder(ctx context.Context, dir string, progress func(Progress)) (Report, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	var all Report
	var failed []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var r Report
		var err error
		if feed := memberFeed(e.Name()); feed == kevFeed || feed == epssFeed {
			r, err = c.importSignal(ctx, feed, path)
		} else if _, serr := os.Stat(filepath.Join(path, archiveName)); serr == nil {
			r, err = c.importArchive(ctx, filepath.Join(path, archiveName), e.Name(), progress)
		}
		all.Feeds = append(all.Feeds, r.Feeds...)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(all.Feeds) == 0 && len(failed) == 0 {
		return all, fault.New(fault.NotFound, "import: %s holds no <ecosystem>/%s, kev.json or epss.csv", dir, archiveName)
	}
	if len(failed) > 0 {
		return all, fmt.Errorf("import: %w", errors.Join(failed...))
	}
	return all, nil
}

// importArchive imports the whole archive of one ecosystem.
func (c *Client) importArchive(ctx context.Context, path, ecosystem string, progress func(Progress)) (Report, error) {
	return c.once(ctx, osvPrefix+ecosystem, func(s *State, f *FeedReport) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		// No address: an archive of unknown origin is no base for changes from OSV.
		*s = State{Feed: s.Feed}
		return c.archive(ctx, path, file, info.Size(), s, f, progress)
	})
}

func (c *Client) importSignal(ctx context.Context, feed, path string) (Report, error) {
	return c.once(ctx, feed, func(s *State, f *FeedReport) error {
		body, err := readFile(path)
		if err != nil {
			return err
		}
		*s = State{Feed: feed}
		return c.signal(ctx, c.signalOf(feed), body, s, f)
	})
}

func (c *Client) importDocument(ctx context.Context, path string) (Report, error) {
	body, err := readFile(path)
	if err != nil {
		return Report{}, fmt.Errorf("import: %w", err)
	}
	report := FeedReport{Feed: filepath.Base(path)}
	receipt, err := c.sink.Ingest(ctx, body, estate.Claim{Source: "import"})
	if err != nil {
		return Report{}, fmt.Errorf("import %s: %w", path, err)
	}
	if receipt != nil {
		report.Records = receipt.Advisories + receipt.Signals
		report.Changed, report.Unchanged = receipt.Advisories, receipt.Duplicate
		report.Opened, report.Closed, report.Notes = receipt.Opened, receipt.Closed, receipt.Notes
	}
	return Report{Feeds: []FeedReport{report}}, nil
}

// importBundle verifies every member, and imports them only then.
func (c *Client) importBundle(ctx context.Context, path string, file io.ReaderAt, size int64, z *zip.Reader, progress func(Progress)) (Report, error) {
	entries := map[string]*zip.File{}
	for _, e := range z.File {
		if entries[e.Name] != nil {
			return Report{}, fault.New(fault.Invalid, "bundle %s: %q appears twice", path, e.Name)
		}
		entries[e.Name] = e
	}
	text, err := readEntry(entries[manifestName], maxManifest)
	if err != nil {
		return Report{}, fmt.Errorf("bundle %s: %w", path, err)
	}
	m, err := parseManifest(text)
	if err != nil {
		return Report{}, fmt.Errorf("bundle %s: %w", path, err)
	}
	if len(entries) != len(m.Members)+1 {
		return Report{}, fault.New(fault.Invalid, "bundle %s: %d files; the manifest lists %d", path, len(entries)-1, len(m.Members))
	}
	sections := make([]*io.SectionReader, len(m.Members))
	for i, member := range m.Members {
		if sections[i], err = verifyMember(ctx, entries[member.Name], member, file, size); err != nil {
			return Report{}, fmt.Errorf("bundle %s: %w", path, err)
		}
		tell(progress, Progress{Feed: member.State.Feed, Stage: "verify", Done: int64(i + 1), Total: int64(len(m.Members))})
	}
	var all Report
	var failed []error
	for i, member := range m.Members {
		r, err := c.importMember(ctx, path, member, sections[i], progress)
		all.Feeds = append(all.Feeds, r.Feeds...)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return all, errors.Join(failed...)
}

// verifyMember checks a member's size and checksum and returns its bytes, which
// lie in the bundle as they are.
func verifyMember(ctx context.Context, e *zip.File, m Member, file io.ReaderAt, size int64) (*io.SectionReader, error) {
	if e == nil {
		return nil, fault.New(fault.Invalid, "%q is missing", m.Name)
	}
	if e.Method != zip.Store || e.UncompressedSize64 != uint64(m.Size) || e.CompressedSize64 != uint64(m.Size) {
		return nil, fault.New(fault.Invalid, "%q has not the size that the manifest states", m.Name)
	}
	at, err := e.DataOffset()
	if err != nil || at > size-m.Size {
		return nil, fault.New(fault.Invalid, "%q is cut short", m.Name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &cancellable{ctx, io.NewSectionReader(file, at, m.Size)}); err != nil {
		return nil, fmt.Errorf("read %q: %w", m.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(got, m.SHA256) {
		return nil, fault.New(fault.Invalid, "%q has been altered: its SHA-256 is %s, the manifest says %s", m.Name, got, m.SHA256)
	}
	return io.NewSectionReader(file, at, m.Size), nil
}

type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// importMember imports one verified member; its data stays as old as it was
// where the bundle was made.
func (c *Client) importMember(ctx context.Context, path string, m Member, r *io.SectionReader, progress func(Progress)) (Report, error) {
	feed := m.State.Feed
	known, err := c.load(ctx, feed)
	if err != nil {
		return Report{}, err
	}
	made := m.State
	older := known.OKAt > made.OKAt
	if strings.HasPrefix(feed, osvPrefix) {
		older = known.Newest > made.Newest
	}
	if older {
		return Report{Feeds: []FeedReport{{Feed: feed, Unchanged: true, Notes: []string{"left as it is: newer data is stored"}}}}, nil
	}
	if known.Newest == made.Newest {
		made.OKAt, made.CheckedAt = max(known.OKAt, made.OKAt), max(known.CheckedAt, made.CheckedAt)
	}
	return c.onceAt(ctx, feed, made.CheckedAt, made.OKAt, func(s *State, f *FeedReport) error {
		*s = State{Feed: feed, URL: made.URL}
		if strings.HasPrefix(feed, osvPrefix) {
			return c.archive(ctx, path+": "+m.Name, r, r.Size(), s, f, progress)
		}
		body := make([]byte, 0, min(r.Size(), maxSignal))
		w := &sliceWriter{body}
		if r.Size() > maxSignal {
			return fault.New(fault.TooLarge, "%s: more than %d bytes", m.Name, int64(maxSignal))
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		return c.signal(ctx, c.signalOf(feed), w.b, s, f)
	})
}

func (c *Client) signalOf(feed string) signal {
	for _, s := range c.signals() {
		if s.feed == feed {
			return s
		}
	}
	return signal{}
}

// once is attempt for an import: whoever imports is told of a failure, and the
// state of the feed says nothing of it, since the feed itself did not fail.
func (c *Client) once(ctx context.Context, feed string, f func(*State, *FeedReport) error) (Report, error) {
	now := c.o.Now()
	return c.onceAt(ctx, feed, now, now, f)
}

func (c *Client) onceAt(ctx context.Context, feed string, checked, ok estate.Time, f func(*State, *FeedReport) error) (Report, error) {
	s, err := c.load(ctx, feed)
	if err != nil {
		return Report{}, err
	}
	report := FeedReport{Feed: feed}
	if err := f(&s, &report); err != nil {
		report.Error = err.Error()
		return Report{Feeds: []FeedReport{report}}, fmt.Errorf("import feed %s: %w", feed, err)
	}
	s.CheckedAt, s.OKAt = checked, ok
	return Report{Feeds: []FeedReport{report}}, c.save(ctx, s)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(body) > maxDocument {
		err = fault.New(fault.TooLarge, "%s: more than %d bytes", path, maxDocument)
	}
	return body, err
}
