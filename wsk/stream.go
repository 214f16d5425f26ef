package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// StreamSocket is a socket of the stream category; its methods are
// WSK_PROVIDER_STREAM_DISPATCH in the table's order. It comes from
// ProviderDispatch.Socket. Listen commits it to the listening flow, Connect and
// ConnectEx to that of connections; the other flow's functions answer
// STATUS_INVALID_DEVICE_STATE from then on.
type StreamSocket struct{ flow *flow }

// f returns the socket's flow, nil for a nil or zero socket: then every function
// answers STATUS_INVALID_PARAMETER.
func (s *StreamSocket) f() *flow {
	if s == nil {
		return nil
	}
	return s.flow
}

// ControlSocket gets or sets an option; see ConnectionSocket.ControlSocket.
func (s *StreamSocket) ControlSocket(what ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	return s.f().controlSocket(what, controlCode, level, input, output, outputSizeReturned, i)
}

// CloseSocket closes the socket; see ConnectionSocket.CloseSocket.
func (s *StreamSocket) CloseSocket(i *irp.IRP) ntstatus.Status {
	return s.f().closeSocket(i)
}

// Bind sets the local address; see ConnectionSocket.Bind.
func (s *StreamSocket) Bind(localAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().bind(localAddress, flags, i)
}

// Accept takes the next connection; see ListenSocket.Accept.
func (s *StreamSocket) Accept(flags uint32, acceptContext any, acceptDispatch *ClientConnectionDispatch,
	localAddress, remoteAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().accept(flags, acceptContext, acceptDispatch, localAddress, remoteAddress, i)
}

// Connect connects a bound socket, and commits it to the connection flow
// (WskConnect); see ConnectionSocket.Connect.
func (s *StreamSocket) Connect(remoteAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().connectPlain(remoteAddress, flags, i)
}

// Listen makes a bound socket listen (WskListen); the IRP completes as soon as it
// does. It answers STATUS_PENDING, STATUS_INVALID_DEVICE_STATE if the socket is not
// bound or has connected, or STATUS_ADDRESS_ALREADY_EXISTS.
func (s *StreamSocket) Listen(i *irp.IRP) ntstatus.Status { return s.f().listen(i) }

// Send sends bytes; see ConnectionSocket.Send.
func (s *StreamSocket) Send(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().send(buffer, flags, i)
}

// Receive receives bytes; see ConnectionSocket.Receive.
func (s *StreamSocket) Receive(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().receive(buffer, flags, i)
}

// Disconnect ends the connection; see ConnectionSocket.Disconnect.
func (s *StreamSocket) Disconnect(buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().disconnect(buffer, flags, i)
}

// Release gives back retained data; see ConnectionSocket.Release.
func (s *StreamSocket) Release(dataIndication *DataIndication) ntstatus.Status {
	return s.f().release(dataIndication)
}

// GetLocalAddress returns the local address; see
// ConnectionSocket.GetLocalAddress.
func (s *StreamSocket) GetLocalAddress(localAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getLocalAddress(localAddress, i)
}

// GetRemoteAddress returns the peer's address; see
// ConnectionSocket.GetRemoteAddress.
func (s *StreamSocket) GetRemoteAddress(remoteAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getRemoteAddress(remoteAddress, i)
}

// ConnectEx connects a bound socket with first bytes, and commits it to the
// connection flow (WskConnectEx); see ConnectionSocket.ConnectEx.
func (s *StreamSocket) ConnectEx(remoteAddress *SockAddr, buffer *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().connectEx(remoteAddress, buffer, flags, i)
}

// SendEx sends bytes with control information; see ConnectionSocket.SendEx.
func (s *StreamSocket) SendEx(buffer *Buf, flags uint32, controlInfo []byte, i *irp.IRP) ntstatus.Status {
	return s.f().sendEx(buffer, flags, controlInfo, i)
}

// ReceiveEx receives bytes with control information; see ConnectionSocket.ReceiveEx.
func (s *StreamSocket) ReceiveEx(buffer *Buf, flags uint32, controlInfoLength *uint32, controlInfo []byte,
	controlFlags *uint32, i *irp.IRP) ntstatus.Status {
	return s.f().receiveEx(buffer, flags, controlInfoLength, controlFlags, i)
}
