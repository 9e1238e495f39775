package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// record is an advisory record with everything done that needs no writer.
type record struct {
	ledger.Record
	row   []byte // JSON
	hash  []byte // of row and Raw: equal records are no news
	raw   []byte // compressed
	names []estate.PackageName
	same  bool // the ledger has it already
}

// AppendRecords implements ledger.Ledger. Other writers wait while a call is
// stored, so a feed brings its records some thousand at a time.
func (l *Ledger) AppendRecords(ctx context.Context, rs []ledger.Record) (estate.Change, error) {
	if err := l.enter(); err != nil {
		return estate.Change{}, err
	}
	defer l.leave()
	records, err := l.prepareRecords(ctx, rs)
	if err != nil {
		return estate.Change{}, wrap(err, "advisory records")
	}
	change, err := l.w.submit(ctx, false, func(w *writer) error {
		first := true
		for _, r := range records {
			if err := w.record(r, &first); err != nil {
				return wrap(err, "advisory %s", r.Advisory.ID)
			}
		}
		return w.flush(w.known)
	})
	return change, wrap(err, "advisory records")
}

// prepareRecords encodes records on all processors and leaves out those that
// the ledger has.
func (l *Ledger) prepareRecords(ctx context.Context, rs []ledger.Record) ([]*record, error) {
	// A record that the call brings twice is left to the writer.
	count := make(map[string]uint8, len(rs))
	for _, r := range rs {
		count[r.Advisory.ID] = min(count[r.Advisory.ID]+1, 2)
	}
	out := make([]*record, len(rs))
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(runtime.GOMAXPROCS(0), len(rs)))
	for worker := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(rs) && errs[worker] == nil; i = int(next.Add(1)) - 1 {
				out[i], errs[worker] = l.prepareRecord(ctx, rs[i], count[rs[i].Advisory.ID] == 1)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(r *record) bool { return r.same }), nil
}

func (l *Ledger) prepareRecord(ctx context.Context, in ledger.Record, once bool) (*record, error) {
	if in.Advisory.ID == "" {
		return nil, fault.New(fault.Invalid, "advisory record without an id")
	}
	if in.Known <= 0 || in.Known == estate.Forever {
		return nil, fault.New(fault.Invalid, "advisory %s: the time at which it became known is not stated", in.Advisory.ID)
	}
	if err := checkText("advisory", in.Advisory.ID, in.Source); err != nil {
		return nil, err
	}
	row, err := encodeAdvisory(in.Advisory)
	if err != nil {
		return nil, wrap(err, "advisory %s", in.Advisory.ID)
	}
	h := sha256.New()
	h.Write(row)
	h.Write([]byte{0})
	h.Write(in.Advisory.Raw)
	r := &record{Record: in, row: row, hash: h.Sum(nil)[:16]}
	if once {
		var stored []byte
		err := l.rs[rAdvisoryHash].QueryRowContext(ctx, in.Advisory.ID).Scan(&stored)
		if err != nil && !noRow(err) {
			return nil, wrap(err, "advisory %s", in.Advisory.ID)
		}
		if bytes.Equal(stored, r.hash) {
			r.same = true
			return r, nil
		}
	}
	r.raw = l.pack.pack(in.Advisory.Raw)
	r.names, err = l.namesOf(in.Advisory)
	return r, err
}

// namesOf returns the index keys of a record, each once, in order.
func (l *Ledger) namesOf(a estate.Advisory) ([]estate.PackageName, error) {
	var out []estate.PackageName
	for _, f := range a.Affected {
		if n, ok := l.nameOf(f.Ecosystem, f.Name); ok {
			if err := checkText("advisory "+a.ID, n.Ecosystem, n.Name); err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	slices.SortFunc(out, compareNames)
	return slices.Compact(out), nil
}

func compareNames(a, b estate.PackageName) int {
	return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name))
}

// record stores a revision unless it equals the newest, and adds it to the
// change when a package that any of its revisions names is in use.
func (w *writer) record(r *record, first *bool) error {
	var id, revision int64
	var hash []byte
	found, err := w.find(wAdvisory, []any{r.Advisory.ID}, &id, &revision, &hash)
	if err != nil || found && bytes.Equal(hash, r.hash) {
		return err
	}
	known, err := w.tickWithin(r.Known, first)
	if err != nil {
		return err
	}
	// As it reads when it is loaded.
	stored, err := decodeAdvisory(r.row)
	if err != nil {
		return err
	}
	since := known
	var before []estate.PackageName
	if found {
		if since, err = w.since(id, revision, stored, known); err != nil {
			return err
		}
	}
	revision++
	if found {
		err = w.run1(wSetAdvisory, revision, r.hash, id)
		if err == nil {
			before, err = w.namesBefore(id)
		}
	} else {
		w.advisory++
		id = w.advisory
		err = w.run1(wAddAdvisory, id, r.Advisory.ID, r.hash)
	}
	if err != nil {
		return err
	}
	if err := w.run1(wAddRevision, w.number(kRevision), id, revision, int64(known), int64(since), r.Source, string(r.row), r.raw); err != nil {
		return err
	}
	for _, cited := range slices.Concat(stored.Aliases, stored.Related, stored.Upstream) {
		if err := w.run1(wAddCite, cited, id); err != nil {
			return err
		}
	}
	if err := w.nameRecord(id, r.names, before, r.Advisory.Modified); err != nil {
		return err
	}
	w.change.Records++
	if !w.anyUsed(before) && !w.anyUsed(r.names) {
		return nil
	}
	w.change.Advisories = append(w.change.Advisories, estate.AdvisoryRow{Advisory: stored, Known: known,
		Since: since, Revision: int(revision), Source: r.Source})
	return nil
}

// since is when what a revision says is affected became known: with an earlier
// revision, when that one says the same.
func (w *writer) since(id, newest int64, a estate.Advisory, known estate.Time) (estate.Time, error) {
	var before int64
	var row []byte
	if _, err := w.find(wNewestRevision, []any{id, newest}, &before, &row); err != nil {
		return 0, err
	}
	old, err := decodeAdvisory(row)
	if err != nil {
		return 0, err
	}
	if old.Withdrawn == a.Withdrawn && reflect.DeepEqual(old.Affected, a.Affected) {
		return estate.Time(before), nil
	}
	return known, nil
}

func (w *writer) anyUsed(names []estate.PackageName) bool {
	for _, n := range names {
		if _, ok := w.used[w.hashName(n)]; ok {
			return true
		}
	}
	return false
}

// namesBefore returns the names of a record's earlier revisions.
func (w *writer) namesBefore(id int64) ([]estate.PackageName, error) {
	var out []estate.PackageName
	rows, err := w.stmts[wAdvisoryNames].Query(id)
	err = scan(rows, err, func(r *sql.Rows) error {
		var n estate.PackageName
		err := r.Scan(&n.Ecosystem, &n.Name)
		out = append(out, n)
		return err
	})
	slices.SortFunc(out, compareNames)
	return out, wrap(err, "names of an advisory")
}

// nameRecord adds names to those that a record has, which are sorted, and
// keeps the counters of the ecosystems.
func (w *writer) nameRecord(id int64, names, before []estate.PackageName, modified estate.Time) error {
	ecosystem := ""
	for _, n := range names { // sorted, so ecosystems come in runs
		if n.Ecosystem != ecosystem {
			ecosystem = n.Ecosystem
			has := slices.ContainsFunc(before, func(b estate.PackageName) bool { return b.Ecosystem == ecosystem })
			statement := wCountEcosystem
			if has {
				statement = wModifyEcosystem
			}
			if err := w.run1(statement, ecosystem, int64(modified)); err != nil {
				return err
			}
		}
		if _, has := slices.BinarySearchFunc(before, n, compareNames); has {
			continue
		}
		if err := w.run1(wAddAdvisoryName, n.Ecosystem, n.Name, id); err != nil {
			return err
		}
	}
	return nil
}

// Advisories implements ledger.Ledger. Rows are ordered by id.
func (l *Ledger) Advisories(ctx context.Context, names []estate.PackageName, known estate.Time) ([]estate.AdvisoryRow, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	s, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	seen := map[int64]bool{}
	var out []estate.AdvisoryRow
	for _, n := range names {
		key, ok := l.nameOf(n.Ecosystem, n.Name)
		if !ok {
			continue
		}
		var ids []int64
		err := s.rows(ctx, rAdvisoriesOf, func(r *sql.Rows) error {
			var id int64
			err := r.Scan(&id)
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
			return err
		}, key.Ecosystem, key.Name)
		if err != nil {
			return nil, wrap(err, "advisories of %s %s", n.Ecosystem, n.Name)
		}
		for _, id := range ids {
			row, err := scanAdvisory(s.row(ctx, rRevisionAt, id, int64(known)))
			if noRow(err) {
				continue
			}
			if err != nil {
				return nil, wrap(err, "advisories of %s %s", n.Ecosystem, n.Name)
			}
			out = append(out, row)
		}
	}
	slices.SortFunc(out, func(a, b estate.AdvisoryRow) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// scanAdvisory reads advisoryColumns, and what follows them into more.
func scanAdvisory(row interface{ Scan(...any) error }, more ...any) (estate.AdvisoryRow, error) {
	var id, known, since int64
	var out estate.AdvisoryRow
	var body []byte
	if err := row.Scan(append([]any{&id, &body, &known, &since, &out.Revision, &out.Source}, more...)...); err != nil {
		return estate.AdvisoryRow{}, err
	}
	var err error
	out.Known, out.Since = estate.Time(known), estate.Time(since)
	out.Advisory, err = decodeAdvisory(body)
	return out, err
}

// Record implements ledger.Ledger.
func (l *Ledger) Record(ctx context.Context, id string, known estate.Time) (estate.AdvisoryRow, error) {
	if err := l.enter(); err != nil {
		return estate.AdvisoryRow{}, err
	}
	defer l.leave()
	var raw []byte
	row, err := scanAdvisory(l.rs[rRecordAt].QueryRowContext(ctx, id, int64(known)), &raw)
	if noRow(err) {
		return estate.AdvisoryRow{}, fault.New(fault.NotFound, "no advisory record %s", id)
	}
	if err != nil {
		return estate.AdvisoryRow{}, wrap(err, "advisory %s", id)
	}
	if row.Raw, err = l.pack.unpack(raw); err != nil {
		return estate.AdvisoryRow{}, wrap(errors.Join(errDamaged, err), "advisory %s", id)
	}
	return row, nil
}

// Named implements ledger.Ledger. Rows are ordered by id.
func (l *Ledger) Named(ctx context.Context, id string, known estate.Time) ([]estate.AdvisoryRow, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	s, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	var out []estate.AdvisoryRow
	own, err := scanAdvisory(s.row(ctx, rRecordAt, id, int64(known)), new([]byte))
	switch {
	case err == nil:
		out = append(out, own)
	case !noRow(err):
		return nil, wrap(err, "records that name %s", id)
	}
	var ids []int64
	if err := s.rows(ctx, rCiting, func(r *sql.Rows) error {
		var n int64
		err := r.Scan(&n)
		ids = append(ids, n)
		return err
	}, id); err != nil {
		return nil, wrap(err, "records that name %s", id)
	}
	for _, n := range ids {
		row, err := scanAdvisory(s.row(ctx, rRevisionAt, n, int64(known)))
		if noRow(err) {
			continue
		}
		if err != nil {
			return nil, wrap(err, "records that name %s", id)
		}
		// An earlier revision may have named it, and this one no longer.
		if row.ID != id && slices.Contains(slices.Concat(row.Aliases, row.Related, row.Upstream), id) {
			out = append(out, row)
		}
	}
	slices.SortFunc(out, func(a, b estate.AdvisoryRow) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Records implements ledger.Ledger.
func (l *Ledger) Records(ctx context.Context, ecosystem string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := l.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer l.leave()
		s, err := l.snapshot(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.end()
		var ids []int64
		err = s.rows(ctx, rRecordsOf, func(r *sql.Rows) error {
			var n int64
			err := r.Scan(&n)
			ids = append(ids, n)
			return err
		}, ecosystem)
		if err != nil {
			yield(nil, wrap(err, "records of %s", ecosystem))
			return
		}
		for _, n := range ids {
			var raw []byte
			err := s.row(ctx, rRaw, n).Scan(&raw)
			if err == nil {
				raw, err = l.pack.unpack(raw)
			}
			if err != nil {
				yield(nil, wrap(err, "records of %s", ecosystem))
				return
			}
			if !yield(raw, nil) {
				return
			}
		}
	}
}

// Ecosystems implements ledger.Ledger.
func (l *Ledger) Ecosystems(ctx context.Context) (map[string]ledger.EcosystemStats, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	out := map[string]ledger.EcosystemStats{}
	rows, err := l.rs[rEcosystems].QueryContext(ctx)
	err = scan(rows, err, func(r *sql.Rows) error {
		var name string
		var records, modified int64
		err := r.Scan(&name, &records, &modified)
		out[name] = ledger.EcosystemStats{Records: int(records), Modified: estate.Time(modified)}
		return err
	})
	if err != nil {
		return nil, wrap(err, "ecosystems")
	}
	return out, nil
}
