package stack

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// TCPConn is a TCP connection with the methods of *net.TCPConn, as far as they make
// sense without a file descriptor. All methods may be called from any goroutine.
//
// It has no goroutine: a Read or Write that has to wait costs its caller alone, and
// neither allocates. Errors are *net.OpError, or io.EOF as it is; see the package's
// documentation. Deadlines are times of Config.Clock.
type TCPConn struct {
	ep      *Endpoint
	network string
	addrs   atomic.Pointer[connAddrs]

	reads, writes half
	lazy          *lazy // nil unless it was dialled so

	keepAlive atomic.Bool
	closed    atomic.Bool // by Close
}

// connAddrs are the addresses of a connection, once they are fixed.
type connAddrs struct{ local, remote net.Addr }

var (
	_ net.Conn      = (*TCPConn)(nil)
	_ io.ReaderFrom = (*TCPConn)(nil)
	_ io.WriterTo   = (*TCPConn)(nil)
)

// newTCPConn makes a connection of an endpoint, whose wake function it takes.
func newTCPConn(ep *Endpoint, network string) *TCPConn {
	c := &TCPConn{ep: ep, network: network}
	c.reads.init(ep.stack.cfg.Clock)
	c.writes.init(ep.stack.cfg.Clock)
	ep.setWake(c.happened)
	return c
}

// happened wakes the waiting call that an event is for. What ends the connection, or
// makes it, is for both.
func (c *TCPConn) happened(mask waiter.EventMask) {
	if mask&^waiter.WritableEvents != 0 {
		c.reads.wake()
	}
	if mask&^(waiter.ReadableEvents|waiter.EventRdHUp) != 0 {
		c.writes.wake()
	}
}

// wake lets the waiting Read and Write look again.
func (c *TCPConn) wake() {
	c.reads.wake()
	c.writes.wake()
}

// addresses are those of the connection.
func (c *TCPConn) addresses() *connAddrs {
	if a := c.addrs.Load(); a != nil {
		return a
	}
	local := c.ep.LocalAddr()
	a := &connAddrs{
		local:  net.TCPAddrFromAddrPort(local),
		remote: net.TCPAddrFromAddrPort(c.ep.RemoteAddr()),
	}
	if local.Port() != 0 && !local.Addr().IsUnspecified() {
		c.addrs.CompareAndSwap(nil, a)
	}
	return a
}

// LocalAddr is the local address, a *net.TCPAddr.
func (c *TCPConn) LocalAddr() net.Addr { return c.addresses().local }

// RemoteAddr is the peer's address, a *net.TCPAddr.
func (c *TCPConn) RemoteAddr() net.Addr { return c.addresses().remote }

// Read waits until something has arrived and takes as much of it as p holds. It
// returns io.EOF after the peer's FIN or CloseRead. When the connection breaks, what
// had arrived before can still be read.
func (c *TCPConn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.failure("read", "read", err)
	}
	return n, err
}

func (c *TCPConn) read(p []byte) (n int, err error) {
	c.reads.busy.Lock()
	defer c.reads.busy.Unlock()
	if len(p) == 0 {
		return 0, c.open()
	}
	if c.lazy != nil {
		c.lazy.within(lazyReadDelay)
	}
	err = c.reads.await(c.open, func() error {
		n, err = c.take(p)
		return err
	})
	return n, err
}

// take is the endpoint's Read.
func (c *TCPConn) take(p []byte) (int, error) {
	n, err := c.ep.Read([][]byte{p})
	if err != nil && c.lazy != nil && errors.Is(err, syscall.ENOTCONN) {
		err = syscall.EAGAIN // the connect has not begun
	}
	return n, err
}

// open is net.ErrClosed once the connection, or the stack, is closed.
func (c *TCPConn) open() error {
	if c.closed.Load() || c.ep.isClosed() {
		return net.ErrClosed
	}
	return nil
}

// Write hands all of p to TCP, which sends it in the background; it waits while the
// send buffer is full. What one Write sends is not mixed with what others send.
func (c *TCPConn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err != nil {
		err = c.failure("write", "write", err)
	}
	return n, err
}

func (c *TCPConn) write(p []byte) (total int, err error) {
	c.writes.busy.Lock()
	defer c.writes.busy.Unlock()
	if len(p) == 0 {
		return 0, c.open()
	}
	for total < len(p) && err == nil {
		err = c.writes.await(c.open, func() error {
			if c.lazy != nil { // not before: a Write that is late begins nothing
				c.lazy.begun()
			}
			n, err := c.ep.Write([][]byte{p[total:]})
			total += n
			return err
		})
	}
	return total, err
}

// failure is the error of an operation on the connection.
func (c *TCPConn) failure(op, call string, err error) error {
	a := c.addresses()
	return opError(op, call, c.network, a.local, a.remote, err)
}

// Close closes the connection and ends every Read and Write with net.ErrClosed. What
// was written is delivered in the background, within Config.CloseTimeout or what
// SetLinger says. If something is unread the peer gets a reset. The second Close
// returns net.ErrClosed.
func (c *TCPConn) Close() error {
	a := c.addresses() // while they can be asked for
	if c.closed.Swap(true) {
		return opError("close", "close", c.network, a.local, a.remote, net.ErrClosed)
	}
	_ = c.ep.Close() // fails only when the stack has closed it already
	if c.lazy != nil {
		c.lazy.begun()
	}
	c.release()
	return nil
}

// abort ends a connection that its user never got.
func (c *TCPConn) abort() {
	c.closed.Store(true)
	c.ep.Abort()
	c.release()
}

// release lets go of what the closed endpoint could still call.
func (c *TCPConn) release() {
	c.reads.by.end()
	c.writes.by.end()
	c.ep.SetWake(nil)
	c.wake()
}

// CloseRead makes reads return io.EOF once what has arrived is read. The peer is not
// told.
func (c *TCPConn) CloseRead() error {
	if c.lazy != nil {
		c.lazy.start()
	}
	err := c.ep.CloseRead()
	c.reads.wake()
	if err != nil {
		return c.failure("close", "shutdown", err)
	}
	return nil
}

// CloseWrite sends a FIN behind what has been written; the other direction stays
// open.
func (c *TCPConn) CloseWrite() error {
	if c.lazy != nil {
		c.lazy.start()
	}
	err := c.ep.CloseWrite()
	c.writes.wake()
	if err != nil {
		return c.failure("close", "shutdown", err)
	}
	return nil
}

// SetDeadline sets both deadlines.
func (c *TCPConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads.by, &c.writes.by) }

// SetReadDeadline limits reads, those that wait already included, to a time; after
// it they return os.ErrDeadlineExceeded. The zero time: no limit.
func (c *TCPConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads.by) }

// SetWriteDeadline does so for writes. A Write that times out may have sent a part.
func (c *TCPConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writes.by) }

func (c *TCPConn) setDeadlines(t time.Time, which ...*deadline) error {
	if err := c.open(); err != nil {
		return opError("set", "setsockopt", c.network, nil, c.LocalAddr(), err)
	}
	for _, d := range which {
		d.set(t)
	}
	return nil
}

// FastOpenInfo is what Fast Open did for a connection.
type FastOpenInfo struct {
	// Outcome says whether Fast Open was wanted, how many bytes were in the SYN,
	// how many of them the SYN-ACK acknowledged, what became of the cookie, and
	// why not all were taken. For an accepted connection the SYN is the peer's.
	fastopen.Outcome
	// EarlyData is how many bytes at the beginning of an accepted connection came
	// in its SYN and could be read before the handshake was over. Those bytes may
	// be the copy of an earlier connection's (RFC 7413 §2.1).
	// They count once netstack has acknowledged them, a moment after Accept may have
	// returned.
	EarlyData int
	// Unproven: the client has not answered the SYN-ACK yet, and its address may
	// be forged.
	Unproven bool
}

// FastOpenInfo is what Fast Open did for the connection. For one that was dialled, what
// it says of the bytes, the cookie and the reason holds when the dial returns; for a lazy
// one once Outcome.Answered is set, as it is when something has been read.
func (c *TCPConn) FastOpenInfo() FastOpenInfo {
	info := FastOpenInfo{Outcome: c.ep.FastOpenInfo()}
	if came, unproven := c.ep.camePending(); came {
		info.EarlyData, info.Unproven = info.BytesAccepted, unproven
	}
	return info
}
