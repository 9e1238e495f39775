package sqlite

import (
	"context"

	"thymus/internal/estate"
	"thymus/internal/ledger"
)

// Retain implements ledger.Ledger.
func (l *Ledger) Retain(ctx context.Context, evidence, revisions estate.Time) (ledger.Dropped, error) {
	if err := l.enter(); err != nil {
		return ledger.Dropped{}, err
	}
	defer l.leave()
	var out ledger.Dropped
	_, err := l.w.submit(ctx, false, func(w *writer) error {
		out = ledger.Dropped{}
		for _, d := range []struct {
			statement int
			before    estate.Time
			dropped   *int
		}{{wDropBodies, evidence, &out.Bodies}, {wDropRevisions, revisions, &out.Revisions}} {
			if d.before == 0 {
				continue
			}
			result, err := w.stmts[d.statement].Exec(int64(d.before))
			if err != nil {
				return wrap(err, "ledger")
			}
			n, err := result.RowsAffected()
			if err != nil {
				return wrap(err, "ledger")
			}
			*d.dropped = int(n)
		}
		return nil
	})
	if err != nil {
		return ledger.Dropped{}, wrap(err, "retention")
	}
	return out, nil
}
