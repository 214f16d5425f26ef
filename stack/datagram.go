package stack

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Datagram is a UDP or raw socket, or one for ICMP echo, whose calls never block. All methods
// may be called from any goroutine. Errors are syscall.Errno, EAGAIN for not now;
// net.ErrClosed after Close, and once the stack is closed.
type Datagram struct {
	stack *Stack
	ep    tcpip.Endpoint
	queue waiter.Queue
	entry waiter.Entry
	v6    bool
	raw   bool
	wake  atomic.Pointer[func()]

	closed atomic.Bool // by Close
	over   atomic.Bool // by either Close, its own or the stack's
}

// datagramKind is what a network's name stands for.
type datagramKind struct {
	transport tcpip.TransportProtocolNumber
	v6, only6 bool
}

var datagramTable = map[string]datagramKind{
	"udp":   {transport: udp.ProtocolNumber, v6: true},
	"udp4":  {transport: udp.ProtocolNumber},
	"udp6":  {transport: udp.ProtocolNumber, v6: true, only6: true},
	"ping4": {transport: icmp.ProtocolNumber4},
	"ping6": {transport: icmp.ProtocolNumber6, v6: true, only6: true},
}

// NewDatagram makes a UDP socket: "udp4", "udp6" (IPv6 only), or "udp", an IPv6 socket
// that speaks IPv4 too until SetV6Only; or one for ICMP echo: "ping4" or "ping6", which
// sends echo requests and receives the answers to them, ICMP header included, and whose
// port is their identifier. The error is syscall.EPROTONOSUPPORT for another network.
func (s *Stack) NewDatagram(network string) (*Datagram, error) {
	kind, ok := datagramTable[network]
	if !ok {
		return nil, syscall.EPROTONOSUPPORT
	}
	d := &Datagram{stack: s, v6: kind.v6}
	proto := header.IPv4ProtocolNumber
	if d.v6 {
		proto = header.IPv6ProtocolNumber
	}
	ep, err := s.ns.NewEndpoint(kind.transport, proto, &d.queue)
	if err != nil {
		return nil, toErrno(err)
	}
	if err := d.begin(ep, kind.only6); err != nil {
		return nil, err
	}
	return d, nil
}

// begin takes the endpoint over, also if it fails.
func (d *Datagram) begin(ep tcpip.Endpoint, only6 bool) error {
	d.ep = ep
	if err := d.stack.addDatagram(d); err != nil {
		ep.Close()
		return err
	}
	options := ep.SocketOptions()
	options.SetV6Only(only6)
	options.SetReceivePacketInfo(true) // IPv4 comes to IPv6 sockets as well
	options.SetReceiveTTL(true)
	options.SetReceiveTOS(true)
	if d.v6 {
		options.SetIPv6ReceivePacketInfo(true)
		options.SetReceiveHopLimit(true)
		options.SetReceiveTClass(true)
	}
	d.entry.Init(d, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventErr|waiter.EventHUp)
	d.queue.EventRegister(&d.entry)
	return nil
}

// gone reports whether nothing works any more.
func (d *Datagram) gone() bool { return d.over.Load() }

// NotifyEvent implements waiter.EventListener.
func (d *Datagram) NotifyEvent(waiter.EventMask) {
	if f := d.wake.Load(); f != nil {
		(*f)()
	}
}

// SetWake sets the function that is called when the socket may be readable or
// writable; see Endpoint.SetWake.
func (d *Datagram) SetWake(f func()) {
	if f == nil {
		d.wake.Store(nil)
		return
	}
	d.wake.Store(&f)
}

// Bind fixes the local port, an ephemeral one if it is 0, and the address unless it
// is unspecified. Errors: EADDRNOTAVAIL if the address is not the stack's, EADDRINUSE
// (for port 0: no port is free).
func (d *Datagram) Bind(local netip.AddrPort) error {
	if d.gone() {
		return net.ErrClosed
	}
	return bindErrno(d.ep.Bind(full(local)))
}

// Connect fixes the peer: datagrams come from it alone, Send may leave its address out,
// and an ICMP error that answers one is told by the next call, ECONNREFUSED for one
// that nobody wanted. Nothing is sent. Errors: ENETUNREACH, EAFNOSUPPORT.
func (d *Datagram) Connect(remote netip.AddrPort) error {
	if d.gone() {
		return net.ErrClosed
	}
	return toErrno(d.ep.Connect(full(remote)))
}

// LocalAddr is the address that the socket is bound to; the port is 0 before Bind.
func (d *Datagram) LocalAddr() netip.AddrPort {
	wildcard := netip.IPv4Unspecified()
	if d.v6 {
		wildcard = netip.IPv6Unspecified()
	}
	got, err := d.ep.GetLocalAddress()
	if err != nil {
		return netip.AddrPortFrom(wildcard, 0)
	}
	return netip.AddrPortFrom(fromTCPIP(got.Addr, wildcard), got.Port)
}

// Send sends one datagram; the zero value of to is the peer that Connect fixed.
// hopLimit 0 is the stack's own. Errors: EMSGSIZE, EACCES for a broadcast without
// SetBroadcast, ENETUNREACH, EHOSTUNREACH, EDESTADDRREQ without an address.
func (d *Datagram) Send(src [][]byte, to netip.AddrPort, hopLimit uint8) error {
	if d.gone() {
		return net.ErrClosed
	}
	opts := tcpip.WriteOptions{Atomic: true}
	if to != (netip.AddrPort{}) {
		address := full(to)
		opts.To = &address
	}
	if hopLimit != 0 {
		c := &opts.ControlMessages
		c.HasTTL, c.TTL = to.Addr().Unmap().Is4(), hopLimit
		c.HasHopLimit, c.HopLimit = !c.HasTTL, hopLimit
	}
	v := d.stack.vector(src)
	_, err := d.ep.Write(v, opts)
	d.stack.putVector(v)
	return toErrno(err)
}

// Received tells about a datagram.
type Received struct {
	Bytes    int            // stored
	Total    int            // of the datagram; what was not stored is lost
	From     netip.AddrPort // the sender
	To       netip.Addr     // the address that it was sent to
	HopLimit uint8          // of its IP header
	TOS      uint8          // of its IP header: the type of service, or the traffic class
}

// Receive takes one datagram; what dst does not hold is lost.
func (d *Datagram) Receive(dst [][]byte) (Received, error) {
	if d.gone() {
		return Received{}, net.ErrClosed
	}
	v := d.stack.vector(dst)
	got, err := d.ep.Read(v, tcpip.ReadOptions{NeedRemoteAddr: true})
	d.stack.putVector(v)
	if err != nil {
		return Received{}, toErrno(err)
	}
	c := got.ControlMessages
	r := Received{
		Bytes: got.Count, Total: got.Total,
		From:     netip.AddrPortFrom(fromTCPIP(got.RemoteAddr.Addr, netip.Addr{}), got.RemoteAddr.Port),
		HopLimit: max(c.TTL, c.HopLimit), TOS: max(c.TOS, uint8(c.TClass)),
	}
	if d.raw {
		r.From = netip.AddrPortFrom(r.From.Addr(), 0)
	}
	if c.HasIPv6PacketInfo {
		r.To = fromTCPIP(c.IPv6PacketInfo.Addr, netip.Addr{})
	} else {
		r.To = fromTCPIP(c.PacketInfo.DestinationAddr, netip.Addr{})
	}
	return r, nil
}

// SetV6Only says whether an IPv6 socket speaks IPv6 alone; before Bind.
func (d *Datagram) SetV6Only(on bool) error {
	d.ep.SocketOptions().SetV6Only(on)
	return nil
}

// SetBroadcast allows to send to broadcast addresses.
func (d *Datagram) SetBroadcast(on bool) error {
	d.ep.SocketOptions().SetBroadcast(on)
	return nil
}

// SetNoChecksum leaves the checksum out of what is sent over IPv4.
func (d *Datagram) SetNoChecksum(on bool) error {
	d.ep.SocketOptions().SetNoChecksum(on)
	return nil
}

// SetReceiveBuffer sets the size of the receive buffer in bytes, within netstack's
// bounds.
func (d *Datagram) SetReceiveBuffer(bytes int) error {
	d.ep.SocketOptions().SetReceiveBufferSize(int64(bytes), true)
	return nil
}

// ReceiveBuffer is the size of the receive buffer in bytes.
func (d *Datagram) ReceiveBuffer() (int, error) {
	return int(d.ep.SocketOptions().GetReceiveBufferSize()), nil
}

// SetSendBuffer sets the size of the send buffer in bytes, within netstack's bounds.
func (d *Datagram) SetSendBuffer(bytes int) error {
	d.ep.SocketOptions().SetSendBufferSize(int64(bytes), true)
	return nil
}

// SendBuffer is the size of the send buffer in bytes.
func (d *Datagram) SendBuffer() (int, error) {
	return int(d.ep.SocketOptions().GetSendBufferSize()), nil
}

// Close closes the socket; what it has not received is lost.
func (d *Datagram) Close() error {
	if d.closed.Swap(true) {
		return net.ErrClosed
	}
	d.stack.forgetDatagram(d)
	d.end()
	return nil
}

// end is Close as the stack's Close does it.
func (d *Datagram) end() {
	if d.over.Swap(true) {
		return
	}
	d.queue.EventUnregister(&d.entry)
	d.ep.Close()
	d.NotifyEvent(0)
}
