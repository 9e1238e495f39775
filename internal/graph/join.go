package graph

import (
	"sort"
	"strings"

	"thymus/internal/estate"
)

// joined is computed from the asserted layer by the identity rules.
type joined struct {
	services     []Service
	serviceIndex map[nameParts]ServiceID
	namesakes    map[string][]ServiceID // folded name -> services that a name without namespace may mean
	releases     []Release
	releaseIndex map[releaseKey]ReleaseID
	liveIn       [][2]SlotID // by release: where it runs now; {-2, _}: in more slots
	serviceOf    []ServiceID // by release, densely: walks over many releases read nothing else
	placeOf      []place     // by slot, likewise
	firstDigest  map[releaseKey]string
	envs         []Env
	envIndex     map[string]EnvID // folded name or alias
	slots        []Slot
	slotIndex    map[slotKey]SlotID
	apps         []App
	appIndex     map[string]AppID
	appsNaming   map[string][]AppID // by the folded name, without namespace, of a listed member
	domains      map[string]Domain  // by folded name
	teams        map[string]estate.TeamSpec
	objectives   []estate.Objective

	joins      []join               // by SubjectID
	aliases    map[string]nameParts // folded "ns/name" or "name" -> service
	artifactOf map[string]nameParts // digest or image -> service, by estate.yaml
	owner      map[string]estate.SubjectID
	dumpsOf    map[EnvID][]int32
	dirtySlots map[SlotID]bool
	dirtyApps  map[AppID]bool
}

func (j *joined) init() {
	*j = joined{
		serviceIndex: map[nameParts]ServiceID{},
		namesakes:    map[string][]ServiceID{},
		releaseIndex: map[releaseKey]ReleaseID{},
		firstDigest:  map[releaseKey]string{},
		envIndex:     map[string]EnvID{},
		slotIndex:    map[slotKey]SlotID{},
		appIndex:     map[string]AppID{},
		appsNaming:   map[string][]AppID{},
		domains:      map[string]Domain{},
		teams:        map[string]estate.TeamSpec{},
		joins:        make([]join, 1),
		aliases:      map[string]nameParts{},
		artifactOf:   map[string]nameParts{},
		owner:        map[string]estate.SubjectID{},
		dumpsOf:      map[EnvID][]int32{},
		dirtySlots:   map[SlotID]bool{},
		dirtyApps:    map[AppID]bool{},
	}
}

// place is what a slot stands for.
type place struct {
	service ServiceID
	env     EnvID
}

// nameParts is a folded namespace and name.
type nameParts struct{ namespace, name string }

type releaseKey struct {
	service ServiceID
	version string
}

type slotKey struct {
	service ServiceID
	env     EnvID
}

// join says what a subject means; -1 for nothing.
type join struct {
	service ServiceID
	release ReleaseID
	reason  string // of the join, or why there is none
}

// Service is a microservice. Fields are read-only outside this package.
type Service struct {
	Namespace, Name string // as written first, or as described
	Spec            estate.ServiceSpec
	Described       bool
	Releases        []ReleaseID
	Slots           []SlotID
	Apps            []AppID
	Joined          map[string]string // asserted name -> reason, where it is not the service's own
}

// FullName renders "[namespace/]name".
func (s *Service) FullName() string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Namespace + "/" + s.Name
}

// Release is one version of a service.
type Release struct {
	Service ServiceID
	Version string
	Digests []string
	Slots   []SlotID // where it ever ran
	Known   estate.Time
	bills   []int32 // in order of becoming known
	set     int32   // -1: no SBOM
}

// HasSBOM tells whether an SBOM describes the release.
func (r *Release) HasSBOM() bool { return r.set >= 0 }

// Env is an environment.
type Env struct {
	Name, Tier, Zone string
	Described        bool
	Slots            []SlotID
}

// Domain is a domain with its place in the tree.
type Domain struct {
	estate.DomainSpec
	Above []string // folded names of the domains that contain it, itself first
}

// setUp reads the descriptions into empty joined tables.
func (g *Graph) setUp() {
	for _, d := range g.descriptions {
		for _, s := range d.Domains {
			g.domains[Fold(s.Name)] = Domain{DomainSpec: s}
		}
		for _, t := range d.Teams {
			g.teams[Fold(t.Name)] = t
		}
		g.objectives = append(g.objectives, d.Objectives...)
		for _, e := range d.Environments {
			id := g.env(e.Name)
			env := &g.envs[id]
			env.Name, env.Tier, env.Zone, env.Described = e.Name, e.Tier, e.Zone, true
			for _, a := range e.Aliases {
				g.envIndex[Fold(a)] = id
			}
		}
	}
	for name, d := range g.domains {
		seen := map[string]bool{}
		for at := name; at != "" && !seen[at]; at = Fold(g.domains[at].Parent) {
			seen[at] = true
			d.Above = append(d.Above, at)
		}
		g.domains[name] = d
	}
	for _, d := range g.descriptions {
		for _, s := range d.Services {
			id := g.service(nameParts{Fold(s.Namespace), Fold(s.Name)}, s.Namespace, s.Name)
			svc := &g.services[id]
			svc.Spec, svc.Described = s, true
			key := nameParts{Fold(s.Namespace), Fold(s.Name)}
			for _, a := range s.Aliases {
				g.aliases[Fold(a)] = key
			}
			for _, a := range s.Artifacts {
				g.artifactOf[a] = key
			}
			if s.Namespace == "" {
				g.namesakes[key.name] = append(g.namesakes[key.name], id)
			}
		}
	}
	for _, d := range g.descriptions {
		for _, a := range d.Applications {
			g.describeApp(a)
		}
	}
}

// service returns the service of a folded name, made when new.
func (g *Graph) service(key nameParts, namespace, name string) ServiceID {
	if id, ok := g.serviceIndex[key]; ok {
		return id
	}
	id := ServiceID(len(g.services))
	g.services = append(g.services, Service{Namespace: namespace, Name: name})
	g.serviceIndex[key] = id
	if key.namespace != "" {
		g.namesakes[key.name] = append(g.namesakes[key.name], id)
	}
	return id
}

func (g *Graph) env(name string) EnvID {
	key := Fold(name)
	if id, ok := g.envIndex[key]; ok {
		return id
	}
	id := EnvID(len(g.envs))
	g.envs = append(g.envs, Env{Name: name})
	g.envIndex[key] = id
	return id
}

func (g *Graph) slot(s ServiceID, e EnvID) SlotID {
	key := slotKey{s, e}
	if id, ok := g.slotIndex[key]; ok {
		return id
	}
	id := SlotID(len(g.slots))
	g.slots = append(g.slots, Slot{Service: s, Env: e})
	g.placeOf = append(g.placeOf, place{s, e})
	g.slotIndex[key] = id
	g.services[s].Slots = append(g.services[s].Slots, id)
	g.envs[e].Slots = append(g.envs[e].Slots, id)
	for _, a := range g.services[s].Apps {
		g.dirtyApps[a] = true
	}
	return id
}

// rejoin computes the joined layer anew. It costs what the estate is large, and
// runs only when names change their meaning.
func (g *Graph) rejoin() {
	g.orders.slot = nil
	for i := range g.sets {
		g.sets[i].first, g.sets[i].more = -1, nil
	}
	for i := range g.postRelease {
		g.postRelease[i] = noRelease
	}
	g.deadEdges = g.postedEdges
	g.joined.init()
	g.setUp()
	g.findOwners()
	// Namespaced names first, so that a name without namespace sees them all.
	for i := range g.subjects {
		g.meetNamespaced(&g.subjects[i])
	}
	g.joins = make([]join, len(g.subjects))
	for id := range g.subjects {
		if id > 0 {
			g.joinSubject(estate.SubjectID(id))
		}
	}
	for i := range g.bills {
		g.joinBill(int32(i))
	}
	for i := range g.dumps {
		g.joinDump(int32(i))
	}
	for i := range g.events {
		g.joinEvent(int32(i))
	}
	g.fillApps()
	for i := range g.apps {
		g.dirtyApps[AppID(i)] = true
	}
	g.rebuildSlots()
	g.deadEdges = 0
	for i := range g.sets {
		if g.sets[i].posted && g.sets[i].first < 0 {
			g.deadEdges += int64(g.sets[i].n)
		}
	}
	g.compact()
}

// meetNamespaced makes the service that a name with a namespace means.
func (g *Graph) meetNamespaced(s *estate.Subject) {
	if s.Namespace == "" || s.Name == "" {
		return
	}
	if _, ok := g.aliases[Fold(s.Service())]; !ok {
		g.service(nameParts{Fold(s.Namespace), Fold(s.Name)}, s.Namespace, s.Name)
	}
}

// findOwners decides which subject owns each digest: a claim that names its
// service beats one whose name was derived; the earlier beats the later.
func (g *Graph) findOwners() {
	claim := func(id estate.SubjectID) {
		if g.claims(id) {
			g.owner[g.subjects[id].Digest] = id
		}
	}
	for i := range g.bills {
		claim(g.bills[i].subject)
	}
	for _, a := range g.artifacts {
		claim(a.subject)
	}
}

// claims tells whether a subject with a bill or an artifact takes its digest
// from whoever owns it.
func (g *Graph) claims(id estate.SubjectID) bool {
	s := &g.subjects[id]
	if s.Digest == "" || s.Name == "" {
		return false
	}
	had, ok := g.owner[s.Digest]
	return !ok || g.subjects[had].Derived && !s.Derived || g.subjects[had].Derived == s.Derived && id < had
}

// joinMore joins what a change added; rejoined tells that all was joined anew.
func (g *Graph) joinMore(plan joinPlan) (rejoined bool) {
	for _, id := range plan.subjects {
		s := &g.subjects[id]
		if s.Namespace == "" || s.Name == "" {
			continue
		}
		key := nameParts{Fold(s.Namespace), Fold(s.Name)}
		if _, known := g.serviceIndex[key]; known {
			continue
		}
		// A new namespace may change what the bare name means.
		if _, bare := g.serviceIndex[nameParts{"", key.name}]; bare || len(g.namesakes[key.name]) > 0 {
			plan.all = true
		}
	}
	if plan.all {
		g.rejoin()
		return true
	}
	before := len(g.services)
	for _, id := range plan.subjects {
		g.meetNamespaced(&g.subjects[id])
	}
	for _, id := range plan.subjects {
		for int(id) >= len(g.joins) {
			g.joins = append(g.joins, join{-1, -1, ""})
		}
		g.joinSubject(id)
	}
	for id := before; id < len(g.services); id++ {
		g.enroll(ServiceID(id))
	}
	g.findOwnersOf(plan)
	for _, i := range plan.bills {
		g.joinBill(i)
	}
	for _, i := range plan.dumps {
		g.joinDump(i)
	}
	for _, i := range plan.events {
		g.joinEvent(i)
	}
	g.rebuildSlots()
	g.compact()
	return false
}

// findOwnersOf notes digests that are claimed for the first time; a digest with
// a second subject joins everything anew instead.
func (g *Graph) findOwnersOf(plan joinPlan) {
	for _, i := range plan.bills {
		s := g.bills[i].subject
		if d := g.subjects[s].Digest; d != "" && g.subjects[s].Name != "" {
			if _, ok := g.owner[d]; !ok {
				g.owner[d] = s
			}
		}
	}
}

func (g *Graph) joinSubject(id estate.SubjectID) {
	s := &g.subjects[id]
	j := join{-1, -1, ""}
	as := s // the subject whose version and digest make the release
	name := Fold(s.Service())
	if key, ok := g.aliases[name]; ok && s.Name != "" {
		j.service, j.reason = g.serviceIndex[key], "alias in the estate description"
	} else if key, ok := g.artifactOf[s.Digest]; ok && s.Digest != "" {
		j.service, j.reason = g.serviceIndex[key], "artifact in the estate description"
	} else if owner, ok := g.owner[s.Digest]; ok && s.Digest != "" && owner != id {
		as = &g.subjects[owner]
		var why string
		j.service, why = g.named(as)
		j.reason = "digest claimed by " + as.String()
		if j.service < 0 {
			j.reason = why
		}
	} else if s.Name == "" {
		if s.Digest != "" {
			short := s.Digest
			if len(short) > 19 {
				short = short[:19]
			}
			j.service = g.service(nameParts{"", Fold(short)}, "", short)
			j.reason = "nobody has claimed this digest"
		} else {
			j.reason = "no name and no digest"
		}
	} else {
		j.service, j.reason = g.named(s)
	}
	if j.service >= 0 {
		svc := &g.services[j.service]
		if j.reason != "" && name != "" && name != Fold(svc.FullName()) {
			if svc.Joined == nil {
				svc.Joined = map[string]string{}
			}
			svc.Joined[s.Service()] = j.reason
		}
		j.release = g.release(j.service, as)
	}
	g.joins[id] = j
}

// named joins by name: with a namespace directly, without one to the only
// service so named.
func (g *Graph) named(s *estate.Subject) (ServiceID, string) {
	if key, ok := g.aliases[Fold(s.Service())]; ok {
		return g.serviceIndex[key], "alias in the estate description"
	}
	key := nameParts{Fold(s.Namespace), Fold(s.Name)}
	if key.namespace != "" {
		return g.service(key, s.Namespace, s.Name), ""
	}
	switch same := g.namesakes[key.name]; len(same) {
	case 0:
		return g.service(key, "", s.Name), ""
	case 1:
		return same[0], "the only service of that name"
	default:
		names := make([]string, len(same))
		for i, id := range same {
			names[i] = g.services[id].FullName()
		}
		sort.Strings(names)
		return -1, "several services have that name: " + strings.Join(names, ", ")
	}
}

// floating are tags that mean another artifact tomorrow.
var floating = map[string]bool{"": true, "latest": true, "stable": true, "edge": true, "nightly": true, "canary": true}

// release returns the release that a subject of a service means, or -1 when it
// names none.
func (g *Graph) release(s ServiceID, sub *estate.Subject) ReleaseID {
	v := sub.Version
	if floating[strings.ToLower(v)] && sub.Digest != "" {
		v = sub.Digest
	}
	if v == "" {
		return -1
	}
	key := releaseKey{s, v}
	if sub.Digest != "" && v != sub.Digest {
		switch first := g.firstDigest[key]; first {
		case "":
			g.firstDigest[key] = sub.Digest
		case sub.Digest:
		default:
			key.version = v + "@" + sub.Digest // a new artifact under a known version
		}
	}
	id, ok := g.releaseIndex[key]
	if !ok {
		id = ReleaseID(len(g.releases))
		g.releases = append(g.releases, Release{Service: s, Version: key.version, set: -1})
		g.liveIn = append(g.liveIn, [2]SlotID{-1, -1})
		g.serviceOf = append(g.serviceOf, s)
		g.releaseIndex[key] = id
		g.services[s].Releases = append(g.services[s].Releases, id)
	}
	r := &g.releases[id]
	if sub.Digest != "" && !contains(r.Digests, sub.Digest) {
		r.Digests = append(r.Digests, sub.Digest)
	}
	return id
}

// joinBill gives a bill to its release: the newest of each generator, united.
func (g *Graph) joinBill(i int32) {
	b := &g.bills[i]
	id := g.joins[b.subject].release
	if id < 0 {
		return
	}
	r := &g.releases[id]
	r.bills = append(r.bills, i)
	if r.Known == 0 || b.known < r.Known {
		r.Known = b.known
	}
	live := g.liveBills(r)
	set := b.set
	if len(live) > 1 {
		var ids []estate.PackageID
		for _, l := range live {
			g.sets[g.bills[l].set].eachPackage(func(p estate.PackageID) bool { ids = append(ids, p); return true })
		}
		set = g.internSet(sortedOnce(ids))
	}
	if r.set == set {
		return
	}
	if r.set >= 0 {
		old := &g.sets[r.set]
		old.dropRelease(id)
		g.reindex(r.set)
		if old.first < 0 {
			g.deadEdges += int64(old.n)
		}
	}
	r.set = set
	if g.sets[set].posted && g.sets[set].first < 0 {
		g.deadEdges -= int64(g.sets[set].n)
	}
	g.sets[set].addRelease(id)
	g.reindex(set)
	g.post(set)
}

// liveBills returns the newest bill of each generator.
func (g *Graph) liveBills(r *Release) []int32 {
	var live []int32
	for k := len(r.bills) - 1; k >= 0; k-- {
		b := &g.bills[r.bills[k]]
		replaced := false
		for _, l := range live {
			if g.bills[l].generator == b.generator {
				replaced = true
				break
			}
		}
		if !replaced {
			live = append(live, r.bills[k])
		}
	}
	sort.Slice(live, func(a, b int) bool { return live[a] < live[b] })
	return live
}

func (g *Graph) joinDump(i int32) {
	e := g.env(g.dumps[i].environment)
	g.dumpsOf[e] = append(g.dumpsOf[e], i)
	for _, s := range g.envs[e].Slots {
		g.dirtySlots[s] = true
	}
}

func (g *Graph) joinEvent(i int32) {
	ev := &g.events[i]
	j := g.joins[ev.subject]
	if j.service < 0 || j.release < 0 && !ev.removed {
		return
	}
	if j.release >= 0 {
		if r := &g.releases[j.release]; r.Known == 0 || ev.known < r.Known {
			r.Known = ev.known
		}
	}
	id := g.slot(j.service, g.env(ev.environment))
	g.slots[id].events = append(g.slots[id].events, i)
	g.dirtySlots[id] = true
}
