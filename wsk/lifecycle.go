package wsk

import (
	"fmt"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// This file is the life of a socket as data: what each function answers in each
// state, what happenings do to the state, and what becomes of operations that are
// pended when the socket's world changes. Nothing here is ever written to.

// State is where a socket is in its life; a snapshot as soon as it is read.
type State uint8

// The states.
const (
	Init         State = iota // created
	Bound                     // the local address is set
	Connecting                // a connect is pended
	Connected                 // open both ways
	SendClosing               // own graceful disconnect issued, its FIN not acknowledged
	SendClosed                // own FIN acknowledged; may still receive
	RecvClosed                // the peer's FIN was seen; may still send
	BothClosing               // both: own FIN not acknowledged, the peer's seen
	Disconnected              // both directions closed gracefully; close sends no RST
	Aborted                   // own abort, reset or fatal timeout; its status is latched
	Listening                 // accepting connections
	Conditional               // accepting connections that the client has let in
	Silent                    // SIO_WSK_SET_TCP_SILENT_MODE; only close works
	Dead                      // the stack withdrew the socket; only close works
	Closing                   // CloseSocket was called
	Closed                    // over
	numStates
)

// function is a function of the dispatch tables, or a part of one that has rules
// of its own.
type function uint8

const (
	fnBind             function = iota
	fnBindListen                // Bind of a listening socket
	fnBindConditional           // the same after SO_CONDITIONAL_ACCEPT
	fnListen                    //
	fnAccept                    //
	fnInspectComplete           //
	fnConnect                   // Connect and ConnectEx
	fnSend                      //
	fnReceive                   //
	fnDisconnect                // Disconnect, graceful
	fnAbort                     // Disconnect, abortive
	fnGetLocalAddress           //
	fnGetRemoteAddress          //
	fnSetBeforeBind             // ControlSocket: options that must precede Bind
	fnSetBeforeConnect          // ControlSocket: options that must precede Connect, or are for listening
	fnControl                   // ControlSocket: everything else
	fnEvents                    // ControlSocket: SO_WSK_EVENT_CALLBACK
	fnQueryBacklog              // ControlSocket: the ioctls about backlogs
	fnSilence                   // ControlSocket: SIO_WSK_SET_TCP_SILENT_MODE
	fnSendTo                    // SendTo and SendMessages
	fnReceiveFrom               //
	fnFixAddress                // ControlSocket: the ioctls that fix a peer
	fnEventsDatagram            // ControlSocket: SO_WSK_EVENT_CALLBACK of datagram sockets
	fnClose                     //
	numFunctions
)

// answer is what a function does in a state.
type answer uint8

const (
	refuse  answer = iota // STATUS_INVALID_DEVICE_STATE
	proceed               // the function is legal and does its work
	nothing               // STATUS_SUCCESS, there is nothing left to do
	latched               // the status that ended the connection
	forced                // STATUS_FILE_FORCED_CLOSED
)

// cell is the answer, and with proceed the state the socket is in from then on.
type cell struct {
	answer answer
	next   State
}

func to(next State) cell { return cell{proceed, next} }
func none() cell         { return cell{answer: nothing} }
func last() cell         { return cell{answer: latched} }
func dead() cell         { return cell{answer: forced} }

// stateTable is the table function x state. A cell that is left out refuses.
var stateTable = [numFunctions][numStates]cell{
	fnBind: {
		Init: to(Bound),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnBindListen: {
		Init: to(Listening),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnBindConditional: {
		Init: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnListen: {
		Bound: to(Listening),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnAccept: {
		Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnInspectComplete: {
		Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnConnect: {
		Bound: to(Connecting),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnSend: {
		Connected: to(Connected), RecvClosed: to(RecvClosed),
		Aborted: last(), Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnReceive: {
		Connected: to(Connected), SendClosing: to(SendClosing), SendClosed: to(SendClosed),
		RecvClosed: none(), BothClosing: none(), Disconnected: none(),
		Aborted: last(), Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnDisconnect: {
		Connected: to(SendClosing), RecvClosed: to(BothClosing), Disconnected: none(),
		Aborted: last(), Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnAbort: {
		Connected: to(Aborted), SendClosing: to(Aborted), SendClosed: to(Aborted),
		RecvClosed: to(Aborted), BothClosing: to(Aborted), Disconnected: none(), Aborted: none(),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnGetLocalAddress: {
		Bound: to(Bound), Connecting: to(Connecting), Connected: to(Connected),
		SendClosing: to(SendClosing), SendClosed: to(SendClosed), RecvClosed: to(RecvClosed),
		BothClosing: to(BothClosing), Disconnected: to(Disconnected), Aborted: to(Aborted),
		Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnGetRemoteAddress: {
		Connected: to(Connected), SendClosing: to(SendClosing), SendClosed: to(SendClosed),
		RecvClosed: to(RecvClosed), BothClosing: to(BothClosing), Disconnected: to(Disconnected),
		Aborted: to(Aborted), Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnSetBeforeBind: {
		Init: to(Init),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnSetBeforeConnect: {
		Init: to(Init), Bound: to(Bound), Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnControl: {
		Init: to(Init), Bound: to(Bound), Connecting: to(Connecting), Connected: to(Connected),
		SendClosing: to(SendClosing), SendClosed: to(SendClosed), RecvClosed: to(RecvClosed),
		BothClosing: to(BothClosing), Disconnected: to(Disconnected), Aborted: to(Aborted),
		Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnEvents: {
		Connected: to(Connected), SendClosing: to(SendClosing), SendClosed: to(SendClosed),
		RecvClosed: to(RecvClosed), BothClosing: to(BothClosing), Disconnected: to(Disconnected),
		Aborted: to(Aborted), Listening: to(Listening), Conditional: to(Conditional),
		Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnQueryBacklog: {
		Connected: to(Connected), SendClosing: to(SendClosing), SendClosed: to(SendClosed),
		RecvClosed: to(RecvClosed), BothClosing: to(BothClosing), Disconnected: to(Disconnected),
		Aborted: last(), Dead: dead(), Closing: dead(), Closed: dead(),
	},
	fnSilence: {
		Connected: to(Silent),
		Dead:      dead(), Closing: dead(), Closed: dead(),
	},
	fnSendTo: {
		Bound: to(Bound),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnReceiveFrom: {
		Bound: to(Bound),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnFixAddress: {
		Bound: to(Bound),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnEventsDatagram: {
		Bound: to(Bound),
		Dead:  dead(), Closing: dead(), Closed: dead(),
	},
	fnClose: {
		Init: to(Closing), Bound: to(Closing), Connecting: to(Closing), Connected: to(Closing),
		SendClosing: to(Closing), SendClosed: to(Closing), RecvClosed: to(Closing),
		BothClosing: to(Closing), Disconnected: to(Closing), Aborted: to(Closing),
		Listening: to(Closing), Conditional: to(Closing), Silent: to(Closing), Dead: to(Closing),
		Closing: dead(), Closed: dead(),
	},
}

// happening is something that moves a socket on without a call.
type happening uint8

const (
	hapAccepted      happening = iota // a listening socket has made it
	hapConnected                      // the connect's IRP is about to complete with success
	hapConnectFailed                  // refused, timed out, unreachable or cancelled
	hapPeerFIN                        // the peer's FIN, after all data before it was received
	hapFINAcked                       // the peer acknowledged our FIN
	hapDisconnectOff                  // a graceful disconnect was cancelled before its FIN
	hapBroken                         // reset, fatal timeout, or a connect cancelled too late
	hapWithdrawn                      // the stack is gone
	hapStillborn                      // its creation failed: there never was a socket
	hapCloseDone                      // the last operation of a closing socket is out
	numHappenings
)

// moveTable is the table happening x state.
var moveTable = [numHappenings]map[State]State{
	hapAccepted:      {Init: Connected},
	hapConnected:     {Connecting: Connected},
	hapConnectFailed: {Connecting: Bound},
	hapPeerFIN:       {Connected: RecvClosed, SendClosing: BothClosing, SendClosed: Disconnected},
	hapFINAcked:      {SendClosing: SendClosed, BothClosing: Disconnected},
	hapDisconnectOff: {SendClosing: Connected, BothClosing: RecvClosed},
	hapBroken: {
		Connecting: Aborted, Connected: Aborted, SendClosing: Aborted, SendClosed: Aborted,
		RecvClosed: Aborted, BothClosing: Aborted,
	},
	hapWithdrawn: {
		Init: Dead, Bound: Dead, Connecting: Dead, Connected: Dead, SendClosing: Dead,
		SendClosed: Dead, RecvClosed: Dead, BothClosing: Dead, Disconnected: Dead, Aborted: Dead,
		Listening: Dead, Conditional: Dead, Silent: Dead,
	},
	hapStillborn: {Init: Closed, Bound: Closed, Connecting: Closed, Dead: Closed},
	hapCloseDone: {Closing: Closed},
}

// after returns the state that h leads to from s.
func after(s State, h happening) State {
	if next, ok := moveTable[h][s]; ok {
		return next
	}
	return s
}

// kind is what an operation that can be pended on a socket does.
type kind uint8

const (
	kindAtOnce      kind = iota // done before the call returned; only its completion is due
	kindReceive                 //
	kindSend                    //
	kindDisconnect              // graceful
	kindConnect                 //
	kindAccept                  //
	kindSendTo                  // SendTo and SendMessages
	kindReceiveFrom             //
	kindListChange              // SIO_ADDRESS_LIST_CHANGE
	kindClose                   //
	numKinds
)

// end is why pended operations end before their time.
type end uint8

const (
	endBroken    end = iota // reset or fatal timeout
	endAborted              // own abortive disconnect
	endClosed               // CloseSocket
	endCancelled            // IRP.Cancel
	endWithdrawn            // the stack is gone
	numEnds
)

// theLatched stands in fateTable for the status that ended the connection.
const theLatched = ntstatus.Success

// fateTable is the table end x kind: what a pended operation completes with. There
// is no connect pended when an own abort can happen, nothing but connections can break
// or be aborted (a wait for the list of addresses goes on), and close cannot be ended.
var fateTable = [numEnds][numKinds]ntstatus.Status{
	endBroken: {
		kindReceive: theLatched, kindSend: theLatched,
		kindDisconnect: theLatched, kindConnect: theLatched, kindAccept: theLatched,
		kindSendTo: theLatched, kindReceiveFrom: theLatched,
	},
	endAborted: {
		kindReceive: ntstatus.ConnectionAborted, kindSend: ntstatus.Cancelled,
		kindDisconnect: ntstatus.ConnectionAborted, kindConnect: ntstatus.ConnectionAborted,
		kindAccept: ntstatus.ConnectionAborted,
		kindSendTo: ntstatus.ConnectionAborted, kindReceiveFrom: ntstatus.ConnectionAborted,
	},
	endClosed: {
		kindReceive: ntstatus.Cancelled, kindSend: ntstatus.Cancelled,
		kindDisconnect: ntstatus.Cancelled, kindConnect: ntstatus.Cancelled, kindAccept: ntstatus.Cancelled,
		kindSendTo: ntstatus.Cancelled, kindReceiveFrom: ntstatus.Cancelled, kindListChange: ntstatus.Cancelled,
	},
	endCancelled: {
		kindReceive: ntstatus.Cancelled, kindSend: ntstatus.Cancelled,
		kindDisconnect: ntstatus.Cancelled, kindConnect: ntstatus.Cancelled, kindAccept: ntstatus.Cancelled,
		kindSendTo: ntstatus.Cancelled, kindReceiveFrom: ntstatus.Cancelled, kindListChange: ntstatus.Cancelled,
	},
	endWithdrawn: {
		kindReceive: ntstatus.FileForcedClosed, kindSend: ntstatus.FileForcedClosed,
		kindDisconnect: ntstatus.FileForcedClosed, kindConnect: ntstatus.FileForcedClosed,
		kindAccept: ntstatus.FileForcedClosed,
		kindSendTo: ntstatus.FileForcedClosed, kindReceiveFrom: ntstatus.FileForcedClosed, kindListChange: ntstatus.FileForcedClosed,
	},
}

// carries reports whether a socket in state s has a connection that can move
// bytes or has a FIN under way.
func (s State) carries() bool {
	switch s {
	case Connected, SendClosing, SendClosed, RecvClosed, BothClosing:
		return true
	default:
		return false
	}
}

// listens reports whether a socket in state s accepts connections.
func (s State) listens() bool { return s == Listening || s == Conditional }

// finSeen reports whether the peer's FIN has been seen.
func (s State) finSeen() bool {
	return s == RecvClosed || s == BothClosing || s == Disconnected
}

// String returns the state's name.
func (s State) String() string {
	names := [numStates]string{
		"Init", "Bound", "Connecting", "Connected", "SendClosing", "SendClosed", "RecvClosed",
		"BothClosing", "Disconnected", "Aborted", "Listening", "Conditional", "Silent", "Dead", "Closing", "Closed",
	}
	if s < numStates {
		return names[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// String returns the function's name.
func (fn function) String() string {
	names := [numFunctions]string{
		"Bind", "Bind(listening)", "Bind(conditional)", "Listen", "Accept", "InspectComplete", "Connect", "Send", "Receive", "Disconnect", "Disconnect(Abortive)",
		"GetLocalAddress", "GetRemoteAddress", "ControlSocket(before Bind)",
		"ControlSocket(before Connect)", "ControlSocket", "ControlSocket(events)",
		"ControlSocket(backlog)", "ControlSocket(silent mode)", "SendTo", "ReceiveFrom", "ControlSocket(fixed address)",
		"ControlSocket(datagram events)", "CloseSocket",
	}
	return names[fn]
}
