package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"thymus/internal/access"
	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/feed"
)

// TokenSpec says what token to create.
type TokenSpec struct {
	Name    string      `json:"name" minLength:"1" maxLength:"100" doc:"Facts show it as their source; unique"`
	Role    access.Role `json:"role"`
	Domains []string    `json:"domains,omitempty" doc:"Limits it to these domains and their sub-domains; never an admin"`
	Expires estate.Time `json:"expires,omitempty" doc:"Left out: never"`
}

// NewToken is a token with its secret, which nobody can read again.
type NewToken struct {
	access.Token
	Secret string `json:"secret"`
}

// TokenList is the answer to GET /tokens.
type TokenList struct {
	Items []access.Token `json:"items"`
}

// Retention says what to drop; facts stay.
type Retention struct {
	Evidence  estate.Time `json:"evidence,omitempty" doc:"Bodies of SBOMs that were replaced before this time"`
	Revisions estate.Time `json:"revisions,omitempty" doc:"Revisions of advisories that were superseded before this time"`
}

// Dropped counts what retention removed.
type Dropped struct {
	Bodies    int `json:"bodies"`
	Revisions int `json:"revisions"`
}

// Done is the answer where there is nothing more to say.
type Done struct {
	Done bool `json:"done"`
}

// FeedUpdate says which ecosystems to fetch.
type FeedUpdate struct {
	Ecosystems []string `json:"ecosystems,omitempty" doc:"OSV's names; left out: those in use"`
}

func (s *Server) admin() {
	add(s, s.operation(http.MethodGet, root+"/tokens", "tokens", "All tokens, without their secrets", nil),
		func(ctx context.Context, _ *struct{}) (*TokenList, error) {
			if s.o.Tokens == nil {
				return nil, errNoTokens
			}
			items, err := s.o.Tokens.List(ctx)
			return &TokenList{items}, err
		})
	add(s, s.operation(http.MethodPost, root+"/tokens", "create-token", "Make a token; its secret is shown once", func(op *huma.Operation) { op.DefaultStatus = http.StatusCreated }),
		func(ctx context.Context, in *struct{ Body TokenSpec }) (*NewToken, error) {
			if s.o.Tokens == nil {
				return nil, errNoTokens
			}
			secret, t, err := s.o.Tokens.Create(ctx, access.Spec{Name: in.Body.Name, Role: in.Body.Role, Domains: in.Body.Domains, Expires: in.Body.Expires})
			return &NewToken{t, secret}, err
		})
	huma.Register(s.api, s.operation(http.MethodDelete, root+"/tokens/{id}", "revoke-token", "Refuse a token from now on", nil),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*struct{}, error) {
			if s.o.Tokens == nil {
				return nil, s.problem(ctx, errNoTokens)
			}
			if err := s.o.Tokens.Revoke(ctx, in.ID); err != nil {
				return nil, s.problem(ctx, err)
			}
			return nil, nil
		})
	add(s, s.operation(http.MethodPost, root+"/rebuild", "rebuild", "Read all evidence again", nil),
		func(ctx context.Context, _ *struct{}) (*Done, error) {
			return &Done{true}, s.e.Rebuild(ctx)
		})
	add(s, s.operation(http.MethodPost, root+"/retention", "retention", "Drop documents that were replaced and revisions that were superseded", nil),
		func(ctx context.Context, in *struct{ Body Retention }) (*Dropped, error) {
			if in.Body == (Retention{}) {
				return nil, fault.New(fault.Invalid, "say what to drop: evidence, revisions or both")
			}
			d, err := s.e.Retain(ctx, in.Body.Evidence, in.Body.Revisions)
			return &d, err
		})
	add(s, s.operation(http.MethodPost, root+"/feeds/update", "update-feeds", "Fetch what is new in the feeds, now", nil),
		func(ctx context.Context, in *struct {
			Body *FeedUpdate
		}) (*feed.Report, error) {
			if s.o.Feeds == nil {
				return nil, errNoFeeds
			}
			ecosystems := feed.Ecosystems(s.e.EcosystemsInUse())
			if in.Body != nil && len(in.Body.Ecosystems) > 0 {
				ecosystems = in.Body.Ecosystems
			}
			r, err := s.o.Feeds.Update(ctx, ecosystems, nil)
			return &r, err
		})
	add(s, s.operation(http.MethodPost, root+"/feeds/import", "import-feeds", "Import an offline bundle, an archive of advisories, or one document of a feed", func(op *huma.Operation) {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/zip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}), s.importFeeds)
	huma.Register(s.api, s.operation(http.MethodGet, root+"/feeds/export", "export-feeds", "An offline bundle of all feeds", binary("application/zip")), s.exportFeeds)
}

var errNoTokens = fault.New(fault.Unavailable, "this server has no tokens")

// importInput says where an imported file lay.
type importInput struct {
	request
	Name string `query:"name" maxLength:"200" doc:"Where the file lies in OSV's layout: npm/all.zip, kev.json, epss.csv; then it counts as that feed, as it does in an imported folder. Left out, or another name: only its records are taken"`
}

// importFeeds keeps the file on disk, since it may be larger than memory, and
// under the name that it had, since an archive's folder names its ecosystem.
func (s *Server) importFeeds(ctx context.Context, in *importInput) (_ *feed.Report, err error) {
	if s.o.Feeds == nil {
		return nil, errNoFeeds
	}
	name := cmpOr(in.Name, "import")
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(name) || strings.Contains(name, `\`) || strings.Count(name, "/") > 1 {
		return nil, fault.New(fault.Invalid, "parameter name: %q is neither a file nor FOLDER/FILE", in.Name)
	}
	dir, err := os.MkdirTemp("", "thymus-import-*")
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := keep(path, in.r.Body); err != nil {
		return nil, err
	}
	switch name {
	case "kev.json", "epss.csv", "epss.csv.gz": // of a folder: the whole feed, and not one document
		path = dir
	}
	r, err := s.o.Feeds.Import(ctx, path, nil)
	if code := fault.Of(err); err != nil && code != fault.Internal {
		// The sender knows the file by its own name.
		err = fault.New(code, "%s", strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	}
	return &r, err
}

// keep writes a request's body to a new file.
func keep(path string, body io.Reader) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	_, err = io.Copy(f, body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// exportFeeds writes the bundle to disk first, so that its checksum can stand
// in a header and an error can still be told.
func (s *Server) exportFeeds(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	if s.o.Feeds == nil {
		return nil, s.problem(ctx, errNoFeeds)
	}
	f, err := os.CreateTemp("", "thymus-export-*")
	if err != nil {
		return nil, s.problem(ctx, fmt.Errorf("export: %w", err))
	}
	_, sum, err := s.o.Feeds.Export(ctx, f, s.e.Export())
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, s.problem(ctx, errors.Join(err, os.Remove(f.Name())))
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer os.Remove(f.Name())
		defer f.Close()
		c.SetHeader("Content-Type", "application/zip")
		c.SetHeader("Content-Disposition", `attachment; filename="thymus-feeds.zip"`)
		c.SetHeader("Thymus-Sha256", sum)
		c.SetStatus(http.StatusOK)
		if _, err := io.Copy(c.BodyWriter(), f); err != nil {
			// The answer has begun: cut the connection, so that nobody takes it for whole.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
