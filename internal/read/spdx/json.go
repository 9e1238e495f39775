package spdx

import (
	"context"

	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/scan"
)

// readJSON walks the JSON form
// (https://github.com/spdx/spdx-spec/blob/development/v2.3.1/schemas/spdx-schema.json).
func (d *document) readJSON(ctx context.Context, body []byte) error {
	j, err := scan.NewJSON(ctx, body)
	if err != nil {
		return err
	}
	d.form = "JSON"
	w := jsonWalk{d, j}
	if err := w.Object(func(key []byte) error {
		if string(key) == "sbom" {
			return w.Object(w.document)
		}
		return w.document(key)
	}); err != nil {
		return err
	}
	if err := w.End(); err != nil {
		return err
	}
	if d.version == "" && d.documentID == "" {
		return fault.New(fault.Invalid, "/spdxVersion is missing")
	}
	return nil
}

type jsonWalk struct {
	d *document
	*scan.JSON
}

func (w jsonWalk) document(key []byte) (err error) {
	switch string(key) {
	case "spdxVersion":
		w.d.version, err = w.String()
	case "SPDXID":
		w.d.documentID, err = w.String()
	case "documentNamespace":
		w.d.namespace, err = w.String()
	case "documentDescribes":
		w.d.described, err = w.Strings()
	case "creationInfo":
		err = w.Object(func(key []byte) (err error) {
			switch string(key) {
			case "created":
				w.d.created, err = w.String()
			case "creators":
				err = w.Array(func(int) error {
					s, err := w.String()
					w.d.creator(s)
					return err
				})
			}
			return err
		})
	case "packages":
		err = w.Array(func(int) error {
			var p part
			if err := w.pack(&p); err != nil {
				return err
			}
			if len(w.d.packages) >= read.MaxComponents {
				return w.Errorf(fault.TooLarge, "more than %d packages", read.MaxComponents)
			}
			if !w.d.add(&p) {
				return w.Errorf(fault.Invalid, "the package has neither SPDXID nor name")
			}
			return nil
		})
	case "relationships":
		err = w.Array(func(int) error {
			var r relation
			if err := w.Object(func(key []byte) (err error) {
				switch string(key) {
				case "spdxElementId":
					r.from, err = w.String()
				case "relationshipType":
					r.kind, err = w.String()
				case "relatedSpdxElement":
					r.to, err = w.String()
				}
				return err
			}); err != nil {
				return err
			}
			if r.from == "" || r.kind == "" || r.to == "" {
				return w.Errorf(fault.Invalid, "the relationship lacks spdxElementId, relationshipType or relatedSpdxElement")
			}
			r.kind = relationKind(r.kind)
			w.d.relations = append(w.d.relations, r)
			return nil
		})
	}
	return err
}

func (w jsonWalk) pack(p *part) error {
	return w.Object(func(key []byte) (err error) {
		switch string(key) {
		case "SPDXID":
			p.c.Ref, err = w.String()
		case "name":
			p.c.Name, err = w.String()
		case "versionInfo":
			p.c.Version, err = w.String()
		case "primaryPackagePurpose":
			p.c.Type, err = w.String()
		case "licenseConcluded":
			p.concluded, err = w.String()
		case "licenseDeclared":
			p.declared, err = w.String()
		case "sourceInfo":
			var s string
			s, err = w.String()
			p.sourceInfo(s)
		case "externalRefs":
			err = w.pairs("referenceType", "referenceLocator", p.external)
		case "checksums":
			err = w.pairs("algorithm", "checksumValue", p.checksum)
		}
		return err
	})
}

// pairs walks a list of objects, of each of which two members matter.
func (w jsonWalk) pairs(first, second string, f func(a, b string)) error {
	return w.Array(func(int) error {
		var a, b string
		err := w.Object(func(key []byte) (err error) {
			switch string(key) {
			case first:
				a, err = w.String()
			case second:
				b, err = w.String()
			}
			return err
		})
		f(a, b)
		return err
	})
}
