// Package epss reads a day's scores of the Exploit Prediction Scoring System
// (https://www.first.org/epss/data_stats): a comment line with the model and
// the date, a header, and a line for each CVE. The file is walked once and
// yields one estate.Likelihood for each line.
package epss

import (
	"bytes"
	"context"
	"iter"
	"strconv"
	"strings"
	"time"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/scan"
)

// maxLine is the longest line in bytes; the real ones have under 100.
const maxLine = 4096

// Reader reads EPSS scores.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "epss".
func (Reader) Name() string { return "epss" }

// Detect tells whether a document begins as an EPSS file does: with the
// comment, or, as the first ones of 2021, with the header.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	head = bytes.TrimPrefix(head, bom)
	return bytes.HasPrefix(head, []byte("#model_version:")) || bytes.HasPrefix(head, []byte("cve,epss"))
}

var bom = []byte("\xEF\xBB\xBF")

// Read yields one *estate.Likelihood for each line. The last line must end with
// a line break: a file that is cut short must not turn 0.97 into 0.9.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		p := parser{columns: [3]int{-1, -1, -1}}
		body := bytes.TrimPrefix(in.Body, bom)
		if len(in.Body) > read.MaxDocument {
			yield(nil, fault.New(fault.TooLarge, "the document has %d bytes; the limit is %d", len(in.Body), read.MaxDocument))
			return
		}
		found := 0
		for number := 1; len(body) > 0; number++ {
			if number%1024 == 1 {
				if err := ctx.Err(); err != nil {
					yield(nil, fault.New(fault.Unavailable, "reading line %d was stopped: %w", number, err))
					return
				}
			}
			line, rest, whole := bytes.Cut(body, []byte("\n"))
			body = rest
			l, err := p.line(line, whole)
			if err != nil {
				yield(nil, fault.New(fault.Of(err), "line %d: %w", number, err))
				return
			}
			if l == nil {
				continue
			}
			if found++; found > read.MaxComponents {
				yield(nil, fault.New(fault.TooLarge, "line %d: more than %d scores", number, read.MaxComponents))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, fault.New(fault.Unavailable, "reading the document was stopped: %w", err))
			return
		}
		if found == 0 {
			yield(nil, fault.New(fault.Invalid, "the document holds no EPSS scores"))
		}
	}
}

// parser holds what the first lines say.
type parser struct {
	at      estate.Time
	header  bool
	columns [3]int // of cve, epss, percentile; -1: absent
}

// line reads one line; nil without an error is a line that holds no score.
func (p *parser) line(line []byte, whole bool) (*estate.Likelihood, error) {
	if len(line) > maxLine {
		return nil, fault.New(fault.TooLarge, "a line of %d bytes; the limit is %d", len(line), maxLine)
	}
	text := strings.TrimSuffix(string(line), "\r")
	switch {
	case strings.TrimSpace(text) == "":
		return nil, nil
	case !whole:
		return nil, fault.New(fault.Invalid, "the document ends inside the line")
	case scan.InvalidUTF8(line) >= 0:
		return nil, fault.New(fault.Invalid, "the line is not UTF-8")
	case strings.HasPrefix(text, "#"):
		return nil, p.comment(text[1:])
	case !p.header:
		p.header = true
		return nil, p.head(text)
	}
	return p.score(text)
}

func (p *parser) comment(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		date, ok := strings.CutPrefix(strings.TrimSpace(part), "score_date:")
		if !ok {
			continue
		}
		at, err := estate.ParseTime(date)
		if err != nil {
			// The files before 2025 write the zone as +0000.
			t, bad := time.Parse("2006-01-02T15:04:05-0700", date)
			if bad != nil {
				return fault.New(fault.Invalid, "score_date: %w", err)
			}
			at = estate.At(t)
		}
		p.at = at
	}
	return nil
}

func (p *parser) head(text string) error {
	for i, name := range strings.Split(text, ",") {
		switch strings.TrimSpace(name) {
		case "cve":
			p.columns[0] = i
		case "epss":
			p.columns[1] = i
		case "percentile":
			p.columns[2] = i
		}
	}
	if p.columns[0] < 0 || p.columns[1] < 0 {
		return fault.New(fault.Invalid, "the header %q lacks the columns cve and epss", scan.Quote(text))
	}
	return nil
}

func (p *parser) score(text string) (*estate.Likelihood, error) {
	l := &estate.Likelihood{At: p.at}
	seen, i := 0, 0
	for cell := range strings.SplitSeq(text, ",") {
		cell = strings.TrimSpace(cell)
		var err error
		switch i {
		case p.columns[0]:
			if !ident.IsCVE(cell) {
				return nil, fault.New(fault.Invalid, "%q is no CVE number", scan.Quote(cell))
			}
			// The cell is a part of the line; the fact must not keep the rest.
			l.CVE = strings.Clone(cell)
			seen++
		case p.columns[1]:
			l.Score, err = probability(cell)
			seen++
		case p.columns[2]:
			if cell != "" {
				l.Percentile, err = probability(cell)
			}
		}
		if err != nil {
			return nil, err
		}
		i++
	}
	if seen < 2 {
		return nil, fault.New(fault.Invalid, "%q has %d columns, too few", scan.Quote(text), i)
	}
	return l, nil
}

func probability(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fault.New(fault.Invalid, "%q is no number from 0 to 1", scan.Quote(s))
	}
	return v, nil
}
