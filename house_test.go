// Package thymus_test holds the rules of the house: who may import whom, what is
// linked, what every package and document must have. They are checked here, by
// test, since nobody remembers rules.
package thymus_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/linked-packages.txt")

// module is the prefix of the house's own packages.
const module = "thymus/"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath, Dir, Doc      string
	Standard                  bool
	GoFiles, Imports          []string
	TestImports, XTestImports []string
}

// name is the path within internal, or within the module.
func (p pkg) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "internal/")
}

// packages lists the house's packages, once.
var packages = sync.OnceValues(func() ([]pkg, error) { return goList("./...") })

// goList asks go for packages. The target is fixed, so that the answer does not
// depend on the machine.
func goList(args ...string) ([]pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, errors.New(err.Error() + ": " + stderr.String())
	}
	var out []pkg
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
}

func house(t *testing.T) []pkg {
	t.Helper()
	ps, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return ps
}

// files calls f for every file of the repository but the version control's and
// what a build leaves.
func files(t *testing.T, f func(path string, body []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.Type().IsRegular() || path == "thymus" || path == "thymus.exe":
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(path), body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range house(t) {
		if len(p.GoFiles) > 0 && len(strings.Fields(p.Doc)) < 5 {
			t.Errorf("package %s has no doc comment that says what it is for", p.name())
		}
	}
}

func TestModuleHasNoReplace(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct{ Replace, Exclude []any }
	if err := json.Unmarshal(raw, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace)+len(mod.Exclude) > 0 {
		t.Error("go.mod has replace or exclude lines, which “go install” of the module ignores or refuses")
	}
}

// What the binary links is a decision: run with -update after taking one, and
// account for it in docs/dependencies.md.
func TestLinkedPackages(t *testing.T) {
	ps, err := goList("-deps", "./cmd/thymus")
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var got []string
	for _, p := range ps {
		if !p.Standard && !strings.HasPrefix(p.ImportPath, module) {
			got = append(got, p.ImportPath)
		}
	}
	slices.Sort(got)
	const file = "docs/linked-packages.txt"
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run “go test . -update”", err)
	}
	if diff := cmp.Diff(strings.Fields(string(raw)), got); diff != "" {
		t.Errorf("the packages linked into the binary changed (-listed +linked):\n%s\nIf that is meant, run “go test . -update” and say in docs/dependencies.md what the new ones are for.", diff)
	}
}

// sources parses the non-test Go files of a package.
func sources(t *testing.T, p pkg) map[string]*ast.File {
	t.Helper()
	out := map[string]*ast.File{}
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out[p.name()+"/"+name] = f
	}
	return out
}

func TestNothingRegistersItself(t *testing.T) {
	for _, p := range house(t) {
		for name, f := range sources(t, p) {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function; lists stand in package catalog, and order is written down", name)
				}
			}
		}
	}
}

// maxLines is how long a Go file may get before it is two.
const maxLines = 700

func TestFilesStayReadable(t *testing.T) {
	// A path of somebody's machine helps nobody else. Written in pieces, so that
	// this file does not find itself.
	var machine [][]byte
	for _, dir := range []string{"work", "root", "Users"} {
		machine = append(machine, []byte("/"+dir+"/"))
	}
	files(t, func(path string, body []byte) {
		ext := filepath.Ext(path)
		if ext == ".go" {
			if n := bytes.Count(body, []byte("\n")); n > maxLines {
				t.Errorf("%s has %d lines; split it (at most %d)", path, n, maxLines)
			}
		}
		for _, m := range machine {
			if i := bytes.Index(body, m); i >= 0 && (i == 0 || bytes.ContainsRune([]byte(" \t\n\"'`(=:"), rune(body[i-1]))) {
				t.Errorf("%s:%d names a path of a machine: %.40q", path, 1+bytes.Count(body[:i], []byte("\n")), body[i:])
			}
		}
	})
}
