package ntstatus

import (
	"fmt"
	"strings"
)

// Explain returns a paragraph about the code: its name, its value, what it means in
// this interface, and what to do.
func (s Status) Explain() string {
	r, ok := find(s)
	if !ok {
		return fmt.Sprintf("0x%08X: not a code of this interface.", uint32(s))
	}
	kind := "an error"
	switch {
	case s.Success() && s < 0x40000000:
		kind = "a success code"
	case s.Success():
		kind = "an informational code, which counts as success"
	case s < 0xC0000000:
		kind = "a warning, which does not count as success"
	}
	what := strings.ToUpper(r.text[:1]) + r.text[1:]
	return fmt.Sprintf("%s (0x%08X), %s. %s. %s", r.name, uint32(s), kind, what, explainTable[s])
}

// explainTable has, for each code, when it comes and what to do.
var explainTable = map[Status]string{
	Success:                 "Returned by a call, it says that the IRP has completed already, before the call returned; in the IRP, that the request did what was asked. A receive with this status and no bytes is the peer's graceful end.",
	Timeout:                 "No function of the interface returns it. It is what a client makes of STATUS_CANCELLED when it cancelled a request because its own patience was over, as package await does.",
	Pending:                 "It may have just done so on another thread; in the IRP's routine PendingReturned is then true. Until then IRP and buffers are the provider's: touch neither, but for IoCancelIrp. It is never the status of a completed IRP.",
	EventPending:            "WskControlSocket was called without an IRP to disable an event callback that was running. It will not be called again, but it has not returned yet: call with an IRP to be told when it has.",
	BufferOverflow:          "WskConnectEx was given more than 65,535 bytes; or a datagram was longer than the buffer and there was no place for MSG_TRUNC; or the transport list is longer than the output. Send the rest with WskSend, or ask again with the size that was told.",
	Unsuccessful:            "The network beneath failed with an error that has no counterpart here. It is also what samples pass to IoReuseIrp, so an IRP that still has it has not completed.",
	NotImplemented:          "A client's WskClientEvent callback answers it, since no event type is defined. The provider does not return it.",
	InvalidParameter:        "A reserved flag was set, a WSK_BUF has more bytes than its chain, an address or an IRP was missing, flags exclude each other, or the category and type of a socket do not fit. An IRP that was handed in has completed with it, unless it was the IRP itself that could not be taken: NULL, or in use.",
	InvalidDeviceRequest:    "The request makes no sense for this kind of socket, as SIO_WSK_QUERY_INSPECT_ID on one that was not accepted conditionally.",
	MoreProcessingRequired:  "On Windows the completion routine of one's own IRP returns it, always. Routines return nothing here, so it is only the name that a driver's source has.",
	AccessDenied:            "A datagram was sent to a broadcast address without SO_BROADCAST, or a filter forbids the traffic. Set the option before sending.",
	BufferTooSmall:          "WskControlSocket was asked for a value that is larger than the output buffer. Nothing was written.",
	InsufficientResources:   "There is no memory, buffer or socket left for the request; the verifier's low-resources mode answers it on demand. Clean up as after any failure: the IRP has completed, and there is no object.",
	DeviceNotReady:          "The provider has not started, was stopped, or the registration is ending. WskCaptureProviderNPI gives it when its wait is over.",
	IOTimeout:               "The peer did not answer a connect, or did not acknowledge data, for as long as the stack tries. The socket of a failed connect is bound, and can be tried again.",
	FileForcedClosed:        "The socket is dead, or was closed: its provider has gone, or WskCloseSocket was called. Every call answers it; close the socket, if that was not done, and forget it.",
	NotSupported:            "The option, ioctl, flag, address family or category does not exist here. A client that sets an option for speed only, such as TCP_FASTOPEN, goes on without.",
	RequestNotAccepted:      "As the answer of WskAcceptEvent: the client does not want the connection, which is then reset. As a result: the request cannot be finished without an IRP.",
	InternalError:           "A fault of the provider, which should be reported with the IRP's history.",
	Cancelled:               "IoCancelIrp, or WskCloseSocket, or an abortive WskDisconnect (for sends), ended the request. Information has what was moved before. A cancelled connect was abandoned; after a cancelled send nobody knows how far the stream has come, so disconnect abortively.",
	InvalidConnection:       "There is no connection for the request to act upon.",
	InvalidAddress:          "The address cannot be used for what was asked.",
	InvalidDeviceState:      "The call came at the wrong point of the socket's life: connect before bind, send before connect or after a graceful disconnect, an option after the moment up to which it can be set. Nothing has changed; wsk/LIFECYCLES.md has the table.",
	InvalidBufferSize:       "A datagram is longer than UDP can carry.",
	InvalidAddressComponent: "The address is of another family than the socket, is no local one (bind), or has no host or port (connect, send).",
	TooManyAddresses:        "Every port of the dynamic range is in use. Close sockets, or bind to a port.",
	AddressAlreadyExists:    "Another socket has the address and port. Security descriptors are not supported, so addresses are never shared.",
	ConnectionDisconnected:  "The connection was ended in an orderly way and carries nothing any more.",
	ConnectionReset:         "The peer reset the connection, and what it had not acknowledged may be lost. Every later call answers the same: close the socket.",
	DataNotAccepted:         "As the answer of a receive callback: the client took nothing. Nothing more is indicated until a WskReceive has completed, one of length 0 suffices; the peer can send until the window is full.",
	NotFound:                "There is no connection request with that WSK_INSPECT_ID.",
	ConnectionRefused:       "Nothing listens on the peer's port. The socket stays bound, and the connect can be tried again. With Fast Open it comes one round trip later, since the first refusal may be that of a middlebox.",
	NetworkUnreachable:      "There is no route to the peer's network. The socket stays bound.",
	HostUnreachable:         "A router, or the stack itself, says that the peer cannot be reached. The socket stays bound.",
	ProtocolUnreachable:     "An ICMP message said so; another attempt at the same peer will end the same way.",
	PortUnreachable:         "An earlier datagram met a port on which nothing listens. It says nothing of the datagrams after it.",
	RequestAborted:          "It was dropped before anything of it was done, so it can be handed in again.",
	ConnectionAborted:       "This side has aborted the connection: by an abortive WskDisconnect, or because a limit was over. Receives and a graceful disconnect that were pended have it.",
	NoMatch:                 "WskGetAddressInfo found no such name, or no address of the family that was asked for.",
	NoInterface:             "The client asked for a version of the interface that the provider does not have. WskQueryProviderCharacteristics tells which there are; register again with one of those.",
	HopLimitExceeded:        "A datagram's hop limit was used up on the way.",
}
