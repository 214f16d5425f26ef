package scenario

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/wsk"
)

// World is what a scenario runs in. It is made for one run.
type World struct {
	// Name is that of the kind of peer, for reports: "sim", "kernel" or "host".
	Name string
	// Network is what sockets stand on.
	Network wsk.Network
	// Peer plays the other end; nil if the peer is a given service.
	Peer Peer
	// Service is the given service, where Peer is nil.
	Service netip.AddrPort
	// Local is this end's address, PeerAddr the peer's, Nowhere one that nobody answers
	// for.
	Local, PeerAddr, Nowhere netip.Addr
	// Now is the time since the world was made.
	Now func() time.Duration
	// Virtual says that time is virtual: nothing takes time but waiting.
	Virtual bool
	// Sleep lets time pass; with 0 in virtual time until everything is at rest.
	Sleep func(time.Duration)
	// InSYN is how many bytes rode in the SYN of the newest connection, and how many
	// the peer took. Nil if nobody knows.
	InSYN func() (sent, accepted int)
}

// Peer is the other end. Its methods are called from one goroutine, but for those that
// Go started.
type Peer interface {
	// Listen starts to listen for connections, with Fast Open or without.
	Listen(fastOpen bool) (netip.AddrPort, error)
	// Accept waits for a connection; a negative limit is none.
	Accept(limit time.Duration) (Conn, error)
	// Dial connects.
	Dial(to netip.AddrPort, limit time.Duration) (Conn, error)
	// Packets makes a UDP socket at a port.
	Packets(port uint16) (Packets, error)
	// Go runs f beside the scenario; f ends when what it uses is closed.
	Go(f func())
}

// Conn is the peer's end of a connection.
type Conn interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	// SetLimit bounds how long later calls wait; a negative limit is none.
	SetLimit(limit time.Duration)
	CloseWrite() error
	// Reset ends the connection with a RST.
	Reset() error
	Close() error
}

// Packets is the peer's UDP socket.
type Packets interface {
	Send(data []byte, to netip.AddrPort) error
	// Receive waits for a datagram; a negative limit is none.
	Receive(limit time.Duration) ([]byte, netip.AddrPort, error)
}
