package stack

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// half is one direction of a connection, or a listener: its calls are served one at a
// time, and the one that is served waits here until it is woken. But for the first that
// waits none allocates.
type half struct {
	// busy is held by the call that is served, before any other lock.
	busy  sync.Mutex
	ready atomic.Pointer[chan struct{}] // holds one wake-up; made for the first call that waits
	by    deadline
}

func (h *half) init(clock tcpip.Clock) {
	h.by = deadline{clock: clock, reached: h.wake}
}

// wake lets the call that waits look again.
func (h *half) wake() {
	if ready := h.ready.Load(); ready != nil {
		signal(*ready)
	}
}

// listen makes the channel that wakes, unless there is one. What happened before has woken
// nobody, so the caller has to look again.
func (h *half) listen() <-chan struct{} {
	ready := h.ready.Load()
	if ready == nil {
		made := newSignal()
		ready = &made
		h.ready.Store(ready)
	}
	return *ready
}

// rest lets go of the channel: a connection that is idle has no use for it.
func (h *half) rest() { h.ready.Store(nil) }

// await calls try until it does not answer EAGAIN, with a look at the deadline before.
// open says whether there is an end that goes before the deadline. Called with busy
// held.
func (h *half) await(open, try func() error) error {
	for {
		if late := h.by.check(); late != nil {
			if err := open(); err != nil {
				return err
			}
			return late
		}
		if err := try(); !wouldBlock(err) {
			return err
		}
		if h.ready.Load() == nil {
			h.listen()
			continue
		}
		<-*h.ready.Load()
	}
}

func wouldBlock(err error) bool { return errors.Is(err, syscall.EAGAIN) }
