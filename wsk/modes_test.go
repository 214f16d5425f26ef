package wsk_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// allModes runs f in each completion mode, the random one with a few seeds.
func allModes(t *testing.T, f func(t *testing.T, r *rig, mode wsk.CompletionMode)) {
	t.Helper()
	type run struct {
		name string
		mode wsk.CompletionMode
		seed uint64
	}
	for _, m := range []run{
		{"later", wsk.CompleteLater, 0}, {"inline", wsk.CompleteInline, 0},
		{"random 1", wsk.CompleteRandom, 1}, {"random 2", wsk.CompleteRandom, 2},
	} {
		t.Run(m.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.p.SetCompletionMode(m.mode, m.seed)
				f(t, r, m.mode)
			})
		})
	}
}

// goroutine identifies the calling goroutine.
func goroutine() string {
	b := make([]byte, 64)
	b = b[:runtime.Stack(b, false)]
	return string(bytes.Fields(b)[1])
}

// settles waits until nothing moves and checks what callers rely on: the routine ran
// once; a call that did not pend had run it by its return, with PendingReturned false
// and the status that it returned; one that pended runs it with PendingReturned true.
func (q *request) settles(t *testing.T, got ntstatus.Status) irp.StatusBlock {
	t.Helper()
	if count, pending, result := q.snapshot(); got != ntstatus.Pending && (count != 1 || pending || result.Status != got) {
		t.Fatalf("returned %v; completed %d times by then, pending %v, with %v", got, count, pending, result.Status)
	}
	synctest.Wait()
	count, pending, result := q.snapshot()
	if count != 1 || pending != (got == ntstatus.Pending) {
		t.Fatalf("returned %v; completed %d times, pending %v", got, count, pending)
	}
	return result
}

// gives is settles with the expected result.
func (q *request) gives(t *testing.T, got, want ntstatus.Status, info int) *request {
	t.Helper()
	if result := q.settles(t, got); result.Status != want || int(result.Information) != info {
		t.Fatalf("completed with %v and Information %d, want %v and %d", result.Status, result.Information, want, info)
	}
	return q
}

// makeAny makes a socket in any mode.
func (r *rig) makeAny(flag uint32, kind uint16, protocol uint32, table wsk.EventTable) closer {
	r.t.Helper()
	q := newRequest()
	q.gives(r.t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, kind, protocol, flag, "context", table, q.IRP), ntstatus.Success, 0)
	return q.result.Object.(closer)
}

func (r *rig) shut(s closer) {
	r.t.Helper()
	q := newRequest()
	q.gives(r.t, s.CloseSocket(q.IRP), ntstatus.Success, 0)
}

// A stage is what a call needs: the socket, its far end, and what has to happen
// until a call that cannot be done at once completes.
type stage struct {
	r    *rig
	s    closer
	tcp  socket
	peer *wsktest.Peer
	box  *wsktest.Mailbox
	help func()
}

// on makes a stage: a socket of a category, unbound, bound or connected.
func (r *rig) on(flag uint32, bound, connected bool) *stage {
	r.t.Helper()
	st := &stage{r: r, help: func() {}}
	if flag == wsk.FlagDatagramSocket {
		st.s = r.makeAny(flag, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, &wsk.ClientDatagramDispatch{
			ReceiveFromEvent: func(any, uint32, *wsk.DatagramIndication) ntstatus.Status { return ntstatus.Success }})
		st.box = r.boxes[len(r.boxes)-1]
	} else {
		st.s = r.makeAny(flag, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, nil)
		if flag != wsk.FlagBasicSocket {
			st.peer = r.peer()
		}
		st.tcp, _ = st.s.(socket)
	}
	if bound {
		q := newRequest()
		local := &wildcard
		if flag == wsk.FlagListenSocket {
			local = r.place()
		}
		q.gives(r.t, st.s.(interface {
			Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
		}).Bind(local, 0, q.IRP), ntstatus.Success, 0)
	}
	if connected {
		q := newRequest()
		got := st.tcp.Connect(&server4, 0, q.IRP)
		st.peer.Accept()
		q.gives(r.t, got, ntstatus.Success, 0)
	}
	return st
}

// aCall is a call that succeeds.
type aCall struct {
	name   string
	atOnce bool // it can be done at once
	stage  func(r *rig) *stage
	call   func(st *stage, i *irp.IRP) ntstatus.Status
}

func connected(help func(st *stage) func()) func(r *rig) *stage {
	return func(r *rig) *stage {
		st := r.on(wsk.FlagConnectionSocket, true, true)
		if help != nil {
			st.help = help(st)
		}
		return st
	}
}

// goodCalls has each function with an IRP, in each way in which it succeeds.
func goodCalls() []aCall {
	const c, l, d, s = wsk.FlagConnectionSocket, wsk.FlagListenSocket, wsk.FlagDatagramSocket, wsk.FlagStreamSocket
	at := func(flag uint32, bound bool) func(r *rig) *stage {
		return func(r *rig) *stage { return r.on(flag, bound, false) }
	}
	ackAll := func(st *stage) func() { return st.peer.AckAll }
	accepting := func(r *rig) *stage {
		st := r.on(c, true, false)
		st.help = st.peer.Accept
		return st
	}
	received := func(i *irp.IRP, st *stage, n int, flags uint32) ntstatus.Status {
		return st.tcp.Receive(wsk.NewBuf(make([]byte, n)), flags, i)
	}
	calls := []aCall{
		{"Bind", true, at(c, false), func(st *stage, i *irp.IRP) ntstatus.Status { return st.tcp.Bind(&wildcard, 0, i) }},
		{"Bind, listening", true, at(l, false), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.(*wsk.ListenSocket).Bind(st.r.place(), 0, i)
		}},
		{"Bind, datagrams", true, at(d, false), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.(*wsk.DatagramSocket).Bind(&wildcard, 0, i)
		}},
		{"Listen", true, at(s, true), func(st *stage, i *irp.IRP) ntstatus.Status { return st.s.(*wsk.StreamSocket).Listen(i) }},
		{"Accept, one waits", true, func(r *rig) *stage {
			st := r.on(l, true, false)
			st.peer.Arrive(remoteA)
			return st
		}, acceptAny},
		{"Accept, one comes", false, func(r *rig) *stage {
			st := r.on(l, true, false)
			st.help = func() { st.peer.Arrive(remoteA) }
			return st
		}, acceptAny},
		{"Connect", false, accepting, func(st *stage, i *irp.IRP) ntstatus.Status { return st.tcp.Connect(&server4, 0, i) }},
		{"ConnectEx", false, accepting, func(st *stage, i *irp.IRP) ntstatus.Status { return st.tcp.ConnectEx(&server4, nil, 0, i) }},
		{"Send", false, connected(ackAll), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.tcp.Send(wsk.NewBuf([]byte("x")), 0, i)
		}},
		{"Send nothing", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status { return st.tcp.Send(&wsk.Buf{}, 0, i) }},
		{"Receive, data is there", true, connected(func(st *stage) func() {
			st.peer.Deliver([]byte("x"))
			return func() {}
		}), func(st *stage, i *irp.IRP) ntstatus.Status { return received(i, st, 1, 0) }},
		{"Receive, data comes", false, connected(func(st *stage) func() {
			return func() { st.peer.Deliver([]byte("x")) }
		}), func(st *stage, i *irp.IRP) ntstatus.Status { return received(i, st, 1, wsk.FlagWaitAll) }},
		{"Receive, the end comes", false, connected(func(st *stage) func() { return st.peer.FIN }),
			func(st *stage, i *irp.IRP) ntstatus.Status { return received(i, st, 1, 0) }},
		{"Receive nothing", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status { return received(i, st, 0, 0) }},
		{"Drain", false, connected(func(st *stage) func() { return st.peer.FIN }),
			func(st *stage, i *irp.IRP) ntstatus.Status { return received(i, st, 0, wsk.FlagDrain) }},
		{"Disconnect", false, connected(ackAll), func(st *stage, i *irp.IRP) ntstatus.Status { return st.tcp.Disconnect(nil, 0, i) }},
		{"Disconnect, abortive", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.tcp.Disconnect(nil, wsk.FlagAbortive, i)
		}},
		{"GetLocalAddress", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.tcp.GetLocalAddress(new(wsk.SockAddr), i)
		}},
		{"GetRemoteAddress", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.tcp.GetRemoteAddress(new(wsk.SockAddr), i)
		}},
		{"ControlSocket, set", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.ControlSocket(wsk.SetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP, le(1), nil, nil, i)
		}},
		{"ControlSocket, ioctl", true, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8), nil, i)
		}},
		{"ControlSocket, events", true, at(d, true), func(st *stage, i *irp.IRP) ntstatus.Status {
			return switchEvents(st.s, wsk.EventReceiveFrom, i)
		}},
		{"SendTo", true, at(d, true), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.(*wsk.DatagramSocket).SendTo(wsk.NewBuf([]byte("x")), 0, &server4, nil, i)
		}},
		{"SendMessages", true, at(d, true), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.(*wsk.DatagramSocket).SendMessages(&wsk.BufList{}, 0, &server4, nil, i)
		}},
		{"ReceiveFrom", false, func(r *rig) *stage {
			st := r.on(d, true, false)
			st.help = func() { st.box.Deliver(remoteA, here, "x") }
			return st
		}, func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.s.(*wsk.DatagramSocket).ReceiveFrom(wsk.NewBuf(make([]byte, 1)), 0, nil, nil, nil, nil, i)
		}},
		{"CloseSocket", false, connected(nil), func(st *stage, i *irp.IRP) ntstatus.Status { return st.s.CloseSocket(i) }},
		{"SocketConnect", false, func(r *rig) *stage {
			st := r.on(wsk.FlagBasicSocket, false, false)
			st.help = func() { r.peer().Accept() }
			return st
		}, func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.r.npi.Dispatch.SocketConnect(st.r.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &wildcard, &server4, 0, nil, nil, i)
		}},
		{"GetAddressInfo", false, at(wsk.FlagBasicSocket, false), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.r.npi.Dispatch.GetAddressInfo(st.r.npi.Client, "192.0.2.1", "", nil, new(*wsk.AddrInfo), i)
		}},
		{"GetNameInfo", false, at(wsk.FlagBasicSocket, false), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.r.npi.Dispatch.GetNameInfo(st.r.npi.Client, &server4, new(string), nil, 0, i)
		}},
	}
	for name, k := range map[string]struct {
		flag     uint32
		kind     uint16
		protocol uint32
	}{
		"basic": {wsk.FlagBasicSocket, wsk.SOCK_RAW, wsk.IPPROTO_ICMP}, "listening": {l, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
		"connection": {c, wsk.SOCK_STREAM, wsk.IPPROTO_TCP}, "datagram": {d, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP}, "stream": {s, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
	} {
		calls = append(calls, aCall{"Socket, " + name, true, at(wsk.FlagBasicSocket, false), func(st *stage, i *irp.IRP) ntstatus.Status {
			return st.r.npi.Dispatch.Socket(st.r.npi.Client, wsk.AF_INET, k.kind, k.protocol, k.flag, nil, nil, i)
		}})
	}
	return calls
}

func acceptAny(st *stage, i *irp.IRP) ntstatus.Status {
	return st.s.(*wsk.ListenSocket).Accept(0, nil, nil, nil, nil, i)
}

// TestEveryCallInEveryMode has what callers rely on whatever the mode, and what the
// modes promise: in the default one no success runs its routine on the caller's stack;
// inline, what can be done at once is done by then.
func TestEveryCallInEveryMode(t *testing.T) {
	covers.IDs(t, "P1")
	for _, c := range goodCalls() {
		t.Run(c.name, func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, mode wsk.CompletionMode) {
				st := c.stage(r)
				q := newRequest()
				var ran string
				q.then = func() { ran = goroutine() }
				got := c.call(st, q.IRP)
				synctest.Wait()
				st.help()
				if result := q.settles(t, got); result.Status != ntstatus.Success {
					t.Fatalf("completed with %v", result.Status)
				}
				inline := got != ntstatus.Pending
				switch {
				case mode == wsk.CompleteLater && inline, inline && !c.atOnce:
					t.Errorf("returned %v", got)
				case mode == wsk.CompleteInline && !inline && c.atOnce:
					t.Error("pended what could be done at once")
				case !inline && ran == goroutine():
					t.Error("the routine ran on the caller's stack")
				}
				// Too late, and harmless.
				if q.Cancel() {
					t.Error("a completed IRP told an operation that it is cancelled")
				}
				if n, _, result := q.snapshot(); n != 1 || result.Status != ntstatus.Success {
					t.Errorf("a late Cancel: completed %d times, %v", n, result.Status)
				}
				r.tidy(st, q, c.name)
			})
		})
	}
}

// TestMarkedIRPInEveryMode hands in IRPs that were cancelled before: nothing is done.
// A close cannot be cancelled.
func TestMarkedIRPInEveryMode(t *testing.T) {
	covers.IDs(t, "P1")
	for _, c := range goodCalls() {
		t.Run(c.name, func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
				st := c.stage(r)
				q := newRequest()
				q.Cancel()
				got := c.call(st, q.IRP)
				want := ntstatus.Cancelled
				if c.name == "CloseSocket" {
					want = ntstatus.Success
				}
				if result := q.settles(t, got); result.Status != want || want == ntstatus.Cancelled && got != want {
					t.Errorf("returned %v, completed with %v", got, result.Status)
				}
				r.tidy(st, q, c.name)
			})
		})
	}
}

// tidy closes the stage's socket and one that the call has made.
func (r *rig) tidy(st *stage, q *request, name string) {
	r.t.Helper()
	if made, ok := q.result.Object.(closer); ok {
		r.shut(made)
	}
	if name != "CloseSocket" {
		r.shut(st.s)
	}
}

// TestPendedWhenTheWorldChanges is the table of what pended requests complete with,
// event by event, in every mode.
func TestPendedWhenTheWorldChanges(t *testing.T) {
	covers.IDs(t, "P1")
	const (
		goesOn    = ntstatus.Pending
		cannotBe  = ntstatus.NotImplemented
		ok        = ntstatus.Success
		reset     = ntstatus.ConnectionReset
		timedOut  = ntstatus.IOTimeout
		cancelled = ntstatus.Cancelled
		aborted   = ntstatus.ConnectionAborted
		forced    = ntstatus.FileForcedClosed
	)
	for _, event := range []struct {
		name                                                          string
		happens                                                       func(st *stage, pended []*request)
		receive, send, disconnect, connect, accept, sendTo, recvdFrom ntstatus.Status
		state                                                         wsk.State // of a socket with a connect pended, afterwards
	}{
		{"the peer's FIN", func(st *stage, _ []*request) { st.peer.FIN() }, ok, goesOn, goesOn, cannotBe, cannotBe, cannotBe, cannotBe, 0},
		{"RST", func(st *stage, _ []*request) { st.peer.Fail(syscall.ECONNRESET) }, reset, reset, reset, ntstatus.ConnectionRefused, cannotBe, cannotBe, cannotBe, wsk.Bound},
		{"retransmission limit", func(st *stage, _ []*request) { st.peer.Fail(syscall.ETIMEDOUT) }, timedOut, timedOut, timedOut, timedOut, cannotBe, cannotBe, cannotBe, wsk.Bound},
		{"own abort", func(st *stage, _ []*request) {
			q := newRequest()
			got := st.tcp.Disconnect(nil, wsk.FlagAbortive, q.IRP)
			want := ok
			if st.tcp.StateOf() == wsk.Connecting {
				want = ntstatus.InvalidDeviceState
			}
			q.gives(st.r.t, got, want, 0)
		}, aborted, cancelled, aborted, goesOn, cannotBe, cannotBe, cannotBe, wsk.Connecting},
		{"CloseSocket", func(st *stage, _ []*request) { st.r.shut(st.s) }, cancelled, cancelled, cancelled, cancelled, cancelled, cancelled, cancelled, wsk.Closed},
		{"Cancel", func(_ *stage, pended []*request) {
			for _, q := range pended {
				q.Cancel()
			}
		}, cancelled, cancelled, cancelled, cancelled, cancelled, cancelled, cancelled, wsk.Bound},
		{"stack teardown", func(st *stage, _ []*request) { st.r.p.Stop() }, forced, forced, forced, forced, forced, forced, forced, wsk.Dead},
	} {
		check := func(t *testing.T, name string, q *request, got, want ntstatus.Status, info int) {
			t.Helper()
			if got != ntstatus.Pending {
				t.Fatalf("%s: returned %v", name, got)
			}
			if want == goesOn {
				q.open(t)
				return
			}
			q.gives(t, got, want, info)
		}
		t.Run(event.name+"/data", func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
				st := r.on(wsk.FlagConnectionSocket, true, true)
				st.peer.SetWindow(2)
				all, some, send, disconnect := newRequest(), newRequest(), newRequest(), newRequest()
				gotAll := st.tcp.Receive(wsk.NewBuf(make([]byte, 8)), wsk.FlagWaitAll, all.IRP)
				st.peer.Deliver([]byte("abc"))
				gotSome := st.tcp.Receive(wsk.NewBuf(make([]byte, 8)), 0, some.IRP)
				gotSend := st.tcp.Send(wsk.NewBuf([]byte("hello")), 0, send.IRP)
				gotDisconnect := st.tcp.Disconnect(wsk.NewBuf([]byte("!")), 0, disconnect.IRP)
				synctest.Wait()
				event.happens(st, []*request{all, some, send, disconnect})
				synctest.Wait()
				check(t, "Receive, all", all, gotAll, event.receive, 3)
				check(t, "Receive", some, gotSome, event.receive, 0)
				check(t, "Send", send, gotSend, event.send, 2)
				check(t, "Disconnect", disconnect, gotDisconnect, event.disconnect, 0)
				if event.send == goesOn {
					st.peer.SetWindow(-1)
					synctest.Wait()
					st.peer.AckAll()
					send.gives(t, gotSend, ok, 5)
					disconnect.gives(t, gotDisconnect, ok, 1)
				}
				if event.name != "CloseSocket" {
					r.shut(st.s)
				}
			})
		})
		if event.connect != cannotBe {
			t.Run(event.name+"/connect", func(t *testing.T) {
				allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
					st := r.on(wsk.FlagStreamSocket, true, false)
					q := newRequest()
					got := st.tcp.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, q.IRP)
					synctest.Wait()
					event.happens(st, []*request{q})
					check(t, "ConnectEx", q, got, event.connect, 0)
					if state := st.tcp.StateOf(); state != event.state {
						t.Errorf("in state %v afterwards, want %v", state, event.state)
					}
					if event.name != "CloseSocket" {
						r.shut(st.s)
					}
					q.settles(t, got)
				})
			})
		}
		if event.accept != cannotBe {
			t.Run(event.name+"/accept and datagrams", func(t *testing.T) {
				allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
					l, d := r.on(wsk.FlagListenSocket, true, false), r.on(wsk.FlagDatagramSocket, true, false)
					d.box.Refuse(syscall.EAGAIN)
					accept, send, receive := newRequest(), newRequest(), newRequest()
					gotAccept := acceptAny(l, accept.IRP)
					box := d.s.(*wsk.DatagramSocket)
					gotSend := box.SendTo(wsk.NewBuf([]byte("x")), 0, &server4, nil, send.IRP)
					gotReceive := box.ReceiveFrom(wsk.NewBuf([]byte("x")), 0, nil, nil, nil, nil, receive.IRP)
					synctest.Wait()
					event.happens(l, []*request{accept})
					event.happens(d, []*request{send, receive})
					check(t, "Accept", accept, gotAccept, event.accept, 0)
					check(t, "SendTo", send, gotSend, event.sendTo, 0)
					check(t, "ReceiveFrom", receive, gotReceive, event.recvdFrom, 0)
					if event.name == "Cancel" { // no connection and no datagram is lost by it
						l.peer.Arrive(remoteA)
						d.box.Deliver(remoteA, here, "x")
						again := newRequest()
						again.gives(t, acceptAny(l, again.IRP), ok, 0)
						r.shut(again.result.Object.(closer))
						again = newRequest()
						again.gives(t, box.ReceiveFrom(wsk.NewBuf([]byte("x")), 0, nil, nil, nil, nil, again.IRP), ok, 1)
					}
					if event.name != "CloseSocket" {
						r.shut(l.s)
						r.shut(d.s)
					}
				})
			})
		}
	}
}

// TestOrderInEveryMode has several of each kind: sends complete in the order of their
// calls, also those of nothing, a disconnect after all of them; receives and accepts
// are served in order, and the close is the last.
func TestOrderInEveryMode(t *testing.T) {
	allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
		st := r.on(wsk.FlagConnectionSocket, true, true)
		var order []string
		named := func(name string) *request {
			q := newRequest()
			q.then = func() { order = append(order, name) }
			return q
		}
		var bufs [3][]byte
		for k := range bufs {
			bufs[k] = make([]byte, 2)
			q := named(fmt.Sprint("receive ", k))
			st.tcp.Receive(wsk.NewBuf(bufs[k]), wsk.FlagWaitAll, q.IRP)
		}
		synctest.Wait()
		st.peer.Deliver([]byte("ab"))
		synctest.Wait()
		st.peer.Deliver([]byte("cdef"))
		synctest.Wait()
		if got := fmt.Sprintf("%s", bufs); got != "[ab cd ef]" {
			t.Errorf("received %v", got)
		}
		for k, data := range []string{"one", "", "two", "", ""} {
			q := named(fmt.Sprint("send ", k))
			st.tcp.Send(wsk.NewBuf([]byte(data)), 0, q.IRP)
			synctest.Wait()
		}
		d, waiting := named("disconnect"), named("receive 3")
		st.tcp.Disconnect(nil, 0, d.IRP)
		st.tcp.Receive(wsk.NewBuf(make([]byte, 1)), 0, waiting.IRP)
		synctest.Wait()
		if len(order) != 3 {
			t.Errorf("completed too early: %v", order[3:])
		}
		st.peer.Ack(3)
		synctest.Wait()
		st.peer.AckAll()
		synctest.Wait()
		last := named("close")
		st.s.CloseSocket(last.IRP)
		synctest.Wait()
		want := []string{"receive 0", "receive 1", "receive 2", "send 0", "send 1", "send 2", "send 3", "send 4", "disconnect", "receive 3", "close"}
		if !slices.Equal(order, want) {
			t.Errorf("completed in the order %v, want %v", order, want)
		}
	})
	t.Run("accepts", func(t *testing.T) {
		allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
			st := r.on(wsk.FlagListenSocket, true, false)
			var accepts []*request
			var from [2]wsk.SockAddr
			for k := range from {
				q := newRequest()
				accepts = append(accepts, q)
				q.pends(t, st.s.(*wsk.ListenSocket).Accept(0, nil, nil, nil, &from[k], q.IRP))
			}
			st.peer.Arrive(remoteA)
			st.peer.Arrive(remoteB)
			for _, q := range accepts {
				q.gives(t, ntstatus.Pending, ntstatus.Success, 0)
				r.shut(q.result.Object.(closer))
			}
			if from[0].AddrPort() != remoteA || from[1].AddrPort() != remoteB {
				t.Errorf("accepted from %v", from)
			}
			r.shut(st.s)
		})
	})
}
