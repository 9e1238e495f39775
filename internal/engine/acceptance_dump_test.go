package engine_test

import (
	"context"
	"testing"

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
