// Command vulndb lays out an OSV export of the Go ecosystem as a vulnerability
// database that govulncheck reads from a folder (https://go.dev/security/vuln/database#api,
// version 1), for places without a network.
//
//	vulndb all.zip DIR
//
// It prints the modification time of the newest record, so that a check can say
// how old its knowledge is.
package main

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// maxRecord bounds one record, in bytes; real ones are under 200 kB.
const maxRecord = 16 << 20

// record is what the indexes need of an OSV record.
type record struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases,omitempty"`
	Affected []struct {
		Package struct{ Name, Ecosystem string }
	} `json:"affected"`
}

// The rows of index/modules.json and index/vulns.json.
type (
	moduleRow struct {
		Path  string      `json:"path"`
		Vulns []moduleRef `json:"vulns"`
	}
	moduleRef struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
	}
	vulnRow struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Aliases  []string  `json:"aliases,omitempty"`
	}
)

// recordID is what a Go record is called; nothing else becomes a file name.
var recordID = regexp.MustCompile(`^GO-\d{4}-\d+$`)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vulndb all.zip DIR")
		os.Exit(2)
	}
	newest, err := build(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
	fmt.Println(newest.UTC().Format(time.RFC3339))
}

func build(export, dir string) (newest time.Time, err error) {
	z, err := zip.OpenReader(export)
	if err != nil {
		return newest, fmt.Errorf("export %s: %w", export, err)
	}
	defer z.Close()
	for _, sub := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return newest, err
		}
	}
	modules := map[string][]moduleRef{}
	var vulns []vulnRow
	for _, f := range z.File {
		r, raw, err := read(f)
		if err != nil {
			return newest, fmt.Errorf("record %s: %w", f.Name, err)
		}
		if !recordID.MatchString(r.ID) {
			continue // MAL- and GHSA- records have no place in this layout
		}
		if err := os.WriteFile(filepath.Join(dir, "ID", r.ID+".json"), raw, 0o644); err != nil {
			return newest, err
		}
		if r.Modified.After(newest) {
			newest = r.Modified
		}
		vulns = append(vulns, vulnRow{r.ID, r.Modified, r.Aliases})
		seen := map[string]bool{}
		for _, a := range r.Affected {
			if name := a.Package.Name; !seen[name] {
				seen[name] = true
				modules[name] = append(modules[name], moduleRef{r.ID, r.Modified})
			}
		}
	}
	if len(vulns) == 0 {
		return newest, fmt.Errorf("export %s holds no GO- record", export)
	}
	slices.SortFunc(vulns, func(a, b vulnRow) int { return cmp.Compare(a.ID, b.ID) })
	var rows []moduleRow
	for path, refs := range modules {
		slices.SortFunc(refs, func(a, b moduleRef) int { return cmp.Compare(a.ID, b.ID) })
		rows = append(rows, moduleRow{path, refs})
	}
	slices.SortFunc(rows, func(a, b moduleRow) int { return cmp.Compare(a.Path, b.Path) })
	for name, v := range map[string]any{"db": map[string]time.Time{"modified": newest}, "modules": rows, "vulns": vulns} {
		raw, err := json.Marshal(v)
		if err != nil {
			return newest, fmt.Errorf("index %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "index", name+".json"), raw, 0o644); err != nil {
			return newest, err
		}
	}
	return newest, nil
}

func read(f *zip.File) (r record, raw []byte, err error) {
	body, err := f.Open()
	if err != nil {
		return r, nil, err
	}
	defer body.Close()
	if raw, err = io.ReadAll(io.LimitReader(body, maxRecord+1)); err != nil {
		return r, nil, err
	}
	if len(raw) > maxRecord {
		return r, nil, fmt.Errorf("over %d bytes", maxRecord)
	}
	return r, raw, json.Unmarshal(raw, &r)
}
