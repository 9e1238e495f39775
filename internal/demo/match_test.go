package demo

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// inventory is what the readers and package purl make of the SBOMs: the
// packages of each release, and the advisories in order.
type inventory struct {
	releases   []string
	packages   map[string][]estate.Package
	advisories []*estate.Advisory
	absent     map[string]bool
}

func takeInventory(t *testing.T) inventory {
	t.Helper()
	s, docs := told(t)
	inv := inventory{packages: map[string][]estate.Package{}, absent: map[string]bool{}}
	for _, r := range s.advisories {
		inv.absent[r.osv.ID] = r.absent
	}
	for _, d := range docs {
		sbom, advisory := strings.HasPrefix(d.Name, "sbom/"), strings.HasPrefix(d.Name, "osv/")
		if !sbom && !advisory {
			continue
		}
		_, facts := readOne(t, d)
		for _, f := range facts {
			switch f := f.(type) {
			case *estate.Bill:
				release := d.Claim.Subject.String()
				if inv.packages[release] == nil {
					inv.releases = append(inv.releases, release)
				}
				for _, c := range f.Packages {
					inv.packages[release] = append(inv.packages[release], purl.Identify(c))
				}
			case *estate.Advisory:
				inv.advisories = append(inv.advisories, f)
			}
		}
	}
	return inv
}

// hit returns the releases that an advisory affects, in order of their SBOMs.
func (inv inventory) hit(a *estate.Advisory) []string {
	var out []string
	for _, release := range inv.releases {
		if slices.ContainsFunc(inv.packages[release], func(p estate.Package) bool { return affects(a, p) }) {
			out = append(out, release)
		}
	}
	return out
}

func affects(a *estate.Advisory, p estate.Package) bool {
	e := version.ParseEcosystem(p.Ecosystem)
	for _, entry := range a.Affected {
		if !version.Applies(version.ParseEcosystem(entry.Ecosystem), e) {
			continue
		}
		for _, m := range p.Match {
			if m.Name == "" || m.Name != entry.Name {
				continue
			}
			v, err := version.Parse(e, m.Version)
			if err != nil {
				continue
			}
			if in, _ := version.Compile(e, entry).Contains(e, v); in {
				return true
			}
		}
	}
	return false
}

func TestWhatCannotBeMatched(t *testing.T) {
	got := map[string]estate.Unmatched{}
	inv := takeInventory(t)
	for _, release := range inv.releases {
		for _, p := range inv.packages[release] {
			if p.Unmatched != "" && !strings.HasPrefix(release, p.Name+"@") {
				got[p.Name] = p.Unmatched
			}
		}
	}
	want := map[string]estate.Unmatched{
		"@shop/design-tokens": estate.BadVersion,
		"synonyms.txt":        estate.NotAPackage,
		"shop-risk-model":     estate.NoPurl,
		"label-dpl.jar":       estate.NoPurl,
		"barcode4j-shop":      estate.UnknownEcosystem,
		"shop-label-fonts":    estate.NoVersion,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("packages that cannot be matched (-want +got):\n%s", d)
	}
}

func TestAdvisoriesHit(t *testing.T) {
	inv := takeInventory(t)
	// Nothing by itself: the record of the CVE joins an alias group, and the
	// first revision of the other was too narrow.
	quiet := map[string]bool{"CVE-2023-39325@2024-05-20T00:00:00Z": true, "GHSA-p92q-9vqr-4j8v@2026-09-15T00:00:00Z": true}
	for _, a := range inv.advisories {
		hit := inv.hit(a)
		id := a.ID + "@" + a.Modified.String()
		if want := !inv.absent[a.ID] && !quiet[id]; (len(hit) > 0) != want {
			t.Errorf("%s affects %v, want some: %t", id, hit, want)
		}
		t.Logf("%s: %s", id, strings.Join(hit, " "))
	}
}

func TestWhoIsHit(t *testing.T) {
	inv := takeInventory(t)
	want := map[string][]string{
		"GHSA-jfh8-c2jp-5v3q": { // Log4Shell
			"order-service@2.5.0", "order-service@2.6.0", "search@7.10.2-shop.3", "search@7.10.2-shop.4", "wms@4.2.0", "wms@4.2.1",
		},
		"GHSA-599f-7c49-w659": {"cart@1.4.0"},
		"GO-2023-2102":        {"shipping@2.2.0"},
		"GO-2026-5004": { // yesterday's
			"catalogue@1.8.0", "catalogue@1.9.0", "payments/gateway@4.0.0", "payments/gateway@4.1.0", "payments/gateway@4.2.0",
		},
		"GO-2020-0017":         {"shipping@2.2.0", "shipping@2.3.0"},
		"MAL-2026-99001":       {"currency@2.2.0-rc.1"},
		"DSA-5532-1":           {"redis@7.2.1"},
		"ALPINE-CVE-2023-5363": {"web@3.1.0", "web@3.2.0"},
		"GHSA-gwrp-pvrq-jmwv":  {"wms@4.2.0", "wms@4.2.1"},
		"PYSEC-2022-42969":     {"label-printer@1.0.7"},
	}
	got := map[string][]string{}
	for _, a := range inv.advisories {
		if _, ok := want[a.ID]; ok {
			got[a.ID] = inv.hit(a)
			slices.Sort(got[a.ID])
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("releases hit (-want +got):\n%s", d)
	}
}
