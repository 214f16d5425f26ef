package tuntest

import (
	"sync"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/ippkt"
)

// ring holds the packets on their way to one Device, which closes it. Its slots
// keep their memory, so that a pair in use does not allocate.
type ring struct {
	mu     sync.Mutex
	filled sync.Cond // signals: a packet came, or the ring was closed
	slots  [][]byte  // guarded by mu, like all below
	head   int       // the oldest packet
	used   int
	closed bool
	lost   uint64
}

func newRing(size int) *ring {
	r := &ring{slots: make([][]byte, size)}
	r.filled.L = &r.mu
	return r
}

// push copies a packet in, or drops it: the ring is full or closed, or the packet
// is one that no reader would accept.
func (r *ring) push(p *frame.Packet) {
	verdict := ippkt.Inspect(p.Views, p.Size)
	r.mu.Lock()
	defer r.mu.Unlock()
	if verdict > ippkt.Padded || r.closed || r.used == len(r.slots) {
		r.lost++
		return
	}
	slot := &r.slots[(r.head+r.used)%len(r.slots)]
	*slot = (*slot)[:0]
	for _, v := range p.Views {
		*slot = append(*slot, v...)
	}
	r.used++
	r.filled.Signal()
}

// pop waits for a packet and moves what is there into batch. It returns 0 only
// when the ring is closed.
func (r *ring) pop(batch []frame.Packet) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n == 0 {
		for r.used == 0 && !r.closed {
			r.filled.Wait()
		}
		if r.closed {
			return 0
		}
		for n < len(batch) && r.used > 0 {
			if r.take(&batch[n]) {
				n++
			}
		}
	}
	if r.used > 0 {
		r.filled.Signal() // another reader may have slept through the first signal
	}
	return n
}

// take moves the oldest packet into p, or drops it when it does not fit.
//
// Preconditions: mu is held, used > 0.
func (r *ring) take(p *frame.Packet) bool {
	slot := r.slots[r.head]
	r.head = (r.head + 1) % len(r.slots)
	r.used--
	if len(slot) > ippkt.Capacity(p.Views) {
		r.lost++
		return false
	}
	p.Size = ippkt.Scatter(p.Views, slot)
	p.Offload = frame.Offload{}
	return true
}

func (r *ring) dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.lost += uint64(r.used)
	r.used = 0
	clear(r.slots)
	r.filled.Broadcast()
}
