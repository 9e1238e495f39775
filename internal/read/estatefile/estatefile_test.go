package estatefile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/estatefile"
	"thymus/internal/read/readtest"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

const first = "thymus: estate/v1\n"

var full = first + `since: 2026-01-01
domains:
  - name: commerce
    title: "Commerce: the shop"
    team: Storefront
    domains:
      - name: checkout
        domains: [{name: tax}]
  - {name: platform, parent: it}
  - name: it
teams: [{name: storefront, title: Store, contact: "#store"}, {name: platform_team}]
services:
  - name: shop/cart
    title: Cart
    domain: Commerce
    team: storefront
    tier: 1
    repository: https://git.example/cart
    language: go
    aliases: [cart-svc, shop/cart_svc]
    artifacts: ["registry.example:5000/cart", "` + digest + `"]
  - {name: redis, vendor: Redis, team: Platform-Team, retired: true, repository: "git@git.example:a/b.git"}
applications:
  - {name: web-shop, title: Shop, team: storefront, tier: 2, services: [shop/cart], entry_points: [web]}
  - {name: office, domains: [IT], teams: [platform-team]}
environments:
  - {name: production, tier: production, zone: public, aliases: [eks-1/shop, prod eu]}
  - {name: eks-2/shop}
objectives:
  - {severity: critical, tier: production, days: 7}
  - {severity: critical, days: 14}
  - {severity: exploited, days: 3}
`

func good() map[string][]byte {
	return map[string][]byte{
		"full":         []byte(full),
		"small":        []byte("# a comment\n---\n" + first + "services:\n- name: cart\n"),
		"quoted":       []byte(`"thymus": "estate/v1"` + "\nservices:\n- name: '123'\n"),
		"JSON":         []byte(`{"thymus": "estate/v1", "teams": [{"name": "a"}]}`),
		"a mark":       []byte("\xEF\xBB\xBF" + first + "teams: [{name: a}]\n"),
		"other files":  []byte(first + "services: [{name: cart, team: nobody, domain: nowhere}]\n"),
		"a date":       []byte(first + "teams: [{name: 2026-01-01}]\n"),
		"unknown apps": []byte(first + "applications: [{name: a, services: [x], entry_points: []}]\n"),
		"with a time":  []byte(first + "since: 2026-01-01T10:00:00+02:00\nteams: [{name: a}]\n"),
	}
}

// bad documents. Those for which form is false have the right form: what is
// wrong is beyond a JSON Schema.
type badDoc struct {
	body     string
	code     fault.Code
	contains string
	form     bool
}

func badDocs() map[string]badDoc {
	form := func(body, contains string) badDoc { return badDoc{first + body, fault.Invalid, contains, true} }
	meaning := func(body, contains string) badDoc { return badDoc{first + body, fault.Invalid, contains, false} }
	return map[string]badDoc{
		"no version":            {"services: [{name: a}]\n", fault.Invalid, "line 1", true},
		"a later version":       {"thymus: estate/v2\nservices: [{name: a}]\n", fault.Unsupported, "line 1", true},
		"nothing":               form("", "line 1"),
		"empty sections":        form("services: []\n", "line 1"),
		"unknown section":       form("servces: []\nteams: [{name: a}]\n", "line 2"),
		"unknown key":           form("services:\n- name: a\n  teem: b\n", "line 4"),
		"no name":               form("services:\n- team: b\n", "line 3"),
		"a name of a number":    form("services:\n- name: 123\n", "line 3"),
		"a name of true":        form("services:\n- name: true\n", "line 3"),
		"a name of nothing":     form("services:\n- name:\n", "line 3"),
		"a blank name":          form("services:\n- name: ''\n", "line 3"),
		"a space in a name":     form("services:\n- name: my cart\n", "line 3"),
		"a version in a name":   form("services:\n- name: cart@1\n", "line 3"),
		"hidden in a name":      form("services:\n- name: \"c\\u200bart\"\n", "line 3"),
		"a long name":           form("services:\n- name: "+strings.Repeat("a", 513)+"\n", "line 3"),
		"a slash in a team":     form("teams:\n- name: a/b\n", "line 3"),
		"a break in a title":    form("teams:\n- name: a\n  title: \"a\\nb\"\n", "line 4"),
		"services of a map":     form("services:\n  cart: {}\n", "line 3"),
		"services of nothing":   form("services:\nteams: [{name: a}]\n", "line 2"),
		"a service of text":     form("services:\n- cart\n", "line 3"),
		"aliases of text":       form("services:\n- name: a\n  aliases: b\n", "line 4"),
		"tier 0":                form("services:\n- name: a\n  tier: 0\n", "line 4"),
		"tier 6":                form("services:\n- name: a\n  tier: 6\n", "line 4"),
		"tier of text":          form("services:\n- name: a\n  tier: gold\n", "line 4"),
		"retired of text":       form("services:\n- name: a\n  retired: 'yes'\n", "line 4"),
		"a tag on an artifact":  form("services:\n- name: a\n  artifacts: [\"x/a:1\"]\n", "line 4"),
		"a short digest":        form("services:\n- name: a\n  artifacts: [\"sha256:00\"]\n", "line 4"),
		"a script for a link":   form("services:\n- name: a\n  repository: \"javascript:alert(1)\"\n", "line 4"),
		"bad tier":              form("environments:\n- name: a\n  tier: prod\n", "line 4"),
		"no members":            form("applications:\n- name: a\n", "line 3"),
		"empty members":         form("applications:\n- name: a\n  services: []\n", "line 3"),
		"no days":               form("objectives:\n- severity: low\n", "line 3"),
		"no severity":           form("objectives:\n- days: 3\n", "line 3"),
		"0 days":                form("objectives:\n- {severity: low, days: 0}\n", "line 3"),
		"half a day":            form("objectives:\n- {severity: low, days: 0.5}\n", "line 3"),
		"unknown severity":      form("objectives:\n- {severity: moderate, days: 1}\n", "line 3"),
		"bad since":             form("since: yesterday\nteams: [{name: a}]\n", "line 2"),
		"nested with a parent":  form("domains:\n- name: a\n  domains:\n  - name: b\n    parent: c\n", "line 6"),
		"month 13":              meaning("since: 2026-13-01\nteams: [{name: a}]\n", "line 2"),
		"domain twice":          meaning("domains:\n- name: a_b\n- name: A-B\n", "line 4"),
		"domain twice, nested":  meaning("domains:\n- name: a\n  domains:\n  - name: a\n", "line 5"),
		"team twice":            meaning("teams:\n- name: a\n- name: A\n", "line 4"),
		"service twice":         meaning("services:\n- name: a/b\n- name: a/B\n", "line 4"),
		"application twice":     meaning("applications:\n- {name: a, services: [x]}\n- {name: a, services: [y]}\n", "line 4"),
		"environment twice":     meaning("environments:\n- name: a\n- name: a\n", "line 4"),
		"alias is a service":    meaning("services:\n- name: a\n  aliases: [B]\n- name: b\n", "line 4"),
		"alias twice":           meaning("services:\n- name: a\n  aliases: [x]\n- name: b\n  aliases: [X]\n", "first in line 4"),
		"alias of itself":       meaning("services:\n- name: a\n  aliases: [A]\n", "line 4"),
		"environment's alias":   meaning("environments:\n- name: a\n  aliases: [x]\n- name: x\n", "line 4"),
		"artifact twice":        meaning("services:\n- name: a\n  artifacts: [x]\n- name: b\n  artifacts: [x]\n", "line 6"),
		"objective twice":       meaning("objectives:\n- {severity: low, days: 1}\n- {severity: low, days: 2}\n", "line 4"),
		"unknown domain":        meaning("domains: [{name: a}]\nservices:\n- name: x\n  domain: b\n", "line 5"),
		"unknown team":          meaning("teams: []\nservices:\n- name: x\n  team: b\n", "line 5"),
		"unknown app domain":    meaning("domains: [{name: a}]\napplications:\n- name: x\n  domains: [a, b]\n", "line 5"),
		"unknown team of one":   meaning("teams: [{name: a}]\ndomains:\n- name: x\n  team: b\n", "line 5"),
		"unknown parent":        meaning("domains:\n- name: a\n  parent: b\n", "line 4"),
		"a domain in itself":    meaning("domains:\n- name: a\n  parent: a\n", "line 4"),
		"domains in a circle":   meaning("domains:\n- name: a\n  parent: b\n- name: b\n  parent: c\n  domains: [{name: d}]\n- {name: c, parent: a}\n", "contains itself"),
		"key twice":             meaning("teams:\n- name: a\n  name: b\n", "line 4"),
		"an anchor":             meaning("teams:\n- &x {name: a}\n", "line 3"),
		"an alias":              meaning("teams: &x [{name: a}]\nservices: *x\n", "line 2"),
		"a merge":               meaning("teams:\n- name: a\n  <<: {title: b}\n", "line 4"),
		"a tag":                 meaning("teams:\n- name: !secret a\n", "line 3"),
		"binary":                meaning("teams:\n- name: !!binary aGVsbG8=\n", "line 3"),
		"a second document":     meaning("teams: [{name: a}]\n---\nteams: [{name: b}]\n", "line"),
		"bad YAML":              meaning("teams: [{name: a}\nservices: [\n", "line"),
		"a tab":                 meaning("teams:\n\t- name: a\n", "line"),
		"deep domains":          {first + "domains: " + strings.Repeat("[{name: a, domains: ", 300) + "[]" + strings.Repeat("}]", 300) + "\n", fault.TooLarge, "line 2", false},
		"very deep":             meaning("domains: "+strings.Repeat("[", 20_000)+"\n", "depth"),
		"too large":             {first + "#" + strings.Repeat("x", estatefile.MaxSize), fault.TooLarge, "16777216", false},
		"too many values":       {first + "teams: [" + strings.Repeat("a,", estatefile.MaxValues) + "]\n", fault.TooLarge, "1000000", false},
		"not UTF-8":             meaning("teams:\n- name: \"\xff\"\n", "line 3"),
		"self-referring anchor": meaning("teams: &x [*x]\n", "line 2"),
	}
}

func TestReader(t *testing.T) {
	bad := map[string]readtest.Bad{}
	for name, b := range badDocs() {
		bad[name] = readtest.Bad{Body: []byte(b.body), Code: b.code, Contains: b.contains}
	}
	readtest.Run(t, estatefile.New(), readtest.Cases{Good: good(), Bad: bad})
}

func FuzzReader(f *testing.F) {
	var seeds [][]byte
	for _, g := range good() {
		seeds = append(seeds, g)
	}
	for _, b := range badDocs() {
		if len(b.body) < 4096 {
			seeds = append(seeds, []byte(b.body))
		}
	}
	readtest.Fuzz(f, estatefile.New(), seeds...)
}

func describe(t interface {
	Helper()
	Fatal(...any)
}, body []byte) *estate.Description {
	t.Helper()
	for f, err := range estatefile.New().Read(context.Background(), read.Input{Body: body}) {
		if err != nil {
			t.Fatal(err)
		}
		return f.(*estate.Description)
	}
	t.Fatal("nothing was read")
	return nil
}

func TestFacts(t *testing.T) {
	since, err := estate.ParseTime("2026-01-01")
	if err != nil {
		t.Fatal(err)
	}
	want := &estate.Description{
		Since: since,
		Domains: []estate.DomainSpec{
			{Name: "commerce", Title: "Commerce: the shop", Team: "storefront"},
			{Name: "checkout", Parent: "commerce"},
			{Name: "tax", Parent: "checkout"},
			{Name: "platform", Parent: "it"},
			{Name: "it"},
		},
		Teams: []estate.TeamSpec{{Name: "storefront", Title: "Store", Contact: "#store"}, {Name: "platform_team"}},
		Services: []estate.ServiceSpec{
			{Namespace: "shop", Name: "cart", Title: "Cart", Domain: "commerce", Team: "storefront", Tier: 1,
				Repository: "https://git.example/cart", Language: "go",
				Aliases: []string{"cart-svc", "shop/cart_svc"}, Artifacts: []string{"registry.example:5000/cart", digest}},
			{Name: "redis", Vendor: "Redis", Team: "platform_team", Retired: true, Repository: "git@git.example:a/b.git"},
		},
		Applications: []estate.ApplicationSpec{
			{Name: "web-shop", Title: "Shop", Team: "storefront", Tier: 2, Services: []string{"shop/cart"}, EntryPoints: []string{"web"}},
			{Name: "office", Domains: []string{"it"}, Teams: []string{"platform_team"}},
		},
		Environments: []estate.EnvironmentSpec{
			{Name: "production", Tier: "production", Zone: "public", Aliases: []string{"eks-1/shop", "prod eu"}},
			{Name: "eks-2/shop"},
		},
		Objectives: []estate.Objective{
			{Severity: "critical", Tier: "production", Days: 7},
			{Severity: "critical", Days: 14},
			{Severity: "exploited", Days: 3},
		},
	}
	if diff := cmp.Diff(want, describe(t, []byte(full))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSchema: the JSON Schema accepts what the reader does, and refuses every
// document whose form is wrong.
func TestSchema(t *testing.T) {
	schema := jsonschema.NewCompiler().MustCompile("../../../schema/estate.schema.json")
	valid := func(body []byte) error {
		var n yaml.Node
		if err := yaml.Unmarshal(body, &n); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(plain(t, n.Content[0]))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for name, body := range good() {
		if err := valid(body); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
	}
	n := 0
	for name, b := range badDocs() {
		if !b.form {
			continue
		}
		n++
		if valid([]byte(b.body)) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
	for _, name := range []string{"domain twice", "alias twice", "unknown team", "domains in a circle", "environment twice"} {
		if err := valid([]byte(badDocs()[name].body)); err != nil {
			t.Errorf("%s: the schema refuses its form: %v", name, err)
		}
	}
	t.Logf("%d good and %d malformed documents", len(good()), n)
}

// plain is a node as an editor's JSON Schema check sees it: dates are text.
func plain(t *testing.T, n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, plain(t, c))
		}
		return list
	}
	if n.ShortTag() == "!!timestamp" {
		return n.Value
	}
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDocumented reads the example of the documentation, which is complete: it
// uses every key of the schema that the page names.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/estate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	d := describe(t, []byte(example))
	if len(d.Domains) != 4 || len(d.Teams) != 3 || len(d.Services) != 4 || len(d.Applications) != 2 || len(d.Environments) != 2 || len(d.Objectives) != 3 {
		t.Errorf("the example reads as %+v", d)
	}
	schema, err := os.ReadFile("../../../schema/estate.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	for key := range s.Properties {
		if !strings.Contains(example, key+":") {
			t.Errorf("the example lacks %s", key)
		}
	}
	for _, def := range s.Defs {
		for key := range def.Properties {
			if !strings.Contains(string(page), "`"+key+"`") {
				t.Errorf("the page does not explain %s", key)
			}
		}
	}
}

// TestLinesAreNamed: wherever a name is repeated, the error names its line.
func TestLinesAreNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "services")
		again := rapid.IntRange(1, n-1).Draw(t, "again")
		body := first + "services:\n"
		for i := range n {
			name := i
			if i == again {
				name = rapid.IntRange(0, again-1).Draw(t, "name")
			}
			body += fmt.Sprintf("- name: s%d\n", name)
		}
		var err error
		for _, err = range estatefile.New().Read(context.Background(), read.Input{Body: []byte(body)}) {
		}
		if want := fmt.Sprintf("line %d:", again+3); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	})
}

// TestTreesAreKept: whatever the shape of a tree of domains, nested or by
// parent, every domain comes out under its parent.
func TestTreesAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "domains")
		parents := make([]int, n)
		body := first + "domains:\n"
		for i := range n {
			parents[i] = rapid.IntRange(-1, i-1).Draw(t, "parent")
			body += fmt.Sprintf("- name: d%d\n", i)
			if parents[i] >= 0 {
				body += fmt.Sprintf("  parent: D%d\n", parents[i])
			}
		}
		for i, d := range describe(t, []byte(body)).Domains {
			want := ""
			if parents[i] >= 0 {
				want = fmt.Sprintf("d%d", parents[i])
			}
			if d.Name != fmt.Sprintf("d%d", i) || d.Parent != want {
				t.Errorf("domain %d: %+v; want the parent %q", i, d, want)
			}
		}
	})
}
