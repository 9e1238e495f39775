package answer

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/graph"
)

// explain fetches paths and lines for the page.
func (a *Asker) explain(ctx context.Context, out *Affected, pages []pending) error {
	lines := map[string]*lineFinder{}
	keys := a.packageKeys()
	for _, pg := range pages {
		hit := &out.Releases[pg.hit]
		for i := range pg.pkgs {
			p, ph := &pg.pkgs[i], &hit.Packages[i]
			if p.bill.ID == 0 {
				continue
			}
			shape, err := a.Details.Shape(ctx, p.bill.ID)
			if err != nil {
				return fmt.Errorf("dependency graph of %s@%s: %w", hit.Service, hit.Version, err)
			}
			path, direct := pathTo(shape, p.id)
			ph.Direct = direct
			for _, id := range path {
				ph.Path = append(ph.Path, keys(id))
			}
			if direct != nil && !*direct && len(path) > 1 {
				ph.Via = ph.Path[0]
			}
			lf := lines[p.bill.Evidence]
			if lf == nil {
				doc, err := a.Details.Document(ctx, p.bill.Evidence)
				if err != nil && fault.Of(err) != fault.NotFound { // retention may have dropped the body
					return fmt.Errorf("SBOM of %s@%s: %w", hit.Service, hit.Version, err)
				}
				lf = &lineFinder{doc: doc}
				lines[p.bill.Evidence] = lf
			}
			line := lf.find(p.key, ph.Name, ph.Version)
			for k := range ph.Why {
				ph.Why[k].Line = line
			}
		}
	}
	for i := range out.Fixes {
		f := &out.Fixes[i]
		for _, hit := range out.Releases {
			for _, ph := range hit.Packages {
				if ph.Fix != f.To || !strings.HasPrefix(ph.Purl, f.Purl+"@") || ph.Direct == nil {
					continue
				}
				if *ph.Direct {
					f.Direct++
				} else {
					f.Indirect++
				}
			}
		}
	}
	for i := range out.Advisories {
		ad := &out.Advisories[i]
		for _, id := range append([]string{ad.ID}, ad.Aliases...) {
			row, err := a.Details.Record(ctx, id)
			if fault.Of(err) == fault.NotFound {
				continue
			}
			if err != nil {
				return fmt.Errorf("advisory %s: %w", id, err)
			}
			if len(row.References) > 0 {
				ad.References = row.References
				break
			}
		}
	}
	return nil
}

// packageKeys names packages for people, "name version".
func (a *Asker) packageKeys() func(estate.PackageID) string {
	return func(id estate.PackageID) (s string) {
		a.Graph.View(func(v *graph.View) {
			p := v.Pkg(id)
			s = strings.TrimSpace(p.Name + " " + p.Version)
		})
		return s
	}
}

// pathTo returns the shortest path from a direct dependency of the release to
// the package, both included, within this bill's graph alone. direct is nil
// when the SBOM states no dependencies.
func pathTo(shape *estate.Shape, target estate.PackageID) (path []estate.PackageID, direct *bool) {
	if len(shape.Depends) == 0 && len(shape.Direct) == 0 {
		return nil, nil
	}
	prev := make([]int32, len(shape.Order))
	for i := range prev {
		prev[i] = -2
	}
	var queue []int32
	roots := shape.Direct
	if len(roots) == 0 {
		// No root is stated: what nothing depends on is direct.
		has := make([]bool, len(shape.Order))
		for _, ds := range shape.Depends {
			for _, d := range ds {
				has[d] = true
			}
		}
		for i := range has {
			if !has[i] {
				roots = append(roots, int32(i))
			}
		}
	}
	for _, r := range roots {
		if prev[r] == -2 {
			prev[r] = -1
			queue = append(queue, r)
		}
	}
	for i := 0; i < len(queue); i++ {
		n := queue[i]
		if shape.Order[n] == target {
			for at := n; at >= 0; at = prev[at] {
				path = append([]estate.PackageID{shape.Order[at]}, path...)
			}
			is := len(path) == 1
			return path, &is
		}
		if int(n) < len(shape.Depends) {
			for _, d := range shape.Depends[n] {
				if prev[d] == -2 {
					prev[d] = n
					queue = append(queue, d)
				}
			}
		}
	}
	return nil, nil
}

// lineFinder finds the line of a document that names a package.
type lineFinder struct{ doc []byte }

// find returns the first line that holds the purl, else name and version; 0 when none does.
func (l *lineFinder) find(key, name, ver string) int {
	base, _, _ := strings.Cut(key, "?")
	short := name
	if i := strings.LastIndexAny(name, ":/"); i >= 0 {
		short = name[i+1:]
	}
	for _, want := range []string{base, short + "@" + ver, short + "/" + ver, `"` + short + `"`, short} {
		if i := bytes.Index(l.doc, []byte(want)); i >= 0 && want != "" {
			return bytes.Count(l.doc[:i], []byte("\n")) + 1
		}
	}
	return 0
}
