package fastopen

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// upQueue holds packets on their way to netstack. Whoever may call netstack
// drains it, one at a time, so that the order of a flow's segments is kept; who
// may not (a sender inside WritePackets, under its endpoint's lock) kicks the
// Link's goroutine (H-32). While it holds any, every packet going up takes its
// place in it: one that went past would overtake those before it.
type upQueue struct {
	kick chan struct{}

	mu       sync.Mutex
	items    []upItem // guarded by mu
	draining bool     // guarded by mu
	// busy is whether link.active says so: there are items, or the last is just
	// being delivered.
	busy bool // guarded by mu
	// dropped counts packets that found the queue full.
	dropped atomic.Uint64
}

// maxQueued bounds the queue; what comes when it is full is dropped, as on any
// link, and repeated by its sender.
const maxQueued = 4096

// upItem holds one reference to its packet, or is an event.
type upItem struct {
	proto tcpip.NetworkProtocolNumber
	pkt   *gstack.PacketBuffer
	event *Event
}

func (q *upQueue) push(l *Link, items ...upItem) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range items {
		q.add(item)
	}
	q.setBusy(l, len(q.items) > 0)
}

// add is called with mu held.
func (q *upQueue) add(item upItem) {
	if len(q.items) < maxQueued {
		q.items = append(q.items, item)
		return
	}
	q.dropped.Add(1)
	if item.pkt != nil {
		item.pkt.DecRef()
	}
}

// setBusy is called with mu held.
func (q *upQueue) setBusy(l *Link, busy bool) {
	if busy != q.busy {
		q.busy = busy
		if busy {
			l.active.Add(upBusy)
		} else {
			l.active.Add(-upBusy)
		}
	}
}

// pushBehind queues a packet that is no opening's, unless nothing is queued.
func (q *upQueue) pushBehind(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		q.add(upItem{proto: proto, pkt: pkt.IncRef()})
	}
	return q.busy
}

// wake makes the Link's goroutine drain the queue, if there is anything in it.
func (q *upQueue) wake() {
	q.mu.Lock()
	idle := len(q.items) == 0
	q.mu.Unlock()
	if idle {
		return
	}
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
		if item.event != nil {
			l.cfg.OnEvent(*item.event)
		} else {
			l.Endpoint.DeliverNetworkPacket(item.proto, item.pkt)
			item.pkt.DecRef()
		}
		q.mu.Lock()
	}
	q.items = nil
	q.draining = false
	q.setBusy(l, false)
	q.mu.Unlock()
}

// discard drops what is queued.
func (q *upQueue) discard(l *Link) {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.setBusy(l, q.draining)
	q.mu.Unlock()
	for _, item := range items {
		if item.pkt != nil {
			item.pkt.DecRef()
		}
	}
}
