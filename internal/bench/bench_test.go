package bench

import (
	"context"
	"fmt"
	"testing"

	"thymus/internal/answer"
	"thymus/internal/engine"
)

func quiet(string, int, int) {}

// TestSmallFleet runs the whole bench once on a small fleet: what it reports
// must agree with what was asked for.
func TestSmallFleet(t *testing.T) {
	ctx := context.Background()
	o := Options{Releases: 200, Packages: 50, Deployments: 150, Advisories: 400, Dir: t.TempDir()}
	if err := Generate(ctx, o, quiet); err != nil {
		t.Fatal(err)
	}
	r, err := Measure(ctx, o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if r.Edges != 200*50 || r.Deployments != 150 || r.Loaded == 0 || r.Exposures == 0 || r.Lists < 100 {
		t.Errorf("report: %+v", r)
	}
}

// fleetOf opens an engine on a fleet of 2,000 releases; larger ones are
// "thymus bench"'s.
func fleetOf(b *testing.B) *engine.Engine {
	b.Helper()
	ctx := context.Background()
	o := Options{Releases: 2000, Packages: 200, Deployments: 2000, Advisories: 3000, Dir: b.TempDir()}
	if err := Generate(ctx, o, quiet); err != nil {
		b.Fatal(err)
	}
	e, err := open(ctx, o.Dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// BenchmarkAffected asks for one advisory after the other: counts and first page.
func BenchmarkAffected(b *testing.B) {
	a, err := fleetOf(b).Asker(context.Background(), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := a.Affected(context.Background(), answer.Scope{}, answer.When{}, id(n%3000), answer.Page{Brief: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExposures asks for the first page in each order.
func BenchmarkExposures(b *testing.B) {
	e := fleetOf(b)
	for _, order := range []string{"severity", "epss", "published", "opened", "-opened", "service"} {
		b.Run(order, func(b *testing.B) {
			a, err := e.Asker(context.Background(), 0)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := a.Exposures(context.Background(), answer.Scope{}, answer.ExposureQuery{Sort: order}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNews brings a new record on a package that many releases contain.
func BenchmarkNews(b *testing.B) {
	e := fleetOf(b)
	n := 0
	for b.Loop() {
		n++
		raw := fmt.Appendf(nil, `{"id":"CVE-2030-%06d","modified":"2026-09-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"lib-0"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}`, n)
		if _, err := e.IngestRecords(context.Background(), "bench", func(yield func([]byte, error) bool) { yield(raw, nil) }); err != nil {
			b.Fatal(err)
		}
	}
}
