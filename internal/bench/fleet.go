// Package bench measures Thymus on synthetic fleets of any size, the same on
// every machine: what an ingest costs, how long a start takes, how much memory
// the graph holds, how fast an advisory is answered, and how lists behave at
// scale. Data goes from a generator (fleet.go) through the ledger into an
// engine, which is then measured (measure.go).
package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"thymus/internal/estate"
	"thymus/internal/ledger"
	"thymus/internal/purl"
	"thymus/internal/read/verdict"
)

// Options describe a fleet. Equal options make equal fleets.
type Options struct {
	Releases    int // versions of services that have an SBOM
	Packages    int // of each release
	Deployments int // releases that run, each in one environment
	Advisories  int
	Dir         string // where the ledger is made; it must be empty
}

// fleet draws a fleet. Names of packages are as popular as a Zipf law with
// exponent 0.9 makes them; a service keeps its packages from release to
// release and raises one in twenty.
type fleet struct {
	Options
	rnd      *rand.Rand
	names    int
	cum      []float64 // cumulated popularity of the names
	envs     []string
	services int
}

// perService is how many releases a service has.
const perService = 5

// versionsOf is how many versions of each package are in circulation.
const versionsOf = 12

func newFleet(o Options) *fleet {
	f := &fleet{Options: o, rnd: rand.New(rand.NewPCG(1, 2)), envs: []string{"production", "staging", "test"}}
	f.names = max(2*o.Packages, min(20_000, 40*int(math.Sqrt(float64(o.Releases)))+o.Packages))
	f.services = max(1, o.Releases/perService)
	f.cum = make([]float64, f.names)
	sum := 0.0
	for i := range f.cum {
		sum += 1 / math.Pow(float64(i+1), 0.9)
		f.cum[i] = sum
	}
	return f
}

func (f *fleet) name() int {
	return sort.SearchFloat64s(f.cum, f.rnd.Float64()*f.cum[len(f.cum)-1])
}

func component(name, ver int) estate.Component {
	v := fmt.Sprintf("%d.%d.0", ver/4+1, ver%4)
	switch name % 4 {
	case 0:
		return estate.Component{Name: fmt.Sprintf("lib-%d", name), Version: v, Purl: fmt.Sprintf("pkg:npm/lib-%d@%s", name, v)}
	case 1:
		return estate.Component{Name: fmt.Sprintf("lib-%d", name), Version: v, Purl: fmt.Sprintf("pkg:maven/org.example/lib-%d@%s", name, v)}
	case 2:
		return estate.Component{Name: fmt.Sprintf("example.org/lib-%d", name), Version: "v" + v, Purl: fmt.Sprintf("pkg:golang/example.org/lib-%d@v%s", name, v)}
	}
	return estate.Component{Name: fmt.Sprintf("lib-%d", name), Version: v, Purl: fmt.Sprintf("pkg:pypi/lib-%d@%s", name, v)}
}

// advisoryName is how OSV records name the package.
func advisoryName(name int) (ecosystem, pkg string) {
	switch name % 4 {
	case 0:
		return "npm", fmt.Sprintf("lib-%d", name)
	case 1:
		return "Maven", fmt.Sprintf("org.example:lib-%d", name)
	case 2:
		return "Go", fmt.Sprintf("example.org/lib-%d", name)
	}
	return "PyPI", fmt.Sprintf("lib-%d", name)
}

// release is one release of the fleet.
type release struct {
	subject estate.Subject
	pkgs    [][2]int // name and version, sorted by name
}

// each calls fn for every release, service by service.
func (f *fleet) each(fn func(n int, r release) error) error {
	n := 0
	for s := 0; n < f.Releases; s++ {
		seen := map[int]bool{}
		var pkgs [][2]int
		for len(pkgs) < f.Packages {
			name := f.name()
			for seen[name] {
				name = (name + 1) % f.names
			}
			seen[name] = true
			pkgs = append(pkgs, [2]int{name, f.rnd.IntN(versionsOf)})
		}
		for v := 0; v < perService && n < f.Releases; v++ {
			if v > 0 {
				for range max(1, len(pkgs)/20) {
					p := &pkgs[f.rnd.IntN(len(pkgs))]
					p[1] = min(p[1]+1, versionsOf-1)
				}
			}
			r := release{estate.Subject{Name: fmt.Sprintf("service-%06d", s), Version: fmt.Sprintf("1.%d.0", v)}, pkgs}
			if err := fn(n, r); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

const (
	epoch    = estate.Time(1767225600000) // 2026-01-01
	today    = estate.Time(1790000000000)
	dayMilli = 24 * 3600 * 1000
	loaded   = epoch + 260*dayMilli // when the fleet became known
)

// Load fills a ledger with the fleet, facts in bulk: no documents are parsed.
func Load(ctx context.Context, l ledger.Ledger, o Options, progress func(what string, done, of int)) error {
	f := newFleet(o)
	if err := f.describe(ctx, l); err != nil {
		return err
	}
	if err := f.advise(ctx, l, progress); err != nil {
		return err
	}
	cache := map[[2]int]estate.Package{}
	var facts []ledger.Fact
	batch := 0
	flush := func() error {
		if len(facts) == 0 {
			return nil
		}
		batch++
		_, err := l.Append(ctx, ledger.Entry{
			Evidence: ledger.Evidence{SHA256: fmt.Sprintf("%064x", batch), Format: "bench", Body: fmt.Appendf(nil, "batch %d", batch)},
			Claim:    estate.Claim{Source: "bench"}, Known: loaded + estate.Time(batch), Facts: facts,
		})
		facts = nil
		return err
	}
	// Deployments are spread evenly: the last releases of services run, each in
	// one environment after the other.
	running := 0
	err := f.each(func(n int, r release) error {
		bill := &ledger.NewBill{Subject: r.subject, Format: "bench", Generator: "bench", Made: epoch, At: epoch}
		for _, p := range r.pkgs {
			pkg, ok := cache[p]
			if !ok {
				pkg = purl.Identify(component(p[0], p[1]))
				cache[p] = pkg
			}
			bill.Packages = append(bill.Packages, pkg)
		}
		facts = append(facts, ledger.Fact{Bill: bill})
		due := int(int64(n+1) * int64(f.Deployments) / int64(f.Releases))
		for ; running < due; running++ {
			facts = append(facts, ledger.Fact{Event: &ledger.NewEvent{
				Subject: r.subject, Environment: f.envs[running%len(f.envs)], Alongside: true, Batch: len(facts) + 1,
				At: epoch + estate.Time(f.rnd.IntN(250))*dayMilli,
			}})
		}
		if len(facts) >= 1000 {
			progress("releases", n+1, f.Releases)
			return flush()
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return flush()
}

// describe stores an estate of domains, applications and environments, and the
// verdicts that suppress the top of the list.
func (f *fleet) describe(ctx context.Context, l ledger.Ledger) error {
	d := &estate.Description{Since: epoch, Objectives: []estate.Objective{{Severity: "critical", Tier: "production", Days: 7}}}
	const domains = 20
	for i := range domains {
		d.Domains = append(d.Domains, estate.DomainSpec{Name: fmt.Sprintf("domain-%02d", i), Team: fmt.Sprintf("team-%02d", i)})
	}
	for _, e := range f.envs {
		d.Environments = append(d.Environments, estate.EnvironmentSpec{Name: e, Tier: e})
	}
	for s := range f.services {
		d.Services = append(d.Services, estate.ServiceSpec{Name: fmt.Sprintf("service-%06d", s), Domain: fmt.Sprintf("domain-%02d", s%domains)})
	}
	for a := range max(1, min(400, f.services/20)) {
		app := estate.ApplicationSpec{Name: fmt.Sprintf("application-%03d", a)}
		for k := range min(25, f.services) {
			app.Services = append(app.Services, fmt.Sprintf("service-%06d", (a*20+k)%f.services))
		}
		d.Applications = append(d.Applications, app)
	}
	_, err := l.Append(ctx, ledger.Entry{
		Evidence: ledger.Evidence{SHA256: fmt.Sprintf("%064x", 1<<40), Format: "bench", Body: []byte("estate")},
		Claim:    estate.Claim{Source: "bench"}, Known: loaded, Facts: []ledger.Fact{{Description: d}},
	})
	return err
}

// id of the n-th advisory.
func id(n int) string { return fmt.Sprintf("CVE-2026-%06d", n) }

// advise stores advisories: the more popular a package, the likelier it is to
// have some.
func (f *fleet) advise(ctx context.Context, l ledger.Ledger, progress func(string, int, int)) error {
	vectors := []string{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H",
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N", "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N",
	}
	var records []ledger.Record
	var epss []estate.Likelihood
	for n := range f.Advisories {
		name := f.rnd.IntN(f.names)
		if n%3 == 0 {
			name = f.name()
		}
		eco, pkg := advisoryName(name)
		fixed := f.rnd.IntN(versionsOf) + 1
		events := []estate.RangeEvent{{Introduced: "0"}}
		if fixed < versionsOf {
			events = append(events, estate.RangeEvent{Fixed: fmt.Sprintf("%d.%d.0", fixed/4+1, fixed%4)})
		}
		at := epoch - estate.Time(f.rnd.IntN(900))*dayMilli
		a := estate.Advisory{ID: id(n), Published: at, Modified: at, Summary: fmt.Sprintf("synthetic advisory %d on %s", n, pkg),
			Scores:   []estate.Score{{Type: "CVSS_V3", Vector: vectors[f.rnd.IntN(len(vectors))]}},
			Affected: []estate.Affected{{Ecosystem: eco, Name: pkg, Ranges: []estate.Range{{Type: "ECOSYSTEM", Events: events}}}}}
		a.Raw = fmt.Appendf(nil, `{"id":%q}`, a.ID)
		records = append(records, ledger.Record{Advisory: a, Source: "bench", Known: epoch})
		epss = append(epss, estate.Likelihood{CVE: a.ID, Score: math.Pow(f.rnd.Float64(), 4), Percentile: f.rnd.Float64(), At: epoch})
		if len(records) == 5000 || n+1 == f.Advisories {
			if _, err := l.AppendRecords(ctx, records); err != nil {
				return err
			}
			records = records[:0]
			progress("advisories", n+1, f.Advisories)
		}
	}
	_, err := l.AppendSignals(ctx, epoch, nil, epss)
	return err
}

// suppress decides the hundred advisories that stand first in the list of
// exposures, everywhere, so that a list must pass over all of them.
func suppress(n int) verdict.Document {
	return verdict.Document{Thymus: verdict.Format, Advisory: id(n), Status: estate.StatusNotAffected, Reason: "bench", Author: "bench"}
}
