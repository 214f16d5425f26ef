package stacktest

import (
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Port is where a node is plugged into the wire: a link endpoint for netstack.
// WritePackets never blocks.
type Port struct {
	net     *Net
	name    string
	number  int
	line    *Line
	barrier barrier
	receive func(b []byte) // a Peer's; nil: the dispatcher gets the packets

	mu         sync.Mutex
	mtu        uint32                   // guarded by mu, as is the rest
	dispatcher gstack.NetworkDispatcher //
	outbox     [][]byte                 // IP packets that the driver has yet to collect
	closed     bool
	onClose    func()
}

var _ gstack.LinkEndpoint = (*Port)(nil)

// Guard makes the driver pause a stack that was created with the Port as its
// link, and let it work when there is something to do. Call it right after the
// stack was made; Host does so by itself.
func (p *Port) Guard(stack Pausable) { p.barrier.guard(stack) }

// Release ends what Guard began: the stack is about to be closed. What it still
// sends is lost.
func (p *Port) Release() {
	p.Close()
	p.barrier.open()
}

// Clock is the clock for a stack on this Port.
func (p *Port) Clock() tcpip.Clock { return &hostClock{timers: &p.net.timers, barrier: &p.barrier} }

// Line is the Port's stretch of path.
func (p *Port) Line() *Line { return p.line }

// Name is what traces call the node.
func (p *Port) Name() string { return p.name }

// WritePackets implements gstack.LinkEndpoint.
func (p *Port) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	p.mu.Lock()
	if !p.closed {
		for _, pkt := range pkts.AsSlice() {
			b := make([]byte, 0, pkt.Size())
			for _, s := range pkt.AsSlices() {
				b = append(b, s...)
			}
			p.outbox = append(p.outbox, b)
		}
	}
	p.mu.Unlock()
	p.barrier.touch(1)
	p.net.poke()
	return pkts.Len(), nil
}

// collect takes what was sent.
func (p *Port) collect() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.outbox
	p.outbox = nil
	return out
}

// deliver hands a packet to the node. It runs on the driver.
func (p *Port) deliver(b []byte) {
	if p.receive != nil {
		p.receive(b)
		return
	}
	p.mu.Lock()
	d := p.dispatcher
	p.mu.Unlock()
	proto, ok := protocolOf(b)
	if d == nil || !ok {
		return
	}
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	d.DeliverNetworkPacket(proto, pkt)
	pkt.DecRef()
	p.barrier.touch(2)
}

func protocolOf(b []byte) (tcpip.NetworkProtocolNumber, bool) {
	switch {
	case len(b) == 0:
	case b[0]>>4 == 4:
		return header.IPv4ProtocolNumber, true
	case b[0]>>4 == 6:
		return header.IPv6ProtocolNumber, true
	}
	return 0, false
}

// MTU implements gstack.LinkEndpoint.
func (p *Port) MTU() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mtu
}

// SetMTU implements gstack.LinkEndpoint.
func (p *Port) SetMTU(mtu uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mtu = mtu
}

// Attach implements gstack.LinkEndpoint.
func (p *Port) Attach(d gstack.NetworkDispatcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dispatcher = d
}

// IsAttached implements gstack.LinkEndpoint.
func (p *Port) IsAttached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dispatcher != nil
}

// Close implements gstack.LinkEndpoint: what is sent from now on is lost.
func (p *Port) Close() {
	p.mu.Lock()
	was, action := p.closed, p.onClose
	p.closed, p.outbox = true, nil
	p.mu.Unlock()
	if action != nil && !was {
		action()
	}
}

// SetOnCloseAction implements gstack.LinkEndpoint.
func (p *Port) SetOnCloseAction(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onClose = f
}

// MaxHeaderLength implements gstack.LinkEndpoint.
func (*Port) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements gstack.LinkEndpoint.
func (*Port) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements gstack.LinkEndpoint; wires of IP packets have none.
func (*Port) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements gstack.LinkEndpoint: netstack computes and verifies
// every checksum.
func (*Port) Capabilities() gstack.LinkEndpointCapabilities { return 0 }

// Wait implements gstack.LinkEndpoint.
func (*Port) Wait() {}

// ARPHardwareType implements gstack.LinkEndpoint.
func (*Port) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements gstack.LinkEndpoint.
func (*Port) AddHeader(*gstack.PacketBuffer) {}

// ParseHeader implements gstack.LinkEndpoint.
func (*Port) ParseHeader(*gstack.PacketBuffer) bool { return true }
