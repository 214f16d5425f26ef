package tun

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setup gives a link what the configuration asks for. It changes only what
// differs, so that a prepared device needs no privilege, and writes every change
// into the journal.
type setup struct {
	nl    *links
	j     *journal
	name  string
	index int
}

// run sets MTU, link state, addresses and routes, in this order: IPv6 needs its
// MTU first, routes need the link up and may depend on an address. It returns
// the MTU in force.
func (s *setup) run(cfg *Config) (mtu int, err error) {
	link, err := s.nl.byIndex(s.index)
	if err != nil || link == nil {
		return 0, fail(ErrSystem, "cannot find %s after opening it: %v", s.name, err)
	}
	had, err := s.nl.addrs(s.index)
	if err != nil {
		return 0, fail(ErrSystem, "cannot list the addresses of %s: %v", s.name, err)
	}
	attrs := link.Attrs()
	mtu, err = s.setMTU(cfg, attrs.MTU, had)
	if err != nil {
		return 0, err
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		if err := s.setUp(had); err != nil {
			return 0, err
		}
	}
	for _, p := range cfg.Addresses {
		if err := s.addAddress(p, had); err != nil {
			return 0, err
		}
	}
	for _, p := range cfg.Routes {
		if err := s.addRoute(p); err != nil {
			return 0, err
		}
	}
	for _, p := range cfg.Addresses {
		if err := s.awaitLocal(p.Addr()); err != nil {
			return 0, err
		}
	}
	return mtu, nil
}

// How often and how long Open looks whether the kernel is done with an IPv6
// address.
const (
	localPoll  = 500 * time.Microsecond
	localLimit = 5 * time.Second
)

// awaitLocal waits until the kernel receives for an IPv6 address. It enters the
// address's route in a work queue, after it has answered the request: packets
// that come earlier would be forwarded or dropped. Normally that takes less
// than a millisecond. IPv4 is ready at once.
func (s *setup) awaitLocal(addr netip.Addr) error {
	if addr.Is4() {
		return nil
	}
	for deadline := time.Now().Add(localLimit); ; time.Sleep(localPoll) { //nolint:forbidigo // nothing announces the end of that work queue
		switch ready, err := s.nl.localIPv6(s.index, addr); {
		case err != nil:
			return fail(ErrSystem, "cannot list the local addresses: %v", err)
		case ready:
			return nil
		case time.Now().After(deadline):
			return fail(ErrSystem, "the kernel has not taken the address %v of %s into use within %v: try again when the machine is less busy", addr, s.name, localLimit)
		}
	}
}

func (s *setup) setMTU(cfg *Config, was int, had []netlink.Addr) (int, error) {
	if cfg.MTU == 0 || cfg.MTU == was {
		return was, s.checkMTU(cfg, was)
	}
	if cfg.MTU < minMTUIPv6 && slices.ContainsFunc(had, isIPv6) {
		return 0, fail(ErrBadConfig, "MTU %d would make the kernel drop the IPv6 addresses of %s: use %d or more", cfg.MTU, s.name, minMTUIPv6)
	}
	err := s.j.apply("the MTU",
		func() error { return s.nl.setMTU(s.index, was) },
		func() error { return s.nl.setMTU(s.index, cfg.MTU) })
	if err != nil {
		return 0, s.explain("set the MTU of", err)
	}
	return cfg.MTU, nil
}

// checkMTU refuses IPv6 on a device that came with too small an MTU.
func (s *setup) checkMTU(cfg *Config, mtu int) error {
	if mtu >= minMTUIPv6 {
		return nil
	}
	for _, p := range slices.Concat(cfg.Addresses, cfg.Routes) {
		if p.Addr().Is6() {
			return fail(ErrBadConfig, "%s has the MTU %d, too small for %v: set MTU to %d or more", s.name, mtu, p, minMTUIPv6)
		}
	}
	return nil
}

// setUp brings the link up. Taking it down again flushes the link's IPv6
// addresses, those of before included, which are therefore put back.
func (s *setup) setUp(had []netlink.Addr) error {
	err := s.j.apply("the link state",
		func() error {
			if err := s.nl.setDown(s.index); err != nil {
				return err
			}
			return s.restoreIPv6(had)
		},
		func() error { return s.nl.setUp(s.index) })
	if err != nil {
		return s.explain("bring up", err)
	}
	return nil
}

func (s *setup) restoreIPv6(had []netlink.Addr) error {
	var errs []error
	for _, a := range had {
		if !isIPv6(a) {
			continue
		}
		// What the kernel itself says with the other flags (permanent, tentative)
		// cannot be set.
		a.Flags &= unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE
		if err := s.nl.addAddr(s.index, &a); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func isIPv6(a netlink.Addr) bool { return a.IPNet != nil && a.IP.To4() == nil }

func (s *setup) addAddress(p netip.Prefix, had []netlink.Addr) error {
	for _, a := range had {
		if a.IPNet == nil || prefixOf(a.IPNet).Addr() != p.Addr() {
			continue
		}
		if prefixOf(a.IPNet) == p {
			return nil // was here before us, and stays after us
		}
		if p.Addr().Is6() {
			return fail(ErrBusy, "%s has the address %v already with another prefix length (%v): use that one", s.name, p.Addr(), prefixOf(a.IPNet))
		}
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		// Nobody else is on this link: without duplicate address detection the
		// address can be used at once (RFC 4862 §5.4).
		addr.Flags = unix.IFA_F_NODAD
	}
	err := s.j.apply("the address "+p.String(),
		func() error { return s.nl.delAddr(s.index, addr) },
		func() error { return s.nl.addAddr(s.index, addr) })
	switch {
	case err == nil, errors.Is(err, unix.EEXIST):
		return nil
	case p.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		return fail(ErrSystem, "IPv6 is switched off for %s (%v), so it cannot have %v: enable it with net.ipv6.conf.%s.disable_ipv6=0, or leave the address out", s.name, err, p, s.name)
	}
	return s.explain("give the address "+p.String()+" to", err)
}

func (s *setup) addRoute(p netip.Prefix) error {
	there, err := s.nl.routes(p)
	if err != nil {
		return fail(ErrSystem, "cannot list the routes to %v: %v", p, err)
	}
	for _, r := range there {
		if r.LinkIndex == s.index && r.Gw == nil {
			return nil // was here before us, and stays after us
		}
	}
	route := &netlink.Route{LinkIndex: s.index, Dst: ipNet(p), Protocol: unix.RTPROT_STATIC}
	if p.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	err = s.j.apply("the route to "+p.String(),
		func() error { return s.nl.h.RouteDel(route) },
		func() error { return s.nl.h.RouteAdd(route) })
	if errors.Is(err, unix.EEXIST) {
		return s.routeTaken(p, there)
	}
	if err != nil {
		return s.explain("route "+p.String()+" through", err)
	}
	return nil
}

// routeTaken says through which interface a route leads already.
func (s *setup) routeTaken(p netip.Prefix, there []netlink.Route) error {
	via := "another interface"
	for _, r := range there {
		if link, err := s.nl.byIndex(r.LinkIndex); err == nil && link != nil {
			via = link.Attrs().Name
			break
		}
	}
	return fail(ErrBusy, "there is a route to %v already, through %s: remove it ('ip route del %v'), or leave it out", p, via, p)
}

// explain turns a refusal by rtnetlink into a line.
func (s *setup) explain(what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fail(ErrNoPrivilege, "may not %s %s (%v): run as root (CAP_NET_ADMIN), or let an administrator do it beforehand", what, s.name, err)
	}
	return fail(ErrSystem, "cannot %s %s: %v", what, s.name, err)
}
