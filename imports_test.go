package thymus_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// layer is one row of the import table: the packages, what of the house they
// may import, and why. Names are paths within internal; a * stands for one
// element, and a trailing /... for a folder and all below.
type layer struct {
	packages []string
	may      []string
	why      string
}

// leaves are what everybody may import.
var leaves = []string{"estate", "fault", "fold", "purl", "version"}

// layers is the picture of docs/architecture.md. Imports go downwards only; the
// rows are written from the bottom up.
var layers = []layer{
	{[]string{"estate"}, nil,
		"the vocabulary is read by everybody and depends on nobody"},
	{[]string{"fault"}, nil,
		"an error may be made anywhere"},
	{[]string{"fold"}, nil,
		"how names compare is one rule"},
	{[]string{"testdata"}, nil,
		"only tests import it"},
	{[]string{"version", "purl"}, leaves,
		"identity and order are functions of strings"},
	{[]string{"redact"}, leaves,
		"a function of bytes, which the engine calls before anything is stored"},
	{[]string{"read"}, []string{"estate", "fault"},
		"the contract of readers"},
	{[]string{"read/readtest"}, append([]string{"read", "read/...", "testdata"}, leaves...),
		"the suite that readers pass; tests import it"},
	{[]string{"read/..."}, append([]string{"read", "read/..."}, leaves...),
		"a reader turns bytes into facts: it has no store, and does not know who asks"},
	{[]string{"catalog"}, append([]string{"read", "read/..."}, leaves...),
		"the explicit lists of what is plugged in"},
	{[]string{"ledger"}, leaves,
		"the contract of stores"},
	{[]string{"ledger/*"}, append([]string{"ledger"}, leaves...),
		"a store keeps facts and answers no questions"},
	{[]string{"graph"}, leaves,
		"the graph follows the change feed; what it needs of a store is an interface of its own"},
	{[]string{"answer"}, append([]string{"graph"}, leaves...),
		"an answer is a function of the graph, never of a table"},
	{[]string{"engine"}, append([]string{"answer", "catalog", "graph", "ledger", "read", "read/...", "redact"}, leaves...),
		"the main path joins the parts, and knows no particular store and no face"},
	{[]string{"access"}, []string{"answer", "estate", "fault"},
		"who may do what; a scope is the answers' own"},
	{[]string{"datadir"}, []string{"estate", "fault"},
		"who owns a folder is a question to the operating system"},
	{[]string{"feed"}, append([]string{"engine", "catalog", "read", "read/..."}, leaves...),
		"feeds bring documents to the engine, and do not see the store"},
	{[]string{"demo"}, append([]string{"engine"}, leaves...),
		"the demo is documents, told to the engine as anybody's"},
	{[]string{"bench"}, append([]string{"answer", "catalog", "demo", "engine", "graph", "ledger", "ledger/*", "read", "read/..."}, leaves...),
		"a bench measures the parts, without a face"},
	{[]string{"api", "api/..."}, append([]string{"access", "answer", "engine", "feed", "read", "read/..."}, leaves...),
		"a face asks answer and tells engine, and asks readers what a document is; it never sees the ledger"},
	{[]string{"cli/host"}, append([]string{"access", "api", "catalog", "datadir", "engine", "feed", "ledger", "ledger/*"}, leaves...),
		"the one place that puts a running Thymus together"},
	{[]string{"cli"}, append([]string{"access", "answer", "bench", "cli/host", "demo", "engine"}, leaves...),
		"the command speaks the API, also to itself"},
	{[]string{"cmd/thymus"}, []string{"cli"},
		"main stays under 50 lines"},
}

// fits tells whether a package's name fits a pattern of the table.
func fits(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, folder+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range house(t) {
		if len(p.GoFiles) == 0 {
			continue // tests of the repository
		}
		i := slices.IndexFunc(layers, func(l layer) bool {
			return slices.ContainsFunc(l.packages, func(pattern string) bool { return fits(pattern, p.name()) })
		})
		if i < 0 {
			t.Errorf("package %s has no place in the import table; give it one", p.name())
			continue
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			to := pkg{ImportPath: imported}.name()
			if !slices.ContainsFunc(layers[i].may, func(pattern string) bool { return fits(pattern, to) }) {
				t.Errorf("package %s imports %s and may not: %s", p.name(), to, layers[i].why)
			}
		}
	}
}

func TestVocabularyImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range house(t) {
		if p.name() != "estate" && p.name() != "fault" {
			continue
		}
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") || strings.HasPrefix(imported, module) {
				t.Errorf("package %s imports %s; it may import the standard library only", p.name(), imported)
			}
		}
	}
}

// borders says which packages alone may import something from outside, and why.
var borders = []struct {
	imported string // a path and all below
	only     []string
	why      string
}{
	{"net/http", []string{"fault", "feed", "api", "api/...", "cli", "cli/host"}, "only feeds and faces touch the network (fault needs the names of statuses)"},
	{"net", []string{"feed", "api", "api/...", "cli", "cli/host"}, "only feeds and faces touch the network"},
	{"os/exec", []string{"bench"}, "Thymus starts no programs, but itself to be measured"},
	{"database/sql", []string{"ledger/*"}, "SQL lives in the stores alone"},
	{"modernc.org", []string{"ledger/sqlite"}, "SQL lives in the stores alone"},
	{"github.com/spf13", []string{"cli"}, "flags are the command line's"},
	{"github.com/danielgtaylor/huma", []string{"api", "api/..."}, "HTTP is the API's"},
	{"github.com/prometheus", []string{"api", "api/..."}, "the API exposes the figures"},
	{"github.com/google/osv-scalibr", []string{"version"}, "the order of versions is asked for in one place, so that it can be replaced"},
	{"github.com/package-url", []string{"purl", "demo"}, "purls are parsed in one place (the demo writes some, as tools do)"},
	{"github.com/CycloneDX", []string{"read/cyclonedx", "answer"}, "one reader knows the format, and one export"},
	{"github.com/spdx", []string{"read/spdx", "answer"}, "one reader knows the format, and one export"},
	{"github.com/pandatix", []string{"version", "graph", "answer", "read/..."}, "scores are computed beside severities"},
	{"log/slog", []string{"engine", "feed", "api", "api/...", "cli", "cli/host"}, "logs are written at the edges; what matters to a user is a fact"},
	{"log", nil, "logs are written by log/slog, at the edges"},
	{"unsafe", nil, "no figure here is worth it"},
}

func TestBorders(t *testing.T) {
	for _, p := range house(t) {
		for _, imported := range p.Imports {
			for _, b := range borders {
				exact := imported == b.imported
				if below := strings.HasPrefix(imported, b.imported+"/"); !exact && !(below && strings.Contains(b.imported, ".")) {
					continue
				}
				if !slices.ContainsFunc(b.only, func(pattern string) bool { return fits(pattern, p.name()) }) {
					t.Errorf("package %s imports %s and may not: %s", p.name(), imported, b.why)
				}
			}
		}
	}
}

// A reader that looked at a clock or a file would read the same evidence
// differently tomorrow, and rebuild would not repeat it.
func TestReadersHaveNoClockAndNoFiles(t *testing.T) {
	for _, p := range house(t) {
		if !strings.HasPrefix(p.name(), "read/") || strings.HasSuffix(p.name(), "test") {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "os" || strings.HasPrefix(imported, "os/") || imported == "math/rand" || imported == "math/rand/v2" {
				t.Errorf("reader %s imports %s", p.name(), imported)
			}
		}
		for name, f := range sources(t, p) {
			ast.Inspect(f, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since") {
						t.Errorf("%s asks the clock; the time of a fact comes from the document or the claim", name)
					}
				}
				return true
			})
		}
	}
}
