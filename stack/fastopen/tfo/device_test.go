package tfo

import (
	"encoding/binary"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// deviceSum is the sum that a device computes for a segment whose checksum field
// holds the pseudo-header's: it adds all from the TCP header on.
func deviceSum(s seg.Segment) uint16 {
	return ^checksum.Checksum(s.Bytes()[s.IPHeaderLen():], 0)
}

func deviceField(s seg.Segment) uint16 {
	return binary.BigEndian.Uint16(s.Bytes()[s.IPHeaderLen()+16:])
}
