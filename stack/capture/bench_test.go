package capture_test

import (
	"io"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

func BenchmarkDeliver(b *testing.B) {
	for name, w := range map[string]io.Writer{"idle": nil, "running": io.Discard} {
		b.Run(name, func(b *testing.B) {
			f := setUp(b, w)
			pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(make([]byte, 1500))})
			defer pkt.DecRef()
			b.ReportAllocs()
			for b.Loop() {
				f.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
			}
		})
	}
}
