// Package cli is the command line, one of the two faces of Thymus. It turns
// arguments into requests of the HTTP API and the answers into tables; it holds
// no questions of its own, so that a command, a request and a screen cannot
// disagree.
//
// A command finds its server in this order: the flag --data names a data
// directory; else THYMUS_URL names a server; else THYMUS_DATA, or the default
// place, names a data directory. A directory that a running server owns is
// reached over the socket in it. A free one is opened by the command itself,
// which then calls the same API handler in its own process (package host):
// never two processes on one store.
//
// Everything a command reads or writes is handed to Run, so that tests run the
// whole program in their own process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"thymus/internal/fault"
)

// session is one call of the command: its streams, its environment, its flags.
type session struct {
	env    map[string]string
	in     io.Reader
	out    *printer
	errs   *printer
	data   string // --data
	output string // --output
	chosen bool   // --data was given, and beats THYMUS_URL
	ran    bool   // a verb began: later errors are its own, not the parser's
}

// Run runs the command with its arguments (without the program's name) and
// returns the process's exit code: 0 fine, 1 affected or a check failed, 2
// usage or bad input, 3 internal, 4 cannot answer. env holds "NAME=value"
// strings. It returns soon after ctx ends.
func Run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &session{env: map[string]string{}, in: stdin}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		s.env[name] = value
	}
	s.out, s.errs = newPrinter(stdout, s.env), newPrinter(stderr, s.env)

	root := s.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = s.out.err
	}
	if err == nil {
		return fault.ExitOK
	}
	if !s.ran && fault.Of(err) == fault.Internal {
		// The parser's own errors carry no code. Its suggestions stay.
		err = fault.New(fault.Usage, "%s", strings.TrimSpace(err.Error()))
	}
	if message := err.Error(); message != "" {
		if !strings.HasPrefix(message, "thymus ") {
			message = "thymus: " + message
		}
		s.errs.write(strings.ReplaceAll(message, "\n\n", "\n") + "\n")
		if fault.Of(err) == fault.Usage {
			s.errs.write("Run “thymus --help” or “thymus COMMAND --help” for usage.\n")
		}
	}
	return fault.Exit(err)
}

// verb is the signature of a command's work; args are its positional ones.
type verb func(ctx context.Context, args []string) error

// do wraps a verb for cobra.
func (s *session) do(v verb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s.ran = true
		s.chosen = cmd.Flags().Changed("data")
		if s.output != "table" && s.output != "json" {
			return fault.New(fault.Usage, "--output %q is unknown; want table or json", s.output)
		}
		err := v(cmd.Context(), args)
		if err != nil && cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
			return fault.New(fault.Unavailable, "interrupted")
		}
		return err
	}
}

const long = `Thymus knows what runs, what it is made of, and what is wrong with it.

Commands talk to the server named by THYMUS_URL (with THYMUS_TOKEN), else to the
data directory: over its socket while “thymus serve” runs there, else directly.

Exit codes: 0 fine; 1 affected, or a check failed; 2 usage or bad input;
3 internal error; 4 cannot answer, since a feed or an SBOM is missing.`

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "thymus",
		Short:         "An immune system for microservices",
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Example: `  thymus demo
  thymus serve --data ./thymus-data
  thymus push --service cart --version 1.4 --env production --deploy cart.cdx.json
  thymus affected CVE-2021-44228
  thymus app diff storefront 6 7 --output json`,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.PersistentFlags().StringVar(&s.data, "data", "", "data directory (default $THYMUS_DATA, else thymus in the user's data folder)")
	root.PersistentFlags().StringVarP(&s.output, "output", "o", "table", "how to print answers: table or json (exactly the API's)")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.New(fault.Usage, "%s: %s", cmd.CommandPath(), err)
	})
	const start, tell, ask, keep = "start", "tell", "ask", "keep"
	root.AddGroup(
		&cobra.Group{ID: start, Title: "Start:"},
		&cobra.Group{ID: tell, Title: "Tell Thymus:"},
		&cobra.Group{ID: ask, Title: "Ask Thymus:"},
		&cobra.Group{ID: keep, Title: "Keep it:"},
	)
	groups := map[string][]*cobra.Command{
		start: {s.demoCommand(), s.serveCommand()},
		tell:  {s.pushCommand(), s.deployCommand(), s.undeployCommand(), s.verdictCommand()},
		ask: {s.affectedCommand(), s.appCommand(), s.serviceCommand(), s.releaseCommand(),
			s.packageCommand(), s.exposuresCommand(), s.coverageCommand(), s.metricsCommand()},
		keep: {s.feedCommand(), s.tokenCommand(), s.rebuildCommand(), s.retentionCommand(), s.benchCommand(), s.versionCommand()},
	}
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		for _, c := range groups[id] {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	return root
}

// family makes a command that only holds others; alone, or with an unknown
// verb, it is a usage error that names the known ones.
func (s *session) family(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(verbs...)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, v := range verbs {
			names = append(names, v.Name())
		}
		if len(args) == 0 {
			return fault.New(fault.Usage, "%s needs a verb: %s", cmd.CommandPath(), strings.Join(names, ", "))
		}
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return fault.New(fault.Usage, "unknown command %q for %q; did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, " or "))
		}
		return fault.New(fault.Usage, "unknown command %q for %q; it has %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
	}
	return c
}

// exactly asks for n positional arguments, named in the error.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := "no arguments"
		if len(names) > 0 {
			want = strings.Join(names, ", ")
		}
		return fault.New(fault.Usage, "%s takes %s; got %s", cmd.CommandPath(), want, count(len(args), "argument"))
	}
}

// atMost allows up to the named positional arguments.
func atMost(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= len(names) {
			return nil
		}
		return fault.New(fault.Usage, "%s takes at most %s; got %s", cmd.CommandPath(), strings.Join(names, " "), count(len(args), "argument"))
	}
}

// answered ends a command whose output has said everything, with an exit code.
func answered(code fault.Code) error { return &fault.Error{Code: code} }

// wrapf adds the noun being handled, and keeps the code.
func wrapf(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
