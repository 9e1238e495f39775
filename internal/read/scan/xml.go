package scan

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"thymus/internal/fault"
	"thymus/internal/read"
)

// XML walks one XML document. Document type declarations are refused, so that
// there are no entities but the five of XML itself, and nothing is ever fetched.
// Only UTF-8 is read. Namespace prefixes are dropped: names are local names. An
// XML must not be shared between goroutines.
type XML struct {
	ctx   context.Context
	dec   *xml.Decoder
	stack []string
	steps int
}

// Element is an element that was just entered.
type Element struct {
	Name      string
	Namespace string // of the xmlns attribute, or the prefix's; "" when the element declares none
	attr      []xml.Attr
}

// Attr returns an attribute by local name, or "".
func (e *Element) Attr(name string) string {
	for _, a := range e.attr {
		if a.Name.Local == name && a.Name.Space != "xmlns" {
			return a.Value
		}
	}
	return ""
}

// NewXML prepares to walk body, which it never changes.
func NewXML(ctx context.Context, body []byte) (*XML, error) {
	body, err := Text(ctx, body)
	if err != nil {
		return nil, err
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	dec.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		// The declaration outlived a conversion: the bytes are UTF-8.
		if strings.EqualFold(charset, "utf-16") {
			return in, nil
		}
		return nil, fmt.Errorf("the document declares the encoding %q; want UTF-8", Quote(charset))
	}
	return &XML{ctx: ctx, dec: dec}, nil
}

// Errorf makes an error that names the line and the path of elements.
func (x *XML) Errorf(code fault.Code, format string, args ...any) error {
	line, _ := x.dec.InputPos()
	return fault.New(code, "line %d, %s: %s", line, x.Path(), fmt.Sprintf(format, args...))
}

// Path returns the names of the open elements, cut to a printable length.
func (x *XML) Path() string {
	if len(x.stack) == 0 {
		return "top of the document"
	}
	var b strings.Builder
	for _, name := range x.stack {
		b.WriteByte('/')
		b.WriteString(Quote(name))
		if b.Len() > 300 {
			b.WriteString("/…")
			break
		}
	}
	return b.String()
}

// token returns the next token of interest; nil at the end of the document.
func (x *XML) token() (xml.Token, error) {
	for {
		if x.steps++; x.steps >= 4096 {
			x.steps = 0
			if err := stopped(x.ctx); err != nil {
				return nil, err
			}
		}
		tok, err := x.dec.RawToken()
		if errors.Is(err, io.EOF) && tok == nil {
			if len(x.stack) > 0 {
				return nil, x.Errorf(fault.Invalid, "the document ends inside an element")
			}
			return nil, nil
		}
		if err != nil {
			var syntax *xml.SyntaxError
			text := err.Error()
			if errors.As(err, &syntax) {
				text = syntax.Msg
			}
			return nil, x.Errorf(fault.Invalid, "%s", strings.TrimPrefix(Quote(text), "xml: "))
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if len(x.stack) >= read.MaxDepth {
				return nil, x.Errorf(fault.TooLarge, "nested more than %d deep", read.MaxDepth)
			}
			x.stack = append(x.stack, tok.Name.Local)
			return tok, nil
		case xml.EndElement:
			if len(x.stack) == 0 || x.stack[len(x.stack)-1] != tok.Name.Local {
				return nil, x.Errorf(fault.Invalid, "</%s> ends an element that is not open", Quote(tok.Name.Local))
			}
			x.stack = x.stack[:len(x.stack)-1]
			return tok, nil
		case xml.CharData:
			if len(x.stack) == 0 {
				if len(bytes.TrimSpace(tok)) > 0 {
					return nil, x.Errorf(fault.Invalid, "text outside of the root element")
				}
				continue
			}
			return tok, nil
		case xml.Directive:
			return nil, x.Errorf(fault.Invalid, "a document type declaration, which is refused lest it define entities")
		}
	}
}

func element(tok xml.StartElement) *Element {
	e := &Element{Name: tok.Name.Local, attr: tok.Attr}
	for _, a := range tok.Attr {
		if a.Name.Space == "" && a.Name.Local == "xmlns" && tok.Name.Space == "" ||
			a.Name.Space == "xmlns" && a.Name.Local == tok.Name.Space {
			e.Namespace = a.Value
		}
	}
	return e
}

// Root enters the root element, calls f in it, and checks that the document
// ends with it.
func (x *XML) Root(f func(e *Element) error) error {
	tok, err := x.token()
	if err != nil {
		return err
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return fault.New(fault.Invalid, "the document has no root element")
	}
	if err := x.within(start, f); err != nil {
		return err
	}
	switch tok, err := x.token(); {
	case err != nil:
		return err
	case tok != nil:
		return x.Errorf(fault.Invalid, "a second root element")
	}
	return nil
}

// within calls f in the element that was just entered, and passes over what f
// left of it.
func (x *XML) within(start xml.StartElement, f func(e *Element) error) error {
	depth := len(x.stack)
	if err := f(element(start)); err != nil {
		return err
	}
	for len(x.stack) >= depth {
		if _, err := x.token(); err != nil {
			return err
		}
	}
	return nil
}

// Children calls f in each child element of the open element, and takes or
// leaves it; it returns behind the end of the open element.
func (x *XML) Children(f func(e *Element) error) error {
	depth := len(x.stack)
	for n := 0; ; {
		tok, err := x.token()
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if n++; n > read.MaxComponents {
				return x.Errorf(fault.TooLarge, "more than %d elements", read.MaxComponents)
			}
			if err := x.within(tok, f); err != nil {
				return err
			}
		case xml.EndElement:
			if len(x.stack) < depth {
				return nil
			}
		}
	}
}

// Text takes the text of the open element, without that of its children and
// without white space around it; it returns behind its end.
func (x *XML) Text() (string, error) {
	depth := len(x.stack)
	var text []byte
	for {
		tok, err := x.token()
		if err != nil {
			return "", err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			if len(x.stack) == depth {
				if text = append(text, tok...); len(text) > read.MaxString {
					return "", x.Errorf(fault.TooLarge, "a text of more than %d bytes", read.MaxString)
				}
			}
		case xml.EndElement:
			if len(x.stack) < depth {
				return string(bytes.TrimSpace(text)), nil
			}
		}
	}
}
