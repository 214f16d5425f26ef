package stacktest

import (
	"container/heap"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// uptime is how long a host's clock has been running when a run begins: a stack
// that has just been started hides faults that need a large timestamp.
const uptime = time.Hour

// hostClock is the clock of one host. Its timers run on the driver.
type hostClock struct {
	timers  *timers
	barrier *barrier // whose processors a timer may give work; nil: none
}

// Now implements tcpip.Clock.
func (c *hostClock) Now() time.Time { return time.Now() }

// NowMonotonic implements tcpip.Clock.
func (c *hostClock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(uptime + c.timers.now())
}

// AfterFunc implements tcpip.Clock. f runs on the driver's goroutine and must not
// block.
func (c *hostClock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{timers: c.timers, barrier: c.barrier, f: f, at: -1}
	t.Reset(d)
	return t
}

// timers are all timers of a Net in the order in which they are due.
type timers struct {
	start time.Time
	poke  func()

	mu    sync.Mutex
	queue timerQueue // guarded by mu
	order uint64     // guarded by mu
}

// now is the time since the run began.
func (t *timers) now() time.Duration { return time.Since(t.start) }

// next is when the first timer is due.
func (t *timers) next() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return 0, false
	}
	return t.queue[0].due, true
}

// take takes the first timer out if it is due.
func (t *timers) take(now time.Duration) *timer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 || t.queue[0].due > now {
		return nil
	}
	return heap.Pop(&t.queue).(*timer)
}

// timer implements tcpip.Timer.
type timer struct {
	timers  *timers
	barrier *barrier
	f       func()

	due   time.Duration // guarded by timers.mu, as is the rest
	order uint64
	at    int // index in the queue, -1: not in it
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	t.timers.mu.Lock()
	defer t.timers.mu.Unlock()
	return t.remove()
}

// remove is called with timers.mu held.
func (t *timer) remove() bool {
	if t.at < 0 {
		return false
	}
	heap.Remove(&t.timers.queue, t.at)
	return true
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	due := t.timers.now() + max(d, 0)
	t.timers.mu.Lock()
	t.remove()
	t.timers.order++
	t.due, t.order = due, t.timers.order
	heap.Push(&t.timers.queue, t)
	first := t.at == 0
	t.timers.mu.Unlock()
	if first {
		t.timers.poke()
	}
}

// timerQueue implements heap.Interface.
type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].order < q[j].order
}
func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}
func (q *timerQueue) Push(x any) {
	t := x.(*timer)
	t.at = len(*q)
	*q = append(*q, t)
}
func (q *timerQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.at = -1
	return t
}
