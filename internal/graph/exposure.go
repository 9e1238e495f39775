package graph

import (
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Exposure is an alias group × a slot, open from Opened until Closed
// (estate.Forever: open).
type Exposure struct {
	Group       GroupID
	Slot        SlotID
	Opened      estate.Time
	Detected    estate.Time // when all inputs were known
	OpenedBy    string      // "advisory", "deployment" or "verdict expired"
	Closed      estate.Time
	ClosedBy    string // "upgraded", "undeployed", "not affected", "fixed" or "withdrawn"
	ClosedKnown estate.Time
}

// compiledVerdict is a verdict made ready for comparing.
type compiledVerdict struct {
	row         *estate.VerdictRow
	at, expires estate.Time
	rank        int // the higher, the more specific
	service     ServiceID
	release     ReleaseID
	app         AppID
	domain      string
	env         EnvID // -1: all
	never       bool  // its scope names nothing known
	base, name  string
	intervals   []version.Interval
	exact       string
	eco         version.Ecosystem
}

// verdictsFor returns the verdicts on a group, ready, superseded ones left out.
func (g *Graph) verdictsFor(gr *Group) []compiledVerdict {
	if !gr.judged {
		return nil
	}
	var rows []int32
	seen := map[string]bool{}
	take := func(id string) {
		if !seen[id] {
			seen[id] = true
			rows = append(rows, g.verdictsOf[id]...)
		}
	}
	take(gr.ID)
	for _, r := range gr.Records {
		for _, id := range g.records[r].ids() {
			// A record that names several CVEs joins several groups: a verdict
			// on one CVE speaks of that one alone.
			if !isCVE(id) || id == gr.ID {
				take(id)
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i] < rows[j] })
	type lane struct {
		source, author, pkg, rng, app, domain, env string
		release                                    estate.Subject
	}
	newest := map[lane]int32{}
	for _, i := range rows {
		v := &g.verdicts[i]
		l := lane{v.Source, v.Author, v.Package, v.Range, v.Application, v.Domain, v.Environment, v.Release}
		if had, ok := newest[l]; !ok || v.At >= g.verdicts[had].At {
			newest[l] = i
		}
	}
	out := make([]compiledVerdict, 0, len(newest))
	for _, i := range rows {
		v := &g.verdicts[i]
		l := lane{v.Source, v.Author, v.Package, v.Range, v.Application, v.Domain, v.Environment, v.Release}
		later := newest[l]
		c := g.compileVerdict(v)
		if later != i {
			// It held until the newer one of its lane was stated.
			if c.expires > g.verdicts[later].At {
				c.expires = g.verdicts[later].At
			}
		}
		if c.expires > c.at {
			out = append(out, c)
		}
	}
	return out
}

func (g *Graph) compileVerdict(v *estate.VerdictRow) compiledVerdict {
	c := compiledVerdict{row: v, at: v.At, expires: v.Expires, service: -1, release: -1, app: -1, env: -1}
	if c.at == 0 {
		c.at = v.Known
	}
	if c.expires == 0 {
		c.expires = estate.Forever
	}
	switch {
	case v.Release.Name != "" || v.Release.Digest != "":
		c.rank = 8
		c.service, _ = g.find(v.Release)
		c.never = c.service < 0
		if v.Release.Version != "" && c.service >= 0 {
			c.rank = 10
			id, ok := g.releaseIndex[releaseKey{c.service, v.Release.Version}]
			if !ok {
				c.never = true
			} else {
				c.release = id
			}
		}
	case v.Application != "":
		c.rank = 6
		id, ok := g.appIndex[Fold(v.Application)]
		c.app, c.never = id, !ok
	case v.Domain != "":
		c.rank = 4
		c.domain = Fold(v.Domain)
	}
	if v.Environment != "" {
		c.rank++
		id, ok := g.envIndex[Fold(v.Environment)]
		c.env, c.never = id, c.never || !ok
	}
	if v.Package != "" {
		name, eco, rng, err := purl.Query(v.Package)
		if err != nil {
			c.never = true
			return c
		}
		c.base, c.name, c.eco = eco.Base, purl.FoldName(eco, name.Name), eco
		if v.Range != "" {
			rng = v.Range
		}
		if rng != "" {
			ivs, err := version.ParseRange(eco, rng)
			if err != nil || len(ivs) == 0 {
				c.exact = rng
			} else {
				c.intervals = ivs
			}
		}
	}
	return c
}

// closes tells whether the status takes an exposure out.
func closes(s estate.Status) bool {
	return s == estate.StatusNotAffected || s == estate.StatusFixed
}

// speaksOf tells whether the verdict is about this release and package in this slot.
func (g *Graph) speaksOf(c *compiledVerdict, sl *Slot, r ReleaseID, p estate.PackageID) bool {
	if c.never || c.env >= 0 && c.env != sl.Env || c.service >= 0 && c.service != sl.Service || c.release >= 0 && c.release != r {
		return false
	}
	svc := &g.services[sl.Service]
	if c.app >= 0 {
		in := false
		for _, a := range svc.Apps {
			in = in || a == c.app
		}
		if !in {
			return false
		}
	}
	if c.domain != "" && !contains(g.domains[Fold(svc.Spec.Domain)].Above, c.domain) {
		return false
	}
	return c.name == "" || g.inRange(c, p)
}

func (g *Graph) inRange(c *compiledVerdict, p estate.PackageID) bool {
	pkg := &g.pkgs[p]
	for k, n := range pkg.names {
		if n < 0 || g.names[n].eco.Base != c.base || g.names[n].name != c.name {
			continue
		}
		if c.exact == "" && c.intervals == nil {
			return true
		}
		if c.exact == pkg.match[k] || c.exact == pkg.Version {
			return true
		}
		v, err := version.Parse(g.names[n].eco, pkg.match[k])
		if err != nil {
			continue
		}
		spans := version.Spans{Intervals: c.intervals}
		if in, _ := spans.Contains(g.names[n].eco, v); in {
			return true
		}
	}
	return false
}

// decide returns the verdict that holds for a release and package in a slot at
// t, nil for none: the most specific wins; on a tie, one that keeps it open.
func (g *Graph) decide(vs []compiledVerdict, sl *Slot, r ReleaseID, p estate.PackageID, t estate.Time) *compiledVerdict {
	var best *compiledVerdict
	for i := range vs {
		c := &vs[i]
		if t < c.at || t >= c.expires || !g.speaksOf(c, sl, r, p) {
			continue
		}
		if best == nil || c.rank > best.rank || c.rank == best.rank && closes(best.row.Status) && !closes(c.row.Status) {
			best = c
		}
	}
	return best
}

// packagesOf returns the packages of a release that are among ids, which are sorted.
func (g *Graph) packagesOf(r ReleaseID, ids []estate.PackageID) []estate.PackageID {
	set := g.releases[r].set
	if set < 0 || len(ids) == 0 {
		return nil
	}
	// Written out, not by eachPackage: questions spend much of their time here.
	var out []estate.PackageID
	b := g.sets[set].blob
	var p, d uint32
	k, want := 0, uint32(ids[0])
	for i := 0; i < len(b); {
		d, i = uvarint(b, i)
		p += d
		for want < p {
			if k++; k == len(ids) {
				return out
			}
			want = uint32(ids[k])
		}
		if want == p {
			out = append(out, ids[k])
		}
	}
	return out
}

// segment is a part of an exposure: one interval of a slot, cut by the life of
// the advisory and by verdicts.
type segment struct {
	from, to             estate.Time
	detected, closeKnown estate.Time
	openedBy, closedBy   string // closedBy "" : the release left
}

// exposures returns every period in which the group was, or is, open in the
// slot, in order of time.
func (g *Graph) exposures(id GroupID, slot SlotID, vs []compiledVerdict) []Exposure {
	gr, sl := &g.groups[id], &g.slots[slot]
	var segs []segment
	for i := range sl.Intervals {
		iv := &sl.Intervals[i]
		ps := g.packagesOf(iv.Release, gr.pkgs)
		if len(ps) == 0 {
			continue
		}
		r := &g.releases[iv.Release]
		for _, p := range ps {
			from, until, ok := g.activeFor(gr, p)
			if !ok {
				continue
			}
			sg := segment{from: iv.From, to: iv.To, openedBy: "deployment", closeKnown: iv.KnownTo}
			if from > sg.from {
				sg.from, sg.openedBy = from, "advisory"
			}
			if until < sg.to {
				sg.to, sg.closedBy, sg.closeKnown = until, "withdrawn", g.withdrawnKnown(gr)
			}
			sg.detected = max(iv.KnownFrom, g.bills[r.bills[0]].known, g.knownSince(gr, p))
			if sg.from >= sg.to {
				continue
			}
			segs = append(segs, g.cut(sg, vs, sl, iv.Release, p)...)
		}
	}
	sort.SliceStable(segs, func(i, j int) bool { return segs[i].from < segs[j].from })
	var out []Exposure
	for _, sg := range segs {
		if n := len(out); n > 0 && sg.from <= out[n-1].Closed {
			last := &out[n-1]
			if sg.from == last.Opened && sg.detected < last.Detected {
				last.Detected = sg.detected
			}
			if sg.to > last.Closed {
				last.Closed, last.ClosedBy, last.ClosedKnown = sg.to, sg.closedBy, sg.closeKnown
			}
			continue
		}
		out = append(out, Exposure{Group: id, Slot: slot, Opened: sg.from, Detected: sg.detected, OpenedBy: sg.openedBy,
			Closed: sg.to, ClosedBy: sg.closedBy, ClosedKnown: sg.closeKnown})
	}
	for i := range out {
		e := &out[i]
		if e.Closed == estate.Forever {
			e.ClosedBy = ""
		} else if e.ClosedBy == "" {
			e.ClosedBy = "undeployed"
			sl.runningAt(e.Closed, func(*Interval) { e.ClosedBy = "upgraded" })
		}
	}
	return out
}

// cut takes the times out of a segment in which a verdict closes it.
func (g *Graph) cut(sg segment, vs []compiledVerdict, sl *Slot, r ReleaseID, p estate.PackageID) []segment {
	if len(vs) == 0 {
		return []segment{sg}
	}
	points := []estate.Time{sg.from}
	for i := range vs {
		for _, t := range []estate.Time{vs[i].at, vs[i].expires} {
			if t > sg.from && t < sg.to {
				points = append(points, t)
			}
		}
	}
	sort.Slice(points, func(i, j int) bool { return points[i] < points[j] })
	var out []segment
	for i, from := range points {
		to := sg.to
		if i+1 < len(points) {
			to = points[i+1]
		}
		if from == to {
			continue
		}
		c := g.decide(vs, sl, r, p, from)
		if c != nil && closes(c.row.Status) {
			if n := len(out); n > 0 && out[n-1].to == from {
				out[n-1].closedBy = "not affected"
				if c.row.Status == estate.StatusFixed {
					out[n-1].closedBy = "fixed"
				}
				out[n-1].closeKnown = c.row.Known
			}
			continue
		}
		part := sg
		part.from, part.to = from, to
		if i > 0 {
			if n := len(out); n > 0 && out[n-1].to == from {
				out[n-1].to, out[n-1].closedBy, out[n-1].closeKnown = to, sg.closedBy, sg.closeKnown
				continue
			}
			part.openedBy = "verdict expired"
		}
		out = append(out, part)
	}
	return out
}

// knownSince is when Thymus first knew that the group matches the package.
func (g *Graph) knownSince(gr *Group, p estate.PackageID) estate.Time {
	var at estate.Time
	for _, r := range gr.Records {
		rec := &g.records[r]
		if containsPkg(rec.pkgs, p) && (at == 0 || rec.row.Since < at) {
			at = rec.row.Since
		}
	}
	return at
}

func (g *Graph) withdrawnKnown(gr *Group) estate.Time {
	var at estate.Time
	for _, r := range gr.Records {
		if row := &g.records[r].row; row.Withdrawn != 0 && row.Known > at {
			at = row.Known
		}
	}
	return at
}

// activePackages returns the packages that the group matches at t, sorted.
func (g *Graph) activePackages(gr *Group, t estate.Time) []estate.PackageID {
	if gr.simple {
		if t < gr.Published {
			return nil
		}
		return gr.pkgs
	}
	var out []estate.PackageID
	for _, p := range gr.pkgs {
		if from, until, ok := g.activeFor(gr, p); ok && from <= t && t < until {
			out = append(out, p)
		}
	}
	return out
}

// find resolves a name for a question, without making anything: the service,
// or -1 and what it may mean.
func (g *Graph) find(s estate.Subject) (ServiceID, []string) {
	if key, ok := g.aliases[Fold(s.Service())]; ok {
		return g.serviceIndex[key], nil
	}
	if s.Digest != "" {
		if owner, ok := g.owner[s.Digest]; ok {
			return g.joins[owner].service, nil
		}
	}
	key := nameParts{Fold(s.Namespace), Fold(s.Name)}
	if key.namespace == "" && len(g.namesakes[key.name]) > 0 {
		same := g.namesakes[key.name]
		if len(same) == 1 {
			return same[0], nil
		}
		var names []string
		for _, id := range same {
			names = append(names, g.services[id].FullName())
		}
		sort.Strings(names)
		return -1, names
	}
	if id, ok := g.serviceIndex[key]; ok {
		return id, nil
	}
	return -1, nil
}

// near returns the names closest to a mistyped one: those that contain it, or
// share its first letters.
func near(name string, all []string) []string {
	f := Fold(name)
	var out []string
	for _, n := range all {
		fn := Fold(n)
		if strings.Contains(fn, f) || strings.Contains(f, fn) || len(f) > 3 && strings.HasPrefix(fn, f[:3]) {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	if len(out) > 5 {
		out = out[:5]
	}
	return out
}
