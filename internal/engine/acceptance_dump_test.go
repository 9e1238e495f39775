package engine_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/engine"
	"thymus/internal/estate"
)

// dumpOf is everything that the ledger holds, ids included, in the
// order of the feed.
func dumpOf(t testing.TB, e *engine.Engine) estate.Change {
	t.Helper()
	var all estate.Change
	err := e.Ledger().Load(context.Background(), estate.Forever, func(c estate.Change) error {
		all.Seq = c.Seq
		all.Packages = append(all.Packages, c.Packages...)
		all.Subjects = append(all.Subjects, c.Subjects...)
		all.Bills = append(all.Bills, c.Bills...)
		all.Events = append(all.Events, c.Events...)
		all.Artifacts = append(all.Artifacts, c.Artifacts...)
		all.Verdicts = append(all.Verdicts, c.Verdicts...)
		all.Advisories = append(all.Advisories, c.Advisories...)
		all.Records += c.Records
		all.Exploited = append(all.Exploited, c.Exploited...)
		all.Likelihoods = append(all.Likelihoods, c.Likelihoods...)
		all.Descriptions = append(all.Descriptions, c.Descriptions...)
		all.AppVersions = append(all.AppVersions, c.AppVersions...)
		return nil
	})
	if err != nil {
		t.Fatalf("reading the ledger: %v", err)
	}
	return all
}

// sameTables fails when two dumps differ.
func sameTables(t testing.TB, what string, before, after estate.Change) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		if len(diff) > 4000 {
			diff = diff[:4000] + "…"
		}
		t.Errorf("%s changed the tables (-before +after):\n%s", what, diff)
	}
}

// TestRebuildKeepsTimes: documents that state no time, or one in the future,
// are of the time at which they became known. Several that come within one
// millisecond are told apart by the ledger, and a rebuild says the same of them.
func TestRebuildKeepsTimes(t *testing.T) {
	e := open(t, t.TempDir(), boutiqueClock)
	for n := range 3 {
		push(t, e, cdxHead+`"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]}`,
			estate.Claim{Subject: estate.Subject{Name: "web", Version: strconv.Itoa(n)}})
		for _, at := range []string{"", `"at":"2999-01-01",`} {
			push(t, e, fmt.Sprintf(`{"thymus":"deployment/v1","environment":"p",%s"deployments":[{"service":"web","version":"%d"}]}`, at, n), estate.Claim{})
		}
		push(t, e, fmt.Sprintf(`{"thymus":"verdict/v1","advisory":"TEST-%d","status":"affected"}`, n), estate.Claim{})
		push(t, e, fmt.Sprintf("thymus: estate/v1\nservices:\n  - name: s%d\n", n), estate.Claim{})
	}
	before := dumpOf(t, e)
	if err := e.Rebuild(context.Background()); err != nil {
		t.Fatal(err)
	}
	sameTables(t, "rebuild", before, dumpOf(t, e))
}

// TestDuplicates: the same document with the same claim is a duplicate, also
// when its time lies in the future.
func TestDuplicates(t *testing.T) {
	clock := date(2024, 1, 1)
	e := open(t, t.TempDir(), func() estate.Time { return clock })
	bill := cdxHead + `"components":[{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}]}`
	for _, at := range []estate.Time{0, date(2023, 1, 1), date(2999, 1, 1)} {
		c := estate.Claim{Subject: estate.Subject{Name: "web", Version: "of " + at.String()}, At: at}
		if push(t, e, bill, c).Duplicate {
			t.Errorf("at %s: the first is a duplicate", at)
		}
		clock = clock.Add(time.Minute)
		if !push(t, e, bill, c).Duplicate {
			t.Errorf("at %s: the second is no duplicate", at)
		}
	}
}
