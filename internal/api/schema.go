package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"thymus/internal/access"
	"thymus/internal/estate"
)

const root = "/api/v1"

// newHuma makes the part that turns Go types into routes and an OpenAPI document.
func (s *Server) newHuma() huma.API {
	config := huma.DefaultConfig("Thymus", cmpOr(s.o.Version, "dev"))
	config.Info.Description = "Which releases run where, what they are made of, and what is wrong with it. See docs/api.md."
	config.CreateHooks = nil // no $schema members and Link headers
	config.OpenAPIPath = ""  // served from bytes made once, see spec
	config.DocsPath = ""     // it would load scripts from elsewhere
	config.SchemasPath = ""
	config.Transformers = []huma.Transformer{s.transform}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":  {Type: "http", Scheme: "bearer", Description: "A token, thy_…"},
		"apiKey": {Type: "apiKey", In: "header", Name: "X-Api-Key", Description: "The same token"},
	}
	config.Security = []map[string][]string{{"token": {}}, {"apiKey": {}}}
	schemas := config.Components.Schemas
	schemas.RegisterTypeAlias(reflect.TypeFor[estate.Time](), reflect.TypeFor[timeSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[estate.Severity](), reflect.TypeFor[severitySchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[access.Role](), reflect.TypeFor[roleSchema]())
	api := humago.New(s.mux, config)
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { next(&exchange{base: ctx}) })
	return api
}

type (
	timeSchema     struct{}
	severitySchema struct{}
	roleSchema     struct{}
)

// Schema describes estate.Time as JSON has it.
func (timeSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true, Description: "RFC 3339, or a date; null: not stated, or for ever"}
}

// Schema describes estate.Severity as JSON has it.
func (severitySchema) Schema(huma.Registry) *huma.Schema {
	out := &huma.Schema{Type: huma.TypeString}
	for v := estate.Unscored; v <= estate.Malware; v++ {
		out.Enum = append(out.Enum, v.String())
	}
	return out
}

// Schema describes access.Role as JSON has it.
func (roleSchema) Schema(huma.Registry) *huma.Schema {
	out := &huma.Schema{Type: huma.TypeString}
	for r := access.Reader; r <= access.Admin; r++ {
		out.Enum = append(out.Enum, r.String())
	}
	return out
}

// operation describes a route; edit may be nil.
func (s *Server) operation(method, path, id, summary string, edit func(*huma.Operation)) huma.Operation {
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		MaxBodyBytes: s.rules[method+" "+path].body,
		Responses: map[string]*huma.Response{"default": {
			Description: "What went wrong",
			Content: map[string]*huma.MediaType{"application/problem+json": {
				Schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem"),
			}},
		}},
	}
	if edit != nil {
		edit(&op)
	}
	return op
}

// out is an answer with a JSON body.
type out[T any] struct{ Body *T }

// add registers a route whose answer is JSON.
func add[I, O any](s *Server, op huma.Operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*out[O], error) {
		v, err := f(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return &out[O]{v}, nil
	})
}

// request is an input that hands the HTTP request to its handler, for bodies
// that are no JSON. It is embedded.
type request struct{ r *http.Request }

// Resolve is called by huma before the handler.
func (q *request) Resolve(ctx huma.Context) []error {
	q.r, _ = humago.Unwrap(ctx)
	return nil
}

// spec is the OpenAPI document, made when it is first asked for.
type spec struct{ json, yaml func() ([]byte, error) }

func newSpec(o *huma.OpenAPI) spec {
	return spec{
		json: sync.OnceValues(func() ([]byte, error) { return json.Marshal(o) }),
		yaml: sync.OnceValues(o.YAML),
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
