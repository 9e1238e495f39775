package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sort"
	"time"

	"thymus/internal/answer"
	"thymus/internal/catalog"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Report is what was measured. CPU times are of the whole process, garbage
// collection included.
type Report struct {
	Releases    int   `json:"releases"`
	Edges       int64 `json:"edges"`     // release × package
	Exposures   int64 `json:"exposures"` // computed, open
	Advisories  int   `json:"advisories"`
	Loaded      int   `json:"advisories_loaded"` // those of packages in use
	Packages    int   `json:"package_versions"`
	Deployments int   `json:"deployments"`
	Bulk        bool  `json:"loaded_in_bulk"` // facts were loaded without parsing documents

	RSS        float64 `json:"rss_mb"`      // resident with everything loaded and answering, at rest
	RSSBusy    float64 `json:"rss_busy_mb"` // after all questions and news in a row; before the documents of the ingest are made
	Start      float64 `json:"start_s"`     // open to answering, wall
	IngestMean float64 `json:"ingest_cpu_ms_mean"`
	IngestWall float64 `json:"ingest_wall_ms_mean"`
	IngestKB   float64 `json:"ingest_document_kb"`
	IngestRate float64 `json:"ingest_per_second"` // by four writers

	AffectedMean  float64 `json:"affected_cpu_ms_mean"`
	AffectedP99   float64 `json:"affected_cpu_ms_p99"`
	AffectedWorst float64 `json:"affected_cpu_ms_worst"`
	AffectedWall  float64 `json:"affected_wall_ms_p99"`
	PopularID     string  `json:"affected_worst_id"`
	PopularHits   int     `json:"affected_worst_releases"`
	FullMean      float64 `json:"affected_explained_cpu_ms_mean"` // with paths, lines and references of a page of 50

	ListP99   float64  `json:"list_ms_p99"`
	ListWorst float64  `json:"list_ms_worst"`
	ListName  string   `json:"list_worst"`
	Lists     int      `json:"lists"`
	Slowest   []string `json:"lists_slowest"` // the ten slowest, with their milliseconds

	NewsMean float64 `json:"news_ms_mean"` // an advisory record read → exposures computed, subscribers told

	Machine string `json:"machine"`
	Go      string `json:"go"`

	slow []timed
}

type timed struct {
	name string
	ms   float64
}

func open(ctx context.Context, dir string) (*engine.Engine, error) {
	return engine.Open(ctx, engine.Options{
		Readers: catalog.Readers(), Now: func() estate.Time { return today },
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return OpenLedger(ctx, dir, onChange)
		},
	})
}

// OpenLedger opens the ledger that a bench runs on.
func OpenLedger(ctx context.Context, dir string, onChange func(estate.Change)) (ledger.Ledger, error) {
	return sqlite.Open(ctx, dir, sqlite.Options{OnChange: onChange, Fold: func(eco, name string) string {
		return purl.FoldName(version.ParseEcosystem(eco), name)
	}})
}

// Generate makes the fleet's ledger in o.Dir.
func Generate(ctx context.Context, o Options, progress func(what string, done, of int)) error {
	l, err := OpenLedger(ctx, o.Dir, nil)
	if err != nil {
		return err
	}
	if err := Load(ctx, l, o, progress); err != nil {
		_ = l.Close()
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	// A server would have minted the application versions as they came.
	e, err := open(ctx, o.Dir)
	if err != nil {
		return err
	}
	return e.Close()
}

// Measure opens the ledger that Generate made and measures. It is best run in
// a process of its own, so that memory is the engine's alone.
func Measure(ctx context.Context, o Options, progress func(what string, done, of int)) (*Report, error) {
	r := &Report{Releases: o.Releases, Advisories: o.Advisories, Bulk: true, Machine: machine(), Go: runtime.Version()}
	began := time.Now()
	e, err := open(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	r.Start = time.Since(began).Seconds()
	s := e.Stats()
	r.Edges, r.Packages, r.Deployments, r.Loaded = s.Edges, s.Counts.Packages, s.Running, s.Counts.Advisories
	r.RSS = rss()
	if err := r.affected(ctx, e, o, progress); err != nil {
		return nil, err
	}
	if err := r.lists(ctx, e, o, progress); err != nil {
		return nil, err
	}
	if err := r.news(ctx, e, o); err != nil {
		return nil, err
	}
	r.RSSBusy = rss()
	if err := r.ingest(ctx, e, o, progress); err != nil {
		return nil, err
	}
	return r, nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func percentile(xs []float64, p float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sort.Float64s(xs)
	return xs[min(len(xs)-1, int(float64(len(xs))*p))]
}

// affected asks for advisories drawn at random, and for those that hit most.
func (r *Report) affected(ctx context.Context, e *engine.Engine, o Options, progress func(string, int, int)) error {
	a, err := e.Asker(ctx, 0)
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	ids := make([]int, 0, 2000)
	for range min(2000, o.Advisories) {
		ids = append(ids, rnd.IntN(o.Advisories))
	}
	// The most hit ones: by the number of open exposures, over all advisories.
	type hit struct{ n, exposures, releases int }
	var top []hit
	for n := range o.Advisories {
		got, err := a.Affected(ctx, answer.Scope{}, answer.When{}, id(n), answer.Page{Limit: 1, Brief: true})
		if err != nil {
			return err
		}
		r.Exposures += int64(got.Counts.Exposures)
		top = append(top, hit{n, got.Counts.Exposures, got.Counts.Releases})
		if n%1000 == 999 {
			progress("advisories answered", n+1, o.Advisories)
		}
	}
	sort.Slice(top, func(i, j int) bool { return top[i].releases > top[j].releases })
	for i := range min(20, len(top)) {
		ids = append(ids, top[i].n)
	}
	// Each is asked three times: the mean is over all, and the middle one stands
	// for the id, so that a collection of garbage that falls into one question
	// does not pass for its cost.
	const times = 3
	var cpus, walls []float64
	for _, n := range ids {
		var cs, ws []float64
		releases := 0
		for range times {
			wall, cpu := time.Now(), cpuTime()
			got, err := a.Affected(ctx, answer.Scope{}, answer.When{}, id(n), answer.Page{Brief: true})
			cs, ws = append(cs, ms(cpuTime()-cpu)), append(ws, ms(time.Since(wall)))
			if err != nil {
				return err
			}
			releases = got.Counts.Releases
			r.AffectedMean += cs[len(cs)-1] / float64(times*len(ids))
		}
		c := percentile(cs, 0.5)
		cpus, walls = append(cpus, c), append(walls, percentile(ws, 0.5))
		if c > r.AffectedWorst {
			r.AffectedWorst, r.PopularID, r.PopularHits = c, id(n), releases
		}
	}
	r.AffectedP99, r.AffectedWall = percentile(cpus, 0.99), percentile(walls, 0.99)
	cpu, n := cpuTime(), 0
	for _, k := range ids[:min(50, len(ids))] {
		if _, err := a.Affected(ctx, answer.Scope{}, answer.When{}, id(k), answer.Page{}); err != nil {
			return err
		}
		n++
	}
	r.FullMean = ms(cpuTime()-cpu) / float64(max(n, 1))
	return nil
}

// lists asks every list that DESIGN names: any order, filters (one that matches
// nothing too), one service, deep pages, a past date, and all of it again when
// the top of the list is suppressed.
func (r *Report) lists(ctx context.Context, e *engine.Engine, o Options, progress func(string, int, int)) error {
	a, err := e.Asker(ctx, 0)
	if err != nil {
		return err
	}
	yes := true
	type question struct {
		name string
		q    answer.ExposureQuery
	}
	var qs []question
	for _, order := range []string{"severity", "-severity", "epss", "-epss", "published", "-published", "service", "-service", "opened", "-opened"} {
		for name, q := range map[string]answer.ExposureQuery{
			"all": {}, "one service": {Service: "service-000001"}, "one domain": {Domain: "domain-03"}, "one environment": {Environment: "staging"},
			"nothing": {Domain: "domain-03", Package: "no-such-package"}, "critical": {MinSeverity: estate.Critical},
			"epss that nothing has": {MinEPSS: 0.99999999}, "one application": {Application: "application-000"},
			"one package": {Package: "lib-0"}, "nothing exploited": {Exploited: &yes},
			"past date":  {When: answer.When{At: epoch + 100*dayMilli}},
			"suppressed": {State: "suppressed"},
		} {
			q.Sort = order
			qs = append(qs, question{order + ", " + name, q})
		}
	}
	sort.Slice(qs, func(i, j int) bool { return qs[i].name < qs[j].name })
	var walls []float64
	note := func(name string, w float64) {
		walls = append(walls, w)
		r.slow = append(r.slow, timed{name, w})
		if w > r.ListWorst {
			r.ListWorst, r.ListName = w, name
		}
	}
	ask := func(name string, q answer.ExposureQuery) (*answer.ExposureList, error) {
		began := time.Now()
		got, err := a.Exposures(ctx, answer.Scope{}, q)
		w := ms(time.Since(began))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		note(name, w)
		return got, nil
	}
	for round := range 2 {
		for i, qu := range qs {
			got, err := ask(qu.name, qu.q)
			if err != nil {
				return err
			}
			for page := 2; got.Next != "" && page <= 4; page++ {
				q := qu.q
				q.Page.After = got.Next
				if page == 4 {
					q.Page.Limit = 500
				}
				if got, err = ask(fmt.Sprintf("%s, page %d", qu.name, page), q); err != nil {
					return err
				}
			}
			progress("lists", round*len(qs)+i+1, 2*len(qs))
		}
		// A deep page: start after an entry in the middle of the order.
		deep := answer.ExposureQuery{Sort: "epss", MinEPSS: 0.05}
		for range 5 {
			deep.MinEPSS /= 4
			got, err := ask("epss, reversed tail", answer.ExposureQuery{Sort: "-epss", MinEPSS: deep.MinEPSS})
			if err != nil {
				return err
			}
			if got.Next != "" {
				if _, err := ask("deep page", answer.ExposureQuery{Sort: "epss", Page: answer.Page{After: got.Next}}); err != nil {
					return err
				}
			}
		}
		for _, q := range []answer.ExposureQuery{{}, {Domain: "domain-03"}, {MinSeverity: estate.Critical}} {
			began := time.Now()
			if _, err := a.Fixes(ctx, answer.Scope{}, q); err != nil {
				return err
			}
			note("grouped by fix", ms(time.Since(began)))
		}
		if round == 0 {
			got, err := a.Exposures(ctx, answer.Scope{}, answer.ExposureQuery{Page: answer.Page{Limit: 1}})
			if err != nil {
				return err
			}
			for k := 0; k < 100 && len(got.Items) > 0; k++ {
				var n int
				if _, err := fmt.Sscanf(got.Items[0].Advisory, "CVE-2026-%d", &n); err != nil {
					return err
				}
				d := suppress(n)
				d.At = epoch
				if _, err := e.Decide(ctx, d, "bench"); err != nil {
					return err
				}
				if got, err = a.Exposures(ctx, answer.Scope{}, answer.ExposureQuery{Page: answer.Page{Limit: 1}}); err != nil {
					return err
				}
			}
		}
	}
	r.Lists = len(walls)
	r.ListP99 = percentile(walls, 0.99)
	sort.Slice(r.slow, func(i, j int) bool { return r.slow[i].ms > r.slow[j].ms })
	for _, t := range r.slow[:min(10, len(r.slow))] {
		r.Slowest = append(r.Slowest, fmt.Sprintf("%s: %.1f", t.name, t.ms))
	}
	return nil
}

// news brings new advisory records, one at a time, and waits until they are told.
func (r *Report) news(ctx context.Context, e *engine.Engine, o Options) error {
	f := newFleet(o)
	const n = 50
	for i := range n {
		eco, pkg := advisoryName(f.name())
		raw, err := json.Marshal(map[string]any{"id": fmt.Sprintf("CVE-2027-%06d", i), "modified": "2026-09-01T00:00:00Z", "published": "2026-09-01T00:00:00Z",
			"affected": []any{map[string]any{"package": map[string]any{"ecosystem": eco, "name": pkg},
				"ranges": []any{map[string]any{"type": "ECOSYSTEM", "events": []any{map[string]any{"introduced": "0"}, map[string]any{"fixed": "2.1.0"}}}}}}})
		if err != nil {
			return err
		}
		began := time.Now()
		if _, err := e.IngestRecords(ctx, "bench", func(yield func([]byte, error) bool) { yield(raw, nil) }); err != nil {
			return err
		}
		r.NewsMean += ms(time.Since(began)) / n
	}
	return nil
}

// ingest sends real documents through the whole main path.
func (r *Report) ingest(ctx context.Context, e *engine.Engine, o Options, progress func(string, int, int)) error {
	f := newFleet(Options{Releases: 400, Packages: o.Packages, Deployments: 400, Advisories: 1})
	f.names = newFleet(o).names
	f.cum = newFleet(o).cum
	f.rnd = rand.New(rand.NewPCG(5, 6))
	var docs [][]byte
	var subjects []estate.Subject
	err := f.each(func(_ int, rel release) error {
		var components []map[string]any
		var deps []map[string]any
		for i, p := range rel.pkgs {
			c := component(p[0], p[1])
			components = append(components, map[string]any{"type": "library", "bom-ref": c.Purl, "name": c.Name, "version": c.Version, "purl": c.Purl})
			if i > 0 {
				q := rel.pkgs[i/2]
				deps = append(deps, map[string]any{"ref": component(q[0], q[1]).Purl, "dependsOn": []string{c.Purl}})
			}
		}
		doc, err := json.Marshal(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components, "dependencies": deps})
		rel.subject.Name = "fresh-" + rel.subject.Name
		docs, subjects = append(docs, doc), append(subjects, rel.subject)
		return err
	})
	if err != nil {
		return err
	}
	half := len(docs) / 2
	bytes := 0
	wall, cpu := time.Now(), cpuTime()
	for i := range half {
		c := estate.Claim{Source: "bench", Subject: subjects[i], Environment: "production", Deploy: true}
		if _, err := e.Ingest(ctx, docs[i], c); err != nil {
			return err
		}
		bytes += len(docs[i])
	}
	r.IngestMean = ms(cpuTime()-cpu) / float64(half)
	r.IngestWall = ms(time.Since(wall)) / float64(half)
	r.IngestKB = float64(bytes) / 1024 / float64(half)
	wall = time.Now()
	errs := make(chan error, 4)
	for w := range 4 {
		go func() {
			for i := half + w; i < len(docs); i += 4 {
				if _, err := e.Ingest(ctx, docs[i], estate.Claim{Source: "bench", Subject: subjects[i], Environment: "production", Deploy: true}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			return err
		}
	}
	r.IngestRate = float64(len(docs)-half) / time.Since(wall).Seconds()
	progress("ingest", len(docs), len(docs))
	return nil
}
