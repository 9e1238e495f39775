package feed

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// sink is a Sink that keeps the newest bytes of every record.
type sink struct {
	mu        sync.Mutex
	records   map[string]string // id to body
	documents map[string]string // source to body
	calls     int
}

func newSink() *sink { return &sink{records: map[string]string{}, documents: map[string]string{}} }

func (s *sink) Ingest(_ context.Context, body []byte, c estate.Claim) (*engine.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(body, []byte("PK\x01\x02")) {
		return nil, fault.New(fault.Unsupported, "no reader knows this document")
	}
	s.documents[c.Source] = string(body)
	return &engine.Receipt{Signals: 1, Known: 1}, nil
}

func (s *sink) IngestRecords(_ context.Context, _ string, records iter.Seq2[[]byte, error]) (*engine.RecordsReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	r := &engine.RecordsReport{}
	for body, err := range records {
		if err != nil {
			return nil, err
		}
		r.Read++
		var x struct{ ID string }
		if json.Unmarshal(body, &x) != nil {
			r.Refused++
			continue
		}
		if s.records[x.ID] != string(body) {
			r.Changed++
		}
		s.records[x.ID] = string(body)
	}
	return r, nil
}

// Records makes the sink its own export.
func (s *sink) Records(_ context.Context, ecosystem string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(s.records)) {
			if strings.Contains(s.records[id], `"`+ecosystem+`"`) && !yield([]byte(s.records[id]), nil) {
				return
			}
		}
	}
}

// store is a Store in memory.
type store struct {
	mu     sync.Mutex
	values map[string][]byte
}

func newStore() *store { return &store{values: map[string][]byte{}} }

func (m *store) Get(_ context.Context, bucket, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[bucket+"\x00"+key]; ok {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "no %s", key)
}

func (m *store) Put(_ context.Context, bucket, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[bucket+"\x00"+key] = bytes.Clone(value)
	return nil
}

func (m *store) List(_ context.Context, bucket string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range m.values {
		if b, key, _ := strings.Cut(k, "\x00"); b == bucket {
			out[key] = v
		}
	}
	return out, nil
}

// record makes an advisory of an ecosystem, modified some seconds after day one.
func record(id, ecosystem string, second int) string {
	return fmt.Sprintf(`{"id":%q,"modified":%q,"affected":[{"package":{"ecosystem":%q,"name":"p"}}]}`, id, stamp(second), ecosystem)
}

func stamp(second int) string {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(second) * time.Second).Format(time.RFC3339)
}

func archiveOf(records map[string]string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, id := range slices.Sorted(maps.Keys(records)) {
		f, err := w.Create(id + ".json")
		if err != nil {
			panic(err)
		}
		f.Write([]byte(records[id]))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// origin is a server with files, entity tags and ranges, that counts requests.
type origin struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte // path to content
	asked map[string]int    // path to requests
	codes map[string]int    // "path status" to answers
	// intercept answers instead, when it returns true.
	intercept func(w http.ResponseWriter, r *http.Request, n int) bool
}

func newOrigin(t testing.TB) *origin {
	o := &origin{files: map[string][]byte{}, asked: map[string]int{}, codes: map[string]int{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	path := r.URL.Path
	o.asked[path]++
	n, body, intercept := o.asked[path], o.files[path], o.intercept
	o.mu.Unlock()
	if intercept != nil && intercept(w, r, n) {
		return
	}
	if body == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, len(body)*31+int(body[len(body)/2])+checksum(body)))
	cw := &codeWriter{ResponseWriter: w}
	http.ServeContent(cw, r, "", time.Time{}, bytes.NewReader(body))
	o.mu.Lock()
	o.codes[fmt.Sprintf("%s %d", path, cw.code)]++
	o.mu.Unlock()
}

func checksum(b []byte) int {
	n := 0
	for i, c := range b {
		n += (i + 1) * int(c)
	}
	return n
}

type codeWriter struct {
	http.ResponseWriter
	code int
}

func (c *codeWriter) WriteHeader(code int) { c.code = code; c.ResponseWriter.WriteHeader(code) }

func (o *origin) set(path, content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[path] = []byte(content)
}

// ecosystem publishes an archive and a list, newest first.
func (o *origin) ecosystem(name string, seconds map[string]int) {
	records := map[string]string{}
	ids := slices.SortedFunc(maps.Keys(seconds), func(a, b string) int { return seconds[b] - seconds[a] })
	list := ""
	for _, id := range ids {
		records[id] = record(id, name, seconds[id])
		list += stamp(seconds[id]) + "," + id + "\n"
		o.set("/"+name+"/"+id+".json", records[id])
	}
	o.set("/"+name+"/all.zip", string(archiveOf(records)))
	o.set("/"+name+"/modified_id.csv", list)
}

func (o *origin) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

func newClient(t testing.TB, o *origin, s Sink, st Store) *Client {
	t.Helper()
	c, err := New(s, st, Options{OSV: o.URL, KEV: o.URL + "/kev.json", EPSS: o.URL + "/epss.csv.gz", Dir: t.TempDir(),
		Now: func() estate.Time { return estate.At(time.Now()) }})
	if err != nil {
		t.Fatal(err)
	}
	c.backoff, c.maxWait, c.stall = time.Millisecond, 2*time.Second, 5*time.Second
	return c
}

func update(t *testing.T, c *Client, ecosystems ...string) map[string]FeedReport {
	t.Helper()
	r, err := c.Update(t.Context(), ecosystems, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]FeedReport{}
	for _, f := range r.Feeds {
		out[f.Feed] = f
	}
	return out
}

func state(t *testing.T, c *Client, feed string) State {
	t.Helper()
	s, err := c.load(t.Context(), feed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUpdate(t *testing.T) {
	o := newOrigin(t)
	o.ecosystem("npm", map[string]int{"GHSA-1": 10, "GHSA-2": 20000, "MAL-3": 20000})
	o.ecosystem("GitHub Actions", map[string]int{"GHSA-9": 5})
	o.set("/kev.json", `{"kev":1}`)
	o.set("/epss.csv.gz", "epss 1")
	s := newSink()
	c := newClient(t, o, s, newStore())

	// The first time: archives, as a whole.
	r := update(t, c, "npm", "npm", "", "GitHub Actions", "missing:12")
	if f := r["osv/npm"]; !f.Whole || f.Records != 3 || f.Changed != 3 || f.Error != "" {
		t.Errorf("npm: %+v", f)
	}
	if f := r["osv/GitHub Actions"]; f.Records != 1 || f.Error != "" {
		t.Errorf("GitHub Actions: %+v", f)
	}
	if f := r["osv/missing"]; !strings.Contains(f.Error, "no feed for this ecosystem") {
		t.Errorf("missing: %+v", f)
	}
	if s.documents["cisa-kev"] != `{"kev":1}` || s.documents["first-epss"] != "epss 1" || len(s.records) != 4 {
		t.Errorf("sink: %v, %d records", s.documents, len(s.records))
	}
	st := state(t, c, "osv/npm")
	if st.Newest.String() != "2026-01-01T05:33:20Z" || st.Records != 3 || st.Error != "" || st.OKAt == 0 || len(st.Recent) != 2 {
		t.Errorf("state: %+v", st)
	}
	if st := state(t, c, "osv/missing"); st.OKAt != 0 || st.CheckedAt == 0 || st.Error == "" {
		t.Errorf("state of missing: %+v", st)
	}

	// Nothing new: the list is read once, then not even sent.
	for range 3 {
		if f := update(t, c, "npm")["osv/npm"]; !f.Unchanged || f.Error != "" {
			t.Errorf("no news: %+v", f)
		}
	}
	if o.count("/npm/all.zip") != 1 || o.codes["/npm/modified_id.csv 200"] != 1 || o.codes["/npm/modified_id.csv 304"] != 2 {
		t.Errorf("requests: %v", o.codes)
	}
	if o.codes["/kev.json 200"] != 1 || o.codes["/kev.json 304"] != 3 {
		t.Errorf("requests for KEV: %v", o.codes)
	}

	// One changed, one new at an instant already seen, one that appears late.
	o.ecosystem("npm", map[string]int{"GHSA-1": 30000, "GHSA-2": 20000, "MAL-3": 20000, "MAL-4": 20000, "MAL-5": 19000})
	f := update(t, c, "npm")["osv/npm"]
	if f.Whole || f.Records != 3 || f.Changed != 3 || f.Error != "" {
		t.Errorf("news: %+v", f)
	}
	if o.count("/npm/GHSA-2.json") != 0 || o.count("/npm/all.zip") != 1 {
		t.Errorf("too much was fetched: %v", o.asked)
	}
	if s.records["GHSA-1"] != record("GHSA-1", "npm", 30000) || s.records["MAL-5"] == "" {
		t.Errorf("records: %v", s.records)
	}
	if st := state(t, c, "osv/npm"); st.Records != 6 {
		t.Errorf("state: %+v", st)
	}

	// A list that does not reach back, and one with too much.
	o.set("/npm/modified_id.csv", stamp(90000)+",MAL-6\n")
	o.set("/npm/all.zip", string(archiveOf(map[string]string{"MAL-6": record("MAL-6", "npm", 90000)})))
	if f := update(t, c, "npm")["osv/npm"]; !f.Whole || f.Error != "" {
		t.Errorf("gap: %+v", f)
	}
	c.maxDelta = 1
	o.ecosystem("npm", map[string]int{"MAL-6": 90000, "MAL-7": 91000, "MAL-8": 92000})
	if f := update(t, c, "npm")["osv/npm"]; !f.Whole || f.Records != 3 {
		t.Errorf("too much: %+v", f)
	}
}

func TestOtherOrigin(t *testing.T) {
	a, b := newOrigin(t), newOrigin(t)
	a.ecosystem("Go", map[string]int{"GO-1": 10})
	b.ecosystem("Go", map[string]int{"GO-1": 10, "GO-0": 5})
	s, st := newSink(), newStore()
	update(t, newClient(t, a, s, st), "Go")
	if f := update(t, newClient(t, b, s, st), "Go")["osv/Go"]; !f.Whole || len(s.records) != 2 {
		t.Errorf("another origin's list says nothing of what is stored: %+v", f)
	}
}

func TestMirrorWithoutLists(t *testing.T) {
	o := newOrigin(t)
	o.set("/Go/all.zip", string(archiveOf(map[string]string{"GO-1": record("GO-1", "Go", 1)})))
	s := newSink()
	c := newClient(t, o, s, newStore())
	update(t, c, "Go")
	if f := update(t, c, "Go")["osv/Go"]; !f.Unchanged || f.Error != "" {
		t.Errorf("unchanged archive: %+v", f)
	}
	o.set("/Go/all.zip", string(archiveOf(map[string]string{"GO-1": record("GO-1", "Go", 1), "GO-2": record("GO-2", "Go", 2)})))
	if f := update(t, c, "Go")["osv/Go"]; !f.Whole || f.Changed != 1 {
		t.Errorf("changed archive: %+v", f)
	}
}

func TestFailures(t *testing.T) {
	answer := func(status int, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		times int // how often it fails
		fail  func(http.ResponseWriter)
		want  string // in the error; "" when the update succeeds
		asked int
	}{
		"passes":              {2, answer(500), "", 3},
		"too often":           {99, answer(503), "503", 4},
		"asks to wait":        {1, answer(429, "Retry-After", "1"), "", 2},
		"asks to wait long":   {99, answer(429, "Retry-After", "900"), "429", 1},
		"forbidden":           {99, answer(403), "403", 1},
		"hangs":               {1, func(w http.ResponseWriter) { time.Sleep(600 * time.Millisecond) }, "", 2},
		"breaks off":          {1, func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, "", 2},
		"hangs in the middle": {1, func(w http.ResponseWriter) { half(w); time.Sleep(600 * time.Millisecond) }, "", 2},
		"hangs for ever":      {99, func(w http.ResponseWriter) { half(w); time.Sleep(600 * time.Millisecond) }, "no data for", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			o.ecosystem("npm", map[string]int{"GHSA-1": 1})
			o.ecosystem("PyPI", map[string]int{"PYSEC-1": 1})
			s := newSink()
			cl := newClient(t, o, s, newStore())
			cl.stall = 250 * time.Millisecond
			update(t, cl, "npm")
			before := state(t, cl, "osv/npm")
			o.ecosystem("npm", map[string]int{"GHSA-1": 1, "GHSA-2": 2})
			path := "/npm/modified_id.csv"
			first := o.count(path)
			o.mu.Lock()
			o.intercept = func(w http.ResponseWriter, r *http.Request, n int) bool {
				if r.URL.Path != path || n > first+c.times {
					return false
				}
				c.fail(w)
				return true
			}
			o.mu.Unlock()
			r := update(t, cl, "npm", "PyPI")
			if f := r["osv/PyPI"]; f.Error != "" || f.Records != 1 {
				t.Errorf("the other feed: %+v", f)
			}
			f := r["osv/npm"]
			if n := o.count(path) - first; n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
			if c.want == "" {
				if f.Error != "" || s.records["GHSA-2"] == "" {
					t.Errorf("%+v", f)
				}
				return
			}
			if !strings.Contains(f.Error, c.want) {
				t.Errorf("error %q, want %q", f.Error, c.want)
			}
			after := state(t, cl, "osv/npm")
			if after.Error == "" || after.OKAt != before.OKAt || after.Newest != before.Newest || s.records["GHSA-1"] == "" {
				t.Errorf("yesterday's data is not kept: %+v", after)
			}
			o.mu.Lock()
			o.intercept = nil
			o.mu.Unlock()
			if f := update(t, cl, "npm")["osv/npm"]; f.Error != "" || s.records["GHSA-2"] == "" || state(t, cl, "osv/npm").Error != "" {
				t.Errorf("after it passed: %+v", f)
			}
		})
	}
}

func half(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, stamp(2)+",GHSA-2\n")
	w.(http.Flusher).Flush()
}

func TestRecordsThatFail(t *testing.T) {
	o := newOrigin(t)
	o.ecosystem("npm", map[string]int{"GHSA-1": 1})
	s := newSink()
	c := newClient(t, o, s, newStore())
	update(t, c, "npm")
	o.ecosystem("npm", map[string]int{"GHSA-1": 1, "GHSA-2": 2, "GHSA-3": 3})

	o.mu.Lock()
	o.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Path == "/npm/GHSA-2.json" {
			w.WriteHeader(500)
			return true
		}
		return false
	}
	o.mu.Unlock()
	if f := update(t, c, "npm")["osv/npm"]; !strings.Contains(f.Error, "500") || s.records["GHSA-3"] == "" {
		t.Errorf("a failing record: %+v", f)
	}
	o.mu.Lock()
	o.intercept = nil
	delete(o.files, "/npm/GHSA-3.json")
	o.mu.Unlock()
	f := update(t, c, "npm")["osv/npm"]
	if f.Error != "" || s.records["GHSA-2"] == "" || len(f.Notes) != 1 {
		t.Errorf("a record that is listed and missing: %+v", f)
	}
	if f := update(t, c, "npm")["osv/npm"]; !f.Unchanged {
		t.Errorf("it is not asked for again: %+v", f)
	}
}
