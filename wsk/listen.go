package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// BasicSocket is a socket of the basic category; its methods are
// WSK_PROVIDER_BASIC_DISPATCH. It moves no data and has no address: it stands for
// the stack, whose options it reads.
type BasicSocket struct{ flow *flow }

// f returns the socket's flow, nil for a nil or zero socket: then every function
// answers STATUS_INVALID_PARAMETER.
func (s *BasicSocket) f() *flow {
	if s == nil {
		return nil
	}
	return s.flow
}

// ControlSocket gets or sets an option; see ConnectionSocket.ControlSocket. What is
// set belongs to this socket alone.
func (s *BasicSocket) ControlSocket(what ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	return s.f().controlSocket(what, controlCode, level, input, output, outputSizeReturned, i)
}

// CloseSocket closes the socket; see ConnectionSocket.CloseSocket.
func (s *BasicSocket) CloseSocket(i *irp.IRP) ntstatus.Status { return s.f().closeSocket(i) }

// ListenSocket is a socket of the listening category; its methods are
// WSK_PROVIDER_LISTEN_DISPATCH in the table's order. It comes from
// ProviderDispatch.Socket.
//
// Connections reach the client in one of two ways: through Accept, first come,
// first served, or, while no Accept is pended, through the AcceptEvent callback.
// Up to 128 wait meanwhile.
type ListenSocket struct{ flow *flow }

// f returns the socket's flow, nil for a nil or zero socket: then every function
// answers STATUS_INVALID_PARAMETER.
func (s *ListenSocket) f() *flow {
	if s == nil {
		return nil
	}
	return s.flow
}

// ControlSocket gets or sets an option, or enables and disables event callbacks;
// see ConnectionSocket.ControlSocket. Accepted sockets begin with the listening
// socket's options.
//
// With SO_WSK_EVENT_CALLBACK (after Bind) the event EventAccept is the socket's
// own. With SO_CONDITIONAL_ACCEPT, to be set before Bind on a socket that has an
// InspectEvent, each connection request is asked about first. TCP_FASTOPEN lets the
// data of SYNs in (RFC 7413), if the network does. The events of connections are a template: they are enabled on each socket
// that AcceptEvent takes and whose table has the callback, and cannot be disabled
// here.
func (s *ListenSocket) ControlSocket(what ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	return s.f().controlSocket(what, controlCode, level, input, output, outputSizeReturned, i)
}

// CloseSocket closes the socket; see ConnectionSocket.CloseSocket. Connections that
// wait are reset; accepted ones are not touched.
func (s *ListenSocket) CloseSocket(i *irp.IRP) ntstatus.Status { return s.f().closeSocket(i) }

// Bind sets the local address and starts to listen there (WskBind); see
// ConnectionSocket.Bind.
func (s *ListenSocket) Bind(localAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().bindListen(localAddress, flags, i)
}

// Accept takes the next connection (WskAccept). flags must be 0. The new socket, a
// *ConnectionSocket with the given context and table, is the Object of the IRP's
// status block; all its callbacks are disabled, unless they are static. The two
// addresses may be nil; they are filled in just before the completion routine is
// called, so they are the provider's until then. A cancelled Accept takes no
// connection.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER for nonzero flags, or
// STATUS_INVALID_DEVICE_STATE if the socket does not listen.
func (s *ListenSocket) Accept(flags uint32, acceptContext any, acceptDispatch *ClientConnectionDispatch,
	localAddress, remoteAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().accept(flags, acceptContext, acceptDispatch, localAddress, remoteAddress, i)
}

// InspectComplete decides about a pended connection request (WskInspectComplete), with
// a copy of what InspectEvent got: InspectAccept goes on with the handshake,
// InspectReject refuses the peer. It may be called from inside the callback, too. It
// answers STATUS_PENDING, also for a request that is gone while AbortEvent has yet to
// tell so; STATUS_NOT_FOUND for one that is decided or was never there;
// STATUS_INVALID_PARAMETER for a nil id or another action; STATUS_INVALID_DEVICE_STATE
// if the socket does not listen.
func (s *ListenSocket) InspectComplete(id *InspectID, action InspectAction, i *irp.IRP) ntstatus.Status {
	return s.f().inspectComplete(id, action, i)
}

// GetLocalAddress returns the local address; see
// ConnectionSocket.GetLocalAddress.
func (s *ListenSocket) GetLocalAddress(localAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getLocalAddress(localAddress, i)
}

// InspectID identifies an indicated connection request (WSK_INSPECT_ID).
type InspectID struct {
	Key          uint64
	SerialNumber uint32
}

// InspectAction is what to do with a connection request (WSK_INSPECT_ACTION).
type InspectAction uint32

// The actions. InspectPend is a callback's answer only.
const (
	InspectReject InspectAction = 0
	InspectAccept InspectAction = 1
	InspectPend   InspectAction = 2
)
