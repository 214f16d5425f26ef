package wsk_test

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// What each function does in each state, one letter per state in the order of
// the constants: + goes to work, . succeeds with nothing to do, i
// STATUS_INVALID_DEVICE_STATE, l the latched status, f STATUS_FILE_FORCED_CLOSED,
// n STATUS_NOT_FOUND.
//
//	Init Bound Connecting Connected SendClosing SendClosed RecvClosed
//	BothClosing Disconnected Aborted Listening Conditional Silent Dead Closing Closed
var wantAnswers = map[wsk.Function]string{
	wsk.FnBind:             "+iiiiiiiiiiiifff",
	wsk.FnBindListen:       "+iiiiiiiiiiiifff",
	wsk.FnBindConditional:  "+iiiiiiiiiiiifff",
	wsk.FnListen:           "i+iiiiiiiiiiifff",
	wsk.FnAccept:           "iiiiiiiiii++ifff",
	wsk.FnInspectComplete:  "iiiiiiiiiinnifff",
	wsk.FnConnect:          "i+iiiiiiiiiiifff",
	wsk.FnSend:             "iii+ii+iiliiifff",
	wsk.FnReceive:          "iii+++...liiifff",
	wsk.FnDisconnect:       "iii+ii+i.liiifff",
	wsk.FnAbort:            "iii+++++..iiifff",
	wsk.FnGetLocalAddress:  "i+++++++++++ifff",
	wsk.FnGetRemoteAddress: "iii+++++++iiifff",
	wsk.FnSetBeforeBind:    "+iiiiiiiiiiiifff",
	wsk.FnSetBeforeConnect: "++iiiiiiii++ifff",
	wsk.FnControl:          "++++++++++++ifff",
	wsk.FnEvents:           "iii+++++++++ifff",
	wsk.FnQueryBacklog:     "iii++++++liiifff",
	wsk.FnSilence:          "iii+iiiiiiiiifff",
	wsk.FnSendTo:           "i+iiiiiiiiiiifff",
	wsk.FnReceiveFrom:      "i+iiiiiiiiiiifff",
	wsk.FnFixAddress:       "i+iiiiiiiiiiifff",
	wsk.FnEventsDatagram:   "i+iiiiiiiiiiifff",
	wsk.FnClose:            "++++++++++++++ff",
}

// wantNext is the state after a call that goes to work, where it changes.
var wantNext = map[wsk.Function]map[wsk.State]wsk.State{
	wsk.FnBind:            {wsk.Init: wsk.Bound},
	wsk.FnBindListen:      {wsk.Init: wsk.Listening},
	wsk.FnBindConditional: {wsk.Init: wsk.Conditional},
	wsk.FnListen:          {wsk.Bound: wsk.Listening},
	wsk.FnSilence:         {wsk.Connected: wsk.Silent},
	wsk.FnConnect:         {wsk.Bound: wsk.Connecting},
	wsk.FnDisconnect:      {wsk.Connected: wsk.SendClosing, wsk.RecvClosed: wsk.BothClosing},
	wsk.FnAbort: {
		wsk.Connected: wsk.Aborted, wsk.SendClosing: wsk.Aborted, wsk.SendClosed: wsk.Aborted,
		wsk.RecvClosed: wsk.Aborted, wsk.BothClosing: wsk.Aborted,
	},
}

// TestEverySocketCell brings a real socket of each category's kind into each
// state and calls each function.
func TestEverySocketCell(t *testing.T) {
	if len(wantAnswers) != int(wsk.NumFunctions) {
		t.Fatalf("%d functions expected, there are %d", len(wantAnswers), wsk.NumFunctions)
	}
	for fn := range wsk.NumFunctions {
		for state := range wsk.NumStates {
			t.Run(fmt.Sprintf("%v/%v", fn, state), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					if ofListening(fn) || state == wsk.Conditional {
						r.walkListening(fn, state)
						return
					}
					if ofDatagrams(fn) {
						r.walkDatagram(fn, state)
						return
					}
					s, release := r.in(state)
					if got := s.StateOf(); got != state {
						t.Fatalf("set up in %v, want %v", got, state)
					}
					q := newRequest()
					got := callIn(s, fn, wsk.AF_INET6, q)
					checkCell(t, q, got, wantAnswers[fn][state])
					after := s.StateOf()
					next, changes := wantNext[fn][state]
					if fn == wsk.FnClose && state < wsk.Closing {
						next, changes = wsk.Closed, true
					}
					if !changes {
						next = state
					}
					if after != next {
						t.Errorf("in state %v afterwards, want %v", after, next)
					}
					release()
					if after < wsk.Closing {
						r.close(s)
					}
				})
			})
		}
	}
}

func checkCell(t *testing.T, q *request, got ntstatus.Status, want byte) {
	t.Helper()
	switch want {
	case '+':
		q.pends(t, got)
		synctest.Wait()
		if count, _, result := q.snapshot(); count == 1 && result.Status != ntstatus.Success {
			t.Errorf("went to work and completed with %v", result.Status)
		}
	case '.':
		q.pends(t, got).ends(t, ntstatus.Success, 0)
	case 'i':
		q.inline(t, got, ntstatus.InvalidDeviceState)
	case 'l':
		q.inline(t, got, ntstatus.ConnectionReset)
	case 'n':
		q.inline(t, got, ntstatus.NotFound)
	case 'f':
		q.inline(t, got, ntstatus.FileForcedClosed)
	}
}

// hasFunction reports whether a connection or stream socket has a function.
func hasFunction(s socket, fn wsk.Function) bool {
	if _, stream := s.(*wsk.StreamSocket); !stream && (fn == wsk.FnListen || fn == wsk.FnAccept) {
		return false
	}
	return !ofListening(fn) && !ofDatagrams(fn)
}

// callIn calls fn with arguments that are right for a socket of the family.
func callIn(s socket, fn wsk.Function, family uint16, q *request) ntstatus.Status {
	var addr wsk.SockAddr
	local, remote := wildcard, server4
	if family == wsk.AF_INET6 {
		local, remote = wildcard6, server6
	}
	on := []byte{1, 0, 0, 0}
	switch fn {
	case wsk.FnBind:
		return s.Bind(&local, 0, q.IRP)
	case wsk.FnConnect:
		return s.ConnectEx(&remote, wsk.NewBuf([]byte("x")), 0, q.IRP)
	case wsk.FnSend:
		return s.Send(wsk.NewBuf([]byte("x")), 0, q.IRP)
	case wsk.FnReceive:
		return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, q.IRP)
	case wsk.FnDisconnect:
		return s.Disconnect(nil, 0, q.IRP)
	case wsk.FnAbort:
		return s.Disconnect(nil, wsk.FlagAbortive, q.IRP)
	case wsk.FnGetLocalAddress:
		return s.GetLocalAddress(&addr, q.IRP)
	case wsk.FnGetRemoteAddress:
		return s.GetRemoteAddress(&addr, q.IRP)
	case wsk.FnSetBeforeBind:
		return s.ControlSocket(wsk.SetOption, wsk.IPV6_V6ONLY, wsk.IPPROTO_IPV6, on, nil, nil, q.IRP)
	case wsk.FnSetBeforeConnect:
		return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, on, nil, nil, q.IRP)
	case wsk.FnControl:
		return s.ControlSocket(wsk.SetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP, on, nil, nil, q.IRP)
	case wsk.FnClose:
		return s.CloseSocket(q.IRP)
	case wsk.FnListen:
		return s.(*wsk.StreamSocket).Listen(q.IRP)
	case wsk.FnAccept:
		return s.(*wsk.StreamSocket).Accept(0, nil, nil, nil, nil, q.IRP)
	case wsk.FnEvents:
		event := wsk.EventReceive
		if s.StateOf() == wsk.Listening {
			event = wsk.EventAccept
		}
		return switchEvents(s, wsk.EventDisable|event, q.IRP)
	case wsk.FnQueryBacklog:
		return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8), nil, q.IRP)
	case wsk.FnSilence:
		return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_TCP_SILENT_MODE, 0, nil, nil, nil, q.IRP)
	default:
		panic("unknown function")
	}
}

// ofListening reports whether only listening sockets have the function, or that
// variant of it.
func ofListening(fn wsk.Function) bool {
	return fn == wsk.FnBindListen || fn == wsk.FnBindConditional || fn == wsk.FnInspectComplete
}

// ofDatagrams reports whether only datagram sockets have the function.
func ofDatagrams(fn wsk.Function) bool {
	return fn == wsk.FnSendTo || fn == wsk.FnReceiveFrom || fn == wsk.FnFixAddress || fn == wsk.FnEventsDatagram
}

// walkDatagram walks a cell of such a function. A datagram socket does not get into
// most states; there the table must refuse.
func (r *rig) walkDatagram(fn wsk.Function, state wsk.State) {
	t := r.t
	s := r.datagram(wsk.AF_INET, &wsk.ClientDatagramDispatch{ReceiveFromEvent: func(any, uint32, *wsk.DatagramIndication) ntstatus.Status {
		return ntstatus.Success
	}})
	release := func() {}
	q := newRequest()
	switch state {
	case wsk.Init:
	case wsk.Dead:
		r.p.Stop()
	case wsk.Bound, wsk.Closing, wsk.Closed:
		q.pends(t, s.Bind(&wildcard, 0, q.IRP)).ends(t, ntstatus.Success, 0)
	default:
		if !wsk.Refuses(fn, state) {
			t.Error("the table allows what cannot be")
		}
		r.close(s)
		return
	}
	buf := make([]byte, 8)
	if state == wsk.Closing {
		held := make(chan struct{})
		first, last := newRequest(), newRequest()
		first.then = func() { <-held }
		first.pends(t, s.ReceiveFrom(wsk.NewBuf(buf), 0, nil, nil, nil, nil, first.IRP)).open(t)
		last.pends(t, s.CloseSocket(last.IRP)).open(t)
		release = func() { close(held) }
	}
	if state == wsk.Closed {
		r.close(s)
	}
	if got := s.StateOf(); got != state {
		t.Fatalf("set up in %v, want %v", got, state)
	}
	q = newRequest()
	var got ntstatus.Status
	switch fn {
	case wsk.FnSendTo:
		got = s.SendTo(wsk.NewBuf(buf), 0, &server4, nil, q.IRP)
	case wsk.FnReceiveFrom:
		got = s.ReceiveFrom(wsk.NewBuf(buf), 0, nil, nil, nil, nil, q.IRP)
	case wsk.FnFixAddress:
		got = s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, server4.Bytes(), nil, nil, q.IRP)
	default:
		got = switchEvents(s, wsk.EventReceiveFrom, q.IRP)
	}
	checkCell(t, q, got, wantAnswers[fn][state])
	if got := s.StateOf(); got != state {
		t.Errorf("in state %v afterwards, want %v", got, state)
	}
	release()
	if state < wsk.Closing {
		r.close(s)
	}
}

// walkListening walks a cell of such a function, or of another in Conditional. A
// listening socket does not get into most states, and has not all functions; there the
// table must refuse.
func (r *rig) walkListening(fn wsk.Function, state wsk.State) {
	t := r.t
	s := r.make(wsk.AF_INET6, wsk.FlagListenSocket, inspecting()).(*wsk.ListenSocket)
	call := listenCall(s, fn)
	possible := call != nil
	switch state {
	case wsk.Init, wsk.Dead, wsk.Listening, wsk.Conditional, wsk.Closing, wsk.Closed:
	default:
		possible = false
	}
	if !possible {
		if !wsk.Refuses(fn, state) {
			t.Error("the table allows what cannot be")
		}
		r.close(s)
		return
	}
	release := r.become(s, fn, state)
	if got := s.StateOf(); got != state {
		t.Fatalf("set up in %v, want %v", got, state)
	}
	q := newRequest()
	checkCell(t, q, call(q), wantAnswers[fn][state])
	next, changes := wantNext[fn][state]
	if fn == wsk.FnClose {
		next, changes = wsk.Closed, true
	}
	if !changes {
		next = state
	}
	after := s.StateOf()
	if after != next {
		t.Errorf("in state %v afterwards, want %v", after, next)
	}
	release()
	if after < wsk.Closing {
		r.close(s)
	}
}

// become brings a new listening socket into a state; release lets go of what holds it
// there.
func (r *rig) become(s *wsk.ListenSocket, fn wsk.Function, state wsk.State) (release func()) {
	t := r.t
	r.peer().Transport.SetInspectFunc = func(bool) error { return nil }
	if state == wsk.Conditional || fn == wsk.FnBindConditional {
		set(t, s, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 1)
	}
	q := newRequest()
	switch state {
	case wsk.Dead:
		r.p.Stop()
	case wsk.Listening, wsk.Conditional, wsk.Closing, wsk.Closed:
		if state == wsk.Listening {
			set(t, s, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 0)
		}
		q.pends(t, s.Bind(&wildcard6, 0, q.IRP)).ends(t, ntstatus.Success, 0)
	default:
	}
	switch state {
	case wsk.Closing:
		held := make(chan struct{})
		accept, last := newRequest(), newRequest()
		accept.then = func() { <-held }
		accept.pends(t, s.Accept(0, nil, nil, nil, nil, accept.IRP)).open(t)
		last.pends(t, s.CloseSocket(last.IRP)).open(t)
		return func() { close(held) }
	case wsk.Closed:
		r.close(s)
	default:
	}
	return func() {}
}

// inspecting is a table whose callbacks do nothing.
func inspecting() *wsk.ClientListenDispatch {
	return &wsk.ClientListenDispatch{
		AcceptEvent: func(any, uint32, *wsk.SockAddr, *wsk.SockAddr, *wsk.ConnectionSocket, *any, **wsk.ClientConnectionDispatch) ntstatus.Status {
			return ntstatus.RequestNotAccepted
		},
		InspectEvent: func(any, *wsk.SockAddr, *wsk.SockAddr, *wsk.InspectID) wsk.InspectAction { return wsk.InspectPend },
	}
}

// listenCall returns the call of a function with arguments that are right, nil if
// listening sockets do not have it.
func listenCall(s *wsk.ListenSocket, fn wsk.Function) func(q *request) ntstatus.Status {
	option := func(level, code, value uint32) func(q *request) ntstatus.Status {
		return func(q *request) ntstatus.Status {
			return s.ControlSocket(wsk.SetOption, code, level, le(value), nil, nil, q.IRP)
		}
	}
	switch fn {
	case wsk.FnBindListen, wsk.FnBindConditional:
		return func(q *request) ntstatus.Status { return s.Bind(&wildcard6, 0, q.IRP) }
	case wsk.FnAccept:
		return func(q *request) ntstatus.Status { return s.Accept(0, nil, nil, nil, nil, q.IRP) }
	case wsk.FnInspectComplete:
		return func(q *request) ntstatus.Status {
			return s.InspectComplete(&wsk.InspectID{}, wsk.InspectAccept, q.IRP)
		}
	case wsk.FnGetLocalAddress:
		return func(q *request) ntstatus.Status { return s.GetLocalAddress(new(wsk.SockAddr), q.IRP) }
	case wsk.FnSetBeforeBind:
		return option(wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY, 1)
	case wsk.FnSetBeforeConnect:
		return option(wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1)
	case wsk.FnControl:
		return option(wsk.IPPROTO_TCP, wsk.TCP_NODELAY, 1)
	case wsk.FnEvents:
		return func(q *request) ntstatus.Status { return switchEvents(s, wsk.EventAccept, q.IRP) }
	case wsk.FnQueryBacklog:
		return func(q *request) ntstatus.Status {
			return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8), nil, q.IRP)
		}
	case wsk.FnClose:
		return func(q *request) ntstatus.Status { return s.CloseSocket(q.IRP) }
	default:
		return nil
	}
}

// in makes a socket in a state; release lets go of what holds it there.
func (r *rig) in(state wsk.State) (s socket, release func()) {
	t := r.t
	release = func() {}
	s = r.socketOf(wsk.AF_INET6, wsk.FlagStreamSocket)
	if state == wsk.Init {
		return s, release
	}
	do := func(call func(q *request) ntstatus.Status) *request {
		q := newRequest()
		q.pends(t, call(q))
		synctest.Wait()
		return q
	}
	shut := func() {
		do(func(q *request) ntstatus.Status { return s.Disconnect(nil, 0, q.IRP) })
	}
	receive := func() *request {
		return do(func(q *request) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, q.IRP) })
	}
	if state == wsk.Dead {
		r.p.Stop()
		return s, release
	}
	do(func(q *request) ntstatus.Status { return s.Bind(&wildcard6, 0, q.IRP) })
	if state == wsk.Bound {
		return s, release
	}
	if state == wsk.Listening {
		do(func(q *request) ntstatus.Status { return s.(*wsk.StreamSocket).Listen(q.IRP) })
		return s, release
	}
	do(func(q *request) ntstatus.Status { return s.Connect(&server6, 0, q.IRP) })
	if state == wsk.Connecting {
		return s, release
	}
	peer := r.peer()
	peer.Transport.SilenceFunc = func() (func(), error) { return func() {}, nil }
	peer.Accept()
	synctest.Wait()
	switch state {
	case wsk.SendClosing:
		shut()
	case wsk.SendClosed:
		shut()
		peer.AckAll()
	case wsk.RecvClosed:
		peer.FIN()
		receive()
	case wsk.BothClosing:
		peer.FIN()
		receive()
		shut()
	case wsk.Disconnected:
		shut()
		peer.AckAll()
		peer.FIN()
		receive()
	case wsk.Aborted:
		receive()
		peer.Fail(syscall.ECONNRESET)
	case wsk.Silent:
		do(func(q *request) ntstatus.Status {
			return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_TCP_SILENT_MODE, 0, nil, nil, nil, q.IRP)
		})
	case wsk.Closing:
		// A routine that has not returned holds the close up.
		held := make(chan struct{})
		receive().then = func() { <-held }
		do(func(q *request) ntstatus.Status { return s.CloseSocket(q.IRP) })
		release = func() { close(held) }
	case wsk.Closed:
		r.close(s)
	default: // it is there already
	}
	synctest.Wait()
	return s, release
}

// TestEveryHappening walks the table of what moves a socket on without a call.
func TestEveryHappening(t *testing.T) {
	// One line per happening, one letter per state in the order of the constants;
	// a dot where nothing changes.
	letters := "IBcCsSrbDALNQXgG"
	want := []string{
		"C...............", // accepted
		"..C.............", // connected
		"..B.............", // connect failed
		"...rbD..........", // the peer's FIN
		"....S..D........", // our FIN acknowledged
		"....C..r........", // disconnect cancelled
		"..AAAAAA........", // broken
		"XXXXXXXXXXXXX...", // withdrawn
		"GGG..........G..", // stillborn
		"..............G.", // close done
	}
	if len(want) != int(wsk.NumHappenings) {
		t.Fatal("a happening is missing here")
	}
	for h := range wsk.NumHappenings {
		for s := range wsk.NumStates {
			expected := s
			if c := want[h][s]; c != '.' {
				for i := range letters {
					if letters[i] == c {
						expected = wsk.State(i)
					}
				}
			}
			if got := wsk.After(s, h); got != expected {
				t.Errorf("happening %d in %v leads to %v, want %v", h, s, got, expected)
			}
		}
	}
}

// TestEveryFate makes each end come upon each kind of pended operation.
func TestEveryFate(t *testing.T) {
	covers.IDs(t, "P1")
	const reset, cancelled, forced, aborted = ntstatus.ConnectionReset, ntstatus.Cancelled, ntstatus.FileForcedClosed, ntstatus.ConnectionAborted
	type row struct{ receive, send, disconnect, connect ntstatus.Status }
	ends := map[wsk.End]row{
		wsk.EndBroken:    {reset, reset, reset, ntstatus.ConnectionRefused},
		wsk.EndAborted:   {aborted, cancelled, aborted, 0},
		wsk.EndClosed:    {cancelled, cancelled, cancelled, cancelled},
		wsk.EndCancelled: {cancelled, cancelled, cancelled, cancelled},
		wsk.EndWithdrawn: {forced, forced, forced, forced},
	}
	if len(ends) != int(wsk.NumEnds) {
		t.Fatal("an end is missing here")
	}
	for e, want := range ends {
		t.Run(fmt.Sprintf("end %d/data", e), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s, peer := r.connected()
				peer.SetWindow(2)
				receive, send, disconnect := newRequest(), newRequest(), newRequest()
				receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 8)), wsk.FlagWaitAll, receive.IRP))
				peer.Deliver([]byte("abc"))
				send.pends(t, s.Send(wsk.NewBuf([]byte("hello")), 0, send.IRP))
				disconnect.pends(t, s.Disconnect(nil, 0, disconnect.IRP)).open(t)
				r.bring(s, e, receive, send, disconnect)
				receive.ends(t, want.receive, 3)
				send.ends(t, want.send, 2)
				disconnect.ends(t, want.disconnect, 0)
				if e != wsk.EndClosed {
					r.close(s)
				}
				if !peer.Seen().Aborted {
					t.Error("no RST")
				}
			})
		})
		if e == wsk.EndAborted {
			continue
		}
		if e != wsk.EndBroken {
			t.Run(fmt.Sprintf("end %d/datagrams", e), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					s, box := r.post(nil)
					box.Refuse(syscall.EAGAIN)
					send, receive := newRequest(), newRequest()
					send.pends(t, s.SendTo(wsk.NewBuf([]byte("x")), 0, &server4, nil, send.IRP))
					receive.pends(t, s.ReceiveFrom(wsk.NewBuf(make([]byte, 1)), 0, nil, nil, nil, nil, receive.IRP)).open(t)
					r.bring(s, e, send, receive)
					send.ends(t, want.connect, 0)
					receive.ends(t, want.connect, 0)
					if e != wsk.EndClosed {
						r.close(s)
					}
					if _, _, closed := box.Told(); !closed {
						t.Error("the transport was not closed")
					}
				})
			})
		}
		if e != wsk.EndBroken { // what does not carry data cannot break
			t.Run(fmt.Sprintf("end %d/accept", e), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					s := r.listening(nil)
					first, second := newRequest(), newRequest()
					first.pends(t, s.Accept(0, nil, nil, nil, nil, first.IRP))
					second.pends(t, s.Accept(0, nil, nil, nil, nil, second.IRP)).open(t)
					r.bring(s, e, first, second)
					first.ends(t, want.connect, 0)
					second.ends(t, want.connect, 0)
					if e != wsk.EndClosed {
						r.close(s)
					}
				})
			})
		}
		if e != wsk.EndBroken {
			t.Run(fmt.Sprintf("end %d/list change", e), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					s := r.make(wsk.AF_INET, wsk.FlagBasicSocket, nil)
					wait := r.awaitAddresses(s)
					r.bring(s, e, wait)
					wait.ends(t, want.connect, 0)
					if e != wsk.EndClosed {
						r.close(s)
					}
				})
			})
		}
		t.Run(fmt.Sprintf("end %d/connect", e), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := r.bound()
				connect := newRequest()
				connect.pends(t, s.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, connect.IRP)).open(t)
				r.bring(s, e, connect)
				connect.ends(t, want.connect, 0)
				if e != wsk.EndClosed {
					r.close(s)
				}
			})
		})
	}
}

// bring brings an end about.
func (r *rig) bring(s closer, e wsk.End, pended ...*request) {
	r.t.Helper()
	q := newRequest()
	switch e {
	case wsk.EndBroken:
		r.peer().Fail(syscall.ECONNRESET)
	case wsk.EndAborted:
		q.pends(r.t, s.(socket).Disconnect(nil, wsk.FlagAbortive, q.IRP)).ends(r.t, ntstatus.Success, 0)
	case wsk.EndClosed:
		r.close(s)
	case wsk.EndCancelled:
		for _, p := range pended {
			if !p.Cancel() {
				r.t.Error("Cancel told no operation")
			}
		}
	case wsk.EndWithdrawn:
		r.p.Stop()
	default:
		r.t.Fatal("unknown end")
	}
	synctest.Wait()
}
