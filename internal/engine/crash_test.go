package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"thymus/internal/answer"
	"thymus/internal/catalog"
	"thymus/internal/datadir"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/version"
)

// crashOpen takes hold of a data directory and opens an engine on it.
func crashOpen(dir string) (*engine.Engine, *datadir.Owner, error) {
	owner, err := datadir.Own(dir)
	if err != nil {
		return nil, nil, err
	}
	e, err := engine.Open(context.Background(), engine.Options{
		Readers: catalog.Readers(),
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return sqlite.Open(ctx, dir, sqlite.Options{OnChange: onChange, Fold: func(eco, name string) string {
				return purl.FoldName(version.ParseEcosystem(eco), name)
			}})
		},
	})
	if err != nil {
		owner.Close()
		return nil, nil, err
	}
	return e, owner, nil
}

const (
	crashDir   = "THYMUS_TEST_CRASH_DIR"
	crashRound = "THYMUS_TEST_CRASH_ROUND"
	crashers   = 8
)

// TestCrashChild is the process that is killed. It writes "+ID" to the pipe
// before each ingest and "=ID" when it was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("it runs as a child of TestCrash")
	}
	round, err := strconv.Atoi(os.Getenv(crashRound))
	if err != nil {
		t.Fatal(err)
	}
	e, owner, err := crashOpen(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(10)
	}
	defer owner.Close()
	pipe := os.NewFile(3, "pipe")
	ctx := context.Background()
	go func() {
		if err := e.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "minting:", err)
			os.Exit(11)
		}
	}()
	if round%4 == 0 { // in some rounds it is killed while it reads all evidence again
		go func() {
			for {
				if err := e.Rebuild(ctx); err != nil {
					fmt.Fprintln(os.Stderr, "rebuild:", err)
					os.Exit(13)
				}
			}
		}()
	}
	var wg sync.WaitGroup
	for w := range crashers {
		wg.Go(func() {
			for n := 0; ; n++ {
				i := crashItemAt(round, w, n)
				fmt.Fprintf(pipe, "+%s\n", i.id())
				if err := i.ingest(ctx, e); err != nil {
					fmt.Fprintf(os.Stderr, "%s: %v\n", i.id(), err)
					os.Exit(12)
				}
				fmt.Fprintf(pipe, "=%s\n", i.id())
			}
		})
	}
	wg.Wait()
}

// crashLog is what the child said of one round.
type crashLog struct{ started, acknowledged []string }

// crashRun starts a child, kills it in the midst of its work, and returns what
// it had said by then.
func crashRun(t *testing.T, dir string, round int, after time.Duration) crashLog {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.count=1", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashRound+"="+strconv.Itoa(round))
	cmd.ExtraFiles = []*os.File{w}
	var stderr bytes.Buffer
	cmd.Stderr, cmd.Stdout = &stderr, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var log crashLog
	first, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			line := sc.Text()
			if line[0] == '+' {
				log.started = append(log.started, line[1:])
				continue
			}
			if log.acknowledged = append(log.acknowledged, line[1:]); len(log.acknowledged) == 1 {
				close(first)
			}
		}
	}()
	select {
	case <-first:
	case <-done:
		t.Fatalf("round %d: the child ended by itself: %v\n%s", round, cmd.Wait(), stderr.String())
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatalf("round %d: nothing was acknowledged within a minute\n%s", round, stderr.String())
	}
	// While it works nobody else may.
	if o, err := datadir.Own(dir); fault.Of(err) != fault.Unavailable {
		t.Errorf("round %d: a second owner beside process %d: %v", round, cmd.Process.Pid, err)
		if err == nil {
			o.Close()
		}
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	<-done
	if code := cmd.ProcessState.ExitCode(); code != -1 {
		t.Fatalf("round %d: the child ended by itself with %d\n%s", round, code, stderr.String())
	}
	return log
}

// crashState is what lies on the disk, by identity.
type crashState struct {
	bills    map[string]int
	events   map[string]int // items that are not removals
	verdicts map[string]int
}

// crashRead looks at everything stored and fails on what is half applied.
func crashRead(t *testing.T, e *engine.Engine) crashState {
	t.Helper()
	ctx := context.Background()
	all := dumpOf(t, e)
	st := crashState{map[string]int{}, map[string]int{}, map[string]int{}}
	byID := make([]string, len(all.Packages)+1)
	for n, p := range all.Packages {
		if int(p.ID) != n+1 {
			t.Fatalf("package %d is numbered %d", n+1, p.ID)
		}
		byID[p.ID] = p.Key
	}
	subjects := make([]estate.Subject, len(all.Subjects)+1)
	for n, s := range all.Subjects {
		if int(s.ID) != n+1 {
			t.Fatalf("subject %d is numbered %d", n+1, s.ID)
		}
		subjects[s.ID] = s.Subject
	}
	for n, b := range all.Bills {
		if int(b.ID) != n+1 || int(b.Subject) >= len(subjects) {
			t.Fatalf("bill %d is numbered %d and has subject %d", n+1, b.ID, b.Subject)
		}
		id := subjects[b.Subject].Version
		var have []string
		for _, p := range b.Packages {
			have = append(have, byID[p])
		}
		sort.Strings(have)
		if want := crashItemOf(t, id).keys(); !slices.Equal(have, want) {
			t.Errorf("the bill of %s has %d packages, want %d", id, len(have), len(want))
		}
		shape, err := e.Ledger().Shape(ctx, b.ID)
		if err != nil || len(shape.Order) != b.Listed {
			t.Errorf("shape of %s: %v", id, err)
		}
		ev, err := e.Ledger().Evidence(ctx, b.Evidence)
		if err != nil || !json.Valid(ev.Body) {
			t.Errorf("evidence of %s: %v", id, err)
		}
		st.bills[id]++
	}
	for n, ev := range all.Events {
		if int(ev.ID) != n+1 || int(ev.Subject) >= len(subjects) {
			t.Fatalf("event %d is numbered %d and has subject %d", n+1, ev.ID, ev.Subject)
		}
		st.events[subjects[ev.Subject].Version]++
	}
	for id, n := range st.events {
		want := 1
		if i := crashItemOf(t, id); i.kind == 'd' {
			want = i.services
		}
		if n != want {
			t.Errorf("%s has %d deployments, want %d", id, n, want)
		}
	}
	for _, v := range all.Verdicts {
		st.verdicts[v.Reason]++
	}
	for id, n := range st.bills {
		if n != 1 {
			t.Errorf("%s is stored %d times", id, n)
		}
	}
	numbers := map[string]bool{}
	for _, v := range all.AppVersions {
		key := fmt.Sprint(v.Application, v.Number)
		if numbers[key] || numbers[v.Hash] {
			t.Errorf("version %d of %s is minted twice", v.Number, v.Application)
		}
		numbers[key], numbers[v.Hash] = true, true
	}
	return st
}

// crashCheck fails on what was acknowledged and is not there, and on batches of
// records that are there in part.
func crashCheck(t *testing.T, e *engine.Engine, st crashState, log crashLog) {
	t.Helper()
	acked := map[string]bool{}
	for _, id := range log.acknowledged {
		acked[id] = true
		i := crashItemOf(t, id)
		switch {
		case i.kind == 'b' && st.bills[id] != 1, (i.kind == 'e' || i.kind == 'd') && st.events[id] == 0, i.kind == 'v' && st.verdicts[id] != 1:
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	for _, id := range log.started {
		i := crashItemOf(t, id)
		if i.kind != 'r' && i.kind != 'R' {
			continue
		}
		ids, raw := i.records()
		have := 0
		for n, rec := range ids {
			row, err := e.Ledger().Record(context.Background(), rec, estate.Forever)
			switch {
			case fault.Of(err) == fault.NotFound:
			case err != nil:
				t.Fatal(err)
			case !bytes.Equal(row.Raw, raw[n]):
				t.Errorf("record %s is not what was sent", rec)
			default:
				have++
			}
		}
		if have != 0 && have != len(ids) || acked[id] && have == 0 {
			t.Errorf("%s: %d of %d records are there; acknowledged: %t", id, have, len(ids), acked[id])
		}
	}
}

// crashAsk asks the graph about some of what was acknowledged.
func crashAsk(t *testing.T, e *engine.Engine, log crashLog) {
	t.Helper()
	ctx := context.Background()
	a, err := e.Asker(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for n := len(log.acknowledged) - 1; n >= 0 && asked < 60; n-- {
		i := crashItemOf(t, log.acknowledged[n])
		switch i.kind {
		case 'b', 'e', 'd':
			asked++
			r, err := a.Release(ctx, answer.Scope{}, answer.When{}, i.service()+"@"+i.id())
			switch {
			case err != nil:
				t.Errorf("%s: %v", i.id(), err)
			case i.kind == 'b' && r.Packages != len(i.keys()):
				t.Errorf("%s: %d packages, want %d", i.id(), r.Packages, len(i.keys()))
			case i.kind != 'b' && len(r.Runs) == 0:
				t.Errorf("%s was deployed and never ran", i.id())
			}
		}
	}
}

// TestCrash kills a process that ingests from eight goroutines, again and
// again. Nothing acknowledged is lost, nothing half applied is seen, nobody
// else gets at the directory meanwhile, and at the end reading all evidence
// again gives the same tables.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	rounds := 8
	if long() {
		rounds = 100
	}
	const seed = 20
	rnd := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	var services []string
	for s := range 16 {
		services = append(services, fmt.Sprintf("service-%d", s))
	}
	e, owner, err := crashOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Ingest(context.Background(), []byte("thymus: estate/v1\napplications:\n  - name: all\n    services: ["+strings.Join(services, ", ")+"]\n"),
		estate.Claim{Source: "git", At: date(2024, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	// A second process finds the directory taken.
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashRound+"=0")
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 10 || !strings.Contains(string(out), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("a second process: %v\n%s", err, out)
	}
	shut := func() {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
	}
	shut()
	var logs []crashLog
	acknowledged, unacknowledged, survived := 0, 0, 0
	for round := 1; round <= rounds && !t.Failed(); round++ {
		log := crashRun(t, dir, round, time.Duration(rnd.IntN(400))*time.Millisecond)
		logs = append(logs, log)
		acknowledged += len(log.acknowledged)
		unacknowledged += len(log.started) - len(log.acknowledged)
		if e, owner, err = crashOpen(dir); err != nil {
			t.Fatalf("round %d: restart: %v", round, err)
		}
		st := crashRead(t, e)
		crashCheck(t, e, st, log)
		crashAsk(t, e, log)
		for _, id := range log.started {
			if !slices.Contains(log.acknowledged, id) && st.bills[id]+st.events[id]+st.verdicts[id] > 0 {
				survived++ // durable, but killed before it could say so
			}
		}
		if round%10 == 0 || round == rounds {
			for _, l := range logs {
				crashCheck(t, e, st, l)
			}
		}
		if round == rounds {
			// Sets that wait for quiet would come due meanwhile.
			if _, err := e.Settle(context.Background(), true); err != nil {
				t.Fatal(err)
			}
			before := dumpOf(t, e)
			if err := e.Rebuild(context.Background()); err != nil {
				t.Fatalf("rebuild: %v", err)
			}
			after := dumpOf(t, e)
			// Minted versions are decisions and stay; a rebuild mints no more.
			sameTables(t, "rebuild", before, after)
			t.Logf("%d rounds: %d acknowledged, %d cut off, of which %d were durable; %d packages, %d bills, %d events, %d verdicts, %d records in use, %d application versions",
				rounds, acknowledged, unacknowledged, survived, len(after.Packages), len(after.Bills), len(after.Events), len(after.Verdicts), len(after.Advisories), len(after.AppVersions))
		}
		shut()
	}
}
