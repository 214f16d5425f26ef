package ntstatus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Error is a Status in the form of a Go error; Status.Err makes it.
//
// errors.Is(err, ntstatus.ConnectionRefused.Err()) compares codes. errors.Is
// also matches the syscall.Errno that stands for the same failure on Linux
// (ECONNREFUSED here), net.ErrClosed for FileForcedClosed, context.Canceled for
// Cancelled, and os.ErrDeadlineExceeded for IOTimeout.
type Error Status

// Error returns the code's name, its value, and what it means.
func (e Error) Error() string {
	r, ok := find(Status(e))
	if !ok {
		return Status(e).String()
	}
	return fmt.Sprintf("%s (0x%08X): %s", r.name, uint32(e), r.text)
}

// Status returns the code.
func (e Error) Status() Status { return Status(e) }

// Is makes errors.Is match the standard library's word for the same failure.
func (e Error) Is(target error) bool {
	switch target {
	case net.ErrClosed:
		return Status(e) == FileForcedClosed
	case context.Canceled:
		return Status(e) == Cancelled
	case os.ErrDeadlineExceeded:
		return Status(e) == IOTimeout
	}
	errno, ok := target.(syscall.Errno)
	if !ok {
		return false
	}
	r, ok := find(Status(e))
	return ok && r.errno != 0 && r.errno == errno
}

// FromError returns the code that err carries (Success for nil), and whether it
// carries one.
func FromError(err error) (Status, bool) {
	if err == nil {
		return Success, true
	}
	var e Error
	if errors.As(err, &e) {
		return Status(e), true
	}
	return Unsuccessful, false
}
