package answer

import (
	"context"
	"sort"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/version"
)

// Apps lists the logical applications by name.
func (a *Asker) Apps(ctx context.Context, s Scope, w When) ([]AppSummary, error) {
	w = a.when(w)
	out := []AppSummary{}
	a.Graph.View(func(v *graph.View) {
		for i := range v.Apps() {
			if seesApp(v, s, graph.AppID(i)) {
				out = append(out, appSummary(v, s, w, graph.AppID(i)))
			}
		}
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, ctx.Err()
}

func appSummary(v *graph.View, s Scope, w When, id graph.AppID) AppSummary {
	app := v.App(id)
	out := AppSummary{Name: app.Name, Title: app.Spec.Title, Team: app.Spec.Team, Services: len(app.Members),
		Versions: len(minted(v, id, w)), Running: runningVersions(v, id, w.At)}
	for _, m := range app.Members {
		for _, slot := range v.Service(m).Slots {
			groups := v.OpenGroups(slot, w.At)
			out.Exposures += len(groups)
			for _, g := range groups {
				out.Worst = max(out.Worst, v.Group(g).Severity)
			}
			if len(groups) > 0 {
				for k := range out.Running {
					if out.Running[k].Environment == v.Env(v.Slot(slot).Env).Name {
						out.Running[k].Affected = true
					}
				}
			}
		}
	}
	return out
}

// minted returns the versions minted that had run by then.
func minted(v *graph.View, id graph.AppID, w When) []estate.AppVersionRow {
	var out []estate.AppVersionRow
	for _, m := range v.Minted(id) {
		if m.At <= w.At {
			out = append(out, m)
		}
	}
	return out
}

// App shows one application.
func (a *Asker) App(ctx context.Context, s Scope, w When, name string) (*AppDetail, error) {
	w = a.when(w)
	out := &AppDetail{When: w, Members: []AppMember{}}
	var err error
	var members []graph.ServiceID
	a.Graph.View(func(v *graph.View) {
		var id graph.AppID
		if id, err = application(v, s, name); err != nil {
			return
		}
		out.AppSummary = appSummary(v, s, w, id)
		members = v.App(id).Members
		for _, m := range members {
			if !s.sees(v, m) {
				continue
			}
			svc := v.Service(m)
			am := AppMember{Service: svc.FullName(), Domain: svc.Spec.Domain, Team: v.TeamOf(m), Running: runsAt(v, m, w.At)}
			for _, other := range svc.Apps {
				if other != id && seesApp(v, s, other) {
					am.SharedWith = append(am.SharedWith, v.App(other).Name)
				}
			}
			for _, slot := range svc.Slots {
				am.Exposures += len(v.OpenGroups(slot, w.At))
			}
			out.Members = append(out.Members, am)
		}
		out.Metrics = metricsOf(v, w, slotsOf(v, members, -1))
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

func slotsOf(v *graph.View, members []graph.ServiceID, env graph.EnvID) []graph.SlotID {
	var out []graph.SlotID
	for _, m := range members {
		for _, slot := range v.Service(m).Slots {
			if env < 0 || v.Slot(slot).Env == env {
				out = append(out, slot)
			}
		}
	}
	return out
}

// runsAt tells what runs of a service at t.
func runsAt(v *graph.View, id graph.ServiceID, t estate.Time) []RunsAt {
	out := []RunsAt{}
	for _, slot := range v.Service(id).Slots {
		v.RunningAt(slot, t, func(iv *graph.Interval) {
			r := v.Release(iv.Release)
			out = append(out, RunsAt{Environment: v.Env(v.Slot(slot).Env).Name, Release: r.Version, Since: iv.From, HasSBOM: r.HasSBOM()})
		})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Environment != out[j].Environment {
			return out[i].Environment < out[j].Environment
		}
		return out[i].Release < out[j].Release
	})
	return out
}

// AppVersions lists the minted versions of an application, the newest first.
func (a *Asker) AppVersions(ctx context.Context, s Scope, w When, name string, p Page) (*AppVersionList, error) {
	w = a.when(w)
	out := &AppVersionList{When: w, Items: []AppVersion{}}
	before := 0
	if p.After != "" {
		if err := readCursor(p.After, &before); err != nil {
			return nil, err
		}
	}
	var err error
	a.Graph.View(func(v *graph.View) {
		var id graph.AppID
		if id, err = application(v, s, name); err != nil {
			return
		}
		ran := map[string][]Ran{}
		for e := range v.Envs() {
			stages := v.Timeline(id, graph.EnvID(e))
			for i, st := range stages {
				r := Ran{Environment: v.Env(graph.EnvID(e)).Name, From: st.At}
				if i+1 < len(stages) && stages[i+1].At <= w.At {
					r.Until = stages[i+1].At
				}
				if st.At <= w.At {
					ran[st.Hash] = append(ran[st.Hash], r)
				}
			}
			for _, st := range stages {
				if due := pendingAt(v, id, st); due != 0 && (out.Pending == 0 || due < out.Pending) {
					out.Pending = due
				}
			}
		}
		all := minted(v, id, w)
		for i := len(all) - 1; i >= 0; i-- {
			m := all[i]
			if before != 0 && m.Number >= before {
				continue
			}
			if len(out.Items) == p.limit() {
				out.Next = cursor(out.Items[len(out.Items)-1].Number)
				break
			}
			m.Members = v.Members(id, m.Number)
			out.Items = append(out.Items, appVersion(v, s, w, m, ran[m.Hash]))
		}
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// pendingAt returns when a stage that is not minted yet will be; 0 when it is.
func pendingAt(v *graph.View, id graph.AppID, st graph.Stage) estate.Time {
	if st.Hash == "" {
		return 0
	}
	for _, m := range v.Minted(id) {
		if m.Hash == st.Hash {
			return 0
		}
	}
	return st.Due
}

func appVersion(v *graph.View, s Scope, w When, m estate.AppVersionRow, ran []Ran) AppVersion {
	out := AppVersion{Application: m.Application, Number: m.Number, Hash: m.Hash, At: m.At, Known: m.Known, Members: []estate.Member{}, Ran: ran}
	if out.Ran == nil {
		out.Ran = []Ran{}
	}
	pkgs := map[estate.PackageID]bool{}
	groups := map[graph.GroupID]bool{}
	for _, mem := range m.Members {
		svc, _, _ := v.FindService(mem.Service)
		if svc < 0 || !s.sees(v, svc) {
			out.Hidden++
			continue
		}
		out.Members = append(out.Members, mem)
		r := v.FindRelease(svc, mem.Release)
		if r < 0 {
			continue
		}
		v.EachPackage(r, func(p estate.PackageID) { pkgs[p] = true })
		for g := range v.GroupsAt(r, w.At) {
			groups[g] = true
		}
	}
	out.Packages, out.Exposures = len(pkgs), len(groups)
	return out
}

// versionRow finds a minted version; 0 means the newest.
func versionRow(v *graph.View, id graph.AppID, w When, number int) (estate.AppVersionRow, error) {
	all := minted(v, id, w)
	if len(all) == 0 {
		return estate.AppVersionRow{}, fault.New(fault.NotFound, "application %s has no version yet; one is minted when its deployments have been quiet for two minutes", v.App(id).Name)
	}
	if number == 0 {
		number = all[len(all)-1].Number
	}
	for _, m := range all {
		if m.Number == number {
			m.Members = v.Members(id, number)
			return m, nil
		}
	}
	return estate.AppVersionRow{}, fault.New(fault.NotFound, "application %s has no version %d; it has 1 to %d", v.App(id).Name, number, all[len(all)-1].Number)
}

// side is one application version, opened up.
type side struct {
	releases map[string]estate.Member
	// packages: versionless purl -> version -> services
	packages map[string]map[string][]string
	names    map[string]string
	ids      map[string]estate.PackageID
	groups   map[graph.GroupID]*AdvisoryChange
}

func openSide(v *graph.View, s Scope, t estate.Time, m estate.AppVersionRow) side {
	out := side{releases: map[string]estate.Member{}, packages: map[string]map[string][]string{}, names: map[string]string{},
		ids: map[string]estate.PackageID{}, groups: map[graph.GroupID]*AdvisoryChange{}}
	for _, mem := range m.Members {
		svc, _, _ := v.FindService(mem.Service)
		if svc < 0 || !s.sees(v, svc) {
			continue
		}
		key := mem.Service
		for n := 2; ; n++ { // releases that run side by side
			if _, taken := out.releases[key]; !taken {
				break
			}
			key = mem.Service + " (" + mem.Release + ")"
		}
		out.releases[key] = mem
		r := v.FindRelease(svc, mem.Release)
		if r < 0 {
			continue
		}
		v.EachPackage(r, func(p estate.PackageID) {
			pkg := v.Pkg(p)
			base := versionless(pkg.Key)
			if out.packages[base] == nil {
				out.packages[base] = map[string][]string{}
				out.names[base] = pkg.Name
			}
			list := out.packages[base][pkg.Version]
			if len(list) == 0 || list[len(list)-1] != mem.Service {
				out.packages[base][pkg.Version] = append(list, mem.Service)
			}
			out.ids[base+"@"+pkg.Version] = p
		})
		for g, ps := range v.GroupsAt(r, t) {
			c := out.groups[g]
			if c == nil {
				c = &AdvisoryChange{Advisory: v.Group(g).ID, Severity: v.Group(g).Severity, Services: []string{}, Packages: []string{}}
				out.groups[g] = c
			}
			c.Services = append(c.Services, mem.Service)
			for _, p := range ps {
				name := v.Pkg(p).Name + " " + v.Pkg(p).Version
				if !containsString(c.Packages, name) {
					c.Packages = append(c.Packages, name)
				}
			}
		}
	}
	return out
}

func containsString(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// AppDiff tells what changed between two versions of an application.
func (a *Asker) AppDiff(ctx context.Context, s Scope, w When, name string, from, to int) (*AppDiff, error) {
	w = a.when(w)
	out := &AppDiff{When: w, Releases: []ReleaseChange{}, Packages: []PackageChange{}, Exposures: []AdvisoryChange{}}
	var err error
	a.Graph.View(func(v *graph.View) {
		var id graph.AppID
		if id, err = application(v, s, name); err != nil {
			return
		}
		var m1, m2 estate.AppVersionRow
		if m1, err = versionRow(v, id, w, from); err != nil {
			return
		}
		if m2, err = versionRow(v, id, w, to); err != nil {
			return
		}
		out.Application, out.From, out.To = v.App(id).Name, m1.Number, m2.Number
		before, after := openSide(v, s, w.At, m1), openSide(v, s, w.At, m2)
		diffReleases(out, before, after)
		diffPackages(v, out, before, after)
		diffGroups(out, before, after)
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

func diffReleases(out *AppDiff, before, after side) {
	for _, key := range unionKeys(before.releases, after.releases) {
		b, a := before.releases[key], after.releases[key]
		if b.Release == a.Release && b.Config == a.Config {
			out.Unchanged++
			continue
		}
		name := b.Service
		if name == "" {
			name = a.Service
		}
		out.Releases = append(out.Releases, ReleaseChange{Service: name, From: b.Release, To: a.Release, FromConfig: b.Config, ToConfig: a.Config})
	}
}

func diffPackages(v *graph.View, out *AppDiff, before, after side) {
	for _, base := range unionKeys(before.packages, after.packages) {
		b, a := before.packages[base], after.packages[base]
		services := map[string]bool{}
		for _, ver := range unionKeys(b, a) {
			switch {
			case b[ver] == nil:
				for _, s := range a[ver] {
					services[s] = true
				}
			case a[ver] == nil:
				for _, s := range b[ver] {
					services[s] = true
				}
			}
		}
		if len(services) == 0 {
			continue // the same versions, whoever brings them
		}
		c := PackageChange{Package: base, Name: before.names[base], From: ordered(v, before, base), To: ordered(v, after, base), Services: sortedKeys(services)}
		if c.Name == "" {
			c.Name = after.names[base]
		}
		out.Packages = append(out.Packages, c)
	}
}

// ordered returns the versions of a package on one side in the ecosystem's order.
func ordered(v *graph.View, s side, base string) []string {
	out := sortedKeys(s.packages[base])
	if len(out) < 2 {
		return out
	}
	_, eco, _ := v.PackageName(s.ids[base+"@"+out[0]])
	sort.SliceStable(out, func(i, j int) bool {
		x, errX := version.Parse(eco, out[i])
		y, errY := version.Parse(eco, out[j])
		return errX == nil && errY == nil && x.Compare(y) < 0
	})
	return out
}

func diffGroups(out *AppDiff, before, after side) {
	for g, c := range after.groups {
		if before.groups[g] == nil {
			c.Change = "appeared"
			out.Exposures = append(out.Exposures, *c)
		}
	}
	for g, c := range before.groups {
		if after.groups[g] == nil {
			c.Change = "gone"
			out.Exposures = append(out.Exposures, *c)
		}
	}
	for i := range out.Exposures {
		sort.Strings(out.Exposures[i].Services)
		sort.Strings(out.Exposures[i].Packages)
	}
	sort.Slice(out.Exposures, func(i, j int) bool {
		x, y := &out.Exposures[i], &out.Exposures[j]
		if x.Change != y.Change {
			return x.Change < y.Change
		}
		if x.Severity != y.Severity {
			return x.Severity > y.Severity
		}
		return x.Advisory < y.Advisory
	})
}

func unionKeys[T any](a, b map[string]T) []string {
	all := make(map[string]bool, len(a)+len(b))
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return sortedKeys(all)
}
