package graph

import (
	"sort"

	"thymus/internal/estate"
)

// Hit is one release that contains a package asked about.
type Hit struct {
	Release ReleaseID
	Running bool // runs somewhere at the time asked about, and no verdict closes it there
}

// Impact is what packages, or the groups that match them, hit.
type Impact struct {
	Releases   []Hit // each once, in no order
	Open       []SlotID
	Suppressed []SlotID
	Running    int // releases that run
	// Services counts the open slots of each service, by id.
	Services []int32

	g  *Graph
	sc *scratch
}

// Done gives the impact's memory back; it must not be used afterwards.
func (im *Impact) Done() {
	for _, s := range im.Open {
		im.Services[im.g.placeOf[s].service] = 0
	}
	im.sc.hits, im.sc.open = im.Releases[:0], im.Open[:0]
	im.g.giveBack(im.sc)
	*im = Impact{}
}

// Impact walks from packages to releases and slots at t. With groups, verdicts
// on them count: a slot is suppressed when verdicts close every group in it.
// The caller calls Done on the result, within the View.
func (v *View) Impact(groups []GroupID, pkgs []estate.PackageID, t estate.Time) Impact {
	g := v.g
	sc := g.scratch()
	sc.next()
	for len(sc.services) < len(g.services) {
		sc.services = append(sc.services, make([]int32, len(g.services)-len(sc.services))...)
	}
	im := Impact{g: g, sc: sc, Releases: sc.hits[:0], Open: sc.open[:0], Services: sc.services[:len(g.services)]}
	var vs [][]compiledVerdict
	anyVerdict := false
	matched := make([][]estate.PackageID, len(groups))
	for i, id := range groups {
		vs = append(vs, g.verdictsFor(&g.groups[id]))
		anyVerdict = anyVerdict || len(vs[i]) > 0
		matched[i] = g.activePackages(&g.groups[id], t)
		pkgs = append(pkgs, matched[i]...)
	}
	pkgs = sortedOnce(append([]estate.PackageID(nil), pkgs...))
	suppressed := map[SlotID]bool{}
	at := map[ReleaseID]int{}
	for _, p := range pkgs {
		g.eachReleaseOf(p, func(r ReleaseID) {
			fresh := sc.seeRelease(r)
			if !fresh && !anyVerdict {
				return
			}
			running := false
			g.eachSlotOf(r, t, func(s SlotID) {
				open := !anyVerdict
				for i := range groups {
					if open {
						break
					}
					if !containsPkg(matched[i], p) {
						continue
					}
					c := g.decide(vs[i], &g.slots[s], r, p, t)
					open = c == nil || !closes(c.row.Status)
				}
				if !open {
					suppressed[s] = true
					return
				}
				running = true
				if sc.seeSlot(s) {
					im.Open = append(im.Open, s)
					im.Services[g.placeOf[s].service]++
				}
			})
			switch {
			case fresh:
				if anyVerdict {
					at[r] = len(im.Releases)
				}
				im.Releases = append(im.Releases, Hit{r, running})
				if running {
					im.Running++
				}
			case running && !im.Releases[at[r]].Running:
				im.Releases[at[r]].Running = true
				im.Running++
			}
		})
	}
	for s := range suppressed {
		if sc.slots[s] != sc.stamp {
			im.Suppressed = append(im.Suppressed, s)
		}
	}
	sort.Slice(im.Suppressed, func(i, j int) bool { return im.Suppressed[i] < im.Suppressed[j] })
	return im
}
