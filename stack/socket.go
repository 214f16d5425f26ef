package stack

import (
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// events are all that netstack tells about a TCP endpoint.
const events = waiter.ReadableEvents | waiter.WritableEvents | waiter.EventHUp | waiter.EventErr | waiter.EventRdHUp

// socket is one netstack endpoint and what goes with it. An Endpoint has one at
// a time: a failed connect leaves a dead one, which is replaced. After the
// Endpoint's Close a socket lives on alone until it has delivered what was
// written, at the longest for Config.CloseTimeout.
//
// Netstack calls NotifyEvent and the probe with its own locks held, so neither
// calls netstack; what they need is atomic or behind a leaf lock.
type socket struct {
	stack *Stack
	owner *Endpoint
	ep    tcpip.Endpoint
	queue *waiter.Queue
	entry waiter.Entry

	// worker wakes the connect worker; it holds one wake-up. While there is a worker
	// nobody else is woken: it tells how the connect ended. Nil without one.
	worker atomic.Pointer[chan struct{}]

	// written counts the bytes netstack has taken. It moves only with netstack's
	// lock held, as acked does, so their difference at a probe is exactly what
	// netstack has in its send buffer.
	written, acked atomic.Int64
	// inSYN are the bytes that the peer acknowledged with its SYN-ACK. Netstack
	// learns of that one round trip later (H-10); the peer's word is enough here.
	inSYN atomic.Int64
	// wanted is the value of acked that the wake function is to be called for; 0:
	// none.
	wanted  atomic.Int64
	failure atomic.Pointer[error]
	state   atomic.Uint32 // the state at the last probe

	// Of its port; guarded by Endpoint.mu.
	wide  bool // bound to the wildcard
	keeps bool // the reservation stays netstack's: others may share it, or Bind was asked for the port

	hash uint64  // guarded by watchers.mu; of the connection's addresses
	next *socket // guarded by watchers.mu; with the same hash

	// mu guards what follows. It is a leaf but for flow.Release and timer.Stop.
	mu     sync.Mutex
	flow   *fastopen.Flow
	closed bool   // the Endpoint has let go of it
	dead   bool   // netstack has let go of it
	holds  uint16 // its port, if it is in Stack.held
	timer  tcpip.Timer
}

var _ waiter.EventListener = (*socket)(nil)

// newSocket makes a socket over a netstack endpoint that make provides, which
// uses the socket's queue or sets another.
func (s *Stack) newSocket(owner *Endpoint, make func(*socket) (tcpip.Endpoint, error)) (*socket, error) {
	k := &socket{stack: s, owner: owner, queue: new(waiter.Queue)}
	ep, err := make(k)
	if err != nil {
		return nil, err
	}
	k.ep = ep
	k.entry.Init(k, events)
	k.queue.EventRegister(&k.entry)
	if err := s.add(k); err != nil {
		ep.Abort()
		return nil, err
	}
	return k, nil
}

// shares says whether the socket is to share its port with others that want it too.
func (k *socket) shares() bool {
	o := k.ep.SocketOptions()
	return o.GetReuseAddress() || o.GetReusePort()
}

func newSignal() chan struct{} { return make(chan struct{}, 1) }

// signal leaves a wake-up in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// NotifyEvent implements waiter.EventListener.
func (k *socket) NotifyEvent(mask waiter.EventMask) {
	if mask&waiter.EventHUp != 0 && k.isOver() {
		k.died()
	}
	k.notify(mask)
}

// progressed is called after each segment with what is in the send buffer. It wakes
// nobody for an acknowledgement that nobody waits for: a writer is told by netstack
// when there is room worth waking it for, and if it were to come for each segment it
// would keep the buffer from ever being half empty, which is when netstack enlarges it.
func (k *socket) progressed(used int64) {
	acked := k.written.Load() - used
	k.acked.Store(acked)
	wanted := k.wanted.Load()
	reached := wanted > 0 && acked >= wanted && k.wanted.CompareAndSwap(wanted, 0)
	state := k.ep.State()
	if k.state.Swap(state) != state || reached {
		k.wake()
	}
}

// wakeWhenUnacknowledged is Endpoint.WakeWhenUnacknowledged.
func (k *socket) wakeWhenUnacknowledged(most int) {
	wanted := k.written.Load() - int64(most)
	k.wanted.Store(wanted)
	// A probe stores before it looks, as this does: one of the two sees the other.
	if k.unacknowledged() <= most && k.wanted.CompareAndSwap(wanted, 0) {
		k.wake()
	}
}

func (k *socket) wake() { k.notify(events) }

// notify wakes whoever waits for one of the events.
func (k *socket) notify(mask waiter.EventMask) {
	if worker := k.worker.Load(); worker != nil {
		k.wakeWorker(*worker)
		return
	}
	k.stack.stir()
	if f := k.owner.wake.Load(); f != nil {
		(*f)(mask)
	}
}

func (k *socket) wakeWorker(worker chan struct{}) {
	if len(worker) > 0 {
		return // not seen yet
	}
	if in := k.stack.cfg.WakeWorker; in != nil {
		in(func() { signal(worker) })
	} else {
		signal(worker)
	}
}

// isOver says whether netstack is done with the endpoint.
func (k *socket) isOver() bool {
	state := tcp.EndpointState(k.ep.State())
	return state == tcp.StateClose || state == tcp.StateError
}

// died is called once netstack is done with the endpoint. Whatever it held
// outside netstack is given back.
func (k *socket) died() {
	k.mu.Lock()
	first := !k.dead
	k.dead = true
	timer, flow, holds := k.timer, k.flow, k.holds
	k.holds = 0
	k.mu.Unlock()
	if !first {
		return
	}
	if holds != 0 {
		k.stack.held.remove(holds)
	}
	if timer != nil {
		timer.Stop()
	}
	if flow != nil {
		flow.Release()
	}
	k.stack.acks.remove(k)
	k.tidy()
}

// tidy takes the socket off the stack's list once both sides have let go.
func (k *socket) tidy() {
	k.mu.Lock()
	gone := k.dead && k.closed
	k.mu.Unlock()
	if gone {
		k.stack.forget(k)
	}
}

// close ends the connection in the background: netstack delivers what it has and
// a FIN, or is aborted after CloseTimeout, or the endpoint's own limit.
func (k *socket) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.ep.Close()
	if k.isOver() {
		k.died()
		k.tidy()
		return
	}
	limit := k.owner.closeTimeout()
	k.mu.Lock()
	if !k.dead {
		if k.timer != nil {
			k.timer.Stop()
		}
		k.timer = k.stack.cfg.Clock.AfterFunc(limit, k.expire)
	}
	k.mu.Unlock()
	k.tidy()
}

// expire aborts a connection that did not end in time. TIME-WAIT is an
// end: there is nothing left to deliver, and netstack limits it.
func (k *socket) expire() {
	if tcp.EndpointState(k.ep.State()) == tcp.StateTimeWait {
		return
	}
	k.stack.debug("aborting a closed connection that does not end", "state", tcp.EndpointState(k.ep.State()).String())
	k.ep.Abort()
}

// abort ends the connection at once: with a reset if there is one, without a
// packet if there is none yet.
func (k *socket) abort() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.ep.Abort()
	k.died()
	k.tidy()
}

// end is abort as Stack.Close does it, for the Endpoint as well.
func (k *socket) end() {
	k.owner.shut(k)
	defer k.wake() // what waits is to see that it is over
	if tcp.EndpointState(k.ep.State()) != tcp.StateTimeWait {
		k.abort()
		return
	}
	k.mu.Lock()
	k.closed = true // netstack's end will be its end
	k.mu.Unlock()
	k.tidy()
}

// read fills dst from what has arrived.
func (k *socket) read(dst [][]byte) (int, error) {
	w := k.stack.vector(dst)
	result, err := k.ep.Read(w, tcpip.ReadOptions{})
	k.stack.putVector(w)
	if err != nil {
		if _, eof := err.(*tcpip.ErrClosedForReceive); eof && tcp.EndpointState(k.ep.State()) != tcp.StateError {
			return 0, io.EOF
		}
		return 0, k.failed(err)
	}
	// Twice what it was: netstack's rule is Linux's, but gives the buffer what Linux gives
	// the window, which is half of the buffer (PIN-growth-of-the-buffer, D-58).
	k.ep.ModerateRecvBuf(2 * result.Count)
	return result.Count, nil
}

// write hands src to netstack, as much as it takes. Atomic means here that
// netstack's lock is held while src is read; see written.
func (k *socket) write(src [][]byte) (int, error) {
	p := k.stack.vector(src)
	p.count = &k.written
	n, err := k.ep.Write(p, tcpip.WriteOptions{Atomic: true})
	k.stack.putVector(p)
	if err != nil {
		return 0, k.failed(err)
	}
	if n == 0 && vectorLen(src) > 0 {
		return 0, syscall.EAGAIN
	}
	return int(n), nil
}

// failed translates an error. Netstack tells why a connection broke only once;
// it is kept here, so that every later call says the same.
func (k *socket) failed(err tcpip.Error) error {
	if _, not := err.(*tcpip.ErrWouldBlock); not {
		return syscall.EAGAIN // even if it has broken since: that has an event of its own
	}
	if tcp.EndpointState(k.ep.State()) != tcp.StateError {
		return toErrno(err)
	}
	switch err.(type) {
	case *tcpip.ErrClosedForReceive, *tcpip.ErrClosedForSend:
		if known := k.failure.Load(); known != nil {
			return *known
		}
		// Another call is just being told the reason. That it was no proper end
		// is certain.
		return syscall.ECONNRESET
	}
	reason := toErrno(err)
	k.failure.CompareAndSwap(nil, &reason)
	return *k.failure.Load()
}

// unacknowledged is how many bytes netstack has taken and the peer has not
// acknowledged.
func (k *socket) unacknowledged() int {
	if k.isOver() {
		return 0
	}
	// acked first: read the other way round it could be the larger one.
	acked := max(k.acked.Load(), k.inSYN.Load())
	return int(max(k.written.Load()-acked, 0))
}
