package spdx

import (
	"bytes"
	"context"
	"strings"

	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/scan"
)

// relationKind returns the one string of each known kind, so that a million
// relationships do not hold a million copies.
func relationKind(kind string) string {
	kind = strings.ToUpper(kind)
	for _, k := range relationKinds {
		if k == kind {
			return k
		}
	}
	return ""
}

var relationKinds = [...]string{
	"DEPENDS_ON", "CONTAINS", "DEPENDENCY_OF", "DESCRIBES", "DESCRIBED_BY", "CONTAINED_BY", "GENERATED_FROM", "GENERATES",
	"RUNTIME_DEPENDENCY_OF", "BUILD_DEPENDENCY_OF", "PROVIDED_DEPENDENCY_OF", "DEV_DEPENDENCY_OF", "TEST_DEPENDENCY_OF",
	"OPTIONAL_DEPENDENCY_OF", "HAS_PREREQUISITE", "PREREQUISITE_FOR", "STATIC_LINK", "DYNAMIC_LINK", "PACKAGE_OF",
}

// tag splits a line at its tag; ok is false for a line that has none.
func tag(line []byte) (name string, value []byte, ok bool) {
	at := bytes.IndexByte(line, ':')
	if at <= 0 || at > 60 {
		return "", nil, false
	}
	for _, c := range line[:at] {
		if c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			return "", nil, false
		}
	}
	return string(line[:at]), bytes.TrimSpace(line[at+1:]), true
}

func isTagValue(head []byte) bool {
	for n := 0; len(head) > 0 && n < 200; n++ {
		line, rest, _ := bytes.Cut(head, []byte("\n"))
		head = rest
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		name, value, ok := tag(line)
		if !ok {
			return false
		}
		if name == "SPDXVersion" {
			return bytes.HasPrefix(value, []byte("SPDX-2."))
		}
	}
	return false
}

// readTagValue reads the tag-value form: lines of "Tag: value", where
// "<text>…</text>" may span lines. PackageName, FileName, SnippetSPDXID and
// LicenseID begin sections; only packages are kept, and tags that are not known
// are passed over.
func (d *document) readTagValue(ctx context.Context, body []byte) error {
	rest, err := scan.Text(ctx, body)
	if err != nil {
		return err
	}
	d.form = "tag-value"
	var (
		p       *part // of the open section, nil outside of packages
		section = "document"
		opened  int // line of the open package
	)
	closePackage := func() error {
		if p == nil {
			return nil
		}
		if len(d.packages) >= read.MaxComponents {
			return fault.New(fault.TooLarge, "line %d: more than %d packages", opened, read.MaxComponents)
		}
		d.add(p)
		p = nil
		return nil
	}
	for n := 1; len(rest) > 0; n++ {
		if n%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return fault.New(fault.Unavailable, "line %d: reading the document was stopped: %w", n, err)
			}
		}
		start := n
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		name, value, ok := tag(line)
		if !ok {
			return fault.New(fault.Invalid, "line %d: %q is no \"Tag: value\"", n, scan.Quote(string(line)))
		}
		if text, is := bytes.CutPrefix(value, []byte("<text>")); is {
			end := bytes.Index(text, []byte("</text>"))
			if end >= 0 {
				value = text[:end]
			} else {
				end = bytes.Index(rest, []byte("</text>"))
				if end < 0 {
					return fault.New(fault.Invalid, "line %d: the <text> of %s has no end", start, name)
				}
				value = bytes.Join([][]byte{text, rest[:end]}, []byte("\n"))
				n += bytes.Count(rest[:end], []byte("\n"))
				rest = rest[end+len("</text>"):]
				// What stands behind the end on its line belongs to nothing.
				_, rest, _ = bytes.Cut(rest, []byte("\n"))
				n++
			}
		}
		switch name {
		case "PackageName":
			if err := closePackage(); err != nil {
				return err
			}
			section, p, opened = "package", &part{}, start
		case "FileName", "SnippetSPDXID", "SnippetSPDXIdentifier", "LicenseID":
			if err := closePackage(); err != nil {
				return err
			}
			section = "other"
		}
		if !taken(name) {
			continue
		}
		if len(value) > read.MaxString {
			return fault.New(fault.TooLarge, "line %d: %s has %d bytes; the limit is %d", start, name, len(value), read.MaxString)
		}
		if bytes.IndexByte(value, 0) >= 0 {
			return fault.New(fault.Invalid, "line %d: %s holds NUL", start, name)
		}
		if err := d.take(section, p, name, string(value)); err != nil {
			return fault.New(fault.Of(err), "line %d: %s: %w", start, name, err)
		}
	}
	if err := closePackage(); err != nil {
		return err
	}
	if d.version == "" {
		return fault.New(fault.Invalid, "the tag SPDXVersion is missing from the document")
	}
	return nil
}

// taken tells whether a tag is of interest, before its value is copied.
func taken(name string) bool {
	switch name {
	case "SPDXVersion", "DocumentNamespace", "Created", "Creator", "SPDXID", "Relationship", "PackageName", "PackageVersion",
		"PrimaryPackagePurpose", "PackageLicenseConcluded", "PackageLicenseDeclared", "PackageSourceInfo", "ExternalRef", "PackageChecksum":
		return true
	}
	return false
}

func (d *document) take(section string, p *part, name, value string) error {
	switch name {
	case "SPDXVersion":
		if d.version = value; !strings.HasPrefix(value, "SPDX-2.") {
			return fault.New(fault.Invalid, "%q is not SPDX-2", scan.Quote(value))
		}
	case "DocumentNamespace":
		d.namespace = value
	case "Created":
		d.created = value
	case "Creator":
		d.creator(value)
	case "Relationship":
		f := strings.Fields(value)
		if len(f) != 3 {
			return fault.New(fault.Invalid, "%q is not \"element KIND element\"", scan.Quote(value))
		}
		d.relations = append(d.relations, relation{f[0], relationKind(f[1]), f[2]})
	case "SPDXID":
		switch section {
		case "document":
			d.documentID = value
		case "package":
			p.c.Ref = value
		}
	}
	if p == nil {
		return nil
	}
	switch name {
	case "PackageName":
		p.c.Name = value
	case "PackageVersion":
		p.c.Version = value
	case "PrimaryPackagePurpose":
		p.c.Type = value
	case "PackageLicenseConcluded":
		p.concluded = value
	case "PackageLicenseDeclared":
		p.declared = value
	case "PackageSourceInfo":
		p.sourceInfo(value)
	case "ExternalRef":
		f := strings.Fields(value)
		if len(f) != 3 {
			return fault.New(fault.Invalid, "%q is not \"category type locator\"", scan.Quote(value))
		}
		p.external(f[1], f[2])
	case "PackageChecksum":
		alg, sum, ok := strings.Cut(value, ":")
		if !ok {
			return fault.New(fault.Invalid, "%q is not \"algorithm: value\"", scan.Quote(value))
		}
		p.checksum(alg, sum)
	}
	return nil
}
