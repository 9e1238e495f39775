package csaf

import (
	"regexp"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/scan"
)

// tree is the product tree (§3.2.2).
type tree struct {
	products map[string]*product
	groups   map[string][]string
	links    []link
	members  int // of all groups
}

// product is one product. component and platforms are set for a product of a
// relationship.
type product struct {
	name, purl, cpe, digest string
	branch                  *branch
	component, platform     *product
}

// branch is one level of the tree above a product.
type branch struct {
	category, name string
	parent         *branch
}

// find returns the name of the nearest branch of a category; "" without one.
func (b *branch) find(category string) string {
	for ; b != nil; b = b.parent {
		if b.category == category {
			return b.name
		}
	}
	return ""
}

// link is a relationship: the component is part of, or installed on, the platform.
type link struct{ id, component, platform string }

// maxChain is how many relationships may stand between a component and the
// outermost product. Two are in use (package, module, platform).
const maxChain = 16

func (t *tree) init() {
	t.products, t.groups = map[string]*product{}, map[string][]string{}
}

func (t *tree) read(d *scan.JSON) error {
	return d.Object(func(key []byte) error {
		switch string(key) {
		case "branches":
			return t.branches(d, nil)
		case "full_product_names":
			return d.Array(func(int) error { _, err := t.product(d, nil); return err })
		case "relationships":
			return d.Array(func(int) error { return t.relationship(d) })
		case "product_groups":
			return d.Array(func(int) error { return t.group(d) })
		}
		return nil
	})
}

func (t *tree) group(d *scan.JSON) error {
	var id string
	var members []string
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "group_id":
			id, err = d.String()
		case "product_ids":
			members, err = d.Strings()
		}
		return err
	})
	if t.members += len(members); err == nil && t.members > read.MaxComponents {
		err = d.Errorf(fault.TooLarge, "the groups have more than %d members", read.MaxComponents)
	}
	t.groups[id] = members
	return err
}

func (t *tree) branches(d *scan.JSON, above *branch) error {
	return d.Array(func(int) error {
		// What is below points here, so that the members may come in any order.
		b := &branch{parent: above}
		return d.Object(func(key []byte) (err error) {
			switch string(key) {
			case "category":
				b.category, err = d.String()
			case "name":
				b.name, err = d.String()
			case "product":
				_, err = t.product(d, b)
			case "branches":
				err = t.branches(d, b)
			}
			return err
		})
	})
}

// product reads a full product name and returns its id.
func (t *tree) product(d *scan.JSON, b *branch) (string, error) {
	p := &product{branch: b}
	id := ""
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "product_id":
			id, err = d.String()
		case "name":
			p.name, err = d.String()
		case "product_identification_helper":
			err = p.helper(d)
		}
		return err
	})
	switch {
	case err != nil:
		return id, err
	case id == "":
		return id, d.Errorf(fault.Invalid, "the product has no product_id")
	case t.products[id] != nil:
		return id, d.Errorf(fault.Invalid, "the product_id %q is given twice", scan.Quote(id))
	}
	t.products[id] = p
	return id, nil
}

// helper reads what identifies a product (§3.1.3.3). CSAF 2.1 has a list
// "purls" for "purl"; its first is taken, since all name the same thing.
func (p *product) helper(d *scan.JSON) error {
	return d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "purl", "purls":
			var purls []string
			if purls, err = d.Strings(); err == nil && len(purls) > 0 && purls[0] != "" {
				if _, bad := ident.ParsePurl(purls[0]); bad != nil {
					return d.Errorf(fault.Invalid, "%v", bad)
				}
				p.purl = purls[0]
			}
		case "cpe":
			p.cpe, err = d.String()
		case "hashes":
			err = d.Array(func(int) error {
				return d.Object(func(key []byte) error {
					if string(key) != "file_hashes" {
						return nil
					}
					return d.Array(func(int) error { return p.hash(d) })
				})
			})
		}
		return err
	})
}

func (p *product) hash(d *scan.JSON) error {
	var algorithm, value string
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "algorithm":
			algorithm, err = d.String()
		case "value":
			value, err = d.String()
		}
		return err
	})
	if strings.EqualFold(algorithm, "sha256") && p.digest == "" {
		p.digest = ident.Digest(value)
	}
	return err
}

func (t *tree) relationship(d *scan.JSON) error {
	var l link
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "product_reference":
			l.component, err = d.String()
		case "relates_to_product_reference":
			l.platform, err = d.String()
		case "full_product_name":
			l.id, err = t.product(d, nil)
		}
		return err
	})
	if err == nil && l.id == "" {
		err = d.Errorf(fault.Invalid, "the relationship has no full_product_name")
	}
	t.links = append(t.links, l)
	return err
}

// join ties the products of relationships to what they relate.
func (t *tree) join() error {
	for _, l := range t.links {
		p := t.products[l.id]
		p.component, p.platform = t.products[l.component], t.products[l.platform]
		if p.component == nil || p.platform == nil {
			return fault.New(fault.Invalid, "/product_tree/relationships: %q relates a product that is not in the product tree", scan.Quote(l.id))
		}
	}
	for _, l := range t.links {
		p := t.products[l.id]
		for n := 0; p.component != nil; n++ {
			if n >= maxChain {
				return fault.New(fault.Invalid, "/product_tree/relationships: %q is a component of itself, or nested more than %d deep", scan.Quote(l.id), maxChain)
			}
			p = p.component
		}
	}
	return nil
}

// scope is what a verdict about a product covers.
type scope struct {
	pkg, span string
	release   estate.Subject
}

// scope returns what a verdict about p covers, and whether that can be said.
// Where it cannot be said exactly, a verdict that would close exposures covers
// nothing, and another one covers what may be meant.
func (p *product) scope(closing bool) (s scope, ok bool) {
	var around []*product // innermost first
	for p.component != nil {
		around = append([]*product{p.platform}, around...)
		p = p.component
	}
	span := p.branch.find("product_version_range")
	if p.purl == "" {
		// A component that nothing identifies: the verdict must not cover
		// all of the product around it.
		if len(around) > 0 || closing && span != "" {
			return s, false
		}
		s.release = p.release()
		return s, s.release != estate.Subject{Derived: true}
	}
	id, err := ident.ParsePurl(p.purl)
	if err != nil {
		return s, false
	}
	if id.Image {
		s.release = p.release()
		return s, true
	}
	s.pkg = p.purl
	for _, outer := range around {
		if outer.purl == "" && outer.cpe != "" && id.Versioned {
			continue
		}
		s.release = outer.release()
		break
	}
	if id.Versioned || span == "" {
		return s, true
	}
	if isRange(span) {
		s.span = span
		return s, true
	}
	return s, !closing
}

// release is the release or service that a product stands for.
func (p *product) release() (sub estate.Subject) {
	if id, err := ident.ParsePurl(p.purl); err == nil {
		sub = id.Subject
	} else {
		sub = estate.Subject{Name: p.branch.find("product_name"), Version: p.branch.find("product_version"), Derived: true}
		if sub.Name == "" {
			sub.Name, sub.Version = p.name, ""
		}
	}
	if sub.Digest == "" {
		sub.Digest = p.digest
	}
	return sub
}

// isRange tells whether a branch's name is a version range that package version
// reads: vers (https://github.com/package-url/vers-spec, "vers:npm/>=1.0|<1.4"),
// which CSAF asks for, or a comparison ("< 1.4"). Prose is none.
func isRange(s string) bool {
	if rest, ok := strings.CutPrefix(s, "vers:"); ok {
		_, constraints, ok := strings.Cut(rest, "/")
		return ok && constraints != "" && !strings.Contains(constraints, " ")
	}
	return comparison.MatchString(s)
}

var comparison = regexp.MustCompile(`^(<|<=|>|>=|=) ?[0-9A-Za-z][^ ,|]*$`)
