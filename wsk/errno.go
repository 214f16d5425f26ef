package wsk

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// during says what a transport was doing when it failed: some errors mean
// something else there.
type during uint8

const (
	always     during = iota
	binding           // Transport.Bind
	connecting        // Transport.Connect, until the handshake is over
	setting           // an option
)

// errnoRow translates one errno. The first row that fits is used.
type errnoRow struct {
	errno  syscall.Errno
	during during
	status ntstatus.Status
}

// errnoTable is never written to.
var errnoTable = [...]errnoRow{
	{syscall.EAGAIN, binding, ntstatus.TooManyAddresses}, // no port is free
	{syscall.EAGAIN, connecting, ntstatus.TooManyAddresses},
	{syscall.ECONNRESET, connecting, ntstatus.ConnectionRefused},
	{syscall.ENOPROTOOPT, connecting, ntstatus.ProtocolUnreachable}, // an ICMP error says so
	{syscall.EINVAL, setting, ntstatus.InvalidParameter},
	{syscall.ENODEV, binding, ntstatus.InvalidParameter},
	{syscall.ENODEV, connecting, ntstatus.InvalidParameter},
	{syscall.ENODEV, setting, ntstatus.InvalidParameter},

	{syscall.ECONNREFUSED, always, ntstatus.ConnectionRefused},
	{syscall.ETIMEDOUT, always, ntstatus.IOTimeout},
	{syscall.ENETUNREACH, always, ntstatus.NetworkUnreachable},
	{syscall.ENETDOWN, always, ntstatus.NetworkUnreachable},
	{syscall.ENONET, always, ntstatus.NetworkUnreachable},
	{syscall.EHOSTUNREACH, always, ntstatus.HostUnreachable},
	{syscall.EHOSTDOWN, always, ntstatus.HostUnreachable},
	{syscall.ECONNRESET, always, ntstatus.ConnectionReset},
	{syscall.ECONNABORTED, always, ntstatus.ConnectionAborted},
	{syscall.EPIPE, always, ntstatus.ConnectionDisconnected},
	{syscall.ESHUTDOWN, always, ntstatus.ConnectionDisconnected},
	{syscall.ENOTCONN, always, ntstatus.InvalidDeviceState},
	{syscall.EINVAL, always, ntstatus.InvalidDeviceState},
	{syscall.EISCONN, always, ntstatus.InvalidDeviceState},
	{syscall.EALREADY, always, ntstatus.InvalidDeviceState},
	{syscall.EINPROGRESS, always, ntstatus.InvalidDeviceState},
	{syscall.EBUSY, always, ntstatus.InvalidDeviceState},
	{syscall.EADDRINUSE, always, ntstatus.AddressAlreadyExists},
	{syscall.EEXIST, always, ntstatus.AddressAlreadyExists},
	{syscall.EADDRNOTAVAIL, always, ntstatus.InvalidAddressComponent},
	{syscall.EFAULT, always, ntstatus.InvalidAddressComponent},
	{syscall.EAFNOSUPPORT, always, ntstatus.NotSupported},
	{syscall.EPROTONOSUPPORT, always, ntstatus.NotSupported},
	{syscall.EDESTADDRREQ, always, ntstatus.InvalidParameter},
	{syscall.EMSGSIZE, always, ntstatus.InvalidBufferSize},
	{syscall.ENOBUFS, always, ntstatus.InsufficientResources},
	{syscall.ENOMEM, always, ntstatus.InsufficientResources},
	{syscall.EACCES, always, ntstatus.AccessDenied},
	{syscall.EPERM, always, ntstatus.AccessDenied},
	{syscall.EOPNOTSUPP, always, ntstatus.NotSupported},
	{syscall.ENOPROTOOPT, always, ntstatus.NotSupported},
	{syscall.ENOTTY, always, ntstatus.NotSupported},
	{syscall.ENODEV, always, ntstatus.FileForcedClosed}, // the interface is gone
}

// statusOf translates a transport's error.
func statusOf(err error, when during) ntstatus.Status {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return ntstatus.Success
	case errors.Is(err, net.ErrClosed):
		return ntstatus.FileForcedClosed
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ntstatus.Unsuccessful
	}
	for _, r := range errnoTable {
		if r.errno == errno && (r.during == always || r.during == when) {
			return r.status
		}
	}
	return ntstatus.Unsuccessful
}

// notNow reports whether the transport only asks to be tried again when it wakes.
func notNow(err error) bool { return errors.Is(err, syscall.EAGAIN) }
