package seg

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// Sum says what the checksum field of a segment holds.
type Sum uint8

// The states of a TCP checksum field.
const (
	// SumFull is a complete sum, as on the wire.
	SumFull Sum = iota
	// SumPartial is the sum of the pseudo-header alone; the device below adds
	// the rest (hazard H-28).
	SumPartial
	// SumNone is an unset field; the device below computes all of it.
	SumNone
)

// Flags are the control bits of a TCP header (RFC 9293 §3.1).
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether all bits of f are set.
func (g Flags) Has(f Flags) bool { return g&f == f }

// String names the bits that are set, as packet logs do.
func (g Flags) String() string {
	const names = "FSRPAUEC"
	var b []byte
	for i := range len(names) {
		if g&(1<<i) != 0 {
			b = append(b, names[i])
		}
	}
	return string(b)
}

const (
	minIPv4  = 20
	minIPv6  = 40
	minTCP   = 20
	protoTCP = 6
)

// Error is why Parse refused a packet.
type Error string

// Error implements error.
func (e Error) Error() string { return "not a whole TCP segment: " + string(e) }

// The reasons for which Parse refuses a packet.
const (
	ErrEmpty      = Error("empty packet")
	ErrVersion    = Error("neither IPv4 nor IPv6")
	ErrIPHeader   = Error("IP header length is wrong")
	ErrIPLength   = Error("IP length is wrong")
	ErrFragment   = Error("fragment")
	ErrNotTCP     = Error("not TCP")
	ErrExtension  = Error("IPv6 extension header is wrong")
	ErrTCPHeader  = Error("TCP header is cut off")
	ErrDataOffset = Error("TCP data offset is wrong")
)

// Segment views one whole TCP segment in its IP packet. The zero value is not a
// segment; Parse and Make return valid ones.
type Segment struct {
	b   []byte // the IP packet, cut to its IP length
	tcp int    // offset of the TCP header
	pay int    // offset of the payload
	v6  bool
	sum Sum
}

// Parse views the TCP segment in the IP packet b. Bytes behind the IP packet's
// own length are left out of the view. It fails with an Error for anything that
// is not one whole TCP segment; it does not verify checksums (see Verify).
func Parse(b []byte) (Segment, error) {
	if len(b) == 0 {
		return Segment{}, ErrEmpty
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b)
	case 6:
		return parse6(b)
	}
	return Segment{}, ErrVersion
}

func parse4(b []byte) (Segment, error) {
	if len(b) < minIPv4 {
		return Segment{}, ErrIPHeader
	}
	ihl := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case ihl < minIPv4 || ihl > len(b):
		return Segment{}, ErrIPHeader
	case total < ihl || total > len(b):
		return Segment{}, ErrIPLength
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // MF or an offset
		return Segment{}, ErrFragment
	case b[9] != protoTCP:
		return Segment{}, ErrNotTCP
	}
	return parseTCP(Segment{b: b[:total], tcp: ihl})
}

// IPv6 extension headers that may stand in front of TCP (RFC 8200 §4).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
)

func parse6(b []byte) (Segment, error) {
	if len(b) < minIPv6 {
		return Segment{}, ErrIPHeader
	}
	total := minIPv6 + int(binary.BigEndian.Uint16(b[4:]))
	if total == minIPv6 || total > len(b) {
		return Segment{}, ErrIPLength
	}
	b = b[:total]
	next, off := b[6], minIPv6
	for next != protoTCP {
		switch next {
		case extHopByHop, extRouting, extDestination:
		case extFragment:
			return Segment{}, ErrFragment
		default:
			return Segment{}, ErrNotTCP
		}
		if off+8 > total {
			return Segment{}, ErrExtension
		}
		next, off = b[off], off+8+int(b[off+1])*8
		if off > total {
			return Segment{}, ErrExtension
		}
	}
	return parseTCP(Segment{b: b, tcp: off, v6: true})
}

func parseTCP(s Segment) (Segment, error) {
	if len(s.b) < s.tcp+minTCP {
		return Segment{}, ErrTCPHeader
	}
	doff := int(s.b[s.tcp+12]>>4) * 4
	if doff < minTCP || s.tcp+doff > len(s.b) {
		return Segment{}, ErrDataOffset
	}
	s.pay = s.tcp + doff
	return s, nil
}

// WithSum returns the same view with a different belief about its checksum
// field; Parse assumes SumFull.
func (s Segment) WithSum(sum Sum) Segment { s.sum = sum; return s }

// Valid reports whether s views a segment.
func (s Segment) Valid() bool { return s.b != nil }

// Bytes returns the IP packet. It is the view's own memory.
func (s Segment) Bytes() []byte { return s.b }

// Clone returns a view of a copy of the packet.
func (s Segment) Clone() Segment { s.b = append([]byte(nil), s.b...); return s }

// Sum says what the checksum field holds.
func (s Segment) Sum() Sum { return s.sum }

// IPv6 reports the family.
func (s Segment) IPv6() bool { return s.v6 }

// IPHeaderLen is the length of the IP header in bytes, IPv4 options and IPv6
// extension headers included.
func (s Segment) IPHeaderLen() int { return s.tcp }

// Src is the source address and port.
func (s Segment) Src() netip.AddrPort { return s.endpoint(12, 8, 0) }

// Dst is the destination address and port.
func (s Segment) Dst() netip.AddrPort { return s.endpoint(16, 24, 2) }

func (s Segment) endpoint(at4, at6, port int) netip.AddrPort {
	var a netip.Addr
	if s.v6 {
		a = netip.AddrFrom16([16]byte(s.b[at6:]))
	} else {
		a = netip.AddrFrom4([4]byte(s.b[at4:]))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(s.b[s.tcp+port:]))
}

// Seq is SEG.SEQ.
func (s Segment) Seq() seqnum.Value {
	return seqnum.Value(binary.BigEndian.Uint32(s.b[s.tcp+4:]))
}

// Ack is SEG.ACK; it means something only when the ACK bit is set.
func (s Segment) Ack() seqnum.Value {
	return seqnum.Value(binary.BigEndian.Uint32(s.b[s.tcp+8:]))
}

// Flags are the control bits.
func (s Segment) Flags() Flags { return Flags(s.b[s.tcp+13]) }

// Window is SEG.WND as it stands in the header, unscaled.
func (s Segment) Window() uint16 { return binary.BigEndian.Uint16(s.b[s.tcp+14:]) }

// Payload is the segment's data, sharing the packet's memory.
func (s Segment) Payload() []byte { return s.b[s.pay:] }

// OptionBytes are the TCP options as they stand, padding included.
func (s Segment) OptionBytes() []byte { return s.b[s.tcp+minTCP : s.pay] }

// Len is SEG.LEN: the payload, and one each for SYN and FIN (RFC 9293 §3.4).
func (s Segment) Len() seqnum.Size {
	n := len(s.b) - s.pay
	if s.Flags().Has(SYN) {
		n++
	}
	if s.Flags().Has(FIN) {
		n++
	}
	return seqnum.Size(n)
}

// End is the sequence number behind the segment: SEG.SEQ + SEG.LEN.
func (s Segment) End() seqnum.Value { return s.Seq().Add(s.Len()) }
