package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/cli/host"
	"thymus/internal/demo"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// demoAdvisory is what the demo asks about: the one that everybody remembers.
const demoAdvisory = "CVE-2021-44228"

func (s *session) demoCommand() *cobra.Command {
	var l listenFlags
	var exit bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Look around in a made-up company",
		Long: `Loads a made-up company (services, SBOMs, deployments, advisories, verdicts),
answers the main question about it (are we hit by ` + demoAdvisory + `?), and
serves it until you interrupt. Without --data, everything is in a temporary
directory that is removed at the end. Nothing leaves the machine.`,
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) (err error) {
			dir := s.data
			if dir == "" {
				if dir, err = os.MkdirTemp("", "thymus-demo-"); err != nil {
					return wrapf(err, "temporary directory")
				}
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			}
			return s.demo(ctx, dir, l, exit)
		}),
	}
	l.flags(c)
	c.Flags().BoolVar(&exit, "exit", false, "end after the answer, and do not serve")
	return c
}

func (s *session) demo(ctx context.Context, dir string, l listenFlags, exit bool) error {
	secure, err := l.check()
	if err != nil {
		return err
	}
	var clock storyClock
	clock.set(demo.Now())
	h, err := host.Open(ctx, host.Options{Dir: dir, Now: clock.now, Version: build().Version, Log: s.defects()})
	if err != nil {
		return err
	}
	if err := s.tellStory(ctx, h, &clock); err != nil {
		return errors.Join(err, h.Close())
	}
	if err := s.demoAnswer(ctx, h); err != nil {
		return errors.Join(err, h.Close())
	}
	if exit {
		return h.Close()
	}
	ln, err := l.open(ctx)
	if errors.Is(err, syscall.EADDRINUSE) && l.listen == defaultListen {
		// Somebody who only looks around has no use for a port that is taken.
		l.listen = "127.0.0.1:0"
		ln, err = l.open(ctx)
	}
	if err != nil {
		return errors.Join(err, h.Close())
	}
	return s.serve(ctx, h, ln, host.Serving{TLS: secure}, func(at string) error { return s.demoReady(ctx, h, at, clock.now().Add(24*time.Hour)) })
}

// tellStory ingests the demo's documents, each at its time in the story, unless
// the directory holds something already.
func (s *session) tellStory(ctx context.Context, h *host.Host, clock *storyClock) error {
	defer clock.run()
	if h.Engine.Stats().Seq > 0 {
		return nil
	}
	documents, err := demo.Documents()
	if err != nil {
		return err
	}
	stop := s.errs.progress(fmt.Sprintf("loading %d documents of the demo", len(documents)))
	defer stop()
	for _, d := range documents {
		if err := settle(ctx, h, clock, d.Known); err != nil {
			return err
		}
		clock.set(d.Known)
		if _, err := h.Engine.Ingest(ctx, d.Body, d.Claim); err != nil {
			return wrapf(err, "demo document %s", d.Name)
		}
	}
	if err := settle(ctx, h, clock, demo.Now()); err != nil {
		return err
	}
	clock.set(demo.Now())
	return nil
}

// settle mints the application versions that are due until then, each at its time.
func settle(ctx context.Context, h *host.Host, clock *storyClock, until estate.Time) error {
	for {
		next, err := h.Engine.Settle(ctx, false)
		if err != nil {
			return wrapf(err, "application versions of the demo")
		}
		if next == 0 || next > until {
			return nil
		}
		if next <= clock.now() {
			return fault.New(fault.Internal, "application versions of the demo are due at %s and do not settle", next)
		}
		clock.set(next)
	}
}

// demoAnswer prints what everybody would ask first.
func (s *session) demoAnswer(ctx context.Context, h *host.Host) error {
	c := &client{base: "http://thymus", http: &http.Client{Transport: inProcess{h.Local()}}}
	raw, err := c.call(ctx, http.MethodGet, "/api/v1/affected", url.Values{"q": {demoAdvisory}}, "", nil)
	if err != nil {
		return err
	}
	if s.output != "json" {
		stats := h.Engine.Stats()
		s.out.line("A made-up company: %s in %s, %s, %s, %s.", count(stats.Services, "service"), count(stats.Environments, "environment"),
			count(stats.Releases, "release"), count(stats.Packages, "package"), count(stats.Applications, "logical application"))
		s.out.write("\n$ thymus affected " + demoAdvisory + "\n")
	}
	_, err = present(s, raw, func(a *answer.Affected) { s.showAffected(a) })
	return err
}

// demoReady says what to try, with a token that is for this demo alone.
func (s *session) demoReady(ctx context.Context, h *host.Host, at string, until estate.Time) error {
	secret, _, err := h.Tokens.Create(ctx, access.Spec{Name: freshName("demo"), Role: access.Admin, Expires: until})
	if err != nil {
		return err
	}
	p := s.errs
	p.write("\n")
	p.line("The demo is served until you press Ctrl-C. In another terminal:")
	p.write("\n")
	p.line("  export THYMUS_URL=%s THYMUS_TOKEN=%s", at, secret)
	for _, try := range []string{
		"thymus affected " + demoAdvisory + " --as-of 2026-06-01",
		"thymus app list",
		"thymus exposures --group-by fix",
		"thymus coverage",
		"curl -H \"Authorization: Bearer $THYMUS_TOKEN\" $THYMUS_URL/api/v1/affected?q=" + demoAdvisory,
	} {
		p.line("  %s", try)
	}
	return nil
}

// storyClock stands still where it is set, so that the story's documents become
// known at their times; after run it goes on from there as clocks do.
type storyClock struct {
	at    atomic.Int64 // an estate.Time
	began atomic.Int64 // the wall clock's milliseconds when it began to run; 0: it stands
}

func (c *storyClock) set(t estate.Time) { c.at.Store(int64(t)) }
func (c *storyClock) run()              { c.began.Store(time.Now().UnixMilli()) }

func (c *storyClock) now() estate.Time {
	t := c.at.Load()
	if began := c.began.Load(); began != 0 {
		t += time.Now().UnixMilli() - began
	}
	return estate.Time(t)
}
