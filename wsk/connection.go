package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ConnectionSocket is a socket of the connection category; its methods are
// WSK_PROVIDER_CONNECTION_DISPATCH in the table's order. It comes from ProviderDispatch.Socket or
// SocketConnect. All methods are safe for concurrent use and return without
// waiting for the network; see the package documentation.
type ConnectionSocket struct{ flow *flow }

// f returns the socket's flow, nil for a nil or zero socket: then every function
// answers STATUS_INVALID_PARAMETER.
func (s *ConnectionSocket) f() *flow {
	if s == nil {
		return nil
	}
	return s.flow
}

// ControlSocket gets or sets an option, asks for a backlog, or enables or disables
// event callbacks (WskControlSocket). input and output are
// copied from and filled before the call returns; values are little-endian u32,
// and a Boolean may also be one byte. The status block's Information is the
// number of bytes written to output. outputSizeReturned, which may be nil, is
// used only without an IRP.
//
// It answers STATUS_PENDING; STATUS_INVALID_PARAMETER for a value too short or
// out of range, or that contradicts another option; STATUS_BUFFER_TOO_SMALL;
// STATUS_INVALID_DEVICE_STATE if it is too late for the option (TCP_FASTOPEN and
// TCP_MAXSEG after connect, IPV6_V6ONLY, SO_REUSEADDR and SO_EXCLUSIVEADDRUSE after
// bind); STATUS_NOT_SUPPORTED for any other option, level or ioctl: FUNCTIONS.md lists
// them all. The ioctls SIO_WSK_QUERY_IDEAL_SEND_BACKLOG and
// SIO_WSK_QUERY_RECEIVE_BACKLOG give a number of bytes as a little-endian u64, on a
// socket that has connected. SIO_KEEPALIVE_VALS takes three u32: on or off, and the
// idle time and the interval in milliseconds.
//
// SIO_WSK_SET_TCP_SILENT_MODE makes a connection silent on which no send or disconnect
// is pended: nothing is sent any more, what comes in is dropped, and all functions but
// CloseSocket, which then sends no RST, answer STATUS_INVALID_DEVICE_STATE.
//
// Three ioctls take no IRP. SIO_WSK_QUERY_INSPECT_ID gives the Bytes of the InspectID
// that the connection was admitted by, or answers STATUS_INVALID_DEVICE_REQUEST.
// SIO_ADDRESS_LIST_QUERY gives the network's addresses of the socket's family: a count
// as u32, then the Bytes of a SockAddr for each; STATUS_BUFFER_OVERFLOW and the size
// that is needed if they do not fit. They do not change: SIO_ADDRESS_LIST_CHANGE, with an
// IRP, pends until it is cancelled or the socket ends. SIO_ADDRESS_LIST_SORT, with an
// IRP, takes a list in that form, of the socket's family (IPv4 as v4-mapped on AF_INET6),
// and gives it back in the order in which to try its addresses (RFC 6724).
// SIO_WSK_REGISTER_EXTENSION answers STATUS_NOT_SUPPORTED.
//
// SO_WSK_EVENT_CALLBACK takes the Bytes of an EventCallbackControl, on a socket that
// has connected: any number of events to enable, or EventDisable and one to disable.
// The IRP may be nil. With an IRP a disable completes when the callback no longer
// runs; without, STATUS_EVENT_PENDING says that it is running. What there is to tell
// when a callback is enabled is told at once. It answers STATUS_INVALID_PARAMETER for
// events that the socket does not have, has no callback for, or that are static.
func (s *ConnectionSocket) ControlSocket(what ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	return s.f().controlSocket(what, controlCode, level, input, output, outputSizeReturned, i)
}

// CloseSocket closes the socket (WskCloseSocket): everything pended on it is
// cancelled and completed, and then the IRP of the close, last; from then on
// nothing of the socket runs. It resets the connection unless both sides have
// disconnected gracefully. It may be called from a completion routine. It answers
// STATUS_PENDING, or STATUS_FILE_FORCED_CLOSED if the socket was closed before.
// It cannot be cancelled once it pends.
func (s *ConnectionSocket) CloseSocket(i *irp.IRP) ntstatus.Status {
	return s.f().closeSocket(i)
}

// Bind sets the local address (WskBind), of the socket's family; the wildcard
// leaves the choice of the IP to the connect, port 0 asks for a free one. flags
// must be 0. It answers STATUS_PENDING, STATUS_INVALID_PARAMETER,
// STATUS_INVALID_DEVICE_STATE if already bound, STATUS_ADDRESS_ALREADY_EXISTS or
// STATUS_ACCESS_DENIED if another socket has the address and does not share it,
// STATUS_INVALID_ADDRESS_COMPONENT if the address is not local or of another
// family, STATUS_TOO_MANY_ADDRESSES.
func (s *ConnectionSocket) Bind(localAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().bind(localAddress, flags, i)
}

// Connect connects a bound socket (WskConnect). flags must be 0. It answers
// STATUS_PENDING, and the same failures as ConnectEx.
func (s *ConnectionSocket) Connect(remoteAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().connectPlain(remoteAddress, flags, i)
}

// GetLocalAddress returns the local address (WskGetLocalAddress), which is filled
// in before the call returns. Until the socket is connected the IP is the one it
// was bound to; the port is known from Bind on. It answers STATUS_PENDING, or
// STATUS_INVALID_DEVICE_STATE if the socket is not bound.
func (s *ConnectionSocket) GetLocalAddress(localAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getLocalAddress(localAddress, i)
}

// GetRemoteAddress returns the peer's address (WskGetRemoteAddress), which is
// filled in before the call returns. It answers STATUS_PENDING, or
// STATUS_INVALID_DEVICE_STATE if the socket never connected.
func (s *ConnectionSocket) GetRemoteAddress(remoteAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getRemoteAddress(remoteAddress, i)
}

// Send sends the bytes of buffer, in the order of the calls (WskSend). The IRP
// completes when the peer has acknowledged them all; Information is their number.
// A cancelled send tells how many bytes the stack had taken; the stream's
// position is then known to nobody, so disconnect abortively. Sends complete in the
// order of the calls; one of no bytes sends nothing. flags: FlagNoDelay.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER for a buffer that its chain
// does not hold, STATUS_NOT_SUPPORTED for other flags,
// STATUS_INVALID_DEVICE_STATE if not connected or after a graceful Disconnect, or
// the status that ended the connection.
func (s *ConnectionSocket) Send(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().send(buffer, flags, i)
}

// Receive receives into buffer (WskReceive). Receives are served in the order of
// the calls. The IRP completes when at least one byte is there, with FlagWaitAll
// when the buffer is full; Information is the number of bytes, also in a
// cancelled one. After the peer's graceful disconnect every receive completes
// with STATUS_SUCCESS and what it had got, 0 as a rule. FlagDrain throws all data
// away until then and takes a buffer of Length 0. Without it, a Length of 0
// completes at once with 0.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER for a buffer that its chain
// does not hold or flags that exclude each other, STATUS_NOT_SUPPORTED for other
// flags, STATUS_INVALID_DEVICE_STATE if not connected, or the status that ended
// the connection.
func (s *ConnectionSocket) Receive(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().receive(buffer, flags, i)
}

// Disconnect ends the connection (WskDisconnect).
//
// Gracefully, with flags 0: the bytes of buffer, which may be nil, go out as the
// last after all earlier sends, then a FIN; the IRP completes when the peer has
// acknowledged it. Nothing can be sent any more, receiving goes on. A peer that
// does not acknowledge keeps it pended until an abortive Disconnect or
// CloseSocket. Cancelled before its FIN went out, it is as if it had not been
// called, but that some bytes of buffer may have been taken, as Information says.
//
// Abortively, with FlagAbortive and a nil buffer: sends end with
// STATUS_CANCELLED, receives and a graceful disconnect with
// STATUS_CONNECTION_ABORTED, and a RST goes out.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER,
// STATUS_INVALID_DEVICE_STATE if not connected or disconnected before, or the
// status that ended the connection.
func (s *ConnectionSocket) Disconnect(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().disconnect(buffer, flags, i)
}

// Release gives back data that ReceiveEvent has retained (WskRelease): any elements,
// chained by the client as it likes. All are to be given back before CloseSocket. It
// answers STATUS_SUCCESS, or STATUS_INVALID_PARAMETER and releases nothing if an
// element is not retained, or is there twice.
func (s *ConnectionSocket) Release(dataIndication *DataIndication) ntstatus.Status {
	return s.f().release(dataIndication)
}

// ConnectEx connects a bound socket and sends the bytes of buffer first
// (WskConnectEx): at most MaxConnectData, and none if buffer is nil. With
// TCP_FASTOPEN set before, some or all of them may leave in the SYN (RFC 7413);
// the server may then see them twice. The IRP completes when the connection is up
// and the peer has acknowledged the bytes; Information is their number. The
// buffer's memory is the caller's again on completion.
//
// A cancelled connect is abandoned: the socket is bound again, or, if the
// connection was up, aborted. A failed one leaves the socket bound, and it may be
// tried again; if the connection came up and broke before all bytes were sent,
// the socket is aborted.
//
// It answers STATUS_PENDING or, in this order of precedence,
// STATUS_FILE_FORCED_CLOSED for a dead or closed socket, STATUS_INVALID_PARAMETER
// for nonzero flags, STATUS_BUFFER_OVERFLOW for too many bytes,
// STATUS_INVALID_PARAMETER for a buffer that its chain does not hold,
// STATUS_INVALID_DEVICE_STATE if the socket is not bound or has connected,
// STATUS_INVALID_ADDRESS_COMPONENT for an address of another family or without
// host or port. The IRP can also complete with STATUS_CONNECTION_REFUSED,
// STATUS_IO_TIMEOUT, STATUS_NETWORK_UNREACHABLE, STATUS_HOST_UNREACHABLE,
// STATUS_PROTOCOL_UNREACHABLE, STATUS_CONNECTION_RESET or STATUS_CANCELLED.
func (s *ConnectionSocket) ConnectEx(remoteAddress *SockAddr, buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().connectEx(remoteAddress, buffer, flags, i)
}

// SendEx is Send with control information, of which TCP takes none (WskSendEx): it
// answers STATUS_NOT_SUPPORTED if there is any, else what Send answers.
func (s *ConnectionSocket) SendEx(buffer *Buf, flags uint32, controlInfo []byte, i *irp.IRP) ntstatus.Status {
	return s.f().sendEx(buffer, flags, controlInfo, i)
}

// ReceiveEx is Receive with control information, of which TCP has none
// (WskReceiveEx): *controlInfoLength, which may be nil, becomes 0 before the call
// returns, and controlInfo is not used. controlFlags is reserved and must be nil, else
// it answers STATUS_INVALID_PARAMETER.
func (s *ConnectionSocket) ReceiveEx(buffer *Buf, flags uint32, controlInfoLength *uint32, controlInfo []byte,
	controlFlags *uint32, i *irp.IRP) ntstatus.Status {
	return s.f().receiveEx(buffer, flags, controlInfoLength, controlFlags, i)
}
