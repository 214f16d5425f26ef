package ntstatus

import "syscall"

// The codes, in the order of their values. Each stands for the Windows code of
// the same name (InvalidParameter for STATUS_INVALID_PARAMETER).
const (
	Success                 Status = 0x00000000 // STATUS_SUCCESS: the operation is done
	Timeout                 Status = 0x00000102 // STATUS_TIMEOUT: the caller's own wait has run out
	Pending                 Status = 0x00000103 // STATUS_PENDING: the operation completes later
	EventPending            Status = 0x40000013 // STATUS_EVENT_PENDING: the event callback is disabled once its running calls have returned
	BufferOverflow          Status = 0x80000005 // STATUS_BUFFER_OVERFLOW: the data is larger than the limit or the buffer
	Unsuccessful            Status = 0xC0000001 // STATUS_UNSUCCESSFUL: the operation failed for a reason that has no code of its own
	NotImplemented          Status = 0xC0000002 // STATUS_NOT_IMPLEMENTED: the function is not implemented
	InvalidParameter        Status = 0xC000000D // STATUS_INVALID_PARAMETER: a parameter is not valid
	InvalidDeviceRequest    Status = 0xC0000010 // STATUS_INVALID_DEVICE_REQUEST: the request does not fit this kind of object
	MoreProcessingRequired  Status = 0xC0000016 // STATUS_MORE_PROCESSING_REQUIRED: the completion routine keeps the IRP
	AccessDenied            Status = 0xC0000022 // STATUS_ACCESS_DENIED: access is denied
	BufferTooSmall          Status = 0xC0000023 // STATUS_BUFFER_TOO_SMALL: the output buffer is too small for the value
	InsufficientResources   Status = 0xC000009A // STATUS_INSUFFICIENT_RESOURCES: there is not enough memory or buffer space
	DeviceNotReady          Status = 0xC00000A3 // STATUS_DEVICE_NOT_READY: the provider is not there, or the registration is ending
	IOTimeout               Status = 0xC00000B5 // STATUS_IO_TIMEOUT: the peer did not answer in time
	FileForcedClosed        Status = 0xC00000B6 // STATUS_FILE_FORCED_CLOSED: the socket no longer works; close it
	NotSupported            Status = 0xC00000BB // STATUS_NOT_SUPPORTED: the option, flag or kind of socket is not supported
	RequestNotAccepted      Status = 0xC00000D0 // STATUS_REQUEST_NOT_ACCEPTED: the request cannot be finished without an IRP, or the connection was not accepted
	InternalError           Status = 0xC00000E5 // STATUS_INTERNAL_ERROR: internal error
	Cancelled               Status = 0xC0000120 // STATUS_CANCELLED: the operation was cancelled
	InvalidConnection       Status = 0xC0000140 // STATUS_INVALID_CONNECTION: there is no connection
	InvalidAddress          Status = 0xC0000141 // STATUS_INVALID_ADDRESS: the address is not valid
	InvalidDeviceState      Status = 0xC0000184 // STATUS_INVALID_DEVICE_STATE: the socket's state does not allow the call
	InvalidBufferSize       Status = 0xC0000206 // STATUS_INVALID_BUFFER_SIZE: the buffer has the wrong size
	InvalidAddressComponent Status = 0xC0000207 // STATUS_INVALID_ADDRESS_COMPONENT: the address is not local, or not of the socket's family
	TooManyAddresses        Status = 0xC0000209 // STATUS_TOO_MANY_ADDRESSES: no port is free
	AddressAlreadyExists    Status = 0xC000020A // STATUS_ADDRESS_ALREADY_EXISTS: the address is in use
	ConnectionDisconnected  Status = 0xC000020C // STATUS_CONNECTION_DISCONNECTED: the connection is closed
	ConnectionReset         Status = 0xC000020D // STATUS_CONNECTION_RESET: the peer reset the connection
	DataNotAccepted         Status = 0xC000021B // STATUS_DATA_NOT_ACCEPTED: the event callback did not take the data
	NotFound                Status = 0xC0000225 // STATUS_NOT_FOUND: there is no such object
	ConnectionRefused       Status = 0xC0000236 // STATUS_CONNECTION_REFUSED: the peer refused the connection
	NetworkUnreachable      Status = 0xC000023C // STATUS_NETWORK_UNREACHABLE: there is no route to the network
	HostUnreachable         Status = 0xC000023D // STATUS_HOST_UNREACHABLE: the host cannot be reached
	ProtocolUnreachable     Status = 0xC000023E // STATUS_PROTOCOL_UNREACHABLE: the host does not speak the protocol
	PortUnreachable         Status = 0xC000023F // STATUS_PORT_UNREACHABLE: nothing listens on the port
	RequestAborted          Status = 0xC0000240 // STATUS_REQUEST_ABORTED: an abort dropped the request
	ConnectionAborted       Status = 0xC0000241 // STATUS_CONNECTION_ABORTED: this side aborted the connection
	NoMatch                 Status = 0xC0000272 // STATUS_NO_MATCH: the name cannot be resolved
	NoInterface             Status = 0xC00002B9 // STATUS_NOINTERFACE: the provider does not have the version asked for
	HopLimitExceeded        Status = 0xC000A012 // STATUS_HOPLIMIT_EXCEEDED: the hop limit ran out on the way
)

// row is what is known of one code. errno is the nearest Linux error, 0 if the
// code is no failure of the network.
type row struct {
	status Status
	name   string
	errno  syscall.Errno
	text   string
}

// table is never written to.
var table = [...]row{
	{Success, "STATUS_SUCCESS", 0, "the operation is done"},
	{Timeout, "STATUS_TIMEOUT", syscall.ETIMEDOUT, "the caller's own wait has run out"},
	{Pending, "STATUS_PENDING", 0, "the operation completes later"},
	{EventPending, "STATUS_EVENT_PENDING", 0, "the event callback is disabled once its running calls have returned"},
	{BufferOverflow, "STATUS_BUFFER_OVERFLOW", syscall.EMSGSIZE, "the data is larger than the limit or the buffer"},
	{Unsuccessful, "STATUS_UNSUCCESSFUL", 0, "the operation failed for a reason that has no code of its own"},
	{NotImplemented, "STATUS_NOT_IMPLEMENTED", syscall.ENOSYS, "the function is not implemented"},
	{InvalidParameter, "STATUS_INVALID_PARAMETER", syscall.EINVAL, "a parameter is not valid"},
	{InvalidDeviceRequest, "STATUS_INVALID_DEVICE_REQUEST", syscall.EOPNOTSUPP, "the request does not fit this kind of object"},
	{MoreProcessingRequired, "STATUS_MORE_PROCESSING_REQUIRED", 0, "the completion routine keeps the IRP"},
	{AccessDenied, "STATUS_ACCESS_DENIED", syscall.EACCES, "access is denied"},
	{BufferTooSmall, "STATUS_BUFFER_TOO_SMALL", syscall.ENOBUFS, "the output buffer is too small for the value"},
	{InsufficientResources, "STATUS_INSUFFICIENT_RESOURCES", syscall.ENOMEM, "there is not enough memory or buffer space"},
	{DeviceNotReady, "STATUS_DEVICE_NOT_READY", syscall.EAGAIN, "the provider is not there, or the registration is ending"},
	{IOTimeout, "STATUS_IO_TIMEOUT", syscall.ETIMEDOUT, "the peer did not answer in time"},
	{FileForcedClosed, "STATUS_FILE_FORCED_CLOSED", syscall.EBADF, "the socket no longer works; close it"},
	{NotSupported, "STATUS_NOT_SUPPORTED", syscall.EOPNOTSUPP, "the option, flag or kind of socket is not supported"},
	{RequestNotAccepted, "STATUS_REQUEST_NOT_ACCEPTED", syscall.EWOULDBLOCK, "the request cannot be finished without an IRP, or the connection was not accepted"},
	{InternalError, "STATUS_INTERNAL_ERROR", syscall.EIO, "internal error"},
	{Cancelled, "STATUS_CANCELLED", syscall.ECANCELED, "the operation was cancelled"},
	{InvalidConnection, "STATUS_INVALID_CONNECTION", syscall.ENOTCONN, "there is no connection"},
	{InvalidAddress, "STATUS_INVALID_ADDRESS", syscall.EADDRNOTAVAIL, "the address is not valid"},
	{InvalidDeviceState, "STATUS_INVALID_DEVICE_STATE", syscall.EISCONN, "the socket's state does not allow the call"},
	{InvalidBufferSize, "STATUS_INVALID_BUFFER_SIZE", syscall.EMSGSIZE, "the buffer has the wrong size"},
	{InvalidAddressComponent, "STATUS_INVALID_ADDRESS_COMPONENT", syscall.EADDRNOTAVAIL, "the address is not local, or not of the socket's family"},
	{TooManyAddresses, "STATUS_TOO_MANY_ADDRESSES", syscall.EADDRINUSE, "no port is free"},
	{AddressAlreadyExists, "STATUS_ADDRESS_ALREADY_EXISTS", syscall.EADDRINUSE, "the address is in use"},
	{ConnectionDisconnected, "STATUS_CONNECTION_DISCONNECTED", syscall.EPIPE, "the connection is closed"},
	{ConnectionReset, "STATUS_CONNECTION_RESET", syscall.ECONNRESET, "the peer reset the connection"},
	{DataNotAccepted, "STATUS_DATA_NOT_ACCEPTED", 0, "the event callback did not take the data"},
	{NotFound, "STATUS_NOT_FOUND", syscall.ENOENT, "there is no such object"},
	{ConnectionRefused, "STATUS_CONNECTION_REFUSED", syscall.ECONNREFUSED, "the peer refused the connection"},
	{NetworkUnreachable, "STATUS_NETWORK_UNREACHABLE", syscall.ENETUNREACH, "there is no route to the network"},
	{HostUnreachable, "STATUS_HOST_UNREACHABLE", syscall.EHOSTUNREACH, "the host cannot be reached"},
	{ProtocolUnreachable, "STATUS_PROTOCOL_UNREACHABLE", syscall.ENOPROTOOPT, "the host does not speak the protocol"},
	{PortUnreachable, "STATUS_PORT_UNREACHABLE", syscall.ECONNRESET, "nothing listens on the port"},
	{RequestAborted, "STATUS_REQUEST_ABORTED", syscall.EINTR, "an abort dropped the request"},
	{ConnectionAborted, "STATUS_CONNECTION_ABORTED", syscall.ECONNABORTED, "this side aborted the connection"},
	{NoMatch, "STATUS_NO_MATCH", syscall.ENOENT, "the name cannot be resolved"},
	{NoInterface, "STATUS_NOINTERFACE", syscall.EPROTONOSUPPORT, "the provider does not have the version asked for"},
	{HopLimitExceeded, "STATUS_HOPLIMIT_EXCEEDED", syscall.EHOSTUNREACH, "the hop limit ran out on the way"},
}

func find(s Status) (row, bool) {
	for i := range table {
		if table[i].status == s {
			return table[i], true
		}
	}
	return row{}, false
}
