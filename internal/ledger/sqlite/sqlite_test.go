package sqlite

import (
	"context"
	"testing"

	"thymus/internal/ledger"
	"thymus/internal/ledger/ledgertest"
)

func openTest(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), dir, Options{Fold: ledgertest.Fold})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

func TestConformance(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T, dir string) ledger.Ledger { return openTest(t, dir) })
}
