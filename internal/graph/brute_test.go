package graph

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
)

// openNow returns what is open, as transitions without direction and reason.
func openNow(g *Graph) map[Transition]bool {
	out := map[Transition]bool{}
	g.View(func(v *View) {
		for _, e := range v.everything() {
			if e.Opened <= testNow && testNow < e.Closed {
				r := v.rowOf(e)
				out[Transition{Advisory: r.Advisory, Service: r.Service, Domain: r.Domain, Environment: r.Environment}] = true
			}
		}
	})
	return out
}

// TestTransitions: what Apply tells is exactly what brute force finds to differ.
func TestTransitions(t *testing.T) {
	count := 0
	for seed := range uint64(400) {
		changes := newMaker(seed).estate()
		g := emptyGraph()
		before := map[Transition]bool{}
		for i := range changes {
			said, ok := g.Apply(&changes[i])
			if !ok {
				t.Fatalf("seed %d: change %d was not told", seed, i)
			}
			after := openNow(g)
			want := map[Transition]bool{}
			for x := range after {
				if x.Opened = true; !before[Transition{x.Advisory, x.Service, x.Domain, x.Environment, false, ""}] {
					want[x] = true
				}
			}
			for x := range before {
				if !after[x] {
					want[x] = true
				}
			}
			got := map[Transition]bool{}
			for _, x := range said {
				if x.Reason == "" {
					t.Errorf("seed %d: change %d: no reason in %+v", seed, i, x)
				}
				if x.Reason = ""; got[x] {
					t.Errorf("seed %d: change %d: told twice: %+v", seed, i, x)
				}
				got[x] = true
			}
			count += len(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("seed %d: change %d %+v (-want +got):\n%s", seed, i, changes[i], d)
				break
			}
			before = after
		}
	}
	t.Logf("%d transitions", count)
}

// summary is what a graph says, by names.
type summary struct {
	Rows     []row
	Services map[string][]string
	Slots    map[string]string
	Fixes    map[string]string
}

func summarise(g *Graph) summary {
	out := summary{Services: map[string][]string{}, Slots: map[string]string{}, Fixes: map[string]string{}}
	g.View(func(v *View) {
		for _, e := range v.everything() {
			out.Rows = append(out.Rows, v.rowOf(e))
		}
		sortedRows(out.Rows)
		for i := range g.services {
			s := &g.services[i]
			if len(s.Slots)+len(s.Releases) == 0 {
				continue
			}
			var rs []string
			for _, r := range s.Releases {
				rel := &g.releases[r]
				var pkgs []string
				v.EachPackage(r, func(p estate.PackageID) { pkgs = append(pkgs, g.pkgs[p].Key) })
				slices.Sort(pkgs)
				var ran []string
				for _, id := range rel.Slots {
					ran = append(ran, g.envs[g.slots[id].Env].Name)
				}
				slices.Sort(ran)
				rs = append(rs, fmt.Sprint(rel.Version, pkgs, rel.HasSBOM(), rel.Known, ran))
			}
			slices.Sort(rs)
			out.Services[s.FullName()] = rs
		}
		for i := range g.slots {
			sl := &g.slots[i]
			text := ""
			for _, iv := range sl.Intervals {
				text += fmt.Sprint(g.releases[iv.Release].Version, iv.From, iv.To, iv.Config, iv.KnownFrom, iv.KnownTo, ";")
			}
			if text != "" {
				out.Slots[g.services[sl.Service].FullName()+" in "+g.envs[sl.Env].Name] = text
			}
		}
		for p := range g.pkgs {
			for _, id := range g.pkgs[p].Groups {
				to, major, ok := v.Fix([]GroupID{id}, estate.PackageID(p))
				out.Fixes[g.pkgs[p].Key+" "+g.groups[id].ID] = fmt.Sprint(to, major, ok)
			}
		}
	})
	return out
}

// shuffled reorders: changes that only speak of advisories and verdicts may come earlier or
// later than those about the estate, as long as each kind keeps its order.
func shuffled(m *maker, changes []estate.Change) []estate.Change {
	var lanes [3][]estate.Change
	for _, c := range changes {
		switch {
		case len(c.Advisories)+len(c.Exploited)+len(c.Likelihoods) > 0:
			lanes[0] = append(lanes[0], c)
		case len(c.Verdicts) > 0:
			lanes[1] = append(lanes[1], c)
		default:
			lanes[2] = append(lanes[2], c)
		}
	}
	var out []estate.Change
	for len(lanes[0])+len(lanes[1])+len(lanes[2]) > 0 {
		if k := m.IntN(3); len(lanes[k]) > 0 {
			c := lanes[k][0]
			lanes[k] = lanes[k][1:]
			c.Seq = int64(len(out) + 1)
			out = append(out, c)
		}
	}
	return out
}

// inLargeSteps puts runs of changes into one change each.
func inLargeSteps(m *maker, changes []estate.Change) []estate.Change {
	var out []estate.Change
	for i, c := range changes {
		if i == 0 || m.IntN(3) == 0 {
			out = append(out, c)
			continue
		}
		last := &out[len(out)-1]
		last.Seq = c.Seq
		last.Packages = append(slices.Clip(last.Packages), c.Packages...)
		last.Subjects = append(slices.Clip(last.Subjects), c.Subjects...)
		last.Bills = append(slices.Clip(last.Bills), c.Bills...)
		last.Events = append(slices.Clip(last.Events), c.Events...)
		last.Verdicts = append(slices.Clip(last.Verdicts), c.Verdicts...)
		last.Advisories = append(slices.Clip(last.Advisories), c.Advisories...)
		last.Exploited = append(slices.Clip(last.Exploited), c.Exploited...)
		last.Likelihoods = append(slices.Clip(last.Likelihoods), c.Likelihoods...)
		last.Descriptions = append(slices.Clip(last.Descriptions), c.Descriptions...)
	}
	return out
}

// TestLoadIsApply: loading at once, step by step, in larger steps and in other
// orders says the same.
func TestLoadIsApply(t *testing.T) {
	rows := 0
	for seed := range uint64(200) {
		m := newMaker(seed)
		changes := m.estate()
		load := func(changes []estate.Change) *Graph {
			g := emptyGraph()
			for i := range changes {
				g.Load(&changes[i])
			}
			g.Join()
			return g
		}
		other := shuffled(m, changes)
		want := summarise(load(changes))
		rows += len(want.Rows)
		half := func() *Graph {
			n := m.IntN(len(changes))
			g := load(changes[:n])
			for i := n; i < len(changes); i++ {
				g.Apply(&changes[i])
			}
			return g
		}
		for name, g := range map[string]*Graph{
			"applied": applyAll(changes), "applied in large steps": applyAll(inLargeSteps(m, changes)), "applied in another order": applyAll(other),
			"loaded in another order": load(other), "loaded in large steps": load(inLargeSteps(m, other)), "loaded, then applied": half(),
		} {
			if d := cmp.Diff(want, summarise(g)); d != "" {
				t.Errorf("seed %d: %s (-loaded +%s):\n%s", seed, name, name, d)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rows a way", rows)
}
