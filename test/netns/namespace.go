package netns

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace held by a descriptor. Its methods may be
// called from any goroutine, at the same time.
type Namespace struct {
	mu sync.Mutex
	// fd is nil after Close.
	fd *os.File // guarded by mu
	// handle is made at the first call of Netlink.
	handle *netlink.Handle // guarded by mu
}

// New makes an empty network namespace: its only device is lo, and that is down.
// The calling thread stays where it is.
func New() (*Namespace, error) {
	var fd *os.File
	err := onThread(
		func() error { return explain("making a network namespace", unix.Unshare(unix.CLONE_NEWNET)) },
		func() (err error) { fd, err = openSelf(); return err },
	)
	if err != nil {
		return nil, err
	}
	return &Namespace{fd: fd}, nil
}

// Open takes hold of an existing namespace by its path: one under
// /run/netns, /proc/PID/ns/net, or the [Namespace.Path] of another.
func Open(path string) (*Namespace, error) {
	fd, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netns: %w", err)
	}
	ns := &Namespace{fd: fd}
	// Entering it once says now, and not at first use, that the file is no
	// network namespace or that it may not be entered.
	if err := ns.Do(func() error { return nil }); err != nil {
		fd.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ns, nil
}

// Available says whether New works here, by making a namespace and letting it
// go. A nil error means yes; otherwise the error says why not and what to do.
func Available() error {
	ns, err := New()
	if err != nil {
		return err
	}
	return ns.Close()
}

// Do runs f inside the namespace, on a thread locked to it, and returns what f
// returns. It waits for f.
//
// What f opens (sockets, devices, files of /proc/thread-self/net and /proc/sys/net)
// belongs to the namespace and may be used anywhere afterwards. Goroutines that f
// starts do not run in it; in particular a net.Dialer given a name or several
// addresses dials from goroutines of its own.
func (ns *Namespace) Do(f func() error) error {
	fd, err := ns.dup()
	if err != nil {
		return err
	}
	defer fd.Close()
	return onThread(func() error {
		return explain("entering a network namespace", unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET))
	}, f)
}

// dup gives a descriptor of one's own, so that a Close meanwhile cannot make
// another file out of its number.
func (ns *Namespace) dup() (*os.File, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.fd == nil {
		return nil, fmt.Errorf("netns: the namespace is closed: %w", os.ErrClosed)
	}
	n, err := unix.FcntlInt(ns.fd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("netns: no descriptor for the namespace: %w", err)
	}
	return os.NewFile(uintptr(n), ns.fd.Name()), nil
}

// Path names the namespace for calls that want a path. It is good in this
// process, all its threads, until Close.
func (ns *Namespace) Path() string {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.fd == nil {
		return ""
	}
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(ns.fd.Fd()))
}

// Netlink gives the namespace's route netlink handle: links, addresses, routes,
// neighbours. It belongs to the namespace, which closes it; calls through it may
// come from any goroutine.
func (ns *Namespace) Netlink() (*netlink.Handle, error) {
	ns.mu.Lock()
	handle := ns.handle
	ns.mu.Unlock()
	if handle != nil {
		return handle, nil
	}
	err := ns.Do(func() (err error) { handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); return err })
	if err != nil {
		return nil, fmt.Errorf("netns: no netlink socket in the namespace: %w", err)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	switch {
	case ns.fd == nil:
		handle.Close()
		return nil, fmt.Errorf("netns: the namespace is closed: %w", os.ErrClosed)
	case ns.handle != nil: // somebody else was faster
		handle.Close()
	default:
		ns.handle = handle
	}
	return ns.handle, nil
}

// LinkUp sets a device of the namespace up, lo for one.
func (ns *Namespace) LinkUp(name string) error {
	handle, err := ns.Netlink()
	if err != nil {
		return err
	}
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("netns: device %q: %w", name, err)
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("netns: setting device %q up: %w", name, err)
	}
	return nil
}

// Close lets the namespace go. It ends when the last socket and device in it is
// closed too. Idempotent.
func (ns *Namespace) Close() error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.fd == nil {
		return nil
	}
	if ns.handle != nil {
		ns.handle.Close()
		ns.handle = nil
	}
	err := ns.fd.Close()
	ns.fd = nil
	return err
}
