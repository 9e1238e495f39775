package graph

import (
	"encoding/hex"
	"sort"

	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Service returns a service.
func (v *View) Service(id ServiceID) *Service { return &v.g.services[id] }

// Release returns a release.
func (v *View) Release(id ReleaseID) *Release { return &v.g.releases[id] }

// Slot returns a slot.
func (v *View) Slot(id SlotID) *Slot { return &v.g.slots[id] }

// Place returns the service and environment of a slot.
func (v *View) Place(id SlotID) (ServiceID, EnvID) {
	return v.g.placeOf[id].service, v.g.placeOf[id].env
}

// ServiceOf returns the service of a release.
func (v *View) ServiceOf(id ReleaseID) ServiceID { return v.g.serviceOf[id] }

// Env returns an environment.
func (v *View) Env(id EnvID) *Env { return &v.g.envs[id] }

// App returns an application.
func (v *View) App(id AppID) *App { return &v.g.apps[id] }

// Group returns an alias group.
func (v *View) Group(id GroupID) *Group { return &v.g.groups[id] }

// Pkg returns a package version.
func (v *View) Pkg(id estate.PackageID) *Pkg { return &v.g.pkgs[id] }

// Services, Apps and Envs say how many there are; their ids are 0 to that.
func (v *View) Services() int { return len(v.g.services) }

// Apps is the number of applications.
func (v *View) Apps() int { return len(v.g.apps) }

// Envs is the number of environments.
func (v *View) Envs() int { return len(v.g.envs) }

// Groups is the number of group ids; some may be gone.
func (v *View) Groups() int { return len(v.g.groups) }

// Slots is the number of slots.
func (v *View) Slots() int { return len(v.g.slots) }

// FindService resolves "[namespace/]name"; -1 with the candidates when it is
// ambiguous, or with near names when there is none.
func (v *View) FindService(name string) (id ServiceID, candidates []string, ambiguous bool) {
	sub, err := estate.ParseSubject(name)
	if err != nil {
		return -1, nil, false
	}
	sub.Version = ""
	id, candidates = v.g.find(sub)
	if id >= 0 || candidates != nil {
		return id, candidates, id < 0
	}
	all := make([]string, len(v.g.services))
	for i := range v.g.services {
		all[i] = v.g.services[i].FullName()
	}
	return -1, near(name, all), false
}

// FindRelease returns a release by its version as written, or -1.
func (v *View) FindRelease(s ServiceID, ver string) ReleaseID {
	if id, ok := v.g.releaseIndex[releaseKey{s, ver}]; ok {
		return id
	}
	return -1
}

// FindApp resolves an application's name, or returns -1 and near names.
func (v *View) FindApp(name string) (AppID, []string) {
	if id, ok := v.g.appIndex[Fold(name)]; ok {
		return id, nil
	}
	all := make([]string, len(v.g.apps))
	for i := range v.g.apps {
		all[i] = v.g.apps[i].Name
	}
	return -1, near(name, all)
}

// FindEnv resolves an environment's name or alias, or returns -1 and the names known.
func (v *View) FindEnv(name string) (EnvID, []string) {
	if id, ok := v.g.envIndex[Fold(name)]; ok {
		return id, nil
	}
	all := make([]string, len(v.g.envs))
	for i := range v.g.envs {
		all[i] = v.g.envs[i].Name
	}
	sort.Strings(all)
	return -1, all
}

// HasDomain tells whether a domain is described.
func (v *View) HasDomain(name string) bool { _, ok := v.g.domains[Fold(name)]; return ok }

// InDomain tells whether a service is in a domain or below it.
func (v *View) InDomain(s ServiceID, domain string) bool {
	own := v.g.services[s].Spec.Domain
	return own != "" && (Fold(own) == Fold(domain) || contains(v.g.domains[Fold(own)].Above, Fold(domain)))
}

// TeamOf returns the team that owns a service: its own, else its domain's.
func (v *View) TeamOf(s ServiceID) string {
	spec := &v.g.services[s].Spec
	if spec.Team != "" || spec.Domain == "" {
		return spec.Team
	}
	for _, d := range v.g.domains[Fold(spec.Domain)].Above {
		if t := v.g.domains[d].Team; t != "" {
			return t
		}
	}
	return ""
}

// RunningAt calls fn for each deployment of a slot at t.
func (v *View) RunningAt(s SlotID, t estate.Time, fn func(*Interval)) {
	v.g.slots[s].runningAt(t, fn)
}

// GroupsNamed returns the alias groups that an advisory id means.
func (v *View) GroupsNamed(id string) []GroupID { return v.g.groupsNamed(id) }

// GroupsCiting returns the groups with records that name the id in related or
// upstream only.
func (v *View) GroupsCiting(id string) []GroupID {
	own := v.g.groupsNamed(id)
	var out []GroupID
	for _, c := range v.g.citing[id] {
		if containsGroup(own, c) || v.g.groups[c].gone() {
			continue
		}
		for _, r := range v.g.groups[c].Records {
			row := &v.g.records[r].row
			if contains(row.Related, id) || contains(row.Upstream, id) {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// Record is one record of a group.
type Record struct {
	*estate.AdvisoryRow
	Severity estate.Severity
	Score    float64
	Vector   string
	Packages []estate.PackageID // that it matches, times aside
}

// Records returns the records of a group.
func (v *View) Records(id GroupID) []Record {
	var out []Record
	for _, r := range v.g.groups[id].Records {
		rec := &v.g.records[r]
		out = append(out, Record{&rec.row, rec.severity, rec.score, rec.vector, rec.pkgs})
	}
	return out
}

// Exploited returns what a list of exploited vulnerabilities says of a group.
func (v *View) Exploited(id GroupID) (estate.Exploited, bool) {
	g := v.g
	if e, ok := g.exploited[g.groups[id].ID]; ok {
		return e, true
	}
	for _, r := range g.groups[id].Records {
		row := &g.records[r].row
		for _, list := range [][]string{row.Aliases, row.Upstream, row.Related} {
			for _, cve := range list {
				if e, ok := g.exploited[cve]; ok {
					return e, true
				}
			}
		}
	}
	return estate.Exploited{}, false
}

// Percentile returns the EPSS percentile of a CVE, or -1.
func (v *View) Percentile(cve string) float64 {
	if packed, ok := v.g.likelihood[cveKey(cve)]; ok {
		return float64(packed&0xffff) / 65535
	}
	return -1
}

// PackagesAt returns the packages that a group matches at t.
func (v *View) PackagesAt(id GroupID, t estate.Time) []estate.PackageID {
	return v.g.activePackages(&v.g.groups[id], t)
}

// PackagesOf returns those of ids (sorted) that a release contains.
func (v *View) PackagesOf(r ReleaseID, ids []estate.PackageID) []estate.PackageID {
	return v.g.packagesOf(r, ids)
}

// EachPackage calls fn for each package of a release.
func (v *View) EachPackage(r ReleaseID, fn func(estate.PackageID)) {
	if set := v.g.releases[r].set; set >= 0 {
		v.g.sets[set].eachPackage(func(p estate.PackageID) bool { fn(p); return true })
	}
}

// PackageCount is the number of packages of a release.
func (v *View) PackageCount(r ReleaseID) int {
	if set := v.g.releases[r].set; set >= 0 {
		return int(v.g.sets[set].n)
	}
	return 0
}

// ReleasesOf calls fn for each release that contains a package.
func (v *View) ReleasesOf(p estate.PackageID, fn func(ReleaseID)) { v.g.eachReleaseOf(p, fn) }

// GroupsAt returns the groups that match a release at t with the packages by
// which they do, verdicts aside.
func (v *View) GroupsAt(r ReleaseID, t estate.Time) map[GroupID][]estate.PackageID {
	out := map[GroupID][]estate.PackageID{}
	v.g.groupsAt(r, t, func(id GroupID, p estate.PackageID) { out[id] = append(out[id], p) })
	return out
}

// OpenGroups returns the groups open in a slot at t.
func (v *View) OpenGroups(s SlotID, t estate.Time) []GroupID { return v.g.openGroups(s, t) }

// Exposures returns every period in which a group was or is open in a slot.
func (v *View) Exposures(id GroupID, s SlotID) []Exposure {
	return v.g.exposures(id, s, v.g.verdictsFor(&v.g.groups[id]))
}

// Unverdicted returns the periods as if there were no verdicts.
func (v *View) Unverdicted(id GroupID, s SlotID) []Exposure { return v.g.exposures(id, s, nil) }

// Decision returns the verdict that holds for a release and package in a slot
// at t; nil for none.
func (v *View) Decision(id GroupID, s SlotID, r ReleaseID, p estate.PackageID, t estate.Time) *estate.VerdictRow {
	c := v.g.decide(v.g.verdictsFor(&v.g.groups[id]), &v.g.slots[s], r, p, t)
	if c == nil {
		return nil
	}
	return c.row
}

// EverGroups returns the groups that ever were open in a slot, sorted.
func (v *View) EverGroups(s SlotID) []GroupID {
	seen := map[GroupID]bool{}
	for i := range v.g.slots[s].Intervals {
		v.g.groupsAt(v.g.slots[s].Intervals[i].Release, estate.Forever-1, func(id GroupID, _ estate.PackageID) { seen[id] = true })
		v.EachPackage(v.g.slots[s].Intervals[i].Release, func(p estate.PackageID) {
			for _, id := range v.g.pkgs[p].Groups {
				seen[id] = true // withdrawn ones were open once
			}
		})
	}
	out := make([]GroupID, 0, len(seen))
	for id := range seen {
		out = append(out, id)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// Why is one record's reason to match a package.
type Why struct {
	Record   string
	Revision int
	Range    string
	Name     string // as the advisory names it
	Version  string // as compared
	Eco      version.Ecosystem
}

// Why returns the records of a group that match a package at t.
func (v *View) Why(id GroupID, p estate.PackageID, t estate.Time) []Why {
	g := v.g
	pkg := &g.pkgs[p]
	var out []Why
	for _, r := range g.groups[id].Records {
		rec := &g.records[r]
		if !containsPkg(rec.pkgs, p) || rec.published() > t || rec.row.Withdrawn != 0 && rec.row.Withdrawn <= t {
			continue
		}
		for i := range rec.entries {
			e := &rec.entries[i]
			why, ok := g.entryWhy(e, pkg)
			if ok {
				out = append(out, Why{rec.row.ID, rec.row.Revision, why.Range, why.Name, why.Version, e.eco})
				break
			}
		}
	}
	return out
}

func (g *Graph) entryWhy(e *entry, pkg *Pkg) (Why, bool) {
	for k, n := range pkg.names {
		if n < 0 || g.names[n].eco.Base != e.eco.Base || g.names[n].name != e.name || !version.Applies(e.eco, g.names[n].eco) {
			continue
		}
		w := Why{Name: g.names[n].name, Version: pkg.match[k]}
		ver, err := version.Parse(g.names[n].eco, pkg.match[k])
		if err != nil {
			if contains(e.spans.Listed, pkg.match[k]) {
				w.Range = "listed"
				return w, true
			}
			continue
		}
		if in, why := e.spans.Contains(g.names[n].eco, ver); in {
			w.Range = why
			return w, true
		}
	}
	return Why{}, false
}

// Fix returns the nearest safe version of a package: the smallest one, not below
// the one in use, that no known advisory matches. Where there is none (another
// advisory has no fix), it is the smallest that none of the given groups
// matches; ok is false when there is none either.
func (v *View) Fix(groups []GroupID, p estate.PackageID) (to string, major, ok bool) {
	g := v.g
	pkg := &g.pkgs[p]
	for k, n := range pkg.names {
		if n < 0 {
			continue
		}
		name := &g.names[n]
		ver, err := version.Parse(name.eco, pkg.match[k])
		if err != nil {
			continue
		}
		var asked []version.Spans
		for _, ref := range g.recordsOf[nameKey{name.eco.Base, name.name}] {
			rec := &g.records[ref.record]
			e := &rec.entries[ref.entry]
			if rec.row.Withdrawn == 0 && version.Applies(e.eco, name.eco) && intersects(rec.groups, groups) {
				asked = append(asked, e.spans)
			}
		}
		if len(asked) == 0 {
			continue
		}
		all := g.unionOf(n)
		if to, major, ok = all.u.Nearest(ver, all.inUse); ok {
			return to, major, true
		}
		if to, major, ok = version.Unite(name.eco, asked).Nearest(ver, all.inUse); ok {
			return to, major, true
		}
	}
	return "", false, false
}

func intersects(a, b []GroupID) bool {
	for _, id := range a {
		if containsGroup(b, id) {
			return true
		}
	}
	return false
}

// unions caches what all advisories of a package name say together.
type unions struct {
	changes int
	of      map[int32]*united
}

type united struct {
	u     *version.Union
	inUse []version.Version // the name's versions
	n     int               // how many versions the name had
}

// mostUnions bounds the cache.
const mostUnions = 2000

func (g *Graph) unionOf(n int32) *united {
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	c := &g.unions
	if c.of == nil || c.changes != g.changes || len(c.of) >= mostUnions {
		c.changes, c.of = g.changes, map[int32]*united{}
	}
	name := &g.names[n]
	if u := c.of[n]; u != nil && u.n == len(name.versions) {
		return u
	}
	var all []version.Spans
	for _, ref := range g.recordsOf[nameKey{name.eco.Base, name.name}] {
		rec := &g.records[ref.record]
		if e := &rec.entries[ref.entry]; rec.row.Withdrawn == 0 && version.Applies(e.eco, name.eco) {
			all = append(all, e.spans)
		}
	}
	u := &united{u: version.Unite(name.eco, all), n: len(name.versions)}
	for _, nv := range name.versions {
		if p := g.parseOf(name.eco, nv); p.ok {
			u.inUse = append(u.inUse, p.v)
		}
	}
	c.of[n] = u
	return u
}

// NameVersions returns the versions in use of a package name in order: pass a
// base ecosystem and a folded name. Distribution releases follow one another.
func (v *View) NameVersions(n estate.PackageName) (out []estate.PackageID, eco []version.Ecosystem) {
	for _, i := range v.g.nameIndex[nameKey{n.Ecosystem, n.Name}] {
		for _, nv := range v.g.names[i].versions {
			out = append(out, nv.pkg)
			eco = append(eco, v.g.names[i].eco)
		}
	}
	return out, eco
}

// InRange tells whether a package version is in a range of a user's query.
func (v *View) InRange(p estate.PackageID, n estate.PackageName, ivs []version.Interval, exact string) bool {
	c := compiledVerdict{base: n.Ecosystem, name: n.Name, intervals: ivs, exact: exact}
	return v.g.inRange(&c, p)
}

// EachName calls fn for each package name in use: its ecosystem with release,
// its name as advisories have it and as people write it, and its versions in order.
func (v *View) EachName(fn func(eco, name, display string, versions func() []estate.PackageID)) {
	for i := range v.g.names {
		n := &v.g.names[i]
		fn(n.eco.String(), n.name, n.display, func() []estate.PackageID {
			ids := make([]estate.PackageID, len(n.versions))
			for k, nv := range n.versions {
				ids[k] = nv.pkg
			}
			return ids
		})
	}
}

// Posted is about how many releases contain a package.
func (v *View) Posted(p estate.PackageID) int { return int(v.g.pkgs[p].post.n) }

// Runs tells whether a release runs in a slot at t.
func (v *View) Runs(s SlotID, r ReleaseID, t estate.Time) bool { return v.g.runs(s, r, t) }

// PackageName returns the name by which advisories speak of a package; blank
// when it cannot be matched.
func (v *View) PackageName(p estate.PackageID) (n estate.PackageName, eco version.Ecosystem, display string) {
	i := v.g.pkgs[p].names[0]
	if i < 0 {
		return estate.PackageName{}, version.Ecosystem{}, v.g.pkgs[p].Name
	}
	name := &v.g.names[i]
	return estate.PackageName{Ecosystem: name.eco.Base, Name: name.name}, name.eco, name.display
}

// FindPackage returns a package by its canonical key.
func (v *View) FindPackage(key string) (estate.PackageID, bool) {
	id, ok := v.g.byKey[hashString(key)]
	return id, ok && v.g.pkgs[id].Key == key
}

// AnySBOM tells whether the contents of any release are known.
func (v *View) AnySBOM() bool {
	for i := range v.g.releases {
		if v.g.releases[i].set >= 0 {
			return true
		}
	}
	return false
}

// bareSlots caches what runs without an SBOM now.
type bareSlots struct {
	seq   int64
	valid bool
	slots []SlotID
}

// Bare returns the slots in which a release without an SBOM runs at t.
func (v *View) Bare(t estate.Time) []SlotID {
	g := v.g
	g.ordersMu.Lock()
	defer g.ordersMu.Unlock()
	now := t >= g.lastMoment
	if now && g.bare.valid && g.bare.seq == g.seq {
		return g.bare.slots
	}
	var out []SlotID
	for i := range g.slots {
		found := false
		g.slots[i].runningAt(t, func(iv *Interval) { found = found || g.releases[iv.Release].set < 0 })
		if found {
			out = append(out, SlotID(i))
		}
	}
	if now {
		g.bare = bareSlots{g.seq, true, out}
	}
	return out
}

// Bill is one SBOM of a release.
type Bill struct {
	ID                                  estate.BillID
	Evidence, Source, Format, Generator string
	Made, Known                         estate.Time
	Packages                            int
	Partial, Replaced                   bool
	Notes                               []string
}

// Bills returns the SBOMs of a release, the oldest first.
func (v *View) Bills(r ReleaseID) []Bill {
	rel := &v.g.releases[r]
	live := v.g.liveBills(rel)
	var out []Bill
	for _, i := range rel.bills {
		replaced := true
		for _, l := range live {
			replaced = replaced && l != i
		}
		out = append(out, v.bill(i, replaced))
	}
	return out
}

func (v *View) bill(i int32, replaced bool) Bill {
	b := &v.g.bills[i]
	return Bill{b.id, b.sha(), b.source, b.format, b.generator, b.made, b.known,
		int(v.g.sets[b.set].n), b.partial, replaced, b.notes}
}

// BillWith returns the newest live bill of a release that contains a package.
func (v *View) BillWith(r ReleaseID, p estate.PackageID) (Bill, bool) {
	if rel := &v.g.releases[r]; len(rel.bills) == 1 {
		return v.bill(rel.bills[0], false), true
	}
	bills := v.Bills(r)
	for i := len(bills) - 1; i >= 0; i-- {
		if bills[i].Replaced {
			continue
		}
		for _, k := range v.g.releases[r].bills {
			if v.g.bills[k].id == bills[i].ID {
				found := false
				v.g.sets[v.g.bills[k].set].eachPackage(func(id estate.PackageID) bool { found = id == p; return id < p })
				if found {
					return bills[i], true
				}
			}
		}
	}
	return Bill{}, false
}

// Minted returns the minted versions of an application, in order, without their
// members.
func (v *View) Minted(app AppID) []estate.AppVersionRow {
	name := v.g.apps[app].Name
	out := make([]estate.AppVersionRow, len(v.g.minted[name]))
	for i, m := range v.g.minted[name] {
		out[i] = estate.AppVersionRow{Application: name, Number: m.number, Hash: hex.EncodeToString(m.hash[:]), Environment: m.environment, At: m.at, Known: m.known}
	}
	return out
}

// Members returns the members of a minted version.
func (v *View) Members(app AppID, number int) []estate.Member {
	for _, m := range v.g.minted[v.g.apps[app].Name] {
		if m.number == number {
			out := make([]estate.Member, len(m.members))
			for i, p := range m.members {
				out[i] = estate.Member{Service: v.g.texts[p.service], Release: v.g.texts[p.release], Config: v.g.texts[p.config]}
			}
			return out
		}
	}
	return nil
}

// Timeline returns the settled sets of an application in an environment.
func (v *View) Timeline(app AppID, env EnvID) []Stage { return v.g.timeline(&v.g.apps[app], env) }

// Objectives are the service levels described.
func (v *View) Objectives() []estate.Objective { return v.g.objectives }

// Unresolved calls fn for each asserted name that joined nothing, with the reason.
func (v *View) Unresolved(fn func(estate.Subject, string)) {
	for id := range v.g.joins {
		if id > 0 && v.g.joins[id].service < 0 {
			fn(v.g.subjects[id], v.g.joins[id].reason)
		}
	}
}

// Problems returns what could not be evaluated of loaded advisories, at most n.
func (v *View) Problems(n int) []string {
	var out []string
	for i := range v.g.records {
		for _, p := range v.g.records[i].problems {
			if out = append(out, p); len(out) >= n {
				return out
			}
		}
	}
	return out
}

// FoldedName is the index key of a package name as advisories of the ecosystem state it.
func FoldedName(eco version.Ecosystem, name string) estate.PackageName {
	return estate.PackageName{Ecosystem: eco.Base, Name: purl.FoldName(eco, name)}
}
