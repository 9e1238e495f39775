package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/purl"
)

// Times of the small estates: few distinct ones, so that inputs coincide.
const (
	tick    estate.Time = 100_000
	testNow             = 10 * tick
)

// maker makes a small random estate as a list of changes, in the order in which
// a ledger would give them.
type maker struct {
	*rand.Rand
	packages map[string]estate.Package
	subjects map[estate.Subject]estate.SubjectID
	keys     []string
	names    []string // of services, some with a namespace
	known    estate.Time
	c        *estate.Change
	bills    estate.BillID
	batch    int64
	id       int64
	changes  []estate.Change
	revision map[string]int
	digests  bool // subjects carry digests, several the same
}

func pick[T any](m *maker, of ...T) T { return of[m.IntN(len(of))] }

func newMaker(seed uint64) *maker {
	m := &maker{
		Rand: rand.New(rand.NewPCG(seed, 7)), packages: map[string]estate.Package{},
		subjects: map[estate.Subject]estate.SubjectID{}, revision: map[string]int{}, known: 1,
	}
	for _, n := range []string{"npm/a", "npm/b", "npm/c", "pypi/d"} {
		for _, v := range []string{"1.0.0", "1.1.0", "2.0.0"} {
			m.keys = append(m.keys, "pkg:"+n+"@"+v)
		}
	}
	m.names = []string{"api", "web", "ns1/web", "ns2/web", "ns1/cart", "pay"}[:3+m.IntN(4)]
	m.digests = m.IntN(3) == 0
	return m
}

func (m *maker) change() *estate.Change {
	m.changes = append(m.changes, estate.Change{})
	m.c = &m.changes[len(m.changes)-1]
	m.known += estate.Time(1 + m.IntN(int(tick/8)))
	m.c.Seq = int64(len(m.changes))
	return m.c
}

func (m *maker) pkg(key string) estate.PackageID {
	p, ok := m.packages[key]
	if !ok {
		p = purl.Identify(estate.Component{Purl: key})
		p.ID = estate.PackageID(len(m.packages) + 1)
		m.packages[key] = p
		m.c.Packages = append(m.c.Packages, p)
	}
	return p.ID
}

func (m *maker) subject(s estate.Subject) estate.SubjectID {
	id, ok := m.subjects[s]
	if !ok {
		id = estate.SubjectID(len(m.subjects) + 1)
		m.subjects[s] = id
		m.c.Subjects = append(m.c.Subjects, estate.SubjectRow{ID: id, Subject: s})
	}
	return id
}

func (m *maker) digest() string { return "sha256:" + strings.Repeat(pick(m, "1", "2", "3", "4"), 64) }

func (m *maker) randomSubject() estate.Subject {
	s, _ := estate.ParseSubject(pick(m, m.names...) + "@" + pick(m, "1", "2", "3"))
	if m.digests {
		switch m.IntN(5) {
		case 0:
			s.Digest = m.digest()
		case 1:
			return estate.Subject{Digest: m.digest()}
		case 2:
			s.Digest, s.Derived = m.digest(), true
		}
	}
	return s
}

func (m *maker) bill() {
	c := m.change()
	seen := map[estate.PackageID]bool{}
	for range m.IntN(6) {
		seen[m.pkg(pick(m, m.keys...))] = true
	}
	var ids []estate.PackageID
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	m.bills++
	c.Bills = append(c.Bills, estate.BillRow{
		ID: m.bills, Subject: m.subject(m.randomSubject()), Evidence: fmt.Sprintf("%064x", m.bills), Source: "ci",
		Generator: pick(m, "syft", "syft", "trivy"), At: m.known, Known: m.known, Packages: ids,
	})
}

func (m *maker) at() estate.Time { return estate.Time(1+m.IntN(10)) * tick }

func (m *maker) deploy() {
	c := m.change()
	m.batch++
	e := estate.EventRow{Environment: pick(m, "prod", "test", "Dev"), Source: pick(m, "cd", "k8s"), At: m.at(), Known: m.known, Batch: m.batch}
	n := 1
	if m.IntN(5) == 0 {
		e.Complete, n = true, m.IntN(4)
		if n == 0 {
			c.Events = append(c.Events, e)
		}
	} else if m.IntN(5) == 0 {
		n = 2
	}
	for range n {
		e.Removed, e.Alongside, e.Config = false, false, pick(m, "", "", "c1", "c2")
		s := m.randomSubject()
		if !e.Complete {
			switch m.IntN(6) {
			case 0:
				e.Removed = true
				if m.IntN(2) == 0 && s.Name != "" {
					s.Version = ""
				}
			case 1, 2:
				e.Alongside = true
			}
		}
		m.id++
		e.ID, e.Subject = m.id, m.subject(s)
		c.Events = append(c.Events, e)
	}
}

var advisoryIDs = []string{"CVE-2024-1", "CVE-2024-2", "CVE-2024-3", "GHSA-1", "GHSA-2", "GHSA-3", "PYSEC-1", "MAL-1"}

func (m *maker) advisory() {
	c := m.change()
	a := estate.AdvisoryRow{Known: m.known, Since: m.known, Source: "osv"}
	a.ID = pick(m, advisoryIDs...)
	for range m.IntN(3) {
		if x := pick(m, advisoryIDs...); m.IntN(2) == 0 && x != a.ID && !slices.Contains(a.Aliases, x) {
			a.Aliases = append(a.Aliases, x)
		}
	}
	if m.IntN(4) == 0 {
		a.Related = []string{pick(m, advisoryIDs...)}
	}
	m.revision[a.ID]++
	a.Revision = m.revision[a.ID]
	a.Published = m.at()
	switch m.IntN(8) {
	case 0:
		a.Published += testNow // not published yet
	case 1:
		a.Published = 0
	}
	if m.IntN(4) == 0 {
		a.Withdrawn = m.at() + tick*estate.Time(m.IntN(4))
	}
	a.Graded = estate.Severity(m.IntN(6))
	for range 1 + m.IntN(2) {
		eco, name := "npm", pick(m, "a", "b", "c")
		if m.IntN(4) == 0 {
			eco, name = "PyPI", "d"
		}
		f := estate.Affected{Ecosystem: eco, Name: name}
		if m.IntN(3) == 0 {
			f.Versions = []string{pick(m, "1.0.0", "1.1.0", "2.0.0")}
		} else {
			r := estate.Range{Type: "ECOSYSTEM", Events: []estate.RangeEvent{{Introduced: pick(m, "0", "1.1.0")}}}
			if m.IntN(2) == 0 {
				r.Events = append(r.Events, estate.RangeEvent{Fixed: pick(m, "1.1.0", "2.0.0", "3.0.0")})
			}
			f.Ranges = []estate.Range{r}
		}
		a.Affected = append(a.Affected, f)
	}
	c.Advisories = append(c.Advisories, a)
}

func (m *maker) verdict() {
	c := m.change()
	m.id++
	v := estate.VerdictRow{ID: m.id, Known: m.known, Source: pick(m, "cli", "vex")}
	v.Advisory = pick(m, advisoryIDs...)
	v.Status = pick(m, estate.StatusNotAffected, estate.StatusNotAffected, estate.StatusFixed, estate.StatusAffected)
	v.At = pick(m, 0, m.at(), m.at())
	if m.IntN(2) == 0 {
		v.Expires = m.at()
	}
	switch m.IntN(4) {
	case 0:
		v.Package = pick(m, "pkg:npm/a", "pkg:npm/a@1.0.0", "pkg:npm/b", "pkg:pypi/d")
	case 1:
		v.Package, v.Range = pick(m, "pkg:npm/a", "pkg:npm/c"), pick(m, "<2.0.0", ">=1.1.0")
	}
	switch m.IntN(6) {
	case 0:
		v.Release = m.randomSubject()
	case 1:
		v.Release = m.randomSubject()
		if v.Release.Name != "" {
			v.Release.Version = ""
		}
	case 2:
		v.Application = "shop"
	case 3:
		v.Domain = pick(m, "sales", "root")
	}
	if m.IntN(3) == 0 {
		v.Environment = pick(m, "prod", "production", "test")
	}
	c.Verdicts = append(c.Verdicts, v)
}

func (m *maker) signal() {
	c := m.change()
	if m.IntN(2) == 0 {
		c.Exploited = []estate.Exploited{{CVE: pick(m, advisoryIDs[:3]...)}}
		return
	}
	c.Likelihoods = []estate.Likelihood{{CVE: pick(m, advisoryIDs[:3]...), Score: m.Float64(), Percentile: m.Float64()}}
}

func (m *maker) describe() {
	c := m.change()
	m.id++
	d := estate.DescriptionRow{ID: m.id, Known: m.known, Source: pick(m, "cli", "git")}
	d.Domains = []estate.DomainSpec{{Name: "root"}, {Name: "sales", Parent: "root"}}
	d.Environments = []estate.EnvironmentSpec{{Name: "prod", Tier: "production", Aliases: []string{"production"}}, {Name: "test", Tier: "test"}}
	if m.IntN(2) == 0 {
		d.Environments[1].Aliases = []string{"dev"}
	}
	s := estate.ServiceSpec{Name: "api", Domain: "sales", Team: "x"}
	if m.IntN(2) == 0 {
		s.Aliases = []string{pick(m, "web", "ns1/web", "pay")}
	}
	if m.IntN(3) == 0 {
		s.Artifacts = []string{m.digest()}
	}
	d.Services = []estate.ServiceSpec{s, {Namespace: "ns1", Name: "cart", Domain: "root"}}
	d.Applications = []estate.ApplicationSpec{{Name: "shop", Services: []string{"web", "api"}, Domains: []string{pick(m, "sales", "nowhere")}}}
	c.Descriptions = append(c.Descriptions, d)
}

// estate makes all changes of one small estate.
func (m *maker) estate() []estate.Change {
	for range 3 {
		m.bill()
		m.deploy()
	}
	for range 20 + m.IntN(30) {
		switch m.IntN(16) {
		case 0, 1, 2:
			m.bill()
		case 3, 4, 5, 6, 7:
			m.deploy()
		case 8, 9, 10, 11:
			m.advisory()
		case 12, 13:
			m.verdict()
		case 14:
			m.signal()
		case 15:
			m.describe()
		}
	}
	return m.changes
}

// emptyGraph returns a graph whose clock stands at testNow.
func emptyGraph() *Graph { return New(func() estate.Time { return testNow }) }

func applyAll(changes []estate.Change) *Graph {
	g := emptyGraph()
	for i := range changes {
		g.Apply(&changes[i])
	}
	return g
}

// row is an exposure by names, to compare graphs that number things differently.
type row struct {
	Advisory, Service, Domain, Environment string
	Exposure                               Exposure
}

func (v *View) rowOf(e Exposure) row {
	sl := v.Slot(e.Slot)
	svc := v.Service(sl.Service)
	r := row{v.Group(e.Group).ID, svc.FullName(), svc.Spec.Domain, v.Env(sl.Env).Name, e}
	r.Exposure.Group, r.Exposure.Slot = 0, 0
	return r
}

// everything returns all periods of all pairs, by brute force.
func (v *View) everything() []Exposure {
	var out []Exposure
	for id := range v.Groups() {
		for s := range v.Slots() {
			out = append(out, v.Exposures(GroupID(id), SlotID(s))...)
		}
	}
	return out
}

func sortedRows(rows []row) []row {
	sort.Slice(rows, func(i, j int) bool { return fmt.Sprint(rows[i]) < fmt.Sprint(rows[j]) })
	return rows
}
