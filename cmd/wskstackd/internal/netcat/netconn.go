package netcat

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// netConn is an accepted connection as a net.Conn, for net/http.
type netConn struct {
	*accepted
	gate        *gate
	read, write deadline
	closing     sync.Once
}

func newNetConn(c *accepted, g *gate) *netConn {
	return &netConn{accepted: c, gate: g, read: newDeadline(c.hard), write: newDeadline(c.hard)}
}

// Read implements net.Conn.
func (n *netConn) Read(b []byte) (int, error) {
	ctx := n.read.context()
	if ctx.Err() != nil { // also where it would not have to wait
		return 0, n.explain("read", context.Cause(ctx))
	}
	m, err := n.accepted.Read(ctx, b)
	return m, n.explain("read", err)
}

// Write implements net.Conn.
func (n *netConn) Write(b []byte) (int, error) {
	ctx := n.write.context()
	if ctx.Err() != nil {
		return 0, n.explain("write", context.Cause(ctx))
	}
	if err := n.accepted.Write(ctx, b); err != nil {
		return 0, n.explain("write", err) // how many bytes went out does not matter any more
	}
	return len(b), nil
}

func (n *netConn) explain(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: n.LocalAddr(), Addr: n.RemoteAddr(), Err: err}
}

// CloseWrite closes this side, as that of a net.TCPConn does.
func (n *netConn) CloseWrite() error { return n.Endpoint().CloseWrite() }

// Close implements net.Conn. What was written is delivered in the background,
// which the gate waits for.
func (n *netConn) Close() error {
	n.closing.Do(func() {
		n.read.stop()
		n.write.stop()
		go func() { n.gate.leave(n.accepted, n.finish()) }()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (n *netConn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(n.Endpoint().LocalAddr()) }

// RemoteAddr implements net.Conn.
func (n *netConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(n.remote) }

// SetDeadline implements net.Conn.
func (n *netConn) SetDeadline(t time.Time) error {
	return errors.Join(n.SetReadDeadline(t), n.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (n *netConn) SetReadDeadline(t time.Time) error { n.read.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (n *netConn) SetWriteDeadline(t time.Time) error { n.write.set(t); return nil }

// deadline is a context that ends at a time which can be changed while somebody
// waits.
type deadline struct {
	parent context.Context

	mu     sync.Mutex
	ctx    context.Context         // guarded by mu
	cancel context.CancelCauseFunc // guarded by mu; ends ctx
	timer  *time.Timer             // guarded by mu; nil: there is no deadline
	closed bool                    // guarded by mu; calls fail from now on
}

func newDeadline(parent context.Context) deadline {
	ctx, cancel := context.WithCancelCause(parent)
	return deadline{parent: parent, ctx: ctx, cancel: cancel}
}

func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

// set moves the deadline; the zero time is none. Those who wait follow it.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if d.timer != nil && !d.timer.Stop() {
		<-d.ctx.Done() // it has fired, and is about to cancel what it was set for
	}
	d.timer = nil
	if d.ctx.Err() != nil {
		d.ctx, d.cancel = context.WithCancelCause(d.parent)
	}
	if t.IsZero() {
		return
	}
	cancel := d.cancel
	expire := func() { cancel(os.ErrDeadlineExceeded) }
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, expire)
		return
	}
	expire()
}

// stop ends those who wait, and all that come later, as a close does.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.cancel(net.ErrClosed)
}
