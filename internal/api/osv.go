package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"thymus/internal/answer"
	"thymus/internal/fault"
)

// OSV's API (https://google.github.io/osv.dev/api/), answered from the stored
// advisories. Queries by commit are not answered. Where OSV would know and we
// do not (a commit, an ecosystem without a feed), a single query fails, and a
// batch has an empty result and counts it in the header Thymus-Not-Assessed,
// since clients give up a whole batch for one error.

const (
	osvPage    = 1000 // records of one answer, as at OSV
	osvQueries = 1000 // of one batch, as at OSV
)

type osvQuery struct {
	Commit  string `json:"commit"`
	Version string `json:"version"`
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
		Purl      string `json:"purl"`
	} `json:"package"`
	PageToken string `json:"page_token"`
}

type osvVulns struct {
	Vulns []json.RawMessage `json:"vulns,omitempty"`
	Next  string            `json:"next_page_token,omitempty"`
}

type osvID struct {
	ID       string `json:"id"`
	Modified string `json:"modified"`
}

type osvIDs struct {
	Vulns []osvID `json:"vulns,omitempty"`
	Next  string  `json:"next_page_token,omitempty"`
}

func (s *Server) osv() {
	s.mux.HandleFunc("POST /osv/v1/query", func(w http.ResponseWriter, r *http.Request) {
		var q osvQuery
		if err := readJSON(r, &q); err != nil {
			s.osvError(w, r, err)
			return
		}
		records, next, err := s.match(r, q, osvPage)
		if err != nil {
			s.osvError(w, r, err)
			return
		}
		out := osvVulns{Next: next}
		for _, x := range records {
			if len(x.Raw) == 0 { // the graph does not hold it
				if x, err = s.e.Record(r.Context(), x.ID); err != nil {
					s.osvError(w, r, err)
					return
				}
			}
			out.Vulns = append(out.Vulns, x.Raw)
		}
		s.writeJSON(w, r, out)
	})
	s.mux.HandleFunc("POST /osv/v1/querybatch", func(w http.ResponseWriter, r *http.Request) {
		var batch struct {
			Queries []osvQuery `json:"queries"`
		}
		if err := readJSON(r, &batch); err != nil {
			s.osvError(w, r, err)
			return
		}
		if len(batch.Queries) > osvQueries {
			s.osvError(w, r, fault.New(fault.Invalid, "%d queries; at most %d", len(batch.Queries), osvQueries))
			return
		}
		out := struct {
			Results []osvIDs `json:"results"`
		}{make([]osvIDs, len(batch.Queries))}
		unassessed := 0
		for i, q := range batch.Queries {
			records, next, err := s.match(r, q, osvPage)
			if fault.Of(err) == fault.NotAssessed {
				unassessed++
				continue
			}
			if err != nil {
				s.osvError(w, r, err)
				return
			}
			out.Results[i].Next = next
			for _, x := range records {
				out.Results[i].Vulns = append(out.Results[i].Vulns, osvID{x.ID, x.Modified.String()})
			}
		}
		if unassessed > 0 {
			w.Header().Set("Thymus-Not-Assessed", strconv.Itoa(unassessed))
		}
		s.writeJSON(w, r, out)
	})
	s.mux.HandleFunc("GET /osv/v1/vulns/{id}", func(w http.ResponseWriter, r *http.Request) {
		x, err := s.e.Record(r.Context(), r.PathValue("id"))
		if err != nil {
			s.osvError(w, r, err)
			return
		}
		s.writeJSON(w, r, json.RawMessage(x.Raw))
	})
}

// match answers one query with a page of records, in the order of their ids.
func (s *Server) match(r *http.Request, q osvQuery, limit int) (records []answer.OSVRecord, next string, err error) {
	purlVersion := false
	if last := q.Package.Purl[strings.LastIndexByte(q.Package.Purl, '/')+1:]; strings.Contains(last, "@") {
		purlVersion = true
	}
	switch {
	case q.Commit != "" && q.Package.Purl == "" && q.Package.Name == "":
		return nil, "", fault.New(fault.NotAssessed, "queries by commit are not answered here")
	case q.Package.Purl == "" && (q.Package.Name == "" || q.Package.Ecosystem == ""):
		return nil, "", fault.New(fault.Invalid, "package: want a purl, or a name and an ecosystem")
	case q.Package.Purl != "" && (q.Package.Name != "" || q.Package.Ecosystem != ""):
		return nil, "", fault.New(fault.Invalid, "package: want either a purl, or a name and an ecosystem")
	case purlVersion && q.Version != "":
		return nil, "", fault.New(fault.Invalid, "version: the purl has one, too")
	}
	after, err := base64.RawURLEncoding.DecodeString(q.PageToken)
	if err != nil {
		return nil, "", fault.New(fault.Invalid, "page_token: %q is none of ours", q.PageToken)
	}
	a, err := s.e.Asker(r.Context(), 0)
	if err != nil {
		return nil, "", err
	}
	all, err := a.OSVMatch(r.Context(), answer.OSVQuery{Ecosystem: q.Package.Ecosystem, Name: q.Package.Name, Purl: q.Package.Purl, Version: q.Version})
	if err != nil {
		return nil, "", err
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b answer.OSVRecord) int { return strings.Compare(a.ID, b.ID) })
	from, _ := slices.BinarySearchFunc(all, string(after), func(x answer.OSVRecord, id string) int {
		if x.ID <= id {
			return -1
		}
		return 1
	})
	if all = all[from:]; len(all) > limit {
		all = all[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(all[limit-1].ID))
	}
	return all, next, nil
}

// osvError has the shape of OSV's errors, with the members of ours added.
func (s *Server) osvError(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problem(r.Context(), err)
	// Codes of gRPC, as OSV uses them.
	code := map[fault.Code]int{fault.NotFound: 5, fault.Invalid: 3, fault.TooLarge: 3, fault.NotAssessed: 9, fault.Unavailable: 14}[p.Code]
	if code == 0 {
		code = 13
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	// The status has been sent: nothing more can be told.
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": p.Detail, "title": p.Title, "status": p.Status, "incident": p.Incident})
}

// readJSON reads one JSON value; members that it does not know are passed over,
// as the services that it stands in for do.
func readJSON(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	err := d.Decode(v)
	if err == nil && d.More() {
		err = fault.New(fault.Invalid, "body: more than one JSON value")
	}
	if err == nil || isLimit(err) || fault.Of(err) == fault.Invalid {
		return err
	}
	return fault.New(fault.Invalid, "body: %w", err)
}

func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A connection that breaks now can be told nothing more.
	_, _ = w.Write(body)
}
