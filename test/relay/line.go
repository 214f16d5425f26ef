package relay

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// line holds the packets of one direction until they are due, in order.
//
//	stopped ──start──► running ──stop──► stopped        stop(true): for good
//
// One timer at most is armed, and its callback rearms it: so armed says both
// that a callback will come or is running, and that nobody else may move
// packets.
type line struct {
	clock tcpip.Clock
	limit int
	// out takes a packet and its reference. Called without the lock.
	out func(*gstack.PacketBuffer)

	// mu guards all below. Only the clock's locks, and the observer's, are taken
	// under it.
	mu      sync.Mutex
	idle    *sync.Cond // on mu: stopped or armed has changed
	delay   time.Duration
	queue   []waiting
	timer   tcpip.Timer
	armed   bool
	stopped bool
	closed  bool
	lost    uint64
}

type waiting struct {
	due tcpip.MonotonicTime
	pkt *gstack.PacketBuffer
}

func newLine(clock tcpip.Clock, delay time.Duration, limit int, out func(*gstack.PacketBuffer)) *line {
	l := &line{clock: clock, delay: delay, limit: limit, out: out, stopped: true}
	l.idle = sync.NewCond(&l.mu)
	return l
}

// put takes a packet, and the reference to it, on its way, and says whether that
// or Lost became of it. note is called under the lock, while the packet is still
// here: so what it notes comes before anything noted about the packet later. A
// stopped line swallows the packet and notes nothing.
func (l *line) put(pkt *gstack.PacketBuffer, note func(Fate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		pkt.DecRef()
		return
	case len(l.queue) >= l.limit:
		l.lost++
		note(Lost)
		pkt.DecRef()
		return
	}
	note(Passed)
	now := l.clock.NowMonotonic()
	// A packet that is due before the one in front of it waits behind it.
	l.queue = append(l.queue, waiting{now.Add(l.delay), pkt})
	if !l.armed {
		l.armed = true
		l.arm(l.delay)
	}
}

// arm sets the timer. Preconditions: mu is held, armed is true.
func (l *line) arm(after time.Duration) {
	l.timer = l.clock.AfterFunc(max(after, 0), l.run)
}

// run is the timer's callback: all packets that are due leave.
func (l *line) run() {
	for {
		pkt := l.next()
		if pkt == nil {
			return
		}
		l.out(pkt)
	}
}

// next takes the first packet if it is due. With nil the callback's turn is over:
// the timer is armed for the next packet, or nobody is armed any more.
func (l *line) next() *gstack.PacketBuffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || len(l.queue) == 0 {
		l.armed = false
		l.idle.Broadcast()
		return nil
	}
	first := l.queue[0]
	if now := l.clock.NowMonotonic(); now.Before(first.due) {
		l.arm(first.due.Sub(now))
		return nil
	}
	l.queue[0] = waiting{}
	l.queue = l.queue[1:]
	return first.pkt
}

func (l *line) setDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

func (l *line) lostCount() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// start lets packets in, unless the line was stopped for good.
func (l *line) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = l.closed
}

// stop drops what is on the way and lets nothing in. It does not wait for a
// callback that is running.
func (l *line) stop(forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.closed = l.closed || forGood
	for _, w := range l.queue {
		w.pkt.DecRef()
	}
	l.queue = nil
	// A timer that could not be stopped has its callback on the way, and that
	// clears armed.
	if l.armed && l.timer.Stop() {
		l.armed = false
	}
	l.idle.Broadcast()
}

// wait returns when the line is stopped and no callback is left.
func (l *line) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.stopped || l.armed {
		l.idle.Wait()
	}
}
