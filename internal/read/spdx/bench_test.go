package spdx

import (
	"os"
	"path/filepath"
	"testing"

	"thymus/internal/read"
	"thymus/internal/read/readtest"
	"thymus/internal/read/wrap"
	"thymus/internal/testdata"
)

func BenchmarkRead(b *testing.B) {
	body, err := os.ReadFile(filepath.Join(testdata.Shared(b), "sboms", "trustify", "ubi9-9.3-782.json.bz2"))
	if err != nil {
		b.Fatal(err)
	}
	w, err := wrap.Unwrap(body)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(w.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readtest.Facts(b.Context(), Reader{}, read.Input{Body: w.Body}); err != nil {
			b.Fatal(err)
		}
	}
}
