package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// reader is a reader for rebuilds: it knows the facts of each (document, claim).
type reader map[string][]ledger.Fact

func readerKey(ev ledger.Evidence, c estate.Claim) string { return fmt.Sprint(ev.SHA256, c) }

func (r reader) add(t *testing.T, s *suite, e ledger.Entry) ledger.Outcome {
	t.Helper()
	r[readerKey(e.Evidence, e.Claim)] = e.Facts
	return s.add(t, e)
}

func (r reader) read(in ledger.Replayed) ([]ledger.Fact, error) {
	facts, ok := r[readerKey(in.Evidence, in.Claim)]
	if !ok || doc(string(in.Evidence.Body)).SHA256 != in.Evidence.SHA256 {
		return nil, fmt.Errorf("a document that nobody sent: %+v", in)
	}
	return facts, nil
}

// history fills a ledger with some of everything.
func history(t *testing.T, s *suite) reader {
	t.Helper()
	ctx := context.Background()
	r := reader{}
	s.addRecords(t, advisory("A", 1, 50, "npm/a"), advisory("Z", 1, 50, "npm/zzz"))
	r.add(t, s, full("one", 100))
	if _, err := s.AppendSignals(ctx, 150, []estate.Exploited{{CVE: "CVE-1", List: "other"}}, []estate.Likelihood{
		{CVE: "CVE-1", Score: 0.7, At: 1}, {CVE: "CVE-2", Score: 0.2, At: 1}}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		e := entry(fmt.Sprint("cart ", i), 200, bill(subject("cart", "2"), "a@1", fmt.Sprintf("b@%d", i), "c@1"))
		e.Facts[0].Bill.Depends = [][]int32{{1}, {2}, nil}
		e.Lane = "cart"
		r.add(t, s, e)
	}
	if _, err := s.AppendVersions(ctx, []estate.AppVersionRow{{Application: "shop", Number: 1, Hash: "h", At: 1, Known: 300}}); err != nil {
		t.Fatal(err)
	}
	s.addRecords(t, advisory("A", 2, 400, "npm/a"), advisory("B", 2, 450, "npm/b"))
	e := full("one", 500) // the same bytes under another claim
	e.Claim.Source = "other"
	r.add(t, s, e)
	if err := s.Put(ctx, "bucket", "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	return r
}

// dump is everything that can be seen of a ledger at some times.
func dump(t *testing.T, s *suite) map[string]any {
	t.Helper()
	ctx := context.Background()
	out := map[string]any{}
	for _, known := range []estate.Time{50, 100, 150, 202, 300, 420, 450, 499, estate.Forever} {
		c := s.load(t, known)
		out[fmt.Sprint("load ", known)] = c
		for _, b := range c.Bills {
			shape, err := s.Shape(ctx, b.ID)
			if err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprint("shape ", b.ID)] = *shape
		}
	}
	var err error
	if out["values"], err = s.List(ctx, "bucket"); err != nil {
		t.Fatal(err)
	}
	if out["record"], err = s.Record(ctx, "Z", estate.Forever); err != nil {
		t.Fatal(err)
	}
	if out["ecosystems"], err = s.Ecosystems(ctx); err != nil {
		t.Fatal(err)
	}
	if out["advisories"], err = s.Advisories(ctx, []estate.PackageName{{Ecosystem: "npm", Name: "zzz"}, {Ecosystem: "npm", Name: "a"}}, estate.Forever); err != nil {
		t.Fatal(err)
	}
	return out
}

func rebuild(t *testing.T, s *suite) {
	ctx := context.Background()
	r := history(t, s)
	before := dump(t, s)
	var order []estate.Time
	err := s.Rebuild(ctx, func(in ledger.Replayed) ([]ledger.Fact, error) {
		order = append(order, in.Known)
		return r.read(in)
	})
	if err != nil {
		t.Fatalf("Rebuild: %v", err)
	}
	same(t, "the order of reading", order, []estate.Time{100, 200, 201, 202, 203, 204, 500})
	same(t, "the ledger after a rebuild", dump(t, s), before)
	s.reopen(t)
	same(t, "the ledger opened again", dump(t, s), before)
	// Writing goes on where it was: ids, interning, times, duplicates.
	out := s.add(t, entry("later", 1, bill(subject("cart", "2"), "a@1", "new@1")))
	bills := len(before[fmt.Sprint("load ", estate.Forever)].(estate.Change).Bills)
	if out.Known != 501 || len(out.Change.Packages) != 1 || len(out.Change.Subjects) != 0 || int(out.Change.Bills[0].ID) != bills+1 {
		t.Fatalf("after the rebuild: %+v", out)
	}
	if again, err := s.Append(ctx, full("one", 600)); err != nil || !again.Duplicate {
		t.Fatalf("a duplicate after the rebuild: %+v, %v", again, err)
	}
	same(t, "records", ids(s.addRecords(t, advisory("N", 1, 700, "npm/new"), advisory("A", 2, 700, "npm/a")).Advisories), []string{"N#1"})
}

func rebuildChanged(t *testing.T, s *suite) {
	r := history(t, s)
	before := s.load(t, estate.Forever)
	// The better reader finds another package name in "cart" documents, and none of c.
	err := s.Rebuild(context.Background(), func(in ledger.Replayed) ([]ledger.Fact, error) {
		facts, err := r.read(in)
		if strings.HasPrefix(string(in.Evidence.Body), "cart") {
			return []ledger.Fact{bill(subject("cart", "2"), "zzz@1")}, err
		}
		return facts, err
	})
	if err != nil {
		t.Fatal(err)
	}
	after := s.load(t, estate.Forever)
	same(t, "names", ids(after.Advisories), []string{"A#2", "B#1", "Z#1"}) // b stands in "one", zzz is new
	if len(after.Packages) != 5 || after.Packages[4].Name != "zzz" || after.Packages[4].ID != 5 {
		t.Fatalf("packages: %+v", after.Packages)
	}
	same(t, "bills", len(after.Bills), len(before.Bills))
	for i := range after.Bills {
		same(t, "known", after.Bills[i].Known, before.Bills[i].Known)
	}
	same(t, "likelihoods", after.Likelihoods, before.Likelihoods)
	same(t, "versions", after.AppVersions, before.AppVersions)
	same(t, "names at 199", ids(s.load(t, 199).Advisories), []string{"A#1"})
	same(t, "change", ids(s.addRecords(t, advisory("Y", 1, 900, "npm/c"), advisory("X", 1, 900, "npm/zzz")).Advisories), []string{"X#1"})
}

func rebuildFails(t *testing.T, s *suite) {
	r := history(t, s)
	before := dump(t, s)
	defect := errors.New("defect")
	for name, read := range map[string]func(ledger.Replayed) ([]ledger.Fact, error){
		"a reader's error": func(in ledger.Replayed) ([]ledger.Fact, error) {
			if in.Known > 200 {
				return nil, defect
			}
			return r.read(in)
		},
		"a refused fact": func(in ledger.Replayed) ([]ledger.Fact, error) {
			if in.Known > 200 {
				return []ledger.Fact{{}}, nil
			}
			return nil, nil
		},
	} {
		err := s.Rebuild(context.Background(), read)
		if err == nil || name == "a reader's error" && !errors.Is(err, defect) || !strings.Contains(err.Error(), doc("cart 1").SHA256) {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, "the ledger after "+name, dump(t, s), before)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Rebuild(ctx, func(in ledger.Replayed) ([]ledger.Fact, error) {
		cancel()
		return r.read(in)
	})
	wantCode(t, "a rebuild that is broken off", err, fault.Unavailable)
	same(t, "the ledger after a rebuild that is broken off", dump(t, s), before)
	out := s.add(t, entry("later", 1, bill(subject("cart", "2"), "a@1", "new@1")))
	if len(out.Change.Packages) != 1 || int(out.Change.Packages[0].ID) != len(before[fmt.Sprint("load ", estate.Forever)].(estate.Change).Packages)+1 {
		t.Fatalf("after failed rebuilds: %+v", out.Change)
	}
}

func rebuildRetained(t *testing.T, s *suite) {
	ctx := context.Background()
	r := history(t, s)
	dropped, err := s.Retain(ctx, 1000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "dropped", dropped, ledger.Dropped{Bodies: 4, Revisions: 1})
	before := dump(t, s)
	reads := 0
	err = s.Rebuild(ctx, func(in ledger.Replayed) ([]ledger.Fact, error) {
		reads++
		return r.read(in)
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "documents read", reads, 3)
	same(t, "the ledger after a rebuild", dump(t, s), before)
}

func retention(t *testing.T, s *suite) {
	ctx := context.Background()
	e := func(body, lane string, known estate.Time) ledger.Entry {
		e := entry(body, known, bill(subject("s", "1"), "a@1"))
		e.Lane = lane
		return e
	}
	for _, x := range []ledger.Entry{
		e("old", "l", 100), e("middle", "l", 200), e("new", "l", 300),
		e("kept by another claim", "l2", 400), e("replaces it", "l2", 500),
		e("no lane", "", 600),
		{Evidence: doc("verdict"), Lane: "l3", Known: 700, Facts: []ledger.Fact{{Verdict: &estate.Verdict{Advisory: "A", Status: estate.StatusFixed}}}},
		e("after the verdict", "l3", 710),
	} {
		s.add(t, x)
	}
	again := e("kept by another claim", "", 800)
	again.Claim.Source = "someone else"
	s.add(t, again)
	for i := range 3 {
		s.addRecords(t, advisory("A", estate.Time(i), estate.Time(900+100*i), "npm/a"))
	}
	has := func(body string) bool {
		t.Helper()
		got, err := s.Evidence(ctx, doc(body).SHA256)
		if err != nil && fault.Of(err) != fault.NotFound {
			t.Fatal(err)
		}
		return err == nil && string(got.Body) == body
	}
	retain := func(evidence, revisions estate.Time, want ledger.Dropped) {
		t.Helper()
		got, err := s.Retain(ctx, evidence, revisions)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("Retain(%d, %d)", evidence, revisions), got, want)
	}
	before := s.load(t, estate.Forever)
	retain(0, 0, ledger.Dropped{})
	retain(200, 1000, ledger.Dropped{}) // "old" was replaced at 200, not before
	retain(201, 0, ledger.Dropped{Bodies: 1})
	if has("old") || !has("middle") || !has("new") {
		t.Fatal("the wrong bodies are gone")
	}
	at1000 := s.load(t, 1000)
	retain(0, 1001, ledger.Dropped{Revisions: 1})
	// What was known from the given time on is still answered.
	same(t, "load at 1000", s.load(t, 1000), at1000)
	retain(estate.Forever, estate.Forever, ledger.Dropped{Bodies: 1, Revisions: 1})
	if has("middle") || !has("new") || !has("kept by another claim") || !has("no lane") || !has("verdict") {
		t.Fatal("the wrong bodies are gone")
	}
	retain(estate.Forever, estate.Forever, ledger.Dropped{})
	same(t, "facts", s.load(t, estate.Forever), before)
	s.add(t, e("old", "l", 2000)) // asserted again, it is stored again
	if !has("old") {
		t.Fatal("evidence that came again has no body")
	}
}

func closed(t *testing.T, s *suite) {
	ctx := context.Background()
	l := s.Ledger
	s.close(t)
	errs := map[string]error{}
	_, errs["Append"] = l.Append(ctx, entry("x", 1))
	_, errs["AppendRecords"] = l.AppendRecords(ctx, nil)
	_, errs["AppendSignals"] = l.AppendSignals(ctx, 1, nil, nil)
	_, errs["AppendVersions"] = l.AppendVersions(ctx, nil)
	errs["Load"] = l.Load(ctx, 1, func(estate.Change) error { return nil })
	_, errs["Advisories"] = l.Advisories(ctx, nil, 1)
	_, errs["Record"] = l.Record(ctx, "x", 1)
	_, errs["Named"] = l.Named(ctx, "x", 1)
	for _, err := range l.Records(ctx, "npm") {
		errs["Records"] = err
	}
	_, errs["Evidence"] = l.Evidence(ctx, doc("x").SHA256)
	_, errs["Shape"] = l.Shape(ctx, 1)
	errs["Rebuild"] = l.Rebuild(ctx, func(ledger.Replayed) ([]ledger.Fact, error) { return nil, nil })
	_, errs["Get"] = l.Get(ctx, "a", "b")
	errs["Put"] = l.Put(ctx, "a", "b", nil)
	errs["Delete"] = l.Delete(ctx, "a", "b")
	_, errs["List"] = l.List(ctx, "a")
	_, errs["Ecosystems"] = l.Ecosystems(ctx)
	_, errs["Retain"] = l.Retain(ctx, 0, 0)
	if _, ok := errs["Records"]; !ok {
		t.Error("Records of a closed ledger yields no error")
	}
	for name, err := range errs {
		wantCode(t, name+" of a closed ledger", err, fault.Unavailable)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}

func endedContext(t *testing.T, s *suite) {
	s.add(t, entry("one", 100, bill(subject("s", "1"), "a@1")))
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Load(ctx, estate.Forever, func(estate.Change) error {
		cancel()
		return ctx.Err()
	})
	wantCode(t, "Load", err, fault.Unavailable)
	// An append under an ended context is refused or done, and says which.
	for i := range 50 {
		out, err := s.Append(ctx, entry(fmt.Sprint("x", i), 200, bill(subject("s", "1"))))
		_, missing := s.Evidence(context.Background(), doc(fmt.Sprint("x", i)).SHA256)
		if (err == nil) != (missing == nil) {
			t.Fatalf("Append: %+v, %v; and its evidence: %v", out, err, missing)
		}
		if err != nil && (fault.Of(err) != fault.Unavailable || !errors.Is(err, context.Canceled)) {
			t.Fatalf("Append: %v", err)
		}
	}
	s.add(t, entry("two", 300, bill(subject("s", "2"))))
}

func reopen(t *testing.T, s *suite) {
	r := history(t, s)
	before := dump(t, s)
	s.reopen(t)
	same(t, "the ledger opened again", dump(t, s), before)
	if again, err := s.Append(context.Background(), full("one", 900)); err != nil || !again.Duplicate {
		t.Fatalf("a duplicate after opening again: %+v, %v", again, err)
	}
	out := r.add(t, s, entry("more", 900, bill(subject("cart", "2"), "a@1", "more@1")))
	if len(out.Change.Packages) != 1 || len(out.Change.Subjects) != 0 || out.Change.Seq <= before[fmt.Sprint("load ", estate.Forever)].(estate.Change).Seq {
		t.Fatalf("after opening again: %+v", out.Change)
	}
}
