package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
)

// wantRows is what a list must hold, by brute force over all pairs.
func wantRows(v *View, q ListQuery) []Exposure {
	g := v.g
	var out []Exposure
	for id := range g.groups {
		gr := &g.groups[id]
		if q.Group != nil && !q.Group(GroupID(id)) {
			continue
		}
		vs := g.verdictsFor(gr)
		for s := range g.slots {
			if q.Slots != nil && !slices.Contains(q.Slots, SlotID(s)) {
				continue
			}
			if q.Packages != nil && !broughtBy(v, q, GroupID(id), SlotID(s), vs) {
				continue
			}
			all := v.Exposures(GroupID(id), SlotID(s))
			if q.State == StateSuppressed {
				if openIn(all, q.At) {
					continue
				}
				all = v.Unverdicted(GroupID(id), SlotID(s))
			}
			for _, e := range all {
				open := e.Opened <= q.At && q.At < e.Closed
				switch {
				case e.Opened > q.At, q.State == StateClosed && open:
				case (q.State == StateOpen || q.State == StateSuppressed) && !open:
				case q.Row != nil && !q.Row(&e):
				default:
					if open && q.State != StateSuppressed {
						e.Closed = estate.Forever // as of At
					}
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// broughtBy tells whether one of the query's packages puts the pair on the list.
func broughtBy(v *View, q ListQuery, id GroupID, s SlotID, vs []compiledVerdict) bool {
	g, sl := v.g, v.Slot(s)
	for i := range sl.Intervals {
		iv := &sl.Intervals[i]
		for _, p := range g.packagesOf(iv.Release, q.Packages) {
			if !containsPkg(g.groups[id].pkgs, p) {
				continue
			}
			if q.State == StateClosed || q.State == StateAll {
				return true
			}
			from, until, ok := g.activeFor(&g.groups[id], p)
			if iv.From > q.At || q.At >= iv.To || !ok || q.At < from || until <= q.At {
				continue
			}
			c := g.decide(vs, sl, iv.Release, p, q.At)
			if (c != nil && closes(c.row.Status)) == (q.State == StateSuppressed) {
				return true
			}
		}
	}
	return false
}

// listWith is List with some work done before, and with the ways for large
// lists taken where they are asked for.
func listWith(v *View, q ListQuery, steps int, wide bool) ListResult {
	g := v.g
	l := &lister{g: g, q: &q, sc: g.scratch(), sorted: make([]uint64, len(g.slots)/64+1), steps: steps}
	defer g.giveBack(l.sc)
	if q.Slots != nil {
		l.allow = make([]uint64, len(g.slots)/64+1)
		for _, s := range q.Slots {
			set(l.allow, int(s))
		}
	}
	l.candidates()
	l.sift()
	if wide {
		l.bound = few + 1
	}
	switch {
	case l.groups != nil && len(l.groups) == 0 || q.Slots != nil && len(q.Slots) == 0:
	case q.Order == ByService:
		l.byService()
	case q.Order == ByOpened:
		l.byOpened()
	default:
		l.byGroup()
	}
	return l.res
}

// key renders an exposure for comparing; how it closed counts only if it did.
func keyOf(e Exposure, at estate.Time) string {
	closed, by := e.Closed, e.ClosedBy
	if closed > at {
		closed, by = estate.Forever, ""
	}
	return fmt.Sprint(e.Group, e.Slot, e.Opened, e.Detected, e.OpenedBy, closed, by)
}

// inOrder tells whether b may follow a.
func inOrder(v *View, q ListQuery, a, b Exposure) bool {
	if q.Reverse {
		a, b = b, a
	}
	name := func(e Exposure) string {
		sl := v.Slot(e.Slot)
		return v.Service(sl.Service).FullName() + "\x00" + v.Env(sl.Env).Name
	}
	switch q.Order {
	case ByOpened:
		return a.Opened >= b.Opened
	case ByService:
		return strings.Compare(name(a), name(b)) <= 0
	}
	return v.g.groupKey(q.Order, a.Group) >= v.g.groupKey(q.Order, b.Group)
}

func checkList(t *testing.T, v *View, q ListQuery, page func(ListQuery) ListResult) (rows, pages int) {
	t.Helper()
	want := wantRows(v, q)
	var got []Exposure
	left := map[string]int{}
	for _, e := range want {
		left[keyOf(e, q.At)]++
	}
	for pages = 1; ; pages++ {
		res := page(q)
		if !res.Over && res.Total != len(want)-len(got) {
			t.Errorf("%s: total %d, want %d of %d", told(q), res.Total, len(want)-len(got), len(want))
		}
		if res.Over && res.Total > len(want)-len(got) {
			t.Errorf("%s: total is over %d, but there are %d", told(q), res.Total, len(want)-len(got))
		}
		got = append(got, res.Items...)
		if !res.More {
			break
		}
		if pages > 3000 {
			t.Errorf("%s: no end", told(q))
			return
		}
		q.After, q.Started = res.Last, true
	}
	for i, e := range got {
		left[keyOf(e, q.At)]--
		if i > 0 && !inOrder(v, q, got[i-1], e) {
			t.Errorf("%s: %+v is before %+v", told(q), got[i-1], e)
		}
	}
	for k, n := range left {
		if n != 0 {
			t.Errorf("%s: missing (or, if negative, too many) %d of %s", told(q), n, k)
		}
	}
	return len(got), pages
}

func told(q ListQuery) string {
	return fmt.Sprintf("order %s reverse %v state %s at %d limit %d slots %v packages %v group %v row %v",
		q.Order, q.Reverse, q.State, q.At, q.Limit, q.Slots, q.Packages, q.Group != nil, q.Row != nil)
}

// TestLists: the pages of every list together hold what brute force finds, each
// once and in order, whichever way the list goes and wherever pages end.
func TestLists(t *testing.T) {
	lists, rows, pages := 0, 0, 0
	for seed := range uint64(150) {
		m := newMaker(seed)
		g := applyAll(m.estate())
		g.View(func(v *View) {
			for _, order := range []Order{BySeverity, ByEPSS, ByPublished, ByOpened, ByService} {
				for _, state := range []string{StateOpen, StateSuppressed, StateClosed, StateAll} {
					for k := range 10 {
						q := ListQuery{Order: order, State: state, Reverse: m.IntN(2) == 0, At: testNow, Count: 10_000}
						q.Limit = pick(m, 1, 2, 7, 500)
						if m.IntN(3) == 0 {
							q.At = m.at() + estate.Time(m.IntN(2)*50)
						}
						if m.IntN(3) == 0 {
							q.Count = 3
						}
						if k&1 != 0 && m.IntN(2) == 0 {
							q.Slots = []SlotID{}
							for s := range g.slots {
								if m.IntN(2) == 0 {
									q.Slots = append(q.Slots, SlotID(s))
								}
							}
						}
						if m.IntN(4) == 0 {
							q.Packages = []estate.PackageID{}
							for p := range g.pkgs[1:] {
								if m.IntN(3) == 0 {
									q.Packages = append(q.Packages, estate.PackageID(p+1))
								}
							}
						}
						if m.IntN(3) == 0 {
							mask := m.Uint32()
							q.Group = func(id GroupID) bool { return mask>>id&1 != 0 }
						}
						if m.IntN(6) == 0 {
							q.Row = func(e *Exposure) bool { return (int(e.Group)+int(e.Slot))%3 != 0 }
						}
						steps, wide := 0, k > 4
						if k > 2 {
							steps = work - m.IntN(60) // pages end for their work, too
						}
						page := func(q ListQuery) ListResult { return listWith(v, q, steps, wide) }
						if k < 3 {
							page = v.List
						}
						r, n := checkList(t, v, q, page)
						if t.Failed() {
							t.Fatalf("seed %d steps %d wide %v", seed, steps, wide)
						}
						lists, rows, pages = lists+1, rows+r, pages+n
						// Many slots are walked in another way.
						if order != ByService && order != ByOpened && len(q.Slots) > 0 {
							q.Slots = slices.Repeat(q.Slots, gatherable/len(q.Slots)+1)
							slices.Sort(q.Slots)
							if checkList(t, v, q, page); t.Failed() {
								t.Fatalf("seed %d, many slots", seed)
							}
						}
					}
				}
			}
		})
	}
	t.Logf("%d lists, %d rows, %d pages", lists, rows, pages)
}

// TestWorkEndsCount: work that runs out while a full page counts on does not
// move the page's end, or the next page would leave out what was only counted.
func TestWorkEndsCount(t *testing.T) {
	end := Pair{Group: 1, Slot: 2}
	l := &lister{steps: work + 1, res: ListResult{More: true, Last: end}}
	l.exhausted(Pair{Group: 9, Slot: 9})
	if !l.done || !l.res.Over || l.res.Last != end {
		t.Errorf("done %v, %+v", l.done, l.res)
	}
}

// TestNothingPasses: filters on groups and slots that leave nothing look at no exposure.
func TestNothingPasses(t *testing.T) {
	g := applyAll(newMaker(3).estate())
	g.View(func(v *View) {
		for _, order := range []Order{BySeverity, ByEPSS, ByPublished, ByOpened, ByService} {
			for _, state := range []string{StateOpen, StateSuppressed, StateClosed, StateAll} {
				looked := 0
				row := func(*Exposure) bool { looked++; return true }
				none := func(GroupID) bool { return false }
				a := v.List(ListQuery{At: testNow, Order: order, State: state, Limit: 5, Row: row, Group: none})
				b := v.List(ListQuery{At: testNow, Order: order, State: state, Limit: 5, Row: row, Slots: []SlotID{}})
				c := v.List(ListQuery{At: testNow, Order: order, State: state, Limit: 5, Row: row, Packages: []estate.PackageID{}})
				if looked > 0 || len(a.Items)+len(b.Items)+len(c.Items) > 0 || a.More || b.More || c.More {
					t.Errorf("%s %s: looked at %d, %+v %+v %+v", order, state, looked, a, b, c)
				}
			}
		}
	})
}

// TestFixCounts: the open pairs that versions of a package bring.
func TestFixCounts(t *testing.T) {
	counts, exposures := 0, 0
	for seed := range uint64(150) {
		m := newMaker(seed)
		g := applyAll(m.estate())
		g.View(func(v *View) {
			for range 12 {
				at := pick(m, testNow, testNow, m.at())
				var ids []estate.PackageID
				for p := 1; p < len(g.pkgs); p++ {
					if m.IntN(3) == 0 {
						ids = append(ids, estate.PackageID(p))
					}
				}
				var among func(GroupID) bool
				if m.IntN(2) == 0 {
					among = func(id GroupID) bool { return id%2 == 0 }
				}
				var slots []SlotID
				if m.IntN(3) == 0 {
					slots = []SlotID{}
					for s := range g.slots {
						if m.IntN(2) == 0 {
							slots = append(slots, SlotID(s))
						}
					}
				}
				pairs, groups, services, versions := map[Pair]bool{}, map[GroupID]bool{}, map[ServiceID]bool{}, map[estate.PackageID]bool{}
				for s := range g.slots {
					if slots != nil && !slices.Contains(slots, SlotID(s)) {
						continue
					}
					for _, iv := range g.slots[s].Intervals {
						if at < iv.From || iv.To <= at {
							continue
						}
						for id := range g.groups {
							if among != nil && !among(GroupID(id)) {
								continue
							}
							for _, p := range v.PackagesOf(iv.Release, ids) {
								if !slices.Contains(v.PackagesAt(GroupID(id), at), p) {
									continue
								}
								if d := v.Decision(GroupID(id), SlotID(s), iv.Release, p, at); d != nil && closes(d.Status) {
									continue
								}
								pairs[Pair{Group: GroupID(id), Slot: SlotID(s)}] = true
								groups[GroupID(id)], services[g.slots[s].Service], versions[p] = true, true, true
							}
						}
					}
				}
				shuffle := slices.Clone(ids)
				m.Shuffle(len(shuffle), func(i, j int) { shuffle[i], shuffle[j] = shuffle[j], shuffle[i] })
				got := v.FixCount(shuffle, at, among, slots, 1<<30)
				if got.Exposures != len(pairs) || got.Over {
					t.Fatalf("seed %d: %d exposures, want %d", seed, got.Exposures, len(pairs))
				}
				for _, p := range got.Versions {
					if !versions[p] {
						t.Fatalf("seed %d: version %d is not open anywhere", seed, p)
					}
					delete(versions, p)
				}
				slices.Sort(got.Groups)
				if len(versions) > 0 || !slices.Equal(got.Groups, keys(groups)) || !slices.Equal(got.Services, keys(services)) {
					t.Fatalf("seed %d: %+v, want groups %v, services %v; versions left: %v", seed, got, keys(groups), keys(services), versions)
				}
				for p := range pairs { // so do the periods say
					if !openIn(v.Exposures(p.Group, p.Slot), at) {
						t.Fatalf("seed %d: %+v is not open at %d", seed, p, at)
					}
				}
				counts, exposures = counts+1, exposures+len(pairs)
			}
		})
	}
	t.Logf("%d counts, %d exposures", counts, exposures)
}

func keys[K ~int32](of map[K]bool) []K {
	var out []K
	for k := range of {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// impact is an Impact in a form to compare.
type impact struct {
	Releases         map[ReleaseID]bool // whether it runs
	Open, Suppressed []SlotID
	Running          int
	Services         map[ServiceID]int
}

// TestImpact: what groups, or packages, hit.
func TestImpact(t *testing.T) {
	n, open, suppressed := 0, 0, 0
	for seed := range uint64(150) {
		m := newMaker(seed)
		g := applyAll(m.estate())
		g.View(func(v *View) {
			for range 12 {
				at := pick(m, testNow, testNow, m.at())
				var groups []GroupID
				var pkgs []estate.PackageID
				if m.IntN(3) > 0 {
					for id := range g.groups {
						if m.IntN(3) == 0 {
							groups = append(groups, GroupID(id))
						}
					}
				} else {
					for p := 1; p < len(g.pkgs); p++ {
						if m.IntN(4) == 0 {
							pkgs = append(pkgs, estate.PackageID(p))
						}
					}
				}
				want := wantImpact(v, groups, pkgs, at)
				for range 2 { // what Done gives back serves again
					im := v.Impact(groups, slices.Clone(pkgs), at)
					got := impact{Releases: map[ReleaseID]bool{}, Running: im.Running, Services: map[ServiceID]int{}}
					for _, h := range im.Releases {
						if _, twice := got.Releases[h.Release]; twice {
							t.Fatalf("seed %d: release %d twice", seed, h.Release)
						}
						got.Releases[h.Release] = h.Running
					}
					got.Open = append(got.Open, im.Open...)
					slices.Sort(got.Open)
					got.Suppressed = append(got.Suppressed, im.Suppressed...)
					for s, k := range im.Services {
						if k != 0 {
							got.Services[ServiceID(s)] = int(k)
						}
					}
					im.Done()
					if d := cmp.Diff(want, got); d != "" {
						t.Fatalf("seed %d: groups %v packages %v at %d (-want +got):\n%s", seed, groups, pkgs, at, d)
					}
				}
				n, open, suppressed = n+1, open+len(want.Open), suppressed+len(want.Suppressed)
			}
		})
	}
	t.Logf("%d impacts, %d open, %d suppressed", n, open, suppressed)
}

func wantImpact(v *View, groups []GroupID, pkgs []estate.PackageID, at estate.Time) impact {
	g := v.g
	want := impact{Releases: map[ReleaseID]bool{}, Services: map[ServiceID]int{}}
	for r := range g.releases {
		hit := len(v.PackagesOf(ReleaseID(r), pkgs)) > 0
		for _, id := range groups {
			hit = hit || len(v.PackagesOf(ReleaseID(r), v.PackagesAt(id, at))) > 0
		}
		if hit {
			want.Releases[ReleaseID(r)] = false
		}
	}
	for s := range g.slots {
		sl := &g.slots[s]
		open, closed := false, false
		for _, iv := range sl.Intervals {
			if at < iv.From || iv.To <= at {
				continue
			}
			here := len(v.PackagesOf(iv.Release, pkgs)) > 0
			for _, id := range groups {
				for _, p := range v.PackagesOf(iv.Release, v.PackagesAt(id, at)) {
					if d := v.Decision(id, SlotID(s), iv.Release, p, at); d != nil && closes(d.Status) {
						closed = true
					} else {
						here = true
					}
				}
			}
			if here {
				open = true
				want.Releases[iv.Release] = true
			}
		}
		switch {
		case open:
			want.Open = append(want.Open, SlotID(s))
			want.Services[sl.Service]++
		case closed:
			want.Suppressed = append(want.Suppressed, SlotID(s))
		}
	}
	for _, runs := range want.Releases {
		if runs {
			want.Running++
		}
	}
	return want
}
