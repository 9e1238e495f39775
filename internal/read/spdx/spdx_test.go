package spdx

import (
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

const head = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"cart","documentNamespace":"https://example.com/cart-1","creationInfo":{"created":"2024-05-01T10:00:00Z","creators":["Organization: Acme","Tool: syft-1.2.3","Tool: Acme-Tool 2.0"]},`

const full = head + `
"packages":[
 {"SPDXID":"SPDXRef-root","name":"ghcr.io/acme/cart:1.4.0","primaryPackagePurpose":"CONTAINER","downloadLocation":"NOASSERTION"},
 {"SPDXID":"SPDXRef-os","name":"debian","versionInfo":"12.5","primaryPackagePurpose":"OPERATING_SYSTEM"},
 {"SPDXID":"SPDXRef-ssl","name":"libssl3","versionInfo":"3.0.11-1","primaryPackagePurpose":"LIBRARY","licenseConcluded":"NOASSERTION","licenseDeclared":"Apache-2.0",
  "checksums":[{"algorithm":"SHA256","checksumValue":"ABCD"},{"algorithm":"SHA3-512","checksumValue":"ef"}],"sourceInfo":"built package from: openssl 3.0.11-1",
  "externalRefs":[{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:openssl:openssl:3:*:*:*:*:*:*:*"},{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/libssl3@3.0.11-1"}]},
 {"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1.0","externalRefs":[{"referenceCategory":"PACKAGE_MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/a@1.0"}],"sourceInfo":"acquired package info from installed node module manifest file: /app/a/package.json"},
 {"SPDXID":"SPDXRef-b","name":"b","versionInfo":"NOASSERTION","licenseConcluded":"MIT","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/b"}]},
 {"SPDXID":"SPDXRef-src","name":"b-src","versionInfo":"7"}],
"files":[{"SPDXID":"SPDXRef-File-1","fileName":"x"}],
"relationships":[
 {"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-root"},
 {"spdxElementId":"SPDXRef-root","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-os"},
 {"spdxElementId":"SPDXRef-root","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-ssl"},
 {"spdxElementId":"SPDXRef-os","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-ssl"},
 {"spdxElementId":"SPDXRef-root","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-a"},
 {"spdxElementId":"SPDXRef-b","relationshipType":"DEV_DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-a"},
 {"spdxElementId":"SPDXRef-b","relationshipType":"GENERATED_FROM","relatedSpdxElement":"SPDXRef-src"},
 {"spdxElementId":"SPDXRef-a","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-File-1"},
 {"spdxElementId":"SPDXRef-a","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-gone"},
 {"spdxElementId":"SPDXRef-a","relationshipType":"DEPENDS_ON","relatedSpdxElement":"DocumentRef-x:SPDXRef-y"},
 {"spdxElementId":"SPDXRef-b","relationshipType":"DEPENDS_ON","relatedSpdxElement":"NONE"},
 {"spdxElementId":"SPDXRef-src","relationshipType":"DEPENDS_ON","relatedSpdxElement":"NOASSERTION"}]}`

const fullTagValue = `# made by hand
SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: cart
DocumentNamespace: https://example.com/cart-1
Creator: Organization: Acme
Creator: Tool: syft-1.2.3
Creator: Tool: Acme-Tool 2.0
Created: 2024-05-01T10:00:00Z
DocumentComment: <text>Two lines,
PackageName: not a package
</text>

PackageName: ghcr.io/acme/cart:1.4.0
SPDXID: SPDXRef-root
PrimaryPackagePurpose: CONTAINER
Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-root

PackageName: debian
SPDXID: SPDXRef-os
PackageVersion: 12.5
PrimaryPackagePurpose: OPERATING-SYSTEM

PackageName: libssl3
SPDXID: SPDXRef-ssl
PackageVersion: 3.0.11-1
PrimaryPackagePurpose: LIBRARY
PackageLicenseConcluded: NOASSERTION
PackageLicenseDeclared: <text>Apache-2.0</text>
PackageChecksum: SHA256: ABCD
PackageChecksum: SHA3-512: ef
PackageSourceInfo: <text>built package from: openssl 3.0.11-1</text>
ExternalRef: SECURITY cpe23Type cpe:2.3:a:openssl:openssl:3:*:*:*:*:*:*:*
ExternalRef: PACKAGE-MANAGER purl pkg:deb/debian/libssl3@3.0.11-1

PackageName: a
SPDXID: SPDXRef-a
PackageVersion: 1.0
PackageSourceInfo: acquired package info from installed node module manifest file: /app/a/package.json
ExternalRef: PACKAGE-MANAGER purl pkg:npm/a@1.0

PackageName: b
SPDXID: SPDXRef-b
PackageVersion: NOASSERTION
PackageLicenseConcluded: MIT
ExternalRef: PACKAGE-MANAGER purl pkg:npm/b

PackageName: b-src
SPDXID: SPDXRef-src
PackageVersion: 7

FileName: x
SPDXID: SPDXRef-File-1
PackageVersion: not of a package
SnippetSPDXID: SPDXRef-Snippet
SnippetFromFileSPDXID: SPDXRef-File-1
LicenseID: LicenseRef-1
ExtractedText: <text>words: many
words</text>

Relationship: SPDXRef-root CONTAINS SPDXRef-os
Relationship: SPDXRef-root CONTAINS SPDXRef-ssl
Relationship: SPDXRef-os CONTAINS SPDXRef-ssl
Relationship: SPDXRef-root DEPENDS_ON SPDXRef-a
Relationship: SPDXRef-b DEV_DEPENDENCY_OF SPDXRef-a
Relationship: SPDXRef-b GENERATED_FROM SPDXRef-src
Relationship: SPDXRef-a CONTAINS SPDXRef-File-1
Relationship: SPDXRef-a DEPENDS_ON SPDXRef-gone
Relationship: SPDXRef-a DEPENDS_ON DocumentRef-x:SPDXRef-y
Relationship: SPDXRef-b DEPENDS_ON NONE
Relationship: SPDXRef-src DEPENDS_ON NOASSERTION
`

func parse(t *testing.T, body string) *estate.Bill {
	t.Helper()
	facts, err := readtest.Facts(t.Context(), Reader{}, read.Input{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return facts[0].(*estate.Bill)
}

func TestEverythingIsRead(t *testing.T) {
	want := &estate.Bill{
		Subject: estate.Subject{Name: "cart", Version: "1.4.0", Derived: true},
		Format:  "SPDX 2.3 JSON", Generator: "syft, Acme-Tool", Serial: "https://example.com/cart-1",
		Made: estate.At(time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)),
		Packages: []estate.Component{
			{Ref: "SPDXRef-os", Type: "operating-system", Name: "debian", Version: "12.5", Distro: "debian-12", Parent: -1},
			{Ref: "SPDXRef-ssl", Type: "library", Name: "libssl3", Version: "3.0.11-1", Purl: "pkg:deb/debian/libssl3@3.0.11-1", CPE: "cpe:2.3:a:openssl:openssl:3:*:*:*:*:*:*:*",
				Source: "openssl", SourceVersion: "3.0.11-1", Distro: "debian-12", Licenses: []string{"Apache-2.0"}, Hashes: map[string]string{"SHA-256": "abcd", "SHA3-512": "ef"}, Parent: 0},
			{Ref: "SPDXRef-a", Name: "a", Version: "1.0", Purl: "pkg:npm/a@1.0", Parent: -1, Found: "/app/a/package.json"},
			{Ref: "SPDXRef-b", Name: "b", Purl: "pkg:npm/b", Source: "b-src", SourceVersion: "7", Scope: "dev", Licenses: []string{"MIT"}, Parent: -1},
			{Ref: "SPDXRef-src", Name: "b-src", Version: "7", Parent: -1},
		},
		Depends: [][]int32{{1}, nil, {3}, nil, nil}, Direct: []int32{0, 2}, Partial: true,
		Notes: []string{`1 dependencies refer to nothing in the document, the first "SPDXRef-gone"`},
	}
	if diff := cmp.Diff(want, parse(t, full)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	want.Format = "SPDX 2.3 tag-value"
	if diff := cmp.Diff(want, parse(t, fullTagValue)); diff != "" {
		t.Errorf("tag-value (-want +got):\n%s", diff)
	}
	want.Format = "SPDX 2.3 JSON"
	if diff := cmp.Diff(want, parse(t, `{"sbom":`+full+`}`)); diff != "" {
		t.Errorf("GitHub's wrapping (-want +got):\n%s", diff)
	}
	if b := parse(t, strings.Replace(fullTagValue, "\n", "\r\n", -1)); len(b.Packages) != 5 {
		t.Errorf("with CRLF: %d packages", len(b.Packages))
	}
}

func TestSurvivals(t *testing.T) {
	one := `"packages":[{"SPDXID":"SPDXRef-a","name":"a","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}`
	for name, c := range map[string]struct {
		body, note string
		packages   int
	}{
		"the subject alone stays":   {head + one + `],"documentDescribes":["SPDXRef-a"]}`, "", 1},
		"several described":         {head + one + `,{"SPDXID":"SPDXRef-b","name":"b"}],"documentDescribes":["SPDXRef-a","SPDXRef-b"]}`, "", 2},
		"repeated ids":              {head + one + `,{"SPDXID":"SPDXRef-a","name":"b"}]}`, "1 references are given to more than one package", 2},
		"newer version":             {strings.Replace(head, "SPDX-2.3", "SPDX-2.9", 1) + one + `]}`, `spdxVersion "2.9" is unknown`, 1},
		"no version":                {strings.Replace(head, `"spdxVersion":"SPDX-2.3",`, "", 1) + one + `]}`, "does not state spdxVersion", 1},
		"wrong time":                {strings.Replace(head, "2024-05-01T10:00:00Z", "0000", 1) + one + `]}`, "created:", 1},
		"self and cycle":            {head + one + `],"relationships":[{"spdxElementId":"SPDXRef-a","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-a"},{"spdxElementId":"SPDXRef-a","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-a"}]}`, "", 1},
		"unknown relationship":      {head + one + `],"relationships":[{"spdxElementId":"SPDXRef-a","relationshipType":"ADMIRES","relatedSpdxElement":"SPDXRef-z"}]}`, "", 1},
		"null lists":                {head + one + `],"relationships":null,"documentDescribes":null,"files":null}`, "", 1},
		"tag-value 2.2, a snippet":  {"SPDXVersion: SPDX-2.2\nPackageName: a\nSPDXID: SPDXRef-a\nSnippetSPDXIdentifier: SPDXRef-s\nSnippetByteRange: 1:2\nUnknownTag: x\n", "", 1},
		"text behind the end of it": {"SPDXVersion: SPDX-2.2\nPackageName: <text>a\nb</text> junk\nPackageName: c\n", "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := parse(t, c.body)
			if err := readtest.Check(b); err != nil {
				t.Error(err)
			}
			if notes := strings.Join(b.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q; want %q", notes, c.note)
			}
			if len(b.Packages) != c.packages {
				t.Errorf("%d packages; want %d", len(b.Packages), c.packages)
			}
		})
	}
}

func TestReader(t *testing.T) {
	pack := func(rest string) []byte { return []byte(head + `"packages":[{"name":"a"},{` + rest + `}]}`) }
	rel := func(rest string) []byte {
		return []byte(head + `"packages":[{"name":"a"}],"relationships":[{` + rest + `}]}`)
	}
	tv := func(rest string) []byte { return []byte("SPDXVersion: SPDX-2.3\nPackageName: a\n" + rest) }
	readtest.Run(t, Reader{}, readtest.Cases{
		Good: map[string][]byte{
			"2.3.json": []byte(full), "2.3.spdx": []byte(fullTagValue), "github": []byte(`{"sbom":` + full + `}`),
			"2.2.json": []byte(strings.Replace(full, "SPDX-2.3", "SPDX-2.2", 1)), "2.2.spdx": []byte(strings.Replace(fullTagValue, "SPDX-2.3", "SPDX-2.2", 1)),
		},
		Own: []string{"spdx-tv"},
		Bad: map[string]readtest.Bad{
			"no packages":           {Body: []byte(head + `"packages":[]}`), Code: fault.Invalid, Contains: "document has no packages"},
			"no version":            {Body: []byte(`{"packages":[{"name":"a"}]}`), Code: fault.Invalid, Contains: "/spdxVersion is missing"},
			"empty package":         {Body: pack(``), Code: fault.Invalid, Contains: "/packages/1: the package has neither"},
			"null package":          {Body: []byte(head + `"packages":[null]}`), Code: fault.Invalid, Contains: "/packages/0: the package has neither"},
			"number for a name":     {Body: pack(`"name":7`), Code: fault.Invalid, Contains: "/packages/1/name: a number"},
			"object for references": {Body: pack(`"name":"b","externalRefs":{}`), Code: fault.Invalid, Contains: "/packages/1/externalRefs: an object"},
			"NUL":                   {Body: pack(`"name":"b\u0000"`), Code: fault.Invalid, Contains: "/packages/1/name: the string holds NUL"},
			"giant name":            {Body: pack(`"name":"` + strings.Repeat("a", read.MaxString+1) + `"`), Code: fault.TooLarge, Contains: "/packages/1/name"},
			"half a relationship":   {Body: rel(`"spdxElementId":"SPDXRef-a"`), Code: fault.Invalid, Contains: "/relationships/0: the relationship lacks"},
			"list of creators":      {Body: []byte(`{"SPDXID":"x","creationInfo":{"creators":[[]]}}`), Code: fault.Invalid, Contains: "/creationInfo/creators/0: a list"},
			"line without a tag":    {Body: tv("what is this\n"), Code: fault.Invalid, Contains: `line 3: "what is this"`},
			"open text":             {Body: tv("PackageComment: <text>abc\n\n"), Code: fault.Invalid, Contains: "line 3: the <text> of PackageComment has no end"},
			"odd relationship":      {Body: tv("Relationship: a b\n"), Code: fault.Invalid, Contains: "line 3: Relationship"},
			"odd reference":         {Body: tv("ExternalRef: purl\n"), Code: fault.Invalid, Contains: "line 3: ExternalRef"},
			"odd checksum":          {Body: tv("PackageChecksum: 00\n"), Code: fault.Invalid, Contains: "line 3: PackageChecksum"},
			"NUL in a tag":          {Body: tv("PackageVersion: 1\x002\n"), Code: fault.Invalid, Contains: "line 3: PackageVersion holds NUL"},
			"giant tag":             {Body: tv("PackageVersion: " + strings.Repeat("1", read.MaxString+1)), Code: fault.TooLarge, Contains: "line 3: PackageVersion has"},
			"tag-value of SPDX 1":   {Body: []byte("SPDXVersion: SPDX-1.2\nPackageName: a\n"), Code: fault.Invalid, Contains: "line 1: SPDXVersion"},
			"tags of nothing":       {Body: []byte("SPDXVersion: SPDX-2.3\nDocumentName: a\n"), Code: fault.Invalid, Contains: "document has no packages"},
			"tags of no version":    {Body: []byte("PackageName: a\n"), Code: fault.Invalid, Contains: "SPDXVersion is missing"},
			"not UTF-8":             {Body: tv("PackageComment: \xff\n"), Code: fault.Invalid, Contains: "line 3"},
		},
	})
}

func TestGenerator(t *testing.T) {
	for tool, want := range map[string]string{
		"syft-1.2.3": "syft", "trivy-0.50.1": "trivy", "trivy-dev": "trivy", "SCALIBR": "SCALIBR", "Microsoft.SBOMTool-2.2.6": "Microsoft.SBOMTool",
		"GitHub.com-Dependency-Graph": "GitHub.com-Dependency-Graph", "sbom-tool v1.0": "sbom-tool", "": "", "a tool": "a tool",
	} {
		if got := generator([]string{tool}); got != want {
			t.Errorf("generator(%q) = %q; want %q", tool, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	seeds := map[string]string{"json": full, "tag-value": fullTagValue, "github": `{"sbom":` + full + `}`}
	var docs [][]byte
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		docs = append(docs, []byte(seeds[name]))
	}
	readtest.Fuzz(f, Reader{}, docs...)
}
