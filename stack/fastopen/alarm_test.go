package fastopen

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
)

// countingClock counts how often a timer was set.
type countingClock struct {
	*faketime.ManualClock
	set int
}

func (c *countingClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	c.set++
	return countingTimer{c.ManualClock.AfterFunc(d, f), c}
}

type countingTimer struct {
	tcpip.Timer
	clock *countingClock
}

func (t countingTimer) Reset(d time.Duration) {
	t.clock.set++
	t.Timer.Reset(d)
}

func TestAlarmIsSetAnewOnlyForwards(t *testing.T) {
	clock := &countingClock{ManualClock: faketime.NewManualClock()}
	l := &Link{clock: clock}
	begin := l.now()
	var a alarm
	var due time.Duration
	var rang []time.Duration
	var ring func()
	ring = func() {
		a.rang()
		now := l.now() - begin
		rang = append(rang, now)
		if now < due {
			a.set(l, begin+due, ring)
		}
	}
	set := func(d time.Duration, sets int) {
		t.Helper()
		due = d
		a.set(l, begin+d, ring)
		if clock.set != sets {
			t.Errorf("for %v: the timer was set %d times, want %d", d, clock.set, sets)
		}
	}
	set(time.Second, 1)
	set(time.Second, 1)        // as it is
	set(time.Minute, 1)        // rings early, and is set again
	clock.Advance(time.Second) // that
	set(30*time.Second, 3)     // is before
	clock.Advance(time.Hour)   // once
	set(2*time.Hour, 4)        // after all that
	a.stop()                   // and not then
	clock.Advance(24 * time.Hour)
	if want := []time.Duration{time.Second, 30 * time.Second}; len(rang) != 2 || rang[0] != want[0] || rang[1] != want[1] {
		t.Errorf("rang at %v, want %v", rang, want)
	}
}
