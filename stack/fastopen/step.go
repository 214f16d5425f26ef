package fastopen

import (
	"net/netip"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Step is what the Link did with one packet of an opening, or at a time that it had
// waited for; see Config.OnStep.
type Step struct {
	Local, Remote netip.AddrPort
	// Packet came from netstack if Down, else from the link below; nil: it was time.
	Packet *gstack.PacketBuffer
	Down   bool
	// Passed says that Packet goes on as it is.
	Passed bool
	// ToWire and ToStack go out and up, in place of Packet or beside it.
	ToWire, ToStack []seg.Segment
}

// tellStep tells Config.OnStep, unless a packet just passes or it was no time yet.
func (l *Link) tellStep(k key, pkt *gstack.PacketBuffer, down bool, out tfo.Out) {
	if l.cfg.OnStep == nil || (out.Pass || pkt == nil) && len(out.ToWire)+len(out.ToStack) == 0 {
		return
	}
	l.cfg.OnStep(Step{
		Local: k.local, Remote: k.remote, Packet: pkt, Down: down,
		Passed: out.Pass, ToWire: out.ToWire, ToStack: out.ToStack,
	})
}
