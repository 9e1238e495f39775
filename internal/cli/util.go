package cli

import (
	"bytes"
	"encoding/json"
	"time"

	"thymus/internal/fault"
)

// jsonBody renders a request's body.
func jsonBody(v any) (*bytes.Buffer, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.Internal, "request: %w", err)
	}
	return bytes.NewBuffer(raw), nil
}

// freshName names a token that was given no name; names are unique.
func freshName(role string) string {
	return role + " " + time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
}

// short is the beginning of a hash: enough to tell it from others.
func short(hash string) string { return hash[:min(len(hash), 12)] }
