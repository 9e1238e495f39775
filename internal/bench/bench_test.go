package bench

import (
	"context"
	"testing"
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
