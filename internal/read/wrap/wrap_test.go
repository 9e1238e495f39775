package wrap

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/testdata"
)

const doc = `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"é"}]}`

const sha = "be65f488b7764ad3638f236b7b515b3678369a5124c47b8d32916d6487418ea4"

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zst(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func dsse(payload string) []byte {
	return []byte(`{"payload":"` + base64.StdEncoding.EncodeToString([]byte(payload)) + `","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"x"}]}`)
}

func statement(predicate string) string {
	return `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"ghcr.io/shop/cart:1.2","digest":{"sha512":"00","sha256":"` + strings.ToUpper(sha) +
		`"}},{"name":"no digest"}],"predicateType":"https://cyclonedx.org/bom","predicate":` + predicate + `}`
}

func wide(s string, order binary.ByteOrder, mark bool) []byte {
	var out []byte
	if mark {
		s = "\uFEFF" + s
	}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, 0, 0)
		order.PutUint16(out[len(out)-2:], u)
	}
	return out
}

// bz is "hello, bzip2\n", compressed.
const bz = "QlpoOTFBWSZTWbEj3kMAAANZgAAQQAQQABJkwBAgADEDQNAgAaaRA6tsgoT4u5IpwoSFiR7yGA=="

func TestUnwrap(t *testing.T) {
	quoted, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	subjects := []estate.Subject{{Name: "cart", Version: "1.2", Digest: "sha256:" + sha, Derived: true}}
	const pred = "https://cyclonedx.org/bom"
	for name, c := range map[string]struct {
		body []byte
		want Wrapped
	}{
		"plain":             {[]byte(doc), Wrapped{}},
		"byte order mark":   {[]byte("\xEF\xBB\xBF" + doc), Wrapped{}},
		"gzip":              {zip(t, []byte(doc)), Wrapped{Layers: []string{"gzip"}}},
		"two gzip members":  {append(zip(t, []byte(doc[:10])), zip(t, []byte(doc[10:]))...), Wrapped{Layers: []string{"gzip"}}},
		"zstd":              {zst(t, []byte(doc)), Wrapped{Layers: []string{"zstd"}}},
		"mark in gzip":      {zip(t, []byte("\xEF\xBB\xBF"+doc)), Wrapped{Layers: []string{"gzip"}}},
		"UTF-16LE":          {wide(doc, binary.LittleEndian, true), Wrapped{Layers: []string{"utf-16"}}},
		"UTF-16BE unmarked": {wide(doc, binary.BigEndian, false), Wrapped{Layers: []string{"utf-16"}}},
		"statement":         {[]byte(statement(doc)), Wrapped{Layers: []string{"in-toto"}, Predicate: pred, Subjects: subjects}},
		"cosign data":       {[]byte(statement(`{"Data":` + doc + `,"Timestamp":""}`)), Wrapped{Layers: []string{"in-toto"}, Predicate: pred, Subjects: subjects}},
		"cosign text":       {[]byte(statement(`{"Data":` + string(quoted) + `}`)), Wrapped{Layers: []string{"in-toto"}, Predicate: pred, Subjects: subjects}},
		"quoted predicate":  {[]byte(statement(string(quoted))), Wrapped{Layers: []string{"in-toto"}, Predicate: pred, Subjects: subjects}},
		"envelope":          {dsse(statement(doc)), Wrapped{Layers: []string{"dsse", "in-toto"}, Predicate: pred, Subjects: subjects}},
		"one line":          {append(dsse(statement(doc)), '\n', '\n'), Wrapped{Layers: []string{"dsse", "in-toto"}, Predicate: pred, Subjects: subjects}},
		"bundle": {[]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":` + string(dsse(doc)) + `}`),
			Wrapped{Layers: []string{"sigstore", "dsse"}}},
		"four layers": {zip(t, zst(t, dsse(statement(doc)))), Wrapped{Layers: []string{"gzip", "zstd", "dsse", "in-toto"}, Predicate: pred, Subjects: subjects}},
		"words of an envelope in another document": {[]byte(`{"payload":1,"_type":"x","z":` + doc + `}`), Wrapped{Body: []byte(`{"payload":1,"_type":"x","z":` + doc + `}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(c.body)
			got, err := Unwrap(c.body)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Body == nil {
				c.want.Body = []byte(doc)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(before, c.body) {
				t.Error("the body was changed")
			}
		})
	}
}

func TestUnwrapRefuses(t *testing.T) {
	nested := doc
	for range 6 {
		nested = string(dsse(nested))
	}
	for name, c := range map[string]struct {
		body []byte
		code fault.Code
		want string
	}{
		"nothing":            {nil, fault.Invalid, "empty"},
		"a mark alone":       {[]byte("\xEF\xBB\xBF"), fault.Invalid, "empty"},
		"gzip of nothing":    {zip(t, nil), fault.Invalid, "in gzip: the document is empty"},
		"cut gzip":           {zip(t, []byte(doc))[:40], fault.Invalid, "gzip: after"},
		"gzip header only":   {[]byte("\x1f\x8b\x08"), fault.Invalid, "gzip"},
		"gzip, then junk":    {append(zip(t, []byte(doc)), "junk"...), fault.Invalid, "gzip: after"},
		"gzip, wrong sum":    {spoil(zip(t, []byte(doc)), -8), fault.Invalid, "checksum"},
		"gzip bomb":          {zip(t, make([]byte, 40<<20)), fault.TooLarge, "gzip: "},
		"zstd bomb":          {zst(t, make([]byte, 40<<20)), fault.TooLarge, "zstd: "},
		"bomb in zstd":       {zst(t, zip(t, make([]byte, 40<<20))), fault.TooLarge, "in zstd: gzip: "},
		"cut zstd":           {zst(t, []byte(doc))[:20], fault.Invalid, "zstd: after"},
		"zstd, huge window":  {[]byte("\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00"), fault.TooLarge, "zstd"},
		"cut bzip2":          {[]byte("BZh91AY&SY\x00\x00"), fault.Invalid, "bzip2: after"},
		"zip":                {[]byte("PK\x03\x04aaaa"), fault.Unsupported, "archive"},
		"odd UTF-16":         {wide(doc, binary.LittleEndian, true)[:51], fault.Invalid, "utf-16: an odd number"},
		"half a pair":        {wide("{", binary.LittleEndian, true)[:2:2], fault.Invalid, "empty"},
		"lone surrogate":     {[]byte("\xff\xfe{\x00\x00\xd8}\x00"), fault.Invalid, "surrogate pair at byte 4"},
		"too many layers":    {[]byte(nested), fault.TooLarge, "more than 4 layers"},
		"not base64":         {[]byte(`{"payloadType":"x","payload":"%%%"}`), fault.Invalid, "/payload is not base64"},
		"no payload":         {[]byte(`{"payloadType":"x"}`), fault.Invalid, "/payload is missing"},
		"payload of nothing": {dsse(" "), fault.Invalid, "in dsse: the document is empty"},
		"cut envelope":       {dsse(statement(doc))[:80], fault.Invalid, "/payload: the document ends inside a string"},
		"two envelopes":      {slicesConcat(dsse(doc), []byte("\n"), dsse(doc)), fault.Unsupported, "line 2: a second attestation"},
		"junk after":         {append(dsse(doc), "oops"...), fault.Invalid, "end of the document"},
		"no predicate":       {[]byte(`{"_type":"https://in-toto.io/Statement/v1"}`), fault.Invalid, "/predicate is missing"},
		"a number":           {[]byte(statement("5")), fault.Invalid, "/predicate is neither"},
		"wrong digest":       {[]byte(strings.ReplaceAll(statement(doc), strings.ToUpper(sha), "beef")), fault.Invalid, "/subject/0: the digest \"beef\""},
		"deep envelope":      {[]byte(`{"payloadType":"x","a":` + strings.Repeat("[", 100_000)), fault.TooLarge, "nested more than"},
		"null bundle":        {[]byte(`{"dsseEnvelope":{"payloadType":null,"payload":"e30"}}`), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Unwrap(c.body)
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatalf("unwrapped %v", got.Layers)
			}
			if fault.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%s); want %q (%s)", err, fault.Of(err), c.want, c.code)
			}
		})
	}
}

func spoil(b []byte, at int) []byte {
	b[len(b)+at] ^= 0xff
	return b
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// A bomb is refused long before it has been inflated.
func TestBombsAreRefusedEarly(t *testing.T) {
	const size = 64 << 20
	bomb := zip(t, make([]byte, size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Unwrap(bomb); fault.Of(err) != fault.TooLarge {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// io.ReadAll grows its buffer by a quarter at a time, so it allocates some
	// five times what it holds at the end, and keeps at most twice as much.
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*freeInflation {
		t.Errorf("refusing %d bytes took %d bytes of memory", len(bomb), used)
	}
}

func TestBzip2(t *testing.T) {
	body, err := base64.StdEncoding.DecodeString(bz)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unwrap(body)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Wrapped{Body: []byte("hello, bzip2\n"), Layers: []string{"bzip2"}}); !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestRealEnvelope(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(testdata.Shared(t), "sboms", "trivy", "centos-7-cyclonedx.intoto.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unwrap(body)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %s %s", got.Layers, got.Predicate, got.Subjects[0].Name); s != "[dsse in-toto] https://cyclonedx.org/bom centos" ||
		got.Subjects[0].Digest != "sha256:"+sha || !bytes.HasPrefix(got.Body, []byte(`{"bomFormat":"CycloneDX"`)) {
		t.Errorf("%s %v %.60s", s, got.Subjects, got.Body)
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, s := range [][]byte{[]byte(doc), zip(f, []byte(doc)), zst(f, []byte(doc)), dsse(statement(doc)), []byte(statement(doc)),
		wide(doc, binary.LittleEndian, true), []byte("BZh91AY&SY"), []byte(statement(`{"Data":"x"}`))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		w, err := Unwrap(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			switch fault.Of(err) {
			case fault.Invalid, fault.TooLarge, fault.Unsupported:
				return
			}
			t.Fatalf("error %v has the code %s", err, fault.Of(err))
		}
		if len(w.Layers) > MaxLayers || len(w.Body) > read.MaxDocument {
			t.Fatalf("%d layers, %d bytes", len(w.Layers), len(w.Body))
		}
	})
}
