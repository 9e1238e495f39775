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

func (s *session) exposuresCommand() *cobra.Command {
	var t times
	var p page
	var group string
	texts := map[string]*string{}
	c := &cobra.Command{
		Use:   "exposures",
		Short: "What is open, worst first; or what would close most",
		Long: `Lists exposures: an advisory, a service and an environment. Filters narrow the
list; --group-by fix lists the changes that would close most instead.`,
		Example: `  thymus exposures --app storefront --env production --min-severity high
  thymus exposures --exploited --sort opened
  thymus exposures --group-by fix`,
		Args: exactly(),
	}
	text := func(flag, param, help string) {
		texts[param] = c.Flags().String(flag, "", help)
	}
	text("advisory", "advisory", "of this advisory, by any of its ids")
	text("service", "service", "of this service")
	text("team", "team", "of this team's services")
	text("domain", "domain", "of this domain and its sub-domains")
	text("app", "application", "of this application's services")
	text("env", "environment", "in this environment")
	text("tier", "tier", "in environments of this tier")
	text("package", "package", "through this package (name, or purl without version)")
	text("ecosystem", "ecosystem", "through packages of this ecosystem")
	text("min-severity", "min_severity", "at least this severe: low, medium, high, critical, malware")
	text("state", "state", "open (default), suppressed, closed or all")
	text("sort", "sort", "severity (default), epss, published, opened or service; a leading - reverses")
	epss := c.Flags().Float64("min-epss", 0, "at least this likely to be exploited, 0 to 1")
	flags := map[string]*bool{
		"exploited": c.Flags().Bool("exploited", false, "only those known to be exploited (=false: only the others)"),
		"fixable":   c.Flags().Bool("fixable", false, "only those with a known fix (=false: only the others)"),
		"overdue":   c.Flags().Bool("overdue", false, "only those over their service level (=false: only the others)"),
	}
	c.Flags().StringVar(&group, "group-by", "", "fix: list the changes that would close them")
	t.flags(c)
	p.flags(c)
	c.RunE = s.do(func(ctx context.Context, _ []string) error {
		q, err := query(&t, &p)
		if err != nil {
			return err
		}
		for name, value := range texts {
			if *value != "" {
				q.Set(name, *value)
			}
		}
		for name, value := range flags {
			if c.Flags().Changed(name) {
				q.Set(name, fmt.Sprint(*value))
			}
		}
		if *epss < 0 || *epss > 1 {
			return fault.New(fault.Usage, "--min-epss %v is out of range; want 0 to 1", *epss)
		}
		if *epss > 0 {
			q.Set("min_epss", fmt.Sprint(*epss))
		}
		if v := *texts["min_severity"]; v != "" {
			if _, err := estate.ParseSeverity(v); err != nil {
				return fault.New(fault.Usage, "--min-severity: %s", err)
			}
		}
		if err := oneOf("--state", *texts["state"], "open", "suppressed", "closed", "all"); err != nil {
			return err
		}
		if err := oneOf("--sort", strings.TrimPrefix(*texts["sort"], "-"), "severity", "epss", "published", "opened", "service"); err != nil {
			return err
		}
		switch group {
		case "":
			_, err = ask(ctx, s, "/api/v1/exposures", q, func(l *answer.ExposureList) { s.showExposures(l) })
		case "fix":
			_, err = ask(ctx, s, "/api/v1/fixes", q, func(l *answer.FixList) { s.showFixGroups(l) })
		default:
			err = fault.New(fault.Usage, "--group-by %q is unknown; want fix", group)
		}
		return err
	})
	return c
}

// oneOf refuses a value that is neither blank nor known.
func oneOf(flag, value string, known ...string) error {
	if value == "" {
		return nil
	}
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return fault.New(fault.Usage, "%s %q is unknown; want one of %s", flag, value, strings.Join(known, ", "))
}

func (s *session) showExposures(l *answer.ExposureList) {
	p := s.out
	if len(l.Items) == 0 && l.Total.N == 0 {
		p.line("No such exposure. What could not be assessed is told by “thymus coverage”.")
		return
	}
	p.line("%s.", total(l.Total, "exposure"))
	var rows [][]cell
	for _, e := range l.Items {
		severity := cell{e.Severity.String(), severityStyle(e.Severity)}
		if e.Exploited {
			severity = cell{e.Severity.String() + ", exploited", alarm}
		}
		state := cell{"open", plain}
		switch {
		case e.Closed != 0:
			state = cell{e.ClosedBy + " " + shortTime(e.Closed), green}
		case e.Decision != nil && (e.Decision.Status == estate.StatusNotAffected || e.Decision.Status == estate.StatusFixed):
			state = cell{string(e.Decision.Status), green}
		case e.Overdue:
			state = cell{"overdue since " + shortTime(e.Due), red}
		}
		rows = append(rows, row(e.Advisory, severity, e.EPSS, e.Service+"@"+list(e.Releases, 2), e.Environment, list(e.Packages, 2), e.Fix, e.Opened, state))
	}
	p.table([]string{"ADVISORY", "SEVERITY", "EPSS", "RELEASE", "ENVIRONMENT", "PACKAGE", "FIX", "OPENED", "STATE"}, rows)
	s.more(l.Next)
}

func (s *session) showFixGroups(l *answer.FixList) {
	if len(l.Items) == 0 {
		s.out.line("Nothing to change. What could not be assessed is told by “thymus coverage”.")
		return
	}
	var rows [][]cell
	for _, f := range l.Items {
		to := cell{f.To, green}
		if f.To == "" {
			to = cell{"no fix known", yellow}
		} else if f.Major {
			to = cell{f.To + " (major)", yellow}
		}
		gravest := cell{f.Severity.String(), severityStyle(f.Severity)}
		if f.Exploited {
			gravest = cell{f.Severity.String() + ", exploited", alarm}
		}
		closes := fmt.Sprint(f.Exposures)
		if f.Over {
			closes = "over " + closes
		}
		rows = append(rows, row(f.Package, list(f.From, 3), to, closes, f.Advisories, gravest, list(f.Services, 3)))
	}
	s.out.table([]string{"PACKAGE", "IN USE", "CHANGE TO", "CLOSES", "ADVISORIES", "WORST", "SERVICES"}, rows)
	s.more(l.Next)
}
