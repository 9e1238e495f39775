package redact

import (
	"bytes"
	"encoding/base64"
)

// token is a secret with its maker's prefix. The prefix stays, the rest goes.
type token struct {
	name, prefix string
	anchor       int // where in prefix the four bytes stand by which it is found
	set          *charset
	least        int // bytes behind the prefix
	most         int // 0: no limit
}

// tokens lists prefixes as their makers document them.
var tokens = []token{
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
	{"aws", "AKIA", 0, shouting, 16, 16}, {"aws", "ASIA", 0, shouting, 16, 16}, {"aws", "ABIA", 0, shouting, 16, 16},
	{"aws", "ACCA", 0, shouting, 16, 16},
	// https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
	{"github", "ghp_", 0, alnum, 36, 0}, {"github", "gho_", 0, alnum, 36, 0}, {"github", "ghu_", 0, alnum, 36, 0},
	{"github", "ghs_", 0, alnum, 36, 0}, {"github", "ghr_", 0, alnum, 36, 0}, {"github", "github_pat_", 6, word, 22, 0},
	// https://docs.gitlab.com/security/tokens/#token-prefixes
	{"gitlab", "glpat-", 0, wordDash, 20, 0}, {"gitlab", "gldt-", 0, wordDash, 20, 0}, {"gitlab", "glrt-", 0, wordDash, 20, 0},
	{"gitlab", "glptt-", 0, wordDash, 20, 0}, {"gitlab", "glcbt-", 0, wordDash, 20, 0}, {"gitlab", "glsoat-", 0, wordDash, 20, 0},
	// https://api.slack.com/concepts/token-types
	{"slack", "xoxb-", 0, wordDash, 10, 0}, {"slack", "xoxp-", 0, wordDash, 10, 0}, {"slack", "xoxa-", 0, wordDash, 10, 0},
	{"slack", "xoxe-", 0, wordDash, 10, 0}, {"slack", "xoxe.", 0, chars(digits + upper + small + "-."), 20, 0},
	{"slack", "xoxr-", 0, wordDash, 10, 0}, {"slack", "xoxs-", 0, wordDash, 10, 0}, {"slack", "xapp-", 0, wordDash, 10, 0},
	{"slack", "hooks.slack.com/services/", 5, chars(digits + upper + small + "/"), 20, 0},
	{"npm", "npm_", 0, alnum, 36, 36},
	{"pypi", "pypi-AgEIcHlwaS5vcmc", 8, wordDash, 50, 0},
	{"google", "AIza", 0, wordDash, 35, 35}, {"google", "ya29.", 0, wordDash, 20, 0}, {"google", "GOCSPX-", 0, wordDash, 28, 28},
	// https://docs.stripe.com/keys
	{"stripe", "sk_live_", 0, alnum, 16, 0}, {"stripe", "sk_test_", 0, alnum, 16, 0}, {"stripe", "rk_live_", 0, alnum, 16, 0},
	{"stripe", "rk_test_", 0, alnum, 16, 0}, {"stripe", "whsec_", 0, chars(digits + upper + small + "+/="), 24, 0},
}

// redact overwrites the token that starts at start, if one does.
func (k token) redact(d *document, start int) {
	if !d.at(start, k.prefix) || word.has(d.byteAt(start-1)) {
		return
	}
	from := start + len(k.prefix)
	to := d.spanWithin(from, maxToken, k.set)
	if to-from < k.least || k.most > 0 && to-from > k.most || !various(d.b[from:to]) {
		return
	}
	d.mask(k.name, from, to, false)
}

// various tells a token from a row of one letter in documentation ("xxxx").
func various(b []byte) bool {
	var seen charset
	n := 0
	for _, c := range b {
		if !seen.has(c) {
			seen[c>>6] |= 1 << (c & 63)
			n++
		}
	}
	return n >= 5
}

// jwt overwrites a JSON Web Token in compact form (RFC 7519 §3): three parts,
// of which the first is a JOSE header with "alg". Encoded JSON alone, as in a
// DSSE envelope, has no parts.
func jwt(d *document, start int) {
	if !d.at(start, "eyJ") || wordDash.has(d.byteAt(start-1)) {
		return
	}
	head := d.span(start, wordDash)
	if head-start < 12 || d.byteAt(head) != '.' {
		return
	}
	payload := d.span(head+1, wordDash)
	if payload-head < 8 || d.byteAt(payload) != '.' {
		return
	}
	end := d.span(payload+1, wordDash)
	if end-payload < 16 { // no signature
		return
	}
	header, err := base64.RawURLEncoding.DecodeString(string(d.b[start:head]))
	if err != nil || !bytes.Contains(header, []byte(`"alg"`)) {
		return
	}
	d.mask("jwt", start+3, end, false)
}

// authorityEnd is what ends a URL's authority (RFC 3986 §3.2), or the text
// around it.
var authorityEnd = chars("/?#\\\"'`<>()[]{} \t\r\n")

// urlPassword overwrites the password of "scheme://user:password@host". start
// is at the last letter of the scheme.
func urlPassword(d *document, start int) {
	from := start + len("s://")
	colon, at := -1, -1
	for i := from; i < len(d.b) && i < from+512 && !authorityEnd.has(d.b[i]); i++ {
		switch {
		case d.b[i] == ':' && colon < 0:
			colon = i
		case d.b[i] == '@':
			at = i
		}
	}
	if colon < 0 || at <= colon+1 || placeholder(d.b[colon+1:at]) || typeWords[string(d.b[colon+1:at])] {
		return
	}
	d.mask("url", colon+1, at, false)
}

// privateKey overwrites the body of a PEM private key (RFC 7468 §10, and the
// older forms), also within JSON, where its lines end with an escape. start is
// at the dashes before BEGIN.
func privateKey(d *document, start int) {
	if !d.at(start, "-----BEGIN ") {
		return
	}
	from := start + len("-----BEGIN ")
	label := bytes.Index(d.b[from:min(len(d.b), from+60)], []byte("-----"))
	if label < 0 || !bytes.Contains(d.b[from:from+label], []byte("PRIVATE KEY")) {
		return
	}
	from += label + 5
	to := from
	if end := bytes.Index(d.b[from:min(len(d.b), from+32<<10)], []byte("-----END ")); end >= 0 {
		to += end
	} else { // cut off: all that can be of a key
		to = d.span(from, pemChars)
	}
	// A quotation mark or an element's end within it: the two lines belong to different texts.
	if i := bytes.IndexAny(d.b[from:to], `"<>`); i >= 0 {
		to = from + i
	}
	d.mask("private key", from, to, false)
}

var pemChars = chars(digits + upper + small + "+/=\\ \t\r\n*")

// bearer overwrites the token behind "Bearer " (RFC 6750 §2.1) where it looks
// like one.
func bearer(d *document, start int) {
	if !d.atFold(start, "bearer ") || word.has(d.byteAt(start-1)) {
		return
	}
	from := d.span(start+len("bearer "), blank)
	to := d.span(from, bearers)
	if to-from >= 16 && random(d.b[from:to]) {
		d.mask("bearer", from, to, false)
	}
}

// authorization overwrites the credentials of an Authorization header (RFC
// 9110 §11.6.2), as a line or as a key of JSON or YAML.
func authorization(d *document, start int) {
	const name = "authorization"
	if !d.atFold(start, name) {
		return
	}
	i := d.span(start+len(name), headerGlue)
	if sep := bytes.IndexAny(d.b[start+len(name):i], ":="); sep < 0 {
		return
	}
	for _, scheme := range []string{"bearer ", "basic ", "token ", "apikey ", "digest "} {
		if !d.atFold(i, scheme) {
			continue
		}
		from := d.span(i+len(scheme), blank)
		to := d.span(from, bearers)
		if to-from >= 8 && !placeholder(d.b[from:to]) && strength(d.b[from:to]) > 1 {
			d.mask("authorization", from, to, false)
		}
	}
}

var headerGlue = chars(" \t:=\"'\\")
