package tun

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/tun/internal/ippkt"
)

// What went wrong, for errors.Is. Each error that Open returns is exactly one
// of the first seven; its text is one line that says what and what to do.
var (
	// ErrBadConfig: a field of Config cannot be used as it is.
	ErrBadConfig = errors.New("bad configuration")
	// ErrBadName: the device name is too long, or has a character that the
	// kernel or its tools refuse.
	ErrBadName = errors.New("bad device name")
	// ErrNoPrivilege: the process may not do it. Also os.ErrPermission.
	ErrNoPrivilege error = &sentinel{"no privilege", os.ErrPermission}
	// ErrNoDevice: this machine offers no /dev/net/tun. Also os.ErrNotExist.
	ErrNoDevice error = &sentinel{"no TUN here", os.ErrNotExist}
	// ErrBusy: the device, its name or a route is in use by somebody else.
	ErrBusy = errors.New("in use")
	// ErrNamespace: Config.Namespace is not a network namespace.
	ErrNamespace = errors.New("no such network namespace")
	// ErrSystem: the kernel refused for a reason that the text names.
	ErrSystem = errors.New("the system refused")

	// ErrClosed is what Read and Write return after Close. It is os.ErrClosed
	// and net.ErrClosed at once.
	ErrClosed error = closedError{}
	// ErrGone is what Read and Write return once the kernel's side of the
	// device is gone (deleted by an administrator). It is permanent: close the
	// Device. Also syscall.ENODEV, by which readers that do not know this package
	// see that it is.
	ErrGone error = &sentinel{"tun: the device was deleted: close it and open a new one", unix.ENODEV}
	// ErrOffload is what Write returns for a packet with offload facts that
	// Offloads did not promise.
	ErrOffload = ippkt.ErrOffload
	// ErrPacket is what Write returns for a packet whose Size is not the sum of
	// its Views, or that has no or too many bytes or views.
	ErrPacket = ippkt.ErrPacket
)

// sentinel is a kind of error that is also one of the standard library's kinds.
type sentinel struct {
	text string
	base error
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.base }

type closedError struct{}

func (closedError) Error() string { return "tun: the device is closed" }
func (closedError) Is(target error) bool {
	return target == os.ErrClosed || target == net.ErrClosed
}

// problem is an error of Open: a kind for errors.Is and a line for people. The
// errno behind it is in the line and not in the chain where it would say too
// much: EACCES for an address means that IPv6 is off, not that a privilege is
// missing.
type problem struct {
	kind error
	text string
}

func (p *problem) Error() string { return "tun: " + p.text }
func (p *problem) Unwrap() error { return p.kind }

func fail(kind error, format string, args ...any) error {
	return &problem{kind: kind, text: fmt.Sprintf(format, args...)}
}

// withUndo adds to a failure that what had been changed could not all be taken
// back. The kind stays.
func withUndo(err, undo error) error {
	return &problem{kind: err, text: fmt.Sprintf("%s; moreover: %v", strings.TrimPrefix(err.Error(), "tun: "), undo)}
}

// nodeError explains a failed open of /dev/net/tun.
func nodeError(err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fail(ErrNoPrivilege, "may not open %s (%v): run as root, or let an administrator give this user read and write access to it", nodePath, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fail(ErrNoDevice, "there is no %s (%v): load the module with 'modprobe tun', or give it to the container with --device %s", nodePath, err, nodePath)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ELOOP):
		return fail(ErrNoDevice, "%s is there, but no TUN driver behind it (%v): load the module with 'modprobe tun'", nodePath, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fail(ErrSystem, "cannot open %s (%v): raise the limit of open files (ulimit -n)", nodePath, err)
	}
	return fail(ErrSystem, "cannot open %s: %v", nodePath, err)
}
