package answer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
	"thymus/internal/purl"
)

// Asker answers questions about one graph. Its methods may be called
// concurrently; each answer is of one moment of the graph.
type Asker struct {
	Graph   *graph.Graph
	Details graph.Details
	Now     func() estate.Time
	// Known is the time as of whose knowledge the graph stands; zero means now.
	Known estate.Time
}

// when completes the clocks of a question: both default to now, and neither
// lies in the future.
func (a *Asker) when(w When) When {
	now := a.Now()
	if w.At == 0 || w.At > now {
		w.At = now
	}
	w.Known = now
	if a.Known != 0 {
		w.Known = a.Known
	}
	return w
}

// sees tells whether the asker may see a service.
func (s Scope) sees(v *graph.View, id graph.ServiceID) bool {
	if !s.Limited {
		return true
	}
	for _, d := range s.Domains {
		if v.InDomain(id, d) {
			return true
		}
	}
	return false
}

// limit returns the size of a page, 1 to 500; 50 when not stated.
func (p Page) limit() int {
	switch {
	case p.Limit <= 0:
		return 50
	case p.Limit > 500:
		return 500
	}
	return p.Limit
}

// cursor renders where a page ended. It is opaque to callers and holds names,
// which outlive the graph's indexes.
func cursor(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func readCursor(s string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fault.New(fault.Invalid, "page: %q is no cursor of this list", s)
	}
	return nil
}

// service resolves a name, within scope. What the asker may not see does not exist.
func service(v *graph.View, s Scope, name string) (graph.ServiceID, error) {
	id, candidates, ambiguous := v.FindService(name)
	if ambiguous {
		return -1, fault.New(fault.Ambiguous, "%q may be %s: say which, with its namespace", name, strings.Join(candidates, " or "))
	}
	if id >= 0 && s.sees(v, id) {
		return id, nil
	}
	var seen []string
	for _, c := range candidates {
		if cid, _, _ := v.FindService(c); cid >= 0 && s.sees(v, cid) {
			seen = append(seen, c)
		}
	}
	return -1, fault.New(fault.NotFound, "no service %q%s", name, didYouMean(seen))
}

func application(v *graph.View, s Scope, name string) (graph.AppID, error) {
	id, candidates := v.FindApp(name)
	if id >= 0 && seesApp(v, s, id) {
		return id, nil
	}
	var seen []string
	for _, c := range candidates {
		if cid, _ := v.FindApp(c); cid >= 0 && seesApp(v, s, cid) {
			seen = append(seen, c)
		}
	}
	return -1, fault.New(fault.NotFound, "no application %q%s", name, didYouMean(seen))
}

// seesApp tells whether the asker sees an application: one of its services.
func seesApp(v *graph.View, s Scope, id graph.AppID) bool {
	if !s.Limited {
		return true
	}
	for _, m := range v.App(id).Members {
		if s.sees(v, m) {
			return true
		}
	}
	return false
}

func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

func environment(v *graph.View, name string) (graph.EnvID, error) {
	id, known := v.FindEnv(name)
	if id < 0 && len(known) == 0 {
		return -1, fault.New(fault.NotFound, "no environment %q; none is known yet", name)
	}
	if id < 0 {
		return -1, fault.New(fault.NotFound, "no environment %q; known are %s", name, strings.Join(known, ", "))
	}
	return id, nil
}

// plural renders "1 release", "2 releases".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		return fmt.Sprintf("%d %sies", n, noun[:len(noun)-1])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// advisory renders an alias group.
func advisory(v *graph.View, id graph.GroupID) Advisory {
	gr := v.Group(id)
	out := Advisory{ID: gr.ID, Severity: gr.Severity, Score: gr.Score, Vector: gr.Vector, Published: gr.Published, Aliases: []string{}}
	seen := map[string]bool{gr.ID: true}
	withdrawn := true
	for _, r := range v.Records(id) {
		for _, a := range append([]string{r.ID}, r.Aliases...) {
			// Another CVE of the same record is another group.
			if !seen[a] && (!strings.HasPrefix(a, "CVE-") || !strings.HasPrefix(gr.ID, "CVE-")) {
				seen[a] = true
				out.Aliases = append(out.Aliases, a)
			}
		}
		if r.Summary != "" && (out.Summary == "" || strings.HasPrefix(r.ID, "GHSA-")) {
			out.Summary = r.Summary
		}
		out.Modified = max(out.Modified, r.Modified)
		if out.Known == 0 || r.Since < out.Known {
			out.Known = r.Since
		}
		out.Revision = max(out.Revision, r.Revision)
		if r.Withdrawn == 0 {
			withdrawn = false
		} else {
			out.Withdrawn = max(out.Withdrawn, r.Withdrawn)
		}
		if out.Published == 0 {
			out.Published = r.Published
		}
	}
	if !withdrawn {
		out.Withdrawn = 0
	}
	sort.Strings(out.Aliases)
	if gr.EPSS >= 0 {
		epss := round(gr.EPSS, 5)
		out.EPSS = &epss
		if p := v.Percentile(gr.ID); p >= 0 {
			p = round(p, 5)
			out.Percentile = &p
		}
	}
	if e, ok := v.Exploited(id); ok {
		out.Exploited = &Exploited{List: e.List, Added: e.Added, Due: e.Due, Ransomware: e.Ransomware}
	}
	return out
}

func round(f float64, digits int) float64 {
	p := 1.0
	for range digits {
		p *= 10
	}
	return float64(int64(f*p+0.5)) / p
}

// decision renders a verdict.
func decision(row *estate.VerdictRow) *Decision {
	scope := "everywhere"
	switch {
	case row.Release.Version != "":
		scope = "release " + row.Release.String()
	case row.Release.Name != "":
		scope = "service " + row.Release.Service()
	case row.Application != "":
		scope = "application " + row.Application
	case row.Domain != "":
		scope = "domain " + row.Domain
	}
	if row.Environment != "" {
		scope += " in " + row.Environment
	}
	return &Decision{
		ID: row.ID, Advisory: row.Advisory, Status: row.Status, Scope: scope, Package: row.Package, Range: row.Range,
		Justification: row.Justification, Reason: row.Reason, Author: row.Author, At: row.At, Expires: row.Expires, Source: row.Source,
	}
}

// identify returns the package of each component of a bill; 0 for none known.
func (a *Asker) identify(b *estate.Bill) []estate.PackageID {
	out := make([]estate.PackageID, len(b.Packages))
	a.Graph.View(func(v *graph.View) {
		for i := range b.Packages {
			if id, ok := v.FindPackage(purl.Identify(b.Packages[i]).Key); ok {
				out[i] = id
			}
		}
	})
	return out
}
