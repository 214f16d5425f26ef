package wsk

import "github.com/wskstack/wskstack/wsk/ntstatus"

// EventTable is a socket's table of event callbacks, the client dispatch of its
// category: *ClientListenDispatch for listening sockets, *ClientDatagramDispatch for
// datagram sockets, *ClientConnectionDispatch
// for connection sockets, *ClientStreamDispatch for stream sockets; nil for basic
// sockets and for a socket without callbacks. A table is read, never written to,
// while its socket lives.
//
// The callbacks and the completion routines of one socket are called one after the
// other, on a goroutine of the socket's and under no lock. None may wait for a
// request; each may start requests and close the socket, whose close then completes
// after the callback has returned.
type EventTable interface{ eventTable() }

// ClientListenDispatch is WSK_CLIENT_LISTEN_DISPATCH. InspectEvent and AbortEvent are
// on exactly if SO_CONDITIONAL_ACCEPT was set before Bind, for good; AbortEvent may
// be nil.
type ClientListenDispatch struct {
	AcceptEvent  AcceptEvent
	InspectEvent InspectEvent
	AbortEvent   AbortEvent
}

// ClientConnectionDispatch is WSK_CLIENT_CONNECTION_DISPATCH. A callback that is not
// used is nil, and cannot be enabled.
type ClientConnectionDispatch struct {
	ReceiveEvent     ReceiveEvent
	DisconnectEvent  DisconnectEvent
	SendBacklogEvent SendBacklogEvent
}

// ClientStreamDispatch is WSK_CLIENT_STREAM_DISPATCH: the tables of either flow.
type ClientStreamDispatch struct {
	Listen  *ClientListenDispatch
	Connect *ClientConnectionDispatch
}

func (*ClientListenDispatch) eventTable()     {}
func (*ClientConnectionDispatch) eventTable() {}
func (*ClientStreamDispatch) eventTable()     {}

// AcceptEvent tells of an accepted connection (WskAcceptEvent). The client answers
// STATUS_SUCCESS, having set acceptContext and acceptDispatch for the new socket,
// before it enables the socket's callbacks; or STATUS_REQUEST_NOT_ACCEPTED (every
// other status means the same): then the provider resets the connection and the
// client leaves the socket alone. A nil acceptSocket says that the listening socket
// is dead and to be closed; this comes once, and all other arguments but
// socketContext are then nil or zero. flags is 0. The pointers are valid until the
// callback returns.
type AcceptEvent func(socketContext any, flags uint32, localAddress, remoteAddress *SockAddr,
	acceptSocket *ConnectionSocket, acceptContext *any, acceptDispatch **ClientConnectionDispatch) ntstatus.Status

// InspectEvent asks about a connection request before its handshake
// (WskInspectEvent): the peer's SYN is held and not answered until the client decides.
// It answers InspectAccept: the handshake goes on, and the connection comes with Accept
// or AcceptEvent, or, if it dies before, AbortEvent does; InspectReject (every other
// action means the same): the peer is refused with a reset, and nothing follows; or
// InspectPend: it decides later, with InspectComplete and a copy of *inspectID. A
// request waits for 75 seconds; at most 128 do at a time, and what comes beyond is
// dropped, for the peer to repeat. The pointers are valid until the callback returns. A
// nil inspectID says that the socket is dead and to be closed; this comes if AcceptEvent
// is not enabled to tell it.
type InspectEvent func(socketContext any, localAddress, remoteAddress *SockAddr, inspectID *InspectID) InspectAction

// AbortEvent tells that a request that InspectEvent was called for, and that was not
// rejected, is gone before its connection was accepted (WskAbortEvent): the peer took it
// back, or its time was up. What it returns does not matter; STATUS_SUCCESS is the
// custom.
type AbortEvent func(socketContext any, inspectID *InspectID) ntstatus.Status

// DataIndication is a list of received data, in order (WSK_DATA_INDICATION).
type DataIndication struct {
	Next   *DataIndication
	Buffer Buf
}

// ReceiveEvent tells of received data while no Receive is pended (WskReceiveEvent).
// The client answers:
//
//   - STATUS_SUCCESS: it is done with the first *bytesAccepted bytes, which is
//     bytesIndicated unless it says less. If it does, the rest is kept, and nothing
//     is indicated any more until a Receive has completed, one of Length 0 suffices;
//   - STATUS_PENDING: the list is the client's until it gives it back with Release;
//     indications go on, up to 1 MiB or SO_RCVBUF;
//   - STATUS_DATA_NOT_ACCEPTED, and every other status: as if 0 bytes had been
//     accepted. The peer may send until the transport's buffer is full.
//
// The list and its memory are valid until the callback returns, or Release. flags
// may hold FlagReleaseASAP: a lot is retained. A nil list says that the socket is
// dead and to be closed; bytesAccepted is then nil.
type ReceiveEvent func(socketContext any, flags uint32, dataIndication *DataIndication,
	bytesIndicated uint64, bytesAccepted *uint64) ntstatus.Status

// DisconnectEvent tells, once, that the peer has ended the connection
// (WskDisconnectEvent): gracefully, after all its data was received, or, with
// FlagAbortive in flags, by a reset or by not answering any more. What it returns
// does not matter; STATUS_SUCCESS is the custom.
type DisconnectEvent func(socketContext any, flags uint32) ntstatus.Status

// SendBacklogEvent tells that another amount of data in sends that have not
// completed, in bytes, keeps the connection busy (WskSendBacklogEvent). What it
// returns does not matter; STATUS_SUCCESS is the custom.
type SendBacklogEvent func(socketContext any, idealBacklogSize uint64) ntstatus.Status

// clientTables is what a socket was given, by flow; nil where there is nothing.
type clientTables struct {
	listen     *ClientListenDispatch
	connection *ClientConnectionDispatch
	datagram   *ClientDatagramDispatch
}

// tablesOf checks a client dispatch against a category.
func tablesOf(c *category, dispatch EventTable) (clientTables, ntstatus.Status) {
	var t clientTables
	fits := dispatch == nil
	switch d := dispatch.(type) {
	case *ClientListenDispatch:
		t.listen, fits = d, c.flag == FlagListenSocket
	case *ClientConnectionDispatch:
		t.connection, fits = d, c.flag == FlagConnectionSocket
	case *ClientDatagramDispatch:
		t.datagram, fits = d, c.flag == FlagDatagramSocket
	case *ClientStreamDispatch:
		fits = c.flag == FlagStreamSocket
		if d != nil {
			t.listen, t.connection = d.Listen, d.Connect
		}
	}
	if !fits {
		return clientTables{}, ntstatus.InvalidParameter
	}
	return t, ntstatus.Success
}

// has returns the events that the tables have callbacks for.
func (t clientTables) has() uint32 {
	var mask uint32
	if t.listen != nil && t.listen.AcceptEvent != nil {
		mask |= EventAccept
	}
	if t.datagram != nil && t.datagram.ReceiveFromEvent != nil {
		mask |= EventReceiveFrom
	}
	if c := t.connection; c != nil {
		if c.ReceiveEvent != nil {
			mask |= EventReceive
		}
		if c.DisconnectEvent != nil {
			mask |= EventDisconnect
		}
		if c.SendBacklogEvent != nil {
			mask |= EventSendBacklog
		}
	}
	return mask
}
