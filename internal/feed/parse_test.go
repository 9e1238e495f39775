package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

func TestParseList(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want string
		err  string
	}{
		"plain":        {"2026-01-01T00:00:02Z,GHSA-1\n2026-01-01T00:00:01.123456Z,RHSA-2024:1+2\n", "GHSA-1@2026-01-01T00:00:02Z RHSA-2024:1+2@2026-01-01T00:00:01.123Z", ""},
		"ecosystem":    {"2026-01-01T00:00:02Z,npm/MAL-1\r\n\n", "MAL-1@2026-01-01T00:00:02Z", ""},
		"empty":        {"", "", ""},
		"no comma":     {"2026-01-01T00:00:02Z,A\nGHSA-1\n", "A@2026-01-01T00:00:02Z", "line 2"},
		"no time":      {"soon,GHSA-1\n", "", "line 1"},
		"no id":        {"2026-01-01T00:00:02Z,\n", "", "line 1"},
		"leads out":    {"2026-01-01T00:00:02Z,npm/..\n", "", "line 1"},
		"address":      {"2026-01-01T00:00:02Z,A?x=1\n", "", "line 1"},
		"long":         {strings.Repeat("x", 5000), "", "line 1 is too long"},
		"an HTML page": {"<!doctype html>", "", "line 1"},
	} {
		var got []string
		err := parseList(strings.NewReader(c.list), func(e entry) bool {
			got = append(got, e.ID+"@"+e.Time.String())
			return true
		})
		if strings.Join(got, " ") != c.want || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || fault.Of(err) != fault.Invalid) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("2026-01-01T00:00:02Z,GHSA-1\n2026-01-01,npm/MAL-1\n")
	f.Add("x,\n,y")
	f.Fuzz(func(t *testing.T, list string) {
		n := 0
		err := parseList(strings.NewReader(list), func(e entry) bool {
			if !validID(e.ID) || e.Time < 0 {
				t.Errorf("yielded %+v", e)
			}
			n++
			return n < 100
		})
		if err != nil && fault.Of(err) != fault.Invalid {
			t.Errorf("%v", err)
		}
	})
}

func manifest(edit func(*Manifest)) []byte {
	m := Manifest{Format: bundleFormat, Version: 1, Created: 5, Members: []Member{
		{Name: "npm/all.zip", Size: 10, SHA256: strings.Repeat("ab", 32), State: State{Feed: "osv/npm"}},
		{Name: "kev.json", Size: 0, SHA256: strings.Repeat("00", 32), State: State{Feed: "kev"}},
	}}
	if edit != nil {
		edit(&m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return text
}

func TestParseManifest(t *testing.T) {
	if m, err := parseManifest(manifest(nil)); err != nil || len(m.Members) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	for name, text := range map[string][]byte{
		"no JSON":    []byte("{"),
		"two values": append(manifest(nil), '1'),
		"format":     manifest(func(m *Manifest) { m.Format = "x" }),
		"version":    manifest(func(m *Manifest) { m.Version = 2 }),
		"no members": manifest(func(m *Manifest) { m.Members = nil }),
		"twice":      manifest(func(m *Manifest) { m.Members[1] = m.Members[0] }),
		"name":       manifest(func(m *Manifest) { m.Members[0].Name = "../all.zip" }),
		"manifest":   manifest(func(m *Manifest) { m.Members[0].Name = manifestName }),
		"feed":       manifest(func(m *Manifest) { m.Members[0].State.Feed = "osv/Go" }),
		"sum":        manifest(func(m *Manifest) { m.Members[0].SHA256 = "abc" }),
		"size":       manifest(func(m *Manifest) { m.Members[0].Size = -1 }),
	} {
		if _, err := parseManifest(text); err == nil {
			t.Errorf("%s was accepted", name)
		} else if code := fault.Of(err); code != fault.Invalid && code != fault.Unsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(manifest(nil))
	f.Add([]byte(`{"format":"thymus feed bundle","version":1,"members":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for _, x := range m.Members {
			if memberFeed(x.Name) != x.State.Feed || x.Size < 0 {
				t.Errorf("%+v", x)
			}
		}
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(archiveOf(map[string]string{"A": "{}", "B": "[]"}))
	f.Fuzz(func(t *testing.T, body []byte) {
		z, err := openZip("x", bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return
		}
		n := 0
		for _, err := range recordsIn(t.Context(), "x", z) {
			if n++; err != nil || n > 100 {
				break
			}
		}
	})
}

// Whatever the order in which records appear in the list, each newest revision
// is read in the end, as long as it appears within the overlap.
func TestNothingIsMissed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		o := &origin{files: map[string][]byte{}, asked: map[string]int{}, codes: map[string]int{}}
		s := newSink()
		c := newClient(t, &origin{Server: &httptest.Server{URL: "http://origin.test"}}, s, newStore())
		c.http = &http.Client{Transport: direct{o}}
		c.o.KEV, c.o.EPSS = Off, Off
		c.maxDelta = rapid.SampledFrom([]int{2, 1000}).Draw(r, "most news")
		published := map[string]int{"A-0": 0}
		newest := 0
		for step := range rapid.IntRange(1, 8).Draw(r, "steps") {
			for range rapid.IntRange(0, 3).Draw(r, "changes") {
				id := fmt.Sprintf("A-%d", rapid.IntRange(0, 6).Draw(r, "record"))
				at := newest + rapid.IntRange(-3500, 9000).Draw(r, "seconds")
				if at > published[id] {
					published[id] = at
					newest = max(newest, at)
				}
			}
			o.ecosystem("npm", published)
			report, err := c.Update(t.Context(), []string{"npm"}, nil)
			if err != nil || report.Failed() > 0 {
				r.Fatalf("step %d: %+v, %v", step, report, err)
			}
			want := map[string]string{}
			for id, at := range published {
				want[id] = record(id, "npm", at)
			}
			if d := cmp.Diff(want, s.records); d != "" {
				r.Fatalf("step %d: %s", step, d)
			}
		}
	})
}

// direct answers requests without a network.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}

func TestWindowStaysSmall(t *testing.T) {
	w := window{recent: map[string]estate.Time{}}
	base := estate.Time(1_700_000_000_000)
	for i := range 30_000 {
		w.add(fmt.Sprintf("A-%d", i), base+estate.Time(i))
	}
	w.close()
	if len(w.recent) > maxRecent || len(w.recent) < maxRecent-1 || w.newest != base+29_999 {
		t.Errorf("%d in the window, newest %d", len(w.recent), w.newest)
	}
	for id, at := range w.recent {
		if at < w.from {
			t.Errorf("%s at %d lies before %d", id, at, w.from)
		}
	}
}

func TestBare(t *testing.T) {
	if got := bare([]string{"npm", "Debian:12", "", "Debian:13", "npm"}); !slices.Equal(got, []string{"Debian", "npm"}) {
		t.Error(got)
	}
}
