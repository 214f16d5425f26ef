package stack

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// ListenConfig listens, as a *net.ListenConfig does. Its zero value works once Stack
// is set; it is not changed by its methods, which may be called from any goroutine.
type ListenConfig struct {
	// Stack is what the listener is made with.
	Stack *Stack

	// FastOpen takes data from SYNs (RFC 7413) as it says; nil: no. What is in a
	// SYN may reach the application twice; see fastopen.ListenConfig.
	FastOpen *fastopen.ListenConfig

	// Backlog is how many connections may wait for Accept. 0: Config.Backlog.
	Backlog int

	// KeepAlive and KeepAliveConfig are for the accepted connections; see Dialer.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Resolver looks the host up if it is a name. Nil: the stack's.
	Resolver Resolver
}

// Listen listens on an address, as net.Listen does. It is that of a ListenConfig with
// no other field set than Stack.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	return (&ListenConfig{Stack: s}).Listen(context.Background(), network, address)
}

// Listen listens on host:port over "tcp", "tcp4" or "tcp6"; the listener is a
// *TCPListener. Port 0 is replaced by a free one, which Addr tells. A host that is
// missing or unspecified means all of the stack's addresses: of both families for
// "tcp", of one for "tcp4" and "tcp6". Every error is a *net.OpError.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	t, f, err := parseNetwork(network)
	if err == nil && t != overTCP {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, opError("listen", "listen", network, nil, nil, err)
	}
	at, err := lc.place(ctx, t, f, address)
	if err != nil {
		return nil, opError("listen", "listen", network, nil, nil, err)
	}
	return lc.listenTCP(network, f, at)
}

// ListenTCP is Listen on an address that is no text. The zero laddr is all addresses
// and a free port.
func (lc *ListenConfig) ListenTCP(network string, laddr netip.AddrPort) (*TCPListener, error) {
	laddr = plainPort(laddr)
	t, f, err := parseNetwork(network)
	switch {
	case err == nil && t != overTCP:
		err = net.UnknownNetworkError(network)
	case err == nil && lc.Stack == nil:
		err = errNoStack
	case err == nil && !isAny(laddr.Addr()) && !f.has(laddr.Addr()):
		err = unsuitable(laddr.Addr().String())
	}
	if err != nil {
		return nil, opError("listen", "listen", network, nil, net.TCPAddrFromAddrPort(laddr), err)
	}
	l, err := lc.listenTCP(network, f, laddr)
	if err != nil {
		return nil, err
	}
	return l.(*TCPListener), nil
}

// place is the local address that an address of Listen or ListenPacket means. An
// unspecified one has no address in it.
func (lc *ListenConfig) place(ctx context.Context, t transport, f family, address string) (netip.AddrPort, error) {
	d := Dialer{Stack: lc.Stack, Resolver: lc.Resolver}
	ctx, cancel, err := d.limit(ctx)
	defer cancel()
	if err != nil {
		return netip.AddrPort{}, err
	}
	if ctx.Err() != nil {
		return netip.AddrPort{}, ended(ctx)
	}
	at, err := parseAddress(ctx, t, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if at.host == "" || at.addr.IsUnspecified() {
		return netip.AddrPortFrom(netip.Addr{}, at.port), nil
	}
	to, err := d.targets(f, at)
	if err != nil {
		return netip.AddrPort{}, err
	}
	all, err := d.addresses(ctx, to)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return all[0], nil
}

// listenTCP listens at a place.
func (lc *ListenConfig) listenTCP(network string, f family, at netip.AddrPort) (net.Listener, error) {
	ep, call, err := lc.open(f, at)
	if err != nil {
		if ep != nil {
			ep.Abort()
		}
		return nil, opError("listen", call, network, nil, net.TCPAddrFromAddrPort(named(f, at)), err)
	}
	l := &TCPListener{
		ep: ep, network: network,
		addr:      net.TCPAddrFromAddrPort(ep.LocalAddr()),
		keepAlive: keepAliveOf(lc.KeepAlive, lc.KeepAliveConfig),
	}
	l.accepts.init(lc.Stack.cfg.Clock)
	ep.SetWake(l.accepts.wake)
	return l, nil
}

// named is a place as package net writes it: the wildcard has a form.
func named(f family, at netip.AddrPort) netip.AddrPort {
	switch {
	case at.Addr().IsValid():
		return at
	case f == onlyIPv4:
		return netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())
	default:
		return netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	}
}

// open makes a listening endpoint. call is the system call that has failed; there may
// be an endpoint to be ended then.
func (lc *ListenConfig) open(f family, at netip.AddrPort) (ep *Endpoint, call string, err error) {
	kind := "tcp" // both families
	switch {
	case f == onlyIPv4 || at.Addr().Is4():
		kind = "tcp4"
	case f == onlyIPv6 || at.Addr().IsValid():
		kind = "tcp6"
	}
	if ep, err = lc.Stack.NewEndpoint(kind); err != nil {
		return nil, "socket", err
	}
	if err := ep.SetReuseAddress(true); err != nil { // as package net does
		return ep, "setsockopt", err
	}
	if err := ep.Bind(at); err != nil {
		return ep, "bind", err
	}
	if err := ep.Listen(lc.Backlog); err != nil {
		return ep, "listen", err
	}
	if lc.FastOpen != nil {
		if _, err := ep.ServeFastOpen(*lc.FastOpen); err != nil {
			return ep, "setsockopt", err
		}
	}
	return ep, "", nil
}

// TCPListener is a listener with the methods of *net.TCPListener, as far as they make
// sense without a file descriptor. All methods may be called from any goroutine. It
// has no goroutine.
type TCPListener struct {
	ep        *Endpoint
	network   string
	addr      net.Addr
	keepAlive net.KeepAliveConfig

	accepts half
	closed  atomic.Bool
}

var _ net.Listener = (*TCPListener)(nil)

// Accept waits for the next connection, a *TCPConn. One that was opened with data in
// its SYN can be read at once, before its handshake is over.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP is Accept with the connection's own type.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	ep, err := l.accept()
	if err == nil {
		c := newTCPConn(ep, l.network)
		if !l.keepAlive.Enable {
			return c, nil
		}
		// It fails only when the stack has just been closed: c says so as well.
		_ = c.SetKeepAliveConfig(l.keepAlive)
		return c, nil
	}
	return nil, opError("accept", "accept", l.network, nil, l.addr, err)
}

func (l *TCPListener) accept() (ep *Endpoint, err error) {
	l.accepts.busy.Lock()
	defer l.accepts.busy.Unlock()
	err = l.accepts.await(l.open, func() error {
		ep, err = l.ep.Accept()
		return err
	})
	return ep, err
}

// open is net.ErrClosed once the listener, or the stack, is closed.
func (l *TCPListener) open() error {
	if l.closed.Load() || l.ep.isClosed() {
		return net.ErrClosed
	}
	return nil
}

// Close stops listening and ends every Accept with net.ErrClosed. Connections that
// were not accepted are reset. The second Close returns net.ErrClosed.
func (l *TCPListener) Close() error {
	if l.closed.Swap(true) {
		return opError("close", "close", l.network, nil, l.addr, net.ErrClosed)
	}
	_ = l.ep.Close() // fails only when the stack has closed it already
	l.accepts.by.end()
	l.ep.SetWake(nil)
	l.accepts.wake()
	return nil
}

// Addr is the address that it listens on, a *net.TCPAddr.
func (l *TCPListener) Addr() net.Addr { return l.addr }

// SetDeadline limits Accept, calls that wait already included, to a time; after it
// they return os.ErrDeadlineExceeded. The zero time: no limit.
func (l *TCPListener) SetDeadline(t time.Time) error {
	if err := l.open(); err != nil {
		return opError("set", "setsockopt", l.network, nil, l.addr, err)
	}
	l.accepts.by.set(t)
	return nil
}

// FastOpen is the listener's part of the Fast Open layer, which can be switched and
// counts; nil without ListenConfig.FastOpen.
func (l *TCPListener) FastOpen() *fastopen.Listener { return l.ep.fastOpenListener() }
