package tun

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/covers"
)

// refused checks that Open fails with a kind, in one line that contains the
// words, and leaves no descriptor and nothing in the namespace.
func refused(t *testing.T, cfg Config, kind error, words ...string) {
	t.Helper()
	a := newAdmin(t)
	before, had := a.snapshot(), fds(t)
	for range 3 {
		d, err := Open(cfg)
		if d != nil || !errors.Is(err, kind) {
			t.Fatalf("got %v, %v; want %v", d, err, kind)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
		t.Log(err)
		if strings.Contains(err.Error(), "moreover") {
			t.Errorf("taking back failed: %v", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("the error does not say %q: %v", w, err)
			}
		}
	}
	if n := fds(t); n != had {
		t.Errorf("%d descriptors before, %d after three failures", had, n)
	}
	if after := a.snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestKernelPicksTheName(t *testing.T) {
	ownNetns(t)
	one, two := mustOpen(t, Config{}), mustOpen(t, Config{})
	if one.Name() == "" || one.Name() == two.Name() {
		t.Errorf("names %q and %q", one.Name(), two.Name())
	}
	if one.MTU() != 1500 || one.Queues() != 1 {
		t.Errorf("MTU %d, %d queues", one.MTU(), one.Queues())
	}
	if _, err := one.Read(1, room(1, 1500)); err == nil {
		t.Error("queue 1 was read")
	}
	if _, err := one.Write(-1, nil); err == nil {
		t.Error("queue -1 was written")
	}
}

func TestLongestName(t *testing.T) {
	ownNetns(t)
	const name = "fifteen-bytes-x"
	if d := mustOpen(t, Config{Name: name}); d.Name() != name {
		t.Errorf("got %q", d.Name())
	}
	refused(t, Config{Name: name + "y"}, ErrBadName, "16 bytes")
}

func TestNameTaken(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	a.must(a.nl.h.LinkAddAltName(ref(a.veth("veth0")), "alias0"))
	a.prepare("tap0", unix.IFF_TAP|unix.IFF_NO_PI)
	a.prepare("ours", baseFlags)
	uid := uint32(7)
	refused(t, Config{Name: "veth0"}, ErrBusy, "veth0", "veth")
	refused(t, Config{Name: "lo"}, ErrBusy, "lo")
	refused(t, Config{Name: "alias0"}, ErrBusy, "alias0", "veth0")
	refused(t, Config{Name: "tap0"}, ErrBusy, "tap0", "TAP", "TUN")
	refused(t, Config{Name: "ours", Owner: &uid}, ErrBadConfig, "Owner")
}

// TestExistingDeviceIsNeverTakenForNew: a device that appears between the look
// and the creation stays its owner's.
func TestExistingDeviceIsNeverTakenForNew(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	a.prepare("t0", baseFlags|unix.IFF_MULTI_QUEUE)
	before, had := a.snapshot(), fds(t)
	if _, err := create(systemKernel(), a.nl, &Config{Name: "t0"}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if after := a.snapshot(); after != before || fds(t) != had {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestDeviceReplacedMeanwhile: a device that vanishes between the look and the
// attach is not replaced by one that stays.
func TestDeviceReplacedMeanwhile(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	before := a.snapshot()
	index := a.prepare("t0", baseFlags)
	link, err := a.nl.byName("t0")
	a.must(err)
	a.must(a.nl.h.LinkDel(ref(index)))
	if _, err := adopt(systemKernel(), a.nl, &Config{Name: "t0"}, link); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if after := a.snapshot(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestBusySaysWho(t *testing.T) {
	ownNetns(t)
	held := holder(t, "t0")
	refused(t, Config{Name: "t0"}, ErrBusy, "t0", fmt.Sprintf("process %d", held.Process.Pid))

	mustOpen(t, Config{Name: "t1"})
	refused(t, Config{Name: "t1"}, ErrBusy, "t1", "this process")

	// Held, single-queue and persistent.
	a := newAdmin(t)
	a.prepare("t2", baseFlags)
	mustOpen(t, Config{Name: "t2"})
	refused(t, Config{Name: "t2"}, ErrBusy, "t2", "this process")
}

func TestHolderText(t *testing.T) {
	many := []string{"a", "b", "c", "d", "e"}
	cases := []struct {
		found  []string
		hidden bool
		want   string
	}{
		{many[:1], true, "a"},
		{many[:3], false, "a, b, c"},
		{many, false, "a, b, c and 2 more"},
		{nil, true, "a process of another user (root can see which)"},
		{nil, false, "a process that cannot be seen from here"},
	}
	for _, c := range cases {
		if got := holderText(c.found, c.hidden); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// FuzzAttachedTo: any text of an fdinfo file gives a clean name or none.
func FuzzAttachedTo(f *testing.F) {
	f.Add([]byte("pos:\t0\nflags:\t0104002\nmnt_id:\t30\nino:\t120\niff:\ttun0\n"))
	f.Add([]byte("iff:\t\n"))
	f.Add([]byte("iff:"))
	f.Add([]byte("x iff:\ttun0\n"))
	f.Fuzz(func(t *testing.T, info []byte) {
		name := attachedTo(info)
		if name != strings.TrimSpace(name) || strings.Contains(name, "\n") {
			t.Fatalf("got %q", name)
		}
	})
}

func TestAttachedTo(t *testing.T) {
	info := "pos:\t0\nflags:\t0104002\nmnt_id:\t30\nino:\t120\niff:\ttun0\n"
	if got := attachedTo([]byte(info)); got != "tun0" {
		t.Errorf("got %q", got)
	}
	for _, none := range []string{"", "pos:\t0\n", "iff:\t\n", "xiff:\ttun0\n"} {
		if got := attachedTo([]byte(none)); got != "" {
			t.Errorf("%q: got %q", none, got)
		}
	}
}

// tunMinor is the TUN driver's number: Documentation/admin-guide/devices.txt.
const tunMinor = 200

func TestNoNode(t *testing.T) {
	ownNetns(t)
	machineRoot(t)
	ownMounts(t)
	refused(t, Config{}, ErrNoDevice, nodePath, "modprobe tun")
	refused(t, Config{}, os.ErrNotExist)
	// A node with no driver behind it.
	makeNode(t, 0o600, 251) // a minor number that no driver has
	refused(t, Config{}, ErrNoDevice, "modprobe tun")
	// An ordinary file in its place.
	if err := errors.Join(os.Remove(nodePath), os.WriteFile(nodePath, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	refused(t, Config{}, ErrNoDevice, "modprobe tun")
}

func TestNoPrivilege(t *testing.T) {
	t.Run("to create", func(t *testing.T) {
		ownNetns(t)
		withoutCapability(t, unix.CAP_NET_ADMIN, func() {
			refused(t, Config{Name: "t0"}, ErrNoPrivilege, "CAP_NET_ADMIN", "ip tuntap add")
			refused(t, Config{}, os.ErrPermission)
		})
	})
	t.Run("to open the node", func(t *testing.T) {
		ownNetns(t)
		machineRoot(t)
		ownMounts(t)
		makeNode(t, 0, tunMinor)
		withoutCapability(t, unix.CAP_DAC_OVERRIDE, func() {
			refused(t, Config{}, ErrNoPrivilege, nodePath)
		})
	})
	t.Run("for somebody else's device", func(t *testing.T) {
		ownNetns(t)
		machineRoot(t)
		uid := uint32(os.Geteuid()) + 1
		if err := mustOpen(t, Config{Name: "t0", Persist: true, Owner: &uid}).Close(); err != nil {
			t.Fatal(err)
		}
		withoutCapability(t, unix.CAP_NET_ADMIN, func() {
			refused(t, Config{Name: "t0"}, ErrNoPrivilege, "t0", "owner")
		})
	})
	t.Run("to give a prepared device an address", func(t *testing.T) {
		ownNetns(t)
		a := newAdmin(t)
		index := a.prepare("t0", baseFlags)
		a.must(a.nl.setUp(index))
		a.addAddr(index, "192.0.2.1/24", 0)
		withoutCapability(t, unix.CAP_NET_ADMIN, func() {
			// What is there already needs no privilege.
			d, err := Open(Config{Name: "t0", MTU: 1500, Addresses: prefixes("192.0.2.1/24"), Routes: prefixes("192.0.2.0/24")})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			refused(t, Config{Name: "t0", Addresses: prefixes("192.0.2.7/24")}, ErrNoPrivilege, "192.0.2.7/24", "t0")
			refused(t, Config{Name: "t0", MTU: 1400}, ErrNoPrivilege, "MTU")
			refused(t, Config{Name: "t0", Routes: prefixes("198.51.100.0/24")}, ErrNoPrivilege, "198.51.100.0/24")
		})
	})
	t.Run("to bring a prepared device up", func(t *testing.T) {
		ownNetns(t)
		newAdmin(t).prepare("t0", baseFlags)
		withoutCapability(t, unix.CAP_NET_ADMIN, func() {
			refused(t, Config{Name: "t0"}, ErrNoPrivilege, "bring up")
		})
	})
}

// TestWaterLeavesNoDescriptor: water forgets its descriptor when the kernel
// refuses; through openWater it does not. The control shows that it still does,
// so that this room knows when the guard can go.
func TestWaterLeavesNoDescriptor(t *testing.T) {
	ownNetns(t)
	before := fds(t)
	for range 5 {
		if f, err := openWater("lo", false, false); err == nil {
			f.Close()
			t.Fatal("attached to lo")
		}
	}
	if n := fds(t); n != before {
		t.Errorf("%d descriptors before, %d after five failures", before, n)
	}

	known := tunDescriptors()
	if _, err := waterAlone("lo"); err == nil {
		t.Fatal("attached to lo")
	}
	if fds(t) == before {
		t.Error("water itself no longer leaks: closeLeaked has nothing to do any more")
	}
	// Others' descriptors stay: known before, or with close-on-exec.
	other, err := openNode()
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	closeLeaked(known)
	if _, err := deviceFlags(other.fd); err != unix.EBADFD {
		t.Errorf("another's descriptor was closed: %v", err)
	}
	if n := fds(t); n != before+1 {
		t.Errorf("%d descriptors, want %d", n, before+1)
	}
}

func inherited(t *testing.T) string {
	t.Helper()
	out, err := child("count").Output()
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(out))
}

func TestChildrenDoNotInherit(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	a.prepare("plain", baseFlags|unix.IFF_VNET_HDR) // adopted with a spare descriptor
	mustOpen(t, Config{Name: "t0"})
	mustOpen(t, Config{Name: "plain"})
	if n := inherited(t); n != "0" {
		t.Errorf("a child inherited %s descriptors", n)
	}
	// The control: water alone hands its descriptor down.
	raw, err := waterAlone("")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if n := inherited(t); n != "1" {
		t.Errorf("the control found %s descriptors, want water's own", n)
	}
}

// TestChildrenBornDuringOpen: a child that is born between water's open and our
// close-on-exec inherits nothing either.
func TestChildrenBornDuringOpen(t *testing.T) {
	ownNetns(t)
	d := mustOpen(t, Config{})
	var births sync.WaitGroup
	stop := make(chan struct{})
	births.Go(func() {
		defer close(stop)
		for range 30 {
			if n := inherited(t); n != "0" {
				t.Errorf("a child inherited %s descriptors", n)
			}
		}
	})
	for open := true; open; {
		f, err := openWater(d.Name(), false, true) // one queue more, and off again
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-stop:
			open = false
		default:
		}
	}
	births.Wait()
}

// TestKilledProcessLeavesNothing: the kernel removes what a killed process had.
func TestKilledProcessLeavesNothing(t *testing.T) {
	covers.IDs(t, "P8")
	ownNetns(t)
	a := newAdmin(t)
	before := a.snapshot()
	for range 3 {
		held := holder(t, "t0")
		if a.snapshot() == before {
			t.Fatal("the child's device cannot be seen")
		}
		a.must(held.Process.Kill())
		var exit *exec.ExitError
		if err := held.Wait(); !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if after := a.snapshot(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
}

func TestOwner(t *testing.T) {
	ownNetns(t)
	machineRoot(t)
	a := newAdmin(t)
	owner := func(name string) (uint32, uint32) {
		link, err := a.nl.byName(name)
		a.must(err)
		dev := link.(*netlink.Tuntap)
		return dev.Owner, dev.Group
	}
	uid, gid := uint32(4711), uint32(815)
	mustOpen(t, Config{Name: "t0", Owner: &uid, Group: &gid})
	if u, g := owner("t0"); u != uid || g != gid {
		t.Errorf("owner %d, group %d", u, g)
	}
	// Without an owner, any user of the machine could join the device: the
	// kernel asks for no privilege then.
	mustOpen(t, Config{Name: "t1"})
	withoutCapability(t, unix.CAP_NET_ADMIN, func() {
		n, err := openNode()
		a.must(err)
		defer n.close()
		if _, err := n.attach("t0", baseFlags|unix.IFF_MULTI_QUEUE); !errors.Is(err, unix.EPERM) {
			t.Errorf("a stranger joined another's device: %v", err)
		}
	})
	stranger(t, func() {
		n, err := openNode()
		if err != nil {
			t.Errorf("open as a stranger: %v", err)
			return
		}
		defer n.close()
		if _, err := n.attach("t1", baseFlags|unix.IFF_MULTI_QUEUE); !errors.Is(err, unix.EPERM) {
			t.Errorf("a stranger joined the device of a default Open: %v", err)
		}
	})
}

// stranger runs fn as another user who may open the node: the thread's
// effective user alone changes.
func stranger(t *testing.T, fn func()) {
	t.Helper()
	ownMounts(t)
	makeNode(t, 0o666, tunMinor)
	setEUID := func(uid int) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	home := os.Geteuid()
	setEUID(home + 12345)
	defer setEUID(home)
	fn()
}

func TestNamespace(t *testing.T) {
	ownNetns(t)
	here := newAdmin(t)
	before := here.snapshot()

	// Another namespace, kept by a file in /proc of a thread that stays in it.
	path := func() string {
		home, err := os.Open("/proc/thread-self/ns/net")
		here.must(err)
		defer home.Close()
		here.must(unix.Unshare(unix.CLONE_NEWNET))
		there, err := os.Open("/proc/thread-self/ns/net")
		here.must(err)
		t.Cleanup(func() { there.Close() })
		here.must(unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
		return fmt.Sprintf("/proc/self/fd/%d", there.Fd())
	}()

	d := mustOpen(t, Config{Name: "t0", Namespace: path, Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64"), Routes: prefixes("0.0.0.0/0")})
	if after := here.snapshot(); after != before {
		t.Errorf("this namespace changed:\n%s", after)
	}
	var empty string
	inside := func(fn func(*admin)) {
		here.must(inNamespace(path, func() error { fn(newAdmin(t)); return nil }))
	}
	inside(func(a *admin) {
		if !a.exists("t0") {
			t.Error("the device is not in its namespace")
		}
	})
	// The descriptor works from here.
	f := families[1]
	inside(func(*admin) { send(t, f.udp(t), []byte("hello")) })
	f.receive(t, d, 1, room(4, 65535))
	// So does Close.
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	inside(func(a *admin) { empty = a.snapshot() })
	if strings.Contains(empty, "t0") {
		t.Errorf("left behind:\n%s", empty)
	}
	if after := here.snapshot(); after != before {
		t.Errorf("this thread is not where it was:\n%s", after)
	}
}

// TestNamespaceThreadComesHome: the thread that was elsewhere is handed back to
// the scheduler only where it came from.
func TestNamespaceThreadComesHome(t *testing.T) {
	ownNetns(t)
	const self = "/proc/thread-self/ns/net"
	target, err := openNamespace(self)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(target)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Readlink(self)
	var inside string
	if err := onNamespaceThread(target, self, func() error {
		inside, _ = os.Readlink(self)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Readlink(self); after != before || inside == before {
		t.Errorf("before %s, inside %s, after %s", before, inside, after)
	}
}

func TestNamespaceRefused(t *testing.T) {
	ownNetns(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe") // nobody writes: a plain open would wait
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), file, pipe, dir, "/dev/null", "/proc/self/ns/uts", "bad\x00path"} {
		refused(t, Config{Namespace: path}, ErrNamespace, "network namespace")
	}
	withoutCapability(t, unix.CAP_SYS_ADMIN, func() {
		// The work is done on another thread, which has its own capabilities, so
		// the refusal is provoked where it arises.
		fd, err := openNamespace("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := onNamespaceThread(fd, "here", func() error { return nil }); !errors.Is(err, ErrNoPrivilege) {
			t.Errorf("got %v, want ErrNoPrivilege", err)
		}
	})
}
