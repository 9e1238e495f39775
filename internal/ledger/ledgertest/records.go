package ledgertest

import (
	"context"
	"fmt"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

func records(t *testing.T, s *suite) {
	ctx := context.Background()
	s.add(t, entry("doc", 100, bill(subject("s", "1"), "Left-Pad@1")))
	one := advisory("GHSA-1", 1, 200, "npm/left-pad")
	one.Advisory.Aliases, one.Advisory.Related, one.Advisory.Upstream = []string{"CVE-1"}, []string{"CVE-2"}, []string{"CVE-3"}
	one.Advisory.Scores = []estate.Score{{Type: "CVSS_V3", Vector: "CVSS:3.1/AV:N"}}
	one.Advisory.Graded = estate.High
	one.Advisory.References = []estate.Reference{{Type: "FIX", URL: "https://example.org/?a=1&b=<2>"}}
	one.Advisory.Affected[0].Versions = []string{"1.0.0-weird"}
	one.Advisory.Affected[0].Purl = "pkg:npm/left-pad"
	one.Advisory.Affected[0].Scores = []estate.Score{{Type: "CVSS_V4", Vector: "CVSS:4.0/AV:L"}}
	one.Advisory.Affected[0].Ranges[0].Repo = "https://example.org/repo"
	one.Advisory.Affected[0].Ranges[0].Events = []estate.RangeEvent{{Introduced: "0"}, {Fixed: "2"}, {LastAffected: "3"}, {Limit: "4"}}

	row := func(r ledger.Record, known, since estate.Time, revision int) estate.AdvisoryRow {
		a := r.Advisory
		a.Raw = nil
		return estate.AdvisoryRow{Advisory: a, Known: known, Since: since, Revision: revision, Source: r.Source}
	}
	c := s.addRecords(t, one)
	same(t, "first revision", c.Advisories, []estate.AdvisoryRow{row(one, 200, 200, 1)})
	if c := s.addRecords(t, one); c.Seq != 0 || len(c.Advisories) != 0 {
		t.Fatalf("an equal record makes a change: %+v", c)
	}
	two := one
	two.Advisory.Withdrawn, two.Advisory.Modified, two.Known = 290, 290, 300
	two.Advisory.Raw = []byte(`{"withdrawn":true}`)
	c2 := s.addRecords(t, two)
	same(t, "withdrawal", c2.Advisories, []estate.AdvisoryRow{row(two, 300, 300, 2)})
	if c2.Seq <= c.Seq {
		t.Fatalf("Seq %d after %d", c2.Seq, c.Seq)
	}
	// Going back is a revision too, and so is a record equal to a former one.
	one.Known = 400
	same(t, "reinstated", s.addRecords(t, one).Advisories, []estate.AdvisoryRow{row(one, 400, 400, 3)})
	// The reading alone changed.
	one.Known, one.Advisory.Graded = 500, estate.Critical
	same(t, "read anew", s.addRecords(t, one).Advisories, []estate.AdvisoryRow{row(one, 500, 400, 4)})

	for known, want := range map[estate.Time]estate.AdvisoryRow{
		300: row(two, 300, 300, 2), 399: row(two, 300, 300, 2), estate.Forever: row(one, 500, 400, 4)} {
		got, err := s.Advisories(ctx, []estate.PackageName{{Ecosystem: "npm", Name: "LEFT-PAD"}, {Ecosystem: "npm", Name: "left-pad"}}, known)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "Advisories", got, []estate.AdvisoryRow{want})
		same(t, "Load", s.load(t, known).Advisories, []estate.AdvisoryRow{want})
		rec, err := s.Record(ctx, "GHSA-1", known)
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.Raw) == 0 {
			t.Fatal("Record gives no Raw")
		}
		rec.Raw = nil
		same(t, "Record", rec, want)
	}
	if rec, err := s.Record(ctx, "GHSA-1", 300); err != nil || string(rec.Raw) != `{"withdrawn":true}` {
		t.Fatalf("Raw: %q, %v", rec.Raw, err)
	}
	for _, id := range []string{"GHSA-1", "CVE-1", "CVE-2", "CVE-3"} { // own, alias, related, upstream
		got, err := s.Named(ctx, id, 399)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "Named "+id, got, []estate.AdvisoryRow{row(two, 300, 300, 2)})
		if got, err := s.Named(ctx, id, 199); err != nil || len(got) != 0 {
			t.Fatalf("Named %s before it was known: %v, %v", id, got, err)
		}
	}
	var raws []string
	for raw, err := range s.Records(ctx, "npm") {
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, string(raw))
	}
	same(t, "Records", raws, []string{string(one.Advisory.Raw)})
	_, err := s.Record(ctx, "GHSA-1", 199)
	wantCode(t, "record before it was known", err, fault.NotFound)
	_, err = s.Record(ctx, "GHSA-2", estate.Forever)
	wantCode(t, "unknown record", err, fault.NotFound)

	// One call may bring several revisions; times in it never fall.
	a, b, c3 := advisory("M", 1, 700, "npm/left-pad"), advisory("M", 2, 650, "npm/left-pad"), advisory("M", 3, 800, "npm/left-pad")
	rows := s.addRecords(t, a, b, b, c3).Advisories
	same(t, "several revisions", rows, []estate.AdvisoryRow{row(a, 700, 700, 1), row(b, 700, 700, 2), row(c3, 800, 700, 3)})
	if got := s.load(t, 750).Advisories; ids(got)[1] != "M#2" {
		t.Fatalf("at 750: %v", ids(got))
	}
}

func unusedRecords(t *testing.T, s *suite) {
	ctx := context.Background()
	// Advisory before package.
	c := s.addRecords(t, advisory("A", 1, 100, "PyPI/Zope_Interface"), advisory("B", 1, 100, "Debian:12/glibc", "Debian:11/glibc"),
		advisory("C", 1, 100, "npm/zope-interface"))
	if len(c.Advisories) != 0 {
		t.Fatalf("records of packages that nothing uses: %v", ids(c.Advisories))
	}
	same(t, "Load", ids(s.load(t, estate.Forever).Advisories), []string{})
	f := bill(subject("s", "1"))
	f.Bill.Packages = []estate.Package{pkg("PyPI", "zope.interface", "5")}
	f.Bill.Packages[0].Match[0].Name = "zope-interface"
	s.add(t, entry("one", 200, f))
	same(t, "Load", ids(s.load(t, estate.Forever).Advisories), []string{"A#1"})
	same(t, "Load before the package", ids(s.load(t, 199).Advisories), []string{})
	got, err := s.Advisories(ctx, []estate.PackageName{{Ecosystem: "PyPI", Name: "zope_interface"}, {Ecosystem: "Debian", Name: "glibc"},
		{Ecosystem: "npm", Name: "nothing"}}, estate.Forever)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "Advisories", ids(got), []string{"A#1", "B#1"})
	if got, err := s.Advisories(ctx, nil, estate.Forever); err != nil || len(got) != 0 {
		t.Fatalf("Advisories of nothing: %v, %v", ids(got), err)
	}
	// Package before advisory, by the second coordinate and another suffix.
	f = bill(subject("s", "2"))
	f.Bill.Packages = []estate.Package{{Key: "deb", Ecosystem: "Debian:12", Match: [2]estate.Coordinate{{Name: "glibc"}, {Name: "libc6"}}}}
	s.add(t, entry("two", 300, f))
	c = s.addRecords(t, advisory("D", 1, 400, "Debian:13/libc6"), advisory("E", 1, 400, "npm/libc6"), advisory("B", 2, 400, "Debian:12/glibc"))
	same(t, "change", ids(c.Advisories), []string{"B#2", "D#1"})
	s.reopen(t) // the names in use are found again
	c = s.addRecords(t, advisory("F", 1, 500, "Debian/libc6"), advisory("G", 1, 500, "npm/other"))
	same(t, "change after opening again", ids(c.Advisories), []string{"F#1"})
	// A package that cannot be matched makes no name.
	f = bill(subject("s", "3"))
	f.Bill.Packages = []estate.Package{{Key: "k", Match: [2]estate.Coordinate{{Name: "loose"}}}}
	s.add(t, entry("three", 600, f))
	if c := s.addRecords(t, advisory("H", 1, 700, "/loose")); len(c.Advisories) != 0 {
		t.Fatalf("a record without ecosystem matches")
	}
}

func recordLeaves(t *testing.T, s *suite) {
	s.add(t, entry("one", 100, bill(subject("s", "1"), "used@1")))
	s.addRecords(t, advisory("A", 1, 200, "npm/used"))
	// The next revision speaks of another package: whoever follows must hear.
	same(t, "change", ids(s.addRecords(t, advisory("A", 2, 300, "npm/other")).Advisories), []string{"A#2"})
	same(t, "Load", ids(s.load(t, estate.Forever).Advisories), []string{"A#2"})
	same(t, "Load before", ids(s.load(t, 299).Advisories), []string{"A#1"})
}

func refusedRecords(t *testing.T, s *suite) {
	bad := advisory("\xff", 1, 100, "npm/a")
	for name, r := range map[string]ledger.Record{"no id": advisory("", 1, 100, "npm/a"), "no time": advisory("A", 1, 0, "npm/a"), "not UTF-8": bad} {
		_, err := s.AppendRecords(context.Background(), []ledger.Record{advisory("GOOD", 1, 100, "npm/a"), r})
		wantCode(t, name, err, fault.Invalid)
	}
	_, err := s.Record(context.Background(), "GOOD", estate.Forever)
	wantCode(t, "neighbour within the call", err, fault.NotFound)
	if c, err := s.AppendRecords(context.Background(), nil); err != nil || c.Seq != 0 {
		t.Fatalf("no records: %+v, %v", c, err)
	}
}

func ecosystems(t *testing.T, s *suite) {
	s.addRecords(t, advisory("A", 5, 100, "npm/a", "npm/b", "PyPI/a"), advisory("B", 7, 100, "npm/a"), advisory("C", 3, 100, "Debian:12/x", "Debian:11/x"))
	s.addRecords(t, advisory("B", 9, 200, "npm/a", "npm/c"))
	s.addRecords(t, advisory("B", 8, 300, "npm/a", "Go/c"))
	want := map[string]ledger.EcosystemStats{"npm": {Records: 2, Modified: 9}, "PyPI": {Records: 1, Modified: 5},
		"Debian": {Records: 1, Modified: 3}, "Go": {Records: 1, Modified: 8}}
	check := func() {
		t.Helper()
		got, err := s.Ecosystems(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "Ecosystems", got, want)
	}
	check()
	if err := s.Rebuild(context.Background(), func(ledger.Replayed) ([]ledger.Fact, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	check()
}

func signals(t *testing.T, s *suite) {
	ctx := context.Background()
	add := func(known estate.Time, kev []estate.Exploited, epss []estate.Likelihood) estate.Change {
		t.Helper()
		c, err := s.AppendSignals(ctx, known, kev, epss)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	kev := []estate.Exploited{{CVE: "CVE-1", List: "CISA KEV", Added: 1, Due: 2}, {CVE: "CVE-1", List: "VulnCheck", Added: 1}}
	same(t, "exploited", add(100, kev, nil).Exploited, kev)
	if c := add(200, kev, nil); c.Seq != 0 || len(c.Exploited) != 0 {
		t.Fatalf("equal signals make a change: %+v", c)
	}
	kev[0].Ransomware = true
	same(t, "exploited", add(300, kev, nil).Exploited, kev[:1])

	at := func(day estate.Time, score float64) estate.Likelihood {
		return estate.Likelihood{CVE: "CVE-1", Score: score, Percentile: 0.5, At: day}
	}
	var want []estate.Likelihood
	for i, c := range []struct {
		score float64
		news  bool
	}{{0.30, true}, {0.305, false}, {0.309, false}, {0.31, true}, {0.3001, false}, {0.30, true}, {0.5, true}, {0.5, false}, {0, true}} {
		x := at(estate.Time(i+1), c.score)
		got := add(estate.Time(400+i), nil, []estate.Likelihood{x})
		if c.news != (len(got.Likelihoods) == 1) {
			t.Fatalf("step %d (%v): %d likelihoods, want news %v", i, c.score, len(got.Likelihoods), c.news)
		}
		if c.news {
			want = append(want, x)
		}
	}
	same(t, "likelihoods", s.load(t, estate.Forever).Likelihoods, want)
	_, err := s.AppendSignals(ctx, 0, kev, nil)
	wantCode(t, "no time", err, fault.Invalid)
	_, err = s.AppendSignals(ctx, 900, []estate.Exploited{{CVE: "X", List: "l"}}, []estate.Likelihood{{CVE: "X", Score: 2}})
	wantCode(t, "score over 1", err, fault.Invalid)
}

// manyLikelihoods is a whole day's list, which implementations may treat in
// another way than a few.
func manyLikelihoods(t *testing.T, s *suite) {
	ctx := context.Background()
	var day []estate.Likelihood
	for i := range 3000 {
		day = append(day, estate.Likelihood{CVE: fmt.Sprintf("CVE-%d", i), Score: float64(i%100) / 200, At: 1})
	}
	first, err := s.AppendSignals(ctx, 100, nil, day)
	if err != nil || len(first.Likelihoods) != 3000 {
		t.Fatalf("first day: %d, %v", len(first.Likelihoods), err)
	}
	for i := range day {
		day[i].At = 2
		if i%1000 == 0 {
			day[i].Score += 0.25
		}
	}
	day = append(day, day[1], estate.Likelihood{CVE: "CVE-2", Score: 0.9, At: 2}) // the second one moves
	second, err := s.AppendSignals(ctx, 200, nil, day)
	if err != nil || len(second.Likelihoods) != 4 {
		t.Fatalf("second day: %d, %v", len(second.Likelihoods), err)
	}
	same(t, "loaded", len(s.load(t, estate.Forever).Likelihoods), 3004)
}

func appVersions(t *testing.T, s *suite) {
	ctx := context.Background()
	v := func(number int, hash string, known estate.Time) estate.AppVersionRow {
		return estate.AppVersionRow{Application: "shop", Number: number, Hash: hash, Environment: "prod", At: 9, Known: known,
			Members: []estate.Member{{Service: "a/b", Release: "1", Config: "c"}, {Service: "web", Release: "2"}}}
	}
	c, err := s.AppendVersions(ctx, []estate.AppVersionRow{v(1, "h1", 100), v(2, "h2", 150)})
	if err != nil {
		t.Fatal(err)
	}
	want := []estate.AppVersionRow{v(1, "h1", 100), v(2, "h2", 150)}
	same(t, "versions", c.AppVersions, want)
	c, err = s.AppendVersions(ctx, []estate.AppVersionRow{v(3, "h1", 200)})
	if err != nil || c.Seq != 0 || len(c.AppVersions) != 0 {
		t.Fatalf("a set that has a number: %+v, %v", c, err)
	}
	other := v(1, "h1", 300)
	other.Application = "office"
	if c, err = s.AppendVersions(ctx, []estate.AppVersionRow{other}); err != nil || len(c.AppVersions) != 1 {
		t.Fatalf("another application: %+v, %v", c, err)
	}
	_, err = s.AppendVersions(ctx, []estate.AppVersionRow{v(4, "h4", 400), v(2, "h5", 400)})
	wantCode(t, "a number given twice", err, fault.Conflict)
	_, err = s.AppendVersions(ctx, []estate.AppVersionRow{{Application: "shop"}})
	wantCode(t, "blank version", err, fault.Invalid)
	same(t, "loaded", s.load(t, estate.Forever).AppVersions, append(want, other))
	same(t, "loaded at 149", s.load(t, 149).AppVersions, want[:1])
}

func values(t *testing.T, s *suite) {
	ctx := context.Background()
	put := func(bucket, key, value string) {
		t.Helper()
		if err := s.Put(ctx, bucket, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Get(ctx, "tokens", "a")
	wantCode(t, "no value", err, fault.NotFound)
	put("tokens", "a", "1")
	put("tokens", "b", "")
	put("feeds", "a", "other")
	put("tokens", "a", "2\x00\xff")
	s.reopen(t)
	if v, err := s.Get(ctx, "tokens", "a"); err != nil || string(v) != "2\x00\xff" {
		t.Fatalf("Get: %q, %v", v, err)
	}
	got, err := s.List(ctx, "tokens")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "List", got, map[string][]byte{"a": []byte("2\x00\xff"), "b": {}})
	if err := s.Delete(ctx, "tokens", "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "tokens", "a"); err != nil {
		t.Fatalf("deleting what is not there: %v", err)
	}
	_, err = s.Get(ctx, "tokens", "a")
	wantCode(t, "deleted value", err, fault.NotFound)
	if got, err := s.List(ctx, "nothing"); err != nil || len(got) != 0 {
		t.Fatalf("List of nothing: %v, %v", got, err)
	}
	wantCode(t, "key with NUL", s.Put(ctx, "a", "\x00", nil), fault.Invalid)
}
