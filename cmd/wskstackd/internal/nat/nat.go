package nat

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
)

// Config says whose packets are forwarded.
type Config struct {
	// Device is the TUN's name.
	Device string
	// Addresses are the stack's.
	Addresses []netip.Addr
}

// Journal is where changes are written down before they are made.
type Journal interface {
	Record(...rundir.Change) error
}

// Result is what Start has done.
type Result struct {
	// IPv4 and IPv6: packets of this family are forwarded.
	IPv4, IPv6 bool
	// WhyNoIPv6 says why they are not although there is an IPv6 address.
	WhyNoIPv6 string
}

// Start forwards and translates. If it fails, what it has changed is in the
// journal and can be taken back with Undo.
func Start(cfg Config, j Journal) (Result, error) {
	var r Result
	t := table{name: tableName(cfg.Device), device: cfg.Device}
	for _, a := range cfg.Addresses {
		f := &ipv4
		if a.Is6() {
			f = &ipv6
			why, err := routerAdvertised()
			if err != nil {
				return r, err
			}
			if r.WhyNoIPv6 = why; why != "" {
				continue
			}
		}
		was, err := f.enabled()
		if err != nil {
			return r, err
		}
		t.add(f, a, was)
		r.IPv4, r.IPv6 = r.IPv4 || !a.Is6(), r.IPv6 || a.Is6()
	}
	// The table first: where nothing was forwarded, nothing else ever is.
	if err := j.Record(rundir.Change{Kind: kindTable, Name: t.name}); err != nil {
		return r, err
	}
	if err := t.install(); err != nil {
		return r, err
	}
	for _, f := range t.off {
		if err := f.enable(j); err != nil {
			return r, err
		}
	}
	return r, nil
}

// The kinds of change in the journal.
const (
	kindTable      = "nftables-table"
	kindForwarding = "forwarding"
)

// Undo is how the changes of Start are taken back, by kind.
func Undo() map[string]rundir.Undo {
	return map[string]rundir.Undo{kindTable: removeTable, kindForwarding: disable}
}

// routerAdvertised says why IPv6 is better left alone; "" if there is no reason.
func routerAdvertised() (string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
	if err != nil {
		return "", fmt.Errorf("listing the host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol != unix.RTPROT_RA {
			continue
		}
		if was, err := ipv6.enabled(); err == nil && was {
			return "", nil // whoever turned it on has thought of that
		}
		return "this host has a route from a router advertisement, which it would lose if it forwarded: set net.ipv6.conf.all.forwarding=1 and accept_ra=2 yourself if it is to", nil
	}
	return "", nil
}
