package cyclonedx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/readtest"
)

const sum = "be65f488b7764ad3638f236b7b515b3678369a5124c47b8d32916d6487418ea4"

// fullJSON has one of everything that is read, in the layout of 1.5 and later.
const fullJSON = `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":2,
"metadata":{"timestamp":"2024-05-01T10:00:00Z","tools":{"components":[{"type":"application","name":"syft","version":"1.2"}],"services":[{"name":"scan-api"}]},
 "authors":[{"name":"Security team"}],
 "component":{"bom-ref":"root","type":"container","group":"shop","name":"ghcr.io/acme/cart:1.4.0","version":"sha256:` + sum + `"}},
"components":[
 {"bom-ref":"os","type":"operating-system","name":"debian","version":"12.5"},
 {"bom-ref":"ssl","type":"library","name":"libssl3","version":"3.0.11-1","purl":"pkg:deb/debian/libssl3@3.0.11-1?arch=amd64","cpe":"cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*",
  "licenses":[{"license":{"id":"Apache-2.0"}},{"license":{"name":"Own"}},{"expression":"MIT OR ISC"}],
  "hashes":[{"alg":"SHA-256","content":"ABCD"}],
  "properties":[{"name":"aquasecurity:trivy:SrcName","value":"openssl"},{"name":"aquasecurity:trivy:SrcVersion","value":"3.0.11"},{"name":"aquasecurity:trivy:SrcRelease","value":"1"},{"name":"aquasecurity:trivy:SrcEpoch","value":"2"}]},
 {"bom-ref":"app","type":"application","name":"package-lock.json","components":[
  {"bom-ref":"left","type":"library","group":"@acme","name":"left","version":"1.0.0","purl":"pkg:npm/%40acme/left@1.0.0","scope":"optional","evidence":{"occurrences":[{"location":"/app/package-lock.json"}]}},
  {"bom-ref":"right","type":"library","name":"right","version":"2.0.0","purl":"pkg:npm/right@2.0.0","properties":[{"name":"cdx:npm:package:development","value":"true"}]}]}],
"services":[{"bom-ref":"api","name":"api","group":"shop","version":"1","endpoints":["https://shop.example/api"],"authenticated":true,"x-trust-boundary":false,"data":[{"flow":"inbound","classification":"PII"}],
 "services":[{"name":"inner"}]}],
"dependencies":[{"ref":"root","dependsOn":["os","app","api"]},{"ref":"os","dependsOn":["ssl"]},{"dependsOn":["left","left","right","gone"],"ref":"app"},{"ref":"left","dependsOn":["right"]},{"ref":"right","dependsOn":["left","right"]},{"ref":"api","dependsOn":["app"]}],
"compositions":[{"aggregate":"incomplete_third_party_only","assemblies":["root"]}],
"vulnerabilities":[
 {"id":"CVE-2024-0001","ratings":[{"severity":"medium"},{"score":9.8}],"references":[{"id":"GHSA-aaaa-bbbb-cccc"}],"affects":[{"ref":"ssl"}]},
 {"id":"CVE-2024-0002","analysis":{"state":"not_affected","justification":"code_not_reachable","detail":"never called","lastUpdated":"2024-05-02T00:00:00Z"},"affects":[{"ref":"right"}]},
 {"id":"CVE-2024-0003","analysis":{"state":"exploitable"},"affects":[{"ref":"left","versions":[{"range":"vers:npm/>=1.0.0|<1.2.0"},{"version":"0.9.0","status":"unaffected"}]}]},
 {"id":"GHSA-dddd-eeee-ffff","references":[{"id":"CVE-2024-0004"}],"analysis":{"state":"in_triage"},"affects":[{"ref":"root"}]}]}`

func parse(t *testing.T, body string, claim estate.Subject) []estate.Fact {
	t.Helper()
	facts, err := readtest.Facts(t.Context(), Reader{}, read.Input{Body: []byte(body), Claim: estate.Claim{Subject: claim}})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestEverythingIsRead(t *testing.T) {
	facts := parse(t, fullJSON, estate.Subject{})
	yes, no := true, false
	cart := estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4.0", Digest: "sha256:" + sum, Derived: true}
	made := estate.At(time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC))
	want := []estate.Fact{
		&estate.Bill{
			Subject: estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4.0", Derived: true, Digest: "sha256:" + sum},
			Format:  "CycloneDX 1.6 JSON", Generator: "syft, scan-api", Serial: "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79", Made: made,
			Packages: []estate.Component{
				{Ref: "os", Type: "operating-system", Name: "debian", Version: "12.5", Distro: "debian-12", Parent: -1},
				{Ref: "ssl", Type: "library", Name: "libssl3", Version: "3.0.11-1", Purl: "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64",
					CPE: "cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*", Source: "openssl", SourceVersion: "2:3.0.11-1", Distro: "debian-12",
					Licenses: []string{"Apache-2.0", "Own", "MIT OR ISC"}, Hashes: map[string]string{"SHA-256": "abcd"}, Parent: -1},
				{Ref: "app", Type: "application", Name: "package-lock.json", Parent: -1},
				{Ref: "left", Type: "library", Group: "@acme", Name: "left", Version: "1.0.0", Purl: "pkg:npm/%40acme/left@1.0.0", Scope: "optional", Parent: 2, Found: "/app/package-lock.json"},
				{Ref: "right", Type: "library", Name: "right", Version: "2.0.0", Purl: "pkg:npm/right@2.0.0", Scope: "dev", Parent: 2},
			},
			Depends: [][]int32{{1}, nil, {3, 4}, {4}, {3}}, Direct: []int32{0, 2}, Partial: true,
			Services: []estate.BillService{
				{Ref: "api", Name: "api", Group: "shop", Version: "1", Endpoints: []string{"https://shop.example/api"}, Authenticated: &yes, CrossesTrust: &no, Data: []string{"inbound: PII"}, Depends: []string{"app"}},
				{Name: "inner"},
			},
			Reported: []estate.Reported{{ID: "CVE-2024-0001", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Severity: estate.Critical, Refs: []string{"ssl"}}},
			Notes:    []string{`1 dependencies refer to nothing in the document, the first "gone"`},
		},
		&estate.Verdict{Advisory: "CVE-2024-0002", Package: "pkg:npm/right@2.0.0", Release: cart, Status: estate.StatusNotAffected,
			Justification: "vulnerable_code_not_in_execute_path", Reason: "never called", Author: "Security team", At: estate.At(time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC))},
		&estate.Verdict{Advisory: "CVE-2024-0003", Package: "pkg:npm/%40acme/left", Range: "vers:npm/>=1.0.0|<1.2.0", Release: cart, Status: estate.StatusAffected, Author: "Security team", At: made},
		&estate.Verdict{Advisory: "CVE-2024-0003", Package: "pkg:npm/%40acme/left", Range: "=0.9.0", Release: cart, Status: estate.StatusNotAffected, Author: "Security team", At: made},
		&estate.Verdict{Advisory: "CVE-2024-0004", Release: cart, Status: estate.StatusInvestigate, Author: "Security team", At: made},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// small returns a small document of each version, in both forms where the
// version has both.
func small() map[string][]byte {
	out := map[string][]byte{"full": []byte(fullJSON)}
	for minor := range 8 {
		if minor >= 2 {
			deps := `,"dependencies":[{"ref":"app","dependsOn":["a"]},{"ref":"a","dependsOn":["b"]}]`
			tools := `[{"vendor":"Acme","name":"maker","version":"1"}]`
			if minor >= 5 {
				tools = `{"components":[{"type":"application","name":"maker","version":"1"}]}`
			}
			out[fmt.Sprintf("1.%d.json", minor)] = fmt.Appendf(nil, `{"bomFormat":"CycloneDX","specVersion":"1.%d","version":1,"metadata":{"timestamp":"2024-01-02T03:04:05Z","tools":%s,"component":{"bom-ref":"app","type":"application","name":"cart","version":"1"}},"components":[{"bom-ref":"a","type":"library","name":"a","version":"1.0","purl":"pkg:npm/a@1.0"},{"bom-ref":"b","type":"library","name":"b","version":"2.0","purl":"pkg:npm/b@2.0"}]%s}`, minor, tools, deps)
		}
		ref, meta, deps := func(string) string { return "" }, "", ""
		if minor >= 1 {
			ref = func(s string) string { return ` bom-ref="` + s + `"` }
		}
		if minor >= 2 {
			tools := `<tool><vendor>Acme</vendor><name>maker</name></tool>`
			if minor >= 5 {
				tools = `<components><component type="application"><name>maker</name></component></components>`
			}
			meta = `<metadata><timestamp>2024-01-02T03:04:05Z</timestamp><tools>` + tools + `</tools><component type="application" bom-ref="app"><name>cart</name><version>1</version></component></metadata>`
			deps = `<dependencies><dependency ref="app"><dependency ref="a"/></dependency><dependency ref="a"><dependency ref="b"/></dependency></dependencies>`
		}
		out[fmt.Sprintf("1.%d.xml", minor)] = fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?><bom xmlns="http://cyclonedx.org/schema/bom/1.%d" version="1">%s<components><component type="library"%s><name>a</name><version>1.0</version><purl>pkg:npm/a@1.0</purl><modified>false</modified></component><component type="library"%s><name>b</name><version>2.0</version><purl>pkg:npm/b@2.0</purl><modified>false</modified></component></components>%s</bom>`, minor, meta, ref("a"), ref("b"), deps)
	}
	return out
}

func TestEveryVersion(t *testing.T) {
	docs := small()
	delete(docs, "full")
	if len(docs) != 14 {
		t.Fatalf("%d documents; want 8 of XML and 6 of JSON", len(docs))
	}
	for name, body := range docs {
		version, form, _ := strings.Cut(name, ".x")
		if form == "" {
			version = strings.TrimSuffix(name, ".json")
		}
		b := parse(t, string(body), estate.Subject{})[0].(*estate.Bill)
		if !strings.HasPrefix(b.Format, "CycloneDX "+version+" ") {
			t.Errorf("%s: format %q", name, b.Format)
		}
		if len(b.Packages) != 2 || b.Packages[1].Purl != "pkg:npm/b@2.0" || b.Packages[1].Type != "library" {
			t.Errorf("%s: packages %+v", name, b.Packages)
		}
		if version >= "1.2" && (!cmp.Equal(b.Direct, []int32{0}) || !cmp.Equal(b.Depends, [][]int32{{1}, nil}) || b.Generator != "maker" || b.Subject.Name != "cart" || !b.Subject.Derived || b.Made == 0) {
			t.Errorf("%s: %+v", name, b)
		}
		if len(b.Notes) > 0 {
			t.Errorf("%s: notes %q", name, b.Notes)
		}
	}
}

// Both forms of one document say the same.
func TestXMLSaysWhatJSONSays(t *testing.T) {
	const full = `<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6" serialNumber="urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79" version="2">
<metadata><timestamp>2024-05-01T10:00:00Z</timestamp><tools><components><component type="application"><name>syft</name></component></components><services><service><name>scan-api</name></service></services></tools>
<authors><author><name>Security team</name></author></authors>
<component bom-ref="root" type="container"><group>shop</group><name>ghcr.io/acme/cart:1.4.0</name><version>sha256:` + sum + `</version></component></metadata>
<components><component bom-ref="os" type="operating-system"><name>debian</name><version>12.5</version></component>
<component bom-ref="ssl" type="library"><name>libssl3</name><version>3.0.11-1</version><hashes><hash alg="SHA-256">ABCD</hash></hashes>
<licenses><license><id>Apache-2.0</id></license><license><name>Own</name></license><expression>MIT OR ISC</expression></licenses>
<cpe>cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*</cpe><purl>pkg:deb/debian/libssl3@3.0.11-1?arch=amd64</purl>
<properties><property name="aquasecurity:trivy:SrcName">openssl</property><property name="aquasecurity:trivy:SrcVersion">3.0.11</property><property name="aquasecurity:trivy:SrcRelease">1</property><property name="aquasecurity:trivy:SrcEpoch">2</property></properties></component>
<component bom-ref="app" type="application"><name>package-lock.json</name><components>
<component bom-ref="left" type="library"><group>@acme</group><name>left</name><version>1.0.0</version><scope>optional</scope><purl>pkg:npm/%40acme/left@1.0.0</purl><evidence><occurrences><occurrence><location>/app/package-lock.json</location></occurrence></occurrences></evidence></component>
<component bom-ref="right" type="library"><name>right</name><version>2.0.0</version><purl>pkg:npm/right@2.0.0</purl><properties><property name="cdx:npm:package:development">true</property></properties></component>
</components></component></components>
<services><service bom-ref="api"><group>shop</group><name>api</name><version>1</version><endpoints><endpoint>https://shop.example/api</endpoint></endpoints><authenticated>true</authenticated><x-trust-boundary>false</x-trust-boundary><data><dataflow><classification flow="inbound">PII</classification></dataflow></data><services><service><name>inner</name></service></services></service></services>
<dependencies><dependency ref="root"><dependency ref="os"/><dependency ref="app"/><dependency ref="api"/></dependency><dependency ref="os"><dependency ref="ssl"/></dependency><dependency ref="app"><dependency ref="left"/><dependency ref="left"/><dependency ref="right"/><dependency ref="gone"/></dependency><dependency ref="left"><dependency ref="right"/></dependency><dependency ref="right"><dependency ref="left"/><dependency ref="right"/></dependency><dependency ref="api"><dependency ref="app"/></dependency></dependencies>
<compositions><composition><aggregate>incomplete_third_party_only</aggregate></composition></compositions>
<vulnerabilities>
<vulnerability><id>CVE-2024-0001</id><references><reference><id>GHSA-aaaa-bbbb-cccc</id></reference></references><ratings><rating><severity>medium</severity></rating><rating><score>9.8</score></rating></ratings><affects><target><ref>ssl</ref></target></affects></vulnerability>
<vulnerability><id>CVE-2024-0002</id><analysis><state>not_affected</state><justification>code_not_reachable</justification><detail>never called</detail><lastUpdated>2024-05-02T00:00:00Z</lastUpdated></analysis><affects><target><ref>right</ref></target></affects></vulnerability>
<vulnerability><id>CVE-2024-0003</id><analysis><state>exploitable</state></analysis><affects><target><ref>left</ref><versions><version><range>vers:npm/&gt;=1.0.0|&lt;1.2.0</range></version><version><version>0.9.0</version><status>unaffected</status></version></versions></target></affects></vulnerability>
<vulnerability><id>GHSA-dddd-eeee-ffff</id><references><reference><id>CVE-2024-0004</id></reference></references><analysis><state>in_triage</state></analysis><affects><target><ref>root</ref></target></affects></vulnerability>
</vulnerabilities></bom>`
	want, got := parse(t, fullJSON, estate.Subject{}), parse(t, full, estate.Subject{})
	want[0].(*estate.Bill).Format = "CycloneDX 1.6 XML"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-JSON +XML):\n%s", diff)
	}
}

func TestVerdictScopes(t *testing.T) {
	vex := func(vulns string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:aa","vulnerabilities":[` + vulns + `]}`
	}
	fixed := func(affects string) string {
		return vex(`{"id":"CVE-2024-1","analysis":{"state":"resolved"},"affects":[` + affects + `]}`)
	}
	claim := estate.Subject{Name: "cart", Version: "1"}
	verdict := func(v estate.Verdict) []estate.Fact {
		v.Advisory = "CVE-2024-1"
		if v.Status == "" {
			v.Status = estate.StatusFixed
		}
		return []estate.Fact{&v}
	}
	for name, c := range map[string]struct {
		body  string
		claim estate.Subject
		want  []estate.Fact
	}{
		"BOM-Link to a package": {fixed(`{"ref":"urn:cdx:bb/1#pkg:npm/a@1.0"}`), estate.Subject{},
			verdict(estate.Verdict{Package: "pkg:npm/a@1.0", Release: estate.Subject{Name: "urn:cdx:bb/1", Derived: true}})},
		"escaped BOM-Link, claimed": {fixed(`{"ref":"urn:cdx:bb/1#pkg%3Anpm%2Fa%401.0"}`), claim, verdict(estate.Verdict{Package: "pkg:npm/a@1.0", Release: claim})},
		"BOM-Link to a product":     {fixed(`{"ref":"urn:cdx:bb/1#product"}`), claim, verdict(estate.Verdict{Release: claim})},
		"a purl without a release":  {fixed(`{"ref":"pkg:npm/a@1.0"}`), estate.Subject{}, verdict(estate.Verdict{Package: "pkg:npm/a@1.0"})},
		"nothing named, claimed":    {fixed(``), claim, verdict(estate.Verdict{Release: claim})},
		"a version of the product": {fixed(`{"ref":"product","versions":[{"version":"2"},{}]}`), claim,
			verdict(estate.Verdict{Release: estate.Subject{Name: "cart", Version: "2"}})},
		"an affected range of the product is widened": {vex(`{"id":"CVE-2024-1","analysis":{"state":"exploitable"},"affects":[{"ref":"p","versions":[{"range":"vers:generic/<2"}]}]}`), claim,
			verdict(estate.Verdict{Status: estate.StatusAffected, Release: claim})},
		"an unknown version is open": {fixed(`{"ref":"pkg:npm/%40s/a@1?x=y#z","versions":[{"version":"3","status":"unknown"}]}`), estate.Subject{},
			verdict(estate.Verdict{Status: estate.StatusInvestigate, Package: "pkg:npm/%40s/a?x=y#z", Range: "=3"})},
		"own serial": {`{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:aa","metadata":{"component":{"bom-ref":"me","name":"cart","version":"1"}},"vulnerabilities":[{"id":"CVE-2024-1","analysis":{"state":"false_positive"},"affects":[{"ref":"urn:cdx:aa/1#me"}]}]}`,
			estate.Subject{}, verdict(estate.Verdict{Status: estate.StatusNotAffected, Release: estate.Subject{Name: "cart", Version: "1", Derived: true}})},
		"a claim beats the document": {`{"bomFormat":"CycloneDX","metadata":{"component":{"bom-ref":"me","name":"x","version":"1"}},"vulnerabilities":[{"id":"CVE-2024-1","analysis":{"state":"resolved"},"affects":[{"ref":"me"}]}]}`,
			estate.Subject{Name: "cart"}, verdict(estate.Verdict{Release: estate.Subject{Name: "cart", Version: "1"}})},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parse(t, c.body, c.claim)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSurvivals(t *testing.T) {
	doc := func(rest string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"bom-ref":"a","name":"a"},{"bom-ref":"b","name":"b"}]` + rest + `}`
	}
	for name, c := range map[string]struct{ body, note string }{
		"newer version":        {strings.Replace(doc(""), "1.6", "1.8", 1), "specVersion 1.8 is newer than this reader, which read it as 1.7"},
		"odd version":          {strings.Replace(doc(""), "1.6", "two", 1), `specVersion "two" is unknown`},
		"no version":           {strings.Replace(doc(""), `"specVersion":"1.6",`, "", 1), "specVersion is missing"},
		"wrong time":           {doc(`,"metadata":{"timestamp":"yesterday"}`), "metadata.timestamp"},
		"repeated reference":   {strings.Replace(doc(""), `"b","name"`, `"a","name"`, 1), `1 references are given to more than one package, the first "a"`},
		"edges to nowhere":     {doc(`,"dependencies":[{"ref":"a","dependsOn":["x","y"]},{"ref":"z","dependsOn":["a"]}]`), `3 dependencies refer to nothing in the document, the first "x"`},
		"cycle":                {doc(`,"dependencies":[{"ref":"a","dependsOn":["b"]},{"ref":"b","dependsOn":["a"]}]`), ""},
		"null lists":           {doc(`,"services":null,"dependencies":null,"vulnerabilities":null,"compositions":null,"metadata":null`), ""},
		"negative version":     {doc(`,"version":-7`), ""},
		"unknown keys":         {doc(`,"x":{"y":[1,2,{"z":null}]}`), ""},
		"duplicate list":       {doc(`,"components":[{"name":"c"}]`), ""},
		"unknown state":        {doc(`,"vulnerabilities":[{"id":"CVE-2024-1","analysis":{"state":"maybe"},"affects":[{"ref":"a"}]}]`), `the analysis state "maybe" is unknown`},
		"verdict on no purl":   {doc(`,"vulnerabilities":[{"id":"CVE-2024-1","analysis":{"state":"resolved"},"affects":[{"ref":"a"}]}]`), "names nothing that can be told apart"},
		"metadata alone":       {`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"x"}}}`, "the document lists no components"},
		"vulnerabilities only": {`{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-2024-1"}]}`, "lists no components"},
		"several systems":      {doc(`,"components":[{"type":"operating-system","name":"debian","version":"12"},{"type":"operating-system","name":"debian","version":"11"},{"name":"p","purl":"pkg:deb/debian/p@1"}]`), "1 packages of distributions state no release"},
	} {
		t.Run(name, func(t *testing.T) {
			facts := parse(t, c.body, estate.Subject{})
			b := facts[0].(*estate.Bill)
			if err := readtest.Check(b); err != nil {
				t.Error(err)
			}
			if notes := strings.Join(b.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q; want %q", notes, c.note)
			}
		})
	}
}

func TestReader(t *testing.T) {
	doc := func(rest string) []byte { return []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6",` + rest + `}`) }
	xml := func(rest string) []byte {
		return []byte(`<bom xmlns="http://cyclonedx.org/schema/bom/1.5">` + "\n" + rest + `</bom>`)
	}
	comp := func(rest string) []byte { return doc(`"components":[{"name":"a"},{` + rest + `}]`) }
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a"},`, 1000), ",")
	readtest.Run(t, Reader{}, readtest.Cases{
		Good: small(),
		Own:  []string{"cyclonedx-xml"},
		Bad: map[string]readtest.Bad{
			"says nothing":            {Body: doc(`"components":[]`), Code: fault.Invalid, Contains: "document has no components"},
			"other format":            {Body: []byte(`{"bomFormat":"SPDX","specVersion":"1"}`), Code: fault.Invalid, Contains: `/bomFormat: "SPDX" is not CycloneDX`},
			"no format":               {Body: []byte(`{"components":[{"name":"a"}]}`), Code: fault.Invalid, Contains: "/bomFormat is missing"},
			"object for a list":       {Body: doc(`"components":{}`), Code: fault.Invalid, Contains: "/components: an object stands where a list belongs"},
			"number for a name":       {Body: comp(`"name":5`), Code: fault.Invalid, Contains: "/components/1/name: a number stands where a string belongs"},
			"number for a version":    {Body: comp(`"name":"b","version":1.10`), Code: fault.Invalid, Contains: "/components/1/version: a number"},
			"object for a purl":       {Body: comp(`"name":"b","purl":{}`), Code: fault.Invalid, Contains: "/components/1/purl: an object"},
			"string for licences":     {Body: comp(`"name":"b","licenses":"MIT"`), Code: fault.Invalid, Contains: "/components/1/licenses: a string stands where a list"},
			"null component":          {Body: doc(`"components":[null]`), Code: fault.Invalid, Contains: "/components/0: the component has neither"},
			"empty component":         {Body: doc(`"components":[{"name":"a","components":[{}]}]`), Code: fault.Invalid, Contains: "/components/0/components/0: the component has neither"},
			"NUL in a name":           {Body: comp(`"name":"a\u0000"`), Code: fault.Invalid, Contains: "/components/1/name: the string holds NUL"},
			"giant name":              {Body: comp(`"name":"` + strings.Repeat("a", read.MaxString+1) + `"`), Code: fault.TooLarge, Contains: "/components/1/name: a string of"},
			"nested components":       {Body: doc(strings.Repeat(`"components":[{"name":"a",`, 300) + `"x":1` + strings.Repeat("}]", 300)), Code: fault.TooLarge, Contains: "nested more than 200"},
			"too many components":     {Body: doc(`"components":[` + strings.Repeat(many+",", 1000) + many + `]`), Code: fault.TooLarge, Contains: "/components"},
			"service without a name":  {Body: doc(`"services":[{"bom-ref":"x"}]`), Code: fault.Invalid, Contains: "/services/0: the service has no name"},
			"boolean as a string":     {Body: doc(`"services":[{"name":"x","authenticated":"yes"}]`), Code: fault.Invalid, Contains: "/services/0/authenticated: a string stands where a boolean"},
			"dependency without ref":  {Body: doc(`"components":[{"name":"a"}],"dependencies":[{"dependsOn":["a"]}]`), Code: fault.Invalid, Contains: "/dependencies/0: the dependency has no ref"},
			"vulnerability of no id":  {Body: doc(`"vulnerabilities":[{"analysis":{"state":"resolved"}}]`), Code: fault.Invalid, Contains: "/vulnerabilities/0: the vulnerability has no id"},
			"vulnerability of odd id": {Body: doc(`"vulnerabilities":[{"id":"../../etc"}]`), Code: fault.Invalid, Contains: `/vulnerabilities/0: the id "../../etc"`},
			"affects of no ref":       {Body: doc(`"vulnerabilities":[{"id":"CVE-2024-1","affects":[{}]}]`), Code: fault.Invalid, Contains: "/vulnerabilities/0/affects/0: the affected component has no ref"},
			"verdicts on nothing":     {Body: doc(`"vulnerabilities":[{"id":"CVE-2024-1","analysis":{"state":"resolved"}}]`), Code: fault.Unsupported, Contains: "/vulnerabilities/0"},
			"comment":                 {Body: doc(`/* x */ "components":[]`), Code: fault.Invalid, Contains: "line 1"},
			"XML, other root":         {Body: []byte(`<project xmlns="http://cyclonedx.org/schema/bom/1.5"/>`), Code: fault.Invalid, Contains: "the root element <project>"},
			"XML, other namespace":    {Body: []byte(`<bom xmlns="urn:x"/>`), Code: fault.Invalid, Contains: `namespace "urn:x"`},
			"XML, DTD":                {Body: []byte(`<!DOCTYPE bom [<!ENTITY a "b">]><bom xmlns="http://cyclonedx.org/schema/bom/1.5"/>`), Code: fault.Invalid, Contains: "document type declaration"},
			"XML, external entity":    {Body: xml(`<components><component><name>&xxe;</name></component></components>`), Code: fault.Invalid, Contains: "line 2, /bom/components/component/name"},
			"XML, empty component":    {Body: xml(`<components><component/></components>`), Code: fault.Invalid, Contains: "line 2, /bom/components"},
			"XML, nested components":  {Body: xml(strings.Repeat(`<components><component><name>a</name>`, 300)), Code: fault.TooLarge, Contains: "nested more than 200"},
			"XML, no boolean":         {Body: xml(`<services><service><name>a</name><authenticated>maybe</authenticated></service></services>`), Code: fault.Invalid, Contains: `"maybe" is no boolean`},
			"XML, dependency of none": {Body: xml(`<dependencies><dependency/></dependencies>`), Code: fault.Invalid, Contains: "/bom/dependencies/dependency: the dependency has no ref"},
			"XML, says nothing":       {Body: xml(``), Code: fault.Invalid, Contains: "document has no components"},
			"XML, latin 1":            {Body: []byte("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><bom/>"), Code: fault.Invalid, Contains: "ISO-8859-1"},
		},
	})
}

func TestDetectsLateFormat(t *testing.T) {
	late := `{"components":[{"bom-ref":"a","name":"` + strings.Repeat("a", read.HeadSize) + `"}],"bomFormat":"CycloneDX"}`
	if !(Reader{}).Detect(readtest.Head([]byte(late)), nil) {
		t.Error("a document with bomFormat behind its components is not detected")
	}
	if (Reader{}).Detect([]byte(`{"bomFormat":"Other","metadata":{"component":{"bom-ref":"CycloneDX"}}}`), nil) {
		t.Error("another format is taken for CycloneDX")
	}
}

func FuzzRead(f *testing.F) {
	docs := small()
	var seeds [][]byte
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		seeds = append(seeds, docs[name])
	}
	readtest.Fuzz(f, Reader{}, seeds...)
}
