package stacktest

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	protoICMP4, protoICMP6 = 1, 58

	icmp4Unreachable, icmp4FragNeeded = 3, 4
	icmp6TooBigType                   = 2
)

// icmp4TooBig is "fragmentation needed" (RFC 792, RFC 1191), from the packet's
// destination.
func icmp4TooBig(quote []byte, mtu int) []byte {
	if len(quote) < 20 || quote[9] == protoICMP4 {
		return nil
	}
	b := make([]byte, 20+8+len(quote))
	b[0], b[8], b[9] = 0x45, 64, protoICMP4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], quote[16:20])
	copy(b[16:], quote[12:16])
	binary.BigEndian.PutUint16(b[10:], ^checksum.Checksum(b[:20], 0))
	m := b[20:]
	m[0], m[1] = icmp4Unreachable, icmp4FragNeeded
	binary.BigEndian.PutUint16(m[6:], uint16(min(mtu, 65535)))
	copy(m[8:], quote)
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
	return b
}

// icmp6TooBig is "packet too big" (RFC 4443 §3.2).
func icmp6TooBig(quote []byte, mtu int) []byte {
	if len(quote) < 40 || quote[6] == protoICMP6 {
		return nil
	}
	b := make([]byte, 40+8+len(quote))
	b[0], b[6], b[7] = 0x60, protoICMP6, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	copy(b[8:], quote[24:40])
	copy(b[24:], quote[8:24])
	m := b[40:]
	m[0] = icmp6TooBigType
	binary.BigEndian.PutUint32(m[4:], uint32(mtu))
	copy(m[8:], quote)
	tail := [4]byte{byte(len(m) >> 8), byte(len(m)), 0, protoICMP6}
	pseudo := checksum.Checksum(tail[:], checksum.Checksum(b[8:40], 0))
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, pseudo))
	return b
}
