package stack

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// deadline is the time limit of one direction of a connection. Its timer is made
// once and moved afterwards, so that setting deadlines does not allocate.
type deadline struct {
	clock tcpip.Clock
	// reached is called when the deadline passes, with no lock held, and when one
	// is set that lies in the past.
	reached func()

	over atomic.Bool

	mu    sync.Mutex // a leaf but for the timer
	at    time.Time  // guarded by mu; zero: none
	timer tcpip.Timer
	ended bool
}

// set moves the deadline; the zero time takes it away.
func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		return
	}
	d.at = at
	left := time.Duration(0)
	if !at.IsZero() {
		left = at.Sub(d.clock.Now())
	}
	over := !at.IsZero() && left <= 0
	d.over.Store(over)
	switch {
	case d.timer == nil && left > 0:
		d.timer = d.clock.AfterFunc(left, d.fire)
	case d.timer == nil:
	case left > 0:
		d.timer.Reset(left)
	default:
		d.timer.Stop()
	}
	d.mu.Unlock()
	if over {
		d.reached()
	}
}

// fire is the timer's function. It may come late, after the deadline was moved.
func (d *deadline) fire() {
	d.mu.Lock()
	if d.ended || d.at.IsZero() {
		d.mu.Unlock()
		return
	}
	if left := d.at.Sub(d.clock.Now()); left > 0 {
		d.timer.Reset(left)
		d.mu.Unlock()
		return
	}
	d.over.Store(true)
	d.mu.Unlock()
	d.reached()
}

// expire makes the deadline pass now, and for good.
func (d *deadline) expire() {
	d.mu.Lock()
	d.ended = true
	d.over.Store(true)
	d.mu.Unlock()
	d.reached()
}

// end stops the timer for good.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// check is os.ErrDeadlineExceeded once the deadline has passed.
func (d *deadline) check() error {
	if d.over.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}
