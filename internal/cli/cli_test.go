package cli_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"thymus/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the expected output in the transcripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"thymus": func() { // what main does
			ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
			os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// demoDir holds the demo's data, loaded once.
var demoDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "thymus-transcripts-")
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	if code := cli.Run(context.Background(), []string{"demo", "--exit", "--data", dir}, nil, strings.NewReader(""), &out, &errs); code != 0 {
		return dir, errors.New("thymus demo --exit: " + errs.String())
	}
	return dir, nil
})

// The transcripts have commands of their own: "exits CODE COMMAND…" runs a
// command and compares its exit code; "demo" gives the script a copy of the
// demo's data and points THYMUS_DATA at it; "address" sets ADDRESS to a free
// one; "await URL" waits until a server answers there; "token NAME FILE" reads a
// file into a variable; "zip ARCHIVE FILE…" makes an archive.
func TestTranscripts(t *testing.T) {
	t.Cleanup(func() {
		if dir, _ := demoDir(); dir != "" {
			os.RemoveAll(dir)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("THYMUS_DATA", filepath.Join(env.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"demo": func(ts *testscript.TestScript, _ bool, _ []string) {
				from, err := demoDir()
				ts.Check(err)
				to := ts.MkAbs("demo-data")
				ts.Check(os.CopyFS(to, os.DirFS(from)))
				ts.Setenv("THYMUS_DATA", to)
			},
			"address": func(ts *testscript.TestScript, _ bool, _ []string) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Setenv("ADDRESS", ln.Addr().String())
				ts.Check(ln.Close())
			},
			"await": await,
			"zip":   archive,
			"token": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
			},
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d; want %d", strings.Join(args[1:], " "), got, want)
	}
}

func archive(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(out), 0o700))
	f, err := os.Create(out)
	ts.Check(err)
	z := zip.NewWriter(f)
	for _, name := range args[1:] {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = w.Write([]byte(ts.ReadFile(name)))
		ts.Check(err)
	}
	ts.Check(errors.Join(z.Close(), f.Close()))
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	for range 600 {
		var res *http.Response
		if res, err = http.Get(args[0]); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(res.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("no server at %s: %v", args[0], err)
}
