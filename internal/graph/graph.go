// Package graph holds the estate in memory, indexed both ways, and follows the
// change feed of the ledger.
//
// It has three layers. The packages layer knows package versions in order,
// the advisories that match them, and which interned package sets contain them
// (packages.go, advisories.go). The asserted layer keeps what was claimed,
// under the names that it was claimed with (rows.go). The joined layer is
// computed from it by the identity rules: services, releases, slots (a service
// in an environment) and applications (join.go, slots.go, apps.go); since it is
// computed, a join can be taken back, and it is made anew when a description or
// a namespace changes what names mean.
//
// Matches and exposures are never stored. An exposure is read off a slot's
// intervals and the releases that an alias group matches (exposure.go).
//
// Cost follows the change: a new advisory walks from its packages to releases,
// a new release from its packages to advisories.
package graph

import (
	"context"
	"hash/fnv"
	"strings"
	"sync"

	"thymus/internal/estate"
	"thymus/internal/fold"
	"thymus/internal/version"
)

// Indexes of the joined layer. They change when names are joined anew, so they
// are good within one View only.
type (
	ServiceID int32
	ReleaseID int32
	SlotID    int32
	EnvID     int32
	AppID     int32
	// GroupID is the index of an alias group; it is stable.
	GroupID int32
)

// Details is what the graph does not hold, fetched for one page of an answer.
type Details interface {
	// Shape returns the dependency graph of a bill.
	Shape(ctx context.Context, bill estate.BillID) (*estate.Shape, error)
	// Document returns a stored document, secrets redacted.
	Document(ctx context.Context, sha256 string) ([]byte, error)
	// Bill reads a bill again from its document.
	Bill(ctx context.Context, sha256 string) (*estate.Bill, error)
	// Record returns an advisory record with Raw, as known to the graph.
	Record(ctx context.Context, id string) (estate.AdvisoryRow, error)
	// Named returns the records that carry an id as their own, as an alias, or
	// in related or upstream, whether their packages are in use or not.
	Named(ctx context.Context, id string) ([]estate.AdvisoryRow, error)
	// Advisories returns the records that name a package which may not be in
	// use; ecosystems are without suffix.
	Advisories(ctx context.Context, names []estate.PackageName) ([]estate.AdvisoryRow, error)
	// Stored returns, by ecosystem without suffix, what advisory data is stored.
	Stored(ctx context.Context) (map[string]Stored, error)
}

// Stored says what advisory data is at hand for an ecosystem.
type Stored struct {
	Records  int
	Modified estate.Time // of the newest record
	Checked  estate.Time // last successful update; zero: never by a feed
}

// Graph is the estate as known at one time. Its methods may be called
// concurrently; readers use View.
type Graph struct {
	mu  sync.RWMutex
	seq int64
	now func() estate.Time

	loading bool              // between Load and Join
	strings map[string]string // interned

	// Packages.
	pkgs         []Pkg
	pkgHot       []uint64 // one bit a package: some group matches it
	packages     int
	byKey        map[uint64]estate.PackageID // by hash of the key
	names        []pkgName
	nameIndex    map[nameKey][]int32
	ecosystems   map[string]version.Ecosystem
	ecosystemUse map[string]int
	sets         []pkgSet
	setIndex     map[uint64]int32
	posted       []int32 // post number -> set
	postRelease  []ReleaseID
	postedEdges  int64
	deadEdges    int64

	advisories
	asserted
	joined

	scratches sync.Pool

	ordersMu sync.Mutex // besides mu: readers fill the caches
	orders   orders
	bare     bareSlots
	unions   unions
}

// New returns an empty graph. now is the clock that "now" means in questions
// and in the settling of application versions.
func New(now func() estate.Time) *Graph {
	g := &Graph{
		now:          now,
		strings:      map[string]string{},
		pkgs:         make([]Pkg, 1),
		byKey:        map[uint64]estate.PackageID{},
		nameIndex:    map[nameKey][]int32{},
		ecosystems:   map[string]version.Ecosystem{},
		ecosystemUse: map[string]int{},
		setIndex:     map[uint64]int32{},
	}
	g.pkgs[0].names = [2]int32{-1, -1}
	g.advisories.init()
	g.asserted.init()
	g.joined.init()
	return g
}

// intern returns one copy of equal strings.
func (g *Graph) intern(s string) string {
	if t, ok := g.strings[s]; ok {
		return t
	}
	s = strings.Clone(s)
	g.strings[s] = s
	return s
}

func hashString(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func hashBytes(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// Fold is the form in which names compare.
func Fold(s string) string { return fold.Name(s) }

// View gives fn the graph to read. Nothing changes while fn runs; fn must not
// block on anything but computation.
func (g *Graph) View(fn func(*View)) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	fn(&View{g})
}

// View is the graph for reading, within one call of Graph.View.
type View struct{ g *Graph }

// Seq is the position in the change feed that the graph has reached.
func (v *View) Seq() int64 { return v.g.seq }

// Now is the graph's clock.
func (v *View) Now() estate.Time { return v.g.now() }

// Counts says how much the graph holds.
type Counts struct {
	Services, Releases, Packages, Slots, Running, Environments, Advisories, Groups, Verdicts, Applications int
	Edges                                                                                                  int64
}

// Counts counts what the graph holds.
func (v *View) Counts() Counts {
	g := v.g
	c := Counts{
		Services: len(g.services), Releases: len(g.releases), Packages: g.packages,
		Slots: len(g.slots), Environments: len(g.envs), Advisories: len(g.recordIndex),
		Verdicts: len(g.verdicts), Applications: len(g.apps),
	}
	for i := range g.groups {
		if len(g.groups[i].Records) > 0 {
			c.Groups++
		}
	}
	for i := range g.slots {
		c.Running += len(g.slots[i].live)
	}
	for i := range g.releases {
		if s := g.releases[i].set; s >= 0 {
			c.Edges += int64(g.sets[s].n)
		}
	}
	return c
}

// EcosystemUse counts package versions in use by OSV's name without suffix.
func (v *View) EcosystemUse() map[string]int {
	out := map[string]int{}
	for e, n := range v.g.ecosystemUse {
		out[v.g.ecosystems[e].Base] += n
	}
	return out
}

// UnknownNames returns the package names of rows, ecosystems without suffix and
// names folded, for which the graph has loaded no advisories yet, each once.
func (g *Graph) UnknownNames(rows []estate.Package) []estate.PackageName {
	if len(rows) == 0 {
		return nil
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	seen := map[estate.PackageName]bool{}
	var out []estate.PackageName
	for i := range rows {
		for _, n := range advisoryNames(&rows[i]) {
			if _, ok := g.nameIndex[nameKey{n.Ecosystem, n.Name}]; ok || seen[n] {
				continue
			}
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
