package graph

import (
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// advisories is the part of the packages layer that knows what is wrong.
type advisories struct {
	records     []record
	recordIndex map[string]int32   // by id
	byID        map[string][]int32 // records by own id and aliases
	recordsOf   map[nameKey][]entryRef
	groups      []Group
	groupIndex  map[string]GroupID
	// citing are the groups whose records name a CVE in related or upstream.
	citing     map[string][]GroupID
	exploited  map[string]estate.Exploited
	likelihood map[uint64]uint32  // cveKey -> score and percentile, 16 bits each
	verdictsOf map[string][]int32 // verdicts by the id that they name
	changes    int                // rises with every change of records, signals or verdicts
}

func (a *advisories) init() {
	a.recordIndex = map[string]int32{}
	a.byID = map[string][]int32{}
	a.recordsOf = map[nameKey][]entryRef{}
	a.groupIndex = map[string]GroupID{}
	a.citing = map[string][]GroupID{}
	a.exploited = map[string]estate.Exploited{}
	a.likelihood = map[uint64]uint32{}
	a.verdictsOf = map[string][]int32{}
}

// record is one advisory record, compiled.
type record struct {
	row      estate.AdvisoryRow // without ranges: they are in entries
	entries  []entry
	pkgs     []estate.PackageID // that it matches, sorted, each once
	groups   []GroupID
	problems []string
	severity estate.Severity
	score    float64
	vector   string
}

// entry is one affected package of a record.
type entry struct {
	eco   version.Ecosystem
	name  string // folded
	spans version.Spans
}

type entryRef struct {
	record int32
	entry  int32
}

// Group is an alias group. Fields are read-only outside this package.
type Group struct {
	ID       string // the CVE where there is one
	Records  []int32
	Severity estate.Severity
	Score    float64
	Vector   string
	EPSS     float64 // -1: not stated
	// Published is the earliest publication of a record that is not withdrawn.
	Published estate.Time
	// pkgs are the packages that a record matches, withdrawn ones included.
	pkgs []estate.PackageID
	// judged: some verdict names the group.
	judged bool
	// simple: no record is withdrawn and all were published at Published, so
	// that every matching package matches from Published on.
	simple bool
}

// gone tells that no record of the group is left.
func (gr *Group) gone() bool { return len(gr.Records) == 0 }

// advisoryNames returns the index keys under which advisories may name a package.
func advisoryNames(p *estate.Package) []estate.PackageName {
	if p.Unmatched != "" || p.Ecosystem == "" {
		return nil
	}
	eco := version.ParseEcosystem(p.Ecosystem)
	var out []estate.PackageName
	for _, c := range p.Match {
		if c.Name != "" {
			out = append(out, estate.PackageName{Ecosystem: eco.Base, Name: purl.FoldName(eco, c.Name)})
		}
	}
	return out
}

// isCVE tells whether an id is a CVE's.
func isCVE(id string) bool { return strings.HasPrefix(id, "CVE-") }

// cveKey packs CVE-year-number; 0 when the id is no such thing.
func cveKey(id string) uint64 {
	year, number, ok := strings.Cut(strings.TrimPrefix(id, "CVE-"), "-")
	if !ok || !isCVE(id) {
		return 0
	}
	var y, n uint64
	for _, c := range year {
		if c < '0' || c > '9' || y > 9999 {
			return 0
		}
		y = y*10 + uint64(c-'0')
	}
	for _, c := range number {
		if c < '0' || c > '9' || n > 1<<40 {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return y<<48 | n
}

// addRecords takes revisions of records in and regroups what they touch.
func (g *Graph) addRecords(rows []estate.AdvisoryRow) {
	if len(rows) == 0 {
		return
	}
	g.changes++
	dirty := map[int32]bool{}
	for i := range rows {
		row := rows[i]
		r, ok := g.recordIndex[row.ID]
		if ok {
			if !g.loading {
				for _, linked := range g.component(r) {
					dirty[linked] = true // an alias may be gone now
				}
			}
			g.unlink(r)
		} else {
			r = int32(len(g.records))
			row.ID = strings.Clone(row.ID)
			g.records = append(g.records, record{})
			g.recordIndex[row.ID] = r
		}
		g.records[r] = g.compile(row, g.records[r].groups)
		g.link(r)
		dirty[r] = true
	}
	if !g.loading {
		g.regroup(dirty)
	}
}

func (g *Graph) compile(row estate.AdvisoryRow, groups []GroupID) record {
	rec := record{groups: groups}
	rec.severity, rec.score, rec.vector = version.Score(scoresOf(&row.Advisory), row.Graded, row.ID)
	for _, a := range row.Affected {
		eco := version.ParseEcosystem(a.Ecosystem)
		e := entry{eco: eco, name: g.intern(purl.FoldName(eco, a.Name)), spans: version.Compile(eco, a)}
		for _, p := range e.spans.Problems {
			rec.problems = append(rec.problems, row.ID+": "+a.Name+": "+p)
		}
		e.spans = e.spans.Bare()
		rec.entries = append(rec.entries, e)
	}
	row.Affected, row.Scores, row.References, row.Raw = nil, nil, nil, nil
	row.Source = g.intern(row.Source)
	rec.row = row
	return rec
}

func scoresOf(a *estate.Advisory) []estate.Score {
	if len(a.Scores) > 0 {
		return a.Scores
	}
	for i := range a.Affected {
		if len(a.Affected[i].Scores) > 0 {
			return a.Affected[i].Scores
		}
	}
	return nil
}

// ids are the record's own id and its aliases.
func (r *record) ids() []string { return append([]string{r.row.ID}, r.row.Aliases...) }

// link enters a record into the indexes and matches it.
func (g *Graph) link(r int32) {
	rec := &g.records[r]
	for _, id := range rec.ids() {
		g.byID[id] = append(g.byID[id], r)
	}
	var hits []estate.PackageID
	for i := range rec.entries {
		e := &rec.entries[i]
		key := nameKey{e.eco.Base, e.name}
		g.recordsOf[key] = append(g.recordsOf[key], entryRef{r, int32(i)})
		if g.loading {
			continue
		}
		for _, n := range g.nameIndex[key] {
			if version.Applies(e.eco, g.names[n].eco) {
				hits = append(hits, g.matching(n, &e.spans)...)
			}
		}
	}
	rec.pkgs = sortedOnce(hits)
}

// unlink takes a record out of the indexes; its groups are mended by regroup.
func (g *Graph) unlink(r int32) {
	rec := &g.records[r]
	for _, id := range rec.ids() {
		g.byID[id] = without(g.byID[id], r)
		if len(g.byID[id]) == 0 {
			delete(g.byID, id)
		}
	}
	for i := range rec.entries {
		key := nameKey{rec.entries[i].eco.Base, rec.entries[i].name}
		refs := g.recordsOf[key][:0]
		for _, ref := range g.recordsOf[key] {
			if ref.record != r {
				refs = append(refs, ref)
			}
		}
		g.recordsOf[key] = refs
	}
}

// matchAdded matches new versions of a name against the records that name it.
func (g *Graph) matchAdded(n int32, added []nameVersion) {
	name := &g.names[n]
	refs := g.recordsOf[nameKey{name.eco.Base, name.name}]
	if len(refs) == 0 {
		return
	}
	dirty := map[int32]bool{}
	if len(added)*4 > len(name.versions) {
		isNew := map[estate.PackageID]bool{}
		for _, nv := range added {
			isNew[nv.pkg] = true
		}
		for _, ref := range refs {
			rec := &g.records[ref.record]
			e := &rec.entries[ref.entry]
			if !version.Applies(e.eco, name.eco) {
				continue
			}
			for _, id := range g.matching(n, &e.spans) {
				if isNew[id] {
					rec.pkgs = append(rec.pkgs, id)
					dirty[ref.record] = true
				}
			}
		}
	} else {
		for _, nv := range added {
			p := g.parseOf(name.eco, nv)
			for _, ref := range refs {
				rec := &g.records[ref.record]
				e := &rec.entries[ref.entry]
				if !version.Applies(e.eco, name.eco) {
					continue
				}
				in := false
				if p.ok {
					in, _ = e.spans.Contains(name.eco, p.v)
				} else {
					in = contains(e.spans.Listed, g.matchVersion(nv))
				}
				if in {
					rec.pkgs = append(rec.pkgs, nv.pkg)
					dirty[ref.record] = true
				}
			}
		}
	}
	groups := map[GroupID]bool{}
	for r := range dirty {
		rec := &g.records[r]
		rec.pkgs = sortedOnce(rec.pkgs)
		for _, id := range rec.groups {
			groups[id] = true
		}
	}
	for id := range groups {
		g.refresh(id)
	}
}

// component returns the records that aliases tie to r, r included.
func (g *Graph) component(r int32) []int32 {
	seen := map[int32]bool{r: true}
	queue := []int32{r}
	for i := 0; i < len(queue); i++ {
		for _, id := range g.records[queue[i]].ids() {
			for _, other := range g.byID[id] {
				if !seen[other] {
					seen[other] = true
					queue = append(queue, other)
				}
			}
		}
	}
	return queue
}

// regroup computes the alias groups of the components that dirty records
// belong to. A group holds one CVE; a record that names several joins each; a
// record that names none joins the groups of the records that it is tied to.
func (g *Graph) regroup(dirty map[int32]bool) {
	order := make([]int32, 0, len(dirty))
	for r := range dirty {
		order = append(order, r)
	}
	sort.Slice(order, func(i, j int) bool { return order[i] < order[j] })
	done := map[int32]bool{}
	stale := map[GroupID]bool{}
	for _, r := range order {
		for _, id := range g.records[r].groups {
			stale[id] = true
		}
		if done[r] {
			continue
		}
		component := g.component(r)
		sort.Slice(component, func(i, j int) bool { return component[i] < component[j] })
		for _, m := range component {
			done[m] = true
			for _, id := range g.records[m].groups {
				stale[id] = true
			}
			g.records[m].groups = nil
		}
		for _, group := range g.partition(component) {
			id, ok := g.groupIndex[group.id]
			if !ok {
				id = GroupID(len(g.groups))
				g.groups = append(g.groups, Group{ID: group.id})
				g.groupIndex[group.id] = id
			}
			g.groups[id].Records = group.records
			for _, m := range group.records {
				g.records[m].groups = append(g.records[m].groups, id)
			}
			stale[id] = true
		}
	}
	for id := range stale {
		gr := &g.groups[id]
		kept := gr.Records[:0:0]
		for _, m := range gr.Records {
			for _, of := range g.records[m].groups {
				if of == id {
					kept = append(kept, m)
					break
				}
			}
		}
		gr.Records = kept
		g.refresh(id)
	}
}

type aliasGroup struct {
	id      string
	records []int32
}

// partition splits one component into alias groups.
func (g *Graph) partition(component []int32) []aliasGroup {
	members := map[string][]int32{}
	var loose []int32
	for _, r := range component {
		found := map[string]bool{}
		for _, id := range g.records[r].ids() {
			if isCVE(id) && !found[id] {
				found[id] = true
				members[id] = append(members[id], r)
			}
		}
		if len(found) == 0 {
			loose = append(loose, r)
		}
	}
	if len(members) == 0 {
		best := ""
		for _, r := range component {
			if id := g.records[r].row.ID; best == "" || idRank(id) < idRank(best) || idRank(id) == idRank(best) && id < best {
				best = id
			}
		}
		return []aliasGroup{{best, component}}
	}
	cves := make([]string, 0, len(members))
	for id := range members {
		cves = append(cves, id)
	}
	sort.Strings(cves)
	// A record without a CVE joins the groups of its neighbours; repeat, since
	// its neighbour may have none either.
	for len(loose) > 0 {
		joins := map[string][]int32{}
		var left []int32
		for _, r := range loose {
			joined := false
			for _, cve := range cves {
				if g.touches(r, members[cve]) {
					joins[cve] = append(joins[cve], r)
					joined = true
				}
			}
			if !joined {
				left = append(left, r)
			}
		}
		if len(left) == len(loose) {
			break
		}
		for cve, rs := range joins {
			members[cve] = append(members[cve], rs...)
		}
		loose = left
	}
	out := make([]aliasGroup, 0, len(cves))
	for _, id := range cves {
		out = append(out, aliasGroup{id, members[id]})
	}
	return out
}

// touches tells whether r shares an id with one of the records.
func (g *Graph) touches(r int32, records []int32) bool {
	for _, id := range g.records[r].ids() {
		for _, other := range g.byID[id] {
			for _, m := range records {
				if other == m {
					return true
				}
			}
		}
	}
	return false
}

// idRank orders the databases by how well people know their ids.
func idRank(id string) int {
	switch {
	case strings.HasPrefix(id, "MAL-"):
		return 0
	case strings.HasPrefix(id, "GHSA-"):
		return 1
	}
	return 2
}

// refresh recomputes what is derived from a group's records.
func (g *Graph) refresh(id GroupID) {
	gr := &g.groups[id]
	old := gr.pkgs
	var pkgs []estate.PackageID
	gr.Severity, gr.Score, gr.Vector, gr.Published, gr.simple = estate.Unscored, 0, "", 0, true
	var cited []string
	for _, r := range gr.Records {
		rec := &g.records[r]
		pkgs = append(pkgs, rec.pkgs...)
		if rec.row.Withdrawn != 0 {
			gr.simple = false
			continue
		}
		published := rec.published()
		if gr.Published != 0 && published != gr.Published {
			gr.simple = false
		}
		if gr.Published == 0 || published < gr.Published {
			gr.Published = published
		}
		if rec.severity > gr.Severity || rec.severity == gr.Severity && rec.score > gr.Score {
			gr.Severity, gr.Score, gr.Vector = rec.severity, rec.score, rec.vector
		}
		cited = append(cited, rec.row.Related...)
		cited = append(cited, rec.row.Upstream...)
	}
	gr.pkgs = sortedOnce(pkgs)
	gr.EPSS = g.epssOf(gr.ID)
	gr.judged = g.isJudged(gr)
	for _, c := range cited {
		if !containsGroup(g.citing[c], id) {
			g.citing[c] = append(g.citing[c], id)
		}
	}
	if gr.Severity == estate.Unscored || gr.EPSS < 0 {
		g.borrow(gr, cited)
	}
	if gr.Severity != estate.Unscored || gr.EPSS >= 0 {
		for _, citing := range g.citing[gr.ID] {
			if c := &g.groups[citing]; citing != id && (c.Severity == estate.Unscored || c.EPSS < 0) {
				g.borrow(c, []string{gr.ID})
			}
		}
	}
	for _, p := range old {
		if !containsPkg(gr.pkgs, p) {
			g.pkgs[p].Groups = withoutGroup(g.pkgs[p].Groups, id)
			if len(g.pkgs[p].Groups) == 0 {
				g.pkgHot[p>>6] &^= 1 << (p & 63)
			}
		}
	}
	for _, p := range gr.pkgs {
		if !containsPkg(old, p) {
			g.pkgs[p].Groups = withGroup(g.pkgs[p].Groups, id)
			g.pkgHot[p>>6] |= 1 << (p & 63)
		}
	}
}

// borrow takes severity and EPSS from the CVEs that a distribution's record
// names in related or upstream; they are no aliases.
func (g *Graph) borrow(gr *Group, cited []string) {
	for _, c := range cited {
		if !isCVE(c) {
			continue
		}
		if other, ok := g.groupIndex[c]; ok && gr.Severity == estate.Unscored {
			o := &g.groups[other]
			gr.Severity, gr.Score, gr.Vector = o.Severity, o.Score, o.Vector
		}
		if e := g.epssOf(c); e > gr.EPSS {
			gr.EPSS = e
		}
	}
}

// published is when the record's statement began to hold.
func (r *record) published() estate.Time {
	switch {
	case r.row.Published != 0:
		return r.row.Published
	case r.row.Modified != 0 && r.row.Modified < r.row.Since:
		return r.row.Modified
	}
	return r.row.Since
}

// epssOf returns the EPSS score of a CVE, or -1.
func (g *Graph) epssOf(cve string) float64 {
	if packed, ok := g.likelihood[cveKey(cve)]; ok {
		return float64(packed>>16) / 65535
	}
	return -1
}

func (g *Graph) addSignals(kev []estate.Exploited, epss []estate.Likelihood) {
	if len(kev)+len(epss) == 0 {
		return
	}
	g.changes++
	for _, e := range kev {
		g.exploited[e.CVE] = e
	}
	for _, l := range epss {
		if k := cveKey(l.CVE); k != 0 {
			g.likelihood[k] = uint32(l.Score*65535+0.5)<<16 | uint32(l.Percentile*65535+0.5)
			if id, ok := g.groupIndex[l.CVE]; ok {
				g.refresh(id)
			}
			for _, id := range g.citing[l.CVE] {
				g.refresh(id)
			}
		}
	}
}

// activeFor returns the time from which, and until which, some record of the
// group matches the package; ok is false when none does. Times of records that
// overlap are united; a gap between them is not kept.
func (g *Graph) activeFor(gr *Group, p estate.PackageID) (from, until estate.Time, ok bool) {
	if gr.simple {
		return gr.Published, estate.Forever, true
	}
	for _, r := range gr.Records {
		rec := &g.records[r]
		if !containsPkg(rec.pkgs, p) {
			continue
		}
		end := rec.row.Withdrawn
		if end == 0 {
			end = estate.Forever
		}
		start := rec.published()
		if end <= start {
			continue
		}
		if !ok || start < from {
			from = start
		}
		if !ok || end > until {
			until = end
		}
		ok = true
	}
	return from, until, ok
}

func (g *Graph) setVerdict(i int32) {
	g.changes++
	id := g.verdicts[i].Advisory
	g.verdictsOf[id] = append(g.verdictsOf[id], i)
	for _, gr := range g.groupsNamed(id) {
		g.groups[gr].judged = true
	}
}

// isJudged tells whether a verdict names one of the group's ids.
func (g *Graph) isJudged(gr *Group) bool {
	if len(g.verdictsOf) == 0 {
		return false
	}
	if len(g.verdictsOf[gr.ID]) > 0 {
		return true
	}
	for _, r := range gr.Records {
		for _, id := range g.records[r].ids() {
			if len(g.verdictsOf[id]) > 0 {
				return true
			}
		}
	}
	return false
}
