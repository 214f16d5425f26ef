package tun

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs fn on a thread that is in the network namespace at path, or
// in the caller's own when path is empty, and returns what fn returned. fn
// must not start goroutines that matter to it: they would run elsewhere.
func inNamespace(path string, fn func() error) error {
	if path == "" {
		// Locked all the same: the descriptors that fn opens belong to the
		// namespace of the thread that opens them.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return fn()
	}
	target, err := openNamespace(path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(target) }()

	result := make(chan error, 1)
	go func() { result <- onNamespaceThread(target, path, fn) }()
	return <-result
}

// onNamespaceThread moves its thread to the namespace, runs fn and moves it
// back. If the way back is barred, the thread stays locked and ends with the
// goroutine, so that no other goroutine ever runs in the wrong namespace.
func onNamespaceThread(target int, path string, fn func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fail(ErrSystem, "cannot tell this thread's network namespace (%v): mount /proc", err)
	}
	defer func() { _ = unix.Close(home) }()
	if err := unix.Setns(target, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		if errors.Is(err, unix.EPERM) {
			return fail(ErrNoPrivilege, "may not enter the network namespace %q (%v): run as root (CAP_SYS_ADMIN)", path, err)
		}
		return fail(ErrNamespace, "%q is not a network namespace (%v): give a path such as /run/netns/NAME or /proc/PID/ns/net", path, err)
	}
	err = fn()
	if back := unix.Setns(home, unix.CLONE_NEWNET); back == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// openNamespace opens the file of a namespace. It never blocks, not even on a
// named pipe.
func openNamespace(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, fail(ErrNoPrivilege, "may not open the network namespace %q (%v): run as root", path, err)
	case err != nil:
		return -1, fail(ErrNamespace, "cannot open the network namespace %q (%v): 'ip netns list' and 'lsns -t net' show what there is", path, err)
	}
	return fd, nil
}
