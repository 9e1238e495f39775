package thymus_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"thymus/internal/catalog"
)

// Every folder under internal/read that holds a reader is in the catalog's list
// and in the table of docs/add-a-reader.md.
func TestReadersAreListed(t *testing.T) {
	listed := map[string][]string{} // import path to names
	for _, r := range catalog.Readers() {
		typ := reflect.TypeOf(r)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		listed[typ.PkgPath()] = append(listed[typ.PkgPath()], r.Name())
	}
	table, err := os.ReadFile("docs/add-a-reader.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range house(t) {
		if !strings.HasPrefix(p.name(), "read/") || !hasReader(t, p) {
			continue
		}
		names := listed[p.ImportPath]
		if len(names) == 0 {
			t.Errorf("package %s holds a reader that catalog.Readers does not list", p.name())
		}
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^\| ` + "`" + regexp.QuoteMeta(name) + "`" + ` \|.*` + regexp.QuoteMeta(p.name())).Match(table) {
				t.Errorf("docs/add-a-reader.md has no row “| `%s` | …%s…”", name, p.name())
			}
		}
	}
}

// hasReader tells whether a package declares a method Detect, as readers do.
func hasReader(t *testing.T, p pkg) bool {
	if strings.HasSuffix(p.name(), "test") {
		return false
	}
	for _, f := range sources(t, p) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Detect" {
				return true
			}
		}
	}
	return false
}

var (
	linkPattern = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	codeBlock   = regexp.MustCompile("(?s)```.*?```")
	heading     = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// Links within the repository lead somewhere, to a heading too.
func TestLinksResolve(t *testing.T) {
	files(t, func(path string, body []byte) {
		if filepath.Ext(path) != ".md" || strings.Contains(path, "testdata/") {
			return
		}
		for _, m := range linkPattern.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(body), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
				continue
			}
			if anchor != "" && filepath.Ext(file) == ".md" {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(anchors(string(text)), anchor) {
					t.Errorf("%s links to %s, which has no such heading", path, m[1])
				}
			}
		}
	})
}

// anchors are the names under which a page's headings can be linked to.
func anchors(page string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(m[1])))
	}
	return out
}

// What the README shows is what the command prints: its transcript's lines stand
// in the tested one.
func TestReadmeShowsTheTruth(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("internal/cli/testdata/affected.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, transcript, ok := strings.Cut(string(page), "\n$ thymus affected CVE-2021-44228\n")
	if !ok {
		t.Fatal("the README has no transcript")
	}
	transcript, _, _ = strings.Cut(transcript, "\n```")
	for line := range strings.Lines(transcript + "\n") {
		if !strings.Contains(string(golden), line) {
			t.Errorf("the README shows a line that the command does not print (see internal/cli/testdata/affected.txtar): %s", line)
		}
	}
}

// Each package of the house has its place on the architecture page.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range house(t) {
		if len(p.GoFiles) == 0 || strings.Count(p.name(), "/") > 0 && !strings.HasPrefix(p.name(), "cmd/") {
			continue // a part of a part is told by its folder
		}
		link := "](../" + strings.TrimPrefix(p.ImportPath, module)
		if !strings.Contains(string(page), link) {
			t.Errorf("docs/architecture.md does not link to %s", strings.TrimPrefix(p.ImportPath, module))
		}
	}
}

// Each direct dependency is accounted for.
func TestDependenciesAreAccountedFor(t *testing.T) {
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct, _, _ := strings.Cut(string(mod), "// indirect")
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(direct, -1) {
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/dependencies.md does not say what %s is for", m[1])
		}
	}
}
