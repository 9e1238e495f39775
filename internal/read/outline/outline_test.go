package outline_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/read/outline"
)

func TestOf(t *testing.T) {
	for name, tc := range map[string]struct {
		head string
		want outline.Outline
	}{
		"nothing":   {"", outline.Outline{}},
		"no JSON":   {"# text", outline.Outline{}},
		"a scalar":  {"12", outline.Outline{"": ""}},
		"flat":      {`{"a":"x","b":1}`, outline.Outline{"": "{", "/a": "x", "/b": ""}},
		"a mark":    {"\xEF\xBB\xBF" + `{"a":"x"}`, outline.Outline{"": "{", "/a": "x"}},
		"cut off":   {`{"a":"x","b":{"c":"y","d":"unfin`, outline.Outline{"": "{", "/a": "x", "/b": "{", "/b/c": "y"}},
		"a list":    {`[{"a":"x"},{"a":"y"}]`, outline.Outline{"": "[", "/0": "{", "/0/a": "x"}},
		"deep":      {`{"a":{"b":{"c":{"d":{"e":{"f":"x"}}}}},"g":"y"}`, outline.Outline{"": "{", "/a": "{", "/a/b": "{", "/a/b/c": "{", "/a/b/c/d": "{", "/a/b/c/d/e": "{", "/g": "y"}},
		"bad later": {`{"a":"x",}`, outline.Outline{"": "{", "/a": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, outline.Of([]byte(tc.head))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHas(t *testing.T) {
	o := outline.Of([]byte(`{"a":null}`))
	if !o.Has("", "/a") || o.Has("/a", "/b") {
		t.Errorf("Has is wrong for %v", o)
	}
}

func FuzzOf(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1}]}`))
	f.Add([]byte(strings.Repeat("[", 10_000)))
	f.Fuzz(func(t *testing.T, head []byte) { outline.Of(head) })
}
