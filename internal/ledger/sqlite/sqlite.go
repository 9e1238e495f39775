// Package sqlite is the embedded ledger: one SQLite file (ledger.db) in the
// data directory, through a driver without cgo.
//
// Writes go one way. Callers prepare what they can (validation, JSON,
// compression) in their own goroutine and hand an operation to the one writer.
// It gathers what is waiting into one transaction, each operation within a
// savepoint, and answers after the commit has reached the disk; so parallel
// writers share an fsync and one bad entry does not fail its neighbours.
// Reads use a pool of connections of their own and never wait for the writer.
//
// Row ids are given by the writer, densely and in the order in which things
// become known. The change feed therefore is a list of id ranges, Load walks
// it with range queries, and a rebuild with the same readers gives the same
// tables. docs/ledger.md describes the file.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// FileName is the ledger's file within the data directory.
const FileName = "ledger.db"

// readers is how many reads run at once; more wait.
const readers = 16

// Options are what the ledger needs from its caller.
type Options struct {
	// Fold brings a package name of an ecosystem (without suffix) to the form
	// in which advisories and packages compare. Required; it must be pure.
	// When it changes between versions, Rebuild brings the index up to date.
	Fold func(ecosystem, name string) string
	// OnChange, when set, is called once for each change that was committed
	// and is not empty, in the order of Seq and before the caller of the write
	// is answered. Writers wait for it, and it must not call the ledger's
	// writing methods. Rebuild calls it for nothing.
	OnChange func(estate.Change)
}

// Ledger implements ledger.Ledger.
type Ledger struct {
	fold func(ecosystem, name string) string
	pack *packing
	read *sql.DB
	rs   []*sql.Stmt // prepared on read, by statement number
	w    *writer

	mu       sync.Mutex
	closed   bool
	inflight sync.WaitGroup
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens the ledger in dir, makes it when there is none, and migrates it
// after a backup when an older version wrote it. The caller owns dir (package
// datadir): two processes on one file are not supported. It fails with
// fault.Conflict when a newer version or another program wrote the file.
func Open(ctx context.Context, dir string, opts Options) (*Ledger, error) {
	if opts.Fold == nil {
		return nil, fault.New(fault.Internal, "ledger: Options.Fold is required")
	}
	scripts, err := migrations()
	if err != nil {
		return nil, err
	}
	return open(ctx, dir, opts, scripts)
}

func open(ctx context.Context, dir string, opts Options, scripts []string) (_ *Ledger, err error) {
	path, err := filepath.Abs(filepath.Join(dir, FileName))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "ledger: %w", err)
	}
	// SQLite would make the file readable by others; its WAL takes the file's mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "ledger: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fault.New(fault.Unavailable, "ledger: %w", err)
	}

	l := &Ledger{fold: opts.Fold}
	if l.pack, err = newPacking(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path,
		"busy_timeout(10000)", "synchronous(FULL)", "foreign_keys(1)", "temp_store(MEMORY)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "cache_size(-32768)"))
	if err != nil {
		return nil, wrap(err, "ledger %s", path)
	}
	db.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.closeFiles(db))
		}
	}()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, wrap(err, "ledger %s", path)
	}
	if err := migrate(ctx, conn, path, scripts); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, "ledger: %w", err), conn.Close())
	}
	ws, err := prepare(ctx, conn, writing)
	if err != nil {
		return nil, errors.Join(wrap(err, "ledger %s", path), conn.Close())
	}
	if l.read, err = sql.Open("sqlite", dsn(path, "busy_timeout(10000)", "query_only(1)", "temp_store(MEMORY)")); err != nil {
		return nil, errors.Join(wrap(err, "ledger %s", path), conn.Close())
	}
	l.read.SetMaxOpenConns(readers)
	l.read.SetMaxIdleConns(readers)
	if l.rs, err = prepare(ctx, l.read, reading); err != nil {
		return nil, errors.Join(wrap(err, "ledger %s", path), conn.Close())
	}
	l.w = newWriter(l, db, conn, ws, opts.OnChange)
	go l.w.run()
	return l, nil
}

// dsn names a file for the driver. The path is escaped, since the driver reads
// its options behind the first question mark.
func dsn(path string, pragmas ...string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	u.RawQuery = url.Values{"_pragma": pragmas}.Encode()
	return u.String()
}

type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

func prepare(ctx context.Context, p preparer, queries []string) ([]*sql.Stmt, error) {
	out := make([]*sql.Stmt, len(queries))
	for i, q := range queries {
		s, err := p.PrepareContext(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("statement %q: %w", q, err)
		}
		out[i] = s
	}
	return out, nil
}

// Close refuses new calls, waits for those that are running, and closes.
// Closing again does nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.inflight.Wait()
	return l.w.close(l.read)
}

// closeFiles closes what a failed Open had opened.
func (l *Ledger) closeFiles(db *sql.DB) error {
	err := db.Close()
	if l.read != nil {
		err = errors.Join(err, l.read.Close())
	}
	return err
}

// enter starts a call; every call that entered must leave.
func (l *Ledger) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fault.New(fault.Unavailable, "the ledger is closed")
	}
	l.inflight.Add(1)
	return nil
}

func (l *Ledger) leave() { l.inflight.Done() }

// snapshot starts a read transaction: all its queries see one state.
func (l *Ledger) snapshot(ctx context.Context) (*snapshot, error) {
	tx, err := l.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, wrap(err, "ledger")
	}
	return &snapshot{tx: tx, rs: l.rs, bound: make([]*sql.Stmt, len(l.rs))}, nil
}

type snapshot struct {
	tx    *sql.Tx
	rs    []*sql.Stmt
	bound []*sql.Stmt // rs bound to tx, made when first used
}

func (s *snapshot) stmt(ctx context.Context, n int) *sql.Stmt {
	if s.bound[n] == nil {
		s.bound[n] = s.tx.StmtContext(ctx, s.rs[n])
	}
	return s.bound[n]
}

// end gives the connection back. Nothing was written, so there is nothing to lose.
func (s *snapshot) end() { _ = s.tx.Rollback() }

func (s *snapshot) row(ctx context.Context, n int, args ...any) *sql.Row {
	return s.stmt(ctx, n).QueryRowContext(ctx, args...)
}

// rows runs a query and calls each for every row.
func (s *snapshot) rows(ctx context.Context, n int, each func(*sql.Rows) error, args ...any) error {
	rows, err := s.stmt(ctx, n).QueryContext(ctx, args...)
	return scan(rows, err, each)
}

func scan(rows *sql.Rows, err error, each func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// wrap names the noun and gives an error without a code one: Unavailable where
// trying again later may help, Internal otherwise.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	noun := fmt.Sprintf(format, args...)
	var coded *fault.Error
	if errors.As(err, &coded) {
		return fmt.Errorf("%s: %w", noun, err)
	}
	code := fault.Internal
	var lite *driver.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrConnDone):
		code = fault.Unavailable
	case errors.As(err, &lite):
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT:
			code = fault.Unavailable
		}
	}
	return fault.New(code, "%s: %w", noun, err)
}
