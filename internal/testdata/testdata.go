// Package testdata finds the optional folder of real data that some tests and
// benchmarks use. It lies outside the repository, so a test that needs it says
// that it was skipped when it is absent.
package testdata

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the folder of real data: $THYMUS_SHARED, else shared/data
// beside the repository. It skips the test when there is none.
func Shared(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("THYMUS_SHARED"); dir != "" {
		return dir
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatalf("working directory: %v", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			shared := filepath.Join(filepath.Dir(dir), "shared", "data")
			if _, err := os.Stat(shared); err != nil {
				t.Skipf("skipped: the optional real data is not beside the repository and THYMUS_SHARED is not set")
			}
			return shared
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("no go.mod above %s", wd)
		}
	}
}
