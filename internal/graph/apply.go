package graph

import (
	"maps"
	"slices"
	"sort"

	"thymus/internal/estate"
)

// Transition is an exposure that a change opened or closed, as of now.
type Transition struct {
	Advisory, Service, Domain, Environment string
	Opened                                 bool
	Reason                                 string
}

// most is how many exposures a change may touch and still be told one by one;
// a change beyond it (a first feed, a new description of a large estate) is
// told as one.
const most = 200_000

// Load takes changes in without joining names or telling transitions; Join
// must follow. It is how a graph is filled at start.
func (g *Graph) Load(c *estate.Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loading = true
	g.addPackages(c.Packages)
	g.addRecords(c.Advisories)
	g.addSignals(c.Exploited, c.Likelihoods)
	g.addRows(c)
	g.seq = max(g.seq, c.Seq)
}

// Join computes the joined layer after Load.
func (g *Graph) Join() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loading = false
	g.matchAll()
	g.rejoin()
}

// Apply takes one change in, joins it, and returns what opened and closed by
// it. told is false when the change touched more than can be told one by one;
// transitions are then left out. Changes must come in the order of Seq.
func (g *Graph) Apply(c *estate.Change) (transitions []Transition, told bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := newWatch(g, c)
	w.before()
	g.addPackages(c.Packages)
	g.addRecords(c.Advisories)
	g.addSignals(c.Exploited, c.Likelihoods)
	rejoined := g.joinMore(g.addRows(c))
	g.seq = max(g.seq, c.Seq)
	return w.after(rejoined)
}

// watch compares what is open before and after a change, for what it touches.
type watch struct {
	g    *Graph
	c    *estate.Change
	open []Pair // before, sorted
	// The records that aliases tied to the change's before: it may untie them.
	records []int32
	failed  bool
	// The names that pairs had before: a rejoin makes new ones.
	was naming
}

// naming resolves pairs to names.
type naming struct {
	services []Service
	slots    []Slot
	envs     []Env
}

func (g *Graph) naming() naming { return naming{g.services, g.slots, g.envs} }

// name renders a pair as a transition, without its reason.
func (n naming) name(g *Graph, p Pair) Transition {
	sl := &n.slots[p.Slot]
	svc := &n.services[sl.Service]
	return Transition{Advisory: g.groups[p.Group].ID, Service: svc.FullName(), Domain: svc.Spec.Domain, Environment: n.envs[sl.Env].Name}
}

func newWatch(g *Graph, c *estate.Change) *watch { return &watch{g: g, c: c} }

// groups returns the groups that the change's records, signals and verdicts touch.
func (w *watch) groups() []GroupID {
	g := w.g
	seen := map[GroupID]bool{}
	for i := range w.c.Advisories {
		a := &w.c.Advisories[i]
		for _, id := range append([]string{a.ID}, a.Aliases...) {
			w.records = append(w.records, g.byID[id]...)
		}
	}
	found := map[int32]bool{}
	for _, r := range w.records {
		if found[r] {
			continue
		}
		for _, m := range g.component(r) {
			found[m] = true
			for _, gr := range g.records[m].groups {
				seen[gr] = true
			}
		}
	}
	w.records = slices.Sorted(maps.Keys(found))
	for i := range w.c.Verdicts {
		for _, id := range g.groupsNamed(w.c.Verdicts[i].Advisory) {
			seen[id] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// slots returns the slots that the change's bills and events touch; all of
// them when names may change their meaning.
func (w *watch) slots() []SlotID {
	g := w.g
	if len(w.c.Descriptions) > 0 {
		all := make([]SlotID, len(g.slots))
		for i := range all {
			all[i] = SlotID(i)
		}
		return all
	}
	seen := map[SlotID]bool{}
	services := map[ServiceID]bool{}
	for i := range w.c.Subjects {
		g.mayMean(&w.c.Subjects[i].Subject, services)
	}
	known := func(id estate.SubjectID) {
		if id > 0 && int(id) < len(g.joins) { // 0: a dump of an empty environment
			g.mayMean(&g.subjects[id], services)
			services[g.joins[id].service] = true
		}
	}
	for i := range w.c.Bills {
		known(w.c.Bills[i].Subject)
	}
	for i := range w.c.Artifacts {
		known(w.c.Artifacts[i].Subject)
	}
	envs := map[EnvID]bool{}
	for i := range w.c.Events {
		e := &w.c.Events[i]
		known(e.Subject)
		if e.Complete {
			if id, ok := g.envIndex[Fold(e.Environment)]; ok {
				envs[id] = true
			}
		}
	}
	delete(services, -1)
	for id := range services {
		for _, s := range g.services[id].Slots {
			seen[s] = true
		}
	}
	for id := range envs {
		for _, s := range g.envs[id].Slots {
			seen[s] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// mayMean adds every service that a subject, or one with the same digest, may
// mean before or after a change: a new name may take a bare one's meaning away.
func (g *Graph) mayMean(s *estate.Subject, services map[ServiceID]bool) {
	name := func(s *estate.Subject) {
		folded := Fold(s.Name)
		for _, key := range []nameParts{{Fold(s.Namespace), folded}, {"", folded}, g.aliases[Fold(s.Service())], g.artifactOf[s.Digest]} {
			if id, ok := g.serviceIndex[key]; ok {
				services[id] = true
			}
		}
		for _, id := range g.namesakes[folded] {
			services[id] = true
		}
	}
	name(s)
	for _, id := range g.byDigest[s.Digest] {
		name(&g.subjects[id])
		if id > 0 && int(id) < len(g.joins) { // 0: a dump of an empty environment
			services[g.joins[id].service] = true
		}
	}
}

// collect returns what is open now in what the change touches, sorted, each once.
func (w *watch) collect() []Pair {
	g, now := w.g, w.g.now()
	var out []Pair
	for _, s := range w.slots() {
		for _, gr := range g.openGroups(s, now) {
			out = append(out, Pair{Group: gr, Slot: s})
		}
		if len(out) > most {
			w.failed = true
			return nil
		}
	}
	if groups := w.groups(); len(groups) > 0 && len(w.c.Descriptions) == 0 {
		sc := g.scratch()
		defer g.giveBack(sc)
		for _, gr := range groups {
			for _, s := range g.openSlots(gr, now, sc) {
				out = append(out, Pair{Group: gr, Slot: s})
			}
			if len(out) > most {
				w.failed = true
				return nil
			}
		}
	}
	slices.SortFunc(out, func(a, b Pair) int {
		if a.Slot != b.Slot {
			return int(a.Slot - b.Slot)
		}
		return int(a.Group - b.Group)
	})
	return slices.Compact(out)
}

func (w *watch) before() {
	w.open, w.was = w.collect(), w.g.naming()
}

func (w *watch) after(rejoined bool) ([]Transition, bool) {
	if w.failed {
		return nil, false
	}
	open := w.collect()
	if w.failed {
		return nil, false
	}
	var out []Transition
	tell := func(t Transition, opened bool) {
		t.Opened, t.Reason = opened, w.why(opened)
		out = append(out, t)
	}
	is := w.g.naming()
	if rejoined {
		had := map[Transition]bool{}
		for _, p := range w.open {
			had[w.was.name(w.g, p)] = true
		}
		for _, p := range open {
			if t := is.name(w.g, p); had[t] {
				delete(had, t)
			} else {
				tell(t, true)
			}
		}
		for t := range had {
			tell(t, false)
		}
	} else {
		i, j := 0, 0
		for i < len(w.open) || j < len(open) {
			switch {
			case i == len(w.open) || j < len(open) && slotFirst(open[j], w.open[i]):
				tell(is.name(w.g, open[j]), true)
				j++
			case j == len(open) || slotFirst(w.open[i], open[j]):
				tell(w.was.name(w.g, w.open[i]), false)
				i++
			default:
				i, j = i+1, j+1
			}
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		if a.Advisory != b.Advisory {
			return a.Advisory < b.Advisory
		}
		if a.Service != b.Service {
			return a.Service < b.Service
		}
		return a.Environment < b.Environment
	})
	return out, true
}

func slotFirst(a, b Pair) bool {
	if a.Slot != b.Slot {
		return a.Slot < b.Slot
	}
	return a.Group < b.Group
}

// why names the input that made the difference.
func (w *watch) why(opened bool) string {
	switch {
	case len(w.c.Verdicts) > 0 && len(w.c.Bills) == 0:
		return "verdict"
	case len(w.c.Advisories) > 0 && len(w.c.Bills)+len(w.c.Events) == 0:
		for i := range w.c.Advisories {
			if a := &w.c.Advisories[i]; a.Withdrawn != 0 && !opened {
				return "withdrawn"
			}
		}
		if opened {
			return "advisory"
		}
		return "revised"
	case len(w.c.Descriptions) > 0:
		return "description"
	case len(w.c.Events) > 0 && !opened:
		for i := range w.c.Events {
			if !w.c.Events[i].Removed {
				return "upgraded"
			}
		}
		return "undeployed"
	case len(w.c.Events) > 0:
		return "deployment"
	}
	return "sbom"
}

// scratch is the memory of one walk: stamps tell what was seen without being cleared.
type scratch struct {
	stamp    uint32
	slots    []uint32
	releases []uint32
	// Of Impact.
	hits     []Hit
	open     []SlotID
	services []int32 // zero between uses
}

// scratch lends memory for a walk; give it back with giveBack.
func (g *Graph) scratch() *scratch {
	sc, _ := g.scratches.Get().(*scratch)
	if sc == nil || len(sc.slots) < len(g.slots) || len(sc.releases) < len(g.releases) || sc.stamp > 1<<31 {
		sc = &scratch{slots: make([]uint32, len(g.slots)+len(g.slots)/8), releases: make([]uint32, len(g.releases)+len(g.releases)/8)}
	}
	return sc
}

func (g *Graph) giveBack(sc *scratch) { g.scratches.Put(sc) }

func (sc *scratch) next() { sc.stamp++ }

func (sc *scratch) seeSlot(s SlotID) bool {
	if sc.slots[s] == sc.stamp {
		return false
	}
	sc.slots[s] = sc.stamp
	return true
}

func (sc *scratch) seeRelease(r ReleaseID) bool {
	if sc.releases[r] == sc.stamp {
		return false
	}
	sc.releases[r] = sc.stamp
	return true
}

// groupsNamed returns the alias groups that an id means: its own, or those of
// the records that carry it.
func (g *Graph) groupsNamed(id string) []GroupID {
	if gr, ok := g.groupIndex[id]; ok && !g.groups[gr].gone() {
		return []GroupID{gr}
	}
	seen := map[GroupID]bool{}
	var out []GroupID
	for _, r := range g.byID[id] {
		for _, gr := range g.records[r].groups {
			if !seen[gr] {
				seen[gr] = true
				out = append(out, gr)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// groupsAt calls fn for each group that matches a release at t, each once,
// verdicts aside.
func (g *Graph) groupsAt(r ReleaseID, t estate.Time, fn func(GroupID, estate.PackageID)) {
	set := g.releases[r].set
	if set < 0 {
		return
	}
	b := g.sets[set].blob
	var p, d uint32
	for i := 0; i < len(b); {
		d, i = uvarint(b, i)
		p += d
		if g.pkgHot[p>>6]&(1<<(p&63)) == 0 {
			continue
		}
		for _, id := range g.pkgs[p].Groups {
			gr := &g.groups[id]
			if gr.simple {
				if gr.Published <= t {
					fn(id, estate.PackageID(p))
				}
				continue
			}
			if from, until, ok := g.activeFor(gr, estate.PackageID(p)); ok && from <= t && t < until {
				fn(id, estate.PackageID(p))
			}
		}
	}
}

// openGroups returns the groups that are open in a slot at t, sorted.
func (g *Graph) openGroups(s SlotID, t estate.Time) []GroupID {
	sl := &g.slots[s]
	var out []GroupID
	sl.runningAt(t, func(iv *Interval) {
		g.groupsAt(iv.Release, t, func(id GroupID, p estate.PackageID) {
			if gr := &g.groups[id]; gr.judged {
				if c := g.decide(g.verdictsFor(gr), sl, iv.Release, p, t); c != nil && closes(c.row.Status) {
					return
				}
			}
			out = append(out, id)
		})
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// slotsOf calls fn for each (slot, release) in which packages that the group
// matches run at t, verdicts aside. A pair may come twice.
func (g *Graph) slotsOf(pkgs []estate.PackageID, t estate.Time, fn func(SlotID, ReleaseID, estate.PackageID)) {
	for _, p := range pkgs {
		g.eachReleaseOf(p, func(r ReleaseID) {
			g.eachSlotOf(r, t, func(s SlotID) { fn(s, r, p) })
		})
	}
}

// runs tells whether a release runs in a slot at t.
func (g *Graph) runs(s SlotID, r ReleaseID, t estate.Time) bool {
	sl := &g.slots[s]
	for _, i := range sl.live {
		if iv := &sl.Intervals[i]; iv.Release == r && iv.From <= t {
			return true
		}
	}
	if t >= sl.lastEnd {
		return false
	}
	for i := range sl.Intervals {
		iv := &sl.Intervals[i]
		if iv.From > t {
			return false
		}
		if iv.Release == r && t < iv.To {
			return true
		}
	}
	return false
}

// openSlots returns the slots in which the group is open at t, sorted.
func (g *Graph) openSlots(id GroupID, t estate.Time, sc *scratch) []SlotID {
	gr := &g.groups[id]
	vs := g.verdictsFor(gr)
	var out []SlotID
	sc.next()
	g.slotsOf(g.activePackages(gr, t), t, func(s SlotID, r ReleaseID, p estate.PackageID) {
		if sc.slots[s] == sc.stamp {
			return
		}
		if c := g.decide(vs, &g.slots[s], r, p, t); c != nil && closes(c.row.Status) {
			return
		}
		sc.slots[s] = sc.stamp
		out = append(out, s)
	})
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}
