package stack

import (
	"net"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// notConnected is the error of calls that need a connection, where there is
// none. Called with mu held.
func (e *Endpoint) notConnected() error {
	switch {
	case e.phase == phaseClosed:
		return net.ErrClosed
	case e.connErr != nil:
		return e.connErr
	}
	return syscall.ENOTCONN
}

// Read fills the slices, one after the other, with what has arrived and returns
// how many bytes. Errors: EAGAIN if nothing has or the connect is not done, io.EOF after the peer's FIN or
// an own CloseRead, ENOTCONN, the reason if the last connect failed, ECONNRESET
// and its like when the connection has broken (what had arrived before can still
// be read), net.ErrClosed.
func (e *Endpoint) Read(dst [][]byte) (int, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch {
	case e.phase == phaseConnecting:
		// Netstack tells an error once: it is the worker's, for Connected.
		return 0, syscall.EAGAIN
	case e.phase != phaseConnected:
		return 0, e.notConnected()
	case vectorLen(dst) == 0:
		return 0, nil
	}
	return e.sock.read(dst)
}

// Write hands the slices' bytes to TCP and returns how many it took; they are
// copied. Errors: EAGAIN if it can take none now or the connect is not done,
// ENOTCONN, the reason if the last connect failed, EPIPE after CloseWrite,
// ECONNRESET and its like when the connection has broken, net.ErrClosed.
//
// The first Write of a deferred connect begins it and takes up to 65,535 bytes;
// with no bytes it begins it without data.
func (e *Endpoint) Write(src [][]byte) (int, error) {
	e.mu.RLock()
	switch e.phase {
	case phaseConnected:
		defer e.mu.RUnlock()
		return e.sock.write(src)
	case phaseDeferred:
		e.mu.RUnlock()
		return e.writeDeferred(src)
	case phaseConnecting:
		e.mu.RUnlock()
		return 0, syscall.EAGAIN
	}
	defer e.mu.RUnlock()
	return 0, e.notConnected()
}

// Unacknowledged is how many bytes have been taken from the caller, by Write or
// as Data, and not yet been acknowledged by the peer. It is 0 when the connection
// has broken or the endpoint is closed.
func (e *Endpoint) Unacknowledged() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.sock == nil || e.phase == phaseClosed {
		return 0
	}
	n := e.sock.unacknowledged()
	if e.phase == phaseConnecting {
		n += int(e.attempt.pending.Load())
	}
	return n
}

// WakeWhenUnacknowledged asks for the wake function to be called, once, when no more
// than most bytes are unacknowledged; a later call takes the place of an earlier one.
// If that is so already, or the connection has broken, it is called before
// WakeWhenUnacknowledged returns. Without a connection, or while it is being made,
// nothing is asked for: the wake function is called in any case when the connect is
// over.
func (e *Endpoint) WakeWhenUnacknowledged(most int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.phase == phaseConnected {
		e.sock.wakeWhenUnacknowledged(most)
	}
}

// Readable is how many bytes Read would return at most.
func (e *Endpoint) Readable() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.sock == nil || e.phase == phaseListening || e.phase == phaseClosed {
		return 0
	}
	n, err := e.sock.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil {
		return 0
	}
	return n
}

// CloseWrite sends a FIN behind what has been written. ENOTCONN if there is no
// connection; the first Write of a deferred connect makes one.
func (e *Endpoint) CloseWrite() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.phase == phaseConnected:
		return toErrno(e.sock.ep.Shutdown(tcpip.ShutdownWrite))
	case e.phase == phaseConnecting && e.attempt.deferred:
		e.attempt.finish = true
		return nil
	case e.phase == phaseConnecting:
		return syscall.ENOTCONN
	}
	return e.notConnected()
}

// CloseRead makes later reads return what has arrived and then io.EOF. The peer
// is not told.
func (e *Endpoint) CloseRead() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == phaseConnecting && e.attempt.deferred {
		e.attempt.deaf = true
		return nil
	}
	if e.phase != phaseConnected {
		return e.notConnected()
	}
	return toErrno(e.sock.ep.Shutdown(tcpip.ShutdownRead))
}

// Close closes the endpoint; every later call returns net.ErrClosed, this one
// too. A connection goes on in the background until the peer has everything and
// the FIN, for Config.CloseTimeout at the longest; then it is reset. It is reset
// at once if there is something unread. A connect under way ends without another
// packet, except that what a deferred connect's Write has taken is delivered. A
// listener's waiting connections are reset.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == phaseClosed {
		return net.ErrClosed
	}
	was := e.phase
	e.retire()
	if was == phaseConnecting && e.attempt.deferred && len(e.attempt.opts.Data) > 0 {
		e.limitDelivery(e.sock, e.attempt)
		return nil
	}
	e.stopAttempt()
	k := e.sock
	e.sock = nil
	switch {
	case k == nil:
	case was == phaseConnecting:
		k.abort()
	default:
		k.close()
	}
	return nil
}

// limitDelivery lets a deferred connect go on after Close, until the connect's
// own limit or CloseTimeout, whichever is first. Called with mu held.
func (e *Endpoint) limitDelivery(k *socket, a *attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return
	}
	k.timer = e.stack.cfg.Clock.AfterFunc(e.closeTimeout(), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.attempt == a {
			e.stopAttempt()
			e.drop()
		}
	})
}

// stopAttempt ends the worker of a connect. Called with mu held.
func (e *Endpoint) stopAttempt() {
	if a := e.attempt; a != nil {
		e.attempt = nil
		a.end(&a.stopped)
	}
}

// Abort closes the endpoint and resets its connection. After Close it resets
// nothing: the connection is the stack's then.
func (e *Endpoint) Abort() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == phaseClosed {
		return
	}
	e.retire()
	e.stopAttempt()
	e.drop()
}

// retire ends the endpoint for its caller. Called with mu held.
func (e *Endpoint) retire() {
	e.bound = e.localAddr()
	e.phase = phaseClosed
	e.stopInspecting()
	if e.listener != nil {
		e.listener.Close()
	}
}

// shut closes the endpoint if k is its socket; the stack is closing.
func (e *Endpoint) shut(k *socket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sock != k {
		return
	}
	if e.phase != phaseClosed {
		e.retire()
	}
	e.stopAttempt()
	e.sock = nil
}
