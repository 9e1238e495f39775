package access

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// memory is a Store for tests.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	fail   error
}

func (m *memory) Get(_ context.Context, bucket, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	v, ok := m.values[bucket+"\x00"+key]
	if !ok {
		return nil, fault.New(fault.NotFound, "no %s", key)
	}
	return v, nil
}

func (m *memory) Put(_ context.Context, bucket, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[bucket+"\x00"+key] = bytes.Clone(value)
	return m.fail
}

func (m *memory) Delete(_ context.Context, bucket, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, bucket+"\x00"+key)
	return m.fail
}

func (m *memory) List(_ context.Context, bucket string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range maps.All(m.values) {
		if b, key, _ := strings.Cut(k, "\x00"); b == bucket {
			out[key] = v
		}
	}
	return out, m.fail
}

type clock struct{ t estate.Time }

func (c *clock) now() estate.Time { return c.t }

func newTokens(t testing.TB) (*Tokens, *memory, *clock) {
	t.Helper()
	m, c := &memory{values: map[string][]byte{}}, &clock{t: 1_700_000_000_000}
	return NewTokens(m, c.now), m, c
}

func TestTokenLife(t *testing.T) {
	ctx := t.Context()
	tokens, store, clk := newTokens(t)
	expires := clk.t + 1000
	secret, tok, err := tokens.Create(ctx, Spec{Name: "ci", Role: Publisher, Domains: []string{"payments"}, Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, Prefix) || len(secret) != 47 {
		t.Errorf("secret %q: want 47 characters after %q", secret, Prefix)
	}
	got, err := tokens.Authenticate(ctx, secret)
	if err != nil {
		t.Fatal(err)
	}
	want := Principal{ID: tok.ID, Name: "ci", Role: Publisher, Scope: answer.Scope{Limited: true, Domains: []string{"payments"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for key, value := range store.values {
		if strings.Contains(key+string(value), secret[len(Prefix):]) {
			t.Errorf("the store holds the secret: %s", value)
		}
	}
	list, err := tokens.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Token{tok}, list); d != "" {
		t.Error(d)
	}

	clk.t = expires - 1
	if _, err := tokens.Authenticate(ctx, secret); err != nil {
		t.Errorf("just before expiry: %v", err)
	}
	clk.t = expires
	if _, err := tokens.Authenticate(ctx, secret); fault.Of(err) != fault.Unauthenticated {
		t.Errorf("expired: %v", err)
	}
	if _, _, err := tokens.Create(ctx, Spec{Name: "CI", Role: Reader}); err != nil {
		t.Errorf("the name of an expired token is free again: %v", err)
	}

	clk.t = expires - 1
	if err := tokens.Revoke(ctx, tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Authenticate(ctx, secret); fault.Of(err) != fault.Unauthenticated {
		t.Errorf("revoked: %v", err)
	}
	if err := tokens.Revoke(ctx, tok.ID); fault.Of(err) != fault.NotFound {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	tokens, _, clk := newTokens(t)
	if _, _, err := tokens.Create(t.Context(), Spec{Name: "taken", Role: Reader}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec Spec
		code fault.Code
	}{
		"no name":          {Spec{Role: Reader}, fault.Invalid},
		"control in name":  {Spec{Name: "a\nb", Role: Reader}, fault.Invalid},
		"long name":        {Spec{Name: strings.Repeat("a", 101), Role: Reader}, fault.Invalid},
		"no role":          {Spec{Name: "a"}, fault.Invalid},
		"unknown role":     {Spec{Name: "a", Role: 9}, fault.Invalid},
		"scoped admin":     {Spec{Name: "a", Role: Admin, Domains: []string{"x"}}, fault.Invalid},
		"blank domain":     {Spec{Name: "a", Role: Reader, Domains: []string{" "}}, fault.Invalid},
		"too many domains": {Spec{Name: "a", Role: Reader, Domains: make([]string, 101)}, fault.TooLarge},
		"expired":          {Spec{Name: "a", Role: Reader, Expires: clk.t}, fault.Invalid},
		"name taken":       {Spec{Name: "Taken", Role: Reader}, fault.Conflict},
	} {
		if _, _, err := tokens.Create(t.Context(), c.spec); fault.Of(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
}

// Any change of a secret is refused, and the refusals say the same.
func TestAuthenticateRefusesEveryOther(t *testing.T) {
	tokens, _, _ := newTokens(t)
	secret, _, err := tokens.Create(t.Context(), Spec{Name: "a", Role: Reader})
	if err != nil {
		t.Fatal(err)
	}
	refusal := func(s string) string {
		_, err := tokens.Authenticate(t.Context(), s)
		if fault.Of(err) != fault.Unauthenticated {
			t.Fatalf("%q: got %v", s, err)
		}
		return err.Error()
	}
	want := refusal("")
	rapid.Check(t, func(r *rapid.T) {
		b := []byte(secret)
		i := rapid.IntRange(0, len(b)-1).Draw(r, "place")
		b[i] = rapid.Byte().Filter(func(c byte) bool { return c != b[i] }).Draw(r, "byte")
		for _, s := range []string{string(b), secret[:i], secret + "A", " " + secret} {
			if got := refusal(s); got != want {
				r.Fatalf("%q is refused with %q, others with %q", s, got, want)
			}
		}
	})
}

func TestStoreFailureIsNoRefusal(t *testing.T) {
	tokens, store, _ := newTokens(t)
	secret, _, err := tokens.Create(t.Context(), Spec{Name: "a", Role: Reader})
	if err != nil {
		t.Fatal(err)
	}
	store.fail = errors.New("disk")
	if _, err := tokens.Authenticate(t.Context(), secret); fault.Of(err) != fault.Internal {
		t.Errorf("got %v", err)
	}
}

func TestBootstrap(t *testing.T) {
	ctx := t.Context()
	tokens, _, _ := newTokens(t)
	path := filepath.Join(t.TempDir(), "admin-token")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := tokens.Bootstrap(ctx, path)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tokens.Authenticate(ctx, strings.TrimSpace(string(b)))
	if err != nil || p.Role != Admin || p.Scope.Limited {
		t.Fatalf("%+v, %v", p, err)
	}
	if made, err := tokens.Bootstrap(ctx, path); err != nil || made {
		t.Fatalf("second start: %v, %v", made, err)
	}

	tokens, _, _ = newTokens(t)
	if _, err := tokens.Bootstrap(ctx, filepath.Join(t.TempDir(), "missing", "file")); err == nil {
		t.Fatal("want an error")
	}
	if list, err := tokens.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("a token that nobody holds stayed: %v, %v", list, err)
	}
}

func TestRoles(t *testing.T) {
	for _, r := range []Role{Reader, Publisher, Admin} {
		got, err := ParseRole(strings.ToUpper(r.String()))
		if err != nil || got != r {
			t.Errorf("%s: got %s, %v", r, got, err)
		}
		for _, needed := range []Role{NoRole, Reader, Publisher, Admin} {
			if r.May(needed) != (r >= needed) {
				t.Errorf("%s may %s: %v", r, needed, r.May(needed))
			}
		}
	}
	for _, bad := range []string{"", "none", "root"} {
		if _, err := ParseRole(bad); err == nil {
			t.Errorf("%q is no role", bad)
		}
	}
	if NoRole.May(NoRole) || Role(200).May(Reader) {
		t.Error("no role may do nothing")
	}
	if p := From(context.Background()); p.Role != NoRole || !p.Scope.Limited {
		t.Errorf("a context without principal: %+v", p)
	}
	if p := From(With(context.Background(), Local())); p.Role != Admin || p.Scope.Limited {
		t.Errorf("local: %+v", p)
	}
}
