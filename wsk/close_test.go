package wsk_test

import (
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestCloseCompletesLast has the close after all it cancels, whose routines run
// before.
func TestCloseCompletesLast(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.SetWindow(1)
		var order []string
		named := func(name string) *request {
			q := newRequest()
			q.then = func() { order = append(order, name) }
			return q
		}
		a, b, c, d, last := named("receive"), named("receive"), named("send"), named("disconnect"), named("close")
		a.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, a.IRP))
		b.pends(t, s.Receive(&wsk.Buf{}, wsk.FlagDrain, b.IRP))
		c.pends(t, s.Send(wsk.NewBuf([]byte("xy")), 0, c.IRP))
		d.pends(t, s.Disconnect(nil, 0, d.IRP))
		last.pends(t, s.CloseSocket(last.IRP)).ends(t, ntstatus.Success, 0)
		for _, q := range []*request{a, b, d} {
			q.ends(t, ntstatus.Cancelled, 0)
		}
		if len(order) != 5 || order[4] != "close" {
			t.Errorf("completed in the order %v", order)
		}
		if !peer.Seen().Aborted {
			t.Error("no RST")
		}
		again := newRequest()
		again.inline(t, s.CloseSocket(again.IRP), ntstatus.FileForcedClosed)
	})
}

// TestCloseFromRoutine closes from inside a completion routine, pended and inline.
func TestCloseFromRoutine(t *testing.T) {
	t.Run("pended", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			s, peer := r.connected()
			receive, other, last := newRequest(), newRequest(), newRequest()
			returned := false
			receive.then = func() {
				last.pends(t, s.CloseSocket(last.IRP))
				if count, _, _ := last.snapshot(); count != 0 {
					t.Error("the close completed inside another routine of the socket")
				}
				returned = true
			}
			last.then = func() {
				if !returned {
					t.Error("the close completed before a routine had returned")
				}
			}
			receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, receive.IRP))
			other.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, other.IRP))
			peer.Deliver([]byte("x"))
			receive.ends(t, ntstatus.Success, 1)
			other.ends(t, ntstatus.Cancelled, 0)
			last.ends(t, ntstatus.Success, 0)
		})
	})
	t.Run("inline", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			s := r.bound()
			failing, last := newRequest(), newRequest()
			failing.then = func() {
				last.pends(t, s.CloseSocket(last.IRP)).open(t)
			}
			failing.inline(t, s.Send(wsk.NewBuf([]byte("x")), 0, failing.IRP), ntstatus.InvalidDeviceState)
			last.ends(t, ntstatus.Success, 0)
		})
	})
}

// TestRoutineStartsRequests has a routine that submits the next receive itself.
func TestRoutineStartsRequests(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		first, second := newRequest(), newRequest()
		first.then = func() {
			second.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, second.IRP))
		}
		first.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, first.IRP))
		peer.Deliver([]byte("ab"))
		first.ends(t, ntstatus.Success, 1)
		second.ends(t, ntstatus.Success, 1)
		r.close(s)
	})
}

// TestCloseSendsNoReset has the sockets that close without a RST, among them one
// that is closed both ways though no receive has said so.
func TestCloseSendsNoReset(t *testing.T) {
	t.Run("bound", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			s := r.bound()
			r.close(s)
			if seen := r.peer().Seen(); seen.Aborted || !seen.Closed {
				t.Errorf("%+v", seen)
			}
		})
	})
	for name, tt := range map[string]struct {
		before func(r *rig)
		reset  bool
	}{
		"both FINs":      {func(r *rig) { r.peer().AckAll(); r.peer().FIN() }, false},
		"unread data":    {func(r *rig) { r.peer().AckAll(); r.peer().Deliver([]byte("x")); r.peer().FIN() }, true},
		"own FIN only":   {func(r *rig) { r.peer().AckAll() }, true},
		"unacknowledged": {func(r *rig) { r.peer().FIN() }, true},
		"nothing at all": {func(*rig) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s, peer := r.connected()
				q := newRequest()
				q.pends(t, s.Disconnect(nil, 0, q.IRP))
				synctest.Wait()
				tt.before(r)
				synctest.Wait()
				r.close(s)
				if seen := peer.Seen(); seen.Aborted != tt.reset || seen.Closed == tt.reset {
					t.Errorf("%+v, want a RST: %v", seen, tt.reset)
				}
			})
		})
	}
}
