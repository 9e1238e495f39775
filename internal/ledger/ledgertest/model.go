package ledgertest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/ledger"
)

// reference is a ledger as one would write it without care for speed or
// safety; the property test compares the real one with it.
type reference struct {
	known    estate.Time
	claims   []refClaim
	steps    []refStep
	packages map[string]estate.PackageID
	subjects map[estate.Subject]estate.SubjectID
	used     map[estate.PackageName]estate.Time
	records  map[string][]refRecord
	bills    estate.BillID
	scores   map[string]float64
}

type refClaim struct {
	body, source, lane string
	known              estate.Time
}

type refStep struct {
	known  estate.Time
	change estate.Change
}

type refRecord struct {
	row   estate.AdvisoryRow
	names []estate.PackageName
}

func newReference() *reference {
	return &reference{packages: map[string]estate.PackageID{}, subjects: map[estate.Subject]estate.SubjectID{},
		used: map[estate.PackageName]estate.Time{}, records: map[string][]refRecord{}, scores: map[string]float64{}}
}

func (m *reference) append(e ledger.Entry) (duplicate bool) {
	for _, c := range slices.Backward(m.claims) {
		if c.body == string(e.Evidence.Body) && c.source == e.Claim.Source {
			newer := slices.ContainsFunc(m.claims, func(n refClaim) bool { return n.lane == e.Lane && n.known > c.known })
			if e.Lane == "" || !newer {
				return true
			}
			break
		}
	}
	m.known = max(e.Known, m.known+1)
	m.claims = append(m.claims, refClaim{string(e.Evidence.Body), e.Claim.Source, e.Lane, m.known})
	var c estate.Change
	for _, f := range e.Facts {
		b := f.Bill
		id, ok := m.subjects[b.Subject]
		if !ok {
			id = estate.SubjectID(len(m.subjects) + 1)
			m.subjects[b.Subject] = id
			c.Subjects = append(c.Subjects, estate.SubjectRow{ID: id, Subject: b.Subject})
		}
		set := map[estate.PackageID]bool{}
		for _, p := range b.Packages {
			pid, ok := m.packages[p.Key]
			if !ok {
				pid = estate.PackageID(len(m.packages) + 1)
				m.packages[p.Key], p.ID = pid, pid
				c.Packages = append(c.Packages, p)
				n := estate.PackageName{Ecosystem: p.Ecosystem, Name: Fold(p.Ecosystem, p.Match[0].Name)}
				if _, ok := m.used[n]; !ok {
					m.used[n] = m.known
				}
			}
			set[pid] = true
		}
		m.bills++
		c.Bills = append(c.Bills, estate.BillRow{ID: m.bills, Subject: id, Evidence: e.Evidence.SHA256, Source: e.Claim.Source,
			Format: b.Format, Generator: b.Generator, At: b.At, Known: m.known, Packages: slices.Sorted(maps.Keys(set)), Listed: len(b.Packages)})
	}
	m.steps = append(m.steps, refStep{m.known, c})
	return false
}

// appendRecord returns whether the change tells of the record.
func (m *reference) appendRecord(r ledger.Record) bool {
	rev := m.records[r.Advisory.ID]
	row := estate.AdvisoryRow{Advisory: r.Advisory, Revision: len(rev) + 1, Source: r.Source}
	row.Raw = nil
	if len(rev) > 0 {
		last := rev[len(rev)-1].row
		if last.Modified == row.Modified && slices.EqualFunc(last.Affected, row.Affected, func(a, b estate.Affected) bool { return a.Name == b.Name }) {
			return false
		}
	}
	m.known = max(r.Known, m.known+1)
	row.Known, row.Since = m.known, m.known
	if len(rev) > 0 && reflect.DeepEqual(rev[len(rev)-1].row.Affected, row.Affected) {
		row.Since = rev[len(rev)-1].row.Since
	}
	var names []estate.PackageName
	for _, a := range r.Advisory.Affected {
		names = append(names, estate.PackageName{Ecosystem: a.Ecosystem, Name: Fold(a.Ecosystem, a.Name)})
	}
	m.records[r.Advisory.ID] = append(rev, refRecord{row, names})
	return m.inUse(r.Advisory.ID, estate.Forever)
}

// inUse tells whether a name of any revision of the record was in use by then.
func (m *reference) inUse(id string, known estate.Time) bool {
	for _, r := range m.records[id] {
		for _, n := range r.names {
			if since, ok := m.used[n]; ok && since <= known {
				return true
			}
		}
	}
	return false
}

func (m *reference) score(known estate.Time, l estate.Likelihood) {
	if before, ok := m.scores[l.CVE]; ok && math.Abs(before-l.Score) < 0.0099999 {
		return
	}
	m.known = max(known, m.known+1)
	m.scores[l.CVE] = l.Score
	m.steps = append(m.steps, refStep{m.known, estate.Change{Likelihoods: []estate.Likelihood{l}}})
}

func (m *reference) load(known estate.Time) estate.Change {
	var out estate.Change
	for _, s := range m.steps {
		if s.known <= known {
			merge(&out, s.change)
		}
	}
	for id, revisions := range m.records {
		if !m.inUse(id, known) {
			continue
		}
		for _, r := range slices.Backward(revisions) {
			if r.row.Known <= known {
				out.Advisories = append(out.Advisories, r.row)
				break
			}
		}
	}
	slices.SortFunc(out.Advisories, func(a, b estate.AdvisoryRow) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// model runs random histories against the reference, opens the ledger again,
// and compares all that Load gives, now and at past times. One ledger serves
// one history.
func model(t *testing.T, s *suite) {
	ctx := context.Background()
	root, n := s.dir, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		s.close(t)
		s.dir = fmt.Sprintf("%s/%d", root, n)
		s.reopen(t)
		m := newReference()
		known := estate.Time(1000)
		names := rapid.SampledFrom([]string{"npm/a", "npm/b", "npm/C", "PyPI/x_y", "PyPI/X-y", "Go/m"})
		step := func(rt *rapid.T) { known += estate.Time(rapid.IntRange(-2, 5).Draw(rt, "pause")) }
		rt.Repeat(map[string]func(*rapid.T){
			"entry": func(rt *rapid.T) {
				step(rt)
				b := &ledger.NewBill{Format: "f", Generator: rapid.SampledFrom([]string{"", "g"}).Draw(rt, "generator"), At: known,
					Subject: subject(rapid.SampledFrom([]string{"s", "S", ""}).Draw(rt, "name"), rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "version"))}
				for _, p := range rapid.SliceOfN(names, 0, 4).Draw(rt, "packages") {
					ecosystem, name, _ := strings.Cut(p, "/")
					b.Packages = append(b.Packages, pkg(ecosystem, name, rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "package version")))
				}
				e := entry(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "body"), known, ledger.Fact{Bill: b})
				e.Claim.Source = rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "source")
				e.Lane = rapid.SampledFrom([]string{"", "l", "k"}).Draw(rt, "lane")
				out, err := s.Append(ctx, e)
				if err != nil {
					rt.Fatalf("Append: %v", err)
				}
				if d := m.append(e); d != out.Duplicate {
					rt.Fatalf("duplicate: %v, want %v", out.Duplicate, d)
				} else if !d {
					got := out.Change
					got.Seq = 0
					same(rt, "the change", got, m.steps[len(m.steps)-1].change)
				}
			},
			"record": func(rt *rapid.T) {
				step(rt)
				r := advisory(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(rt, "id"), estate.Time(rapid.IntRange(1, 3).Draw(rt, "modified")), known,
					rapid.SliceOfN(names, 1, 2).Draw(rt, "names")...)
				c, err := s.AppendRecords(ctx, []ledger.Record{r})
				if err != nil {
					rt.Fatalf("AppendRecords: %v", err)
				}
				if told := m.appendRecord(r); told != (len(c.Advisories) == 1) {
					rt.Fatalf("the change tells of %v, want %v", ids(c.Advisories), told)
				}
			},
			"score": func(rt *rapid.T) {
				step(rt)
				l := estate.Likelihood{CVE: rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "cve"), Score: float64(rapid.IntRange(0, 6).Draw(rt, "score")) / 200, At: known}
				if _, err := s.AppendSignals(ctx, known, nil, []estate.Likelihood{l}); err != nil {
					rt.Fatalf("AppendSignals: %v", err)
				}
				m.score(known, l)
			},
			"open again": func(rt *rapid.T) {
				if rapid.IntRange(0, 4).Draw(rt, "really") == 0 {
					s.reopen(t)
				}
			},
		})
		s.reopen(t)
		for _, at := range []estate.Time{estate.Forever, m.known, estate.Time(rapid.IntRange(999, int(m.known)+1000).Draw(rt, "load at"))} {
			got := s.load(rt, at)
			got.Seq = 0
			same(rt, fmt.Sprintf("load at %d", at), got, m.load(at))
		}
	})
}
