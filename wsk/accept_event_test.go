package wsk_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// acceptor is a client's AcceptEvent and what it saw.
type acceptor struct {
	answer ntstatus.Status
	during func(*wsk.ConnectionSocket, **wsk.ClientConnectionDispatch)

	mu      sync.Mutex
	calls   int
	context any
	remote  *wsk.SockAddr
	socket  *wsk.ConnectionSocket
}

func (a *acceptor) table() *wsk.ClientListenDispatch {
	return &wsk.ClientListenDispatch{AcceptEvent: a.event}
}

func (a *acceptor) event(context any, flags uint32, _, remote *wsk.SockAddr, s *wsk.ConnectionSocket, ctx *any, dispatch **wsk.ClientConnectionDispatch) ntstatus.Status {
	a.mu.Lock()
	a.calls++
	a.context, a.remote, a.socket = context, remote, s
	a.mu.Unlock()
	if s != nil {
		*ctx = "mine"
	}
	if a.during != nil {
		a.during(s, dispatch)
	}
	return a.answer
}

// saw waits until nothing moves and checks the number of calls.
func (a *acceptor) saw(t *testing.T, calls int) {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls != calls {
		t.Fatalf("AcceptEvent was called %d times, want %d", a.calls, calls)
	}
}

// enable switches events with an IRP and waits for it.
func enable(t *testing.T, s closer, mask uint32) {
	t.Helper()
	q := newRequest()
	q.pends(t, switchEvents(s, mask, q.IRP)).ends(t, ntstatus.Success, 0)
}

func TestAcceptEvent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := &acceptor{}
		s := r.listening(a.table())
		r.peer().Arrive(remoteA)
		a.saw(t, 0) // disabled from the start
		enable(t, s, wsk.EventAccept)
		a.saw(t, 1) // what has waited is told of at once
		if a.context != "context" || *a.remote != wsk.SockAddrFrom(remoteA) {
			t.Errorf("told %v, %v", a.context, a.remote)
		}
		first := a.socket
		// A pended Accept goes first.
		q := newRequest()
		q.pends(t, s.Accept(0, nil, nil, nil, nil, q.IRP)).open(t)
		r.peer().Arrive(remoteB)
		q.ends(t, ntstatus.Success, 0)
		a.saw(t, 1)
		// A refused connection is reset.
		a.answer = ntstatus.RequestNotAccepted
		far := r.peer().Arrive(remoteB)
		a.saw(t, 2)
		if !far.Seen().Aborted || a.socket.StateOf() != wsk.Closed {
			t.Errorf("refused, but %+v in state %v", far.Seen(), a.socket.StateOf())
		}
		// So is one that the client closes before it refuses it, once.
		a.during = func(s *wsk.ConnectionSocket, _ **wsk.ClientConnectionDispatch) {
			s.CloseSocket(irp.New(nil, nil))
		}
		far = r.peer().Arrive(remoteB)
		a.saw(t, 3)
		if !far.Seen().Aborted || a.socket.StateOf() != wsk.Closed {
			t.Error("closed and refused, but it is still there")
		}
		// Disabled, connections wait.
		enable(t, s, wsk.EventDisable|wsk.EventAccept)
		r.peer().Arrive(remoteA)
		a.saw(t, 3)
		r.close(first)
		r.close(q.result.Object.(*wsk.ConnectionSocket))
		r.close(s)
	})
}

// TestAcceptEventFails has a transport whose Accept fails, which is nobody's event.
func TestAcceptEventFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := &acceptor{}
		s := r.listening(a.table())
		r.peer().Transport.AcceptFunc = func() (wsk.Transport, error) { return nil, errTest }
		enable(t, s, wsk.EventAccept)
		r.peer().Arrive(remoteA)
		a.saw(t, 0)
		r.close(s)
	})
}

// TestDisableWhileRunning disables a callback that is being called.
func TestDisableWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		held := make(chan struct{})
		a := &acceptor{answer: ntstatus.RequestNotAccepted}
		a.during = func(*wsk.ConnectionSocket, **wsk.ClientConnectionDispatch) { <-held }
		s := r.listening(a.table())
		if st := switchEvents(s, wsk.EventAccept, nil); st != ntstatus.Success {
			t.Fatal(st)
		}
		r.peer().Arrive(remoteA)
		a.saw(t, 1)
		if st := switchEvents(s, wsk.EventDisable|wsk.EventAccept, nil); st != ntstatus.EventPending {
			t.Errorf("without an IRP: %v", st)
		}
		q, last := newRequest(), newRequest()
		q.pends(t, switchEvents(s, wsk.EventDisable|wsk.EventAccept, q.IRP)).open(t)
		last.pends(t, s.CloseSocket(last.IRP)).open(t) // waits for the callback as well
		close(held)
		q.ends(t, ntstatus.Success, 0)
		last.ends(t, ntstatus.Success, 0)
		a.saw(t, 1)
	})
	bubble(t, func(t *testing.T, r *rig) {
		var s *wsk.ListenSocket
		var inside ntstatus.Status
		a := &acceptor{answer: ntstatus.RequestNotAccepted}
		a.during = func(*wsk.ConnectionSocket, **wsk.ClientConnectionDispatch) {
			inside = switchEvents(s, wsk.EventDisable|wsk.EventAccept, nil)
			s.CloseSocket(irp.New(nil, nil))
		}
		s = r.listening(a.table())
		if st := switchEvents(s, wsk.EventDisable|wsk.EventAccept, nil); st != ntstatus.Success {
			t.Errorf("disabling what is off: %v", st)
		}
		enable(t, s, wsk.EventAccept)
		r.peer().Arrive(remoteA)
		a.saw(t, 1)
		if inside != ntstatus.EventPending || s.StateOf() != wsk.Closed {
			t.Errorf("from inside: %v, then in state %v", inside, s.StateOf())
		}
	})
}

// TestDeadListener withdraws listening sockets: each is told once, if it listens to
// events at all.
func TestDeadListener(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		on, off := &acceptor{}, &acceptor{}
		s, quiet := r.listening(on.table()), r.listening(off.table())
		enable(t, s, wsk.EventAccept)
		r.p.Stop()
		on.saw(t, 1)
		if on.socket != nil || on.remote != nil || on.context != "context" {
			t.Errorf("told of %v from %v", on.socket, on.remote)
		}
		r.p.Stop()
		on.saw(t, 1)
		off.saw(t, 0)
		q := newRequest()
		q.inline(t, s.Accept(0, nil, nil, nil, nil, q.IRP), ntstatus.FileForcedClosed)
		r.close(s)
		r.close(quiet)
	})
}

// TestEventRefusals has all that switching events refuses.
func TestEventRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := &acceptor{}
		unbound := r.make(wsk.AF_INET, wsk.FlagListenSocket, a.table())
		q := newRequest()
		q.inline(t, switchEvents(unbound, wsk.EventAccept, q.IRP), ntstatus.InvalidDeviceState)
		s, bare := r.listening(a.table()), r.listening(nil)
		for _, mask := range []uint32{
			0, wsk.EventDisable, wsk.EventReceiveFrom, 1,
			wsk.EventDisable | wsk.EventAccept | wsk.EventReceive, // more than one
			wsk.EventDisable | wsk.EventReceive,                   // the template stays
		} {
			q := newRequest()
			q.inline(t, switchEvents(s, mask, q.IRP), ntstatus.InvalidParameter)
			if st := switchEvents(s, mask, nil); st != ntstatus.InvalidParameter {
				t.Errorf("%#x without an IRP: %v", mask, st)
			}
		}
		q = newRequest()
		q.inline(t, switchEvents(bare, wsk.EventAccept, q.IRP), ntstatus.InvalidParameter) // no callback
		good := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventAccept}.Bytes()
		set := func(in []byte, want ntstatus.Status) {
			t.Helper()
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, in, nil, nil, q.IRP), want)
		}
		set(good[:19], ntstatus.InvalidParameter)
		good[0]++
		set(good, ntstatus.NotSupported) // somebody else's callbacks
		q = newRequest()
		q.inline(t, s.ControlSocket(wsk.GetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, nil, good, nil, q.IRP), ntstatus.NotSupported)
		for _, c := range []closer{unbound, s, bare} {
			r.close(c)
		}
		if st := switchEvents(s, wsk.EventAccept, nil); st != ntstatus.FileForcedClosed {
			t.Errorf("after the close: %v", st)
		}
	})
}

// TestTables gives sockets tables of other categories.
func TestTables(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tables := map[uint32]wsk.EventTable{
			wsk.FlagListenSocket: &wsk.ClientListenDispatch{}, wsk.FlagConnectionSocket: &wsk.ClientConnectionDispatch{},
			wsk.FlagStreamSocket: &wsk.ClientStreamDispatch{},
		}
		for flag, own := range tables {
			for of, table := range tables {
				q := newRequest()
				st := r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, flag, nil, table, q.IRP)
				if of != flag {
					q.inline(t, st, ntstatus.InvalidParameter)
					continue
				}
				q.pends(t, st).ends(t, ntstatus.Success, 0)
				r.close(q.result.Object.(closer))
				if own != table {
					t.Error("the map changed")
				}
			}
			q := newRequest()
			q.inline(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagBasicSocket, nil, own, q.IRP), ntstatus.InvalidParameter)
		}
		q := newRequest()
		q.inline(t, r.npi.Dispatch.SocketConnect(r.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &wildcard, &server4, 0, nil, &wsk.ClientListenDispatch{}, q.IRP), ntstatus.InvalidParameter)
		// A nil table of the right type is a table without callbacks.
		r.close(r.make(wsk.AF_INET, wsk.FlagStreamSocket, (*wsk.ClientStreamDispatch)(nil)))
	})
}

// TestStaticEvents turns callbacks on for every socket to come.
func TestStaticEvents(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		control := func(code, mask uint32) ntstatus.Status {
			in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: mask}.Bytes()
			returned := uint64(7)
			defer func() {
				if returned != 0 {
					t.Errorf("%d bytes returned", returned)
				}
			}()
			return r.npi.Dispatch.ControlClient(r.npi.Client, code, in, nil, &returned, nil)
		}
		for _, tt := range []struct {
			code, mask uint32
			want       ntstatus.Status
		}{
			{wsk.SetStaticEventCallbacks, 0, ntstatus.InvalidParameter},
			{wsk.SetStaticEventCallbacks, wsk.EventDisable | wsk.EventAccept, ntstatus.InvalidParameter},
			{wsk.TDIBehavior, 0, ntstatus.Success},
			{wsk.TDIDeviceNameMapping, 0, ntstatus.Success},
			{wsk.CacheSD, 0, ntstatus.NotSupported},
			{wsk.ReleaseSD, 0, ntstatus.NotSupported},
			{99, 0, ntstatus.NotSupported},
			{wsk.SetStaticEventCallbacks, wsk.EventAccept | wsk.EventReceive, ntstatus.Success},
		} {
			if got := control(tt.code, tt.mask); got != tt.want {
				t.Errorf("code %d, mask %#x: %v, want %v", tt.code, tt.mask, got, tt.want)
			}
		}
		if st := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.SetStaticEventCallbacks, nil, nil, nil, nil); st != ntstatus.InvalidParameter {
			t.Errorf("without a mask: %v", st)
		}
		q := newRequest()
		q.inline(t, r.npi.Dispatch.ControlClient(r.npi.Client, wsk.SetStaticEventCallbacks, nil, nil, nil, q.IRP), ntstatus.InvalidParameter)
		if st := r.npi.Dispatch.ControlClient(nil, wsk.TDIBehavior, nil, nil, nil, nil); st != ntstatus.InvalidParameter {
			t.Errorf("without a client: %v", st)
		}
		a := &acceptor{}
		s := r.listening(a.table())
		if got := control(wsk.SetStaticEventCallbacks, wsk.EventAccept); got != ntstatus.InvalidDeviceState {
			t.Errorf("too late: %v", got)
		}
		r.peer().Arrive(remoteA)
		a.saw(t, 1) // without being enabled
		for _, mask := range []uint32{wsk.EventAccept, wsk.EventDisable | wsk.EventAccept} {
			q := newRequest()
			q.inline(t, switchEvents(s, mask, q.IRP), ntstatus.InvalidParameter)
		}
		r.close(a.socket)
		r.close(s)
	})
}
