package scan

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/fault"
	"thymus/internal/read"
)

// tree takes a whole JSON text as encoding/json would, numbers as text.
func tree(d *JSON) (any, error) {
	switch d.Kind() {
	case '{':
		out := map[string]any{}
		err := d.Object(func(key []byte) error {
			k := string(key)
			v, err := tree(d)
			out[k] = v
			return err
		})
		return out, err
	case '[':
		out := []any{}
		err := d.Array(func(int) error {
			v, err := tree(d)
			out = append(out, v)
			return err
		})
		return out, err
	case '"':
		return d.String()
	case '0':
		s, err := d.Text()
		return json.Number(s), err
	case 't':
		return d.Bool()
	case 'n':
		_, err := d.Null()
		return nil, err
	}
	return nil, d.Skip()
}

func parse(body []byte) (any, error) {
	d, err := NewJSON(context.Background(), body)
	if err != nil {
		return nil, err
	}
	v, err := tree(d)
	if err != nil {
		return nil, err
	}
	return v, d.End()
}

var jsonSeeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0.5e+10`, `"a"`, `{"a":[1,2,{"b":null}]}`,
	`"\u00e9\ud83d\ude00\ud800x\n\"\\\/"`, `[1,]`, `{"a":1,}`, `{,}`, `[,]`, `{"a" 1}`, `[1 2]`, `01`, `1.`, `.5`, `-`,
	`"\x"`, `"\u12"`, "\"\t\"", `"`, `{"a`, `{"a":`, `tru`, `nul`, ` { "a" : [ ] } `, `{} {}`, "\"\xff\"", "{\"a\\u0062\":1}",
}

func FuzzJSONAgreesWithTheStandardLibrary(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parse(body)
		if err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
				t.Fatalf("error %v has code %s", err, c)
			}
		}
		// What this package refuses beyond the standard library.
		if strings.HasPrefix(string(body), "\xEF\xBB\xBF") || InvalidUTF8(body) >= 0 || len(body) > 10_000 || fault.Of(err) == fault.TooLarge ||
			err != nil && strings.Contains(err.Error(), "NUL") {
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(body)))
		dec.UseNumber()
		var want any
		wantErr := dec.Decode(&want)
		if wantErr == nil {
			if _, err := dec.Token(); !errors.Is(err, io.EOF) {
				wantErr = errors.New("more follows")
			}
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v; encoding/json: %v", body, err, wantErr)
		}
		if err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q (-encoding/json +scan):\n%s", body, diff)
			}
		}
		// Passing over accepts what taking accepts.
		if d, e := NewJSON(t.Context(), body); e == nil {
			if e = d.Skip(); e == nil {
				e = d.End()
			}
			if (e == nil) != (wantErr == nil) {
				t.Fatalf("Skip of %q: %v; encoding/json: %v", body, e, wantErr)
			}
		}
	})
}

func TestJSONErrorsNameThePlace(t *testing.T) {
	long := strings.Repeat("x", read.MaxString+1)
	for name, c := range map[string]struct {
		body, want string
		code       fault.Code
	}{
		"empty":      {"", "empty", fault.Invalid},
		"cut":        {"{\"a\":\n[{},", "line 2, /a/1: the document ends", fault.Invalid},
		"wrong type": {`{"a":[{"b/c~":5}]}`, "line 1, /a/0/b~1c~0: a number stands where a string belongs", fault.Invalid},
		"NUL":        {`{"a":[{"b/c~":"\u0000"}]}`, "holds NUL", fault.Invalid},
		"long":       {`{"a":[{"b/c~":"` + long + `"}]}`, "/a/0/b~1c~0: a string of 1048577 bytes", fault.TooLarge},
		"bytes":      {"{\n\"\xff\"", "line 2: byte 3 is not UTF-8", fault.Invalid},
		"UTF-16":     {"\xff\xfe{\x00", "byte 0 is not UTF-8", fault.Invalid},
		"junk":       {`{"a":[]}]`, "end of the document", fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := NewJSON(t.Context(), []byte(c.body))
			if err == nil {
				err = d.Object(func([]byte) error {
					return d.Array(func(int) error {
						return d.Object(func([]byte) error { _, err := d.String(); return err })
					})
				})
				if err == nil {
					err = d.End()
				}
			}
			if fault.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%s); want %q (%s)", err, fault.Of(err), c.want, c.code)
			}
		})
	}
}

func TestJSONDepthIsBounded(t *testing.T) {
	for _, open := range []string{`{"a":`, `[`} {
		d, err := NewJSON(t.Context(), []byte(strings.Repeat(open, 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Skip(); fault.Of(err) != fault.TooLarge || !strings.Contains(err.Error(), "nested more than 200") {
			t.Errorf("%q nested: %v", open, err)
		}
	}
}

func TestJSONPassesOverWhatIsLeft(t *testing.T) {
	d, err := NewJSON(t.Context(), []byte("\xEF\xBB\xBF"+`{"skip":{"a":[1,{"b":"]}"}]},"take":"x","n":null,"num":1.50,"one":"s","many":["t","u"]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	err = d.Object(func(key []byte) (err error) {
		switch k := string(key); k {
		case "take", "n":
			got[k], err = d.String()
		case "num":
			got[k], err = d.Text()
		case "one", "many":
			got[k], err = d.Strings()
		}
		return err
	})
	if err != nil || d.End() != nil {
		t.Fatal(err)
	}
	want := map[string]any{"take": "x", "n": "", "num": "1.50", "one": []string{"s"}, "many": []string{"t", "u"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCancelledWalksStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, err := NewJSON(ctx, []byte("["+strings.Repeat("0,", 100_000)+"0]"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := d.Skip(); !errors.Is(err, context.Canceled) {
		t.Errorf("JSON: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	x, err := NewXML(ctx, []byte("<a>"+strings.Repeat("<b/>", 100_000)+"</a>"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := x.Root(func(*Element) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("XML: %v", err)
	}
}

func outline(x *XML, e *Element, out *[]string) error {
	*out = append(*out, e.Name+"{"+e.Namespace+"}"+e.Attr("k"))
	return x.Children(func(e *Element) error {
		switch e.Name {
		case "text":
			s, err := x.Text()
			*out = append(*out, "text="+s)
			return err
		case "skip":
			return nil
		}
		return outline(x, e, out)
	})
}

func TestXMLWalk(t *testing.T) {
	body := `<?xml version="1.0" encoding="UTF-8"?><!-- c --><p:a xmlns:p="urn:p" k="1"><text> x &amp;<b>no</b><![CDATA[<y>]]> </text><skip><text>no</text></skip><p:b k="2"/></p:a><!-- d -->
`
	x, err := NewXML(t.Context(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := x.Root(func(e *Element) error { return outline(x, e, &got) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a{urn:p}1", "text=x &<y>", "b{}2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestXMLErrorsNameThePlace(t *testing.T) {
	for name, c := range map[string]struct {
		body, want string
		code       fault.Code
	}{
		"empty":       {" ", "empty", fault.Invalid},
		"cut":         {"<a>\n<b>", "line 2, /a/b: the document ends", fault.Invalid},
		"mismatch":    {"<a><b></a></b>", "</a> ends", fault.Invalid},
		"doctype":     {"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "type declaration", fault.Invalid},
		"entity":      {"<a>&x;</a>", "/a: invalid character entity", fault.Invalid},
		"deep":        {strings.Repeat("<a>", 300), "nested more than 200", fault.TooLarge},
		"second root": {"<a/><b/>", "second root", fault.Invalid},
		"text":        {"<a/>b", "outside of the root", fault.Invalid},
		"latin":       {`<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, "ISO-8859-1", fault.Invalid},
		"long text":   {"<a><text>" + strings.Repeat("x", read.MaxString+1) + "</text></a>", "/a/text: a text of more", fault.TooLarge},
		"NUL":         {"<a>\x00</a>", "illegal character", fault.Invalid},
		"only text":   {"abc", "outside of the root", fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := NewXML(t.Context(), []byte(c.body))
			if err == nil {
				var got []string
				err = x.Root(func(e *Element) error { return outline(x, e, &got) })
			}
			if fault.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%s); want %q (%s)", err, fault.Of(err), c.want, c.code)
			}
		})
	}
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{"<a/>", "<a><b k='1'>t</b></a>", "<a><![CDATA[x]]></a>", "<a>&lt;</a>", "<?xml version='1.0'?><a/>", "<a><text>x</text></a>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		x, err := NewXML(t.Context(), body)
		if err != nil {
			return
		}
		var got []string
		err = x.Root(func(e *Element) error { return outline(x, e, &got) })
		if err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
				t.Fatalf("error %v has code %s", err, c)
			}
			return
		}
		// What is accepted here is well formed for the standard library.
		var v struct {
			Inner string `xml:",innerxml"`
		}
		if err := xml.Unmarshal(body, &v); err != nil && !strings.Contains(err.Error(), "namespace") {
			t.Fatalf("accepted %q, which the standard library refuses: %v", body, err)
		}
	})
}
