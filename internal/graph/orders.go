package graph

import (
	"slices"
	"sort"
	"strings"

	"thymus/internal/estate"
)

// orders caches what lists sort by. A reader fills it; a change of what it
// rests on empties it.
type orders struct {
	changes int // of advisories, signals and verdicts
	order   map[Order][]GroupID
	rank    map[Order][]int32

	byName []SlotID // slots by service and environment name
	slot   []int32  // the rank of each in it

	momentsAt [2]int64 // changes and seq
	moments   []moment
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

// groupOrder returns all groups in an order, and the rank of each.
func (g *Graph) groupOrder(o Order) ([]GroupID, []int32) {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.orders
	if c.order == nil || c.changes != g.changes {
		c.changes = g.changes
		c.order, c.rank = map[Order][]GroupID{}, map[Order][]int32{}
	}
	if order, ok := c.order[o]; ok {
		return order, c.rank[o]
	}
	order := make([]GroupID, len(g.groups))
	key := make([]float64, len(g.groups))
	for i := range order {
		order[i] = GroupID(i)
		key[i] = g.groupKey(o, GroupID(i))
	}
	slices.SortFunc(order, func(a, b GroupID) int {
		switch {
		case key[a] > key[b]:
			return -1
		case key[a] < key[b]:
			return 1
		}
		return -strings.Compare(g.groups[a].ID, g.groups[b].ID)
	})
	rank := make([]int32, len(order))
	for i, id := range order {
		rank[id] = int32(i)
	}
	c.order[o], c.rank[o] = order, rank
	return order, rank
}

// slotRank ranks the slots by service and environment name.
func (g *Graph) slotRank() []int32 {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.orders
	if c.slot != nil && len(c.slot) == len(g.slots) {
		return c.slot
	}
	names := make([]string, len(g.slots))
	c.byName = make([]SlotID, len(g.slots))
	for i := range g.slots {
		c.byName[i] = SlotID(i)
		names[i] = g.services[g.slots[i].Service].FullName() + "\x00" + g.envs[g.slots[i].Env].Name
	}
	sort.Slice(c.byName, func(i, j int) bool { return names[c.byName[i]] < names[c.byName[j]] })
	c.slot = make([]int32, len(c.byName))
	for i, s := range c.byName {
		c.slot[s] = int32(i)
	}
	return c.slot
}

// slotsByName returns the slots by service and environment name.
func (g *Graph) slotsByName() []SlotID {
	g.slotRank()
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	return g.orders.byName
}

// moment is a time at which exposures may open: a group begins to match, or a
// release starts in a slot. The other one is -1.
type moment struct {
	at    estate.Time
	group GroupID
	slot  SlotID
}

// moments returns all moments, the latest first; at one time groups come first.
func (g *Graph) allMoments() []moment {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.orders
	key := [2]int64{int64(g.changes), g.seq}
	if c.moments != nil && c.momentsAt == key {
		return c.moments
	}
	out := make([]moment, 0, len(g.groups)+len(g.slots))
	for id := range g.groups {
		gr := &g.groups[id]
		if gr.gone() || len(gr.pkgs) == 0 {
			continue
		}
		if gr.simple && len(g.verdictsOf) == 0 {
			out = append(out, moment{gr.Published, GroupID(id), -1})
			continue
		}
		for _, t := range g.beginnings(gr) {
			out = append(out, moment{t, GroupID(id), -1})
		}
	}
	for s := range g.slots {
		last := estate.Time(-1)
		for i := range g.slots[s].Intervals {
			if from := g.slots[s].Intervals[i].From; from != last {
				out = append(out, moment{from, -1, SlotID(s)})
				last = from
			}
		}
	}
	slices.SortFunc(out, func(a, b moment) int {
		switch {
		case a.at != b.at:
			return int(min(1, max(-1, b.at-a.at)))
		case a.group != b.group && a.group >= 0 && b.group >= 0:
			return int(a.group - b.group)
		case a.group != b.group:
			return int(b.group - a.group) // groups before slots
		}
		return int(a.slot - b.slot)
	})
	c.moments, c.momentsAt = out, key
	return out
}

// beginnings are the times at which the group may begin to match: publications
// of its records, and the ends of verdicts on it; the starts, too, of those that
// keep it open where a less specific one closes it.
func (g *Graph) beginnings(gr *Group) []estate.Time {
	var out []estate.Time
	for _, r := range gr.Records {
		out = append(out, g.records[r].published())
	}
	for _, v := range g.verdictsFor(gr) {
		if v.expires != estate.Forever {
			out = append(out, v.expires)
		}
		if !closes(v.row.Status) {
			out = append(out, v.at)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
