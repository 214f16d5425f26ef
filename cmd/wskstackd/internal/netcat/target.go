package netcat

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Resolve finds the address that HOST:PORT means, with the system's resolver. The
// address is one that a TCP peer can have, as far as the address alone tells.
func Resolve(ctx context.Context, target string, family int) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(target)
	if err != nil || host == "" || service == "" {
		return netip.AddrPort{}, usage("%q is not HOST:PORT: write 192.0.2.1:80, [2001:db8::1]:80 or example.com:http", target)
	}
	port, err := lookupPort(ctx, service)
	if err != nil || port == 0 {
		return netip.AddrPort{}, usage("%q is no TCP port: use a number from 1 to 65535 or a service's name", service)
	}
	addr, err := lookup(ctx, host, family)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if fault := unreachable(addr); fault != "" {
		named := ""
		if _, err := netip.ParseAddr(host); err != nil {
			named = host + " is "
		}
		return netip.AddrPort{}, usage("%s%v, %s", named, addr, fault)
	}
	return netip.AddrPortFrom(addr, port), nil
}

// lookupPort finds the port that a number or a service's name means.
func lookupPort(ctx context.Context, service string) (uint16, error) {
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	return uint16(port), err // LookupPort knows no more than 65535
}

// lookup finds the first address of a host of the wanted family.
func lookup(ctx context.Context, host string, family int) (netip.Addr, error) {
	network := map[int]string{0: "ip", 4: "ip4", 6: "ip6"}[family]
	if literal, err := netip.ParseAddr(host); err == nil {
		literal = literal.Unmap()
		if family != 0 && literal.Is4() != (family == 4) {
			return netip.Addr{}, usage("%v is no IPv%d address: leave --family out, or give another address", literal, family)
		}
		return literal, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err == nil && len(addrs) > 0 {
		return addrs[0].Unmap(), nil
	}
	if ctx.Err() != nil {
		return netip.Addr{}, context.Cause(ctx)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound || err == nil {
		return netip.Addr{}, unavailable("the name %s does not resolve to an address: check its spelling (getent ahosts %s), or give an address", host, host)
	}
	return netip.Addr{}, unavailable("the name %s cannot be resolved (%v): check /etc/resolv.conf, or give an address", host, err)
}

// unreachable says why nobody can be connected to at an address, and what to do;
// it is empty for all others.
func unreachable(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified address, where a service listens but is not reached: give one of its host's own addresses"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address, and TCP has one peer: give the address of one host"
	case a.IsMulticast():
		return "a multicast address, and TCP has one peer: give the address of one host"
	case a.Zone() != "", a.Is6() && a.IsLinkLocalUnicast():
		return "an address of one link of this host, which this program's stack is not on: give an address of that host that is routed, a global or unique local one"
	}
	return ""
}
