package wsk

import (
	"net/netip"
	"strconv"
)

// SockAddr is a socket address: SOCKADDR_IN where Family is AF_INET,
// SOCKADDR_IN6 where it is AF_INET6. Functions copy it before they return.
type SockAddr struct {
	Family uint16 // AF_INET or AF_INET6
	Port   uint16 // in host byte order, 0 to 65,535
	// Addr is the address in network byte order: the first 4 bytes for AF_INET,
	// all 16 for AF_INET6. All zero is the wildcard.
	Addr [16]byte
	// ScopeID is the index of the interface that a link-local IPv6 address
	// belongs to; 0 for every other address.
	ScopeID uint32
}

// SockAddrFrom returns ap as a SockAddr of the address's own family. An IPv4
// address mapped into IPv6 stays an AF_INET6 address. The scope is taken from a
// zone that is a decimal number.
func SockAddrFrom(ap netip.AddrPort) SockAddr {
	a := ap.Addr()
	s := SockAddr{Port: ap.Port()}
	if a.Is4() {
		s.Family = AF_INET
		v4 := a.As4()
		copy(s.Addr[:], v4[:])
		return s
	}
	if !a.IsValid() {
		return s
	}
	s.Family = AF_INET6
	s.Addr = a.As16()
	if id, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		s.ScopeID = uint32(id)
	}
	return s
}

// AddrPort returns the address in the standard library's form; the zero AddrPort
// if the family is neither AF_INET nor AF_INET6.
func (s SockAddr) AddrPort() netip.AddrPort {
	switch s.Family {
	case AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.Addr[:4])), s.Port)
	case AF_INET6:
		a := netip.AddrFrom16(s.Addr)
		if s.ScopeID != 0 {
			a = a.WithZone(strconv.FormatUint(uint64(s.ScopeID), 10))
		}
		return netip.AddrPortFrom(a, s.Port)
	}
	return netip.AddrPort{}
}

// String returns the address as host:port.
func (s SockAddr) String() string { return s.AddrPort().String() }

// sockAddrOf returns ap in the form of a socket of the given family: on an
// AF_INET6 socket an IPv4 peer looks v4-mapped.
func sockAddrOf(family uint16, ap netip.AddrPort) SockAddr {
	if family == AF_INET6 && ap.Addr().Is4() {
		ap = netip.AddrPortFrom(netip.AddrFrom16(ap.Addr().As16()), ap.Port())
	}
	if family == AF_INET && ap.Addr().Is4In6() {
		ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	s := SockAddrFrom(ap)
	s.Family = family
	return s
}
