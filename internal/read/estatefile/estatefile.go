// Package estatefile reads estate.yaml, in which people say what no tool can
// know: who owns a service, which domain and logical application it belongs to,
// which names mean the same, and how fast an exposure is to be healed. The
// document becomes one estate.Description. docs/estate.md is its reference,
// schema/estate.schema.json its JSON Schema.
//
// The file is written by hand, so every mistake is refused with its line:
// unknown keys, names given twice, references to nothing, domains that contain
// themselves. Anchors and aliases of YAML are not read.
package estatefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

// Version is the value of the key "thymus".
const Version = "estate/v1"

// Limits of this format. A YAML document takes up to a hundred times its size
// in memory, so it is bounded more tightly than others; 50,000 services with
// ten lines each fit.
const (
	MaxSize   = 16 << 20  // bytes
	MaxValues = 1_000_000 // pairs of a key and a value, and list items
)

// Reader reads estate.yaml.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "estate".
func (Reader) Name() string { return "estate" }

var first = regexp.MustCompile(`(?m)^["']?thymus["']?[ \t]*:[ \t]*["']?estate/`)

var bom = []byte("\xEF\xBB\xBF")

// Detect tells whether a document says that it is one, in any version, so that
// a later version is refused with its name.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	head = bytes.TrimPrefix(head, bom)
	if bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")) {
		return strings.HasPrefix(outline.Of(head)["/thymus"], "estate/")
	}
	return first.Match(head)
}

// Read yields one *estate.Description.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, fault.New(fault.Unavailable, "reading the document was stopped: %w", err))
			return
		}
		d, err := document(in.Body)
		if err != nil {
			yield(nil, err)
			return
		}
		yield(d, nil)
	}
}

func document(body []byte) (*estate.Description, error) {
	root, err := parse(body)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	if err := r.top(root); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r.out, nil
}

// parse reads the YAML into nodes, within the limits.
func parse(body []byte) (*yaml.Node, error) {
	if len(body) > MaxSize {
		return nil, fault.New(fault.TooLarge, "the document has %d bytes; the limit is %d", len(body), MaxSize)
	}
	if at := scan.InvalidUTF8(body); at >= 0 {
		return nil, fault.New(fault.Invalid, "line %d: byte %d is not UTF-8", scan.Line(body, at), at)
	}
	if n := values(body); n > MaxValues {
		return nil, fault.New(fault.TooLarge, "the document has about %d values; the limit is %d", n, MaxValues)
	}
	dec := yaml.NewDecoder(bytes.NewReader(body))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the document is empty")
	}
	if err != nil {
		return nil, notYAML(err)
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, at(&more, "a second document begins; want one")
	case !errors.Is(err, io.EOF):
		return nil, notYAML(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, fault.New(fault.Invalid, "the document is empty")
	}
	return doc.Content[0], nil
}

func notYAML(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return fault.New(fault.Invalid, "the document is not YAML: %s", text)
}

// values is an upper bound of the pairs and items that the YAML can hold: each
// has one of these marks.
func values(body []byte) int {
	n := 1
	for i, c := range body {
		switch c {
		case ',', '[', '{', '?', ':':
			n++
		case '-':
			if i+1 == len(body) || body[i+1] <= ' ' {
				n++
			}
		}
	}
	return n
}

// at makes an error that names a node's line.
func at(n *yaml.Node, format string, args ...any) error {
	return fault.New(fault.Invalid, "line %d: %s", n.Line, fmt.Sprintf(format, args...))
}
