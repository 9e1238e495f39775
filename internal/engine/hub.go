package engine

import (
	"context"
	"sync"

	"thymus/internal/estate"
	"thymus/internal/graph"
)

// Event is what subscribers are told; exactly one field after Seq is set.
type Event struct {
	Seq        int64                 `json:"seq"`
	Transition *Transition           `json:"transition,omitempty"`
	Ingested   *Receipt              `json:"ingested,omitempty"`
	Minted     *estate.AppVersionRow `json:"minted,omitempty"`
	// Missed counts the events that this subscriber lost right before this one,
	// because it was too far behind.
	Missed int `json:"missed,omitempty"`
	// Recomputed tells that a change touched more than is told one by one: ask again.
	Recomputed bool `json:"recomputed,omitempty"`
}

// Transition is an exposure that opened or closed.
type Transition struct {
	Advisory    string      `json:"advisory"`
	Service     string      `json:"service"`
	Domain      string      `json:"domain,omitempty"`
	Environment string      `json:"environment"`
	Opened      bool        `json:"opened"`
	Reason      string      `json:"reason"`
	At          estate.Time `json:"at"`
}

// backlog is how many events a subscriber may be behind before it loses the oldest.
const backlog = 1024

// hub tells subscribers, and remembers how many exposures each change opened
// and closed until its writer has asked.
type hub struct {
	mu     sync.Mutex
	subs   map[chan Event]int // how many events each has lost since its last one
	counts map[int64][2]int
	closed bool
}

func (h *hub) publish(seq int64, at estate.Time, ts []graph.Transition, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n [2]int
	for i := range ts {
		t := &ts[i]
		if t.Opened {
			n[0]++
		} else {
			n[1]++
		}
		if len(h.subs) > 0 {
			h.send(Event{Seq: seq, Transition: &Transition{t.Advisory, t.Service, t.Domain, t.Environment, t.Opened, t.Reason, at}})
		}
	}
	if !told {
		h.send(Event{Seq: seq, Recomputed: true})
	}
	if h.counts == nil || len(h.counts) > 4096 {
		h.counts = map[int64][2]int{} // a writer whose context ended never asks
	}
	h.counts[seq] = n
}

// counted returns, once, what a change opened and closed.
func (h *hub) counted(seq int64) (opened, closed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.counts[seq]
	delete(h.counts, seq)
	return n[0], n[1]
}

func (h *hub) ingested(seq int64, r *Receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send(Event{Seq: seq, Ingested: r})
}

func (h *hub) minted(seq int64, v estate.AppVersionRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send(Event{Seq: seq, Minted: &v})
}

// send delivers to every subscriber; one that is full loses its oldest event.
func (h *hub) send(ev Event) {
	for ch := range h.subs {
		for {
			ev.Missed = h.subs[ch]
			select {
			case ch <- ev:
				h.subs[ch] = 0
			default:
				select {
				case <-ch:
					h.subs[ch]++
				default:
				}
				continue
			}
			break
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.subs {
		close(ch)
	}
	h.subs = nil
}

// Subscribe delivers events until ctx ends; then the channel is closed. A
// subscriber that falls behind by more than 1,024 events loses the oldest, and
// the next event says how many.
func (e *Engine) Subscribe(ctx context.Context) <-chan Event {
	h := &e.hub
	ch := make(chan Event, backlog)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch
	}
	if h.subs == nil {
		h.subs = map[chan Event]int{}
	}
	h.subs[ch] = 0
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.subs[ch]; ok {
			delete(h.subs, ch)
			close(ch)
		}
	})
	return ch
}
