package api

import (
	"context"
	"io"

	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
	"thymus/internal/read/verdict"
)

// backend is what the API needs of the engine; live is the real one.
type backend interface {
	Ingest(ctx context.Context, body []byte, c estate.Claim) (*engine.Receipt, error)
	Decide(ctx context.Context, v verdict.Document, source string) (*engine.Receipt, error)
	Asker(ctx context.Context, known estate.Time) (asker, error)
	EcosystemsInUse() map[string]int
	Subscribe(ctx context.Context) <-chan engine.Event
	Rebuild(ctx context.Context) error
	// Settle mints what waits for quiet, and returns what was minted meanwhile.
	Settle(ctx context.Context) ([]estate.AppVersionRow, error)
	Stats() engine.Stats

	Evidence(ctx context.Context, sha256 string) (format string, body []byte, err error)
	Record(ctx context.Context, id string) (answer.OSVRecord, error)
	Retain(ctx context.Context, evidence, revisions estate.Time) (Dropped, error)
	Feeds(ctx context.Context) ([]feed.State, error)
	Export() feed.Records
}

// asker answers questions; *answer.Asker is the real one.
type asker interface {
	Affected(ctx context.Context, s answer.Scope, w answer.When, query string, p answer.Page) (*answer.Affected, error)
	Exposures(ctx context.Context, s answer.Scope, q answer.ExposureQuery) (*answer.ExposureList, error)
	Fixes(ctx context.Context, s answer.Scope, q answer.ExposureQuery) (*answer.FixList, error)
	Apps(ctx context.Context, s answer.Scope, w answer.When) ([]answer.AppSummary, error)
	App(ctx context.Context, s answer.Scope, w answer.When, name string) (*answer.AppDetail, error)
	AppVersions(ctx context.Context, s answer.Scope, w answer.When, name string, p answer.Page) (*answer.AppVersionList, error)
	AppDiff(ctx context.Context, s answer.Scope, w answer.When, name string, from, to int) (*answer.AppDiff, error)
	AppExport(ctx context.Context, s answer.Scope, w answer.When, name string, number int, format string, out io.Writer) error
	Services(ctx context.Context, s answer.Scope, w answer.When, f answer.ServiceFilter, p answer.Page) (*answer.ServiceList, error)
	Service(ctx context.Context, s answer.Scope, w answer.When, name string) (*answer.Service, error)
	Release(ctx context.Context, s answer.Scope, w answer.When, release string) (*answer.Release, error)
	Package(ctx context.Context, s answer.Scope, w answer.When, query string) (*answer.PackageDetail, error)
	Coverage(ctx context.Context, s answer.Scope, w answer.When) (*answer.Coverage, error)
	Metrics(ctx context.Context, s answer.Scope, w answer.When, application, environment string) (*answer.Metrics, error)
	OSVMatch(ctx context.Context, q answer.OSVQuery) ([]answer.OSVRecord, error)
}

// live is an engine. What it reads of the ledger it reads through the engine,
// so that this package need not know the ledger.
type live struct{ *engine.Engine }

func (l live) Asker(ctx context.Context, known estate.Time) (asker, error) {
	a, err := l.Engine.Asker(ctx, known)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Settle listens while the engine settles: what it mints, it tells its subscribers.
func (l live) Settle(ctx context.Context) ([]estate.AppVersionRow, error) {
	listening, stop := context.WithCancel(ctx)
	defer stop()
	events := l.Subscribe(listening)
	done := make(chan []estate.AppVersionRow, 1)
	go func() {
		var minted []estate.AppVersionRow
		for ev := range events {
			if ev.Minted != nil {
				minted = append(minted, *ev.Minted)
			}
		}
		done <- minted
	}()
	_, err := l.Engine.Settle(ctx, true)
	stop()
	return <-done, err
}

func (l live) Evidence(ctx context.Context, sha256 string) (string, []byte, error) {
	e, err := l.Ledger().Evidence(ctx, sha256)
	return e.Format, e.Body, err
}

func (l live) Record(ctx context.Context, id string) (answer.OSVRecord, error) {
	r, err := l.Ledger().Record(ctx, id, estate.Forever)
	return answer.OSVRecord{ID: r.ID, Modified: r.Modified, Raw: r.Raw}, err
}

func (l live) Retain(ctx context.Context, evidence, revisions estate.Time) (Dropped, error) {
	d, err := l.Ledger().Retain(ctx, evidence, revisions)
	return Dropped{Bodies: d.Bodies, Revisions: d.Revisions}, err
}

func (l live) Feeds(ctx context.Context) ([]feed.State, error) {
	return feed.States(ctx, l.Ledger())
}

func (l live) Export() feed.Records { return l.Ledger() }

// errNoFeeds is told where there is no feed client.
var errNoFeeds = fault.New(fault.Unavailable, "this server fetches no feeds")
