package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// maxDocument bounds what push reads, in bytes; the server has limits of its own.
const maxDocument = 300 << 20

func (s *session) pushCommand() *cobra.Command {
	var service, version, digest, env, at, source string
	var deploy, alongside bool
	c := &cobra.Command{
		Use:   "push FILE...",
		Short: "Push an SBOM, a VEX document, deployment events or estate.yaml",
		Long: `Pushes documents; their format is told from their content. --service and
--version say what an SBOM is about, and beat what it says itself. With --deploy
the release also runs in --env from --at on. FILE may be - for the standard input.`,
		Example: `  thymus push --service cart --version 1.4 cart.cdx.json
  syft cart:1.4 -o cyclonedx-json | thymus push --service cart --version 1.4 --env production --deploy -
  thymus push estate.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Usage, "%s needs a file, or - for the standard input", cmd.CommandPath())
			}
			return nil
		},
		RunE: s.do(func(ctx context.Context, args []string) error {
			switch {
			case deploy && (service == "" || env == ""):
				return fault.New(fault.Usage, "--deploy needs --service and --env")
			case version != "" && service == "":
				return fault.New(fault.Usage, "--version needs --service")
			case alongside && !deploy:
				return fault.New(fault.Usage, "--alongside needs --deploy")
			}
			q := url.Values{}
			if service != "" {
				sub, err := subject(service, version)
				if err != nil {
					return err
				}
				for name, value := range map[string]string{"service": sub.Service(), "version": sub.Version} {
					if value != "" {
						q.Set(name, value)
					}
				}
			}
			for name, value := range map[string]string{"digest": digest, "environment": env, "source": source} {
				if value != "" {
					q.Set(name, value)
				}
			}
			for name, value := range map[string]bool{"deploy": deploy, "alongside": alongside} {
				if value {
					q.Set(name, "true")
				}
			}
			if at != "" {
				t, err := parseTime(at)
				if err != nil {
					return err
				}
				q.Set("at", t.String())
			}
			for _, name := range args {
				if name == "-" {
					continue
				}
				info, err := os.Stat(name)
				if err != nil {
					return fault.New(fault.Invalid, "%w", err)
				}
				if info.IsDir() {
					return fault.New(fault.Invalid, "%s is a folder; push takes files (a folder of advisories goes to thymus feed import)", name)
				}
			}
			return s.with(ctx, func(c *client) error {
				for _, name := range args {
					body, err := s.document(name)
					if err != nil {
						return err
					}
					stop := s.errs.progress("pushing " + name)
					raw, err := c.call(ctx, "POST", "/api/v1/ingest", q, "application/octet-stream", bytes.NewReader(body))
					stop()
					if err != nil {
						return wrapf(err, "%s", name)
					}
					if _, err := present(s, raw, func(r *engine.Receipt) { s.showReceipt(r) }); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
	c.Flags().StringVar(&service, "service", "", "the service, as [namespace/]name or [namespace/]name@version")
	c.Flags().StringVar(&version, "version", "", "its version, as written")
	c.Flags().StringVar(&digest, "digest", "", "the artifact's digest, sha256:…")
	c.Flags().StringVar(&env, "env", "", "the environment")
	c.Flags().BoolVar(&deploy, "deploy", false, "the release runs in --env from --at on")
	c.Flags().BoolVar(&alongside, "alongside", false, "other releases of the service go on running there")
	c.Flags().StringVar(&at, "at", "", "since when this is true (default: what the document says, else now)")
	c.Flags().StringVar(&source, "source", "", "who says so (default: the token's name)")
	return c
}

// subject joins a service and a version given apart.
func subject(service, version string) (estate.Subject, error) {
	sub, err := estate.ParseSubject(service)
	if err != nil {
		return sub, fault.New(fault.Usage, "%s", err)
	}
	if version != "" {
		if sub.Version != "" && sub.Version != version {
			return sub, fault.New(fault.Usage, "--service says version %q and --version %q", sub.Version, version)
		}
		sub.Version = version
	}
	return sub, nil
}

// document reads a file, or the standard input for "-".
func (s *session) document(name string) ([]byte, error) {
	in := s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%w", err)
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	switch {
	case err != nil:
		return nil, fault.New(fault.Invalid, "%s: %w", name, err)
	case len(body) > maxDocument:
		return nil, fault.New(fault.TooLarge, "%s is over %d MB", name, maxDocument>>20)
	case len(body) == 0:
		return nil, fault.New(fault.Invalid, "%s is empty", name)
	}
	return body, nil
}

func (s *session) showReceipt(r *engine.Receipt) {
	p := s.out
	var what []string
	add := func(n int, noun string) {
		if n > 0 {
			what = append(what, count(n, noun))
		}
	}
	if r.Release != "" {
		what = append(what, "release "+r.Release)
	}
	add(r.Packages, "package")
	add(r.Deployments, "deployment")
	add(r.Verdicts, "verdict")
	add(r.Advisories, "advisory")
	add(r.Signals, "exploit signal")
	if r.Duplicate {
		p.say(plain, fmt.Sprintf("Known already (%s).", r.Format))
	} else {
		p.say(green, fmt.Sprintf("Stored as %s: %s.", r.Format, strings.Join(what, ", ")))
	}
	if len(r.Unmatched) > 0 {
		var parts []string
		for _, reason := range slices.Sorted(maps.Keys(r.Unmatched)) {
			parts = append(parts, fmt.Sprintf("%d %s", r.Unmatched[reason], reason))
		}
		p.say(yellow, "No advisory can be matched to some packages: "+strings.Join(parts, ", ")+".")
	}
	if r.Redacted > 0 {
		p.line("%s overwritten before storage.", count(r.Redacted, "secret"))
	}
	for _, n := range r.Notes {
		p.line("Note: %s", n)
	}
	if r.Opened > 0 {
		p.say(red, count(r.Opened, "exposure")+" opened.")
	}
	if r.Closed > 0 {
		p.say(green, count(r.Closed, "exposure")+" closed.")
	}
}

// deployment is the body of the API's deployments and undeployments.
type deployment struct {
	Service     string      `json:"service"`
	Version     string      `json:"version,omitempty"`
	Digest      string      `json:"digest,omitempty"`
	Environment string      `json:"environment"`
	Alongside   bool        `json:"alongside,omitempty"`
	Config      string      `json:"config,omitempty"`
	Replicas    int         `json:"replicas,omitempty"`
	At          estate.Time `json:"at,omitzero"`
}

func (s *session) deployCommand() *cobra.Command {
	var d deployment
	var at string
	c := &cobra.Command{
		Use: "deploy SERVICE@VERSION --env ENVIRONMENT", Short: "Say that a release runs in an environment",
		Long: `Says that a release runs in an environment. It replaces the release of the
service that the same source deployed there before, unless --alongside.`,
		Example: "  thymus deploy cart@1.4 --env production",
		Args:    exactly("a release"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			return s.sendDeployment(ctx, "/api/v1/deployments", args[0], at, d, true)
		}),
	}
	c.Flags().StringVar(&d.Environment, "env", "", "the environment")
	c.Flags().StringVar(&d.Digest, "digest", "", "the artifact's digest, sha256:…")
	c.Flags().BoolVar(&d.Alongside, "alongside", false, "other releases of the service go on running there")
	c.Flags().StringVar(&d.Config, "config", "", "digest of the configuration it runs with")
	c.Flags().IntVar(&d.Replicas, "replicas", 0, "how many of it run")
	c.Flags().StringVar(&at, "at", "", "since when (default now)")
	return c
}

func (s *session) undeployCommand() *cobra.Command {
	var d deployment
	var at string
	c := &cobra.Command{
		Use: "undeploy SERVICE[@VERSION] --env ENVIRONMENT", Short: "Say that a release no longer runs in an environment",
		Long:    "Says that a release, or without a version every release of the service, no\nlonger runs in an environment.",
		Example: "  thymus undeploy cart@1.4 --env production",
		Args:    exactly("a release or a service"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			return s.sendDeployment(ctx, "/api/v1/undeployments", args[0], at, d, false)
		}),
	}
	c.Flags().StringVar(&d.Environment, "env", "", "the environment")
	c.Flags().StringVar(&at, "at", "", "since when (default now)")
	return c
}

func (s *session) sendDeployment(ctx context.Context, path, release, at string, d deployment, version bool) error {
	sub, err := subject(release, "")
	switch {
	case err != nil:
		return err
	case version && sub.Version == "" && d.Digest == "":
		return fault.New(fault.Usage, "%q has no version; want [namespace/]name@version", release)
	case d.Environment == "":
		return fault.New(fault.Usage, "--env is missing: where does it run?")
	}
	d.Service, d.Version = sub.Service(), sub.Version
	if at != "" {
		if d.At, err = parseTime(at); err != nil {
			return err
		}
	}
	return s.sendJSON(ctx, path, d)
}

// sendJSON posts a decision or an event, and shows the receipt.
func (s *session) sendJSON(ctx context.Context, path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return wrapf(err, "request of %s", path)
	}
	return tell(ctx, s, path, nil, "application/json", bytes.NewReader(raw), func(r *engine.Receipt) { s.showReceipt(r) })
}

// verdictBody is the body of the API's verdicts.
type verdictBody struct {
	Advisory      string        `json:"advisory"`
	Status        estate.Status `json:"status"`
	Package       string        `json:"package,omitempty"`
	Range         string        `json:"range,omitempty"`
	Release       string        `json:"release,omitempty"`
	Service       string        `json:"service,omitempty"`
	Application   string        `json:"application,omitempty"`
	Domain        string        `json:"domain,omitempty"`
	Environment   string        `json:"environment,omitempty"`
	Justification string        `json:"justification,omitempty"`
	Reason        string        `json:"reason,omitempty"`
	Author        string        `json:"author,omitempty"`
	At            estate.Time   `json:"at,omitzero"`
	Expires       estate.Time   `json:"expires,omitzero"`
}

func (s *session) verdictCommand() *cobra.Command {
	var v verdictBody
	var status, at, expires string
	c := &cobra.Command{
		Use:   "verdict ADVISORY --status STATUS",
		Short: "Decide that an advisory does, or does not, affect something",
		Long: `Stores a decision about an advisory. Its scope is one of --release, --service,
--app and --domain, or everything; the most specific verdict wins. Only
not_affected and fixed close exposures. A verdict on a release does not carry
over to the next one.`,
		Example: `  thymus verdict CVE-2021-44228 --status not_affected --service search \
      --justification vulnerable_code_not_in_execute_path --reason "lookups are off" --expires 2027-01-01`,
		Args: exactly("an advisory id"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			known := []string{string(estate.StatusNotAffected), string(estate.StatusAffected), string(estate.StatusFixed), string(estate.StatusInvestigate)}
			if status == "" {
				return fault.New(fault.Usage, "--status is missing; want one of %s", strings.Join(known, ", "))
			}
			if err := oneOf("--status", status, known...); err != nil {
				return err
			}
			scopes := 0
			for _, scope := range []string{v.Release, v.Service, v.Application, v.Domain} {
				if scope != "" {
					scopes++
				}
			}
			if scopes > 1 {
				return fault.New(fault.Usage, "a verdict has one scope; give at most one of --release, --service, --app and --domain")
			}
			if v.Release != "" {
				if sub, err := subject(v.Release, ""); err != nil || sub.Version == "" {
					return fault.New(fault.Usage, "--release %q is no release; want [namespace/]name@version, or --service for all its releases", v.Release)
				}
			}
			if v.Range != "" && v.Package == "" {
				return fault.New(fault.Usage, "--range needs --package")
			}
			v.Advisory, v.Status = args[0], estate.Status(status)
			for _, t := range []struct {
				text string
				to   *estate.Time
			}{{at, &v.At}, {expires, &v.Expires}} {
				if t.text == "" {
					continue
				}
				parsed, err := parseTime(t.text)
				if err != nil {
					return err
				}
				*t.to = parsed
			}
			return s.sendJSON(ctx, "/api/v1/verdicts", v)
		}),
	}
	f := c.Flags()
	f.StringVar(&status, "status", "", "not_affected, affected, fixed or under_investigation")
	f.StringVar(&v.Package, "package", "", "of this package alone (a purl)")
	f.StringVar(&v.Range, "range", "", "of these versions of --package alone, as <2.15.0")
	f.StringVar(&v.Release, "release", "", "for this release")
	f.StringVar(&v.Service, "service", "", "for all releases of this service")
	f.StringVar(&v.Application, "app", "", "for the services of this application")
	f.StringVar(&v.Domain, "domain", "", "for the services of this domain")
	f.StringVar(&v.Environment, "env", "", "in this environment alone")
	f.StringVar(&v.Justification, "justification", "", "OpenVEX's word for why")
	f.StringVar(&v.Reason, "reason", "", "why, in your words")
	f.StringVar(&v.Author, "author", "", "who decides (default: the token's name)")
	f.StringVar(&at, "at", "", "since when (default now)")
	f.StringVar(&expires, "expires", "", "until when (default: for ever)")
	return c
}
