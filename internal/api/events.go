package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"thymus/internal/access"
	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

const (
	heartbeat  = 15 * time.Second // so that proxies keep the connection
	remembered = time.Minute      // how long a decision on a service's visibility holds
	writing    = 10 * time.Second // a subscriber that takes longer is cut off
)

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" doc:"Of the last event received, after a broken connection"`
}

// events registers the stream of server-sent events.
func (s *Server) events() {
	op := s.operation(http.MethodGet, root+"/events", "events", "What happens, as server-sent events: transition, ingested, minted, recomputed when a change is too large to be told one by one, and gap when some were missed", func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "A stream", Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}
	})
	huma.Register(s.api, op, func(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(c huma.Context) {
			r, w := humago.Unwrap(c)
			s.stream(r.Context(), w, in.LastEventID)
		}}, nil
	})
}

// stream writes events until the caller goes. A caller that comes back after
// events it has missed is told of a gap: it should ask again what it shows.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, last string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connection := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	send := func(format string, args ...any) bool {
		// A recorder in a test knows no deadlines; a connection does.
		_ = connection.SetWriteDeadline(time.Now().Add(writing))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && connection.Flush() == nil
	}
	events := s.e.Subscribe(ctx)
	now := s.e.Stats().Seq
	if !send(": connected\nretry: 2000\n\n") {
		return
	}
	if seen, err := strconv.ParseInt(last, 10, 64); err == nil && seen < now {
		if !send("id: %d\nevent: gap\ndata: {\"seq\":%d}\n\n", now, now) {
			return
		}
	}
	view := viewer{s: s, scope: access.From(ctx).Scope, seen: map[string]sight{}}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if !send(": heartbeat\n\n") {
				return
			}
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.Missed > 0 && !send("id: %d\nevent: gap\ndata: {\"seq\":%d}\n\n", e.Seq, e.Seq) {
				return
			}
			name, shown, ok := view.event(ctx, e)
			if !ok {
				continue
			}
			data, err := json.Marshal(shown)
			if err != nil {
				s.problem(ctx, fmt.Errorf("event %d: %w", e.Seq, err))
				continue
			}
			if !send("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, name, data) {
				return
			}
		}
	}
}

// viewer decides what one subscriber may see.
type viewer struct {
	s     *Server
	scope answer.Scope
	seen  map[string]sight
}

type sight struct {
	visible bool
	until   time.Time
}

// Event is one event as sent; at most one member after seq is set.
type Event struct {
	Seq        int64              `json:"seq"`
	Transition *engine.Transition `json:"transition,omitempty"`
	Ingested   *engine.Receipt    `json:"ingested,omitempty"`
	Minted     *Minted            `json:"minted,omitempty"`
}

// Minted is a new version of an application.
type Minted struct {
	Application string          `json:"application"`
	Number      int             `json:"version"`
	Hash        string          `json:"hash"`
	Environment string          `json:"environment"`
	At          estate.Time     `json:"at"`
	Known       estate.Time     `json:"known"`
	Members     []estate.Member `json:"members"`
	Hidden      int             `json:"hidden,omitempty"` // members outside the subscriber's scope
}

// event names an event and renders it; ok is false when it is not for this
// subscriber. Of a minted application version only members within scope are shown.
func (v *viewer) event(ctx context.Context, e engine.Event) (name string, shown Event, ok bool) {
	shown.Seq = e.Seq
	switch {
	case e.Transition != nil:
		shown.Transition = e.Transition
		return "transition", shown, v.service(ctx, e.Transition.Service)
	case e.Ingested != nil:
		shown.Ingested = e.Ingested
		if !v.scope.Limited {
			return "ingested", shown, true
		}
		sub, err := estate.ParseSubject(e.Ingested.Release)
		return "ingested", shown, err == nil && v.service(ctx, sub.Service())
	case e.Minted != nil:
		m := e.Minted
		shown.Minted = &Minted{m.Application, m.Number, m.Hash, m.Environment, m.At, m.Known, []estate.Member{}, 0}
		for _, member := range m.Members {
			if v.service(ctx, member.Service) {
				shown.Minted.Members = append(shown.Minted.Members, member)
			} else {
				shown.Minted.Hidden++
			}
		}
		return "minted", shown, !v.scope.Limited || len(shown.Minted.Members) > 0
	case e.Recomputed:
		return "recomputed", shown, true
	}
	return "gap", shown, true
}

// service tells whether a service is within scope, by asking for it as the
// subscriber would. What cannot be decided is not shown.
func (v *viewer) service(ctx context.Context, name string) bool {
	if !v.scope.Limited {
		return true
	}
	now := time.Now()
	if got, ok := v.seen[name]; ok && now.Before(got.until) {
		return got.visible
	}
	a, err := v.s.e.Asker(ctx, 0)
	if err == nil {
		_, err = a.Service(ctx, v.scope, answer.When{}, name)
	}
	if code := fault.Of(err); err != nil && code != fault.NotFound && code != fault.Forbidden {
		v.s.problem(ctx, fmt.Errorf("visibility of %s: %w", name, err))
		return false
	}
	if len(v.seen) > 10_000 {
		clear(v.seen)
	}
	v.seen[name] = sight{err == nil, now.Add(remembered)}
	return err == nil
}
