package graph

import (
	"math/bits"
	"slices"
	"sort"

	"thymus/internal/estate"
)

// Order is the order of an exposure list.
type Order string

// The orders. Ties are broken by group and then by slot.
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

// work bounds the steps of one page, so that no filter can make a list slow. A
// step is a look at one release, slot or pair, or at eight packages of a set.
const work = 500_000

// few is up to how many pairs a list is gathered whole and sorted.
const few = 200_000

type lister struct {
	g      *Graph
	q      *ListQuery
	sc     *scratch
	res    ListResult
	steps  int
	done   bool
	allow  []uint64  // slots, one bit each; nil: all
	groups []GroupID // those that the filters leave, in no order; nil: all
	among  []uint64  // the same, one bit each
	bound  int       // no more pairs than that can be in the list, if groups is set
	sorted []uint64  // slots found, one bit each
	// Of the groups that pass: plain ones match whatever they match at the time
	// asked about; odd ones must be asked for each package. One bit each, so that
	// a walk over many pairs touches no group.
	plainly, oddly []uint64
}

// List returns one page of exposures. A list that few groups or few slots can
// be in starts from these; a wide one walks the groups in order and stops early.
func (v *View) List(q ListQuery) ListResult {
	g := v.g
	l := &lister{g: g, q: &q, sc: g.scratch(), sorted: make([]uint64, len(g.slots)/64+1)}
	defer g.giveBack(l.sc)
	if q.Slots != nil {
		l.allow = make([]uint64, len(g.slots)/64+1)
		for _, s := range q.Slots {
			set(l.allow, int(s))
		}
	}
	l.candidates()
	l.sift()
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

func set(bits []uint64, i int)      { bits[i>>6] |= 1 << (i & 63) }
func has(bits []uint64, i int) bool { return bits[i>>6]&(1<<(i&63)) != 0 }

// candidates finds the groups that the filters on groups and packages leave,
// when there are any such filters.
func (l *lister) candidates() {
	g := l.g
	var base []GroupID
	switch {
	case l.q.State == StateSuppressed:
		base = []GroupID{}
		for id := range g.verdictsOf {
			base = append(base, g.groupsNamed(id)...)
		}
	case l.q.Packages != nil:
		base = []GroupID{}
		for _, p := range l.q.Packages {
			base = append(base, g.pkgs[p].Groups...)
		}
	case l.q.Group == nil:
		return
	}
	slices.Sort(base)
	base = slices.Compact(base)
	l.groups = []GroupID{}
	l.among = make([]uint64, len(g.groups)/64+1)
	take := func(id GroupID) {
		gr := &g.groups[id]
		if len(gr.pkgs) == 0 || gr.gone() || l.q.Group != nil && !l.q.Group(id) {
			return
		}
		l.groups = append(l.groups, id)
		set(l.among, int(id))
		for _, p := range gr.pkgs {
			l.bound += int(g.pkgs[p].post.n)
		}
	}
	if base != nil {
		for _, id := range base {
			take(id)
		}
		return
	}
	for id := range g.groups {
		take(GroupID(id))
	}
	if len(l.groups) == len(g.groups) {
		l.groups, l.among, l.bound = nil, nil, 0
	}
}

// sift fills plainly and oddly.
func (l *lister) sift() {
	g := l.g
	l.plainly = make([]uint64, len(g.groups)/64+1)
	l.oddly = make([]uint64, len(g.groups)/64+1)
	for i := range g.groups {
		gr := &g.groups[i]
		switch {
		case !l.passes(GroupID(i)):
		case !l.current() || gr.simple && gr.Published <= l.q.At:
			set(l.plainly, i)
		case !gr.simple:
			set(l.oddly, i)
		}
	}
}

func (l *lister) passes(id GroupID) bool {
	if l.among != nil {
		return has(l.among, int(id))
	}
	gr := &l.g.groups[id]
	return !gr.gone() && len(gr.pkgs) > 0
}

func (l *lister) allowed(s SlotID) bool { return l.allow == nil || has(l.allow, int(s)) }

// current tells that the list is about what runs at the time asked about.
func (l *lister) current() bool { return l.q.State == StateOpen || l.q.State == StateSuppressed }

// exhausted ends the page when its work is done; last is where to go on.
func (l *lister) exhausted(last Pair) bool {
	if l.steps > work && !l.done {
		if !l.res.More { // else the page is full, and it ended before
			l.res.Last = last
		}
		l.res.More, l.res.Over, l.done = true, true, true
	}
	return l.done
}

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
		return !l.exhausted(p)
	}
	// The page is full: from here on only count.
	l.res.More = true
	if l.res.Total >= l.q.Count || l.steps > work/4 || l.q.Row != nil || l.q.State != StateOpen {
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
		l.steps += 1 + l.size(g.slots[p.Slot].Intervals[i].Release)
	}
	var out []Exposure
	for _, e := range all {
		open := e.Opened <= t && t < e.Closed
		if l.q.State == StateSuppressed || e.Opened > t ||
			l.q.State == StateOpen && !open || l.q.State == StateClosed && open {
			continue
		}
		if open && e.Closed != estate.Forever {
			e.Closed, e.ClosedBy = estate.Forever, "" // as of t it was open
		}
		out = append(out, e)
	}
	if l.q.State == StateSuppressed && !openIn(all, t) {
		for _, e := range g.exposures(p.Group, p.Slot, nil) {
			if e.Opened <= t && t < e.Closed {
				out = append(out, e)
			}
		}
	}
	return out
}

// size is what a look at a release's packages costs, in steps.
func (l *lister) size(r ReleaseID) int {
	if s := l.g.releases[r].set; s >= 0 {
		return int(l.g.sets[s].n) / 8
	}
	return 0
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
	if l.current() {
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

// wanted tells whether a release and package in a slot can put the pair on the
// list, as far as verdicts decide.
func (l *lister) wanted(vs []compiledVerdict, s SlotID, r ReleaseID, p estate.PackageID) bool {
	if !l.current() {
		return true
	}
	if len(vs) == 0 {
		return l.q.State == StateOpen
	}
	c := l.g.decide(vs, &l.g.slots[s], r, p, l.q.At)
	return (c != nil && closes(c.row.Status)) == (l.q.State == StateSuppressed)
}

// slotsOfGroup returns the allowed slots of a group, sorted.
func (l *lister) slotsOfGroup(gr *Group, vs []compiledVerdict) []SlotID {
	g := l.g
	if l.q.State == StateOpen && everywhere(vs, l.q.At) {
		return nil
	}
	low, high := len(l.sorted), -1
	see := func(s SlotID, r ReleaseID, p estate.PackageID) {
		if l.allowed(s) && !has(l.sorted, int(s)) && l.wanted(vs, s, r, p) {
			set(l.sorted, int(s))
			low, high = min(low, int(s)>>6), max(high, int(s)>>6)
		}
	}
	for _, p := range l.pkgsOf(gr) {
		l.steps += int(g.pkgs[p].post.n) / 4
		if l.q.At < g.lastMoment || !l.current() {
			l.steps += int(g.pkgs[p].post.n) // each slot is asked for the past
		}
		g.eachReleaseOf(p, func(r ReleaseID) {
			if l.current() {
				g.eachSlotOf(r, l.q.At, func(s SlotID) { see(s, r, p) })
				return
			}
			for _, s := range g.releases[r].Slots {
				see(s, r, p)
			}
		})
	}
	var out []SlotID
	for w := low; w <= high; w++ {
		for word := l.sorted[w]; word != 0; word &= word - 1 {
			out = append(out, SlotID(w<<6+bits.TrailingZeros64(word)))
		}
		l.sorted[w] = 0
	}
	return out
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

// byGroup walks the groups in order.
func (l *lister) byGroup() {
	g := l.g
	order, rank := g.groupOrder(l.q.Order)
	if l.groups != nil && len(l.groups) < len(order)/2 {
		order = slices.Clone(l.groups)
		slices.SortFunc(order, func(a, b GroupID) int { return int(rank[a] - rank[b]) })
	}
	n := len(order)
	at := func(i int) GroupID {
		if l.q.Reverse {
			return order[n-1-i]
		}
		return order[i]
	}
	start := 0
	if l.q.Started {
		after := rank[l.q.After.Group]
		start = sort.Search(n, func(i int) bool {
			if l.q.Reverse {
				return rank[at(i)] <= after
			}
			return rank[at(i)] >= after
		})
		if start < n && at(start) == l.q.After.Group && int(l.q.After.Slot) >= len(g.slots) {
			start++ // it was listed whole: its work must not end this page, too
		}
	}
	steps := l.steps
	marked, pairs := l.mark()
	l.steps = steps // every page pays that, and must get on
	for i := start; i < n && !l.done; i++ {
		id := at(i)
		if marked != nil && !has(marked, int(id)) || !l.passes(id) {
			continue
		}
		l.steps++
		vs := g.verdictsFor(&g.groups[id])
		var slots []SlotID
		if pairs != nil {
			slots = l.keepWanted(id, pairs.of(id), vs)
		} else {
			slots = l.slotsOfGroup(&g.groups[id], vs)
		}
		for _, s := range slots {
			if l.q.Started && id == l.q.After.Group && s <= l.q.After.Slot {
				continue
			}
			if !l.emit(Pair{Group: id, Slot: s}, vs) {
				break
			}
		}
		if !l.done {
			l.exhausted(Pair{Group: id, Slot: SlotID(len(g.slots))})
		}
	}
}

// keepWanted leaves the slots in which verdicts leave the group on the list.
func (l *lister) keepWanted(id GroupID, slots []SlotID, vs []compiledVerdict) []SlotID {
	if !l.current() || len(vs) == 0 {
		if l.q.State == StateSuppressed {
			return nil
		}
		return slots
	}
	if l.q.State == StateOpen && everywhere(vs, l.q.At) {
		return nil
	}
	ps := l.pkgsOf(&l.g.groups[id])
	var out []SlotID
	for _, s := range slots {
		wanted := false
		l.g.slots[s].runningAt(l.q.At, func(iv *Interval) {
			l.steps += l.size(iv.Release)
			for _, p := range l.g.packagesOf(iv.Release, ps) {
				wanted = wanted || l.wanted(vs, s, iv.Release, p)
			}
		})
		if wanted {
			out = append(out, s)
		}
	}
	return out
}

// pairTable holds the slots of each group, packed.
type pairTable struct {
	first []int32 // by group, and one more
	slots []SlotID
}

func (t *pairTable) of(id GroupID) []SlotID { return t.slots[t.first[id]:t.first[id+1]] }

// gatherable is up to how many slots the pairs of a limited list are gathered.
const gatherable = 400

// mark finds the groups that can occur in the allowed slots: nil when every
// slot is allowed. For few slots it gathers their pairs, too.
func (l *lister) mark() (marked []uint64, pairs *pairTable) {
	if l.q.Slots == nil {
		return nil, nil
	}
	g := l.g
	marked = make([]uint64, len(g.groups)/64+1)
	if len(l.q.Slots) > gatherable {
		// Many slots: collect their packages, then what matches these.
		hot := make([]uint64, len(g.pkgHot))
		for _, s := range l.q.Slots {
			l.eachRun(s, func(r ReleaseID) {
				l.steps += l.size(r) / 4
				if s := g.releases[r].set; s >= 0 {
					b := g.sets[s].blob
					var p, d uint32
					for i := 0; i < len(b); {
						d, i = uvarint(b, i)
						p += d
						hot[p>>6] |= 1 << (p & 63)
					}
				}
			})
		}
		for w := range hot {
			for word := hot[w] & g.pkgHot[w]; word != 0; word &= word - 1 {
				for _, id := range g.pkgs[w<<6+bits.TrailingZeros64(word)].Groups {
					set(marked, int(id))
				}
			}
		}
		return marked, nil
	}
	type pair struct {
		group GroupID
		slot  SlotID
	}
	var all []pair
	count := make([]int32, len(g.groups)+1)
	for _, s := range l.q.Slots {
		l.eachRun(s, func(r ReleaseID) {
			l.steps += l.size(r)
			l.groupsIn(r, false, func(id GroupID) {
				all = append(all, pair{id, s})
				set(marked, int(id))
				count[id+1]++
			})
		})
	}
	for i := 1; i < len(count); i++ {
		count[i] += count[i-1]
	}
	t := &pairTable{first: count, slots: make([]SlotID, len(all))}
	next := slices.Clone(count)
	for _, p := range all { // slots come in order, so each group's are sorted
		t.slots[next[p.group]] = p.slot
		next[p.group]++
	}
	// Two packages, or two releases, may have given a pair twice.
	out := int32(0)
	for id := range len(g.groups) {
		from, to := count[id], count[id+1]
		count[id] = out
		for i := from; i < to; i++ {
			if i == from || t.slots[i] != t.slots[i-1] {
				t.slots[out] = t.slots[i]
				out++
			}
		}
	}
	count[len(g.groups)] = out
	return marked, t
}

// eachRun calls fn for the releases of a slot that the list is about.
func (l *lister) eachRun(s SlotID, fn func(ReleaseID)) {
	sl := &l.g.slots[s]
	if l.current() {
		sl.runningAt(l.q.At, func(iv *Interval) { fn(iv.Release) })
		return
	}
	for i := range sl.Intervals {
		fn(sl.Intervals[i].Release)
	}
}

// groupsIn calls fn for each group of the list that matches a release, once a
// package; with ever, by whatever package and at whatever time.
func (l *lister) groupsIn(r ReleaseID, ever bool, fn func(GroupID)) {
	g := l.g
	s := g.releases[r].set
	if s < 0 {
		return
	}
	b := g.sets[s].blob
	var p, d uint32
	for i := 0; i < len(b); {
		d, i = uvarint(b, i)
		p += d
		if !has(g.pkgHot, int(p)) || !ever && l.q.Packages != nil && !containsPkg(l.q.Packages, estate.PackageID(p)) {
			continue
		}
		for _, id := range g.pkgs[p].Groups {
			if !has(l.plainly, int(id)) {
				if !has(l.oddly, int(id)) {
					continue
				}
				if from, until, ok := g.activeFor(&g.groups[id], estate.PackageID(p)); !ever && (!ok || l.q.At < from || until <= l.q.At) {
					continue
				}
			}
			fn(id)
		}
	}
}

// gather collects all pairs of a list that few groups can be in.
func (l *lister) gather() []Pair {
	var out []Pair
	for _, id := range l.groups {
		vs := l.g.verdictsFor(&l.g.groups[id])
		for _, s := range l.slotsOfGroup(&l.g.groups[id], vs) {
			out = append(out, Pair{Group: id, Slot: s})
		}
	}
	return out
}

// byService walks the slots in the order of service and environment names, and
// in each slot the groups by severity.
func (l *lister) byService() {
	g := l.g
	rank := g.slotRank()
	_, severity := g.groupOrder(BySeverity)
	before := func(a, b Pair) bool {
		ra, rb := rank[a.Slot], rank[b.Slot]
		if ra != rb {
			return (ra < rb) != l.q.Reverse
		}
		if int(a.Group) >= len(severity) || int(b.Group) >= len(severity) {
			return a.Group < b.Group
		}
		return severity[a.Group] < severity[b.Group]
	}
	if l.groups != nil && l.bound <= few {
		pairs := l.gather()
		sort.Slice(pairs, func(i, j int) bool { return before(pairs[i], pairs[j]) })
		for _, p := range pairs {
			if l.q.Started && !before(l.q.After, p) {
				continue
			}
			if !l.emit(p, g.verdictsFor(&g.groups[p.Group])) {
				return
			}
		}
		return
	}
	order := g.slotsByName()
	if l.q.Slots != nil {
		order = slices.Clone(l.q.Slots)
		slices.SortFunc(order, func(a, b SlotID) int { return int(rank[a] - rank[b]) })
	}
	n := len(order)
	start := 0
	at := func(i int) SlotID {
		if l.q.Reverse {
			return order[n-1-i]
		}
		return order[i]
	}
	if l.q.Started {
		after := rank[l.q.After.Slot]
		start = sort.Search(n, func(i int) bool {
			if l.q.Reverse {
				return rank[at(i)] <= after
			}
			return rank[at(i)] >= after
		})
		if start < n && at(start) == l.q.After.Slot && int(l.q.After.Group) >= len(g.groups) {
			start++
		}
	}
	for i := start; i < n; i++ {
		s := at(i)
		var ids []GroupID
		l.eachRun(s, func(r ReleaseID) {
			l.steps += l.size(r)
			l.groupsIn(r, false, func(id GroupID) { ids = append(ids, id) })
		})
		slices.Sort(ids)
		ids = slices.Compact(ids)
		slices.SortFunc(ids, func(a, b GroupID) int { return int(severity[a] - severity[b]) })
		l.steps += len(ids)
		for _, id := range ids {
			p := Pair{Group: id, Slot: s}
			if l.q.Started && s == l.q.After.Slot && !before(l.q.After, p) {
				continue
			}
			vs := g.verdictsFor(&g.groups[id])
			if len(l.keepWanted(id, []SlotID{s}, vs)) > 0 && !l.emit(p, vs) {
				return
			}
		}
		if l.exhausted(Pair{Group: GroupID(len(g.groups)), Slot: s}) {
			return
		}
	}
}
