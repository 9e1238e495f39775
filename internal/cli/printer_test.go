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
		{"narrow terminal", printer{width: 43}, `
  SERVICE                          WORST
  cart                             critical
  a-service-with-a-very-long-name  low
`},
		{"too narrow for columns", printer{width: 26}, `
  cart
    worst critical
  a-service-with-a-very-lo
  ng-name
    worst low
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

func TestTableWraps(t *testing.T) {
	head := []string{"ADVISORY", "SCOPE", "REASON", "SINCE"}
	rows := func() [][]cell {
		return [][]cell{
			row("CVE-2021-44228", "service search", "The JndiLookup class is taken out of the jar.", "2026-02-18"),
			row("CVE-2022-1471", "all", "", "2026-02-19"),
		}
	}
	for _, tt := range []struct {
		width int
		want  string
	}{
		{60, `
  ADVISORY        SCOPE           REASON          SINCE
  CVE-2021-44228  service search  The JndiLookup  2026-02-18
                                  class is taken
                                  out of the
                                  jar.
  CVE-2022-1471   all                             2026-02-19
`},
		{40, `
  CVE-2021-44228
    scope service search ·
    reason The JndiLookup class is taken
    out of the jar. · since 2026-02-18
  CVE-2022-1471
    scope all · since 2026-02-19
`},
	} {
		var b bytes.Buffer
		p := printer{w: &b, width: tt.width}
		p.table(head, rows())
		if got := "\n" + b.String(); got != tt.want {
			t.Errorf("width %d: got %s\nwant %s", tt.width, got, tt.want)
		}
	}
}

func TestSay(t *testing.T) {
	var b bytes.Buffer
	p := printer{w: &b, width: 20, colour: true}
	p.say(red, "Affected by it: two releases run.")
	if want := "\x1b[31mAffected by it: two\x1b[0m\n\x1b[31mreleases run.\x1b[0m\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
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
