package fastopen

import (
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ipBytes copies a packet from its IP header on. The copy is the price of an
// opening: headers and payload are shared with netstack's retransmission list
// and must not be changed where they are.
func ipBytes(pkt *gstack.PacketBuffer) []byte {
	skip := len(pkt.VirtioNetHeader().Slice()) + len(pkt.LinkHeader().Slice())
	b := make([]byte, 0, pkt.Size())
	for _, s := range pkt.AsSlices() {
		b = append(b, s...)
	}
	return b[min(skip, len(b)):]
}

// sentSum is what the checksum field of a packet going down holds (H-28).
func (l *Link) sentSum(pkt *gstack.PacketBuffer) seg.Sum {
	switch {
	case pkt.GSOOptions.Type != gstack.GSONone && pkt.GSOOptions.NeedsCsum:
		return seg.SumPartial
	case l.lower.Capabilities()&gstack.CapabilityTXChecksumOffload != 0:
		return seg.SumNone
	}
	return seg.SumFull
}

// trusted reports whether the link below has verified a packet coming up, so
// that netstack will not look at its checksums (H-29).
func (l *Link) trusted(pkt *gstack.PacketBuffer) bool {
	return pkt.RXChecksumValidated || l.lower.Capabilities()&gstack.CapabilityRXChecksumOffload != 0
}

func protocolOf(s seg.Segment) tcpip.NetworkProtocolNumber {
	if s.IPv6() {
		return header.IPv6ProtocolNumber
	}
	return header.IPv4ProtocolNumber
}

// egress is what a packet going down needs besides its bytes.
type egress struct {
	route gstack.RouteInfo
	gso   gstack.GSO
	mark  uint32
	hash  uint32
}

func egressOf(pkt *gstack.PacketBuffer) egress {
	return egress{route: pkt.EgressRoute, gso: pkt.GSOOptions, mark: pkt.Mark, hash: pkt.Hash}
}

// outbound makes a packet for the link below. The caller holds its reference.
func (l *Link) outbound(s seg.Segment, e egress) *gstack.PacketBuffer {
	gso := e.gso
	if s.Sum() != seg.SumPartial || len(s.Payload()) <= int(gso.MSS) {
		gso = gstack.GSO{} // one segment of the wire: nothing is left to cut
	}
	if s.Sum() == seg.SumPartial && gso.Type == gstack.GSONone {
		s = s.Complete()
	}
	b := s.Bytes()
	ip, pay := s.IPHeaderLen(), len(b)-len(s.Payload())
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: int(l.lower.MaxHeaderLength()) + pay,
		Payload:            buffer.MakeWithData(b[pay:]),
		Mark:               e.mark,
	})
	copy(pkt.TransportHeader().Push(pay-ip), b[ip:pay])
	copy(pkt.NetworkHeader().Push(ip), b[:ip])
	pkt.NetworkProtocolNumber = protocolOf(s)
	pkt.TransportProtocolNumber = header.TCPProtocolNumber
	pkt.EgressRoute, pkt.GSOOptions, pkt.Hash = e.route, gso, e.hash
	l.lower.AddHeader(pkt)
	return pkt
}

// inbound makes a packet for netstack, with the link header that the packets of
// its connection have. The caller holds its reference.
func inbound(s seg.Segment, linkHeader []byte) upItem {
	payload := buffer.MakeWithData(linkHeader)
	_ = payload.Append(buffer.NewViewWithData(s.Bytes()))
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: payload})
	if len(linkHeader) > 0 {
		pkt.LinkHeader().Consume(len(linkHeader))
	}
	return upItem{proto: protocolOf(s), pkt: pkt}
}
