package netcat

import (
	"errors"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

// side is what stack and host have of one address family.
type side struct {
	// link is the host's address, with the network between it and the stack.
	link netip.Prefix
	// own is the stack's. Outside that network the host needs a route to it.
	own netip.Prefix
}

// routed says whether the host needs a route to the stack's address.
func (s side) routed() bool { return !s.link.Contains(s.own.Addr()) }

// side finds a network for one family. own is the stack's address; if it is not
// valid, the one after the host's is.
func (h host) side(p Place, own netip.Addr, v6 bool) (side, error) {
	link, err := h.freeLink(p.Link, own, v6)
	if err != nil {
		return side{}, err
	}
	next, ok := ownAddress(link)
	switch {
	case !ok:
		return side{}, usage("--link %v: it needs two usable addresses", link)
	case !own.IsValid():
		return side{link, next}, nil
	case !link.Contains(own):
		return side{link, netip.PrefixFrom(own, own.BitLen())}, nil
	case !between(link, own):
		return side{}, usage("%v cannot be the address of this program's stack on %v: it is the host's end, or the network itself, or its broadcast address; %v can", own, link, next.Addr())
	}
	return side{link, netip.PrefixFrom(own, link.Bits())}, nil
}

// ownAddress is the stack's address on a link, unless it is told another: the one
// after the host's.
func ownAddress(link netip.Prefix) (netip.Prefix, bool) {
	next := link.Addr().Next()
	if !next.IsValid() || link.Addr().IsLoopback() || link.Addr().IsMulticast() || link.Addr().IsUnspecified() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(next, link.Bits()), between(link, next)
}

// between says whether an address can be the stack's on a link.
func between(link netip.Prefix, a netip.Addr) bool {
	if !link.Contains(a) || a == link.Addr() {
		return false
	}
	// IPv4 has a broadcast address in a network, and one for the network.
	return a.Is6() || link.Bits() <= 30 && link.Contains(a.Next()) && a != link.Masked().Addr()
}

// joined is a stack that has joined a network through a TUN.
type joined struct {
	stack  *stack.Stack
	device *tun.Device
	sides  []side
}

// join opens the TUN and starts a stack on it, which takes its addresses from
// sides and all else from cfg. On failure nothing has been changed.
func join(p Place, sides []side, cfg stack.Config) (joined, error) {
	dc := tun.Config{Name: p.Device, Namespace: p.Namespace, NoOffload: p.NoOffload}
	for _, s := range sides {
		dc.Addresses = append(dc.Addresses, s.link)
		cfg.Addresses = append(cfg.Addresses, s.own)
		if s.routed() {
			dc.Routes = append(dc.Routes, s.own)
		}
	}
	dev, err := tun.Open(dc)
	if err != nil {
		return joined{}, err
	}
	cfg.Link, err = iolink.New(dev, iolink.Config{NoJoin: p.NoOffload})
	if err != nil {
		return joined{}, errors.Join(err, dev.Close())
	}
	// It owns the link from here on, and with it the device.
	st, err := stack.New(cfg)
	if err != nil {
		return joined{}, err
	}
	return joined{st, dev, sides}, nil
}

// close takes back what join did: connections are reset, the device is gone with
// its addresses and routes when it returns. The error is of the device.
func (j joined) close() error {
	return errors.Join(j.stack.Close(), j.device.Close())
}
