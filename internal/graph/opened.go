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
				vs := g.verdictsFor(&g.groups[m.group])
				for _, s := range l.slotsOfGroup(&g.groups[m.group], vs) {
					if l.opens(Pair{Group: m.group, Slot: s}, t, vs) {
						seen[Pair{Group: m.group, Slot: s}] = true
					}
				}
				continue
			}
			started := map[GroupID]bool{}
			for k := range g.slots[m.slot].Intervals {
				iv := &g.slots[m.slot].Intervals[k]
				if iv.From != t {
					continue
				}
				l.steps++
				g.groupsAt(iv.Release, l.q.At, func(id GroupID, p estate.PackageID) {
					if l.passes(id) && (l.q.Packages == nil || containsPkg(l.q.Packages, p)) {
						started[id] = true
					}
				})
			}
			// A release that ran right before carries its groups on: they did not open now.
			for k := range g.slots[m.slot].Intervals {
				iv := &g.slots[m.slot].Intervals[k]
				if iv.From < t && iv.To >= t {
					g.groupsAt(iv.Release, l.q.At, func(id GroupID, _ estate.PackageID) {
						if len(g.verdictsFor(&g.groups[id])) == 0 && g.groups[id].Published <= t {
							delete(started, id)
						}
					})
				}
			}
			l.steps += len(started)
			for id := range started {
				vs := g.verdictsFor(&g.groups[id])
				if l.opens(Pair{Group: id, Slot: m.slot}, t, vs) {
					seen[Pair{Group: id, Slot: m.slot}] = true
				}
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

// opens tells whether an exposure of the pair that the list wants opened at t.
func (l *lister) opens(p Pair, t estate.Time, vs []compiledVerdict) bool {
	for _, e := range l.rows(p, vs) {
		if e.Opened == t {
			return true
		}
	}
	return false
}
