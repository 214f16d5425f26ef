package fastopen_test

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// sinkhole is a link that takes what it is given, and a stack that does.
type sinkhole struct{ *channel.Endpoint }

func (sinkhole) WritePackets(l gstack.PacketBufferList) (int, tcpip.Error) { return l.Len(), nil }

type nobody struct{}

func (nobody) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}
func (nobody) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer)    {}

// BenchmarkPass is what a packet of an established connection costs in each direction,
// while nothing is being opened, and while a hundred other connections are.
func BenchmarkPass(b *testing.B) {
	for name, others := range map[string]int{"quiet": 0, "while others open": 100} {
		link, err := fastopen.New(sinkhole{channel.New(1, 1500, "")}, fastopen.Config{})
		if err != nil {
			b.Fatal(err)
		}
		link.Attach(nobody{})
		for range others {
			defer link.Offer(fastopen.OfferOptions{}).Release()
		}
		s := seg.Make(seg.Fields{Src: netip.AddrPortFrom(ours4, 1000), Dst: netip.AddrPortFrom(theirs4, 80), Flags: seg.ACK, Payload: make([]byte, 1400)})
		b.Run(name+", down", func(b *testing.B) {
			ip, tcp := s.IPHeaderLen(), s.IPHeaderLen()+header.TCPMinimumSize
			pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{ReserveHeaderBytes: tcp, Payload: buffer.MakeWithData(s.Payload())})
			defer pkt.DecRef()
			copy(pkt.TransportHeader().Push(tcp-ip), s.Bytes()[ip:])
			copy(pkt.NetworkHeader().Push(ip), s.Bytes())
			pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
			var list gstack.PacketBufferList
			list.PushBack(pkt)
			b.ReportAllocs()
			for b.Loop() {
				link.WritePackets(list)
			}
		})
		b.Run(name+", up", func(b *testing.B) {
			pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(s.Bytes())})
			defer pkt.DecRef()
			b.ReportAllocs()
			for b.Loop() {
				link.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
			}
		})
		link.Close()
		link.Wait()
	}
}

// BenchmarkOffer announces a connection and gives it up.
func BenchmarkOffer(b *testing.B) {
	link, err := fastopen.New(sinkhole{channel.New(1, 1500, "")}, fastopen.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer link.Close()
	payload := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		link.Offer(fastopen.OfferOptions{Payload: payload}).Release()
	}
}
