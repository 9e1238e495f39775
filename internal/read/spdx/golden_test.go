package spdx

import (
	"testing"

	"thymus/internal/read/readtest"
)

func TestGolden(t *testing.T) { readtest.Golden(t, Reader{}, "testdata/golden.txt") }
