// Package engine is the main path; read it first:
//
//	evidence → unwrap, redact, detect, read → ledger → graph → subscribers
//
// Ingest answers when the document is durable and indexed. The ledger calls
// apply for each commit, in order, whoever wrote it; so the graph follows the
// change feed, and answers, transitions and the minting of application versions
// follow the graph.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/ledger"
	"thymus/internal/read"
)

// Options of an engine.
type Options struct {
	// Open opens the ledger; the engine closes it. onChange must be called for
	// each committed change in the order of Seq, before its writer is answered.
	Open    func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error)
	Readers []read.Reader      // in order of detection; see package catalog
	Now     func() estate.Time // the clock; nil means the system's
	Log     *slog.Logger       // nil discards
}

// Engine owns the ledger and the graph. All methods may be called concurrently.
type Engine struct {
	ledger  ledger.Ledger
	readers []read.Reader
	now     func() estate.Time
	log     *slog.Logger
	hub     hub
	stored  storedCache

	mu      sync.RWMutex // guards graph, loading and failed
	graph   *graph.Graph
	loading bool // changes that commit while the graph is being loaded wait in behind
	behind  []estate.Change
	failed  error // a change could not be applied: the graph no longer follows

	settleMu sync.Mutex
	wake     chan struct{}

	pastMu sync.Mutex
	past   map[estate.Time]*graph.Graph // as known then; few
}

// Open opens the ledger and loads the graph from it.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{
		readers: o.Readers, now: o.Now, log: o.Log, loading: true,
		wake: make(chan struct{}, 1), past: map[estate.Time]*graph.Graph{},
	}
	if e.now == nil {
		e.now = func() estate.Time { return estate.At(time.Now()) }
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	l, err := o.Open(ctx, e.apply)
	if err != nil {
		return nil, err
	}
	e.ledger = l
	// While loading, nearly all that is allocated stays: collect less often.
	percent := debug.SetGCPercent(400)
	err = e.load(ctx)
	debug.SetGCPercent(percent)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if _, err := e.Settle(ctx, false); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	// Loading needs about as much again as it leaves: give that back.
	debug.FreeOSMemory()
	return e, nil
}

// load fills a new graph from the ledger and puts it in place. Changes that
// are committed meanwhile are applied before anybody sees it.
func (e *Engine) load(ctx context.Context) error {
	e.mu.Lock()
	e.loading, e.behind = true, nil
	e.mu.Unlock()
	g, err := e.read(ctx, estate.Forever, e.now)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var seq int64
	g.View(func(v *graph.View) { seq = v.Seq() })
	for i := range e.behind {
		if e.behind[i].Seq > seq {
			e.behind[i].Advisories = append(e.behind[i].Advisories, e.needed(ctx, g, &e.behind[i])...)
			g.Apply(&e.behind[i])
		}
	}
	e.graph, e.loading, e.behind, e.failed = g, false, nil, nil
	e.pastMu.Lock() // what was known then does not change, but by being read anew
	clear(e.past)
	e.pastMu.Unlock()
	return nil
}

// read loads the estate as known at a time.
func (e *Engine) read(ctx context.Context, known estate.Time, now func() estate.Time) (*graph.Graph, error) {
	g := graph.New(now)
	// The ledger reads ahead while the graph takes in.
	changes := make(chan estate.Change, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c := range changes {
			g.Load(&c)
		}
	}()
	err := e.ledger.Load(ctx, known, func(c estate.Change) error {
		changes <- c
		return ctx.Err()
	})
	close(changes)
	<-done
	if err != nil {
		return nil, err
	}
	g.Join()
	return g, nil
}

// needed fetches the advisories of package names that a change brings into use.
func (e *Engine) needed(ctx context.Context, g *graph.Graph, c *estate.Change) []estate.AdvisoryRow {
	names := g.UnknownNames(c.Packages)
	if len(names) == 0 {
		return nil
	}
	rows, err := e.ledger.Advisories(ctx, names, estate.Forever)
	if err != nil {
		// The change is durable and cannot be refused any more. Not knowing the
		// advisories of its packages would look like safety: stop answering.
		e.failed = fault.New(fault.Internal, "advisories of new packages: %w", err)
		return nil
	}
	return rows
}

// apply takes a committed change into the graph. The ledger calls it in order.
func (e *Engine) apply(c estate.Change) {
	e.mu.Lock()
	if e.loading {
		e.behind = append(e.behind, c)
		e.mu.Unlock()
		return
	}
	c.Advisories = append(c.Advisories, e.needed(context.Background(), e.graph, &c)...)
	transitions, told := e.graph.Apply(&c)
	e.mu.Unlock()

	e.hub.publish(c.Seq, e.now(), transitions, told)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// current returns the graph, or why it can't be trusted.
func (e *Engine) current() (*graph.Graph, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.failed != nil {
		return nil, fault.New(fault.Unavailable, "the graph no longer follows the ledger; restart, or run rebuild: %w", e.failed)
	}
	return e.graph, nil
}

// pastGraphs is how many graphs of past knowledge are kept.
const pastGraphs = 2

// Asker answers questions about the estate as known at that time; zero means
// now. Past knowledge is read from the ledger, which may take a second.
func (e *Engine) Asker(ctx context.Context, known estate.Time) (*answer.Asker, error) {
	if known == 0 || known >= e.now() {
		g, err := e.current()
		if err != nil {
			return nil, err
		}
		return &answer.Asker{Graph: g, Details: details{e, estate.Forever}, Now: e.now}, nil
	}
	e.pastMu.Lock()
	defer e.pastMu.Unlock()
	g, ok := e.past[known]
	if !ok {
		var err error
		if g, err = e.read(ctx, known, func() estate.Time { return known }); err != nil {
			return nil, err
		}
		if len(e.past) >= pastGraphs {
			clear(e.past)
		}
		e.past[known] = g
	}
	return &answer.Asker{Graph: g, Details: details{e, known}, Now: func() estate.Time { return known }, Known: known}, nil
}

// EcosystemsInUse returns, by OSV's name without suffix, how many package
// versions of each are in use.
func (e *Engine) EcosystemsInUse() map[string]int {
	var out map[string]int
	e.mu.RLock()
	g := e.graph
	e.mu.RUnlock()
	g.View(func(v *graph.View) { out = v.EcosystemUse() })
	return out
}

// Ledger gives access to stored values, evidence and retention.
func (e *Engine) Ledger() ledger.Ledger { return e.ledger }

// Now is the engine's clock.
func (e *Engine) Now() estate.Time { return e.now() }

// Settle mints the application versions that are due at the engine's clock and
// returns when the next one may be due (zero: none pending). With force, sets
// that still wait for quiet count as due. Run calls it by itself.
func (e *Engine) Settle(ctx context.Context, force bool) (next estate.Time, err error) {
	e.settleMu.Lock()
	defer e.settleMu.Unlock()
	g, err := e.current()
	if err != nil {
		return 0, err
	}
	due, next := g.Settle(e.now(), force)
	if len(due) == 0 {
		return next, nil
	}
	c, err := e.ledger.AppendVersions(ctx, due)
	if err != nil {
		g.Redirty()
		return next, err
	}
	for i := range c.AppVersions {
		e.hub.minted(c.Seq, c.AppVersions[i])
	}
	return next, nil
}

// Run mints application versions when they are due, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-timer.C:
		}
		next, err := e.Settle(ctx, false)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if next != 0 {
			timer.Reset(max(next.Sub(e.now()), 100*time.Millisecond))
		}
	}
}

// Rebuild reads all evidence again and replaces the graph.
func (e *Engine) Rebuild(ctx context.Context) error {
	err := e.ledger.Rebuild(ctx, func(r ledger.Replayed) ([]ledger.Fact, error) {
		facts, _, err := e.facts(ctx, r.Evidence.Body, r.Claim)
		return facts, err
	})
	if err != nil {
		return err
	}
	// While the new graph is loaded, what is minted reaches that one alone: minting
	// by the old one would give a number twice.
	e.settleMu.Lock()
	err = e.load(ctx)
	e.settleMu.Unlock()
	if err != nil {
		return err
	}
	_, err = e.Settle(ctx, false)
	return err
}

// Stats counts what the graph holds.
func (e *Engine) Stats() Stats {
	e.mu.RLock()
	g := e.graph
	e.mu.RUnlock()
	var s Stats
	g.View(func(v *graph.View) { s = Stats{Counts: v.Counts(), Seq: v.Seq()} })
	return s
}

// Stats of a running engine, for metrics and benchmarks.
type Stats struct {
	graph.Counts
	Seq int64
}

// Close waits for running writes and closes the ledger.
func (e *Engine) Close() error {
	e.hub.close()
	return e.ledger.Close()
}
