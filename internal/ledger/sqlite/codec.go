package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"thymus/internal/estate"
)

// packing holds the compressor and decompressor; both may be used concurrently.
type packing struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacking() (*packing, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	// One stored document stays below 1 GiB, whatever a damaged file claims.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &packing{enc, dec}, nil
}

func (p *packing) pack(b []byte) []byte            { return p.enc.EncodeAll(b, make([]byte, 0, len(b)/4+64)) }
func (p *packing) unpack(b []byte) ([]byte, error) { return p.dec.DecodeAll(b, nil) }

var errDamaged = errors.New("stored value is damaged")

// encodePackages writes sorted ids, each once, as the differences between them
// in unsigned varints.
func encodePackages(ids []estate.PackageID) []byte {
	out := make([]byte, 0, len(ids)*2+8)
	var last estate.PackageID
	for _, id := range ids {
		out = binary.AppendUvarint(out, uint64(id-last))
		last = id
	}
	return out
}

// decodePackages reads what encodePackages wrote.
func decodePackages(b []byte) ([]estate.PackageID, error) {
	n := 0
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	if n == 0 {
		if len(b) > 0 {
			return nil, errDamaged
		}
		return nil, nil
	}
	ids := make([]estate.PackageID, 0, n)
	var last uint64
	for len(b) > 0 {
		d, w := binary.Uvarint(b)
		last += d
		if w <= 0 || d == 0 || last > uint64(^estate.PackageID(0)) {
			return nil, errDamaged
		}
		ids = append(ids, estate.PackageID(last))
		b = b[w:]
	}
	return ids, nil
}

// arrange returns the sorted set of ids, and for each listed component its
// place in that set.
func arrange(listed []estate.PackageID) (set []estate.PackageID, place []int32) {
	pairs := make([]uint64, len(listed))
	for i, id := range listed {
		pairs[i] = uint64(id)<<32 | uint64(i)
	}
	slices.Sort(pairs)
	place = make([]int32, len(listed))
	if len(listed) > 0 {
		set = make([]estate.PackageID, 0, len(listed))
	}
	for _, p := range pairs {
		id := estate.PackageID(p >> 32)
		if len(set) == 0 || set[len(set)-1] != id {
			set = append(set, id)
		}
		place[uint32(p)] = int32(len(set) - 1)
	}
	return set, place
}

// encodeShape writes: the number of components; for each its place among the
// bill's packages; the direct list; then, when there is a graph, each
// component's list. A list is its length and the zigzag differences of its
// entries, which mostly lie near one another in a document.
func encodeShape(place []int32, depends [][]int32, direct []int32) []byte {
	out := make([]byte, 0, 2*len(place)+4*len(depends)+16)
	out = binary.AppendUvarint(out, uint64(len(place)))
	for _, p := range place {
		out = binary.AppendUvarint(out, uint64(p))
	}
	out = appendList(out, direct, 0)
	for i, d := range depends {
		out = appendList(out, d, int32(i))
	}
	return out
}

func appendList(out []byte, list []int32, last int32) []byte {
	out = binary.AppendUvarint(out, uint64(len(list)))
	for _, v := range list {
		out = binary.AppendVarint(out, int64(v)-int64(last))
		last = v
	}
	return out
}

// decodeShape reads what encodeShape wrote; packages is the bill's sorted set.
func decodeShape(b []byte, packages []estate.PackageID) (*estate.Shape, error) {
	r := varints{b: b}
	n := r.count()
	s := &estate.Shape{}
	if n > 0 {
		s.Order = make([]estate.PackageID, 0, n)
	}
	for range n {
		p := r.unsigned()
		if p >= uint64(len(packages)) {
			return nil, errDamaged
		}
		s.Order = append(s.Order, packages[p])
	}
	s.Direct = r.list(0, n)
	if len(r.b) > 0 && !r.bad {
		s.Depends = make([][]int32, 0, n)
		for i := range n {
			s.Depends = append(s.Depends, r.list(int32(i), n))
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errDamaged
	}
	return s, nil
}

// varints reads a blob; after damage it yields zeros and bad is set.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) unsigned() uint64 {
	v, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[w:]
	return v
}

func (r *varints) signed() int64 {
	v, w := binary.Varint(r.b)
	if w <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[w:]
	return v
}

// count reads a length; every entry takes a byte at least.
func (r *varints) count() int {
	n := r.unsigned()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

// list reads indexes below limit.
func (r *varints) list(last int32, limit int) []int32 {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := make([]int32, 0, n)
	at := int64(last)
	for range n {
		at += r.signed()
		if at < 0 || at >= int64(limit) {
			r.b, r.bad = nil, true
			return nil
		}
		out = append(out, int32(at))
	}
	return out
}
