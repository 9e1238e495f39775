package cyclonedx

import (
	"context"
	"math"
	"strconv"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read/scan"
)

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && f >= 0 && f <= 10
}

// readJSON walks the JSON form.
func (d *document) readJSON(ctx context.Context, body []byte) error {
	j, err := scan.NewJSON(ctx, body)
	if err != nil {
		return err
	}
	w := jsonWalk{d, j}
	d.encoding = "JSON"
	var format, schema string
	if err := w.Object(func(key []byte) (err error) {
		switch string(key) {
		case "bomFormat":
			if format, err = w.String(); err == nil && !strings.EqualFold(format, "CycloneDX") {
				err = w.Errorf(fault.Invalid, "%q is not CycloneDX", scan.Quote(format))
			}
		case "$schema":
			schema, err = w.String()
		case "specVersion":
			d.version, err = w.Text()
		case "serialNumber":
			d.serial, err = w.String()
		case "version":
			d.bom, err = w.Text()
		case "metadata":
			err = w.metadata()
		case "components":
			err = w.components(-1)
		case "services":
			err = w.services()
		case "dependencies":
			err = w.dependencies()
		case "compositions":
			err = w.compositions()
		case "vulnerabilities":
			err = w.vulnerabilities()
		}
		return err
	}); err != nil {
		return err
	}
	if err := w.End(); err != nil {
		return err
	}
	if format == "" && (!strings.Contains(schema, "cyclonedx.org") && d.version == "") {
		return fault.New(fault.Invalid, "/bomFormat is missing")
	}
	return nil
}

type jsonWalk struct {
	d *document
	*scan.JSON
}

// each walks a list of objects.
func (w jsonWalk) each(f func(key []byte) error, begin func(), end func() error) error {
	return w.Array(func(int) error {
		if begin != nil {
			begin()
		}
		if err := w.Object(f); err != nil {
			return err
		}
		if end != nil {
			return end()
		}
		return nil
	})
}

func (w jsonWalk) metadata() error {
	return w.Object(func(key []byte) (err error) {
		switch string(key) {
		case "timestamp":
			w.d.timestamp, err = w.String()
		case "tools":
			err = w.tools()
		case "authors":
			err = w.each(func(key []byte) error {
				if string(key) != "name" {
					return nil
				}
				name, err := w.String()
				if w.d.author == "" {
					w.d.author = name
				}
				return err
			}, nil, nil)
		case "component":
			if w.Kind() != 'n' {
				var p part
				if err = w.component(&p, -1); err == nil {
					w.d.describe(&p)
				}
			}
		}
		return err
	})
}

// tools takes the names of tools, in the list of 1.4 and in the object of 1.5.
func (w jsonWalk) tools() error {
	named := func(key []byte) error {
		if string(key) != "name" {
			return nil
		}
		name, err := w.String()
		w.d.tools = append(w.d.tools, name)
		return err
	}
	if w.Kind() == '[' {
		return w.each(named, nil, nil)
	}
	return w.Object(func(key []byte) error {
		switch string(key) {
		case "components", "services":
			return w.each(named, nil, nil)
		}
		return nil
	})
}

func (w jsonWalk) components(parent int32) error {
	return w.Array(func(int) error {
		i, err := w.d.Reserve()
		if err != nil {
			return err
		}
		p := part{c: estate.Component{Parent: parent}}
		if err := w.component(&p, i); err != nil {
			return err
		}
		w.d.Set(i, p.c)
		return nil
	})
}

// component reads one component; those in it get self as their parent.
func (w jsonWalk) component(p *part, self int32) error {
	c := &p.c
	if err := w.Object(func(key []byte) (err error) {
		switch string(key) {
		case "bom-ref":
			c.Ref, err = w.String()
		case "type":
			c.Type, err = w.String()
		case "group":
			c.Group, err = w.String()
		case "name":
			c.Name, err = w.String()
		case "version":
			c.Version, err = w.String()
		case "purl":
			c.Purl, err = w.String()
		case "cpe":
			c.CPE, err = w.String()
		case "scope":
			c.Scope, err = w.String()
		case "licenses":
			err = w.licenses(p)
		case "hashes":
			var alg, content string
			err = w.each(func(key []byte) (err error) {
				switch string(key) {
				case "alg":
					alg, err = w.String()
				case "content":
					content, err = w.String()
				}
				return err
			}, func() { alg, content = "", "" }, func() error { p.hash(alg, content); return nil })
		case "properties":
			var name, value string
			err = w.each(func(key []byte) (err error) {
				switch string(key) {
				case "name":
					name, err = w.String()
				case "value":
					value, err = w.Text()
				}
				return err
			}, func() { name, value = "", "" }, func() error { p.property(name, value); return nil })
		case "evidence":
			err = w.evidence(c)
		case "components":
			err = w.components(self)
		}
		return err
	}); err != nil {
		return err
	}
	if !p.done() {
		return w.Errorf(fault.Invalid, "the component has neither name nor purl")
	}
	return nil
}

func (w jsonWalk) licenses(p *part) error {
	return w.each(func(key []byte) error {
		switch string(key) {
		case "expression":
			s, err := w.String()
			p.license(s)
			return err
		case "license":
			var id, name string
			err := w.Object(func(key []byte) (err error) {
				switch string(key) {
				case "id":
					id, err = w.String()
				case "name":
					name, err = w.String()
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
	}, nil, nil)
}

func (w jsonWalk) evidence(c *estate.Component) error {
	return w.Object(func(key []byte) error {
		if string(key) != "occurrences" {
			return nil
		}
		return w.each(func(key []byte) error {
			if string(key) != "location" || c.Found != "" {
				return nil
			}
			var err error
			c.Found, err = w.String()
			return err
		}, nil, nil)
	})
}

func (w jsonWalk) services() error {
	return w.Array(func(int) error {
		at := len(w.d.Bill.Services)
		if err := w.d.room(at, "services"); err != nil {
			return err
		}
		w.d.Bill.Services = append(w.d.Bill.Services, estate.BillService{})
		var s estate.BillService
		if err := w.Object(func(key []byte) (err error) {
			switch string(key) {
			case "bom-ref":
				s.Ref, err = w.String()
			case "name":
				s.Name, err = w.String()
			case "group":
				s.Group, err = w.String()
			case "version":
				s.Version, err = w.String()
			case "endpoints":
				s.Endpoints, err = w.Strings()
			case "authenticated":
				s.Authenticated, err = w.flag()
			case "x-trust-boundary":
				s.CrossesTrust, err = w.flag()
			case "data":
				var flow, class string
				err = w.each(func(key []byte) (err error) {
					switch string(key) {
					case "flow":
						flow, err = w.String()
					case "classification":
						class, err = w.String()
					}
					return err
				}, func() { flow, class = "", "" }, func() error {
					s.Data = append(s.Data, classified(flow, class))
					return nil
				})
			case "services":
				err = w.services()
			}
			return err
		}); err != nil {
			return err
		}
		if s.Name == "" {
			return w.Errorf(fault.Invalid, "the service has no name")
		}
		w.d.Other(s.Ref)
		w.d.Bill.Services[at] = s
		return nil
	})
}

func classified(flow, class string) string {
	if flow == "" {
		return class
	}
	return flow + ": " + class
}

// flag takes a boolean that may be absent.
func (w jsonWalk) flag() (*bool, error) {
	if null, err := w.Null(); null || err != nil {
		return nil, err
	}
	v, err := w.Bool()
	return &v, err
}

func (w jsonWalk) dependencies() error {
	return w.Array(func(int) error {
		var ref string
		var on []string
		if err := w.Object(func(key []byte) (err error) {
			switch string(key) {
			case "ref":
				ref, err = w.String()
			case "dependsOn":
				if ref != "" && w.Kind() == '[' {
					return w.Array(func(int) error {
						to, err := w.String()
						w.d.Depend(ref, to)
						return err
					})
				}
				on, err = w.Strings()
			}
			return err
		}); err != nil {
			return err
		}
		if ref == "" {
			return w.Errorf(fault.Invalid, "the dependency has no ref")
		}
		for _, to := range on {
			w.d.Depend(ref, to)
		}
		return nil
	})
}

func (w jsonWalk) compositions() error {
	return w.each(func(key []byte) error {
		if string(key) != "aggregate" {
			return nil
		}
		aggregate, err := w.String()
		if strings.HasPrefix(aggregate, "incomplete") {
			w.d.Bill.Partial = true
		}
		return err
	}, nil, nil)
}

func (w jsonWalk) vulnerabilities() error {
	return w.Array(func(int) error {
		if err := w.d.room(len(w.d.vulns), "vulnerabilities"); err != nil {
			return err
		}
		var v vulnerability
		if err := w.Object(func(key []byte) (err error) {
			switch string(key) {
			case "id":
				v.id, err = w.String()
			case "source":
				err = w.Object(func(key []byte) (err error) {
					if string(key) == "name" {
						v.source, err = w.String()
					}
					return err
				})
			case "references":
				err = w.each(func(key []byte) error {
					if string(key) != "id" {
						return nil
					}
					id, err := w.String()
					v.aliases = append(v.aliases, id)
					return err
				}, nil, nil)
			case "ratings":
				var severity, score string
				err = w.each(func(key []byte) (err error) {
					switch string(key) {
					case "severity":
						severity, err = w.String()
					case "score":
						score, err = w.Text()
					}
					return err
				}, func() { severity, score = "", "" }, func() error { v.rating(severity, score); return nil })
			case "updated":
				if v.updated == "" {
					v.updated, err = w.String()
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
		v.place = w.Pointer()
		if v.id == "" && len(v.aliases) == 0 {
			return w.Errorf(fault.Invalid, "the vulnerability has no id")
		}
		w.d.vulns = append(w.d.vulns, v)
		return nil
	})
}

func (w jsonWalk) analysis(v *vulnerability) error {
	return w.Object(func(key []byte) (err error) {
		switch string(key) {
		case "state":
			v.state, err = w.String()
		case "justification":
			v.why, err = w.String()
		case "detail":
			v.text, err = w.String()
		case "lastUpdated":
			v.updated, err = w.String()
		case "firstIssued":
			if v.updated == "" {
				v.updated, err = w.String()
			}
		}
		return err
	})
}

func (w jsonWalk) affects(v *vulnerability) error {
	var a affect
	return w.each(func(key []byte) (err error) {
		switch string(key) {
		case "ref":
			a.ref, err = w.String()
		case "versions":
			var of affectedVersion
			err = w.each(func(key []byte) (err error) {
				switch string(key) {
				case "version":
					of.version, err = w.String()
				case "range":
					of.span, err = w.String()
				case "status":
					of.status, err = w.String()
				}
				return err
			}, func() { of = affectedVersion{} }, func() error { a.versions = append(a.versions, of); return nil })
		}
		return err
	}, func() { a = affect{} }, func() error {
		if a.ref == "" {
			return w.Errorf(fault.Invalid, "the affected component has no ref")
		}
		v.affects = append(v.affects, a)
		return nil
	})
}
