package stack

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// transport is the part of a network's name without the family.
type transport string

const (
	overTCP  transport = "tcp"
	overUDP  transport = "udp"
	overPing transport = "ping"
)

// family is what the last letter of a network's name says.
type family uint8

const (
	anyFamily family = iota
	onlyIPv4
	onlyIPv6
)

// has says whether an address is of the family.
func (f family) has(a netip.Addr) bool {
	return f == anyFamily || f == familyOf(a)
}

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return onlyIPv4
	}
	return onlyIPv6
}

// parseNetwork takes the name of a network apart: "tcp", "udp" or "ping", alone or
// with "4" or "6" behind it. Other names are a net.UnknownNetworkError.
func parseNetwork(network string) (transport, family, error) {
	name, f := network, anyFamily
	switch {
	case strings.HasSuffix(name, "4"):
		name, f = name[:len(name)-1], onlyIPv4
	case strings.HasSuffix(name, "6"):
		name, f = name[:len(name)-1], onlyIPv6
	}
	switch t := transport(name); t {
	case overTCP, overUDP, overPing:
		return t, f, nil
	}
	return "", 0, net.UnknownNetworkError(network)
}

// hostPort is an address of DialContext or Listen in its parts. addr is valid if the
// host is an address; an empty host is the unspecified one, of no family.
type hostPort struct {
	host string
	addr netip.Addr
	port uint16
}

// parseAddress takes an address apart. Services are looked up in the machine's own
// list; the names of hosts are left alone.
func parseAddress(ctx context.Context, t transport, address string) (hostPort, error) {
	if t == overPing {
		return parseHost(address), nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return hostPort{}, err
	}
	port, err := (&net.Resolver{PreferGo: true}).LookupPort(ctx, string(t), service)
	if err != nil {
		return hostPort{}, err
	}
	h := parseHost(host)
	h.port = uint16(port)
	return h, nil
}

func parseHost(host string) hostPort {
	a, err := netip.ParseAddr(host)
	if err != nil {
		a = netip.Addr{}
	}
	return hostPort{host: host, addr: plain(a)}
}

// plain is an address without what has no meaning here: a stack has one link, so the
// zone of an address says nothing.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func plainPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(plain(a.Addr()), a.Port())
}

// unsuitable is the error for an address of the wrong family, in package net's words.
func unsuitable(host string) error {
	return &net.AddrError{Err: "no suitable address found", Addr: host}
}

// isAny says whether an address names no host: it is missing or unspecified.
func isAny(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }

// self are the stack's own addresses of a family, which is what an address without a
// host means to a dial.
func (s *Stack) self(f family) (own []netip.Addr) {
	for _, p := range s.cfg.Addresses {
		if f.has(p.Addr()) {
			own = append(own, p.Addr())
		}
	}
	return own
}

// of gives an address the form that package net has for the transport.
func (t transport) of(a netip.AddrPort) net.Addr {
	switch t {
	case overUDP:
		return net.UDPAddrFromAddrPort(a)
	case overPing:
		return &net.IPAddr{IP: a.Addr().AsSlice()}
	default:
		return net.TCPAddrFromAddrPort(a)
	}
}
