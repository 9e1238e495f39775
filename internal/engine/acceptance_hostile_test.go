package engine_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

// hostile is an input that must be refused.
type hostile struct {
	name  string
	body  string
	claim estate.Claim
	code  fault.Code
	place string // what the message must name
	// inflates is how many bytes the input may be unpacked to before it is
	// refused; they count as input.
	inflates int
}

var (
	asWeb    = estate.Claim{Subject: estate.Subject{Name: "web", Version: "1"}}
	cdxHead  = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,`
	asClaims = func(c estate.Claim, deploy bool, env string) estate.Claim {
		c.Deploy, c.Environment = deploy, env
		return c
	}
)

func gzipped(b []byte) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.String()
}

func zstded(b []byte) string {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return string(w.EncodeAll(b, nil))
}

func utf16Of(s string) string {
	out := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

func zipOf(name string, body []byte) string {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, _ := w.Create(name)
	f.Write(body)
	w.Close()
	return out.String()
}

func tarOf(name string, body []byte) string {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o644})
	w.Write(body)
	w.Close()
	return out.String()
}

func dsse(payload string) string {
	return `{"payloadType":"application/vnd.in-toto+json","payload":"` + payload + `","signatures":[]}`
}

func statement(predicate string) string {
	return `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://cyclonedx.org/bom"` + predicate + `}`
}

func deployment(rest string) string {
	return `{"thymus":"deployment/v1",` + rest + `}`
}

// bzip2Bomb is 60 MiB of zeros, which Go cannot pack.
const bzip2Bomb = "QlpoOTFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZmh/5QACCU0AIwAAAAIAIIAAwzAUpplEiBsVEiB4u5IpwoSEMGHn8"

func hostileInputs() []hostile {
	bomb2, _ := base64.StdEncoding.DecodeString(bzip2Bomb)
	zeros := make([]byte, 60<<20)
	noise := make([]byte, 4096)
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range noise {
		noise[i] = byte(rnd.Uint32()) | 0x80
	}
	bill := cdxHead + `"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]}`
	deep := strings.Repeat(`{"type":"library","name":"a","components":[`, 20_000) + strings.Repeat(`]}`, 20_000)
	xmlHead := `<?xml version="1.0"?>`
	ns := `<bom xmlns="http://cyclonedx.org/schema/bom/1.5">`
	layers := []byte(bill)
	for range 6 {
		layers = []byte(gzipped(layers))
	}
	osvHead := `{"id":"TEST-1","modified":"2024-01-01T00:00:00Z",`
	ce := `{"context":{"version":"0.4.1","id":"1","source":"ci","type":"dev.cdevents.%s","timestamp":"2024-01-01T00:00:00Z"},%s}`
	verdict := func(rest string) string {
		return `{"thymus":"verdict/v1","advisory":"CVE-2024-0001","status":"not_affected"` + rest + `}`
	}
	laughs := `<!DOCTYPE bom [<!ENTITY a "ha">`
	for c := 'b'; c < 'l'; c++ {
		laughs += fmt.Sprintf(`<!ENTITY %c "%s">`, c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	laughs += `]>`
	anchors := "thymus: estate/v1\na: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		anchors += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), ", "))
	}
	kevHead := `{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"1","count":1,"vulnerabilities":[`
	spdxHead := `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://example.com/x",`
	spdx3Head := `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld",`
	vexHead := `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/vex","author":"a","timestamp":"2024-01-01T00:00:00Z","version":1,`
	csafHead := `{"document":{"category":"csaf_vex","csaf_version":"2.0","title":"t","publisher":{"category":"vendor","name":"n","namespace":"https://example.com"},"tracking":{"id":"1","status":"final","version":"1","initial_release_date":"2024-01-01T00:00:00Z","current_release_date":"2024-01-01T00:00:00Z","revision_history":[]}},`
	plain := func(name, body string, code fault.Code, place string) hostile {
		return hostile{name: name, body: body, claim: asWeb, code: code, place: place}
	}
	anonymous := func(h hostile) hostile { h.claim = estate.Claim{}; return h }
	unpacks := func(h hostile, n int) hostile { h.inflates = n; return h }
	return []hostile{
		// Nothing that anybody knows.
		plain("empty", "", fault.Invalid, "empty"),
		plain("white space", " \n\t\r\n ", fault.Invalid, "empty"),
		plain("noise", string(noise), fault.Unsupported, "no reader"),
		plain("NULs", string(make([]byte, 4096)), fault.Unsupported, "no reader"),
		plain("prose", "Dear Sir or Madam,\nplease find attached", fault.Unsupported, "no reader"),
		plain("JSON of another kind", `{"hello":"world"}`, fault.Unsupported, "no reader"),
		plain("a number", `42`, fault.Unsupported, "no reader"),
		plain("a tar archive", tarOf("../../etc/passwd", []byte(bill)), fault.Unsupported, "archive"),
		plain("a zip archive that leads out", zipOf("../../etc/passwd", []byte(bill)), fault.Unsupported, "archive"),
		plain("a zip bomb", zipOf("bomb.json", zeros), fault.Unsupported, "archive"),
		// Layers.
		unpacks(plain("a gzip bomb", gzipped(zeros), fault.TooLarge, "gzip"), 16<<20),
		unpacks(plain("a zstd bomb", zstded(zeros), fault.TooLarge, "zstd"), 16<<20),
		unpacks(plain("a bzip2 bomb", string(bomb2), fault.TooLarge, "bzip2"), 16<<20),
		plain("gzip, cut", gzipped([]byte(bill))[:40], fault.Invalid, "gzip"),
		plain("zstd, cut", zstded([]byte(bill))[:20], fault.Invalid, "zstd"),
		plain("gzip with a wrong checksum", gzipped([]byte(bill))[:len(gzipped([]byte(bill)))-8]+"\x00\x00\x00\x00\x00\x00\x00\x00", fault.Invalid, "gzip"),
		plain("zstd with a window of 4 GiB", "\x28\xb5\x2f\xfd\x00\xb0\x01\x00\x00aaaa", fault.TooLarge, "zstd"),
		plain("six layers of gzip", string(layers), fault.TooLarge, "layers"),
		plain("gzip of nothing", gzipped(nil), fault.Invalid, "empty"),
		plain("UTF-16, cut in a character", utf16Of(bill)[:101], fault.Invalid, "utf-16"),
		plain("UTF-16 with half a pair", utf16Of(`{"a":"`)+"\x00\xd8"+utf16Of(`"}`)[2:], fault.Invalid, "byte 14"),
		// Attestations.
		plain("DSSE that is not base64", dsse("!!!not base64!!!"), fault.Invalid, "/payload"),
		plain("DSSE without a payload", `{"payloadType":"application/vnd.in-toto+json","signatures":[]}`, fault.Invalid, "/payload"),
		plain("DSSE around itself", dsse(base64.StdEncoding.EncodeToString([]byte(dsse(base64.StdEncoding.EncodeToString(
			[]byte(dsse(base64.StdEncoding.EncodeToString([]byte(dsse(base64.StdEncoding.EncodeToString([]byte(dsse("e30="))))))))))))), fault.TooLarge, "layers"),
		plain("in-toto without a predicate", statement(""), fault.Invalid, "/predicate"),
		plain("in-toto about a number", statement(`,"predicate":7`), fault.Invalid, "/predicate"),
		plain("two attestations in a file", statement(`,"predicate":{}`)+"\n"+statement(`,"predicate":{}`), fault.Unsupported, "line 2"),
		plain("in-toto with a false digest", `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"xyz"}}],"predicateType":"p","predicate":{}}`, fault.Invalid, "/subject/0"),
		// CycloneDX JSON.
		plain("CycloneDX, cut between members", bill[:len(bill)-2], fault.Invalid, "line 1"),
		plain("CycloneDX, cut in a string", bill[:90], fault.Invalid, "line 1"),
		plain("CycloneDX with a tail", bill+"x", fault.Invalid, "line 1"),
		plain("two CycloneDX documents", bill+"\n"+bill, fault.Invalid, "line 2"),
		plain("20,000 components deep", cdxHead+`"components":[`+deep+`]}`, fault.TooLarge, "/components/0"),
		plain("100,000 lists deep", cdxHead+`"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`, fault.TooLarge, "/x/0"),
		plain("a list that never ends", cdxHead+`"components":[`+strings.Repeat(`{"name":"a"},`, 1_000_000)+`{"name":"a"}]}`, fault.TooLarge, "/components"),
		plain("components are an object", cdxHead+`"components":{"type":"library"}}`, fault.Invalid, "/components"),
		plain("components are strings", cdxHead+`"components":["a","b"]}`, fault.Invalid, "/components/0"),
		plain("a name that is a list", cdxHead+`"components":[{"type":"library","name":["a"]}]}`, fault.Invalid, "/components/0/name"),
		plain("a name of 2 MiB", cdxHead+`"components":[{"type":"library","name":"`+strings.Repeat("a", 2<<20)+`"}]}`, fault.TooLarge, "/components/0/name"),
		plain("bytes that are not UTF-8", cdxHead+`"components":[{"type":"library","name":"a`+"\xff\xfe"+`"}]}`, fault.Invalid, "byte 98"),
		plain("a bare NUL in a string", cdxHead+"\"components\":[{\"type\":\"library\",\"name\":\"a\x00b\"}]}", fault.Invalid, "/components/0/name"),
		plain("a NUL as an escape", cdxHead+`"components":[{"type":"library","name":"a\u0000b","version":"1"}]}`, fault.Invalid, "/components/0/name"),
		plain("a CycloneDX document that says nothing", cdxHead+`"x":1}`, fault.Invalid, "says nothing"),
		anonymous(plain("an SBOM without a name", bill, fault.Invalid, "--service")),
		{"an SBOM without a version", bill, estate.Claim{Subject: estate.Subject{Name: "web"}}, fault.Invalid, "--version", 0},
		{"a service whose name has a NUL", bill, estate.Claim{Subject: estate.Subject{Name: "we\x00b", Version: "1"}}, fault.Invalid, "NUL", 0},
		{"a service whose version is not UTF-8", bill, estate.Claim{Subject: estate.Subject{Name: "web", Version: "\xff"}}, fault.Invalid, "UTF-8", 0},
		// CycloneDX XML.
		plain("a billion laughs", xmlHead+laughs+ns+`<components><component type="library"><name>&k;</name></component></components></bom>`, fault.Invalid, "line 1"),
		plain("an external entity", xmlHead+`<!DOCTYPE bom [<!ENTITY x SYSTEM "file:///etc/passwd">]>`+ns+`<components><component type="library"><name>&x;</name></component></components></bom>`, fault.Invalid, "line 1"),
		plain("XML, cut", xmlHead+ns+`<components><component type="library"><name>a</na`, fault.Invalid, "line 1"),
		plain("XML with a wrong end", xmlHead+ns+`<components></bom>`, fault.Invalid, "line 1"),
		plain("XML, 100,000 elements deep", xmlHead+ns+strings.Repeat("<x>", 100_000)+strings.Repeat("</x>", 100_000)+`</bom>`, fault.TooLarge, "line 1"),
		plain("XML in an unknown encoding", `<?xml version="1.0" encoding="UTF-7"?>`+ns+`<components><component type="library"><name>a</name></component></components></bom>`, fault.Invalid, "UTF-7"),
		plain("XML that is not UTF-8", xmlHead+ns+"<components><component type=\"library\"><name>\xff</name></component></components></bom>", fault.Invalid, "line 1"),
		// SPDX.
		plain("SPDX JSON, cut", spdxHead+`"packages":[{"SPDXID":"SPDXRef-a","name":"a"`, fault.Invalid, "line 1"),
		plain("SPDX JSON with wrong types", spdxHead+`"packages":"all of them"}`, fault.Invalid, "/packages"),
		plain("SPDX tag-value, broken", "SPDXVersion: SPDX-2.3\nSPDXID: SPDXRef-DOCUMENT\nPackageName: <text>never closed\n", fault.Invalid, "line 3"),
		plain("SPDX 3 without a graph", spdx3Head+`"@graph":[]}`, fault.Invalid, "/@graph"),
		plain("SPDX 3 with a broken graph", spdx3Head+`"@graph":[{"type":"software_Package","spdxId":7}]}`, fault.Invalid, "/@graph/0"),
		// Deployments.
		anonymous(plain("a deployment without an environment", deployment(`"deployments":[{"service":"a","version":"1"}]`), fault.Invalid, "/environment")),
		plain("a deployment of nothing", deployment(`"environment":"p","deployments":[]`), fault.Invalid, "/deployments"),
		plain("a deployment without a version", deployment(`"environment":"p","deployments":[{"service":"a"}]`), fault.Invalid, "/deployments/0"),
		plain("a deployment with a typing error", deployment(`"enviroment":"p","deployments":[{"service":"a","version":"1"}]`), fault.Invalid, "enviroment"),
		plain("a deployment that states a member twice", deployment(`"environment":"p","environment":"q","deployments":[{"service":"a","version":"1"}]`), fault.Invalid, "/environment"),
		plain("a deployment of wrong type", deployment(`"environment":7,"deployments":[{"service":"a","version":"1"}]`), fault.Invalid, "/environment"),
		plain("a deployment with a false digest", deployment(`"environment":"p","deployments":[{"service":"a","digest":"sha256:zz"}]`), fault.Invalid, "/deployments/0/digest"),
		plain("a deployment of a path", deployment(`"environment":"p","deployments":[{"service":"../../etc/passwd\n","version":"1"}]`), fault.Invalid, "/deployments/0/service"),
		plain("1e300 replicas", deployment(`"environment":"p","deployments":[{"service":"a","version":"1","replicas":1e300}]`), fault.Invalid, "/deployments/0/replicas"),
		plain("a deployment in the year 9999", deployment(`"environment":"p","at":"9999-01-01","deployments":[{"service":"a","version":"1"}]`), fault.Invalid, "/at"),
		plain("a deployment document of a later version", `{"thymus":"deployment/v9","environment":"p"}`, fault.Unsupported, "deployment/v9"),
		{"a deployed SBOM without an environment", bill, asClaims(asWeb, true, ""), fault.Usage, "environment", 0},
		{"an advisory that is to be deployed", osvHead + `"affected":[]}`, asClaims(asWeb, true, "p"), fault.Usage, "osv", 0},
		// estate.yaml.
		plain("an alias bomb", anchors, fault.Invalid, "line"),
		plain("an unknown key", "thymus: estate/v1\nservices:\n  - name: a\n    colour: red\n", fault.Invalid, "line 4"),
		plain("domains that contain themselves", "thymus: estate/v1\ndomains:\n  - name: a\n    parent: b\n  - name: b\n    parent: a\n", fault.Invalid, "line"),
		plain("YAML that is none", "thymus: estate/v1\nservices: [\n", fault.Invalid, "line"),
		plain("a name given twice", "thymus: estate/v1\nservices:\n  - name: a\n  - name: a\n", fault.Invalid, "line 4"),
		plain("YAML, 10,000 lists deep", "thymus: estate/v1\nservices: "+strings.Repeat("[", 10_000)+"\n", "", "line"),
		plain("two YAML documents", "thymus: estate/v1\nservices:\n  - name: a\n---\nthymus: estate/v1\n", fault.Invalid, "line"),
		plain("an estate of a later version", "thymus: estate/v9\n", fault.Unsupported, "estate/v9"),
		// Advisories.
		plain("an advisory, cut", osvHead+`"affected":[{"package":{"ecosystem":"npm"`, fault.Invalid, "TEST-1"),
		plain("an advisory without an id", `{"schema_version":"1.6.0","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"a"}}]}`, fault.Invalid, "/id"),
		plain("an advisory whose id is a path", `{"id":"../../etc/passwd","modified":"2024-01-01T00:00:00Z","affected":[]}`, fault.Invalid, "/id"),
		plain("an advisory whose id is a page", `{"id":"`+strings.Repeat("A", 5000)+`","modified":"2024-01-01T00:00:00Z","affected":[]}`, fault.Invalid, "/id"),
		plain("an advisory whose id has a NUL", `{"id":"A\u0000B","modified":"2024-01-01T00:00:00Z","affected":[]}`, fault.Invalid, "/id"),
		plain("an advisory whose versions are a number", osvHead+`"affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":7}]}`, fault.Invalid, "/affected/0/versions"),
		plain("an advisory from the year 99999", `{"id":"TEST-1","modified":"99999-01-01T00:00:00Z","affected":[]}`, fault.Invalid, "/modified"),
		plain("a list whose last advisory is broken", `[`+osvHead+`"affected":[]},{"modified":"2024-01-01T00:00:00Z"}]`, fault.Invalid, "record 1"),
		// Verdicts.
		plain("a verdict with two scopes", verdict(`,"service":"a","domain":"b"`), fault.Invalid, "/service"),
		plain("a verdict on nothing", `{"thymus":"verdict/v1","status":"fixed"}`, fault.Invalid, "/advisory"),
		plain("a verdict that decides nothing", `{"thymus":"verdict/v1","advisory":"CVE-2024-0001","status":"maybe"}`, fault.Invalid, "/status"),
		plain("a verdict that has expired before it began", verdict(`,"at":"2024-01-02","expires":"2024-01-01"`), fault.Invalid, "/expires"),
		plain("a verdict with a typing error", verdict(`,"sevrice":"a"`), fault.Invalid, "sevrice"),
		plain("two verdicts", verdict("")+verdict(""), fault.Invalid, "byte"),
		plain("a verdict on a version without a package", verdict(`,"range":"<2"`), fault.Invalid, "/range"),
		plain("a verdict on a range that is none", verdict(`,"package":"pkg:npm/a","range":"<<>>"`), fault.Invalid, "range"),
		plain("a verdict on a package that is none", verdict(`,"package":"left pad"`), fault.Invalid, "package"),
		plain("a verdict that states a member twice", verdict(`,"service":"a","service":"b"`), fault.Invalid, "service"),
		// Signals.
		plain("EPSS with wrong columns", "#model_version:v2023.03.01,score_date:2024-01-01T00:00:00+0000\ncve,likelihood\nCVE-2024-0001,0.5\n", fault.Invalid, "line 2"),
		plain("EPSS with a wrong number", "#model_version:v2023.03.01,score_date:2024-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2024-0001,NaN,0.1\n", fault.Invalid, "line 3"),
		plain("EPSS, cut", "#model_version:v2023.03.01,score_date:2024-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2024-0001,0.9", fault.Invalid, "line 3"),
		plain("KEV, cut", kevHead+`{"cveID":"CVE-2024-0001","dateAdded":"2024-01-01"`, fault.Invalid, "/vulnerabilities/0"),
		plain("KEV without a date", kevHead+`{"cveID":"CVE-2024-0001"}]}`, fault.Invalid, "/vulnerabilities/0"),
		plain("KEV about something else", kevHead+`{"cveID":"MS08-067","dateAdded":"2024-01-01"}]}`, fault.Invalid, "/vulnerabilities/0"),
		// Events and exchanged verdicts.
		plain("a CDEvent without a subject", fmt.Sprintf(ce, "service.deployed.0.1.1", `"x":1`), fault.Invalid, "subject"),
		plain("a CDEvent of no use", fmt.Sprintf(ce, "pipelinerun.started.0.1.1", `"subject":{"id":"a","content":{}}`), fault.Unsupported, "pipelinerun.started"),
		plain("a CDEvent without an environment", fmt.Sprintf(ce, "service.deployed.0.1.1", `"subject":{"id":"a","content":{"artifactId":"pkg:oci/a@sha256%3A`+strings.Repeat("a", 64)+`"}}`), fault.Invalid, "environment"),
		plain("OpenVEX without statements", vexHead+`"statements":[]}`, fault.Invalid, "/statements"),
		anonymous(plain("OpenVEX about nothing", vexHead+`"statements":[{"vulnerability":{"name":"CVE-2024-0001"},"status":"fixed"}]}`, fault.Invalid, "/statements/0")),
		plain("CSAF about unknown products", csafHead+`"vulnerabilities":[{"cve":"CVE-2024-0001","product_status":{"fixed":["P1"]}}]}`, fault.Invalid, "P1"),
		plain("CSAF that says nothing", csafHead+`"vulnerabilities":[]}`, fault.Invalid, "/vulnerabilities"),
		plain("CSAF, cut", csafHead+`"vulnerabilities":[{"cve":`, fault.Invalid, "/vulnerabilities/0"),
	}
}
