package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"thymus/internal/access"
	"thymus/internal/catalog"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/ledger"
	"thymus/internal/ledger/sqlite"
	"thymus/internal/purl"
	"thymus/internal/testdata"
	"thymus/internal/version"
)

// TestQueryBatchOnRealRecords asks /osv/v1/querybatch for versions that real
// records enumerate: each must be answered with its record, and with none that
// was withdrawn.
func TestQueryBatchOnRealRecords(t *testing.T) {
	shared := testdata.Shared(t)
	dir := t.TempDir()
	e, err := engine.Open(t.Context(), engine.Options{
		Open: func(ctx context.Context, onChange func(estate.Change)) (ledger.Ledger, error) {
			return sqlite.Open(ctx, dir, sqlite.Options{OnChange: onChange, Fold: func(eco, name string) string {
				return purl.FoldName(version.ParseEcosystem(eco), name)
			}})
		},
		Readers: catalog.Readers(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	type query struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Version string `json:"version"`
	}
	type asked struct {
		id   string
		want bool
	}
	var queries []query
	var expected []asked
	for _, eco := range []string{"Maven", "NuGet", "Packagist"} {
		z, err := zip.OpenReader(filepath.Join(shared, "osv", eco, "all.zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		var raws [][]byte
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			raws = append(raws, raw)
			var rec struct {
				ID        string `json:"id"`
				Withdrawn string `json:"withdrawn"`
				Affected  []struct {
					Package struct {
						Ecosystem string `json:"ecosystem"`
						Name      string `json:"name"`
					} `json:"package"`
					Versions []string `json:"versions"`
				} `json:"affected"`
			}
			if err := json.Unmarshal(raw, &rec); err != nil {
				t.Fatal(err)
			}
			for _, a := range rec.Affected {
				if len(a.Versions) == 0 {
					continue
				}
				// The first, the middle and the last one.
				for _, i := range []int{0, len(a.Versions) / 2, len(a.Versions) - 1} {
					q := query{Version: a.Versions[i]}
					q.Package = a.Package
					queries = append(queries, q)
					expected = append(expected, asked{rec.ID, rec.Withdrawn == ""})
				}
			}
		}
		report, err := e.IngestRecords(t.Context(), "test", func(yield func([]byte, error) bool) {
			for _, raw := range raws {
				if !yield(raw, nil) {
					return
				}
			}
		})
		if err != nil || report.Refused > 0 {
			t.Fatalf("%s: %+v, %v", eco, report, err)
		}
	}
	s := New(e, Options{Tokens: access.NewTokens(e.Ledger(), e.Now), Now: e.Now})
	wrong := 0
	for from := 0; from < len(queries); from += 500 {
		to := min(from+500, len(queries))
		body, err := json.Marshal(map[string]any{"queries": queries[from:to]})
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest("POST", "/osv/v1/querybatch", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Socket().ServeHTTP(w, req)
		var answer struct {
			Results []struct {
				Vulns []struct {
					ID string `json:"id"`
				} `json:"vulns"`
			} `json:"results"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || len(answer.Results) != to-from {
			t.Fatalf("status %d, %d results, %v: %.200s", w.Code, len(answer.Results), err, w.Body)
		}
		for i, r := range answer.Results {
			found := false
			for _, v := range r.Vulns {
				found = found || v.ID == expected[from+i].id
			}
			if found != expected[from+i].want {
				if wrong++; wrong <= 10 {
					t.Errorf("%+v: %s found %v", queries[from+i], expected[from+i].id, found)
				}
			}
		}
	}
	t.Logf("%d questions, %d wrong", len(queries), wrong)
}
