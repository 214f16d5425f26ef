package iolink

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Netstack's work is per packet. Over a device without offloads, packets of a batch
// that carry on the same stream are therefore joined into one, as GRO does it. The
// joined packet's checksum is made of the packets' own sums and not of their bytes,
// so one that was wrong makes it wrong, and netstack verifies it as any other. What
// that drops is the whole run: on such a device wrong sums are rare.

// piece is a TCP packet that can be joined with others. ip and tcp are the headers.
type piece struct {
	ip, tcp []byte
	payload int
	seq     uint32
	last    bool // nothing may follow
}

// mutable are the flags that a part may have beside ACK.
const mutable = uint8(header.TCPFlagPsh)

// piece reads a packet's headers. ok is false if it is to go up as it is.
func (s *slot) piece(p *frame.Packet) (out piece, ok bool) {
	b := s.views[0][:min(max(p.Size, 0), rxHead)]
	if p.Offload != (frame.Offload{}) || p.Size > rxHead+rxTail || len(b) < header.IPv4MinimumSize+header.TCPMinimumSize {
		return piece{}, false
	}
	at := 0
	switch b[0] >> 4 {
	case header.IPv4Version:
		at, ok = header.IPv4MinimumSize, plainIPv4(b, p.Size)
	case header.IPv6Version:
		at, ok = header.IPv6MinimumSize, plainIPv6(b, p.Size)
	}
	if !ok || len(b) < at+header.TCPMinimumSize {
		return piece{}, false
	}
	tcp := header.TCP(b[at:])
	n := int(tcp.DataOffset())
	flags := uint8(tcp.Flags())
	if n < header.TCPMinimumSize || at+n > len(b) || at+n >= p.Size || flags&^mutable != uint8(header.TCPFlagAck) || tcp.UrgentPointer() != 0 {
		return piece{}, false
	}
	return piece{ip: b[:at], tcp: tcp[:n], payload: p.Size - at - n, seq: tcp.SequenceNumber(), last: flags&mutable != 0}, true
}

// plainIPv4 says whether a packet has a whole, right header without options, is no
// fragment, and holds TCP.
func plainIPv4(b []byte, size int) bool {
	ip := header.IPv4(b)
	return b[0] == 0x45 && int(ip.TotalLength()) == size && ip.Protocol() == uint8(header.TCPProtocolNumber) &&
		!ip.More() && ip.FragmentOffset() == 0 && checksum.Checksum(ip[:header.IPv4MinimumSize], 0) == 0xffff
}

func plainIPv6(b []byte, size int) bool {
	if len(b) < header.IPv6MinimumSize {
		return false
	}
	ip := header.IPv6(b)
	return int(ip.PayloadLength()) == size-header.IPv6MinimumSize && ip.NextHeader() == uint8(header.TCPProtocolNumber)
}

// followedBy says whether next carries on where a run ends that began with p, has n
// packets and ends at seq. All packets but the last have the same, even size, so that the sums
// of their words can be added.
func (p *piece) followedBy(next *piece, n int, seq uint32) bool {
	return next.seq == seq && next.payload <= p.payload && p.payload%2 == 0 &&
		len(p.ip)+len(p.tcp)+n*p.payload+next.payload <= maxMTU &&
		len(p.ip) == len(next.ip) && sameIP(p.ip, next.ip) && sameTCP(p.tcp, next.tcp)
}

// sameIP compares all but length, identification and checksum.
func sameIP(a, b []byte) bool {
	if len(a) == header.IPv4MinimumSize {
		return bytes.Equal(a[:2], b[:2]) && bytes.Equal(a[6:10], b[6:10]) && bytes.Equal(a[12:], b[12:])
	}
	return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[6:], b[6:])
}

// sameTCP compares all but sequence number, flags and checksum.
func sameTCP(a, b []byte) bool {
	return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[8:13], b[8:13]) && bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[20:], b[20:])
}

// deliverAll passes the first n packets of the batch up, joined where that is right.
func (r *reader) deliverAll(n int) {
	if n == 1 || !r.link.joins {
		for i := range n {
			r.deliver(i)
		}
		return
	}
	for i := range n {
		r.pieces[i], r.fit[i] = r.slots[i].piece(&r.batch[i])
	}
	for i := 0; i < n; {
		end := r.runFrom(i, n)
		if end == i+1 {
			r.deliver(i)
		} else {
			r.join(i, end)
		}
		i = end
	}
}

// runFrom is the end of the run of packets that begins with the i-th.
func (r *reader) runFrom(i, n int) (end int) {
	end = i + 1
	if !r.fit[i] {
		return end
	}
	first, before := &r.pieces[i], &r.pieces[i]
	for end < n && r.fit[end] && !before.last && before.payload == first.payload &&
		first.followedBy(&r.pieces[end], end-i, before.seq+uint32(before.payload)) {
		before = &r.pieces[end]
		end++
	}
	return end
}

// join passes the packets from the i-th to before the end-th up as one. Their bytes are copied
// once, as those of a packet alone are.
func (r *reader) join(i, end int) {
	first, size, sum := &r.pieces[i], 0, uint16(0)
	for k := i; k < end; k++ {
		size += r.pieces[k].payload
		sum = checksum.Combine(sum, r.pieces[k].sum())
	}
	head, body := buffer.NewViewSize(len(first.ip)+len(first.tcp)), buffer.NewViewSize(size)
	left := body.AsSlice()
	for k := i; k < end; k++ {
		r.slots[k].each(len(first.ip)+len(first.tcp), r.batch[k].Size, func(b []byte) { left = left[copy(left, b):] })
	}
	first.headers(head.AsSlice(), r.pieces[end-1].last, size, sum)
	all := buffer.MakeWithView(head)
	_ = all.Append(body) // fails only when a buffer's size would overflow an int64
	r.link.counters.rxJoined.Add(uint64(end - i - 1))
	r.up(first.protocol(), all)
}

func (p *piece) protocol() tcpip.NetworkProtocolNumber {
	if len(p.ip) == header.IPv4MinimumSize {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// headers writes the headers of a packet with a payload of that size, whose words add
// up to sum.
func (p *piece) headers(to []byte, push bool, size int, sum uint16) {
	copy(to[copy(to, p.ip):], p.tcp)
	tcp := header.TCP(to[len(p.ip):])
	if len(p.ip) == header.IPv4MinimumSize {
		ip := header.IPv4(to)
		ip.SetTotalLength(uint16(len(to) + size))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
	} else {
		header.IPv6(to).SetPayloadLength(uint16(len(tcp) + size))
	}
	if push {
		tcp.SetFlags(uint8(tcp.Flags() | header.TCPFlagPsh))
	}
	tcp.SetChecksum(0)
	tcp.SetChecksum(^checksum.Checksum(tcp, checksum.Combine(sum, p.pseudo(len(tcp)+size))))
}

// sum is what the words of a part's payload add up to, if its checksum is right.
func (p *piece) sum() uint16 {
	return ^checksum.Checksum(p.tcp, p.pseudo(len(p.tcp)+p.payload))
}

func (p *piece) pseudo(length int) uint16 {
	if len(p.ip) == header.IPv4MinimumSize {
		ip := header.IPv4(p.ip)
		return pseudo(ip.SourceAddressSlice(), ip.DestinationAddressSlice(), uint8(header.TCPProtocolNumber), length)
	}
	ip := header.IPv6(p.ip)
	return pseudo(ip.SourceAddressSlice(), ip.DestinationAddressSlice(), uint8(header.TCPProtocolNumber), length)
}
