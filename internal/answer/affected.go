package answer

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// suspect is what an Affected question asks about.
type suspect struct {
	query  string
	groups []graph.GroupID     // of an advisory id
	pkgs   []estate.PackageID  // of a package query, or all that the groups match
	name   *estate.PackageName // of a package query
}

// Affected answers: an advisory is out, or a package is suspect; are we hit?
// query is any advisory id, or a purl with an optional version or range after @.
// With p.Brief, paths, lines and references are left out.
func (a *Asker) Affected(ctx context.Context, s Scope, w When, query string, p Page) (*Affected, error) {
	w = a.when(w)
	query = strings.TrimSpace(query)
	if query == "" {
		return nil, fault.New(fault.Usage, "affected: say which advisory (CVE-…, GHSA-…) or package (pkg:type/name[@version or range])")
	}
	out := &Affected{When: w, Query: query, Advisories: []Advisory{}, Fixes: []Fix{}, Environments: []EnvHit{}, Applications: []AppHit{}, Releases: []ReleaseHit{}}
	stored, err := a.Details.Stored(ctx)
	if err != nil {
		return nil, err
	}
	var named []estate.AdvisoryRow
	inUse := false
	if p.Brief {
		a.Graph.View(func(v *graph.View) { inUse = len(v.GroupsNamed(canonicalID(query))) > 0 })
	}
	if !inUse {
		if named, err = a.named(ctx, query); err != nil {
			return nil, err
		}
	}
	var pages []pending
	a.Graph.View(func(v *graph.View) {
		var sus suspect
		if sus, err = a.suspect(v, query, w.At); err != nil {
			return
		}
		im := v.Impact(sus.groups, sus.pkgs, w.At)
		defer im.Done()
		a.summarise(v, s, w, out, sus, im, p)
		pages, err = a.releasePage(v, s, w, out, sus, im, p)
		if err != nil {
			return
		}
		a.related(v, w, out, query, named)
		a.gaps(v, s, w, out, stored)
	})
	if err != nil {
		return nil, err
	}
	known := len(out.Advisories) > 0 || len(named) > 0 || isPackage(query)
	if len(out.Advisories) == 0 {
		out.Advisories = append(out.Advisories, ownRecords(query, named)...)
	}
	out.state(known)
	if !p.Brief {
		if err := a.explain(ctx, out, pages); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// named returns stored records that carry the id in any place, in use or not.
func (a *Asker) named(ctx context.Context, query string) ([]estate.AdvisoryRow, error) {
	if isPackage(query) {
		return nil, nil
	}
	return a.Details.Named(ctx, canonicalID(query))
}

// canonicalID brings an advisory id to its database's spelling.
func canonicalID(id string) string {
	up := strings.ToUpper(id)
	switch {
	case strings.HasPrefix(up, "GHSA-"):
		return "GHSA-" + strings.ToLower(id[5:])
	case strings.HasPrefix(up, "CVE-"), strings.HasPrefix(up, "GO-"), strings.HasPrefix(up, "MAL-"), strings.HasPrefix(up, "PYSEC-"),
		strings.HasPrefix(up, "DSA-"), strings.HasPrefix(up, "DLA-"), strings.HasPrefix(up, "RUSTSEC-"):
		return up
	}
	return id
}

// isPackage tells a package query, a purl or "Ecosystem:name", from an advisory id.
func isPackage(query string) bool {
	if strings.HasPrefix(query, "pkg:") {
		return true
	}
	eco, _, ok := strings.Cut(query, ":")
	return ok && version.ParseEcosystem(eco).Ordered()
}

// packageQuery reads either form, each with an optional version or range after @.
func packageQuery(query string) (name estate.PackageName, eco version.Ecosystem, rng string, err error) {
	if strings.HasPrefix(query, "pkg:") {
		return purl.Query(query)
	}
	base, text, _ := strings.Cut(query, ":")
	if i := strings.LastIndexByte(text, '@'); i > 0 { // an npm scope starts with one
		text, rng = text[:i], text[i+1:]
	}
	eco = version.ParseEcosystem(base)
	return estate.PackageName{Ecosystem: eco.Base, Name: text}, eco, rng, nil
}

func (a *Asker) suspect(v *graph.View, query string, t estate.Time) (suspect, error) {
	if !isPackage(query) {
		return suspect{query: query, groups: v.GroupsNamed(canonicalID(query))}, nil
	}
	name, eco, rng, err := packageQuery(query)
	if err != nil {
		return suspect{}, fault.New(fault.Usage, "affected: %w", err)
	}
	name = graph.FoldedName(eco, name.Name)
	sus := suspect{query: query, name: &name}
	var ivs []version.Interval
	exact := ""
	if rng != "" {
		if strings.ContainsAny(rng, "<>=|,*") || strings.HasPrefix(rng, "vers:") {
			if ivs, err = version.ParseRange(eco, rng); err != nil {
				return suspect{}, fault.New(fault.Usage, "affected: range %q: %w", rng, err)
			}
		} else {
			exact = rng
			ivs = []version.Interval{{From: rng, To: rng, Closed: true}}
		}
	}
	ids, ecos := v.NameVersions(name)
	for i, id := range ids {
		if eco.Release != "" && ecos[i].Release != eco.Release {
			continue
		}
		if rng == "" || v.InRange(id, name, ivs, exact) {
			sus.pkgs = append(sus.pkgs, id)
		}
	}
	sort.Slice(sus.pkgs, func(i, j int) bool { return sus.pkgs[i] < sus.pkgs[j] })
	return sus, nil
}

// summarise fills the counts, environments, applications and fixes.
func (a *Asker) summarise(v *graph.View, s Scope, w When, out *Affected, sus suspect, im graph.Impact, p Page) {
	for _, id := range sus.groups {
		out.Advisories = append(out.Advisories, advisory(v, id))
	}
	out.Counts = AffectedCounts{Releases: len(im.Releases), Running: im.Running, Exposures: len(im.Open), Suppressed: len(im.Suppressed)}
	services := im.Services
	envs := make([]int, v.Envs())
	apps := make([]int, v.Apps())
	for _, slot := range im.Open {
		svc, env := v.Place(slot)
		envs[env]++
		if s.Limited && !s.sees(v, svc) {
			out.Counts.Hidden++
		}
	}
	for id, n := range services {
		if n > 0 {
			out.Counts.Services++
			for _, app := range v.Service(graph.ServiceID(id)).Apps {
				apps[app] += int(n)
			}
		}
	}
	for e, n := range envs {
		if n > 0 {
			env := v.Env(graph.EnvID(e))
			out.Environments = append(out.Environments, EnvHit{Name: env.Name, Tier: env.Tier, Exposures: n})
		}
	}
	sort.Slice(out.Environments, func(i, j int) bool {
		x, y := out.Environments[i], out.Environments[j]
		if tx, ty := tierRank(x.Tier), tierRank(y.Tier); tx != ty {
			return tx < ty
		}
		return x.Name < y.Name
	})
	out.Counts.Environments = len(out.Environments)
	var hit []graph.AppID
	for id, n := range apps {
		if n == 0 {
			continue
		}
		out.Counts.Applications++
		if seesApp(v, s, graph.AppID(id)) {
			hit = append(hit, graph.AppID(id))
		}
	}
	sort.Slice(hit, func(i, j int) bool {
		if x, y := apps[hit[i]], apps[hit[j]]; x != y {
			return x > y
		}
		return v.App(hit[i]).Name < v.App(hit[j]).Name
	})
	for _, id := range hit[:min(len(hit), p.limit())] {
		out.Applications = append(out.Applications, appHit(v, s, id, apps[id], services))
	}
	seen := map[int64]bool{}
	for _, slot := range im.Suppressed[:min(len(im.Suppressed), 200)] { // one verdict may close thousands
		sl := v.Slot(slot)
		if len(out.Suppressed) >= 20 || !s.sees(v, sl.Service) {
			continue
		}
		v.RunningAt(slot, w.At, func(iv *graph.Interval) {
			for _, id := range sus.groups {
				for _, p := range v.PackagesOf(iv.Release, v.PackagesAt(id, w.At)) {
					if row := v.Decision(id, slot, iv.Release, p, w.At); row != nil && !seen[row.ID] {
						seen[row.ID] = true
						out.Suppressed = append(out.Suppressed, *decision(row))
					}
				}
			}
		})
	}
}

func tierRank(tier string) int {
	switch tier {
	case "production":
		return 0
	case "staging":
		return 1
	case "test":
		return 2
	case "development":
		return 3
	}
	return 4
}

func appHit(v *graph.View, s Scope, id graph.AppID, n int, hit []int32) AppHit {
	app := v.App(id)
	out := AppHit{Name: app.Name, Title: app.Spec.Title, Exposures: n, Services: []string{}, Versions: []AppAtEnv{}}
	for _, m := range app.Members {
		if hit[m] > 0 && s.sees(v, m) {
			out.Services = append(out.Services, v.Service(m).FullName())
		}
	}
	return out
}

// runningVersions returns the application version that ran in each environment at t.
func runningVersions(v *graph.View, id graph.AppID, t estate.Time) []AppAtEnv {
	numbers := map[string]int{}
	for _, m := range v.Minted(id) {
		numbers[m.Hash] = m.Number
	}
	out := []AppAtEnv{}
	if len(numbers) == 0 {
		return out
	}
	for e := range v.Envs() {
		var hash string
		for _, st := range v.Timeline(id, graph.EnvID(e)) {
			if st.At <= t {
				hash = st.Hash
			}
		}
		if n := numbers[hash]; n > 0 {
			out = append(out, AppAtEnv{Environment: v.Env(graph.EnvID(e)).Name, Number: n})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Environment < out[j].Environment })
	return out
}

// pending is a release of the page that waits for its details.
type pending struct {
	hit  int // index into Affected.Releases
	pkgs []pendingPkg
}

type pendingPkg struct {
	id   estate.PackageID
	bill graph.Bill
	key  string
}

// releaseKey orders the releases of the page: running ones first, then by
// service and release in the order in which they became known.
type releaseCursor struct {
	Running bool   `json:"r"`
	Service string `json:"s"`
	Version string `json:"v"`
}

func releaseOrder(running bool, s graph.ServiceID, r graph.ReleaseID) uint64 {
	k := uint64(uint32(s))<<32>>1 | uint64(uint32(r))
	if !running {
		k |= 1 << 63
	}
	return k
}

// releasePage selects one page of releases without sorting all of them.
func (a *Asker) releasePage(v *graph.View, s Scope, w When, out *Affected, sus suspect, im graph.Impact, p Page) ([]pending, error) {
	var after uint64
	if p.After != "" {
		var c releaseCursor
		if err := readCursor(p.After, &c); err != nil {
			return nil, err
		}
		svc, _, _ := v.FindService(c.Service)
		if svc < 0 {
			return nil, fault.New(fault.Invalid, "page: the cursor names a service that is gone; start again")
		}
		rel := v.FindRelease(svc, c.Version)
		after = releaseOrder(c.Running, svc, max(rel, 0))
	}
	limit := p.limit()
	top := make([]uint64, 0, limit+1) // a max-heap of the smallest keys
	byKey := make(map[uint64]graph.Hit, limit+1)
	for _, h := range im.Releases {
		svc := v.ServiceOf(h.Release)
		k := releaseOrder(h.Running, svc, h.Release)
		if k <= after && p.After != "" || len(top) > limit && k > top[0] || s.Limited && !s.sees(v, svc) {
			continue
		}
		top = pushHeap(top, k)
		byKey[k] = h
		if len(top) > limit+1 {
			delete(byKey, top[0])
			top = popHeap(top)
		}
	}
	sort.Slice(top, func(i, j int) bool { return top[i] < top[j] })
	more := len(top) > limit
	if more {
		top = top[:limit]
	}
	matched := make([][]estate.PackageID, len(sus.groups))
	all := append([]estate.PackageID(nil), sus.pkgs...)
	for i, id := range sus.groups {
		matched[i] = v.PackagesAt(id, w.At)
		all = append(all, matched[i]...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	var pages []pending
	fixes := map[string]*Fix{}
	type fixed struct {
		to    string
		major bool
	}
	cache := map[estate.PackageID]fixed{}
	type reason struct {
		group graph.GroupID
		pkg   estate.PackageID
	}
	whys := map[reason][]Why{} // the page's releases share versions
	for _, k := range top {
		h := byKey[k]
		r := v.Release(h.Release)
		svc := v.Service(r.Service)
		hit := ReleaseHit{Service: svc.FullName(), Version: r.Version, Domain: svc.Spec.Domain, Team: v.TeamOf(r.Service), Deployments: []RunsIn{}, Applications: []string{}}
		for _, app := range svc.Apps {
			if seesApp(v, s, app) {
				hit.Applications = append(hit.Applications, v.App(app).Name)
			}
		}
		pg := pending{hit: len(out.Releases)}
		var last estate.PackageID
		for _, id := range v.PackagesOf(h.Release, all) {
			if id == last {
				continue
			}
			last = id
			pkg := v.Pkg(id)
			ph := PackageHit{Name: pkg.Name, Version: pkg.Version, Purl: pkg.Key, Why: []Why{}}
			f, ok := cache[id]
			if !ok && len(sus.groups) > 0 {
				f.to, f.major, _ = v.Fix(sus.groups, id)
				cache[id] = f
			}
			ph.Fix, ph.Major = f.to, f.major
			bill, _ := v.BillWith(h.Release, id)
			for i, g := range sus.groups {
				if !containsID(matched[i], id) {
					continue
				}
				ys, ok := whys[reason{g, id}]
				if !ok {
					for _, y := range v.Why(g, id, w.At) {
						ys = append(ys, Why{Record: y.Record, Revision: y.Revision, Range: y.Range, Compared: fmt.Sprintf("%s %s %s", y.Eco, y.Name, y.Version)})
					}
					whys[reason{g, id}] = ys
				}
				for _, y := range ys {
					y.Evidence, y.Format, y.Source = bill.Evidence, bill.Format, bill.Source
					ph.Why = append(ph.Why, y)
				}
			}
			if len(sus.groups) == 0 {
				ph.Why = append(ph.Why, Why{Record: "", Range: "asked for", Compared: pkg.Name + " " + pkg.Version, Evidence: bill.Evidence, Format: bill.Format, Source: bill.Source})
			}
			pg.pkgs = append(pg.pkgs, pendingPkg{id, bill, pkg.Key})
			hit.Packages = append(hit.Packages, ph)
			if len(sus.groups) > 0 {
				addFix(v, fixes, id, ph)
			}
		}
		for _, slot := range r.Slots {
			v.RunningAt(slot, w.At, func(iv *graph.Interval) {
				if iv.Release == h.Release {
					hit.Deployments = append(hit.Deployments, a.runsIn(v, w, sus, slot, iv))
				}
			})
		}
		sort.Slice(hit.Deployments, func(i, j int) bool { return hit.Deployments[i].Environment < hit.Deployments[j].Environment })
		out.Releases = append(out.Releases, hit)
		pages = append(pages, pg)
	}
	for _, k := range sortedKeys(fixes) {
		out.Fixes = append(out.Fixes, *fixes[k])
	}
	sort.SliceStable(out.Fixes, func(i, j int) bool { return out.Fixes[i].Releases > out.Fixes[j].Releases })
	if more {
		h := byKey[top[limit-1]]
		r := v.Release(h.Release)
		out.Next = cursor(releaseCursor{h.Running, v.Service(r.Service).FullName(), r.Version})
	}
	for i := range out.Applications {
		app := &out.Applications[i]
		id, _ := v.FindApp(app.Name)
		hitEnv := map[string]bool{}
		members := map[graph.ServiceID]bool{}
		for _, m := range v.App(id).Members {
			members[m] = true
		}
		if !p.Brief {
			for _, slot := range im.Open {
				if sl := v.Slot(slot); members[sl.Service] {
					hitEnv[v.Env(sl.Env).Name] = true
				}
			}
			app.Versions = runningVersions(v, id, w.At)
			for k := range app.Versions {
				app.Versions[k].Affected = hitEnv[app.Versions[k].Environment]
			}
		}
	}
	return pages, nil
}

func addFix(v *graph.View, fixes map[string]*Fix, id estate.PackageID, ph PackageHit) {
	base, _, _ := strings.Cut(ph.Purl, "@")
	if strings.HasPrefix(ph.Purl, "pkg:npm/%40") || strings.HasPrefix(ph.Purl, "pkg:npm/@") {
		if i := strings.LastIndex(ph.Purl, "@"); i > 8 {
			base = ph.Purl[:i]
		}
	}
	key := base + "\x00" + ph.Fix
	f := fixes[key]
	if f == nil {
		_, _, display := v.PackageName(id)
		f = &Fix{Package: display, Purl: base, To: ph.Fix, From: []string{}}
		fixes[key] = f
	}
	f.Major = f.Major || ph.Major
	f.Releases++
	for _, have := range f.From {
		if have == ph.Version {
			return
		}
	}
	f.From = append(f.From, ph.Version)
}

// runsIn tells since when a release is exposed in a slot.
func (a *Asker) runsIn(v *graph.View, w When, sus suspect, slot graph.SlotID, iv *graph.Interval) RunsIn {
	out := RunsIn{Environment: v.Env(v.Slot(slot).Env).Name, Since: iv.From, Source: iv.Source}
	if iv.To != estate.Forever {
		out.Until = iv.To
	}
	for _, id := range sus.groups {
		open := false
		for _, e := range v.Exposures(id, slot) {
			if e.Opened <= w.At && w.At < e.Closed && (out.Exposed == 0 || e.Opened < out.Exposed) {
				out.Exposed, out.Detected, out.Reason, open = e.Opened, e.Detected, e.OpenedBy, true
			}
		}
		if open {
			continue
		}
		if ps := v.PackagesOf(iv.Release, v.PackagesAt(id, w.At)); len(ps) > 0 {
			if row := v.Decision(id, slot, iv.Release, ps[0], w.At); row != nil {
				out.Closed = decision(row)
			}
		}
	}
	if out.Exposed != 0 {
		out.Closed = nil
	}
	return out
}

// related lists the records that name the query in related or upstream only.
func (a *Asker) related(v *graph.View, w When, out *Affected, query string, named []estate.AdvisoryRow) {
	id := canonicalID(query)
	seen := map[string]bool{}
	for _, g := range v.GroupsCiting(id) {
		r := Related{Advisory: advisory(v, g), By: "related"}
		for _, rec := range v.Records(g) {
			seen[rec.ID] = true
			for _, up := range rec.Upstream {
				if up == id {
					r.By = "upstream"
				}
			}
		}
		im := v.Impact([]graph.GroupID{g}, nil, w.At)
		r.Releases, r.Running = len(im.Releases), im.Running
		im.Done()
		out.Related = append(out.Related, r)
	}
	for i := range named {
		row := &named[i]
		if seen[row.ID] || isAlias(row, id) {
			continue
		}
		sev, score, vector := version.Score(row.Scores, row.Graded, row.ID)
		r := Related{By: "related", Advisory: Advisory{ID: row.ID, Aliases: row.Aliases, Summary: row.Summary, Severity: sev, Score: score,
			Vector: vector, Published: row.Published, Modified: row.Modified, Withdrawn: row.Withdrawn, Known: row.Since, Revision: row.Revision}}
		if r.Aliases == nil {
			r.Aliases = []string{}
		}
		for _, up := range row.Upstream {
			if up == id {
				r.By = "upstream"
			}
		}
		out.Related = append(out.Related, r)
	}
}

func isAlias(row *estate.AdvisoryRow, id string) bool {
	if row.ID == id {
		return true
	}
	for _, a := range row.Aliases {
		if a == id {
			return true
		}
	}
	return false
}

// ownRecords renders stored records of packages that nobody uses.
func ownRecords(query string, named []estate.AdvisoryRow) []Advisory {
	id := canonicalID(query)
	var out []Advisory
	for i := range named {
		row := &named[i]
		if !isAlias(row, id) {
			continue
		}
		sev, score, vector := version.Score(row.Scores, row.Graded, row.ID)
		ad := Advisory{ID: row.ID, Aliases: row.Aliases, Summary: row.Summary, Severity: sev, Score: score, Vector: vector,
			Published: row.Published, Modified: row.Modified, Withdrawn: row.Withdrawn, Known: row.Since, Revision: row.Revision}
		if ad.Aliases == nil {
			ad.Aliases = []string{}
		}
		out = append(out, ad)
	}
	return out
}

// gaps says what the answer would need and does not have.
func (a *Asker) gaps(v *graph.View, s Scope, w When, out *Affected, stored map[string]graph.Stored) {
	use := v.EcosystemUse()
	for _, eco := range sortedKeys(use) {
		if stored[eco].Records == 0 {
			out.NotAssessed = append(out.NotAssessed, Gap{Kind: "feed", What: eco, Count: use[eco],
				Remedy: "thymus feed update, or thymus feed import of a bundle with " + eco})
		}
	}
	if !v.AnySBOM() {
		out.NotAssessed = append(out.NotAssessed, Gap{Kind: "estate", What: "no release with an SBOM is known", Count: 0,
			Remedy: "thymus push --service NAME --version VERSION SBOM"})
	}
	slots := v.Bare(w.At)
	bare := len(slots)
	var examples []string
	for _, slot := range slots {
		sl := v.Slot(slot)
		if len(examples) == 5 {
			break
		}
		if !s.sees(v, sl.Service) {
			continue
		}
		v.RunningAt(slot, w.At, func(iv *graph.Interval) {
			if r := v.Release(iv.Release); !r.HasSBOM() {
				examples = append(examples, v.Service(sl.Service).FullName()+"@"+r.Version+" in "+v.Env(sl.Env).Name)
			}
		})
	}
	if bare > 0 {
		out.NotAssessed = append(out.NotAssessed, Gap{Kind: "sbom", What: "deployments without an SBOM", Count: bare,
			Remedy: "thymus push --service NAME --version VERSION SBOM", Examples: examples})
	}
}

func containsID(ids []estate.PackageID, id estate.PackageID) bool {
	i := sort.Search(len(ids), func(i int) bool { return ids[i] >= id })
	return i < len(ids) && ids[i] == id
}
