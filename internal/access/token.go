package access

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"

	"thymus/internal/answer"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// Prefix starts every token, so that secret scanners and people recognise one.
const Prefix = "thy_"

const (
	bucket     = "token"
	secretSize = 32  // bytes of randomness
	idSize     = 12  // bytes of the hash that make the public id
	maxName    = 100 // bytes
	maxDomains = 100
)

// Store keeps small values; ledger.Ledger is one. Get returns fault.NotFound.
type Store interface {
	Get(ctx context.Context, bucket, key string) ([]byte, error)
	Put(ctx context.Context, bucket, key string, value []byte) error
	Delete(ctx context.Context, bucket, key string) error
	List(ctx context.Context, bucket string) (map[string][]byte, error)
}

// Token is what is known of a token, without its secret.
type Token struct {
	ID      string      `json:"id"` // public, derived from the secret's hash
	Name    string      `json:"name"`
	Role    Role        `json:"role"`
	Domains []string    `json:"domains,omitempty"` // none: all
	Created estate.Time `json:"created"`
	Expires estate.Time `json:"expires,omitempty"` // null: never
}

// Spec says what token to create.
type Spec struct {
	Name    string
	Role    Role
	Domains []string    // limits the token to these domains and their sub-domains
	Expires estate.Time // zero: never
}

// record is a token as stored.
type record struct {
	Token
	Hash []byte `json:"hash"` // SHA-256 of the whole secret, prefix included
}

// Tokens creates, lists, revokes and checks tokens. Its methods may be called
// concurrently. A revoked or expired token is refused from the next request on,
// since every check reads the store.
type Tokens struct {
	store Store
	now   func() estate.Time
}

// NewTokens makes Tokens over a store; now is the clock that expiry follows.
func NewTokens(store Store, now func() estate.Time) *Tokens {
	return &Tokens{store: store, now: now}
}

// Create stores a token and returns its secret, which nobody can read again.
// Names are unique, since they are the source that facts show: an existing one
// is a fault.Conflict, anything malformed a fault.Invalid.
func (t *Tokens) Create(ctx context.Context, s Spec) (secret string, tok Token, err error) {
	s.Name = strings.TrimSpace(s.Name)
	switch {
	case s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, unicode.IsControl):
		return "", Token{}, fault.New(fault.Invalid, "token name: want 1 to %d printable bytes", maxName)
	case s.Role < Reader || s.Role > Admin:
		return "", Token{}, fault.New(fault.Invalid, "token role: want reader, publisher or admin")
	case s.Role == Admin && len(s.Domains) > 0:
		return "", Token{}, fault.New(fault.Invalid, "token domains: an admin cannot be limited to domains")
	case len(s.Domains) > maxDomains:
		return "", Token{}, fault.New(fault.TooLarge, "token domains: at most %d", maxDomains)
	case slices.ContainsFunc(s.Domains, func(d string) bool { return strings.TrimSpace(d) == "" }):
		return "", Token{}, fault.New(fault.Invalid, "token domains: one is blank")
	case s.Expires != 0 && s.Expires <= t.now():
		return "", Token{}, fault.New(fault.Invalid, "token expiry %s has passed", s.Expires)
	}
	existing, err := t.List(ctx)
	if err != nil {
		return "", Token{}, err
	}
	for _, e := range existing {
		if strings.EqualFold(e.Name, s.Name) && !expired(e, t.now()) {
			return "", Token{}, fault.New(fault.Conflict, "a token named %q exists; revoke it first", e.Name)
		}
	}
	raw := make([]byte, secretSize)
	rand.Read(raw) // never fails: the standard library stops the process instead
	secret = Prefix + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(secret))
	tok = Token{
		ID: id(hash), Name: s.Name, Role: s.Role, Domains: slices.Clone(s.Domains),
		Created: t.now(), Expires: s.Expires,
	}
	value, err := json.Marshal(record{Token: tok, Hash: hash[:]})
	if err != nil {
		return "", Token{}, fmt.Errorf("token %s: %w", tok.ID, err)
	}
	if err := t.store.Put(ctx, bucket, tok.ID, value); err != nil {
		return "", Token{}, fmt.Errorf("store token %s: %w", tok.ID, err)
	}
	return secret, tok, nil
}

// List returns all tokens, expired ones too, by name.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	values, err := t.store.List(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	out := make([]Token, 0, len(values))
	for key, value := range values {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return nil, fmt.Errorf("stored token %s: %w", key, err)
		}
		out = append(out, r.Token)
	}
	slices.SortFunc(out, func(a, b Token) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Revoke deletes a token by its id; fault.NotFound when there is none.
func (t *Tokens) Revoke(ctx context.Context, id string) error {
	if _, err := t.store.Get(ctx, bucket, id); err != nil {
		if fault.Of(err) == fault.NotFound {
			return fault.New(fault.NotFound, "no token has the id %q", id)
		}
		return fmt.Errorf("token %s: %w", id, err)
	}
	if err := t.store.Delete(ctx, bucket, id); err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return nil
}

// Authenticate returns who a secret stands for. Whatever is wrong with it, the
// answer is the same fault.Unauthenticated, so that nothing can be learnt by
// trying; other codes mean that the store failed.
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Principal, error) {
	refused := fault.New(fault.Unauthenticated, "the token is unknown, revoked or expired")
	if !strings.HasPrefix(secret, Prefix) || len(secret) != len(Prefix)+base64.RawURLEncoding.EncodedLen(secretSize) {
		return Principal{}, refused
	}
	hash := sha256.Sum256([]byte(secret))
	value, err := t.store.Get(ctx, bucket, id(hash))
	if err != nil {
		if fault.Of(err) == fault.NotFound {
			return Principal{}, refused
		}
		return Principal{}, fmt.Errorf("read token: %w", err)
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return Principal{}, fmt.Errorf("stored token %s: %w", id(hash), err)
	}
	// The id is a prefix of the hash; the rest is compared in constant time.
	if subtle.ConstantTimeCompare(r.Hash, hash[:]) != 1 || expired(r.Token, t.now()) {
		return Principal{}, refused
	}
	return Principal{
		ID: r.ID, Name: r.Name, Role: r.Role,
		Scope: answer.Scope{Limited: len(r.Domains) > 0, Domains: r.Domains},
	}, nil
}

// Bootstrap writes a first admin token, named "admin", to a file of mode 0600
// when no token is stored yet, and tells whether it did. A file left behind by
// another directory is replaced.
func (t *Tokens) Bootstrap(ctx context.Context, path string) (bool, error) {
	existing, err := t.List(ctx)
	if err != nil || len(existing) > 0 {
		return false, err
	}
	secret, tok, err := t.Create(ctx, Spec{Name: "admin", Role: Admin})
	if err != nil {
		return false, err
	}
	if err := writeSecret(path, secret); err != nil {
		// A token that nobody holds would stop the next start from making one.
		return false, errors.Join(fmt.Errorf("first admin token: %w", err), t.Revoke(ctx, tok.ID))
	}
	return true, nil
}

// writeSecret creates the file anew, so that neither an older file's mode nor a
// link decides who may read it.
func writeSecret(path, secret string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func id(hash [sha256.Size]byte) string { return hex.EncodeToString(hash[:idSize]) }

func expired(t Token, now estate.Time) bool { return t.Expires != 0 && t.Expires <= now }
