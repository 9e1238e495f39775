package cyclonedx

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read/ident"
	"thymus/internal/read/sbom"
	"thymus/internal/read/scan"
)

// facts turns the document into facts.
func (d *document) facts() ([]estate.Fact, error) {
	b := &d.Bill
	if !d.described && len(b.Packages) == 0 && len(b.Services) == 0 && len(d.vulns) == 0 {
		return nil, fault.New(fault.Invalid, "the document has no components, services, vulnerabilities or metadata component: it says nothing")
	}
	d.checkVersion()
	b.Format = "CycloneDX " + cmp.Or(d.version, "(no version)") + " " + d.encoding
	b.Generator = generator(d.tools)
	b.Serial = d.serial
	if d.timestamp != "" {
		made, err := estate.ParseTime(d.timestamp)
		if err != nil {
			d.Note("metadata.timestamp: %v", scan.Quote(err.Error()))
		}
		b.Made = made
	}
	if d.described {
		b.Subject = d.subject()
	}
	d.Finish()

	verdicts, err := d.verdicts()
	if err != nil {
		return nil, err
	}
	inventory := len(b.Packages) > 0 || len(b.Services) > 0
	var facts []estate.Fact
	switch {
	case inventory:
		facts = append(facts, b)
	case len(b.Reported) > 0:
		// Not an inventory: it must not replace that of the same tool.
		b.Generator = strings.TrimPrefix(b.Generator+", vulnerabilities only", ", ")
		b.Partial = true
		d.Note("the document reports vulnerabilities and lists no components")
		facts = append(facts, b)
	case len(d.vulns) == 0:
		d.Note("the document lists no components")
		facts = append(facts, b)
	}
	for _, v := range verdicts {
		facts = append(facts, v)
	}
	if len(facts) == 0 {
		return nil, fault.New(fault.Unsupported, "%s: none of the %d vulnerabilities has an affected version that can be told apart%s",
			d.vulns[0].place, len(d.vulns), strings.Join(append([]string{""}, b.Notes...), "; "))
	}
	return facts, nil
}

func (d *document) checkVersion() {
	major, minor, _ := strings.Cut(d.version, ".")
	n, err := strconv.Atoi(minor)
	switch {
	case d.version == "":
		d.Note("specVersion is missing; read as %s", Newest)
	case major != "1" || err != nil || n < 0 || len(d.version) > 10:
		d.Note("specVersion %q is unknown; read as %s", scan.Quote(d.version), Newest)
		d.version = scan.Quote(d.version)
	case n > 7:
		d.Note("specVersion %s is newer than this reader, which read it as %s", d.version, Newest)
	}
}

// generator names the tools that made the document, each once.
func generator(tools []string) string {
	var names []string
	for _, t := range tools {
		if t = strings.TrimSpace(t); t != "" && ident.CheckText(t) == nil && !slices.Contains(names, t) && len(names) < 5 {
			names = append(names, t)
		}
	}
	return strings.Join(names, ", ")
}

// subject derives who the document is about from metadata.component, and from
// what scanners of images note beside it.
func (d *document) subject() estate.Subject {
	c := d.component
	image := c.Type == "container" || strings.HasPrefix(c.Purl, "pkg:oci/") || strings.HasPrefix(c.Purl, "pkg:docker/")
	sub := sbom.Subject(c, image)
	if !image {
		return sub
	}
	if ref, ok := ident.Image(d.repoTag); ok {
		// The name of an archive says less than the tag of the image in it.
		if sub.Version == "" {
			sub.Name, sub.Version, sub.Derived = ref.Name, ref.Version, true
		}
	}
	if sub.Digest == "" {
		sub.Digest = ident.Digest(d.digest)
		sub.Derived = true
	}
	if sub == (estate.Subject{Derived: true}) {
		return estate.Subject{}
	}
	return sub
}
