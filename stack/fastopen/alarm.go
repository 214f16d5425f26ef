package fastopen

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// alarm is the timer of an opening; the opening's lock guards it. A deadline that
// moves back leaves the timer alone: it rings early, nothing is due, and it is set
// anew. Most connections end before, and each setting may wake a thread.
type alarm struct {
	timer tcpip.Timer
	due   time.Duration // when the timer rings, if it is armed
	armed bool
}

// set makes ring run on the clock's goroutine when it is due, or before.
func (a *alarm) set(l *Link, due time.Duration, ring func()) {
	if a.armed && a.due <= due {
		return
	}
	wait := max(due-l.now(), 0)
	if a.timer == nil {
		a.timer = l.clock.AfterFunc(wait, ring)
	} else {
		a.timer.Stop()
		a.timer.Reset(wait)
	}
	a.due, a.armed = due, true
}

// rang is for ring to call.
func (a *alarm) rang() { a.armed = false }

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
