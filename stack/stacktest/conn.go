package stacktest

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// patience is how long a call of a Conn waits at most, in virtual time, unless
// SetLimit says otherwise.
const patience = time.Hour

// ErrLimit is what a call of a Conn or Listener returns that has waited for its
// limit.
var ErrLimit = errors.New("stacktest: the call has waited for its limit")

// blocking makes blocking calls of an endpoint's.
type blocking struct {
	// Endpoint is what the calls go to. Its wake function is taken.
	*stack.Endpoint

	host   *Host
	notice notice

	mu    sync.Mutex
	limit time.Duration // guarded by mu
}

func newBlocking(h *Host, e *stack.Endpoint) *blocking {
	b := &blocking{Endpoint: e, host: h, limit: patience}
	e.SetWake(b.notice.signal)
	return b
}

// SetLimit sets how long later calls may wait.
func (b *blocking) SetLimit(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = d
}

// until calls try until it does not answer EAGAIN.
func (b *blocking) until(try func() error) error {
	b.mu.Lock()
	limit := b.limit
	b.mu.Unlock()
	n := b.host.net
	s := n.newSleeper()
	b.notice.add(s)
	defer b.notice.remove(s)
	end := n.Now() + limit
	t := s.after(limit)
	defer t.Stop()
	for {
		err := try()
		b.host.barrier.touch(1)
		n.poke()
		switch {
		case !errors.Is(err, syscall.EAGAIN):
			return err
		case n.Now() >= end:
			return ErrLimit
		}
		s.await()
	}
}

// Conn is a connection whose calls block, in virtual time.
type Conn struct{ *blocking }

// Dial connects. What opts.Data holds is sent first.
func (h *Host) Dial(remote netip.AddrPort, opts stack.ConnectOptions) (*Conn, error) {
	return h.DialFrom(netip.AddrPort{}, remote, opts)
}

// DialFrom is Dial from an address and port; the zero value means any.
func (h *Host) DialFrom(local, remote netip.AddrPort, opts stack.ConnectOptions) (*Conn, error) {
	c, err := h.Open(remote)
	if err != nil {
		return nil, err
	}
	if local != (netip.AddrPort{}) {
		if err := c.Bind(local); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.Connect(remote, opts); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Connected(); err != nil {
		return c, errors.Join(err, c.Close())
	}
	return c, nil
}

// Open makes an endpoint of the family that an address has, for Bind and Connect.
func (h *Host) Open(like netip.AddrPort) (*Conn, error) {
	network := "tcp6"
	if like.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	e, err := h.Stack.NewEndpoint(network)
	if err != nil {
		return nil, err
	}
	return h.Wrap(e), nil
}

// Wrap makes a Conn of an endpoint of the host's.
func (h *Host) Wrap(e *stack.Endpoint) *Conn { return &Conn{newBlocking(h, e)} }

// Connected waits for the end of a Connect and returns its error.
func (c *Conn) Connected() error {
	return c.until(func() error {
		done, err := c.Endpoint.Connected()
		if !done && err == nil {
			return syscall.EAGAIN
		}
		return err
	})
}

// Read waits for data and reads as much as there is and fits. After the peer's
// FIN it returns io.EOF.
func (c *Conn) Read(p []byte) (n int, err error) {
	err = c.until(func() error {
		n, err = c.Endpoint.Read([][]byte{p})
		return err
	})
	return n, err
}

// Write writes all of p.
func (c *Conn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		err = c.until(func() error {
			m, err := c.Endpoint.Write([][]byte{p[n:]})
			n += m
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadAll reads up to the peer's FIN.
func (c *Conn) ReadAll() ([]byte, error) { return io.ReadAll(c) }

// Close closes the endpoint; see stack.Endpoint.
func (c *Conn) Close() error {
	err := c.Endpoint.Close()
	c.host.barrier.touch(1)
	c.host.net.poke()
	return err
}

// Listener is a listening endpoint whose Accept blocks.
type Listener struct {
	*blocking
	fast *fastopen.Listener
}

// Listen listens. With fast not nil, Fast Open is on.
func (h *Host) Listen(local netip.AddrPort, backlog int, fast *fastopen.ListenConfig) (*Listener, error) {
	c, err := h.Open(local)
	if err != nil {
		return nil, err
	}
	if err := c.Bind(local); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Endpoint.Listen(backlog); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	l := &Listener{blocking: newBlocking(h, c.Endpoint)}
	if fast != nil {
		if l.fast, err = h.Stack.FastOpen().Listen(c.LocalAddr(), *fast); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return l, nil
}

// Fast is the listener's part in the Fast Open layer; nil without.
func (l *Listener) Fast() *fastopen.Listener { return l.fast }

// Accept waits for a connection.
func (l *Listener) Accept() (c *Conn, err error) {
	err = l.until(func() error {
		e, err := l.Endpoint.Accept()
		if err == nil {
			c = l.host.Wrap(e)
		}
		return err
	})
	return c, err
}

// Close closes the endpoint, and Fast Open with it.
func (l *Listener) Close() error {
	if l.fast != nil {
		l.fast.Close()
	}
	return l.Endpoint.Close()
}
