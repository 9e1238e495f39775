package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"thymus/internal/fault"
)

func through(handler http.HandlerFunc) *client {
	return &client{base: "http://thymus", http: &http.Client{Transport: inProcess{handler}}}
}

func TestInProcess(t *testing.T) {
	c := through(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Seen", r.Method+" "+r.RequestURI)
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("Late", "yes") // after the status: not sent
		io.WriteString(w, strings.ToUpper(string(body)))
	})
	res, err := c.send(t.Context(), http.MethodPost, "/a/b", map[string][]string{"q": {"x y"}}, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "BODY" || res.StatusCode != http.StatusAccepted {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
	if got := res.Header.Get("Seen"); got != "POST /a/b?q=x+y" {
		t.Errorf("the handler saw %q", got)
	}
	if res.Header.Get("Late") != "" {
		t.Error("a header set after the status was sent")
	}
}

// An answer that breaks off is an error, never a shorter answer.
func TestInProcessPanics(t *testing.T) {
	c := through(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"half":`)
		panic("defect")
	})
	if _, err := c.call(t.Context(), http.MethodGet, "/", nil, "", nil); fault.Of(err) != fault.Internal {
		t.Errorf("got %v", err)
	}
}

func TestInProcessGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := through(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.call(ctx, http.MethodGet, "/", nil, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestProblem(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		code       fault.Code
		message    string
	}{
		{"ours", `{"title":"Not Found","status":404,"detail":"no service is called x","code":"not_found"}`, 404, fault.NotFound, "no service is called x"},
		{"places", `{"title":"Bad Request","detail":"wrong","code":"invalid","errors":[{"message":"too large","location":"query.limit"}]}`, 400, fault.Invalid, "wrong; too large (query.limit)"},
		{"of a proxy", "<html>bad gateway</html>", 502, fault.Unavailable, "the server answered 502 Bad Gateway"},
		{"hostile", "{\"detail\":\"\\u001b[2Jgone\",\"code\":\"invalid\"}", 400, fault.Invalid, "\ufffd[2Jgone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := through(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			_, err := c.call(t.Context(), http.MethodGet, "/", nil, "", nil)
			if fault.Of(err) != tt.code || err.Error() != tt.message {
				t.Errorf("got %s: %v", fault.Of(err), err)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		env        map[string]string
		want       string
	}{
		{"flag", "a", map[string]string{"THYMUS_DATA": "b"}, "a"},
		{"environment", "", map[string]string{"THYMUS_DATA": "b", "HOME": "/h"}, "b"},
		{"xdg", "", map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/thymus"},
		{"relative xdg is to be ignored", "", map[string]string{"XDG_DATA_HOME": "x", "HOME": "/h"}, "/h/.local/share/thymus"},
		{"nothing", "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &session{env: tt.env, data: tt.data}
			got, err := s.directory()
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
