package cyclonedx

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	lib "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"thymus/internal/estate"
	"thymus/internal/read"
	"thymus/internal/read/readtest"
	"thymus/internal/testdata"
)

func TestGolden(t *testing.T) { readtest.Golden(t, Reader{}, "testdata/golden.txt") }

// The library reads the same components, in the same order.
func TestAgreesWithTheLibrary(t *testing.T) {
	root := filepath.Join(testdata.Shared(t), "sboms")
	n := 0
	for _, pattern := range []string{"dependency-track/*.*", "cyclonedx-bom-examples/SBOM/*/*.json", "cyclonedx-bom-examples/SBOM/*/*.xml", "cyclonedx-bom-examples/SBOM/*/*/*", "osv-scanner/*.cdx.*", "trivy/*cyclonedx.json", "trustify/*cyclonedx.json"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body = bytes.TrimPrefix(body, bom)
			format := lib.BOMFileFormatJSON
			if filepath.Ext(file) == ".xml" {
				format = lib.BOMFileFormatXML
			}
			var want lib.BOM
			if err := lib.NewBOMDecoder(bytes.NewReader(body), format).Decode(&want); err != nil {
				t.Logf("%s: the library refuses it: %v", filepath.Base(file), err)
				continue
			}
			facts, err := readtest.Facts(t.Context(), Reader{}, read.Input{Body: body})
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var ours []string
			for _, c := range facts[0].(*estate.Bill).Packages {
				ours = append(ours, c.Group+"|"+c.Name+"|"+c.Version+"|"+c.Purl)
			}
			var theirs []string
			var walk func(cs *[]lib.Component)
			walk = func(cs *[]lib.Component) {
				if cs == nil {
					return
				}
				for _, c := range *cs {
					theirs = append(theirs, c.Group+"|"+c.Name+"|"+c.Version+"|"+c.PackageURL)
					walk(c.Components)
				}
			}
			if want.Metadata != nil && want.Metadata.Component != nil {
				walk(want.Metadata.Component.Components)
			}
			walk(want.Components)
			slices.Sort(ours)
			slices.Sort(theirs)
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("%s (-library +ours):\n%s", file, diff)
			}
			n++
		}
	}
	t.Logf("%d documents", n)
}

func BenchmarkRead(b *testing.B) {
	root := filepath.Join(testdata.Shared(b), "sboms", "cyclonedx-bom-examples", "SBOM")
	for _, file := range []string{"keycloak-10.0.2/bom.json", "juice-shop/v11.1.2/bom.json", "laravel-7.12.0/bom.1.4.xml"} {
		body, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("ours/"+filepath.Base(filepath.Dir(file))+filepath.Ext(file), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readtest.Facts(b.Context(), Reader{}, read.Input{Body: body}); err != nil {
					b.Fatal(err)
				}
			}
		})
		format := lib.BOMFileFormatJSON
		if filepath.Ext(file) == ".xml" {
			format = lib.BOMFileFormatXML
		}
		b.Run("library/"+filepath.Base(filepath.Dir(file))+filepath.Ext(file), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var bom lib.BOM
				if err := lib.NewBOMDecoder(bytes.NewReader(body), format).Decode(&bom); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Twelve services of 32 versions, with what reading all of them adds up to.
func TestOnlineBoutique(t *testing.T) {
	file, err := os.Open(filepath.Join(testdata.Shared(t), "sboms", "online-boutique.tar.xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := xz.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var documents, packages, purls, edges int
	for archive := tar.NewReader(unpacked); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !(Reader{}).Detect(readtest.Head(body), nil) {
			continue
		}
		facts, err := readtest.Facts(t.Context(), Reader{}, read.Input{Body: body})
		if err != nil {
			t.Errorf("%s: %v", header.Name, err)
			continue
		}
		b := facts[0].(*estate.Bill)
		if b.Subject.Name == "" || b.Subject.Version == "" {
			t.Errorf("%s: subject %v", header.Name, b.Subject)
		}
		documents++
		packages += len(b.Packages)
		for _, c := range b.Packages {
			if c.Purl != "" {
				purls++
			}
		}
		for _, on := range b.Depends {
			edges += len(on)
		}
	}
	got := fmt.Sprintf("%d documents, %d packages, %d with purl, %d edges", documents, packages, purls, edges)
	if want := "360 documents, 24786 packages, 24490 with purl, 31132 edges"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}
