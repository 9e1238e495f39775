package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"time"

	"thymus/internal/estate"
)

// An application version is minted after two quiet minutes, at the latest after ten.
const (
	quiet   = 2 * time.Minute
	longest = 10 * time.Minute
)

// App is a logical application. Fields are read-only outside this package.
type App struct {
	Name    string
	Spec    estate.ApplicationSpec
	Members []ServiceID // sorted by full name
}

// Stage is a settled set of releases that ran together in an environment.
type Stage struct {
	At      estate.Time // when the set was complete
	Hash    string      // "" when nothing ran
	Members []estate.Member
	Due     estate.Time // when it may be minted
}

func (g *Graph) describeApp(a estate.ApplicationSpec) {
	key := Fold(a.Name)
	if id, ok := g.appIndex[key]; ok {
		g.apps[id].Spec = a
		return
	}
	id := AppID(len(g.apps))
	g.appIndex[key] = id
	g.apps = append(g.apps, App{Name: a.Name, Spec: a})
	for _, name := range a.Services {
		if sub, err := estate.ParseSubject(name); err == nil {
			g.appsNaming[Fold(sub.Name)] = append(g.appsNaming[Fold(sub.Name)], id)
		}
	}
}

// enroll makes a service that has just appeared a member of the applications
// that name it. A service nobody describes has no domain or team to be chosen by.
func (g *Graph) enroll(s ServiceID) {
	svc := &g.services[s]
	for _, id := range g.appsNaming[Fold(svc.Name)] {
		app := &g.apps[id]
		named := false
		for _, name := range app.Spec.Services {
			if sub, err := estate.ParseSubject(name); err == nil {
				found, _ := g.find(sub)
				named = named || found == s
			}
		}
		if !named {
			continue
		}
		app.Members = append(app.Members, s)
		g.sortMembers(app)
		svc.Apps = append(svc.Apps, id)
		g.dirtyApps[id] = true
	}
}

func (g *Graph) sortMembers(app *App) {
	sort.Slice(app.Members, func(i, j int) bool {
		return g.services[app.Members[i]].FullName() < g.services[app.Members[j]].FullName()
	})
}

// fillApps finds the members of every application.
func (g *Graph) fillApps() {
	for id := range g.apps {
		app := &g.apps[id]
		member := map[ServiceID]bool{}
		for _, name := range app.Spec.Services {
			if sub, err := estate.ParseSubject(name); err == nil {
				if s, _ := g.find(sub); s >= 0 {
					member[s] = true
				}
			}
		}
		for s := range g.services {
			svc := &g.services[s]
			above := g.domains[Fold(svc.Spec.Domain)].Above
			for _, d := range app.Spec.Domains {
				if contains(above, Fold(d)) {
					member[ServiceID(s)] = true
				}
			}
			for _, t := range app.Spec.Teams {
				if svc.Spec.Team != "" && Fold(svc.Spec.Team) == Fold(t) {
					member[ServiceID(s)] = true
				}
			}
			if svc.Spec.Retired {
				delete(member, ServiceID(s))
			}
		}
		app.Members = app.Members[:0]
		for s := range member {
			app.Members = append(app.Members, s)
			g.services[s].Apps = append(g.services[s].Apps, AppID(id))
		}
		g.sortMembers(app)
	}
	for s := range g.services {
		apps := g.services[s].Apps
		sort.Slice(apps, func(i, j int) bool { return apps[i] < apps[j] })
	}
}

// MembersHash is the identity of an application version: SHA-256 over its
// sorted (service, release, configuration digest), never SBOM content.
func MembersHash(ms []estate.Member) string {
	h := sha256.New()
	for _, m := range ms {
		for _, s := range []string{m.Service, m.Release, m.Config} {
			h.Write([]byte(s))
			h.Write([]byte{0})
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// shift is a change of what runs.
type shift struct {
	at, known estate.Time
	batch     bool
}

// timeline returns the settled sets of an application in an environment. A
// burst of changes is one step: it ends after two quiet minutes, at the latest
// ten minutes after it began. A burst that single documents reported may be
// minted only after two quiet minutes at our own clock too, since more of it
// may be under way; a batch is complete by itself.
func (g *Graph) timeline(app *App, env EnvID) []Stage {
	var slots []*Slot
	var shifts []shift
	for _, s := range app.Members {
		if id, ok := g.slotIndex[slotKey{s, env}]; ok {
			sl := &g.slots[id]
			slots = append(slots, sl)
			for i := range sl.Intervals {
				iv := &sl.Intervals[i]
				shifts = append(shifts, shift{iv.From, iv.KnownFrom, iv.began})
				if iv.To != estate.Forever {
					shifts = append(shifts, shift{iv.To, iv.KnownTo, iv.ended})
				}
			}
		}
	}
	sort.Slice(shifts, func(i, j int) bool { return shifts[i].at < shifts[j].at })
	var out []Stage
	for i := 0; i < len(shifts); {
		first, last := shifts[i], shifts[i]
		firstKnown, lastKnown, single := first.known, first.known, !first.batch
		j := i + 1
		for ; j < len(shifts); j++ {
			m := shifts[j]
			if m.at > last.at.Add(quiet) || m.at > first.at.Add(longest) {
				break
			}
			last = m
			firstKnown, lastKnown = min(firstKnown, m.known), max(lastKnown, m.known)
			single = single || !m.batch || m.known != first.known
		}
		due := min(last.at.Add(quiet), first.at.Add(longest))
		if single {
			due = max(due, min(lastKnown.Add(quiet), firstKnown.Add(longest)))
		}
		st := Stage{At: last.at, Due: due}
		for _, sl := range slots {
			sl.runningAt(last.at, func(iv *Interval) {
				st.Members = append(st.Members, estate.Member{
					Service: g.services[sl.Service].FullName(), Release: g.releases[iv.Release].Version, Config: iv.Config,
				})
			})
		}
		sort.Slice(st.Members, func(a, b int) bool {
			x, y := &st.Members[a], &st.Members[b]
			if x.Service != y.Service {
				return x.Service < y.Service
			}
			if x.Release != y.Release {
				return x.Release < y.Release
			}
			return x.Config < y.Config
		})
		if len(st.Members) > 0 {
			st.Hash = MembersHash(st.Members)
		}
		if n := len(out); n == 0 || out[n-1].Hash != st.Hash {
			out = append(out, st)
		}
		i = j
	}
	return out
}

// Settle returns the application versions that are due by now and not minted
// yet, numbered in the order in which they became complete, and when the next
// one may be due (zero: none is pending). With force, pending sets count as due.
func (g *Graph) Settle(now estate.Time, force bool) (due []estate.AppVersionRow, next estate.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.dirtyApps {
		app := &g.apps[id]
		known := map[string]bool{}
		number := 0
		for _, m := range g.minted[app.Name] {
			known[hex.EncodeToString(m.hash[:])] = true
			number = max(number, m.number)
		}
		var fresh []estate.AppVersionRow
		pending := false
		for env := range g.envs {
			for _, st := range g.timeline(app, EnvID(env)) {
				if st.Hash == "" || known[st.Hash] {
					continue
				}
				if st.Due > now && !force {
					pending = true
					if next == 0 || st.Due < next {
						next = st.Due
					}
					continue
				}
				fresh = append(fresh, estate.AppVersionRow{
					Application: app.Name, Hash: st.Hash, Environment: g.envs[env].Name, At: st.At, Known: now, Members: st.Members,
				})
			}
		}
		sort.SliceStable(fresh, func(i, j int) bool { return fresh[i].At < fresh[j].At })
		for _, v := range fresh {
			if known[v.Hash] {
				continue
			}
			known[v.Hash] = true
			number++
			v.Number = number
			due = append(due, v)
		}
		if !pending {
			delete(g.dirtyApps, id)
		}
	}
	sort.SliceStable(due, func(i, j int) bool {
		if due[i].Application != due[j].Application {
			return due[i].Application < due[j].Application
		}
		return due[i].Number < due[j].Number
	})
	return due, next
}

// Redirty marks every application for the next Settle, after an error.
func (g *Graph) Redirty() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.apps {
		g.dirtyApps[AppID(i)] = true
	}
}
