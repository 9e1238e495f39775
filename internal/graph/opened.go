package graph

import (
	"slices"
	"sort"

	"thymus/internal/estate"
)

// byOpened lists exposures by the time at which they opened. That is the later
// of two times: when the advisory was published, and when the chain of matching
// releases in the slot began. So both kinds of moment are merged in the order
// of time, and each yields exactly the exposures that opened then: a group
// those of its slots whose chain had begun, a start in a slot those of the
// release's groups that were published before.
func (l *lister) byOpened() {
	if l.groups != nil && l.bound <= few/20 {
		l.openedGathered()
		return
	}
	moments := l.g.allMoments()
	n := len(moments)
	at := func(i int) moment { return moments[i] }
	if l.q.Reverse {
		at = reversed(moments)
	}
	start := 0
	if l.q.Started {
		start = sort.Search(n, func(i int) bool {
			m := at(i)
			if m.at != l.q.After.Opened {
				return (m.at < l.q.After.Opened) != l.q.Reverse
			}
			return !l.passed(m)
		})
	}
	for i := start; i < n && !l.done; i++ {
		m := at(i)
		if m.at > l.q.At {
			continue
		}
		l.steps++
		var last Pair
		if m.group >= 0 {
			// Nothing ran before the first event, so nothing opened then.
			if m.at < l.g.firstMoment || !l.passes(m.group) {
				continue
			}
			l.openedByGroup(m)
			last = Pair{Group: m.group, Slot: SlotID(len(l.g.slots)), Opened: m.at}
		} else {
			if !l.allowed(m.slot) || l.q.State == StateOpen && !l.g.running(m.slot, l.q.At) {
				continue
			}
			l.openedInSlot(m)
			last = Pair{Group: GroupID(len(l.g.groups)), Slot: m.slot, Opened: m.at}
		}
		l.exhausted(last)
	}
}

// reversed walks moments from the earliest time, each time's in their own order.
func reversed(moments []moment) func(int) moment {
	out := make([]moment, 0, len(moments))
	for i := len(moments); i > 0; {
		j := i - 1
		for j > 0 && moments[j-1].at == moments[i-1].at {
			j--
		}
		out = append(out, moments[j:i]...)
		i = j
	}
	return func(i int) moment { return out[i] }
}

// passed tells that a moment of the time at which the page before ended was
// listed whole. At one time groups come first, then slots.
func (l *lister) passed(m moment) bool {
	a := l.q.After
	byGroup := l.endedByGroup()
	switch {
	case byGroup && m.group == a.Group:
		return int(a.Slot) >= len(l.g.slots)
	case byGroup && m.group >= 0:
		return m.group < a.Group
	case byGroup:
		return false
	case m.group >= 0:
		return true
	}
	return m.slot < a.Slot || m.slot == a.Slot && int(a.Group) >= len(l.g.groups)
}

// behind tells that a pair of this moment was on the page before.
func (l *lister) behind(m moment, p Pair) bool {
	a := l.q.After
	if !l.q.Started || m.at != a.Opened {
		return false
	}
	if m.group >= 0 {
		return p.Group == a.Group && p.Slot <= a.Slot
	}
	return !l.endedByGroup() && p.Slot == a.Slot && p.Group <= a.Group
}

// endedByGroup tells that the page before ended in a moment of a group: a slot's
// moment leaves out the groups that begin at that very time.
func (l *lister) endedByGroup() bool {
	a := l.q.After
	return int(a.Group) < len(l.g.groups) && slices.Contains(l.g.beginnings(&l.g.groups[a.Group]), a.Opened)
}

// plain tells that a group's exposures follow from releases alone: it was
// published at one time, and no record is withdrawn and no verdict speaks of it.
func (l *lister) plain(id GroupID, vs []compiledVerdict) bool {
	return l.q.State == StateOpen && l.g.groups[id].simple && len(vs) == 0
}

// openedByGroup lists the slots in which a group opened by beginning to match.
func (l *lister) openedByGroup(m moment) {
	g := l.g
	id := m.group
	gr := &g.groups[id]
	vs := g.verdictsFor(gr)
	slots := l.slotsOfGroup(gr, vs)
	plain := l.plain(id, vs)
	if plain && len(slots) > 0 {
		l.sc.next()
		for _, p := range gr.pkgs {
			g.eachReleaseOf(p, func(r ReleaseID) { l.sc.releases[r] = l.sc.stamp })
		}
	}
	for _, s := range slots {
		p := Pair{Group: id, Slot: s, Opened: m.at}
		if l.behind(m, p) {
			continue
		}
		l.steps++
		opens := false
		if plain {
			opens = g.chainStart(s, l.q.At, func(r ReleaseID) bool { return l.sc.releases[r] == l.sc.stamp }) <= m.at
		} else {
			opens = l.opens(p, vs)
		}
		if opens && !l.emit(p, vs) || l.exhausted(p) {
			return
		}
	}
}

// chainStart is when the unbroken run of matching releases that covers at
// began in a slot; Forever when none covers it.
func (g *Graph) chainStart(s SlotID, at estate.Time, matches func(ReleaseID) bool) estate.Time {
	sl := &g.slots[s]
	start := estate.Forever
	for {
		// The earliest interval that covers at, or reaches the start found so far.
		found := start
		for i := range sl.Intervals {
			iv := &sl.Intervals[i]
			if iv.From > at {
				break
			}
			reaches := iv.To > at
			if start != estate.Forever {
				reaches = iv.To >= start && iv.From < start
			}
			if reaches && iv.From < found && matches(iv.Release) {
				found = iv.From
			}
		}
		if found == start {
			return start
		}
		start = found
	}
}

// openedInSlot lists the groups that opened in a slot by a release that started
// there. Groups that began to match at that very time are listed with these.
func (l *lister) openedInSlot(m moment) {
	g := l.g
	sl := &g.slots[m.slot]
	var started []GroupID
	alone := len(sl.Intervals) == 1
	covered := false
	for k := range sl.Intervals {
		if iv := &sl.Intervals[k]; iv.From == m.at {
			covered = covered || iv.To > l.q.At
			l.steps += l.size(iv.Release)
			l.groupsIn(iv.Release, true, func(id GroupID) { started = append(started, id) })
		}
	}
	slices.Sort(started)
	started = slices.Compact(started)
	started = l.withoutCarried(sl, m.at, started)
	for _, id := range started {
		p := Pair{Group: id, Slot: m.slot, Opened: m.at}
		if l.behind(m, p) {
			continue
		}
		l.steps++
		gr := &g.groups[id]
		vs := g.verdictsFor(gr)
		opens := false
		switch {
		case gr.simple && gr.Published >= m.at:
			// Not published yet, or at this very time: the group's moment has it.
			continue
		case l.plain(id, vs) && alone && covered:
			opens = l.listed(p, vs)
		case (!gr.simple || len(vs) > 0) && slices.Contains(g.beginnings(gr), m.at):
			continue // nor may the page end here: passed would take it for the group's moment
		default:
			opens = l.opens(p, vs) && l.listed(p, vs)
		}
		if opens && !l.emit(p, vs) || l.exhausted(p) {
			return
		}
	}
}

// listed tells whether the packages asked about, which need not be those by
// which the exposure opened, put the pair on the list.
func (l *lister) listed(p Pair, vs []compiledVerdict) bool {
	found := l.q.Packages == nil
	if !found {
		ps := l.pkgsOf(&l.g.groups[p.Group])
		l.eachRun(p.Slot, func(r ReleaseID) {
			l.steps += l.size(r)
			for _, x := range l.g.packagesOf(r, ps) {
				found = found || l.wanted(vs, p.Slot, r, x)
			}
		})
	}
	return found
}

// withoutCarried leaves out groups that a release which ran right before
// carries on: they did not open at t.
func (l *lister) withoutCarried(sl *Slot, t estate.Time, started []GroupID) []GroupID {
	carried := map[GroupID]bool{}
	for k := range sl.Intervals {
		iv := &sl.Intervals[k]
		if iv.From >= t || iv.To < t || len(started) == 0 {
			continue
		}
		l.steps += l.size(iv.Release)
		l.groupsIn(iv.Release, true, func(id GroupID) {
			if gr := &l.g.groups[id]; gr.simple && gr.Published <= t && len(l.g.verdictsFor(gr)) == 0 {
				carried[id] = true
			}
		})
	}
	if len(carried) == 0 {
		return started
	}
	return slices.DeleteFunc(started, func(id GroupID) bool { return carried[id] })
}

// openedGathered sorts the whole of a list that few groups can be in.
func (l *lister) openedGathered() {
	type row struct {
		p  Pair
		vs []compiledVerdict
	}
	var all []row
	for _, p := range l.gather() {
		vs := l.g.verdictsFor(&l.g.groups[p.Group])
		for _, e := range l.rows(p, vs) {
			p.Opened = e.Opened
			all = append(all, row{p, vs})
		}
	}
	before := func(a, b Pair) bool {
		if a.Opened != b.Opened {
			return (a.Opened > b.Opened) != l.q.Reverse
		}
		if a.Group != b.Group {
			return a.Group < b.Group
		}
		return a.Slot < b.Slot
	}
	sort.SliceStable(all, func(i, j int) bool { return before(all[i].p, all[j].p) })
	for _, r := range all {
		if l.q.Started && !before(l.q.After, r.p) {
			continue
		}
		l.steps = 0 // the work is done already
		if !l.emit(r.p, r.vs) {
			return
		}
	}
}

func (g *Graph) running(s SlotID, t estate.Time) bool {
	found := false
	g.slots[s].runningAt(t, func(*Interval) { found = true })
	return found
}

// opens tells whether an exposure of the pair that the list wants opened then.
func (l *lister) opens(p Pair, vs []compiledVerdict) bool {
	for _, e := range l.rows(p, vs) {
		if e.Opened == p.Opened {
			return true
		}
	}
	return false
}
