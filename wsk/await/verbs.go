package await

import (
	"encoding/binary"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// None is what a call gives that gives nothing but its status.
type None = struct{}

// submit is the shape of every function of package wsk once all but the IRP is known.
type submit = func(i *irp.IRP) ntstatus.Status

// plain is a call that gives nothing.
func plain(f submit) Verb[None] {
	return Verb[None]{func() (submit, func(irp.StatusBlock) None) { return f, nil }}
}

// counted is a call that gives a number of bytes, its Information.
func counted(f submit) Verb[int] {
	return Verb[int]{func() (submit, func(irp.StatusBlock) int) {
		return f, func(b irp.StatusBlock) int { return int(b.Information) }
	}}
}

// making is a call that gives what it has made, a *T in its Object.
func making[S any](f submit) Verb[S] {
	return Verb[S]{func() (submit, func(irp.StatusBlock) S) {
		return f, func(b irp.StatusBlock) S {
			made, _ := b.Object.(S) // the zero value of a call that failed
			return made
		}
	}}
}

// filling is a call that fills in a T, which is told if the call succeeds.
func filling[T any](f func(out *T, i *irp.IRP) ntstatus.Status) Verb[T] {
	return Verb[T]{func() (submit, func(irp.StatusBlock) T) {
		out := new(T)
		return func(i *irp.IRP) ntstatus.Status { return f(out, i) },
			func(b irp.StatusBlock) (zero T) {
				if b.Status != ntstatus.Success {
					return zero
				}
				return *out
			}
	}}
}

// receiving is a call that receives into a buffer of size bytes of its own, and gives
// the part of it that was filled, whatever the status.
func receiving(size int, f func(buffer *wsk.Buf, i *irp.IRP) ntstatus.Status) Verb[[]byte] {
	return Verb[[]byte]{func() (submit, func(irp.StatusBlock) []byte) {
		memory := make([]byte, size)
		return func(i *irp.IRP) ntstatus.Status { return f(wsk.NewBuf(memory), i) },
			func(b irp.StatusBlock) []byte { return memory[:min(int(b.Information), size)] }
	}}
}

// bufOf describes the caller's memory; nil, no buffer at all, stays nil.
func bufOf(data []byte) *wsk.Buf {
	if data == nil {
		return nil
	}
	return wsk.NewBuf(data)
}

// What the categories' tables have in common, slot by slot.
type (
	// Closer is every socket.
	Closer interface {
		CloseSocket(i *irp.IRP) ntstatus.Status
	}
	// Controlled is every socket.
	Controlled interface {
		ControlSocket(what wsk.ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status
	}
	// Binder is every socket but a basic one.
	Binder interface {
		Bind(localAddress *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
	}
	// Local is every socket but a basic one.
	Local interface {
		GetLocalAddress(localAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
	// Acceptor is a listening or a stream socket.
	Acceptor interface {
		Accept(flags uint32, acceptContext any, acceptDispatch *wsk.ClientConnectionDispatch, localAddress, remoteAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
	// Connector is a connection or a stream socket.
	Connector interface {
		Connect(remoteAddress *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
		ConnectEx(remoteAddress *wsk.SockAddr, buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		GetRemoteAddress(remoteAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
	// Connection is a connection or a stream socket.
	Connection interface {
		Send(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Receive(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Disconnect(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
	}
)

// Socket makes a socket (WskSocket); S is the type of the category:
//
//	await.Socket[*wsk.ListenSocket](npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil, nil)
func Socket[S Closer](npi wsk.ProviderNPI, addressFamily, socketType uint16, protocol, flags uint32,
	socketContext any, dispatch wsk.EventTable) Verb[S] {
	return making[S](func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, addressFamily, socketType, protocol, flags, socketContext, dispatch, i)
	})
}

// SocketConnect makes a connection socket, binds and connects it (WskSocketConnect).
func SocketConnect(npi wsk.ProviderNPI, localAddress, remoteAddress wsk.SockAddr,
	socketContext any, dispatch *wsk.ClientConnectionDispatch) Verb[*wsk.ConnectionSocket] {
	var table wsk.EventTable
	if dispatch != nil {
		table = dispatch
	}
	return making[*wsk.ConnectionSocket](func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.SocketConnect(npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &localAddress, &remoteAddress, 0, socketContext, table, i)
	})
}

// GetAddressInfo resolves a name (WskGetAddressInfo); the list is given back with
// ProviderDispatch.FreeAddressInfo.
func GetAddressInfo(npi wsk.ProviderNPI, nodeName, serviceName string, hints *wsk.AddrInfo) Verb[*wsk.AddrInfo] {
	return filling(func(out **wsk.AddrInfo, i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.GetAddressInfo(npi.Client, nodeName, serviceName, hints, out, i)
	})
}

// NameInfo is what GetNameInfo gives.
type NameInfo struct{ NodeName, ServiceName string }

// GetNameInfo finds the names of an address (WskGetNameInfo).
func GetNameInfo(npi wsk.ProviderNPI, address wsk.SockAddr, flags uint32) Verb[NameInfo] {
	return filling(func(out *NameInfo, i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.GetNameInfo(npi.Client, &address, &out.NodeName, &out.ServiceName, flags, i)
	})
}

// TransportListChange waits until the list of transports changes (WskControlClient
// with WSK_TRANSPORT_LIST_CHANGE).
func TransportListChange(npi wsk.ProviderNPI) Verb[None] {
	return plain(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.ControlClient(npi.Client, wsk.TransportListChange, nil, nil, nil, i)
	})
}

// Bind sets the local address (WskBind); a listening socket listens from then on.
func Bind(s Binder, localAddress wsk.SockAddr) Verb[None] {
	return plain(func(i *irp.IRP) ntstatus.Status { return s.Bind(&localAddress, 0, i) })
}

// Listen makes a bound stream socket listen (WskListen).
func Listen(s *wsk.StreamSocket) Verb[None] { return plain(s.Listen) }

// Accept takes the next connection (WskAccept).
func Accept(s Acceptor, acceptContext any, acceptDispatch *wsk.ClientConnectionDispatch) Verb[*wsk.ConnectionSocket] {
	return making[*wsk.ConnectionSocket](func(i *irp.IRP) ntstatus.Status {
		return s.Accept(0, acceptContext, acceptDispatch, nil, nil, i)
	})
}

// Connect connects a bound socket (WskConnect).
func Connect(s Connector, remoteAddress wsk.SockAddr) Verb[None] {
	return plain(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remoteAddress, 0, i) })
}

// ConnectEx connects a bound socket and sends data first (WskConnectEx); nil data is no
// buffer. It gives the number of bytes sent.
func ConnectEx(s Connector, remoteAddress wsk.SockAddr, data []byte) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status { return s.ConnectEx(&remoteAddress, bufOf(data), 0, i) })
}

// Send sends data (WskSend) and gives the number of bytes sent.
func Send(s Connection, data []byte, flags uint32) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf(data), flags, i) })
}

// Receive receives at most size bytes (WskReceive) and gives them: none with
// STATUS_SUCCESS is the peer's end.
func Receive(s Connection, size int, flags uint32) Verb[[]byte] {
	return receiving(size, func(b *wsk.Buf, i *irp.IRP) ntstatus.Status { return s.Receive(b, flags, i) })
}

// Disconnect ends the connection (WskDisconnect), after data, which may be nil, or with
// FlagAbortive at once. It gives the number of bytes of data that were sent.
func Disconnect(s Connection, data []byte, flags uint32) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status { return s.Disconnect(bufOf(data), flags, i) })
}

// SendTo sends one datagram (WskSendTo); a nil address is the fixed peer's. It gives
// the number of bytes sent.
func SendTo(s *wsk.DatagramSocket, data []byte, remoteAddress *wsk.SockAddr, controlInfo []byte) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status {
		return s.SendTo(wsk.NewBuf(data), 0, remoteAddress, controlInfo, i)
	})
}

// SendMessages sends each element of datagrams as one datagram (WskSendMessages) and
// gives the sum of their bytes.
func SendMessages(s *wsk.DatagramSocket, datagrams [][]byte, remoteAddress *wsk.SockAddr, controlInfo []byte) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status {
		var list *wsk.BufList
		link := &list
		for _, d := range datagrams {
			*link = &wsk.BufList{Buffer: *wsk.NewBuf(d)}
			link = &(*link).Next
		}
		return s.SendMessages(list, 0, remoteAddress, controlInfo, i)
	})
}

// Datagram is what ReceiveFrom gives.
type Datagram struct {
	Data          []byte
	RemoteAddress wsk.SockAddr
	ControlInfo   []byte
	ControlFlags  uint32 // MSG_TRUNC and so on
}

// ReceiveFrom receives one datagram (WskReceiveFrom) of at most size bytes, with at
// most controlSize bytes of control messages.
func ReceiveFrom(s *wsk.DatagramSocket, size, controlSize int) Verb[Datagram] {
	return Verb[Datagram]{func() (submit, func(irp.StatusBlock) Datagram) {
		d := Datagram{Data: make([]byte, size), ControlInfo: make([]byte, controlSize)}
		used := uint32(controlSize)
		return func(i *irp.IRP) ntstatus.Status {
				return s.ReceiveFrom(wsk.NewBuf(d.Data), 0, &d.RemoteAddress, &used, d.ControlInfo, &d.ControlFlags, i)
			}, func(b irp.StatusBlock) Datagram {
				if b.Status != ntstatus.Success {
					return Datagram{}
				}
				got := d // others may ask as well
				got.Data, got.ControlInfo = d.Data[:b.Information], d.ControlInfo[:used]
				return got
			}
	}}
}

// GetLocalAddress gives the local address (WskGetLocalAddress).
func GetLocalAddress(s Local) Verb[wsk.SockAddr] { return filling(s.GetLocalAddress) }

// GetRemoteAddress gives the peer's address (WskGetRemoteAddress).
func GetRemoteAddress(s Connector) Verb[wsk.SockAddr] { return filling(s.GetRemoteAddress) }

// SetOption sets an option (WskControlSocket with WskSetOption).
func SetOption(s Controlled, level, option, value uint32) Verb[None] {
	in := binary.LittleEndian.AppendUint32(nil, value)
	return plain(func(i *irp.IRP) ntstatus.Status {
		return s.ControlSocket(wsk.SetOption, option, level, in, nil, nil, i)
	})
}

// GetOption gives an option's value (WskControlSocket with WskGetOption).
func GetOption(s Controlled, level, option uint32) Verb[uint32] {
	return Verb[uint32]{func() (submit, func(irp.StatusBlock) uint32) {
		out := make([]byte, 4)
		return func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.GetOption, option, level, nil, out, nil, i)
		}, func(irp.StatusBlock) uint32 { return binary.LittleEndian.Uint32(out) }
	}}
}

// Ioctl gives what an ioctl code put out, at most size bytes (WskControlSocket with
// WskIoctl).
func Ioctl(s Controlled, code uint32, input []byte, size int) Verb[[]byte] {
	return Verb[[]byte]{func() (submit, func(irp.StatusBlock) []byte) {
		out := make([]byte, size)
		return func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.Ioctl, code, 0, input, out, nil, i)
		}, func(b irp.StatusBlock) []byte { return out[:min(int(b.Information), size)] }
	}}
}

// CloseSocket closes a socket (WskCloseSocket). It cannot be cancelled: a limit that
// is over does not end it.
func CloseSocket(s Closer) Verb[None] { return plain(s.CloseSocket) }

// InspectComplete decides about a connection request for which InspectEvent answered
// InspectPend (WskInspectComplete).
func InspectComplete(s *wsk.ListenSocket, id wsk.InspectID, action wsk.InspectAction) Verb[None] {
	return plain(func(i *irp.IRP) ntstatus.Status { return s.InspectComplete(&id, action, i) })
}

// ConnectionEx is a connection or a stream socket.
type ConnectionEx interface {
	SendEx(buffer *wsk.Buf, flags uint32, controlInfo []byte, i *irp.IRP) ntstatus.Status
	ReceiveEx(buffer *wsk.Buf, flags uint32, controlInfoLength *uint32, controlInfo []byte, controlFlags *uint32, i *irp.IRP) ntstatus.Status
}

// SendEx sends data (WskSendEx) and gives the number of bytes sent.
func SendEx(s ConnectionEx, data []byte, flags uint32, controlInfo []byte) Verb[int] {
	return counted(func(i *irp.IRP) ntstatus.Status { return s.SendEx(wsk.NewBuf(data), flags, controlInfo, i) })
}

// ReceiveEx receives at most size bytes (WskReceiveEx) and gives them. TCP has no
// control information.
func ReceiveEx(s ConnectionEx, size int, flags uint32) Verb[[]byte] {
	return receiving(size, func(b *wsk.Buf, i *irp.IRP) ntstatus.Status {
		return s.ReceiveEx(b, flags, new(uint32), nil, nil, i)
	})
}
