package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"thymus/internal/answer"
	"thymus/internal/engine"
	"thymus/internal/estate"
	"thymus/internal/read"
	"thymus/internal/read/cyclonedx"
	"thymus/internal/read/spdx"
	"thymus/internal/testdata"
)

// boutiqueVersion is one version of Online Boutique with its documents.
type boutiqueVersion struct {
	name     string
	at       time.Time
	services []string          // in order
	sboms    map[string][]byte // by service
}

// boutiqueVersions reads the SBOMs, oldest version first.
func boutiqueVersions(t *testing.T) []boutiqueVersion {
	t.Helper()
	f, err := os.Open(filepath.Join(testdata.Shared(t), "sboms", "online-boutique.tar.xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	sboms := map[string]map[string][]byte{}
	var dates map[string]struct{ Date time.Time }
	for tr := tar.NewReader(x); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, file := path.Split(h.Name)
		service, isBill := strings.CutSuffix(file, ".cdx.json")
		if file != "versions.json" && !isBill {
			continue
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if !isBill {
			if err := json.Unmarshal(body, &dates); err != nil {
				t.Fatal(err)
			}
			continue
		}
		name := path.Base(dir)
		if sboms[name] == nil {
			sboms[name] = map[string][]byte{}
		}
		sboms[name][service] = body
	}
	var out []boutiqueVersion
	for name, d := range dates {
		v := boutiqueVersion{name: name, at: d.Date, sboms: sboms[name]}
		for s := range v.sboms {
			v.services = append(v.services, s)
		}
		sort.Strings(v.services)
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].at.Before(out[j].at) })
	if len(out) != 32 {
		t.Fatalf("%d versions, want 32", len(out))
	}
	if testing.Short() {
		// The last ones: a service appears among them.
		out = out[len(out)-10 : len(out)-4]
	}
	return out
}

// The reference: packages as the documents state them, base to versions to
// services. A base is the purl without version, or type and name where there is
// no purl. It knows nothing of Thymus, and of the purl rules only PEP 503.
type refPackages map[string]map[string]map[string]bool

var pep503Runs = regexp.MustCompile(`[-_.]+`)

func refComponents(t *testing.T, body []byte) [][2]string {
	t.Helper()
	var doc struct {
		Components []struct{ Type, Name, Version, Purl string }
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	var out [][2]string
	for _, c := range doc.Components {
		if c.Purl == "" {
			out = append(out, [2]string{"?" + c.Type + ":" + c.Name, c.Version})
			continue
		}
		base, version := c.Purl, ""
		if i := strings.LastIndex(base, "@"); i > strings.LastIndex(base, "/") {
			base, version = base[:i], base[i+1:]
		}
		if rest, ok := strings.CutPrefix(base, "pkg:pypi/"); ok {
			base = "pkg:pypi/" + strings.ToLower(pep503Runs.ReplaceAllString(rest, "-"))
		}
		out = append(out, [2]string{base, strings.ReplaceAll(version, "%2B", "+")})
	}
	return out
}

func refOf(t *testing.T, v boutiqueVersion) refPackages {
	out := refPackages{}
	for _, s := range v.services {
		for _, c := range refComponents(t, v.sboms[s]) {
			if out[c[0]] == nil {
				out[c[0]] = map[string]map[string]bool{}
			}
			if out[c[0]][c[1]] == nil {
				out[c[0]][c[1]] = map[string]bool{}
			}
			out[c[0]][c[1]][s] = true
		}
	}
	return out
}

func (r refPackages) count() (n int) {
	for _, vs := range r {
		n += len(vs)
	}
	return n
}

// plainChange is a package change without what only people need.
type plainChange struct{ From, To, Services []string }

type plainDiff struct {
	Releases map[string][2]string
	Packages map[string]plainChange
	Same     int
}

func keys[V any](m map[string]V) []string {
	out := []string{}
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func refDiff(from, to boutiqueVersion, before, after refPackages) plainDiff {
	d := plainDiff{Releases: map[string][2]string{}, Packages: map[string]plainChange{}}
	for _, s := range from.services {
		d.Releases[s] = [2]string{from.name, ""}
	}
	for _, s := range to.services {
		d.Releases[s] = [2]string{d.Releases[s][0], to.name}
	}
	bases := map[string]bool{}
	for b := range before {
		bases[b] = true
	}
	for b := range after {
		bases[b] = true
	}
	for b := range bases {
		if slices.Equal(keys(before[b]), keys(after[b])) {
			continue
		}
		services := map[string]bool{}
		for v, in := range before[b] {
			if after[b][v] == nil {
				for s := range in {
					services[s] = true
				}
			}
		}
		for v, in := range after[b] {
			if before[b][v] == nil {
				for s := range in {
					services[s] = true
				}
			}
		}
		d.Packages[b] = plainChange{keys(before[b]), keys(after[b]), keys(services)}
	}
	return d
}

func plain(d *answer.AppDiff) plainDiff {
	out := plainDiff{Releases: map[string][2]string{}, Packages: map[string]plainChange{}, Same: d.Unchanged}
	sorted := func(list []string) []string { out := append([]string{}, list...); sort.Strings(out); return out }
	for _, r := range d.Releases {
		out.Releases[r.Service] = [2]string{r.From, r.To}
	}
	for _, p := range d.Packages {
		out.Packages[p.Package] = plainChange{sorted(p.From), sorted(p.To), sorted(p.Services)}
	}
	return out
}

var boutiqueClock = func() estate.Time { return estate.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)) }

// boutiqueDoc is one document to ingest.
type boutiqueDoc struct {
	body     []byte
	claim    estate.Claim
	packages int // of an SBOM
}

func boutiqueEstate(vs []boutiqueVersion) []byte {
	services := map[string]bool{}
	for _, v := range vs {
		for _, s := range v.services {
			services[s] = true
		}
	}
	return fmt.Appendf(nil, "thymus: estate/v1\napplications:\n  - name: online-boutique\n    services: [%s]\n", strings.Join(keys(services), ", "))
}

func boutiqueDocs(t *testing.T, v boutiqueVersion) (bills []boutiqueDoc, dump boutiqueDoc) {
	t.Helper()
	type item struct {
		Service string `json:"service"`
		Version string `json:"version"`
	}
	var items []item
	for _, s := range v.services {
		bills = append(bills, boutiqueDoc{v.sboms[s], estate.Claim{
			Source: "ci", At: estate.At(v.at), Subject: estate.Subject{Name: s, Version: v.name},
		}, len(refComponents(t, v.sboms[s]))})
		items = append(items, item{s, v.name})
	}
	body, err := json.Marshal(map[string]any{"thymus": "deployment/v1", "environment": "production",
		"at": v.at.Format(time.RFC3339), "complete": true, "deployments": items})
	if err != nil {
		t.Fatal(err)
	}
	return bills, boutiqueDoc{body: body, claim: estate.Claim{Source: "cd"}}
}

func (d boutiqueDoc) ingest(t *testing.T, e *engine.Engine) {
	t.Helper()
	r, err := e.Ingest(context.Background(), d.body, d.claim)
	if err != nil {
		t.Fatalf("%+v: %v", d.claim, err)
	}
	if r.Packages != d.packages {
		t.Errorf("%s: %d packages were read, want %d", r.Release, r.Packages, d.packages)
	}
}

func settle(t *testing.T, e *engine.Engine) {
	t.Helper()
	if next, err := e.Settle(context.Background(), false); err != nil || next != 0 {
		t.Fatalf("settle: next at %s, %v", next, err)
	}
}

// TestBoutique follows one real application through its history: each version
// is minted, and every difference between two of them is what an independent
// reading of the documents gives; in order, and in any order.
func TestBoutique(t *testing.T) {
	vs := boutiqueVersions(t)
	refs := make([]refPackages, len(vs))
	for i, v := range vs {
		refs[i] = refOf(t, v)
	}
	documents := 0
	t.Run("in order", func(t *testing.T) {
		e := open(t, t.TempDir(), boutiqueClock)
		boutiqueDoc{body: boutiqueEstate(vs), claim: estate.Claim{Source: "git"}}.ingest(t, e)
		for _, v := range vs {
			bills, dump := boutiqueDocs(t, v)
			for _, b := range bills {
				b.ingest(t, e)
				documents++
			}
			dump.ingest(t, e)
			settle(t, e)
		}
		numbers := boutiqueMinted(t, e, vs, refs)
		if want := seq(len(vs)); !slices.Equal(numbers, want) {
			t.Errorf("numbers by date are %v, want %v", numbers, want)
		}
		boutiqueReleases(t, e, vs)
		boutiqueDiffs(t, e, vs, refs, numbers)
		for _, i := range []int{0, len(vs) / 2, len(vs) - 1} {
			boutiqueExport(t, e, vs[i], refs[i], numbers[i])
		}
		t.Logf("%d versions, %d SBOMs, %d distinct packages in all versions together, %d pairs compared", len(vs), documents,
			len(dumpOf(t, e).Packages), len(vs)*(len(vs)-1))
	})
	t.Run("shuffled", func(t *testing.T) {
		const seed = 7
		rnd := rand.New(rand.NewPCG(seed, seed))
		docs := []boutiqueDoc{{body: boutiqueEstate(vs), claim: estate.Claim{Source: "git"}}}
		for _, v := range vs {
			bills, dump := boutiqueDocs(t, v)
			docs = append(append(docs, bills...), dump)
		}
		rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		e := open(t, t.TempDir(), boutiqueClock)
		for _, d := range docs {
			d.ingest(t, e)
			if rnd.IntN(20) == 0 {
				settle(t, e)
			}
		}
		settle(t, e)
		numbers := boutiqueMinted(t, e, vs, refs)
		boutiqueReleases(t, e, vs)
		boutiqueDiffs(t, e, vs, refs, numbers)
	})
}

func seq(n int) (out []int) {
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// boutiqueMinted checks the minted versions against the documents and returns
// their numbers by date.
func boutiqueMinted(t *testing.T, e *engine.Engine, vs []boutiqueVersion, refs []refPackages) []int {
	t.Helper()
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := a.Apps(context.Background(), answer.Scope{}, answer.When{})
	if err != nil || len(apps) != 1 || apps[0].Name != "online-boutique" {
		t.Fatalf("applications are %+v, %v", apps, err)
	}
	got, err := a.AppVersions(context.Background(), answer.Scope{}, answer.When{}, "online-boutique", answer.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != len(vs) || got.Next != "" || got.Pending != 0 {
		t.Fatalf("%d application versions, want %d", len(got.Items), len(vs))
	}
	items := slices.Clone(got.Items)
	sort.Slice(items, func(i, j int) bool { return items[i].At < items[j].At })
	numbers := make([]int, len(vs))
	for i, v := range vs {
		numbers[i] = items[i].Number
		if items[i].At != estate.At(v.at) {
			t.Errorf("%s: minted at %s, want %s", v.name, items[i].At, estate.At(v.at))
		}
		var members []estate.Member
		for _, s := range v.services {
			members = append(members, estate.Member{Service: s, Release: v.name})
		}
		if diff := cmp.Diff(members, items[i].Members); diff != "" {
			t.Errorf("%s: members (-want +got):\n%s", v.name, diff)
		}
		want := []answer.Ran{{Environment: "production", From: estate.At(v.at)}}
		if i+1 < len(vs) {
			want[0].Until = estate.At(vs[i+1].at)
		}
		if diff := cmp.Diff(want, items[i].Ran); diff != "" {
			t.Errorf("%s: ran (-want +got):\n%s", v.name, diff)
		}
		if items[i].Packages != refs[i].count() {
			t.Errorf("%s: %d packages, want %d", v.name, items[i].Packages, refs[i].count())
		}
	}
	return numbers
}

// boutiqueReleases checks every release alone: successive ones often have
// identical lockfiles, and none may lose its packages to another.
func boutiqueReleases(t *testing.T, e *engine.Engine, vs []boutiqueVersion) {
	t.Helper()
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vs {
		for _, s := range v.services {
			distinct := map[[2]string]bool{}
			for _, c := range refComponents(t, v.sboms[s]) {
				distinct[c] = true
			}
			r, err := a.Release(context.Background(), answer.Scope{}, answer.When{}, s+"@"+v.name)
			if err != nil {
				t.Errorf("%s@%s: %v", s, v.name, err)
				continue
			}
			if r.Packages != len(distinct) || len(r.SBOMs) != 1 || len(r.Runs) != 1 {
				t.Errorf("%s@%s: %d packages, %d SBOMs, %d runs; want %d, 1, 1", s, v.name, r.Packages, len(r.SBOMs), len(r.Runs), len(distinct))
			}
		}
	}
}

func boutiqueDiffs(t *testing.T, e *engine.Engine, vs []boutiqueVersion, refs []refPackages, numbers []int) {
	t.Helper()
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for i := range vs {
		for j := range vs {
			if i == j {
				continue
			}
			got, err := a.AppDiff(context.Background(), answer.Scope{}, answer.When{}, "online-boutique", numbers[i], numbers[j])
			if err != nil {
				t.Fatalf("%s to %s: %v", vs[i].name, vs[j].name, err)
			}
			want := refDiff(vs[i], vs[j], refs[i], refs[j])
			if diff := cmp.Diff(want, plain(got)); diff != "" {
				t.Fatalf("%s to %s (-want +got):\n%s", vs[i].name, vs[j].name, diff)
			}
			changes += len(want.Packages)
		}
	}
	t.Logf("%d package changes agree", changes)
}

// boutiqueExport reads an exported application version back.
func boutiqueExport(t *testing.T, e *engine.Engine, v boutiqueVersion, ref refPackages, number int) {
	t.Helper()
	a, err := e.Asker(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for base, vs := range ref {
		_, name, _ := strings.Cut(base, ":")
		for ver := range vs {
			if base[0] == '?' {
				want[name+"@"+ver] = true
			} else {
				want[base+"@"+ver] = true
			}
		}
	}
	for format, r := range map[string]read.Reader{"cyclonedx": cyclonedx.Reader{}, "spdx": spdx.Reader{}} {
		var out bytes.Buffer
		if err := a.AppExport(context.Background(), answer.Scope{}, answer.When{}, "online-boutique", number, format, &out); err != nil {
			t.Fatalf("%s as %s: %v", v.name, format, err)
		}
		if !r.Detect(out.Bytes()[:min(out.Len(), read.HeadSize)], nil) {
			t.Fatalf("%s as %s: our own reader does not know it", v.name, format)
		}
		got, releases := map[string]bool{}, []string{}
		for f, err := range r.Read(context.Background(), read.Input{Body: out.Bytes()}) {
			if err != nil {
				t.Fatalf("%s as %s: %v", v.name, format, err)
			}
			b, ok := f.(*estate.Bill)
			if !ok {
				continue
			}
			if b.Subject.Name != "online-boutique" || b.Subject.Version != fmt.Sprint(number) {
				t.Errorf("%s as %s: it is about %s", v.name, format, b.Subject)
			}
			for _, c := range b.Packages {
				switch {
				case strings.HasPrefix(c.Ref, "release:"), strings.HasPrefix(c.Ref, "SPDXRef-release-"):
					releases = append(releases, c.Name+"@"+c.Version)
				case c.Purl == "":
					got[c.Name+"@"+c.Version] = true
				default:
					got[strings.ReplaceAll(c.Purl, "%2B", "+")] = true
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s as %s: packages (-want +got):\n%s", v.name, format, diff)
		}
		sort.Strings(releases)
		var members []string
		for _, s := range v.services {
			members = append(members, s+"@"+v.name)
		}
		if diff := cmp.Diff(members, releases); diff != "" {
			t.Errorf("%s as %s: releases (-want +got):\n%s", v.name, format, diff)
		}
	}
}
