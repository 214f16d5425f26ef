package seg

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

const sumAt = 16 // offset of the checksum in a TCP header

// SetSeq sets SEG.SEQ in place.
func (s Segment) SetSeq(v seqnum.Value) { s.put32(4, uint32(v)) }

// SetAck sets SEG.ACK in place.
func (s Segment) SetAck(v seqnum.Value) { s.put32(8, uint32(v)) }

// SetWindow sets SEG.WND, unscaled, in place.
func (s Segment) SetWindow(w uint16) { s.put16(14, w) }

// SetFlags sets the control bits in place.
func (s Segment) SetFlags(f Flags) {
	old := binary.BigEndian.Uint16(s.b[s.tcp+12:])
	s.put16(12, old&0xff00|uint16(f))
}

// SetMSS sets the value of every MSS option in place; without one it does
// nothing.
func (s Segment) SetMSS(mss uint16) {
	for kind, body := range s.Options() {
		if kind != OptMSS || len(body) != 2 {
			continue
		}
		body[0], body[1] = byte(mss>>8), byte(mss)
		// The option may stand at an odd offset, where a word-wise update of
		// the sum does not apply; a SYN is small, so sum it again.
		s.resum()
	}
}

func (s Segment) put32(at int, v uint32) {
	s.put16(at, uint16(v>>16))
	s.put16(at+2, uint16(v))
}

// put16 writes one aligned word of the TCP header and updates a full checksum by
// the difference (RFC 1624 eqn. 3). A partial sum does not cover the header.
func (s Segment) put16(at int, v uint16) {
	field := s.b[s.tcp+at:]
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, v)
	if s.sum != SumFull {
		return
	}
	sum := s.b[s.tcp+sumAt:]
	x := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^old) + uint32(v)
	x = x&0xffff + x>>16
	x = x&0xffff + x>>16
	binary.BigEndian.PutUint16(sum, ^uint16(x))
}

// pseudo is the sum of the pseudo-header (RFC 9293 §3.1).
func (s Segment) pseudo() uint16 {
	n := len(s.b) - s.tcp
	addrs := s.b[12:20]
	if s.v6 {
		addrs = s.b[8:40]
	}
	tail := [4]byte{byte(n >> 8), byte(n), 0, protoTCP}
	return checksum.Checksum(tail[:], checksum.Checksum(addrs, 0))
}

// resum computes the checksum field anew in the form that s.Sum says.
func (s Segment) resum() {
	sum := s.b[s.tcp+sumAt:]
	binary.BigEndian.PutUint16(sum, 0)
	switch s.sum {
	case SumFull:
		binary.BigEndian.PutUint16(sum, ^checksum.Checksum(s.b[s.tcp:], s.pseudo()))
	case SumPartial:
		binary.BigEndian.PutUint16(sum, s.pseudo())
	case SumNone:
	}
}

// Verify reports whether the IPv4 header checksum and the TCP checksum are
// right. It is meant for segments from the wire with SumFull.
func (s Segment) Verify() bool {
	if !s.v6 && checksum.Checksum(s.b[:int(s.b[0]&0xf)*4], 0) != 0xffff {
		return false
	}
	return checksum.Checksum(s.b[s.tcp:], s.pseudo()) == 0xffff
}

// Rebuild returns a new packet with the headers of s, these options (padded with
// NOPs to a multiple of four; at most 40 bytes after that) and this payload.
// Lengths and checksums are right afterwards, the TCP sum in the form of s.Sum.
// A packet of more than 65,535 bytes cannot be built; the callers stay below the
// MTU.
func (s Segment) Rebuild(options, payload []byte) Segment {
	optLen := (len(options) + 3) &^ 3
	pay := s.tcp + minTCP + optLen
	b := make([]byte, pay+len(payload))
	copy(b, s.b[:s.tcp+minTCP])
	n := copy(b[s.tcp+minTCP:], options)
	for i := s.tcp + minTCP + n; i < pay; i++ {
		b[i] = OptNOP
	}
	copy(b[pay:], payload)
	b[s.tcp+12] = byte((minTCP+optLen)/4)<<4 | b[s.tcp+12]&0xf
	out := Segment{b: b, tcp: s.tcp, pay: pay, v6: s.v6, sum: s.sum}
	out.fixIP()
	out.resum()
	return out
}

// fixIP sets the IP length, and the IPv4 header checksum.
func (s Segment) fixIP() {
	if s.v6 {
		binary.BigEndian.PutUint16(s.b[4:], uint16(len(s.b)-minIPv6))
		return
	}
	binary.BigEndian.PutUint16(s.b[2:], uint16(len(s.b)))
	hdr := s.b[:int(s.b[0]&0xf)*4]
	binary.BigEndian.PutUint16(hdr[10:], 0)
	binary.BigEndian.PutUint16(hdr[10:], ^checksum.Checksum(hdr, 0))
}

// CutFront returns a copy without the first n payload bytes, its sequence number
// moved on by n. n is at most the payload's length.
func (s Segment) CutFront(n int) Segment {
	out := s.Rebuild(s.OptionBytes(), s.Payload()[n:])
	out.SetSeq(s.Seq().Add(seqnum.Size(n)))
	return out
}

// Fields describe a segment for Make.
type Fields struct {
	Src, Dst netip.AddrPort // both IPv4 or both IPv6
	Seq, Ack seqnum.Value
	Flags    Flags
	Window   uint16 // as it stands in the header
	Options  []byte
	Payload  []byte
}

const defaultTTL = 64

// Make builds a packet from nothing: a plain IP header (don't fragment, TTL or
// hop limit 64, no options) and the given TCP segment, with full checksums.
func Make(f Fields) Segment {
	var t Segment
	if f.Src.Addr().Is4() {
		b := make([]byte, minIPv4+minTCP)
		b[0], b[8], b[9] = 0x45, defaultTTL, protoTCP
		b[6] = 0x40 // don't fragment; the ID may then be 0 (RFC 6864 §4.1)
		src, dst := f.Src.Addr().As4(), f.Dst.Addr().As4()
		copy(b[12:], src[:])
		copy(b[16:], dst[:])
		t = Segment{b: b, tcp: minIPv4}
	} else {
		b := make([]byte, minIPv6+minTCP)
		b[0], b[6], b[7] = 0x60, protoTCP, defaultTTL
		src, dst := f.Src.Addr().As16(), f.Dst.Addr().As16()
		copy(b[8:], src[:])
		copy(b[24:], dst[:])
		t = Segment{b: b, tcp: minIPv6, v6: true}
	}
	h := t.b[t.tcp:]
	binary.BigEndian.PutUint16(h, f.Src.Port())
	binary.BigEndian.PutUint16(h[2:], f.Dst.Port())
	binary.BigEndian.PutUint32(h[4:], uint32(f.Seq))
	binary.BigEndian.PutUint32(h[8:], uint32(f.Ack))
	h[13] = byte(f.Flags)
	binary.BigEndian.PutUint16(h[14:], f.Window)
	return t.Rebuild(f.Options, f.Payload)
}

// Complete returns the segment with a full checksum, computed in place.
func (s Segment) Complete() Segment {
	s.sum = SumFull
	s.resum()
	return s
}
