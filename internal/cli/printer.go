package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"thymus/internal/estate"
)

// style is an ANSI colour, used on a terminal only.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
	alarm  style = "1;31"
)

// printer writes for people: aligned tables, cut to the terminal's width, in
// colour on a terminal. Away from a terminal nothing is cut and nothing is
// coloured, so that a pipe gets whole words. It keeps the first write error.
type printer struct {
	w      io.Writer
	width  int // columns; 0: not a terminal, nothing is cut
	colour bool
	err    error
}

func newPrinter(w io.Writer, env map[string]string) *printer {
	p := &printer{w: w, width: terminalWidth(w)}
	// https://no-color.org: set and not empty means no colour.
	p.colour = p.width > 0 && env["NO_COLOR"] == "" && env["TERM"] != "dumb"
	return p
}

func (p *printer) write(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, s)
	}
}

// line prints one line; the arguments are cleaned, the format is not.
func (p *printer) line(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = clean(s)
		}
	}
	p.write(fmt.Sprintf(format, args...) + "\n")
}

// say prints one cleaned line in a style.
func (p *printer) say(st style, text string) { p.write(p.paint(st, clean(text)) + "\n") }

// heading starts a section: a blank line and a title.
func (p *printer) heading(format string, args ...any) {
	p.write("\n")
	p.say(bold, fmt.Sprintf(format, args...))
}

func (p *printer) paint(st style, s string) string {
	if !p.colour || st == plain || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// cell is one table cell.
type cell struct {
	text  string
	style style
}

// row makes cells of strings, integers, severities, times and cells.
func row(values ...any) []cell {
	out := make([]cell, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case cell:
			out[i] = v
		case string:
			out[i].text = v
		case estate.Severity:
			out[i] = cell{v.String(), severityStyle(v)}
		case estate.Time:
			out[i].text = shortTime(v)
		case *float64:
			if v != nil {
				out[i].text = fmt.Sprintf("%.3f", *v)
			}
		default:
			out[i].text = fmt.Sprint(v)
		}
	}
	return out
}

// Columns are cut down to wideColumn first, which spares times and short names,
// and to minColumn only when that is not enough.
const (
	wideColumn = 16
	minColumn  = 8
)

// table prints rows under a head, indented by two. Columns in which no row says
// anything are left out. On a terminal the widest columns are cut until a row
// fits; nothing is printed without rows.
func (p *printer) table(head []string, rows [][]cell) {
	if len(rows) == 0 {
		return
	}
	head, rows = dropEmpty(head, rows)
	widths := make([]int, len(head))
	for i, h := range head {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range rows {
		for i := range r {
			r[i].text = clean(r[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	const indent, gap = 2, 2
	if p.width > 0 {
		total := indent - gap
		for _, w := range widths {
			total += w + gap
		}
		for _, least := range []int{wideColumn, minColumn} {
			for total > p.width {
				widest := slices.Index(widths, slices.Max(widths))
				if widths[widest] <= least {
					break
				}
				widths[widest]--
				total--
			}
		}
	}
	heads := make([]cell, len(head))
	for i, h := range head {
		heads[i] = cell{h, dim}
	}
	if strings.Join(head, "") != "" {
		rows = append([][]cell{heads}, rows...)
	}
	for _, r := range rows {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", indent))
		for i, c := range r {
			text := cut(c.text, widths[i])
			b.WriteString(p.paint(c.style, text))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap))
			}
		}
		p.write(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// dropEmpty leaves out the columns in which no row says anything.
func dropEmpty(head []string, rows [][]cell) ([]string, [][]cell) {
	var keep []int
	for i := range head {
		if slices.ContainsFunc(rows, func(r []cell) bool { return r[i].text != "" }) {
			keep = append(keep, i)
		}
	}
	heads, kept := make([]string, len(keep)), make([][]cell, len(rows))
	for to, i := range keep {
		heads[to] = head[i]
		for j, r := range rows {
			kept[j] = append(kept[j], r[i])
		}
	}
	return heads, kept
}

// cut shortens a text to n characters with an ellipsis: a sentence at its end,
// and a name in the middle, since coordinates and versions differ at their ends.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	head, tail := max(n-1, 0), 0
	if strings.Count(s, " ") <= 4 {
		tail = head * 2 / 3
		head -= tail
	}
	return string(r[:head]) + "…" + string(r[len(r)-tail:])
}

// clean takes control characters out of a text that comes from documents, so
// that a package name cannot drive the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// worst is the highest severity among n exposures; blank when there is none.
func worst(s estate.Severity, n int) cell {
	if n == 0 {
		return cell{}
	}
	return cell{s.String(), severityStyle(s)}
}

func severityStyle(s estate.Severity) style {
	switch {
	case s >= estate.Critical:
		return alarm
	case s == estate.High:
		return red
	case s == estate.Medium:
		return yellow
	}
	return plain
}

// shortTime renders minutes for people; JSON has the milliseconds.
func shortTime(t estate.Time) string {
	switch t {
	case 0:
		return ""
	case estate.Forever:
		return "now"
	}
	return t.Std().Format("2006-01-02 15:04")
}

// list joins at most n names, and counts the rest.
func list(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

// count renders "1 service", "2 services".
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// progress shows what is being done and for how long, on a terminal alone.
// Call stop before anything else is written.
func (p *printer) progress(what string) (stop func()) {
	if p.width == 0 {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				p.write("\r\x1b[K")
				return
			case <-tick.C:
				if d := time.Since(began); d > 400*time.Millisecond {
					p.write(fmt.Sprintf("\r\x1b[K%s … %s", cut(clean(what), max(p.width-12, minColumn)), d.Round(100*time.Millisecond)))
				}
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// status shows one line that the next status replaces, on a terminal alone;
// blank takes it away.
func (p *printer) status(text string) {
	if p.width == 0 {
		return
	}
	if text != "" {
		text = cut(clean(text), max(p.width-1, minColumn))
	}
	p.write("\r\x1b[K" + text)
}
