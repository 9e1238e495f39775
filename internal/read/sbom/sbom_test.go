package sbom

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
)

const sum = "be65f488b7764ad3638f236b7b515b3678369a5124c47b8d32916d6487418ea4"

func TestDistro(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"debian", "12.5"}:                         "debian-12",
		{"Debian GNU/Linux", "12 (bookworm)"}:      "debian-12",
		{"alpine", "3.18.4"}:                       "alpine-3.18",
		{"Alpine Linux", "v3.18"}:                  "alpine-3.18",
		{"ubuntu", "22.04.2"}:                      "ubuntu-22.04",
		{"centos", "7.6.1810"}:                     "centos-7",
		{"Red Hat Enterprise Linux", "9.3 (Plow)"}: "rhel-9",
		{"redhat", "8.8"}:                          "rhel-8",
		{"amazon", "2023"}:                         "amzn-2023",
		{"fedora", "40"}:                           "fedora-40",
		{"opensuse-leap", "15.5"}:                  "opensuse-leap-15.5",
		{"plan 9", "4"}:                            "",
		{"debian", ""}:                             "",
		{"", "12"}:                                 "",
	} {
		if got := Distro(in[0], in[1]); got != want {
			t.Errorf("Distro(%q, %q) = %q; want %q", in[0], in[1], got, want)
		}
	}
}

func TestSubject(t *testing.T) {
	for name, c := range map[string]struct {
		in    estate.Component
		image bool
		want  estate.Subject
	}{
		"image":           {estate.Component{Name: "ghcr.io/acme/cart:1.2"}, true, estate.Subject{Name: "cart", Version: "1.2", Derived: true}},
		"digest version":  {estate.Component{Name: "cart", Version: "sha256:" + sum}, true, estate.Subject{Name: "cart", Digest: "sha256:" + sum, Derived: true}},
		"digest of purl":  {estate.Component{Name: "cart", Purl: "pkg:oci/cart@sha256%3A" + sum + "?tag=3"}, true, estate.Subject{Name: "cart", Version: "3", Digest: "sha256:" + sum, Derived: true}},
		"hash":            {estate.Component{Name: "cart", Version: "1", Hashes: map[string]string{"SHA-256": sum}}, false, estate.Subject{Name: "cart", Version: "1", Digest: "sha256:" + sum, Derived: true}},
		"short hash":      {estate.Component{Name: "cart", Hashes: map[string]string{"SHA-256": "00"}}, false, estate.Subject{Name: "cart", Derived: true}},
		"Go module":       {estate.Component{Name: "github.com/acme/cart", Version: "v1"}, false, estate.Subject{Name: "cart", Version: "v1", Derived: true}},
		"our namespace":   {estate.Component{Group: "shop", Name: "cart"}, false, estate.Subject{Namespace: "shop", Name: "cart", Derived: true}},
		"Maven group":     {estate.Component{Group: "com.acme", Name: "cart"}, false, estate.Subject{Name: "cart", Derived: true}},
		"npm scope":       {estate.Component{Group: "@acme", Name: "cart"}, false, estate.Subject{Name: "cart", Derived: true}},
		"working folder":  {estate.Component{Name: "."}, false, estate.Subject{}},
		"nothing":         {estate.Component{}, true, estate.Subject{}},
		"control letters": {estate.Component{Name: "a\x1b[1m", Version: "1\n"}, false, estate.Subject{}},
	} {
		if diff := cmp.Diff(c.want, Subject(c.in, c.image)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestClaimed(t *testing.T) {
	doc := estate.Subject{Namespace: "n", Name: "x", Version: "1", Digest: "sha256:a", Derived: true}
	if got, want := Claimed(doc, estate.Subject{Name: "cart"}), (estate.Subject{Name: "cart", Version: "1", Digest: "sha256:a"}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	if got := Claimed(doc, estate.Subject{}); got != doc {
		t.Errorf("%+v; want %+v", got, doc)
	}
}

func TestProperties(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]string
		want estate.Component
	}{
		"syft, dpkg":   {map[string]string{"syft:metadata:source": "openssl", "syft:metadata:sourceVersion": "3.0"}, estate.Component{Source: "openssl", SourceVersion: "3.0"}},
		"syft, apk":    {map[string]string{"syft:metadata:originPackage": "zlib", "syft:location:0:path": "/lib/apk/db/installed"}, estate.Component{Source: "zlib", Found: "/lib/apk/db/installed"}},
		"syft, rpm":    {map[string]string{"syft:metadata:sourceRpm": "bash-completion-4.2.46-31.el7.src.rpm"}, estate.Component{Source: "bash-completion", SourceVersion: "4.2.46-31.el7"}},
		"an odd rpm":   {map[string]string{"syft:metadata:sourceRpm": "bash.src.rpm"}, estate.Component{}},
		"trivy, epoch": {map[string]string{"aquasecurity:trivy:SrcName": "a", "aquasecurity:trivy:SrcVersion": "1", "aquasecurity:trivy:SrcRelease": "2", "aquasecurity:trivy:SrcEpoch": "0"}, estate.Component{Source: "a", SourceVersion: "1-2"}},
		"development":  {map[string]string{"cdx:npm:package:development": "true"}, estate.Component{Scope: "dev"}},
	} {
		var p Property
		for k, v := range c.set {
			p.Set(k, v)
		}
		var got estate.Component
		p.Apply(&got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestHashName(t *testing.T) {
	for in, want := range map[string]string{"SHA256": "SHA-256", "SHA-256": "SHA-256", "sha1": "SHA-1", "SHA3-256": "SHA3-256", "sha3_512": "SHA3-512", "MD5": "MD5", "BLAKE2b-256": "BLAKE2B-256", "": ""} {
		if got := HashName(in); got != want {
			t.Errorf("HashName(%q) = %q; want %q", in, got, want)
		}
	}
}

// Whatever is added, in whatever order, the graph stays within the packages,
// and keeps exactly the edges both of whose ends exist.
func TestBuilderKeepsExactlyTheResolvableEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"root", "a", "b", "c", "d", "nowhere"}
		pick := rapid.SampledFrom(names)
		var b Builder
		b.Subject("root")
		present := rapid.SliceOfDistinct(rapid.SampledFrom(names[1:5]), rapid.ID[string]).Draw(t, "present")
		type pair [2]string
		edges := rapid.SliceOf(rapid.Custom(func(t *rapid.T) pair { return pair{pick.Draw(t, "from"), pick.Draw(t, "to")} })).Draw(t, "edges")
		for _, e := range edges {
			b.Depend(e[0], e[1])
		}
		for _, name := range present {
			i, err := b.Reserve()
			if err != nil {
				t.Fatal(err)
			}
			b.Set(i, estate.Component{Ref: name, Parent: -1})
		}
		bill := b.Finish()
		for _, e := range edges {
			from, to := slices.Index(present, e[0]), int32(slices.Index(present, e[1]))
			switch {
			case e[0] == "root" && to >= 0:
				if !slices.Contains(bill.Direct, to) {
					t.Fatalf("root -> %s is lost", e[1])
				}
			case from >= 0 && to >= 0 && from != int(to):
				if !slices.Contains(bill.Depends[from], to) {
					t.Fatalf("%s -> %s is lost", e[0], e[1])
				}
			}
		}
		for i, on := range bill.Depends {
			if !slices.IsSorted(on) || len(slices.Compact(slices.Clone(on))) != len(on) || slices.Contains(on, int32(i)) {
				t.Fatalf("Depends[%d] = %v", i, on)
			}
			for _, j := range on {
				if !slices.Contains(edges, pair{present[i], present[j]}) {
					t.Fatalf("%s -> %s was made up", present[i], present[j])
				}
			}
		}
	})
}
