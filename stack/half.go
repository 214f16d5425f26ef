package stack

import (
	"errors"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// half is one direction of a connection, or a listener: its calls are served one at a
// time, and the one that is served waits here until it is woken. Nothing allocates.
type half struct {
	// busy is held by the call that is served, before any other lock.
	busy  sync.Mutex
	ready chan struct{} // holds one wake-up
	by    deadline
}

func (h *half) init(clock tcpip.Clock) {
	h.ready = newSignal()
	h.by = deadline{clock: clock, reached: h.wake}
}

// wake lets the call that waits look again.
func (h *half) wake() { signal(h.ready) }

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
		<-h.ready
	}
}

func wouldBlock(err error) bool { return errors.Is(err, syscall.EAGAIN) }
