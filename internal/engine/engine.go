// Package engine is the main path: evidence, read, ledger, graph, subscribers.
package engine

import (
	"context"
	"iter"
	"log/slog"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// Options of an engine.
type Options struct {
	Ledger ledger.Ledger
	Now    func() estate.Time // the clock; nil means the system's
	Log    *slog.Logger       // nil discards
}

// Engine owns the ledger and the graph. All methods may be called concurrently.
type Engine struct{}

// Receipt is the answer to an ingest: nothing of it can be lost any more.
type Receipt struct {
	Evidence    string                   `json:"evidence"` // SHA-256, hex
	Format      string                   `json:"format"`
	Duplicate   bool                     `json:"duplicate,omitempty"`
	Known       estate.Time              `json:"known"`
	Release     string                   `json:"release,omitempty"` // "[namespace/]name@version" of an SBOM
	Packages    int                      `json:"packages,omitempty"`
	Unmatched   map[estate.Unmatched]int `json:"unmatched,omitempty"`
	Deployments int                      `json:"deployments,omitempty"`
	Verdicts    int                      `json:"verdicts,omitempty"`
	Advisories  int                      `json:"advisories,omitempty"`
	Signals     int                      `json:"signals,omitempty"`  // KEV and EPSS rows
	Redacted    int                      `json:"redacted,omitempty"` // secrets overwritten before storage
	Notes       []string                 `json:"notes,omitempty"`
	Opened      int                      `json:"opened"` // exposures
	Closed      int                      `json:"closed"`
}

// Transition is an exposure that opened or closed.
type Transition struct {
	Advisory    string      `json:"advisory"`
	Service     string      `json:"service"`
	Domain      string      `json:"domain,omitempty"`
	Environment string      `json:"environment"`
	Opened      bool        `json:"opened"`
	Reason      string      `json:"reason"`
	At          estate.Time `json:"at"`
}

// Event is what subscribers are told; exactly one of the fields after Seq is set.
type Event struct {
	Seq        int64              `json:"seq"`
	Transition *Transition        `json:"transition,omitempty"`
	Ingested   *Receipt           `json:"ingested,omitempty"`
	Minted     *answer.AppVersion `json:"minted,omitempty"`
}

// RecordsReport says what became of a batch of advisory records.
type RecordsReport struct {
	Read, Changed, Refused int
	Refusals               []string // at most 20
	Opened, Closed         int
}

var errSkeleton = fault.New(fault.Unavailable, "not built yet")

// Open loads the graph from the ledger.
func Open(ctx context.Context, o Options) (*Engine, error) { return nil, errSkeleton }

// Ingest runs the main path for one document: unwrap, redact, detect, read,
// store, apply. It returns when the document is durable and indexed.
func (e *Engine) Ingest(ctx context.Context, body []byte, c estate.Claim) (*Receipt, error) {
	return nil, errSkeleton
}

// IngestRecords stores OSV records in bulk: raw JSON documents.
func (e *Engine) IngestRecords(ctx context.Context, source string, records iter.Seq2[[]byte, error]) (*RecordsReport, error) {
	return nil, errSkeleton
}

// Decide stores a verdict made by a person, as evidence.
func (e *Engine) Decide(ctx context.Context, v estate.Verdict, source string) (*Receipt, error) {
	return nil, errSkeleton
}

// Asker answers questions about the estate as known at that time; zero means
// now. Past knowledge is read from the ledger, which may take a second.
func (e *Engine) Asker(ctx context.Context, known estate.Time) (*answer.Asker, error) {
	return nil, errSkeleton
}

// EcosystemsInUse returns, by OSV's name without suffix, how many package versions of each are in use.
func (e *Engine) EcosystemsInUse() map[string]int { return nil }

// Subscribe delivers events until ctx ends. A subscriber that falls behind by
// more than 1,024 events loses the oldest and gets one with Seq of the gap's end.
func (e *Engine) Subscribe(ctx context.Context) <-chan Event { return nil }

// Ledger gives access to stored values, evidence and retention.
func (e *Engine) Ledger() ledger.Ledger { return nil }

// Rebuild reads all evidence again and replaces the graph.
func (e *Engine) Rebuild(ctx context.Context) error { return errSkeleton }

// Settle mints the application versions that are due at the engine's clock and
// returns when the next one may be due (zero: none pending). The engine calls
// it by itself while Run runs; tests call it after moving their clock.
func (e *Engine) Settle(ctx context.Context) (next estate.Time, err error) { return 0, errSkeleton }

// Run does the work in the background (minting) until ctx ends.
func (e *Engine) Run(ctx context.Context) error { return errSkeleton }

// Stats of a running engine, for /metrics and the bench.
type Stats struct {
	Services, Releases, Packages, Deployments, Environments, Advisories, Verdicts, Applications int
	Edges                                                                                       int64
	Seq                                                                                         int64
}

// Stats counts what the graph holds.
func (e *Engine) Stats() Stats { return Stats{} }

// Close stops and closes the ledger.
func (e *Engine) Close() error { return errSkeleton }
