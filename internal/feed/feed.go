// Package feed brings in what is known outside: advisories in OSV's schema, the
// list of exploited vulnerabilities (KEV) and the likelihood of exploitation
// (EPSS). Silence must never look like safety, so each feed keeps a State that
// says how old its data is and what went wrong.
//
// Data flows one way: HTTP or a file → checks (size, names, checksums) → the
// Sink, which is the engine. Advisories come as one archive per ecosystem at
// first and then record by record, by the list of modified records that OSV
// publishes beside the archive (https://google.github.io/osv.dev/data/#data-dumps).
// Only ecosystems in use are fetched. A feed that fails keeps yesterday's data.
//
// Where there is no network, Export writes everything to one checksummed file,
// and Import reads it, or a folder with the layout of OSV's export.
package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// Where feeds come from unless configured otherwise.
const (
	DefaultOSV  = "https://osv-vulnerabilities.storage.googleapis.com"
	DefaultKEV  = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"
	DefaultEPSS = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"
	// Off is the URL of a feed that is not fetched.
	Off = "off"
)

// Names of feeds and the sources that facts show. Advisories of an ecosystem
// are the feed "osv/<ecosystem>".
const (
	osvPrefix  = "osv/"
	kevFeed    = "kev"
	epssFeed   = "epss"
	osvSource  = "osv"
	kevSource  = "cisa-kev"
	epssSource = "first-epss"
)

// Sink receives what was fetched; *engine.Engine is one.
type Sink interface {
	Ingest(ctx context.Context, body []byte, c estate.Claim) (*engine.Receipt, error)
	IngestRecords(ctx context.Context, source string, records iter.Seq2[[]byte, error]) (*engine.RecordsReport, error)
}

// Store keeps small values; ledger.Ledger is one. Get returns fault.NotFound.
type Store interface {
	Get(ctx context.Context, bucket, key string) ([]byte, error)
	Put(ctx context.Context, bucket, key string, value []byte) error
	List(ctx context.Context, bucket string) (map[string][]byte, error)
}

// Options of a client. URLs are configuration of an administrator: nothing that
// a document or a request says changes them.
type Options struct {
	OSV  string // base URL of OSV's export, or of a mirror with its layout; "" is DefaultOSV, Off fetches none
	KEV  string // "" is DefaultKEV
	EPSS string // "" is DefaultEPSS
	// Dir holds partial downloads, so that they resume, and the newest KEV and
	// EPSS files, for Export. It is created when missing.
	Dir string
	// HTTP makes the requests; nil means a client with TLS verification, limits
	// on redirects and the proxy of the environment.
	HTTP *http.Client
	Now  func() estate.Time // nil means the system's clock
	Log  *slog.Logger       // nil discards
}

// Client fetches feeds. Its methods may be called concurrently; updates and
// imports wait for each other.
type Client struct {
	sink  Sink
	store Store
	o     Options
	http  *http.Client
	limit *rate.Limiter // requests for single records
	mu    sync.Mutex    // held by an update or import

	// Tests make these small.
	backoff  time.Duration // before the first retry; doubles
	maxWait  time.Duration // longest Retry-After that is obeyed
	stall    time.Duration // without a byte, after which a request is given up
	maxDelta int           // more changed records than this: the whole archive
}

// New makes a client. A malformed URL or missing Dir is a fault.Usage.
func New(sink Sink, store Store, o Options) (*Client, error) {
	for _, u := range []struct {
		name, fallback string
		at             *string
	}{{"OSV", DefaultOSV, &o.OSV}, {"KEV", DefaultKEV, &o.KEV}, {"EPSS", DefaultEPSS, &o.EPSS}} {
		if *u.at == "" {
			*u.at = u.fallback
		}
		if *u.at == Off {
			continue
		}
		*u.at = strings.TrimRight(*u.at, "/")
		p, err := url.Parse(*u.at)
		if err != nil || (p.Scheme != "https" && p.Scheme != "http") || p.Host == "" || p.User != nil {
			return nil, fault.New(fault.Usage, "%s feed: %q is no http or https URL without credentials", u.name, *u.at)
		}
	}
	if o.Dir == "" {
		return nil, fault.New(fault.Usage, "feeds need a folder for downloads")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for feeds: %w", err)
	}
	if o.Now == nil {
		o.Now = func() estate.Time { return estate.At(time.Now()) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		sink: sink, store: store, o: o, http: o.HTTP,
		limit:   rate.NewLimiter(50, 50),
		backoff: time.Second, maxWait: 2 * time.Minute, stall: time.Minute, maxDelta: 2000,
	}
	if c.http == nil {
		c.http = defaultHTTP()
	}
	return c, nil
}

// State is what is known of one feed.
type State struct {
	Feed string `json:"feed"` // "osv/npm", "kev", "epss"
	URL  string `json:"url,omitempty"`
	// ETag and LastModified are of the list or document fetched last; the Zip
	// ones are of the archive, which is fetched again only where there is no list.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	ZipETag      string `json:"zip_etag,omitempty"`
	ZipModified  string `json:"zip_last_modified,omitempty"`
	// Newest is the modification time of the newest record read.
	Newest estate.Time `json:"newest,omitempty"`
	// From is how far down the list of modified records is read, and Recent
	// holds the records read since then: exports lag, so that a record older
	// than Newest may appear after it. Zero: the whole archive is needed.
	From   estate.Time            `json:"from,omitempty"`
	Recent map[string]estate.Time `json:"recent,omitempty"`
	// CheckedAt is the last attempt, OKAt the last one that succeeded. Data is
	// as old as OKAt.
	CheckedAt estate.Time `json:"checked_at,omitempty"`
	OKAt      estate.Time `json:"ok_at,omitempty"`
	// Error says why the last attempt failed, "" when it did not.
	Error string `json:"error,omitempty"`
	// Records counts what was read since the whole archive was read last.
	Records int `json:"records,omitempty"`
}

const bucket = "feed"

// States returns the states of all feeds, by name.
func States(ctx context.Context, store interface {
	List(ctx context.Context, bucket string) (map[string][]byte, error)
}) ([]State, error) {
	values, err := store.List(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("list feeds: %w", err)
	}
	out := make([]State, 0, len(values))
	for key, value := range values {
		var s State
		if err := json.Unmarshal(value, &s); err != nil {
			return nil, fmt.Errorf("state of feed %s: %w", key, err)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b State) int { return strings.Compare(a.Feed, b.Feed) })
	return out, nil
}

// load returns the state of a feed; a new one when there is none.
func (c *Client) load(ctx context.Context, feed string) (State, error) {
	value, err := c.store.Get(ctx, bucket, feed)
	if fault.Of(err) == fault.NotFound {
		return State{Feed: feed}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("state of feed %s: %w", feed, err)
	}
	var s State
	if err := json.Unmarshal(value, &s); err != nil {
		return State{}, fmt.Errorf("state of feed %s: %w", feed, err)
	}
	return s, nil
}

func (c *Client) save(ctx context.Context, s State) error {
	value, err := json.Marshal(s)
	if err == nil {
		err = c.store.Put(ctx, bucket, s.Feed, value)
	}
	if err != nil {
		return fmt.Errorf("store state of feed %s: %w", s.Feed, err)
	}
	return nil
}

// Progress says how far a long step is. Total is 0 when nobody knows.
type Progress struct {
	Feed        string
	Stage       string // "download" (bytes), "records", "verify" (bytes)
	Done, Total int64
}

// FeedReport says what an update or import did for one feed.
type FeedReport struct {
	Feed      string   `json:"feed"`
	Unchanged bool     `json:"unchanged,omitempty"` // nothing new was there
	Whole     bool     `json:"whole,omitempty"`     // the whole archive was read
	Records   int      `json:"records"`             // read
	Changed   int      `json:"changed"`
	Refused   int      `json:"refused,omitempty"`
	Opened    int      `json:"opened"` // exposures
	Closed    int      `json:"closed"`
	Notes     []string `json:"notes,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// Report says what an update or import did.
type Report struct {
	Feeds []FeedReport `json:"feeds"`
}

// Failed counts the feeds that failed.
func (r Report) Failed() int {
	n := 0
	for _, f := range r.Feeds {
		if f.Error != "" {
			n++
		}
	}
	return n
}

// Update fetches what is new of the advisories of the given ecosystems (OSV's
// names; a suffix after ":" is ignored), and of the signals. A feed that fails
// is reported, keeps its data, and stops no other; the error is of the store or
// the context alone. progress may be nil.
func (c *Client) Update(ctx context.Context, ecosystems []string, progress func(Progress)) (Report, error) {
	r, err := c.updateAdvisories(ctx, ecosystems, progress)
	if err != nil {
		return r, err
	}
	s, err := c.updateSignals(ctx, progress)
	r.Feeds = append(r.Feeds, s.Feeds...)
	return r, err
}

func (c *Client) updateAdvisories(ctx context.Context, ecosystems []string, progress func(Progress)) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r Report
	if c.o.OSV == Off {
		return r, nil
	}
	for _, ecosystem := range bare(ecosystems) {
		f, err := c.attempt(ctx, osvPrefix+ecosystem, func(s *State, f *FeedReport) error {
			return c.updateOSV(ctx, ecosystem, s, f, progress)
		})
		if err != nil {
			return r, err
		}
		r.Feeds = append(r.Feeds, f)
	}
	return r, nil
}

func (c *Client) updateSignals(ctx context.Context, progress func(Progress)) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r Report
	for _, s := range c.signals() {
		if s.url == Off {
			continue
		}
		f, err := c.attempt(ctx, s.feed, func(st *State, f *FeedReport) error {
			return c.updateSignal(ctx, s, st, f)
		})
		if err != nil {
			return r, err
		}
		r.Feeds = append(r.Feeds, f)
		tell(progress, Progress{Feed: s.feed, Stage: "records", Done: int64(f.Records), Total: int64(f.Records)})
	}
	return r, nil
}

// attempt runs one update of one feed and stores the state that results. What f
// changes in the state is kept only when it succeeds.
func (c *Client) attempt(ctx context.Context, feed string, f func(*State, *FeedReport) error) (FeedReport, error) {
	before, err := c.load(ctx, feed)
	if err != nil {
		return FeedReport{Feed: feed}, err
	}
	after, report := before, FeedReport{Feed: feed}
	err = f(&after, &report)
	if ctx.Err() != nil {
		return report, ctx.Err()
	}
	now := c.o.Now()
	if err != nil {
		report.Error = err.Error()
		c.o.Log.Warn("feed failed", "feed", feed, "error", err)
		after = before
	} else {
		after.OKAt = now
	}
	after.CheckedAt, after.Error = now, report.Error
	return report, c.save(ctx, after)
}

// add counts what the engine says of a batch of records.
func (f *FeedReport) add(r *engine.RecordsReport) {
	if r == nil {
		return
	}
	f.Records += r.Read
	f.Changed += r.Changed
	f.Refused += r.Refused
	f.Opened += r.Opened
	f.Closed += r.Closed
	f.Notes = append(f.Notes, r.Refusals...)
}

// bare drops suffixes, blanks and repetitions, and sorts.
func bare(ecosystems []string) []string {
	var out []string
	for _, e := range ecosystems {
		if e, _, _ = strings.Cut(e, ":"); e != "" {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func tell(progress func(Progress), p Progress) {
	if progress != nil {
		progress(p)
	}
}

// Ecosystems returns the names of ecosystems in use without suffix, each once,
// sorted.
func Ecosystems(inUse map[string]int) []string { return bare(keys(inUse)) }
