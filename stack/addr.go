package stack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// specific says whether an address is one, and not the wildcard.
func specific(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

// toTCPIP turns an address into netstack's form; the zero value and the
// unspecified addresses become the empty address, netstack's wildcard.
func toTCPIP(a netip.Addr) tcpip.Address {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified():
		return tcpip.Address{}
	case a.Is4():
		return tcpip.AddrFrom4(a.As4())
	default:
		return tcpip.AddrFrom16(a.As16())
	}
}

// full turns an address and port into netstack's form. A link-local address
// needs to be told the NIC; there is one only.
func full(ap netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Addr: toTCPIP(ap.Addr()), Port: ap.Port()}
	if ap.Addr().IsLinkLocalUnicast() {
		f.NIC = nicID
	}
	return f
}

// fromTCPIP is the way back; the empty address becomes the wildcard given.
func fromTCPIP(a tcpip.Address, wildcard netip.Addr) netip.Addr {
	addr, ok := netip.AddrFromSlice(a.AsSlice())
	if !ok {
		return wildcard
	}
	return addr.Unmap()
}

// protocolOf is the network protocol of an address.
func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Unmap().Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}
