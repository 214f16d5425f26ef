package stack

import (
	"io"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// vector is a list of byte slices as netstack wants to read and write them. It
// is pooled, so that reads and writes do not allocate.
type vector struct {
	left  [][]byte      // of list
	list  [][]byte      // stays with the vector, as long as chains ever were
	count *atomic.Int64 // counts the bytes that netstack reads, if not nil
}

var _ tcpip.Payloader = (*vector)(nil)

// vector takes a vector over b from the pool. Its own copy of the list is what
// is consumed.
func (s *Stack) vector(b [][]byte) *vector {
	v, ok := s.vectors.Get().(*vector)
	if !ok {
		v = new(vector)
	}
	v.list = append(v.list[:0], b...)
	v.left = v.list
	return v
}

// putVector gives it back, without what it led to.
func (s *Stack) putVector(v *vector) {
	clear(v.list)
	v.left, v.count = nil, nil
	s.vectors.Put(v)
}

// Len implements tcpip.Payloader.
func (v *vector) Len() int { return vectorLen(v.left) }

func vectorLen(b [][]byte) int {
	n := 0
	for _, p := range b {
		n += len(p)
	}
	return n
}

// Read implements io.Reader: netstack takes bytes to send.
func (v *vector) Read(p []byte) (int, error) {
	n := v.move(p, func(mine, theirs []byte) int { return copy(theirs, mine) })
	if v.count != nil {
		v.count.Add(int64(n))
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Write implements io.Writer: netstack gives bytes that arrived.
func (v *vector) Write(p []byte) (int, error) {
	n := v.move(p, func(mine, theirs []byte) int { return copy(mine, theirs) })
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// move copies between the vector and p until one of them is used up.
func (v *vector) move(p []byte, do func(mine, theirs []byte) int) int {
	total := 0
	for len(v.left) > 0 && total < len(p) {
		n := do(v.left[0], p[total:])
		total += n
		if v.left[0] = v.left[0][n:]; len(v.left[0]) == 0 {
			v.left = v.left[1:]
		}
	}
	return total
}
