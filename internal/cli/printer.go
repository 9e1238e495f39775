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

// printer writes for people: aligned tables, wrapped to the terminal's width, in
// colour on a terminal. Away from a terminal nothing is wrapped and nothing is
// coloured, so that a pipe gets one row a line. It keeps the first write error.
type printer struct {
	w      io.Writer
	width  int // columns; 0: not a terminal, nothing is wrapped
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

// say prints a cleaned sentence in a style; on a terminal it is broken between words.
func (p *printer) say(st style, text string) { p.flow(0, []cell{{text, st}}, "") }

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

const (
	indent = 2 // of tables
	gap    = 2 // between columns
	// longWord is where a word is broken rather than widen its column further,
	// and longCell how much of a cell is shown on a terminal.
	longWord = 40
	longCell = 300
	minWidth = 8 // of a line, however narrow the terminal
	tallRow  = 3 // lines; where rows are taller on average, paragraphs read better
)

// table prints rows under a head, indented by two. Columns in which no row says
// anything are left out; nothing is printed without rows. On a terminal the
// widest columns are wrapped until a row fits. Where not even the words fit side
// by side, or rows become tall, each row is a paragraph with the heads as labels.
func (p *printer) table(head []string, rows [][]cell) {
	if len(rows) == 0 {
		return
	}
	head, rows = dropEmpty(head, rows)
	widths, words := make([]int, len(head)), make([]int, len(head))
	for i, h := range head {
		widths[i], words[i] = utf8.RuneCountInString(h), longest(h)
	}
	for _, r := range rows {
		for i := range r {
			r[i].text = clean(r[i].text)
			if p.width > 0 {
				r[i].text = cut(r[i].text, longCell)
			}
			widths[i], words[i] = max(widths[i], utf8.RuneCountInString(r[i].text)), max(words[i], longest(r[i].text))
		}
	}
	if p.width > 0 && (!fit(widths, words, p.width) || tall(rows, widths)) {
		p.paragraphs(head, rows)
		return
	}
	heads := make([]cell, len(head))
	for i, h := range head {
		heads[i] = cell{h, dim}
	}
	if strings.Join(head, "") != "" {
		rows = append([][]cell{heads}, rows...)
	}
	for _, r := range rows {
		p.row(r, widths)
	}
}

// fit narrows the widest columns, none below its longest word, until a row fits.
func fit(widths, words []int, width int) bool {
	total := indent - gap
	for _, w := range widths {
		total += w + gap
	}
	for total > width {
		widest := -1
		for i, w := range widths {
			if w > words[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
		total--
	}
	return true
}

// tall tells whether most rows would need many lines.
func tall(rows [][]cell, widths []int) bool {
	lines := 0
	for _, r := range rows {
		most := 1
		for i, c := range r {
			most = max(most, len(wrap(c.text, widths[i])))
		}
		lines += most
	}
	return lines > tallRow*len(rows)
}

// row prints one row, on as many lines as its longest cell needs.
func (p *printer) row(r []cell, widths []int) {
	lines, most := make([][]string, len(r)), 1
	for i, c := range r {
		lines[i] = []string{c.text}
		if p.width > 0 {
			lines[i] = wrap(c.text, widths[i])
		}
		most = max(most, len(lines[i]))
	}
	for n := range most {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", indent))
		for i, c := range r {
			text := ""
			if n < len(lines[i]) {
				text = lines[i][n]
			}
			b.WriteString(p.paint(c.style, text))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap))
			}
		}
		p.write(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// paragraphs prints each row below its first cell.
func (p *printer) paragraphs(head []string, rows [][]cell) {
	for _, r := range rows {
		p.flow(indent, r[:1], "")
		var rest []cell
		for i, c := range r[1:] {
			if c.text == "" {
				continue
			}
			if label := strings.ToLower(head[i+1]); label != "" {
				c.text = label + " " + c.text
			}
			rest = append(rest, c)
		}
		if len(rest) > 0 {
			p.flow(2*indent, rest, " ·")
		}
	}
}

// flow prints texts one after the other, each followed by sep but the last, and
// on a terminal begins a new line rather than break one.
func (p *printer) flow(in int, items []cell, sep string) {
	margin := strings.Repeat(" ", in)
	column := 0
	for i, c := range items {
		text := clean(c.text)
		if i < len(items)-1 {
			text += sep
		}
		lines := []string{text}
		if p.width > 0 {
			lines = wrap(text, max(p.width-in, minWidth))
		}
		for j, line := range lines {
			n := utf8.RuneCountInString(line)
			switch {
			case column == 0:
				p.write(margin)
				column = in
			case j > 0 || p.width > 0 && column+1+n > p.width:
				p.write("\n" + margin)
				column = in
			default:
				p.write(" ")
				column++
			}
			p.write(p.paint(c.style, line))
			column += n
		}
	}
	if column > 0 {
		p.write("\n")
	}
}

// longest is the length of a text's longest word, as far as it counts.
func longest(s string) (n int) {
	for _, word := range strings.Fields(s) {
		n = max(n, min(utf8.RuneCountInString(word), longWord))
	}
	return n
}

// wrap breaks a text into lines of at most width characters, at spaces where
// there are any.
func wrap(s string, width int) (lines []string) {
	if utf8.RuneCountInString(s) <= width {
		return []string{s}
	}
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		r := []rune(word)
		for ; len(r) > width; r = r[width:] {
			lines = append(lines, string(r[:width]))
		}
		line = string(r)
	}
	return append(lines, line)
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
		shown := false
		for {
			select {
			case <-quit:
				if shown {
					p.write("\r\x1b[K")
				}
				return
			case <-tick.C:
				if d := time.Since(began); d > 400*time.Millisecond {
					shown = true
					p.write(fmt.Sprintf("\r\x1b[K%s … %s", cut(clean(what), max(p.width-12, minWidth)), d.Round(100*time.Millisecond)))
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
		text = cut(clean(text), max(p.width-1, minWidth))
	}
	p.write("\r\x1b[K" + text)
}
