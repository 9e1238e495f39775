package feed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"thymus/internal/estate"
)

const maxSignal = 64 << 20 // bytes of a KEV or EPSS document, as sent

// signal is a feed that is one document.
type signal struct{ feed, source, url, file string }

func (c *Client) signals() []signal {
	return []signal{
		{kevFeed, kevSource, c.o.KEV, "kev.json"},
		{epssFeed, epssSource, c.o.EPSS, "epss.csv.gz"},
	}
}

// updateSignal fetches the document if it has changed.
func (c *Client) updateSignal(ctx context.Context, sig signal, s *State, f *FeedReport) error {
	known := validators{s.ETag, s.LastModified}
	if s.URL != sig.url {
		known = validators{}
	}
	body, v, err := c.fetch(ctx, sig.url, known, maxSignal)
	if err != nil {
		return err
	}
	s.URL, s.ETag, s.LastModified = sig.url, v.etag, v.modified
	if body == nil {
		f.Unchanged = true
		return nil
	}
	return c.signal(ctx, sig, body, s, f)
}

// signal hands a document to the sink and keeps it for Export.
func (c *Client) signal(ctx context.Context, sig signal, body []byte, s *State, f *FeedReport) error {
	receipt, err := c.sink.Ingest(ctx, body, estate.Claim{Source: sig.source})
	if err != nil {
		return fmt.Errorf("store %s: %w", sig.feed, err)
	}
	if receipt != nil {
		f.Records, f.Opened, f.Closed = receipt.Signals, receipt.Opened, receipt.Closed
		f.Unchanged = receipt.Duplicate
		f.Notes = append(f.Notes, receipt.Notes...)
		s.Newest = receipt.Known
		if receipt.Signals > 0 {
			s.Records = receipt.Signals
		}
	}
	if err := replaceFile(filepath.Join(c.o.Dir, sig.file), body); err != nil {
		return fmt.Errorf("keep %s: %w", sig.feed, err)
	}
	return nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, body []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, body, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
