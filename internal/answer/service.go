package answer

import (
	"context"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// versionless cuts version and qualifiers off a package's key.
func versionless(key string) string {
	if strings.HasPrefix(key, "?") {
		if i := strings.LastIndexByte(key, '@'); i > 0 {
			return key[:i]
		}
		return key
	}
	key, _, _ = strings.Cut(key, "?")
	if i := strings.LastIndexByte(key, '@'); i > strings.LastIndexByte(key, '/') {
		return key[:i]
	}
	return key
}

// ServiceFilter filters the service list; blank fields do not filter.
type ServiceFilter struct{ Text, Domain, Team, Application, Environment string }

// Services lists services by name.
func (a *Asker) Services(ctx context.Context, s Scope, w When, f ServiceFilter, p Page) (*ServiceList, error) {
	w = a.when(w)
	out := &ServiceList{When: w, Items: []ServiceSummary{}}
	after := ""
	if p.After != "" {
		if err := readCursor(p.After, &after); err != nil {
			return nil, err
		}
	}
	var err error
	a.Graph.View(func(v *graph.View) {
		app, env := graph.AppID(-1), graph.EnvID(-1)
		if f.Application != "" {
			if app, err = application(v, s, f.Application); err != nil {
				return
			}
		}
		if f.Environment != "" {
			if env, err = environment(v, f.Environment); err != nil {
				return
			}
		}
		var ids []graph.ServiceID
		names := map[graph.ServiceID]string{}
		for i := range v.Services() {
			id := graph.ServiceID(i)
			svc := v.Service(id)
			name := svc.FullName()
			if !s.sees(v, id) || f.Text != "" && !strings.Contains(graph.Fold(name+" "+svc.Spec.Title), graph.Fold(f.Text)) ||
				f.Domain != "" && !v.InDomain(id, f.Domain) || f.Team != "" && graph.Fold(v.TeamOf(id)) != graph.Fold(f.Team) {
				continue
			}
			in := app < 0
			for _, x := range svc.Apps {
				in = in || x == app
			}
			runs := env < 0
			for _, slot := range svc.Slots {
				runs = runs || v.Slot(slot).Env == env
			}
			if in && runs {
				ids = append(ids, id)
				names[id] = name
			}
		}
		out.Total = Counted{N: len(ids)}
		sort.Slice(ids, func(i, j int) bool { return names[ids[i]] < names[ids[j]] })
		for _, id := range ids {
			if after != "" && names[id] <= after {
				continue
			}
			if len(out.Items) == p.limit() {
				out.Next = cursor(out.Items[len(out.Items)-1].Name)
				break
			}
			row := ServiceSummary{Name: names[id], Domain: v.Service(id).Spec.Domain, Team: v.TeamOf(id), Running: runsAt(v, id, w.At)}
			for _, slot := range v.Service(id).Slots {
				groups := v.OpenGroups(slot, w.At)
				row.Exposures += len(groups)
				for _, g := range groups {
					row.Worst = max(row.Worst, v.Group(g).Severity)
				}
			}
			out.Items = append(out.Items, row)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// Service shows one service with its releases, the newest first.
func (a *Asker) Service(ctx context.Context, s Scope, w When, name string) (*Service, error) {
	w = a.when(w)
	var out *Service
	var err error
	a.Graph.View(func(v *graph.View) {
		var id graph.ServiceID
		if id, err = service(v, s, name); err != nil {
			return
		}
		svc := v.Service(id)
		out = &Service{When: w, Name: svc.FullName(), Title: svc.Spec.Title, Domain: svc.Spec.Domain, Team: v.TeamOf(id), Tier: svc.Spec.Tier,
			Repository: svc.Spec.Repository, Language: svc.Spec.Language, Vendor: svc.Spec.Vendor, Applications: []string{},
			Running: runsAt(v, id, w.At), Releases: []ReleaseSummary{}, Exposures: map[string]int{}}
		for _, n := range sortedKeys(svc.Joined) {
			out.Aliases = append(out.Aliases, n+" ("+svc.Joined[n]+")")
		}
		for _, app := range svc.Apps {
			if seesApp(v, s, app) {
				out.Applications = append(out.Applications, v.App(app).Name)
			}
		}
		for _, slot := range svc.Slots {
			for _, g := range v.OpenGroups(slot, w.At) {
				out.Exposures[v.Group(g).Severity.String()]++
			}
		}
		rels := append([]graph.ReleaseID(nil), svc.Releases...)
		sort.SliceStable(rels, func(i, j int) bool { return began(v, rels[i]) > began(v, rels[j]) })
		for _, r := range rels {
			if len(out.Releases) == 200 {
				break
			}
			rel := v.Release(r)
			if rel.Known > w.Known {
				continue
			}
			out.Releases = append(out.Releases, ReleaseSummary{Version: rel.Version, Known: rel.Known, Packages: v.PackageCount(r),
				HasSBOM: rel.HasSBOM(), Runs: runsOf(v, r, w.At), Matches: len(v.GroupsAt(r, w.At))})
		}
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// began is when a release first ran, else when it became known.
func began(v *graph.View, r graph.ReleaseID) estate.Time {
	t := estate.Forever
	for _, slot := range v.Release(r).Slots {
		for i := range v.Slot(slot).Intervals {
			if iv := &v.Slot(slot).Intervals[i]; iv.Release == r {
				t = min(t, iv.From)
			}
		}
	}
	if t == estate.Forever {
		return v.Release(r).Known
	}
	return t
}

// runsOf lists the intervals of a release that began by t.
func runsOf(v *graph.View, r graph.ReleaseID, t estate.Time) []RunsIn {
	out := []RunsIn{}
	for _, slot := range v.Release(r).Slots {
		sl := v.Slot(slot)
		for i := range sl.Intervals {
			iv := &sl.Intervals[i]
			if iv.Release != r || iv.From > t {
				continue
			}
			run := RunsIn{Environment: v.Env(sl.Env).Name, Since: iv.From, Source: iv.Source}
			if iv.To <= t {
				run.Until = iv.To
			}
			out = append(out, run)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Since != out[j].Since {
			return out[i].Since > out[j].Since
		}
		return out[i].Environment < out[j].Environment
	})
	return out
}

// Release shows one release, "[namespace/]name@version".
func (a *Asker) Release(ctx context.Context, s Scope, w When, release string) (*Release, error) {
	w = a.when(w)
	sub, err := estate.ParseSubject(release)
	if err != nil || sub.Version == "" {
		return nil, fault.New(fault.Usage, "release %q: want [namespace/]name@version", release)
	}
	var out *Release
	a.Graph.View(func(v *graph.View) {
		var id graph.ServiceID
		if id, err = service(v, s, sub.Service()); err != nil {
			return
		}
		svc := v.Service(id)
		r := v.FindRelease(id, sub.Version)
		if r < 0 {
			var known []string
			for _, x := range svc.Releases {
				known = append(known, v.Release(x).Version)
			}
			if len(known) > 8 {
				known = known[len(known)-8:]
			}
			err = fault.New(fault.NotFound, "service %s has no release %q; the last are %s", svc.FullName(), sub.Version, strings.Join(known, ", "))
			return
		}
		rel := v.Release(r)
		out = &Release{When: w, Service: svc.FullName(), Version: rel.Version, Digests: rel.Digests, SBOMs: []SBOM{}, Packages: v.PackageCount(r),
			Runs: runsOf(v, r, w.At), Matches: []MatchSummary{}, Applications: []string{}}
		for _, b := range v.Bills(r) {
			out.SBOMs = append(out.SBOMs, SBOM{Evidence: b.Evidence, Format: b.Format, Generator: b.Generator, Source: b.Source, Made: b.Made,
				Known: b.Known, Packages: b.Packages, Replaced: b.Replaced, Partial: b.Partial, Notes: b.Notes})
		}
		for _, app := range svc.Apps {
			if seesApp(v, s, app) {
				out.Applications = append(out.Applications, v.App(app).Name)
			}
		}
		unmatched := counter{}
		v.EachPackage(r, func(p estate.PackageID) { unmatched.see(v.Pkg(p)) })
		out.Unmatched = unmatched.list()
		for g, ps := range v.GroupsAt(r, w.At) {
			gr := v.Group(g)
			m := MatchSummary{Advisory: gr.ID, Severity: gr.Severity, Score: gr.Score}
			for _, p := range ps {
				m.Packages = append(m.Packages, v.Pkg(p).Name+" "+v.Pkg(p).Version)
				if to, _, ok := v.Fix([]graph.GroupID{g}, p); ok {
					m.Fix = v.Pkg(p).Name + " " + to
				}
				for _, slot := range rel.Slots {
					if row := v.Decision(g, slot, r, p, w.At); row != nil {
						m.Decision = decision(row)
					}
				}
			}
			out.Matches = append(out.Matches, m)
		}
		sort.Slice(out.Matches, func(i, j int) bool {
			x, y := &out.Matches[i], &out.Matches[j]
			if x.Severity != y.Severity {
				return x.Severity > y.Severity
			}
			if x.Score != y.Score {
				return x.Score > y.Score
			}
			return x.Advisory > y.Advisory
		})
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// counter counts packages that cannot be matched.
type counter map[estate.Unmatched]*UnmatchedCount

func (c counter) see(p *graph.Pkg) {
	if p.Unmatched == "" {
		return
	}
	u := c[p.Unmatched]
	if u == nil {
		u = &UnmatchedCount{Reason: p.Unmatched, Examples: []string{}}
		c[p.Unmatched] = u
	}
	u.Count++
	if len(u.Examples) < 5 {
		u.Examples = append(u.Examples, strings.TrimSpace(p.Name+" "+p.Version))
	}
}

func (c counter) list() []UnmatchedCount {
	out := []UnmatchedCount{}
	for _, u := range c {
		out = append(out, *u)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Count != out[j].Count {
			return out[i].Count > out[j].Count
		}
		return out[i].Reason < out[j].Reason
	})
	return out
}

// Package shows a package over all its versions in use: a purl without
// version, "Ecosystem:name", or a name that only one ecosystem uses.
func (a *Asker) Package(ctx context.Context, s Scope, w When, query string) (*PackageDetail, error) {
	w = a.when(w)
	var out *PackageDetail
	stored, err := a.Details.Stored(ctx)
	if err != nil {
		return nil, err
	}
	a.Graph.View(func(v *graph.View) {
		var ids []estate.PackageID
		var ecos []version.Ecosystem
		if strings.HasPrefix(query, "pkg:") {
			name, eco, _, qerr := purl.Query(query)
			if qerr != nil {
				err = fault.New(fault.Usage, "package: %w", qerr)
				return
			}
			ids, ecos = v.NameVersions(graph.FoldedName(eco, name.Name))
			if eco.Release != "" {
				ids, ecos = ofRelease(ids, ecos, eco.Release)
			}
		} else {
			eco, name, ok := strings.Cut(query, ":")
			if e := version.ParseEcosystem(eco); ok {
				ids, ecos = v.NameVersions(graph.FoldedName(e, name))
			}
			if len(ids) == 0 {
				if ids, err = onlyName(v, query); err != nil {
					return
				}
				for _, id := range ids {
					_, e, _ := v.PackageName(id)
					ecos = append(ecos, e)
				}
			}
		}
		if len(ids) == 0 {
			err = fault.New(fault.NotFound, "no release contains the package %q", query)
			return
		}
		_, _, display := v.PackageName(ids[0])
		out = &PackageDetail{When: w, Name: display, Ecosystem: ecos[0].String(), Purl: versionless(v.Pkg(ids[0]).Key),
			Versions: []PackageVersion{}, Assessed: stored[ecos[0].Base].Records > 0}
		for _, id := range ids {
			out.Versions = append(out.Versions, packageVersion(v, s, w, id))
		}
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

func ofRelease(ids []estate.PackageID, ecos []version.Ecosystem, release string) (a []estate.PackageID, b []version.Ecosystem) {
	for i := range ids {
		if ecos[i].Release == release {
			a, b = append(a, ids[i]), append(b, ecos[i])
		}
	}
	return a, b
}

// onlyName finds the one package that people call by this name.
func onlyName(v *graph.View, query string) ([]estate.PackageID, error) {
	want := strings.ToLower(query)
	found := map[string][]estate.PackageID{}
	v.EachName(func(eco, name, display string, ids func() []estate.PackageID) {
		d := strings.ToLower(display)
		if d == want || strings.HasSuffix(d, ":"+want) || strings.HasSuffix(d, "/"+want) {
			found[eco+":"+display] = append(found[eco+":"+display], ids()...)
		}
	})
	switch names := sortedKeys(found); len(names) {
	case 0:
		return nil, nil
	case 1:
		return found[names[0]], nil
	default:
		if len(names) > 6 {
			names = names[:6]
		}
		return nil, fault.New(fault.Ambiguous, "%q may be %s: say which, as a purl or Ecosystem:name", query, strings.Join(names, " or "))
	}
}

func packageVersion(v *graph.View, s Scope, w When, id estate.PackageID) PackageVersion {
	p := v.Pkg(id)
	out := PackageVersion{Version: p.Version, Purl: p.Key, Services: []string{}, Advisories: []string{}}
	services := map[string]bool{}
	v.ReleasesOf(id, func(r graph.ReleaseID) {
		out.Releases++
		rel := v.Release(r)
		for _, slot := range rel.Slots {
			if v.Runs(slot, r, w.At) {
				out.Running++
				if len(services) < 50 && s.sees(v, rel.Service) {
					services[v.Service(rel.Service).FullName()] = true
				}
				break
			}
		}
	})
	out.Services = sortedKeys(services)
	var groups []graph.GroupID
	for _, g := range p.Groups {
		if containsID(v.PackagesAt(g, w.At), id) {
			groups = append(groups, g)
			out.Advisories = append(out.Advisories, v.Group(g).ID)
		}
	}
	sort.Strings(out.Advisories)
	if len(groups) > 0 {
		if to, _, ok := v.Fix(groups, id); ok {
			out.Fix = to
		}
	}
	return out
}
