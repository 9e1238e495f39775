package demo

import (
	"fmt"
	"strings"
)

// lines walks a story file: blank lines and comments are passed over, and an
// error names the line.
func lines(name string, each func(line string) error) error {
	b, err := file(name)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := each(line); err != nil {
			return fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return nil
}

// options splits words into plain ones and those of the form key=value; a plain
// word that flags holds counts as an option without a value.
func options(words []string, flags ...string) (plain []string, opts map[string]string) {
	opts = map[string]string{}
words:
	for _, w := range words {
		for _, f := range flags {
			if w == f {
				opts[w] = ""
				continue words
			}
		}
		if key, value, ok := strings.Cut(w, "="); ok {
			opts[key] = value
		} else {
			plain = append(plain, w)
		}
	}
	return plain, opts
}

// has tells whether an option was given, with or without a value.
func has(opts map[string]string, name string) bool {
	_, ok := opts[name]
	return ok
}
