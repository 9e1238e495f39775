package estatefile

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"thymus/internal/estate"
	"thymus/internal/read/ident"
	"thymus/internal/read/scan"
)

// The forms of names. schema/estate.schema.json has the same.
var (
	plainName    = regexp.MustCompile(`^[^\p{C}\p{Z}@/]+$`)
	serviceName  = regexp.MustCompile(`^[^\p{C}\p{Z}@/]+(/[^\p{C}\p{Z}@/]+)*$`)
	placeName    = regexp.MustCompile(`^[^\p{C}\p{Z}]+( [^\p{C}\p{Z}]+)*$`)
	imageName    = regexp.MustCompile(`^([^\p{C}\p{Z}@/]+/)*[^\p{C}\p{Z}@/:]+$`)
	digestForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	repositoryIs = regexp.MustCompile(`^((https?|ssh|git)://|git@)[^\p{C}\p{Z}]+$`)
)

// keys are the known keys of a mapping, each with what takes its value.
type keys map[string]func(*yaml.Node) error

// mapping walks a mapping; required keys must be there.
func mapping(n *yaml.Node, what string, known keys, required ...string) error {
	if err := plain(n, yaml.MappingNode, "!!map", what+" is a list of keys and values"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := plain(key, yaml.ScalarNode, "!!str", "a key is text"); err != nil {
			return err
		}
		take := known[key.Value]
		if take == nil {
			return at(key, "%s: the key %q is unknown; known are %s", what, scan.Quote(key.Value), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if seen[key.Value] {
			return at(key, "%s: the key %q is given twice", what, key.Value)
		}
		seen[key.Value] = true
		if err := take(value); err != nil {
			return err
		}
	}
	for _, key := range required {
		if !seen[key] {
			return at(n, "%s: the key %q is missing", what, key)
		}
	}
	return nil
}

// list walks a list.
func list(n *yaml.Node, what string, item func(*yaml.Node) error) error {
	if err := plain(n, yaml.SequenceNode, "!!seq", what+" is a list"); err != nil {
		return err
	}
	for _, c := range n.Content {
		if err := item(c); err != nil {
			return err
		}
	}
	return nil
}

// plain refuses a node of another kind or tag, and anchors and aliases.
func plain(n *yaml.Node, kind yaml.Kind, tag, want string) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at(n, "anchors and aliases are not read; write the value out")
	case n.Kind != kind || n.ShortTag() != tag:
		return at(n, "%s", want)
	}
	return nil
}

// text takes text of a form; nil allows any printable text.
func text(into *string, what string, form *regexp.Regexp) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		// YAML takes 2026-01-01 for a time, and we take it as it is written.
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!timestamp" {
			if err := plain(n, yaml.ScalarNode, "!!str", what+" is text (put numbers and the like in quotes)"); err != nil {
				return err
			}
		} else if n.Anchor != "" {
			return plain(n, 0, "", "")
		}
		if strings.TrimSpace(n.Value) == "" {
			return at(n, "%s is blank", what)
		}
		if err := ident.CheckText(n.Value); err != nil {
			return at(n, "%s: %v", what, err)
		}
		if form != nil && !form.MatchString(n.Value) {
			return at(n, "%q is not the form of %s", scan.Quote(n.Value), what)
		}
		*into = n.Value
		return nil
	}
}

// texts takes a list of texts of a form, with the nodes they stand in.
func texts(into *[]string, nodes *[]*yaml.Node, what string, form *regexp.Regexp) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		return list(n, "a list of "+what+"s", func(n *yaml.Node) error {
			var s string
			if err := text(&s, what, form)(n); err != nil {
				return err
			}
			*into = append(*into, s)
			if nodes != nil {
				*nodes = append(*nodes, n)
			}
			return nil
		})
	}
}

// one takes one of some words.
func one(into *string, what string, words ...string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if err := text(into, what, nil)(n); err != nil {
			return err
		}
		if !slices.Contains(words, *into) {
			return at(n, "%s %q is unknown; want one of %s", what, scan.Quote(*into), strings.Join(words, ", "))
		}
		return nil
	}
}

// number takes a whole number.
func number(into *int, what string, least, most int) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		want := what + " is a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
		if err := plain(n, yaml.ScalarNode, "!!int", want); err != nil {
			return err
		}
		if n.Decode(into) != nil || *into < least || *into > most {
			return at(n, "%s", want)
		}
		return nil
	}
}

// truth takes true or false.
func truth(into *bool, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		want := what + " is true or false"
		if err := plain(n, yaml.ScalarNode, "!!bool", want); err != nil {
			return err
		}
		if n.Decode(into) != nil {
			return at(n, "%s", want)
		}
		return nil
	}
}

// when takes a date or time.
func when(into *estate.Time, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		var s string
		if err := text(&s, what, nil)(n); err != nil {
			return err
		}
		t, err := estate.ParseTime(s)
		if err != nil {
			return at(n, "%s: %v", what, err)
		}
		*into = t
		return nil
	}
}
