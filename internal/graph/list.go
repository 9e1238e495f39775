package graph

import (
	"sort"

	"thymus/internal/estate"
)

// Order is the order of an exposure list.
type Order string

// The orders. Ties are broken by group id and then by slot.
const (
	BySeverity  Order = "severity"
	ByEPSS      Order = "epss"
	ByPublished Order = "published"
	ByOpened    Order = "opened"
	ByService   Order = "service"
)

// States of an exposure in a list.
const (
	StateOpen       = "open"
	StateSuppressed = "suppressed"
	StateClosed     = "closed"
	StateAll        = "all"
)

// ListQuery asks for one page of exposures.
type ListQuery struct {
	At      estate.Time
	Order   Order
	Reverse bool // the smallest first; ByService: the last first
	State   string
	// Group filters alias groups; nil takes all.
	Group func(GroupID) bool
	// Packages limits matches to these packages, sorted; nil takes all.
	Packages []estate.PackageID
	// Slots limits the list to these slots, sorted; nil takes all.
	Slots []SlotID
	// Row filters what only the exposure itself tells; nil takes all.
	Row   func(*Exposure) bool
	Limit int
	// After is the last pair of the page before; Started tells that it is set.
	After   Pair
	Started bool
	// Count says how many exposures to count beyond the page.
	Count int
}

// Pair is a group in a slot. Opened is set in lists ByOpened alone.
type Pair struct {
	Group  GroupID
	Slot   SlotID
	Opened estate.Time
}

// ListResult is one page. A page may be short when much had to be passed over:
// More then tells to ask on after Last.
type ListResult struct {
	Items []Exposure
	More  bool
	Last  Pair
	Total int  // counted from the start of the page on
	Over  bool // counting stopped there
}

// work bounds the steps of one page, so that no filter can make a list slow; a
// step is a look at one release, slot or exposure.
const work = 4_000_000

type lister struct {
	g     *Graph
	q     *ListQuery
	sc    *scratch
	res   ListResult
	steps int
	done  bool
	allow []bool // by slot; nil: all
}

// List returns one page of exposures. Wide lists walk the groups in order and
// stop early; lists limited to few slots start from these.
func (v *View) List(q ListQuery) ListResult {
	g := v.g
	l := &lister{g: g, q: &q, sc: g.scratch()}
	defer g.giveBack(l.sc)
	if q.Slots != nil {
		l.allow = make([]bool, len(g.slots))
		for _, s := range q.Slots {
			l.allow[s] = true
		}
	}
	switch q.Order {
	case ByService:
		l.byService()
	case ByOpened:
		l.byOpened()
	default:
		l.byGroup()
	}
	return l.res
}

func (l *lister) allowed(s SlotID) bool { return l.allow == nil || l.allow[s] }

// emit takes the exposures of one pair and tells whether to go on.
func (l *lister) emit(p Pair, vs []compiledVerdict) bool {
	l.steps++
	if len(l.res.Items) < l.q.Limit {
		for _, e := range l.rows(p, vs) {
			if p.Opened != 0 && e.Opened != p.Opened {
				continue // listed where it opened
			}
			if l.q.Row == nil || l.q.Row(&e) {
				l.res.Items = append(l.res.Items, e)
				l.res.Total++
			}
		}
		l.res.Last = p
		if l.steps > work {
			l.res.More, l.res.Over, l.done = true, true, true
		}
		return !l.done
	}
	// The page is full: from here on only count.
	l.res.More = true
	if l.res.Total >= l.q.Count || l.steps > work || l.q.Row != nil || l.q.State != StateOpen {
		l.res.Over, l.done = true, true
		return false
	}
	l.res.Total++
	return true
}

// rows evaluates one pair.
func (l *lister) rows(p Pair, vs []compiledVerdict) []Exposure {
	g, t := l.g, l.q.At
	all := g.exposures(p.Group, p.Slot, vs)
	for i := range g.slots[p.Slot].Intervals {
		l.steps++
		if set := g.releases[g.slots[p.Slot].Intervals[i].Release].set; set >= 0 {
			l.steps += int(g.sets[set].n) / 8
		}
	}
	var out []Exposure
	for _, e := range all {
		open := e.Opened <= t && t < e.Closed
		switch l.q.State {
		case StateOpen:
			if !open {
				continue
			}
		case StateClosed:
			if open || e.Opened > t {
				continue
			}
		case StateAll:
			if e.Opened > t {
				continue
			}
		}
		if l.q.State != StateSuppressed {
			if e.Closed > t && e.Closed != estate.Forever {
				e.Closed, e.ClosedBy = estate.Forever, "" // as of t it was open
			}
			out = append(out, e)
		}
	}
	if l.q.State == StateSuppressed {
		for _, e := range g.exposures(p.Group, p.Slot, nil) {
			if e.Opened <= t && t < e.Closed && !openIn(all, t) {
				out = append(out, e)
			}
		}
	}
	return out
}

func openIn(es []Exposure, t estate.Time) bool {
	for _, e := range es {
		if e.Opened <= t && t < e.Closed {
			return true
		}
	}
	return false
}

// pkgsOf returns the packages by which the group may be in the list.
func (l *lister) pkgsOf(gr *Group) []estate.PackageID {
	ps := gr.pkgs
	if l.q.State == StateOpen || l.q.State == StateSuppressed {
		ps = l.g.activePackages(gr, l.q.At)
	}
	if l.q.Packages == nil {
		return ps
	}
	var out []estate.PackageID
	for _, p := range ps {
		if containsPkg(l.q.Packages, p) {
			out = append(out, p)
		}
	}
	return out
}

// wantSlot tells whether the pair can be in the list, by verdicts of the open state.
func (l *lister) wanted(vs []compiledVerdict, s SlotID, r ReleaseID, p estate.PackageID) bool {
	if len(vs) == 0 {
		return l.q.State != StateSuppressed
	}
	c := l.g.decide(vs, &l.g.slots[s], r, p, l.q.At)
	closed := c != nil && closes(c.row.Status)
	switch l.q.State {
	case StateOpen:
		return !closed
	case StateSuppressed:
		return closed
	}
	return true
}

// slotsOfGroup returns the allowed slots of a group, sorted.
func (l *lister) slotsOfGroup(gr *Group, vs []compiledVerdict) []SlotID {
	g := l.g
	now := l.q.State == StateOpen || l.q.State == StateSuppressed
	var out []SlotID
	l.sc.next()
	for _, p := range l.pkgsOf(gr) {
		l.steps += int(g.pkgs[p].post.n)
		g.eachReleaseOf(p, func(r ReleaseID) {
			for _, s := range g.releases[r].Slots {
				if !l.allowed(s) || l.sc.slots[s] == l.sc.stamp || now && !g.runs(s, r, l.q.At) || !l.wanted(vs, s, r, p) {
					continue
				}
				l.sc.slots[s] = l.sc.stamp
				out = append(out, s)
			}
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

func (l *lister) passes(id GroupID) bool {
	gr := &l.g.groups[id]
	return !gr.gone() && len(gr.pkgs) > 0 && (l.q.Group == nil || l.q.Group(id))
}

// byGroup walks the groups in order.
func (l *lister) byGroup() {
	g := l.g
	order := g.groupOrder(l.q.Order)
	n := len(order)
	at := func(i int) GroupID {
		if l.q.Reverse {
			return order[n-1-i]
		}
		return order[i]
	}
	start := 0
	if l.q.Started {
		for i := range n {
			if at(i) == l.q.After.Group {
				start = i
				break
			}
		}
	}
	marked, pairs := l.mark()
	for i := start; i < n && !l.done; i++ {
		id := at(i)
		if marked != nil && marked[id>>6]&(1<<(id&63)) == 0 || !l.passes(id) {
			continue
		}
		l.steps++
		vs := g.verdictsFor(&g.groups[id])
		var slots []SlotID
		if pairs != nil {
			for _, s := range pairs[id] {
				if l.narrowWanted(id, s, vs) {
					slots = append(slots, s)
				}
			}
		} else {
			if l.q.State == StateOpen && everywhere(vs, l.q.At) {
				continue
			}
			slots = l.slotsOfGroup(&g.groups[id], vs)
		}
		for _, s := range slots {
			if l.q.Started && i == start && id == l.q.After.Group && s <= l.q.After.Slot {
				continue
			}
			if !l.emit(Pair{Group: id, Slot: s}, vs) {
				break
			}
		}
		if l.steps > work && !l.done {
			l.res.More, l.res.Over, l.done = true, true, true
			l.res.Last = Pair{Group: id, Slot: SlotID(len(g.slots))}
		}
	}
}

// everywhere tells that one verdict closes the group in every slot.
func everywhere(vs []compiledVerdict, t estate.Time) bool {
	all := false
	for i := range vs {
		c := &vs[i]
		if t < c.at || t >= c.expires || c.never {
			continue
		}
		if !closes(c.row.Status) {
			return false
		}
		all = all || c.rank == 0 && c.name == ""
	}
	return all
}

func (l *lister) narrowWanted(id GroupID, s SlotID, vs []compiledVerdict) bool {
	if len(vs) == 0 && l.q.State != StateSuppressed {
		return true
	}
	g, wanted := l.g, false
	ps := l.pkgsOf(&g.groups[id])
	g.slots[s].runningAt(l.q.At, func(iv *Interval) {
		for _, p := range g.packagesOf(iv.Release, ps) {
			wanted = wanted || l.wanted(vs, s, iv.Release, p)
		}
	})
	return wanted || l.q.State == StateClosed || l.q.State == StateAll
}

// enough is how many pairs are gathered before a list counts as wide.
const enough = 1_000_000

// mark finds the groups that can occur in the allowed slots: nil when every
// slot is allowed. pairs holds their slots, unless there are too many.
func (l *lister) mark() (marked []uint64, pairs map[GroupID][]SlotID) {
	if l.q.Slots == nil {
		return nil, nil
	}
	g := l.g
	marked = make([]uint64, len(g.groups)/64+1)
	pairs = map[GroupID][]SlotID{}
	now := l.q.State == StateOpen || l.q.State == StateSuppressed
	gathered := 0
	for _, s := range l.q.Slots {
		sl := &g.slots[s]
		take := func(iv *Interval) {
			set := g.releases[iv.Release].set
			if set < 0 {
				return
			}
			l.steps += int(g.sets[set].n) / 8
			see := func(id GroupID) {
				marked[id>>6] |= 1 << (id & 63)
				if pairs == nil {
					return
				}
				if have := pairs[id]; len(have) > 0 && have[len(have)-1] == s {
					return
				}
				pairs[id] = append(pairs[id], s)
				if gathered++; gathered > enough {
					pairs = nil
				}
			}
			g.sets[set].eachPackage(func(p estate.PackageID) bool {
				if g.pkgHot[p>>6]&(1<<(p&63)) == 0 || l.q.Packages != nil && !containsPkg(l.q.Packages, p) {
					return true
				}
				for _, id := range g.pkgs[p].Groups {
					if !now {
						see(id)
					} else if from, until, ok := g.activeFor(&g.groups[id], p); ok && from <= l.q.At && l.q.At < until {
						see(id)
					}
				}
				return true
			})
		}
		if now {
			sl.runningAt(l.q.At, take)
		} else {
			for i := range sl.Intervals {
				take(&sl.Intervals[i])
			}
		}
	}
	return marked, pairs
}

// byService walks the slots in the order of service and environment names.
func (l *lister) byService() {
	g := l.g
	slots := l.q.Slots
	if slots == nil {
		slots = make([]SlotID, len(g.slots))
		for i := range slots {
			slots[i] = SlotID(i)
		}
	}
	rank := g.slotRank()
	order := append([]SlotID(nil), slots...)
	sort.Slice(order, func(i, j int) bool {
		if l.q.Reverse {
			return rank[order[i]] > rank[order[j]]
		}
		return rank[order[i]] < rank[order[j]]
	})
	severity := g.groupRank(BySeverity)
	skipping := l.q.Started
	for _, s := range order {
		if skipping && s != l.q.After.Slot {
			continue
		}
		if l.done {
			return
		}
		_, pairs := (&lister{g: g, q: &ListQuery{At: l.q.At, State: l.q.State, Packages: l.q.Packages, Slots: []SlotID{s}}, sc: l.sc}).mark()
		ids := make([]GroupID, 0, len(pairs))
		for id := range pairs {
			if l.passes(id) {
				ids = append(ids, id)
			}
		}
		sort.Slice(ids, func(i, j int) bool { return severity[ids[i]] < severity[ids[j]] })
		l.steps += len(ids)
		for _, id := range ids {
			if skipping && severity[id] <= severity[l.q.After.Group] {
				continue
			}
			vs := g.verdictsFor(&g.groups[id])
			if l.narrowWanted(id, s, vs) && !l.emit(Pair{Group: id, Slot: s}, vs) {
				return
			}
		}
		skipping = false
		if l.steps > work {
			l.res.More, l.res.Over, l.done = true, true, true
			l.res.Last = Pair{Group: GroupID(len(g.groups)), Slot: s}
		}
	}
}

// groupKey is the value by which an order ranks a group; the greatest first.
func (g *Graph) groupKey(o Order, id GroupID) float64 {
	gr := &g.groups[id]
	switch o {
	case ByEPSS:
		return gr.EPSS
	case ByPublished:
		return float64(gr.Published)
	}
	k := float64(gr.Severity)*1e6 + gr.Score*1e3
	if _, ok := g.exploited[gr.ID]; ok {
		k += 500
	}
	return k + gr.EPSS
}

// orders caches sorted groups; they change with the advisories.
type orders struct {
	changes int
	groups  int
	order   map[Order][]GroupID
	rank    map[Order][]int32
	slots   int
	slot    []int32
}

func (g *Graph) groupOrder(o Order) []GroupID {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.orders
	if c.order == nil || c.changes != g.changes || c.groups != len(g.groups) {
		c.changes, c.groups = g.changes, len(g.groups)
		c.order, c.rank = map[Order][]GroupID{}, map[Order][]int32{}
	}
	if order, ok := c.order[o]; ok {
		return order
	}
	order := make([]GroupID, len(g.groups))
	key := make([]float64, len(g.groups))
	for i := range order {
		order[i] = GroupID(i)
		key[i] = g.groupKey(o, GroupID(i))
	}
	sort.Slice(order, func(i, j int) bool {
		a, b := order[i], order[j]
		if key[a] != key[b] {
			return key[a] > key[b]
		}
		return g.groups[a].ID > g.groups[b].ID
	})
	rank := make([]int32, len(order))
	for i, id := range order {
		rank[id] = int32(i)
	}
	c.order[o], c.rank[o] = order, rank
	return order
}

func (g *Graph) groupRank(o Order) []int32 {
	g.groupOrder(o)
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	return g.orders.rank[o]
}

// slotRank ranks the slots by service and environment name.
func (g *Graph) slotRank() []int32 {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.orders
	if c.slot != nil && c.slots == len(g.slots) {
		return c.slot
	}
	names := make([]string, len(g.slots))
	order := make([]SlotID, len(g.slots))
	for i := range g.slots {
		order[i] = SlotID(i)
		names[i] = g.services[g.slots[i].Service].FullName() + "\x00" + g.envs[g.slots[i].Env].Name
	}
	sort.Slice(order, func(i, j int) bool { return names[order[i]] < names[order[j]] })
	c.slot, c.slots = make([]int32, len(order)), len(order)
	for i, s := range order {
		c.slot[s] = int32(i)
	}
	return c.slot
}
