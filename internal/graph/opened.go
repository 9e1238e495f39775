package graph

import (
	"sort"

	"thymus/internal/estate"
)

// byOpened lists exposures by the time at which they opened. That is the later
// of two times: when the advisory was published, and when the chain of matching
// releases in the slot began. So both kinds of event are merged in the order of
// time, and each yields exactly the exposures that opened then: a publication
// those of its group whose chain had begun, the start of an interval those of
// its slot that were published before.
func (l *lister) byOpened() {
	g := l.g
	type moment struct {
		at    estate.Time
		group GroupID // or -1
		slot  SlotID
	}
	var moments []moment
	for id := range g.groups {
		if l.passes(GroupID(id)) {
			for _, t := range g.beginnings(&g.groups[id]) {
				moments = append(moments, moment{t, GroupID(id), -1})
			}
		}
	}
	for s := range g.slots {
		if !l.allowed(SlotID(s)) || l.q.State == StateOpen && !g.running(SlotID(s), l.q.At) {
			continue
		}
		last := estate.Time(-1)
		for i := range g.slots[s].Intervals {
			if from := g.slots[s].Intervals[i].From; from != last && from <= l.q.At {
				moments = append(moments, moment{from, -1, SlotID(s)})
				last = from
			}
		}
	}
	sort.Slice(moments, func(i, j int) bool {
		a, b := &moments[i], &moments[j]
		if a.at != b.at {
			return (a.at > b.at) != l.q.Reverse
		}
		if a.group != b.group {
			return a.group < b.group
		}
		return a.slot < b.slot
	})
	var after estate.Time
	if l.q.Started {
		after = l.q.After.Opened
	}
	for i := 0; i < len(moments) && !l.done; {
		t := moments[i].at
		j := i
		for j < len(moments) && moments[j].at == t {
			j++
		}
		past := l.q.Started && t != after && (t > after) != l.q.Reverse
		if past || t > l.q.At {
			i = j
			continue
		}
		seen := map[Pair]bool{}
		for _, m := range moments[i:j] {
			if m.group >= 0 {
				l.openedByGroup(m.group, t, seen)
			} else {
				l.openedInSlot(m.slot, t, seen)
			}
			if l.steps > work && len(moments) > j {
				break // the page ends after this moment
			}
		}
		pairs := make([]Pair, 0, len(seen))
		for p := range seen {
			pairs = append(pairs, p)
		}
		sort.Slice(pairs, func(a, b int) bool { return pairBefore(pairs[a], pairs[b]) })
		for _, p := range pairs {
			if l.q.Started && t == after && !pairBefore(l.q.After, p) {
				continue
			}
			p.Opened = t
			if !l.emit(p, g.verdictsFor(&g.groups[p.Group])) {
				break
			}
		}
		if l.steps > work && !l.done && j < len(moments) && len(pairs) > 0 {
			l.res.More, l.res.Over, l.done = true, true, true
		}
		i = j
	}
}

func pairBefore(a, b Pair) bool {
	if a.Group != b.Group {
		return a.Group < b.Group
	}
	return a.Slot < b.Slot
}

// beginnings are the times at which the group may begin to match: publications
// of its records, and the ends of verdicts on it.
func (g *Graph) beginnings(gr *Group) []estate.Time {
	var out []estate.Time
	add := func(t estate.Time) {
		for _, x := range out {
			if x == t {
				return
			}
		}
		out = append(out, t)
	}
	for _, r := range gr.Records {
		add(g.records[r].published())
	}
	for _, v := range g.verdictsFor(gr) {
		if v.expires != estate.Forever {
			add(v.expires)
		}
	}
	return out
}

func (g *Graph) running(s SlotID, t estate.Time) bool {
	found := false
	g.slots[s].runningAt(t, func(*Interval) { found = true })
	return found
}

// plain tells that a group's exposures follow from releases alone: it was
// published at one time, and no record is withdrawn and no verdict speaks of it.
func (l *lister) plain(id GroupID, vs []compiledVerdict) bool {
	return l.q.State == StateOpen && l.g.groups[id].simple && len(vs) == 0
}

// openedByGroup finds the slots in which a group opened by being published at t.
func (l *lister) openedByGroup(id GroupID, t estate.Time, seen map[Pair]bool) {
	g := l.g
	gr := &g.groups[id]
	vs := g.verdictsFor(gr)
	if !l.plain(id, vs) {
		for _, s := range l.slotsOfGroup(gr, vs) {
			if p := (Pair{Group: id, Slot: s}); l.opens(p, t, vs) {
				seen[p] = true
			}
			if l.steps > 2*work {
				return
			}
		}
		return
	}
	slots := l.slotsOfGroup(gr, vs) // stamps slots
	l.sc.next()
	for _, p := range gr.pkgs {
		g.eachReleaseOf(p, func(r ReleaseID) { l.sc.releases[r] = l.sc.stamp })
	}
	for _, s := range slots {
		l.steps++
		if g.chainStart(s, l.q.At, func(r ReleaseID) bool { return l.sc.releases[r] == l.sc.stamp }) <= t {
			seen[Pair{Group: id, Slot: s}] = true
		}
	}
}

// chainStart is when the unbroken run of matching releases that covers at
// began in a slot; Forever when none covers it.
func (g *Graph) chainStart(s SlotID, at estate.Time, matches func(ReleaseID) bool) estate.Time {
	sl := &g.slots[s]
	start := estate.Forever
	for {
		// The intervals that reach the start found so far, or cover at.
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

// openedInSlot finds the groups that opened in a slot by a release that
// started there at t.
func (l *lister) openedInSlot(s SlotID, t estate.Time, seen map[Pair]bool) {
	g := l.g
	sl := &g.slots[s]
	started := map[GroupID]bool{}
	covered := false // by the releases of this moment
	for k := range sl.Intervals {
		iv := &sl.Intervals[k]
		if iv.From != t {
			continue
		}
		covered = covered || iv.To > l.q.At
		l.groupsIn(iv.Release, func(id GroupID) { started[id] = true })
	}
	// A release that ran right before carries its groups on: they did not open now.
	for k := range sl.Intervals {
		if iv := &sl.Intervals[k]; iv.From < t && iv.To >= t && len(started) > 0 {
			l.groupsIn(iv.Release, func(id GroupID) {
				if started[id] && g.groups[id].simple && g.groups[id].Published <= t && len(g.verdictsFor(&g.groups[id])) == 0 {
					delete(started, id)
				}
			})
		}
	}
	for id := range started {
		vs := g.verdictsFor(&g.groups[id])
		p := Pair{Group: id, Slot: s}
		if l.plain(id, vs) && covered && len(sl.Intervals) == 1 {
			if g.groups[id].Published <= t {
				seen[p] = true
			}
			continue
		}
		if l.opens(p, t, vs) {
			seen[p] = true
		}
		if l.steps > 2*work {
			return
		}
	}
}

// groupsIn calls fn for each group of the list that matches a release.
func (l *lister) groupsIn(r ReleaseID, fn func(GroupID)) {
	if set := l.g.releases[r].set; set >= 0 {
		l.steps += int(l.g.sets[set].n) / 8
	}
	l.g.groupsAt(r, l.q.At, func(id GroupID, p estate.PackageID) {
		if l.passes(id) && (l.q.Packages == nil || containsPkg(l.q.Packages, p)) {
			l.steps++
			fn(id)
		}
	})
}

// opens tells whether an exposure of the pair that the list wants opened at t.
func (l *lister) opens(p Pair, t estate.Time, vs []compiledVerdict) bool {
	for _, e := range l.rows(p, vs) {
		if e.Opened == t {
			return true
		}
	}
	return false
}
