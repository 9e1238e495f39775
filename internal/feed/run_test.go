package feed

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	o := newOrigin(t)
	o.ecosystem("npm", map[string]int{"GHSA-1": 1})
	o.set("/kev.json", "kev")
	s := newSink()
	c := newClient(t, o, s, newStore())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx, 0, func() map[string]int { return map[string]int{"npm": 3} }) }()
	for o.count("/epss.csv.gz") == 0 { // the last thing that a round asks for
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if s.records["GHSA-1"] == "" || s.documents["cisa-kev"] != "kev" {
		t.Errorf("%v %v", s.records, s.documents)
	}
}

func TestJitter(t *testing.T) {
	for range 1000 {
		if d := jitter(time.Minute); d < 54*time.Second || d > 66*time.Second {
			t.Fatal(d)
		}
	}
}
