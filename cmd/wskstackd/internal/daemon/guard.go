package daemon

import (
	"fmt"
	"net/netip"
)

// denial is a network that the proxies connect nobody to.
type denial struct {
	network netip.Prefix
	why     string
}

// deniedTable has what no client of a proxy should be led to: addresses that mean
// this host or this link to whoever uses them, and groups of hosts. Private networks
// are not among them: whoever reaches the proxy is on this host, and reaches them
// without it.
var deniedTable = []denial{
	{netip.MustParsePrefix("0.0.0.0/8"), "no host's address"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds keep their instances' credentials"},
	{netip.MustParsePrefix("224.0.0.0/3"), "no address of one host"},
	{netip.MustParsePrefix("::/128"), "no host's address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "where a cloud keeps its instances' credentials"},
	{netip.MustParsePrefix("ff00::/8"), "a group of hosts"},
}

// guard says where the proxies connect nobody to. It is not changed once made, and
// may be asked from any goroutine. The addresses that it is asked for are those that
// are then dialled: a name that means another address the second time changes
// nothing.
type guard struct{ denied []denial }

// newGuard denies, beside the table, what the user has named, and the stack's own
// addresses: its ports lead back to this host.
func newGuard(own []netip.Addr, deny []netip.Prefix) guard {
	var g guard
	for _, p := range deny {
		g.denied = append(g.denied, denial{p.Masked(), "denied by --deny"})
	}
	g.denied = append(g.denied, deniedTable...)
	for _, a := range own {
		g.denied = append(g.denied, denial{netip.PrefixFrom(a, a.BitLen()), "the stack's own"})
	}
	return g
}

// refuses says why nobody is connected to an address; "" if it is allowed. An IPv4
// address that is part of an IPv6 address has to be allowed too.
func (g guard) refuses(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for _, d := range g.denied {
		if d.network.Contains(a) {
			return fmt.Sprintf("%v is %s", a, d.why)
		}
	}
	if inner, ok := embedded(a); ok {
		if why := g.refuses(inner); why != "" {
			return fmt.Sprintf("%v leads to %s", a, why)
		}
	}
	return ""
}

//nolint:gochecknoglobals // constants that Go cannot write as such
var (
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291 §2.5.5.1
)

// embedded is the IPv4 address that routers find in an IPv6 address.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case nat64.Contains(a), compatible.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return netip.Addr{}, false
}
