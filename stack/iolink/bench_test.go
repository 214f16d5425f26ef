package iolink_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

func BenchmarkWritePackets(b *testing.B) {
	d := newDevice(1)
	d.write = func(_ int, batch []frame.Packet) (int, error) { return len(batch), nil }
	l, err := iolink.New(d, iolink.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p := outbound(make([]byte, 1400), 3)
	defer p.DecRef()
	pkts := list(p)
	b.SetBytes(1440)
	b.ReportAllocs()
	for b.Loop() {
		l.WritePackets(pkts)
	}
}

// taker is a dispatcher that lets go of what it gets, and says when it has got n.
type taker struct {
	n    int
	done chan struct{}
}

func (s *taker) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {
	if s.n--; s.n == 0 {
		s.done <- struct{}{}
	}
}

func (*taker) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

// BenchmarkRead reads eight packets: of one stream, which are joined, and of eight, which
// are not.
func BenchmarkRead(b *testing.B) {
	for name, apart := range map[string]bool{"joined": false, "apart": true} {
		b.Run(name, func(b *testing.B) {
			in, _ := stream(false, 1448, 8)
			s := &taker{done: make(chan struct{})}
			want := 1
			if apart {
				want = len(in)
				for i := range in {
					in[i][1] = byte(i) // another TOS
				}
			}
			d := newBatches()
			l, err := iolink.New(d, iolink.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { l.Close(); l.Wait() }()
			l.Attach(s)
			b.SetBytes(8 * 1448)
			b.ReportAllocs()
			for b.Loop() {
				s.n = want
				d.given <- given{packets: in}
				<-s.done
			}
		})
	}
}
