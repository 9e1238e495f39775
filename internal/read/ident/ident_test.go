package ident_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/read/ident"
)

var hex64 = strings.Repeat("0123456789abcdef", 4)

func TestCheckID(t *testing.T) {
	for _, id := range []string{"CVE-2021-44228", "GHSA-jfh8-c2jp-5v3q", "RUBYSEC-rack-2024_1.x", "RHSA-2021:5138", "ALPINE-13661", "MAL-2024-1", "ÉTÉ-1", strings.Repeat("a", 128)} {
		if err := ident.CheckID(id); err != nil {
			t.Errorf("CheckID(%q): %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "../x", `a\b`, "a b", "a\nb", "a\u202eb", "a\x00", "\xff", strings.Repeat("a", 129)} {
		if ident.CheckID(id) == nil {
			t.Errorf("CheckID(%q) passed", id)
		}
	}
}

func TestIsCVEAndPick(t *testing.T) {
	for id, want := range map[string]bool{
		"CVE-2021-44228": true, "CVE-2024-1": true, "cve-2021-44228": false, "CVE-2021-": false,
		"CVE-20211-4228": false, "CVE-2021-44x28": false, "GHSA-x": false, "": false,
	} {
		if got := ident.IsCVE(id); got != want {
			t.Errorf("IsCVE(%q) = %v", id, got)
		}
	}
	if got := ident.Pick("VENDOR-1", "GHSA-x", "CVE-2021-44228"); got != "CVE-2021-44228" {
		t.Errorf("Pick prefers %q to the CVE", got)
	}
	if got := ident.Pick("", "a/b", "GHSA-x"); got != "GHSA-x" {
		t.Errorf("Pick = %q; want the first usable id", got)
	}
	if got := ident.Pick("", "a/b"); got != "" {
		t.Errorf("Pick = %q; want none", got)
	}
}

func TestParsePurl(t *testing.T) {
	for in, want := range map[string]ident.Purl{
		"pkg:oci/cart@sha256%3A" + hex64: {Image: true, Versioned: true,
			Subject: estate.Subject{Name: "cart", Digest: "sha256:" + hex64, Derived: true}},
		"pkg:oci/cart@sha256:" + hex64 + "?repository_url=ghcr.io/shop&tag=1.4.2": {Image: true, Versioned: true,
			Subject: estate.Subject{Name: "cart", Version: "1.4.2", Digest: "sha256:" + hex64, Derived: true}},
		"pkg:docker/shop/cart@1.4.2": {Image: true, Versioned: true,
			Subject: estate.Subject{Name: "cart", Version: "1.4.2", Derived: true}},
		"pkg:golang/example.com/shop/cart@v1.0.0": {Versioned: true,
			Subject: estate.Subject{Name: "cart", Version: "v1.0.0", Derived: true}},
		"pkg:generic/cart@2?checksum=sha1:ad,sha256:" + hex64: {Versioned: true,
			Subject: estate.Subject{Name: "cart", Version: "2", Digest: "sha256:" + hex64, Derived: true}},
		"pkg:npm/%40scope/cart": {Subject: estate.Subject{Name: "cart", Derived: true}},
	} {
		got, err := ident.ParsePurl(in)
		if err != nil {
			t.Errorf("ParsePurl(%q): %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParsePurl(%q) (-want +got):\n%s", in, diff)
		}
	}
	for _, in := range []string{"", "cart", "pkg:", "pkg:npm", "pkg:npm/", "pkg:oci/cart@sha256:beef", "pkg:generic/a?checksum=sha256:zz", "pkg:npm/a%00b", "pkg:npm/%zz"} {
		if got, err := ident.ParsePurl(in); err == nil {
			t.Errorf("ParsePurl(%q) = %+v; want an error", in, got)
		}
	}
}

func TestImage(t *testing.T) {
	for in, want := range map[string]estate.Subject{
		"cart":                                  {Name: "cart", Derived: true},
		"registry.example:5000/shop/cart:1.4.2": {Name: "cart", Version: "1.4.2", Derived: true},
		"registry.example/shop/cart:1@sha256:" + hex64:    {Name: "cart", Version: "1", Digest: "sha256:" + hex64, Derived: true},
		"registry.example:5000/shop/cart@sha256:" + hex64: {Name: "cart", Digest: "sha256:" + hex64, Derived: true},
		"six-1.14.0-py2.py3-none-any.whl":                 {Name: "six-1.14.0-py2.py3-none-any.whl", Derived: true},
	} {
		if got, ok := ident.Image(in); !ok || got != want {
			t.Errorf("Image(%q) = %+v, %v; want %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "a/", "cart@latest", "a b", "a\x00", ":1"} {
		if got, ok := ident.Image(in); ok {
			t.Errorf("Image(%q) = %+v; want none", in, got)
		}
	}
}

func TestDigestIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if d := ident.Digest(s); d != "" && ident.Digest(d) != d {
			t.Errorf("Digest(%q) = %q, which is read as %q", s, d, ident.Digest(d))
		}
	})
	if ident.Digest(strings.ToUpper(hex64)) != "sha256:"+hex64 || ident.Digest("sha512:"+hex64) != "" {
		t.Error("bare digits are read, other algorithms are not")
	}
}
