package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// skipPrivilege is the only way in which a test of this package is skipped. The
// words are those that CI looks for.
func skipPrivilege(t testing.TB, reason string) {
	t.Helper()
	t.Skipf("SKIP-PRIVILEGE: %s", reason)
}

// ownNetns puts the test on a thread of its own in a fresh network namespace,
// until the test ends. Subtests run on other threads: each calls it for itself.
func ownNetns(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		t.Fatal(err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		_ = unix.Close(home)
		if errors.Is(err, unix.EPERM) {
			skipPrivilege(t, "making a network namespace is not allowed: run as root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A thread that cannot go back stays locked and ends with the test.
		if err := unix.Setns(home, unix.CLONE_NEWNET); err == nil {
			runtime.UnlockOSThread()
		}
		_ = unix.Close(home)
	})
	fd, err := unix.Open(nodePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		skipPrivilege(t, fmt.Sprintf("%s cannot be opened: %v", nodePath, err))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
}

// machineRoot skips a test that makes device nodes or acts for several users:
// root of a user namespace can do neither.
func machineRoot(t testing.TB) {
	t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(users)); os.Geteuid() != 0 || len(f) != 3 || f[2] != "4294967295" {
		skipPrivilege(t, "not the machine's root: device nodes and other users cannot be made")
	}
}

// makeNode puts a device node in the place of the TUN driver's.
func makeNode(t testing.TB, mode, minor uint32) {
	t.Helper()
	err := unix.Mknod(nodePath, unix.S_IFCHR|mode, int(unix.Mkdev(10, minor)))
	if errors.Is(err, unix.EPERM) {
		skipPrivilege(t, "making a device node is not allowed (CAP_MKNOD)")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(nodePath, os.FileMode(mode)); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// ownMounts gives the test's thread a mount namespace of its own, with an empty
// /dev/net. It is called after ownNetns; the thread ends with the test.
func ownMounts(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // once more than it is unlocked
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
}

// withoutCapability runs fn while the thread has not the capability.
func withoutCapability(t testing.TB, capability uint, fn func()) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	before := caps
	caps[0].Effective &^= 1 << capability
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &before[0]); err != nil {
			t.Fatal(err)
		}
	}()
	fn()
}

func mustOpen(t testing.TB, cfg Config) *Device {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// admin is what an administrator does beside us, in the thread's namespace.
type admin struct {
	t  testing.TB
	nl *links
}

func newAdmin(t testing.TB) *admin {
	t.Helper()
	nl, err := openLinks()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nl.close)
	return &admin{t, nl}
}

func (a *admin) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// prepare makes a persistent device with the flags and returns its index.
func (a *admin) prepare(name string, flags uint16) int {
	a.t.Helper()
	n, err := openNode()
	a.must(err)
	defer n.close()
	_, err = n.attach(name, flags)
	a.must(err)
	a.must(setPersist(n.fd, true))
	return a.index(name)
}

// veth makes an interface of another kind, up.
func (a *admin) veth(name string) int {
	a.t.Helper()
	a.must(a.nl.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}))
	index := a.index(name)
	a.must(a.nl.setUp(index))
	return index
}

func (a *admin) index(name string) int {
	a.t.Helper()
	link, err := a.nl.byName(name)
	a.must(err)
	if link == nil {
		a.t.Fatalf("there is no %s", name)
	}
	return link.Attrs().Index
}

func (a *admin) exists(name string) bool {
	a.t.Helper()
	link, err := a.nl.byName(name)
	a.must(err)
	return link != nil
}

func (a *admin) addAddr(index int, prefix string, flags int) {
	a.t.Helper()
	a.must(a.nl.addAddr(index, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(prefix)), Flags: flags}))
}

// snapshot is everything that 'ip -d link', 'ip addr' and 'ip route' would show
// in the namespace, sorted. What the kernel keeps for itself is left out, since it
// comes later than the change it follows: its own link-local addresses on a link
// with a carrier, and the table of local addresses.
func (a *admin) snapshot() string {
	a.t.Helper()
	var lines []string
	all, err := a.nl.h.LinkList()
	a.must(err)
	for _, link := range all {
		attrs := link.Attrs()
		line := fmt.Sprintf("link %d %s %s mtu %d up %v", attrs.Index, attrs.Name, link.Type(), attrs.MTU, attrs.RawFlags&unix.IFF_UP != 0)
		if dev, ok := link.(*netlink.Tuntap); ok {
			line += fmt.Sprintf(" flags %04x owner %d group %d nonpersist %v queues %d", flagsOf(dev), dev.Owner, dev.Group, dev.NonPersist, dev.Queues)
		}
		lines = append(lines, line)
		addrs, err := a.nl.addrs(attrs.Index)
		a.must(err)
		for _, x := range addrs {
			if x.IP.IsLinkLocalUnicast() {
				continue
			}
			lines = append(lines, fmt.Sprintf("addr %d %s peer %v flags %x valid %d", attrs.Index, x.IPNet, x.Peer, x.Flags, x.ValidLft))
		}
	}
	routes, err := a.nl.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	a.must(err)
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_LOCAL || r.Dst != nil && r.Dst.IP.IsLinkLocalUnicast() {
			continue
		}
		lines = append(lines, fmt.Sprintf("route %v via %v dev %d proto %d scope %d prio %d table %d", r.Dst, r.Gw, r.LinkIndex, r.Protocol, r.Scope, r.Priority, r.Table))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// fds counts this process's descriptors.
func fds(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
