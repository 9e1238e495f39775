package redact

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"thymus/internal/testdata"
)

// join keeps things that look like secrets out of the source text, where
// scanners of repositories would find them.
func join(parts ...string) string { return strings.Join(parts, "") }

const (
	twenty    = "a1B2c3D4e5F6g7H8i9J0"
	thirtysix = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
	hash64    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// TestSecrets: in each text, what stands in «» or ‹› is overwritten, and
// nothing else; ‹› are plain values, which begin with an x afterwards.
func TestSecrets(t *testing.T) {
	b64key := "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
	for _, c := range []struct{ rule, text string }{
		{"aws", join("key AKIA", "«IOSFODNN7EXAMPLF»", " end")},
		{"aws", join(`{"AccessKeyId":"ASIA`, "«QWERTYUIOP123456»", `"}`)},
		{"github", join("gh", "p_«", thirtysix, "»")},
		{"github", join(`"git+https://gh`, "s_«", thirtysix, `»@github.com/a/b"`)},
		{"github", join("github_", "pat_«11ABCDEFG0", twenty, "_", thirtysix, "»")},
		{"gitlab", join("gl", "pat-«", twenty, "»")},
		{"slack", join("xo", "xb-«123456789012-abcDEF", "»")},
		{"slack", join("https://hooks.slack", ".com/services/«T0000000/B0000001/", twenty, "»")},
		{"npm", join("np", "m_«", thirtysix, "»")},
		{"pypi", join("pypi-AgEIcHlwaS5v", "cmc«", thirtysix, thirtysix, "»")},
		{"google", join("AI", "za«SyA", thirtysix[:32], "»")},
		{"stripe", join("sk_", "live_«", twenty, "»")},
		{"private key", join("-----BEGIN RSA PRIV", "ATE KEY-----\n«", b64key, "»\n«", b64key, "»\n-----END RSA PRIV", "ATE KEY-----")},
		{"private key", join(`{"k":"-----BEGIN PRIV`, `ATE KEY-----\n«`, b64key, `»\n«`, b64key, `»\n-----END PRIV`, `ATE KEY-----\n"}`)},
		{"private key", join("-----BEGIN PRIV", "ATE KEY-----\n«", b64key, "»")},
		{"jwt", join("eyJ«", "hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.", thirtysix, "»")},
		{"url", `"https://user:«p@ss,w0rd»@example.org/x?y=a:b@c"`},
		{"url", "redis://:«hunter22»@cache:6379/0"},
		{"url", "url: mongodb+srv://app:«hunter22»@db.example.org/"},
		{"authorization", `"Authorization": "Bearer «abcdef12»"`},
		{"authorization", "authorization: Basic «dXNlcjpwYXNz»"},
		{"bearer", join("curl -H 'X: bearer «", thirtysix, "»'")},
		{"password", `{"password": "«hunter2»"}`},
		{"password", `{"db_password" : "«two words»", "x": 1}`},
		{"password", `{"password":"«a»\"«b»\\«c»\u0041«defgh»"}`},
		{"password", `{"spring.datasource.password":"«hunter2»"}`},
		{"password", `{"name": "DB_PASSWORD", "value": "«hunter2»"}`},
		{"password", "{\n  \"name\" : \"dbPassword\",\n  \"value\" : \"«hunter2»\"\n}"},
		{"password", `{"doc": "{\"password\": \"«hunter2»\"}"}`},
		{"password", `{"Env": ["A=1", "MYSQL_ROOT_PASSWORD=‹hunter2›"]}`},
		{"password", `{"env": "A=1\nDB_PASSWORD=‹hunter2›\nB=2"}`},
		{"password", "password: ‹hunter2›\n"},
		{"password", "db:\n  - password: '«hunter2»' # comment\n"},
		{"password", "  - name: DB_PASSWORD\n    value: \"«hunter2»\"\n"},
		{"password", "  - name: DB_PASSWORD\n    value: ‹hunter2›\n"},
		{"password", "<server><password>«hunter2»</password></server>"},
		{"password", "<s:Password> «hunter»&amp;«2» </s:Password>"},
		{"password", `<property name="db.password">«hunter2»</property>`},
		{"password", `<add key="DbPassword" value="«hunter2»"/>`},
		{"password", `<db user="a" password='«hunter2»'/>`},
		{"password", "export DB_PASSWORD=‹hunter2›\n"},
		{"password", "A=1\nDB_PASSWORD=\"«hunter2»\"\n"},
		{"password", "spring.datasource.password = ‹hunter2›\n"},
		{"password", "https://example.org/login?user=a&password=‹hunter2›&x=1"},
		{"password", "Server=db;User=sa;Password=‹hunter2›;"},
		{"secret", join(`{"client_secret": "«8Q~`, twenty, `»"}`)},
		{"secret", join(`{"clientSecret":"«`, hash64[:31], `»"}`)},
		{"secret", join("API_KEY=‹a1B2c3D4e5F6g7H8›\n")},
		{"secret", join(`aws_secret_access_key = ‹wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY›`)},
		{"secret", join(`//registry.example.org/:_authToken=‹a1B2c3D4e5F6g7H8›`)},
		{"secret", join(`"x-api-key": "«`, twenty, `»"`)},
		{"secret", join(`token: ‹a1B2c3D4e5F6g7H8i9J0›`)},
	} {
		in := strings.NewReplacer("«", "", "»", "", "‹", "", "›", "").Replace(c.text)
		var want strings.Builder
		var hide, first bool
		for _, r := range c.text {
			switch {
			case strings.ContainsRune("«»‹›", r):
				hide, first = r == '«' || r == '‹', r == '‹'
			case first:
				want.WriteByte('x')
				first = false
			case hide:
				want.WriteByte('*')
			default:
				want.WriteRune(r)
			}
		}
		out, found := Bytes([]byte(in))
		if string(out) != want.String() {
			t.Errorf("%s\n got %s\nwant %s", in, out, want.String())
			continue
		}
		if len(found) == 0 || found[0].Rule != c.rule {
			t.Errorf("%s: found %v, want rule %q", in, found, c.rule)
		}
		for _, f := range found {
			if f.Length <= 0 || f.Offset+f.Length > len(in) || in[f.Offset:f.Offset+f.Length] == string(out[f.Offset:f.Offset+f.Length]) {
				t.Errorf("%s: finding %+v is not where something changed", in, f)
			}
		}
	}
}

// harmlessTexts look like secrets to a careless rule.
var harmlessTexts = []string{
	"", "a", "-----BEGIN ", "eyJ", "://", "://:@", "password", "password:", `"password":`, `"password": "`, "token=", "<password>",
	`{"token": ""}`, `{"token": null, "password": true, "secret": 12345678, "password_min": 8}`,
	`{"name":"js-tokens","version":"4.0.0","purl":"pkg:npm/js-tokens@4.0.0"}`,
	`{"dependencies":{"token":"^1.2.3","secret":"1.0.0-beta.2","password":">=1.0 <2","api-key":"~2"}}`,
	`{"alg":"SHA-256","content":"` + hash64 + `"}`, `{"token":"` + hash64 + `"}`, `{"secret": "sha256:` + hash64 + `"}`,
	`{"password": "sha512-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08=="}`,
	`{"serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","token":"3e671687-395b-41f5-a30f-a58921a69b79"}`,
	`{"password": {"type": "string", "format": "password"}, "type": "password", "token": "string"}`,
	`{"securitySchemes": {"api_key": {"type": "apiKey", "name": "token", "in": "header"}}}`,
	`{"message": "The password", "value": "is not one of ours"}`,
	`{"name": "password", "version": "hunter22"}`, `{"name":"token","valueFrom":{"secretKeyRef":{"name":"s","key":"token"}}}`,
	"secretName: my-tls-secret-2024\nsecret: my-tls-secret\ntoken: OAuth2Token\n",
	"password: ${DB_PASSWORD}\npassword: {{ .Values.password }}\npassword: $PASSWORD\npassword: <your password>\npassword: |\n",
	"password: /run/secrets/password\npassword: *anchor\n", "  - name: PASSWORD\n    valueFrom:\n      secretKeyRef: {name: a}\n",
	"Passwords: the token = a word; secret: nothing that anyone should see here",
	"const password = req.body.password; let token = jwt.sign(payload, secret)", "password=os.environ['PASSWORD']", "if (password == other)",
	"string token = 1;\nstring password = 2;", "token==1.0.0", "token@^1.0.0:",
	"Bearer authentication is described in RFC 6750", "Authorization: Bearer <token>", "Authorization: Bearer token", "authorization: optional",
	"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
	"https://example.org:8080/path@1.0", "git+ssh://git@github.com:22/a/b", "https://${USER}:${PASSWORD}@example.org/", "mailto:a@b pkg:npm/%40a/b@1.0",
	`{"payloadType":"application/vnd.in-toto+json","payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ=="}`,
	"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx npm_install AKIAXXXXXXXXXXXXXXXX sk_test_short task_type disk_limit",
	"<artifactId>password</artifactId><password.version>1.2.3</password.version><token/>",
}

func TestHarmless(t *testing.T) {
	for _, text := range harmlessTexts {
		in := []byte(text)
		out, found := Bytes(in)
		if string(out) != text || len(found) > 0 {
			t.Errorf("%s\n got %s\n %v", text, out, found)
		}
		if len(in) > 0 && &in[0] != &out[0] {
			t.Errorf("%s: was copied", text)
		}
	}
}

func TestInputStays(t *testing.T) {
	in := []byte(`{"password": "hunter2"}`)
	before := bytes.Clone(in)
	Bytes(in)
	if !bytes.Equal(in, before) {
		t.Fatalf("the input became %s", in)
	}
}

// TestDocuments: what is read from a redacted document is the same but for the secrets.
func TestDocuments(t *testing.T) {
	const sbom = `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
"metadata":{"tools":[{"vendor":"anchore","name":"syft","version":"1.4.1"}],"component":{"type":"container","name":"cart","version":"sha256:HASH",
"properties":[{"name":"image:env:PATH","value":"/usr/bin"},{"name":"image:env:DB_PASSWORD","value":"SECRET"}]}},
"components":[{"bom-ref":"pkg:npm/password-hash@1.2.2?package-id=1a2b3c4d5e6f7a8b","type":"library","name":"password-hash","version":"1.2.2",
"author":"A Token <token@example.org>","licenses":[{"license":{"text":{"content":"THE SECRET: no password, token or key is granted.\nKEY=value"}}}],
"hashes":[{"alg":"SHA-256","content":"HASH"}],"purl":"pkg:npm/password-hash@1.2.2","externalReferences":[{"type":"vcs","url":"git+https://github.com/a/secret.git"}]}]}`
	const osv = `{"schema_version":"1.6.0","id":"GHSA-aaaa-bbbb-cccc","modified":"2026-01-01T00:00:00Z","summary":"Token leak in password reset",
"details":"The secret is written to the log.\n\n` + "```js\nconst token = req.headers['authorization'];\nif (user.password === password) { sign({ secret: config.secret }) }\n```" + `\nUpgrade to 2.0.",
"affected":[{"package":{"ecosystem":"npm","name":"api-key","purl":"pkg:npm/api-key"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2.0.0"}]},
{"type":"GIT","repo":"https://github.com/a/b","events":[{"introduced":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}]}]}],
"references":[{"type":"WEB","url":"https://example.org/blog/how-we-lost-a-token?utm_source=a"}],"database_specific":{"token":"","secret":null}}`
	clean := strings.NewReplacer("HASH", hash64, "SECRET", "").Replace(sbom)
	for _, text := range []string{clean, osv} {
		if out, found := Bytes([]byte(text)); string(out) != text {
			t.Errorf("a document without secrets was changed: %v\n%s", found, cmp.Diff(text, string(out)))
		}
	}
	dirty := strings.NewReplacer("HASH", hash64, `:"SECRET"`, `:"hunter2"`).Replace(sbom)
	out, found := Bytes([]byte(dirty))
	if want := strings.ReplaceAll(dirty, "hunter2", "*******"); string(out) != want || len(found) != 1 {
		t.Errorf("%v\n%s", found, cmp.Diff(want, string(out)))
	}

	for _, doc := range []string{"password: hunter2\nlist:\n- token: " + twenty + "\n- {secret: " + twenty + ", b: 1}\n- url: http://u:hunter2@h\n"} {
		var node any
		out, found := Bytes([]byte(doc))
		if err := yaml.Unmarshal(out, &node); err != nil || len(found) != 4 {
			t.Errorf("YAML: %v, %v\n%s", err, found, out)
		}
	}
	doc := `<a b="1"><password>hunter&lt;2&#65;</password><c token="` + twenty + `"/></a>`
	out, found = Bytes([]byte(doc))
	for dec := xml.NewDecoder(bytes.NewReader(out)); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil || len(found) != 2 {
			t.Fatalf("XML: %v, %v\n%s", err, found, out)
		}
	}
}

func FuzzBytes(f *testing.F) {
	for _, s := range harmlessTexts {
		f.Add([]byte(s))
	}
	for _, s := range []string{`{"password":"a\u12","x":"://a:b@"}`, `{"password": 1234, "token": -1e5}`, `"password":"\\", "secret":"\`, `{"a":"password=\\\"abcdef1234"}`,
		"-----BEGIN PRIVATE KEY-----\\nAAAA", `{"k":"-----BEGIN PRIVATE KEY-----\u`, `["password=hunter2", "a"]`, "password: 'it''s'", `{"name":"password","value":"&quot;"}`,
		`{"password":"x-----BEGIN PRIVATE KEY-----","a":"-----END "}`, `{"password": 1.5e3x}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		out, found := Bytes(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the input was changed")
		}
		if len(out) != len(in) {
			t.Fatalf("%d bytes became %d", len(in), len(out))
		}
		if json.Valid(in) && !json.Valid(out) {
			t.Fatalf("JSON no more:\n%s\n%s", in, out)
		}
		if (len(found) == 0) != bytes.Equal(in, out) {
			t.Fatalf("%v, but\n%s\n%s", found, in, out)
		}
		again, more := Bytes(out)
		if !bytes.Equal(again, out) || len(more) > 0 {
			t.Fatalf("not idempotent: %v\n%s\n%s\n%s", more, in, out, again)
		}
	})
}

// TestRealDocuments reports what is found in real SBOMs and advisories, of
// which none holds a secret that is in use; JSON must stay valid.
func TestRealDocuments(t *testing.T) {
	documents, size, hits := 0, 0, 0
	realDocuments(t, func(name string, b []byte) {
		documents++
		size += len(b)
		out, found := Bytes(b)
		if json.Valid(b) && !json.Valid(out) {
			t.Errorf("%s: JSON no more", name)
		}
		for _, f := range found {
			hits++
			from, to := max(0, f.Offset-60), min(len(b), f.Offset+f.Length+20)
			t.Logf("%s: %s: %q", name, f.Rule, b[from:to])
		}
	})
	t.Logf("%d documents, %d MB, %d findings", documents, size>>20, hits)
	// Advisories and example SBOMs show some credentials in their prose; beyond
	// one in a thousand documents a rule is careless.
	if hits*1000 > documents {
		t.Errorf("%d findings in %d documents", hits, documents)
	}
}

// realDocuments calls each for the SBOMs and advisories of the optional data.
func realDocuments(t testing.TB, each func(name string, b []byte)) {
	root := testdata.Shared(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"osv", "sboms"} {
		must(filepath.WalkDir(filepath.Join(root, dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			switch filepath.Ext(path) {
			case ".zip":
				z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					return err
				}
				for _, f := range z.File {
					r, err := f.Open()
					if err != nil {
						return err
					}
					text, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					each(fmt.Sprint(filepath.Base(filepath.Dir(path)), "/", f.Name), text)
				}
			case ".xz", ".gz", ".tar":
			default:
				each(filepath.Base(path), b)
			}
			return nil
		}))
	}
}

func BenchmarkBytes(b *testing.B) {
	var one bytes.Buffer
	for i := 0; one.Len() < 1<<20; i++ {
		fmt.Fprintf(&one, `{"bom-ref":"pkg:npm/token-%d@1.%d.0?package-id=%x","type":"library","author":"The authors","name":"token-%d","version":"1.%d.0",`+
			`"licenses":[{"license":{"id":"MIT"}}],"hashes":[{"alg":"SHA-256","content":"%s"}],"purl":"pkg:npm/token-%d@1.%d.0",`+
			`"externalReferences":[{"type":"vcs","url":"git+https://github.com/example/token-%d.git"}],"properties":[{"name":"syft:location:0:path","value":"/app/package-lock.json"}]},`+"\n",
			i, i, i*7919, i, i, hash64, i, i, i)
	}
	b.SetBytes(int64(one.Len()))
	for b.Loop() {
		if _, found := Bytes(one.Bytes()); len(found) > 0 {
			b.Fatal(found)
		}
	}
}
