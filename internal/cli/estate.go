package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

func parseTime(text string) (estate.Time, error) {
	t, err := estate.ParseTime(text)
	if err != nil {
		return 0, fault.New(fault.Usage, "%s; want a time like 2026-03-01 or 2026-03-01T10:00:00Z", err)
	}
	return t, nil
}

func (s *session) serviceCommand() *cobra.Command {
	var t times
	var p page
	var f answer.ServiceFilter
	c := &cobra.Command{
		Use:   "service [NAME]",
		Short: "One service, or the list of all",
		Example: `  thymus service --domain checkout
  thymus service cart`,
		Args: atMost("a service"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, &p)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				q.Set("name", args[0])
				_, err = ask(ctx, s, "/api/v1/service", q, func(v *answer.Service) { s.showService(v) })
				return err
			}
			for name, value := range map[string]string{"text": f.Text, "domain": f.Domain, "team": f.Team, "application": f.Application, "environment": f.Environment} {
				if value != "" {
					q.Set(name, value)
				}
			}
			_, err = ask(ctx, s, "/api/v1/services", q, func(l *answer.ServiceList) {
				var rows [][]cell
				for _, v := range l.Items {
					rows = append(rows, row(v.Name, releases(v.Running), v.Exposures, worst(v.Worst, v.Exposures), v.Domain, v.Team))
				}
				if len(l.Items) == 0 && f == (answer.ServiceFilter{}) && p.after == "" {
					s.out.say(plain, "No service is known. “thymus push” tells of one, with its SBOM.")
					return
				}
				s.out.line("%s.", total(l.Total, "service"))
				s.out.table([]string{"SERVICE", "RUNNING", "EXPOSURES", "WORST", "DOMAIN", "TEAM"}, rows)
				s.more(l.Next)
			})
			return err
		}),
	}
	t.flags(c)
	p.flags(c)
	c.Flags().StringVar(&f.Text, "text", "", "only services whose name has this text")
	c.Flags().StringVar(&f.Domain, "domain", "", "only services of this domain and its sub-domains")
	c.Flags().StringVar(&f.Team, "team", "", "only services of this team")
	c.Flags().StringVar(&f.Application, "app", "", "only members of this application")
	c.Flags().StringVar(&f.Environment, "env", "", "only services that run in this environment")
	return c
}

// total renders a count, which may be a lower bound.
func total(c answer.Counted, noun string) string {
	if c.Over {
		return "over " + count(c.N, noun)
	}
	return count(c.N, noun)
}

func (s *session) showService(v *answer.Service) {
	p := s.out
	open, top := 0, estate.Unscored
	var graded []string
	for _, sev := range []estate.Severity{estate.Malware, estate.Critical, estate.High, estate.Medium, estate.Low, estate.None, estate.Unscored} {
		if n := v.Exposures[sev.String()]; n > 0 {
			open += n
			top = max(top, sev)
			graded = append(graded, fmt.Sprintf("%d %s", n, sev))
		}
	}
	if open > 0 {
		p.say(severityStyle(top), fmt.Sprintf("%s: %s open (%s).", v.Name, count(open, "exposure"), strings.Join(graded, ", ")))
	} else {
		p.say(plain, v.Name+": no open exposure known. What could not be assessed is told by “thymus coverage”.")
	}
	pair := func(name, value string) {
		if value != "" {
			p.line("  %-13s %s", name, value)
		}
	}
	pair("title", v.Title)
	pair("domain", v.Domain)
	pair("team", dash(v.Team))
	if v.Tier > 0 {
		pair("tier", fmt.Sprint(v.Tier))
	}
	pair("repository", v.Repository)
	pair("language", v.Language)
	pair("vendor", v.Vendor)
	pair("also known as", list(v.Aliases, 5))
	pair("applications", list(v.Applications, 8))
	var rows [][]cell
	for _, r := range v.Running {
		rows = append(rows, row(r.Environment, r.Release, r.Since, sbom(r.HasSBOM)))
	}
	if len(rows) > 0 {
		p.heading("Running")
		p.table([]string{"ENVIRONMENT", "RELEASE", "SINCE", "SBOM"}, rows)
	}
	rows = nil
	for _, r := range v.Releases {
		rows = append(rows, row(r.Version, r.Known, r.Packages, sbom(r.HasSBOM), r.Matches))
	}
	if len(rows) > 0 {
		p.heading("Releases")
		p.table([]string{"RELEASE", "KNOWN SINCE", "PACKAGES", "SBOM", "ADVISORIES"}, rows)
	}
}

func sbom(has bool) cell {
	if has {
		return cell{"yes", plain}
	}
	return cell{"missing", yellow}
}

func (s *session) releaseCommand() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "release SERVICE@VERSION", Short: "One release: its SBOMs, where it ran, and what matches it",
		Args: exactly("a release"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			if sub, err := estate.ParseSubject(args[0]); err != nil || sub.Version == "" {
				return fault.New(fault.Usage, "%q is no release; want [namespace/]name@version", args[0])
			}
			q.Set("name", args[0])
			_, err = ask(ctx, s, "/api/v1/release", q, func(r *answer.Release) { s.showRelease(r) })
			return err
		}),
	}
	t.flags(c)
	return c
}

func (s *session) showRelease(r *answer.Release) {
	p := s.out
	top := estate.Unscored
	for _, m := range r.Matches {
		top = max(top, m.Severity)
	}
	name := r.Service + "@" + r.Version
	switch {
	case len(r.SBOMs) == 0:
		p.say(yellow, name+": no SBOM, so nothing is known of its packages.")
	case len(r.Matches) == 0:
		p.say(plain, fmt.Sprintf("%s: %s, no known advisory matches. What could not be assessed is told by “thymus coverage”.", name, count(r.Packages, "package")))
	default:
		p.say(severityStyle(top), fmt.Sprintf("%s: %s, %s.", name, count(r.Packages, "package"), count(len(r.Matches), "matching advisory")))
	}
	if len(r.Applications) > 0 {
		p.line("  applications %s", list(r.Applications, 8))
	}
	for _, d := range r.Digests {
		p.line("  artifact     %s", d)
	}
	var rows [][]cell
	for _, b := range r.SBOMs {
		state := plain
		source := b.Source
		if b.Replaced {
			state, source = dim, source+" (replaced)"
		}
		rows = append(rows, row(b.Format, b.Generator, b.Packages, cell{source, state}, b.Known, short(b.Evidence)))
	}
	if len(rows) > 0 {
		p.heading("SBOMs")
		p.table([]string{"FORMAT", "GENERATOR", "PACKAGES", "SOURCE", "KNOWN SINCE", "EVIDENCE"}, rows)
	}
	s.showUnmatched(r.Unmatched)
	rows = nil
	for _, d := range r.Runs {
		until := cell{shortTime(d.Until), plain}
		if until.text == "" {
			until = cell{"now", bold}
		}
		rows = append(rows, row(d.Environment, d.Since, until, d.Source))
	}
	if len(rows) > 0 {
		p.heading("Runs")
		p.table([]string{"ENVIRONMENT", "FROM", "UNTIL", "SOURCE"}, rows)
	}
	rows = nil
	for _, m := range r.Matches {
		decided := ""
		if m.Decision != nil {
			decided = string(m.Decision.Status)
		}
		rows = append(rows, row(m.Advisory, m.Severity, score(m.Score), list(m.Packages, 2), m.Fix, decided))
	}
	if len(rows) > 0 {
		p.heading("Advisories")
		p.table([]string{"ADVISORY", "SEVERITY", "SCORE", "PACKAGES", "FIX", "VERDICT"}, rows)
	}
}

func score(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", v)
}

func (s *session) showUnmatched(us []answer.UnmatchedCount) {
	var rows [][]cell
	for _, u := range us {
		rows = append(rows, row(string(u.Reason), u.Count, list(u.Examples, 3)))
	}
	if len(rows) > 0 {
		s.out.heading("Packages that no advisory can be matched to")
		s.out.table([]string{"REASON", "COUNT", "FOR EXAMPLE"}, rows)
	}
}

func (s *session) packageCommand() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "package PURL", Short: "A package over all its versions in use",
		Example: `  thymus package pkg:npm/lodash
  thymus package PyPI:requests`,
		Args: exactly("a package"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			q.Set("q", args[0])
			_, err = ask(ctx, s, "/api/v1/package", q, func(d *answer.PackageDetail) {
				releases := 0
				for _, v := range d.Versions {
					releases += v.Releases
				}
				s.out.say(plain, fmt.Sprintf("%s (%s): %s in use.", d.Name, d.Ecosystem, count(len(d.Versions), "version")))
				if !d.Assessed {
					s.out.say(yellow, "No advisories of "+d.Ecosystem+" are loaded, so it is not assessed.")
				}
				var rows [][]cell
				for _, v := range d.Versions {
					st := plain
					if len(v.Advisories) > 0 {
						st = red
					}
					rows = append(rows, row(v.Version, v.Releases, v.Running, cell{list(v.Advisories, 3), st}, v.Fix, list(v.Services, 3)))
				}
				s.out.table([]string{"VERSION", "RELEASES", "RUNNING", "ADVISORIES", "FIX", "SERVICES"}, rows)
			})
			return err
		}),
	}
	t.flags(c)
	return c
}

func (s *session) coverageCommand() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "coverage", Short: "What Thymus does not know", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			_, err = ask(ctx, s, "/api/v1/coverage", q, func(v *answer.Coverage) { s.showCoverage(v) })
			return err
		}),
	}
	t.flags(c)
	return c
}

func (s *session) showCoverage(v *answer.Coverage) {
	p := s.out
	if v.Running == 0 {
		p.say(yellow, "Nothing runs, as far as Thymus was told: “thymus push --deploy” and “thymus deploy” tell of what does.")
		s.showGaps(v.Gaps)
		return
	}
	st := green
	if v.WithoutSBOM > 0 || v.Matchable < v.Packages || len(v.Gaps) > 0 {
		st = yellow
	}
	p.say(st, fmt.Sprintf("%d of %d running releases have an SBOM; %d of %s that run can be matched.",
		v.Running-v.WithoutSBOM, v.Running, v.Matchable, count(v.Packages, "package")))
	var unread []string
	for _, e := range v.Ecosystems {
		if !e.Assessed {
			unread = append(unread, e.Ecosystem)
		}
	}
	if len(unread) > 0 {
		p.say(yellow, "No advisories are loaded for "+list(unread, 10)+", so nothing there is assessed.")
	}
	var rows [][]cell
	for _, e := range v.Ecosystems {
		assessed := cell{"yes", green}
		if !e.Assessed {
			assessed = cell{"no", yellow}
		}
		rows = append(rows, row(e.Ecosystem, assessed, e.Packages, e.Advisories, e.Newest, e.Checked))
	}
	if len(rows) > 0 {
		p.heading("Ecosystems in use")
		p.table([]string{"ECOSYSTEM", "ASSESSED", "PACKAGES", "ADVISORIES", "NEWEST", "CHECKED"}, rows)
	}
	s.showUnmatched(v.Unmatched)
	rows = nil
	for _, u := range v.Unresolved {
		rows = append(rows, row(u.Name, u.Reason, u.Remedy))
	}
	if len(rows) > 0 {
		p.heading("Names that joined nothing")
		p.table([]string{"NAME", "REASON", "REMEDY"}, rows)
	}
	if len(v.Unowned) > 0 {
		p.heading("Services that nobody owns")
		p.line("  %s", list(v.Unowned, 20))
	}
	s.showGaps(v.Gaps)
	if len(v.Problems) > 0 {
		p.heading("Advisory ranges that could not be evaluated")
		for _, problem := range v.Problems {
			p.line("  %s", problem)
		}
	}
}

func (s *session) metricsCommand() *cobra.Command {
	var t times
	var app, env string
	c := &cobra.Command{
		Use: "metrics", Short: "How fast exposures are found and healed", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			for name, value := range map[string]string{"application": app, "environment": env} {
				if value != "" {
					q.Set(name, value)
				}
			}
			_, err = ask(ctx, s, "/api/v1/metrics", q, func(m *answer.Metrics) { s.showMetrics(m) })
			return err
		}),
	}
	t.flags(c)
	c.Flags().StringVar(&app, "app", "", "of this application alone")
	c.Flags().StringVar(&env, "env", "", "of this environment alone")
	return c
}

func (s *session) showMetrics(m *answer.Metrics) {
	st := green
	if m.Overdue > 0 {
		st = red
	}
	s.out.say(st, fmt.Sprintf("%s open, %d over their service level.", count(m.Open, "exposure"), m.Overdue))
	stated := func(v *float64, unit string) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.1f %s", *v, unit)
	}
	within := "–"
	if m.Within != nil {
		within = fmt.Sprintf("%.0f %%", *m.Within*100)
	}
	s.out.table([]string{"", "MEAN", "MEDIAN"}, [][]cell{
		row("time to detect", stated(m.DetectMean, "hours"), stated(m.DetectMedian, "hours")),
		row("time to remediate", stated(m.RemedyMean, "days"), stated(m.RemedyMedian, "days")),
	})
	s.out.table([]string{"", ""}, [][]cell{
		row("closed", m.Closed), row("of these by upgrade", m.Upgraded),
		row("within service level", within), row("exposure-days", fmt.Sprintf("%.1f", m.ExposureDays)),
		row("opened in 30 days", m.Opened30), row("closed in 30 days", m.Closed30),
	})
}
