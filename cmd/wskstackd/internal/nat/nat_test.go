package nat

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/netstate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a journal in memory.
type book struct{ changes []rundir.Change }

func (b *book) Record(c ...rundir.Change) error {
	b.changes = append(b.changes, c...)
	return nil
}

func (b *book) takeBack(t *testing.T) {
	t.Helper()
	for i := len(b.changes) - 1; i >= 0; i-- {
		if err := Undo()[b.changes[i].Kind](b.changes[i]); err != nil {
			t.Error(err)
		}
	}
}

var config = Config{Device: "wsk0", Addresses: []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("fd00::2")}}

// within runs f in a namespace that the test can ask for.
func within(t *testing.T, ns *netns.Namespace, f func()) {
	t.Helper()
	if err := ns.Do(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	s, err := netstate.Take(ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start is Start that has to work.
func start(t *testing.T, b *book) Result {
	r, err := Start(config, b)
	if err != nil {
		t.Errorf("start: %v", err)
	}
	return r
}

// cable is two devices, "one" and "two".
func cable() *netlink.Veth {
	return &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "two"}
}

// Everything is as it was, also the sysctls that the kernel has changed along.
func TestTakenBack(t *testing.T) {
	ns := netnstest.New(t)
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkAdd(cable()); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"net.ipv4.conf.one.forwarding": "1", "net.ipv6.conf.two.forwarding": "1",
		"net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.conf.two.accept_redirects": "0",
	} {
		if err := ns.SetSysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	before := take(t, ns)
	within(t, ns, func() {
		var b book
		if r := start(t, &b); !r.IPv4 || !r.IPv6 || r.WhyNoIPv6 != "" {
			t.Errorf("got %+v", r)
		}
		during := netstate.Diff(before, take(t, ns))
		for _, want := range []string{"+ sysctl net/ipv4/ip_forward = 1", "+ sysctl net/ipv6/conf/all/forwarding = 1", "+ table wskstackd-wsk0 "} {
			if !strings.Contains(during, want) {
				t.Errorf("no %q in\n%s", want, during)
			}
		}
		b.takeBack(t)
	})
	if d := netstate.Diff(before, take(t, ns)); d != "" {
		t.Errorf("left behind:\n%s", d)
	}
}

// A host that forwards already is only given the table, and goes on forwarding for
// others.
func TestHostThatForwards(t *testing.T) {
	ns := netnstest.New(t)
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := ns.SetSysctl(name, "1"); err != nil {
			t.Fatal(err)
		}
	}
	before := take(t, ns)
	within(t, ns, func() {
		var b book
		start(t, &b)
		if len(b.changes) != 1 || b.changes[0].Kind != kindTable {
			t.Errorf("recorded %+v", b.changes)
		}
		if during := take(t, ns); strings.Contains(during, "rule 2 of chain forward") {
			t.Errorf("what was forwarded is dropped:\n%s", during)
		}
		b.takeBack(t)
	})
	if d := netstate.Diff(before, take(t, ns)); d != "" {
		t.Errorf("left behind:\n%s", d)
	}
}

// A table that was left over is replaced, and its rules are not there twice.
func TestTableOfADaemonThatWasKilled(t *testing.T) {
	ns := netnstest.New(t)
	within(t, ns, func() {
		var b, again book
		start(t, &b)
		first := take(t, ns)
		for _, c := range b.changes {
			if c.Kind == kindForwarding {
				if err := disable(c); err != nil {
					t.Error(err)
				}
			}
		}
		start(t, &again)
		if d := netstate.Diff(first, take(t, ns)); d != "" {
			t.Errorf("the second table differs:\n%s", d)
		}
		again.takeBack(t)
		b.takeBack(t) // taking back what is not there is no error
	})
}

// What somebody else has set meanwhile is left alone.
func TestSetByOthersMeanwhile(t *testing.T) {
	ns := netnstest.New(t)
	within(t, ns, func() {
		var b book
		start(t, &b)
		if err := write(ipv4.main, "0"); err != nil {
			t.Fatal(err)
		}
		if err := write("net/ipv4/conf/lo/forwarding", "1"); err != nil {
			t.Fatal(err)
		}
		b.takeBack(t)
		if got, err := read("net/ipv4/conf/lo/forwarding"); err != nil || got != "1" {
			t.Errorf("lo's forwarding is %q, %v", got, err)
		}
	})
}

// A host that has its routes from router advertisements keeps them.
func TestRouterAdvertisements(t *testing.T) {
	ns := netnstest.New(t)
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	one := cable()
	if err := h.LinkAdd(one); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(one); err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{
		LinkIndex: one.Attrs().Index, Protocol: unix.RTPROT_RA,
		Dst: &net.IPNet{IP: net.ParseIP("2001:db8::"), Mask: net.CIDRMask(32, 128)},
	}
	if err := h.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	within(t, ns, func() {
		var b book
		if r := start(t, &b); !r.IPv4 || r.IPv6 || !strings.Contains(r.WhyNoIPv6, "router advertisement") {
			t.Errorf("got %+v", r)
		}
		if on, err := ipv6.enabled(); err != nil || on {
			t.Errorf("IPv6 is forwarded: %v, %v", on, err)
		}
		b.takeBack(t)
		// Who has turned it on himself has thought of that.
		if err := write(ipv6.main, "1"); err != nil {
			t.Fatal(err)
		}
		b = book{}
		if r := start(t, &b); !r.IPv6 || r.WhyNoIPv6 != "" {
			t.Errorf("got %+v", r)
		}
		b.takeBack(t)
	})
}

// failing is a journal that cannot be written.
type failing struct{}

func (failing) Record(...rundir.Change) error { return errors.New("disk full") }

// What is not written down is not done.
func TestJournalThatCannotBeWritten(t *testing.T) {
	ns := netnstest.New(t)
	before := take(t, ns)
	within(t, ns, func() {
		if _, err := Start(config, failing{}); err == nil {
			t.Error("it began without a journal")
		}
		if err := ipv4.enable(failing{}); err == nil {
			t.Error("it forwards without a journal")
		}
	})
	if d := netstate.Diff(before, take(t, ns)); d != "" {
		t.Errorf("changed:\n%s", d)
	}
}

func TestRefusals(t *testing.T) {
	for err, want := range map[error]error{
		unix.EPERM: os.ErrPermission, unix.EACCES: os.ErrPermission, unix.EOPNOTSUPP: fault.ErrUnavailable, unix.ENOENT: fault.ErrUnavailable,
		unix.EINVAL: unix.EINVAL,
	} {
		if got := explain(err); !errors.Is(got, want) || strings.Contains(got.Error(), "\n") {
			t.Errorf("%v became %v", err, got)
		}
	}
	if explain(nil) != nil {
		t.Error("nothing is wrong")
	}
}

// The table's names are within what the kernel takes, and are this device's own.
func TestTableName(t *testing.T) {
	if a, b := tableName("wsk0"), tableName("wsk1"); a == b || len(tableName(strings.Repeat("x", 15))) > 255 || nftables.TableFamilyINet != unix.NFPROTO_INET {
		t.Errorf("%q and %q", a, b)
	}
}
