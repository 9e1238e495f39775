package graph

import (
	"math/bits"
	"slices"

	"thymus/internal/estate"
)

// FixCount is what a change of one package would close at a time.
type FixCount struct {
	Exposures int
	Groups    []GroupID          // sorted
	Versions  []estate.PackageID // affected ones that run, in the order given
	Services  []ServiceID        // sorted
	Looked    int                // releases looked at
	Over      bool               // counting stopped at the budget: at least that much
}

// FixCount counts the open exposures that come by the given versions of one
// package. among filters groups, slots (sorted; nil: all) limits the places. It
// looks at no more releases than budget.
func (v *View) FixCount(ids []estate.PackageID, t estate.Time, among func(GroupID) bool, slots []SlotID, budget int) FixCount {
	g := v.g
	var out FixCount
	var allow []uint64
	if slots != nil {
		allow = make([]uint64, len(g.slots)/64+1)
		for _, s := range slots {
			set(allow, int(s))
		}
	}
	groups := make([]uint64, len(g.groups)/64+1)
	services := make([]uint64, len(g.services)/64+1)
	// A slot is counted with the first version that is found in it; exact holds
	// what is open there where that is not simply the version's own groups.
	seenBy := make([]uint16, len(g.slots))
	frees := make([][]GroupID, len(ids))
	exact := map[SlotID][]GroupID{}
	merged := map[[2]uint16][]GroupID{}
	type judged struct {
		id GroupID
		vs []compiledVerdict
	}
	for k, p := range ids[:min(len(ids), 1<<16-1)] {
		var asked []judged
		for _, id := range g.pkgs[p].Groups {
			if among != nil && !among(id) {
				continue
			}
			if from, until, ok := g.activeFor(&g.groups[id], p); !ok || t < from || until <= t {
				continue
			}
			vs := g.verdictsFor(&g.groups[id])
			switch {
			case len(vs) == 0:
				frees[k] = append(frees[k], id)
			case !everywhere(vs, t):
				asked = append(asked, judged{id, vs})
			}
		}
		free := frees[k]
		if len(free)+len(asked) == 0 {
			continue
		}
		runs := false
		g.eachReleaseOf(p, func(r ReleaseID) {
			if out.Looked++; out.Looked > budget {
				out.Over = true
				return
			}
			g.eachSlotOf(r, t, func(s SlotID) {
				if allow != nil && !has(allow, int(s)) {
					return
				}
				open := free
				for _, j := range asked {
					if c := g.decide(j.vs, &g.slots[s], r, p, t); c == nil || !closes(c.row.Status) {
						open = append(open[:len(open):len(open)], j.id)
						set(groups, int(j.id))
					}
				}
				if len(open) == 0 {
					return
				}
				runs = true
				set(services, int(g.slots[s].Service))
				if seenBy[s] == 0 {
					seenBy[s] = uint16(k + 1)
					out.Exposures += len(open)
					if len(open) > len(free) {
						exact[s] = open
					}
					return
				}
				// Another version of the package runs there too: count what it adds.
				had, ok := exact[s]
				if ok || len(open) > len(free) {
					if !ok {
						had = frees[seenBy[s]-1]
					}
					exact[s] = merge(had, open)
				} else {
					// Mostly it is the same two versions again.
					had = frees[seenBy[s]-1]
					key := [2]uint16{seenBy[s], uint16(k + 1)}
					both, ok := merged[key]
					if !ok {
						both = merge(had, free)
						merged[key] = both
					}
					exact[s] = both
				}
				out.Exposures += len(exact[s]) - len(had)
			})
		})
		if runs {
			out.Versions = append(out.Versions, p)
			for _, id := range free {
				set(groups, int(id))
			}
		}
	}
	for w := range groups {
		for word := groups[w]; word != 0; word &= word - 1 {
			out.Groups = append(out.Groups, GroupID(w<<6+bits.TrailingZeros64(word)))
		}
	}
	for w := range services {
		for word := services[w]; word != 0; word &= word - 1 {
			out.Services = append(out.Services, ServiceID(w<<6+bits.TrailingZeros64(word)))
		}
	}
	return out
}

// merge returns the union of groups, of which a is sorted.
func merge(a, b []GroupID) []GroupID {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}
