package feed

import (
	"context"
	"math/rand/v2"
	"time"
)

// DefaultEvery is the time between two looks at the lists of modified records.
// OSV exports within minutes of a publication, so that this keeps the time from
// published to told well under 20 minutes.
const DefaultEvery = 10 * time.Minute

const (
	signalsEvery = time.Hour        // KEV and EPSS change a few times a day
	newcomers    = 30 * time.Second // how soon an ecosystem that comes into use is fetched
)

// Run updates the advisories of the ecosystems in use every so often (0 means
// DefaultEvery, at least a minute) and the signals hourly, each with jitter, so
// that many servers do not ask at once. An ecosystem that comes into use is
// fetched within half a minute. Failed feeds are tried again at their next
// turn; Run ends with ctx, or when the store fails.
func (c *Client) Run(ctx context.Context, every time.Duration, inUse func() map[string]int) error {
	if every <= 0 {
		every = DefaultEvery
	}
	every = max(every, time.Minute)
	tick := time.NewTicker(min(newcomers, every))
	defer tick.Stop()
	var lists, signals time.Time // when they are due
	tried := map[string]bool{}
	for {
		now := time.Now()
		due := !now.Before(lists)
		var ecosystems []string
		for _, e := range Ecosystems(inUse()) {
			if due || !tried[e] {
				ecosystems = append(ecosystems, e)
				tried[e] = true
			}
		}
		if len(ecosystems) > 0 {
			if _, err := c.updateAdvisories(ctx, ecosystems, nil); err != nil {
				return err
			}
		}
		if due {
			lists = now.Add(jitter(every))
		}
		if !now.Before(signals) {
			if _, err := c.updateSignals(ctx, nil); err != nil {
				return err
			}
			signals = now.Add(jitter(signalsEvery))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// jitter varies a duration by up to a tenth either way.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

func keys(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
