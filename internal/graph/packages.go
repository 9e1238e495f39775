package graph

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Pkg is a package version. Fields are read-only outside this package.
type Pkg struct {
	Key, Name, Version string
	Unmatched          estate.Unmatched
	// Groups are the alias groups of which some record matches this version,
	// sorted. A record's publication and withdrawal are looked at per question.
	Groups []GroupID
	// names are the names under which advisories speak of it, -1 for none, and
	// match the versions that they mean by it.
	names [2]int32
	match [2]string
	post  posting
}

// pkgName is a package without its version, in one ecosystem and, for
// distributions, one release of it.
type pkgName struct {
	eco  version.Ecosystem
	name string // folded
	// versions in rising order; a range is then an interval of positions.
	versions []nameVersion
	// display is the name as people write it.
	display string
}

// nameVersion is a package seen under a name: slot is 0 or 1, the index into Pkg.names.
type nameVersion struct {
	pkg  estate.PackageID
	slot uint8
}

// posting is a rising list of post numbers, as delta varints, appended only.
type posting struct {
	b    []byte
	last uint32
	n    uint32
}

func (p *posting) add(id uint32) {
	if p.n > 0 && id == p.last {
		return
	}
	p.b = binary.AppendUvarint(p.b, uint64(id-p.last))
	p.last = id
	p.n++
}

// pkgSet is a set of packages, interned by content: releases with an identical
// lockfile share one. It has postings while a release uses it.
type pkgSet struct {
	blob   []byte // rising PackageIDs as delta varints
	n      int32
	posted bool
	number uint32    // of its postings, once posted
	first  ReleaseID // -1: no release uses it
	more   []ReleaseID
}

func encodeSet(ids []estate.PackageID) []byte {
	b := make([]byte, 0, len(ids)*2)
	last := estate.PackageID(0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id-last))
		last = id
	}
	// A set lives as long as the graph: give back what append set aside.
	return append(make([]byte, 0, len(b)), b...)
}

// uvarint decodes one varint at b[i:]; most are one or two bytes.
func uvarint(b []byte, i int) (uint32, int) {
	v := uint32(b[i])
	i++
	if v < 0x80 {
		return v, i
	}
	v &= 0x7f
	for shift := 7; ; shift += 7 {
		c := uint32(b[i])
		i++
		v |= (c & 0x7f) << shift
		if c < 0x80 {
			return v, i
		}
	}
}

// eachPackage calls fn for each package of the set, rising, until fn returns false.
func (s *pkgSet) eachPackage(fn func(estate.PackageID) bool) {
	var id, d uint32
	for i := 0; i < len(s.blob); {
		d, i = uvarint(s.blob, i)
		id += d
		if !fn(estate.PackageID(id)) {
			return
		}
	}
}

func (s *pkgSet) eachRelease(fn func(ReleaseID)) {
	if s.first < 0 {
		return
	}
	fn(s.first)
	for _, r := range s.more {
		fn(r)
	}
}

func (s *pkgSet) addRelease(r ReleaseID) {
	if s.first < 0 {
		s.first = r
		return
	}
	s.more = append(s.more, r)
}

func (s *pkgSet) dropRelease(r ReleaseID) {
	if s.first == r {
		if len(s.more) == 0 {
			s.first = -1
			return
		}
		s.first, s.more = s.more[len(s.more)-1], s.more[:len(s.more)-1]
		return
	}
	for i, x := range s.more {
		if x == r {
			s.more[i] = s.more[len(s.more)-1]
			s.more = s.more[:len(s.more)-1]
			return
		}
	}
}

// internSet returns the set of these packages, which are sorted, each once.
func (g *Graph) internSet(ids []estate.PackageID) int32 {
	blob := encodeSet(ids)
	h := hashBytes(blob)
	for {
		i, ok := g.setIndex[h]
		if !ok {
			break
		}
		if string(g.sets[i].blob) == string(blob) {
			return i
		}
		h++ // another set has this hash: probe on
	}
	i := int32(len(g.sets))
	g.sets = append(g.sets, pkgSet{blob: blob, n: int32(len(ids)), first: -1})
	g.setIndex[h] = i
	return i
}

// post enters a set into the postings of its packages.
func (g *Graph) post(set int32) {
	s := &g.sets[set]
	if s.posted {
		return
	}
	s.posted = true
	number := uint32(len(g.posted))
	s.number = number
	g.posted = append(g.posted, set)
	g.postRelease = append(g.postRelease, s.only())
	s.eachPackage(func(id estate.PackageID) bool {
		g.pkgs[id].post.add(number)
		return true
	})
	g.postedEdges += int64(s.n)
}

// compact rebuilds all postings when more than a third of what they hold
// belongs to sets that no release uses any more.
func (g *Graph) compact() {
	if g.deadEdges < 1<<16 || g.deadEdges*3 < g.postedEdges {
		return
	}
	for i := range g.pkgs {
		g.pkgs[i].post = posting{}
	}
	g.posted, g.postRelease, g.postedEdges, g.deadEdges = nil, nil, 0, 0
	for i := range g.sets {
		g.sets[i].posted = false
		if g.sets[i].first >= 0 {
			g.post(int32(i))
		}
	}
}

// Values of Graph.postRelease besides a release: a walk over postings reads
// one dense array, and leaves it for the set itself only where several
// releases share one.
const (
	noRelease    ReleaseID = -1
	manyReleases ReleaseID = -2
)

func (s *pkgSet) only() ReleaseID {
	switch {
	case s.first < 0:
		return noRelease
	case len(s.more) > 0:
		return manyReleases
	}
	return s.first
}

// reindex keeps the dense index of postings in step with a set.
func (g *Graph) reindex(set int32) {
	if s := &g.sets[set]; s.posted {
		g.postRelease[s.number] = s.only()
	}
}

// eachReleaseOf calls fn for each release that contains the package.
func (g *Graph) eachReleaseOf(id estate.PackageID, fn func(ReleaseID)) {
	p := &g.pkgs[id].post
	var n, d uint32
	for i := 0; i < len(p.b); {
		d, i = uvarint(p.b, i)
		n += d
		switch r := g.postRelease[n]; r {
		case noRelease:
		case manyReleases:
			g.sets[g.posted[n]].eachRelease(fn)
		default:
			fn(r)
		}
	}
}

// addPackages takes new packages in and returns those that got a name.
func (g *Graph) addPackages(rows []estate.Package) {
	touched := map[int32][]nameVersion{}
	for i := range rows {
		r := &rows[i]
		for int(r.ID) >= len(g.pkgs) {
			g.pkgs = append(g.pkgs, Pkg{names: [2]int32{-1, -1}})
		}
		p := &g.pkgs[r.ID]
		if p.Key != "" {
			continue // known
		}
		p.Key, p.Name, p.Version, p.Unmatched = r.Key, g.intern(r.Name), r.Version, r.Unmatched
		g.packages++
		g.byKey[hashString(r.Key)] = r.ID
		if r.Unmatched != "" || r.Ecosystem == "" {
			continue
		}
		g.ecosystemUse[r.Ecosystem]++
		eco := g.ecosystem(r.Ecosystem)
		for k, c := range r.Match {
			if c.Name == "" {
				continue
			}
			n := g.nameOf(eco, purl.FoldName(eco, c.Name), r.Name)
			p.names[k], p.match[k] = n, c.Version
			if c.Version == r.Version {
				p.match[k] = p.Version
			}
			touched[n] = append(touched[n], nameVersion{r.ID, uint8(k)})
		}
	}
	for len(g.pkgHot) < (len(g.pkgs)+63)/64 {
		g.pkgHot = append(g.pkgHot, 0)
	}
	for n, added := range touched {
		if g.loading {
			g.names[n].versions = append(g.names[n].versions, added...) // Join sorts them
			continue
		}
		g.insertVersions(n, added)
		g.matchAdded(n, added)
	}
}

// matchAll sorts the versions of every name and matches every record, once, at
// the end of loading. Names are independent, so they are shared out.
func (g *Graph) matchAll() {
	type match struct {
		record int32
		pkgs   []estate.PackageID
	}
	workers := min(runtime.GOMAXPROCS(0), 8)
	found := make([][]match, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(g.names); n = int(next.Add(1)) - 1 {
				name := &g.names[n]
				all := g.sortVersions(name)
				for _, ref := range g.recordsOf[nameKey{name.eco.Base, name.name}] {
					e := &g.records[ref.record].entries[ref.entry]
					if !version.Applies(e.eco, name.eco) {
						continue
					}
					if pkgs := g.matchingOf(name, &e.spans, func(i int) parsed { return all[i] }); len(pkgs) > 0 {
						found[w] = append(found[w], match{ref.record, pkgs})
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range g.records {
		g.records[i].pkgs = nil
	}
	for _, ms := range found {
		for _, m := range ms {
			g.records[m.record].pkgs = append(g.records[m.record].pkgs, m.pkgs...)
		}
	}
	dirty := make(map[int32]bool, len(g.records))
	for i := range g.records {
		g.records[i].pkgs = sortedOnce(g.records[i].pkgs)
		dirty[int32(i)] = true
	}
	g.regroup(dirty)
}

// sortVersions brings all versions of a name into order, and returns their parses.
func (g *Graph) sortVersions(name *pkgName) []parsed {
	all := make([]parsed, len(name.versions))
	for i, nv := range name.versions {
		all[i] = g.parseOf(name.eco, nv)
	}
	slices.SortStableFunc(all, func(a, b parsed) int {
		switch {
		case g.before(a, b):
			return -1
		case g.before(b, a):
			return 1
		}
		return 0
	})
	for i := range all {
		name.versions[i] = all[i].nv
	}
	name.versions = slices.Clip(name.versions)
	return all
}

func (g *Graph) ecosystem(s string) version.Ecosystem {
	e, ok := g.ecosystems[s]
	if !ok {
		e = version.ParseEcosystem(s)
		g.ecosystems[s] = e
	}
	return e
}

type nameKey struct{ base, name string }

// nameOf returns the name's index, made when new.
func (g *Graph) nameOf(eco version.Ecosystem, name, display string) int32 {
	key := nameKey{eco.Base, name}
	for _, n := range g.nameIndex[key] {
		if g.names[n].eco == eco {
			return n
		}
	}
	n := int32(len(g.names))
	name = g.intern(name)
	g.names = append(g.names, pkgName{eco: eco, name: name, display: g.intern(display)})
	g.nameIndex[nameKey{eco.Base, name}] = append(g.nameIndex[key], n)
	return n
}

// parsed is a version with its parse, made once per sort.
type parsed struct {
	nv nameVersion
	v  version.Version
	ok bool
}

func (g *Graph) matchVersion(nv nameVersion) string { return g.pkgs[nv.pkg].match[nv.slot] }

// parseOf parses the version under which advisories see a package.
func (g *Graph) parseOf(eco version.Ecosystem, nv nameVersion) parsed {
	v, err := version.Parse(eco, g.matchVersion(nv))
	return parsed{nv, v, err == nil}
}

// before orders parsed versions; those without a parse come last, by text.
func (g *Graph) before(a, b parsed) bool {
	switch {
	case a.ok && b.ok:
		return a.v.Compare(b.v) < 0
	case a.ok != b.ok:
		return a.ok
	}
	return g.matchVersion(a.nv) < g.matchVersion(b.nv)
}

// insertVersions keeps a name's versions in order: a few by binary search,
// many by one sort.
func (g *Graph) insertVersions(n int32, added []nameVersion) {
	name := &g.names[n]
	if len(added) < 4 && len(name.versions) > 8 {
		for _, nv := range added {
			p := g.parseOf(name.eco, nv)
			at := sort.Search(len(name.versions), func(i int) bool {
				return g.before(p, g.parseOf(name.eco, name.versions[i]))
			})
			name.versions = append(name.versions, nameVersion{})
			copy(name.versions[at+1:], name.versions[at:])
			name.versions[at] = nv
		}
		return
	}
	name.versions = append(name.versions, added...)
	g.sortVersions(name)
}

// matching returns the packages of a name that the spans hold, by binary
// search in the order of its versions.
func (g *Graph) matching(n int32, spans *version.Spans) []estate.PackageID {
	name := &g.names[n]
	cache := map[int]parsed{}
	return g.matchingOf(name, spans, func(i int) parsed {
		p, ok := cache[i]
		if !ok {
			p = g.parseOf(name.eco, name.versions[i])
			cache[i] = p
		}
		return p
	})
}

// matchingOf is matching with the parse of each position at hand.
func (g *Graph) matchingOf(name *pkgName, spans *version.Spans, at func(int) parsed) []estate.PackageID {
	eco := name.eco
	var out []estate.PackageID
	if !eco.Ordered() {
		for _, nv := range name.versions {
			for _, l := range spans.Listed {
				if l == g.matchVersion(nv) {
					out = append(out, nv.pkg)
					break
				}
			}
		}
		return out
	}
	// first returns the first position whose version is >= v (or > v).
	first := func(v version.Version, after bool) int {
		return sort.Search(len(name.versions), func(i int) bool {
			p := at(i)
			if !p.ok {
				return true
			}
			c := p.v.Compare(v)
			return c > 0 || (c == 0 && !after)
		})
	}
	for _, iv := range spans.Intervals {
		from, to := 0, len(name.versions)
		if iv.From != "" {
			v, err := version.Parse(eco, iv.From)
			if err != nil {
				continue // reported by Compile
			}
			from = first(v, iv.After)
		}
		if iv.To != "" {
			v, err := version.Parse(eco, iv.To)
			if err != nil {
				continue
			}
			to = first(v, iv.Closed)
		}
		for i := from; i < to; i++ {
			// No range contains a branch such as dev-main: only a list does.
			if p := at(i); p.ok && !p.v.Branch() {
				out = append(out, name.versions[i].pkg)
			}
		}
	}
	for _, l := range spans.Listed {
		v, err := version.Parse(eco, l)
		if err != nil {
			// A listed version that has no order still names itself.
			for i, nv := range name.versions {
				if g.matchVersion(nv) == l {
					out = append(out, name.versions[i].pkg)
				}
			}
			continue
		}
		for i := first(v, false); i < len(name.versions) && at(i).ok && at(i).v.Compare(v) == 0; i++ {
			out = append(out, name.versions[i].pkg)
		}
	}
	return sortedOnce(out)
}
