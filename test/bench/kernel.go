package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// The two ends of every subject's link.
var (
	clientNet = netip.MustParsePrefix("192.0.2.2/24")
	serverNet = netip.MustParsePrefix("192.0.2.1/24")
)

// kernelName is how the kernel's columns begin.
const kernelName = "kernel"

// Kernel opens the subject that the others are measured against: the kernel at both
// ends of a veth pair with all its offloads, in two namespaces.
func Kernel(cfg Config) (_ *Subject, err error) {
	s := &Subject{Name: kernelName, dial: func(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
		return dialSocket(cfg.Congestion, to, data, fastOpen)
	}}
	defer closeOn(&err, s)
	client, far, err := s.namespaces()
	if err != nil {
		return nil, err
	}
	if cfg.RTT > 0 {
		err = s.distance(client, far, cfg)
	} else {
		err = s.veth(client, far, cfg)
	}
	if err != nil {
		return nil, err
	}
	s.inside = client
	return s, s.start(far, cfg)
}

// distance joins the namespaces by two TUN devices with a line between them.
func (s *Subject) distance(client, far *netns.Namespace, cfg Config) error {
	a, err := tun.Open(tun.Config{Name: "bench0", MTU: cfg.mtu(), Addresses: []netip.Prefix{clientNet}, Namespace: client.Path()})
	if err != nil {
		return err
	}
	b, err := openTUN(far, cfg, false)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	s.onClose(join(a, b, cfg.RTT/2))
	return nil
}

// veth joins the namespaces by a pair of devices.
func (s *Subject) veth(client, far *netns.Namespace, cfg Config) error {
	nl, err := far.Netlink()
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "bench0", cfg.mtu()
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerMTU = "bench1", uint32(cfg.mtu())
	if err := nl.LinkAdd(pair); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
			return netns.Withheld(fmt.Errorf("bench: this kernel gives no veth devices here: %w", err))
		}
		return fmt.Errorf("bench: creating a veth pair: %w", err)
	}
	other, err := nl.LinkByName("bench1")
	if err != nil {
		return err
	}
	into, err := os.Open(client.Path())
	if err != nil {
		return err
	}
	defer into.Close()
	if err := nl.LinkSetNsFd(other, int(into.Fd())); err != nil {
		return fmt.Errorf("bench: moving a veth device: %w", err)
	}
	return errors.Join(address(far, "bench0", serverNet), address(client, "bench1", clientNet))
}

// namespaces makes one for the client and one for the server, with Fast Open on.
func (s *Subject) namespaces() (client, far *netns.Namespace, err error) {
	if client, err = s.namespace(); err == nil {
		far, err = s.namespace()
	}
	return client, far, err
}

func (s *Subject) namespace() (*netns.Namespace, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	s.onClose(ns.Close)
	return ns, errors.Join(ns.LinkUp("lo"), kernelpeer.EnableFastOpen(ns),
		// More set-ups a second than there are ports a minute.
		ns.SetSysctl("net.ipv4.ip_local_port_range", "1024 65535"), ns.SetSysctl("net.ipv4.tcp_tw_reuse", "1"))
}

func address(ns *netns.Namespace, device string, p netip.Prefix) error {
	nl, err := ns.Netlink()
	if err != nil {
		return err
	}
	link, err := nl.LinkByName(device)
	if err != nil {
		return err
	}
	ip := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	return errors.Join(nl.AddrAdd(link, &netlink.Addr{IPNet: ip}), nl.LinkSetUp(link))
}

// start starts the server.
func (s *Subject) start(far *netns.Namespace, cfg Config) (err error) {
	if s.server, err = serve(far, serverNet.Addr(), cfg); err != nil {
		return err
	}
	s.onClose(s.server.close)
	return nil
}

func closeOn(err *error, s *Subject) {
	if *err != nil {
		*err = errors.Join(*err, s.Close())
	}
}
