package gate

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/seg"
)

// The limits of a request, our own choices: the peer has given up by then.
const (
	// DefaultHold is for how long a request waits for Decide; BSD gives a
	// connection as long to come up.
	DefaultHold = 75 * time.Second
	// handshakeLimit is for how long a handshake may take: longer than netstack
	// repeats its SYN-ACK (127 s).
	handshakeLimit = 150 * time.Second
)

// Config is what a Link needs.
type Config struct {
	// Clock is behind the limits.
	Clock tcpip.Clock
	// Hold is for how long a request waits for Decide; 0 means DefaultHold.
	Hold time.Duration
	// Find returns the Listener that inspects what would open the connection, nil if
	// there is none: the SYN belongs to a connection that exists, or to no listener,
	// or to one that does not inspect. It is called without a lock, with addresses
	// as packets have them.
	Find func(local, remote netip.AddrPort) *Listener
	// Reset sends the answer to a SYN that is refused. It is called without a lock.
	Reset func(syn seg.Segment)
}

// Link is a link endpoint that holds and silences. It is safe for concurrent use.
type Link struct {
	nested.Endpoint
	lower      gstack.LinkEndpoint
	cfg        Config
	dispatcher atomic.Pointer[gstack.NetworkDispatcher]

	// active counts, in its lower half, the connections that packets are looked up
	// for (requests and silent ones), and in its upper half (oneListener) the
	// listeners. While it is 0, packets go straight through.
	active atomic.Int64

	mu       sync.RWMutex
	requests map[key]*entry // guarded by mu
	ids      map[ID]*entry  // guarded by mu
	silent   map[key]int    // guarded by mu; how often it was silenced
	last     ID             // guarded by mu
}

const oneListener = 1 << 32

// connections is the lower half of a value of Link.active.
func connections(active int64) uint32 { return uint32(active) }

// key is a connection as seen from here.
type key struct{ local, remote netip.AddrPort }

// New wraps the link endpoint lower. The Link takes its place: close lower through
// it.
func New(lower gstack.LinkEndpoint, cfg Config) (*Link, error) {
	if lower == nil || cfg.Clock == nil || cfg.Find == nil || cfg.Reset == nil {
		return nil, errors.New("gate: New needs a link endpoint, a Clock, Find and Reset")
	}
	if cfg.Hold < 0 {
		return nil, errors.New("gate: Hold is negative; use 0 for the default")
	}
	if cfg.Hold == 0 {
		cfg.Hold = DefaultHold
	}
	l := &Link{
		lower: lower, cfg: cfg,
		requests: make(map[key]*entry), ids: make(map[ID]*entry), silent: make(map[key]int),
	}
	l.Init(lower, l)
	return l, nil
}

// Attach implements stack.LinkEndpoint.
func (l *Link) Attach(d gstack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
	} else {
		l.dispatcher.Store(&d)
	}
	l.Endpoint.Attach(d)
}

// DeliverNetworkPacket implements stack.NetworkDispatcher for the link below.
func (l *Link) DeliverNetworkPacket(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	if l.active.Load() != 0 && l.stops(proto, pkt) {
		return
	}
	l.deliver(proto, pkt)
}

func (l *Link) deliver(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	if d := l.dispatcher.Load(); d != nil {
		(*d).DeliverNetworkPacket(proto, pkt)
	}
}

// stops looks at a packet that comes up and reports whether it goes no further.
func (l *Link) stops(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) bool {
	h, ok := headUp(pkt)
	if !ok {
		return false
	}
	k := key{local: h.Dst, remote: h.Src}
	if connections(l.active.Load()) != 0 {
		v, known := l.judge(k, func(r *request) verdict { return r.fromPeer(h) })
		if known && v != renew {
			return v == swallow || v == giveUp
		}
	}
	if h.Flags&(seg.SYN|seg.ACK|seg.RST) != seg.SYN {
		return false
	}
	ln := l.cfg.Find(k.local, k.remote)
	if ln == nil {
		return false
	}
	s, err := seg.Parse(bytesOf(pkt))
	if err != nil || !l.trusted(pkt) && !s.Verify() {
		return false // netstack counts and drops what is damaged
	}
	return ln.hold(k, s, proto, pkt)
}

// headUp is the head of a packet that comes up.
func headUp(pkt *gstack.PacketBuffer) (seg.Head, bool) {
	b, ok := pkt.Data().PullUp(min(seg.MaxHead, pkt.Data().Size()))
	if !ok {
		return seg.Head{}, false
	}
	if h, ok := seg.Peek(b); ok {
		return h, true
	}
	if !seg.Hidden(b) {
		return seg.Head{}, false
	}
	s, err := seg.Parse(bytesOf(pkt))
	if err != nil {
		return seg.Head{}, false
	}
	return s.Head(), true
}

// bytesOf copies a packet that comes up, from its IP header on.
func bytesOf(pkt *gstack.PacketBuffer) []byte { return pkt.Data().AsRange().ToSlice() }

// trusted reports whether the link below has verified a packet, so that netstack
// will not look at its checksums (H-29).
func (l *Link) trusted(pkt *gstack.PacketBuffer) bool {
	return pkt.RXChecksumValidated || l.lower.Capabilities()&gstack.CapabilityRXChecksumOffload != 0
}

// judge asks the request of a connection about a segment, and ends the request if
// that is what comes of it. known is false if there is nothing about the
// connection; what is silent swallows.
func (l *Link) judge(k key, ask func(*request) verdict) (v verdict, known bool) {
	l.mu.RLock()
	e, silent := l.requests[k], l.silent[k] > 0
	l.mu.RUnlock()
	switch {
	case silent:
		return swallow, true
	case e == nil:
		return pass, false
	}
	l.mu.Lock()
	if l.requests[k] != e { // it has just ended
		l.mu.Unlock()
		return pass, false
	}
	v = ask(&e.request)
	if v == giveUp || v == passOver {
		l.abort(e)
	}
	l.mu.Unlock()
	if v == giveUp || v == passOver {
		e.listener.wake()
	}
	return v, true
}

// WritePackets implements stack.LinkEndpoint. It may be called under an endpoint's
// lock, concurrently, and after Close.
func (l *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if connections(l.active.Load()) == 0 {
		return l.Endpoint.WritePackets(pkts)
	}
	var out gstack.PacketBufferList
	for _, pkt := range pkts.AsSlice() {
		if !l.stopsDown(pkt) {
			out.PushBack(pkt)
		}
	}
	dropped := pkts.Len() - out.Len()
	if out.Len() == 0 {
		return dropped, nil
	}
	n, err := l.Endpoint.WritePackets(out)
	return n + dropped, err
}

// stopsDown looks at a packet that goes down and reports whether it goes no further.
func (l *Link) stopsDown(pkt *gstack.PacketBuffer) bool {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return false
	}
	h, ok := seg.HeadOf(pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice())
	if !ok {
		return false
	}
	v, _ := l.judge(key{local: h.Src, remote: h.Dst}, func(r *request) verdict { return r.fromHere(h) })
	return v == swallow
}

// Silence drops what the connection sends and receives from now on, until the
// returned function is called, as often as Silence was. A new connection between the
// same ports is silent as well in the meantime.
func (l *Link) Silence(local, remote netip.AddrPort) (end func()) {
	k := key{local: canonical(local), remote: canonical(remote)}
	l.mu.Lock()
	l.silent[k]++
	l.mu.Unlock()
	l.active.Add(1)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		if l.silent[k]--; l.silent[k] == 0 {
			delete(l.silent, k)
		}
		l.mu.Unlock()
		l.active.Add(-1)
	})
}

// canonical is an address as packets have it.
func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Close implements stack.LinkEndpoint: it forgets every request, and closes the link
// below.
func (l *Link) Close() {
	l.mu.Lock()
	var all []*entry
	for _, e := range l.requests {
		all = append(all, e)
	}
	for _, e := range all {
		l.forget(e)
	}
	l.mu.Unlock()
	l.Endpoint.Close()
}
