// Package read defines what a reader is: bytes in, facts out. A reader has no
// network, no clock and no store. Each format is one folder under this one,
// listed in package catalog, and passes the suite readtest.
package read

import (
	"context"
	"iter"

	"thymus/internal/estate"
)

// Limits that every reader keeps. A document over a limit is refused with
// fault.TooLarge and the place; memory stays within a small multiple of the
// document.
const (
	MaxDocument   = 256 << 20 // bytes, after unwrapping
	MaxComponents = 1_000_000 // packages in one SBOM, items in one list
	MaxDepth      = 200       // nesting of objects, elements or components
	MaxString     = 1 << 20   // bytes in one name, version or purl
	HeadSize      = 16 << 10  // bytes that Detect is shown
)

// Input is one document, unwrapped: no compression, no envelope.
type Input struct {
	Body  []byte // the reader must not change it
	Claim estate.Claim
}

// Reader turns documents of one format into facts. It is stateless and may be
// used concurrently.
type Reader interface {
	// Name is the format's name, lower case, stable: stored with evidence.
	Name() string
	// Detect tells whether a document is of this format, from its first bytes
	// (HeadSize, or less when the document is shorter) and the claim's headers.
	// It looks at content, never at file names.
	Detect(head []byte, headers map[string]string) bool
	// Read yields the document's facts. An error is the last thing yielded and
	// means that nothing of the document may be stored: it carries a fault code
	// and names the place (line, JSON pointer, element, record id). What a
	// reader survives it notes in the fact (Bill.Notes). A well-formed document
	// that says nothing yields an error, never nothing.
	Read(ctx context.Context, in Input) iter.Seq2[estate.Fact, error]
}
