package netstate

import (
	"net"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func take(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	s, err := Take(ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Each kind of thing is seen when it comes, and gone when it goes.
func TestSeesEveryKind(t *testing.T) {
	ns := netnstest.New(t)
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(32, 32)}}
	route := &netlink.Route{LinkIndex: lo.Attrs().Index, Table: 99, Dst: &net.IPNet{IP: net.IPv4(198, 51, 100, 0), Mask: net.CIDRMask(24, 32)}}
	rule := netlink.NewRule()
	rule.Table, rule.Priority, rule.Family = 99, 99, netlink.FAMILY_V4
	table := func(change func(*nftables.Conn, *nftables.Table)) error {
		return ns.Do(func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			change(c, &nftables.Table{Name: "x", Family: nftables.TableFamilyINet})
			return c.Flush()
		})
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "two"}
	for name, c := range map[string]struct {
		come, goes func() error
		want       string
	}{
		"link":    {func() error { return h.LinkAdd(cable) }, func() error { return h.LinkDel(cable) }, "+ link one "},
		"address": {func() error { return h.AddrAdd(lo, addr) }, func() error { return h.AddrDel(lo, addr) }, "+ address 192.0.2.1/32"},
		"route":   {func() error { return h.RouteAdd(route) }, func() error { return h.RouteDel(route) }, "+ route "},
		"rule":    {func() error { return h.RuleAdd(rule) }, func() error { return h.RuleDel(rule) }, "+ rule "},
		"table": {
			func() error { return table(func(c *nftables.Conn, t *nftables.Table) { c.AddTable(t) }) },
			func() error { return table(func(c *nftables.Conn, t *nftables.Table) { c.DelTable(t) }) },
			"+ table x of family 1",
		},
		"sysctl": {
			func() error { return ns.SetSysctl("net.ipv4.ip_forward", "1") },
			func() error { return ns.SetSysctl("net.ipv4.ip_forward", "0") },
			"+ sysctl net/ipv4/ip_forward = 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := take(t, ns)
			if err := c.come(); err != nil {
				t.Fatal(err)
			}
			if d := Diff(before, take(t, ns)); !strings.Contains(d, c.want) {
				t.Errorf("the difference is %q, without %q", d, c.want)
			}
			if err := c.goes(); err != nil {
				t.Fatal(err)
			}
			if d := Diff(before, take(t, ns)); d != "" {
				t.Errorf("afterwards: %s", d)
			}
		})
	}
}
