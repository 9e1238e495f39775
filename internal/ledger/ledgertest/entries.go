package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

func duplicates(t *testing.T, s *suite) {
	ctx := context.Background()
	e := entry("one", 100, bill(subject("cart", "1"), "a@1"))
	first := s.add(t, e)
	e.Known = 200
	again, err := s.Append(ctx, e)
	if err != nil || !again.Duplicate || again.Known != first.Known || again.Change.Seq != 0 {
		t.Fatalf("the same entry again: %+v, %v", again, err)
	}
	// Another claim of the same bytes is news; the bytes are stored once.
	for i, change := range []func(*estate.Claim){
		func(c *estate.Claim) { c.Source = "other" },
		func(c *estate.Claim) { c.Subject.Version = "2" },
		func(c *estate.Claim) { c.At = 7 },
		func(c *estate.Claim) { c.Headers = map[string]string{"ce-type": "x"} },
		func(c *estate.Claim) { c.Deploy = true },
	} {
		other := e
		change(&other.Claim)
		s.add(t, other)
		if again, err := s.Append(ctx, other); err != nil || !again.Duplicate {
			t.Fatalf("claim %d again: %+v, %v", i, again, err)
		}
	}
	if n := len(s.load(t, estate.Forever).Bills); n != 6 {
		t.Fatalf("%d bills, want 6", n)
	}
}

func lanes(t *testing.T, s *suite) {
	ctx := context.Background()
	one := entry("one", 100, bill(subject("cart", "1"), "a@1"))
	two := entry("two", 200, bill(subject("cart", "1"), "a@2"))
	other := entry("three", 300, bill(subject("web", "1"), "a@3"))
	one.Lane, two.Lane, other.Lane = "cart", "cart", "web"
	s.add(t, one)
	s.add(t, other)
	if out, err := s.Append(ctx, one); err != nil || !out.Duplicate {
		t.Fatalf("newest of its lane again: %+v, %v", out, err)
	}
	s.add(t, two)
	one.Known = 400
	s.add(t, one) // it had been replaced, so this is a new claim
	if out, err := s.Append(ctx, one); err != nil || !out.Duplicate || out.Known != 400 {
		t.Fatalf("newest of its lane again: %+v, %v", out, err)
	}
	two.Known = 500
	s.add(t, two)
	if n := len(s.load(t, estate.Forever).Bills); n != 5 {
		t.Fatalf("%d bills, want 5", n)
	}
}

func knownRises(t *testing.T, s *suite) {
	var got []estate.Time
	for i, known := range []estate.Time{100, 100, 50, 102, 1000} {
		got = append(got, s.add(t, entry(fmt.Sprint(i), known, bill(subject("s", fmt.Sprint(i))))).Known)
	}
	same(t, "known", got, []estate.Time{100, 101, 102, 103, 1000})
	// Everything that is written keeps the one clock.
	s.addRecords(t, advisory("A", 1, 10, "npm/x"))
	r, err := s.Record(context.Background(), "A", estate.Forever)
	if err != nil || r.Known != 1001 {
		t.Fatalf("record: known %d, %v", r.Known, err)
	}
	s.reopen(t)
	if k := s.add(t, entry("last", 5, bill(subject("s", "last")))).Known; k != 1002 {
		t.Fatalf("after opening again: known %d, want 1002", k)
	}
}

// full has every kind of fact, with every field set to something of its own.
func full(body string, known estate.Time) ledger.Entry {
	sub := estate.Subject{Namespace: "shop", Name: "cart", Version: "1.4", Digest: "sha256:ab", Derived: true}
	release := subject("web", "7")
	e := entry(body, known,
		ledger.Fact{Bill: &ledger.NewBill{Subject: sub, Format: "CycloneDX 1.6 JSON", Generator: "syft", Serial: "urn:uuid:1",
			Made: 11, At: 12, Partial: true, Reported: 3, Notes: []string{"note", "“quoted” & <b>"},
			Packages: []estate.Package{
				pkg("npm", "b", "2"), pkg("npm", "a", "1"), pkg("npm", "b", "2"),
				{Key: "pkg:deb/debian/libc6@2.36-9?distro=debian-12&upstream=glibc", Name: "libc6", Version: "2.36-9", Ecosystem: "Debian:12",
					Match: [2]estate.Coordinate{{Name: "glibc", Version: "2.36-9"}, {Name: "libc6", Version: "2.36-9+b1"}}},
				{Key: "?file:x@", Name: "x", Unmatched: estate.NotAPackage},
			},
			Depends: [][]int32{{1, 3}, nil, {0}, {4}, nil}, Direct: []int32{2, 0}}},
		ledger.Fact{Event: &ledger.NewEvent{Subject: sub, Environment: "prod", Config: "sha256:cd", Replicas: 3, At: 13, Batch: 4, Complete: true}},
		ledger.Fact{Event: &ledger.NewEvent{Subject: release, Environment: "prod", Alongside: true, At: 13, Batch: 4, Complete: true}},
		ledger.Fact{Event: &ledger.NewEvent{Subject: release, Environment: "test", Removed: true, At: 14, Batch: 0}},
		ledger.Fact{Artifact: &ledger.NewArtifact{Subject: sub, Purl: "pkg:oci/cart@sha256:ab", At: 15}},
		ledger.Fact{Verdict: &estate.Verdict{Advisory: "CVE-1", Package: "pkg:npm/a", Range: "<2", Release: sub, Application: "storefront",
			Domain: "sales", Environment: "prod", Status: estate.StatusNotAffected, Justification: "code_not_reachable",
			Reason: "line\n“two” \u2028 <&>", Author: "kim", At: 16, Expires: estate.Forever}},
		ledger.Fact{Exploited: &estate.Exploited{CVE: "CVE-1", List: "CISA KEV", Added: 17, Due: 18, Ransomware: true, Note: "n"}},
		ledger.Fact{Likelihood: &estate.Likelihood{CVE: "CVE-1", Score: 0.1234567, Percentile: 0.9, At: 19}},
		ledger.Fact{Description: &estate.Description{Since: -20,
			Domains:      []estate.DomainSpec{{Name: "sales", Parent: "all"}},
			Teams:        []estate.TeamSpec{{Name: "red", Contact: "red@example.org"}},
			Services:     []estate.ServiceSpec{{Name: "cart", Tier: 1, Aliases: []string{"shop/basket"}, Retired: true}},
			Applications: []estate.ApplicationSpec{{Name: "storefront", Services: []string{"cart"}, EntryPoints: []string{"web"}}},
			Environments: []estate.EnvironmentSpec{{Name: "prod", Tier: "production", Aliases: []string{"c1/shop"}}},
			Objectives:   []estate.Objective{{Severity: "critical", Days: 15}}}},
	)
	e.Claim = estate.Claim{Source: "ci", Subject: sub, Environment: "prod", Deploy: true, At: -9, Headers: map[string]string{"b": "2", "a": "1"}}
	return e
}

func everyFact(t *testing.T, s *suite) {
	e := full("everything", 100)
	out := s.add(t, e)
	sha, b, v, d := e.Evidence.SHA256, e.Facts[0].Bill, e.Facts[5].Verdict, e.Facts[8].Description
	pkgs := []estate.Package{b.Packages[0], b.Packages[1], b.Packages[3], b.Packages[4]}
	for i := range pkgs {
		pkgs[i].ID = estate.PackageID(i + 1)
	}
	want := estate.Change{
		Seq:      out.Change.Seq,
		Packages: pkgs,
		Subjects: []estate.SubjectRow{{ID: 1, Subject: b.Subject}, {ID: 2, Subject: subject("web", "7")}},
		Bills: []estate.BillRow{{ID: 1, Subject: 1, Evidence: sha, Source: "ci", Format: b.Format, Generator: "syft", Serial: b.Serial,
			Made: 11, At: 12, Known: 100, Partial: true, Packages: []estate.PackageID{1, 2, 3, 4}, Listed: 5, Reported: 3, Notes: b.Notes}},
		Events: []estate.EventRow{
			{ID: 1, Subject: 1, Environment: "prod", Source: "ci", Config: "sha256:cd", Replicas: 3, At: 13, Known: 100, Evidence: sha, Batch: 1, Complete: true},
			{ID: 2, Subject: 2, Environment: "prod", Source: "ci", Alongside: true, At: 13, Known: 100, Evidence: sha, Batch: 1, Complete: true},
			{ID: 3, Subject: 2, Environment: "test", Source: "ci", Removed: true, At: 14, Known: 100, Evidence: sha, Batch: 3}},
		Artifacts:    []estate.ArtifactRow{{ID: 1, Subject: 1, Source: "ci", Purl: "pkg:oci/cart@sha256:ab", At: 15, Known: 100, Evidence: sha}},
		Verdicts:     []estate.VerdictRow{{ID: 1, Known: 100, Source: "ci", Evidence: sha, Verdict: *v}},
		Exploited:    []estate.Exploited{*e.Facts[6].Exploited},
		Likelihoods:  []estate.Likelihood{*e.Facts[7].Likelihood},
		Descriptions: []estate.DescriptionRow{{ID: 1, Known: 100, Source: "ci", Evidence: sha, Description: *d}},
	}
	got := s.load(t, estate.Forever)
	same(t, "the change", withoutBatch(out.Change), withoutBatch(want))
	same(t, "what is loaded", got, out.Change)
	if e := got.Events; e[0].Batch != e[1].Batch || e[0].Batch == e[2].Batch {
		t.Fatalf("batches: %d, %d, %d", e[0].Batch, e[1].Batch, e[2].Batch)
	}
	// Another document has other batches.
	next := s.add(t, full("everything again", 200))
	if next.Change.Events[0].Batch == got.Events[0].Batch || next.Change.Events[0].Batch == got.Events[2].Batch {
		t.Fatalf("two documents share a batch")
	}
	if c := next.Change; len(c.Packages)+len(c.Subjects)+len(c.Exploited)+len(c.Likelihoods) != 0 {
		t.Fatalf("known packages, subjects or signals are told again: %+v", c)
	}
}

// withoutBatch blanks the numbers of batches, which are an implementation's choice.
func withoutBatch(c estate.Change) estate.Change {
	c.Events = slices.Clone(c.Events)
	for i := range c.Events {
		c.Events[i].Batch = 0
	}
	return c
}

func refused(t *testing.T, s *suite) {
	good := bill(subject("cart", "1"), "a@1")
	withBill := func(f func(*ledger.NewBill)) ledger.Entry {
		f2 := bill(subject("bad", "1"), "a@1", "new@1")
		f(f2.Bill)
		return entry("doc", 100, good, f2)
	}
	bad := map[string]ledger.Entry{
		"no fact":          entry("doc", 100, good, ledger.Fact{}),
		"two facts in one": entry("doc", 100, ledger.Fact{Bill: good.Bill, Artifact: &ledger.NewArtifact{}}),
		"no time":          entry("doc", 0, good),
		"endless time":     entry("doc", estate.Forever, good),
		"no digest":        {Evidence: ledger.Evidence{SHA256: "12", Body: []byte("x")}, Known: 100, Facts: []ledger.Fact{good}},
		"package without key": withBill(func(b *ledger.NewBill) {
			b.Packages[1].Key = ""
		}),
		"package name with NUL": withBill(func(b *ledger.NewBill) { b.Packages[1].Name = "a\x00b" }),
		"version not UTF-8":     withBill(func(b *ledger.NewBill) { b.Packages[1].Version = "\xff" }),
		"subject not UTF-8":     withBill(func(b *ledger.NewBill) { b.Subject.Name = "\xc3" }),
		"short graph":           withBill(func(b *ledger.NewBill) { b.Depends = [][]int32{{1}} }),
		"graph out of range":    withBill(func(b *ledger.NewBill) { b.Depends = [][]int32{{2}, nil} }),
		"graph below range":     withBill(func(b *ledger.NewBill) { b.Direct = []int32{-1} }),
		"likelihood over 1":     entry("doc", 100, good, ledger.Fact{Likelihood: &estate.Likelihood{CVE: "C", Score: 1.5}}),
		"likelihood NaN":        entry("doc", 100, good, ledger.Fact{Likelihood: &estate.Likelihood{CVE: "C", Score: math.NaN()}}),
		"exploited without CVE": entry("doc", 100, good, ledger.Fact{Exploited: &estate.Exploited{List: "x"}}),
		"verdict on nothing":    entry("doc", 100, good, ledger.Fact{Verdict: &estate.Verdict{Status: estate.StatusFixed}}),
	}
	for name, e := range bad {
		_, err := s.Append(context.Background(), e)
		wantCode(t, name, err, fault.Invalid)
	}
	same(t, "what is stored", s.load(t, estate.Forever), estate.Change{})
	_, err := s.Evidence(context.Background(), doc("doc").SHA256)
	wantCode(t, "evidence of a refused entry", err, fault.NotFound)
	// Nothing stays behind in memory either: ids start at 1.
	out := s.add(t, entry("doc", 100, good))
	if out.Known != 100 || out.Change.Packages[0].ID != 1 || out.Change.Bills[0].ID != 1 || out.Change.Subjects[0].ID != 1 {
		t.Fatalf("after refused entries: %+v", out)
	}
}

func parallel(t *testing.T, s *suite) {
	const writers, each = 8, 25
	outs := make([][]ledger.Outcome, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				out, err := s.Append(context.Background(), entry(fmt.Sprintf("%d/%d", w, i), 100,
					bill(subject(fmt.Sprintf("s%d", w), fmt.Sprint(i)), "shared@1", fmt.Sprintf("w%d@%d", w, i))))
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				outs[w] = append(outs[w], out)
			}
		})
	}
	wg.Wait()
	var all []ledger.Outcome
	for _, o := range outs {
		all = append(all, o...)
	}
	slices.SortFunc(all, func(a, b ledger.Outcome) int { return int(a.Change.Seq - b.Change.Seq) })
	// Applied in the order of Seq, the changes are what Load gives.
	var feed estate.Change
	for i, o := range all {
		if i > 0 && (o.Known <= all[i-1].Known || o.Change.Seq <= all[i-1].Change.Seq) {
			t.Fatalf("change %d: known %d, Seq %d after %d, %d", i, o.Known, o.Change.Seq, all[i-1].Known, all[i-1].Change.Seq)
		}
		merge(&feed, o.Change)
		feed.Seq = o.Change.Seq
	}
	got := s.load(t, estate.Forever)
	same(t, "the feed", feed, got)
	if len(got.Bills) != writers*each || len(got.Packages) != writers*each+1 {
		t.Fatalf("%d bills and %d packages, want %d and %d", len(got.Bills), len(got.Packages), writers*each, writers*each+1)
	}
}

func neighbours(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			f := bill(subject("s", fmt.Sprint(i)), "shared@1", fmt.Sprintf("p@%d", i))
			if i%3 == 0 { // refused late, at the last package of the bill
				f.Bill.Packages[1].Name = "\xff"
			}
			_, err := s.Append(context.Background(), entry(fmt.Sprint(i), 100, f))
			if want := map[bool]fault.Code{true: fault.Invalid}[i%3 == 0]; fault.Of(err) != want {
				t.Errorf("entry %d: %v, want %q", i, err, want)
			}
		})
	}
	wg.Wait()
	if got := s.load(t, estate.Forever); len(got.Bills) != 40 || len(got.Packages) != 41 || len(got.Subjects) != 40 {
		t.Fatalf("%d bills, %d packages, %d subjects; want 40, 41, 40", len(got.Bills), len(got.Packages), len(got.Subjects))
	}
}

func loadPast(t *testing.T, s *suite) {
	s.add(t, full("one", 100))
	at100 := s.load(t, estate.Forever)
	s.addRecords(t, advisory("A", 1, 200, "npm/a"))
	at200 := s.load(t, estate.Forever)
	s.addRecords(t, advisory("A", 2, 300, "npm/a"), advisory("B", 2, 300, "npm/a"))
	if _, err := s.AppendSignals(context.Background(), 400, nil, []estate.Likelihood{{CVE: "CVE-1", Score: 0.5, At: 1}}); err != nil {
		t.Fatal(err)
	}
	s.add(t, full("two", 500))
	for _, c := range []struct {
		known estate.Time
		want  estate.Change
	}{{99, estate.Change{}}, {100, at100}, {199, at100}, {200, at200}, {299, at200}} {
		same(t, fmt.Sprintf("load at %d", c.known), s.load(t, c.known), c.want)
	}
	if got := s.load(t, 300); len(got.Advisories) != 2 || got.Advisories[0].Revision != 2 || got.Advisories[0].Since != 200 {
		t.Fatalf("load at 300: %+v", got.Advisories)
	}
	if a, b := len(s.load(t, 399).Likelihoods), len(s.load(t, 400).Likelihoods); a != 1 || b != 2 {
		t.Fatalf("likelihoods: %d, then %d", a, b)
	}
}

func loadChunks(t *testing.T, s *suite) {
	// Wide entries, so that Load must cut, and cut between transactions only.
	for i := range 12 {
		f := bill(subject("wide", fmt.Sprint(i)))
		for j := range 1500 {
			f.Bill.Packages = append(f.Bill.Packages, pkg("npm", fmt.Sprintf("p%d", j), fmt.Sprint(i)))
		}
		s.add(t, entry(fmt.Sprint(i), 100, f))
	}
	chunks, packages := 0, 0
	err := s.Load(context.Background(), estate.Forever, func(c estate.Change) error {
		chunks++
		packages += len(c.Packages)
		if len(c.Packages)%1500 != 0 || len(c.Bills) != len(c.Packages)/1500 {
			t.Errorf("chunk %d splits a transaction: %d packages, %d bills", chunks, len(c.Packages), len(c.Bills))
		}
		return nil
	})
	if err != nil || chunks < 2 || packages != 12*1500 {
		t.Fatalf("%d chunks, %d packages, %v", chunks, packages, err)
	}
	s.load(t, estate.Forever)
}

func loadEnds(t *testing.T, s *suite) {
	s.add(t, entry("one", 100, bill(subject("s", "1"), "a@1")))
	stop := errors.New("enough")
	if err := s.Load(context.Background(), estate.Forever, func(estate.Change) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("Load: %v, want the caller's error", err)
	}
	// While Load runs, the ledger can be asked and written; Load shows one state.
	bills := 0
	err := s.Load(context.Background(), estate.Forever, func(c estate.Change) error {
		bills += len(c.Bills)
		if _, err := s.Append(context.Background(), entry("two", 200, bill(subject("s", "2")))); err != nil {
			return err
		}
		_, err := s.Shape(context.Background(), 1)
		return err
	})
	if err != nil || bills != 1 {
		t.Fatalf("%d bills, %v", bills, err)
	}
}

func evidence(t *testing.T, s *suite) {
	ctx := context.Background()
	e := entry(`{"some":"document","zeros":"`+string(make([]byte, 5000))+`"}`, 100, bill(subject("s", "1")))
	s.add(t, e)
	empty := entry("", 200, bill(subject("s", "2")))
	s.add(t, empty)
	for _, want := range []ledger.Evidence{e.Evidence, empty.Evidence} {
		got, err := s.Evidence(ctx, want.SHA256)
		if err != nil || got.SHA256 != want.SHA256 || got.Format != want.Format || string(got.Body) != string(want.Body) {
			t.Fatalf("Evidence: %d bytes, %q, %v; want %d bytes", len(got.Body), got.Format, err, len(want.Body))
		}
	}
	_, err := s.Evidence(ctx, doc("nobody sent this").SHA256)
	wantCode(t, "unknown evidence", err, fault.NotFound)
	_, err = s.Evidence(ctx, "zz")
	wantCode(t, "no digest", err, fault.Invalid)
}

func shapes(t *testing.T, s *suite) {
	ctx := context.Background()
	e := full("full", 100)
	s.add(t, e)
	got, err := s.Shape(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "shape", got, &estate.Shape{Order: []estate.PackageID{1, 2, 1, 3, 4}, Depends: e.Facts[0].Bill.Depends, Direct: []int32{2, 0}})
	s.add(t, entry("flat", 200, bill(subject("s", "1"), "z@1", "a@1")))
	s.add(t, entry("none", 300, bill(subject("s", "2"))))
	if got, err = s.Shape(ctx, 2); err != nil {
		t.Fatal(err)
	}
	same(t, "shape without a graph", got, &estate.Shape{Order: []estate.PackageID{5, 2}})
	if got, err = s.Shape(ctx, 3); err != nil {
		t.Fatal(err)
	}
	same(t, "shape of nothing", got, &estate.Shape{})
	_, err = s.Shape(ctx, 4)
	wantCode(t, "unknown bill", err, fault.NotFound)
}
