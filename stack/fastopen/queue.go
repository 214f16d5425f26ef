package fastopen

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// upQueue holds packets on their way to netstack. Whoever may call netstack
// drains it, one at a time, so that the order of a flow's segments is kept; who
// may not (a sender inside WritePackets, under its endpoint's lock) kicks the
// Link's goroutine (H-32).
type upQueue struct {
	kick chan struct{}

	mu       sync.Mutex
	items    []upItem // guarded by mu
	draining bool     // guarded by mu
}

// upItem holds one reference to its packet.
type upItem struct {
	proto tcpip.NetworkProtocolNumber
	pkt   *gstack.PacketBuffer
}

func (q *upQueue) push(items ...upItem) {
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
}

// wake makes the Link's goroutine drain the queue.
func (q *upQueue) wake() {
	select {
	case q.kick <- struct{}{}:
	default: // it will look again anyway
	}
}

// drain delivers what is queued, unless somebody does so already.
func (q *upQueue) drain(l *Link) {
	q.mu.Lock()
	if q.draining {
		q.mu.Unlock()
		return
	}
	q.draining = true
	for len(q.items) > 0 {
		item := q.items[0]
		q.items[0] = upItem{}
		q.items = q.items[1:]
		q.mu.Unlock()
		l.Endpoint.DeliverNetworkPacket(item.proto, item.pkt)
		item.pkt.DecRef()
		q.mu.Lock()
	}
	q.items = nil
	q.draining = false
	q.mu.Unlock()
}

// discard drops what is queued.
func (q *upQueue) discard() {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.mu.Unlock()
	for _, item := range items {
		item.pkt.DecRef()
	}
}
