package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

// kind numbers the rows of the change feed. The numbers are stored.
type kind int

const (
	kPackage kind = iota + 1
	kSubject
	kBill
	kEvent
	kArtifact
	kVerdict
	kRevision // of an advisory record
	kExploited
	kLikelihood
	kDescription
	kAppVersion
	kinds
)

// tableOf holds the table of each kind.
var tableOf = [kinds]string{kPackage: "package", kSubject: "subject", kBill: "bill", kEvent: "event",
	kArtifact: "artifact", kVerdict: "verdict", kRevision: "advisory_revision", kExploited: "exploited",
	kLikelihood: "likelihood", kDescription: "description", kAppVersion: "appversion"}

// maxBatch is how many operations share a commit at most, so that one caller
// does not wait for an endless queue.
const maxBatch = 256

// counters are the newest of everything that the writer numbers.
type counters struct {
	known    estate.Time
	seq      int64
	ids      [kinds]int64
	evidence int64
	claim    int64
	advisory int64
}

// key128 is a keyed hash of a string. The key is drawn at start, so nobody can
// prepare strings that collide.
type key128 [2]uint64

// caches let interning cost no query. The writer alone uses them.
type caches struct {
	packages map[key128]estate.PackageID
	used     map[key128]struct{}
	// What the running transaction has added, to be taken out when it fails.
	newPackages, newUsed []key128
}

// writer owns the one writing connection. Its fields belong to its goroutine,
// but for queue.
type writer struct {
	l        *Ledger
	db       *sql.DB
	conn     *sql.Conn
	stmts    []*sql.Stmt
	onChange func(estate.Change)
	queue    chan *operation
	stopped  chan struct{}
	seeds    [2]maphash.Seed

	broken error // set when the state in memory may differ from the file's
	counters
	*caches

	// Of the running operation.
	change      estate.Change
	first, last [kinds]int64
}

// operation is one write. state goes from waiting to taken or to abandoned.
type operation struct {
	do     func(w *writer) error
	alone  bool // runs in a transaction of its own
	state  atomic.Int32
	err    error
	change estate.Change
	done   chan struct{}
}

const (
	waiting int32 = iota
	taken
	abandoned
)

func newWriter(l *Ledger, db *sql.DB, conn *sql.Conn, stmts []*sql.Stmt, onChange func(estate.Change)) *writer {
	return &writer{l: l, db: db, conn: conn, stmts: stmts, onChange: onChange,
		queue: make(chan *operation, maxBatch), stopped: make(chan struct{}),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// submit hands an operation to the writer and waits until it is durable. Once
// the writer has taken it, its outcome is awaited even when ctx ends: a change
// that was committed must reach the caller.
func (w *writer) submit(ctx context.Context, alone bool, do func(w *writer) error) (estate.Change, error) {
	op := &operation{do: do, alone: alone, done: make(chan struct{})}
	select {
	case w.queue <- op:
	case <-ctx.Done():
		return estate.Change{}, ctx.Err()
	}
	select {
	case <-op.done:
	case <-ctx.Done():
		if op.state.CompareAndSwap(waiting, abandoned) {
			return estate.Change{}, ctx.Err()
		}
		<-op.done
	}
	return op.change, op.err
}

// close stops the writer, which must be idle, and closes all connections.
func (w *writer) close(read *sql.DB) error {
	close(w.queue)
	<-w.stopped
	// The writer closes last: the last connection folds the WAL into the file.
	err := read.Close()
	for _, s := range w.stmts {
		err = errors.Join(err, s.Close())
	}
	return wrap(errors.Join(err, w.conn.Close(), w.db.Close()), "closing the ledger")
}

// run is the writer's goroutine. It warms its caches first, while the caller
// of Open goes on to Load.
func (w *writer) run() {
	defer close(w.stopped)
	w.broken = w.warm()
	var next *operation
	for {
		var batch []*operation
		if next == nil {
			op, open := <-w.queue
			if !open {
				return
			}
			next = op
		}
		batch, next = append(batch, next), nil
		for more := !batch[0].alone; more && len(batch) < maxBatch; {
			select {
			case op, open := <-w.queue:
				switch {
				case !open:
					more = false
				case op.alone:
					next, more = op, false
				default:
					batch = append(batch, op)
				}
			default:
				more = false
			}
		}
		w.commit(batch)
	}
}

// commit runs a batch in one transaction and answers every operation.
func (w *writer) commit(batch []*operation) {
	live := batch[:0]
	for _, op := range batch {
		if op.state.CompareAndSwap(waiting, taken) {
			live = append(live, op)
		} else {
			close(op.done)
		}
	}
	if err := w.transact(live); err != nil {
		for _, op := range live {
			op.err, op.change = err, estate.Change{}
		}
	}
	for _, op := range live {
		if w.onChange != nil && op.err == nil && op.change.Seq > 0 {
			w.onChange(op.change)
		}
		close(op.done)
	}
}

// transact runs the operations, each in a savepoint. An error of one is kept
// in it; an error returned concerns all of them, and nothing was stored.
func (w *writer) transact(ops []*operation) error {
	if w.broken != nil {
		return w.broken
	}
	if len(ops) == 0 {
		return nil
	}
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	counters, caches := w.counters, w.caches
	rollback := func(err error) error {
		// SQLite itself has rolled back after some errors (a full disk);
		// then this ROLLBACK fails, and the transaction is over all the same.
		undo := w.exec("ROLLBACK")
		w.caches = caches
		w.counters = counters
		w.forget(0, 0)
		if undo != nil && w.exec("BEGIN IMMEDIATE; ROLLBACK") != nil {
			w.broken = fault.New(fault.Unavailable, "the ledger cannot write any more: %w", err)
		}
		return err
	}
	for _, op := range ops {
		before, packages, used := w.counters, len(w.newPackages), len(w.newUsed)
		if err := w.exec("SAVEPOINT operation"); err != nil {
			return rollback(err)
		}
		w.change, w.first, w.last = estate.Change{}, [kinds]int64{}, [kinds]int64{}
		op.err = op.do(w)
		if op.err != nil {
			if op.alone { // it may have exchanged the caches
				_ = rollback(op.err)
				return op.err
			}
			if err := w.exec("ROLLBACK TO operation"); err != nil {
				return rollback(op.err)
			}
			w.counters = before
			w.forget(packages, used)
		}
		if err := w.exec("RELEASE operation"); err != nil {
			return rollback(err)
		}
		if op.err == nil {
			op.change = w.change
		}
		w.change = estate.Change{}
	}
	if err := w.exec("COMMIT"); err != nil {
		return rollback(err)
	}
	w.newPackages, w.newUsed = w.newPackages[:0], w.newUsed[:0]
	return nil
}

// forget takes out of the caches what was added behind these marks.
func (w *writer) forget(packages, used int) {
	for _, k := range w.newPackages[packages:] {
		delete(w.packages, k)
	}
	for _, k := range w.newUsed[used:] {
		delete(w.used, k)
	}
	w.newPackages, w.newUsed = w.newPackages[:packages], w.newUsed[:used]
}

// warm reads the counters and fills the caches.
func (w *writer) warm() error {
	w.caches = &caches{packages: map[key128]estate.PackageID{}, used: map[key128]struct{}{}}
	ctx := context.Background()
	one := func(dst any, query string) error {
		return wrap(w.conn.QueryRowContext(ctx, query).Scan(dst), "ledger")
	}
	err := errors.Join(
		one(&w.known, "SELECT max(coalesce((SELECT max(known) FROM change), 0), coalesce((SELECT max(known) FROM claim), 0))"),
		one(&w.seq, "SELECT coalesce(max(seq), 0) FROM change"),
		one(&w.evidence, "SELECT coalesce(max(id), 0) FROM evidence"),
		one(&w.claim, "SELECT coalesce(max(id), 0) FROM claim"),
		one(&w.advisory, "SELECT coalesce(max(id), 0) FROM advisory"))
	for k := kPackage; k < kinds; k++ {
		err = errors.Join(err, one(&w.ids[k], "SELECT coalesce(max(id), 0) FROM "+tableOf[k]))
	}
	if err != nil {
		return err
	}
	rows, err := w.conn.QueryContext(ctx, "SELECT id, key FROM package")
	var id int64
	var a, b sql.RawBytes
	if err := scan(rows, err, func(r *sql.Rows) error {
		err := r.Scan(&id, &a)
		w.packages[key128{maphash.Bytes(w.seeds[0], a), maphash.Bytes(w.seeds[1], a)}] = estate.PackageID(id)
		return err
	}); err != nil {
		return wrap(err, "packages of the ledger")
	}
	rows, err = w.conn.QueryContext(ctx, "SELECT ecosystem, name FROM used")
	return wrap(scan(rows, err, func(r *sql.Rows) error {
		err := r.Scan(&a, &b)
		w.used[w.hashName(estate.PackageName{Ecosystem: string(a), Name: string(b)})] = struct{}{}
		return err
	}), "package names of the ledger")
}

func (w *writer) hash(s string) key128 {
	return key128{maphash.String(w.seeds[0], s), maphash.String(w.seeds[1], s)}
}

func (w *writer) hashName(n estate.PackageName) key128 {
	return w.hash(n.Ecosystem + "\x00" + n.Name)
}

// tick returns the time at which something becomes known: the given one, or
// one millisecond after the newest.
func (w *writer) tick(t estate.Time) estate.Time {
	w.known = max(t, w.known+1)
	return w.known
}

// number gives the next id of a kind; flush turns the ids given into feed rows.
func (w *writer) number(k kind) int64 {
	w.ids[k]++
	w.mark(k, w.ids[k], w.ids[k])
	return w.ids[k]
}

// mark notes ids for the feed.
func (w *writer) mark(k kind, first, last int64) {
	if w.first[k] == 0 {
		w.first[k] = first
	}
	w.last[k] = last
}

// flush writes the feed rows of what was numbered since the last flush.
func (w *writer) flush(known estate.Time) error {
	for k := kPackage; k < kinds; k++ {
		if w.first[k] == 0 {
			continue
		}
		w.seq++
		if err := w.run1(wAddChange, w.seq, int64(known), int64(k), w.first[k], w.last[k]); err != nil {
			return err
		}
		w.change.Seq = w.seq
		w.first[k], w.last[k] = 0, 0
	}
	return nil
}

// exec runs SQL without arguments. The writer's statements take no context:
// an operation that was taken runs to its end.
func (w *writer) exec(query string) error {
	_, err := w.conn.ExecContext(context.Background(), query)
	return wrap(err, "ledger")
}

// run1 runs a prepared statement.
func (w *writer) run1(n int, args ...any) error {
	if _, err := w.stmts[n].Exec(args...); err != nil {
		return wrap(err, "ledger: writing to %s", target(writing[n]))
	}
	return nil
}

// find runs a prepared query for one row, and tells whether there is one.
func (w *writer) find(n int, args []any, dst ...any) (bool, error) {
	err := w.stmts[n].QueryRow(args...).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, wrap(err, "ledger: %s", writing[n])
	}
	return true, nil
}

// target names the table of a writing statement, for messages.
func target(query string) string {
	var verb, word, table string
	if _, err := fmt.Sscan(query, &verb, &word, &table); err != nil {
		return query
	}
	if verb == "UPDATE" {
		return word
	}
	return table
}
