// Package fault is the one typed error of Thymus: a machine code for programs
// and a message for people. A code is mapped once to a process exit code and to
// an HTTP status, here and nowhere else, so that the command line, the API and
// the screens agree about what went wrong.
//
// Every error without a code is internal: faces show an incident id for it and
// never its text.
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what kind of failure this is. The set is closed.
type Code string

// The codes.
const (
	// Invalid: the input is malformed. The message names the place.
	Invalid Code = "invalid"
	// TooLarge: the input is over a documented limit.
	TooLarge Code = "too_large"
	// Unsupported: the input is well formed, but no reader knows it.
	Unsupported Code = "unsupported"
	// NotFound: the noun asked for does not exist, or the caller may not know that it does.
	NotFound Code = "not_found"
	// Ambiguous: a name fits several nouns; the message lists them.
	Ambiguous Code = "ambiguous"
	// Conflict: the request contradicts what is stored.
	Conflict Code = "conflict"
	// Unauthenticated: no token, or one that is unknown, revoked or expired.
	Unauthenticated Code = "unauthenticated"
	// Forbidden: the token is good, and its role or scope does not allow this.
	Forbidden Code = "forbidden"
	// NotAssessed: the question cannot be answered, because a feed or an SBOM is missing.
	NotAssessed Code = "not_assessed"
	// Unavailable: try again later (shutting down, locked, overloaded).
	Unavailable Code = "unavailable"
	// Usage: the command was called wrongly.
	Usage Code = "usage"
	// Failed: a check ran, and its answer is no (affected, policy failed).
	Failed Code = "failed"
	// Internal: a defect, or the machine failed us.
	Internal Code = "internal"
)

// Exit codes of the thymus command.
const (
	ExitOK           = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitInternal     = 3
	ExitCannotAnswer = 4
)

// Error is a failure with a code. Wrap it with fmt.Errorf and %w freely: Of
// finds it again.
type Error struct {
	Code    Code
	Message string
	Err     error // the cause, or nil; its text is part of Error()
}

// Error returns the message and the cause's text.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	cause := e.Err.Error()
	if e.Message == "" {
		return cause
	}
	if cause == "" {
		return e.Message
	}
	return e.Message + ": " + cause
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error with a code and a formatted message. A %w in the format
// keeps its operand as the cause without printing it twice.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: quiet(errors.Unwrap(err))}
}

// quiet hides a cause's text, which New has printed already, and keeps its identity.
func quiet(err error) error {
	if err == nil {
		return nil
	}
	return silent{err}
}

type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// Of returns the code of the first coded error in err's chain; Internal for an
// error without one, and "" for nil.
func Of(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Exit maps a code to the exit code of the thymus command.
func Exit(err error) int {
	switch Of(err) {
	case "":
		return ExitOK
	case Failed:
		return ExitFailed
	case Usage, Invalid, TooLarge, Unsupported, NotFound, Ambiguous, Conflict, Unauthenticated, Forbidden:
		return ExitUsage
	case NotAssessed:
		return ExitCannotAnswer
	default:
		return ExitInternal
	}
}

// Status maps a code to an HTTP status.
func Status(err error) int {
	switch Of(err) {
	case "", Failed:
		return http.StatusOK
	case Usage, Invalid:
		return http.StatusBadRequest
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Unsupported:
		return http.StatusUnsupportedMediaType
	case NotFound:
		return http.StatusNotFound
	case Ambiguous, Conflict:
		return http.StatusConflict
	case Unauthenticated:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotAssessed:
		return http.StatusUnprocessableEntity
	case Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
