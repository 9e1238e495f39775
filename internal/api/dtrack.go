package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"thymus/internal/access"
	"thymus/internal/estate"
	"thymus/internal/fault"
)

// Dependency-Track's upload of SBOMs (its REST API v1), so that pipelines that
// push there push here by a change of address and key. A project is a service,
// "[namespace/]name", and its version a release. Uploads are stored when they
// are answered, so that no token is ever still being processed.

// dtrackVersion is the version whose behaviour is followed; clients compare it.
const dtrackVersion = "4.13.0"

// dtrackPrefixes: clients hard-code paths at the root.
var dtrackPrefixes = [...]string{"", "/dtrack"}

const maxField = 4 << 10 // bytes of a form's field

func (s *Server) dtrack() {
	for _, prefix := range dtrackPrefixes {
		s.mux.HandleFunc("PUT "+prefix+"/api/v1/bom", s.dtrackPut)
		s.mux.HandleFunc("POST "+prefix+"/api/v1/bom", s.dtrackPost)
		processed := func(w http.ResponseWriter, r *http.Request) { s.writeJSON(w, r, map[string]bool{"processing": false}) }
		s.mux.HandleFunc("GET "+prefix+"/api/v1/bom/token/{uuid}", processed)
		s.mux.HandleFunc("GET "+prefix+"/api/v1/event/token/{uuid}", processed)
		s.mux.HandleFunc("GET "+prefix+"/api/v1/project/lookup", s.dtrackLookup)
		s.mux.HandleFunc("GET "+prefix+"/api/v1/team/self", func(w http.ResponseWriter, r *http.Request) {
			p := access.From(r.Context())
			permissions := []map[string]string{{"name": "VIEW_PORTFOLIO"}}
			if p.Role.May(access.Publisher) {
				permissions = append(permissions, map[string]string{"name": "BOM_UPLOAD"}, map[string]string{"name": "PROJECT_CREATION_UPLOAD"})
			}
			s.writeJSON(w, r, map[string]any{"uuid": uuid("team", p.Name), "name": p.Name, "permissions": permissions})
		})
		s.mux.HandleFunc("GET "+prefix+"/api/version", func(w http.ResponseWriter, r *http.Request) {
			s.writeJSON(w, r, map[string]any{
				"version": dtrackVersion, "application": "Thymus, as Dependency-Track", "uuid": uuid("application"),
				"systemUuid": uuid("system"), "timestamp": "", "framework": map[string]string{},
			})
		})
	}
}

// upload is what a client sends, in either form.
type upload struct {
	Project string `json:"project"` // a UUID
	Name    string `json:"projectName"`
	Version string `json:"projectVersion"`
	BOM     string `json:"bom"` // base64
}

// dtrackPut takes the SBOM as base64 in JSON.
func (s *Server) dtrackPut(w http.ResponseWriter, r *http.Request) {
	raw, release, err := s.body(r.Context(), r, encoded)
	defer release()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var u upload
	if err := json.Unmarshal(raw, &u); err != nil {
		s.refuse(w, r, fault.New(fault.Invalid, "body: %w", err))
		return
	}
	bom, err := base64.StdEncoding.DecodeString(strings.TrimSpace(u.BOM))
	if err != nil {
		s.refuse(w, r, fault.New(fault.Invalid, "bom: no base64: %w", err))
		return
	}
	s.dtrackUpload(w, r, u, bom)
}

// dtrackPost takes the SBOM as a part of a form.
func (s *Server) dtrackPost(w http.ResponseWriter, r *http.Request) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		s.refuse(w, r, fault.New(fault.Unsupported, "want multipart/form-data"))
		return
	}
	raw, release, err := s.body(r.Context(), r, document+small)
	defer release()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var u upload
	var bom []byte
	form := multipart.NewReader(strings.NewReader(string(raw)), params["boundary"])
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.refuse(w, r, fault.New(fault.Invalid, "form: %w", err))
			return
		}
		limit := int64(maxField)
		if part.FormName() == "bom" {
			limit = document
		}
		value, err := io.ReadAll(io.LimitReader(part, limit+1))
		if err != nil {
			s.refuse(w, r, fault.New(fault.Invalid, "form: %s: %w", part.FormName(), err))
			return
		}
		if int64(len(value)) > limit {
			s.refuse(w, r, fault.New(fault.TooLarge, "form: %s has more than %d bytes", part.FormName(), limit))
			return
		}
		switch part.FormName() {
		case "bom":
			bom = value
		case "project":
			u.Project = string(value)
		case "projectName":
			u.Name = string(value)
		case "projectVersion":
			u.Version = string(value)
		}
	}
	s.dtrackUpload(w, r, u, bom)
}

// dtrackUpload stores an SBOM.
func (s *Server) dtrackUpload(w http.ResponseWriter, r *http.Request, u upload, bom []byte) {
	p := access.From(r.Context())
	u.Name, u.Version = strings.TrimSpace(u.Name), strings.TrimSpace(u.Version)
	if u.Name == "" {
		if u.Project != "" {
			s.refuse(w, r, fault.New(fault.NotFound, "projects have no UUID here: send projectName and projectVersion"))
			return
		}
		s.refuse(w, r, fault.New(fault.Invalid, "projectName is missing"))
		return
	}
	sub := subjectOf(u.Name, u.Version)
	if sub.Name == "" {
		s.refuse(w, r, fault.New(fault.Invalid, "projectName %q names no service; want [namespace/]name", u.Name))
		return
	}
	err := s.mayPush(r.Context(), p, sub.Service())
	if err == nil {
		_, err = s.push(r.Context(), p, bom, estate.Claim{Source: p.Name, Subject: sub})
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.writeJSON(w, r, map[string]string{"token": uuid("upload", sub.String(), fmt.Sprintf("%x", sha256.Sum256(bom)))})
}

// subjectOf reads a project's name. It may hold an "@", as in npm's scopes, so
// that estate.ParseSubject would cut it.
func subjectOf(name, version string) estate.Subject {
	sub := estate.Subject{Name: name, Version: version}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		sub.Namespace, sub.Name = name[:i], name[i+1:]
	}
	return sub
}

// dtrackLookup answers whether a release is known.
func (s *Server) dtrackLookup(w http.ResponseWriter, r *http.Request) {
	name, version := r.URL.Query().Get("name"), r.URL.Query().Get("version")
	if name == "" || version == "" {
		s.refuse(w, r, fault.New(fault.Invalid, "name and version are needed"))
		return
	}
	q, err := s.asking(r.Context(), answerNow)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	release, err := q.Release(r.Context(), q.scope, q.when, name+"@"+version)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	out := map[string]any{
		"uuid": uuid("project", release.Service, release.Version), "name": release.Service, "version": release.Version,
		"classifier": "APPLICATION", "active": true,
	}
	if n := len(release.SBOMs); n > 0 {
		out["lastBomImport"], out["lastBomImportFormat"] = int64(release.SBOMs[n-1].Known), release.SBOMs[n-1].Format
	}
	s.writeJSON(w, r, out)
}

// uuid makes a UUID of what it names: the same each time (RFC 9562, version 8).
func uuid(parts ...string) string {
	h := sha256.Sum256([]byte("thymus\x00" + strings.Join(parts, "\x00")))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
