package fastopen_test

import (
	"context"
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

func TestHeldAnswerIsLeftToTheDevice(t *testing.T) {
	covers.IDs(t, "H-28", "S-48")
	bothServers(t, 16, &fastopen.ListenConfig{HoldData: true}, func(t *testing.T, s *server) {
		s.wire.SupportedGSOKind = gstack.HostGSOSupported
		c := s.opened("hello")
		c.write(text(8000))
		s.quiet()
		// An empty packet, with nothing for the device to cut, leaves in between.
		s.send(seg.ACK, 1, 1, "")
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		s.wire.ReadContext(ctx).DecRef()
		s.send(seg.ACK, 6, 1, "")
		s.settle()
		total, large := 0, false
		for pkt := s.wire.Read(); pkt != nil; pkt = s.wire.Read() {
			n := pkt.Data().Size()
			total += n
			if n > 1460 {
				large = true
				if gso := pkt.GSOOptions; gso.Type == gstack.GSONone || !gso.NeedsCsum || gso.MSS == 0 || gso.MSS > 1460 {
					t.Errorf("%d bytes leave in one packet with %+v", n, gso)
				}
			}
			pkt.DecRef()
		}
		if total != 8000 || !large {
			t.Errorf("%d bytes leave, a packet for the device to cut: %t", total, large)
		}
	})
}
