package readtest

// Foreign returns one small sample of each format that a reader may be shown,
// by the name of its reader; a reader must not detect another's sample.
func Foreign() map[string][]byte {
	out := map[string][]byte{}
	for name, text := range map[string]string{
		"cyclonedx":     `{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[{"type":"library","name":"a","version":"1"}]}`,
		"cyclonedx-xml": `<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.4" version="1"><components><component type="library"><name>a</name><version>1</version></component></components></bom>`,
		"spdx":          `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","dataLicense":"CC0-1.0","name":"a","documentNamespace":"https://example.com/a","creationInfo":{"created":"2024-01-01T00:00:00Z","creators":["Tool: a"]},"packages":[]}`,
		"spdx-tv":       "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nSPDXID: SPDXRef-DOCUMENT\nDocumentName: a\n",
		"spdx3":         `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"SpdxDocument","spdxId":"https://example.com/a"}]}`,
		"openvex":       `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/vex","author":"a","timestamp":"2024-01-01T00:00:00Z","version":1,"statements":[{"vulnerability":{"name":"CVE-2024-1"},"products":[{"@id":"pkg:npm/a@1"}],"status":"fixed"}]}`,
		"csaf":          `{"document":{"category":"csaf_vex","csaf_version":"2.0","publisher":{"category":"vendor","name":"a","namespace":"https://example.com"},"title":"a","tracking":{"id":"a","version":"1"}},"product_tree":{},"vulnerabilities":[]}`,
		"sarif":         `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"tool":{"driver":{"name":"a"}},"results":[]}]}`,
		"osv":           `{"schema_version":"1.6.0","id":"GHSA-aaaa-bbbb-cccc","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`,
		"kev":           `{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"2024.01.01","dateReleased":"2024-01-01T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2024-1","dateAdded":"2024-01-01","dueDate":"2024-01-22","knownRansomwareCampaignUse":"Unknown"}]}`,
		"epss":          "#model_version:v2023.03.01,score_date:2024-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2024-1,0.5,0.9\n",
		"cdevents":      `{"context":{"version":"0.4.1","id":"1","source":"/a","type":"dev.cdevents.service.deployed.0.2.0","timestamp":"2024-01-01T00:00:00Z"},"subject":{"id":"a","type":"service","content":{"environment":{"id":"production"},"artifactId":"pkg:oci/a@sha256%3A00"}}}`,
		"kubernetes":    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        image: a:1\n",
		"estate":        "apiVersion: thymus/v1\nkind: Estate\nservices:\n- name: a\n  team: b\n",
		"backstage":     "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: a\nspec:\n  type: service\n  owner: b\n",
		"openapi":       "openapi: 3.1.0\ninfo:\n  title: a\n  version: '1'\npaths: {}\n",
		"package-lock":  `{"name":"a","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"a"}}}`,
		"pom":           `<?xml version="1.0"?><project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion></project>`,
		"go.mod":        "module example.com/a\n\ngo 1.26\n",
		"prose":         "A text that mentions CycloneDX, SPDXVersion: and openvex, but is none of them.\n",
	} {
		out[name] = []byte(text)
	}
	return out
}
