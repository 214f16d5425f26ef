package stacktest

import (
	"runtime"
	"sync"
	"time"
)

// sleeper is a goroutine that waits for its turn.
type sleeper struct {
	net   *Net
	turn  chan struct{}
	call  func() // wakes one that does not wait here; nil: turn does
	queue bool   // its turn has come; guarded by Net.mu
}

func (n *Net) newSleeper() *sleeper { return &sleeper{net: n, turn: make(chan struct{}, 1)} }

// wake puts the sleeper among those whose turn has come.
func (s *sleeper) wake() {
	n := s.net
	n.mu.Lock()
	if !s.queue {
		s.queue = true
		n.woken = append(n.woken, s)
	}
	n.mu.Unlock()
	n.poke()
}

// await waits for its turn. When the run is over its goroutine ends.
func (s *sleeper) await() {
	select {
	case <-s.turn:
	case <-s.net.over:
		runtime.Goexit()
	}
}

// leave takes the sleeper out again: it does not wait any more.
func (s *sleeper) leave() {
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, w := range n.woken {
		if w == s {
			n.woken = append(n.woken[:i], n.woken[i+1:]...)
			break
		}
	}
	s.queue = false
}

// nextWoken takes the first sleeper whose turn has come.
func (n *Net) nextWoken() *sleeper {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.woken) == 0 {
		return nil
	}
	s := n.woken[0]
	n.woken = n.woken[1:]
	s.queue = false
	return s
}

// release runs on the driver: the sleeper goes on, and the driver with the next
// thing when it has come to rest.
func (s *sleeper) release() {
	if s.call != nil {
		s.call()
		return
	}
	select {
	case s.turn <- struct{}{}:
	default:
	}
}

// inTurn wakes a goroutine of a stack's (stack.Config.WakeWorker) when its turn has
// come: after the work of the processors that woke it, which may not be over.
func (n *Net) inTurn(wake func()) {
	(&sleeper{net: n, call: wake}).wake()
}

// after wakes the sleeper at a time.
func (s *sleeper) after(d time.Duration) *timer {
	t := &timer{timers: &s.net.timers, f: s.wake, at: -1}
	t.Reset(d)
	return t
}

// Sleep lets virtual time pass. Those who wake at the same instant do so one by
// one, in the order in which they went to sleep.
func (n *Net) Sleep(d time.Duration) {
	s := n.newSleeper()
	t := s.after(d)
	defer t.Stop()
	s.await()
}

// Settle waits until nothing is left to do at this instant.
func (n *Net) Settle() { n.Sleep(0) }

// Go runs f on a goroutine that starts when everything else has come to rest, and
// returns a function that waits for its end.
func (n *Net) Go(f func()) (wait func()) {
	var ended sync.WaitGroup
	s := n.newSleeper()
	ended.Go(func() {
		s.await()
		f()
	})
	s.wake()
	return ended.Wait
}

// notice wakes the sleepers that have registered. It is what Endpoint.SetWake
// gets: it may be called anywhere.
type notice struct {
	mu    sync.Mutex
	waits []*sleeper // guarded by mu; taken before Net.mu
}

func (o *notice) signal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.waits {
		s.wake()
	}
}

func (o *notice) add(s *sleeper) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = append(o.waits, s)
}

func (o *notice) remove(s *sleeper) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, w := range o.waits {
		if w == s {
			o.waits = append(o.waits[:i], o.waits[i+1:]...)
			break
		}
	}
	s.leave()
}
