package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/cyclonedx"
	"thymus/internal/read/spdx"
	"thymus/internal/read/spdx3"
	"thymus/internal/read/verdict"
	"thymus/internal/read/wrap"
)

// ingestInput is what a sender claims of a document, as parameters or headers.
type ingestInput struct {
	request
	Service     string `query:"service" doc:"[namespace/]name; beats what the document says. Also as header Thymus-Service, and so on for the others"`
	Version     string `query:"version"`
	Digest      string `query:"digest" doc:"sha256:… of the artifact"`
	Environment string `query:"environment"`
	Deploy      truth  `query:"deploy" doc:"true: the release runs in the environment from at on"`
	Alongside   truth  `query:"alongside" doc:"true: other releases of the service go on running there"`
	At          string `query:"at" doc:"Since when this is true; left out: what the document says, else now"`
	Source      string `query:"source" doc:"Who says so; admins only. Left out: the token's name"`
}

func (s *Server) pushes() {
	op := s.operation(http.MethodPost, root+"/ingest", "ingest", "Store a document of any known format; answered when nothing of it can be lost", func(op *huma.Operation) {
		op.RequestBody = &huma.RequestBody{Required: true, Description: "The document, compressed or not; a CloudEvent also in binary mode, by its ce-* headers", Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	})
	add(s, op, s.ingest)
	add(s, s.operation(http.MethodPost, root+"/deployments", "deploy", "A release runs in an environment", nil),
		func(ctx context.Context, in *struct{ Body Deployment }) (*engine.Receipt, error) {
			return s.deploy(ctx, in.Body, false)
		})
	add(s, s.operation(http.MethodPost, root+"/undeployments", "undeploy", "A release, or without a version every release of the service, no longer runs in an environment", nil),
		func(ctx context.Context, in *struct{ Body Deployment }) (*engine.Receipt, error) {
			return s.deploy(ctx, in.Body, true)
		})
	add(s, s.operation(http.MethodPost, root+"/verdicts", "decide", "Decide that an advisory does, or does not, affect something", nil),
		func(ctx context.Context, in *struct{ Body Verdict }) (*engine.Receipt, error) {
			return s.decide(ctx, in.Body)
		})
	add(s, s.operation(http.MethodPost, root+"/settle", "settle", "Mint the application versions that still wait for two quiet minutes", nil),
		func(ctx context.Context, _ *struct{}) (*Settled, error) {
			minted, err := s.e.Settle(ctx)
			if err != nil {
				return nil, err
			}
			out := &Settled{Minted: len(minted), Versions: []MintedVersion{}}
			for _, v := range minted[:min(len(minted), maxMinted)] {
				out.Versions = append(out.Versions, MintedVersion{v.Application, v.Number})
			}
			return out, nil
		})
}

// maxMinted is how many versions an answer to settle names.
const maxMinted = 100

// Settled says which application versions were minted.
type Settled struct {
	Minted   int             `json:"minted"`
	Versions []MintedVersion `json:"versions" doc:"At most 100 of them"`
}

// MintedVersion is a version of an application.
type MintedVersion struct {
	Application string `json:"application"`
	Number      int    `json:"number"`
}

// claim makes the claim of a request.
func (in *ingestInput) claim(p access.Principal) (c estate.Claim, err error) {
	for _, f := range []struct {
		name string
		to   *string
	}{
		{"service", &in.Service}, {"version", &in.Version}, {"digest", &in.Digest}, {"environment", &in.Environment},
		{"deploy", (*string)(&in.Deploy)}, {"alongside", (*string)(&in.Alongside)}, {"at", &in.At}, {"source", &in.Source},
	} {
		if *f.to == "" {
			*f.to = in.r.Header.Get("Thymus-" + f.name)
		}
	}
	c = estate.Claim{Source: p.Name, Environment: in.Environment}
	if in.Source != "" && in.Source != p.Name {
		if p.Role != access.Admin {
			return c, fault.New(fault.Forbidden, "parameter source: only an admin may speak for another source than %q", p.Name)
		}
		c.Source = in.Source
	}
	if in.Service != "" {
		if c.Subject, err = estate.ParseSubject(in.Service); err != nil {
			return c, fault.New(fault.Invalid, "parameter service: %w", err)
		}
	}
	if in.Version != "" {
		if c.Subject.Version != "" && c.Subject.Version != in.Version {
			return c, fault.New(fault.Invalid, "parameter version: %q is not the version of %q", in.Version, in.Service)
		}
		c.Subject.Version = in.Version
	}
	c.Subject.Digest = in.Digest
	deploy, err := in.Deploy.pointer("deploy")
	if err != nil {
		return c, err
	}
	alongside, err := in.Alongside.pointer("alongside")
	if err != nil {
		return c, err
	}
	c.Deploy, c.Alongside = deploy != nil && *deploy, alongside != nil && *alongside
	if c.Deploy && c.Environment == "" {
		return c, fault.New(fault.Invalid, "parameter deploy: where? environment is missing")
	}
	if c.At, err = parseTime("at", in.At); err != nil {
		return c, err
	}
	for name, values := range in.r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "ce-") {
			if c.Headers == nil {
				c.Headers = map[string]string{}
			}
			c.Headers[lower] = strings.Join(values, ",")
		}
	}
	return c, nil
}

func (s *Server) ingest(ctx context.Context, in *ingestInput) (*engine.Receipt, error) {
	p := access.From(ctx)
	c, err := in.claim(p)
	if err != nil {
		return nil, err
	}
	if err := s.mayPush(ctx, p, c.Subject.Service()); err != nil {
		return nil, err
	}
	body, release, err := s.body(ctx, in.r, document)
	defer release()
	if err != nil {
		return nil, err
	}
	return s.push(ctx, p, body, c)
}

// push hands a document to the engine.
func (s *Server) push(ctx context.Context, p access.Principal, body []byte, c estate.Claim) (*engine.Receipt, error) {
	if len(body) == 0 {
		return nil, fault.New(fault.Invalid, "the body is empty")
	}
	if p.Scope.Limited {
		if err := onlyBill(body); err != nil {
			return nil, err
		}
	}
	return s.e.Ingest(ctx, body, c)
}

// body reads a request's body. All bodies in memory share one budget, so that
// many large documents wait for each other; release gives the share back.
func (s *Server) body(ctx context.Context, r *http.Request, limit int64) (body []byte, release func(), err error) {
	release = func() {}
	size := r.ContentLength
	if size > limit {
		return nil, release, fault.New(fault.TooLarge, "the body has %d bytes; at most %d", size, limit)
	}
	if size < 0 {
		size = limit // not stated: it may be as large
	}
	if err := s.bodies.Acquire(ctx, size); err != nil {
		return nil, release, fault.New(fault.Unavailable, "too many large documents at once: %w", err)
	}
	release = func() { s.bodies.Release(size) }
	capacity := int64(64 << 10)
	if r.ContentLength >= 0 {
		capacity = min(r.ContentLength, 16<<20) // what a header promises, within reason
	}
	buffer := make([]byte, 0, capacity+1)
	w := &appender{buffer}
	if _, err := io.Copy(w, io.LimitReader(r.Body, limit+1)); err != nil {
		if isLimit(err) {
			return nil, release, err
		}
		return nil, release, fault.New(fault.Invalid, "the body broke off: %w", err)
	}
	if int64(len(w.b)) > limit {
		return nil, release, fault.New(fault.TooLarge, "the body has more than %d bytes", limit)
	}
	return w.b, release, nil
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// mayPush checks that a principal limited to domains speaks of a service in
// them. A service that nobody knows yet, or that has no domain yet, is allowed:
// a pipeline pushes before anybody describes.
func (s *Server) mayPush(ctx context.Context, p access.Principal, service string) error {
	if !p.Scope.Limited {
		return nil
	}
	if service == "" {
		return fault.New(fault.Forbidden, "a token limited to domains must say which service the document is about")
	}
	a, err := s.e.Asker(ctx, 0)
	if err != nil {
		return err
	}
	known, err := a.Service(ctx, answer.Scope{}, answer.When{}, service)
	switch {
	case fault.Of(err) == fault.NotFound:
		return nil
	case err != nil:
		return err
	case known.Domain == "":
		return nil
	}
	_, err = a.Service(ctx, p.Scope, answer.When{}, service)
	if code := fault.Of(err); code == fault.NotFound || code == fault.Forbidden {
		return fault.New(fault.Forbidden, "the service %s is outside the token's domains", service)
	}
	return err
}

// onlyBill lets an SBOM pass, which the claim ties to one service. Documents
// that speak of the whole estate (descriptions, dumps, advisories, events) are
// not for tokens limited to domains: one could redraw the domains themselves.
func onlyBill(body []byte) error {
	w, err := wrap.Unwrap(body)
	if err != nil {
		return err
	}
	head := w.Body[:min(len(w.Body), read.HeadSize)]
	for _, r := range []read.Reader{cyclonedx.Reader{}, spdx.Reader{}, spdx3.Reader{}} {
		if r.Detect(head, nil) {
			return nil
		}
	}
	return fault.New(fault.Forbidden, "a token limited to domains may push SBOMs alone")
}

// Deployment says that a release was started or removed.
type Deployment struct {
	Service     string      `json:"service" minLength:"1" doc:"[namespace/]name"`
	Version     string      `json:"version,omitempty"`
	Digest      string      `json:"digest,omitempty" doc:"sha256:… of the artifact"`
	Environment string      `json:"environment" minLength:"1"`
	Alongside   bool        `json:"alongside,omitempty" doc:"Other releases of the service go on running there"`
	Config      string      `json:"config,omitempty" doc:"Digest of the configuration"`
	Replicas    int         `json:"replicas,omitempty" minimum:"0"`
	At          estate.Time `json:"at,omitempty" doc:"Left out: now"`
}

// deploy makes a deployment document of a request, which is its evidence.
func (s *Server) deploy(ctx context.Context, d Deployment, removed bool) (*engine.Receipt, error) {
	p := access.From(ctx)
	sub, err := estate.ParseSubject(d.Service)
	if err != nil {
		return nil, fault.New(fault.Invalid, "service: %w", err)
	}
	if sub.Version != "" {
		if d.Version != "" && d.Version != sub.Version {
			return nil, fault.New(fault.Invalid, "version: %q is not the version of %q", d.Version, d.Service)
		}
		d.Service, d.Version = sub.Service(), sub.Version
	}
	if err := s.mayPush(ctx, p, d.Service); err != nil {
		return nil, err
	}
	if d.At == 0 {
		// Stated, so that the same deployment later is another event.
		d.At = s.o.Now()
	}
	item := map[string]any{"service": d.Service}
	for name, value := range map[string]string{"version": d.Version, "digest": d.Digest, "config": d.Config} {
		if value != "" {
			item[name] = value
		}
	}
	if d.Replicas > 0 {
		item["replicas"] = d.Replicas
	}
	if d.Alongside {
		item["alongside"] = true
	}
	if removed {
		item["removed"] = true
	}
	body, err := json.Marshal(map[string]any{
		"thymus": "deployment/v1", "environment": d.Environment, "at": d.At, "deployments": []any{item},
	})
	if err != nil {
		return nil, fmt.Errorf("deployment: %w", err)
	}
	return s.e.Ingest(ctx, body, estate.Claim{Source: p.Name, At: d.At})
}

// Verdict is a person's decision on an advisory.
type Verdict struct {
	Advisory      string        `json:"advisory" minLength:"1" doc:"Any id of it"`
	Status        estate.Status `json:"status" enum:"not_affected,affected,fixed,under_investigation"`
	Package       string        `json:"package,omitempty" doc:"A purl, with or without version; left out: all"`
	Range         string        `json:"range,omitempty" doc:"Of the package, such as <2.15.0"`
	Release       string        `json:"release,omitempty" doc:"[namespace/]name@version. At most one of release, service, application and domain; none: everywhere"`
	Service       string        `json:"service,omitempty"`
	Application   string        `json:"application,omitempty"`
	Domain        string        `json:"domain,omitempty"`
	Environment   string        `json:"environment,omitempty"`
	Justification string        `json:"justification,omitempty" doc:"In OpenVEX's words where one fits"`
	Reason        string        `json:"reason,omitempty"`
	Author        string        `json:"author,omitempty" doc:"Left out: the token's name"`
	At            estate.Time   `json:"at,omitempty"`
	Expires       estate.Time   `json:"expires,omitempty"`
}

func (s *Server) decide(ctx context.Context, in Verdict) (*engine.Receipt, error) {
	p := access.From(ctx)
	d := verdict.Document{
		Thymus: verdict.Format, Advisory: in.Advisory, Package: in.Package, Range: in.Range, Service: in.Service, Release: in.Release,
		Application: in.Application, Domain: in.Domain, Environment: in.Environment, Status: in.Status,
		Justification: in.Justification, Reason: in.Reason, Author: cmpOr(in.Author, p.Name), At: in.At, Expires: in.Expires,
	}
	v, err := d.Verdict()
	if err != nil {
		return nil, err
	}
	if err := s.mayPush(ctx, p, v.Release.Service()); err != nil {
		return nil, err
	}
	return s.e.Decide(ctx, d, p.Name)
}
