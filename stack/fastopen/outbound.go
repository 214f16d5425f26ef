package fastopen

import (
	"net/netip"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// WritePackets implements stack.LinkEndpoint. It may be called under an
// endpoint's lock, concurrently, and after Close.
func (l *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if openings(l.active.Load()) == 0 {
		return l.Endpoint.WritePackets(pkts)
	}
	return l.writeOpening(pkts)
}

// writeOpening sends a batch some packets of which may belong to openings. Those
// in between go down in runs, unchanged.
func (l *Link) writeOpening(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	var run gstack.PacketBufferList
	sent := 0
	flush := func() tcpip.Error {
		if run.Len() == 0 {
			return nil
		}
		n, err := l.Endpoint.WritePackets(run)
		sent += n
		run = gstack.PacketBufferList{}
		return err
	}
	for _, pkt := range pkts.AsSlice() {
		segments, e, handled := l.flowDown(pkt)
		if !handled {
			run.PushBack(pkt)
			continue
		}
		if err := flush(); err != nil {
			return sent, err
		}
		// The packet is dealt with even if nothing leaves.
		if err := l.send(segments, e); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, flush()
}

// flowDown hands a packet to its flow, if it has one.
func (l *Link) flowDown(pkt *gstack.PacketBuffer) ([]seg.Segment, egress, bool) {
	if f, ok := pkt.Owner.(*Flow); ok && f.link == l {
		return f.down(pkt)
	}
	if l.children.Load() != 0 {
		if c, ok := l.table.get(keyDown(pkt)).(*child); ok {
			return c.down(pkt)
		}
	}
	l.evict(pkt)
	return nil, egress{}, false
}

// keyDown is the connection of a packet that netstack sends; the zero key if it
// is no TCP.
func keyDown(pkt *gstack.PacketBuffer) key {
	tcp := header.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(tcp) < header.TCPMinimumSize {
		return key{}
	}
	ip := pkt.NetworkHeader().Slice()
	switch {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && len(ip) >= header.IPv4MinimumSize:
		return key{
			local:  netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), tcp.SourcePort()),
			remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), tcp.DestinationPort()),
		}
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && len(ip) >= header.IPv6MinimumSize:
		return key{
			local:  netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[8:])), tcp.SourcePort()),
			remote: netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[24:])), tcp.DestinationPort()),
		}
	}
	return key{}
}

// evict ends the opening of an earlier connection when a SYN without a flow of its
// own leaves from the same ports (B-09).
func (l *Link) evict(pkt *gstack.PacketBuffer) {
	tcp := header.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(tcp) < header.TCPMinimumSize ||
		tcp.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return
	}
	s, err := seg.Parse(ipBytes(pkt))
	if err != nil {
		return
	}
	if o := l.table.get(key{local: s.Src(), remote: s.Dst()}); o != nil {
		o.displaced()
	}
}

// send writes segments made here to the link below.
func (l *Link) send(segments []seg.Segment, e egress) tcpip.Error {
	if len(segments) == 0 {
		return nil
	}
	var list gstack.PacketBufferList
	for _, s := range segments {
		list.PushBack(l.outbound(s, e))
	}
	defer list.Reset()
	_, err := l.Endpoint.WritePackets(list)
	return err
}
