package fastopen

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

// serverCounters count what a server does and sees.
type serverCounters struct{ events [tfo.Events]atomic.Uint64 }

func (c *serverCounters) count(set tfo.EventSet) {
	for e := tfo.Event(0); set != 0 && e < tfo.Events; e++ {
		if set.Has(e) {
			c.events[e].Add(1)
		}
	}
}

// ServerStats are the counters of a listener, or of all of a Link's. Those that
// Linux has bear its names.
type ServerStats struct {
	// TCPFastOpenPassive counts connections that were opened by their SYN.
	TCPFastOpenPassive uint64
	// TCPFastOpenPassiveFail counts SYNs with a wrong cookie, and those whose
	// data netstack did not take.
	TCPFastOpenPassiveFail uint64
	// TCPFastOpenListenOverflow counts SYNs that came while too many were
	// pending.
	TCPFastOpenListenOverflow uint64
	// TCPFastOpenCookieReqd counts SYNs that asked for a cookie.
	TCPFastOpenCookieReqd uint64
	// TCPFastOpenPassiveAltKey counts cookies made with the backup key.
	TCPFastOpenPassiveAltKey uint64
	// ReplaysDropped counts duplicates of SYNs that opened nothing; their data, if
	// there was any, was dropped.
	ReplaysDropped uint64
	// PendingResets counts pending connections that their client reset,
	// PendingTimeouts those whose SYN-ACK was never acknowledged.
	PendingResets, PendingTimeouts uint64
}

func (c *serverCounters) snapshot() ServerStats {
	n := func(e tfo.Event) uint64 { return c.events[e].Load() }
	return ServerStats{
		TCPFastOpenPassive:        n(tfo.EventAccepted),
		TCPFastOpenPassiveFail:    n(tfo.EventBadCookie) + n(tfo.EventNotTaken),
		TCPFastOpenListenOverflow: n(tfo.EventOverflow),
		TCPFastOpenCookieReqd:     n(tfo.EventCookieRequested),
		TCPFastOpenPassiveAltKey:  n(tfo.EventBackupKey),
		ReplaysDropped:            n(tfo.EventReplay),
		PendingResets:             n(tfo.EventReset),
		PendingTimeouts:           n(tfo.EventTimeout),
	}
}

// ListenerStats are a listener's counters and how many connections it has
// pending.
type ListenerStats struct {
	ServerStats
	// Pending connections wait for their client's ACK; Held are places that
	// stay taken for a while after a client reset its connection.
	Pending, Held int
}

// Stats returns a snapshot.
func (ln *Listener) Stats() ListenerStats {
	s := ListenerStats{ServerStats: ln.counters.snapshot()}
	now := ln.link.now()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	s.Pending, s.Held = ln.server.Pending(now)
	return s
}

// Accepted is what Fast Open did for a connection that came in.
type Accepted struct {
	// BytesInSYN came in the SYN, BytesTaken of them were delivered before the
	// client's ACK.
	BytesInSYN, BytesTaken int
	// Pending: the client's ACK has not come.
	Pending bool
}

// Accepted says what Fast Open did for a connection that came in; false if it was
// opened in the ordinary way. Ask when the connection is accepted: only the last
// few thousand are remembered.
func (l *Link) Accepted(local, remote netip.AddrPort) (Accepted, bool) {
	k := key{local: canonical(local), remote: canonical(remote)}
	if c, ok := l.table.get(k).(*child); ok {
		if a, ok := c.accepted(); ok {
			return a, true
		}
	}
	return l.opened.get(k)
}

// accepted is what is known of a child while it is pending.
func (c *child) accepted() (Accepted, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, taken, ok := c.machine.Bytes()
	return Accepted{BytesInSYN: in, BytesTaken: taken, Pending: true}, ok && !c.done.Load()
}

// maxOpened bounds the connections that are remembered for Link.Accepted, about
// 200 bytes each: no listener's queue is longer.
const maxOpened = 4096

// opened remembers the connections that were opened by their SYN and are not
// pending any more. Its lock is held over no call.
type opened struct {
	mu   sync.Mutex
	last *simplelru.LRU[key, Accepted] // guarded by mu
}

func newOpened() opened {
	// NewLRU fails only for a size that is not positive.
	last, _ := simplelru.NewLRU[key, Accepted](maxOpened, nil)
	return opened{last: last}
}

func (o *opened) add(k key, a Accepted) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last.Add(k, a)
}

func (o *opened) get(k key) (Accepted, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last.Peek(k)
}

// remove forgets k: another connection between these ports is about to begin.
func (o *opened) remove(k key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last.Remove(k)
}
