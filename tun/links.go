package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds one exchange with the kernel, which normally takes
// microseconds; it can be long only while another process holds the kernel's
// network lock.
const netlinkTimeout = 10 * time.Second

// dumpTries bounds how often a listing is repeated when it was disturbed.
const dumpTries = 8

// links speaks rtnetlink in the network namespace in which it was opened, from
// any thread. Its socket is close-on-exec; a Handle locks it per exchange.
type links struct{ h *netlink.Handle }

// openLinks opens a socket in the namespace of the calling thread.
func openLinks() (*links, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fail(ErrSystem, "cannot open a netlink socket: %v", err)
	}
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		h.Close()
		return nil, fail(ErrSystem, "cannot bound the waits on netlink: %v", err)
	}
	return &links{h}, nil
}

func (l *links) close() { l.h.Close() }

// byName returns nil without an error when there is no such link.
func (l *links) byName(name string) (netlink.Link, error) {
	return found(l.h.LinkByName(name))
}

func (l *links) byIndex(index int) (netlink.Link, error) {
	return found(l.h.LinkByIndex(index))
}

func found(link netlink.Link, err error) (netlink.Link, error) {
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return link, nil
}

// ref names a link by index: a device that is renamed is still found.
func ref(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func (l *links) setMTU(index, mtu int) error { return l.h.LinkSetMTU(ref(index), mtu) }
func (l *links) setUp(index int) error       { return l.h.LinkSetUp(ref(index)) }
func (l *links) setDown(index int) error     { return l.h.LinkSetDown(ref(index)) }

func (l *links) addAddr(index int, a *netlink.Addr) error { return l.h.AddrAdd(ref(index), a) }
func (l *links) delAddr(index int, a *netlink.Addr) error { return l.h.AddrDel(ref(index), a) }

// addrs lists the link's addresses of both families.
func (l *links) addrs(index int) ([]netlink.Addr, error) {
	return retryDump(func() ([]netlink.Addr, error) {
		return l.h.AddrList(ref(index), netlink.FAMILY_ALL)
	})
}

// routes lists the main table's routes to exactly dst.
func (l *links) routes(dst netip.Prefix) ([]netlink.Route, error) {
	family := netlink.FAMILY_V4
	if dst.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := retryDump(func() ([]netlink.Route, error) {
		return l.h.RouteListFiltered(family, &netlink.Route{}, 0)
	})
	if err != nil {
		return nil, err
	}
	var same []netlink.Route
	for _, r := range all {
		if routeDst(&r, family) == dst {
			same = append(same, r)
		}
	}
	return same, nil
}

// localIPv6 says whether the kernel takes packets to the address for its own: its
// route is in the table of local addresses.
func (l *links) localIPv6(index int, addr netip.Addr) (bool, error) {
	filter := &netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_LOCAL}
	all, err := retryDump(func() ([]netlink.Route, error) {
		return l.h.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	})
	want := netip.PrefixFrom(addr, addr.BitLen())
	return slices.ContainsFunc(all, func(r netlink.Route) bool {
		return r.Type == unix.RTN_LOCAL && routeDst(&r, netlink.FAMILY_V6) == want
	}), err
}

// routeDst returns a route's destination; the library gives nil for a default
// route in some versions of the kernel's answer.
func routeDst(r *netlink.Route, family int) netip.Prefix {
	if r.Dst != nil {
		return prefixOf(r.Dst)
	}
	if family == netlink.FAMILY_V6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func retryDump[T any](list func() ([]T, error)) ([]T, error) {
	for range dumpTries {
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return nil, fmt.Errorf("the kernel's tables changed during each of %d listings", dumpTries)
}

// prefixOf converts; the zero Prefix stands for what cannot be converted.
func prefixOf(n *net.IPNet) netip.Prefix {
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	ones, bits := n.Mask.Size()
	addr = addr.Unmap()
	if bits != addr.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, ones)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
