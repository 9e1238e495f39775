package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"thymus/internal/answer"
	"thymus/internal/catalog"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/read/verdict"
	"thymus/internal/version"
)

// TestEstates runs the specifications in testdata/estates; their README tells
// the language. Each runs against the whole main path, and once more after a
// rebuild and a restart, which must change nothing.
func TestEstates(t *testing.T) {
	files, err := filepath.Glob("../../testdata/estates/*.test")
	if err != nil || len(files) == 0 {
		t.Fatalf("no estates: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".test"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := &world{t: t, file: filepath.Base(file), dir: t.TempDir(), records: map[string]map[string]any{}}
			w.open()
			w.run(text)
			w.reopen()
		})
	}
}

type world struct {
	t       *testing.T
	file    string
	line    int
	dir     string
	clock   estate.Time
	e       *engine.Engine
	records map[string]map[string]any
	// last are the expectations since the last statement that changed
	// something: they hold after a rebuild too.
	last []string
}

func open(t *testing.T, dir string, now func() estate.Time) *engine.Engine {
	t.Helper()
	e, err := engine.Open(context.Background(), engine.Options{
		Readers: catalog.Readers(), Now: now,
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return sqlite.Open(ctx, dir, sqlite.Options{OnChange: onChange, Fold: func(eco, name string) string {
				return purl.FoldName(version.ParseEcosystem(eco), name)
			}})
		},
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func (w *world) open() { w.e = open(w.t, w.dir, func() estate.Time { return w.clock }) }

// reopen restarts and rebuilds, and asks the last questions again.
func (w *world) reopen() {
	w.t.Helper()
	for _, how := range []string{"after a restart", "after a rebuild"} {
		if how == "after a restart" {
			if err := w.e.Close(); err != nil {
				w.t.Fatalf("close: %v", err)
			}
			w.open()
		} else if err := w.e.Rebuild(context.Background()); err != nil {
			w.t.Fatalf("rebuild: %v", err)
		}
		for _, l := range w.last {
			if err := w.statement(strings.Fields(l)); err != nil {
				w.t.Errorf("%s %s: %s: %v", w.file, how, l, err)
			}
		}
	}
}

func (w *world) run(text []byte) {
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		w.line++
		line := sc.Text()
		if i := strings.Index(line, "#"); i == 0 || i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var err error
		if f[0] == "estate" && strings.HasPrefix(f[len(f)-1], "<<") {
			end := strings.TrimPrefix(f[len(f)-1], "<<")
			var doc strings.Builder
			for sc.Scan() {
				w.line++
				if strings.TrimSpace(sc.Text()) == end {
					break
				}
				doc.WriteString(sc.Text() + "\n")
			}
			err = w.ingest([]byte(doc.String()), estate.Claim{})
			w.last = nil
		} else {
			err = w.statement(f)
			switch f[0] {
			case "expect", "as-of", "as-known":
				w.last = append(w.last, strings.Join(f, " "))
			default:
				w.last = nil
			}
		}
		if err != nil {
			w.t.Errorf("%s:%d: %s\n\t%v", w.file, w.line, strings.Join(f, " "), err)
		}
	}
}

func (w *world) ingest(body []byte, c estate.Claim) error {
	c.Source = "test"
	_, err := w.e.Ingest(context.Background(), body, c)
	return err
}

// opt cuts "word VALUE" out of fields.
func opt(f []string, word string) (value string, rest []string) {
	for i := 0; i+1 < len(f); i++ {
		if f[i] == word {
			return f[i+1], append(append([]string{}, f[:i]...), f[i+2:]...)
		}
	}
	return "", f
}

func flag(f []string, word string) (bool, []string) {
	for i := range f {
		if f[i] == word {
			return true, append(append([]string{}, f[:i]...), f[i+1:]...)
		}
	}
	return false, f
}

func (w *world) statement(f []string) error {
	verb, f := f[0], f[1:]
	switch verb {
	case "at":
		at, err := estate.ParseTime(f[0])
		if err != nil {
			return err
		}
		w.clock = at
		if _, err := w.e.Settle(context.Background(), false); err != nil {
			return err
		}
		return nil
	case "sbom":
		return w.sbom(f)
	case "deploy":
		at, f := opt(f, "at")
		alongside, f := flag(f, "alongside")
		name, ver, _ := strings.Cut(f[0], "@")
		return w.deployments(f[2], at, false, map[string]any{"service": name, "version": ver, "alongside": alongside})
	case "undeploy":
		at, f := opt(f, "at")
		name, ver, _ := strings.Cut(f[0], "@")
		item := map[string]any{"service": name, "removed": true}
		if ver != "" {
			item["version"] = ver
		}
		return w.deployments(f[2], at, false, item)
	case "dump":
		at, f := opt(f, "at")
		var items []map[string]any
		for _, s := range f[2:] {
			name, ver, _ := strings.Cut(s, "@")
			items = append(items, map[string]any{"service": name, "version": ver})
		}
		return w.deployments(f[0], at, true, items...)
	case "advise":
		return w.advise(f)
	case "revise":
		return w.advise(f)
	case "withdraw":
		rec := w.records[f[0]]
		rec["withdrawn"], rec["modified"] = w.clock.String(), w.clock.String()
		return w.record(rec)
	case "verdict":
		return w.verdict(f)
	case "expect":
		return w.expect(f, answer.When{})
	case "as-of", "as-known":
		at, err := estate.ParseTime(f[0])
		if err != nil {
			return err
		}
		when := answer.When{At: at}
		if verb == "as-known" {
			when.Known = at
		}
		return w.expect(f[2:], when)
	}
	return fmt.Errorf("unknown statement %q", verb)
}

func (w *world) sbom(f []string) error {
	at, f := opt(f, "as-of")
	name, ver, _ := strings.Cut(f[0], "@")
	var components []map[string]any
	for i, p := range f[1:] {
		pu, err := purl.Parse(p)
		if err != nil {
			return err
		}
		components = append(components, map[string]any{"type": "library", "bom-ref": fmt.Sprint(i), "name": pu.Name, "version": pu.Version, "purl": p})
	}
	body, err := json.Marshal(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"component": map[string]any{"type": "application", "name": name, "version": ver}},
		"components": components})
	if err != nil {
		return err
	}
	sub, err := estate.ParseSubject(f[0])
	if err != nil {
		return err
	}
	c := estate.Claim{Subject: sub}
	if at != "" {
		if c.At, err = estate.ParseTime(at); err != nil {
			return err
		}
	}
	return w.ingest(body, c)
}

func (w *world) deployments(env, at string, complete bool, items ...map[string]any) error {
	doc := map[string]any{"thymus": "deployment/v1", "environment": env, "complete": complete, "deployments": items}
	if at == "" {
		at = w.clock.String()
	} else {
		t, err := estate.ParseTime(at)
		if err != nil {
			return err
		}
		at = t.String()
	}
	doc["at"] = at
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return w.ingest(body, estate.Claim{})
}

func (w *world) advise(f []string) error {
	aliases, f := opt(f, "aliases")
	severity, f := opt(f, "severity")
	published, f := opt(f, "published")
	_, f = opt(f, "fixed") // the range says it too
	id := f[0]
	rec := w.records[id]
	if rec == nil {
		rec = map[string]any{"id": id, "schema_version": "1.6.0", "summary": "a test", "published": w.clock.String()}
		w.records[id] = rec
	}
	rec["modified"] = w.clock.String()
	if aliases != "" {
		rec["aliases"] = strings.Split(aliases, ",")
	}
	if severity != "" {
		rec["database_specific"] = map[string]any{"severity": strings.ToUpper(severity)}
	}
	if published != "" {
		t, err := estate.ParseTime(published)
		if err != nil {
			return err
		}
		rec["published"] = t.String()
	}
	name, eco, _, err := purl.Query(f[1])
	if err != nil {
		return err
	}
	var events []map[string]string
	for _, r := range f[2:] {
		switch {
		case strings.HasPrefix(r, ">="):
			events = append(events, map[string]string{"introduced": r[2:]})
		case strings.HasPrefix(r, "<="):
			events = append(events, map[string]string{"last_affected": r[2:]})
		case strings.HasPrefix(r, "<"):
			events = append(events, map[string]string{"fixed": r[1:]})
		default:
			return fmt.Errorf("range %q", r)
		}
	}
	affected := map[string]any{"package": map[string]any{"ecosystem": eco.String(), "name": name.Name}}
	if len(events) > 0 {
		affected["ranges"] = []any{map[string]any{"type": "ECOSYSTEM", "events": events}}
	}
	rec["affected"] = []any{affected}
	return w.record(rec)
}

func (w *world) record(rec map[string]any) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return w.ingest(body, estate.Claim{})
}

func (w *world) verdict(f []string) error {
	line := strings.Join(f, " ")
	head, reason, _ := strings.Cut(line, " because ")
	f = strings.Fields(head)
	env, f := opt(f, "on")
	until, f := opt(f, "until")
	in, f := opt(f, "in")
	d := verdict.Document{Advisory: f[0], Status: estate.Status(f[1]), Environment: env, Reason: reason, Author: "test"}
	if until != "" {
		t, err := estate.ParseTime(until)
		if err != nil {
			return err
		}
		d.Expires = t
	}
	switch {
	case strings.HasPrefix(in, "app:"):
		d.Application = in[4:]
	case strings.HasPrefix(in, "domain:"):
		d.Domain = in[7:]
	case strings.Contains(in, "@"):
		d.Release = in
	default:
		d.Service = in
	}
	_, err := w.e.Decide(context.Background(), d, "test")
	return err
}

func (w *world) expect(f []string, when answer.When) error {
	ctx := context.Background()
	a, err := w.e.Asker(ctx, when.Known)
	if err != nil {
		return err
	}
	everything := answer.Scope{}
	what, f := f[0], f[1:]
	switch what {
	case "open":
		want, err := strconv.Atoi(f[0])
		if err != nil {
			return err
		}
		got, err := a.Exposures(ctx, everything, answer.ExposureQuery{When: when, Page: answer.Page{Limit: 500}})
		if err != nil {
			return err
		}
		if len(got.Items) != want {
			return fmt.Errorf("%d are open: %v", len(got.Items), rows(got.Items))
		}
		return nil
	case "not-assessed":
		got, err := a.Affected(ctx, everything, when, f[0], answer.Page{})
		if err != nil {
			return err
		}
		if got.State != answer.StateNotAssessed {
			return fmt.Errorf("state is %s: %s", got.State, got.Verdict)
		}
		return nil
	case "affected":
		return w.expectAffected(a, f, when)
	case "closed":
		at, err := estate.ParseTime(f[len(f)-1])
		if err != nil {
			return err
		}
		reason := strings.Join(f[4:len(f)-2], " ")
		got, err := a.Exposures(ctx, everything, answer.ExposureQuery{When: when, State: "closed", Advisory: f[0], Service: f[1], Environment: f[2], Page: answer.Page{Limit: 500}})
		if err != nil {
			return err
		}
		for _, e := range got.Items {
			if e.ClosedBy == reason && e.Closed == at {
				return nil
			}
		}
		return fmt.Errorf("closed are %v", rows(got.Items))
	case "service":
		name := strings.TrimSuffix(f[0], ":")
		got, err := a.Service(ctx, everything, when, name)
		if f[1] == "ambiguous" {
			if err == nil || !strings.Contains(err.Error(), "may be") {
				return fmt.Errorf("got %v, %v", got, err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if got.Name != f[1] {
			return fmt.Errorf("it is %s", got.Name)
		}
		return nil
	case "app":
		return w.expectApp(a, f, when)
	}
	return fmt.Errorf("unknown expectation %q", what)
}

func rows(es []answer.Exposure) []string {
	var out []string
	for _, e := range es {
		s := fmt.Sprintf("%s %s in %s since %s", e.Advisory, e.Service, e.Environment, e.Opened)
		if e.Closed != 0 {
			s += fmt.Sprintf(" closed %s by %s", e.Closed, e.ClosedBy)
		}
		out = append(out, s)
	}
	return out
}

func (w *world) expectAffected(a *answer.Asker, f []string, when answer.When) error {
	id := strings.TrimSuffix(f[0], ":")
	got, err := a.Affected(context.Background(), answer.Scope{}, when, id, answer.Page{Limit: 500})
	if err != nil {
		return err
	}
	if f[1] == "none" {
		if got.State == answer.StateAffected || got.Counts.Exposures != 0 {
			return fmt.Errorf("%s", got.Verdict)
		}
		return nil
	}
	since, rest := opt(f[2:], "since")
	env, rest := opt(rest, "in")
	app, rest := opt(rest, "app")
	fix, rest := opt(rest, "fix")
	if len(rest) > 0 {
		return fmt.Errorf("words left: %v", rest)
	}
	from, err := estate.ParseTime(since)
	if err != nil {
		return err
	}
	for _, r := range got.Releases {
		if r.Service+"@"+r.Version != f[1] {
			continue
		}
		for _, d := range r.Deployments {
			if d.Environment != env {
				continue
			}
			switch {
			case d.Closed != nil:
				return fmt.Errorf("closed by a verdict: %+v", *d.Closed)
			case d.Exposed != from:
				return fmt.Errorf("exposed since %s", d.Exposed)
			case app != "" && !strings.Contains(" "+strings.Join(r.Applications, " ")+" ", " "+app+" "):
				return fmt.Errorf("its applications are %v", r.Applications)
			case fix != "" && r.Packages[0].Fix != fix:
				return fmt.Errorf("the fix is %q", r.Packages[0].Fix)
			case got.State != answer.StateAffected:
				return fmt.Errorf("state is %s", got.State)
			}
			return nil
		}
		return fmt.Errorf("it runs in %+v", r.Deployments)
	}
	return fmt.Errorf("no such release; %s", got.Verdict)
}

func (w *world) expectApp(a *answer.Asker, f []string, when answer.When) error {
	ctx := context.Background()
	switch f[1] {
	case "versions":
		got, err := a.AppVersions(ctx, answer.Scope{}, when, f[0], answer.Page{Limit: 500})
		if err != nil {
			return err
		}
		if fmt.Sprint(len(got.Items)) != f[2] {
			var have []string
			for _, v := range got.Items {
				have = append(have, fmt.Sprintf("%d at %s: %v", v.Number, v.At, v.Members))
			}
			return fmt.Errorf("it has %d:\n\t%s", len(got.Items), strings.Join(have, "\n\t"))
		}
		return nil
	case "diff":
		from, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		to, err := strconv.Atoi(strings.TrimSuffix(f[3], ":"))
		if err != nil {
			return err
		}
		got, err := a.AppDiff(ctx, answer.Scope{}, when, f[0], from, to)
		if err != nil {
			return err
		}
		var have []string
		for _, r := range got.Releases {
			switch {
			case r.From == "":
				have = append(have, "+"+r.Service)
			case r.To == "":
				have = append(have, "-"+r.Service)
			default:
				have = append(have, r.Service+" "+r.From+" -> "+r.To)
			}
		}
		for _, p := range got.Packages {
			in := func(list []string, s string) bool {
				for _, x := range list {
					if x == s {
						return true
					}
				}
				return false
			}
			for _, v := range p.To {
				if !in(p.From, v) {
					have = append(have, "+"+p.Package+"@"+v)
				}
			}
			for _, v := range p.From {
				if !in(p.To, v) {
					have = append(have, "-"+p.Package+"@"+v)
				}
			}
		}
		var want []string
		for _, s := range strings.Split(strings.Join(f[4:], " "), ",") {
			want = append(want, strings.TrimSpace(s))
		}
		sort.Strings(have)
		sort.Strings(want)
		if strings.Join(have, "|") != strings.Join(want, "|") {
			return fmt.Errorf("the difference is %s", strings.Join(have, ", "))
		}
		return nil
	}
	return fmt.Errorf("unknown expectation %v", f)
}
