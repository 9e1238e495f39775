package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

func (s *session) affectedCommand() *cobra.Command {
	var t times
	var p page
	var why bool
	c := &cobra.Command{
		Use:   "affected ID|PACKAGE",
		Short: "Are we hit by this advisory or package?",
		Long: `Answers whether an advisory (by any of its ids) or a package (a purl, with or
without a version) hits what runs: which releases, where and since when, in
which logical applications, and the smallest change that fixes it.

Exits 0 when nothing that runs is affected, 1 when something is, and 4 when the
question cannot be answered, since a feed or an SBOM is missing.`,
		Example: `  thymus affected CVE-2021-44228
  thymus affected pkg:npm/lodash@4.17.20 --output json
  thymus affected CVE-2021-44228 --why
  thymus affected CVE-2021-44228 --as-of 2021-12-12`,
		Args: exactly("an advisory id or a package"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, &p)
			if err != nil {
				return err
			}
			q.Set("q", args[0])
			a, err := ask(ctx, s, "/api/v1/affected", q, func(a *answer.Affected) {
				s.showAffected(a)
				if why {
					s.showWhy(a.Releases)
				}
			})
			if err != nil {
				return err
			}
			return exitOfState(a.State)
		}),
	}
	t.flags(c)
	p.flags(c)
	c.Flags().BoolVar(&why, "why", false, "also say what each match rests on: path, advisory range, comparison, evidence")
	return c
}

// exitOfState turns the state of an Affected answer into the exit code; an
// unknown state is no safe one.
func exitOfState(state string) error {
	switch state {
	case answer.StateNotAffected, answer.StateNotRunning, answer.StateClosed:
		return nil
	case answer.StateAffected:
		return answered(fault.Failed)
	case answer.StateNotAssessed:
		return answered(fault.NotAssessed)
	}
	return fault.New(fault.Internal, "the server answered a state this command does not know: %q", state)
}

func (s *session) showAffected(a *answer.Affected) {
	p := s.out
	verdict := map[string]style{answer.StateAffected: alarm, answer.StateNotAssessed: yellow}
	st, ok := verdict[a.State]
	if !ok {
		st = green
	}
	p.say(st, a.Verdict)
	if a.Counts.Hidden > 0 {
		p.line("%s outside your scope are counted and not named.", count(a.Counts.Hidden, "exposure"))
	}
	s.showAdvisories(a)
	s.showFixes(a.Fixes)
	s.showHits(a)
	if len(a.Suppressed) > 0 {
		p.heading("Closed by verdicts")
		s.showDecisions(a.Suppressed)
	}
	s.showGaps(a.NotAssessed)
	s.more(a.Next)
}

func (s *session) showAdvisories(a *answer.Affected) {
	p := s.out
	if len(a.Advisories) > 0 {
		p.heading("Advisory")
		for _, v := range a.Advisories {
			id := v.ID
			if len(v.Aliases) > 0 {
				id += " (" + list(v.Aliases, 4) + ")"
			}
			p.line("  %s", id)
			if v.Summary != "" {
				p.flow(indent, []cell{{v.Summary, plain}}, "")
			}
			p.flow(indent, facts(v), ",")
		}
	}
	rows := [][]cell{}
	for _, r := range a.Related {
		rows = append(rows, row(r.ID, r.By, r.Severity, r.Releases, r.Running, r.Summary))
	}
	if len(rows) > 0 {
		p.heading("Records that name it, and are not the same")
		p.table([]string{"RECORD", "BY", "SEVERITY", "RELEASES", "RUNNING", "SUMMARY"}, rows)
	}
}

// facts are what is known of an advisory, in words.
func facts(v answer.Advisory) []cell {
	grade := v.Severity.String()
	if v.Score > 0 {
		grade += fmt.Sprintf(" %.1f", v.Score)
	}
	out := []cell{{grade, severityStyle(v.Severity)}}
	add := func(st style, format string, args ...any) { out = append(out, cell{fmt.Sprintf(format, args...), st}) }
	day := func(t estate.Time) string { return t.Std().Format("2006-01-02") }
	if e := v.Exploited; e != nil {
		how := ""
		if e.Ransomware {
			how = ", by ransomware"
		}
		add(alarm, "exploited since %s (%s)%s", day(e.Added), e.List, how)
	}
	if v.EPSS != nil {
		add(plain, "EPSS %.1f%%", *v.EPSS*100)
	}
	add(plain, "published %s", day(v.Published))
	if v.Known != 0 {
		add(plain, "known here %s", shortTime(v.Known))
	}
	if v.Withdrawn != 0 {
		add(green, "withdrawn %s", day(v.Withdrawn))
	}
	return out
}

func (s *session) showFixes(fixes []answer.Fix) {
	var rows [][]cell
	for _, f := range fixes {
		to := cell{f.To, green}
		if f.To == "" {
			to = cell{"no fix known", yellow}
		} else if f.Major {
			to = cell{f.To + " (major)", yellow}
		}
		rows = append(rows, row(f.Package, list(f.From, 4), to, f.Releases, fmt.Sprintf("%d / %d", f.Direct, f.Indirect)))
	}
	if len(rows) > 0 {
		s.out.heading("Smallest fix")
		s.out.table([]string{"PACKAGE", "IN USE", "CHANGE TO", "RELEASES", "DIRECT / TRANSITIVE"}, rows)
	}
}

func (s *session) showHits(a *answer.Affected) {
	p := s.out
	var rows, idle [][]cell
	for _, r := range a.Releases {
		var pkgs []string
		for _, h := range r.Packages {
			name := h.Name + " " + h.Version
			if h.Direct != nil && !*h.Direct && h.Via != "" {
				name += " via " + h.Via
			}
			pkgs = append(pkgs, name)
		}
		release, what := r.Service+"@"+r.Version, list(pkgs, 2)
		if len(r.Deployments) == 0 {
			idle = append(idle, row(release, what, r.Team))
		}
		for i, d := range r.Deployments {
			since := cell{"since " + shortTime(cmp.Or(d.Exposed, d.Since)), plain}
			if d.Closed != nil {
				since = cell{"no: " + string(d.Closed.Status), green}
			}
			if i > 0 {
				what = "″"
			}
			rows = append(rows, row(release, d.Environment, since, what, list(r.Applications, 2), r.Team))
		}
	}
	if len(rows) > 0 {
		p.heading("Running (%s, %s, %s)", count(a.Counts.Running, "release"), count(a.Counts.Services, "service"), count(a.Counts.Exposures, "exposure"))
		p.table([]string{"RELEASE", "ENVIRONMENT", "EXPOSED", "PACKAGES", "APPLICATIONS", "TEAM"}, rows)
	}
	if len(idle) > 0 {
		p.heading("Affected, and running nowhere")
		p.table([]string{"RELEASE", "PACKAGES", "TEAM"}, idle)
	}
	rows = nil
	for _, app := range a.Applications {
		var at []string
		for _, v := range app.Versions {
			text := fmt.Sprintf("%s: %d", v.Environment, v.Number)
			if v.Affected {
				text += " (hit)"
			}
			at = append(at, text)
		}
		rows = append(rows, row(app.Name, list(app.Services, 5), app.Exposures, strings.Join(at, ", ")))
	}
	if len(rows) > 0 {
		p.heading("Logical applications")
		p.table([]string{"APPLICATION", "SERVICES HIT", "EXPOSURES", "VERSION RUNNING"}, rows)
	}
}

func (s *session) showDecisions(ds []answer.Decision) {
	var rows [][]cell
	for _, d := range ds {
		why := d.Reason
		if why == "" {
			why = d.Justification
		}
		rows = append(rows, row(d.Advisory, string(d.Status), d.Scope, why, d.Author, d.At, d.Expires))
	}
	s.out.table([]string{"ADVISORY", "STATUS", "SCOPE", "REASON", "AUTHOR", "SINCE", "EXPIRES"}, rows)
}

func (s *session) showGaps(gaps []answer.Gap) {
	var rows [][]cell
	for _, g := range gaps {
		rows = append(rows, row(g.Kind, g.What, g.Count, list(g.Examples, 3), g.Remedy))
	}
	if len(rows) > 0 {
		s.out.write("\n")
		s.out.say(yellow, "Not assessed, so silence here is no safety")
		s.out.table([]string{"MISSING", "WHAT", "COUNT", "FOR EXAMPLE", "REMEDY"}, rows)
	}
}

// showWhy leads each match on the page back to its evidence.
func (s *session) showWhy(releases []answer.ReleaseHit) {
	p := s.out
	p.heading("Why")
	for _, r := range releases {
		for _, k := range r.Packages {
			p.line("  %s has %s %s", r.Service+"@"+r.Version, k.Name, k.Version)
			if len(k.Path) > 1 {
				p.line("    path      %s", strings.Join(k.Path, " → "))
			}
			for _, w := range k.Why {
				p.line("    advisory  %s: %s", w.Record, w.Range)
				p.line("    compared  %s", w.Compared)
				if w.Evidence != "" {
					at := ""
					if w.Line > 0 {
						at = fmt.Sprintf(", line %d", w.Line)
					}
					p.line("    evidence  %s%s (%s, from %s)", w.Evidence, at, w.Format, w.Source)
				}
			}
		}
	}
}

// more says how to get the next page.
func (s *session) more(next string) {
	if next != "" {
		s.out.write("\n")
		s.out.line("More follows: --after %s", next)
	}
}

// query makes the parameters that questions share; t and p may be nil.
func query(t *times, p *page) (url.Values, error) {
	q := url.Values{}
	if t != nil {
		for name, text := range map[string]string{"at": t.at, "known": t.known} {
			if text == "" {
				continue
			}
			when, err := parseTime(text)
			if err != nil {
				return nil, err
			}
			q.Set(name, when.String())
		}
	}
	if p != nil {
		if p.limit < 0 || p.limit > 500 {
			return nil, fault.New(fault.Usage, "--limit %d is out of range; want 1 to 500", p.limit)
		}
		if p.limit > 0 {
			q.Set("limit", fmt.Sprint(p.limit))
		}
		if p.after != "" {
			q.Set("after", p.after)
		}
	}
	return q, nil
}
