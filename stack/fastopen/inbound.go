package fastopen

import (
	"encoding/binary"
	"net/netip"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// DeliverNetworkPacket implements stack.NetworkDispatcher for the link below.
func (l *Link) DeliverNetworkPacket(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	if l.active.Load() == 0 {
		l.Endpoint.DeliverNetworkPacket(proto, pkt)
		return
	}
	o := l.openingUp(pkt)
	switch {
	case o != nil:
		segments, e := o.up(proto, pkt)
		l.send(segments, e)
	case !l.up.pushBehind(proto, pkt):
		l.Endpoint.DeliverNetworkPacket(proto, pkt)
		return
	}
	l.up.drain(l)
}

// headLen is how much of a packet is looked at to find its opening: the longest
// IPv4 header, and the TCP header up to its flags.
const headLen = 60 + tcpFlags + 1

// tcpFlags is the offset of the control bits in a TCP header.
const tcpFlags = 13

// openingUp finds the opening that a packet coming up belongs to, or quotes, or
// begins.
func (l *Link) openingUp(pkt *gstack.PacketBuffer) opening {
	head, ok := pkt.Data().PullUp(min(headLen, pkt.Data().Size()))
	if !ok || len(head) < header.IPv4MinimumSize {
		return nil
	}
	var src, dst netip.Addr
	var proto byte
	at := header.IPv6MinimumSize
	switch head[0] >> 4 {
	case 4:
		src, dst = netip.AddrFrom4([4]byte(head[12:])), netip.AddrFrom4([4]byte(head[16:]))
		proto, at = head[9], int(head[0]&0xf)*4
	case 6:
		if len(head) < header.IPv6MinimumSize {
			return nil
		}
		src, dst = netip.AddrFrom16([16]byte(head[8:])), netip.AddrFrom16([16]byte(head[24:]))
		proto = head[6]
	default:
		return nil
	}
	switch {
	case proto == uint8(header.TCPProtocolNumber) && len(head) > at+tcpFlags:
		return l.openingOf(pkt, seg.Flags(head[at+tcpFlags]), key{
			local:  netip.AddrPortFrom(dst, binary.BigEndian.Uint16(head[at+2:])),
			remote: netip.AddrPortFrom(src, binary.BigEndian.Uint16(head[at:])),
		})
	case proto == uint8(header.UDPProtocolNumber), proto == uint8(header.TCPProtocolNumber):
		return nil
	}
	return l.openingBehind(pkt)
}

// openingBehind finds the opening of a packet whose TCP header does not stand
// right behind the IP header: in an ICMP quote, or behind IPv6 extension headers.
func (l *Link) openingBehind(pkt *gstack.PacketBuffer) opening {
	b := ipBytes(pkt)
	if e, ok := seg.ParseICMPError(b); ok {
		return l.table.get(key{local: e.Src, remote: e.Dst})
	}
	if s, err := seg.Parse(b); err == nil {
		return l.openingOf(pkt, s.Flags(), key{local: s.Dst(), remote: s.Src()})
	}
	return nil
}

// openingOf finds the opening of a segment, or begins one if it is a SYN to a
// listener.
func (l *Link) openingOf(pkt *gstack.PacketBuffer, f seg.Flags, k key) opening {
	active := l.active.Load()
	if openings(active) != 0 {
		if o := l.table.get(k); o != nil {
			if flow, ok := o.(*Flow); ok && flow.settled() {
				return nil // only what goes down concerns it
			}
			return o
		}
	}
	if active&^upBusy < oneListener || f&(seg.SYN|seg.ACK|seg.RST) != seg.SYN {
		return nil
	}
	ln := l.listeners.find(k.local)
	if ln == nil {
		return nil
	}
	s, err := seg.Parse(ipBytes(pkt))
	if err != nil || !l.trusted(pkt) && !s.Verify() {
		return nil // netstack counts and drops what is damaged
	}
	return ln.consider(k, pkt, s)
}

// up takes a packet of the flow that comes up. What netstack is to see, the
// packet itself included, is queued; what is to be answered is returned.
func (f *Flow) up(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) ([]seg.Segment, egress) {
	b := ipBytes(pkt)
	s, err := seg.Parse(b)
	damaged := err == nil && !f.link.trusted(pkt) && !s.Verify()
	now := f.link.now()

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done.Load() { // since it was looked up
		f.link.up.push(f.link, upItem{proto: proto, pkt: pkt.IncRef()})
		return nil, egress{}
	}
	out := tfo.Out{Pass: true}
	switch {
	case damaged:
		// Netstack counts and drops what is damaged.
	case err == nil:
		f.linkHdr = append(f.linkHdr[:0], pkt.LinkHeader().Slice()...)
		out = f.client.FromWire(now, s)
	default:
		if e, ok := seg.ParseICMPError(b); ok && seg.VerifyICMP(b) {
			out = f.client.FromICMP(now, e)
		}
	}
	f.link.tellStep(f.key, pkt, false, out)
	if out.Pass {
		f.link.up.push(f.link, upItem{proto: proto, pkt: pkt.IncRef()})
	}
	e := f.egress // before the flow may end
	return f.carry(out), e
}
