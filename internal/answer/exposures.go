package answer

import (
	"context"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/purl"
)

// pushHeap and popHeap keep a max-heap of keys.
func pushHeap(h []uint64, k uint64) []uint64 {
	h = append(h, k)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up] >= h[i] {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	return h
}

func popHeap(h []uint64) []uint64 {
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		big := 2*i + 1
		if big >= n {
			return h
		}
		if big+1 < n && h[big+1] > h[big] {
			big++
		}
		if h[i] >= h[big] {
			return h
		}
		h[i], h[big] = h[big], h[i]
		i = big
	}
}

// exposureCursor is where a page of exposures ended.
type exposureCursor struct {
	Group   string      `json:"g"`
	Service string      `json:"s"`
	Env     string      `json:"e"`
	End     bool        `json:"x,omitempty"` // behind every slot of the group, or every group of the slot
	Opened  estate.Time `json:"o,omitempty"`
}

// Exposures lists exposures: an advisory × a service × an environment.
func (a *Asker) Exposures(ctx context.Context, s Scope, q ExposureQuery) (*ExposureList, error) {
	q.When = a.when(q.When)
	out := &ExposureList{When: q.When, Items: []Exposure{}}
	var err error
	a.Graph.View(func(v *graph.View) {
		var lq graph.ListQuery
		if lq, err = a.listQuery(v, s, q); err != nil {
			return
		}
		if q.Page.After != "" {
			var c exposureCursor
			if err = readCursor(q.Page.After, &c); err != nil {
				return
			}
			if lq.After, err = pairOf(v, c); err != nil {
				return
			}
			lq.Started = true
		}
		res := v.List(lq)
		out.Total = Counted{N: res.Total, Over: res.Over && res.More}
		for i := range res.Items {
			out.Items = append(out.Items, a.exposure(v, q.When.At, &res.Items[i]))
		}
		if res.More {
			out.Next = cursorOf(v, res.Last)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

func cursorOf(v *graph.View, p graph.Pair) string {
	c := exposureCursor{Opened: p.Opened}
	switch {
	case int(p.Group) >= v.Groups():
		sl := v.Slot(p.Slot)
		c.Service, c.Env, c.End = v.Service(sl.Service).FullName(), v.Env(sl.Env).Name, true
	case int(p.Slot) >= v.Slots():
		c.Group, c.End = v.Group(p.Group).ID, true
	default:
		sl := v.Slot(p.Slot)
		c.Group, c.Service, c.Env = v.Group(p.Group).ID, v.Service(sl.Service).FullName(), v.Env(sl.Env).Name
	}
	return cursor(c)
}

func pairOf(v *graph.View, c exposureCursor) (graph.Pair, error) {
	gone := fault.New(fault.Invalid, "page: the cursor names what is gone; start again")
	p := graph.Pair{Group: graph.GroupID(v.Groups()), Slot: graph.SlotID(v.Slots()), Opened: c.Opened}
	if c.Group != "" {
		gs := v.GroupsNamed(c.Group)
		if len(gs) == 0 {
			return p, gone
		}
		p.Group = gs[0]
	}
	if c.Service != "" {
		svc, _, _ := v.FindService(c.Service)
		env, _ := v.FindEnv(c.Env)
		if svc < 0 || env < 0 {
			return p, gone
		}
		for _, id := range v.Service(svc).Slots {
			if v.Slot(id).Env == env {
				p.Slot = id
			}
		}
	}
	return p, nil
}

// listQuery turns a question into the graph's terms.
func (a *Asker) listQuery(v *graph.View, s Scope, q ExposureQuery) (graph.ListQuery, error) {
	lq := graph.ListQuery{At: q.When.At, State: q.State, Limit: q.Page.limit(), Count: 10_000}
	if lq.State == "" {
		lq.State = graph.StateOpen
	}
	switch lq.State {
	case graph.StateOpen, graph.StateSuppressed, graph.StateClosed, graph.StateAll:
	default:
		return lq, fault.New(fault.Usage, "state %q is none of open, suppressed, closed, all", q.State)
	}
	order, reverse := strings.CutPrefix(q.Sort, "-")
	lq.Reverse = reverse
	switch lq.Order = graph.Order(order); lq.Order {
	case "":
		lq.Order = graph.BySeverity
	case graph.BySeverity, graph.ByEPSS, graph.ByPublished, graph.ByOpened, graph.ByService:
	default:
		return lq, fault.New(fault.Usage, "sort %q is none of severity, epss, published, opened, service; a leading - reverses", q.Sort)
	}
	if err := a.limitSlots(v, s, q, &lq); err != nil {
		return lq, err
	}
	if q.Package != "" || q.Ecosystem != "" {
		lq.Packages = a.packagesNamed(v, q.Package, q.Ecosystem)
	}
	var only map[graph.GroupID]bool
	if q.Advisory != "" {
		only = map[graph.GroupID]bool{}
		for _, id := range v.GroupsNamed(canonicalID(q.Advisory)) {
			only[id] = true
		}
	}
	lq.Group = func(id graph.GroupID) bool {
		gr := v.Group(id)
		if only != nil && !only[id] || gr.Severity < q.MinSeverity || q.MinEPSS > 0 && gr.EPSS < q.MinEPSS {
			return false
		}
		if q.Exploited != nil {
			if _, ok := v.Exploited(id); ok != *q.Exploited {
				return false
			}
		}
		return true
	}
	if q.Fixable != nil || q.Overdue != nil {
		lq.Row = func(e *graph.Exposure) bool {
			if q.Overdue != nil {
				due := dueAt(v, e.Group, e.Slot, e.Opened)
				if over := due != 0 && min(e.Closed, q.When.At) > due; over != *q.Overdue {
					return false
				}
			}
			if q.Fixable != nil {
				fixable := false
				v.RunningAt(e.Slot, min(q.When.At, e.Closed-1), func(iv *graph.Interval) {
					for _, p := range v.PackagesOf(iv.Release, v.PackagesAt(e.Group, q.When.At)) {
						_, _, ok := v.Fix([]graph.GroupID{e.Group}, p)
						fixable = fixable || ok
					}
				})
				return fixable == *q.Fixable
			}
			return true
		}
	}
	return lq, nil
}

// limitSlots sets the slots that the filters on services and environments leave.
func (a *Asker) limitSlots(v *graph.View, s Scope, q ExposureQuery, lq *graph.ListQuery) error {
	if q.Service == "" && q.Team == "" && q.Domain == "" && q.Application == "" && q.Environment == "" && q.Tier == "" && !s.Limited {
		return nil
	}
	var err error
	only := graph.ServiceID(-1)
	env := graph.EnvID(-1)
	members := map[graph.ServiceID]bool{}
	if q.Service != "" {
		if only, err = service(v, s, q.Service); err != nil {
			return err
		}
	}
	if q.Environment != "" {
		if env, err = environment(v, q.Environment); err != nil {
			return err
		}
	}
	if q.Application != "" {
		id, err := application(v, s, q.Application)
		if err != nil {
			return err
		}
		for _, m := range v.App(id).Members {
			members[m] = true
		}
	}
	if q.Domain != "" && !v.HasDomain(q.Domain) {
		return fault.New(fault.NotFound, "no domain %q", q.Domain)
	}
	lq.Slots = []graph.SlotID{}
	verdict := make(map[graph.ServiceID]bool)
	for i := range v.Slots() {
		sl := v.Slot(graph.SlotID(i))
		if only >= 0 && sl.Service != only || env >= 0 && sl.Env != env || q.Tier != "" && v.Env(sl.Env).Tier != q.Tier {
			continue
		}
		ok, known := verdict[sl.Service]
		if !known {
			ok = (q.Application == "" || members[sl.Service]) &&
				(q.Domain == "" || v.InDomain(sl.Service, q.Domain)) &&
				(q.Team == "" || graph.Fold(v.TeamOf(sl.Service)) == graph.Fold(q.Team)) &&
				s.sees(v, sl.Service)
			verdict[sl.Service] = ok
		}
		if ok {
			lq.Slots = append(lq.Slots, graph.SlotID(i))
		}
	}
	return nil
}

// packagesNamed returns the packages in use whose name is, or ends with, the
// text; a purl without version names one exactly.
func (a *Asker) packagesNamed(v *graph.View, text, ecosystem string) []estate.PackageID {
	out := []estate.PackageID{}
	add := func(ids []estate.PackageID) { out = append(out, ids...) }
	if strings.HasPrefix(text, "pkg:") {
		if name, eco, _, err := purl.Query(text); err == nil {
			ids, _ := v.NameVersions(graph.FoldedName(eco, name.Name))
			add(ids)
		}
	} else {
		want := strings.ToLower(text)
		v.EachName(func(eco, name, display string, ids func() []estate.PackageID) {
			if ecosystem != "" && !strings.EqualFold(eco, ecosystem) {
				return
			}
			d := strings.ToLower(display)
			if want == "" || d == want || strings.HasSuffix(d, ":"+want) || strings.HasSuffix(d, "/"+want) || strings.EqualFold(name, want) {
				add(ids())
			}
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// dueAt is when the service level wants an exposure closed; 0 for never. Among
// the objectives that apply the earliest holds.
func dueAt(v *graph.View, id graph.GroupID, slot graph.SlotID, opened estate.Time) estate.Time {
	gr := v.Group(id)
	tier := v.Env(v.Slot(slot).Env).Tier
	var due estate.Time
	for _, o := range v.Objectives() {
		if o.Tier != "" && o.Tier != tier {
			continue
		}
		if o.Severity == "exploited" {
			if _, ok := v.Exploited(id); !ok {
				continue
			}
		} else if !strings.EqualFold(o.Severity, gr.Severity.String()) {
			continue
		}
		if t := opened + estate.Time(int64(o.Days)*24*3600*1000); due == 0 || t < due {
			due = t
		}
	}
	return due
}

// exposure renders one row.
func (a *Asker) exposure(v *graph.View, t estate.Time, e *graph.Exposure) Exposure {
	gr, sl := v.Group(e.Group), v.Slot(e.Slot)
	out := Exposure{
		Advisory: gr.ID, Severity: gr.Severity, Score: gr.Score, Service: v.Service(sl.Service).FullName(),
		Domain: v.Service(sl.Service).Spec.Domain, Team: v.TeamOf(sl.Service), Environment: v.Env(sl.Env).Name,
		Releases: []string{}, Packages: []string{}, Opened: e.Opened, Detected: e.Detected, OpenedBy: e.OpenedBy,
	}
	if gr.EPSS >= 0 {
		epss := round(gr.EPSS, 5)
		out.EPSS = &epss
	}
	_, out.Exploited = v.Exploited(e.Group)
	at := t
	if e.Closed <= t {
		out.Closed, out.ClosedBy = e.Closed, e.ClosedBy
		at = e.Closed - 1 // what ran when it closed
	}
	pkgs := v.PackagesAt(e.Group, at)
	seen := map[string]bool{}
	v.RunningAt(e.Slot, at, func(iv *graph.Interval) {
		ps := v.PackagesOf(iv.Release, pkgs)
		if len(ps) == 0 {
			return
		}
		if r := v.Release(iv.Release).Version; !seen["@"+r] {
			seen["@"+r] = true
			out.Releases = append(out.Releases, r)
		}
		for _, p := range ps {
			pkg := v.Pkg(p)
			name := pkg.Name + " " + pkg.Version
			if !seen[name] {
				seen[name] = true
				out.Packages = append(out.Packages, name)
				if to, _, ok := v.Fix([]graph.GroupID{e.Group}, p); ok {
					out.Fix = pkg.Name + " " + to
				}
			}
			if row := v.Decision(e.Group, e.Slot, iv.Release, p, at); row != nil {
				out.Decision = decision(row)
			}
		}
	})
	if out.Due = dueAt(v, e.Group, e.Slot, e.Opened); out.Due != 0 {
		end := t
		if out.Closed != 0 {
			end = out.Closed
		}
		out.Overdue = end > out.Due
	}
	return out
}

// fixWork bounds the releases that one page of fix groups looks at.
const fixWork = 400_000

// Fixes groups the open exposures by the package whose change would close them,
// those that close most first. The order is by an upper bound (releases times
// advisories of each version), the counts are exact unless Over.
func (a *Asker) Fixes(ctx context.Context, s Scope, q ExposureQuery) (*FixList, error) {
	q.When = a.when(q.When)
	out := &FixList{When: q.When, Items: []FixGroup{}}
	var err error
	a.Graph.View(func(v *graph.View) {
		q.State = graph.StateOpen
		q.Sort = ""
		var lq graph.ListQuery
		if lq, err = a.listQuery(v, s, q); err != nil {
			return
		}
		var after string
		if q.Page.After != "" {
			if err = readCursor(q.Page.After, &after); err != nil {
				return
			}
		}
		fixPage(v, q, &lq, after, out)
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

type fixCandidate struct {
	key   string
	ids   []estate.PackageID
	bound int
}

func fixPage(v *graph.View, q ExposureQuery, lq *graph.ListQuery, after string, out *FixList) {
	var cs []fixCandidate
	v.EachName(func(eco, name, _ string, ids func() []estate.PackageID) {
		c := fixCandidate{key: eco + "|" + name}
		for _, p := range ids() {
			if n := len(v.Pkg(p).Groups); n > 0 && (lq.Packages == nil || containsID(lq.Packages, p)) {
				c.ids = append(c.ids, p)
				c.bound += n * v.Posted(p)
			}
		}
		if c.bound > 0 {
			cs = append(cs, c)
		}
	})
	sort.Slice(cs, func(i, j int) bool {
		if cs[i].bound != cs[j].bound {
			return cs[i].bound > cs[j].bound
		}
		return cs[i].key < cs[j].key
	})
	start := 0
	if after != "" {
		for i := range cs {
			if cs[i].key == after {
				start = i + 1
			}
		}
	}
	work := 0
	for i := start; i < len(cs); i++ {
		f, looked := fixGroup(v, q.When.At, lq, cs[i].ids, fixWork-work)
		work += looked
		if f.Exposures > 0 {
			out.Items = append(out.Items, f)
		}
		if (len(out.Items) >= lq.Limit || work >= fixWork) && i+1 < len(cs) {
			out.Next = cursor(cs[i].key)
			break
		}
	}
	sort.SliceStable(out.Items, func(i, j int) bool {
		x, y := &out.Items[i], &out.Items[j]
		if x.Exposures != y.Exposures {
			return x.Exposures > y.Exposures
		}
		return x.Package < y.Package
	})
}

// fixGroup counts what a change of one package would close.
func fixGroup(v *graph.View, t estate.Time, lq *graph.ListQuery, ids []estate.PackageID, budget int) (FixGroup, int) {
	c := v.FixCount(ids, t, lq.Group, lq.Slots, budget)
	f := FixGroup{From: []string{}, Services: []string{}, Exposures: c.Exposures, Advisories: len(c.Groups), Over: c.Over}
	_, _, f.Package = v.PackageName(ids[0])
	f.Purl = versionless(v.Pkg(ids[0]).Key)
	for _, id := range c.Groups {
		f.Severity = max(f.Severity, v.Group(id).Severity)
		if _, ok := v.Exploited(id); ok {
			f.Exploited = true
		}
	}
	for _, p := range c.Versions {
		f.From = append(f.From, v.Pkg(p).Version)
	}
	if n := len(c.Versions); n > 0 {
		// From the highest affected version, so that no service is taken back.
		f.To, f.Major, _ = v.Fix(c.Groups, c.Versions[n-1])
	}
	for _, id := range c.Services[:min(100, len(c.Services))] {
		f.Services = append(f.Services, v.Service(id).FullName())
	}
	sort.Strings(f.Services)
	return f, c.Looked
}
