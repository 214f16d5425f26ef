package stack

import (
	"reflect"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnoTable is the one table of netstack's errors in the words of POSIX. Where
// several could be meant it says what Linux says; ErrNoPortAvailable is what a
// connect of TCP says (bindErrno has what a bind says), also for UDP, where Linux has
// EAGAIN: that means "not now" here, which a later wake makes good.
//
// ErrWouldBlock is EAGAIN, and ErrClosedForReceive is io.EOF where a connection
// is read from.
var errnoTable = map[reflect.Type]syscall.Errno{
	reflect.TypeFor[*tcpip.ErrAborted]():                      syscall.EPIPE,
	reflect.TypeFor[*tcpip.ErrAddressFamilyNotSupported]():    syscall.EAFNOSUPPORT,
	reflect.TypeFor[*tcpip.ErrAlreadyBound]():                 syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrAlreadyConnected]():             syscall.EISCONN,
	reflect.TypeFor[*tcpip.ErrAlreadyConnecting]():            syscall.EALREADY,
	reflect.TypeFor[*tcpip.ErrBadAddress]():                   syscall.EFAULT,
	reflect.TypeFor[*tcpip.ErrBadBuffer]():                    syscall.EFAULT,
	reflect.TypeFor[*tcpip.ErrBadLocalAddress]():              syscall.EADDRNOTAVAIL,
	reflect.TypeFor[*tcpip.ErrBroadcastDisabled]():            syscall.EACCES,
	reflect.TypeFor[*tcpip.ErrClosedForReceive]():             syscall.ESHUTDOWN,
	reflect.TypeFor[*tcpip.ErrClosedForSend]():                syscall.EPIPE,
	reflect.TypeFor[*tcpip.ErrConnectStarted]():               syscall.EINPROGRESS,
	reflect.TypeFor[*tcpip.ErrConnectionAborted]():            syscall.ECONNABORTED,
	reflect.TypeFor[*tcpip.ErrConnectionRefused]():            syscall.ECONNREFUSED,
	reflect.TypeFor[*tcpip.ErrConnectionReset]():              syscall.ECONNRESET,
	reflect.TypeFor[*tcpip.ErrDestinationRequired]():          syscall.EDESTADDRREQ,
	reflect.TypeFor[*tcpip.ErrDuplicateAddress]():             syscall.EEXIST,
	reflect.TypeFor[*tcpip.ErrDuplicateNICID]():               syscall.EEXIST,
	reflect.TypeFor[*tcpip.ErrEndpointBusy]():                 syscall.EBUSY,
	reflect.TypeFor[*tcpip.ErrHostDown]():                     syscall.EHOSTDOWN,
	reflect.TypeFor[*tcpip.ErrHostUnreachable]():              syscall.EHOSTUNREACH,
	reflect.TypeFor[*tcpip.ErrInvalidEndpointState]():         syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrInvalidNICID]():                 syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrInvalidOptionValue]():           syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrInvalidPortRange]():             syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrMalformedHeader]():              syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrMessageTooLong]():               syscall.EMSGSIZE,
	reflect.TypeFor[*tcpip.ErrMissingRequiredFields]():        syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrMulticastInputCannotBeOutput](): syscall.EINVAL,
	reflect.TypeFor[*tcpip.ErrNetworkUnreachable]():           syscall.ENETUNREACH,
	reflect.TypeFor[*tcpip.ErrNoBufferSpace]():                syscall.ENOBUFS,
	reflect.TypeFor[*tcpip.ErrNoNet]():                        syscall.ENONET,
	reflect.TypeFor[*tcpip.ErrNoPortAvailable]():              syscall.EADDRNOTAVAIL,
	reflect.TypeFor[*tcpip.ErrNoSuchFile]():                   syscall.ENOENT,
	reflect.TypeFor[*tcpip.ErrNotConnected]():                 syscall.ENOTCONN,
	reflect.TypeFor[*tcpip.ErrNotPermitted]():                 syscall.EPERM,
	reflect.TypeFor[*tcpip.ErrNotSupported]():                 syscall.EOPNOTSUPP,
	reflect.TypeFor[*tcpip.ErrPortInUse]():                    syscall.EADDRINUSE,
	reflect.TypeFor[*tcpip.ErrQueueSizeNotSupported]():        syscall.ENOTTY,
	reflect.TypeFor[*tcpip.ErrTimeout]():                      syscall.ETIMEDOUT,
	reflect.TypeFor[*tcpip.ErrUnknownDevice]():                syscall.ENODEV,
	reflect.TypeFor[*tcpip.ErrUnknownNICID]():                 syscall.ENODEV,
	reflect.TypeFor[*tcpip.ErrUnknownProtocol]():              syscall.EPROTONOSUPPORT,
	reflect.TypeFor[*tcpip.ErrUnknownProtocolOption]():        syscall.ENOPROTOOPT,
	reflect.TypeFor[*tcpip.ErrWouldBlock]():                   syscall.EAGAIN,
}

// toErrno translates an error of netstack's; nil is nil. An error that the table
// does not know, which a test of the table excludes, is EIO.
func toErrno(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock: // by far the most frequent
		return syscall.EAGAIN
	}
	if errno, ok := errnoTable[reflect.TypeOf(err)]; ok {
		return errno
	}
	return syscall.EIO
}

// bindErrno is toErrno for a bind: that no port is free is EADDRINUSE there, as on
// Linux.
func bindErrno(err tcpip.Error) error {
	if _, none := err.(*tcpip.ErrNoPortAvailable); none {
		return syscall.EADDRINUSE
	}
	return toErrno(err)
}
