// Package outline sketches the start of a JSON document, so that a reader can
// tell from content alone whether a document is of its format, although the
// document is cut off after the first bytes.
package outline

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// depth is how many levels a sketch keeps; what lies deeper is passed over.
const depth = 5

// Outline maps JSON pointers to what stands there: the text of a string, "{"
// or "[" for an object or a list, and "" for any other value. Of a list it
// holds the first item. Keys are not escaped.
type Outline map[string]string

// Of sketches head, as far as it goes. Something that is no JSON has an empty
// outline.
func Of(head []byte) Outline {
	o := Outline{}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF"))))
	dec.UseNumber()
	// The head is cut off anywhere, so an error is the ordinary end.
	_ = o.value(dec, "", 0)
	return o
}

// Has tells whether something stands at every one of the pointers.
func (o Outline) Has(pointers ...string) bool {
	for _, p := range pointers {
		if _, ok := o[p]; !ok {
			return false
		}
	}
	return true
}

func (o Outline) value(dec *json.Decoder, at string, level int) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	keep := level <= depth
	delim, nested := tok.(json.Delim)
	if keep {
		text, _ := tok.(string)
		if nested {
			text = delim.String()
		}
		o[at] = text
	}
	if !nested {
		return nil
	}
	for i := 0; dec.More(); i++ {
		inner, innerLevel := "", depth+1
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			if keep {
				inner, innerLevel = at+"/"+key.(string), level+1
			}
		} else if keep && i == 0 {
			inner, innerLevel = at+"/"+strconv.Itoa(i), level+1
		}
		if err := o.value(dec, inner, innerLevel); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
