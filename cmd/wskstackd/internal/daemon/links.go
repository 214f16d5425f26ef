package daemon

import (
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
)

// wire is the network between the host and the stack: their addresses, in the same
// order.
type wire struct{ host, own []netip.Prefix }

func (w wire) ownAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, p := range w.own {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// makeWire checks the links that were asked for, or finds one for each family that
// the host has.
func makeWire(asked []netip.Prefix) (wire, error) {
	if len(asked) == 0 {
		asked = []netip.Prefix{{}}
		if hasIPv6() {
			asked = append(asked, netip.Prefix{})
		}
	}
	var w wire
	for i, a := range asked {
		v6 := i == 1
		if a.IsValid() {
			v6 = a.Addr().Is6()
		}
		host, own, err := netcat.FreeLink(a, v6)
		if err != nil {
			return wire{}, err
		}
		w.host, w.own = append(w.host, host), append(w.own, own)
	}
	return w, nil
}

// hasIPv6 says whether a new device would have IPv6.
func hasIPv6() bool {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return err == nil && strings.TrimSpace(string(off)) == "0"
}

// checkExposes says which address to expose is not the stack's.
func (w wire) checkExposes(exposes []Expose) error {
	own := w.ownAddrs()
	for _, e := range exposes {
		if a := e.At.Addr(); a.IsValid() && !a.IsUnspecified() && !slices.Contains(own, a.Unmap()) {
			return notOurs(e.At, own)
		}
	}
	return nil
}
