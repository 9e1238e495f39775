package csaf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/csaf"
	"thymus/internal/read/readtest"
)

var digest = strings.Repeat("0123456789abcdef", 4)

// tree has one product of every sort.
var tree = `{
  "branches": [{"category": "vendor", "name": "Shop", "branches": [
    {"branches": [
      {"category": "product_version", "name": "1.4.2", "product": {"product_id": "CART-1.4.2", "name": "cart 1.4.2"}},
      {"category": "product_version_range", "name": "vers:semver/<1.4.2", "product": {"product_id": "CART-OLD", "name": "cart before 1.4.2"}}
    ], "name": "cart", "category": "product_name"},
    {"category": "product_name", "name": "image", "product": {"product_id": "IMAGE", "name": "image", "product_identification_helper": {"purl": "pkg:oci/cart@sha256%3A` + digest + `?tag=1.4.2"}}}
  ]},
  {"category": "product_name", "name": "log4j", "branches": [
    {"category": "product_version_range", "name": "vers:maven/>=2.0|<2.15.0", "product": {"product_id": "LOG4J-RANGE", "name": "log4j", "product_identification_helper": {"purl": "pkg:maven/org.apache.logging.log4j/log4j-core"}}},
    {"category": "product_version_range", "name": "before the fix", "product": {"product_id": "LOG4J-PROSE", "name": "log4j", "product_identification_helper": {"purl": "pkg:maven/org.apache.logging.log4j/log4j-core"}}}
  ]}],
  "full_product_names": [
    {"product_id": "LOG4J", "name": "log4j 2.14.1", "product_identification_helper": {"purls": ["pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"]}},
    {"product_id": "OPENSSL", "name": "openssl", "product_identification_helper": {"purl": "pkg:rpm/redhat/openssl?arch=src"}},
    {"product_id": "NAMELESS", "name": "something", "product_identification_helper": {"hashes": [{"file_hashes": [{"algorithm": "sha256", "value": "` + digest + `"}], "filename": "a"}]}},
    {"product_id": "RHEL9", "name": "Red Hat Enterprise Linux 9", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:9"}}
  ],
  "relationships": [
    {"category": "default_component_of", "product_reference": "LOG4J", "relates_to_product_reference": "CART-1.4.2", "full_product_name": {"product_id": "CART:LOG4J", "name": "log4j in cart"}},
    {"category": "default_component_of", "product_reference": "LOG4J", "relates_to_product_reference": "RHEL9", "full_product_name": {"product_id": "RHEL9:LOG4J", "name": "x"}},
    {"category": "default_component_of", "product_reference": "OPENSSL", "relates_to_product_reference": "RHEL9", "full_product_name": {"product_id": "RHEL9:OPENSSL", "name": "x"}},
    {"category": "installed_on", "product_reference": "CART:LOG4J", "relates_to_product_reference": "RHEL9", "full_product_name": {"product_id": "RHEL9:CART:LOG4J", "name": "x"}},
    {"category": "default_component_of", "product_reference": "NAMELESS", "relates_to_product_reference": "CART-1.4.2", "full_product_name": {"product_id": "CART:NAMELESS", "name": "x"}}
  ],
  "product_groups": [{"group_id": "G", "product_ids": ["IMAGE", "LOG4J"]}]
}`

func doc(tree, vulnerabilities string) []byte {
	return []byte(`{"vulnerabilities":[` + vulnerabilities + `],"product_tree":` + tree + `,
  "document":{"category":"csaf_vex","csaf_version":"2.0","title":"t","publisher":{"category":"vendor","name":"Shop Security","namespace":"https://shop.example"},
  "tracking":{"id":"A-1","status":"final","version":"1","initial_release_date":"2026-01-01T00:00:00Z","current_release_date":"2026-01-02T00:00:00Z"}}}`)
}

func status(member string, ids ...string) string {
	return fmt.Sprintf(`{"cve":"CVE-2026-1","product_status":{%q:["%s"]}}`, member, strings.Join(ids, `","`))
}

var good = doc(tree, `{"cve":"CVE-2026-1","notes":[{"category":"description","text":"A flaw"}],
  "product_status":{
    "known_not_affected":["CART:LOG4J","IMAGE"],"known_affected":["LOG4J"],"fixed":["CART-1.4.2"],"recommended":["CART-1.4.2","LOG4J"],
    "under_investigation":["NAMELESS"],"from_the_future":["X"]},
  "flags":[{"label":"vulnerable_code_not_present","product_ids":["CART:LOG4J"],"date":"2026-01-03T00:00:00Z"},{"label":"component_not_present","group_ids":["G"]}],
  "threats":[{"category":"exploit_status","details":"no","product_ids":["CART:LOG4J"]},{"category":"impact","details":"Never called","product_ids":["CART:LOG4J"]}],
  "remediations":[{"category":"vendor_fix","details":"Upgrade to 2.15.0","product_ids":["LOG4J"]}]},
  {"ids":[{"system_name":"GitHub","text":"GHSA-aaaa-bbbb-cccc"}],"product_status":{"first_fixed":["LOG4J"]}}`)

func TestReader(t *testing.T) {
	readtest.Run(t, csaf.New(), readtest.Cases{
		Good: map[string][]byte{"full": good, "small": doc(`{"full_product_names":[{"product_id":"A","name":"a"}]}`, status("fixed", "A"))},
		Bad: map[string]readtest.Bad{
			"no vulnerabilities": {Body: doc(tree, ``), Code: fault.Invalid, Contains: "/vulnerabilities"},
			"no status":          {Body: doc(tree, `{"cve":"CVE-2026-1"}`), Code: fault.Invalid, Contains: "/vulnerabilities"},
			"no id":              {Body: doc(tree, `{"product_status":{"fixed":["IMAGE"]}}`), Code: fault.Invalid, Contains: "/vulnerabilities/0"},
			"unknown product":    {Body: doc(tree, status("fixed", "NOBODY")), Code: fault.Invalid, Contains: "/vulnerabilities/0/product_status"},
			"nothing to say":     {Body: doc(tree, status("known_not_affected", "CART-OLD", "CART:NAMELESS")), Code: fault.Invalid, Contains: "/vulnerabilities"},
			"version 1":          {Body: []byte(`{"document":{"csaf_version":"1.2"},"vulnerabilities":[` + status("fixed", "A") + `]}`), Code: fault.Unsupported, Contains: "/document/csaf_version"},
			"no document":        {Body: []byte(`{"product_tree":{},"vulnerabilities":[` + status("fixed", "A") + `]}`), Code: fault.Invalid, Contains: "/document"},
			"bad purl":           {Body: doc(`{"full_product_names":[{"product_id":"A","product_identification_helper":{"purl":"pkg:"}}]}`, status("fixed", "A")), Code: fault.Invalid, Contains: "/product_tree/full_product_names/0/product_identification_helper/purl"},
			"id given twice":     {Body: doc(`{"full_product_names":[{"product_id":"A"},{"product_id":"A"}]}`, status("fixed", "A")), Code: fault.Invalid, Contains: "/product_tree/full_product_names/1"},
			"no product id":      {Body: doc(`{"branches":[{"product":{"name":"a"}}]}`, status("fixed", "A")), Code: fault.Invalid, Contains: "/product_tree/branches/0/product"},
			"dangling relation":  {Body: doc(`{"relationships":[{"product_reference":"X","relates_to_product_reference":"Y","full_product_name":{"product_id":"A"}}]}`, status("fixed", "A")), Code: fault.Invalid, Contains: "/product_tree/relationships"},
			"part of itself": {Body: doc(`{"relationships":[
				{"product_reference":"B","relates_to_product_reference":"B","full_product_name":{"product_id":"A"}},
				{"product_reference":"A","relates_to_product_reference":"A","full_product_name":{"product_id":"B"}}]}`, status("fixed", "A")), Code: fault.Invalid, Contains: "/product_tree/relationships"},
			"deep branches": {Body: doc(`{"branches":`+strings.Repeat(`[{"branches":`, 200)+"[]"+strings.Repeat(`}]`, 200)+`}`, status("fixed", "A")), Code: fault.TooLarge, Contains: "branches"},
			"bad date":      {Body: []byte(`{"document":{"csaf_version":"2.0","tracking":{"current_release_date":"soon"}}}`), Code: fault.Invalid, Contains: "/document/tracking/current_release_date"},
		},
	})
}

func FuzzReader(f *testing.F) { readtest.Fuzz(f, csaf.New(), good) }

func at(t *testing.T, s string) estate.Time {
	t.Helper()
	v, err := estate.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerdicts(t *testing.T) {
	got, err := readtest.Facts(t.Context(), csaf.New(), read.Input{Body: good})
	if err != nil {
		t.Fatal(err)
	}
	const author = "Shop Security"
	day := at(t, "2026-01-02")
	cart := estate.Subject{Name: "cart", Version: "1.4.2", Derived: true}
	image := estate.Subject{Name: "cart", Version: "1.4.2", Digest: "sha256:" + digest, Derived: true}
	const log4j = "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"
	want := []estate.Fact{
		&estate.Verdict{Advisory: "CVE-2026-1", Package: log4j, Status: estate.StatusAffected, Reason: "Upgrade to 2.15.0", Author: author, At: day},
		&estate.Verdict{Advisory: "CVE-2026-1", Package: log4j, Release: cart, Status: estate.StatusNotAffected, Justification: "vulnerable_code_not_present", Reason: "Never called", Author: author, At: at(t, "2026-01-03")},
		&estate.Verdict{Advisory: "CVE-2026-1", Release: image, Status: estate.StatusNotAffected, Justification: "component_not_present", Reason: "A flaw", Author: author, At: day},
		&estate.Verdict{Advisory: "CVE-2026-1", Release: cart, Status: estate.StatusFixed, Reason: "A flaw", Author: author, At: day},
		&estate.Verdict{Advisory: "CVE-2026-1", Release: estate.Subject{Name: "something", Digest: "sha256:" + digest, Derived: true}, Status: estate.StatusInvestigate, Reason: "A flaw", Author: author, At: day},
		&estate.Verdict{Advisory: "GHSA-aaaa-bbbb-cccc", Package: log4j, Status: estate.StatusFixed, Author: author, At: day},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScope: a verdict that closes exposures never covers more than its
// product; one that does not may.
func TestScope(t *testing.T) {
	type scope struct {
		pkg, span string
		release   estate.Subject
	}
	const log4j = "pkg:maven/org.apache.logging.log4j/log4j-core"
	cart := estate.Subject{Name: "cart", Version: "1.4.2", Derived: true}
	for name, tc := range map[string]struct {
		product string
		closing *scope // nil: nothing
		other   *scope
	}{
		"component of a release":         {"CART:LOG4J", &scope{pkg: log4j + "@2.14.1", release: cart}, &scope{pkg: log4j + "@2.14.1", release: cart}},
		"nested, on a platform":          {"RHEL9:CART:LOG4J", &scope{pkg: log4j + "@2.14.1", release: cart}, &scope{pkg: log4j + "@2.14.1", release: cart}},
		"versioned, of a platform":       {"RHEL9:LOG4J", &scope{pkg: log4j + "@2.14.1"}, &scope{pkg: log4j + "@2.14.1"}},
		"unversioned, of a platform":     {"RHEL9:OPENSSL", &scope{pkg: "pkg:rpm/redhat/openssl?arch=src", release: estate.Subject{Name: "Red Hat Enterprise Linux 9", Derived: true}}, &scope{pkg: "pkg:rpm/redhat/openssl?arch=src", release: estate.Subject{Name: "Red Hat Enterprise Linux 9", Derived: true}}},
		"a range of a package":           {"LOG4J-RANGE", &scope{pkg: log4j, span: "vers:maven/>=2.0|<2.15.0"}, &scope{pkg: log4j, span: "vers:maven/>=2.0|<2.15.0"}},
		"a range in prose":               {"LOG4J-PROSE", nil, &scope{pkg: log4j}},
		"a range of a service":           {"CART-OLD", nil, &scope{release: estate.Subject{Name: "cart", Derived: true}}},
		"a component that nothing names": {"CART:NAMELESS", nil, nil},
	} {
		for member, want := range map[string]*scope{"known_not_affected": tc.closing, "fixed": tc.closing, "known_affected": tc.other, "under_investigation": tc.other} {
			facts, err := readtest.Facts(t.Context(), csaf.New(), read.Input{Body: doc(tree, status(member, tc.product))})
			if want == nil {
				if fault.Of(err) != fault.Invalid {
					t.Errorf("%s, %s: %d facts, %v; want none", name, member, len(facts), err)
				}
				continue
			}
			if err != nil || len(facts) != 1 {
				t.Errorf("%s, %s: %d facts, %v", name, member, len(facts), err)
				continue
			}
			v := facts[0].(*estate.Verdict)
			if got := (scope{v.Package, v.Range, v.Release}); got != *want {
				t.Errorf("%s, %s: %+v; want %+v", name, member, got, *want)
			}
		}
	}
}

// TestGroupsAreBounded: naming a large group again and again is refused.
func TestGroupsAreBounded(t *testing.T) {
	const n = 5000
	var products, members []string
	for i := range n {
		products = append(products, fmt.Sprintf(`{"product_id":"P%d","name":"p"}`, i))
		members = append(members, fmt.Sprintf(`"P%d"`, i))
	}
	tree := `{"full_product_names":[` + strings.Join(products, ",") + `],"product_groups":[{"group_id":"G","product_ids":[` + strings.Join(members, ",") + `]}]}`
	flags := strings.TrimSuffix(strings.Repeat(`{"label":"component_not_present","group_ids":["G"]},`, 3000), ",")
	body := doc(tree, `{"cve":"CVE-2026-1","product_status":{"known_not_affected":["P0"]},"flags":[`+flags+`]}`)
	_, err := readtest.Facts(t.Context(), csaf.New(), read.Input{Body: body})
	if fault.Of(err) != fault.TooLarge {
		t.Errorf("got %v; want %s", err, fault.TooLarge)
	}
}
