package iolink

import (
	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// udpChecksumOffset is where a UDP header has its checksum (RFC 768).
const udpChecksumOffset = 6

// complete turns a partial checksum into a whole one, in place: the sum over all
// bytes from CsumStart on, the field with the pseudo-header's sum included, is
// stored in the field (RFC 1071). It says false if the field is not in the
// packet.
func (s *slot) complete(size int, o frame.Offload) bool {
	start := int(o.CsumStart)
	field := start + int(o.CsumOffset)
	if start >= size || field+2 > size {
		return false
	}
	var sum checksum.Checksumer
	s.each(start, size, sum.Add)
	value := ^sum.Checksum()
	if value == 0 && o.CsumOffset == udpChecksumOffset {
		value = 0xffff // a UDP checksum of zero would mean that there is none
	}
	hi, lo := s.at(field)
	*hi, *lo = byte(value>>8), byte(value)
	return true
}

// each calls f with the packet's bytes from start to end, in order.
func (s *slot) each(start, end int, f func([]byte)) {
	base := 0
	for _, v := range s.views {
		from, to := max(start-base, 0), min(end-base, len(v))
		if from < to {
			f(v[from:to])
		}
		base += len(v)
	}
}
