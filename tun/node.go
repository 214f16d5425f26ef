package tun

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// nodePath is where water opens the TUN driver; ours is the same.
const nodePath = "/dev/net/tun"

// baseFlags is the framing of every queue here: bare IP packets.
const baseFlags = unix.IFF_TUN | unix.IFF_NO_PI

// framingFlags are those that the kernel takes over from the first queue that
// attaches (TUN_FEATURES in drivers/net/tun.c) and that rtnetlink shows.
const framingFlags = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE

// node is a descriptor of /dev/net/tun of our own, beside water's: it claims a
// name atomically, finds out whether an attach is allowed, and puts flags back.
// It belongs to the network namespace of the thread that opened it.
type node struct{ fd int }

func openNode() (*node, error) {
	fd, err := unix.Open(nodePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nodeError(err)
	}
	return &node{fd}, nil
}

// close is idempotent.
func (n *node) close() {
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
		n.fd = -1
	}
}

// attach makes the descriptor a queue of the device, and creates the device if
// there is none. It returns the device's name.
func (n *node) attach(name string, flags uint16) (string, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(n.fd, unix.TUNSETIFF, req); err != nil {
		return "", err
	}
	return req.Name(), nil
}

// kernel are the two requests by which a kernel says that it has no offloads. Tests
// stand in for one.
type kernel struct {
	attach     func(n *node, name string, flags uint16) (string, error) // TUNSETIFF
	setOffload func(fd int, features uint) error                        // TUNSETOFFLOAD
}

func systemKernel() kernel { return kernel{(*node).attach, setOffload} }

// claim makes n the first queue of a device, by the flags and once; where the kernel
// knows no virtio_net headers, without them. It returns the flags that were taken.
func (k kernel) claim(n *node, name string, flags, once uint16) (string, uint16, error) {
	got, err := k.attach(n, name, flags|once)
	if errors.Is(err, unix.EINVAL) && flags&unix.IFF_VNET_HDR != 0 {
		flags &^= unix.IFF_VNET_HDR
		got, err = k.attach(n, name, flags|once)
	}
	return got, flags, err
}

// noOffload tells the kernel to leave nothing undone. One that does not know of
// offloads leaves nothing.
func (k kernel) noOffload(fd int) error {
	if err := k.setOffload(fd, 0); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTTY) {
		return err
	}
	return nil
}

func (n *node) setOwner(uid uint32) error { return unix.IoctlSetInt(n.fd, unix.TUNSETOWNER, int(uid)) }
func (n *node) setGroup(gid uint32) error { return unix.IoctlSetInt(n.fd, unix.TUNSETGROUP, int(gid)) }

// deviceFlags asks a queue for its device's flags.
func deviceFlags(fd int) (uint16, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return 0, err
	}
	return req.Uint16(), nil
}

// setPersist says whether the device outlives its last descriptor.
func setPersist(fd int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, value)
}

// offloadRequest is what the kernel is told that we take: packets with partial
// checksums and TCP super-segments. UDP super-segments come on top where the
// kernel knows them (Linux 6.2).
const (
	offloadRequest    = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	offloadRequestUSO = unix.TUN_F_USO4 | unix.TUN_F_USO6
)

// setOffload says what the kernel may leave undone in packets that it sends to
// the device. It is the device's property, not the queue's.
func setOffload(fd int, features uint) error {
	return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(features))
}

// headerSize and setHeaderSize are about the virtio_net header before each
// packet; the size is the device's property too.
func headerSize(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TUNGETVNETHDRSZ) }

func setHeaderSize(fd, size int) error {
	return unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, size)
}

// differing names the flags in which two sets differ, for people.
func differing(have, want uint16) string {
	names := []struct {
		bit  uint16
		name string
	}{
		{unix.IFF_TUN, "tun"}, {unix.IFF_TAP, "tap"}, {unix.IFF_NO_PI, "no_pi"},
		{unix.IFF_VNET_HDR, "vnet_hdr"}, {unix.IFF_MULTI_QUEUE, "multi_queue"},
	}
	var out []string
	for _, n := range names {
		if (have^want)&n.bit != 0 {
			state := "off"
			if have&n.bit != 0 {
				state = "on"
			}
			out = append(out, fmt.Sprintf("%s is %s", n.name, state))
		}
	}
	return strings.Join(out, ", ")
}
