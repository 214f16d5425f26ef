package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// DefaultFallbackDelay is how long a dial by name gives one address before it tries
// the next one at the same time: RFC 8305's Connection Attempt Delay.
const DefaultFallbackDelay = 250 * time.Millisecond

// netstackLimit is longer than netstack itself goes on with a connect.
const netstackLimit = 130 * time.Second

// Dialer connects, as a *net.Dialer does. Its zero value works once Stack is set; it
// is not changed by its methods, which may be called from any goroutine.
type Dialer struct {
	// Stack is what the connections are made with.
	Stack *Stack

	// Timeout and Deadline limit a dial, name look-up included. Zero: the context
	// alone, and Config.ConnectTimeout for each address. Either replaces the
	// latter, as the context's deadline does. Both are of the system's clock, as
	// contexts are, whatever Config.Clock is.
	Timeout  time.Duration
	Deadline time.Time

	// LocalAddr is a *net.TCPAddr, *net.UDPAddr or, for a ping, *net.IPAddr to connect
	// from; one that is nil or empty says nothing. Nil: chosen by
	// the stack's routes.
	LocalAddr net.Addr

	// FallbackDelay is for dials by name, if the name has several addresses: how
	// long one has before the next is tried as well. 0: DefaultFallbackDelay.
	// Negative: an address is tried when the one before has failed.
	FallbackDelay time.Duration

	// KeepAlive is the time without traffic before the first keep-alive probe. 0:
	// DefaultKeepAliveIdle; negative: none are sent. It has no effect if
	// KeepAliveConfig.Enable is set.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Resolver looks names up. Nil: the stack's, see Stack.Resolver.
	Resolver Resolver

	// FastOpen overrides the stack's Fast Open mode.
	FastOpen fastopen.Mode

	// Lazy makes a TCP dial return before it has connected, if a SYN to the peer
	// can carry data now (otherwise the dial is an ordinary one): the first Write
	// is in the SYN then, up to what fits. Without a Write the connection is opened
	// after LazyDelay, 5 ms after the first Read if that is sooner, at once by
	// CloseWrite, CloseRead or a deadline that passes. That it failed is told by
	// Read and Write. A name is looked up first; its other addresses are not tried.
	Lazy bool
	// LazyDelay is how long a lazy connection waits for the first Write. 0:
	// DefaultLazyDelay. Negative: for ever, or until one of the other occasions.
	LazyDelay time.Duration
}

// DialContext connects to an address, as net.Dialer.DialContext does: it can stand
// wherever a dialer is asked for. It is that of a Dialer with no other field set than
// Stack.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&Dialer{Stack: s}).DialContext(ctx, network, address)
}

// DialContextData connects and sends data first, in the SYN as far as Fast Open allows
// it; see Dialer.DialContextData.
func (s *Stack) DialContextData(ctx context.Context, network, address string, data []byte) (net.Conn, error) {
	return (&Dialer{Stack: s}).DialContextData(ctx, network, address, data)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to an address: "tcp" (a *TCPConn), "udp" (a *UDPConn) or "ping"
// (a *PingConn), each also with 4 or 6 behind it. The address is host:port, and the
// host alone for ping. A host that is missing or unspecified is the stack itself. A
// name is looked up; if it has several addresses TCP races them (RFC 8305).
//
// Every error is a *net.OpError. The context ends the dial, not the connection; a dial
// that has been ended leaves nothing behind.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dial(ctx, network, address, nil)
}

// DialContextData connects and sends data before anything else: as much of it in the
// SYN as Fast Open allows, the rest after the handshake. It returns when TCP has taken
// all of it; FastOpenInfo says how much was in the SYN. data is not changed and not
// used after the return.
//
// What is in a SYN may reach the peer's application twice (RFC 7413 §2.1). If a name
// has several addresses data is in the SYN to the first one alone.
func (d *Dialer) DialContextData(ctx context.Context, network, address string, data []byte) (net.Conn, error) {
	return d.dial(ctx, network, address, data)
}

// DialTCP connects to an address over "tcp", "tcp4" or "tcp6", as Go's
// net.Dialer.DialTCP. A zero laddr is chosen by the stack's routes; Dialer.LocalAddr
// has no effect.
func (d *Dialer) DialTCP(ctx context.Context, network string, laddr, raddr netip.AddrPort) (*TCPConn, error) {
	return d.DialTCPData(ctx, network, laddr, raddr, nil)
}

// DialTCPData is DialTCP that sends data first; see DialContextData.
func (d *Dialer) DialTCPData(ctx context.Context, network string, laddr, raddr netip.AddrPort, data []byte) (*TCPConn, error) {
	laddr, raddr = plainPort(laddr), plainPort(raddr)
	ctx, cancel, err := d.limit(ctx)
	defer cancel()
	if err == nil {
		raddr, err = d.checkRemote(overTCP, network, raddr)
	}
	if err != nil {
		return nil, d.failed(network, laddr, raddr, err)
	}
	return d.dialTCP(ctx, network, laddr, raddr, d.options(data))
}

// options are those of a connect that is the only one.
func (d *Dialer) options(data []byte) ConnectOptions {
	return ConnectOptions{Data: data, FastOpen: d.FastOpen, Timeout: d.Timeout, Deferred: d.Lazy}
}

// checkRemote is the address that a dial to one without a name goes to: a missing or
// unspecified host is the stack itself.
func (d *Dialer) checkRemote(want transport, network string, raddr netip.AddrPort) (netip.AddrPort, error) {
	t, f, err := parseNetwork(network)
	switch {
	case err != nil:
		return raddr, err
	case t != want:
		return raddr, net.UnknownNetworkError(network)
	}
	to, err := d.targets(f, hostPort{host: raddr.Addr().String(), addr: raddr.Addr(), port: raddr.Port()})
	if err != nil {
		return raddr, err
	}
	return to.known[0], nil
}

// toSelf are the addresses that a dial without a host goes to.
func (d *Dialer) toSelf(f family, port uint16) (to []netip.AddrPort) {
	for _, a := range d.Stack.self(f) {
		to = append(to, netip.AddrPortFrom(a, port))
	}
	return to
}

var (
	errNoContext = errors.New("the context is nil; use context.Background()")
	errNoStack   = errors.New("the Stack of the Dialer or ListenConfig is nil")
)

// limit is the context with the Dialer's own limits, and the stack's end.
func (d *Dialer) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	none := func() {}
	switch {
	case ctx == nil:
		return ctx, none, errNoContext
	case d.Stack == nil:
		return ctx, none, errNoStack
	}
	ctx, over := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.Stack.alive, func() { over(net.ErrClosed) })
	cancel1, cancel2 := context.CancelFunc(none), context.CancelFunc(none)
	if d.Timeout != 0 {
		ctx, cancel1 = context.WithTimeout(ctx, d.Timeout)
	}
	if !d.Deadline.IsZero() {
		ctx, cancel2 = context.WithDeadline(ctx, d.Deadline)
	}
	return ctx, func() { cancel2(); cancel1(); stop(); over(nil) }, nil
}

// failed is the error of a dial.
func (d *Dialer) failed(network string, laddr, raddr netip.AddrPort, err error) error {
	var source, addr net.Addr
	t, _, known := parseNetwork(network)
	if known == nil && laddr != (netip.AddrPort{}) {
		source = t.of(laddr)
	}
	if known == nil && raddr != (netip.AddrPort{}) {
		addr = t.of(raddr)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return err // it says already what could not be dialled
	}
	return opError("dial", "connect", network, source, addr, err)
}

// dial is DialContext with data.
func (d *Dialer) dial(ctx context.Context, network, address string, data []byte) (net.Conn, error) {
	ctx, cancel, err := d.limit(ctx)
	defer cancel()
	if err != nil {
		return nil, d.failed(network, netip.AddrPort{}, netip.AddrPort{}, err)
	}
	t, f, err := parseNetwork(network)
	if err != nil {
		return nil, d.failed(network, netip.AddrPort{}, netip.AddrPort{}, err)
	}
	local, err := d.local(t, f)
	if err != nil {
		return nil, d.failed(network, netip.AddrPort{}, netip.AddrPort{}, err)
	}
	to, err := parseAddress(ctx, t, address)
	if err != nil {
		return nil, d.failed(network, local, netip.AddrPort{}, err)
	}
	if local.Addr().IsValid() && !isAny(local.Addr()) && f == anyFamily {
		f = familyOf(local.Addr())
	}
	targets, err := d.targets(f, to)
	if err != nil {
		return nil, d.failed(network, local, netip.AddrPort{}, err)
	}
	if t == overTCP {
		c, err := d.race(ctx, network, local, targets, data)
		if err != nil {
			return nil, d.failed(network, local, netip.AddrPort{}, err)
		}
		return c, nil
	}
	return d.dialPacket(ctx, t, network, local, targets, data)
}

// local is LocalAddr, which has to be of the transport.
func (d *Dialer) local(t transport, f family) (netip.AddrPort, error) {
	var a netip.AddrPort
	matches := false
	switch l := d.LocalAddr.(type) {
	case nil:
		return a, nil
	case *net.TCPAddr:
		matches = t == overTCP
		if l != nil {
			a = l.AddrPort()
		}
	case *net.UDPAddr:
		matches = t == overUDP
		if l != nil {
			a = l.AddrPort()
		}
	case *net.IPAddr:
		matches = t == overPing
		if l != nil {
			ip, _ := netip.AddrFromSlice(l.IP)
			a = netip.AddrPortFrom(ip, 0)
		}
	}
	if !matches {
		return netip.AddrPort{}, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
	}
	if a = plainPort(a); !isAny(a.Addr()) && !f.has(a.Addr()) {
		return a, unsuitable(d.LocalAddr.String())
	}
	return a, nil
}

// dialTCP makes one connection to one address. It returns when the connection is
// there and has taken all of opts.Data.
func (d *Dialer) dialTCP(ctx context.Context, network string, laddr, raddr netip.AddrPort, opts ConnectOptions) (*TCPConn, error) {
	c, err := d.startTCP(ctx, network, laddr, raddr, opts)
	if err == nil {
		err = c.connected(ctx)
	}
	if err != nil {
		if c != nil {
			c.abort()
		}
		return nil, d.failed(network, laddr, raddr, err)
	}
	return c, nil
}

// startTCP begins to connect. If it fails it may return a connection to be ended.
func (d *Dialer) startTCP(ctx context.Context, network string, laddr, raddr netip.AddrPort, opts ConnectOptions) (*TCPConn, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	kind := "tcp6"
	if raddr.Addr().Is4() {
		kind = "tcp4"
	}
	ep, err := d.Stack.NewEndpoint(kind)
	if err != nil {
		return nil, err
	}
	c := newTCPConn(ep, network)
	if k := keepAliveOf(d.KeepAlive, d.KeepAliveConfig); k.Enable {
		if err := c.SetKeepAliveConfig(k); err != nil {
			return c, err
		}
	}
	if laddr != (netip.AddrPort{}) {
		if isAny(laddr.Addr()) {
			laddr = netip.AddrPortFrom(netip.Addr{}, laddr.Port())
		}
		if err := ep.Bind(laddr); err != nil {
			return c, cause("bind", err)
		}
	}
	if _, limited := ctx.Deadline(); limited {
		opts.unlessDeferred = netstackLimit // the context ends it
	}
	if raddr.Port() == 0 {
		return c, syscall.ECONNREFUSED // nothing can listen there
	}
	if err := ep.Connect(raddr, opts); err != nil {
		return c, err
	}
	if ep.isDeferred() {
		newLazy(c, d.LazyDelay)
	}
	return c, nil
}

// connected waits for the end of the connect.
func (c *TCPConn) connected(ctx context.Context) error {
	ready := c.writes.listen()
	defer c.writes.rest()
	for {
		if done, err := c.ep.Connected(); done || err != nil {
			return err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}
