package redact

import (
	"bytes"
	"strings"
)

// typeWords are values that describe a secret instead of being one: types of
// schemas, places of parameters, switches.
var typeWords = map[string]bool{"string": true, "number": true, "integer": true, "boolean": true, "object": true, "array": true,
	"null": true, "true": true, "false": true, "none": true, "required": true, "optional": true, "password": true, "passwd": true,
	"secret": true, "token": true, "text": true, "header": true, "query": true, "cookie": true, "bearer": true, "basic": true,
	"apikey": true, "api_key": true, "redacted": true, "undefined": true, "passphrase": true, "pass": true, "username": true}

// harmless tells whether a value is something else than a secret.
func harmless(v []byte) bool {
	switch {
	case len(v) == 0, placeholder(v), typeWords[strings.ToLower(string(v))],
		bytes.Contains(v, []byte("://")), // its password has a rule of its own
		bytes.HasPrefix(v, []byte("pkg:")),
		bytes.HasPrefix(v, []byte("/")), bytes.HasPrefix(v, []byte("./")), bytes.HasPrefix(v, []byte("~/")), // files
		len(bytes.Fields(v)) > 2, // prose
		versionLike(v), prefixedDigest(v), uuid(v):
		return true
	}
	return false
}

// placeholder tells whether a value stands for one that is filled in later, or
// was taken out.
func placeholder(v []byte) bool {
	for _, s := range []string{"${", "{{", "$(", "<%"} {
		if bytes.Contains(v, []byte(s)) {
			return true
		}
	}
	if bytes.HasPrefix(v, []byte("&lt;")) {
		return true
	}
	switch v[0] {
	case '$', '<', '%', '{', '[':
		return true
	}
	for _, c := range v {
		if c != '*' && c != 'x' && c != 'X' && c != '.' {
			return false
		}
	}
	return true
}

// versionLike accepts versions and ranges of them: "^1.2.3", ">=1, <2", "v2".
func versionLike(v []byte) bool {
	v = bytes.TrimLeft(v, "^~<>=!vV \\")
	digit, dot := false, false
	for i, c := range v {
		switch {
		case '0' <= c && c <= '9':
			digit = true
		case c == '.' || c == '*' && i > 0 || c == 'x':
			dot = true
		case c == '-' || c == '+' || c == ' ' || c == ',' || c == '|' || c == '<' || c == '>' || c == '=':
			if digit && dot { // what follows a version qualifies it
				return len(v) < 40
			}
			return false
		default:
			return false
		}
	}
	return digit && (dot || len(v) < 4)
}

// prefixedDigest accepts "sha256:…" and "sha512-…".
func prefixedDigest(v []byte) bool {
	for _, p := range []string{"sha1", "sha256", "sha384", "sha512", "md5", "h1"} {
		if bytes.HasPrefix(v, []byte(p)) && len(v) > len(p) && (v[len(p)] == ':' || v[len(p)] == '-') {
			return true
		}
	}
	return false
}

// digest accepts bare hexadecimal of a digest's length. Secrets of that form
// exist; under a key like "token" a digest is likelier.
func digest(v []byte) bool {
	switch len(v) {
	case 32, 40, 56, 64, 96, 128:
	default:
		return false
	}
	for _, c := range v {
		if !(c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'f') {
			return false
		}
	}
	return true
}

// uuid accepts RFC 9562's text form.
func uuid(v []byte) bool {
	if len(v) != 36 {
		return false
	}
	for i, c := range v {
		hex := c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'f'
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// bareJSON accepts what JSON writes without quotation marks; overwritten it
// would not be JSON any more.
func bareJSON(v []byte) bool {
	for _, c := range v {
		if !(c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E') {
			return false
		}
	}
	return true
}

// identifier accepts an expression of code: "req.body.password", "getenv(…".
func identifier(v []byte) bool {
	return strings.IndexAny(string(v), ".([") > 0 && strength(v) < 3
}

// strength counts the kinds of characters: small, capital, digit, other.
func strength(v []byte) int {
	var kinds [4]int
	for _, c := range v {
		switch {
		case 'a' <= c && c <= 'z':
			kinds[0] = 1
		case 'A' <= c && c <= 'Z':
			kinds[1] = 1
		case '0' <= c && c <= '9':
			kinds[2] = 1
		default:
			kinds[3] = 1
		}
	}
	return kinds[0] + kinds[1] + kinds[2] + kinds[3]
}

// mixed tells whether a long value mixes small letters, capitals and digits.
func mixed(v []byte) bool {
	return len(v) >= 16 && various(v) && !bytes.ContainsAny(v, " \t()[]{}<>\\") &&
		bytes.ContainsAny(v, digits) && bytes.ContainsAny(v, upper) && bytes.ContainsAny(v, small)
}

// random tells whether a value looks drawn rather than written: eight
// characters at least, one word, letters and digits mixed, or long without a
// separator. Names such as "my-tls-secret" or "OAuth2Token" are not.
func random(v []byte) bool {
	if len(v) < 8 || bytes.ContainsAny(v, " \t()[]{}<>\\") {
		return false
	}
	letters, digitCount, separators, turns := 0, 0, 0, 0
	last := byte(0)
	for _, c := range v {
		kind := byte('o')
		switch {
		case 'a' <= lower(c) && lower(c) <= 'z':
			letters++
			kind = 'l'
		case '0' <= c && c <= '9':
			digitCount++
			kind = 'd'
		case c == '-' || c == '_' || c == '.' || c == '/' || c == ':':
			separators++
			kind = 's'
		}
		if kind != last && (kind == 'd' || last == 'd') {
			turns++
		}
		last = kind
	}
	if letters == 0 || !various(v) {
		return false
	}
	if digitCount == 0 {
		return len(v) >= 20 && separators == 0
	}
	return turns >= 3 || digitCount >= 4 && separators <= 1
}
