// Package readtest is the conformance suite of readers: what package read
// promises, as tests. A reader's own tests give good and bad documents to Run,
// and seeds to Fuzz; the suite adds the hostile documents that every format
// must survive.
package readtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
)

// Cases are the documents that a reader's tests bring along.
type Cases struct {
	// Good documents are detected and read. They should be small: the suite
	// reads each some hundred times, cut short.
	Good map[string][]byte
	// Bad documents are refused.
	Bad map[string]Bad
	// Claim is given with every document, for formats that need its headers.
	Claim estate.Claim
	// Own names samples of Foreign, besides the one called like the reader,
	// that the reader knows too.
	Own []string
}

// Bad is a document that must be refused with an error of that code, whose text
// contains a string that names the place.
type Bad struct {
	Body     []byte
	Code     fault.Code
	Contains string
}

// Facts reads a document and returns its facts, or the error and no facts.
// It fails when the reader breaks the protocol of read.Reader: a fact beside an
// error, anything after an error, a nil fact, or nothing at all.
func Facts(ctx context.Context, r read.Reader, in read.Input) ([]estate.Fact, error) {
	var (
		facts  []estate.Fact
		failed error
	)
	for f, err := range r.Read(ctx, in) {
		switch {
		case failed != nil:
			return nil, fmt.Errorf("protocol: something was yielded after the error %q", failed)
		case err != nil && f != nil:
			return nil, fmt.Errorf("protocol: a fact was yielded beside the error %q", err)
		case err != nil:
			failed = err
		case f == nil:
			return nil, errors.New("protocol: a nil fact was yielded")
		default:
			facts = append(facts, f)
		}
	}
	if failed != nil {
		return nil, failed
	}
	if len(facts) == 0 {
		return nil, errors.New("protocol: neither a fact nor an error was yielded")
	}
	return facts, nil
}

// Run runs the suite.
func Run(t *testing.T, r read.Reader, cases Cases) {
	t.Helper()
	if len(cases.Good) == 0 {
		t.Fatal("the suite needs at least one good document")
	}
	t.Run("name", func(t *testing.T) {
		if !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(r.Name()) {
			t.Errorf("Name() = %q; want lower case letters, digits and hyphens", r.Name())
		}
	})
	for _, name := range slices.Sorted(maps.Keys(cases.Good)) {
		t.Run("good/"+name, func(t *testing.T) { good(t, r, cases.Claim, cases.Good[name]) })
		t.Run("hostile/"+name, func(t *testing.T) { hostile(t, r, cases.Claim, cases.Good[name]) })
	}
	for _, name := range slices.Sorted(maps.Keys(cases.Bad)) {
		t.Run("bad/"+name, func(t *testing.T) {
			bad := cases.Bad[name]
			facts, err := Facts(t.Context(), r, read.Input{Body: bad.Body, Claim: cases.Claim})
			if err == nil {
				t.Fatalf("read %d facts; want an error", len(facts))
			}
			refused(t, err, bad.Code)
			if bad.Contains == "" {
				t.Error("the case does not say how the error names the place (Contains)")
			}
			if !strings.Contains(err.Error(), bad.Contains) {
				t.Errorf("error %q does not contain %q", err, bad.Contains)
			}
		})
	}
	t.Run("foreign", func(t *testing.T) {
		for name, body := range Foreign() {
			if name == r.Name() || slices.Contains(cases.Own, name) {
				continue
			}
			if r.Detect(Head(body), nil) {
				t.Errorf("takes the sample of %s for its own", name)
			}
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		for name, body := range nonsense() {
			facts, err := Facts(t.Context(), r, read.Input{Body: body, Claim: cases.Claim})
			if err == nil {
				t.Errorf("%s: read %d facts; want an error", name, len(facts))
				continue
			}
			t.Run(name, func(t *testing.T) { refused(t, err, fault.Invalid, fault.TooLarge, fault.Unsupported) })
		}
	})
}

// Head returns what Detect is shown of a document.
func Head(body []byte) []byte { return body[:min(len(body), read.HeadSize)] }

func good(t *testing.T, r read.Reader, claim estate.Claim, body []byte) {
	if !r.Detect(Head(body), claim.Headers) {
		t.Error("not detected")
	}
	in := read.Input{Body: bytes.Clone(body), Claim: claim}
	first, err := Facts(t.Context(), r, in)
	if err != nil {
		t.Fatalf("not read: %v", err)
	}
	for i, f := range first {
		if err := Check(f); err != nil {
			t.Errorf("fact %d: %v", i, err)
		}
	}
	if !bytes.Equal(in.Body, body) {
		t.Error("the reader changed its input")
	}

	// Concurrent readings of one input agree; the race detector sees the rest.
	var wg sync.WaitGroup
	again := make([][]estate.Fact, 4)
	for i := range again {
		wg.Go(func() { again[i], _ = Facts(context.WithoutCancel(t.Context()), r, in) })
	}
	wg.Wait()
	for i := range again {
		if diff := cmp.Diff(first, again[i]); diff != "" {
			t.Fatalf("not deterministic, or not safe for concurrent use (-first +again):\n%s", diff)
		}
	}

	// A consumer that stops early must not be called again: the language
	// panics then.
	for range r.Read(t.Context(), in) {
		break
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Facts(ctx, r, in); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v; want context.Canceled in its chain", err)
	}
}

// hostile damages a good document.
func hostile(t *testing.T, r read.Reader, claim estate.Claim, body []byte) {
	// Of JSON and XML no proper prefix is well formed. Of line formats some
	// are, and their facts must be in order.
	trimmed := bytes.TrimSpace(body)
	strict := json.Valid(trimmed) || bytes.HasPrefix(trimmed, []byte("<"))
	step := max(1, len(trimmed)/300)
	for n := 0; n < len(trimmed); n += step {
		facts, err := Facts(t.Context(), r, read.Input{Body: trimmed[:n:n], Claim: claim})
		if err != nil {
			if refused(t, err, fault.Invalid, fault.TooLarge, fault.Unsupported); t.Failed() {
				t.Fatalf("cut after %d bytes", n)
			}
			continue
		}
		if strict {
			t.Fatalf("cut after %d of %d bytes: read %d facts; want an error", n, len(trimmed), len(facts))
		}
		for _, f := range facts {
			if err := Check(f); err != nil {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
		}
	}

	want, err := Facts(t.Context(), r, read.Input{Body: body, Claim: claim})
	if err != nil {
		t.Fatalf("not read: %v", err)
	}
	for name, damaged := range damage(body) {
		facts, err := Facts(t.Context(), r, read.Input{Body: damaged.body, Claim: claim})
		switch {
		case err != nil:
			refused(t, err, fault.Invalid, fault.TooLarge, fault.Unsupported)
		case damaged.harmless && cmp.Equal(want, facts):
		default:
			t.Errorf("%s: read %d facts; want an error", name, len(facts))
		}
	}
}

type damaged struct {
	body     []byte
	harmless bool // reading the same facts as from the whole document is fine
}

func damage(body []byte) map[string]damaged {
	out := map[string]damaged{
		"UTF-16 little endian": {utf16Bytes(body, 0), true},
		"UTF-16 big endian":    {utf16Bytes(body, 1), true},
	}
	trimmed := bytes.TrimSpace(body)
	const deep = 10_000
	switch {
	case bytes.HasPrefix(trimmed, []byte("{")):
		for name, nest := range map[string]string{
			"10,000 nested arrays":  strings.Repeat("[", deep) + strings.Repeat("]", deep),
			"10,000 nested objects": strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep),
		} {
			rest := trimmed[1:]
			comma := ","
			if bytes.HasPrefix(bytes.TrimSpace(rest), []byte("}")) {
				comma = ""
			}
			out[name] = damaged{body: []byte(`{"zz":` + nest + comma + string(rest))}
		}
		out["text after the end"] = damaged{body: append(bytes.Clone(trimmed), " oops"...)}
	case bytes.HasPrefix(trimmed, []byte("<")):
		if i := bytes.LastIndex(trimmed, []byte("</")); i > 0 {
			out["10,000 nested elements"] = damaged{body: slices.Concat(trimmed[:i],
				[]byte(strings.Repeat("<a>", deep)+strings.Repeat("</a>", deep)), trimmed[i:])}
			out["an undefined entity"] = damaged{body: slices.Concat(trimmed[:i], []byte("<a>&xxe;</a>"), trimmed[i:])}
		}
	}
	return out
}

func utf16Bytes(body []byte, high int) []byte {
	units := append([]uint16{0xFEFF}, utf16.Encode([]rune(string(body)))...)
	out := make([]byte, 2*len(units))
	for i, u := range units {
		out[2*i+high], out[2*i+1-high] = byte(u), byte(u>>8)
	}
	return out
}

// nonsense is refused by every reader.
func nonsense() map[string][]byte {
	const deep = 100_000
	noise := make([]byte, 4096)
	seed := uint32(1)
	for i := range noise {
		seed = seed*1664525 + 1013904223
		noise[i] = byte(seed >> 24)
	}
	return map[string][]byte{
		"nil":                  nil,
		"empty":                {},
		"white space":          []byte(" \n\t\r\n "),
		"a byte order mark":    []byte("\xEF\xBB\xBF"),
		"noise":                noise,
		"NUL bytes":            make([]byte, 1024),
		"invalid UTF-8":        []byte("{\"\xff\xfe\": \"\xc3\x28\"}"),
		"null":                 []byte("null"),
		"a number":             []byte("-1e999"),
		"a string":             []byte(`"text"`),
		"an open string":       []byte(`{"a": "`),
		"an empty object":      []byte("{}"),
		"an empty array":       []byte("[]"),
		"open arrays":          bytes.Repeat([]byte("["), deep),
		"nested arrays":        []byte(strings.Repeat("[", deep) + strings.Repeat("]", deep)),
		"nested objects":       []byte(strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)),
		"a million nulls":      []byte("[" + strings.Repeat("null,", 1_000_000) + "null]"),
		"nested elements":      []byte(strings.Repeat("<a>", deep) + strings.Repeat("</a>", deep)),
		"an external entity":   []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`),
		"a billion laughs":     []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">` + laughs() + `]><a>&l9;</a>`),
		"a YAML alias bomb":    []byte(yamlBomb()),
		"a page of HTML":       []byte("<!doctype html><html><head><title>404</title></head><body>not found</body></html>"),
		"an HTTP error":        []byte(`{"error":"not found","status":404}`),
		"the start of a zip":   []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00"),
		"the start of a gzip":  {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3},
		"the start of an ELF":  []byte("\x7fELF\x02\x01\x01\x00"),
		"lone surrogates":      []byte(`{"\ud800": "\udfff"}`),
		"one very long string": []byte(`"` + strings.Repeat("a", 2*read.MaxString) + `"`),
	}
}

func laughs() string {
	var b strings.Builder
	for i := 1; i <= 9; i++ {
		fmt.Fprintf(&b, `<!ENTITY l%d "%s">`, i, strings.Repeat(fmt.Sprintf("&l%d;", i-1), 10))
	}
	return b.String()
}

func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i <= 9; i++ {
		ref := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", ")
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, ref)
	}
	return b.String()
}

var place = regexp.MustCompile(`[0-9/<>"']|empty|document|line|start|end`)

// refused checks that an error has one of the codes and a text that can help.
func refused(t *testing.T, err error, codes ...fault.Code) {
	t.Helper()
	if strings.HasPrefix(err.Error(), "protocol: ") {
		t.Error(err)
		return
	}
	if !slices.Contains(codes, fault.Of(err)) {
		t.Errorf("error %q has the code %s; want one of %v", err, fault.Of(err), codes)
	}
	if !place.MatchString(err.Error()) {
		t.Errorf("error %q names no place", err)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("an error text of %d bytes quotes too much of the document", len(err.Error()))
	}
}

// Fuzz feeds the reader with damaged seeds: it never panics, refuses with coded
// errors, and its facts pass Check.
func Fuzz(f *testing.F, r read.Reader, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := bytes.Clone(body)
		r.Detect(Head(body), nil)
		facts, err := Facts(t.Context(), r, read.Input{Body: body})
		if !bytes.Equal(original, body) {
			t.Fatal("the reader changed its input")
		}
		if err != nil {
			if code := fault.Of(err); code != fault.Invalid && code != fault.TooLarge && code != fault.Unsupported {
				t.Fatalf("error %q has the code %s", err, code)
			}
			return
		}
		for i, fact := range facts {
			if err := Check(fact); err != nil {
				t.Fatalf("fact %d: %v", i, err)
			}
		}
	})
}
