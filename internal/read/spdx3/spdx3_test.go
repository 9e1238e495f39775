package spdx3

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/readtest"
)

const context3 = `"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"`

const full = `{` + context3 + `,"@graph":[
{"type":"Relationship","spdxId":"urn:r1","creationInfo":"_:c","from":"urn:root","to":["urn:a","urn:gone"],"relationshipType":"dependsOn","completeness":"incomplete"},
{"type":"CreationInfo","@id":"_:c","specVersion":"3.0.1","created":"2024-05-01T10:00:00Z","createdBy":["urn:acme"],"createdUsing":["urn:tool"]},
{"type":"Tool","spdxId":"urn:tool","name":"maker","creationInfo":"_:c"},
{"type":"Organization","spdxId":"urn:acme","name":"Acme","creationInfo":"_:c"},
{"type":"SpdxDocument","spdxId":"urn:doc","creationInfo":"_:c","rootElement":["urn:sbom"],"profileConformance":["core","software"]},
{"type":"software_Sbom","spdxId":"urn:sbom","creationInfo":"_:c","rootElement":["urn:root"],"element":["urn:a","urn:b"]},
{"type":"software_Package","spdxId":"urn:root","name":"cart","software_packageVersion":"1.4.0","software_primaryPurpose":"application","creationInfo":"_:c"},
{"type":"software_Package","spdxId":"urn:a","name":"a","software_packageVersion":"1.0","software_packageUrl":"pkg:npm/a@1.0","software_primaryPurpose":"library","verifiedUsing":[{"type":"Hash","algorithm":"sha256","hashValue":"ABCD"}],"creationInfo":"_:c"},
{"type":"software_Package","spdxId":"urn:b","name":"b","software_packageVersion":"2.0","externalIdentifier":[{"type":"ExternalIdentifier","externalIdentifierType":"cpe23","identifier":"cpe:2.3:a:b:b:2.0:*:*:*:*:*:*:*"},{"type":"ExternalIdentifier","externalIdentifierType":"packageUrl","identifier":"pkg:npm/b@2.0"}],"creationInfo":"_:c"},
{"@type":["software_Package"],"@id":"urn:os","name":"alpine","software_packageVersion":"3.18.4","software_primaryPurpose":"operatingSystem"},
{"type":"https://spdx.org/rdf/3.0.1/terms/Software/Package","spdxId":"urn:musl","name":"musl","software_packageUrl":"pkg:apk/alpine/musl@1.2.4"},
{"type":"software_File","spdxId":"urn:file","name":"x"},
{"type":"simplelicensing_LicenseExpression","spdxId":"urn:mit","simplelicensing_licenseExpression":"MIT"},
{"type":"Relationship","spdxId":"urn:r2","from":"urn:a","to":["urn:mit"],"relationshipType":"hasDeclaredLicense"},
{"type":"LifecycleScopedRelationship","spdxId":"urn:r3","from":"urn:a","to":["urn:b"],"relationshipType":"dependsOn","scope":"development"},
{"type":"Relationship","spdxId":"urn:r4","from":"urn:root","to":["urn:os"],"relationshipType":"contains"},
{"type":"Relationship","spdxId":"urn:r5","from":"urn:os","to":"urn:musl","relationshipType":"contains"},
{"type":"Relationship","spdxId":"urn:r6","from":"urn:b","to":["urn:a"],"relationshipType":"generates"},
{"type":"Relationship","spdxId":"urn:r7","from":"urn:b","to":["https://spdx.org/rdf/3.0.1/terms/Core/NoneElement"],"relationshipType":"dependsOn"},
{"type":"Relationship","spdxId":"urn:r8","from":"urn:a","to":["urn:file"],"relationshipType":"contains"},
{"type":"security_Vulnerability","spdxId":"urn:v1","externalIdentifier":[{"externalIdentifierType":"cve","identifier":"CVE-2024-0001"}]},
{"type":"security_VexNotAffectedVulnAssessmentRelationship","spdxId":"urn:x1","from":"urn:v1","to":["urn:a"],"relationshipType":"doesNotAffect","security_justificationType":"vulnerableCodeNotPresent","security_impactStatement":"stripped","security_publishedTime":"2024-05-02T00:00:00Z"},
{"type":"security_VexFixedVulnAssessmentRelationship","spdxId":"urn:x2","from":"https://example.com/CVE-2024-0002","to":["urn:root"],"relationshipType":"fixedIn"},
{"type":"security_VexAffectedVulnAssessmentRelationship","spdxId":"urn:x3","from":"urn:v1","to":["urn:os"],"relationshipType":"affects"}]}`

func parse(t *testing.T, body string) []estate.Fact {
	t.Helper()
	facts, err := readtest.Facts(t.Context(), Reader{}, read.Input{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestEverythingIsRead(t *testing.T) {
	made := estate.At(time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC))
	cart := estate.Subject{Name: "cart", Version: "1.4.0", Derived: true}
	want := []estate.Fact{
		&estate.Bill{
			Subject: cart, Format: "SPDX 3.0.1 JSON-LD", Generator: "maker", Serial: "urn:doc", Made: made,
			Packages: []estate.Component{
				{Ref: "urn:a", Type: "library", Name: "a", Version: "1.0", Purl: "pkg:npm/a@1.0", Source: "b", SourceVersion: "2.0", Licenses: []string{"MIT"}, Hashes: map[string]string{"SHA-256": "abcd"}, Parent: -1},
				{Ref: "urn:b", Name: "b", Version: "2.0", Purl: "pkg:npm/b@2.0", CPE: "cpe:2.3:a:b:b:2.0:*:*:*:*:*:*:*", Scope: "dev", Parent: -1},
				{Ref: "urn:os", Type: "operating-system", Name: "alpine", Version: "3.18.4", Distro: "alpine-3.18", Parent: -1},
				{Ref: "urn:musl", Name: "musl", Purl: "pkg:apk/alpine/musl@1.2.4", Distro: "alpine-3.18", Parent: 2},
			},
			Depends: [][]int32{{1}, nil, {3}, nil}, Direct: []int32{0, 2}, Partial: true,
			Notes: []string{`1 dependencies refer to nothing in the document, the first "urn:gone"`, "1 assessments name no package with a purl and no release, and were left out"},
		},
		&estate.Verdict{Advisory: "CVE-2024-0001", Package: "pkg:npm/a@1.0", Release: cart, Status: estate.StatusNotAffected, Justification: "vulnerable_code_not_present", Reason: "stripped",
			At: estate.At(time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC))},
		&estate.Verdict{Advisory: "CVE-2024-0002", Release: cart, Status: estate.StatusFixed, At: made},
	}
	if diff := cmp.Diff(want, parse(t, full)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSurvivals(t *testing.T) {
	for name, c := range map[string]struct{ body, note string }{
		"one element, no graph":    {`{` + context3 + `,"type":"software_Package","spdxId":"urn:a","name":"a","creationInfo":{"type":"CreationInfo","specVersion":"3.0.0","created":"2024-05-01T10:00:00Z"}}`, ""},
		"a list of contexts":       {`{"@context":["https://spdx.org/rdf/3.0.1/spdx-context.jsonld",{"x":"urn:x"}],"@graph":[{"type":"software_Package","name":"a"}]}`, ""},
		"newer version":            {`{` + context3 + `,"@graph":[{"type":"CreationInfo","@id":"_:c","specVersion":"3.7"},{"type":"software_Package","name":"a"}]}`, `specVersion "3.7" is unknown`},
		"wrong time":               {`{` + context3 + `,"@graph":[{"type":"CreationInfo","@id":"_:c","created":"now"},{"type":"software_Package","name":"a"}]}`, "created:"},
		"the same id twice":        {`{` + context3 + `,"@graph":[{"type":"software_Package","spdxId":"urn:a","name":"a"},{"type":"software_Package","spdxId":"urn:a","name":"b"}]}`, "1 references are given"},
		"a cycle":                  {`{` + context3 + `,"@graph":[{"type":"software_Package","spdxId":"urn:a","name":"a"},{"type":"Relationship","from":"urn:a","to":["urn:a"],"relationshipType":"dependsOn"}]}`, ""},
		"elements of other kinds":  {`{` + context3 + `,"@graph":[{"type":"build_Build","spdxId":"urn:x"},{"type":"software_Package","name":"a"}]}`, ""},
		"relationships to nothing": {`{` + context3 + `,"@graph":[{"type":"software_Package","name":"a"},{"type":"Relationship","from":"urn:a","to":[],"relationshipType":"dependsOn"}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := parse(t, c.body)[0].(*estate.Bill)
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
	graph := func(rest string) []byte {
		return []byte(`{` + context3 + `,"@graph":[{"type":"software_Package","name":"a"},` + rest + `]}`)
	}
	readtest.Run(t, Reader{}, readtest.Cases{
		Good: map[string][]byte{"full": []byte(full), "3.0.0": []byte(strings.ReplaceAll(full, "3.0.1", "3.0.0"))},
		Bad: map[string]readtest.Bad{
			"no packages":         {Body: []byte(`{` + context3 + `,"@graph":[]}`), Code: fault.Invalid, Contains: "no packages in /@graph"},
			"no context":          {Body: []byte(`{"@graph":[{"type":"software_Package","name":"a"}]}`), Code: fault.Invalid, Contains: "/@context is missing"},
			"no type":             {Body: graph(`{"spdxId":"urn:b"}`), Code: fault.Invalid, Contains: "/@graph/1: the element has no type"},
			"null element":        {Body: graph(`null`), Code: fault.Invalid, Contains: "/@graph/1: the element has no type"},
			"nameless package":    {Body: graph(`{"type":"software_Package"}`), Code: fault.Invalid, Contains: "/@graph/1: the package has neither"},
			"number for a name":   {Body: graph(`{"type":"software_Package","name":3}`), Code: fault.Invalid, Contains: "/@graph/1/name: a number"},
			"NUL":                 {Body: graph(`{"type":"software_Package","name":"a\u0000"}`), Code: fault.Invalid, Contains: "/@graph/1/name: the string holds NUL"},
			"object for a graph":  {Body: []byte(`{` + context3 + `,"@graph":{}}`), Code: fault.Invalid, Contains: "/@graph: an object stands where a list"},
			"half a relationship": {Body: graph(`{"type":"Relationship","to":["urn:b"]}`), Code: fault.Invalid, Contains: "/@graph/1: the relationship lacks from"},
			"blank target":        {Body: graph(`{"type":"Relationship","from":"a","to":[""],"relationshipType":"dependsOn"}`), Code: fault.Invalid, Contains: "/@graph/1/to/0: a blank id"},
			"assessment of none":  {Body: graph(`{"type":"security_VexFixedVulnAssessmentRelationship","from":"urn:v"}`), Code: fault.Invalid, Contains: "/@graph/1: the assessment lacks"},
			"odd vulnerability":   {Body: graph(`{"type":"security_VexFixedVulnAssessmentRelationship","from":"urn:/","to":["pkg:npm/a@1"]}`), Code: fault.Invalid, Contains: "/@graph/1: the vulnerability"},
			"nested references":   {Body: graph(strings.Repeat(`{"type":"Relationship","from":`, 300)), Code: fault.TooLarge, Contains: "nested more than 200"},
		},
	})
}

func FuzzRead(f *testing.F) {
	readtest.Fuzz(f, Reader{}, []byte(full), []byte(`{`+context3+`,"type":"software_Package","name":"a"}`))
}
