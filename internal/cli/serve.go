package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thymus/internal/cli/host"
	"thymus/internal/fault"
)

// defaultListen is where serve and demo listen; nobody else's well-known port.
const defaultListen = "127.0.0.1:8420"

// listenFlags say where a server listens.
type listenFlags struct {
	listen, cert, key string
	insecure          bool
}

func (l *listenFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.listen, "listen", defaultListen, "`host:port` to listen on")
	f.StringVar(&l.cert, "tls-cert", "", "PEM `file` with the certificate chain")
	f.StringVar(&l.key, "tls-key", "", "PEM `file` with the private key")
	f.BoolVar(&l.insecure, "insecure-listen", false, "listen beyond loopback without TLS (say behind a proxy that has it)")
}

// check refuses what is not loopback, unless there is TLS, or the flag that says
// that somebody thought of it. It returns the TLS configuration; nil without.
func (l *listenFlags) check() (*tls.Config, error) {
	if (l.cert == "") != (l.key == "") {
		return nil, fault.New(fault.Usage, "--tls-cert and --tls-key belong together")
	}
	local, err := loopback(l.listen)
	if err != nil {
		return nil, err
	}
	if l.cert == "" {
		if !local && !l.insecure {
			return nil, fault.New(fault.Usage, "--listen %s is reachable from other machines; give --tls-cert and --tls-key, or --insecure-listen if a proxy in front has TLS", l.listen)
		}
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(l.cert, l.key)
	if err != nil {
		return nil, fault.New(fault.Usage, "TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// open listens.
func (l *listenFlags) open(ctx context.Context) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.listen)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "--listen %s: %w", l.listen, err)
	}
	return ln, nil
}

// loopback tells whether an address is reachable from this machine alone.
func loopback(address string) (bool, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fault.New(fault.Usage, "--listen %q is no host:port", address)
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback(), nil
}

func (s *session) serveCommand() *cobra.Command {
	var l listenFlags
	var feeds, osv, kev, epss string
	var every time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API on a data directory",
		Long: `Serves the API. The first start writes an admin token to a file in the data
directory, readable by you alone. Commands on this machine reach the server over
a socket in the data directory. Advisories of the ecosystems in use are fetched
in the background, unless --feeds=off.`,
		Example: `  thymus serve --data ./thymus-data
  thymus serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
  thymus serve --feeds=off`,
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			if err := oneOf("--feeds", feeds, "on", "off"); err != nil {
				return err
			}
			secure, err := l.check()
			if err != nil {
				return err
			}
			dir, err := s.directory()
			if err != nil {
				return err
			}
			h, err := host.Open(ctx, host.Options{
				Dir: dir, Version: build().Version, Log: slog.New(slog.NewTextHandler(s.errs.w, nil)),
				Feeds: host.Feeds{OSV: osv, KEV: kev, EPSS: epss},
			})
			if err != nil {
				return err
			}
			ln, err := l.open(ctx)
			if err != nil {
				return errors.Join(err, h.Close())
			}
			return s.serve(ctx, h, ln, host.Serving{TLS: secure, Feeds: feeds != "off", Every: every}, func(at string) error {
				file, made, err := h.Bootstrap(ctx)
				if err != nil {
					return err
				}
				if made {
					s.errs.line("Wrote the first admin token to %s", file)
				}
				s.errs.line("Thymus serves %s on the data in %s", at, dir)
				return nil
			})
		}),
	}
	l.flags(c)
	c.Flags().StringVar(&feeds, "feeds", "on", "on: fetch advisories and exploit signals; off: take what is imported")
	c.Flags().DurationVar(&every, "feed-every", 0, "how often advisories are fetched (default: often enough for the promise of 20 minutes)")
	c.Flags().StringVar(&osv, "osv-url", "", "base `URL` of an OSV export, or off")
	c.Flags().StringVar(&kev, "kev-url", "", "`URL` of a list of exploited vulnerabilities, or off")
	c.Flags().StringVar(&epss, "epss-url", "", "`URL` of EPSS scores, or off")
	return c
}

// serve calls ready with the URL, and serves until ctx ends; it closes ln and h.
func (s *session) serve(ctx context.Context, h *host.Host, ln net.Listener, how host.Serving, ready func(at string) error) (err error) {
	defer func() { err = errors.Join(err, h.Close()) }()
	scheme := "http"
	if how.TLS != nil {
		scheme = "https"
	}
	if err := ready(scheme + "://" + ln.Addr().String()); err != nil {
		return errors.Join(err, ln.Close())
	}
	how.Listener = ln
	return h.Serve(ctx, how)
}
