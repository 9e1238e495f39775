package feed

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"thymus/internal/fault"
	"thymus/internal/testdata"
)

// manyRecords makes an archive of some hundred kilobytes.
func manyRecords(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		id := fmt.Sprintf("GO-2026-%04d", i)
		out[id] = record(id, "Go", i) + strings.Repeat(" ", i%7)
	}
	return out
}

func TestResume(t *testing.T) {
	whole := archiveOf(manyRecords(2000))
	for name, changed := range map[string]bool{"same version": false, "another version": true} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			o.set("/Go/all.zip", string(whole))
			var ranges []string
			o.intercept = func(w http.ResponseWriter, r *http.Request, n int) bool {
				if r.URL.Path != "/Go/all.zip" {
					return false
				}
				ranges = append(ranges, r.Header.Get("Range"))
				if n > attempts {
					return false
				}
				// Every attempt of the first call breaks off after some bytes more.
				http.ResponseWriter(w).Header().Set("ETag", `"one"`)
				from := 0
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
				if from > 0 {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(whole)-1, len(whole)))
					w.Header().Set("Content-Length", fmt.Sprint(len(whole)-from))
					w.WriteHeader(http.StatusPartialContent)
				} else {
					w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
				}
				w.Write(whole[from : from+10_000])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			s := newSink()
			c := newClient(t, o, s, newStore())
			if f := update(t, c, "Go")["osv/Go"]; f.Error == "" || len(s.records) != 0 {
				t.Fatalf("broken off: %+v", f)
			}
			// The second call goes on where the first one stopped, when the file is the same.
			o.intercept = func(w http.ResponseWriter, r *http.Request, n int) bool {
				ranges = append(ranges, r.Header.Get("Range"))
				if r.URL.Path == "/Go/all.zip" && !changed && r.Header.Get("If-Range") == `"one"` {
					w.Header().Set("ETag", `"one"`)
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(whole))
					return true
				}
				return false
			}
			if f := update(t, c, "Go")["osv/Go"]; f.Error != "" || len(s.records) != 2000 {
				t.Fatalf("resumed: %+v", f)
			}
			if want := []string{"", "bytes=10000-", "bytes=20000-", "bytes=30000-", "bytes=40000-"}; strings.Join(ranges[:5], ",") != strings.Join(want, ",") {
				t.Errorf("ranges %q, want %q", ranges, want)
			}
			left, err := filepath.Glob(filepath.Join(c.o.Dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if strings.Contains(f, "Go") {
					t.Errorf("left behind: %s", f)
				}
			}
		})
	}
}

func TestBadArchives(t *testing.T) {
	good := archiveOf(manyRecords(50))
	named := func(names ...string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, n := range names {
			f, err := w.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Deflate})
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(f, record("A", "Go", 1))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	bomb := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.Create("A.json")
		if err != nil {
			t.Fatal(err)
		}
		zero := make([]byte, 1<<20)
		for range maxRecord>>20 + 1 {
			f.Write(zero)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	// The stated size of the bomb made small: what is read decides.
	liar := bytes.Clone(bomb)
	for i := 0; i+4 < len(liar); i++ {
		if binary.LittleEndian.Uint32(liar[i:]) == maxRecord+1<<20 {
			binary.LittleEndian.PutUint32(liar[i:], 10)
		}
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/3] ^= 0xff
	for name, body := range map[string][]byte{
		"truncated":      good[:len(good)-30],
		"half":           good[:len(good)/2],
		"damaged":        flipped,
		"no archive":     []byte("<html>sign in</html>"),
		"no records":     named("README.txt"),
		"leads out":      named("A.json", "../../etc/passwd.json"),
		"absolute":       named("/etc/A.json"),
		"backslash":      named(`..\A.json`),
		"too large":      bomb,
		"lying on sizes": liar,
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			o.set("/Go/all.zip", string(body))
			s := newSink()
			c := newClient(t, o, s, newStore())
			f := update(t, c, "Go")["osv/Go"]
			if f.Error == "" {
				t.Errorf("accepted: %+v", f)
			}
			if st := state(t, c, "osv/Go"); st.OKAt != 0 || st.From != 0 {
				t.Errorf("state: %+v", st)
			}
			t.Log(f.Error)
			// A file of the same kind is refused on import, too.
			path := filepath.Join(t.TempDir(), "all.zip")
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			if name != "no archive" {
				if _, err := c.Import(t.Context(), path, nil); err == nil {
					t.Error("import accepted it")
				}
			}
		})
	}
}

func TestBudget(t *testing.T) {
	b := &budgeted{r: strings.NewReader("0123456789"), left: 6}
	p := make([]byte, 4)
	if _, err := b.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
	if _, err := b.ReadAt(p, 4); !errors.Is(err, errBudget) {
		t.Errorf("got %v", err)
	}
	b.off = true
	if _, err := b.ReadAt(p, 4); err != nil {
		t.Error(err)
	}
}

func TestRedirects(t *testing.T) {
	via := func(n int, scheme string) []*http.Request {
		out := make([]*http.Request, n)
		for i := range out {
			out[i] = &http.Request{URL: &url.URL{Scheme: scheme}}
		}
		return out
	}
	to := func(scheme string) *http.Request { return &http.Request{URL: &url.URL{Scheme: scheme}} }
	if err := checkRedirect(to("https"), via(maxRedirects, "https")); err != nil {
		t.Error(err)
	}
	if checkRedirect(to("https"), via(maxRedirects+1, "https")) == nil {
		t.Error("endless redirects")
	}
	if checkRedirect(to("http"), via(1, "https")) == nil {
		t.Error("https to http")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{OSV: "ftp://x", Dir: "x"}, {OSV: "https://", Dir: "x"}, {KEV: "file:///etc/passwd", Dir: "x"},
		{EPSS: "https://user:pw@host/x", Dir: "x"}, {},
	} {
		if _, err := New(newSink(), newStore(), o); fault.Of(err) != fault.Usage {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestBundle(t *testing.T) {
	o := newOrigin(t)
	o.ecosystem("npm", map[string]int{"GHSA-1": 10, "GHSA-2": 20})
	o.ecosystem("GitHub Actions", map[string]int{"GHSA-9": 5})
	o.set("/kev.json", `{"kev":1}`)
	o.set("/epss.csv.gz", "epss 1")
	from := newSink()
	c := newClient(t, o, from, newStore())
	update(t, c, "npm", "GitHub Actions", "missing")
	var b bytes.Buffer
	m, sum, err := c.Export(t.Context(), &b, from)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Members) != 4 || len(sum) != 64 {
		t.Errorf("manifest %+v, sum %s", m, sum)
	}
	bundle := b.Bytes()

	imported := func(body []byte, s *sink, st *store) (Report, error) {
		path := filepath.Join(t.TempDir(), "feeds.zip")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		return newClient(t, o, s, st).Import(t.Context(), path, nil)
	}
	to, st := newSink(), newStore()
	r, err := imported(bundle, to, st)
	if err != nil || len(r.Feeds) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(to.records) != 3 || to.records["GHSA-2"] != from.records["GHSA-2"] || to.documents["cisa-kev"] != `{"kev":1}` || to.documents["first-epss"] != "epss 1" {
		t.Errorf("imported: %v %v", to.records, to.documents)
	}
	there, here := state(t, c, "osv/npm"), State{}
	states, err := States(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Feed == "osv/npm" {
			here = s
		}
	}
	if here.OKAt != there.OKAt || here.Newest != there.Newest || here.URL != there.URL || here.From == 0 {
		t.Errorf("the data is as old as where it was exported: %+v, there %+v", here, there)
	}

	// Where there is a network after all, changes follow from there.
	o.ecosystem("npm", map[string]int{"GHSA-1": 10, "GHSA-2": 20, "GHSA-3": 30})
	cl := newClient(t, o, to, st)
	if f := update(t, cl, "npm")["osv/npm"]; f.Whole || f.Records != 1 || f.Error != "" {
		t.Errorf("after the import: %+v", f)
	}
	// An older bundle changes nothing.
	r, err = imported(bundle, to, st)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Feeds {
		if f.Feed == "osv/npm" && !f.Unchanged {
			t.Errorf("older data replaced newer: %+v", f)
		}
	}

	// Nothing is stored of a bundle that was altered or cut anywhere.
	refused := 0
	for i := 0; i < len(bundle); i += 1 + len(bundle)/120 {
		for kind, bad := range map[string][]byte{"altered": bytes.Clone(bundle), "cut": bundle[:i]} {
			if kind == "altered" {
				bad[i] ^= 0x55
			}
			s := newSink()
			_, err := imported(bad, s, newStore())
			if err != nil {
				refused++
				if len(s.records)+len(s.documents) > 0 {
					t.Fatalf("%s at %d: refused (%v), and something was stored", kind, i, err)
				}
				continue
			}
			// What the checksums do not cover (times and attributes in headers of
			// the archive) may differ; the data may not.
			if fmt.Sprint(s.records, s.documents) != fmt.Sprint(from.records, from.documents) {
				t.Fatalf("%s at %d of %d was accepted with other data", kind, i, len(bundle))
			}
		}
	}
	t.Logf("%d altered or cut bundles refused", refused)

	for name, edit := range map[string]func(*zip.Writer){
		"one file too many": func(w *zip.Writer) { w.Create("extra.json") },
		"a name twice":      func(w *zip.Writer) { w.Create("kev.json") },
	} {
		s := newSink()
		if _, err := imported(rewrite(t, bundle, edit), s, newStore()); fault.Of(err) != fault.Invalid || len(s.records) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rewrite(t *testing.T, bundle []byte, edit func(*zip.Writer)) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range z.File {
		if err := w.Copy(f); err != nil {
			t.Fatal(err)
		}
	}
	edit(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImportFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := newSink()
	c := newClient(t, newOrigin(t), s, newStore())
	if _, err := c.Import(t.Context(), dir, nil); fault.Of(err) != fault.NotFound {
		t.Errorf("an empty folder: %v", err)
	}
	zipped := write("npm/all.zip", string(archiveOf(map[string]string{"GHSA-1": record("GHSA-1", "npm", 1)})))
	write("bad/all.zip", "PK no")
	write("kev.json", "kev")
	write("epss.csv", "epss")
	write("notes.txt", "x")
	r, err := c.Import(t.Context(), dir, nil)
	if fault.Of(err) != fault.Invalid || len(r.Feeds) != 4 || r.Failed() != 1 {
		t.Errorf("folder: %+v, %v", r, err)
	}
	if s.records["GHSA-1"] == "" || s.documents["cisa-kev"] != "kev" || s.documents["first-epss"] != "epss" {
		t.Errorf("folder: %v %v", s.records, s.documents)
	}
	if st := state(t, c, "osv/npm"); st.OKAt == 0 || st.URL != "" {
		t.Errorf("state: %+v", st)
	}
	if _, err := c.Import(t.Context(), zipped, nil); err != nil {
		t.Errorf("one archive: %v", err)
	}
	one := write("one.json", record("GHSA-2", "npm", 2))
	if _, err := c.Import(t.Context(), one, nil); err != nil || s.documents["import"] == "" {
		t.Errorf("one document: %v", err)
	}
	some := write("some.zip", string(archiveOf(map[string]string{"X-1": record("X-1", "npm", 1)})))
	if _, err := c.Import(t.Context(), some, nil); err != nil || s.records["X-1"] == "" {
		t.Errorf("some records: %v", err)
	}
	for _, bad := range []string{filepath.Join(dir, "none"), write("empty", "")} {
		if _, err := c.Import(t.Context(), bad, nil); err == nil {
			t.Errorf("%s was imported", bad)
		}
	}
}

func TestImportRealData(t *testing.T) {
	dir := filepath.Join(testdata.Shared(t), "osv")
	s := newSink()
	c := newClient(t, newOrigin(t), s, newStore())
	r, err := c.Import(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, f := range r.Feeds {
		st := state(t, c, f.Feed)
		t.Logf("%s: %d records, newest %s, %d in the window", f.Feed, f.Records, st.Newest, len(st.Recent))
		if f.Records == 0 || f.Refused > 0 || st.Newest == 0 {
			t.Errorf("%+v, %+v", f, st)
		}
		total += f.Records
	}
	t.Logf("%d records", total)
}
