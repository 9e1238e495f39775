// Package purl turns what an SBOM says of a component into an identified
// package: a canonical key under which equal packages are one, and the name,
// version and ecosystem under which advisories speak of it.
//
// Data flows in one direction. Parse reads a package URL strictly; Identify maps
// its type, namespace and qualifiers to an OSV ecosystem, finds the source
// package and the distribution release, and says why where a component cannot be
// matched. FoldName, Query and ToPurl serve the other direction: the index key of
// a name, a user's question, and a package URL for what an advisory names.
//
// The rules are those of the package URL specification
// (https://github.com/package-url/purl-spec) and of its type definitions, with
// one departure: Go module paths keep their case. The specification folds them,
// but they are case-sensitive, and advisories write them as they are.
//
// Nothing here panics on outside bytes; all functions are pure.
package purl

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"thymus/internal/fault"
)

// maxLength is the longest package URL that is read, in bytes.
const maxLength = 8 << 10

// PURL is a parsed package URL, its parts decoded and folded as its type asks.
type PURL struct {
	Type       string
	Namespace  string // segments joined by "/"
	Name       string
	Version    string
	Qualifiers map[string]string // keys in lower case, no empty values; nil for none
	Subpath    string
}

// Parse reads a package URL by the specification's parsing rules. It also reads
// what tools commonly write: "pkg://", a namespace written into the name with
// encoded slashes, and an npm scope without its encoding. Errors are
// fault.Invalid.
func Parse(s string) (PURL, error) {
	p, err := parse(strings.TrimSpace(s))
	if err != nil {
		if len(s) > 100 {
			s = strings.ToValidUTF8(s[:100], "") + "…"
		}
		return PURL{}, fault.New(fault.Invalid, "package URL %q: %w", s, err)
	}
	return p, nil
}

func bad(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

func parse(s string) (PURL, error) {
	if len(s) > maxLength {
		return PURL{}, bad("it is longer than %d bytes", maxLength)
	}
	if len(s) < 4 || !strings.EqualFold(s[:4], "pkg:") {
		return PURL{}, bad("it does not start with pkg:")
	}
	var p PURL
	var err error
	rest, subpath, _ := cutLast(strings.TrimLeft(s[4:], "/"), '#')
	if p.Subpath, err = decodePath(subpath); err != nil {
		return PURL{}, err
	}
	rest, qualifiers, _ := cutLast(rest, '?')
	if p.Qualifiers, err = parseQualifiers(qualifiers); err != nil {
		return PURL{}, err
	}
	typ, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return PURL{}, bad("it has no name")
	}
	p.Type = strings.ToLower(typ)
	if !validType(p.Type) {
		return PURL{}, bad("type %q is malformed", typ)
	}
	rest, ver := cutVersion(strings.Trim(rest, "/"))
	if p.Version, err = decode(ver); err != nil {
		return PURL{}, err
	}
	namespace, name, ok := cutLast(rest, '/')
	if !ok {
		namespace, name = "", rest
	}
	if p.Namespace, err = decodePath(namespace); err != nil {
		return PURL{}, err
	}
	if p.Name, err = decode(name); err != nil {
		return PURL{}, err
	}
	p.fold()
	if p.Name == "" || p.Type == "npm" && p.Namespace == "" && p.Name[0] == '@' {
		return PURL{}, bad("it has no name")
	}
	return p, nil
}

// cutVersion splits at the last "@" that does not open a segment, as the "@" of
// an npm scope does.
func cutVersion(s string) (rest, version string) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || s[i-1] == '/' {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// decode undoes percent-encoding; "+" is itself.
func decode(s string) (string, error) {
	out, err := url.PathUnescape(s)
	if err != nil {
		return "", bad("%w", err)
	}
	if !utf8.ValidString(out) || strings.ContainsFunc(out, unicode.IsControl) {
		return "", bad("%q holds characters that cannot be printed", out)
	}
	return strings.TrimSpace(out), nil
}

// decodePath decodes segments and drops empty ones and dots.
func decodePath(s string) (string, error) {
	d, err := decode(s)
	return tidy(d), err
}

// tidy drops empty segments and dots from a path.
func tidy(path string) string {
	var out []string
	for part := range strings.SplitSeq(path, "/") {
		if part = strings.TrimSpace(part); part != "" && part != "." && part != ".." {
			out = append(out, part)
		}
	}
	return strings.Join(out, "/")
}

func parseQualifiers(s string) (map[string]string, error) {
	var out map[string]string
	for pair := range strings.SplitSeq(s, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" || value == "" {
			continue // the specification takes an empty value for none
		}
		key = strings.ToLower(key)
		if !validKey(key) {
			return nil, bad("qualifier %q is malformed", key)
		}
		if _, dup := out[key]; dup {
			return nil, bad("qualifier %q is given twice", key)
		}
		value, err := decode(value)
		if err != nil {
			return nil, err
		}
		if value == "" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, nil
}

func validType(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.+-") == ""
}

func validKey(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// fold applies the rules of the type definitions to namespace and name.
func (p *PURL) fold() {
	switch p.Type {
	case "alpm", "apk", "bitbucket", "composer", "deb", "github", "githubactions", "gitlab", "hex":
		p.Namespace, p.Name = strings.ToLower(p.Namespace), strings.ToLower(p.Name)
	case "bitnami", "oci", "pub":
		p.Name = strings.ToLower(p.Name)
	case "rpm", "qpkg":
		p.Namespace = strings.ToLower(p.Namespace)
	case "pypi":
		p.Name = pep503(p.Name)
	case "huggingface":
		p.Version = strings.ToLower(p.Version)
	}
	switch p.Type {
	case "npm", "golang", "composer", "github", "githubactions", "gitlab", "bitbucket", "swift", "k8s":
		// A name of these types holds no slash: it was the namespace's.
		full := tidy(p.Namespace + "/" + p.Name)
		p.Namespace, p.Name = "", full
		if namespace, name, ok := cutLast(full, '/'); ok {
			p.Namespace, p.Name = namespace, name
		}
	}
	if p.Type == "npm" && p.Namespace != "" && p.Namespace[0] != '@' {
		p.Namespace = "@" + p.Namespace // a namespace in npm is a scope
	}
}

// pep503 folds a Python project name (https://peps.python.org/pep-0503/).
func pep503(s string) string {
	var b strings.Builder
	run := false
	for i := range len(s) {
		c := s[i]
		if c == '-' || c == '_' || c == '.' {
			run = true
			continue
		}
		if run {
			b.WriteByte('-')
			run = false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		b.WriteByte(c)
	}
	if run {
		b.WriteByte('-')
	}
	return b.String()
}

// String renders the canonical package URL, qualifiers in order.
func (p PURL) String() string {
	var b strings.Builder
	b.WriteString("pkg:")
	b.WriteString(p.Type)
	for segment := range strings.SplitSeq(p.Namespace, "/") {
		if segment != "" {
			b.WriteByte('/')
			encode(&b, segment)
		}
	}
	b.WriteByte('/')
	encode(&b, p.Name)
	if p.Version != "" {
		b.WriteByte('@')
		encode(&b, p.Version)
	}
	keys := make([]string, 0, len(p.Qualifiers))
	for k, v := range p.Qualifiers {
		if v != "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for i, k := range keys {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(k)
		b.WriteByte('=')
		encode(&b, p.Qualifiers[k])
	}
	for i, segment := range strings.Split(p.Subpath, "/") {
		if segment != "" {
			b.WriteByte("#/"[min(i, 1)])
			encode(&b, segment)
		}
	}
	return b.String()
}

// encode percent-encodes all but what the specification leaves alone.
func encode(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~', c == ':':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}
