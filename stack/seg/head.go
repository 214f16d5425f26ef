package seg

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// MaxHead is how many bytes from the IP header on Peek looks at: the longest IPv4
// header and a TCP header without options.
const MaxHead = 60 + minTCP

// Head is what the fixed headers of a segment tell without looking at the rest of
// the packet. It is no proof that the packet is a whole segment; see Parse.
type Head struct {
	Src, Dst netip.AddrPort
	Seq, Ack seqnum.Value
	Flags    Flags
}

// Peek reads the head of the packet b, which may be cut off behind MaxHead bytes.
// It is false for what is not TCP, and for a TCP header that does not stand right
// behind the IP header: a fragment, or behind IPv6 extension headers (Hidden).
func Peek(b []byte) (Head, bool) {
	at := minIPv6
	if len(b) > 0 && b[0]>>4 == 4 {
		at = int(b[0]&0xf) * 4
		if len(b) >= minIPv4 && binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // MF or an offset
			return Head{}, false
		}
	}
	if len(b) < at {
		return Head{}, false
	}
	return HeadOf(b[:at], b[at:])
}

// HeadOf is Peek for an IP header and what follows it in another piece of memory.
func HeadOf(ip, tcp []byte) (Head, bool) {
	if len(ip) < minIPv4 || len(tcp) < minTCP {
		return Head{}, false
	}
	var src, dst netip.Addr
	var proto byte
	switch ip[0] >> 4 {
	case 4:
		src, dst = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
		proto = ip[9]
	case 6:
		if len(ip) < minIPv6 {
			return Head{}, false
		}
		src, dst = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
		proto = ip[6]
	}
	if proto != protoTCP {
		return Head{}, false
	}
	return Head{
		Src:   netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		Dst:   netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		Seq:   seqnum.Value(binary.BigEndian.Uint32(tcp[4:])),
		Ack:   seqnum.Value(binary.BigEndian.Uint32(tcp[8:])),
		Flags: Flags(tcp[13]),
	}, true
}

// Hidden reports whether an IPv6 packet has extension headers, behind which there
// may be a segment that only Parse finds.
func Hidden(b []byte) bool {
	if len(b) < minIPv6 || b[0]>>4 != 6 {
		return false
	}
	switch b[6] {
	case extHopByHop, extRouting, extDestination:
		return true
	}
	return false
}

// Head returns the head of s.
func (s Segment) Head() Head {
	return Head{Src: s.Src(), Dst: s.Dst(), Seq: s.Seq(), Ack: s.Ack(), Flags: s.Flags()}
}
