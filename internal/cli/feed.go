package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

func (s *session) feedCommand() *cobra.Command {
	return s.family("feed", "Advisories and exploit signals from outside", s.feedList(), s.feedUpdate(), s.feedImport(), s.feedExport())
}

// feedItems is the API's list of feeds.
type feedItems struct {
	Items []struct {
		Feed    string      `json:"feed"`
		URL     string      `json:"url"`
		Newest  estate.Time `json:"newest"`
		OK      estate.Time `json:"ok"`
		Error   string      `json:"error"`
		Records int         `json:"records"`
	} `json:"items"`
	Missing []string `json:"missing"`
}

func (s *session) feedList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All feeds, and how old their data is", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			_, err := ask(ctx, s, "/api/v1/feeds", nil, func(l *feedItems) {
				if len(l.Items) == 0 {
					s.out.say(yellow, "No feed has been read. “thymus feed update” fetches, “thymus feed import” reads from a file.")
				}
				if len(l.Missing) > 0 {
					s.out.say(yellow, "In use, and without a feed: "+list(l.Missing, 20)+".")
				}
				var rows [][]cell
				for _, f := range l.Items {
					state := cell{"fine", green}
					if f.Error != "" {
						state = cell{f.Error, red}
					}
					rows = append(rows, row(f.Feed, f.Newest, f.OK, f.Records, state, f.URL))
				}
				s.out.table([]string{"FEED", "NEWEST RECORD", "READ", "RECORDS", "STATE", "FROM"}, rows)
			})
			return err
		}),
	}
}

// feedReport is the API's answer to an update or an import.
type feedReport struct {
	Feeds []struct {
		Feed      string   `json:"feed"`
		Unchanged bool     `json:"unchanged"`
		Records   int      `json:"records"`
		Changed   int      `json:"changed"`
		Refused   int      `json:"refused"`
		Opened    int      `json:"opened"`
		Closed    int      `json:"closed"`
		Notes     []string `json:"notes"`
		Error     string   `json:"error"`
	} `json:"feeds"`
}

// showFeeds shows what was read.
func (s *session) showFeeds(r *feedReport) {
	var rows [][]cell
	for _, f := range r.Feeds {
		state := cell{"read", green}
		switch {
		case f.Error != "":
			state = cell{f.Error, red}
		case f.Unchanged:
			state = cell{"unchanged", plain}
		}
		rows = append(rows, row(f.Feed, state, f.Records, f.Changed, f.Refused, f.Opened, f.Closed))
	}
	s.out.table([]string{"FEED", "STATE", "RECORDS", "CHANGED", "REFUSED", "OPENED", "CLOSED"}, rows)
	for _, f := range r.Feeds {
		for _, n := range f.Notes {
			s.out.line("%s: %s", f.Feed, n)
		}
	}
}

// sendFeeds asks for an update or an import and prints its report.
func (s *session) sendFeeds(ctx context.Context, c *client, what, path string, query url.Values, body io.Reader) error {
	stop := s.errs.progress(what)
	mime := ""
	if body != nil {
		mime = "application/zip"
	}
	raw, err := c.call(ctx, http.MethodPost, path, query, mime, body)
	stop()
	if err != nil {
		return err
	}
	return s.reportFeeds(raw)
}

// reportFeeds prints a report, and fails when a feed did.
func (s *session) reportFeeds(raw []byte) error {
	r, err := present(s, raw, s.showFeeds)
	if err != nil {
		return err
	}
	for _, f := range r.Feeds {
		if f.Error != "" {
			return fault.New(fault.Unavailable, "feed %s: %s", f.Feed, f.Error)
		}
	}
	return nil
}

func (s *session) feedUpdate() *cobra.Command {
	return &cobra.Command{
		Use: "update", Short: "Fetch what is new for the ecosystems in use", Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			return s.with(ctx, func(c *client) error {
				return s.sendFeeds(ctx, c, "fetching feeds", "/api/v1/feeds/update", nil, nil)
			})
		}),
	}
}

func (s *session) feedExport() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "export --file FILE", Short: "Write everything that the feeds brought to one file, for a place without a network",
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) error {
			if file == "" {
				return fault.New(fault.Usage, "--file is missing; - is the standard output")
			}
			return s.with(ctx, func(c *client) error {
				stop := s.errs.progress("exporting feeds")
				defer stop()
				res, err := c.send(ctx, http.MethodGet, "/api/v1/feeds/export", nil, "", nil)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if file == "-" {
					_, err = io.Copy(s.out.w, res.Body)
					return err
				}
				return writeWhole(file, res.Body)
			})
		}),
	}
	c.Flags().StringVar(&file, "file", "", "write to this `file`; - is the standard output")
	return c
}

func (s *session) feedImport() *cobra.Command {
	return &cobra.Command{
		Use: "import PATH", Short: "Read advisories and signals from a file or folder instead of the network",
		Long: `Reads what an update would fetch: a bundle written by “thymus feed export”, a
folder with the layout of OSV's export (npm/all.zip, …, and kev.json, epss.csv),
one archive of OSV records, or one document.`,
		Args: exactly("a file or a folder"),
		RunE: s.do(func(ctx context.Context, args []string) error {
			return s.importFeeds(ctx, args[0])
		}),
	}
}

func (s *session) importFeeds(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	return s.with(ctx, func(c *client) error {
		if c.host != nil {
			// This process owns the data: no need to copy gigabytes to itself.
			stop := s.errs.progress("importing " + path)
			raw, err := c.host.Import(ctx, path)
			stop()
			if err != nil {
				return err
			}
			return s.reportFeeds(raw)
		}
		if !info.IsDir() {
			// With its folder, which in OSV's layout is the ecosystem.
			whole, err := filepath.Abs(path)
			if err != nil {
				return wrapf(err, "file %s", path)
			}
			return s.upload(ctx, c, path, filepath.Base(filepath.Dir(whole))+"/"+filepath.Base(whole))
		}
		files, err := importable(path)
		if err != nil {
			return err
		}
		for _, file := range files {
			name, err := filepath.Rel(path, file)
			if err == nil {
				err = s.upload(ctx, c, file, filepath.ToSlash(name))
			}
			if err != nil {
				return wrapf(err, "%s", file)
			}
		}
		return nil
	})
}

// importable are the files of a folder that an import takes.
func importable(dir string) ([]string, error) {
	var out []string
	for _, pattern := range []string{"*/all.zip", "kev.json", "epss.csv", "epss.csv.gz"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", dir, err)
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "folder %s has neither ECOSYSTEM/all.zip nor kev.json nor epss.csv", dir)
	}
	return out, nil
}

// upload sends one file, with its name in OSV's layout.
func (s *session) upload(ctx context.Context, c *client, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	defer f.Close()
	return s.sendFeeds(ctx, c, "importing "+file, "/api/v1/feeds/import", url.Values{"name": {name}}, f)
}
