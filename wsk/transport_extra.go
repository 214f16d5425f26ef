package wsk

import (
	"net/netip"
	"syscall"
	"time"
)

// This file has what a Transport, Datagram or Network may be able to do besides; what
// it cannot, the functions that need it answer with STATUS_NOT_SUPPORTED. One that
// stands in front of another says so with Unwrap() any: it can do what that can.

// RequestID identifies a connection request to its transport; never 0.
type RequestID uint64

// Request is news of a connection request.
type Request struct {
	ID            RequestID
	Local, Remote netip.AddrPort
	Gone          bool // it is over; otherwise it is new and waits for Decide
}

// Inspector is a Transport that can be asked before it opens a connection, which
// SO_CONDITIONAL_ACCEPT needs. A request that NextRequest told of as new ends once: in
// an accepted connection, refused, or Gone.
type Inspector interface {
	// SetInspect comes before Listen.
	SetInspect(on bool) error
	// NextRequest answers EAGAIN if there is none; SetWake's function is called when
	// there is.
	NextRequest() (Request, error)
	// Decide opens the connection or refuses it. It answers ENOENT if no such request
	// waits; nil for one that is gone while NextRequest has not told so.
	Decide(id RequestID, accept bool) error
	// RequestID is the request that an accepted connection came from, if there is one.
	RequestID() (RequestID, bool)
}

// Silencer is a Transport that can be made silent: nothing is sent any more, no reset
// either, and what comes in is dropped, until end is called. The transport is given up
// with that.
type Silencer interface {
	Silence() (end func(), err error)
}

// FastOpenServer is a listening Transport that can take data in SYNs (RFC 7413).
type FastOpenServer interface {
	ServeFastOpen(on bool) error
}

// Sharer is a Transport or Datagram that can share its port with others that do; it
// comes before Bind. Who may share is wsk's to decide.
type Sharer interface {
	ShareAddress(on bool) error
}

// HeaderSetter is a Transport or Datagram whose IP headers can be set.
type HeaderSetter interface {
	SetTTL(hops int) error      // of IPv4, 1 to 255
	SetHopLimit(hops int) error // of IPv6, 1 to 255
	SetTOS(tos int) error       // of both families, 0 to 255
}

// RetransmitLimiter is a Transport that can be told how long to go on sending what is
// not acknowledged; 0 is its own limit.
type RetransmitLimiter interface {
	SetRetransmitLimit(d time.Duration) error
}

// Multicaster is a Datagram that can send to and receive from groups.
type Multicaster interface {
	SetMulticastHops(hops int) error // 0 to 255
	SetMulticastLoop(on bool) error
	JoinGroup(group netip.Addr) error
	LeaveGroup(group netip.Addr) error
}

// ChecksumSetter is a Datagram that can leave out the checksum of what it sends over IPv4.
type ChecksumSetter interface {
	SetNoChecksum(on bool) error
}

// RawNetwork is a Network that makes raw transports as well: what is sent and received
// is what an IP packet carries, with the IPv4 header in front of what is received.
// NewRaw answers EPROTONOSUPPORT for a protocol that it does not have.
type RawNetwork interface {
	NewRaw(v6 bool, protocol uint8) (Datagram, error)
}

// AddressLister is a Network that knows its own addresses, which do not change.
type AddressLister interface {
	Addresses() []netip.Addr
}

// as returns what t can do besides, or, if it stands in front of something that it
// tells with Unwrap() any, what that can.
func as[T any](t any) (T, bool) {
	for {
		if x, ok := t.(T); ok {
			return x, true
		}
		front, ok := t.(interface{ Unwrap() any })
		if !ok {
			var none T
			return none, false
		}
		t = front.Unwrap()
	}
}

// with calls what t can do besides, or answers that it cannot.
func with[T any](t any, f func(T) error) error {
	if x, ok := as[T](t); ok {
		return f(x)
	}
	return syscall.EOPNOTSUPP
}
