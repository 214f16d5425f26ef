package iolink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
)

// superSegment makes one as a sender does: the transport checksum unfinished.
func superSegment(kind frame.GSO, v6 bool, gsoSize, payload int, flags header.TCPFlags) ([]byte, frame.Offload) {
	l3, l4, proto := header.IPv4MinimumSize, header.TCPMinimumSize+12, header.TCPProtocolNumber
	if v6 {
		l3 = header.IPv6MinimumSize
	}
	offset := uint16(header.TCPChecksumOffset)
	if kind == frame.GSOUDP {
		l4, proto, offset = header.UDPMinimumSize, header.UDPProtocolNumber, udpChecksumOffset
	}
	b := make([]byte, l3+l4+payload)
	for i := range b[l3+l4:] {
		b[l3+l4+i] = byte(i * 31)
	}
	if kind == frame.GSOUDP {
		header.UDP(b[l3:]).Encode(&header.UDPFields{SrcPort: 1, DstPort: 2, Length: uint16(l4 + payload)})
	} else {
		header.TCP(b[l3:]).Encode(&header.TCPFields{SrcPort: 1, DstPort: 2, SeqNum: 0xfffffff0, AckNum: 7, DataOffset: uint8(l4), Flags: flags, WindowSize: 9})
	}
	encodeIP(b, v6, uint8(proto))
	return b, frame.Offload{GSO: kind, Checksum: frame.ChecksumPartial, GSOSize: uint16(gsoSize), HdrLen: uint16(l3 + l4), CsumStart: uint16(l3), CsumOffset: offset}
}

func encodeIP(b []byte, v6 bool, protocol uint8) {
	a4, b4 := tcpip.AddrFrom4([4]byte{192, 0, 2, 1}), tcpip.AddrFrom4([4]byte{192, 0, 2, 2})
	if !v6 {
		ip := header.IPv4(b)
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), ID: 65535, TTL: 64, Protocol: protocol, SrcAddr: a4, DstAddr: b4})
		ip.SetChecksum(^ip.CalculateChecksum())
		return
	}
	a6, b6 := tcpip.AddrFrom16([16]byte{0x20, 1, 15: 1}), tcpip.AddrFrom16([16]byte{0x20, 1, 15: 2})
	header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: uint16(len(b) - header.IPv6MinimumSize), TransportProtocol: tcpip.TransportProtocolNumber(protocol), HopLimit: 64, SrcAddr: a6, DstAddr: b6})
}

// valid judges a packet with netstack's own functions.
func valid(t *testing.T, p []byte) (payload []byte) {
	t.Helper()
	var src, dst tcpip.Address
	var body []byte
	var proto uint8
	if p[0]>>4 == 4 {
		ip := header.IPv4(p)
		if !ip.IsChecksumValid() || int(ip.TotalLength()) != len(p) {
			t.Fatalf("IPv4 header: checksum valid %v, length %d of %d", ip.IsChecksumValid(), ip.TotalLength(), len(p))
		}
		src, dst, body, proto = ip.SourceAddress(), ip.DestinationAddress(), ip.Payload(), ip.Protocol()
	} else {
		ip := header.IPv6(p)
		if int(ip.PayloadLength())+header.IPv6MinimumSize != len(p) {
			t.Fatalf("IPv6 length %d of %d", ip.PayloadLength(), len(p))
		}
		src, dst, body, proto = ip.SourceAddress(), ip.DestinationAddress(), ip.Payload(), ip.NextHeader()
	}
	if proto == uint8(header.UDPProtocolNumber) {
		u := header.UDP(body)
		if int(u.Length()) != len(body) || !u.IsChecksumValid(src, dst, checksum.Checksum(u.Payload(), 0)) || u.Checksum() == 0 {
			t.Fatalf("UDP: length %d of %d, checksum %#x", u.Length(), len(body), u.Checksum())
		}
		return u.Payload()
	}
	h := header.TCP(body)
	if !h.IsChecksumValid(src, dst, checksum.Checksum(h.Payload(), 0), uint16(len(h.Payload()))) {
		t.Fatalf("TCP checksum %#x", h.Checksum())
	}
	return h.Payload()
}

func TestCut(t *testing.T) {
	const flags = header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagFin | header.TCPFlagCwr
	for _, v6 := range []bool{false, true} {
		for _, kind := range []frame.GSO{frame.GSOTCPv4, frame.GSOUDP} {
			if v6 && kind == frame.GSOTCPv4 {
				kind = frame.GSOTCPv6
			}
			for _, size := range []struct{ gso, payload, parts int }{{1448, 1449, 2}, {1448, 2896, 2}, {1000, 60001, 61}, {1, 5, 5}, {9000, 100, 1}} {
				t.Run(fmt.Sprintf("v6 %v/kind %d/%d by %d", v6, kind, size.payload, size.gso), func(t *testing.T) {
					p, o := superSegment(kind, v6, size.gso, size.payload, flags)
					before := bytes.Clone(p)
					var got []byte
					parts := 0
					ok := cut(p, o, make([]byte, 0, 65536), func(b []byte) {
						got = append(got, valid(t, b)...)
						if kind != frame.GSOUDP {
							checkPart(t, header.TCP(b[o.CsumStart:]), parts, size.parts, size.gso)
						}
						if !v6 && header.IPv4(b).ID() != uint16(65535+parts) {
							t.Errorf("part %d has ID %d", parts, header.IPv4(b).ID())
						}
						parts++
					})
					if !ok || parts != size.parts || !bytes.Equal(got, p[o.HdrLen:]) {
						t.Errorf("ok %v, %d parts with %d bytes; want %d with %d", ok, parts, len(got), size.parts, size.payload)
					}
					if !bytes.Equal(p, before) {
						t.Error("the super-segment was changed")
					}
				})
			}
		}
	}
}

// TestCutRefuses what the IP header contradicts, before anything has been emitted.
func TestCutRefuses(t *testing.T) {
	covers.IDs(t, "H-37")
	for name, c := range map[string]struct {
		v6   bool
		kind frame.GSO
		lie  func(p []byte, o *frame.Offload)
	}{
		"no size":                    {false, frame.GSOUDP, func(_ []byte, o *frame.Offload) { o.GSOSize = 0 }},
		"IPv4 announces less":        {false, frame.GSOUDP, func(p []byte, _ *frame.Offload) { header.IPv4(p).SetTotalLength(uint16(len(p) - 1)) }},
		"IPv4 announces more":        {false, frame.GSOUDP, func(p []byte, _ *frame.Offload) { header.IPv4(p).SetTotalLength(uint16(len(p) + 1)) }},
		"IPv6 announces less":        {true, frame.GSOUDP, func(p []byte, _ *frame.Offload) { header.IPv6(p).SetPayloadLength(uint16(len(p) - 41)) }},
		"IPv6 announces more":        {true, frame.GSOUDP, func(p []byte, _ *frame.Offload) { header.IPv6(p).SetPayloadLength(uint16(len(p) - 39)) }},
		"not behind the IPv4 header": {false, frame.GSOUDP, func(_ []byte, o *frame.Offload) { o.CsumStart = 24 }},
		"in the IPv6 header":         {true, frame.GSOUDP, func(_ []byte, o *frame.Offload) { o.CsumStart = 39 }},
		"UDP that is TCP, IPv4":      {false, frame.GSOTCPv4, func(_ []byte, o *frame.Offload) { o.GSO = frame.GSOUDP }},
		"UDP that is TCP, IPv6":      {true, frame.GSOTCPv6, func(_ []byte, o *frame.Offload) { o.GSO = frame.GSOUDP }},
		"version 5":                  {false, frame.GSOUDP, func(p []byte, _ *frame.Offload) { p[0] = 0x55 }},
		"past the end":               {false, frame.GSOUDP, func(p []byte, o *frame.Offload) { o.CsumStart = uint16(len(p)) }},
	} {
		p, o := superSegment(c.kind, c.v6, 100, 250, header.TCPFlagAck)
		c.lie(p, &o)
		if cut(p, o, make([]byte, 0, len(p)), func([]byte) { t.Errorf("%s: something was emitted", name) }) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func checkPart(t *testing.T, h header.TCP, i, n, gso int) {
	t.Helper()
	want := header.TCPFlagAck
	if i == 0 {
		want |= header.TCPFlagCwr
	}
	if i == n-1 {
		want |= header.TCPFlagPsh | header.TCPFlagFin
	}
	if h.Flags() != want || h.SequenceNumber() != 0xfffffff0+uint32(i*gso) || h.AckNumber() != 7 || h.WindowSize() != 9 {
		t.Errorf("part %d of %d: flags %v, want %v; seq %d", i, n, h.Flags(), want, h.SequenceNumber())
	}
}

// repair makes the IP header say what is true of the packet, so that more than its
// first contradiction is tried.
func repair(p []byte, o *frame.Offload) {
	switch {
	case len(p) < header.IPv6MinimumSize:
	case p[0]>>4 == header.IPv4Version:
		ip := header.IPv4(p)
		ip.SetTotalLength(uint16(len(p)))
		p[9] = l4Protocol(o.GSO)
		o.CsumStart = uint16(ip.HeaderLength())
	case p[0]>>4 == header.IPv6Version:
		ip := header.IPv6(p)
		ip.SetPayloadLength(uint16(len(p) - header.IPv6MinimumSize))
		ip.SetNextHeader(l4Protocol(o.GSO))
	}
}

// FuzzCut: nothing panics, and what comes out of an accepted super-segment is its
// payload.
func FuzzCut(f *testing.F) {
	for _, kind := range []frame.GSO{frame.GSOTCPv4, frame.GSOTCPv6, frame.GSOUDP} {
		p, o := superSegment(kind, kind == frame.GSOTCPv6, 100, 250, header.TCPFlagAck)
		f.Add(p, uint8(kind), o.GSOSize, o.CsumStart)
		f.Add(p, uint8(kind-1)|0x80, o.GSOSize, o.CsumStart)
	}
	f.Fuzz(func(t *testing.T, p []byte, kind uint8, size, start uint16) {
		if len(p) > 65535 {
			return
		}
		o := frame.Offload{GSO: frame.GSO(kind%3 + 1), GSOSize: size, CsumStart: start, CsumOffset: header.TCPChecksumOffset}
		if o.GSO == frame.GSOUDP {
			o.CsumOffset = udpChecksumOffset
		}
		if kind&0x80 != 0 {
			p = bytes.Clone(p)
			repair(p, &o)
		}
		total, parts := 0, 0
		ok := cut(p, o, make([]byte, 0, len(p)), func(b []byte) { total += len(b); parts++ })
		if !ok && parts > 0 {
			t.Fatal("refused after the first packet")
		}
		if ok && (parts == 0 || total < len(p)) {
			t.Fatalf("%d packets with %d bytes from %d", parts, total, len(p))
		}
	})
}

// slotOf puts a packet where a reader puts it.
func slotOf(p []byte) *slot {
	s := &slot{}
	s.fill()
	n := copy(s.views[0], p)
	copy(s.views[1], p[n:])
	return s
}

func TestSound(t *testing.T) {
	finished := func(kind frame.GSO, v6 bool, payload int) []byte {
		p, o := superSegment(kind, v6, 65535, payload, header.TCPFlagAck)
		var out []byte
		cut(p, o, make([]byte, 0, 65536), func(b []byte) { out = bytes.Clone(b) })
		return out
	}
	for _, v6 := range []bool{false, true} {
		for _, kind := range []frame.GSO{frame.GSOTCPv4, frame.GSOUDP} {
			for _, payload := range []int{1, 64, 1448, 40001} {
				p := finished(kind, v6, payload)
				s := slotOf(p)
				if !s.sound(len(p), frame.ChecksumUnknown) {
					t.Errorf("v6 %v, kind %d, %d bytes: a good packet was refused", v6, kind, payload)
				}
				// Padding behind the packet is none of the sum's concern.
				if !s.sound(len(p)+9, frame.ChecksumUnknown) {
					t.Errorf("v6 %v, kind %d, %d bytes: padding was summed up", v6, kind, payload)
				}
				for bit := range 8 * len(p) {
					if bit > 800 && bit%997 != 0 {
						continue // every bit of the headers, and some of the payload
					}
					s.flip(bit)
					judgeFlipped(t, s, p, bit, v6)
					s.flip(bit)
				}
				s.release()
			}
		}
	}
}

func (s *slot) flip(bit int) { *s.byteAt(bit / 8) ^= 1 << (bit % 8) }

// judgeFlipped: netstack, told to verify, is the judge of what must be dropped.
// Where it would look no further than a header that makes no sense, both pass.
func judgeFlipped(t *testing.T, s *slot, p []byte, bit int, v6 bool) {
	t.Helper()
	bad := bytes.Clone(p)
	bad[bit/8] ^= 1 << (bit % 8)
	if s.sound(len(p), frame.ChecksumUnknown) && accepted(bad, v6) {
		t.Errorf("v6 %v: bit %d of %d flipped, and nobody would see it", v6, bit, 8*len(p))
	}
}

// accepted says whether a packet reaches a TCP or UDP socket if the transport
// checksum is not verified: its headers make sense, it is no fragment and its
// protocol and addresses are the same.
func accepted(b []byte, v6 bool) bool {
	if !v6 {
		ip := header.IPv4(b)
		return ip.IsValid(len(b)) && header.IPVersion(b) == 4 && !ip.More() && ip.FragmentOffset() == 0 &&
			(ip.Protocol() == 6 || ip.Protocol() == 17) && saneTransport(ip.Protocol(), ip.Payload())
	}
	ip := header.IPv6(b)
	return ip.IsValid(len(b)) && header.IPVersion(b) == 6 && (ip.NextHeader() == 6 || ip.NextHeader() == 17) &&
		ipv6FieldCovered(b) && saneTransport(ip.NextHeader(), ip.Payload())
}

// ipv6FieldCovered: version, class, label and hop limit are in no checksum.
func ipv6FieldCovered(b []byte) bool {
	return binary.BigEndian.Uint32(b) == 6<<28 && b[7] == 64
}

func saneTransport(protocol uint8, b []byte) bool {
	if protocol == 17 {
		return len(b) >= 8 && int(header.UDP(b).Length()) >= 8 && int(header.UDP(b).Length()) <= len(b)
	}
	return len(b) >= 20 && int(header.TCP(b).DataOffset()) >= 20 && int(header.TCP(b).DataOffset()) <= len(b)
}

func TestSoundLeavesToNetstack(t *testing.T) {
	p, _ := superSegment(frame.GSOTCPv4, false, 65535, 100, header.TCPFlagAck)
	s := slotOf(p)
	defer s.release()
	if s.sound(len(p), frame.ChecksumUnknown) {
		t.Error("an unfinished sum passed as a finished one")
	}
	for _, state := range []frame.Checksum{frame.ChecksumPartial, frame.ChecksumValid} {
		if !s.sound(len(p), state) {
			t.Errorf("state %d: a sum that the device vouches for was verified", state)
		}
	}
	s.views[0][8]++ // TTL: the header's sum is verified in any case
	if s.sound(len(p), frame.ChecksumValid) {
		t.Error("a broken IPv4 header passed")
	}
}

// FuzzSound: no bytes make it panic, and what netstack's own functions find valid
// passes.
func FuzzSound(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		p, o := superSegment(frame.GSOUDP, v6, 65535, 50, 0)
		cut(p, o, nil, func(b []byte) { f.Add(bytes.Clone(b), uint8(0)) })
	}
	f.Fuzz(func(t *testing.T, p []byte, state uint8) {
		if len(p) == 0 || len(p) > rxHead+rxTail {
			return
		}
		s := slotOf(p)
		defer s.release()
		ok := s.sound(len(p), frame.Checksum(state%3))
		if p[0]>>4 == 4 && header.IPv4(p).IsValid(len(p)) && !header.IPv4(p).IsChecksumValid() && ok {
			t.Error("a broken IPv4 header passed")
		}
	})
}
