package engine

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/read"
	"thymus/internal/read/wrap"
)

// details fetches for one page what the graph does not hold.
type details struct {
	e     *Engine
	known estate.Time
}

var _ graph.Details = details{}

func (d details) Shape(ctx context.Context, bill estate.BillID) (*estate.Shape, error) {
	return d.e.ledger.Shape(ctx, bill)
}

func (d details) Document(ctx context.Context, sha256 string) ([]byte, error) {
	ev, err := d.e.ledger.Evidence(ctx, sha256)
	if err != nil {
		return nil, err
	}
	w, err := wrap.Unwrap(ev.Body)
	return w.Body, err
}

func (d details) Bill(ctx context.Context, sha256 string) (*estate.Bill, error) {
	body, err := d.Document(ctx, sha256)
	if err != nil {
		return nil, err
	}
	r, err := d.e.detect(body, nil)
	if err != nil {
		return nil, err
	}
	for f, err := range r.Read(ctx, read.Input{Body: body}) {
		if err != nil {
			return nil, err
		}
		if b, ok := f.(*estate.Bill); ok {
			return b, nil
		}
	}
	return nil, fault.New(fault.NotFound, "evidence %s holds no bill of materials", sha256)
}

func (d details) Record(ctx context.Context, id string) (estate.AdvisoryRow, error) {
	return d.e.ledger.Record(ctx, id, d.known)
}

func (d details) Advisories(ctx context.Context, names []estate.PackageName) ([]estate.AdvisoryRow, error) {
	return d.e.ledger.Advisories(ctx, names, d.known)
}

func (d details) Named(ctx context.Context, id string) ([]estate.AdvisoryRow, error) {
	return d.e.ledger.Named(ctx, id, d.known)
}

// feedBucket holds the state of each feed, by name; package feed writes it.
const feedBucket = "feed"

// storedFor is how long what is stored counts as unchanged while the graph is.
const storedFor = time.Second

// storedCache spares each question two queries of the ledger.
type storedCache struct {
	mu  sync.Mutex
	seq int64
	at  time.Time
	m   map[string]graph.Stored
}

// Stored returns what advisory data is at hand; the caller must not change it.
func (d details) Stored(ctx context.Context) (map[string]graph.Stored, error) {
	var seq int64
	g, err := d.e.current()
	if err != nil {
		return nil, err
	}
	g.View(func(v *graph.View) { seq = v.Seq() })
	c := &d.e.stored
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m != nil && c.seq == seq && time.Since(c.at) < storedFor {
		return c.m, nil
	}
	m, err := d.read(ctx)
	if err == nil {
		c.seq, c.at, c.m = seq, time.Now(), m
	}
	return m, err
}

func (d details) read(ctx context.Context) (map[string]graph.Stored, error) {
	stats, err := d.e.ledger.Ecosystems(ctx)
	if err != nil {
		return nil, err
	}
	states, err := d.e.ledger.List(ctx, feedBucket)
	if err != nil {
		return nil, err
	}
	out := make(map[string]graph.Stored, len(stats))
	for eco, s := range stats {
		out[eco] = graph.Stored{Records: s.Records, Modified: s.Modified}
	}
	for name, raw := range states {
		var st struct {
			Ecosystem string      `json:"ecosystem"`
			OK        estate.Time `json:"ok_at"`
		}
		if json.Unmarshal(raw, &st) != nil {
			return nil, fault.New(fault.Internal, "state of feed %s is damaged", name)
		}
		if st.Ecosystem != "" {
			s := out[st.Ecosystem]
			s.Checked = max(s.Checked, st.OK)
			out[st.Ecosystem] = s
		}
	}
	return out, nil
}
