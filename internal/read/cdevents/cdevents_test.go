package cdevents_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/cdevents"
	"thymus/internal/read/readtest"
)

var digest = strings.Repeat("0123456789abcdef", 4)

// event makes a bare CDEvent.
func event(kind, id, content string) []byte {
	return []byte(fmt.Sprintf(`{"context":{"version":"0.4.1","id":"1","source":"/pipelines/shop","type":"dev.cdevents.%s","timestamp":"2026-03-01T12:00:00Z"},"subject":{"id":%q,"source":"/x","type":"service","content":{%s}}}`, kind, id, content))
}

const production = `"environment":{"id":"production","source":"/x"}`

func artifact(purl string) string { return fmt.Sprintf(`%s,"artifactId":%q`, production, purl) }

var (
	image    = "pkg:oci/cart@sha256%3A" + digest + "?tag=1.4.2"
	deployed = event("service.deployed.0.2.0", "deployment/cart", artifact(image))
	packaged = event("artifact.packaged.0.2.0", image, `"change":{"id":"1"}`)
)

// structured makes a CloudEvent around data, which is a member.
func structured(data string) []byte {
	return []byte(`{"specversion":"1.0","id":"1","source":"/pipelines/shop","type":"dev.cdevents.service.deployed.0.2.0","time":"2026-02-01T12:00:00Z","subject":"deployment/cart","datacontenttype":"application/cdevents+json",` + data + `}`)
}

func TestReader(t *testing.T) {
	bad := func(body []byte, code fault.Code, contains string) readtest.Bad {
		return readtest.Bad{Body: body, Code: code, Contains: contains}
	}
	readtest.Run(t, cdevents.New(), readtest.Cases{
		Good: map[string][]byte{
			"deployed":   deployed,
			"upgraded":   event("service.upgraded.0.3.0-draft", "a", artifact("pkg:golang/example.com/cart@v1.2.3")),
			"rolledback": event("service.rolledback", "a", artifact("pkg:docker/shop/cart@1.4.1")),
			"removed":    event("service.removed.0.2.0", "daemonset/cart", production),
			"packaged":   packaged,
			"structured": structured(`"data":` + string(deployed)),
			"base64":     structured(`"data_base64":"` + base64.StdEncoding.EncodeToString(deployed) + `"`),
			"batch":      []byte("[" + string(structured(`"data":`+string(deployed))) + "," + string(packaged) + "]"),
		},
		Bad: map[string]readtest.Bad{
			"another type":          bad(event("service.published.0.2.0", "a", production), fault.Unsupported, "/context/type"),
			"another subject":       bad(event("pipelinerun.finished.0.2.0", "a", ``), fault.Unsupported, "/context/type"),
			"no type":               bad([]byte(`{"context":{},"subject":{"id":"a"}}`), fault.Invalid, "/context/type"),
			"a foreign type":        bad([]byte(`{"specversion":"1.0","type":"com.example.x","data":{}}`), fault.Invalid, "/context/type"),
			"no environment":        bad(event("service.deployed.0.2.0", "a", fmt.Sprintf(`"artifactId":%q`, image)), fault.Invalid, "/subject/content/environment/id"),
			"hidden in environment": bad(event("service.removed.0.2.0", "a", `"environment":{"id":"prod\u202e"}`), fault.Invalid, "/subject/content/environment/id"),
			"no artifact":           bad(event("service.deployed.0.2.0", "a", production), fault.Invalid, "/subject/content/artifactId"),
			"no version":            bad(event("service.deployed.0.2.0", "a", artifact("pkg:oci/cart")), fault.Invalid, "/subject/content/artifactId"),
			"bad purl":              bad(event("service.deployed.0.2.0", "a", artifact("pkg:oci")), fault.Invalid, "/subject/content/artifactId"),
			"bad digest":            bad(event("service.deployed.0.2.0", "a", artifact("pkg:oci/cart@sha256:00")), fault.Invalid, "/subject/content/artifactId"),
			"bad artifact":          bad(event("service.deployed.0.2.0", "a", artifact("what is this?")), fault.Invalid, "/subject/content/artifactId"),
			"removed nothing":       bad(event("service.removed.0.2.0", "///", production), fault.Invalid, "/subject/id"),
			"packaged no purl":      bad(event("artifact.packaged.0.2.0", "cart", ``), fault.Invalid, "/subject/id"),
			"packaged no digest":    bad(event("artifact.packaged.0.2.0", "pkg:golang/example.com/cart@v1", ``), fault.Unsupported, "/subject/id"),
			"bad time":              bad([]byte(strings.Replace(string(deployed), "2026-03-01T", "soon", 1)), fault.Invalid, "/context/timestamp"),
			"bad base64":            bad(structured(`"data_base64":"%%%"`), fault.Invalid, "/data_base64"),
			"base64 of no JSON":     bad(structured(`"data_base64":"AAAA"`), fault.Invalid, "/data_base64"),
			"second of a batch":     bad([]byte("["+string(deployed)+`,{"type":"x"}]`), fault.Invalid, "/1/context/type"),
			"empty batch":           bad([]byte("[]"), fault.Invalid, "document"),
			"data is a list":        bad(structured(`"data":[]`), fault.Invalid, "/subject/content/environment/id"),
			"subject is a list":     bad([]byte(`{"context":{"type":"dev.cdevents.service.removed.0.2.0"},"subject":[]}`), fault.Invalid, "/subject"),
		},
	})
}

func FuzzReader(f *testing.F) {
	readtest.Fuzz(f, cdevents.New(), deployed, packaged, structured(`"data":`+string(deployed)),
		structured(`"data_base64":"`+base64.StdEncoding.EncodeToString(deployed)+`"`), []byte("["+string(deployed)+"]"))
}

func at(t *testing.T, s string) estate.Time {
	t.Helper()
	v, err := estate.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func facts(t *testing.T, body []byte, claim estate.Claim) []estate.Fact {
	t.Helper()
	got, err := readtest.Facts(t.Context(), cdevents.New(), read.Input{Body: body, Claim: claim})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSubjects(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, id, content string
		want              estate.Deployment
	}{
		"image by digest":    {"service.deployed.0.2.0", "x", artifact(image), estate.Deployment{Subject: estate.Subject{Name: "cart", Version: "1.4.2", Digest: "sha256:" + digest, Derived: true}}},
		"image by tag":       {"service.upgraded.0.2.0", "x", artifact("pkg:docker/shop/cart@1.4.2"), estate.Deployment{Subject: estate.Subject{Name: "cart", Version: "1.4.2", Derived: true}}},
		"module":             {"service.rolledback.0.2.0", "x", artifact("pkg:golang/mygit.example/org/cart@234fd47e07d1"), estate.Deployment{Subject: estate.Subject{Name: "cart", Version: "234fd47e07d1", Derived: true}}},
		"bare digest":        {"service.deployed.0.1.0", "deployment/cart", artifact(digest), estate.Deployment{Subject: estate.Subject{Name: "cart", Digest: "sha256:" + digest, Derived: true}}},
		"image reference":    {"service.deployed.0.1.0", "x", artifact("registry.example:5000/shop/cart:1.4.2"), estate.Deployment{Subject: estate.Subject{Name: "cart", Version: "1.4.2", Derived: true}}},
		"removed by subject": {"service.removed.0.2.0", "/ns/daemonset/cart/", production, estate.Deployment{Subject: estate.Subject{Name: "cart", Derived: true}, Removed: true}},
		"removed by purl":    {"service.removed.0.2.0", "x", artifact("pkg:oci/cart?tag=1"), estate.Deployment{Subject: estate.Subject{Name: "cart", Derived: true}, Removed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			want := []estate.Fact{&estate.Deployments{Environment: "production", At: at(t, "2026-03-01T12:00:00Z"), Items: []estate.Deployment{tc.want}}}
			if diff := cmp.Diff(want, facts(t, event(tc.kind, tc.id, tc.content), estate.Claim{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	want := []estate.Fact{&estate.Packaged{
		Subject: estate.Subject{Name: "cart", Version: "1.4.2", Digest: "sha256:" + digest, Derived: true},
		Purl:    image, At: at(t, "2026-03-01T12:00:00Z"),
	}}
	if diff := cmp.Diff(want, facts(t, packaged, estate.Claim{})); diff != "" {
		t.Errorf("packaged (-want +got):\n%s", diff)
	}
}

// TestModes: one event says the same in each of the forms in which it can come.
func TestModes(t *testing.T) {
	want := facts(t, deployed, estate.Claim{})
	headers := map[string]string{
		"ce-specversion": "1.0", "ce-type": "dev.cdevents.service.deployed.0.2.0", "ce-source": "/pipelines/shop",
		"ce-id": "1", "ce-time": "2026-03-01T12:00:00Z", "ce-subject": "deployment/cart",
	}
	short := []byte(fmt.Sprintf(`{"subject":{"content":{%s}}}`, artifact(image)))
	for name, tc := range map[string]struct {
		body  []byte
		claim estate.Claim
	}{
		"structured":            {structured(`"data":` + string(deployed)), estate.Claim{}},
		"base64":                {structured(`"data_base64":"` + base64.StdEncoding.EncodeToString(deployed) + `"`), estate.Claim{}},
		"batch":                 {[]byte("[" + string(structured(`"data":`+string(deployed))) + "]"), estate.Claim{}},
		"binary":                {deployed, estate.Claim{Headers: headers}},
		"binary, data alone":    {short, estate.Claim{Headers: headers}},
		"the event's time wins": {deployed, estate.Claim{Headers: map[string]string{"ce-type": headers["ce-type"], "ce-time": "2020-01-01T00:00:00Z"}}},
	} {
		if !cdevents.New().Detect(readtest.Head(tc.body), tc.claim.Headers) {
			t.Errorf("%s: not detected", name)
		}
		if diff := cmp.Diff(want, facts(t, tc.body, tc.claim)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := readtest.Facts(t.Context(), cdevents.New(), read.Input{Body: short, Claim: estate.Claim{Headers: map[string]string{"ce-type": headers["ce-type"], "ce-time": "soon"}}}); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "ce-time") {
		t.Errorf("bad ce-time: %v", err)
	}
}

// TestClaimFillsIn: an environment or version that only the sender states.
func TestClaimFillsIn(t *testing.T) {
	body := event("service.deployed.0.2.0", "deployment/cart", ``)
	got := facts(t, body, estate.Claim{Environment: "staging", Subject: estate.Subject{Version: "7"}})
	want := []estate.Fact{&estate.Deployments{Environment: "staging", At: at(t, "2026-03-01T12:00:00Z"), Items: []estate.Deployment{{Subject: estate.Subject{Name: "cart", Derived: true}}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDocumented reads the event that the documentation shows.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```json\n")
	body, _, _ := strings.Cut(blocks[len(blocks)-1], "```")
	got := facts(t, []byte(body), estate.Claim{})
	d, ok := got[0].(*estate.Deployments)
	if !ok || d.Environment != "production" || d.Items[0].Subject.Name != "cart" || d.Items[0].Subject.Version != "1.4.2" {
		t.Errorf("got %+v", got[0])
	}
}
