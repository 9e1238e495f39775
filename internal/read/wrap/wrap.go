// Package wrap takes documents out of what they travel in: compression (gzip,
// zstd, bzip2), byte order marks and UTF-16, and attestations (DSSE envelopes,
// Sigstore bundles, in-toto statements, cosign's custom predicate). The engine
// unwraps once, and readers see plain documents.
//
// Signatures are NOT verified: a signed document is worth as much here as an
// unsigned one, and is believed because of the token that sent it.
package wrap

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/scan"
)

// MaxLayers is how many layers may lie around a document.
const MaxLayers = 4

// A compressed layer may hold read.MaxDocument bytes; over freeInflation bytes,
// also no more than maxRatio times its compressed size. SBOMs shrink by 10 to
// 50 times, decompression bombs by 1,000 and more.
const (
	freeInflation = 16 << 20
	maxRatio      = 200
	maxWindow     = 64 << 20 // of zstd
)

// Wrapped is a document and what lay around it.
type Wrapped struct {
	// Body is the document. It may share memory with what was unwrapped.
	Body []byte
	// Layers names what was taken off, the outermost first: "gzip", "zstd",
	// "bzip2", "utf-16", "dsse", "sigstore", "in-toto", "cosign".
	Layers []string
	// Predicate is the predicate type that the innermost in-toto statement
	// gives for the document, "" when there is none.
	Predicate string
	// Subjects are what the innermost in-toto statement says the document is
	// about: artifacts by SHA-256, with names derived from theirs.
	Subjects []estate.Subject
}

// Unwrap takes off all layers. A body that has none is returned as it is, but
// for a byte order mark. Errors name the layer: fault.Invalid for what is cut or
// malformed, fault.TooLarge for bombs and for more than MaxLayers, and
// fault.Unsupported for archives and for several attestations in one file.
func Unwrap(body []byte) (Wrapped, error) {
	w := Wrapped{Body: body}
	for {
		layer, err := w.step()
		if err != nil {
			if len(w.Layers) > 0 {
				err = fault.New(fault.Of(err), "in %s: %w", strings.Join(w.Layers, " in "), err)
			}
			return Wrapped{}, err
		}
		if layer == "" {
			return w, nil
		}
		if len(w.Layers) == MaxLayers {
			return Wrapped{}, fault.New(fault.TooLarge, "more than %d layers around the document: %s, %s",
				MaxLayers, strings.Join(w.Layers, ", "), layer)
		}
		w.Layers = append(w.Layers, layer)
	}
}

// step takes off one layer and names it; "" when there is none.
func (w *Wrapped) step() (string, error) {
	b := w.Body
	switch {
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		r, err := gzip.NewReader(bytes.NewReader(b))
		return "gzip", w.inflate("gzip", r, err)
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(read.MaxDocument+1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return "", w.inflate("zstd", nil, err)
		}
		defer r.Close()
		return "zstd", w.inflate("zstd", r, nil)
	case len(b) >= 10 && bytes.HasPrefix(b, []byte("BZh")) && (string(b[4:10]) == "1AY&SY" || string(b[4:10]) == "\x17\x72\x45\x38\x50\x90"):
		return "bzip2", w.inflate("bzip2", bzip2.NewReader(bytes.NewReader(b)), nil)
	case bytes.HasPrefix(b, []byte("PK\x03\x04")), len(b) > 262 && string(b[257:262]) == "ustar":
		return "", fault.New(fault.Unsupported, "the document is a zip or tar archive from byte 0; send the documents in it one by one")
	case bytes.HasPrefix(b, []byte("\xEF\xBB\xBF")):
		w.Body = b[3:]
		return w.step()
	}
	if order := utf16Order(b); order != nil {
		text, err := fromUTF16(b, order)
		w.Body = text
		return "utf-16", err
	}
	trimmed := bytes.TrimLeft(b, " \t\r\n")
	if len(trimmed) == 0 {
		return "", fault.New(fault.Invalid, "the document is empty")
	}
	if trimmed[0] == '{' && attested(trimmed[:min(len(trimmed), read.HeadSize)]) {
		return w.attestation(trimmed)
	}
	return "", nil
}

func (w *Wrapped) inflate(layer string, r io.Reader, err error) error {
	limit := min(read.MaxDocument, max(freeInflation, maxRatio*len(w.Body)))
	var out []byte
	if err == nil {
		out, err = io.ReadAll(io.LimitReader(r, int64(limit)+1))
	}
	switch {
	case len(out) > limit && limit < read.MaxDocument:
		return fault.New(fault.TooLarge, "%s: %d bytes inflate to more than %d, over %d times as much; refused as a decompression bomb",
			layer, len(w.Body), limit, maxRatio)
	case len(out) > limit, errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fault.New(fault.TooLarge, "%s: the content is over the limit of %d bytes", layer, read.MaxDocument)
	case err != nil:
		return fault.New(fault.Invalid, "%s: after %d bytes of content: %w", layer, len(out), err)
	}
	w.Body = out
	return nil
}

// utf16Order tells the byte order of UTF-16 by its byte order mark, or by a
// first character of a JSON, XML or YAML document; nil when it is not UTF-16.
func utf16Order(b []byte) binary.ByteOrder {
	if len(b) < 2 {
		return nil
	}
	switch {
	case b[0] == 0xFF && b[1] == 0xFE, b[1] == 0 && strings.IndexByte("{[<", b[0]) >= 0:
		return binary.LittleEndian
	case b[0] == 0xFE && b[1] == 0xFF, b[0] == 0 && strings.IndexByte("{[<", b[1]) >= 0:
		return binary.BigEndian
	}
	return nil
}

func fromUTF16(b []byte, order binary.ByteOrder) ([]byte, error) {
	if len(b)%2 != 0 {
		return nil, fault.New(fault.Invalid, "utf-16: an odd number of bytes, %d: the document is cut", len(b))
	}
	if len(b) > read.MaxDocument {
		return nil, fault.New(fault.TooLarge, "utf-16: the document has %d bytes; the limit is %d", len(b), read.MaxDocument)
	}
	out := make([]byte, 0, len(b)/2+len(b)/8)
	for i := 0; i < len(b); i += 2 {
		r := rune(order.Uint16(b[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(utf8.RuneError)
			if i+4 <= len(b) {
				low = rune(order.Uint16(b[i+2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, fault.New(fault.Invalid, "utf-16: half a surrogate pair at byte %d", i)
			}
			i += 2
		}
		if i == 0 && r == 0xFEFF {
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// attested tells, from the first bytes of a JSON object, whether it may be an
// attestation. It may err towards yes: attestation finds out.
func attested(head []byte) bool {
	for _, sign := range []string{`"payloadType"`, `"payload"`, `"_type"`, `"predicateType"`, `"dsseEnvelope"`, `vnd.dev.sigstore.bundle`} {
		if bytes.Contains(head, []byte(sign)) {
			return true
		}
	}
	return false
}

// envelope is what the top level of a JSON object holds of an attestation.
type envelope struct {
	payload, predicate, dsse   []byte
	payloadType, kind, typeURI string
	subjects                   []estate.Subject
}

func (w *Wrapped) attestation(body []byte) (string, error) {
	d, err := scan.NewJSON(context.Background(), body)
	if err != nil {
		return "", err
	}
	var e envelope
	if err := e.read(d); err != nil {
		return "", err
	}
	statement := strings.HasPrefix(e.kind, "https://in-toto.io/Statement/")
	if e.payloadType == "" && e.dsse == nil && !statement {
		return "", nil // not an attestation after all; its reader judges it
	}
	if rest := d.Rest(); len(rest) > 0 {
		if rest[0] == '{' {
			return "", fault.New(fault.Unsupported, "line %d: a second attestation in the same file; send each by itself",
				scan.Line(body, len(body)-len(rest)))
		}
		return "", d.End()
	}
	switch {
	case statement:
		if e.predicate == nil {
			return "", fault.New(fault.Invalid, "in-toto: /predicate is missing")
		}
		w.Body, w.Predicate, w.Subjects = e.predicate, e.typeURI, e.subjects
		return "in-toto", w.unquote()
	case e.dsse != nil:
		w.Body = e.dsse
		return "sigstore", nil
	}
	w.Body, err = decode(e.payload)
	return "dsse", err
}

func (e *envelope) read(d *scan.JSON) error {
	return d.Object(func(key []byte) (err error) {
		switch string(key) {
		case "payload":
			if d.Kind() == '"' {
				e.payload, err = d.Long()
			}
		case "payloadType":
			if d.Kind() == '"' {
				e.payloadType, err = d.String()
			}
		case "_type":
			if d.Kind() == '"' {
				e.kind, err = d.String()
			}
		case "predicateType":
			if d.Kind() == '"' {
				e.typeURI, err = d.String()
			}
		case "predicate":
			e.predicate, err = d.Raw()
		case "dsseEnvelope":
			e.dsse, err = d.Raw()
		case "subject":
			if d.Kind() == '[' {
				e.subjects, err = subjects(d)
			}
		}
		return err
	})
}

// subjects reads the subjects of an in-toto statement
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) that
// have a SHA-256.
func subjects(d *scan.JSON) (out []estate.Subject, err error) {
	err = d.Array(func(int) error {
		var name, digest string
		err := d.Object(func(key []byte) (err error) {
			switch string(key) {
			case "name":
				name, err = d.String()
			case "digest":
				err = d.Object(func(alg []byte) (err error) {
					if string(alg) == "sha256" {
						digest, err = d.String()
					}
					return err
				})
			}
			return err
		})
		if err != nil || digest == "" {
			return err
		}
		sum := ident.Digest(digest)
		if sum == "" {
			return d.Errorf(fault.Invalid, "the digest %q is not a SHA-256", scan.Quote(digest))
		}
		sub, _ := ident.Image(name) // blank for a name of another kind
		sub.Digest, sub.Derived = sum, true
		out = append(out, sub)
		return nil
	})
	return out, err
}

// unquote takes the document out of what cosign puts around a custom
// predicate, {"Data": …, "Timestamp": …}, where Data is the document or its
// text, and out of a predicate that is itself a string.
func (w *Wrapped) unquote() error {
	d, err := scan.NewJSON(context.Background(), w.Body)
	if err != nil {
		return fmt.Errorf("in-toto: /predicate: %w", err)
	}
	switch d.Kind() {
	case '"':
		w.Body, err = d.Long()
		return err
	case '{':
		var data []byte
		text, others := false, false
		err := d.Object(func(key []byte) (err error) {
			switch string(key) {
			case "Data":
				if text = d.Kind() == '"'; text {
					data, err = d.Long()
				} else {
					data, err = d.Raw()
				}
			case "Timestamp":
			default:
				others = true
			}
			return err
		})
		if err == nil && data != nil && !others {
			w.Body = data
		}
		return err
	}
	return fault.New(fault.Invalid, "in-toto: /predicate is neither an object nor a string")
}

// decode reads base64, standard or URL-safe, padded or not: signers differ.
func decode(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, fault.New(fault.Invalid, "dsse: /payload is missing or empty")
	}
	payload = bytes.TrimRight(payload, "=")
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(payload, "-_") {
		encoding = base64.RawURLEncoding
	}
	out := make([]byte, encoding.DecodedLen(len(payload)))
	n, err := encoding.Decode(out, payload)
	if err != nil {
		return nil, fault.New(fault.Invalid, "dsse: /payload is not base64: %w", err)
	}
	return out[:n], nil
}
