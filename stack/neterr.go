package stack

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// opError says in package net's words how an operation of a connection or listener
// failed. call is the system call that package net would have made: errors from
// the stack are wrapped in it, so that the text is the same, too.
//
// What the stack says is a syscall.Errno (errnoTable), net.ErrClosed or
// os.ErrDeadlineExceeded; what a context says becomes canceled or timedOut; the
// rest, such as a *net.AddrError, stays as it is.
func opError(op, call, network string, source, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: cause(call, err)}
}

// cause is the error inside an OpError.
func cause(call string, err error) error {
	var errno syscall.Errno
	var named *os.SyscallError
	switch {
	case errors.As(err, &named):
		return named
	case errors.As(err, &errno):
		return os.NewSyscallError(call, errno)
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut{}
	case errors.Is(err, context.Canceled):
		return canceled{err}
	}
	return err
}

// ended is why a context has: its cause, if it was given one, or the stack's end.
func ended(ctx context.Context) error {
	err, why := ctx.Err(), context.Cause(ctx)
	if errors.Is(why, net.ErrClosed) {
		return net.ErrClosed
	}
	if errors.Is(why, err) {
		return err
	}
	return errors.Join(err, why)
}

// timedOut is the time-out of a dial.
type timedOut struct{}

func (timedOut) Error() string   { return "i/o timeout" }
func (timedOut) Timeout() bool   { return true }
func (timedOut) Temporary() bool { return true }
func (timedOut) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// canceled is the end of a dial by its context.
type canceled struct{ why error }

func (canceled) Error() string   { return "operation was canceled" }
func (c canceled) Unwrap() error { return c.why }
