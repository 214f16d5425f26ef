package gate_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/seg"
)

// BenchmarkPass is what the Link costs while it has nothing to do.
func BenchmarkPass(b *testing.B) {
	r := newBench(b)
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		Payload: buffer.MakeWithData(seg.Make(seg.Fields{Src: there, Dst: here, Flags: seg.ACK}).Bytes()),
	})
	defer pkt.DecRef()
	r.link.Attach(nowhere{})
	b.ReportAllocs()
	for b.Loop() {
		r.link.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
	}
}
