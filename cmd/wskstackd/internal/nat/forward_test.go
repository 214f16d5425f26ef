package nat

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// attach gives a host a neighbour on a cable of its own: 10.0.N.1 and 10.0.N.2, the
// neighbour's default route through the host.
func attach(t *testing.T, host *netns.Namespace, name string, n byte) *netns.Namespace {
	t.Helper()
	other := netnstest.New(t)
	file, err := os.Open(other.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := host.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(file.Fd())}
	netnstest.Require(t, h.LinkAdd(cable))
	for last, ns := range map[byte]*netns.Namespace{1: host, 2: other} {
		h, err := ns.Netlink()
		if err != nil {
			t.Fatal(err)
		}
		link, err := h.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 0, n, last), Mask: net.CIDRMask(24, 32)}}
		if err := h.AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
		if last == 2 {
			if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IPv4(10, 0, n, 1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return other
}

// A host that did not forward does not become a router for its neighbours: what
// forwards without the table is dropped with it.
func TestForwardsForNobodyElse(t *testing.T) {
	host := netnstest.New(t)
	client, server := attach(t, host, "one", 1), attach(t, host, "two", 2)
	srv, err := kernelpeer.Listen(server, kernelpeer.ServerConfig{Address: netip.MustParseAddrPort("10.0.2.2:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	reaches := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := kernelpeer.Dial(ctx, client, kernelpeer.ClientConfig{Remote: srv.Addr()})
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	within(t, host, func() {
		var b book
		start(t, &b)
		if reaches(500*time.Millisecond) == nil {
			t.Error("a neighbour reaches another through the host")
		}
		for _, c := range b.changes {
			if c.Kind == kindTable {
				if err := removeTable(c); err != nil {
					t.Error(err)
				}
			}
		}
		if err := reaches(time.Minute); err != nil {
			t.Errorf("and does not without the table: %v", err)
		}
		b.takeBack(t)
	})
}
