package feed

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

const (
	manifestName  = "manifest.json"
	bundleFormat  = "thymus feed bundle"
	bundleVersion = 1
	maxManifest   = 16 << 20
	maxMembers    = 1000
)

// Manifest lists what an offline bundle holds. A bundle is a zip archive with
// the layout of OSV's export (<ecosystem>/all.zip, kept without compression),
// kev.json, epss.csv.gz and this manifest as manifest.json.
type Manifest struct {
	Format  string      `json:"format"` // "thymus feed bundle"
	Version int         `json:"version"`
	Created estate.Time `json:"created"`
	Members []Member    `json:"members"`
}

// Member is one file of a bundle. State says how old its data is; it becomes
// the state of the feed where the bundle is imported.
type Member struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
	State  State  `json:"state"`
}

// Records reads stored advisories back: the newest revision of every record that
// names a package of the ecosystem (OSV's name without suffix), as received.
type Records interface {
	Records(ctx context.Context, ecosystem string) iter.Seq2[[]byte, error]
}

// Export writes everything that the feeds brought to one offline bundle. It
// returns the manifest and the SHA-256 of the bundle, to be carried apart from
// it: checksums inside prove that a bundle is whole, not who made it.
func (c *Client) Export(ctx context.Context, w io.Writer, from Records) (Manifest, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	states, err := States(ctx, c.store)
	if err != nil {
		return Manifest{}, "", err
	}
	m := Manifest{Format: bundleFormat, Version: bundleVersion, Created: c.o.Now()}
	sum := sha256.New()
	out := zip.NewWriter(io.MultiWriter(w, sum))
	for _, s := range states {
		if s.OKAt == 0 {
			continue
		}
		member, err := c.exportMember(ctx, out, from, s)
		if err != nil {
			return Manifest{}, "", fmt.Errorf("export feed %s: %w", s.Feed, err)
		}
		if member.Name != "" {
			m.Members = append(m.Members, member)
		}
	}
	if len(m.Members) == 0 {
		return Manifest{}, "", fault.New(fault.NotFound, "no feed has been fetched: there is nothing to export")
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Manifest{}, "", fmt.Errorf("bundle manifest: %w", err)
	}
	entry, err := out.Create(manifestName)
	if err == nil {
		_, err = entry.Write(text)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return Manifest{}, "", fmt.Errorf("write bundle: %w", err)
	}
	return m, hex.EncodeToString(sum.Sum(nil)), nil
}

// exportMember writes one feed; the member has no name when there is nothing of it.
func (c *Client) exportMember(ctx context.Context, out *zip.Writer, from Records, s State) (Member, error) {
	// The exporter's downloads mean nothing elsewhere, and Recent is computed anew.
	m := Member{State: s}
	m.State.ETag, m.State.LastModified, m.State.ZipETag, m.State.ZipModified = "", "", "", ""
	m.State.From, m.State.Recent = 0, nil
	var source *os.File
	if ecosystem, ok := strings.CutPrefix(s.Feed, osvPrefix); ok {
		f, err := os.CreateTemp(c.o.Dir, "export-*.zip")
		if err != nil {
			return m, err
		}
		defer func() { f.Close(); os.Remove(f.Name()) }()
		n, err := packRecords(f, from.Records(ctx, ecosystem))
		if err != nil || n == 0 {
			return m, err
		}
		source, m.Name, m.State.Records = f, ecosystem+"/"+archiveName, n
	} else {
		for _, sig := range c.signals() {
			if sig.feed == s.Feed {
				m.Name = sig.file
			}
		}
		f, err := os.Open(filepath.Join(c.o.Dir, m.Name))
		if m.Name == "" || errors.Is(err, fs.ErrNotExist) {
			return Member{}, nil
		}
		if err != nil {
			return m, err
		}
		defer f.Close()
		source = f
	}
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return m, err
	}
	entry, err := out.CreateHeader(&zip.FileHeader{Name: m.Name, Method: zip.Store})
	if err != nil {
		return m, err
	}
	sum := sha256.New()
	if m.Size, err = io.Copy(io.MultiWriter(entry, sum), source); err != nil {
		return m, err
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

// packRecords writes records as OSV's export has them: one <ID>.json each.
func packRecords(w io.Writer, records iter.Seq2[[]byte, error]) (int, error) {
	z := zip.NewWriter(w)
	n := 0
	for body, err := range records {
		if err != nil {
			return n, err
		}
		var r struct{ ID string }
		if err := json.Unmarshal(body, &r); err != nil || !validID(r.ID) {
			return n, fmt.Errorf("stored record %q cannot be named", r.ID)
		}
		entry, err := z.Create(r.ID + ".json")
		if err == nil {
			_, err = entry.Write(body)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, z.Close()
}

// parseManifest reads a manifest and checks all that can be checked without the
// members.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&m); err != nil {
		return m, fault.New(fault.Invalid, "bundle manifest: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, fault.New(fault.Invalid, "bundle manifest: more than one value")
	}
	if m.Format != bundleFormat {
		return m, fault.New(fault.Unsupported, "bundle manifest: format %q; want %q", m.Format, bundleFormat)
	}
	if m.Version != bundleVersion {
		return m, fault.New(fault.Unsupported, "bundle manifest: version %d; this Thymus reads %d", m.Version, bundleVersion)
	}
	if len(m.Members) == 0 || len(m.Members) > maxMembers {
		return m, fault.New(fault.Invalid, "bundle manifest: %d members; want 1 to %d", len(m.Members), maxMembers)
	}
	seen := map[string]bool{manifestName: true}
	for i, x := range m.Members {
		sum, err := hex.DecodeString(x.SHA256)
		switch {
		case seen[x.Name]:
			return m, fault.New(fault.Invalid, "bundle manifest: member %d: %q appears twice", i, x.Name)
		case memberFeed(x.Name) == "":
			return m, fault.New(fault.Invalid, "bundle manifest: member %d: name %q is unknown", i, x.Name)
		case x.State.Feed != memberFeed(x.Name):
			return m, fault.New(fault.Invalid, "bundle manifest: member %q is not of feed %q", x.Name, x.State.Feed)
		case err != nil || len(sum) != sha256.Size:
			return m, fault.New(fault.Invalid, "bundle manifest: member %q: %q is no SHA-256", x.Name, x.SHA256)
		case x.Size < 0 || x.Size > maxArchive:
			return m, fault.New(fault.Invalid, "bundle manifest: member %q: size %d", x.Name, x.Size)
		}
		seen[x.Name] = true
	}
	return m, nil
}

// memberFeed is the feed that a member's name stands for, "" for none.
func memberFeed(name string) string {
	switch name {
	case "kev.json":
		return kevFeed
	case "epss.csv.gz", "epss.csv":
		return epssFeed
	}
	ecosystem, file, ok := strings.Cut(name, "/")
	if !ok || file != archiveName || ecosystem == "" || ecosystem == ".." || ecosystem == "." || strings.ContainsAny(ecosystem, "\\:\x00") {
		return ""
	}
	return osvPrefix + ecosystem
}
