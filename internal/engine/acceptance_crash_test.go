package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/purl"
	"thymus/internal/read/verdict"
)

// crashItem is one document. Everything in it follows from its identity, so
// that parent and child agree on what it says.
type crashItem struct {
	kind           byte // b: bill, e: event, d: dump, r: record, R: batch of records, v: verdict
	round, worker  int
	number         int
	services, pkgs int
}

const crashKinds = "bebdbrbvbR"

func crashItemAt(round, worker, number int) crashItem {
	i := crashItem{kind: crashKinds[number%len(crashKinds)], round: round, worker: worker, number: number}
	h := fnv.New32a()
	fmt.Fprint(h, i.id())
	i.services, i.pkgs = 3+int(h.Sum32()%10), 5+int(h.Sum32()>>8%60)
	return i
}

func (i crashItem) id() string {
	return fmt.Sprintf("%c-%d-%d-%d", i.kind, i.round, i.worker, i.number)
}

func crashItemOf(t testing.TB, id string) crashItem {
	t.Helper()
	var kind byte
	var round, worker, number int
	if _, err := fmt.Sscanf(id, "%c-%d-%d-%d", &kind, &round, &worker, &number); err != nil {
		t.Fatalf("identity %q: %v", id, err)
	}
	return crashItemAt(round, worker, number)
}

// at is stated with everything, and lies in the past of every clock.
func (i crashItem) at() estate.Time {
	return date(2024, 1, 1).Add(time.Duration(i.round)*24*time.Hour + time.Duration(i.worker*1000+i.number)*time.Second)
}

func (i crashItem) service() string { return fmt.Sprintf("service-%d", (i.worker+i.number)%16) }

// keys are the packages of a bill, sorted. Many are shared by many bills.
func (i crashItem) keys() []string {
	seen := map[string]bool{}
	h := fnv.New64a()
	fmt.Fprint(h, i.id())
	rnd := rand.New(rand.NewPCG(h.Sum64(), 1))
	for range i.pkgs {
		seen[fmt.Sprintf("pkg:npm/crash-%d@1.%d.0", rnd.IntN(400), rnd.IntN(5))] = true
	}
	seen["pkg:npm/only-"+i.id()+"@1.0.0"] = true
	return keys(seen)
}

// batchOf is how many records a batch has.
const batchOf = 40

func (i crashItem) records() (ids []string, raw [][]byte) {
	n := 1
	if i.kind == 'R' {
		n = batchOf
	}
	for k := range n {
		id := fmt.Sprintf("CRASH-%s-%d", i.id(), k)
		ids = append(ids, id)
		raw = append(raw, fmt.Appendf(nil, `{"id":%q,"modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"crash-%d"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.0"}]}]}]}`,
			id, (i.number*7+k)%400))
	}
	return ids, raw
}

func (i crashItem) verdict() verdict.Document {
	return verdict.Document{Advisory: "CRASH-" + i.id(), Service: i.service(), Status: estate.StatusNotAffected, Reason: i.id(), Author: "test", At: i.at()}
}

// ingest hands the item to the engine and returns when it is acknowledged.
func (i crashItem) ingest(ctx context.Context, e *engine.Engine) error {
	claim := estate.Claim{Source: fmt.Sprintf("worker-%d", i.worker), At: i.at()}
	type item map[string]any
	var doc item
	switch i.kind {
	case 'b':
		var components []item
		for _, k := range i.keys() {
			p, err := purl.Parse(k)
			if err != nil {
				return err
			}
			components = append(components, item{"type": "library", "bom-ref": k, "name": p.Name, "version": p.Version, "purl": k})
		}
		claim.Subject = estate.Subject{Name: i.service(), Version: i.id()}
		doc = item{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
	case 'e', 'd':
		n, env := 1, "production"
		if i.kind == 'd' {
			n, env = i.services, fmt.Sprintf("environment-%d", i.worker)
		}
		var items []item
		for s := range n {
			items = append(items, item{"service": fmt.Sprintf("service-%d", (i.worker+i.number+s)%16), "version": i.id()})
		}
		doc = item{"thymus": "deployment/v1", "environment": env, "at": i.at(), "complete": i.kind == 'd', "deployments": items}
	case 'r':
		_, raw := i.records()
		_, err := e.Ingest(ctx, raw[0], claim)
		return err
	case 'R':
		_, raw := i.records()
		_, err := e.IngestRecords(ctx, claim.Source, each(raw))
		return err
	case 'v':
		_, err := e.Decide(ctx, i.verdict(), claim.Source)
		return err
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = e.Ingest(ctx, body, claim)
	return err
}
