package wsk

import "github.com/wskstack/wskstack/wsk/ntstatus"

// MDL is one piece of memory in a chain. Its byte count is len(Data); pieces of
// no bytes are skipped. The chain and its memory belong to the provider from the
// call until the IRP completes.
type MDL struct {
	Next *MDL
	Data []byte
}

// Buf describes the data of a request (WSK_BUF): Length bytes that start Offset
// bytes into the first MDL and run across the chain. The chain may be longer than
// that. The struct itself is copied before the call returns; the memory is not,
// and must be left alone until the IRP completes.
type Buf struct {
	MDL    *MDL
	Offset uint32 // bytes; at most the byte count of the first MDL
	Length uint64 // bytes; 0 allows a nil MDL
}

// NewBuf returns a Buf over all bytes of the pieces, in order, without copying
// them.
func NewBuf(pieces ...[]byte) *Buf {
	b := &Buf{}
	link := &b.MDL
	for _, p := range pieces {
		*link = &MDL{Data: p}
		link = &(*link).Next
		b.Length += uint64(len(p))
	}
	return b
}

// maxMDLs bounds the walk along a chain, so that one that bites its own tail is
// refused instead of walked for ever. Our own choice.
const maxMDLs = 1 << 16

// segments returns the pieces of memory that b describes, without empty ones, or
// STATUS_INVALID_PARAMETER if the chain does not hold them.
func (b *Buf) segments() ([][]byte, ntstatus.Status) { return b.appendSegments(nil) }

// appendSegments is segments into memory of the caller's.
func (b *Buf) appendSegments(segs [][]byte) ([][]byte, ntstatus.Status) {
	if b == nil {
		return nil, ntstatus.InvalidParameter
	}
	if b.Length == 0 {
		return nil, ntstatus.Success
	}
	if b.MDL == nil || uint64(b.Offset) > uint64(len(b.MDL.Data)) {
		return nil, ntstatus.InvalidParameter
	}
	skip, left := int(b.Offset), b.Length
	for m, n := b.MDL, 0; left > 0; m, n = m.Next, n+1 {
		if m == nil || n == maxMDLs {
			return nil, ntstatus.InvalidParameter
		}
		piece := m.Data[skip:]
		skip = 0
		if uint64(len(piece)) > left {
			piece = piece[:left]
		}
		left -= uint64(len(piece))
		if len(piece) > 0 {
			segs = append(segs, piece)
		}
	}
	return segs, ntstatus.Success
}

// advance takes n bytes off the front of segs, which it may change.
func advance(segs [][]byte, n int) [][]byte {
	for len(segs) > 0 && n >= len(segs[0]) {
		n -= len(segs[0])
		segs = segs[1:]
	}
	if len(segs) > 0 {
		segs[0] = segs[0][n:]
	}
	return segs
}

// flatten copies segs into one slice of n bytes.
func flatten(segs [][]byte, n int) []byte {
	out := make([]byte, 0, n)
	for _, s := range segs {
		out = append(out, s...)
	}
	return out
}
