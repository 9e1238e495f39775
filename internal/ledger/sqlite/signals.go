package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

// moved is the least difference at which a likelihood is news (DESIGN, Time),
// less the error of decimal fractions in binary.
const moved = 0.01 - 1e-9

// manyScores is from where on one pass over the stored scores is cheaper than
// asking for each, and does not hold the writer.
const manyScores = 1000

// AppendSignals implements ledger.Ledger.
func (l *Ledger) AppendSignals(ctx context.Context, known estate.Time, kev []estate.Exploited, epss []estate.Likelihood) (estate.Change, error) {
	if err := l.enter(); err != nil {
		return estate.Change{}, err
	}
	defer l.leave()
	if known <= 0 || known == estate.Forever {
		return estate.Change{}, fault.New(fault.Invalid, "signals: the time at which they became known is not stated")
	}
	for _, x := range kev {
		if err := checkExploited(x); err != nil {
			return estate.Change{}, err
		}
	}
	for _, x := range epss {
		if err := checkLikelihood(x); err != nil {
			return estate.Change{}, err
		}
	}
	if len(epss) > manyScores {
		var err error
		if epss, err = l.moved(ctx, epss); err != nil {
			return estate.Change{}, wrap(err, "likelihoods")
		}
	}
	change, err := l.w.submit(ctx, false, func(w *writer) error {
		before := w.known
		c := claimRef{known: w.tick(known)}
		for _, x := range kev {
			if err := w.exploited(c, x); err != nil {
				return err
			}
		}
		for _, x := range epss {
			if err := w.likelihood(c, x); err != nil {
				return err
			}
		}
		if len(w.change.Exploited)+len(w.change.Likelihoods) == 0 {
			w.known = before // no news takes no time
		}
		return w.flush(c.known)
	})
	return change, wrap(err, "signals")
}

// moved leaves out what the stored scores show to be no news. The writer looks
// again at the rest.
func (l *Ledger) moved(ctx context.Context, epss []estate.Likelihood) ([]estate.Likelihood, error) {
	stored := map[string]float64{}
	rows, err := l.rs[rScores].QueryContext(ctx)
	if err := scan(rows, err, func(r *sql.Rows) error {
		var cve string
		var score float64
		err := r.Scan(&cve, &score)
		stored[cve] = score
		return err
	}); err != nil {
		return nil, err
	}
	// A CVE that the call names twice is left to the writer.
	count := make(map[string]uint8, len(epss))
	for _, x := range epss {
		count[x.CVE] = min(count[x.CVE]+1, 2)
	}
	var out []estate.Likelihood
	for _, x := range epss {
		if score, ok := stored[x.CVE]; !ok || count[x.CVE] > 1 || math.Abs(x.Score-score) >= moved {
			out = append(out, x)
		}
	}
	return out, nil
}

// exploited stores an entry of a list unless it says what the newest one of
// that list says.
func (w *writer) exploited(c claimRef, x estate.Exploited) error {
	var before estate.Exploited
	var added, due int64
	found, err := w.find(wExploited, []any{x.CVE, x.List}, &added, &due, &before.Ransomware, &before.Note)
	if err != nil {
		return err
	}
	before.CVE, before.List, before.Added, before.Due = x.CVE, x.List, estate.Time(added), estate.Time(due)
	if found && before == x {
		return nil
	}
	w.change.Exploited = append(w.change.Exploited, x)
	return w.run1(wAddExploited, w.number(kExploited), c.row(), x.List, x.CVE, int64(x.Added), int64(x.Due), x.Ransomware, x.Note)
}

// likelihood stores a score when it moved.
func (w *writer) likelihood(c claimRef, x estate.Likelihood) error {
	var before float64
	found, err := w.find(wLikelihood, []any{x.CVE}, &before)
	if err != nil || found && math.Abs(x.Score-before) < moved {
		return err
	}
	w.change.Likelihoods = append(w.change.Likelihoods, x)
	return w.run1(wAddLikelihood, w.number(kLikelihood), c.row(), x.CVE, x.Score, x.Percentile, int64(x.At))
}

// AppendVersions implements ledger.Ledger.
func (l *Ledger) AppendVersions(ctx context.Context, vs []estate.AppVersionRow) (estate.Change, error) {
	if err := l.enter(); err != nil {
		return estate.Change{}, err
	}
	defer l.leave()
	for _, v := range vs {
		if v.Application == "" || v.Hash == "" || v.Number <= 0 || v.Known <= 0 || v.Known == estate.Forever {
			return estate.Change{}, fault.New(fault.Invalid, "version %d of application %q: its name, number, hash or time is not stated", v.Number, v.Application)
		}
		if err := checkText("application version", v.Application, v.Hash, v.Environment); err != nil {
			return estate.Change{}, err
		}
	}
	change, err := l.w.submit(ctx, false, func(w *writer) error {
		first := true
		for _, v := range vs {
			if err := w.appVersion(v, &first); err != nil {
				return err
			}
		}
		return w.flush(w.known)
	})
	return change, wrap(err, "application versions")
}

func (w *writer) appVersion(v estate.AppVersionRow, first *bool) error {
	var one int
	if found, err := w.find(wAppVersion, []any{v.Application, v.Hash}, &one); found || err != nil {
		return err
	}
	if found, err := w.find(wAppNumber, []any{v.Application, v.Number}, &one); err != nil {
		return err
	} else if found {
		return fault.New(fault.Conflict, "application %s has another version %d", v.Application, v.Number)
	}
	known, err := w.tickWithin(v.Known, first)
	if err != nil {
		return err
	}
	v.Known = known
	members, err := json.Marshal(v.Members)
	if err != nil {
		return wrap(err, "version %d of application %s", v.Number, v.Application)
	}
	if v.Members, err = decodeMembers(members); err != nil {
		return err
	}
	w.change.AppVersions = append(w.change.AppVersions, v)
	return w.run1(wAddAppVersion, w.number(kAppVersion), v.Application, v.Number, v.Hash, v.Environment,
		int64(v.At), int64(v.Known), string(members))
}

// tickWithin is tick for the rows of one call: the first is later than all
// that was known, the others not earlier than the one before. Feed rows are
// written wherever the time changes.
func (w *writer) tickWithin(t estate.Time, first *bool) (estate.Time, error) {
	if *first {
		*first = false
		return w.tick(t), nil
	}
	if t <= w.known {
		return w.known, nil
	}
	if err := w.flush(w.known); err != nil {
		return 0, err
	}
	return w.tick(t), nil
}

func decodeMembers(b []byte) ([]estate.Member, error) {
	var out []estate.Member
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, wrap(err, "stored members of an application version")
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}
