package estate

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestTimeRoundTrip: what is rendered is read back.
func TestTimeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := Time(rapid.Int64Range(1, 32503679999000).Draw(t, "at"))
		b, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		var back Time
		if err := json.Unmarshal(b, &back); err != nil || back != at {
			t.Fatalf("%s became %v, %v", b, back, err)
		}
	})
}

func TestTimeAtTheEnds(t *testing.T) {
	for _, at := range []Time{0, Forever} {
		if b, err := json.Marshal(at); err != nil || string(b) != "null" {
			t.Errorf("%d renders as %s, %v; want null", at, b, err)
		}
		if at.Add(1e9) != at {
			t.Errorf("%d moves", at)
		}
	}
	for _, s := range []string{"", "yesterday", "1969-12-31", "3000-01-01", "2026-13-01"} {
		if at, err := ParseTime(s); err == nil {
			t.Errorf("ParseTime(%q) = %v; want an error", s, at)
		}
	}
}

func TestParseSubject(t *testing.T) {
	for in, want := range map[string]Subject{
		"cart":              {Name: "cart"},
		"cart@1.4":          {Name: "cart", Version: "1.4"},
		"shop/cart@1.4":     {Namespace: "shop", Name: "cart", Version: "1.4"},
		"eu/shop/cart@a@b":  {Namespace: "eu/shop", Name: "cart", Version: "a@b"},
		"cart@sha256:0a/b1": {Name: "cart", Version: "sha256:0a/b1"},
	} {
		got, err := ParseSubject(in)
		if err != nil || got != want {
			t.Errorf("ParseSubject(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if err == nil && got.String() != in {
			t.Errorf("%q renders as %q", in, got.String())
		}
	}
	for _, in := range []string{"", "@1", "shop/", "shop/@1"} {
		if got, err := ParseSubject(in); err == nil {
			t.Errorf("ParseSubject(%q) = %+v; want an error", in, got)
		}
	}
}

func TestSeverity(t *testing.T) {
	for score, want := range map[float64]Severity{0: None, 0.1: Low, 3.9: Low, 4: Medium, 6.9: Medium, 7: High, 8.9: High, 9: Critical, 10: Critical} {
		if got := SeverityOf(score); got != want {
			t.Errorf("SeverityOf(%v) = %v; want %v", score, got, want)
		}
	}
	if Malware <= Critical || Unscored == None || Unscored == Low {
		t.Error("malware is above critical, and unscored is a grade of its own")
	}
	for name, want := range map[string]Severity{"MODERATE": Medium, "Important": High, "critical": Critical} {
		if got, err := ParseSeverity(name); err != nil || got != want {
			t.Errorf("ParseSeverity(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
}
