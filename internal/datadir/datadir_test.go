package datadir

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"thymus/internal/fault"
)

func TestOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	o, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Fatalf("the directory: %v, %v", info, err)
	}
	_, err = Own(dir)
	if fault.Of(err) != fault.Unavailable || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("owned twice: %v", err)
	}
	if o.AdminTokenPath() != filepath.Join(o.Dir(), "admin.token") {
		t.Fatalf("token: %s", o.AdminTokenPath())
	}
	for range 2 {
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = Own(dir); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	o.Close()
}

func TestFormat(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       fault.Code
		says       string
	}{
		"empty":             {},
		"an older start":    {file: "lock"},
		"this version":      {file: formatName, text: "thymus data directory, format 1\n"},
		"a newer version":   {formatName, "thymus data directory, format 2\n", fault.Conflict, "newer version"},
		"an older version":  {formatName, "thymus data directory, format 0\n", fault.Conflict, "version between"},
		"damaged":           {formatName, "thymus data directory, format x\n", fault.Conflict, "choose another"},
		"another program's": {formatName, "1\n", fault.Conflict, "choose another"},
		"somebody's home":   {"letter.txt", "Dear", fault.Conflict, "letter.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o, err := Own(dir)
			if fault.Of(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("Own: %v, want %q", err, c.want)
			}
			if err != nil {
				if files, _ := os.ReadDir(dir); len(files) != 1 {
					t.Fatalf("a refused directory was written to: %v", files)
				}
				return
			}
			o.Close()
			if o, err = Own(dir); err != nil {
				t.Fatal(err)
			}
			o.Close()
		})
	}
}

func TestSocketPath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Unix")
	}
	short, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	runtimeDir, err := os.MkdirTemp("/tmp", "r")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(runtimeDir)
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	if p, err := SocketPath(short); err != nil || p != filepath.Join(short, "thymus.sock") {
		t.Fatalf("short: %s, %v", p, err)
	}
	long := filepath.Join(short, strings.Repeat("long/", 30))
	o, err := Own(long)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if !strings.HasPrefix(o.SocketPath(), runtimeDir+"/thymus-") || len(o.SocketPath()) > maxSocket {
		t.Fatalf("long: %s", o.SocketPath())
	}
	ln, err := net.Listen("unix", o.SocketPath())
	if err != nil {
		t.Fatalf("the path cannot be bound: %v", err)
	}
	ln.Close()
	// A client in another environment finds it, and another directory has another.
	t.Setenv("XDG_RUNTIME_DIR", "")
	if p, err := SocketPath(long); err != nil || p != o.SocketPath() {
		t.Fatalf("from elsewhere: %s, %v", p, err)
	}
	if p, err := SocketPath(long + "2"); err != nil || filepath.Base(p) == filepath.Base(o.SocketPath()) {
		t.Fatalf("another directory: %s, %v", p, err)
	}
	// Somebody took the folder's name.
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	private := filepath.Dir(o.SocketPath())
	if err := os.Chmod(private, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Own(long + "2"); fault.Of(err) != fault.Unavailable || !strings.Contains(err.Error(), private) {
		t.Fatalf("a folder open to others: %v", err)
	}
}

// TestKilled: an owner that is killed frees the directory, and is named before.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("DATADIR_TEST_HOLD"); dir != "" {
		if _, err := Own(dir); err != nil {
			t.Fatal(err)
		}
		fmt.Println("owned")
		select {}
	}
	dir := t.TempDir()
	for range 3 {
		cmd := child(t, "^TestKilled$", "DATADIR_TEST_HOLD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "owned" {
			t.Fatalf("the other process says %q", lines.Text())
		}
		_, err = Own(dir)
		if fault.Of(err) != fault.Unavailable || !strings.Contains(err.Error(), fmt.Sprintf("process %d;", cmd.Process.Pid)) {
			t.Errorf("owned by process %d: %v", cmd.Process.Pid, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		o, err := Own(dir)
		if err != nil {
			t.Fatalf("after the owner was killed: %v", err)
		}
		o.Close()
	}
}

// TestRace lets processes fight for one directory: a marker that only one may
// hold tells if two ever own it together.
func TestRace(t *testing.T) {
	if dir := os.Getenv("DATADIR_TEST_RACE"); dir != "" {
		race(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := filepath.Join(t.TempDir(), "data") // they fight for making it too
	var cmds []*exec.Cmd
	var outs []*strings.Builder
	for range 4 {
		cmd, out := child(t, "^TestRace$", "DATADIR_TEST_RACE="+dir), &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outs[i])
		}
	}
}

func race(t *testing.T, dir string) {
	owned := 0
	for end := time.Now().Add(20 * time.Second); owned < 50 && time.Now().Before(end); {
		o, err := Own(dir)
		if fault.Of(err) == fault.Unavailable {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		owned++
		marker := filepath.Join(filepath.Dir(dir), "marker")
		f, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatalf("two own the directory: %v", err)
		}
		f.Close()
		if err := os.Remove(marker); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if owned == 0 {
		t.Fatal("never owned")
	}
}

// child prepares this test binary to run one test in another process.
func child(t *testing.T, test, env string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run="+test)
	cmd.Env = append(os.Environ(), env)
	return cmd
}
