package wsk

import (
	"encoding/binary"
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

// The sizes of SOCKADDR_IN and SOCKADDR_IN6, in bytes.
const (
	sockAddrSize4 = 16
	sockAddrSize6 = 28
)

// Bytes returns the address as SOCKADDR_IN, 16 bytes, or SOCKADDR_IN6, 28 bytes; nil
// if the family is neither.
func (s SockAddr) Bytes() []byte {
	b := binary.LittleEndian.AppendUint16(nil, s.Family)
	b = binary.BigEndian.AppendUint16(b, s.Port)
	switch s.Family {
	case AF_INET:
		return append(append(b, s.Addr[:4]...), make([]byte, 8)...)
	case AF_INET6:
		b = append(append(b, 0, 0, 0, 0), s.Addr[:]...) // no flow information
		return binary.LittleEndian.AppendUint32(b, s.ScopeID)
	}
	return nil
}

// parseSockAddr is the way back.
func parseSockAddr(b []byte) (SockAddr, bool) {
	if len(b) < sockAddrSize4 {
		return SockAddr{}, false
	}
	s := SockAddr{Family: binary.LittleEndian.Uint16(b), Port: binary.BigEndian.Uint16(b[2:])}
	switch {
	case s.Family == AF_INET:
		copy(s.Addr[:4], b[4:])
	case s.Family == AF_INET6 && len(b) >= sockAddrSize6:
		copy(s.Addr[:], b[8:])
		s.ScopeID = binary.LittleEndian.Uint32(b[24:])
	default:
		return SockAddr{}, false
	}
	return s, true
}
