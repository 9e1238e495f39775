// Package redact overwrites secrets in documents before anything is stored.
//
// SBOMs, manifests and reports now and then carry credentials: an environment
// variable in an image's configuration, a token in a download URL. Evidence is
// kept for years and shown to many, so a secret must never reach it. Bytes
// looks for shapes that are secrets beyond doubt (tokens with a maker's
// prefix, private keys, JSON web tokens, passwords in URLs) and for values
// under keys that name a secret. Lengths stay, prefixes stay visible, and JSON,
// XML and YAML stay valid, so that positions in messages and readers agree
// with the document that was sent.
//
// A rule that fires on a digest, a version or a package name would damage
// evidence; hence values under keys must look like secrets too (value.go).
// What has no shape and stands under no telling key is not found.
//
// One pass looks at every four bytes through a bitmap of anchors; a rule runs
// only where its anchor stands. So clean documents cost some two milliseconds a
// megabyte, and hostile ones a bounded multiple of that.
package redact

import (
	"bytes"
	"encoding/binary"
)

// Finding says what was overwritten, never what it was.
type Finding struct {
	Rule   string // "aws", "github", "private key", "password", …
	Offset int    // of the first byte overwritten
	Length int    // in bytes, up to the last one overwritten
}

// Bytes overwrites the secrets in a document. It returns b itself and nothing
// found when there are none; else a copy of equal length, b being unchanged.
// It is idempotent, and safe for concurrent use. The document may be of any
// format and damaged in any way.
func Bytes(b []byte) (out []byte, found []Finding) {
	d := document{b: b}
	// What one rule overwrites may change what another sees of the rest, so
	// passes go on until one finds nothing. Each overwrites bytes for good.
	for n, passes := -1, 0; n != len(d.found) && passes < maxPasses; passes++ {
		n = len(d.found)
		d.pass()
	}
	return d.b, d.found
}

// maxPasses bounds the work; real documents take two.
const maxPasses = 16

// document is what is being redacted; b is copied before the first change.
type document struct {
	b     []byte
	owned bool
	found []Finding
}

// pass runs every rule where its anchor stands.
func (d *document) pass() {
	for i := 0; i+4 <= len(d.b); i++ {
		g := fold(binary.LittleEndian.Uint32(d.b[i:]))
		h := gramHash(g)
		if anchors.bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, r := range anchors.rules[g] {
			if i >= r.back {
				r.run(d, i-r.back)
			}
		}
	}
}

// fold makes ASCII letters lower case. It makes a few other bytes equal too;
// the rules look at the bytes themselves.
func fold(g uint32) uint32 { return g | 0x20202020 }

// gramHash maps four bytes to 16 bits (Fibonacci hashing).
func gramHash(g uint32) uint32 { return g * 2654435769 >> 16 }

// rule runs at an anchor: four bytes that its secret holds back bytes behind
// its start.
type rule struct {
	back int
	run  func(d *document, start int)
}

type anchorTable struct {
	bits  [1024]uint64
	rules map[uint32][]rule
}

// anchors is made once and never changed.
var anchors = makeAnchors()

func makeAnchors() *anchorTable {
	t := &anchorTable{rules: map[uint32][]rule{}}
	add := func(gram string, back int, run func(*document, int)) {
		g := fold(binary.LittleEndian.Uint32([]byte(gram)))
		h := gramHash(g)
		t.bits[h>>6] |= 1 << (h & 63)
		t.rules[g] = append(t.rules[g], rule{back, run})
	}
	for _, k := range tokens {
		add(k.prefix[k.anchor:k.anchor+4], k.anchor, k.redact)
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	for _, c := range letters + "-_" {
		add("eyJ"+string(c), 0, jwt)
	}
	for _, c := range letters + "+.-" {
		add(string(c)+"://", 0, urlPassword)
	}
	add("begi", 5, privateKey)
	add("bear", 0, bearer)
	add("oriz", 4, authorization)
	for _, gram := range []string{"pass", "secr", "toke", "pike", "i_ke", "i-ke", "skey", "s_ke", "s-ke", "ekey", "e_ke", "e-ke", "tkey", "t_ke", "t-ke"} {
		add(gram, 0, keyed)
	}
	return t
}

// mask overwrites b[from:to] with asterisks. Escapes of JSON, entities of XML
// and ends of lines stay, so that the document stays valid. plain is set for a
// bare YAML value, which must not begin with an asterisk (that is an alias).
func (d *document) mask(name string, from, to int, plain bool) {
	first, last := -1, -1
	for i := from; i < to; i++ {
		switch c := d.b[i]; {
		case c == '\\':
			i++
			if i < to && d.b[i] == 'u' {
				i += 4
			}
			continue
		case c == '&':
			if end := bytes.IndexByte(d.b[i:min(to, i+10)], ';'); end > 0 {
				i += end
				continue
			}
		case c < ' ':
			continue
		}
		with := byte('*')
		if plain && i == from {
			with = 'x'
		}
		if d.b[i] == with {
			continue
		}
		if !d.owned {
			d.b, d.owned = bytes.Clone(d.b), true
		}
		d.b[i] = with
		if first < 0 {
			first = i
		}
		last = i
	}
	if first >= 0 {
		d.found = append(d.found, Finding{name, first, last + 1 - first})
	}
}

// at tells whether b holds s at i.
func (d *document) at(i int, s string) bool {
	return i >= 0 && i+len(s) <= len(d.b) && string(d.b[i:i+len(s)]) == s
}

// atFold is at without regard to case; s is lower case.
func (d *document) atFold(i int, s string) bool {
	if i < 0 || i+len(s) > len(d.b) {
		return false
	}
	for j := range len(s) {
		if lower(d.b[i+j]) != s[j] {
			return false
		}
	}
	return true
}

// byteAt returns the byte at i, and 0 outside.
func (d *document) byteAt(i int) byte {
	if i < 0 || i >= len(d.b) {
		return 0
	}
	return d.b[i]
}

// Bounds of a run: one part of a JSON web token, and any other token.
const (
	maxSpan  = 8192
	maxToken = 512
)

// span returns the end of the run of bytes in set that starts at i.
func (d *document) span(i int, set *charset) int {
	return d.spanWithin(i, maxSpan, set)
}

func (d *document) spanWithin(i, most int, set *charset) int {
	for end := min(len(d.b), i+most); i < end && set.has(d.b[i]); {
		i++
	}
	return i
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// charset is a set of bytes.
type charset [4]uint64

func chars(s string) *charset {
	var c charset
	for i := range len(s) {
		c[s[i]>>6] |= 1 << (s[i] & 63)
	}
	return &c
}

func (c *charset) has(b byte) bool { return c[b>>6]&(1<<(b&63)) != 0 }

const (
	digits = "0123456789"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	small  = "abcdefghijklmnopqrstuvwxyz"
)

var (
	alnum    = chars(digits + upper + small)
	word     = chars(digits + upper + small + "_")
	wordDash = chars(digits + upper + small + "_-")
	shouting = chars(digits + upper)
	keyChars = chars(digits + upper + small + "_-.")
	blank    = chars(" \t")
	space    = chars(" \t\r\n")
	bearers  = chars(digits + upper + small + "-._~+/=*") // RFC 6750 §2.1, and what is masked
)
