package answer

import (
	"context"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// Coverage says what Thymus does not know, and what cures it.
func (a *Asker) Coverage(ctx context.Context, s Scope, w When) (*Coverage, error) {
	w = a.when(w)
	out := &Coverage{When: w, Ecosystems: []EcosystemCover{}, Unresolved: []Unresolved{}, Unowned: []string{}, Gaps: []Gap{}}
	stored, err := a.Details.Stored(ctx)
	if err != nil {
		return nil, err
	}
	a.Graph.View(func(v *graph.View) {
		pkgs := map[estate.PackageID]bool{}
		seen := map[graph.ReleaseID]bool{}
		for i := range v.Slots() {
			slot := graph.SlotID(i)
			if !s.sees(v, v.Slot(slot).Service) {
				continue
			}
			v.RunningAt(slot, w.At, func(iv *graph.Interval) {
				out.Running++
				if !v.Release(iv.Release).HasSBOM() {
					out.WithoutSBOM++
				}
				if !seen[iv.Release] {
					seen[iv.Release] = true
					v.EachPackage(iv.Release, func(p estate.PackageID) { pkgs[p] = true })
				}
			})
		}
		unmatched := counter{}
		ecosystems := map[string]int{}
		out.Packages = len(pkgs)
		ids := make([]estate.PackageID, 0, len(pkgs))
		for p := range pkgs {
			ids = append(ids, p)
		}
		sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
		for _, p := range ids {
			unmatched.see(v.Pkg(p))
			if v.Pkg(p).Unmatched == "" {
				out.Matchable++
				_, eco, _ := v.PackageName(p)
				ecosystems[eco.Base]++
			}
		}
		out.Unmatched = unmatched.list()
		for _, eco := range sortedKeys(ecosystems) {
			st := stored[eco]
			out.Ecosystems = append(out.Ecosystems, EcosystemCover{Ecosystem: eco, Packages: ecosystems[eco], Advisories: st.Records,
				Newest: st.Modified, Checked: st.Checked, Assessed: st.Records > 0})
		}
		for i := range v.Services() {
			id := graph.ServiceID(i)
			svc := v.Service(id)
			if !s.sees(v, id) || svc.Spec.Retired {
				continue
			}
			out.Services++
			if v.TeamOf(id) == "" && len(svc.Slots) > 0 {
				out.Unowned = append(out.Unowned, svc.FullName())
			}
		}
		sort.Strings(out.Unowned)
		if !s.Limited {
			v.Unresolved(func(sub estate.Subject, reason string) {
				out.Unresolved = append(out.Unresolved, Unresolved{Name: sub.String(), Reason: reason,
					Remedy: "estate.yaml: add " + sub.Service() + " to the aliases of the service that is meant"})
			})
			out.Problems = v.Problems(50)
		}
		var af Affected
		a.gaps(v, s, w, &af, stored)
		out.Gaps = append(out.Gaps, af.NotAssessed...)
	})
	return out, ctx.Err()
}

// Metrics are of one application and one environment; blank means all.
func (a *Asker) Metrics(ctx context.Context, s Scope, w When, applicationName, environmentName string) (*Metrics, error) {
	w = a.when(w)
	var out Metrics
	var err error
	a.Graph.View(func(v *graph.View) {
		env := graph.EnvID(-1)
		if environmentName != "" {
			if env, err = environment(v, environmentName); err != nil {
				return
			}
		}
		var members []graph.ServiceID
		if applicationName != "" {
			var id graph.AppID
			if id, err = application(v, s, applicationName); err != nil {
				return
			}
			members = v.App(id).Members
		} else {
			for i := range v.Services() {
				members = append(members, graph.ServiceID(i))
			}
		}
		seen := members[:0:0]
		for _, m := range members {
			if s.sees(v, m) {
				seen = append(seen, m)
			}
		}
		out = metricsOf(v, w, slotsOf(v, seen, env))
	})
	if err != nil {
		return nil, err
	}
	return &out, ctx.Err()
}

const day = estate.Time(24 * 3600 * 1000)

// metricsOf computes the measures from the intervals of exposures: time to
// detect is from opened to detected; time to remediate from opened to closed by
// an upgrade, since a redeployment or an undeployment is no fix; exposure-days
// are summed over exposures, open ones until the time asked about.
func metricsOf(v *graph.View, w When, slots []graph.SlotID) Metrics {
	out := Metrics{When: w}
	var detect, remedy []float64
	leveled, within := 0, 0
	for _, slot := range slots {
		for _, g := range v.EverGroups(slot) {
			for _, e := range v.Exposures(g, slot) {
				if e.Opened > w.At {
					continue
				}
				open := w.At < e.Closed
				end := min(w.At, e.Closed)
				out.ExposureDays += float64(end-e.Opened) / float64(day)
				detect = append(detect, float64(max(e.Detected-e.Opened, 0))/float64(day)*24)
				if e.Opened > w.At-30*day {
					out.Opened30++
				}
				due := dueAt(v, g, slot, e.Opened)
				if open {
					out.Open++
					if due != 0 && w.At > due {
						out.Overdue++
					}
					continue
				}
				out.Closed++
				if e.Closed > w.At-30*day {
					out.Closed30++
				}
				if due != 0 {
					leveled++
					if e.Closed <= due {
						within++
					}
				}
				if e.ClosedBy == "upgraded" {
					out.Upgraded++
					remedy = append(remedy, float64(e.Closed-e.Opened)/float64(day))
				}
			}
		}
	}
	out.ExposureDays = round(out.ExposureDays, 1)
	out.DetectMean, out.DetectMedian = averages(detect)
	out.RemedyMean, out.RemedyMedian = averages(remedy)
	if leveled > 0 {
		share := round(float64(within)/float64(leveled), 3)
		out.Within = &share
	}
	return out
}

// averages returns mean and median; nil of nothing.
func averages(xs []float64) (mean, median *float64) {
	if len(xs) == 0 {
		return nil, nil
	}
	sort.Float64s(xs)
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	m := round(sum/float64(len(xs)), 2)
	mid := xs[len(xs)/2]
	if len(xs)%2 == 0 {
		mid = (mid + xs[len(xs)/2-1]) / 2
	}
	mid = round(mid, 2)
	return &m, &mid
}

// OSVQuery is one query of OSV's API: a purl, or an ecosystem, a name and a version.
type OSVQuery struct {
	Ecosystem, Name, Purl, Version string
}

// OSVRecord is a record's id, modification time and raw JSON.
type OSVRecord struct {
	ID       string
	Modified estate.Time
	Raw      []byte
}

// OSVMatch answers OSV's query: the records that affect the package at that
// version, or all that name the package when the version is blank;
// fault.NotAssessed when no advisories of the ecosystem are stored. Withdrawn
// records are left out. The package need not be in use. Raw is not filled in;
// see Record.
func (a *Asker) OSVMatch(ctx context.Context, q OSVQuery) ([]OSVRecord, error) {
	var eco version.Ecosystem
	name := q.Name
	ver := q.Version
	if q.Purl != "" {
		n, e, v, err := purl.Query(q.Purl)
		if err != nil {
			return nil, err
		}
		eco, name = e, n.Name
		if ver == "" {
			ver = v
		}
	} else {
		eco = version.ParseEcosystem(q.Ecosystem)
	}
	key := graph.FoldedName(eco, name)
	rows, err := a.Details.Advisories(ctx, []estate.PackageName{key})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		stored, err := a.Details.Stored(ctx)
		if err != nil {
			return nil, err
		}
		if stored[eco.Base].Records == 0 {
			return nil, fault.New(fault.NotAssessed, "no advisories of the ecosystem %q are stored", eco.Base)
		}
	}
	var parsed version.Version
	usable := false
	if ver != "" {
		if p, err := version.Parse(eco, ver); err == nil {
			parsed, usable = p, true
		}
	}
	out := []OSVRecord{}
	for i := range rows {
		row := &rows[i]
		if row.Withdrawn == 0 && (ver == "" || affects(row, eco, key.Name, ver, parsed, usable)) {
			out = append(out, OSVRecord{ID: row.ID, Modified: row.Modified})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

func affects(row *estate.AdvisoryRow, eco version.Ecosystem, name, ver string, parsed version.Version, usable bool) bool {
	for _, af := range row.Affected {
		e := version.ParseEcosystem(af.Ecosystem)
		// A client that names no release of a distribution asks about all.
		if e.Base != eco.Base || purl.FoldName(e, af.Name) != name || eco.Release != "" && !version.Applies(e, eco) {
			continue
		}
		if usable {
			if in, _ := version.Compile(e, af).Contains(e, parsed); in {
				return true
			}
			continue
		}
		for _, l := range af.Versions {
			if strings.EqualFold(l, ver) {
				return true
			}
		}
	}
	return false
}
