package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/flows"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/tun"
)

// sized is a device that notes how large the packets are that the kernel makes of
// what is written.
type sized struct {
	iolink.Device
	limit int

	mu      sync.Mutex
	largest int // guarded by mu, like all below
	above   int // packets or super-segments that are cut into more than limit bytes
	super   int // super-segments
}

func (s *sized) Write(queue int, batch []frame.Packet) (int, error) {
	s.mu.Lock()
	for i := range batch {
		size := batch[i].Size
		if o := batch[i].Offload; o.GSO != frame.GSONone {
			s.super++
			size = int(o.HdrLen) + int(o.GSOSize)
		}
		s.largest = max(s.largest, size)
		if size > s.limit {
			s.above++
		}
	}
	s.mu.Unlock()
	return s.Device.Write(queue, batch)
}

// cable joins two namespaces by a veth pair named name at both ends, with the
// addresses NET.1 and NET.2, NET::1 and NET::2.
func cable(t *testing.T, near, far *netns.Namespace, name, net4, net6 string, mtu int) {
	t.Helper()
	file, err := os.Open(far.Path())
	check(t, err)
	defer file.Close()
	h, err := near.Netlink()
	check(t, err)
	netnstest.Require(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(file.Fd())}))
	for i, ns := range []*netns.Namespace{near, far} {
		h, err := ns.Netlink()
		check(t, err)
		link, err := h.LinkByName(name)
		check(t, err)
		check(t, h.LinkSetMTU(link, mtu))
		for _, text := range []string{fmt.Sprintf("%s.%d/24", net4, i+1), fmt.Sprintf("%s::%d/64", net6, i+1)} {
			addr, err := netlink.ParseAddr(text)
			check(t, err)
			check(t, h.AddrAdd(link, addr))
		}
		check(t, h.LinkSetUp(link))
	}
}

// route sends what is for a network to a gateway. mss is what the kernel announces to
// those behind it; 0: what fits.
func route(t *testing.T, ns *netns.Namespace, to, via string, mss int) {
	t.Helper()
	h, err := ns.Netlink()
	check(t, err)
	p := netip.MustParsePrefix(to)
	dst := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	check(t, h.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(via), AdvMSS: mss}))
}

// TestSuperSegmentsToASmallerMTU: the peer is behind two routers, of which the way
// between is narrower, or announces a small segment size itself.
//
//	stack ── TUN ── kernel ──── mtu ──── kernel ──── 1500 ──── kernel, the peer
//
// The first router cuts super-segments; where the parts do not fit it answers with
// ICMP, as it would for packets (RFC 1191, RFC 8201), and so does the second one for
// the peer's.
func TestSuperSegmentsToASmallerMTU(t *testing.T) {
	covers.IDs(t, "H-38")
	for name, c := range map[string]struct{ mtu, mss int }{
		"MTU 1280":     {1280, 0},
		"MTU 1400":     {1400, 0},
		"small MSS":    {1500, 600},
		"both smaller": {1400, 1300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, family int) { narrow(t, family, c.mtu, c.mss) })
		})
	}
}

// bindable: an IPv6 address is not at once, even without a check for duplicates.
func bindable(ns *netns.Namespace, address string) bool {
	return ns.Do(func() error {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)})
		if err == nil {
			err = c.Close()
		}
		return err
	}) == nil
}

func narrow(t *testing.T, family, mtu, mss int) {
	s := &sized{limit: mtu}
	l := newLoaded(t, tun.Config{}, func(d iolink.Device) iolink.Device { s.Device = d; return s })
	second, peer := netnstest.New(t), netnstest.New(t)
	for _, ns := range []*netns.Namespace{l.ns, second, peer} {
		check(t, ns.SetSysctl("net.ipv6.conf.default.accept_dad", "0"))
		check(t, ns.SetSysctl("net.ipv6.conf.all.forwarding", "1"))
		check(t, ns.SetSysctl("net.ipv4.ip_forward", "1"))
	}
	cable(t, l.ns, second, "narrow", "198.51.100", "2001:db8:1", mtu)
	cable(t, second, peer, "wide", "203.0.113", "2001:db8:2", 1500)
	if family == 4 {
		route(t, l.ns, "203.0.113.0/24", "198.51.100.2", 0)
		route(t, second, "192.0.2.0/24", "198.51.100.1", 0)
		route(t, peer, "192.0.2.0/24", "203.0.113.1", mss)
	} else {
		route(t, l.ns, "2001:db8:2::/64", "2001:db8:1::2", 0)
		route(t, second, "2001:db8:77::/64", "2001:db8:1::1", 0)
		route(t, peer, "2001:db8:77::/64", "2001:db8:2::1", mss)
	}
	target := map[int]string{4: "203.0.113.2", 6: "2001:db8:2::2"}[family]
	l.eventually("the kernel takes the peer's address into use", func() bool { return bindable(peer, target) })
	load, err := flows.Start(l.ctx, flows.Config{
		Stack: l.stack, Namespace: peer, StackAddr: at(loadedStack, family), KernelAddr: netip.MustParseAddr(target), Flows: 4, Bytes: flowBytes / 12,
	})
	check(t, err)
	t.Cleanup(load.Close)
	l.complete(load)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d super-segments, the largest packet %d bytes, %d did not fit; %+v", s.super, s.largest, s.above, l.link.Stats())
	if (s.super > 0) != offloads {
		t.Errorf("%d super-segments with offloads %v", s.super, offloads)
	}
	if announced := mss > 0 && mss+60 < mtu; announced == (s.above > 0) {
		t.Errorf("%d packets did not fit", s.above)
	}
	if most := mss + map[int]int{4: 40, 6: 60}[family]; mss > 0 && s.largest > most {
		t.Errorf("a packet of %d bytes to a peer that takes %d", s.largest, most)
	}
	if st, dev := l.link.Stats(), l.dev.Stats(); st.TxCut+st.TxErrors+st.TxNoBuffer+st.RxMalformed+st.RxBadChecksum > 0 || dev != (tun.Stats{}) {
		t.Errorf("%+v, %+v", st, dev)
	}
}
