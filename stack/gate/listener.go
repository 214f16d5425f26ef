package gate

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/seg"
)

// ID identifies a request to its Link. It is never 0 and not used again.
type ID uint64

// Event tells a listener of a request.
type Event struct {
	ID            ID
	Local, Remote netip.AddrPort
	// Gone says that the request is over: the peer has taken it back, or its time
	// is up. Otherwise it is new and waits for Decide.
	Gone bool
}

// ErrUnknown says that no request of the ID waits for a decision.
var ErrUnknown = errors.New("gate: no request of this id waits for a decision")

// DefaultMax is how many requests a Listener has at most unless it says otherwise.
const DefaultMax = 128

// Listener is asked about requests. It is safe for concurrent use.
type Listener struct {
	link *Link
	max  int
	wake func()

	// All guarded by Link.mu.
	mine   map[*entry]struct{}
	queue  []Event
	closed bool
}

// entry is a request with what belongs to it. Link.mu guards it.
type entry struct {
	request
	id       ID
	key      key
	listener *Listener
	syn      seg.Segment          // while it is pending
	pkt      *gstack.PacketBuffer // the same as it is to go up; nil once it has
	proto    tcpip.NetworkProtocolNumber
	timer    tcpip.Timer
	since    tcpip.MonotonicTime // of its phase
	told     bool                // its listener knows of it
}

// Listen makes a Listener for at most most requests (0: DefaultMax); Config.Find has
// to return it. wake is called when Next has something; it must neither block nor
// call the Link.
func (l *Link) Listen(most int, wake func()) *Listener {
	if most <= 0 {
		most = DefaultMax
	}
	l.active.Add(oneListener)
	return &Listener{link: l, max: most, wake: wake, mine: make(map[*entry]struct{})}
}

// hold makes a request of a SYN, or drops it if there are too many. It is false if
// the listener is closed: the SYN is netstack's to answer.
func (ln *Listener) hold(k key, s seg.Segment, proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) bool {
	l := ln.link
	l.mu.Lock()
	defer ln.wake()
	defer l.mu.Unlock()
	if ln.closed {
		return false
	}
	if old := l.requests[k]; old != nil {
		if old.phase != pending || old.isn == s.Seq() {
			return true // the same SYN came a second time at this very moment
		}
		l.abort(old)
	}
	if len(ln.mine) >= ln.max && !ln.makeRoom() {
		return true
	}
	l.last++
	e := &entry{
		request: newRequest(s), id: l.last, key: k, listener: ln, syn: s, proto: proto,
		pkt: copyOf(pkt), since: l.cfg.Clock.NowMonotonic(),
	}
	e.timer = l.cfg.Clock.AfterFunc(l.cfg.Hold, func() { l.expire(e) })
	l.requests[k], l.ids[e.id], ln.mine[e] = e, e, struct{}{}
	l.active.Add(1)
	ln.queue = append(ln.queue, Event{ID: e.id, Local: k.local, Remote: k.remote})
	return true
}

// copyOf is the packet in memory of its own, not the link's.
func copyOf(pkt *gstack.PacketBuffer) *gstack.PacketBuffer {
	link := pkt.LinkHeader().Slice()
	payload := buffer.MakeWithData(link)
	_ = payload.Append(buffer.NewViewWithData(bytesOf(pkt)))
	c := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: payload})
	if len(link) > 0 {
		c.LinkHeader().Consume(len(link))
	}
	c.PktType, c.RXChecksumValidated, c.Hash = pkt.PktType, pkt.RXChecksumValidated, pkt.Hash
	return c
}

// makeRoom gives up the connection that has waited longest to be accepted, if that is
// longer than a handshake may take. Called with Link.mu held.
func (ln *Listener) makeRoom() bool {
	var oldest *entry
	for e := range ln.mine {
		if e.phase == opened && (oldest == nil || e.since.Before(oldest.since)) {
			oldest = e
		}
	}
	if oldest == nil || ln.link.cfg.Clock.NowMonotonic().Sub(oldest.since) < handshakeLimit {
		return false
	}
	ln.link.abort(oldest)
	return true
}

// abort ends a request and has its listener told, if it knows of it. Called with
// Link.mu held.
func (l *Link) abort(e *entry) {
	if e.told {
		e.listener.queue = append(e.listener.queue, Event{ID: e.id, Local: e.key.local, Remote: e.key.remote, Gone: true})
	}
	l.forget(e)
}

// forget takes a request out. Called with Link.mu held.
func (l *Link) forget(e *entry) {
	if l.requests[e.key] != e {
		return
	}
	delete(l.requests, e.key)
	delete(l.ids, e.id)
	delete(e.listener.mine, e)
	l.active.Add(-1)
	e.timer.Stop()
	e.release()
	if !e.told {
		e.listener.queue = slices.DeleteFunc(e.listener.queue, func(v Event) bool { return v.ID == e.id })
	}
}

// release gives the SYN back. Called with Link.mu held.
func (e *entry) release() {
	if e.pkt != nil {
		e.pkt.DecRef()
	}
	e.pkt, e.syn = nil, seg.Segment{}
}

// expire ends a request whose time is up. It runs on the clock's goroutine.
func (l *Link) expire(e *entry) {
	l.mu.Lock()
	var left time.Duration
	switch e.phase {
	case pending:
		left = l.cfg.Hold
	case admitted:
		left = handshakeLimit
	case opened: // its time is up when another needs the place
		l.mu.Unlock()
		return
	}
	left -= l.cfg.Clock.NowMonotonic().Sub(e.since)
	if l.requests[e.key] == e && left <= 0 {
		l.abort(e)
	}
	l.mu.Unlock()
	e.listener.wake()
}

// Next takes the next event; false if there is none.
func (ln *Listener) Next() (Event, bool) {
	ln.link.mu.Lock()
	defer ln.link.mu.Unlock()
	if len(ln.queue) == 0 {
		return Event{}, false
	}
	v := ln.queue[0]
	ln.queue = ln.queue[1:]
	if e := ln.link.ids[v.ID]; e != nil {
		e.told = true
	}
	return v, true
}

// Decide lets a request that waits open its connection, or refuses it with a reset.
// A request that is gone but whose Event has not been taken counts as decided.
// Otherwise the error is ErrUnknown. The SYN goes up on the caller's goroutine.
func (ln *Listener) Decide(id ID, accept bool) error {
	l := ln.link
	l.mu.Lock()
	e := l.ids[id]
	if e == nil || e.listener != ln || e.phase != pending {
		gone := slices.ContainsFunc(ln.queue, func(v Event) bool { return v.ID == id && v.Gone })
		l.mu.Unlock()
		if gone {
			return nil
		}
		return ErrUnknown
	}
	syn, pkt := e.syn, e.pkt
	if !accept {
		l.forget(e)
		l.mu.Unlock()
		l.cfg.Reset(syn)
		return nil
	}
	e.pkt, e.syn = nil, seg.Segment{}
	e.phase, e.since = admitted, l.cfg.Clock.NowMonotonic()
	e.timer.Stop()
	e.timer.Reset(handshakeLimit)
	l.mu.Unlock()
	l.deliver(e.proto, pkt)
	pkt.DecRef()
	return nil
}

// Take ends the request of a connection that is being accepted, and returns its ID;
// false if nobody has admitted it, or the request was given up.
func (ln *Listener) Take(local, remote netip.AddrPort) (ID, bool) {
	l := ln.link
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.requests[key{local: canonical(local), remote: canonical(remote)}]
	if e == nil || e.listener != ln || e.phase == pending {
		return 0, false
	}
	l.forget(e)
	return e.id, true
}

// Close ends the Listener: requests that wait are refused, others forgotten, and
// nothing is told any more. It is idempotent.
func (ln *Listener) Close() {
	l := ln.link
	l.mu.Lock()
	was := ln.closed
	ln.closed = true
	var refused []seg.Segment
	for e := range ln.mine {
		if e.phase == pending {
			refused = append(refused, e.syn)
		}
		l.forget(e)
	}
	ln.queue = nil
	l.mu.Unlock()
	if was {
		return
	}
	l.active.Add(-oneListener)
	for _, syn := range refused {
		l.cfg.Reset(syn)
	}
}
