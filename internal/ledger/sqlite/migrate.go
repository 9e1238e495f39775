package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"thymus/internal/fault"
)

// applicationID marks a SQLite file as a ledger: "THYM" in ASCII
// (https://www.sqlite.org/pragma.html#pragma_application_id).
const applicationID = 0x5448594d

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the scripts in order; the file's format is how many of
// them have run. Scripts are only ever added.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	scripts := make([]string, len(names))
	for i, name := range names { // Glob sorts
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		scripts[i] = string(b)
	}
	return scripts, nil
}

// migrate brings the file to the newest format: each step is one transaction.
// A file that holds data is copied first. Nothing is touched when the file
// belongs to someone else or to a newer version.
func migrate(ctx context.Context, conn *sql.Conn, path string, scripts []string) error {
	var app, version, objects int
	for query, dst := range map[string]*int{
		"PRAGMA application_id":              &app,
		"PRAGMA user_version":                &version,
		"SELECT count(*) FROM sqlite_schema": &objects,
	} {
		if err := conn.QueryRowContext(ctx, query).Scan(dst); err != nil {
			return wrap(err, "ledger %s", path)
		}
	}
	switch {
	case objects > 0 && app != applicationID:
		return fault.New(fault.Conflict, "%s is a SQLite file of another program; choose another data directory", path)
	case version > len(scripts):
		return fault.New(fault.Conflict,
			"%s has format %d, and this version of Thymus knows %d at most; start the newer version again, or put the backup it made (%s) in the place of the file",
			path, version, len(scripts), filepath.Base(backupPath(path, len(scripts))))
	}
	// WAL is a property of the file; it cannot be set within a transaction.
	if _, err := conn.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return wrap(err, "ledger %s", path)
	}
	if version == len(scripts) {
		return nil
	}
	if version > 0 {
		if err := backup(ctx, conn, backupPath(path, version)); err != nil {
			return wrap(err, "backup of ledger %s", path)
		}
	}
	for ; version < len(scripts); version++ {
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
			scripts[version], applicationID, version+1)
		if _, err := conn.ExecContext(ctx, script); err != nil {
			_, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			if undo != nil {
				err = fmt.Errorf("%w (and then: %v)", err, undo)
			}
			return wrap(err, "migration of ledger %s to format %d", path, version+1)
		}
	}
	return nil
}

// backupPath names the copy made before the file left a format.
func backupPath(path string, version int) string {
	return fmt.Sprintf("%s.format-%d.backup", path, version)
}

// backup writes a compact copy that is whole or absent.
func backup(ctx context.Context, conn *sql.Conn, to string) error {
	part := to + ".part"
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return err
	}
	// The empty file gives the copy its mode; VACUUM INTO accepts an empty one.
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(part, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}
