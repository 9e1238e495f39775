package redact

import (
	"bytes"
	"slices"
	"strings"
)

// secretKeys are the ends of keys whose values are secrets, in lower case and
// without separators. Those of passwords may hold anything; values of the
// others must look random, the more so since "token" and "secret" name
// harmless things too.
var (
	passwordKeys = []string{"password", "passwd", "passphrase"}
	strongKeys   = []string{"clientsecret", "secretkey", "secretaccesskey", "apikey", "privatekey", "accountkey", "authtoken",
		"accesstoken", "refreshtoken"}
	weakKeys = []string{"accesskey", "secret", "token"}
)

// keyed overwrites the value under a key that names a secret; i is somewhere
// in the key. The forms: JSON and YAML members, lists of names and values
// (properties of CycloneDX, variables of Kubernetes), XML elements and
// attributes, and assignments as in environment files and query strings.
func keyed(d *document, i int) {
	start, end := i, i
	for start > 0 && i-start < 64 && keyChars.has(d.b[start-1]) {
		start--
	}
	for end < len(d.b) && end-i < 64 && keyChars.has(d.b[end]) {
		end++
	}
	rule, weak := secretKey(d.b[start:end])
	if rule == "" {
		return
	}
	v, ok := d.valueOf(start, end)
	if !ok || v.from >= v.to {
		return
	}
	text := d.b[v.from:v.to]
	if harmless(text) || v.bare && bareJSON(text) {
		return
	}
	if rule == "password" {
		if len(text) < 4 || strings.ContainsAny(string(text), "()[]{}") && identifier(text) {
			return
		}
	} else if !random(text) && (weak || !mixed(text)) || weak && digest(text) {
		return
	}
	d.mask(rule, v.from, v.to, v.plain)
}

// secretKey returns the rule of a key, "" when it names no secret, and whether
// the key may well name something else.
func secretKey(key []byte) (rule string, weak bool) {
	var buf [128]byte
	name := buf[:0]
	for _, c := range key {
		if c != '_' && c != '-' && c != '.' {
			name = append(name, lower(c))
		}
	}
	ends := func(s string) bool { return bytes.HasSuffix(name, []byte(s)) }
	if slices.ContainsFunc(passwordKeys, ends) {
		return "password", false
	}
	if slices.ContainsFunc(strongKeys, ends) {
		return "secret", false
	}
	if slices.ContainsFunc(weakKeys, ends) {
		return "secret", true
	}
	return "", false
}

// value is where a key's value stands.
type value struct {
	from, to int
	plain    bool // without quotation marks, so that YAML may read it
	bare     bool // plain under a quoted key: JSON, perhaps
}

// valueOf finds the value of the key at [start, end).
func (d *document) valueOf(start, end int) (value, bool) {
	if open, quotes := d.quoteBefore(start); quotes != nil {
		mark := string(quotes)
		if !d.at(end, mark) { // KEY=value within a string
			return d.assigned(start, end)
		}
		after := end + len(mark)
		i := d.span(after, space)
		switch d.byteAt(i) {
		case ':', '=': // "key": value
			i = d.span(i+1, blank)
			if d.byteAt(i) == '>' { // Ruby, PHP
				i = d.span(i+1, blank)
			}
			v, ok := d.scalar(i)
			v.bare = v.plain
			return v, ok
		case ',': // "name": "key", "value": "…"
			i = d.span(i+1, space)
			if next, ok := d.member(i, mark); ok && d.nameBefore(open) {
				return d.scalar(next)
			}
		case '>': // name="key">value<
			return d.element(i + 1)
		}
		if d.atFold(i, "value=") { // name="key" value="…"
			return d.scalar(i + len("value="))
		}
		return d.nextLine(open, after)
	}
	switch c := d.byteAt(end); {
	case c == '>' && d.tagBefore(start): // <key>value</key>
		return d.element(end + 1)
	case c == ':' && blank.has(d.byteAt(end+1)) && d.lineBefore(start): // key: value
		return d.scalar(d.span(end+1, blank))
	case c == '=':
		return d.assigned(start, end)
	case c == ' ' || c == '\t': // key = value
		if i := d.span(end, blank); d.byteAt(i) == '=' && d.byteAt(i+1) != '=' && d.lineBefore(start) {
			return d.scalar(d.span(i+1, blank))
		}
	}
	return d.nextLine(start, end)
}

// quoteBefore finds the quotation mark that opens at i, with the backslashes
// of JSON within JSON.
func (d *document) quoteBefore(i int) (open int, mark []byte) {
	first := i // a property's name may have a prefix: "syft:env:DB_PASSWORD"
	for first > 0 && i-first < 64 && (keyChars.has(d.b[first-1]) || d.b[first-1] == ':') {
		first--
	}
	if c := d.byteAt(first - 1); c == '"' || c == '\'' {
		open = first - 1
		for open > 0 && d.b[open-1] == '\\' && first-open < 8 {
			open--
		}
		return open, d.b[open:first]
	}
	return i, nil
}

// member accepts "value": at i and returns where its value starts.
func (d *document) member(i int, mark string) (next int, ok bool) {
	if !d.at(i, mark+"value"+mark) {
		return i, false
	}
	i = d.span(i+2*len(mark)+len("value"), space)
	return d.span(i+1, space), d.byteAt(i) == ':'
}

// nameBefore tells whether the value that begins at i belongs to a key that is
// called name or key.
func (d *document) nameBefore(i int) bool {
	b := bytes.TrimRight(d.b[max(0, i-24):i], " \t\r\n")
	b, ok := bytes.CutSuffix(b, []byte(":"))
	b = bytes.TrimRight(b, " \t\"'\\")
	return ok && (bytes.HasSuffix(b, []byte("name")) || bytes.HasSuffix(b, []byte("key")))
}

// nextLine reads "name: KEY" and, on the next line, "value: …".
func (d *document) nextLine(start, end int) (value, bool) {
	i := d.span(end, space)
	if i == end || bytes.IndexByte(d.b[end:i], '\n') < 0 || !d.atFold(i, "value:") || !d.nameBefore(start) {
		return value{}, false
	}
	return d.scalar(d.span(i+len("value:"), blank))
}

// lineBefore tells whether only indentation, a list's dash or "export" stands
// before i on its line, or an opening of a flow mapping.
func (d *document) lineBefore(i int) bool {
	b := bytes.TrimRight(d.b[max(0, i-100):i], " \t")
	for _, s := range []string{"export", "-", "ENV", "ARG"} {
		if t, ok := bytes.CutSuffix(b, []byte(s)); ok {
			b = bytes.TrimRight(t, " \t")
		}
	}
	return len(b) == 0 || bytes.IndexByte([]byte("\n{,"), b[len(b)-1]) >= 0
}

// tagBefore tells whether an XML start tag opens at i, perhaps with a prefix.
func (d *document) tagBefore(i int) bool {
	if d.byteAt(i-1) == ':' {
		i--
		for i > 0 && keyChars.has(d.b[i-1]) {
			i--
		}
	}
	return d.byteAt(i-1) == '<'
}

// element reads an element's text.
func (d *document) element(i int) (value, bool) {
	n := bytes.IndexAny(d.b[i:min(len(d.b), i+4096)], "<>\"")
	if n < 0 || d.b[i+n] != '<' || d.byteAt(i+n+1) != '/' {
		return value{}, false
	}
	return d.trim(value{from: i, to: i + n}), true
}

// assigned reads KEY=value, without spaces.
func (d *document) assigned(start, end int) (value, bool) {
	if c := d.byteAt(end + 1); d.byteAt(end) != '=' || c == '=' || c == '>' || blank.has(c) {
		return value{}, false
	}
	// A backslash is a line's end in JSON, whose "n" then belongs to the key.
	if c := d.byteAt(start - 1); c != 0 && bytes.IndexByte([]byte(" \t\n\r\"'?&;,:{\\"), c) < 0 {
		return value{}, false
	}
	return d.scalar(end + 1)
}

// plainEnd ends a value without quotation marks.
var plainEnd = chars(" \t\r\n\"'`<>&;,}])|\\")

// scalar reads a quoted or plain value at i.
func (d *document) scalar(i int) (value, bool) {
	mark := i
	for d.byteAt(mark) == '\\' && mark-i < 8 {
		mark++
	}
	switch c := d.byteAt(mark); c {
	case '"', '\'':
		from := mark + 1
		for j := from; j < len(d.b) && j < from+4096 && d.b[j] != '\n'; j++ {
			if d.b[j] == '\\' && mark == i && c == '"' {
				j++ // an escape
				continue
			}
			if d.b[j] == c {
				// Within a string, the backslashes before the mark are not the value's.
				return value{from: from, to: max(from, j-(mark-i))}, true
			}
		}
		return value{}, false
	case 0, '|', '>', '&', '!', '[', '{', '#', '*', '\n', '\r':
		return value{}, false
	}
	if mark != i {
		return value{}, false
	}
	to := i
	for to < len(d.b) && to-i < 4096 && !plainEnd.has(d.b[to]) {
		to++
	}
	// More words on the line: prose, or code.
	if rest := d.span(to, blank); rest > to && rest < len(d.b) && d.b[rest] != '#' && d.b[rest] != '\n' && d.b[rest] != '\r' &&
		!assignment(d.b[rest:min(len(d.b), rest+64)]) {
		return value{}, false
	}
	return value{from: i, to: to, plain: true}, true
}

// assignment tells whether b starts with another KEY=, as on a line of ENV.
func assignment(b []byte) bool {
	i := 0
	for i < len(b) && keyChars.has(b[i]) {
		i++
	}
	return i > 0 && i < len(b) && b[i] == '='
}

func (d *document) trim(v value) value {
	for v.from < v.to && space.has(d.b[v.from]) {
		v.from++
	}
	for v.to > v.from && space.has(d.b[v.to-1]) {
		v.to--
	}
	return v
}
