package tun

import (
	"log/slog"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Limits of an MTU in bytes: RFC 791 §3.2 for the least, RFC 8200 §5 for the
// least that carries IPv6, and the kernel's own most for a TUN.
const (
	minMTU     = 68
	minMTUIPv6 = 1280
	maxMTU     = 65535
)

// maxQueues is more than any machine has use for, and a quarter of the kernel's
// limit (MAX_TAP_QUEUES).
const maxQueues = 64

// Config says which device to open and what to set on it. The zero value opens
// a new device with a name of the kernel's choice, up, without addresses.
//
// Addresses and Routes are those of the kernel's side of the device: the host
// sees an interface with these addresses, and reaches Routes through it.
type Config struct {
	// Name of the device, 1 to 15 bytes; empty: the kernel picks one.
	// If a persistent TUN of this name exists and nobody holds it, it is used
	// and left as it was found; otherwise a device is created, and is gone
	// after Close.
	Name string
	// MTU in bytes, 68 to 65535, at least 1280 with IPv6; 0 leaves the
	// device's own (1500 on a new one).
	MTU int
	// Addresses to add, each with its prefix length. One that the device
	// has already is left alone, on Close too.
	Addresses []netip.Prefix
	// Routes to add, in the main table, directly through the device. One that
	// leads through the device already is left alone, on Close too.
	Routes []netip.Prefix
	// Persist keeps a device that Open creates after Close, down and without
	// the addresses and routes that Open added. It has no effect on an existing
	// device, which stays in any case.
	Persist bool
	// Owner and Group may open the new device later without privilege; nil: the
	// effective user of this process, and no group. They cannot be set for a
	// device that exists.
	Owner, Group *uint32
	// Queues is how many queues to open, up to 64; 0: one. Each has a reader of
	// its own above; the kernel keeps a flow on the queue that its packets were
	// last written to, its answer to the first of them excepted. A device that exists needs the multi_queue flag for more
	// than one.
	Queues int
	// NoOffload keeps to ordinary packets with complete checksums. Without it the
	// device carries super-segments of up to 64 KiB and unfinished checksums both
	// ways, where the kernel allows that; Device.Offloads tells. A program built with
	// -tags nooffload never has them.
	NoOffload bool
	// Logger gets one line if the kernel refuses what NoOffload does not forbid, and
	// one at the first packet that is lost for each of the reasons of Stats. Nil:
	// nothing is logged.
	Logger *slog.Logger
	// Namespace is the path of a network namespace (/run/netns/NAME,
	// /proc/PID/ns/net) to open the device in; empty: that of the calling
	// thread. The Device can be used from any namespace.
	Namespace string
}

// check refuses what can be refused without touching the system.
func (c *Config) check() error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fail(ErrBadConfig, "MTU %d: %d to %d bytes are possible", c.MTU, minMTU, maxMTU)
	}
	if c.Queues < 0 || c.Queues > maxQueues {
		return fail(ErrBadConfig, "Queues %d: 1 to %d are possible, 0 means one", c.Queues, maxQueues)
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	return c.checkRoutes()
}

func (c *Config) queues() int { return max(c.Queues, 1) }

// vnetFlag asks for virtio_net headers unless they are not wanted.
func (c *Config) vnetFlag() uint16 {
	if c.NoOffload {
		return 0
	}
	return unix.IFF_VNET_HDR
}

func (c *Config) checkAddresses() error {
	seen := make(map[netip.Addr]bool, len(c.Addresses))
	for _, p := range c.Addresses {
		a := p.Addr()
		switch {
		case !p.IsValid():
			return fail(ErrBadConfig, "an address is empty or has no valid prefix length: write 192.0.2.1/24 or 2001:db8::1/64")
		case a.Is4In6():
			return fail(ErrBadConfig, "address %v: write it as IPv4, %v", p, a.Unmap())
		case a.IsUnspecified(), a.IsMulticast():
			return fail(ErrBadConfig, "address %v cannot be given to a device: use a unicast address", p)
		case seen[a]:
			return fail(ErrBadConfig, "address %v is there twice", a)
		}
		seen[a] = true
		if err := c.checkMTUFor(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkRoutes() error {
	seen := make(map[netip.Prefix]bool, len(c.Routes))
	for _, p := range c.Routes {
		switch {
		case !p.IsValid():
			return fail(ErrBadConfig, "a route is empty or has no valid prefix length: write 192.0.2.0/24 or 2001:db8::/32")
		case p.Addr().Is4In6():
			return fail(ErrBadConfig, "route %v: write it as IPv4", p)
		case p != p.Masked():
			return fail(ErrBadConfig, "route %v has bits beyond its prefix length: write %v", p, p.Masked())
		case seen[p]:
			return fail(ErrBadConfig, "route %v is there twice", p)
		}
		seen[p] = true
		if err := c.checkMTUFor(p); err != nil {
			return err
		}
	}
	return nil
}

// checkMTUFor refuses an IPv6 prefix on an MTU at which the kernel switches
// IPv6 off.
func (c *Config) checkMTUFor(p netip.Prefix) error {
	if c.MTU != 0 && c.MTU < minMTUIPv6 && p.Addr().Is6() {
		return fail(ErrBadConfig, "MTU %d is too small for %v: IPv6 needs %d (RFC 8200, section 5)", c.MTU, p, minMTUIPv6)
	}
	return nil
}
