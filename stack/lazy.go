package stack

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

const (
	// DefaultLazyDelay is how long a lazy connection waits for its first Write.
	DefaultLazyDelay = 20 * time.Millisecond
	// lazyReadDelay is how long it does so once a Read waits. It is not 0 because
	// many clients, http.Transport among them, begin to read and to write at the
	// same time on two goroutines.
	lazyReadDelay = 5 * time.Millisecond
)

// lazy is the connect of a connection that waits for what its first Write has to say.
type lazy struct {
	conn *TCPConn

	started atomic.Bool // or not needed any more; set with mu held

	mu    sync.Mutex          // a leaf but for the timer
	timer tcpip.Timer         // guarded by mu; nil: no limit yet
	at    tcpip.MonotonicTime // guarded by mu; when the timer fires
}

// newLazy makes a connection lazy whose endpoint's connect is deferred. It is called
// before anybody has the connection.
func newLazy(c *TCPConn, delay time.Duration) {
	l := &lazy{conn: c}
	c.lazy = l
	for _, h := range []*half{&c.reads, &c.writes} {
		wake := h.by.reached
		h.by.reached = func() {
			l.start()
			wake()
		}
	}
	if delay == 0 {
		delay = DefaultLazyDelay
	}
	if delay > 0 {
		l.within(delay)
	}
}

// within starts the connect after a time, if it is not to start sooner.
func (l *lazy) within(delay time.Duration) {
	if l.started.Load() {
		return
	}
	clock := l.conn.ep.stack.cfg.Clock
	l.mu.Lock()
	defer l.mu.Unlock()
	at := clock.NowMonotonic().Add(delay)
	switch {
	case l.started.Load(), l.timer != nil && !at.Before(l.at):
		return
	case l.timer == nil:
		l.timer = clock.AfterFunc(delay, l.start)
	default:
		l.timer.Reset(delay)
	}
	l.at = at
}

// begun says that the connect needs no start any more: a Write or Close came.
func (l *lazy) begun() (first bool) {
	if l.started.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first = !l.started.Swap(true)
	if l.timer != nil {
		l.timer.Stop()
	}
	return first
}

// start begins the connect without data. What becomes of it the next calls tell.
func (l *lazy) start() {
	if l.begun() {
		_, _ = l.conn.ep.Write(nil)
		l.conn.wake()
	}
}
