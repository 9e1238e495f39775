package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"thymus/internal/estate"
)

// generatorVersions are those of the tools that the SBOMs name.
var generatorVersions = map[string]string{
	"cdxgen": "11.4.4", "syft": "1.30.0", "npm": "10.9.2", "cyclonedx-python": "6.1.3",
	"pip-audit": "2.9.0", "cyclonedx-dotnet": "5.3.1", "sbom-tool": "4.1.0", "trivy": "0.65.0",
}

// render writes one SBOM as its tool would.
func (r *release) render(b *bill) ([]byte, error) {
	if b.format == "spdx" {
		return encode(r.spdx(b))
	}
	if b.format == "cyclonedx" {
		return encode(r.cyclonedx(b))
	}
	return nil, fmt.Errorf("release %s: no SBOM format %q", r.subject, b.format)
}

// encode writes JSON with one member a line, as the tools do.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// uuid derives a stable UUID (version 8, RFC 9562 §5.8) from a text.
func uuid(of string) string {
	b := sha256.Sum256([]byte(of))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// identity is the text that serial numbers are derived from. Identical
// lockfiles still make different documents, as each build does.
func (r *release) identity(b *bill) string {
	return r.subject.String() + " by " + b.generator
}

type cdxComponent struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Group   string `json:"group,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Purl    string `json:"purl,omitempty"`
}

type cdxDependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

type cdxDocument struct {
	BomFormat    string          `json:"bomFormat"`
	SpecVersion  string          `json:"specVersion"`
	SerialNumber string          `json:"serialNumber"`
	Version      int             `json:"version"`
	Metadata     cdxMetadata     `json:"metadata"`
	Components   []cdxComponent  `json:"components"`
	Dependencies []cdxDependency `json:"dependencies"`
}

type cdxMetadata struct {
	Timestamp estate.Time  `json:"timestamp"`
	Tools     cdxTools     `json:"tools"`
	Component cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

// cyclonedx makes a CycloneDX 1.6 document.
func (r *release) cyclonedx(b *bill) cdxDocument {
	self := cdxComponent{
		Type: "application", Ref: "self", Group: r.subject.Namespace, Name: r.subject.Name, Version: r.subject.Version,
	}
	d := cdxDocument{
		BomFormat: "CycloneDX", SpecVersion: "1.6", SerialNumber: "urn:uuid:" + uuid(r.identity(b)), Version: 1,
		Metadata: cdxMetadata{
			Timestamp: r.built,
			Tools: cdxTools{[]cdxComponent{{
				Type: "application", Ref: "tool", Name: b.generator, Version: generatorVersions[b.generator],
			}}},
			Component: self,
		},
	}
	top := cdxDependency{Ref: self.Ref}
	for _, n := range b.tree.nodes {
		c := cdxComponent{Type: "library", Ref: b.ref(n), Name: n.name, Version: n.version, Purl: b.tree.url(n)}
		switch {
		case n.raw && n.version == "" && n.purl == "":
			c.Type = "file"
		case b.tree.kind == "maven" && !n.raw:
			c.Group, c.Name, _ = strings.Cut(n.name, ":")
		case b.tree.kind == "npm" && strings.HasPrefix(n.name, "@"):
			c.Group, c.Name, _ = strings.Cut(n.name, "/")
		}
		d.Components = append(d.Components, c)
		dep := cdxDependency{Ref: c.Ref}
		for _, name := range n.depends {
			dep.DependsOn = append(dep.DependsOn, b.ref(b.tree.resolve(name)))
		}
		d.Dependencies = append(d.Dependencies, dep)
		if n.direct {
			top.DependsOn = append(top.DependsOn, c.Ref)
		}
	}
	d.Dependencies = append([]cdxDependency{top}, d.Dependencies...)
	return d
}

// ref is a node's reference within its document.
func (b *bill) ref(n *node) string {
	if u := b.tree.url(n); u != "" {
		return u
	}
	return "file:" + n.name
}

type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	DataLicense   string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID       string    `json:"SPDXID"`
	Name     string    `json:"name"`
	Version  string    `json:"versionInfo,omitempty"`
	Download string    `json:"downloadLocation"`
	Analysed bool      `json:"filesAnalyzed"`
	Refs     []spdxRef `json:"externalRefs,omitempty"`
	Purpose  string    `json:"primaryPackagePurpose,omitempty"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// spdx makes an SPDX 2.3 document.
func (r *release) spdx(b *bill) spdxDocument {
	const document, self = "SPDXRef-DOCUMENT", "SPDXRef-Self"
	d := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: document, Name: r.subject.String(),
		Namespace: "https://sbom.marmot.example/" + r.subject.Service() + "/" + r.subject.Version + "/" + uuid(r.identity(b)),
		Creation: spdxCreation{
			Created:  r.built.Std().Format("2006-01-02T15:04:05Z"), // SPDX 2.3 §6.9 knows no fractions
			Creators: []string{"Organization: Marmot & Daughters", "Tool: " + b.generator + "-" + generatorVersions[b.generator]},
		},
		Packages: []spdxPackage{{
			ID: self, Name: r.subject.Name, Version: r.subject.Version, Download: "NOASSERTION", Purpose: "CONTAINER",
		}},
		Relationships: []spdxRelationship{{document, "DESCRIBES", self}},
	}
	ids := map[*node]string{}
	for i, n := range b.tree.nodes {
		ids[n] = "SPDXRef-Package-" + strconv.Itoa(i+1)
		p := spdxPackage{ID: ids[n], Name: n.name, Version: n.version, Download: "NOASSERTION"}
		if u := b.tree.url(n); u != "" {
			p.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", u}}
		}
		d.Packages = append(d.Packages, p)
	}
	// A distribution's packages are all the image's own; others only when direct.
	whole := b.tree.kind == "deb" || b.tree.kind == "apk"
	for _, n := range b.tree.nodes {
		if n.direct || whole {
			d.Relationships = append(d.Relationships, spdxRelationship{self, "DEPENDS_ON", ids[n]})
		}
		for _, name := range n.depends {
			d.Relationships = append(d.Relationships, spdxRelationship{ids[n], "DEPENDS_ON", ids[b.tree.resolve(name)]})
		}
	}
	return d
}
