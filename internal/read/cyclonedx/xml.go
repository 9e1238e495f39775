package cyclonedx

import (
	"context"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read/scan"
)

// readXML walks the XML form. The version is that of the root's namespace.
func (d *document) readXML(ctx context.Context, body []byte) error {
	x, err := scan.NewXML(ctx, body)
	if err != nil {
		return err
	}
	w := xmlWalk{d, x}
	d.encoding = "XML"
	return w.Root(func(e *scan.Element) error {
		version, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimPrefix(e.Namespace, "https:"), "http:"), "//cyclonedx.org/schema/bom/")
		if e.Name != "bom" || !ok {
			return w.Errorf(fault.Invalid, "the root element <%s> of namespace %q is not CycloneDX's", scan.Quote(e.Name), scan.Quote(e.Namespace))
		}
		d.version, d.serial, d.bom = version, e.Attr("serialNumber"), e.Attr("version")
		return w.Children(func(e *scan.Element) error {
			switch e.Name {
			case "metadata":
				return w.metadata()
			case "components":
				return w.components(-1)
			case "services":
				return w.services()
			case "dependencies":
				return w.dependencies()
			case "compositions":
				return w.each("composition", func(e *scan.Element) error {
					if e.Name != "aggregate" {
						return nil
					}
					aggregate, err := w.Text()
					if strings.HasPrefix(aggregate, "incomplete") {
						d.Bill.Partial = true
					}
					return err
				})
			case "vulnerabilities":
				return w.vulnerabilities("")
			}
			return nil
		})
	})
}

type xmlWalk struct {
	d *document
	*scan.XML
}

// each calls f in the children of each child of that name.
func (w xmlWalk) each(name string, f func(e *scan.Element) error) error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != name {
			return nil
		}
		return w.Children(f)
	})
}

// texts calls f with the text of each child of that name.
func (w xmlWalk) texts(name string, f func(string)) error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != name {
			return nil
		}
		s, err := w.Text()
		f(s)
		return err
	})
}

func (w xmlWalk) metadata() error {
	return w.Children(func(e *scan.Element) (err error) {
		switch e.Name {
		case "timestamp":
			w.d.timestamp, err = w.Text()
		case "tools":
			err = w.tools()
		case "authors":
			err = w.each("author", func(e *scan.Element) error {
				if e.Name != "name" || w.d.author != "" {
					return nil
				}
				var err error
				w.d.author, err = w.Text()
				return err
			})
		case "component":
			var p part
			if err = w.component(e, &p, -1); err == nil {
				w.d.describe(&p)
			}
		}
		return err
	})
}

func (w xmlWalk) tools() error {
	return w.Children(func(e *scan.Element) error {
		name := func(e *scan.Element) error {
			if e.Name != "name" {
				return nil
			}
			s, err := w.Text()
			w.d.tools = append(w.d.tools, s)
			return err
		}
		switch e.Name {
		case "tool":
			return w.Children(name)
		case "components":
			return w.each("component", name)
		case "services":
			return w.each("service", name)
		}
		return nil
	})
}

func (w xmlWalk) components(parent int32) error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != "component" {
			return nil
		}
		i, err := w.d.Reserve()
		if err != nil {
			return err
		}
		p := part{c: estate.Component{Parent: parent}}
		if err := w.component(e, &p, i); err != nil {
			return err
		}
		w.d.Set(i, p.c)
		return nil
	})
}

func (w xmlWalk) component(e *scan.Element, p *part, self int32) error {
	c := &p.c
	c.Type, c.Ref = e.Attr("type"), e.Attr("bom-ref")
	if err := w.Children(func(e *scan.Element) (err error) {
		switch e.Name {
		case "group":
			c.Group, err = w.Text()
		case "name":
			c.Name, err = w.Text()
		case "version":
			c.Version, err = w.Text()
		case "purl":
			c.Purl, err = w.Text()
		case "cpe":
			c.CPE, err = w.Text()
		case "scope":
			c.Scope, err = w.Text()
		case "licenses":
			err = w.licenses(p)
		case "hashes":
			err = w.Children(func(e *scan.Element) error {
				alg := e.Attr("alg")
				content, err := w.Text()
				p.hash(alg, content)
				return err
			})
		case "properties":
			err = w.Children(func(e *scan.Element) error {
				name := e.Attr("name")
				value, err := w.Text()
				p.property(name, value)
				return err
			})
		case "evidence":
			err = w.Children(func(e *scan.Element) error {
				if e.Name != "occurrences" {
					return nil
				}
				return w.each("occurrence", func(e *scan.Element) error {
					if e.Name != "location" || c.Found != "" {
						return nil
					}
					var err error
					c.Found, err = w.Text()
					return err
				})
			})
		case "components":
			err = w.components(self)
		case "vulnerabilities": // the extension of 1.0 to 1.3
			err = w.vulnerabilities(c.Ref)
		}
		return err
	}); err != nil {
		return err
	}
	if !p.done() {
		return w.Errorf(fault.Invalid, "the component before here has neither name nor purl")
	}
	return nil
}

func (w xmlWalk) licenses(p *part) error {
	return w.Children(func(e *scan.Element) error {
		switch e.Name {
		case "expression":
			s, err := w.Text()
			p.license(s)
			return err
		case "expression-detailed":
			p.license(e.Attr("expression"))
		case "license":
			var id, name string
			err := w.Children(func(e *scan.Element) (err error) {
				switch e.Name {
				case "id":
					id, err = w.Text()
				case "name":
					name, err = w.Text()
				}
				return err
			})
			if id == "" {
				id = name
			}
			p.license(id)
			return err
		}
		return nil
	})
}

func (w xmlWalk) services() error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != "service" {
			return nil
		}
		at := len(w.d.Bill.Services)
		if err := w.d.room(at, "services"); err != nil {
			return err
		}
		w.d.Bill.Services = append(w.d.Bill.Services, estate.BillService{})
		s := estate.BillService{Ref: e.Attr("bom-ref")}
		if err := w.Children(func(e *scan.Element) (err error) {
			switch e.Name {
			case "name":
				s.Name, err = w.Text()
			case "group":
				s.Group, err = w.Text()
			case "version":
				s.Version, err = w.Text()
			case "endpoints":
				err = w.texts("endpoint", func(t string) { s.Endpoints = append(s.Endpoints, t) })
			case "authenticated":
				s.Authenticated, err = w.flag()
			case "x-trust-boundary":
				s.CrossesTrust, err = w.flag()
			case "data":
				err = w.data(&s)
			case "services":
				err = w.services()
			}
			return err
		}); err != nil {
			return err
		}
		if s.Name == "" {
			return w.Errorf(fault.Invalid, "the service before here has no name")
		}
		w.d.Other(s.Ref)
		w.d.Bill.Services[at] = s
		return nil
	})
}

// data takes <classification flow="inbound">PII</classification>, which stands
// in <dataflow> since 1.5.
func (w xmlWalk) data(s *estate.BillService) error {
	one := func(e *scan.Element) error {
		flow := e.Attr("flow")
		class, err := w.Text()
		s.Data = append(s.Data, classified(flow, class))
		return err
	}
	return w.Children(func(e *scan.Element) error {
		switch e.Name {
		case "classification":
			return one(e)
		case "dataflow":
			return w.Children(func(e *scan.Element) error {
				if e.Name != "classification" {
					return nil
				}
				return one(e)
			})
		}
		return nil
	})
}

func (w xmlWalk) flag() (*bool, error) {
	s, err := w.Text()
	if err != nil {
		return nil, err
	}
	v := false
	switch s {
	case "true", "1":
		v = true
	case "false", "0":
	default:
		return nil, w.Errorf(fault.Invalid, "%q is no boolean", scan.Quote(s))
	}
	return &v, nil
}

func (w xmlWalk) dependencies() error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != "dependency" {
			return nil
		}
		ref := e.Attr("ref")
		if ref == "" {
			return w.Errorf(fault.Invalid, "the dependency has no ref")
		}
		return w.Children(func(e *scan.Element) error {
			if e.Name == "dependency" {
				w.d.Depend(ref, e.Attr("ref"))
			}
			return nil
		})
	})
}

// vulnerabilities reads the element of 1.4, and the extension of earlier
// versions, in which of names the component.
func (w xmlWalk) vulnerabilities(of string) error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != "vulnerability" {
			return nil
		}
		if err := w.d.room(len(w.d.vulns), "vulnerabilities"); err != nil {
			return err
		}
		v := vulnerability{place: w.Path()}
		if ref := e.Attr("ref"); ref != "" {
			v.affects = append(v.affects, affect{ref: ref})
		} else if of != "" {
			v.affects = append(v.affects, affect{ref: of})
		}
		if err := w.Children(func(e *scan.Element) (err error) {
			switch e.Name {
			case "id":
				v.id, err = w.Text()
			case "source":
				err = w.texts("name", func(s string) { v.source = s })
			case "references":
				err = w.each("reference", func(e *scan.Element) error {
					if e.Name != "id" {
						return nil
					}
					id, err := w.Text()
					v.aliases = append(v.aliases, id)
					return err
				})
			case "ratings":
				err = w.ratings(&v)
			case "updated":
				if v.updated == "" {
					v.updated, err = w.Text()
				}
			case "analysis":
				err = w.analysis(&v)
			case "affects":
				err = w.affects(&v)
			}
			return err
		}); err != nil {
			return err
		}
		if v.id == "" && len(v.aliases) == 0 {
			return w.Errorf(fault.Invalid, "the vulnerability before here has no id")
		}
		w.d.vulns = append(w.d.vulns, v)
		return nil
	})
}

func (w xmlWalk) ratings(v *vulnerability) error {
	return w.Children(func(e *scan.Element) error {
		var severity, score string
		if err := w.Children(func(e *scan.Element) (err error) {
			switch e.Name {
			case "severity":
				severity, err = w.Text()
			case "score":
				score, err = w.Text()
			}
			return err
		}); err != nil {
			return err
		}
		v.rating(severity, score)
		return nil
	})
}

func (w xmlWalk) analysis(v *vulnerability) error {
	return w.Children(func(e *scan.Element) (err error) {
		switch e.Name {
		case "state":
			v.state, err = w.Text()
		case "justification":
			v.why, err = w.Text()
		case "detail":
			v.text, err = w.Text()
		case "lastUpdated":
			v.updated, err = w.Text()
		case "firstIssued":
			if v.updated == "" {
				v.updated, err = w.Text()
			}
		}
		return err
	})
}

func (w xmlWalk) affects(v *vulnerability) error {
	return w.Children(func(e *scan.Element) error {
		if e.Name != "target" {
			return nil
		}
		var a affect
		if err := w.Children(func(e *scan.Element) (err error) {
			switch e.Name {
			case "ref":
				a.ref, err = w.Text()
			case "versions":
				err = w.Children(func(*scan.Element) error {
					var of affectedVersion
					err := w.Children(func(e *scan.Element) (err error) {
						switch e.Name {
						case "version":
							of.version, err = w.Text()
						case "range":
							of.span, err = w.Text()
						case "status":
							of.status, err = w.Text()
						}
						return err
					})
					a.versions = append(a.versions, of)
					return err
				})
			}
			return err
		}); err != nil {
			return err
		}
		if a.ref == "" {
			return w.Errorf(fault.Invalid, "the affected component before here has no ref")
		}
		v.affects = append(v.affects, a)
		return nil
	})
}
