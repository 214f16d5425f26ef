package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/test/netns"
)

// The two ends: the packet socket is bound to the near one, the kernel has its
// addresses on the far one.
const (
	nearName = "wire0"
	farName  = "peer0"
)

// Ethernet addresses, locally administered. The stack's is that of no device:
// frames to it are nobody's in the namespace, and only the packet socket sees
// them.
var (
	nearMAC  = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}
	farMAC   = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0b}
	stackMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0c}
)

// openVeth makes a pair of veth devices in the wire's namespace and a packet
// socket on one of them.
func openVeth(w *Wire, _ Config) (iolink.Device, error) {
	nl, err := w.Namespace.Netlink()
	if err != nil {
		return nil, err
	}
	near, far, err := makePair(nl, w.MTU)
	if err != nil {
		return nil, err
	}
	if err := w.quiet(); err != nil {
		return nil, err
	}
	for _, link := range []netlink.Link{near, far} {
		if err := nl.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("setting %s up: %w", link.Attrs().Name, err)
		}
	}
	if err := w.address(nl, far); err != nil {
		return nil, err
	}
	return openPacketDevice(w.Namespace, near.Attrs().Index, farMAC, w.MTU)
}

// makePair creates the devices, down.
func makePair(nl *netlink.Handle, mtu int) (near, far netlink.Link, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = nearName, mtu, nearMAC
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerMTU, pair.PeerHardwareAddr = farName, uint32(mtu), farMAC
	if err := nl.LinkAdd(pair); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil, nil, netns.Withheld(fmt.Errorf("this kernel gives no veth devices here (%w): modprobe veth", err))
		}
		return nil, nil, fmt.Errorf("creating a veth pair: %w", err)
	}
	if near, err = nl.LinkByName(nearName); err == nil {
		far, err = nl.LinkByName(farName)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the veth pair is not there: %w", err)
	}
	return near, far, nil
}

// quiet switches off what would make packets differ from those of a wire, and
// IPv6 on the near end, which is no host.
func (w *Wire) quiet() error {
	err := w.Namespace.Do(func() error {
		return errors.Join(withoutOffload(nearName), withoutOffload(farName))
	})
	if err != nil || !w.PeerAddr(6).IsValid() {
		return err
	}
	return w.Namespace.SetSysctl("net/ipv6/conf/"+nearName+"/disable_ipv6", "1")
}

// address gives the far end the peer's addresses, and makes the stack's its
// permanent neighbours.
func (w *Wire) address(nl *netlink.Handle, far netlink.Link) error {
	for _, p := range w.PeerAddresses {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := nl.AddrAdd(far, addr); err != nil {
			return fmt.Errorf("adding %v: %w", p, err)
		}
	}
	for _, p := range w.StackAddresses {
		family := unix.AF_INET
		if p.Addr().Is6() {
			family = unix.AF_INET6
		}
		err := nl.NeighSet(&netlink.Neigh{
			LinkIndex: far.Attrs().Index, Family: family, State: netlink.NUD_PERMANENT,
			IP: p.Addr().AsSlice(), HardwareAddr: stackMAC,
		})
		if err != nil {
			return fmt.Errorf("making %v a neighbour: %w", p.Addr(), err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
