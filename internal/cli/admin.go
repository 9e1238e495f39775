package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/access"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

func (s *session) tokenCommand() *cobra.Command {
	return s.family("token", "Tokens: who may use the API", s.tokenCreate(), s.tokenList(), s.tokenRevoke())
}

// tokenSpec is the body of the API's tokens.
type tokenSpec struct {
	Name    string      `json:"name"`
	Role    string      `json:"role"`
	Domains []string    `json:"domains,omitempty"`
	Expires estate.Time `json:"expires,omitzero"`
}

// newToken is the API's answer to it; nobody can read the secret again.
type newToken struct {
	access.Token
	Secret string `json:"secret"`
}

func (s *session) tokenCreate() *cobra.Command {
	var spec tokenSpec
	var expires string
	c := &cobra.Command{
		Use: "create", Short: "Make a token, and print it; it is shown once",
		Example: `  thymus token create --role publisher --name ci
  thymus token create --role reader --domain payments --expires 2027-06-30`,
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			if spec.Role == "" {
				return fault.New(fault.Usage, "--role is missing; want admin, publisher or reader")
			}
			role, err := access.ParseRole(spec.Role)
			if err != nil {
				return fault.New(fault.Usage, "--role: %s", err)
			}
			spec.Role = role.String()
			if expires != "" {
				if spec.Expires, err = parseTime(expires); err != nil {
					return err
				}
			}
			if spec.Name == "" {
				spec.Name = freshName(spec.Role)
			}
			body, err := jsonBody(spec)
			if err != nil {
				return err
			}
			return tell(ctx, s, "/api/v1/tokens", nil, "application/json", body, func(t *newToken) { s.out.write(t.Secret + "\n") })
		}),
	}
	c.Flags().StringVar(&spec.Role, "role", "", "admin, publisher or reader")
	c.Flags().StringVar(&spec.Name, "name", "", "what facts show as their source (default: the role and the time)")
	c.Flags().StringSliceVar(&spec.Domains, "domain", nil, "limit it to this domain and its sub-domains; may be repeated")
	c.Flags().StringVar(&expires, "expires", "", "until when (default: until revoked)")
	return c
}

func (s *session) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All tokens, without their secrets", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			_, err := ask(ctx, s, "/api/v1/tokens", nil, func(l *struct{ Items []access.Token }) {
				if len(l.Items) == 0 {
					s.out.say(plain, "No token. “thymus token create” makes one; on this machine the data directory needs none.")
				}
				var rows [][]cell
				for _, t := range l.Items {
					rows = append(rows, row(t.ID, t.Name, t.Role.String(), list(t.Domains, 5), t.Created, t.Expires))
				}
				s.out.table([]string{"ID", "NAME", "ROLE", "DOMAINS", "CREATED", "EXPIRES"}, rows)
			})
			return err
		}),
	}
}

func (s *session) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Refuse a token from now on", Args: exactly("a token's id (see thymus token list)"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			return s.with(ctx, func(c *client) error {
				if _, err := c.call(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(args[0]), nil, "", nil); err != nil {
					return err
				}
				s.errs.line("Revoked %s.", args[0])
				return nil
			})
		}),
	}
}

func (s *session) rebuildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rebuild", Short: "Read all evidence again, so that better readers improve the past too", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			return s.with(ctx, func(c *client) error {
				stop := s.errs.progress("reading all evidence again")
				_, err := c.call(ctx, http.MethodPost, "/api/v1/rebuild", nil, "", nil)
				stop()
				if err != nil {
					return err
				}
				s.errs.line("Rebuilt.")
				return nil
			})
		}),
	}
}

func (s *session) retentionCommand() *cobra.Command {
	var evidence, revisions string
	c := &cobra.Command{
		Use: "retention", Short: "Drop replaced documents and superseded advisory revisions; facts stay",
		Example: "  thymus retention --evidence 2026-01-01 --revisions 2026-06-01",
		Args:    exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			if evidence == "" && revisions == "" {
				return fault.New(fault.Usage, "say what to drop: --evidence, --revisions or both")
			}
			body := map[string]estate.Time{}
			for name, text := range map[string]string{"evidence": evidence, "revisions": revisions} {
				if text == "" {
					continue
				}
				t, err := parseTime(text)
				if err != nil {
					return err
				}
				body[name] = t
			}
			raw, err := jsonBody(body)
			if err != nil {
				return err
			}
			return tell(ctx, s, "/api/v1/retention", nil, "application/json", raw, func(d *dropped) {
				s.out.line("Dropped %s and %s.", count(d.Bodies, "document"), count(d.Revisions, "advisory revision"))
			})
		}),
	}
	c.Flags().StringVar(&evidence, "evidence", "", "drop the bodies of SBOMs that were replaced before this `time`")
	c.Flags().StringVar(&revisions, "revisions", "", "drop advisory revisions that were superseded before this `time`")
	return c
}

// dropped is the API's answer to retention.
type dropped struct{ Bodies, Revisions int }

func (s *session) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Which build this is", Args: exactly(),
		RunE: s.do(func(context.Context, []string) error {
			v := build()
			if s.output == "json" {
				raw, err := jsonBody(v)
				if err != nil {
					return err
				}
				s.out.write(raw.String() + "\n")
				return nil
			}
			text := fmt.Sprintf("thymus %s (%s, %s/%s)", v.Version, v.Go, runtime.GOOS, runtime.GOARCH)
			if v.Revision != "" {
				text += " " + v.Revision
			}
			s.out.line("%s", text)
			return nil
		}),
	}
}

// buildInfo says which build this is, from what the Go tool recorded.
type buildInfo struct {
	Version  string `json:"version"` // of the module; "(devel)" from a working copy
	Revision string `json:"revision,omitempty"`
	Dirty    bool   `json:"dirty,omitempty"`
	Go       string `json:"go"`
}

func build() buildInfo {
	v := buildInfo{Version: "(unknown)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = strings.TrimSpace(info.Main.Version)
	for _, set := range info.Settings {
		switch set.Key {
		case "vcs.revision":
			v.Revision = set.Value
		case "vcs.modified":
			v.Dirty = set.Value == "true"
		}
	}
	return v
}
