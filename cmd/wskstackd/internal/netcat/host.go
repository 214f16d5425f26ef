package netcat

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// host is the network that the stack joins: the caller's, or that of a namespace.
type host struct {
	ns *netns.Namespace // nil: the caller's own
}

// openHost takes hold of the network of a namespace, the caller's if path is
// empty.
func openHost(path string) (host, error) {
	if path == "" {
		return host{}, nil
	}
	var fs unix.Statfs_t
	switch err := unix.Statfs(path, &fs); {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return host{}, fault.New(tun.ErrNoPrivilege, "may not look at the network namespace %s (%v): run as root", path, err)
	case err != nil:
		return host{}, unavailable("cannot open the network namespace %s (%v): 'ip netns list' and 'lsns -t net' show what there is", path, err)
	case fs.Type != unix.NSFS_MAGIC && fs.Type != unix.PROC_SUPER_MAGIC:
		return host{}, unavailable("%s is not a network namespace: give a path such as /run/netns/NAME or /proc/PID/ns/net", path)
	}
	ns, err := netns.Open(path)
	if err != nil {
		return host{}, err
	}
	return host{ns}, nil
}

func (h host) close() error {
	if h.ns == nil {
		return nil
	}
	return h.ns.Close()
}

// do runs f on a thread in the host's network.
func (h host) do(f func() error) error {
	if h.ns == nil {
		return f()
	}
	return h.ns.Do(f)
}

// check says whether the host has a way to an address, as far as it can tell. link
// is the network that will lie between them.
func (h host) check(to netip.Addr, link netip.Prefix) error {
	switch {
	case to.IsLoopback():
		return unavailable("%v is the loopback address, which nothing outside the kernel reaches: use %v, the host's end of the link, if the service listens on all addresses, or another address of this host", to, link.Addr())
	case link.Contains(to):
		if to == link.Addr() {
			return nil
		}
		return unavailable("%v lies in %v, the network between this program and the host, which has nobody else: choose another network with --link", to, link.Masked())
	}
	var routes []netlink.Route
	err := h.do(func() (err error) { routes, err = netlink.RouteGet(to.AsSlice()); return err })
	if err != nil || len(routes) == 0 {
		return unavailable("no route to %v (%v): 'ip route get %v' shows what the host knows; add a route or give another address", to, err, to)
	}
	if routes[0].Type == unix.RTN_LOCAL {
		return nil
	}
	return h.checkForwarding(to, link)
}

// checkForwarding refuses what the host would drop silently.
func (h host) checkForwarding(to netip.Addr, link netip.Prefix) error {
	name := "net.ipv4.ip_forward"
	if to.Is6() {
		name = "net.ipv6.conf.all.forwarding"
	}
	var value []byte
	err := h.do(func() (err error) {
		value, err = os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		return err
	})
	if err == nil && strings.TrimSpace(string(value)) == "0" {
		return unavailable("no route to %v: it is not one of the host's own addresses, and the host does not forward: 'sysctl -w %s=1', and translate or route %v", to, name, link.Masked())
	}
	return nil // forwarded, or unknown: the connection will tell
}

// Networks between stack and host to choose from: of the block for tests of
// devices (RFC 2544, RFC 6815), and unique local ones (RFC 4193).
const linkChoices = 64

// freeLink finds a network that the host does not use, or checks the one that was
// asked for. own, if it is valid, is the stack's address: a network that is looked
// for has it in the stack's place, or not at all.
func (h host) freeLink(asked netip.Prefix, own netip.Addr, v6 bool) (netip.Prefix, error) {
	used, err := h.networks(v6)
	if err != nil {
		return netip.Prefix{}, err
	}
	if asked.IsValid() {
		if asked.Addr().Is6() != v6 {
			return netip.Prefix{}, usage("--link %v is not of the address family that is asked for: leave it out, or give one that is", asked)
		}
		if with, taken := overlapping(used, asked); taken {
			return netip.Prefix{}, unavailable("the network %v is in use on the host (%v): choose another with --link", asked.Masked(), with)
		}
		return asked, nil
	}
	for i := range linkChoices {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 77, byte(4*i + 1)}), 30)
		if v6 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 2: 0x73, 3: 0x6b, 7: byte(i), 15: 1}), 126)
		}
		if next, _ := ownAddress(p); own.IsValid() && p.Contains(own) && next.Addr() != own {
			continue
		}
		if _, taken := overlapping(used, p); !taken {
			return p, nil
		}
	}
	return netip.Prefix{}, unavailable("all networks that this program would use between it and the host are taken: choose one with --link")
}

func overlapping(used []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	for _, u := range used {
		if u.Overlaps(p) {
			return u, true
		}
	}
	return netip.Prefix{}, false
}

// networks are those that the host has addresses in or routes to, the default
// routes apart.
func (h host) networks(v6 bool) ([]netip.Prefix, error) {
	family := netlink.FAMILY_V4
	if v6 {
		family = netlink.FAMILY_V6
	}
	var used []netip.Prefix
	err := h.do(func() error {
		addrs, err := netlink.AddrList(nil, family)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			used = appendPrefix(used, a.IP, a.Mask)
		}
		routes, err := netlink.RouteList(nil, family)
		for _, r := range routes {
			if r.Dst != nil {
				used = appendPrefix(used, r.Dst.IP, r.Dst.Mask)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the host's addresses and routes: %w", err)
	}
	return used, nil
}

// appendPrefix adds a network unless it is everything.
func appendPrefix(to []netip.Prefix, ip, mask []byte) []netip.Prefix {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return to
	}
	bits := 0
	for _, b := range mask {
		for ; b != 0; b <<= 1 {
			bits++
		}
	}
	if len(mask) == 4 {
		addr = addr.Unmap()
	}
	if bits == 0 || bits > addr.BitLen() {
		return to
	}
	return append(to, netip.PrefixFrom(addr, bits))
}

// FreeLink finds a network that the host of the caller's namespace does not use, or
// checks the one that was asked for. It returns the host's address on it and the one
// for a stack.
func FreeLink(asked netip.Prefix, v6 bool) (link, own netip.Prefix, err error) {
	if link, err = (host{}).freeLink(asked, netip.Addr{}, v6); err != nil {
		return netip.Prefix{}, netip.Prefix{}, err
	}
	own, ok := ownAddress(link)
	if !ok {
		return netip.Prefix{}, netip.Prefix{}, usage("--link %v: it needs two usable addresses, as 198.18.77.1/30 and fd00::1/126 have", link)
	}
	return link, own, nil
}
