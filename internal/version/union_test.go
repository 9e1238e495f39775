package version

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"thymus/internal/estate"
)

// TestUnion: a union holds exactly what one of its spans holds.
func TestUnion(t *testing.T) {
	e := ParseEcosystem("npm")
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(0, 12)
		text := func(label string) string { return fmt.Sprintf("1.%d.0", number.Draw(t, label)) }
		var all []Spans
		for range rapid.IntRange(0, 5).Draw(t, "spans") {
			var r estate.Range
			r.Type = "SEMVER"
			for range rapid.IntRange(1, 4).Draw(t, "events") {
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					r.Events = append(r.Events, estate.RangeEvent{Introduced: "0"})
				case 1:
					r.Events = append(r.Events, estate.RangeEvent{Introduced: text("introduced")})
				case 2:
					r.Events = append(r.Events, estate.RangeEvent{Fixed: text("fixed")})
				case 3:
					r.Events = append(r.Events, estate.RangeEvent{LastAffected: text("last")})
				}
			}
			a := estate.Affected{Ecosystem: "npm", Name: "a", Ranges: []estate.Range{r}}
			if rapid.Bool().Draw(t, "list") {
				a.Versions = []string{text("listed")}
			}
			all = append(all, Compile(e, a))
		}
		if rapid.Bool().Draw(t, "range") {
			ivs, err := ParseRange(e, ">"+text("above")+",<="+text("below"))
			if err == nil {
				all = append(all, Spans{Intervals: ivs})
			}
		}
		u := Unite(e, all)
		for n := range 13 {
			for _, pre := range []string{"", "-rc.1"} {
				v, err := Parse(e, fmt.Sprintf("1.%d.0%s", n, pre))
				if err != nil {
					t.Fatal(err)
				}
				want := false
				for _, s := range all {
					in, _ := s.Contains(e, v)
					want = want || in
				}
				if got := u.Contains(v); got != want {
					t.Fatalf("%s: in the union %v, in a span %v: %+v", v, got, want, all)
				}
			}
		}
	})
}
