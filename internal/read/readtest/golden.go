package readtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thymus/internal/estate"
	"thymus/internal/read"
	"thymus/internal/read/wrap"
	"thymus/internal/testdata"
)

// Golden reads every real SBOM that the reader detects and compares a line of
// counts about each with a golden file; with THYMUS_UPDATE set it writes that
// file instead. The test is skipped where the optional real data is absent.
func Golden(t *testing.T, r read.Reader, golden string) {
	t.Helper()
	root := filepath.Join(testdata.Shared(t), "sboms")
	var lines []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".tar.xz") {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		w, err := wrap.Unwrap(body)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !r.Detect(Head(w.Body), nil) {
			return nil
		}
		facts, err := Facts(t.Context(), r, read.Input{Body: w.Body})
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s: error %v", filepath.ToSlash(name), err))
			return nil
		}
		for i, f := range facts {
			if err := Check(f); err != nil {
				return fmt.Errorf("%s: fact %d: %w", name, i, err)
			}
		}
		lines = append(lines, filepath.ToSlash(name)+": "+Summary(facts))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	if os.Getenv("THYMUS_UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the readings differ from %s (set THYMUS_UPDATE to accept them):\n%s", golden, diff)
	}
}

// Summary counts what facts about an SBOM hold.
func Summary(facts []estate.Fact) string {
	var parts []string
	verdicts := map[estate.Status]int{}
	scoped := 0
	for _, f := range facts {
		switch f := f.(type) {
		case *estate.Bill:
			var purls, nested, distros, sources, hashed, licensed, found, edges int
			for _, c := range f.Packages {
				purls += count(c.Purl != "")
				nested += count(c.Parent >= 0)
				distros += count(c.Distro != "")
				sources += count(c.Source != "")
				hashed += count(len(c.Hashes) > 0)
				licensed += count(len(c.Licenses) > 0)
				found += count(c.Found != "")
			}
			for _, on := range f.Depends {
				edges += len(on)
			}
			parts = append(parts, fmt.Sprintf("%s of %q by %q at %s; packages %d, with purl %d, nested %d, distro %d, source %d, hashes %d, licences %d, found %d; edges %d, direct %d; services %d; reported %d; partial %t",
				f.Format, f.Subject.String()+" "+f.Subject.Digest, f.Generator, f.Made, len(f.Packages), purls, nested, distros, sources, hashed, licensed, found,
				edges, len(f.Direct), len(f.Services), len(f.Reported), f.Partial))
			for _, n := range f.Notes {
				parts = append(parts, "note: "+n)
			}
		case *estate.Verdict:
			verdicts[f.Status]++
			scoped += count(f.Package != "")
		default:
			parts = append(parts, fmt.Sprintf("%T", f))
		}
	}
	for _, s := range []estate.Status{estate.StatusAffected, estate.StatusFixed, estate.StatusNotAffected, estate.StatusInvestigate} {
		if verdicts[s] > 0 {
			parts = append(parts, fmt.Sprintf("verdicts %s %d", s, verdicts[s]))
		}
	}
	if scoped > 0 {
		parts = append(parts, fmt.Sprintf("of a package %d", scoped))
	}
	return strings.Join(parts, "; ")
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
