package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
	"thymus/internal/ledger/ledgertest"
)

func TestMigration(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, FileName)
	l := openTest(t, dir)
	if err := l.Put(ctx, "b", "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Fold: ledgertest.Fold}

	// A migration that fails leaves the file as it was, and a backup.
	_, err = open(ctx, dir, opts, append(now, "CREATE TABLE later (x INTEGER); INSERT INTO nowhere VALUES (1);"))
	if fault.Of(err) != fault.Internal || !strings.Contains(err.Error(), "format 2") {
		t.Fatalf("a failing migration: %v", err)
	}
	openTest(t, dir).Close()

	next := append(now, "CREATE TABLE later (x INTEGER);", "INSERT INTO later VALUES (1);")
	l, err = open(ctx, dir, opts, next)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := l.Get(ctx, "b", "k"); err != nil || string(v) != "v" {
		t.Fatalf("after the migration: %q, %v", v, err)
	}
	l.Close()

	// This version refuses the newer file, and says what to do.
	_, err = Open(ctx, dir, opts)
	backup := path + ".format-1.backup"
	if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), filepath.Base(backup)) {
		t.Fatalf("a newer file: %v", err)
	}
	// The remedy works.
	if err := os.Rename(backup, path); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, dir)
	if v, err := l.Get(ctx, "b", "k"); err != nil || string(v) != "v" {
		t.Fatalf("the backup: %q, %v", v, err)
	}
	l.Close()
}

func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(filepath.Join(dir, FileName))
	if _, err := Open(context.Background(), dir, Options{Fold: ledgertest.Fold}); fault.Of(err) != fault.Conflict {
		t.Fatalf("another program's file: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, FileName)); string(after) != string(before) {
		t.Fatal("another program's file was changed")
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), dir, Options{Fold: ledgertest.Fold}); fault.Of(err) != fault.Internal {
		t.Fatalf("a file that is no database: %v", err)
	}
}

func TestModeAndName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd? name#1 %41")
	l := openTest(t, dir)
	if err := l.Put(context.Background(), "b", "k", nil); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.ReplaceAll(dir, "?", "[?]"), "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOnChange(t *testing.T) {
	var told []int64
	l, err := Open(context.Background(), t.TempDir(), Options{Fold: ledgertest.Fold, OnChange: func(c estate.Change) { told = append(told, c.Seq) }})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	answered := 0
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			out, err := l.Append(context.Background(), sample(i, 3))
			if err != nil {
				t.Errorf("Append: %v", err)
			}
			if again, err := l.Append(context.Background(), sample(i, 3)); err != nil || !again.Duplicate {
				t.Errorf("Append: %+v, %v", again, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if out.Change.Seq > 0 {
				answered++
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range told {
		if i > 0 && told[i] <= told[i-1] {
			t.Fatalf("Seq %d was told after %d", told[i], told[i-1])
		}
	}
	if len(told) != 50 || answered != 50 {
		t.Fatalf("%d changes told, %d answered; want 50", len(told), answered)
	}
}

// TestKilled kills a process that writes, again and again: what it had
// acknowledged is there, and nothing is there by half.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("LEDGER_TEST_WRITE"); dir != "" {
		writeUntilKilled(t, dir)
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	acknowledged := map[int]bool{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "LEDGER_TEST_WRITE="+dir, "LEDGER_TEST_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(300+100*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				acknowledged[n] = true
			}
		}
		_ = cmd.Wait() // it was killed
		l := openTest(t, dir)
		got := map[string]bool{}
		bills := 0
		err = l.Load(context.Background(), estate.Forever, func(c estate.Change) error {
			for _, b := range c.Bills {
				got[b.Evidence] = true
				bills++
				if len(b.Packages) != 20 {
					return fmt.Errorf("bill %d has %d packages", b.ID, len(b.Packages))
				}
				if _, err := l.Evidence(context.Background(), b.Evidence); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := range acknowledged {
			if sha := sample(n, 20).Evidence.SHA256; !got[sha] {
				t.Errorf("entry %d was acknowledged and is gone", n)
			}
		}
		if bills != len(got) {
			t.Errorf("%d bills of %d documents", bills, len(got))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	t.Logf("%d entries acknowledged, none lost", len(acknowledged))
}

func writeUntilKilled(t *testing.T, dir string) {
	round, err := strconv.Atoi(os.Getenv("LEDGER_TEST_ROUND"))
	if err != nil {
		t.Fatal(err)
	}
	l := openTest(t, dir)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				n := round*1_000_000 + i*4 + w
				if _, err := l.Append(context.Background(), sample(n, 20)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Println(n)
				mu.Unlock()
				if i%50 == 49 && w == 0 { // a kill may come in the middle of a rebuild too
					err := l.Rebuild(context.Background(), func(in ledger.Replayed) ([]ledger.Fact, error) {
						n, err := strconv.Atoi(string(in.Evidence.Body))
						return sample(n, 20).Facts, err
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestCodecRefusesDamage(t *testing.T) {
	set, place := arrange([]estate.PackageID{9, 3, 9, 700, 3})
	if d := cmp.Diff([]estate.PackageID{3, 9, 700}, set); d != "" {
		t.Fatal(d)
	}
	blob := encodeShape(place, [][]int32{{4, 1}, nil, {0}, nil, {3}}, []int32{2})
	shape, err := decodeShape(blob, set)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&estate.Shape{Order: []estate.PackageID{9, 3, 9, 700, 3}, Depends: [][]int32{{4, 1}, nil, {0}, nil, {3}}, Direct: []int32{2}}, shape); d != "" {
		t.Fatal(d)
	}
	for n := range len(blob) { // every prefix; some are a smaller whole only where the graph begins
		if s, err := decodeShape(blob[:n], set); err == nil && s.Depends != nil {
			t.Errorf("a shape cut at %d of %d is read", n, len(blob))
		}
	}
	if _, err := decodeShape(blob, set[:2]); err == nil {
		t.Error("a place outside the bill is read")
	}
	for _, b := range [][]byte{{0}, {1, 0}, {0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, {0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if ids, err := decodePackages(b); err == nil {
			t.Errorf("% x is read as %v", b, ids)
		}
	}
}

func FuzzCodec(f *testing.F) {
	set, place := arrange([]estate.PackageID{9, 3, 9, 700, 3})
	f.Add(encodePackages(set), encodeShape(place, [][]int32{{4, 1}, nil, {0}, nil, {3}}, []int32{2}))
	f.Add([]byte{}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, packages, shape []byte) {
		set, err := decodePackages(packages)
		if err != nil {
			return
		}
		s, err := decodeShape(shape, set)
		if err != nil {
			return
		}
		_, place := arrange(s.Order)
		if again, err := decodeShape(encodeShape(place, s.Depends, s.Direct), s.Order); len(s.Order) == len(set) && err != nil {
			t.Fatalf("%+v is not read again: %+v, %v", s, again, err)
		}
	})
}
