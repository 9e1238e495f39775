package sqlite

import (
	"context"
	"database/sql"

	"thymus/internal/fault"
)

// Get implements ledger.Ledger.
func (l *Ledger) Get(ctx context.Context, bucket, key string) ([]byte, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	var value []byte
	err := l.rs[rValue].QueryRowContext(ctx, bucket, key).Scan(&value)
	if noRow(err) {
		return nil, fault.New(fault.NotFound, "no value %s/%s", bucket, key)
	}
	if err != nil {
		return nil, wrap(err, "value %s/%s", bucket, key)
	}
	return notNil(value), nil
}

// Put implements ledger.Ledger.
func (l *Ledger) Put(ctx context.Context, bucket, key string, value []byte) error {
	if err := checkText("value", bucket, key); err != nil {
		return err
	}
	return l.write(ctx, "value "+bucket+"/"+key, wPutValue, bucket, key, notNil(value))
}

// Delete implements ledger.Ledger.
func (l *Ledger) Delete(ctx context.Context, bucket, key string) error {
	return l.write(ctx, "value "+bucket+"/"+key, wDeleteValue, bucket, key)
}

// write runs one statement as an operation.
func (l *Ledger) write(ctx context.Context, noun string, statement int, args ...any) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	_, err := l.w.submit(ctx, false, func(w *writer) error { return w.run1(statement, args...) })
	return wrap(err, "%s", noun)
}

// List implements ledger.Ledger.
func (l *Ledger) List(ctx context.Context, bucket string) (map[string][]byte, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	out := map[string][]byte{}
	rows, err := l.rs[rValues].QueryContext(ctx, bucket)
	err = scan(rows, err, func(r *sql.Rows) error {
		var key string
		var value []byte
		err := r.Scan(&key, &value)
		out[key] = notNil(value)
		return err
	})
	if err != nil {
		return nil, wrap(err, "values of %s", bucket)
	}
	return out, nil
}

// notNil tells an empty value from SQL's NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
