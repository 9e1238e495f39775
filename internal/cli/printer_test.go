package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"thymus/internal/estate"
)

func TestTable(t *testing.T) {
	head := []string{"SERVICE", "EMPTY", "WORST"}
	rows := func() [][]cell {
		return [][]cell{row("cart", "", estate.Critical), row("a-service-with-a-very-long-name", "", estate.Low)}
	}
	for _, tt := range []struct {
		name    string
		printer printer
		want    string
	}{
		{"pipe", printer{}, `
  SERVICE                          WORST
  cart                             critical
  a-service-with-a-very-long-name  low
`},
		{"narrow terminal", printer{width: 26}, `
  SERVICE         WORST
  cart            critical
  a-ser…ong-name  low
`},
		{"colour", printer{width: 80, colour: true}, "\n" +
			"  \x1b[2mSERVICE\x1b[0m                          \x1b[2mWORST\x1b[0m\n" +
			"  cart                             \x1b[1;31mcritical\x1b[0m\n" +
			"  a-service-with-a-very-long-name  low\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.printer.w = &b
			tt.printer.table(head, rows())
			if got := "\n" + b.String(); got != tt.want {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// Whatever documents contain, a table keeps to its width, and no text of theirs
// reaches the terminal as a command.
func TestTableIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		p := &printer{w: &b, width: rapid.IntRange(40, 120).Draw(t, "width")}
		text := rapid.String()
		var rows [][]cell
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			rows = append(rows, row(text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c")))
		}
		p.table([]string{"A", "B", "C"}, rows)
		for _, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
			if n := utf8.RuneCountInString(line); n > p.width {
				t.Fatalf("%d columns in a terminal of %d: %q", n, p.width, line)
			}
			if strings.ContainsAny(line, "\x1b\r\x00\a\u202e") {
				t.Fatalf("a control character got through: %q", line)
			}
		}
	})
}

func TestNoColour(t *testing.T) {
	if p := newPrinter(&bytes.Buffer{}, nil); p.colour || p.width != 0 {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestCount(t *testing.T) {
	for want, got := range map[string]string{
		"1 advisory": count(1, "advisory"), "2 advisories": count(2, "advisory"), "0 services": count(0, "service"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
