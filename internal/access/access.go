// Package access says who may do what: tokens with a role and a scope, and the
// principal that a request acts as.
//
// A token is 256 random bits that the caller keeps; Thymus stores its SHA-256
// alone, so a copy of the database opens nothing. A plain hash is enough here,
// since there is nothing to guess in 256 random bits. A request shows the
// token, Authenticate turns it into a Principal, the face puts that in the
// request's context, and answers receive its scope.
package access

import (
	"context"
	"fmt"
	"strings"

	"thymus/internal/answer"
)

// Role says what a principal may do. Each role may do what those below it may.
type Role uint8

// The roles, in rising order. The zero value may do nothing.
const (
	NoRole    Role = iota
	Reader         // ask, within scope
	Publisher      // push documents, deployments and verdicts, within scope
	Admin          // everything; never limited to domains
)

var roleNames = [...]string{"none", "reader", "publisher", "admin"}

// String returns the lower-case name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return roleNames[NoRole]
}

// May tells whether the role is at least the needed one. Nothing may be done
// without a role, not even when none is needed.
func (r Role) May(needed Role) bool { return r != NoRole && r <= Admin && r >= needed }

// MarshalText renders String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "reader", "publisher" or "admin".
func (r *Role) UnmarshalText(b []byte) error {
	v, err := ParseRole(string(b))
	*r = v
	return err
}

// ParseRole reads "reader", "publisher" or "admin", in any case.
func ParseRole(name string) (Role, error) {
	for r := Reader; r <= Admin; r++ {
		if strings.EqualFold(name, roleNames[r]) {
			return r, nil
		}
	}
	return NoRole, fmt.Errorf("role %q is unknown; want reader, publisher or admin", name)
}

// Principal is who a request acts as.
type Principal struct {
	ID    string // of the token; "" for local callers
	Name  string // of the token; facts show it as their source
	Role  Role
	Scope answer.Scope
}

// Local is the principal of whoever may open the socket in the data directory.
func Local() Principal { return Principal{Name: "local", Role: Admin} }

type contextKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the principal of a context; the zero Principal, which may do
// nothing and sees nothing, when there is none.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(contextKey{}).(Principal); ok {
		return p
	}
	return Principal{Scope: answer.Scope{Limited: true}}
}
