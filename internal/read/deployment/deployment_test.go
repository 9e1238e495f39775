package deployment_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/deployment"
	"thymus/internal/read/readtest"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

var (
	events = []byte(`{"thymus":"deployment/v1","environment":"production","at":"2026-03-01T12:00:00Z","complete":false,"deployments":[
  {"service":"shop/cart","version":"1.4.2","digest":"` + digest + `","removed":false,"alongside":true,"config":"sha256:abc","replicas":3},
  {"service":"mailer","removed":true},
  {"service":"a/b/web","digest":"` + digest + `"}]}`)
	dump   = []byte(`{"thymus":"deployment/v1","environment":"eks-1 / shop","complete":true,"deployments":[{"service":"cart","version":"2"}]}`)
	nobody = []byte(`{"complete":true,"environment":"staging","thymus":"deployment/v1"}`)
)

func doc(item string) []byte {
	return []byte(`{"thymus":"deployment/v1","environment":"production","deployments":[` + item + `]}`)
}

// bad documents; those that the JSON Schema cannot refuse are named below.
func bad() map[string]readtest.Bad {
	b := func(body []byte, code fault.Code, contains string) readtest.Bad {
		return readtest.Bad{Body: body, Code: code, Contains: contains}
	}
	const cart = `"service":"cart","version":"1"`
	return map[string]readtest.Bad{
		"no version":            b([]byte(`{"environment":"p","complete":true}`), fault.Invalid, "/thymus"),
		"a later version":       b([]byte(`{"thymus":"deployment/v2","environment":"p","complete":true}`), fault.Unsupported, "/thymus"),
		"no environment":        b([]byte(`{"thymus":"deployment/v1","complete":true}`), fault.Invalid, "/environment"),
		"blank environment":     b([]byte(`{"thymus":"deployment/v1","environment":" ","complete":true}`), fault.Invalid, "/environment"),
		"null environment":      b([]byte(`{"thymus":"deployment/v1","environment":null,"complete":true}`), fault.Invalid, "/environment"),
		"unknown member":        b([]byte(`{"thymus":"deployment/v1","enviroment":"p","complete":true}`), fault.Invalid, "/enviroment"),
		"unknown in an item":    b(doc(`{`+cart+`},{`+cart+`,"replica":3}`), fault.Invalid, "/deployments/1/replica"),
		"member given twice":    b([]byte(`{"thymus":"deployment/v1","environment":"p","environment":"q","complete":true}`), fault.Invalid, "/environment"),
		"no list":               b([]byte(`{"thymus":"deployment/v1","environment":"p"}`), fault.Invalid, "/deployments"),
		"empty list":            b(doc(``), fault.Invalid, "/deployments"),
		"null list":             b([]byte(`{"thymus":"deployment/v1","environment":"p","complete":true,"deployments":null}`), fault.Invalid, "/deployments"),
		"bad time":              b([]byte(`{"thymus":"deployment/v1","environment":"p","at":"now","complete":true}`), fault.Invalid, "/at"),
		"month 13":              b([]byte(`{"thymus":"deployment/v1","environment":"p","at":"2026-13-01","complete":true}`), fault.Invalid, "/at"),
		"complete as text":      b([]byte(`{"thymus":"deployment/v1","environment":"p","complete":"yes"}`), fault.Invalid, "/complete"),
		"complete null":         b([]byte(`{"thymus":"deployment/v1","environment":"p","complete":null}`), fault.Invalid, "/complete"),
		"no service":            b(doc(`{"version":"1"}`), fault.Invalid, "/deployments/0"),
		"service with a space":  b(doc(`{"service":"my cart","version":"1"}`), fault.Invalid, "/deployments/0/service"),
		"service with version":  b(doc(`{"service":"cart@1","version":"1"}`), fault.Invalid, "/deployments/0/service"),
		"service ends in slash": b(doc(`{"service":"shop/","version":"1"}`), fault.Invalid, "/deployments/0/service"),
		"hidden in the service": b(doc(`{"service":"c\u200bart","version":"1"}`), fault.Invalid, "/deployments/0/service"),
		"service too long":      b(doc(`{"service":"`+strings.Repeat("a", 513)+`","version":"1"}`), fault.Invalid, "/deployments/0/service"),
		"nothing runs":          b(doc(`{"service":"cart"}`), fault.Invalid, "/deployments/0"),
		"blank version":         b(doc(`{"service":"cart","version":""}`), fault.Invalid, "/deployments/0/version"),
		"number as version":     b(doc(`{"service":"cart","version":1.4}`), fault.Invalid, "/deployments/0/version"),
		"short digest":          b(doc(`{"service":"cart","digest":"sha256:00"}`), fault.Invalid, "/deployments/0/digest"),
		"removed, alongside":    b(doc(`{`+cart+`,"removed":true,"alongside":true}`), fault.Invalid, "/deployments/0"),
		"negative replicas":     b(doc(`{`+cart+`,"replicas":-1}`), fault.Invalid, "/deployments/0/replicas"),
		"half a replica":        b(doc(`{`+cart+`,"replicas":1.5}`), fault.Invalid, "/deployments/0/replicas"),
		"endless replicas":      b(doc(`{`+cart+`,"replicas":1e99}`), fault.Invalid, "/deployments/0/replicas"),
		"blank config":          b(doc(`{`+cart+`,"config":""}`), fault.Invalid, "/deployments/0/config"),
		"an item of null":       b(doc(`null`), fault.Invalid, "/deployments/0"),
		"an item of text":       b(doc(`"cart"`), fault.Invalid, "/deployments/0"),
	}
}

// meaning are the bad documents whose form is right.
var meaning = map[string]bool{"member given twice": true, "month 13": true}

func good() map[string][]byte {
	return map[string][]byte{
		"events": events, "dump": dump, "nobody runs": nobody,
		"whole number": doc(`{"service":"cart","version":"1","replicas":3.0}`),
		"date":         []byte(`{"thymus":"deployment/v1","environment":"p","at":"2026-03-01","complete":true,"deployments":[]}`),
	}
}

func TestReader(t *testing.T) {
	readtest.Run(t, deployment.New(), readtest.Cases{Good: good(), Bad: bad()})
}

func FuzzReader(f *testing.F) { readtest.Fuzz(f, deployment.New(), events, dump, nobody) }

func TestFacts(t *testing.T) {
	at, err := estate.ParseTime("2026-03-01T12:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		body []byte
		want *estate.Deployments
	}{
		"events": {events, &estate.Deployments{Environment: "production", At: at, Items: []estate.Deployment{
			{Subject: estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4.2", Digest: digest}, Alongside: true, Config: "sha256:abc", Replicas: 3},
			{Subject: estate.Subject{Name: "mailer"}, Removed: true},
			{Subject: estate.Subject{Namespace: "a/b", Name: "web", Digest: digest}},
		}}},
		"dump":        {dump, &estate.Deployments{Environment: "eks-1 / shop", Complete: true, Items: []estate.Deployment{{Subject: estate.Subject{Name: "cart", Version: "2"}}}}},
		"nobody runs": {nobody, &estate.Deployments{Environment: "staging", Complete: true}},
	} {
		got, err := readtest.Facts(t.Context(), deployment.New(), read.Input{Body: tc.body})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff([]estate.Fact{tc.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestSchema: the JSON Schema accepts and refuses what the reader does, but for
// what no schema can say.
func TestSchema(t *testing.T) {
	schema := jsonschema.NewCompiler().MustCompile("../../../schema/deployment.schema.json")
	valid := func(body []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
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
	for name, b := range bad() {
		if err := valid(b.Body); (err == nil) != meaning[name] {
			t.Errorf("%s: the schema says %v", name, err)
		}
	}
}

// TestDocumented reads the documents that the documentation shows.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range strings.Split(string(page), "```json\n")[1:] {
		body, _, _ := strings.Cut(block, "```")
		if !deployment.New().Detect([]byte(body), nil) {
			continue
		}
		n++
		if _, err := readtest.Facts(t.Context(), deployment.New(), read.Input{Body: []byte(body)}); err != nil {
			t.Errorf("example %d: %v", n, err)
		}
	}
	if n != 2 {
		t.Errorf("%d examples; want 2", n)
	}
}
