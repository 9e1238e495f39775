package feed

import (
	"archive/zip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"thymus/internal/fault"
)

// Limits of archives. OSV's largest ecosystem has some hundred thousand records
// of a few kilobytes; the largest records have a few megabytes.
const (
	maxDirectory = 96 << 20 // bytes that the list of entries may take
	maxEntries   = 2_000_000
	maxRecord    = 32 << 20 // bytes of one record, unpacked
	maxUnpacked  = 16 << 30 // bytes of all records of an archive, unpacked
)

// budgeted is a ReaderAt that fails when more was read than allowed. It bounds
// the memory that a hostile list of entries takes, which archive/zip does not.
type budgeted struct {
	r    io.ReaderAt
	left int64
	off  bool
}

var errBudget = errors.New("the list of entries is too long")

func (b *budgeted) ReadAt(p []byte, at int64) (int, error) {
	if !b.off {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, errBudget
		}
	}
	return b.r.ReadAt(p, at)
}

// openZip reads an archive's list of entries within limits.
func openZip(name string, r io.ReaderAt, size int64) (*zip.Reader, error) {
	b := &budgeted{r: r, left: maxDirectory}
	z, err := zip.NewReader(b, size)
	switch {
	case errors.Is(err, errBudget):
		return nil, fault.New(fault.TooLarge, "%s: %w", name, err)
	case errors.Is(err, zip.ErrInsecurePath):
		return nil, fault.New(fault.Invalid, "%s: %w", name, err)
	case err != nil:
		return nil, fault.New(fault.Invalid, "%s is no whole zip archive: %w", name, err)
	case len(z.File) > maxEntries:
		return nil, fault.New(fault.TooLarge, "%s: more than %d entries", name, maxEntries)
	}
	b.off = true
	if !startsAtOnce(r, z) {
		// A bundle that was cut short after an archive inside it looks so, too.
		return nil, fault.New(fault.Invalid, "%s is no whole zip archive: its first entry does not stand at its beginning", name)
	}
	var unpacked uint64
	for _, f := range z.File {
		if !localName(f.Name) {
			return nil, fault.New(fault.Invalid, "%s: entry %q leads out of the archive", name, f.Name)
		}
		// Sizes may be lies; readEntry holds them to what is really read.
		if f.UncompressedSize64 > maxUnpacked {
			return nil, fault.New(fault.TooLarge, "%s: entry %q has %d bytes", name, f.Name, f.UncompressedSize64)
		}
		if unpacked += f.UncompressedSize64; unpacked > maxUnpacked {
			return nil, fault.New(fault.TooLarge, "%s: more than %d bytes unpacked", name, int64(maxUnpacked))
		}
	}
	return z, nil
}

// startsAtOnce tells whether the file's first bytes are the header of a listed entry.
func startsAtOnce(r io.ReaderAt, z *zip.Reader) bool {
	const size = 30 // of a local file header without its variable parts, APPNOTE 4.3.7
	header := make([]byte, size)
	if _, err := r.ReadAt(header, 0); err != nil || string(header[:4]) != "PK\x03\x04" {
		return len(z.File) == 0
	}
	begin := size + int64(binary.LittleEndian.Uint16(header[26:])) + int64(binary.LittleEndian.Uint16(header[28:]))
	return slices.ContainsFunc(z.File, func(f *zip.File) bool {
		at, err := f.DataOffset()
		return err == nil && at == begin
	})
}

// localName tells whether a name stays inside on every operating system, though
// names are never used to write files.
func localName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "\\\x00") && filepath.IsLocal(filepath.FromSlash(strings.TrimSuffix(name, "/")))
}

// readEntry unpacks one entry of at most limit bytes and checks its checksum.
func readEntry(f *zip.File, limit int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fault.New(fault.TooLarge, "entry %q has more than %d bytes", f.Name, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fault.New(fault.Invalid, "entry %q: %w", f.Name, err)
	}
	defer r.Close()
	// archive/zip stops at the stated size, so that this allocation suffices.
	body := make([]byte, 0, f.UncompressedSize64+1)
	w := &sliceWriter{body}
	if _, err := io.Copy(w, io.LimitReader(r, limit+1)); err != nil {
		return nil, fault.New(fault.Invalid, "entry %q: %w", f.Name, err)
	}
	if int64(len(w.b)) > limit {
		return nil, fault.New(fault.TooLarge, "entry %q has more than %d bytes", f.Name, limit)
	}
	return w.b, nil
}

type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// recordsIn yields the JSON files of an archive, one at a time.
func recordsIn(ctx context.Context, name string, z *zip.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		unpacked := int64(0)
		for _, f := range z.File {
			if strings.HasSuffix(f.Name, "/") || path.Ext(f.Name) != ".json" {
				continue
			}
			body, err := readEntry(f, maxRecord)
			if err == nil {
				err = ctx.Err()
			}
			if unpacked += int64(len(body)); err == nil && unpacked > maxUnpacked {
				err = fault.New(fault.TooLarge, "more than %d bytes unpacked", int64(maxUnpacked))
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", name, err))
				return
			}
			if !yield(body, nil) {
				return
			}
		}
	}
}
