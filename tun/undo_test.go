package tun

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/covers"
)

var everything = Config{
	Name: "t0", MTU: 1400,
	Addresses: prefixes("192.0.2.1/24", "192.0.2.9/24", "203.0.113.1/32", "2001:db8::1/64", "2001:db8:1::1/128"),
	Routes:    prefixes("0.0.0.0/0", "198.51.100.0/24", "192.0.2.0/24", "203.0.113.7/32", "::/0", "2001:db8:2::/48", "2001:db8::/64"),
}

func TestCreatedDeviceIsSetUpAndGone(t *testing.T) {
	covers.IDs(t, "P8")
	ownNetns(t)
	a := newAdmin(t)
	before, had := a.snapshot(), fds(t)
	d := mustOpen(t, everything)
	now := a.snapshot()
	for _, want := range []string{"t0 tuntap mtu 1400 up true", "192.0.2.1/24", "192.0.2.9/24", "203.0.113.1/32", "2001:db8::1/64", "2001:db8:1::1/128"} {
		if !strings.Contains(now, want) {
			t.Errorf("%q is missing in:\n%s", want, now)
		}
	}
	for _, r := range everything.Routes {
		there, err := a.nl.routes(r)
		a.must(err)
		if len(there) != 1 || there[0].LinkIndex != a.index("t0") {
			t.Errorf("routes to %v: %v", r, there)
		}
	}
	if d.MTU() != 1400 {
		t.Errorf("MTU %d", d.MTU())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if after := a.snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if n := fds(t); n != had {
		t.Errorf("%d descriptors before, %d after", had, n)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestAdoptedDeviceIsRestored: whatever an administrator's device was like, it
// is the same after Open and Close, and after an Open that failed half-way.
func TestAdoptedDeviceIsRestored(t *testing.T) {
	devices := []struct {
		name    string
		flags   uint16
		prepare func(a *admin, index int)
	}{
		{"plain", baseFlags, func(*admin, int) {}},
		{"multi_queue", baseFlags | unix.IFF_MULTI_QUEUE, func(*admin, int) {}},
		{"vnet_hdr", baseFlags | unix.IFF_VNET_HDR, func(*admin, int) {}},
		{"packet information", unix.IFF_TUN, func(*admin, int) {}},
		{"all flags", unix.IFF_TUN | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR, func(*admin, int) {}},
		{"up", baseFlags, func(a *admin, index int) { a.must(a.nl.setUp(index)) }},
		{"other MTU", baseFlags, func(a *admin, index int) { a.must(a.nl.setMTU(index, 9000)) }},
		{"down with addresses", baseFlags, func(a *admin, index int) {
			a.addAddr(index, "192.0.2.1/24", 0)
			a.addAddr(index, "10.1.1.1/8", 0)
			a.addAddr(index, "2001:db8::1/64", unix.IFA_F_NODAD)
			a.addAddr(index, "2001:db8:3::1/64", unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE)
		}},
		{"up with addresses and routes", baseFlags, func(a *admin, index int) {
			a.must(a.nl.setUp(index))
			a.addAddr(index, "192.0.2.1/24", 0)
			a.addAddr(index, "2001:db8::1/64", unix.IFA_F_NODAD)
			a.route(index, "198.51.100.0/24")
			a.route(index, "2001:db8:2::/48")
		}},
	}
	for _, dev := range devices {
		t.Run(dev.name, func(t *testing.T) {
			ownNetns(t)
			a := newAdmin(t)
			dev.prepare(a, a.prepare("t0", dev.flags))
			before, had := a.snapshot(), fds(t)

			d := mustOpen(t, everything)
			if a.snapshot() == before {
				t.Fatal("Open changed nothing: the test proves nothing")
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if after := a.snapshot(); after != before {
				t.Errorf("before:\n%s\nafter Close:\n%s", before, after)
			}
			if n := fds(t); n != had {
				t.Errorf("%d descriptors before, %d after", had, n)
			}

			// Half-way: the last route belongs to another interface.
			a.route(a.veth("veth0"), "172.16.0.0/12")
			cfg := everything
			cfg.Routes = append(cfg.Routes[:len(cfg.Routes):len(cfg.Routes)], prefixes("172.16.0.0/12")...)
			refused(t, cfg, ErrBusy, "172.16.0.0/12", "veth0")
		})
	}
}

func (a *admin) route(index int, dst string) {
	a.t.Helper()
	r := &netlink.Route{LinkIndex: index, Dst: ipNet(netip.MustParsePrefix(dst))}
	if r.Dst.IP.To4() != nil {
		r.Scope = netlink.SCOPE_LINK
	}
	a.must(a.nl.h.RouteAdd(r))
}

func TestFailedOpenRemovesItsDevice(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	a.route(a.veth("veth0"), "2001:db8:2::/48")
	refused(t, everything, ErrBusy, "2001:db8:2::/48", "veth0")
	persistent := everything
	persistent.Persist = true
	refused(t, persistent, ErrBusy, "veth0")
	bad := ^uint32(0)
	refused(t, Config{Owner: &bad}, ErrBadConfig, "user")
	refused(t, Config{Group: &bad}, ErrBadConfig, "group")
}

func TestPersist(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	uid := uint32(os.Geteuid())
	cfg := everything
	cfg.Persist, cfg.Owner = true, &uid
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	left := a.snapshot()
	if !strings.Contains(left, "t0 tuntap mtu 1500 up false") || strings.Contains(left, "addr") || strings.Contains(left, "192.0.2") {
		t.Errorf("want the bare device, have:\n%s", left)
	}
	// The next Open adopts it, and leaves it although it does not ask for that.
	if err := mustOpen(t, everything).Close(); err != nil {
		t.Fatal(err)
	}
	if after := a.snapshot(); after != left {
		t.Errorf("before:\n%s\nafter:\n%s", left, after)
	}
}

func TestCloseAfterAnAdministratorWasFaster(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	index := a.prepare("t0", baseFlags|unix.IFF_VNET_HDR)
	before := a.snapshot()
	d := mustOpen(t, everything)
	// Everything that Close will take back is gone or changed already.
	a.must(a.nl.setDown(index))
	all, err := a.nl.addrs(index)
	a.must(err)
	for _, x := range all {
		if err := a.nl.delAddr(index, &netlink.Addr{IPNet: x.IPNet}); !isAbsent(err) {
			a.must(err) // the second of a subnet goes with the first
		}
	}
	a.must(a.nl.h.LinkSetName(ref(index), "renamed"))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	a.must(a.nl.h.LinkSetName(ref(index), "t0"))
	if after := a.snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestMTUTooSmallForIPv6OnTheDevice(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	index := a.prepare("t0", baseFlags)
	a.addAddr(index, "2001:db8::1/64", unix.IFA_F_NODAD)
	refused(t, Config{Name: "t0", MTU: 1000}, ErrBadConfig, "1280")
	small := a.prepare("t1", baseFlags)
	a.must(a.nl.setMTU(small, 1000))
	refused(t, Config{Name: "t1", Addresses: prefixes("2001:db8:1::1/64")}, ErrBadConfig, "1280")
	refused(t, Config{Name: "t0", Addresses: prefixes("2001:db8::1/48")}, ErrBusy, "2001:db8::1/64")
}

func TestIPv6SwitchedOff(t *testing.T) {
	ownNetns(t)
	// /proc/sys/net shows the namespace of the thread that opens it.
	if err := os.WriteFile("/proc/thread-self/root/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	refused(t, Config{Name: "t0", Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64")}, ErrSystem, "disable_ipv6", "2001:db8::1/64")
}

// TestCloseWithoutPrivilege: a process that gives its privileges up after Open
// still leaves nothing, because a created device takes all with it.
func TestCloseWithoutPrivilege(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	before := a.snapshot()
	d := mustOpen(t, everything)
	withoutCapability(t, unix.CAP_NET_ADMIN, func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if after := a.snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestIPv6ReceivesAtOnce: the kernel takes a new IPv6 address into use after it
// has answered the request. Open waits for that.
func TestIPv6ReceivesAtOnce(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	addr := netip.MustParsePrefix("2001:db8::1/64")
	for i := range 40 {
		d := mustOpen(t, Config{Name: "t0", Addresses: []netip.Prefix{addr}})
		ready, err := a.nl.localIPv6(a.index("t0"), addr.Addr())
		a.must(err)
		a.must(d.Close())
		if !ready {
			t.Fatalf("device %d: the kernel does not receive for %v yet", i, addr)
		}
	}
}
