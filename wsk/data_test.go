package wsk_test

import (
	"bytes"
	"math/rand"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestSendCompletesWhenAcknowledged has three sends, one with pieces that the
// transport takes bit by bit.
func TestSendCompletesWhenAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.SetWindow(4)
		a, b, c, empty := newRequest(), newRequest(), newRequest(), newRequest()
		buf := wsk.NewBuf([]byte("ab"), []byte("cdef"), nil, []byte("gh"))
		a.pends(t, s.Send(buf, 0, a.IRP))
		*buf = wsk.Buf{}
		b.pends(t, s.Send(wsk.NewBuf([]byte("ij")), wsk.FlagNoDelay, b.IRP))
		c.pends(t, s.Send(wsk.NewBuf([]byte("k")), 0, c.IRP))
		empty.pends(t, s.Send(&wsk.Buf{}, 0, empty.IRP)).open(t)
		a.open(t)
		if got := string(peer.Received()); got != "abcd" {
			t.Errorf("the transport has %q", got)
		}
		peer.SetWindow(1)
		synctest.Wait()
		peer.SetWindow(-1)
		a.open(t)
		if got := string(peer.Received()); got != "abcdefghijk" {
			t.Errorf("the transport has %q", got)
		}
		if s.Working() {
			t.Error("a socket that waits for acknowledgements owns a goroutine")
		}
		peer.Ack(7)
		a.open(t)
		peer.Ack(2)
		a.ends(t, ntstatus.Success, 8)
		b.open(t)
		empty.open(t) // sends complete in the order of the calls
		peer.AckAll()
		b.ends(t, ntstatus.Success, 2)
		c.ends(t, ntstatus.Success, 1)
		empty.ends(t, ntstatus.Success, 0)
		r.close(s)
	})
}

// TestDataMovesInTheCall has a send's bytes with the transport, and a receive's with the
// client, when the call returns; the routines are still the worker's. What waits then
// has no worker.
func TestDataMovesInTheCall(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		q := newRequest()
		if status := s.Send(wsk.NewBuf([]byte("up")), 0, q.IRP); status != ntstatus.Pending {
			t.Fatal(status)
		}
		if got := string(peer.Received()); got != "up" || s.Working() {
			t.Errorf("the transport has %q; worker: %v", got, s.Working())
		}
		peer.AckAll()
		q.ends(t, ntstatus.Success, 2)

		peer.Deliver([]byte("down"))
		synctest.Wait()
		buf := make([]byte, 4)
		q = newRequest()
		q.pends(t, s.Receive(wsk.NewBuf(buf), 0, q.IRP)).ends(t, ntstatus.Success, 4)
		q = newRequest()
		if status := s.Receive(wsk.NewBuf(buf), 0, q.IRP); status != ntstatus.Pending || s.Working() {
			t.Errorf("%v; worker: %v", status, s.Working())
		}
		peer.Deliver([]byte("more"))
		q.ends(t, ntstatus.Success, 4)
		if string(buf) != "more" {
			t.Errorf("received %q", buf)
		}
		r.close(s)
	})
}

// TestSendNoDelay has Nagle off while the flagged send is on its way.
func TestSendNoDelay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		var calls []bool
		peer.Transport.SetNoDelayFunc = func(on bool) error { calls = append(calls, on); return nil }
		a := newRequest()
		a.pends(t, s.Send(wsk.NewBuf([]byte("x")), wsk.FlagNoDelay, a.IRP)).open(t)
		if len(calls) != 1 || !calls[0] {
			t.Errorf("TCP_NODELAY set to %v", calls)
		}
		peer.AckAll()
		a.ends(t, ntstatus.Success, 1)
		if len(calls) != 2 || calls[1] {
			t.Errorf("TCP_NODELAY set to %v", calls)
		}
		r.close(s)
	})
}

func TestDataRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, _ := r.connected()
		data := wsk.NewBuf([]byte("x"))
		bad := &wsk.Buf{MDL: data.MDL, Length: 2}
		for _, tt := range []struct {
			name string
			call func(q *request) ntstatus.Status
			want ntstatus.Status
		}{
			{"send OOB", func(q *request) ntstatus.Status { return s.Send(data, wsk.FlagOOB, q.IRP) }, ntstatus.NotSupported},
			{"send unknown flag", func(q *request) ntstatus.Status { return s.Send(data, 0x80, q.IRP) }, ntstatus.NotSupported},
			{"send nil", func(q *request) ntstatus.Status { return s.Send(nil, 0, q.IRP) }, ntstatus.InvalidParameter},
			{"send bad", func(q *request) ntstatus.Status { return s.Send(bad, 0, q.IRP) }, ntstatus.InvalidParameter},
			{"receive unknown flag", func(q *request) ntstatus.Status { return s.Receive(data, 1, q.IRP) }, ntstatus.NotSupported},
			{"receive nil", func(q *request) ntstatus.Status { return s.Receive(nil, 0, q.IRP) }, ntstatus.InvalidParameter},
			{"receive bad", func(q *request) ntstatus.Status { return s.Receive(bad, 0, q.IRP) }, ntstatus.InvalidParameter},
			{"drain nil", func(q *request) ntstatus.Status { return s.Receive(nil, wsk.FlagDrain, q.IRP) }, ntstatus.InvalidParameter},
			{"drain with bytes", func(q *request) ntstatus.Status { return s.Receive(data, wsk.FlagDrain, q.IRP) }, ntstatus.InvalidParameter},
			{"drain and wait", func(q *request) ntstatus.Status {
				return s.Receive(&wsk.Buf{}, wsk.FlagDrain|wsk.FlagWaitAll, q.IRP)
			}, ntstatus.InvalidParameter},
			{"disconnect flag", func(q *request) ntstatus.Status { return s.Disconnect(nil, 2, q.IRP) }, ntstatus.InvalidParameter},
			{"disconnect bad", func(q *request) ntstatus.Status { return s.Disconnect(bad, 0, q.IRP) }, ntstatus.InvalidParameter},
			{"abort with bytes", func(q *request) ntstatus.Status { return s.Disconnect(data, wsk.FlagAbortive, q.IRP) }, ntstatus.InvalidParameter},
			{"abort with flag", func(q *request) ntstatus.Status { return s.Disconnect(nil, wsk.FlagAbortive|4, q.IRP) }, ntstatus.InvalidParameter},
			{"no remote", func(q *request) ntstatus.Status { return s.GetRemoteAddress(nil, q.IRP) }, ntstatus.InvalidParameter},
		} {
			t.Log(tt.name)
			q := newRequest()
			q.inline(t, tt.call(q), tt.want)
		}
		if s.StateOf() != wsk.Connected {
			t.Errorf("in state %v", s.StateOf())
		}
		r.close(s)
	})
}

// TestReceiveInOrder serves receives first come, first served, and all of them at
// the FIN.
func TestReceiveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		one, two := make([]byte, 3), make([]byte, 3)
		a, b, whole, late, empty := newRequest(), newRequest(), newRequest(), newRequest(), newRequest()
		a.pends(t, s.Receive(wsk.NewBuf(one), 0, a.IRP))
		b.pends(t, s.Receive(wsk.NewBuf(two[:1], two[1:]), 0, b.IRP))
		all := make([]byte, 8)
		whole.pends(t, s.Receive(wsk.NewBuf(all[:3], all[3:]), wsk.FlagWaitAll, whole.IRP))
		late.pends(t, s.Receive(wsk.NewBuf(make([]byte, 9)), 0, late.IRP)).open(t)
		empty.pends(t, s.Receive(&wsk.Buf{}, 0, empty.IRP)).ends(t, ntstatus.Success, 0)
		if s.Working() {
			t.Error("a socket with pending receives and no data owns a goroutine")
		}
		peer.Deliver([]byte("x"))
		a.ends(t, ntstatus.Success, 1)
		b.open(t)
		peer.Deliver([]byte("12345"))
		b.ends(t, ntstatus.Success, 3)
		whole.open(t)
		peer.Deliver([]byte("678"))
		peer.FIN()
		whole.ends(t, ntstatus.Success, 5)
		late.ends(t, ntstatus.Success, 0)
		if string(one[:1])+string(two)+string(all[:5]) != "x12345678" {
			t.Errorf("received %q %q %q", one, two, all)
		}
		after := newRequest()
		after.pends(t, s.Receive(wsk.NewBuf(make([]byte, 9)), 0, after.IRP)).ends(t, ntstatus.Success, 0)
		r.close(s)
	})
}

func TestReceiveWaitAllAndCancel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		full, cut, next := newRequest(), newRequest(), newRequest()
		buf := make([]byte, 4)
		full.pends(t, s.Receive(wsk.NewBuf(buf), wsk.FlagWaitAll, full.IRP))
		peer.Deliver([]byte("a"))
		full.open(t)
		peer.Deliver([]byte("bc"))
		full.open(t) // one byte is missing
		peer.Deliver([]byte("def"))
		full.ends(t, ntstatus.Success, 4)
		cut.pends(t, s.Receive(wsk.NewBuf(make([]byte, 4)), wsk.FlagWaitAll, cut.IRP)).open(t)
		next.pends(t, s.Receive(wsk.NewBuf(make([]byte, 4)), 0, next.IRP)).open(t)
		if !cut.Cancel() {
			t.Error("Cancel told no operation")
		}
		cut.ends(t, ntstatus.Cancelled, 2)
		next.open(t)
		peer.Deliver([]byte("g"))
		next.ends(t, ntstatus.Success, 1)
		if cut.Cancel() {
			t.Error("Cancel after completion told an operation")
		}
		r.close(s)
	})
}

func TestReceiveDrain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		q := newRequest()
		q.pends(t, s.Receive(&wsk.Buf{}, wsk.FlagDrain, q.IRP))
		for range 5 {
			peer.Deliver(make([]byte, 100_000))
			q.open(t)
		}
		if n := peer.Seen().Undelivered; n != 0 {
			t.Errorf("%d bytes are left", n)
		}
		peer.FIN()
		q.ends(t, ntstatus.Success, 0)
		r.close(s)
	})
}

// TestGracefulDisconnect completes when the FIN is acknowledged; receiving goes on.
func TestGracefulDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.SetWindow(3)
		closes, closeWrite := 0, peer.Transport.CloseWriteFunc
		peer.Transport.CloseWriteFunc = func() error { closes++; return closeWrite() }
		send, disconnect := newRequest(), newRequest()
		send.pends(t, s.Send(wsk.NewBuf([]byte("data ")), 0, send.IRP))
		disconnect.pends(t, s.Disconnect(wsk.NewBuf([]byte("last")), 0, disconnect.IRP)).open(t)
		if peer.Seen().FIN {
			t.Error("the FIN overtook data")
		}
		q := newRequest()
		q.inline(t, s.Send(wsk.NewBuf([]byte("x")), 0, q.IRP), ntstatus.InvalidDeviceState)
		peer.SetWindow(-1)
		disconnect.open(t)
		if got := string(peer.Received()); got != "data last" || !peer.Seen().FIN {
			t.Errorf("sent %q, FIN %v", got, peer.Seen().FIN)
		}
		peer.Ack(9)
		send.ends(t, ntstatus.Success, 5)
		disconnect.open(t)
		peer.AckAll()
		disconnect.ends(t, ntstatus.Success, 4)
		if s.StateOf() != wsk.SendClosed || closes != 1 {
			t.Errorf("in state %v after %d FINs", s.StateOf(), closes)
		}
		peer.Deliver([]byte("answer"))
		peer.FIN()
		receive := newRequest()
		receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 9)), 0, receive.IRP)).ends(t, ntstatus.Success, 6)
		receive = newRequest()
		receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 9)), 0, receive.IRP)).ends(t, ntstatus.Success, 0)
		if s.StateOf() != wsk.Disconnected {
			t.Errorf("in state %v", s.StateOf())
		}
		r.close(s)
		if seen := peer.Seen(); seen.Aborted || !seen.Closed {
			t.Errorf("closing a disconnected socket: %+v", seen)
		}
	})
}

// TestDisconnectCancel undoes a disconnect before its FIN, and not after.
func TestDisconnectCancel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.SetWindow(0)
		send, first, second := newRequest(), newRequest(), newRequest()
		send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP))
		first.pends(t, s.Disconnect(nil, 0, first.IRP)).open(t)
		first.Cancel()
		first.ends(t, ntstatus.Cancelled, 0)
		if s.StateOf() != wsk.Connected {
			t.Errorf("in state %v", s.StateOf())
		}
		peer.SetWindow(-1)
		second.pends(t, s.Disconnect(nil, 0, second.IRP)).open(t)
		second.Cancel()
		second.ends(t, ntstatus.Cancelled, 0)
		if s.StateOf() != wsk.SendClosing || !peer.Seen().FIN {
			t.Errorf("in state %v, FIN %v", s.StateOf(), peer.Seen().FIN)
		}
		peer.AckAll()
		send.ends(t, ntstatus.Success, 1)
		r.close(s)
	})
}

// TestSendCancel tells how much was taken and goes on with the next.
func TestSendCancel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.SetWindow(2)
		a, b, c := newRequest(), newRequest(), newRequest()
		a.pends(t, s.Send(wsk.NewBuf([]byte("abcd")), 0, a.IRP))
		b.pends(t, s.Send(wsk.NewBuf([]byte("never")), 0, b.IRP))
		c.pends(t, s.Send(wsk.NewBuf([]byte("e")), 0, c.IRP)).open(t)
		b.Cancel()
		b.ends(t, ntstatus.Cancelled, 0)
		a.Cancel()
		a.ends(t, ntstatus.Cancelled, 2)
		peer.SetWindow(-1)
		c.open(t)
		peer.AckAll()
		c.ends(t, ntstatus.Success, 1)
		if got := string(peer.Received()); got != "abe" {
			t.Errorf("sent %q", got)
		}
		r.close(s)
	})
}

// TestCancelledBeforeTheNext cancels a send and a receive while the worker is in another
// routine: the next one, which moves in its call, must not move the cancelled one.
func TestCancelledBeforeTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		busy, done := make(chan struct{}), make(chan struct{})
		blocks := newRequest()
		blocks.IRP = irp.New(func(i *irp.IRP, ctx any) {
			close(busy)
			<-done
			record(i, ctx)
		}, blocks)
		sent, received := newRequest(), newRequest()
		received.pends(t, s.Receive(wsk.NewBuf(make([]byte, 4)), 0, received.IRP))
		blocks.pends(t, s.Send(wsk.NewBuf(nil), 0, blocks.IRP))
		<-busy
		peer.SetWindow(0)
		sent.pends(t, s.Send(wsk.NewBuf([]byte("never")), 0, sent.IRP))

		sent.Cancel()
		received.Cancel()
		peer.SetWindow(-1)
		peer.Deliver([]byte("data"))
		next, buf, into := newRequest(), make([]byte, 4), newRequest()
		next.pends(t, s.Send(wsk.NewBuf([]byte("next")), 0, next.IRP))
		into.pends(t, s.Receive(wsk.NewBuf(buf), 0, into.IRP))
		close(done)
		peer.AckAll()

		blocks.ends(t, ntstatus.Success, 0)
		sent.ends(t, ntstatus.Cancelled, 0)
		received.ends(t, ntstatus.Cancelled, 0)
		next.ends(t, ntstatus.Success, 4)
		into.ends(t, ntstatus.Success, 4)
		if got := string(peer.Received()); got != "next" || string(buf) != "data" {
			t.Errorf("sent %q, received %q", got, buf)
		}
		r.close(s)
	})
}

// TestBroken has the latched status for everything pended and everything after.
func TestBroken(t *testing.T) {
	for errno, want := range map[syscall.Errno]ntstatus.Status{
		syscall.ECONNRESET:   ntstatus.ConnectionReset,
		syscall.ETIMEDOUT:    ntstatus.IOTimeout,
		syscall.ECONNABORTED: ntstatus.ConnectionAborted,
		syscall.EHOSTUNREACH: ntstatus.HostUnreachable,
		syscall.EPIPE:        ntstatus.ConnectionDisconnected,
	} {
		bubble(t, func(t *testing.T, r *rig) {
			s, peer := r.connected()
			send := newRequest()
			send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP)).open(t)
			peer.Fail(errno) // only Err tells: nothing is left to be written
			send.ends(t, want, 1)
			for _, call := range []func(q *request) ntstatus.Status{
				func(q *request) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, q.IRP) },
				func(q *request) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, q.IRP) },
				func(q *request) ntstatus.Status { return s.Disconnect(nil, 0, q.IRP) },
			} {
				q := newRequest()
				q.inline(t, call(q), want)
			}
			r.close(s)
		})
	}
}

// TestBrokenMeanwhile has a connection that breaks between two questions: that
// nothing is unacknowledged on a broken connection is no success.
func TestBrokenMeanwhile(t *testing.T) {
	covers.IDs(t, "P2")
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		send := newRequest()
		send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP)).open(t)
		var broken error
		peer.Transport.UnacknowledgedFunc = func() int { broken = syscall.ECONNRESET; return 0 }
		peer.Transport.ErrFunc = func() error { return broken }
		peer.Transport.Wake()
		send.ends(t, ntstatus.ConnectionReset, 1)
		r.close(s)
	})
}

// TestUnnoticedReset has a reset that comes while nothing is pended: the next
// operation meets it.
func TestUnnoticedReset(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		peer.Fail(syscall.ECONNRESET)
		synctest.Wait()
		q := newRequest()
		q.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, q.IRP)).ends(t, ntstatus.ConnectionReset, 0)
		r.close(s)
	})
}

// TestReuse drives a whole conversation with one IRP.
func TestReuse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		q := newRequest()
		again := func() {
			old := q.IRP
			if st := old.Reuse(ntstatus.Unsuccessful); st != ntstatus.Success {
				t.Fatal(st)
			}
			q = &request{IRP: old}
			if st := old.SetCompletionRoutine(record, q); st != ntstatus.Success {
				t.Fatal(st)
			}
		}
		for n := range 20 {
			data := []byte{byte(n)}
			again()
			q.pends(t, s.Send(wsk.NewBuf(data), 0, q.IRP)).open(t)
			peer.AckAll()
			q.ends(t, ntstatus.Success, 1)
			again()
			peer.Deliver(data)
			got := make([]byte, 1)
			q.pends(t, s.Receive(wsk.NewBuf(got), 0, q.IRP)).ends(t, ntstatus.Success, 1)
			if got[0] != byte(n) {
				t.Fatalf("received %v", got)
			}
		}
		r.close(s)
	})
}

// TestStream moves a large random stream both ways through small windows.
func TestStream(t *testing.T) {
	covers.IDs(t, "P2")
	bubble(t, func(t *testing.T, r *rig) {
		rng := rand.New(rand.NewSource(2))
		s, peer := r.connected()
		peer.SetWindow(0)
		data := make([]byte, 200_000)
		rng.Read(data)
		var sends []*request
		for rest := data; len(rest) > 0; {
			n := min(1+rng.Intn(9000), len(rest))
			q := newRequest()
			q.pends(t, s.Send(wsk.NewBuf(rest[:n/2], rest[n/2:n]), 0, q.IRP))
			sends, rest = append(sends, q), rest[n:]
		}
		for len(peer.Received()) < len(data) {
			peer.SetWindow(1 + rng.Intn(5000))
			synctest.Wait()
			peer.AckAll()
		}
		synctest.Wait()
		total := 0
		for _, q := range sends {
			count, _, result := q.snapshot()
			if count != 1 || result.Status != ntstatus.Success {
				t.Fatalf("a send completed %d times with %v", count, result)
			}
			total += int(result.Information)
		}
		if total != len(data) || !bytes.Equal(peer.Received(), data) {
			t.Error("the stream is damaged")
		}
		r.close(s)
	})
}
