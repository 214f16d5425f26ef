package stack

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// packetConn is what UDPConn and PingConn share: blocking calls over a Datagram.
type packetConn struct {
	d         *Datagram
	transport transport
	network   string
	local     net.Addr
	remote    net.Addr // nil unless it is connected

	reads, writes half
	closed        atomic.Bool // by Close
}

// init takes the datagram socket's wake function.
func (c *packetConn) init(d *Datagram, t transport, network string, remote netip.AddrPort) {
	c.d, c.transport, c.network = d, t, network
	c.local = t.of(d.LocalAddr())
	if remote.IsValid() {
		c.remote = t.of(remote)
	}
	c.reads.init(d.stack.cfg.Clock)
	c.writes.init(d.stack.cfg.Clock)
	d.SetWake(func() {
		c.reads.wake()
		c.writes.wake()
	})
}

// LocalAddr is the local address.
func (c *packetConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's address, nil without one.
func (c *packetConn) RemoteAddr() net.Addr {
	return c.remote
}

// failure is the error of an operation; to is where a datagram was to go, if it was
// said.
func (c *packetConn) failure(op, call string, to net.Addr, err error) error {
	if to == nil {
		to = c.remote
	}
	return opError(op, call, c.network, c.local, to, err)
}

func (c *packetConn) open() error {
	if c.closed.Load() || c.d.gone() {
		return net.ErrClosed
	}
	return nil
}

// receive waits for a datagram.
func (c *packetConn) receive(p []byte) (got Received, err error) {
	c.reads.busy.Lock()
	defer c.reads.busy.Unlock()
	err = c.reads.await(c.open, func() error {
		got, err = c.d.Receive([][]byte{p})
		return err
	})
	return got, err
}

// send sends a datagram to an address, or to the peer for the zero value.
func (c *packetConn) send(p []byte, to netip.AddrPort) (int, error) {
	c.writes.busy.Lock()
	defer c.writes.busy.Unlock()
	err := c.writes.await(c.open, func() error { return c.d.Send([][]byte{p}, to, 0) })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read waits for a datagram and stores as much of it as p holds; the rest is lost.
func (c *packetConn) Read(p []byte) (int, error) {
	got, err := c.receive(p)
	if err != nil {
		err = c.failure("read", "read", nil, err)
	}
	return got.Bytes, err
}

// ReadFrom is Read that tells the sender.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	got, err := c.receive(p)
	if err != nil {
		return 0, nil, c.failure("read", "recvfrom", nil, err)
	}
	return got.Bytes, c.transport.of(got.From), nil
}

// Write sends one datagram to the peer.
func (c *packetConn) Write(p []byte) (int, error) {
	n, err := c.send(p, netip.AddrPort{})
	if err != nil {
		err = c.failure("write", "write", nil, err)
	}
	return n, err
}

// WriteTo sends one datagram to an address. On a connection that has a peer it fails
// with net.ErrWriteToConnected.
func (c *packetConn) WriteTo(p []byte, to net.Addr) (int, error) {
	at, err := addrPortOf(to)
	if err != nil {
		return 0, c.failure("write", "sendto", to, err)
	}
	return c.writeTo(p, at, to)
}

func (c *packetConn) writeTo(p []byte, at netip.AddrPort, to net.Addr) (n int, err error) {
	switch at = plainPort(at); {
	case c.remote != nil:
		err = net.ErrWriteToConnected
	case !at.IsValid():
		err = &net.AddrError{Err: "missing address"}
	default:
		n, err = c.send(p, at)
	}
	if err == nil {
		return n, nil
	}
	if to == nil {
		to = c.transport.of(at)
	}
	return n, c.failure("write", "sendto", to, err)
}

// addrPortOf is an address of package net's as a netip one.
func addrPortOf(a net.Addr) (netip.AddrPort, error) {
	switch a := a.(type) {
	case *net.UDPAddr:
		if a != nil {
			return a.AddrPort(), nil
		}
	case *net.IPAddr:
		if a != nil {
			ip, _ := netip.AddrFromSlice(a.IP)
			return netip.AddrPortFrom(ip, 0), nil
		}
	case nil:
	default:
		return netip.AddrPort{}, &net.AddrError{Err: "unexpected address type", Addr: a.String()}
	}
	return netip.AddrPort{}, &net.AddrError{Err: "missing address"}
}

// Close closes the connection and ends every Read and Write with net.ErrClosed. The
// second Close returns net.ErrClosed.
func (c *packetConn) Close() error {
	if c.closed.Swap(true) {
		return opError("close", "close", c.network, c.local, c.remote, net.ErrClosed)
	}
	_ = c.d.Close() // fails only when it is closed already
	c.reads.by.end()
	c.writes.by.end()
	c.reads.wake()
	c.writes.wake()
	return nil
}

// SetDeadline sets both deadlines.
func (c *packetConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads, &c.writes) }

// SetReadDeadline limits reads to a time of Config.Clock; see TCPConn.
func (c *packetConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads) }

// SetWriteDeadline limits writes to a time of Config.Clock; see TCPConn.
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writes) }

func (c *packetConn) setDeadlines(t time.Time, which ...*half) error {
	return c.set(c.open(), func() error {
		for _, h := range which {
			h.by.set(t)
		}
		return nil
	})
}

// SetReadBuffer sets the size of the receive buffer in bytes, within netstack's bounds.
func (c *packetConn) SetReadBuffer(bytes int) error {
	return c.set(c.open(), func() error { return c.d.SetReceiveBuffer(bytes) })
}

// SetWriteBuffer sets the size of the send buffer in bytes, within netstack's bounds.
func (c *packetConn) SetWriteBuffer(bytes int) error {
	return c.set(c.open(), func() error { return c.d.SetSendBuffer(bytes) })
}

// set makes a setting unless there is an error already.
func (c *packetConn) set(err error, make func() error) error {
	if err == nil {
		err = make()
	}
	if err != nil {
		return opError("set", "setsockopt", c.network, nil, c.local, err)
	}
	return nil
}

// UDPConn is a UDP socket with the methods of *net.UDPConn, but for those of a file
// descriptor and of control messages (ReadMsgUDP, WriteMsgUDP). It is a net.Conn where
// it was dialled and a net.PacketConn always, and may send to broadcast addresses. All
// methods may be called from any goroutine.
type UDPConn struct{ packetConn }

// PingConn is a socket for ICMP echo: what it writes are echo requests, ICMP header
// included, whose identifier and checksum it fills in; what it reads are the answers
// to them. golang.org/x/net/icmp makes and reads such messages. It is a net.Conn where
// it was dialled and a net.PacketConn always, with *net.IPAddr as addresses. All
// methods may be called from any goroutine.
type PingConn struct{ packetConn }

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
	_ net.Conn       = (*PingConn)(nil)
	_ net.PacketConn = (*PingConn)(nil)
)

// ReadFromUDPAddrPort is ReadFrom without allocation.
func (c *UDPConn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	got, err := c.receive(p)
	if err != nil {
		err = c.failure("read", "recvfrom", nil, err)
	}
	return got.Bytes, got.From, err
}

// ReadFromUDP is ReadFrom that returns the sender as what it is.
func (c *UDPConn) ReadFromUDP(p []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.ReadFromUDPAddrPort(p)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToUDP is WriteTo.
func (c *UDPConn) WriteToUDP(p []byte, to *net.UDPAddr) (int, error) {
	if to == nil { // not one in an interface, which is none
		return c.WriteTo(p, nil)
	}
	return c.WriteTo(p, to)
}

// WriteToUDPAddrPort is WriteTo with an address of package netip's.
func (c *UDPConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	return c.writeTo(p, to, nil)
}

// newPacketConn makes a socket of a network's kind, bound to local and connected to
// remote where these are valid. call is the system call that has failed.
func newPacketConn(s *Stack, t transport, network, kind string, local, remote netip.AddrPort) (conn, string, error) {
	d, err := s.NewDatagram(kind)
	if err != nil {
		return nil, "socket", err
	}
	if t == overUDP { // as package net has it; a Datagram of one's own asks for it
		_ = d.SetBroadcast(true) // fails only when it is closed
	}
	call := "bind"
	if local != (netip.AddrPort{}) || !remote.IsValid() {
		err = d.Bind(local)
	}
	if err == nil && remote.IsValid() {
		call, err = "connect", d.Connect(remote)
	}
	if err != nil {
		_ = d.Close()
		return nil, call, err
	}
	if t == overPing {
		c := new(PingConn)
		c.init(d, t, network, remote)
		return c, "", nil
	}
	c := new(UDPConn)
	c.init(d, t, network, remote)
	return c, "", nil
}

// conn is both a connection and a packet connection.
type conn interface {
	net.Conn
	ReadFrom(p []byte) (int, net.Addr, error)
	WriteTo(p []byte, to net.Addr) (int, error)
}

// dialPacket connects a datagram socket to the first address of a target that it can
// be connected to, and sends data if there is any.
func (d *Dialer) dialPacket(ctx context.Context, t transport, network string, local netip.AddrPort, to target, data []byte) (net.Conn, error) {
	all, err := d.addresses(ctx, to)
	if err != nil {
		return nil, d.failed(network, local, netip.AddrPort{}, err)
	}
	var first error
	for _, raddr := range all {
		c, err := d.connectPacket(ctx, t, network, local, raddr, data)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (d *Dialer) connectPacket(ctx context.Context, t transport, network string, local, raddr netip.AddrPort, data []byte) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, d.failed(network, local, raddr, ended(ctx))
	}
	c, call, err := newPacketConn(d.Stack, t, network, kindFor(t, raddr.Addr()), local, raddr)
	if err != nil {
		var source net.Addr
		if local != (netip.AddrPort{}) {
			source = t.of(local)
		}
		return nil, opError("dial", call, network, source, t.of(raddr), err)
	}
	if len(data) > 0 {
		if _, err := c.Write(data); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// kindFor is the kind of socket that reaches an address.
func kindFor(t transport, a netip.Addr) string {
	if familyOf(a) == onlyIPv4 {
		return string(t) + "4"
	}
	return string(t) + "6"
}

// DialUDP makes a UDP socket with a peer over "udp", "udp4" or "udp6", as Go's
// net.Dialer.DialUDP. A zero laddr is chosen by the stack's routes; Dialer.LocalAddr
// has no effect.
func (d *Dialer) DialUDP(ctx context.Context, network string, laddr, raddr netip.AddrPort) (*UDPConn, error) {
	laddr, raddr = plainPort(laddr), plainPort(raddr)
	ctx, cancel, err := d.limit(ctx)
	defer cancel()
	if err == nil {
		raddr, err = d.checkRemote(overUDP, network, raddr)
	}
	if err != nil {
		return nil, d.failed(network, laddr, raddr, err)
	}
	c, err := d.connectPacket(ctx, overUDP, network, laddr, raddr, nil)
	if err != nil {
		return nil, err
	}
	return c.(*UDPConn), nil
}

// ListenPacket listens for datagrams, as net.ListenPacket does. It is that of a
// ListenConfig with no other field set than Stack.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	return (&ListenConfig{Stack: s}).ListenPacket(context.Background(), network, address)
}

// ListenPacket makes a socket for datagrams on host:port over "udp", "udp4" or "udp6"
// (a *UDPConn), or one for ICMP echo on a host over "ping4" or "ping6" (a *PingConn).
// What Listen says of port 0 and of a missing host holds here too.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	t, f, err := parseNetwork(network)
	if err == nil && (t == overTCP || t == overPing && f == anyFamily) {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, opError("listen", "listen", network, nil, nil, err)
	}
	at, err := lc.place(ctx, t, f, address)
	if err != nil {
		return nil, opError("listen", "listen", network, nil, nil, err)
	}
	kind := network
	if at.Addr().IsValid() {
		kind = kindFor(t, at.Addr())
	}
	if lc.Stack.isStopping() {
		return nil, opError("listen", "listen", network, nil, t.of(named(f, at)), net.ErrClosed)
	}
	c, call, err := newPacketConn(lc.Stack, t, network, kind, at, netip.AddrPort{})
	if err != nil {
		return nil, opError("listen", call, network, nil, t.of(named(f, at)), err)
	}
	return c, nil
}
