package purl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/estate"
	"thymus/internal/version"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"pkg:npm/%40babel/core@7.0.0":                                    "pkg:npm/%40babel/core@7.0.0",
		"pkg:npm/@babel/core@7.0.0":                                      "pkg:npm/%40babel/core@7.0.0",
		"pkg:npm/%40babel%2Fcore@7.0.0":                                  "pkg:npm/%40babel/core@7.0.0",
		"pkg:npm/@babel/core":                                            "pkg:npm/%40babel/core",
		"PKG:NPM/lodash@4.17.20":                                         "pkg:npm/lodash@4.17.20",
		"pkg://npm/lodash@4.17.20":                                       "pkg:npm/lodash@4.17.20",
		"pkg:golang/github.com/Masterminds/goutils@v1.1.0":               "pkg:golang/github.com/Masterminds/goutils@v1.1.0",
		"pkg:golang/github.com%2FFoo%2Fbar@v1#a/./b":                     "pkg:golang/github.com/Foo/bar@v1#a/b",
		"pkg:pypi/Django_rest.Framework@3.0":                             "pkg:pypi/django-rest-framework@3.0",
		"pkg:maven/Org.X/Y@1?type=jar&classifier=":                       "pkg:maven/Org.X/Y@1?type=jar",
		"pkg:nuget/Newtonsoft.Json@12.0.1":                               "pkg:nuget/Newtonsoft.Json@12.0.1",
		"pkg:composer/Symfony/HTTP-Kernel@v5.0":                          "pkg:composer/symfony/http-kernel@v5.0",
		"pkg:deb/Debian/LibSSL3@3.0.11-1~deb12u2?Distro=debian-12&arch=": "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?distro=debian-12",
		"pkg:rpm/RedHat/Foo@1?epoch=1":                                   "pkg:rpm/redhat/Foo@1?epoch=1",
		"pkg:deb/debian/g%2B%2B@4:12.2+dfsg":                             "pkg:deb/debian/g%2B%2B@4:12.2%2Bdfsg",
		"pkg:generic/a%2Fb@1":                                            "pkg:generic/a%2Fb@1",
	} {
		p, err := Parse(in)
		if err != nil || p.String() != want {
			t.Errorf("%s: %q, %v; want %s", in, p, err, want)
		}
	}
	for _, in := range []string{"", "pkg:", "pkg:npm", "pkg:npm/", "npm/lodash@1", "pkg:npm/@scope", "pkg:/x", "pkg:1x/y", "pkg:n_m/x", "pkg:npm/x%zz", "pkg:npm/x@%ff", "pkg:npm/x?a=1&a=2", "pkg:npm/x?1a=b", "pkg:npm/%00", "pkg:npm/" + strings.Repeat("a", maxLength), "pkg:npm/%20"} {
		if p, err := Parse(in); err == nil {
			t.Errorf("%.40q is read as %+v", in, p)
		}
	}
}

func coords(s ...string) (m [2]estate.Coordinate) {
	for i := 0; i+1 < len(s); i += 2 {
		m[i/2] = estate.Coordinate{Name: s[i], Version: s[i+1]}
	}
	return m
}

func TestIdentify(t *testing.T) {
	type pkg = estate.Package
	for _, c := range []struct {
		in   estate.Component
		want pkg
	}{
		{estate.Component{Purl: "pkg:npm/%40Scope/x@1.0.0?vcs_url=git&checksum=sha1:1#sub"}, pkg{Key: "pkg:npm/%40Scope/x@1.0.0", Name: "@Scope/x", Version: "1.0.0", Ecosystem: "npm", Match: coords("@Scope/x", "1.0.0")}},
		{estate.Component{Purl: "pkg:golang/github.com/Masterminds/goutils@v1.1.0?type=module&goos=linux"}, pkg{Key: "pkg:golang/github.com/Masterminds/goutils@v1.1.0", Name: "github.com/Masterminds/goutils", Version: "v1.1.0", Ecosystem: "Go", Match: coords("github.com/Masterminds/goutils", "v1.1.0")}},
		{estate.Component{Purl: "pkg:golang/stdlib@go1.22.1"}, pkg{Key: "pkg:golang/stdlib@go1.22.1", Name: "stdlib", Version: "go1.22.1", Ecosystem: "Go", Match: coords("stdlib", "go1.22.1")}},
		{estate.Component{Purl: "pkg:golang/std@1.22.1"}, pkg{Key: "pkg:golang/std@1.22.1", Name: "stdlib", Version: "1.22.1", Ecosystem: "Go", Match: coords("stdlib", "1.22.1")}},
		{estate.Component{Purl: "pkg:golang/example.com/m@(devel)"}, pkg{Key: "pkg:golang/example.com/m@%28devel%29", Name: "example.com/m", Version: "(devel)", Unmatched: estate.BadVersion}},
		{estate.Component{Purl: "pkg:pypi/Foo_Bar@1.0"}, pkg{Key: "pkg:pypi/foo-bar@1.0", Name: "foo-bar", Version: "1.0", Ecosystem: "PyPI", Match: coords("foo-bar", "1.0")}},
		{estate.Component{Purl: "pkg:maven/org.x/y@1.0?type=jar"}, pkg{Key: "pkg:maven/org.x/y@1.0", Name: "org.x:y", Version: "1.0", Ecosystem: "Maven", Match: coords("org.x:y", "1.0")}},
		{estate.Component{Purl: "pkg:maven/org.x/y@1.0?type=war&classifier=a&repository_url=r"}, pkg{Key: "pkg:maven/org.x/y@1.0?classifier=a&type=war", Name: "org.x:y", Version: "1.0", Ecosystem: "Maven", Match: coords("org.x:y", "1.0")}},
		{estate.Component{Purl: "pkg:maven/unknown@1.0"}, pkg{Key: "pkg:maven/unknown@1.0", Name: "unknown", Version: "1.0", Unmatched: estate.UnknownEcosystem}},
		{estate.Component{Purl: "pkg:composer/Guzzle/PSR7@1.0"}, pkg{Key: "pkg:composer/guzzle/psr7@1.0", Name: "guzzle/psr7", Version: "1.0", Ecosystem: "Packagist", Match: coords("guzzle/psr7", "1.0")}},
		{estate.Component{Purl: "pkg:swift/github.com/apple/swift-nio@2.0"}, pkg{Key: "pkg:swift/github.com/apple/swift-nio@2.0", Name: "github.com/apple/swift-nio", Version: "2.0", Ecosystem: "SwiftURL", Match: coords("github.com/apple/swift-nio", "2.0")}},
		{estate.Component{Purl: "pkg:github/github/codeql-action/init@v2"}, pkg{Key: "pkg:github/github/codeql-action/init@v2", Name: "github/codeql-action", Version: "v2", Ecosystem: "GitHub Actions", Match: coords("github/codeql-action", "v2")}},

		{estate.Component{Purl: "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl"}, pkg{Key: "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl", Name: "libssl3", Version: "3.0.11-1~deb12u2", Ecosystem: "Debian:12", Match: coords("openssl", "3.0.11-1~deb12u2")}},
		{estate.Component{Purl: "pkg:deb/debian/gcc-12-base@12.2.0-14?distro=debian-12.4&upstream=gcc-12%4012.1.0-3"}, pkg{Key: "pkg:deb/debian/gcc-12-base@12.2.0-14?distro=debian-12.4&upstream=gcc-12%4012.1.0-3", Name: "gcc-12-base", Version: "12.2.0-14", Ecosystem: "Debian:12", Match: coords("gcc-12", "12.1.0-3")}},
		{estate.Component{Purl: "pkg:deb/debian/a@1.0-1+b3?distro=bookworm&epoch=2"}, pkg{Key: "pkg:deb/debian/a@1.0-1%2Bb3?distro=bookworm&epoch=2", Name: "a", Version: "1.0-1+b3", Ecosystem: "Debian:12", Match: coords("a", "2:1.0-1")}},
		{estate.Component{Purl: "pkg:deb/ubuntu/libpcre3@2:8.39-12ubuntu0.1+b1?distro=focal&source=pcre3&sourceversion=2:8.39-12ubuntu0.1"}, pkg{Key: "pkg:deb/ubuntu/libpcre3@2:8.39-12ubuntu0.1%2Bb1?distro=focal&upstream=pcre3%402:8.39-12ubuntu0.1", Name: "libpcre3", Version: "2:8.39-12ubuntu0.1+b1", Ecosystem: "Ubuntu:20.04", Match: coords("pcre3", "2:8.39-12ubuntu0.1")}},
		{estate.Component{Purl: "pkg:apk/alpine/zlib@1.2.12-r1?distro=3.22.0&origin=zlib"}, pkg{Key: "pkg:apk/alpine/zlib@1.2.12-r1?distro=3.22.0", Name: "zlib", Version: "1.2.12-r1", Ecosystem: "Alpine:3.22", Match: coords("zlib", "1.2.12-r1")}},
		{estate.Component{Purl: "pkg:rpm/rocky/a-libs@1-1.el9?distro=rocky-9.1&sourcerpm=a-1-1.el9.src.rpm"}, pkg{Key: "pkg:rpm/rocky/a-libs@1-1.el9?distro=rocky-9.1&upstream=a-1-1.el9.src.rpm", Name: "a-libs", Version: "1-1.el9", Ecosystem: "Rocky Linux:9", Match: coords("a-libs", "1-1.el9", "a", "1-1.el9")}},
		{estate.Component{Purl: "pkg:k8s/k8s.io%2Fkubelet@1.27.0"}, pkg{Key: "pkg:k8s/k8s.io/kubelet@1.27.0", Name: "k8s.io/kubelet", Version: "1.27.0", Ecosystem: "Kubernetes", Match: coords("k8s.io/kubelet", "1.27.0")}},
		{estate.Component{Purl: "pkg:deb/ubuntu/a@1.0-1?distro=jammy"}, pkg{Key: "pkg:deb/ubuntu/a@1.0-1?distro=jammy", Name: "a", Version: "1.0-1", Ecosystem: "Ubuntu:22.04", Match: coords("a", "1.0-1")}},
		{estate.Component{Purl: "pkg:deb/a@1.0-1?distro=jammy"}, pkg{Key: "pkg:deb/a@1.0-1?distro=jammy", Name: "a", Version: "1.0-1", Ecosystem: "Ubuntu:22.04", Match: coords("a", "1.0-1")}},
		{estate.Component{Purl: "pkg:deb/debian/a@1.0-1"}, pkg{Key: "pkg:deb/debian/a@1.0-1", Name: "a", Version: "1.0-1", Unmatched: estate.NoDistroRelease}},
		{estate.Component{Purl: "pkg:deb/debian/a@1.0-1", Distro: "debian-11", Source: "b", SourceVersion: "2.0-1"}, pkg{Key: "pkg:deb/debian/a@1.0-1?distro=debian-11&upstream=b%402.0-1", Name: "a", Version: "1.0-1", Ecosystem: "Debian:11", Match: coords("b", "2.0-1")}},
		{estate.Component{Purl: "pkg:deb/debian/a@1.0-1?distro=debian-11", Distro: "debian-12", Source: "a", SourceVersion: "1.0-1"}, pkg{Key: "pkg:deb/debian/a@1.0-1?distro=debian-11", Name: "a", Version: "1.0-1", Ecosystem: "Debian:11", Match: coords("a", "1.0-1")}},
		{estate.Component{Purl: "pkg:deb/debian/a@1.0-1?distro=kali-2024.1"}, pkg{Key: "pkg:deb/debian/a@1.0-1?distro=kali-2024.1", Name: "a", Version: "1.0-1", Unmatched: estate.UnknownEcosystem}},
		{estate.Component{Purl: "pkg:deb/raspbian/a@1.0-1?distro=raspbian-12"}, pkg{Key: "pkg:deb/raspbian/a@1.0-1?distro=raspbian-12", Name: "a", Version: "1.0-1", Unmatched: estate.UnknownEcosystem}},

		{estate.Component{Purl: "pkg:apk/alpine/libcrypto3@3.1.1-r1?distro=alpine-3.18.4&upstream=openssl"}, pkg{Key: "pkg:apk/alpine/libcrypto3@3.1.1-r1?distro=alpine-3.18.4&upstream=openssl", Name: "libcrypto3", Version: "3.1.1-r1", Ecosystem: "Alpine:3.18", Match: coords("openssl", "3.1.1-r1")}},
		{estate.Component{Purl: "pkg:apk/alpine/a@1-r0?distro=3.18.4"}, pkg{Key: "pkg:apk/alpine/a@1-r0?distro=3.18.4", Name: "a", Version: "1-r0", Ecosystem: "Alpine:3.18", Match: coords("a", "1-r0")}},
		{estate.Component{Purl: "pkg:apk/wolfi/a@1-r0?distro=wolfi-20230201"}, pkg{Key: "pkg:apk/wolfi/a@1-r0?distro=wolfi-20230201", Name: "a", Version: "1-r0", Ecosystem: "Wolfi", Match: coords("a", "1-r0")}},
		{estate.Component{Purl: "pkg:apk/chainguard/a@1-r0"}, pkg{Key: "pkg:apk/chainguard/a@1-r0", Name: "a", Version: "1-r0", Ecosystem: "Chainguard", Match: coords("a", "1-r0")}},

		{estate.Component{Purl: "pkg:rpm/redhat/openssl-libs@3.0.7-6.el9_2?arch=x86_64&distro=rhel-9.2&epoch=1&upstream=openssl-3.0.7-6.el9_2.src.rpm"}, pkg{Key: "pkg:rpm/redhat/openssl-libs@3.0.7-6.el9_2?arch=x86_64&distro=rhel-9.2&epoch=1&upstream=openssl-3.0.7-6.el9_2.src.rpm", Name: "openssl-libs", Version: "3.0.7-6.el9_2", Ecosystem: "Red Hat:9", Match: coords("openssl-libs", "1:3.0.7-6.el9_2", "openssl", "1:3.0.7-6.el9_2")}},
		{estate.Component{Purl: "pkg:rpm/rocky/a@1-1.el8?distro=rocky-8.9"}, pkg{Key: "pkg:rpm/rocky/a@1-1.el8?distro=rocky-8.9", Name: "a", Version: "1-1.el8", Ecosystem: "Rocky Linux:8", Match: coords("a", "1-1.el8")}},
		{estate.Component{Purl: "pkg:rpm/almalinux/a@1-1.el9_3"}, pkg{Key: "pkg:rpm/almalinux/a@1-1.el9_3", Name: "a", Version: "1-1.el9_3", Ecosystem: "AlmaLinux:9", Match: coords("a", "1-1.el9_3")}},
		{estate.Component{Purl: "pkg:rpm/redhat/a@1-1"}, pkg{Key: "pkg:rpm/redhat/a@1-1", Name: "a", Version: "1-1", Unmatched: estate.NoDistroRelease}},
		{estate.Component{Purl: "pkg:rpm/opensuse/a@1-1?distro=opensuse-leap-15.5"}, pkg{Key: "pkg:rpm/opensuse/a@1-1?distro=opensuse-leap-15.5", Name: "a", Version: "1-1", Ecosystem: "openSUSE:Leap 15.5", Match: coords("a", "1-1")}},
		{estate.Component{Purl: "pkg:rpm/opensuse/a@1-1?distro=opensuse-tumbleweed-20240101"}, pkg{Key: "pkg:rpm/opensuse/a@1-1?distro=opensuse-tumbleweed-20240101", Name: "a", Version: "1-1", Ecosystem: "openSUSE:Tumbleweed", Match: coords("a", "1-1")}},
		{estate.Component{Purl: "pkg:rpm/suse/a@1-1?distro=sles-15.5"}, pkg{Key: "pkg:rpm/suse/a@1-1?distro=sles-15.5", Name: "a", Version: "1-1", Ecosystem: "SUSE:15 SP5", Match: coords("a", "1-1")}},
		{estate.Component{Purl: "pkg:rpm/fedora/a@1-1.fc39?distro=fedora-39"}, pkg{Key: "pkg:rpm/fedora/a@1-1.fc39?distro=fedora-39", Name: "a", Version: "1-1.fc39", Unmatched: estate.UnknownEcosystem}},
		{estate.Component{Purl: "pkg:rpm/centos/a@1-1.el9?distro=centos-stream-9"}, pkg{Key: "pkg:rpm/centos/a@1-1.el9?distro=centos-stream-9", Name: "a", Version: "1-1.el9", Unmatched: estate.UnknownEcosystem}},

		{estate.Component{Type: "library", Group: "g", Name: "n", Version: "1"}, pkg{Key: "?library:g/n@1", Name: "g/n", Version: "1", Unmatched: estate.NoPurl}},
		{estate.Component{Type: "library", Name: "n"}, pkg{Key: "?library:n", Name: "n", Unmatched: estate.NoPurl}},
		{estate.Component{Type: "library", Name: "n", Version: "1", Purl: "pkg:npm"}, pkg{Key: "?library:n@1", Name: "n", Version: "1", Unmatched: estate.BadPurl}},
		{estate.Component{Type: "file", Name: "/etc/x"}, pkg{Key: "?file:/etc/x", Name: "/etc/x", Unmatched: estate.NotAPackage}},
		{estate.Component{Type: "operating-system", Name: "debian", Version: "12"}, pkg{Key: "?operating-system:debian@12", Name: "debian", Version: "12", Unmatched: estate.NotAPackage}},
		{estate.Component{Purl: "pkg:oci/app@sha256:1"}, pkg{Key: "pkg:oci/app@sha256:1", Name: "app", Version: "sha256:1", Unmatched: estate.NotAPackage}},
		{estate.Component{Purl: "pkg:docker/library/nginx@1.25"}, pkg{Key: "pkg:docker/library/nginx@1.25", Name: "library/nginx", Version: "1.25", Unmatched: estate.NotAPackage}},
		{estate.Component{Purl: "pkg:generic/curl@8.0"}, pkg{Key: "pkg:generic/curl@8.0", Name: "curl", Version: "8.0", Unmatched: estate.UnknownEcosystem}},
		{estate.Component{Purl: "pkg:npm/a"}, pkg{Key: "pkg:npm/a", Name: "a", Unmatched: estate.NoVersion}},
		{estate.Component{Purl: "pkg:npm/a", Version: "2.0.0"}, pkg{Key: "pkg:npm/a@2.0.0", Name: "a", Version: "2.0.0", Ecosystem: "npm", Match: coords("a", "2.0.0")}},
		{estate.Component{Purl: "pkg:npm/a@latest"}, pkg{Key: "pkg:npm/a@latest", Name: "a", Version: "latest", Unmatched: estate.BadVersion}},
	} {
		got := Identify(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.in, diff)
		}
		checkIdempotent(t, got)
	}
}

// checkIdempotent holds that a key alone decides the package.
func checkIdempotent(t interface {
	Errorf(string, ...any)
}, p estate.Package) {
	if !strings.HasPrefix(p.Key, "pkg:") {
		return
	}
	if diff := cmp.Diff(p, Identify(estate.Component{Purl: p.Key})); diff != "" {
		t.Errorf("identified again (-first +again):\n%s", diff)
	}
}

func TestIdempotent(t *testing.T) {
	seg := rapid.StringMatching(`[A-Za-z0-9@ %._+~:/-]{1,8}|é|\.\.`)
	rapid.Check(t, func(t *rapid.T) {
		p := PURL{
			Type:      rapid.SampledFrom([]string{"npm", "golang", "pypi", "maven", "deb", "apk", "rpm", "generic", "composer", "swift", "github", "hex"}).Draw(t, "type"),
			Namespace: rapid.SampledFrom([]string{"", "debian", "alpine", "redhat", "@a", "Org.X", "a/b"}).Draw(t, "namespace"),
			Name:      seg.Draw(t, "name"),
			Version:   seg.Draw(t, "version"),
			Qualifiers: map[string]string{
				"distro":   rapid.SampledFrom([]string{"", "debian-12", "alpine-3.18", "rhel-9.1", "x y"}).Draw(t, "distro"),
				"upstream": rapid.SampledFrom([]string{"", "s", "s@1-1", "s-1-1.src.rpm", "a,b"}).Draw(t, "upstream"),
				"epoch":    rapid.SampledFrom([]string{"", "0", "1"}).Draw(t, "epoch"),
				"checksum": "x",
			},
		}
		c := estate.Component{Purl: p.String(), Version: seg.Draw(t, "outer"), Distro: rapid.SampledFrom([]string{"", "debian-11"}).Draw(t, "outer distro"),
			Source: rapid.SampledFrom([]string{"", "src", "a b", "x\x00"}).Draw(t, "source"), SourceVersion: seg.Draw(t, "source version")}
		checkIdempotent(t, Identify(c))
	})
}

func TestQuery(t *testing.T) {
	for _, c := range []struct{ in, name, ecosystem, wanted string }{
		{"pkg:maven/org.apache.logging.log4j/log4j-core@<2.15.0", "org.apache.logging.log4j:log4j-core", "Maven", "<2.15.0"},
		{"pkg:npm/lodash@4.17.20", "lodash", "npm", "4.17.20"},
		{"pkg:npm/@babel/core", "@babel/core", "npm", ""},
		{"pkg:npm/@babel/core@>=7,<8 || 9.0.0", "@babel/core", "npm", ">=7,<8 || 9.0.0"},
		{"pkg:npm/a@*", "a", "npm", ""},
		{"pkg:npm/a@vers:npm/>=1|<2", "a", "npm", "vers:npm/>=1|<2"},
		{"pkg:npm/a@%3C2.0.0", "a", "npm", "<2.0.0"},
		{"pkg:pypi/Foo.Bar@1.0 - 2.0", "foo-bar", "PyPI", "1.0 - 2.0"},
		{"pkg:nuget/Newtonsoft.Json", "newtonsoft.json", "NuGet", ""},
		{"pkg:deb/debian/libssl3@<3.0.11?distro=debian-12&upstream=openssl", "openssl", "Debian:12", "<3.0.11"},
		{"pkg:deb/debian/openssl@1.1.1?epoch=1", "openssl", "Debian", "1:1.1.1"},
		{"pkg:golang/stdlib@go1.22.1", "stdlib", "Go", "go1.22.1"},
	} {
		name, e, wanted, err := Query(c.in)
		if err != nil || name.Name != c.name || name.Ecosystem != e.Base || e.String() != c.ecosystem || wanted != c.wanted {
			t.Errorf("%s: %+v %s %q %v", c.in, name, e, wanted, err)
		}
	}
	for _, in := range []string{"", "lodash", "pkg:generic/x@1", "pkg:npm/a@latest", "pkg:npm/a@^1", "pkg:npm/a@<", "pkg:oci/x"} {
		if name, _, wanted, err := Query(in); err == nil {
			t.Errorf("%q is read as %+v %q", in, name, wanted)
		}
	}
}

func TestToPurl(t *testing.T) {
	for _, c := range []struct{ ecosystem, name, version, want string }{
		{"npm", "@babel/core", "7.0.0", "pkg:npm/%40babel/core@7.0.0"},
		{"Maven", "org.x:y", "", "pkg:maven/org.x/y"},
		{"Go", "github.com/A/b", "1.0.0", "pkg:golang/github.com/A/b@1.0.0"},
		{"Go", "stdlib", "1.22.0", "pkg:golang/stdlib@1.22.0"},
		{"PyPI", "Foo_Bar", "1", "pkg:pypi/foo-bar@1"},
		{"NuGet", "A.B", "1", "pkg:nuget/A.B@1"},
		{"Packagist", "a/b", "1", "pkg:composer/a/b@1"},
		{"crates.io", "x", "1", "pkg:cargo/x@1"}, {"RubyGems", "x", "1", "pkg:gem/x@1"}, {"Hex", "x", "1", "pkg:hex/x@1"}, {"Pub", "x", "1", "pkg:pub/x@1"},
		{"CRAN", "X", "1.0", "pkg:cran/X@1.0"}, {"Hackage", "x", "1", "pkg:hackage/x@1"}, {"ConanCenter", "x", "1", "pkg:conan/x@1"}, {"Bitnami", "x", "1", "pkg:bitnami/x@1"},
		{"SwiftURL", "github.com/a/b", "1", "pkg:swift/github.com/a/b@1"}, {"GitHub Actions", "a/b", "v1", "pkg:github/a/b@v1"},
		{"Debian:12", "openssl", "1-1", "pkg:deb/debian/openssl@1-1?distro=debian-12"}, {"Ubuntu:22.04:LTS", "a", "1", "pkg:deb/ubuntu/a@1?distro=ubuntu-22.04"},
		{"Alpine:v3.18", "a", "1-r0", "pkg:apk/alpine/a@1-r0?distro=alpine-3.18"}, {"Wolfi", "a", "1-r0", "pkg:apk/wolfi/a@1-r0"},
		{"Red Hat:enterprise_linux:9::appstream", "a", "1:1-1", "pkg:rpm/redhat/a@1:1-1?distro=rhel-9"}, {"Rocky Linux:9", "a", "1-1", "pkg:rpm/rocky/a@1-1?distro=rocky-9"}, {"AlmaLinux:9", "a", "1-1", "pkg:rpm/almalinux/a@1-1?distro=almalinux-9"},
		{"openSUSE:Leap 15.5", "a", "1-1", "pkg:rpm/opensuse/a@1-1?distro=opensuse-leap-15.5"}, {"openSUSE:Tumbleweed", "a", "1-1", "pkg:rpm/opensuse/a@1-1?distro=opensuse-tumbleweed"},
		{"SUSE:Linux Enterprise Server 15 SP3-LTSS", "a", "1-1", "pkg:rpm/suse/a@1-1?distro=sles-15.3-LTSS"}, {"Mageia:9", "a", "1-1", "pkg:rpm/mageia/a@1-1?distro=mageia-9"},
		{"openEuler:24.03-LTS", "a", "1-1", "pkg:rpm/openeuler/a@1-1?distro=openeuler-24.03-LTS"}, {"Azure Linux:3", "a", "1-1", "pkg:rpm/azurelinux/a@1-1?distro=azurelinux-3"}, {"Photon OS:5.0", "a", "1-1", "pkg:rpm/photon/a@1-1?distro=photon-5.0"},
		{"Android", "a", "1", ""}, {"Maven", "nogroup", "1", ""}, {"", "a", "1", ""},
	} {
		e := version.ParseEcosystem(c.ecosystem)
		got := ToPurl(e, c.name, c.version)
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.ecosystem, c.name, got, c.want)
		}
		if got == "" || c.version == "" {
			continue
		}
		p := Identify(estate.Component{Purl: got})
		if !version.Applies(e, version.ParseEcosystem(p.Ecosystem)) || FoldName(e, p.Match[0].Name) != FoldName(e, c.name) {
			t.Errorf("%s %s: %q is identified as %+v", c.ecosystem, c.name, got, p)
		}
	}
}

func TestFoldName(t *testing.T) {
	for _, c := range []struct{ base, in, want string }{
		{"PyPI", "Foo._-Bar", "foo-bar"}, {"NuGet", "A.B", "a.b"}, {"Packagist", "A/B", "a/b"}, {"Go", "github.com/A", "github.com/A"}, {"Maven", "G:A", "G:A"}, {"npm", "JSONStream", "JSONStream"},
	} {
		if got := FoldName(version.Ecosystem{Base: c.base}, c.in); got != c.want {
			t.Errorf("%s %s: %s", c.base, c.in, got)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl", "1", "s", "debian-12")
	f.Add("pkg:npm/%40a%2Fb@1.0.0#x", "", "", "")
	f.Add("pkg:rpm/redhat/a@1-1.el9?epoch=1&upstream=a-1-1.src.rpm", "2", "b", "rhel-9")
	f.Add("pkg:golang/github.com/A/b@v1", "(devel)", "\xff", "-")
	f.Fuzz(func(t *testing.T, p, ver, source, distro string) {
		got := Identify(estate.Component{Purl: p, Name: source, Version: ver, Source: source, SourceVersion: ver, Distro: distro})
		if got.Key == "" || (got.Ecosystem == "") == (got.Unmatched == "") {
			t.Fatalf("%+v", got)
		}
		checkIdempotent(t, got)
		if parsed, err := Parse(p); err == nil {
			again, err := Parse(parsed.String())
			if err != nil || again.String() != parsed.String() {
				t.Fatalf("%q is not canonical: %q, %v", parsed, again, err)
			}
		}
		if _, e, wanted, err := Query(p); err == nil && wanted != "" && e.Base == "" {
			t.Fatalf("%q: no ecosystem", p)
		}
	})
}
