package answer

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/graph"
	"thymus/internal/purl"
)

const testNow estate.Time = 1_000_000

// randomEstate returns a graph of a few services in three environments, with
// advisories, some of them judged.
func randomEstate(r *rand.Rand) *graph.Graph {
	g := graph.New(func() estate.Time { return testNow })
	var c estate.Change
	n := 0
	for _, name := range []string{"a", "b", "c"} {
		for _, v := range []string{"1.0.0", "2.0.0"} {
			n++
			p := purl.Identify(estate.Component{Purl: "pkg:npm/" + name + "@" + v})
			p.ID = estate.PackageID(n)
			c.Packages = append(c.Packages, p)
		}
	}
	at := func() estate.Time { return estate.Time(1+r.IntN(9)) * 100_000 }
	for i := range 12 {
		id := estate.SubjectID(i + 1)
		sub := estate.Subject{Namespace: []string{"", "x"}[r.IntN(2)], Name: fmt.Sprint("s", i%5), Version: fmt.Sprint(i)}
		c.Subjects = append(c.Subjects, estate.SubjectRow{ID: id, Subject: sub})
		var ids []estate.PackageID
		for p := range 6 {
			if r.IntN(2) == 0 {
				ids = append(ids, estate.PackageID(p+1))
			}
		}
		c.Bills = append(c.Bills, estate.BillRow{ID: estate.BillID(id), Subject: id, Evidence: fmt.Sprintf("%064x", i), Known: estate.Time(i + 1), Packages: ids})
		for range 1 + r.IntN(3) {
			k := int64(len(c.Events) + 1)
			c.Events = append(c.Events, estate.EventRow{ID: k, Subject: id, Environment: []string{"prod", "test", "dev"}[r.IntN(3)],
				Source: "cd", At: at(), Known: estate.Time(100 + k), Batch: k, Removed: r.IntN(6) == 0, Alongside: r.IntN(3) == 0})
		}
	}
	for i := range 8 {
		a := estate.AdvisoryRow{Known: 200, Since: 200, Revision: 1, Source: "osv"}
		a.ID, a.Published, a.Graded = fmt.Sprint("CVE-2024-", i), at(), estate.Severity(r.IntN(6))
		a.Affected = []estate.Affected{{Ecosystem: "npm", Name: []string{"a", "b", "c"}[r.IntN(3)],
			Ranges: []estate.Range{{Type: "SEMVER", Events: []estate.RangeEvent{{Introduced: "0"}, {Fixed: []string{"2.0.0", "3.0.0"}[r.IntN(2)]}}}}}}
		c.Advisories = append(c.Advisories, a)
		if r.IntN(3) == 0 {
			v := estate.VerdictRow{ID: int64(i + 1), Known: 300, Source: "cli"}
			v.Advisory, v.Status, v.At, v.Environment = a.ID, estate.StatusNotAffected, at(), []string{"", "prod"}[r.IntN(2)]
			if r.IntN(2) == 0 {
				v.Expires = at()
			}
			c.Verdicts = append(c.Verdicts, v)
		}
	}
	d := estate.DescriptionRow{ID: 1, Known: 400, Source: "cli"}
	d.Environments = []estate.EnvironmentSpec{{Name: "prod", Tier: "production"}, {Name: "test", Tier: "test"}}
	d.Domains = []estate.DomainSpec{{Name: "sales"}}
	d.Services = []estate.ServiceSpec{{Namespace: "x", Name: "s1", Domain: "sales", Team: "t"}, {Namespace: "x", Name: "s2", Domain: "sales"}}
	d.Objectives = []estate.Objective{{Severity: "high", Days: 0}}
	c.Descriptions = append(c.Descriptions, d)
	c.Seq = 1
	g.Load(&c)
	g.Join()
	return g
}

// TestExposurePages: pages by cursor hold what one large page holds, in its order.
func TestExposurePages(t *testing.T) {
	lists, rows := 0, 0
	yes := true
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		a := &Asker{Graph: randomEstate(r), Now: func() estate.Time { return testNow }}
		for _, sort := range []string{"severity", "-severity", "epss", "published", "-published", "opened", "-opened", "service", "-service"} {
			for _, state := range []string{"open", "suppressed", "closed", "all"} {
				for _, q := range []ExposureQuery{
					{}, {When: When{At: 500_000}}, {Tier: "production"}, {Environment: "test"}, {Package: "a"}, {MinSeverity: estate.Medium},
					{Domain: "sales"}, {Team: "t"}, {Fixable: &yes}, {Overdue: &yes}, {Advisory: "CVE-2024-3"},
				} {
					q.Sort, q.State, q.Page = sort, state, Page{Limit: 500}
					whole := ask(t, a, q)
					if whole.Next != "" || whole.Total.Over || whole.Total.N != len(whole.Items) {
						t.Fatalf("seed %d: %+v: total %+v of %d, next %q", seed, q, whole.Total, len(whole.Items), whole.Next)
					}
					var got []Exposure
					q.Page.Limit = 1 + r.IntN(4)
					for pages := 0; ; pages++ {
						page := ask(t, a, q)
						got = append(got, page.Items...)
						if q.Page.After = page.Next; page.Next == "" {
							break
						}
						if pages > 500 {
							t.Fatalf("seed %d: %+v: no end", seed, q)
						}
					}
					if d := cmp.Diff(lines(t, whole.Items), lines(t, got)); d != "" {
						t.Fatalf("seed %d: %+v (-one page +pages):\n%s", seed, q, d)
					}
					lists, rows = lists+1, rows+len(got)
				}
			}
		}
		// An order changes nothing but the order.
		one := lines(t, ask(t, a, ExposureQuery{State: "all", Page: Page{Limit: 500}}).Items)
		for _, sort := range []string{"-opened", "service"} {
			other := lines(t, ask(t, a, ExposureQuery{State: "all", Sort: sort, Page: Page{Limit: 500}}).Items)
			slices.Sort(one)
			slices.Sort(other)
			if d := cmp.Diff(one, other); d != "" {
				t.Fatalf("seed %d: by %s (-severity +other):\n%s", seed, sort, d)
			}
		}
	}
	t.Logf("%d lists, %d rows", lists, rows)
}

func ask(t *testing.T, a *Asker, q ExposureQuery) *ExposureList {
	t.Helper()
	out, err := a.Exposures(context.Background(), Scope{}, q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return out
}

func lines(t *testing.T, es []Exposure) []string {
	t.Helper()
	out := make([]string, len(es))
	for i := range es {
		b, err := json.Marshal(&es[i])
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(b)
	}
	return out
}
