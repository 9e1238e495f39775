package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/danielgtaylor/huma/v2"

	"thymus/internal/fault"
)

// Problem is every error that the API answers with (RFC 9457). Code is one of
// package fault and is what programs should look at.
type Problem struct {
	Title    string     `json:"title" doc:"The status in words"`
	Status   int        `json:"status" doc:"The HTTP status"`
	Detail   string     `json:"detail" doc:"What went wrong, for a person"`
	Code     fault.Code `json:"code" doc:"What went wrong, for a program"`
	Incident string     `json:"incident,omitempty" doc:"Names the entry in the server's log; set when the fault is ours"`
	Errors   []Mistake  `json:"errors,omitempty" doc:"What is wrong with the request, place by place"`
}

// Mistake is one thing that is wrong with a request.
type Mistake struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"Such as query.limit or body.service"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is for huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", p.ContentType(""))
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="thymus"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	// The status has been sent: a connection that breaks now can be told nothing more.
	_ = json.NewEncoder(w).Encode(p)
}

// errPanic is a defect that stopped a handler.
type errPanic struct{ value any }

func (e errPanic) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// problem says what to tell of an error. Of an internal one that is the id of
// the log's entry, and never its text.
func (s *Server) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	switch {
	case isLimit(err):
		err = fault.New(fault.TooLarge, "the body is larger than this route takes")
	case errors.Is(err, context.DeadlineExceeded):
		err = fault.New(fault.Unavailable, "this took longer than it may")
	case errors.Is(err, context.Canceled):
		err = fault.New(fault.Unavailable, "the request was given up")
	}
	p = &Problem{Status: fault.Status(err), Code: fault.Of(err), Detail: err.Error()}
	switch p.Code {
	case fault.Failed: // has no error status: a check's answer is no error
		p.Status = http.StatusUnprocessableEntity
	case fault.Internal:
		p.Incident = newIncident()
		p.Detail = "an internal error; the server's log has it under the incident " + p.Incident
		attrs := []any{"incident", p.Incident, "error", err}
		var defect errPanic
		if errors.As(err, &defect) {
			attrs = append(attrs, "stack", string(debug.Stack()))
		}
		s.o.Log.ErrorContext(ctx, "request failed", attrs...)
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// refuse answers with an error outside of huma.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.problem(r.Context(), err).write(w)
}

// transform turns huma's own errors, about parameters and bodies, into ours.
func (s *Server) transform(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		switch p.Status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			ctx.SetHeader("Retry-After", "1")
		}
		return v, nil
	}
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if e.Status >= http.StatusInternalServerError {
		texts := []error{errors.New(e.Detail)}
		for _, d := range e.Errors {
			texts = append(texts, d)
		}
		return s.problem(ctx.Context(), errors.Join(texts...)), nil
	}
	p := &Problem{Status: e.Status, Detail: e.Detail, Code: fault.Invalid}
	switch e.Status {
	case http.StatusUnprocessableEntity:
		// 422 means not_assessed here; a bad request is one.
		p.Status = http.StatusBadRequest
		if c, ok := ctx.(*exchange); ok {
			c.invalid = true
		}
	case http.StatusRequestEntityTooLarge:
		p.Code = fault.TooLarge
	case http.StatusUnsupportedMediaType:
		p.Code = fault.Unsupported
	case http.StatusRequestTimeout:
		p.Code = fault.Unavailable
	}
	for _, d := range e.Errors {
		p.Errors = append(p.Errors, Mistake{Message: d.Message, Location: d.Location})
	}
	p.Title = http.StatusText(p.Status)
	return p, nil
}

// base is huma.Context under a name that its method Context does not hide.
type base huma.Context

// exchange is a huma context whose validation errors have status 400.
type exchange struct {
	base
	invalid bool
}

// Unwrap is for humago.Unwrap.
func (c *exchange) Unwrap() huma.Context { return c.base }

// SetStatus is called after transform.
func (c *exchange) SetStatus(status int) {
	if c.invalid && status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	c.base.SetStatus(status)
}
