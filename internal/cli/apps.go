package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/answer"
	"thymus/internal/fault"
)

func (s *session) appCommand() *cobra.Command {
	return s.family("app", "Logical applications: what they are made of, and what changed",
		s.appList(), s.appShow(), s.appVersions(), s.appDiff(), s.appExport(), s.appSettle())
}

// appPath is the API's path of an application, with what follows it.
func appPath(name string, rest ...string) string {
	path := "/api/v1/apps/" + url.PathEscape(name)
	for _, r := range rest {
		path += "/" + r
	}
	return path
}

func (s *session) appList() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "list", Short: "All applications", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			_, err = ask(ctx, s, "/api/v1/apps", q, func(apps *appItems) {
				if len(apps.Items) == 0 {
					s.out.say(plain, "No application is described. An estate.yaml names them; push one with “thymus push”.")
					return
				}
				var rows [][]cell
				for _, a := range apps.Items {
					rows = append(rows, row(a.Name, a.Services, a.Versions, running(a.Running), a.Exposures, worst(a.Worst, a.Exposures), a.Team))
				}
				s.out.table([]string{"APPLICATION", "SERVICES", "VERSIONS", "RUNNING", "EXPOSURES", "WORST", "TEAM"}, rows)
			})
			return err
		}),
	}
	t.flags(c)
	return c
}

// appItems is the API's list of applications.
type appItems struct{ Items []answer.AppSummary }

func running(at []answer.AppAtEnv) string {
	var out []string
	for _, v := range at {
		out = append(out, fmt.Sprintf("%s: %d", v.Environment, v.Number))
	}
	return strings.Join(out, ", ")
}

func (s *session) appShow() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "show APP", Short: "One application: its services and what of them runs", Args: exactly("an application"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			_, err = ask(ctx, s, appPath(args[0]), q, func(a *answer.AppDetail) {
				st := green
				if a.Exposures > 0 {
					st = severityStyle(a.Worst)
				}
				s.out.say(st, fmt.Sprintf("%s: %s, %s, %s open.", a.Name, count(a.Services, "service"), count(a.Versions, "version"), count(a.Exposures, "exposure")))
				if len(a.Running) > 0 {
					s.out.line("Runs as version %s.", running(a.Running))
				}
				var rows [][]cell
				for _, m := range a.Members {
					rows = append(rows, row(m.Service, releases(m.Running), m.Exposures, list(m.SharedWith, 2), m.Domain, m.Team))
				}
				s.out.write("\n")
				s.out.table([]string{"SERVICE", "RUNNING", "EXPOSURES", "SHARED WITH", "DOMAIN", "TEAM"}, rows)
			})
			return err
		}),
	}
	t.flags(c)
	return c
}

func releases(at []answer.RunsAt) string {
	var out []string
	for _, r := range at {
		text := r.Environment + ": " + r.Release
		if !r.HasSBOM {
			text += " (no SBOM)"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (s *session) appVersions() *cobra.Command {
	var t times
	var p page
	c := &cobra.Command{
		Use: "versions APP", Short: "The versions of an application, newest first", Args: exactly("an application"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, &p)
			if err != nil {
				return err
			}
			_, err = ask(ctx, s, appPath(args[0], "versions"), q, func(l *answer.AppVersionList) {
				if len(l.Items) == 0 {
					when := "yet"
					if t != (times{}) {
						when = "by then"
					}
					s.out.line("No version of %s has been minted %s.", args[0], when)
				}
				var rows [][]cell
				for _, v := range l.Items {
					var ran []string
					for _, r := range v.Ran {
						until := shortTime(r.Until)
						if until == "" {
							until = "now"
						}
						ran = append(ran, fmt.Sprintf("%s %s – %s", r.Environment, shortTime(r.From), until))
					}
					rows = append(rows, row(v.Number, short(v.Hash), v.At, len(v.Members), v.Packages, v.Exposures, list(ran, 2)))
				}
				s.out.table([]string{"VERSION", "HASH", "SINCE", "SERVICES", "PACKAGES", "ADVISORIES", "RAN"}, rows)
				if l.Pending != 0 {
					s.out.say(yellow, fmt.Sprintf("One more set is waiting to settle, due %s; “thymus app settle” mints it now.", shortTime(l.Pending)))
				}
				s.more(l.Next)
			})
			return err
		}),
	}
	t.flags(c)
	p.flags(c)
	return c
}

func (s *session) appSettle() *cobra.Command {
	return &cobra.Command{
		Use: "settle", Short: "Mint now the versions that still wait for two quiet minutes",
		Long: `An application version is the set of releases that ran together. It is minted by
itself when nothing of the application has been told for two minutes, since more
of a rollout may be under way.

Use this at the end of a script that tells the past service by service (with
--at), or before a comparison that cannot wait. In the middle of a rollout it
mints sets that nobody meant.`,
		Example: `  thymus deploy cart@1.4 --env production --at 2026-03-01T10:00:00Z
  thymus deploy web@2.0 --env production --at 2026-03-01T10:01:00Z
  thymus app settle`,
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			return tell(ctx, s, "/api/v1/settle", nil, "", nil, func(v *settled) {
				if v.Minted == 0 {
					s.out.say(plain, "Nothing waits to settle: every set that ran has its version.")
					return
				}
				var names []string
				for _, m := range v.Versions {
					names = append(names, fmt.Sprintf("%s %d", m.Application, m.Number))
				}
				more := ""
				if n := v.Minted - len(names); n > 0 {
					more = fmt.Sprintf(" and %d more", n)
				}
				s.out.say(green, fmt.Sprintf("Minted %s: %s%s.", count(v.Minted, "version"), strings.Join(names, ", "), more))
			})
		}),
	}
}

// settled is the API's answer to settle.
type settled struct {
	Minted   int
	Versions []struct {
		Application string
		Number      int
	}
}

func (s *session) appDiff() *cobra.Command {
	var t times
	c := &cobra.Command{
		Use: "diff APP FROM TO", Short: "What changed between two versions of an application",
		Example: "  thymus app diff storefront 6 7",
		Args:    exactly("an application", "a version", "a version"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			for i, name := range []string{"from", "to"} {
				if _, err := number(args[i+1]); err != nil {
					return err
				}
				q.Set(name, args[i+1])
			}
			_, err = ask(ctx, s, appPath(args[0], "diff"), q, func(d *answer.AppDiff) { s.showDiff(d) })
			return err
		}),
	}
	t.flags(c)
	return c
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Usage, "version %q is no application version; want a number like 7", text)
	}
	return n, nil
}

func (s *session) showDiff(d *answer.AppDiff) {
	p := s.out
	appeared, gone := 0, 0
	for _, e := range d.Exposures {
		if e.Change == "appeared" {
			appeared++
		} else {
			gone++
		}
	}
	st := green
	if appeared > 0 {
		st = red
	}
	p.say(st, fmt.Sprintf("%s %d → %d: %s, %s, %d unchanged; %s gone, %d new.", d.Application, d.From, d.To,
		count(len(d.Releases), "service")+" changed", count(len(d.Packages), "package")+" changed", d.Unchanged,
		count(gone, "advisory"), appeared))
	var rows [][]cell
	for _, r := range d.Releases {
		from, to := r.From, r.To
		if from == "" {
			from = "(added)"
		}
		if to == "" {
			to = "(removed)"
		}
		if r.From == r.To {
			to += " (configuration)"
		}
		rows = append(rows, row(r.Service, from, to))
	}
	if len(rows) > 0 {
		p.heading("Releases")
		p.table([]string{"SERVICE", "FROM", "TO"}, rows)
	}
	rows = nil
	for _, k := range d.Packages {
		rows = append(rows, row(k.Name, dash(list(k.From, 3)), dash(list(k.To, 3)), list(k.Services, 3)))
	}
	if len(rows) > 0 {
		p.heading("Packages")
		p.table([]string{"PACKAGE", "FROM", "TO", "SERVICES"}, rows)
	}
	rows = nil
	for _, e := range d.Exposures {
		change := cell{e.Change, green}
		if e.Change == "appeared" {
			change.style = red
		}
		rows = append(rows, row(change, e.Advisory, e.Severity, list(e.Services, 3), list(e.Packages, 2)))
	}
	if len(rows) > 0 {
		p.heading("Advisories")
		p.table([]string{"CHANGE", "ADVISORY", "SEVERITY", "SERVICES", "PACKAGES"}, rows)
	}
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (s *session) appExport() *cobra.Command {
	var t times
	var format, file string
	c := &cobra.Command{
		Use: "export APP [VERSION]", Short: "Write an application version's SBOM (the newest by default)",
		Example: "  thymus app export storefront 7 --format spdx --file storefront-7.spdx.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Usage, "%s needs an application", cmd.CommandPath())
			}
			return atMost("an application and", "a version")(cmd, args)
		},
		RunE: s.do(func(ctx context.Context, args []string) error {
			q, err := query(&t, nil)
			if err != nil {
				return err
			}
			if format != "cyclonedx" && format != "spdx" {
				return fault.New(fault.Usage, "--format %q is unknown; want cyclonedx or spdx", format)
			}
			q.Set("format", format)
			if len(args) == 2 {
				if _, err := number(args[1]); err != nil {
					return err
				}
				q.Set("version", args[1])
			}
			return s.with(ctx, func(c *client) error {
				res, err := c.send(ctx, http.MethodGet, appPath(args[0], "export"), q, "", nil)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if file == "" || file == "-" {
					_, err = io.Copy(s.out.w, res.Body)
					return err
				}
				return writeWhole(file, res.Body)
			})
		}),
	}
	t.flags(c)
	c.Flags().StringVar(&format, "format", "cyclonedx", "cyclonedx (1.6 JSON) or spdx (2.3 JSON)")
	c.Flags().StringVar(&file, "file", "", "write to this `file` instead of the standard output")
	return c
}

// writeWhole writes a file that is either whole or absent.
func writeWhole(name string, body io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".thymus-*")
	if err != nil {
		return fault.New(fault.Usage, "file %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	if _, err = io.Copy(f, body); err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return wrapf(err, "file %s", name)
	}
	return nil
}
