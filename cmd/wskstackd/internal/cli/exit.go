package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// The exit codes. Those from 64 on are the ones of BSD's sysexits.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnavailable = 69
	exitPermission  = 77
	exitSignal      = 128 // and the signal's number
)

// exitTable is what wskstackd help exit-codes prints.
var exitTable = []struct {
	code string
	text string
}{
	{"0", "done; for demo: every claim held; for run: ended in good order, by a signal too"},
	{"1", "it failed: a claim of the demo is false, a scenario failed, the peer refused or reset the connection, it timed out or was idle, a ratio of bench is worse than its margin or of another machine, or the output cannot be written"},
	{"2", "wrong usage: an unknown command or flag, a value that cannot be (port, device name, an address that no host has, or that is not for listening), standard input closed, a file that is not what the command reads"},
	{"69", "something needed is not there: no /dev/net/tun, the device name is taken, no such namespace, no route, the name does not resolve, the address to listen on is taken, no such directory, another daemon holds the runtime directory"},
	{"77", "not permitted: a privilege or the right to open a file is missing"},
	{"128+n", "ended by signal n: 130 for interrupt, 143 for terminate; listen ends so in good order"},
}

// usageError is the caller's mistake.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errClaimsFalse ends the demo; what is false has been printed.
var errClaimsFalse = errors.New("the demo's claims do not all hold, see its verdict")

// childExit carries the exit code of the program in its namespace, which has said
// everything itself.
type childExit int

func (c childExit) Error() string {
	return fmt.Sprintf("the program in the namespace exited with %d", int(c))
}

// inNamespace runs this program once more, in a namespace of its own. The error is a
// childExit if it ran there and did not end well.
func inNamespace() error {
	exit, err := netns.Reexec(netns.Command{})
	if err == nil && exit != exitOK {
		err = childExit(exit)
	}
	return err
}

// signalled is the cause of a context that a signal has ended.
type signalled struct{ signal os.Signal }

func (s signalled) Error() string { return "ended by signal: " + s.signal.String() }

// code is the exit code that an error stands for.
func code(err error) int {
	var usage usageError
	var child childExit
	var sig signalled
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &child):
		return int(child)
	case errors.As(err, &sig):
		if n, ok := sig.signal.(syscall.Signal); ok {
			return exitSignal + int(n)
		}
		return exitFailure
	case errors.As(err, &usage), errors.Is(err, fault.ErrUsage), errors.Is(err, tun.ErrBadName), errors.Is(err, tun.ErrBadConfig):
		return exitUsage
	// Before netns.ErrPrivilege, which the demo's wires say of it too.
	case errors.Is(err, tun.ErrNoDevice), errors.Is(err, tun.ErrBusy), errors.Is(err, tun.ErrNamespace), errors.Is(err, fault.ErrUnavailable):
		return exitUnavailable
	case errors.Is(err, netns.ErrPrivilege), errors.Is(err, os.ErrPermission):
		return exitPermission
	}
	return exitFailure
}

// line is an error as one line.
func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
