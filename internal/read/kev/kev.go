// Package kev reads CISA's catalogue of known exploited vulnerabilities
// (https://www.cisa.gov/known-exploited-vulnerabilities-catalog), in its JSON
// form. Each entry becomes one estate.Exploited; exposures to it come before
// all others.
package kev

import (
	"bytes"
	"context"
	"iter"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

// List is the name of the list that facts of this reader carry.
const List = "CISA KEV"

// Reader reads the catalogue.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "kev".
func (Reader) Name() string { return "kev" }

// Detect tells whether a document is the catalogue.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte(`"vulnerabilities"`)) {
		return false
	}
	o := outline.Of(head)
	return o.Has("/vulnerabilities/0/cveID") || o.Has("/catalogVersion", "/vulnerabilities")
}

// Read yields one *estate.Exploited for each entry. An entry without a CVE
// number or a date is refused, and with it the catalogue: the one that was read
// before stays in force.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		stopped, err := entries(ctx, in.Body, yield)
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// errStop ends the walk when the consumer wants no more.
var errStop = fault.New(fault.Internal, "stopped")

func entries(ctx context.Context, body []byte, yield func(estate.Fact, error) bool) (stopped bool, err error) {
	d, err := scan.NewJSON(ctx, body)
	if err != nil {
		return false, err
	}
	if d.Kind() != '{' {
		return false, d.Errorf(fault.Invalid, "the catalogue is an object")
	}
	found := 0
	err = d.Object(func(key []byte) error {
		if string(key) != "vulnerabilities" {
			return nil
		}
		return d.Array(func(int) error {
			e, err := entry(d)
			if err != nil {
				return err
			}
			found++
			if !yield(e, nil) {
				stopped = true
				return errStop
			}
			return nil
		})
	})
	if err != nil {
		return stopped, err
	}
	if err := d.End(); err != nil {
		return false, err
	}
	if found == 0 {
		return false, fault.New(fault.Invalid, "/vulnerabilities: the catalogue lists nothing")
	}
	return false, nil
}

func entry(d *scan.JSON) (*estate.Exploited, error) {
	e := &estate.Exploited{List: List}
	added := false
	err := d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "cveID":
			if e.CVE, err = d.String(); err == nil {
				e.CVE = strings.TrimSpace(e.CVE)
				if !ident.IsCVE(e.CVE) {
					err = d.Errorf(fault.Invalid, "%q is no CVE number", scan.Quote(e.CVE))
				}
			}
		case "dateAdded":
			e.Added, err = date(d)
			added = e.Added != 0
		case "dueDate":
			e.Due, err = date(d)
		case "knownRansomwareCampaignUse":
			var use string
			use, err = d.String()
			e.Ransomware = strings.EqualFold(use, "Known")
		case "vulnerabilityName":
			e.Note, err = d.String()
		}
		return err
	})
	if err == nil && (e.CVE == "" || !added) {
		err = d.Errorf(fault.Invalid, "the entry %s lacks cveID or dateAdded", e.CVE)
	}
	return e, err
}

func date(d *scan.JSON) (estate.Time, error) {
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
