package wire

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/test/netns"
)

// Kind is a way to make a wire.
type Kind string

// The kinds, the best one first.
const (
	TUN    Kind = "tun"
	Veth   Kind = "veth"
	Memory Kind = "memory"
)

// Kinds lists them, the best one first.
func Kinds() []Kind { return []Kind{TUN, Veth, Memory} }

// Limits of an MTU in bytes; IPv6 sets the lower one (RFC 8200 §5).
const (
	MinMTU     = 1280
	MaxMTU     = 65535
	DefaultMTU = 1500
)

// Config describes a wire. The zero value is useful.
type Config struct {
	// MTU in bytes, MinMTU to MaxMTU; 0: DefaultMTU.
	MTU int
	// Link configures the stack's link, and the peer's if it is one.
	Link iolink.Config
	// NoOffload makes a TUN carry ordinary packets with complete checksums, and the
	// link hand them up one by one, as other wires do. Otherwise it carries
	// super-segments and unfinished checksums too, but in a build with -tags nooffload.
	NoOffload bool
}

// Wire is an open wire.
type Wire struct {
	Kind Kind
	MTU  int
	// Plain: packets have the size and the checksums that they have on a wire. It is
	// so for all but a TUN without Config.NoOffload.
	Plain bool
	// Link is the stack's end.
	Link *iolink.Link
	// PeerLink is the other end, for another stack; nil where the kernel is the
	// peer.
	PeerLink *iolink.Link
	// Namespace is where the kernel is the peer, Fast Open's server half off as
	// it comes; nil in memory. The wire closes it.
	Namespace *netns.Namespace
	// StackAddresses and PeerAddresses are one IPv4 and, unless the kernel has
	// no IPv6, one IPv6 address each, with their prefix lengths. The kernel has
	// the peer's already; a stack has to be given its own.
	StackAddresses, PeerAddresses []netip.Prefix
}

// Name is the kind in the words of reports: "tun", "userns-tun" (a TUN in a user
// namespace of the program's own), "veth" or "memory".
func (w *Wire) Name() string {
	if w.Kind == TUN && netns.InChild() == netns.UserChild {
		return "userns-tun"
	}
	return string(w.Kind)
}

// StackAddr is the stack's address of a family, 4 or 6; the zero Addr if the
// wire has none.
func (w *Wire) StackAddr(family int) netip.Addr { return ofFamily(w.StackAddresses, family) }

// PeerAddr is the peer's.
func (w *Wire) PeerAddr(family int) netip.Addr { return ofFamily(w.PeerAddresses, family) }

func ofFamily(prefixes []netip.Prefix, family int) netip.Addr {
	for _, p := range prefixes {
		if p.Addr().Is4() == (family == 4) {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// The addresses of both ends.
var (
	stack4, peer4 = netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("192.0.2.1/24")
	stack6, peer6 = netip.MustParsePrefix("2001:db8:77::2/64"), netip.MustParsePrefix("2001:db8:77::1/64")
)

// Open makes a wire of the given kind. On failure nothing is left. The error
// says why this kind cannot be used and what to do; it has netns.ErrPrivilege in
// its chain if the machine or the user is the reason.
func Open(kind Kind, cfg Config) (*Wire, error) {
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.MTU < MinMTU || cfg.MTU > MaxMTU {
		return nil, fmt.Errorf("wire: MTU %d: %d to %d bytes are possible", cfg.MTU, MinMTU, MaxMTU)
	}
	plain := kind != TUN || cfg.NoOffload
	cfg.Link.NoJoin = cfg.Link.NoJoin || plain
	w, err := openKind(kind, cfg)
	if err != nil {
		return nil, err
	}
	w.Plain = plain
	return w, nil
}

func openKind(kind Kind, cfg Config) (*Wire, error) {
	switch kind {
	case TUN:
		return openKernel(kind, cfg, openTUN)
	case Veth:
		return openKernel(kind, cfg, openVeth)
	case Memory:
		return openMemory(cfg)
	}
	return nil, fmt.Errorf("wire: there is no kind %q: use tun, veth or memory", kind)
}

// openKernel makes a namespace and, in it, a device with the kernel behind it.
func openKernel(kind Kind, cfg Config, device func(*Wire, Config) (iolink.Device, error)) (*Wire, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("wire: %s: %w", kind, err)
	}
	w := &Wire{
		Kind: kind, MTU: cfg.MTU, Namespace: ns,
		StackAddresses: []netip.Prefix{stack4}, PeerAddresses: []netip.Prefix{peer4},
	}
	if err := w.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %s: %w", kind, err), ns.Close())
	}
	dev, err := device(w, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %s: %w", kind, err), ns.Close())
	}
	if w.Link, err = iolink.New(dev, cfg.Link); err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %s: %w", kind, err), dev.Close(), ns.Close())
	}
	return w, nil
}

// Close closes the links and lets the namespace go. Idempotent.
func (w *Wire) Close() error {
	for _, l := range []*iolink.Link{w.Link, w.PeerLink} {
		if l != nil {
			l.Close()
			l.Wait()
		}
	}
	if w.Namespace == nil {
		return nil
	}
	return w.Namespace.Close()
}
