package wsk

import "net/netip"

// DatagramNetwork is a Network that makes UDP transports as well. On one that does
// not, sockets of the datagram category answer STATUS_NOT_SUPPORTED.
type DatagramNetwork interface {
	Network
	// NewDatagram returns an unbound UDP transport; v6 as for NewTransport.
	NewDatagram(v6 bool) (Datagram, error)
}

// Datagram is one UDP socket as this package needs it, under the rules of
// Transport.
type Datagram interface {
	adjustable
	// SetWake is called once, first; see Transport.SetWake.
	SetWake(wake func())
	// Bind sets the local address; port 0 asks for a free one.
	Bind(local netip.AddrPort) error
	// LocalAddr returns the zero AddrPort if there is none.
	LocalAddr() netip.AddrPort
	// Send sends one datagram or answers EAGAIN or why not. hopLimit 0 is the
	// transport's own.
	Send(src [][]byte, to netip.AddrPort, hopLimit uint8) error
	// Receive takes one datagram, of which dst need not hold all, or answers EAGAIN.
	Receive(dst [][]byte) (Received, error)
	// SetBroadcast allows to send to broadcast addresses.
	SetBroadcast(on bool) error
	// Close gives the transport up.
	Close() error
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

// adjustable is what options need of both kinds of transport.
type adjustable interface {
	SetV6Only(on bool) error
	SetReceiveBuffer(bytes int) error
	ReceiveBuffer() (int, error)
	SetSendBuffer(bytes int) error
	SendBuffer() (int, error)
}

var _ adjustable = Transport(nil)

// newDatagram makes a UDP or raw transport for a socket.
func (p *Provider) newDatagram(family, socketType uint16) (Datagram, error) {
	p.mu.Lock()
	network, status := p.network, p.ready()
	p.mu.Unlock()
	if !status.Success() {
		return nil, errNotReady
	}
	if socketType == SOCK_RAW {
		n, ok := as[RawNetwork](network)
		if !ok {
			return nil, errNoDatagrams
		}
		return n.NewRaw(family == AF_INET6, uint8(icmpOf(family)))
	}
	n, ok := as[DatagramNetwork](network)
	if !ok {
		return nil, errNoDatagrams
	}
	return n.NewDatagram(family == AF_INET6)
}
