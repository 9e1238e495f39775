package fault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestCodesMapOnce(t *testing.T) {
	for code, want := range map[Code][2]int{
		Invalid: {ExitUsage, 400}, TooLarge: {ExitUsage, 413}, Unsupported: {ExitUsage, 415}, NotFound: {ExitUsage, 404},
		Ambiguous: {ExitUsage, 409}, Conflict: {ExitUsage, 409}, Unauthenticated: {ExitUsage, 401}, Forbidden: {ExitUsage, 403},
		NotAssessed: {ExitCannotAnswer, 422}, Unavailable: {ExitInternal, 503}, Usage: {ExitUsage, 400}, Failed: {ExitFailed, 200}, Internal: {ExitInternal, 500},
	} {
		err := fmt.Errorf("asking: %w", New(code, "no"))
		if Of(err) != code || Exit(err) != want[0] || Status(err) != want[1] {
			t.Errorf("%s: code %s, exit %d, status %d; want %v", code, Of(err), Exit(err), Status(err), want)
		}
	}
	if Of(nil) != "" || Exit(nil) != ExitOK || Status(nil) != http.StatusOK {
		t.Error("no error is fine")
	}
	if Of(io.EOF) != Internal {
		t.Error("an error without a code is internal")
	}
}

func TestCauseIsKeptAndPrintedOnce(t *testing.T) {
	err := New(Invalid, "cart.json: line 3: %w", io.ErrUnexpectedEOF)
	if got := err.Error(); got != "cart.json: line 3: unexpected EOF" {
		t.Errorf("message: %q", got)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	wrapped := &Error{Code: Internal, Err: io.EOF}
	if wrapped.Error() != "EOF" {
		t.Errorf("message: %q", wrapped.Error())
	}
}
