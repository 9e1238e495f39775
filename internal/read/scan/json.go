// Package scan reads JSON and XML from hostile hands, for readers of large
// documents. A reader walks the document once and takes what it needs; the rest
// is checked and passed over without being kept. So memory follows what is
// taken, never what a sender could make a general decoder allocate (a megabyte
// of "{}," is a gigabyte of structs), and every error names the line and the
// path to the value. Depth, list lengths and string sizes are bounded by the
// limits of package read.
package scan

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"thymus/internal/fault"
	"thymus/internal/read"
)

// JSON walks one JSON text (RFC 8259). The first error sticks to what follows
// only through the caller, who returns it. A JSON must not be shared between
// goroutines.
//
// As in encoding/json, null reads as the zero value of what is asked for, and a
// lone surrogate as U+FFFD. Of a key given twice both values are walked. Strings
// that are taken must not hold NUL, which stores cannot keep.
type JSON struct {
	ctx   context.Context
	b     []byte
	i     int
	depth int
	path  [read.MaxDepth]step
	steps int // since the context was last asked
	buf   []byte
}

// step is one level of the path: the key's bytes in the body, or an index.
type step struct{ from, to, index int }

// NewJSON prepares to walk body, which it never changes. A UTF-8 byte order
// mark is passed over; other encodings are refused.
func NewJSON(ctx context.Context, body []byte) (*JSON, error) {
	text, err := Text(ctx, body)
	if err != nil {
		return nil, err
	}
	return &JSON{ctx: ctx, b: text}, nil
}

// Text checks that body is UTF-8 text within the limits, and returns it without
// a byte order mark.
func Text(ctx context.Context, body []byte) ([]byte, error) {
	if err := stopped(ctx); err != nil {
		return nil, err
	}
	if len(body) > read.MaxDocument {
		return nil, fault.New(fault.TooLarge, "the document has %d bytes; the limit is %d", len(body), read.MaxDocument)
	}
	body = bytes.TrimPrefix(body, bom)
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, fault.New(fault.Invalid, "the document is empty")
	}
	if at := InvalidUTF8(body); at >= 0 {
		return nil, fault.New(fault.Invalid, "line %d: byte %d is not UTF-8", Line(body, at), at)
	}
	return body, nil
}

var bom = []byte("\xEF\xBB\xBF")

// InvalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func InvalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// Line returns the number of the line, from 1, in which an offset lies.
func Line(b []byte, offset int) int {
	return 1 + bytes.Count(b[:min(offset, len(b))], []byte("\n"))
}

func stopped(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "reading the document was stopped: %w", err)
	}
	return nil
}

// Pointer returns the JSON pointer (RFC 6901) of the value that comes next, cut
// to a printable length; "" is the whole document.
func (d *JSON) Pointer() string {
	var b strings.Builder
	for _, s := range d.path[:d.depth] {
		if s.from == 0 {
			if s.index >= 0 {
				b.WriteString("/" + strconv.Itoa(s.index))
			}
			continue
		}
		b.WriteByte('/')
		key := string(d.b[s.from:s.to])
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(Quote(key)))
		if b.Len() > 300 {
			b.WriteString("/…")
			break
		}
	}
	return b.String()
}

// Quote cuts a piece of a document to what an error text may show of it.
func Quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Errorf makes an error that names the line and the pointer of the place.
func (d *JSON) Errorf(code fault.Code, format string, args ...any) error {
	return fault.New(code, "line %d, %s: %s", Line(d.b, d.i), d.where(), fmt.Sprintf(format, args...))
}

func (d *JSON) where() string {
	if p := d.Pointer(); p != "" {
		return p
	}
	return "top of the document"
}

func (d *JSON) syntax(want string) error {
	if d.i >= len(d.b) {
		return d.Errorf(fault.Invalid, "the document ends where %s belongs", want)
	}
	r, _ := utf8.DecodeRune(d.b[d.i:])
	return d.Errorf(fault.Invalid, "found %q where %s belongs", r, want)
}

// Kind returns the kind of the value that comes next: '{', '[', '"', '0' for a
// number, 't' for true or false, 'n' for null, and 0 for anything else.
func (d *JSON) Kind() byte {
	for d.i < len(d.b) {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\n', '\r':
			d.i++
		case '{', '[', '"', 'n', 't':
			return c
		case 'f':
			return 't'
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return '0'
		default:
			return 0
		}
	}
	return 0
}

// name of a kind, for errors.
func kindName(k byte) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "no value"
}

func (d *JSON) wrong(want byte) error {
	k := d.Kind()
	if k == 0 {
		return d.syntax(kindName(want))
	}
	return d.Errorf(fault.Invalid, "%s stands where %s belongs", kindName(k), kindName(want))
}

// Null passes over null, and tells whether there was one.
func (d *JSON) Null() (bool, error) {
	if d.Kind() != 'n' {
		return false, nil
	}
	return true, d.literal("null")
}

func (d *JSON) literal(word string) error {
	if !bytes.HasPrefix(d.b[d.i:], []byte(word)) {
		return d.syntax(word)
	}
	d.i += len(word)
	return nil
}

func (d *JSON) enter() error {
	if d.depth >= read.MaxDepth {
		return d.Errorf(fault.TooLarge, "nested more than %d deep", read.MaxDepth)
	}
	d.depth++
	d.i++
	return nil
}

// Object walks an object: f is called with each key, and takes or leaves the
// value. The key is valid during the call. Null is an object without keys.
func (d *JSON) Object(f func(key []byte) error) error {
	if null, err := d.Null(); null || err != nil {
		return err
	}
	if d.Kind() != '{' {
		return d.wrong('{')
	}
	if err := d.enter(); err != nil {
		return err
	}
	at := &d.path[d.depth-1]
	*at = step{index: -1}
	for first := true; ; first = false {
		if d.Kind() == 0 && d.i < len(d.b) && d.b[d.i] == '}' {
			if !first {
				return d.syntax("a value")
			}
			break
		}
		if d.Kind() != '"' {
			return d.syntax("a key")
		}
		from := d.i + 1
		key, err := d.raw()
		if err != nil {
			return err
		}
		*at = step{from: from, to: d.i - 1}
		if d.Kind() != 0 || d.i >= len(d.b) || d.b[d.i] != ':' {
			return d.syntax("a colon")
		}
		d.i++
		if err := d.value(func() error { return f(key) }); err != nil {
			return err
		}
		if done, err := d.next('}'); done || err != nil {
			if err != nil {
				return err
			}
			break
		}
	}
	d.i++
	d.depth--
	return nil
}

// Array walks a list: f is called with each index, and takes or leaves the
// item. Null is an empty list. Lists over read.MaxComponents are refused.
func (d *JSON) Array(f func(i int) error) error {
	if null, err := d.Null(); null || err != nil {
		return err
	}
	if d.Kind() != '[' {
		return d.wrong('[')
	}
	if err := d.enter(); err != nil {
		return err
	}
	at := &d.path[d.depth-1]
	*at = step{index: -1}
	for i := 0; ; i++ {
		if i == 0 && d.Kind() == 0 && d.i < len(d.b) && d.b[d.i] == ']' {
			break
		}
		at.index = i
		if i >= read.MaxComponents {
			return d.Errorf(fault.TooLarge, "a list of more than %d items", read.MaxComponents)
		}
		if err := d.value(func() error { return f(i) }); err != nil {
			return err
		}
		if done, err := d.next(']'); done || err != nil {
			if err != nil {
				return err
			}
			break
		}
	}
	d.i++
	d.depth--
	return nil
}

// value calls f at the start of a value, and passes over what f left.
func (d *JSON) value(f func() error) error {
	if d.steps++; d.steps >= 4096 {
		d.steps = 0
		if err := stopped(d.ctx); err != nil {
			return err
		}
	}
	d.Kind()
	start := d.i
	if err := f(); err != nil {
		return err
	}
	if d.i == start {
		return d.Skip()
	}
	return nil
}

// next passes over a comma, or stops at the end of the object or list.
func (d *JSON) next(end byte) (done bool, err error) {
	d.Kind()
	if d.i < len(d.b) {
		switch d.b[d.i] {
		case ',':
			d.i++
			return false, nil
		case end:
			return true, nil
		}
	}
	return false, d.syntax("a comma or the end of " + kindName(end-2))
}

// Skip passes over one value, checking its form.
func (d *JSON) Skip() error {
	switch d.Kind() {
	case '{':
		return d.Object(func([]byte) error { return nil })
	case '[':
		return d.skipList()
	case '"':
		_, err := d.raw()
		return err
	case '0':
		_, err := d.number()
		return err
	case 't':
		_, err := d.Bool()
		return err
	case 'n':
		return d.literal("null")
	}
	return d.syntax("a value")
}

// skipList is Array for a list that nobody keeps, however long.
func (d *JSON) skipList() error {
	if err := d.enter(); err != nil {
		return err
	}
	d.path[d.depth-1] = step{}
	for i := 0; ; i++ {
		if i == 0 && d.Kind() == 0 && d.i < len(d.b) && d.b[d.i] == ']' {
			break
		}
		d.path[d.depth-1].index = i
		if err := d.value(func() error { return nil }); err != nil {
			return err
		}
		if done, err := d.next(']'); done || err != nil {
			if err != nil {
				return err
			}
			break
		}
	}
	d.i++
	d.depth--
	return nil
}

// End checks that nothing but white space follows.
func (d *JSON) End() error {
	d.Kind()
	if d.i < len(d.b) {
		return d.syntax("the end of the document")
	}
	return nil
}
