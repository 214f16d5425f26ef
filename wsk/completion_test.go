package wsk_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// done checks a call that succeeded before it returned.
func (q *request) done(t *testing.T, got ntstatus.Status, info int) {
	t.Helper()
	q.inline(t, got, ntstatus.Success)
	if _, _, result := q.snapshot(); int(result.Information) != info {
		t.Fatalf("Information %d, want %d", result.Information, info)
	}
}

// TestInline has each kind of request that can be done at once, and some that cannot.
func TestInline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.p.SetCompletionMode(wsk.CompleteInline, 0)
		create := func(kind uint16, protocol, flag uint32, table wsk.EventTable) any {
			t.Helper()
			q := newRequest()
			q.done(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, kind, protocol, flag, "context", table, q.IRP), 0)
			return q.result.Object
		}
		l := create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
		q := newRequest()
		q.done(t, l.Bind(&server4, 0, q.IRP), 0)
		far := r.peer().Arrive(remoteA)
		q = newRequest()
		q.done(t, l.Accept(0, nil, nil, nil, nil, q.IRP), 0)
		s := q.result.Object.(*wsk.ConnectionSocket)
		waiting := newRequest()
		waiting.pends(t, l.Accept(0, nil, nil, nil, nil, waiting.IRP)).open(t)

		out := make([]byte, 4)
		q = newRequest()
		q.done(t, s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, out, nil, q.IRP), 4)
		far.Deliver([]byte("abc"))
		q = newRequest()
		q.done(t, s.Receive(wsk.NewBuf(out), 0, q.IRP), 3)
		q = newRequest()
		q.done(t, s.Receive(&wsk.Buf{}, 0, q.IRP), 0)
		first := newRequest()
		first.pends(t, s.Receive(wsk.NewBuf(out), 0, first.IRP)).open(t)
		send := newRequest()
		send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP)).open(t) // not before the peer has it
		far.AckAll()
		send.ends(t, ntstatus.Success, 1)
		far.FIN()
		first.ends(t, ntstatus.Success, 0)

		d := create(wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil).(*wsk.DatagramSocket)
		q = newRequest()
		q.done(t, d.Bind(&wildcard, 0, q.IRP), 0)
		q = newRequest()
		q.done(t, d.SendTo(wsk.NewBuf([]byte("hello")), 0, &server4, nil, q.IRP), 5)
		r.boxes[0].Deliver(remoteA, here, "longer")
		q = newRequest()
		q.inline(t, d.ReceiveFrom(wsk.NewBuf(out), 0, nil, nil, nil, nil, q.IRP), ntstatus.BufferOverflow)

		connect := newRequest()
		connect.pends(t, r.npi.Dispatch.SocketConnect(r.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &wildcard, &server4, 0, nil, nil, connect.IRP)).open(t)
		r.peer().Accept()
		connect.ends(t, ntstatus.Success, 0)
		r.close(connect.result.Object.(*wsk.ConnectionSocket))
		r.close(s)
		r.close(d)
		r.close(l)
		waiting.ends(t, ntstatus.Cancelled, 0)
	})
}

// TestInlineOrder has a Receive while a callback is deciding about earlier data: it
// must not overtake.
func TestInlineOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		held := make(chan struct{})
		l := &listener{answer: func(*wsk.DataIndication, *uint64) ntstatus.Status {
			<-held
			return ntstatus.DataNotAccepted
		}}
		s, peer := r.heard(l, wsk.EventReceive)
		r.p.SetCompletionMode(wsk.CompleteInline, 0)
		peer.Deliver([]byte("ab"))
		synctest.Wait()
		peer.Deliver([]byte("cd"))
		buf := make([]byte, 4)
		q := newRequest()
		q.pends(t, s.Receive(wsk.NewBuf(buf), 0, q.IRP)).open(t)
		close(held)
		q.ends(t, ntstatus.Success, 4)
		if string(buf) != "abcd" {
			t.Errorf("received %q", buf)
		}
		r.close(s)
	})
}

// TestInlineDoesNotOvertake has requests that could be done at once while the worker
// still completes earlier ones: they wait for their turn. What has no turn does not.
func TestInlineDoesNotOvertake(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		r.p.SetCompletionMode(wsk.CompleteInline, 0)
		var order []string
		held := make(chan struct{})
		named := func(name string, then func()) *request {
			q := newRequest()
			q.then = func() {
				then()
				order = append(order, name)
			}
			return q
		}
		first, second := named("first", func() { <-held }), named("second", func() {})
		buf := make([]byte, 4)
		first.pends(t, s.Receive(wsk.NewBuf(buf[:1]), 0, first.IRP))
		second.pends(t, s.Receive(wsk.NewBuf(buf[1:2]), 0, second.IRP)).open(t)
		peer.Deliver([]byte("abc"))
		synctest.Wait() // the first routine runs, the second is still to be called
		third, nothing := named("third", func() {}), named("nothing", func() {})
		third.pends(t, s.Receive(wsk.NewBuf(buf[2:3]), 0, third.IRP))
		nothing.pends(t, s.Receive(&wsk.Buf{}, 0, nothing.IRP)).open(t)
		q := newRequest()
		q.done(t, s.GetLocalAddress(new(wsk.SockAddr), q.IRP), 0)
		close(held)
		third.ends(t, ntstatus.Success, 1)
		nothing.ends(t, ntstatus.Success, 0)
		if got := slices.Compact(order); !slices.Equal(got[:2], []string{"first", "second"}) || string(buf[:3]) != "abc" {
			t.Errorf("completed in the order %v, received %q", order, buf)
		}
		r.close(s)
	})
}

// TestRandom has the same calls decided the same by the same seed, and both ways.
func TestRandom(t *testing.T) {
	var runs [][]bool
	for _, seed := range []uint64{1, 1, 2} {
		bubble(t, func(t *testing.T, r *rig) {
			s := r.bound()
			r.p.SetCompletionMode(wsk.CompleteRandom, seed)
			var run []bool
			for range 64 {
				q := newRequest()
				st := s.GetLocalAddress(new(wsk.SockAddr), q.IRP)
				run = append(run, st == ntstatus.Pending)
				synctest.Wait()
				if n, pending, result := q.snapshot(); n != 1 || pending != (st == ntstatus.Pending) || result.Status != ntstatus.Success {
					t.Errorf("%v: completed %d times, %v", st, n, result.Status)
				}
			}
			runs = append(runs, run)
			r.close(s)
		})
	}
	if !slices.Equal(runs[0], runs[1]) || slices.Equal(runs[0], runs[2]) || !slices.Contains(runs[0], true) || !slices.Contains(runs[0], false) {
		t.Errorf("decided %v", runs)
	}
}
