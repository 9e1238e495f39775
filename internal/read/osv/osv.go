// Package osv reads advisories in OSV's schema
// (https://ossf.github.io/osv-schema/, versions 1.0 to 1.7 and later): one
// record, a list of them, or the {"vulns": […]} of OSV's query API. Feeds call
// Decode for each record of an export; documents that are pushed go through
// Reader. Each record becomes one estate.Advisory.
//
// Losing an advisory is worse than not understanding all of it: unknown fields,
// range types, severity schemes and ecosystems are kept or passed over, and
// never cost the record. A record that is malformed where it matters is refused.
package osv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

// Reader reads OSV records.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "osv".
func (Reader) Name() string { return "osv" }

// Detect tells whether a document is one OSV record or a list of them.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte(`"affected"`)) && !bytes.Contains(head, []byte(`"modified"`)) {
		return false
	}
	o := outline.Of(head)
	for _, at := range []string{"", "/0", "/vulns/0"} {
		body := o.Has(at+"/modified") || o.Has(at+"/affected")
		if body && (o[at+"/id"] != "" || o.Has(at+"/schema_version")) {
			return true
		}
		// Keys in alphabetical order may leave the id for later than the head.
		if o.Has(at+"/affected/0/package") || o.Has(at+"/affected/0/ranges") {
			return true
		}
	}
	return false
}

// Read yields one *estate.Advisory for each record.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		d, err := scan.NewJSON(ctx, in.Body)
		if err != nil {
			yield(nil, err)
			return
		}
		list := d.Kind() == '['
		if !list {
			a, vulns, err := record(d, in.Body)
			switch {
			case vulns:
				list = true
			case err != nil:
				yield(nil, err)
				return
			default:
				yield(a, nil)
				return
			}
		}
		if err := readList(ctx, in.Body, func(a *estate.Advisory) bool { return yield(a, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// Decode reads one record, with the whole of raw as Raw, which it keeps and
// does not change. It may be called concurrently. Errors have the code
// fault.Invalid or fault.TooLarge, and name the record and the place in it.
func Decode(raw []byte) (*estate.Advisory, error) {
	d, err := scan.NewJSON(context.Background(), raw)
	if err != nil {
		return nil, fmt.Errorf("OSV record: %w", err)
	}
	a, _, err := record(d, raw)
	return a, err
}

// readList reads the records of a list, or of the list "vulns" of an object.
func readList(ctx context.Context, body []byte, emit func(*estate.Advisory) bool) error {
	// The form of the whole is checked first, so that the decoder below, which
	// only cuts the text up, cannot fail.
	d, err := scan.NewJSON(ctx, body)
	if err != nil {
		return err
	}
	if err := d.Skip(); err != nil {
		return err
	}
	if err := d.End(); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))))
	where, n := "top of the document", 0
	for tok, err := dec.Token(); ; tok, err = dec.Token() {
		if err != nil {
			break
		}
		if tok == json.Delim('[') {
			break
		}
		if key, ok := tok.(string); ok {
			if key == "vulns" {
				where = "/vulns"
				continue
			}
			var other json.RawMessage
			if err := dec.Decode(&other); err != nil {
				return fault.New(fault.Invalid, "line %d: %w", scan.Line(body, int(dec.InputOffset())), err)
			}
		}
	}
	for ; dec.More(); n++ {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Unavailable, "reading the document was stopped: %w", err)
		}
		if n >= read.MaxComponents {
			return fault.New(fault.TooLarge, "%s: a list of more than %d records", where, read.MaxComponents)
		}
		from := int(dec.InputOffset())
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fault.New(fault.Invalid, "line %d, record %d: %w", scan.Line(body, from), n, err)
		}
		a, err := Decode(raw)
		if err != nil {
			return fmt.Errorf("record %d, which follows line %d: %w", n, scan.Line(body, from), err)
		}
		if !emit(a) {
			return nil
		}
	}
	if n == 0 {
		return fault.New(fault.Invalid, "%s: the list holds no records", where)
	}
	return nil
}

// record reads one record. vulns tells that it is none, but an object with a
// list of records.
func record(d *scan.JSON, raw []byte) (a *estate.Advisory, vulns bool, err error) {
	a = &estate.Advisory{Raw: raw}
	details := ""
	if d.Kind() != '{' {
		return nil, false, d.Errorf(fault.Invalid, "an OSV record is an object")
	}
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			if a.ID, err = d.String(); err == nil {
				if bad := ident.CheckID(a.ID); bad != nil {
					a.ID = ""
					err = d.Errorf(fault.Invalid, "%v", bad)
				}
			}
		case "modified":
			a.Modified, err = when(d)
		case "published":
			a.Published, err = when(d)
		case "withdrawn":
			a.Withdrawn, err = when(d)
		case "aliases":
			a.Aliases, err = ids(d)
		case "related":
			a.Related, err = ids(d)
		case "upstream":
			a.Upstream, err = ids(d)
		case "summary":
			a.Summary, err = d.String()
		case "details":
			details, err = d.String()
		case "severity":
			a.Scores, err = scores(d)
		case "affected":
			err = d.Array(func(int) error {
				one, err := affected(d)
				if one.Name != "" || one.Purl != "" || len(one.Ranges) > 0 || len(one.Versions) > 0 {
					a.Affected = append(a.Affected, one)
				}
				return err
			})
		case "references":
			err = d.Array(func(int) error {
				r, err := reference(d)
				if r.URL != "" {
					a.References = append(a.References, r)
				}
				return err
			})
		case "database_specific":
			a.Graded, err = graded(d)
		case "vulns":
			vulns = d.Kind() == '['
		}
		return err
	})
	if err == nil {
		err = d.End()
	}
	if err == nil && a.ID == "" {
		if vulns {
			return nil, true, nil
		}
		err = fault.New(fault.Invalid, "/id: the record has no id")
	}
	if err != nil {
		name := "OSV record"
		if a.ID != "" {
			name += " " + a.ID
		}
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	if a.Summary == "" {
		a.Summary = firstLine(details)
	}
	return a, false, nil
}

// when reads a time. The year 1 stands for "not known" in some databases.
func when(d *scan.JSON) (estate.Time, error) {
	s, err := d.String()
	if err != nil || s == "" || strings.HasPrefix(strings.TrimLeft(s, "0"), "1-01-01") {
		return 0, err
	}
	at, err := estate.ParseTime(s)
	if err != nil {
		return 0, d.Errorf(fault.Invalid, "%v", err)
	}
	return at, nil
}

// ids reads a list of ids and leaves out what cannot be one, which costs a link
// but not the record.
func ids(d *scan.JSON) ([]string, error) {
	all, err := d.Strings()
	var out []string
	for _, id := range all {
		if ident.CheckID(id) == nil {
			out = append(out, id)
		}
	}
	return out, err
}

func scores(d *scan.JSON) (out []estate.Score, err error) {
	err = d.Array(func(int) error {
		var s estate.Score
		err := d.Object(func(key []byte) (err error) {
			switch string(key) {
			case "type":
				s.Type, err = d.String()
			case "score":
				s.Vector, err = d.Text()
			}
			return err
		})
		if s != (estate.Score{}) {
			out = append(out, s)
		}
		return err
	})
	return out, err
}

func reference(d *scan.JSON) (r estate.Reference, err error) {
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "type":
			r.Type, err = d.String()
		case "url":
			r.URL, err = d.String()
		}
		return err
	})
	return r, err
}

// graded reads database_specific.severity. The object is the database's own, so
// nothing that stands in it is an error.
func graded(d *scan.JSON) (s estate.Severity, err error) {
	if d.Kind() != '{' {
		return s, nil
	}
	err = d.Object(func(key []byte) error {
		if string(key) != "severity" || d.Kind() != '"' {
			return nil
		}
		name, err := d.String()
		if grade, bad := estate.ParseSeverity(name); bad == nil {
			s = grade
		}
		return err
	})
	return s, err
}

func affected(d *scan.JSON) (a estate.Affected, err error) {
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "package":
			err = d.Object(func(key []byte) (err error) {
				switch string(key) {
				case "ecosystem":
					a.Ecosystem, err = d.String()
				case "name":
					a.Name, err = d.String()
				case "purl":
					a.Purl, err = d.String()
				}
				return err
			})
		case "ranges":
			err = d.Array(func(int) error {
				r, err := affectedRange(d)
				if r.Type != "" || len(r.Events) > 0 {
					a.Ranges = append(a.Ranges, r)
				}
				return err
			})
		case "versions":
			a.Versions, err = d.Strings()
		case "severity":
			a.Scores, err = scores(d)
		}
		return err
	})
	return a, err
}

func affectedRange(d *scan.JSON) (r estate.Range, err error) {
	err = d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "type":
			r.Type, err = d.String()
		case "repo":
			r.Repo, err = d.String()
		case "events":
			err = d.Array(func(int) error {
				return d.Object(func(key []byte) (err error) {
					// An object with several events, which early versions of the
					// schema allowed, is as many events.
					var e estate.RangeEvent
					switch string(key) {
					case "introduced":
						e.Introduced, err = d.String()
					case "fixed":
						e.Fixed, err = d.String()
					case "last_affected":
						e.LastAffected, err = d.String()
					case "limit":
						e.Limit, err = d.String()
					}
					if e != (estate.RangeEvent{}) {
						r.Events = append(r.Events, e)
					}
					return err
				})
			})
		}
		return err
	})
	return r, err
}

// firstLine is the summary of a record that has only details: the first line
// that says something, without the marks of a Markdown heading, cut to 160
// bytes.
func firstLine(details string) string {
	for line := range strings.Lines(details) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#"))
		if line == "" {
			continue
		}
		const most = 160
		if len(line) > most {
			cut := most
			for !utf8.RuneStart(line[cut]) {
				cut--
			}
			line = strings.TrimSpace(line[:cut]) + "…"
		}
		return line
	}
	return ""
}
