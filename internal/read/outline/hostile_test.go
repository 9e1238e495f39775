package outline_test

import (
	"runtime"
	"strings"
	"testing"

	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/cdevents"
	"thymus/internal/read/csaf"
	"thymus/internal/read/deployment"
	"thymus/internal/read/epss"
	"thymus/internal/read/estatefile"
	"thymus/internal/read/kev"
	"thymus/internal/read/openvex"
	"thymus/internal/read/osv"
	"thymus/internal/read/readtest"
)

// TestHostile shows documents that are made to hurt to the readers of
// advisories, verdicts, signals, deployments and descriptions: each is refused,
// and what it costs in memory stays within a small multiple of its size.
func TestHostile(t *testing.T) {
	many := func(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	long := strings.Repeat("x", read.MaxString+1)
	const million = 1_000_000
	const n = 200_000

	vex := func(s string) string {
		return `{"@context":"https://openvex.dev/ns/v0.2.0","statements":[` + s + `]}`
	}
	advisory := func(tree, flaws string) string {
		return `{"document":{"csaf_version":"2.0"},"product_tree":` + tree + `,"vulnerabilities":[` + flaws + `]}`
	}
	runs := func(s string) string {
		return `{"thymus":"deployment/v1","environment":"p","deployments":[` + s + `]}`
	}
	event := func(content string) string {
		return `{"context":{"type":"dev.cdevents.service.deployed.0.2.0"},"subject":{"id":"a","content":{` + content + `}}}`
	}
	for name, tc := range map[string]struct {
		reader read.Reader
		body   string
		code   fault.Code
	}{
		"osv, too many affected":           {osv.New(), `{"id":"A-1","affected":[` + many(`{}`, million+1) + `]}`, fault.TooLarge},
		"osv, too many versions":           {osv.New(), `{"id":"A-1","affected":[{"versions":[` + many(`""`, million+1) + `]}]}`, fault.TooLarge},
		"osv, too many aliases":            {osv.New(), `{"id":"A-1","aliases":[` + many(`""`, million+1) + `]}`, fault.TooLarge},
		"osv, a record of records":         {osv.New(), `{"id":"A-1","affected":` + deep(`[`, `]`, 5000) + `}`, fault.Invalid},
		"osv, depth where nobody looks":    {osv.New(), `{"id":"A-1","database_specific":` + deep(`{"a":`, `}`, 5000) + `}`, fault.TooLarge},
		"osv, a long id":                   {osv.New(), `{"id":"` + long + `"}`, fault.TooLarge},
		"osv, blanks, then no record":      {osv.New(), `{"vulns":[` + many(`{}`, n) + `]}`, fault.Invalid},
		"osv, cut in an escape":            {osv.New(), `{"id":"A-1","summary":"\u00`, fault.Invalid},
		"openvex, too many products":       {openvex.New(), vex(`{"vulnerability":"CVE-2026-1","status":"fixed","products":[` + many(`"a"`, million+1) + `]}`), fault.TooLarge},
		"openvex, products × parts":        {openvex.New(), vex(`{"vulnerability":"CVE-2026-1","status":"fixed","products":[` + many(`"a"`, n) + `],"subcomponents":[` + many(`"pkg:npm/a"`, 100) + `]}`), fault.TooLarge},
		"openvex, blank statements":        {openvex.New(), vex(many(`{}`, n)), fault.Invalid},
		"openvex, a long purl":             {openvex.New(), vex(`{"vulnerability":"CVE-2026-1","status":"fixed","products":["pkg:npm/` + long + `"]}`), fault.TooLarge},
		"openvex, long reasons":            {openvex.New(), vex(`{"vulnerability":"CVE-2026-1","status":"fixed","products":["a"],"impact_statement":"` + long[2:] + `","status_notes":"` + long[2:] + `"}`), fault.TooLarge},
		"csaf, a tree without leaves":      {csaf.New(), advisory(`{"branches":[`+many(`{}`, n)+`]}`, ``), fault.Invalid},
		"csaf, blank flags":                {csaf.New(), advisory(`{}`, `{"cve":"CVE-2026-1","flags":[`+many(`{}`, n)+`],"threats":[`+many(`{}`, n)+`]}`), fault.Invalid},
		"csaf, blank relationships":        {csaf.New(), advisory(`{"relationships":[`+many(`{}`, n)+`]}`, ``), fault.Invalid},
		"csaf, a deep tree":                {csaf.New(), advisory(`{"branches":`+deep(`[{"branches":`, `}]`, 3000)+`}`, ``), fault.TooLarge},
		"csaf, statuses of nobody":         {csaf.New(), advisory(`{}`, `{"cve":"CVE-2026-1","product_status":{"fixed":[`+many(`"a"`, n)+`]}}`), fault.Invalid},
		"csaf, large groups of nobody":     {csaf.New(), advisory(`{"product_groups":[{"group_id":"a","product_ids":[`+many(`""`, 600_000)+`]},{"group_id":"b","product_ids":[`+many(`""`, 600_000)+`]}]}`, ``), fault.TooLarge},
		"kev, too many entries":            {kev.New(), `{"vulnerabilities":[` + many(`{}`, n) + `]}`, fault.Invalid},
		"kev, a long number":               {kev.New(), `{"count":` + strings.Repeat("9", 100_000) + `,"vulnerabilities":[]}`, fault.TooLarge},
		"kev, a long name":                 {kev.New(), `{"vulnerabilities":[{"cveID":"CVE-2026-1","dateAdded":"2026-01-01","vulnerabilityName":"` + long + `"}]}`, fault.TooLarge},
		"epss, one endless line":           {epss.New(), "cve,epss\n" + strings.Repeat("9", 5<<20), fault.TooLarge},
		"epss, a million columns":          {epss.New(), "cve,epss" + strings.Repeat(",", million) + "\n", fault.TooLarge},
		"epss, blank lines only":           {epss.New(), "cve,epss\n" + strings.Repeat("\n", million), fault.Invalid},
		"epss, an endless number":          {epss.New(), "cve,epss\nCVE-2026-1,0." + strings.Repeat("9", 4000) + "e999999\n", fault.Invalid},
		"cdevents, data within data":       {cdevents.New(), deep(`{"data":`, `}`, 5000), fault.TooLarge},
		"cdevents, a batch of blanks":      {cdevents.New(), `[` + many(`{}`, n) + `]`, fault.Invalid},
		"cdevents, a long environment":     {cdevents.New(), event(`"environment":{"id":"` + long[2:] + `"},"artifactId":"pkg:oci/a@1"`), fault.Invalid},
		"cdevents, a long artifact":        {cdevents.New(), event(`"environment":{"id":"p"},"artifactId":"` + long[2:] + `"`), fault.Invalid},
		"deployment, too many items":       {deployment.New(), runs(many(`{"service":"a","removed":true}`, n) + `,{}`), fault.Invalid},
		"deployment, too many members":     {deployment.New(), runs(`{` + many(`"service":"a"`, n) + `}`), fault.Invalid},
		"deployment, a long service":       {deployment.New(), runs(`{"service":"` + long + `","version":"1"}`), fault.TooLarge},
		"estate, a wall of brackets":       {estatefile.New(), "thymus: estate/v1\nservices: " + strings.Repeat("[", million), fault.TooLarge},
		"estate, a list of blanks":         {estatefile.New(), "thymus: estate/v1\nservices:\n" + strings.Repeat("-\n", n), fault.Invalid},
		"estate, a bomb of aliases":        {estatefile.New(), "thymus: estate/v1\na: &a [x,x,x]\nb: &b [*a,*a,*a]\nservices: [*b,*b,*b]\n", fault.Invalid},
		"estate, a long key":               {estatefile.New(), "thymus: estate/v1\n? \"" + long + "\"\n: a\n", fault.Invalid},
		"estate, many times the same name": {estatefile.New(), "thymus: estate/v1\nteams:\n" + strings.Repeat("- name: a\n", 50_000), fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			in := read.Input{Body: []byte(tc.body)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			facts, err := readtest.Facts(t.Context(), tc.reader, in)
			runtime.ReadMemStats(&after)
			if fault.Of(err) != tc.code {
				t.Errorf("%d facts, code %q, %v; want %s", len(facts), fault.Of(err), err, tc.code)
			}
			// All allocations are counted, so growing lists count several times.
			// YAML is the worst, at a node of 160 bytes for two of text.
			const multiple, base = 150, 2 << 20
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(multiple*len(tc.body)+base) {
				t.Errorf("%d bytes were allocated for a document of %d", used, len(tc.body))
			} else {
				t.Logf("%d bytes were allocated for a document of %d", used, len(tc.body))
			}
		})
	}
}
