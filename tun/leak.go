package tun

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// tunDescriptors lists the descriptors of this process that are open on
// /dev/net/tun and attached to no device. Without /proc it finds none.
func tunDescriptors() map[int]bool {
	found := make(map[int]bool)
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err != nil || target != nodePath {
			continue
		}
		// EBADFD: open on the driver, but no queue of a device.
		if _, err := deviceFlags(fd); err == unix.EBADFD {
			found[fd] = true
		}
	}
	return found
}

// closeLeaked closes the descriptor that water has opened and forgotten. It is
// recognised by what only water leaves: new since before, unattached, and
// without close-on-exec, which the Go library always sets. Somebody else who
// uses water in this process, in the very microseconds between its two system
// calls, would look the same; nothing else can.
func closeLeaked(before map[int]bool) {
	for fd := range tunDescriptors() {
		if before[fd] {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}
