package iolink

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// cut makes the packets that a super-segment stands for, as a kernel or a network
// card would, and calls emit with each in order. p is the whole super-segment, o
// what was said about it; scratch is memory for one packet, which emit may not
// keep. It says false, and emits nothing, if the headers contradict o.
//
// The length of the headers is taken from the headers: o.HdrLen is a hint only.
func cut(p []byte, o frame.Offload, scratch []byte, emit func(packet []byte)) bool {
	l4 := int(o.CsumStart)
	hdr, ok := headersEnd(p, l4, o.GSO)
	if !ok || o.GSOSize == 0 {
		return false
	}
	payload := p[hdr:]
	for i, off := 0, 0; off < len(payload); i++ {
		end := min(off+int(o.GSOSize), len(payload))
		b := append(append(scratch[:0], p[:hdr]...), payload[off:end]...)
		if o.GSO == frame.GSOUDP {
			header.UDP(b[l4:]).SetLength(uint16(len(b) - l4))
		} else {
			part(header.TCP(b[l4:]), off, end == len(payload))
		}
		finish(b, l4, i, o)
		emit(b)
		off = end
	}
	return true
}

// headersEnd says where the payload of a super-segment begins, if there is one.
func headersEnd(p []byte, l4 int, kind frame.GSO) (int, bool) {
	least := header.UDPMinimumSize
	if kind != frame.GSOUDP {
		least = header.TCPMinimumSize
	}
	if l4 < header.IPv4MinimumSize || l4+least >= len(p) {
		return 0, false
	}
	if !fits(p, l4, l4Protocol(kind)) {
		return 0, false
	}
	end := l4 + least
	if kind != frame.GSOUDP {
		end = l4 + int(header.TCP(p[l4:]).DataOffset())
	}
	return end, end >= l4+least && end < len(p)
}

// fits says whether the IP header agrees: that the packet has this length, and that a
// transport header of this protocol is at l4.
func fits(p []byte, l4 int, protocol uint8) bool {
	switch p[0] >> 4 {
	case header.IPv4Version:
		ip := header.IPv4(p)
		return int(ip.HeaderLength()) == l4 && int(ip.TotalLength()) == len(p) && ip.Protocol() == protocol
	case header.IPv6Version:
		ip := header.IPv6(p)
		// Behind extension headers the protocol is as good as the device's word.
		return l4 >= header.IPv6MinimumSize && header.IPv6MinimumSize+int(ip.PayloadLength()) == len(p) &&
			(l4 > header.IPv6MinimumSize || ip.NextHeader() == protocol)
	}
	return false
}

// part makes a TCP header that of the part of a super-segment that begins at off.
func part(t header.TCP, off int, last bool) {
	t.SetSequenceNumber(t.SequenceNumber() + uint32(off))
	flags := t.Flags()
	if !last {
		flags &^= header.TCPFlagFin | header.TCPFlagPsh
	}
	if off > 0 {
		flags &^= header.TCPFlagCwr // RFC 3168 §6.1.2: once
	}
	t.SetFlags(uint8(flags))
}

// finish sets the lengths and checksums of the i-th packet.
func finish(b []byte, l4, i int, o frame.Offload) {
	var sum uint16
	if b[0]>>4 == header.IPv4Version {
		ip := header.IPv4(b)
		ip.SetTotalLength(uint16(len(b)))
		ip.SetID(ip.ID() + uint16(i))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		sum = pseudo(ip.SourceAddressSlice(), ip.DestinationAddressSlice(), ip.Protocol(), len(b)-l4)
	} else {
		ip := header.IPv6(b)
		ip.SetPayloadLength(uint16(len(b) - header.IPv6MinimumSize))
		sum = pseudo(ip.SourceAddressSlice(), ip.DestinationAddressSlice(), l4Protocol(o.GSO), len(b)-l4)
	}
	field := b[l4+int(o.CsumOffset):]
	field[0], field[1] = 0, 0
	value := ^checksum.Checksum(b[l4:], sum)
	if value == 0 && o.GSO == frame.GSOUDP {
		value = 0xffff // zero would mean that there is none
	}
	binary.BigEndian.PutUint16(field, value)
}

func l4Protocol(kind frame.GSO) uint8 {
	if kind == frame.GSOUDP {
		return uint8(header.UDPProtocolNumber)
	}
	return uint8(header.TCPProtocolNumber)
}

// pseudo is the sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
func pseudo(src, dst []byte, protocol uint8, length int) uint16 {
	sum := checksum.Checksum(src, checksum.Checksum(dst, 0))
	tail := [4]byte{3: protocol}
	binary.BigEndian.PutUint16(tail[:], uint16(length))
	return checksum.Checksum(tail[:], sum)
}
