// Package csaf reads the product status of CSAF 2.0 documents
// (https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html), above all those
// of the VEX profile (§4.5). Each vulnerability becomes one estate.Verdict for
// each product that product_status lists.
//
// The product tree says what a product is, and so how wide the verdict is:
//
//   - a product of a relationship is a component within another product: the
//     component's package URL is the package, the other one the release;
//   - a container image is a release, and the verdict holds for all packages in
//     it; any other package URL is the package;
//   - a product without a package URL is a release by the names of its branches.
//
// A platform that only a CPE names (Red Hat Enterprise Linux 9) is no release of
// an estate. It is left out where the component's package URL names one version,
// which is then of that platform alone; elsewhere the verdict is kept under the
// platform's name, and so joins nothing rather than everything.
package csaf

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

// Reader reads CSAF documents.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "csaf".
func (Reader) Name() string { return "csaf" }

// Detect tells whether a document has CSAF's document object.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte(`"document"`)) {
		return false
	}
	o := outline.Of(head)
	return o.Has("/document/csaf_version") || strings.HasPrefix(o["/document/category"], "csaf_")
}

// Read yields the verdicts, in document order.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		var doc document
		verdicts, err := doc.read(ctx, in.Body)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, v := range verdicts {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// document is what is kept while the document is walked; its members may come
// in any order.
type document struct {
	version  string
	category string
	author   string
	at       estate.Time
	tree     tree
	flaws    []flaw
	grouped  int // members of groups that remarks named so far
}

// flaw is one vulnerability.
type flaw struct {
	ids    []string
	status []status
	flags  []remark // text: the justification
	// impacts and remedies say why; notes do where neither does.
	impacts, remedies []remark
	note              string
}

// status lists the products of one member of product_status.
type status struct {
	status   estate.Status
	products []string
}

// remark is a text about some products; about all where it names none.
type remark struct {
	text             string
	at               estate.Time
	products, groups []string
}

func (doc *document) read(ctx context.Context, body []byte) ([]*estate.Verdict, error) {
	d, err := scan.NewJSON(ctx, body)
	if err != nil {
		return nil, err
	}
	if d.Kind() != '{' {
		return nil, d.Errorf(fault.Invalid, "a CSAF document is an object")
	}
	doc.tree.init()
	err = d.Object(func(key []byte) error {
		switch string(key) {
		case "document":
			return doc.header(d)
		case "product_tree":
			return doc.tree.read(d)
		case "vulnerabilities":
			return d.Array(func(int) error {
				f, err := readFlaw(d)
				doc.flaws = append(doc.flaws, f)
				return err
			})
		}
		return nil
	})
	if err == nil {
		err = d.End()
	}
	switch {
	case err != nil:
		return nil, err
	case doc.version == "" && doc.category == "":
		return nil, fault.New(fault.Invalid, "/document: neither csaf_version nor category is stated")
	case doc.version != "" && !strings.HasPrefix(doc.version, "2."):
		return nil, fault.New(fault.Unsupported, "/document/csaf_version: %q is not read; want 2.0", scan.Quote(doc.version))
	case len(doc.flaws) == 0:
		return nil, fault.New(fault.Invalid, "/vulnerabilities: the document lists none, so it decides nothing")
	}
	return doc.verdicts()
}

func (doc *document) header(d *scan.JSON) error {
	return d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "csaf_version":
			doc.version, err = d.String()
		case "category":
			doc.category, err = d.String()
		case "publisher":
			err = d.Object(func(key []byte) (err error) {
				if string(key) == "name" {
					doc.author, err = d.String()
				}
				return err
			})
		case "tracking":
			err = d.Object(func(key []byte) (err error) {
				if string(key) == "current_release_date" {
					doc.at, err = when(d)
				}
				return err
			})
		}
		return err
	})
}

func when(d *scan.JSON) (estate.Time, error) {
	s, err := d.String()
	if err != nil || s == "" {
		return 0, err
	}
	at, err := estate.ParseTime(s)
	if err != nil {
		return 0, d.Errorf(fault.Invalid, "%v", err)
	}
	return at, nil
}

func readFlaw(d *scan.JSON) (f flaw, err error) {
	cve := ""
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "cve":
			cve, err = d.String()
		case "ids":
			err = d.Array(func(int) error {
				return d.Object(func(key []byte) error {
					if string(key) != "text" {
						return nil
					}
					id, err := d.String()
					f.ids = append(f.ids, id)
					return err
				})
			})
		case "product_status":
			f.status, err = readStatus(d)
		case "flags":
			f.flags, err = remarks(d, "label", "")
		case "threats":
			f.impacts, err = remarks(d, "details", "impact")
		case "remediations":
			f.remedies, err = remarks(d, "details", "")
		case "notes":
			var notes []remark
			if notes, err = remarks(d, "text", ""); len(notes) > 0 {
				f.note = notes[0].text
			}
		}
		return err
	})
	if f.ids = append([]string{cve}, f.ids...); err == nil && ident.Pick(f.ids...) == "" {
		err = d.Errorf(fault.Invalid, "the vulnerability has neither cve nor a usable id")
	}
	return f, err
}

// statuses maps the members of product_status (§3.2.3.9) to decisions.
// "recommended" is no decision: it names what to upgrade to, which is fixed
// unless another member says otherwise, and so comes last.
var statuses = []struct {
	member string
	status estate.Status
}{
	{"known_affected", estate.StatusAffected},
	{"first_affected", estate.StatusAffected},
	{"last_affected", estate.StatusAffected},
	{"known_not_affected", estate.StatusNotAffected},
	{"fixed", estate.StatusFixed},
	{"first_fixed", estate.StatusFixed},
	{"under_investigation", estate.StatusInvestigate},
	{"recommended", estate.StatusFixed},
}

func readStatus(d *scan.JSON) ([]status, error) {
	lists := map[string][]string{}
	err := d.Object(func(key []byte) (err error) {
		member := string(key)
		for _, s := range statuses {
			if s.member == member {
				lists[member], err = d.Strings()
			}
		}
		return err
	})
	var out []status
	for _, s := range statuses {
		if len(lists[s.member]) > 0 {
			out = append(out, status{s.status, lists[s.member]})
		}
	}
	return out, err
}

// remarks reads a list of objects with a text about products. A category limits
// it to that one.
func remarks(d *scan.JSON, member, category string) (out []remark, err error) {
	err = d.Array(func(int) error {
		var r remark
		kind := ""
		err := d.Object(func(key []byte) (err error) {
			switch string(key) {
			case member:
				r.text, err = d.String()
			case "category":
				kind, err = d.String()
			case "date":
				r.at, err = when(d)
			case "product_ids":
				r.products, err = d.Strings()
			case "group_ids":
				r.groups, err = d.Strings()
			}
			return err
		})
		if r.text != "" && (category == "" || category == kind) {
			out = append(out, r)
		}
		return err
	})
	return out, err
}

// verdicts spreads the vulnerabilities over their products.
func (doc *document) verdicts() ([]*estate.Verdict, error) {
	if err := doc.tree.join(); err != nil {
		return nil, err
	}
	var out []*estate.Verdict
	for i, f := range doc.flaws {
		where := fmt.Sprintf("/vulnerabilities/%d/product_status", i)
		var flags, impacts, remedies about
		for _, part := range []struct {
			into *about
			from []remark
		}{{&flags, f.flags}, {&impacts, f.impacts}, {&remedies, f.remedies}} {
			var err error
			if *part.into, err = doc.index(part.from); err != nil {
				return nil, fmt.Errorf("/vulnerabilities/%d: %w", i, err)
			}
		}
		decided := map[string]estate.Status{}
		for _, s := range f.status {
			for _, id := range s.products {
				if was, ok := decided[id]; ok && (was == s.status || s.status == estate.StatusFixed) {
					continue
				}
				decided[id] = s.status
				p, ok := doc.tree.products[id]
				if !ok {
					return nil, fault.New(fault.Invalid, "%s: the product %q is not in the product tree", where, scan.Quote(id))
				}
				v := &estate.Verdict{
					Advisory: ident.Pick(f.ids...),
					Status:   s.status,
					Author:   doc.author,
					At:       doc.at,
				}
				flag := flags.of(id)
				if s.status == estate.StatusNotAffected {
					v.Justification = flag.text
				}
				v.At = max(v.At, flag.at)
				v.Reason = impacts.of(id).text
				if v.Reason == "" && s.status != estate.StatusNotAffected {
					v.Reason = remedies.of(id).text
				}
				if v.Reason == "" {
					v.Reason = f.note
				}
				scope, ok := p.scope(closes(s.status))
				if !ok {
					continue
				}
				if len(out) >= read.MaxComponents {
					return nil, fault.New(fault.TooLarge, "%s: more than %d verdicts", where, read.MaxComponents)
				}
				v.Package, v.Range, v.Release = scope.pkg, scope.span, scope.release
				out = append(out, v)
			}
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "/vulnerabilities: no product_status decides anything about a product that can be identified")
	}
	return out, nil
}

func closes(s estate.Status) bool {
	return s == estate.StatusNotAffected || s == estate.StatusFixed
}

// about finds the first remark for a product.
type about struct {
	products map[string]remark
	all      remark
}

// maxGrouped is how often the members of groups may be named in a document.
// Each naming is a line of a few bytes, and costs as much as the group is long.
const maxGrouped = 10 * read.MaxComponents

func (doc *document) index(remarks []remark) (about, error) {
	out := about{products: map[string]remark{}}
	add := func(id string, r remark) {
		if _, ok := out.products[id]; !ok {
			out.products[id] = r
		}
	}
	for _, r := range remarks {
		if len(r.products) == 0 && len(r.groups) == 0 && out.all.text == "" {
			out.all = r
		}
		for _, id := range r.products {
			add(id, r)
		}
		for _, group := range r.groups {
			members := doc.tree.groups[group]
			if doc.grouped += len(members); doc.grouped > maxGrouped {
				return out, fault.New(fault.TooLarge, "the group %q is named too often", scan.Quote(group))
			}
			for _, id := range members {
				add(id, r)
			}
		}
	}
	return out, nil
}

func (a about) of(id string) remark {
	if r, ok := a.products[id]; ok {
		return r
	}
	return a.all
}
