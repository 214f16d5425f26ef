package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// DatagramSocket is a socket of the datagram category, for UDP, or raw for ICMP and
// ICMPv6; its methods are WSK_PROVIDER_DATAGRAM_DISPATCH in the table's order. It comes
// from ProviderDispatch.Socket.
//
// A raw socket has no port: those of addresses are ignored, and 0 in what it tells. It
// sends what the IP packet carries, with the ICMP checksum in it (that of ICMPv6 is
// filled in), and receives that with the IPv4 header in front, or none for IPv6.
type DatagramSocket struct{ flow *flow }

// f returns the socket's flow, nil for a nil or zero socket: then every function
// answers STATUS_INVALID_PARAMETER.
func (s *DatagramSocket) f() *flow {
	if s == nil {
		return nil
	}
	return s.flow
}

// ControlSocket gets or sets an option, fixes the peer, or enables or disables the
// event callback; see ConnectionSocket.ControlSocket.
//
// On a bound socket, the ioctl SIO_WSK_SET_REMOTE_ADDRESS takes the Bytes of a
// SockAddr: it is where datagrams go that have no address of their own, and datagrams
// from elsewhere are dropped. SIO_WSK_SET_SENDTO_ADDRESS sets the former alone. An
// empty input takes either back. SO_WSK_EVENT_CALLBACK knows EventReceiveFrom.
// IP_ADD_MEMBERSHIP and its kin take an IP_MREQ or IPV6_MREQ, in binary form.
// IP_PKTINFO, IP_HOPLIMIT, IP_RECVTOS, IP_RECVECN and their kin of IPV6 ask for control
// information about received datagrams. UDP_SEND_MSG_SIZE has SendTo and SendMessages
// cut a longer buffer into datagrams of so many bytes.
func (s *DatagramSocket) ControlSocket(what ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	return s.f().controlSocket(what, controlCode, level, input, output, outputSizeReturned, i)
}

// CloseSocket closes the socket; see ConnectionSocket.CloseSocket.
func (s *DatagramSocket) CloseSocket(i *irp.IRP) ntstatus.Status { return s.f().closeSocket(i) }

// Bind sets the local address; see ConnectionSocket.Bind. The wildcard receives on
// all addresses.
func (s *DatagramSocket) Bind(localAddress *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return s.f().bind(localAddress, flags, i)
}

// SendTo sends one datagram (WskSendTo). flags must be 0. remoteAddress may be nil
// if the peer was fixed. controlInfo is nil or a list of control messages:
// IPPROTO_IP with IP_TTL or IP_HOPLIMIT, IPPROTO_IPV6 with IPV6_HOPLIMIT, each an
// i32 from 1 to 255. Both are copied. Information is the number of bytes.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER for nonzero flags, a buffer
// that its chain does not hold, no address or a malformed list,
// STATUS_NOT_SUPPORTED for other control messages, STATUS_INVALID_ADDRESS_COMPONENT
// for an address of another family or without host or port,
// STATUS_INVALID_DEVICE_STATE if not bound. The IRP can also complete with
// STATUS_INVALID_BUFFER_SIZE (too long for a datagram), STATUS_ACCESS_DENIED
// (a broadcast without SO_BROADCAST), STATUS_NETWORK_UNREACHABLE or
// STATUS_HOST_UNREACHABLE.
func (s *DatagramSocket) SendTo(buffer *Buf, flags uint32, remoteAddress *SockAddr, controlInfo []byte, i *irp.IRP) ntstatus.Status {
	return s.f().sendTo(&BufList{Buffer: bufOf(buffer)}, buffer != nil, flags, remoteAddress, controlInfo, i)
}

// ReceiveFrom receives one datagram (WskReceiveFrom); requests are served in the
// order of the calls. flags must be 0. remoteAddress, which may be nil, becomes the
// sender. controlLength, which may be nil, is the number of bytes that controlInfo
// has room for, and becomes the number used; without it controlInfo and
// controlFlags are not used. controlFlags, which may be nil, becomes a mask of
// MSG_TRUNC, MSG_CTRUNC, MSG_BCAST and MSG_MCAST. All are filled in just before the
// IRP completes. Information is the number of bytes.
//
// What buffer does not hold is lost: the IRP completes with STATUS_SUCCESS and
// MSG_TRUNC if there are controlFlags, else with STATUS_BUFFER_OVERFLOW. It answers
// STATUS_PENDING, STATUS_INVALID_PARAMETER, or STATUS_INVALID_DEVICE_STATE if not
// bound.
func (s *DatagramSocket) ReceiveFrom(buffer *Buf, flags uint32, remoteAddress *SockAddr, controlLength *uint32, controlInfo []byte, controlFlags *uint32, i *irp.IRP) ntstatus.Status {
	return s.f().receiveFrom(buffer, flags, &receiveRequest{remoteAddress, controlLength, controlInfo, controlFlags}, i)
}

// Release gives back datagrams that ReceiveFromEvent has retained; see
// ConnectionSocket.Release.
func (s *DatagramSocket) Release(datagramIndication *DatagramIndication) ntstatus.Status {
	return s.f().releaseDatagrams(datagramIndication)
}

// GetLocalAddress returns the local address; see
// ConnectionSocket.GetLocalAddress.
func (s *DatagramSocket) GetLocalAddress(localAddress *SockAddr, i *irp.IRP) ntstatus.Status {
	return s.f().getLocalAddress(localAddress, i)
}

// SendMessages sends each buffer of the list as one datagram, all of them to the
// same address with the same control information (WskSendMessages); see SendTo. The
// nodes of the list are read before the call returns, their memory until the IRP
// completes. Information is the sum of bytes. If one fails, those before it have
// been sent, and Information says how much that was.
func (s *DatagramSocket) SendMessages(bufferList *BufList, flags uint32, remoteAddress *SockAddr, controlInfo []byte, i *irp.IRP) ntstatus.Status {
	return s.f().sendTo(bufferList, bufferList != nil, flags, remoteAddress, controlInfo, i)
}

// BufList is a list of datagrams (WSK_BUF_LIST).
type BufList struct {
	Next   *BufList
	Buffer Buf
}

func bufOf(b *Buf) Buf {
	if b == nil {
		return Buf{}
	}
	return *b
}

// ClientDatagramDispatch is WSK_CLIENT_DATAGRAM_DISPATCH.
type ClientDatagramDispatch struct {
	ReceiveFromEvent ReceiveFromEvent
}

func (*ClientDatagramDispatch) eventTable() {}

// DatagramIndication is a list of received datagrams (WSK_DATAGRAM_INDICATION).
type DatagramIndication struct {
	Next          *DatagramIndication
	Buffer        Buf
	ControlInfo   []byte // control messages, as the options ask for them
	RemoteAddress *SockAddr
}

// ReceiveFromEvent tells of received datagrams while no ReceiveFrom is pended
// (WskReceiveFromEvent). The client answers:
//
//   - STATUS_SUCCESS: it is done with them;
//   - STATUS_PENDING: they are the client's until it gives them back with Release;
//   - STATUS_DATA_NOT_ACCEPTED: the datagrams are kept and the callback is disabled,
//     until it is enabled again; if it is static, they are dropped and it stays on;
//   - every other status: they are dropped.
//
// flags may hold MSG_BCAST or MSG_MCAST, for all of the list. A nil list says that
// the socket is dead and to be closed.
type ReceiveFromEvent func(socketContext any, flags uint32, dataIndication *DatagramIndication) ntstatus.Status
