package relay

import (
	"fmt"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/seg"
)

// DefaultQueue is how many packets a direction holds if Config does not say.
const DefaultQueue = 8192

// Config is a relay's path. The zero value is a path without delay.
type Config struct {
	// Clock times the delay and the events; nil: the machine's.
	Clock tcpip.Clock
	// DownDelay and UpDelay are the one-way delays; 0 or more.
	DownDelay, UpDelay time.Duration
	// Queue is how many packets may be on the way in each direction; 0:
	// DefaultQueue. Further ones are lost.
	Queue int
	// DownFilter and UpFilter are the middlebox; nil: none.
	DownFilter, UpFilter Filter
	// Observe is called for every packet at both ends, in the order of time for
	// each direction, from the goroutine that moves the packet: it must not
	// block and not call the relay. nil: nobody.
	Observe func(Event)
}

// Link is the relay. It is a link endpoint to those above it.
type Link struct {
	nested.Endpoint
	clock   tcpip.Clock
	observe func(Event)

	// down and up hold the packets on their way; back those that the middlebox
	// answers to packets from the wire, which have no way to go.
	down, up, back *line

	// middlebox is one lock per direction: it makes calls of a filter
	// exclusive. Held over the filter alone, and over no other lock.
	middlebox [2]struct {
		sync.Mutex
		filter Filter
	}
}

var (
	_ gstack.LinkEndpoint      = (*Link)(nil)
	_ gstack.GSOEndpoint       = (*Link)(nil)
	_ gstack.NetworkDispatcher = (*Link)(nil)
)

// New puts a relay above lower, which it owns from then on as any wrapper does:
// it is attached, closed and waited for through the relay.
func New(lower gstack.LinkEndpoint, cfg Config) (*Link, error) {
	switch {
	case lower == nil:
		return nil, fmt.Errorf("relay: a lower link is needed")
	case cfg.DownDelay < 0 || cfg.UpDelay < 0:
		return nil, fmt.Errorf("relay: delays must not be negative: %v down, %v up", cfg.DownDelay, cfg.UpDelay)
	case cfg.Queue < 0:
		return nil, fmt.Errorf("relay: the queue must not be negative: %d", cfg.Queue)
	case lower.ARPHardwareType() == header.ARPHardwareEther:
		return nil, fmt.Errorf("relay: the lower link carries Ethernet frames; a link of bare IP packets is needed")
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.Clock == nil {
		cfg.Clock = tcpip.NewStdClock()
	}
	r := &Link{clock: cfg.Clock, observe: cfg.Observe}
	r.Endpoint.Init(lower, r)
	r.down = newLine(cfg.Clock, cfg.DownDelay, cfg.Queue, r.leaveDown)
	r.up = newLine(cfg.Clock, cfg.UpDelay, cfg.Queue, r.leaveUp)
	r.back = newLine(cfg.Clock, 0, cfg.Queue, r.toWire)
	r.middlebox[Down].filter, r.middlebox[Up].filter = cfg.DownFilter, cfg.UpFilter
	return r, nil
}

// SetFilter puts another middlebox in place; nil: none. It takes effect for the
// next packet that reaches the wire's end.
func (r *Link) SetFilter(d Direction, f Filter) {
	m := &r.middlebox[d&1]
	m.Lock()
	defer m.Unlock()
	m.filter = f
}

// SetDelay changes the one-way delay, 0 or more, for packets that come from now on.
func (r *Link) SetDelay(d Direction, delay time.Duration) {
	r.line(d).setDelay(max(delay, 0))
}

// Lost is how many packets of a direction found the queue full.
func (r *Link) Lost(d Direction) uint64 { return r.line(d).lostCount() }

func (r *Link) line(d Direction) *line {
	if d == Up {
		return r.up
	}
	return r.down
}

func (r *Link) lines() []*line { return []*line{r.down, r.up, r.back} }

// Attach implements gstack.LinkEndpoint: nil drops what is on the way.
func (r *Link) Attach(dispatcher gstack.NetworkDispatcher) {
	if dispatcher == nil {
		r.Endpoint.Attach(nil)
		for _, l := range r.lines() {
			l.stop(false)
		}
		return
	}
	for _, l := range r.lines() {
		l.start()
	}
	r.Endpoint.Attach(dispatcher)
}

// Close implements gstack.LinkEndpoint: drops what is on the way and closes the
// lower link. Packets written afterwards are lost silently, as netstack expects.
func (r *Link) Close() {
	for _, l := range r.lines() {
		l.stop(true)
	}
	r.Endpoint.Close()
}

// Wait implements gstack.LinkEndpoint. It returns when the relay, detached or
// closed, and the lower link have nothing running any more.
func (r *Link) Wait() {
	for _, l := range r.lines() {
		l.wait()
	}
	r.Endpoint.Wait()
}

// Capabilities implements gstack.LinkEndpoint: checksums are complete at the
// relay, whatever the device below could add, and super-segments are hidden on
// purpose.
func (r *Link) Capabilities() gstack.LinkEndpointCapabilities {
	return r.Endpoint.Capabilities() &^ (gstack.CapabilityTXChecksumOffload | iolink.CapabilityHostGSO)
}

// GSOMaxSize implements gstack.GSOEndpoint: none.
func (*Link) GSOMaxSize() uint32 { return 0 }

// SupportedGSO implements gstack.GSOEndpoint: none, so that packets have the
// size they have on a wire.
func (*Link) SupportedGSO() gstack.SupportedGSO { return gstack.GSONotSupported }

// WritePackets implements gstack.LinkEndpoint. It never blocks, and takes every
// packet: one that finds the queue full is lost as on any path.
func (r *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		r.down.put(pkt.Clone(), func(f Fate) { r.see(Down, AtStack, f, pkt) })
	}
	return pkts.Len(), nil
}

// DeliverNetworkPacket implements gstack.NetworkDispatcher, for the lower link.
// It never blocks.
func (r *Link) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	v := r.judge(Up, pkt)
	if !v.Drop {
		r.up.put(pkt.Clone(), r.upLost(pkt))
	}
	for _, b := range v.Extra {
		if made := r.make(Up, b, nil); made != nil {
			r.up.put(made, r.upLost(made))
		}
	}
	for _, b := range v.Answer {
		if made := r.make(Down, b, nil); made != nil {
			r.back.put(made, func(Fate) {})
		}
	}
}

// upLost tells the observer of a packet that the up line has no room for. One
// that goes on its way has been seen at the wire, and is seen again at the stack.
func (r *Link) upLost(pkt *gstack.PacketBuffer) func(Fate) {
	return func(f Fate) {
		if f == Lost {
			r.see(Up, AtWire, Lost, pkt)
		}
	}
}

// leaveDown takes a packet from the end of the down line past the middlebox.
func (r *Link) leaveDown(pkt *gstack.PacketBuffer) {
	v := r.judge(Down, pkt)
	route := pkt.EgressRoute
	if v.Drop {
		pkt.DecRef()
	} else {
		r.toWire(pkt)
	}
	for _, b := range v.Extra {
		if made := r.make(Down, b, &route); made != nil {
			r.toWire(made)
		}
	}
	for _, b := range v.Answer {
		if made := r.make(Up, b, nil); made != nil {
			r.up.put(made, r.upLost(made))
		}
	}
}

// toWire gives a packet, and the relay's reference to it, to the lower link.
// What that refuses is lost.
func (r *Link) toWire(pkt *gstack.PacketBuffer) {
	var list gstack.PacketBufferList
	list.PushBack(pkt)
	_, _ = r.Endpoint.WritePackets(list)
	pkt.DecRef()
}

// leaveUp takes a packet from the end of the up line to the stack.
func (r *Link) leaveUp(pkt *gstack.PacketBuffer) {
	r.see(Up, AtStack, Passed, pkt)
	if proto, ok := protocol(pkt); ok {
		r.Endpoint.DeliverNetworkPacket(proto, pkt)
	}
	pkt.DecRef()
}

// judge asks the middlebox about a packet at the wire's end.
func (r *Link) judge(d Direction, pkt *gstack.PacketBuffer) Verdict {
	m := &r.middlebox[d]
	m.Lock()
	var v Verdict
	if m.filter != nil {
		v = m.filter(newPacket(d, r.wireBytes(d, pkt)))
	}
	m.Unlock()
	fate := Passed
	if v.Drop {
		fate = Dropped
	}
	r.see(d, AtWire, fate, pkt)
	return v
}

// make builds a packet of the middlebox's own; nil for bytes that are no IP.
func (r *Link) make(d Direction, b []byte, route *gstack.RouteInfo) *gstack.PacketBuffer {
	proto, ok := protocolOf(b)
	if !ok {
		return nil
	}
	opts := gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)}
	if d == Down {
		opts.ReserveHeaderBytes = int(r.MaxHeaderLength())
	}
	pkt := gstack.NewPacketBuffer(opts)
	pkt.NetworkProtocolNumber = proto
	if route != nil {
		pkt.EgressRoute = *route
	}
	r.see(d, AtWire, Made, pkt)
	return pkt
}

// see tells the observer.
func (r *Link) see(d Direction, p Place, f Fate, pkt *gstack.PacketBuffer) {
	if r.observe == nil {
		return
	}
	r.observe(Event{At: r.clock.Now(), Direction: d, Place: p, Fate: f, Bytes: bytesOf(pkt)})
}

// bytesOf copies a whole packet.
func bytesOf(pkt *gstack.PacketBuffer) []byte {
	b := make([]byte, 0, pkt.Size())
	for _, s := range pkt.AsSlices() {
		b = append(b, s...)
	}
	return b
}

// wireBytes copies a packet in the form that it has on a wire: where a device
// has vouched for a checksum that it never completed, it is completed, so that a
// filter may build on the bytes.
func (r *Link) wireBytes(d Direction, pkt *gstack.PacketBuffer) []byte {
	b := bytesOf(pkt)
	trusted := pkt.RXChecksumValidated || r.Endpoint.Capabilities()&gstack.CapabilityRXChecksumOffload != 0
	if d == Down || !trusted {
		return b
	}
	s, err := seg.Parse(b)
	if err != nil || s.Verify() {
		return b
	}
	return s.Rebuild(s.OptionBytes(), s.Payload()).Bytes()
}

// protocol is the packet's network protocol, as its first byte tells it.
func protocol(pkt *gstack.PacketBuffer) (tcpip.NetworkProtocolNumber, bool) {
	for _, s := range pkt.AsSlices() {
		if len(s) > 0 {
			return protocolOf(s)
		}
	}
	return 0, false
}

func protocolOf(b []byte) (tcpip.NetworkProtocolNumber, bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		return header.IPv4ProtocolNumber, true
	case header.IPv6Version:
		return header.IPv6ProtocolNumber, true
	}
	return 0, false
}
