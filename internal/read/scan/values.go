package scan

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"thymus/internal/fault"
	"thymus/internal/read"
)

// Bool takes a boolean; null is false.
func (d *JSON) Bool() (bool, error) {
	if null, err := d.Null(); null || err != nil {
		return false, err
	}
	if d.Kind() != 't' {
		return false, d.wrong('t')
	}
	if d.b[d.i] == 't' {
		return true, d.literal("true")
	}
	return false, d.literal("false")
}

// Text takes a string, number or boolean as its text; null is "".
func (d *JSON) Text() (string, error) {
	switch d.Kind() {
	case '0':
		return d.number()
	case 't':
		v, err := d.Bool()
		return strconv.FormatBool(v), err
	}
	return d.String()
}

func (d *JSON) number() (string, error) {
	start := d.i
	digits := func() bool {
		from := d.i
		for d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9' {
			d.i++
		}
		return d.i > from
	}
	at := func(any string) bool {
		return d.i < len(d.b) && strings.IndexByte(any, d.b[d.i]) >= 0
	}
	if at("-") {
		d.i++
	}
	if at("0") {
		d.i++
	} else if !digits() {
		return "", d.syntax("a digit")
	}
	if at(".") {
		d.i++
		if !digits() {
			return "", d.syntax("a digit")
		}
	}
	if at("eE") {
		d.i++
		if at("+-") {
			d.i++
		}
		if !digits() {
			return "", d.syntax("a digit")
		}
	}
	if d.i-start > 1000 {
		d.i = start
		return "", d.Errorf(fault.TooLarge, "a number of more than 1000 digits")
	}
	return string(d.b[start:d.i]), nil
}

// String takes a string; null is "".
func (d *JSON) String() (string, error) {
	if null, err := d.Null(); null || err != nil {
		return "", err
	}
	if d.Kind() != '"' {
		return "", d.wrong('"')
	}
	start := d.i
	raw, err := d.raw()
	if err != nil {
		return "", err
	}
	if len(raw) > read.MaxString {
		d.i = start
		return "", d.Errorf(fault.TooLarge, "a string of %d bytes; the limit is %d", len(raw), read.MaxString)
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		d.i = start
		return "", d.Errorf(fault.Invalid, "the string holds NUL")
	}
	return string(raw), nil
}

// Long takes a string of any length, as bytes that may be part of the body;
// null is nil.
func (d *JSON) Long() ([]byte, error) {
	if null, err := d.Null(); null || err != nil {
		return nil, err
	}
	if d.Kind() != '"' {
		return nil, d.wrong('"')
	}
	return d.raw()
}

// Raw takes any value as the part of the body that it stands in.
func (d *JSON) Raw() ([]byte, error) {
	d.Kind()
	start := d.i
	if err := d.Skip(); err != nil {
		return nil, err
	}
	return d.b[start:d.i:d.i], nil
}

// Rest returns what follows the values that were taken, without white space.
func (d *JSON) Rest() []byte {
	d.Kind()
	return d.b[d.i:]
}

// raw takes a string and returns its bytes, valid until the next call when it
// holds escapes.
func (d *JSON) raw() ([]byte, error) {
	d.i++
	start := d.i
	for ; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; {
		case c == '"':
			d.i++
			return d.b[start : d.i-1], nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return nil, d.syntax("more of a string")
		}
	}
	return nil, d.Errorf(fault.Invalid, "the document ends inside a string")
}

func (d *JSON) escaped(start int) ([]byte, error) {
	out := append(d.buf[:0], d.b[start:d.i]...)
	for d.i < len(d.b) {
		c := d.b[d.i]
		switch {
		case c == '"':
			d.i++
			// Keys are held while values are walked, so the buffer is not
			// used again.
			d.buf = nil
			return out, nil
		case c < ' ':
			return nil, d.syntax("more of a string")
		case c != '\\':
			out = append(out, c)
			d.i++
			continue
		}
		if d.i++; d.i >= len(d.b) {
			break
		}
		switch e := d.b[d.i]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := d.hex(d.i + 1)
			if !ok {
				return nil, d.Errorf(fault.Invalid, `a \u without four hexadecimal digits`)
			}
			d.i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(utf8.RuneError), false
				if d.i+2 < len(d.b) && d.b[d.i+1] == '\\' && d.b[d.i+2] == 'u' {
					low, ok = d.hex(d.i + 3)
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					d.i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, d.syntax("an escape")
		}
		d.i++
	}
	return nil, d.Errorf(fault.Invalid, "the document ends inside a string")
}

func (d *JSON) hex(at int) (rune, bool) {
	if at+4 > len(d.b) {
		return 0, false
	}
	var r rune
	for _, c := range d.b[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// Strings takes a list of strings; a single string is a list of one.
func (d *JSON) Strings() (out []string, err error) {
	if d.Kind() == '"' {
		s, err := d.String()
		return []string{s}, err
	}
	err = d.Array(func(int) error {
		s, err := d.String()
		out = append(out, s)
		return err
	})
	return out, err
}
