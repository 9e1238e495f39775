package graph

import (
	"slices"
	"sort"

	"thymus/internal/estate"
)

// Slot is a service in an environment, with the releases that run and ran
// there. Fields are read-only outside this package.
type Slot struct {
	Service   ServiceID
	Env       EnvID
	Intervals []Interval // sorted by From
	events    []int32
	live      []int32     // indexes of the intervals that are open
	lastEnd   estate.Time // no closed interval ends later
}

// Interval is a deployment: a release, with one configuration, in a slot from
// From until To (estate.Forever: it runs).
type Interval struct {
	Release            ReleaseID
	From, To           estate.Time
	KnownFrom, KnownTo estate.Time
	Source, Config     string
	// began and ended tell that the end came from a batch: a document that
	// states several deployments at once, or a complete dump.
	began, ended bool
}

// rebuildSlots computes the intervals of every dirty slot.
func (g *Graph) rebuildSlots() {
	for id := range g.dirtySlots {
		g.rebuildSlot(id)
		for _, a := range g.services[g.slots[id].Service].Apps {
			g.dirtyApps[a] = true
		}
	}
	clear(g.dirtySlots)
}

// manySlots marks a release in liveIn that runs in more slots than fit there.
const manySlots SlotID = -2

// setLive notes that a release runs, or no longer runs, in a slot.
func (g *Graph) setLive(r ReleaseID, s SlotID, runs bool) {
	in := &g.liveIn[r]
	switch {
	case in[0] == manySlots, in[0] == s && runs, in[1] == s && runs:
	case !runs && in[0] == s:
		in[0] = -1
	case !runs && in[1] == s:
		in[1] = -1
	case !runs:
	case in[0] < 0:
		in[0] = s
	case in[1] < 0:
		in[1] = s
	default:
		in[0] = manySlots // and for good: the slots themselves tell
	}
}

// eachSlotOf calls fn for each slot in which a release runs at t.
func (g *Graph) eachSlotOf(r ReleaseID, t estate.Time, fn func(SlotID)) {
	if in := g.liveIn[r]; t >= g.lastMoment && in[0] != manySlots {
		if in[0] >= 0 {
			fn(in[0])
		}
		if in[1] >= 0 {
			fn(in[1])
		}
		return
	}
	for _, s := range g.releases[r].Slots {
		if g.runs(s, r, t) {
			fn(s)
		}
	}
}

// step is an event or a complete dump, in the order of time.
type step struct {
	at, known estate.Time
	event     *event
	release   ReleaseID
	dump      *dump
	batch     int64
}

// rebuildSlot unites what each source says. A run of one source ends when that
// source deploys another release of the service there; an undeployment and a
// complete dump end the runs of every source; silence ends none.
func (g *Graph) rebuildSlot(id SlotID) {
	sl := &g.slots[id]
	steps := make([]step, 0, len(sl.events))
	for _, i := range sl.events {
		ev := &g.events[i]
		steps = append(steps, step{at: ev.at, known: ev.known, event: ev, release: g.joins[ev.subject].release, batch: ev.batch})
	}
	for _, i := range g.dumpsOf[sl.Env] {
		d := &g.dumps[i]
		steps = append(steps, step{at: d.at, known: d.known, dump: d, batch: d.batch})
	}
	sort.SliceStable(steps, func(i, j int) bool {
		a, b := &steps[i], &steps[j]
		switch {
		case a.at != b.at:
			return a.at < b.at
		case a.known != b.known:
			return a.known < b.known
		}
		// A dump first ends what it does not list; then its items start.
		return a.dump != nil && b.dump == nil
	})
	var open, closed []Interval
	end := func(keep func(*Interval) bool, st *step) {
		kept := open[:0]
		for i := range open {
			iv := open[i]
			if keep(&iv) {
				kept = append(kept, iv)
				continue
			}
			iv.To, iv.KnownTo, iv.ended = st.at, st.known, st.batch != 0
			if iv.To > iv.From {
				closed = append(closed, iv)
			}
		}
		open = kept
	}
	for i := range steps {
		st := &steps[i]
		switch {
		case st.dump != nil:
			end(func(iv *Interval) bool {
				for _, s := range st.dump.subjects {
					if g.joins[s].release == iv.Release {
						return true
					}
				}
				return false
			}, st)
		case st.event.removed:
			end(func(iv *Interval) bool { return st.release >= 0 && iv.Release != st.release }, st)
		default:
			ev := st.event
			running := false
			end(func(iv *Interval) bool {
				if iv.Source != ev.source {
					return true
				}
				if iv.Release != st.release {
					if ev.alongside {
						return true
					}
					// Two releases of one batch run side by side.
					return ev.batch != 0 && iv.From == st.at && iv.KnownFrom == st.known
				}
				if iv.Config == ev.config || ev.config == "" {
					running = true
					return true
				}
				return false // redeployed with another configuration
			}, st)
			if !running {
				open = append(open, Interval{
					Release: st.release, From: st.at, To: estate.Forever, KnownFrom: st.known, KnownTo: estate.Forever,
					Source: ev.source, Config: ev.config, began: ev.batch != 0,
				})
			}
		}
	}
	for _, i := range sl.live {
		g.setLive(sl.Intervals[i].Release, id, false)
	}
	had := sl.Intervals
	sl.Intervals = unite(append(closed, open...))
	for i := range had {
		// What became known late may say that a release never ran.
		r := had[i].Release
		ran := i < len(sl.Intervals) && sl.Intervals[i].Release == r ||
			slices.ContainsFunc(sl.Intervals, func(iv Interval) bool { return iv.Release == r })
		if rel := &g.releases[r]; !ran {
			rel.Slots = slices.DeleteFunc(rel.Slots, func(s SlotID) bool { return s == id })
		}
	}
	sl.live, sl.lastEnd = sl.live[:0], 0
	for i := range sl.Intervals {
		if to := sl.Intervals[i].To; to == estate.Forever {
			sl.live = append(sl.live, int32(i))
			g.setLive(sl.Intervals[i].Release, id, true)
		} else {
			sl.lastEnd = max(sl.lastEnd, to)
		}
		r := &g.releases[sl.Intervals[i].Release]
		if !containsSlot(r.Slots, id) {
			r.Slots = append(r.Slots, id)
		}
	}
}

// unite joins intervals of the same release and configuration that overlap,
// from whatever source, and sorts by start.
func unite(ivs []Interval) []Interval {
	sort.SliceStable(ivs, func(i, j int) bool {
		a, b := &ivs[i], &ivs[j]
		if a.Release != b.Release {
			return a.Release < b.Release
		}
		if a.Config != b.Config {
			return a.Config < b.Config
		}
		return a.From < b.From
	})
	out := ivs[:0:0]
	for _, iv := range ivs {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.Release == iv.Release && last.Config == iv.Config && iv.From <= last.To {
				if iv.To > last.To {
					last.To, last.KnownTo, last.ended = iv.To, iv.KnownTo, iv.ended
				}
				if iv.KnownFrom < last.KnownFrom {
					last.KnownFrom = iv.KnownFrom
				}
				continue
			}
		}
		out = append(out, iv)
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].From != out[j].From {
			return out[i].From < out[j].From
		}
		return out[i].Release < out[j].Release
	})
	return out
}

// runningAt calls fn for each interval that covers t.
func (s *Slot) runningAt(t estate.Time, fn func(*Interval)) {
	for _, i := range s.live {
		if iv := &s.Intervals[i]; iv.From <= t {
			fn(iv)
		}
	}
	if t >= s.lastEnd {
		return
	}
	for i := range s.Intervals {
		iv := &s.Intervals[i]
		if iv.From > t {
			break
		}
		if iv.To > t && iv.To != estate.Forever {
			fn(iv)
		}
	}
}

func containsSlot(ids []SlotID, id SlotID) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}
