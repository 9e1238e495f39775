package demo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	packageurl "github.com/package-url/packageurl-go"
	"go.yaml.in/yaml/v3"
)

// told returns the story itself and its documents.
func told(t *testing.T) (*story, []Document) {
	t.Helper()
	s := &story{}
	for _, step := range []func() error{s.readPackages, s.readServices, s.readAdvisories, s.readSignals, s.tell} {
		if err := step(); err != nil {
			t.Fatalf("the story: %v", err)
		}
	}
	docs, err := Documents()
	if err != nil {
		t.Fatalf("Documents: %v", err)
	}
	return s, docs
}

func TestDocumentsAreDeterministic(t *testing.T) {
	_, first := told(t)
	_, again := told(t)
	if len(first) != len(again) {
		t.Fatalf("%d documents, then %d", len(first), len(again))
	}
	for i := range first {
		if !reflect.DeepEqual(first[i], again[i]) {
			t.Fatalf("%s differs from call to call", first[i].Name)
		}
	}
}

func TestDocumentsComeInOrder(t *testing.T) {
	_, docs := told(t)
	names := map[string]bool{}
	for i, d := range docs {
		if names[d.Name] {
			t.Errorf("%s: the name is given twice", d.Name)
		}
		names[d.Name] = true
		if d.Claim.Source == "" {
			t.Errorf("%s: nobody claims it", d.Name)
		}
		if d.Known < firstLoad || d.Known > Now() {
			t.Errorf("%s: known at %s, outside the story", d.Name, d.Known)
		}
		if d.Claim.At > d.Known {
			t.Errorf("%s: true at %s, and known before, at %s", d.Name, d.Claim.At, d.Known)
		}
		if i > 0 && d.Known < docs[i-1].Known {
			t.Errorf("%s: known before %s, which comes first", d.Name, docs[i-1].Name)
		}
	}
	if got := Now().String(); got != "2026-11-20T12:00:00Z" {
		t.Errorf("Now is %s", got)
	}
}

func TestDocumentsAreWellFormed(t *testing.T) {
	_, docs := told(t)
	for _, d := range docs {
		switch {
		case d.Name == "estate.yaml":
			var v map[string]any
			if err := yaml.Unmarshal(d.Body, &v); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
		case strings.HasPrefix(d.Name, "epss/"):
			if !strings.HasPrefix(string(d.Body), "#model_version:") {
				t.Errorf("%s: does not begin as EPSS does", d.Name)
			}
		case !json.Valid(d.Body):
			t.Errorf("%s: no valid JSON", d.Name)
		}
	}
}

// estateFile is the part of estate.yaml that the counts need.
type estateFile struct {
	Domains  []struct{ Name, Parent string }
	Teams    []struct{ Name string }
	Services []struct {
		Name, Domain, Team, Language, Vendor string
	}
	Applications []struct {
		Name              string
		Services, Domains []string
	}
	Environments []struct{ Name, Tier string }
	Objectives   []struct{ Severity string }
}

func described(t *testing.T) estateFile {
	t.Helper()
	b, err := file("estate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var e estateFile
	if err := yaml.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheEstateIsLargeEnough(t *testing.T) {
	s, docs := told(t)
	e := described(t)
	deployments, events, environments := 0, 0, map[string]bool{}
	for _, d := range docs {
		var doc deploymentDocument
		if json.Unmarshal(d.Body, &doc) == nil && doc.Thymus == "deployment/v1" {
			deployments += len(doc.Items)
			environments[doc.Environment] = true
		}
		if strings.HasPrefix(d.Name, "cdevents/upgraded/") {
			events++
		}
		if d.Claim.Deploy {
			events++
		}
	}
	languages := map[string]int{}
	unowned := 0
	for _, v := range e.Services {
		languages[v.Language]++
		if v.Team == "" {
			unowned++
		}
	}
	between := func(what string, got, low, high int) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %d, want %d to %d", what, got, low, high)
		}
	}
	between("services", len(e.Services), 16, 18)
	between("domains", len(e.Domains), 4, 12)
	between("teams", len(e.Teams), 4, 12)
	between("applications", len(e.Applications), 3, 6)
	between("environments", len(e.Environments), 3, 3)
	between("environments that run something", len(environments), 3, 3)
	between("deployments in documents", deployments, 40, 200)
	between("deployments by events and pushes", events, 10, 100)
	between("releases with SBOMs", len(s.releases), 25, 40)
	between("unowned services", unowned, 1, 1)
	for _, l := range []string{"go", "java", "node", "python", "csharp"} {
		between("services in "+l, languages[l], 2, 6)
	}
	packages := map[string]bool{}
	for _, r := range s.releases {
		for _, b := range r.bills {
			between("packages of "+r.identity(b), len(b.tree.nodes), 20, 120)
			for _, n := range b.tree.nodes {
				packages[b.ref(n)] = true
			}
		}
	}
	t.Logf("%d documents; %d services, %d releases with SBOMs, %d distinct packages; %d deployments in documents and %d by events and pushes; %d advisory records",
		len(docs), len(e.Services), len(s.releases), len(packages), deployments, events, len(s.advisories))
}

func TestEverythingNamedExists(t *testing.T) {
	s, docs := told(t)
	e := described(t)
	services, domains, teams := map[string]bool{}, map[string]bool{"": true}, map[string]bool{"": true}
	for _, v := range e.Domains {
		domains[v.Name] = true
	}
	for _, v := range e.Teams {
		teams[v.Name] = true
	}
	for _, v := range e.Services {
		services[v.Name] = true
		if !domains[v.Domain] || !teams[v.Team] {
			t.Errorf("service %s: no domain %q or no team %q", v.Name, v.Domain, v.Team)
		}
	}
	for _, a := range e.Applications {
		for _, v := range a.Services {
			if !services[v] {
				t.Errorf("application %s: no service %q", a.Name, v)
			}
		}
		for _, v := range a.Domains {
			if !domains[v] {
				t.Errorf("application %s: no domain %q", a.Name, v)
			}
		}
	}
	for _, r := range s.releases {
		if !services[r.subject.Service()] {
			t.Errorf("release %s: estate.yaml does not know the service", r.subject)
		}
	}
	// What is deployed has an SBOM, but for the one service without any.
	deployed := map[string]bool{}
	for _, d := range docs {
		var doc deploymentDocument
		if json.Unmarshal(d.Body, &doc) != nil || doc.Thymus != "deployment/v1" {
			continue
		}
		for _, i := range doc.Items {
			deployed[i.Service] = true
			if i.Version == "" || i.Service == "loyalty" {
				continue
			}
			if s.byName[i.Service+"@"+i.Version] == nil {
				t.Errorf("%s: %s@%s was never built", d.Name, i.Service, i.Version)
			}
		}
	}
	for v := range services {
		if !deployed[v] {
			t.Errorf("service %s runs nowhere", v)
		}
	}
}

func TestPackagesHavePurls(t *testing.T) {
	s, _ := told(t)
	for _, r := range s.releases {
		for _, b := range r.bills {
			seen := map[string]bool{}
			for _, n := range b.tree.nodes {
				if n.raw {
					continue
				}
				u := b.tree.url(n)
				p, err := packageurl.FromString(u)
				if err != nil {
					t.Errorf("%s: %s %s: %q: %v", r.subject, n.name, n.version, u, err)
					continue
				}
				if p.Type != b.tree.kind || p.Name == "" || p.Version != n.version {
					t.Errorf("%s: %s %s: %q says %s %q %q", r.subject, n.name, n.version, u, p.Type, p.Name, p.Version)
				}
				if p.ToString() != u {
					t.Errorf("%s: %q is not canonical: %q", r.subject, u, p.ToString())
				}
				if seen[u] {
					t.Errorf("%s: %q stands twice in one SBOM", r.subject, u)
				}
				seen[u] = true
			}
		}
	}
}

func TestStoriesThatDoNotHold(t *testing.T) {
	for _, c := range []struct{ name, line string }{
		{"no version", "left-pad"},
		{"removal of what is not there", "-left-pad"},
		{"raw component without its parts", "raw left-pad"},
	} {
		tr := &tree{kind: "npm"}
		if err := tr.apply(c.line); err == nil {
			t.Errorf("%s: %q passed", c.name, c.line)
		}
	}
	tr := &tree{kind: "npm"}
	if err := tr.apply("a 1.0.0: b"); err != nil {
		t.Fatal(err)
	}
	if err := tr.check(); err == nil {
		t.Error("a dependency on nothing passed")
	}
	if err := (&story{}).scene(Now(), "earthquake", nil); err == nil {
		t.Error("an unknown scene passed")
	}
	if _, err := events("SEMVER", []string{"1.0"}); err == nil {
		t.Error("a version passed as a range")
	}
}

// TestLog4Shell follows the one advisory that everybody knows through the story:
// what runs where today of the releases that have it.
func TestLog4Shell(t *testing.T) {
	_, docs := told(t)
	has := map[string]bool{
		"order-service@2.5.0": true, "order-service@2.6.0": true, "wms@4.2.0": true, "wms@4.2.1": true,
		"search@7.10.2-shop.3": true, "search@7.10.2-shop.4": true,
	}
	runs := map[string]string{} // environment and service to release
	ever := map[string]bool{}
	for _, d := range docs {
		var doc deploymentDocument
		if c := d.Claim; c.Deploy {
			doc = deploymentDocument{Environment: c.Environment, Items: []deploymentItem{{Service: c.Subject.Service(), Version: c.Subject.Version}}}
		} else if json.Unmarshal(d.Body, &doc) != nil || doc.Thymus != "deployment/v1" {
			continue
		}
		if doc.Complete {
			for k := range runs {
				if strings.HasPrefix(k, doc.Environment+" ") {
					delete(runs, k)
				}
			}
		}
		for _, i := range doc.Items {
			k, release := doc.Environment+" "+i.Service, i.Service+"@"+i.Version
			if i.Digest != "" {
				release = "wms@4.2.1" // the one that is told by its digest
			}
			delete(runs, k)
			if !i.Removed && has[release] {
				runs[k], ever[k+" "+release] = release, true
			}
		}
	}
	want := map[string]string{
		"production search": "search@7.10.2-shop.4", "production wms": "wms@4.2.1", "staging wms": "wms@4.2.0",
	}
	if !reflect.DeepEqual(runs, want) {
		t.Errorf("today it runs as %v, want %v", runs, want)
	}
	for _, k := range []string{
		"production order-service order-service@2.5.0", "production order-service order-service@2.6.0",
		"staging order-service order-service@2.6.0", "production wms wms@4.2.0",
	} {
		if !ever[k] {
			t.Errorf("it never ran as %q", k)
		}
	}
}
