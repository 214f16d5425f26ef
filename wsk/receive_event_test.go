package wsk_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// listener is a client's connection callbacks and a log of what they were told.
type listener struct {
	answer func(ind *wsk.DataIndication, accepted *uint64) ntstatus.Status // nil: takes all

	mu      sync.Mutex
	log     []string
	inside  bool
	overlap bool
	lists   []*wsk.DataIndication
}

func (l *listener) table() *wsk.ClientConnectionDispatch {
	return &wsk.ClientConnectionDispatch{ReceiveEvent: l.receive, DisconnectEvent: l.disconnect, SendBacklogEvent: l.backlog}
}

// note logs a callback; the result is to be called when it returns.
func (l *listener) note(format string, args ...any) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overlap = l.overlap || l.inside
	l.inside = true
	l.log = append(l.log, fmt.Sprintf(format, args...))
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inside = false
	}
}

func (l *listener) receive(ctx any, flags uint32, ind *wsk.DataIndication, indicated uint64, accepted *uint64) ntstatus.Status {
	if ind == nil {
		defer l.note("dead %v %d %v", ctx, indicated, accepted == nil)()
		return ntstatus.Success
	}
	data := ""
	for d := ind; d != nil; d = d.Next {
		segs, _ := d.Buffer.Segments()
		for _, s := range segs {
			data += string(s)
		}
	}
	defer l.note("data %v %q %d", ctx, data, flags)()
	if int(indicated) != len(data) || *accepted != indicated {
		defer l.note("%d indicated, %d accepted", indicated, *accepted)()
	}
	l.lists = append(l.lists, ind)
	if l.answer == nil {
		return ntstatus.Success
	}
	return l.answer(ind, accepted)
}

func (l *listener) disconnect(_ any, flags uint32) ntstatus.Status {
	defer l.note("disconnect %d", flags)()
	return ntstatus.Success
}

func (l *listener) backlog(_ any, ideal uint64) ntstatus.Status {
	defer l.note("backlog %d", ideal)()
	return ntstatus.Success
}

// told waits until nothing moves and checks what was told since the last time.
func (l *listener) told(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.log, want) || l.overlap {
		t.Fatalf("told %q (overlapping: %v), want %q", l.log, l.overlap, want)
	}
	l.log = nil
}

const all = wsk.EventReceive | wsk.EventDisconnect | wsk.EventSendBacklog

// heard makes a connected socket with callbacks, of which mask are enabled.
func (r *rig) heard(l *listener, mask uint32) (*wsk.ConnectionSocket, *wsktest.Peer) {
	r.t.Helper()
	s := r.make(wsk.AF_INET, wsk.FlagConnectionSocket, l.table()).(*wsk.ConnectionSocket)
	q := newRequest()
	q.pends(r.t, s.Bind(&wildcard, 0, q.IRP)).ends(r.t, ntstatus.Success, 0)
	q = newRequest()
	q.pends(r.t, s.Connect(&server4, 0, q.IRP)).open(r.t)
	r.peer().Accept()
	q.ends(r.t, ntstatus.Success, 0)
	if mask != 0 {
		enable(r.t, s, mask)
	}
	return s, r.peer()
}

// receive posts a Receive.
func receive(t *testing.T, s *wsk.ConnectionSocket, buf []byte) *request {
	t.Helper()
	q := newRequest()
	return q.pends(t, s.Receive(wsk.NewBuf(buf), 0, q.IRP))
}

func TestReceiveEvent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		s, peer := r.heard(l, 0)
		peer.Deliver([]byte("early"))
		l.told(t)
		enable(t, s, all)
		l.told(t, `data context "early" 0`)
		peer.Deliver([]byte("more"))
		l.told(t, `data context "more" 0`)
		// A pended request goes first, and the callback has what it leaves.
		buf := make([]byte, 3)
		q := receive(t, s, buf)
		peer.Deliver([]byte("abcdef"))
		q.ends(t, ntstatus.Success, 3)
		l.told(t, `data context "def" 0`)
		enable(t, s, wsk.EventDisable|wsk.EventReceive)
		peer.Deliver([]byte("kept"))
		l.told(t)
		peer.FIN()
		l.told(t) // the FIN is behind data that nobody has taken
		enable(t, s, wsk.EventReceive)
		l.told(t, `data context "kept" 0`, "disconnect 0")
		q = receive(t, s, buf)
		q.ends(t, ntstatus.Success, 0)
		l.told(t)
		r.close(s)
		l.told(t)
	})
}

// TestNotAccepted has callbacks that take less than all.
func TestNotAccepted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status ntstatus.Status
		take   uint64
		rest   string
	}{
		{"nothing", ntstatus.DataNotAccepted, 4, "hello"},
		{"a part", ntstatus.Success, 2, "llo"},
		{"nothing with success", ntstatus.Success, 0, "hello"},
		{"an answer that there is not", ntstatus.DeviceNotReady, 4, "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				l := &listener{}
				l.answer = func(_ *wsk.DataIndication, accepted *uint64) ntstatus.Status {
					*accepted = tt.take
					return tt.status
				}
				s, peer := r.heard(l, all)
				peer.Deliver([]byte("hello"))
				l.told(t, `data context "hello" 0`)
				peer.Deliver([]byte("again"))
				l.told(t) // not before a Receive
				if n := peer.Seen().Undelivered; n != 5 {
					t.Errorf("%d bytes are left to the transport, want 5", n)
				}
				backlog := make([]byte, 8)
				q := newRequest()
				q.pends(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, backlog, nil, q.IRP)).ends(t, ntstatus.Success, 8)
				if n := binary.LittleEndian.Uint64(backlog); int(n) != 5+len(tt.rest) {
					t.Errorf("a backlog of %d bytes", n)
				}
				// One of no length takes nothing and starts it again.
				l.answer = nil
				receive(t, s, nil).ends(t, ntstatus.Success, 0)
				l.told(t, fmt.Sprintf("data context %q 0", tt.rest+"again"))
				r.close(s)
			})
			bubble(t, func(t *testing.T, r *rig) {
				l := &listener{}
				l.answer = func(_ *wsk.DataIndication, accepted *uint64) ntstatus.Status {
					*accepted = tt.take
					return tt.status
				}
				s, peer := r.heard(l, all)
				peer.Deliver([]byte("hello"))
				l.told(t, `data context "hello" 0`)
				peer.Deliver([]byte("!?"))
				// A request takes what was left first, then what came since.
				l.answer = nil
				buf := make([]byte, len(tt.rest)+1)
				receive(t, s, buf).ends(t, ntstatus.Success, len(buf))
				if string(buf) != tt.rest+"!" {
					t.Errorf("received %q", buf)
				}
				l.told(t, `data context "?" 0`)
				r.close(s)
			})
		})
	}
}

// TestReceiveInside posts the Receive that starts indications again from inside the
// callback that stops them.
func TestReceiveInside(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		var s *wsk.ConnectionSocket
		l.answer = func(*wsk.DataIndication, *uint64) ntstatus.Status {
			l.answer = nil
			s.Receive(&wsk.Buf{}, 0, irp.New(nil, nil))
			return ntstatus.DataNotAccepted
		}
		s, peer := r.heard(l, all)
		peer.Deliver([]byte("x"))
		l.told(t, `data context "x" 0`, `data context "x" 0`)
		r.close(s)
	})
}

// TestReceiveInsideWaitsForTheRest posts a Receive from inside the callback when more has
// arrived: what the callback leaves comes before that.
func TestReceiveInsideWaitsForTheRest(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l, buf, q := &listener{}, make([]byte, 5), newRequest()
		var s *wsk.ConnectionSocket
		var peer *wsktest.Peer
		l.answer = func(*wsk.DataIndication, *uint64) ntstatus.Status {
			peer.Deliver([]byte("cde"))
			s.Receive(wsk.NewBuf(buf), 0, q.IRP)
			return ntstatus.DataNotAccepted
		}
		s, peer = r.heard(l, wsk.EventReceive)
		peer.Deliver([]byte("ab"))
		l.told(t, `data context "ab" 0`)
		q.ends(t, ntstatus.Success, 5)
		if string(buf) != "abcde" {
			t.Errorf("received %q", buf)
		}
		r.close(s)
	})
}

// TestEnableAgain starts stopped indications by enabling them.
func TestEnableAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{answer: func(*wsk.DataIndication, *uint64) ntstatus.Status { return ntstatus.DataNotAccepted }}
		s, peer := r.heard(l, all)
		peer.Deliver([]byte("x"))
		l.told(t, `data context "x" 0`)
		enable(t, s, wsk.EventReceive)
		l.told(t, `data context "x" 0`)
		r.close(s)
	})
}

// TestRetain has a client that retains indications and gives them back in its own
// way.
func TestRetain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{answer: func(*wsk.DataIndication, *uint64) ntstatus.Status { return ntstatus.Pending }}
		s, peer := r.heard(l, all)
		for _, data := range []string{"a", "b", "c"} {
			peer.Deliver([]byte(data))
			l.told(t, fmt.Sprintf("data context %q 0", data))
		}
		a, b, c := l.lists[0], l.lists[1], l.lists[2]
		release := func(d *wsk.DataIndication, want ntstatus.Status) {
			t.Helper()
			if got := s.Release(d); got != want {
				t.Errorf("Release: %v, want %v", got, want)
			}
		}
		release(nil, ntstatus.InvalidParameter)
		release(&wsk.DataIndication{}, ntstatus.InvalidParameter)
		a.Next, c.Next = c, a
		release(a, ntstatus.InvalidParameter) // it bites its own tail
		c.Next = &wsk.DataIndication{}
		release(a, ntstatus.InvalidParameter) // and releases nothing
		c.Next = nil
		release(a, ntstatus.Success)
		release(c, ntstatus.InvalidParameter)
		release(b, ntstatus.Success)
		// Released inside the callback that then says that it retains, or that it does not.
		for _, status := range []ntstatus.Status{ntstatus.Pending, ntstatus.Success} {
			l.answer = func(d *wsk.DataIndication, _ *uint64) ntstatus.Status {
				release(d, ntstatus.Success)
				return status
			}
			peer.Deliver([]byte("d"))
			l.told(t, `data context "d" 0`)
			release(l.lists[len(l.lists)-1], ntstatus.InvalidParameter)
		}
		// What was consumed cannot be released; what is not released at the close is lost.
		l.answer = nil
		peer.Deliver([]byte("e"))
		l.told(t, `data context "e" 0`)
		release(l.lists[len(l.lists)-1], ntstatus.InvalidParameter)
		l.answer = func(*wsk.DataIndication, *uint64) ntstatus.Status { return ntstatus.Pending }
		peer.Deliver([]byte("f"))
		l.told(t, `data context "f" 0`)
		r.close(s)
		release(l.lists[len(l.lists)-1], ntstatus.InvalidParameter)
	})
	var none *wsk.StreamSocket
	if got := none.Release(&wsk.DataIndication{}); got != ntstatus.InvalidParameter {
		t.Errorf("no socket: %v", got)
	}
}

// TestRetainLimit retains until indications pause.
func TestRetainLimit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{answer: func(*wsk.DataIndication, *uint64) ntstatus.Status { return ntstatus.Pending }}
		s, peer := r.heard(l, all)
		q := newRequest()
		q.pends(t, s.ControlSocket(wsk.SetOption, wsk.SO_RCVBUF, wsk.SOL_SOCKET, le(10), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		peer.Deliver([]byte("sixsix"))
		l.told(t, `data context "sixsix" 0`)
		peer.Deliver([]byte("four"))
		l.told(t, `data context "four" 2`) // release soon
		peer.Deliver([]byte("wait"))
		l.told(t)
		s.Release(l.lists[1])
		l.told(t, `data context "wait" 2`)
		s.Release(l.lists[0])
		s.Release(l.lists[2])
		r.close(s)
	})
}

// TestDisconnectEvent has each end of a connection with no request pended.
func TestDisconnectEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(r *rig, s *wsk.ConnectionSocket, p *wsktest.Peer)
		want []string
	}{
		"FIN":   {func(_ *rig, _ *wsk.ConnectionSocket, p *wsktest.Peer) { p.FIN() }, []string{"disconnect 0"}},
		"reset": {func(_ *rig, _ *wsk.ConnectionSocket, p *wsktest.Peer) { p.Fail(syscall.ECONNRESET) }, []string{"disconnect 1"}},
		"FIN, then reset": {func(_ *rig, _ *wsk.ConnectionSocket, p *wsktest.Peer) {
			p.FIN()
			synctest.Wait()
			p.Fail(syscall.ECONNRESET)
		}, []string{"disconnect 0"}},
		"own abort": {func(r *rig, s *wsk.ConnectionSocket, _ *wsktest.Peer) {
			q := newRequest()
			q.pends(r.t, s.Disconnect(nil, wsk.FlagAbortive, q.IRP)).ends(r.t, ntstatus.Success, 0)
		}, nil},
		"own close": {func(r *rig, s *wsk.ConnectionSocket, _ *wsktest.Peer) { r.close(s) }, nil},
		"dead":      {func(r *rig, _ *wsk.ConnectionSocket, _ *wsktest.Peer) { r.p.Stop(); r.p.Stop() }, []string{"dead context 0 true"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				l := &listener{}
				s, peer := r.heard(l, all)
				tt.end(r, s, peer)
				l.told(t, tt.want...)
				if name != "own close" {
					r.close(s)
				}
				l.told(t)
			})
		})
	}
	t.Run("seen before it was enabled", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			l := &listener{}
			s, peer := r.heard(l, 0)
			q := receive(t, s, make([]byte, 1))
			peer.FIN()
			q.ends(t, ntstatus.Success, 0)
			l.told(t)
			enable(t, s, wsk.EventDisconnect)
			l.told(t, "disconnect 0")
			r.close(s)
		})
	})
	t.Run("behind data for nobody", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			l := &listener{}
			s, peer := r.heard(l, wsk.EventDisconnect)
			peer.Deliver([]byte("data"))
			peer.FIN()
			l.told(t)
			if n := peer.Seen().Undelivered; n != 3 {
				t.Errorf("%d bytes are left to the transport, want all but one", n)
			}
			buf := make([]byte, 9)
			receive(t, s, buf).ends(t, ntstatus.Success, 4)
			l.told(t, "disconnect 0")
			if string(buf[:4]) != "data" {
				t.Errorf("received %q", buf)
			}
			r.close(s)
		})
	})
	t.Run("the network goes while it is read", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			l := &listener{}
			s, peer := r.heard(l, wsk.EventReceive)
			send := newRequest()
			send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP)).open(t)
			peer.Transport.ReadFunc = func([][]byte) (int, error) { return 0, syscall.ENODEV }
			peer.Deliver([]byte("x"))
			l.told(t, "dead context 0 true")
			send.ends(t, ntstatus.FileForcedClosed, 1)
			r.close(s)
		})
	})
}

func TestSendBacklog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		s, peer := r.heard(l, all)
		peer.SetIdealBacklog(1000)
		l.told(t, "backlog 1000")
		peer.SetIdealBacklog(1000)
		l.told(t)
		out := make([]byte, 9)
		q := newRequest()
		q.pends(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, 0, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, 8)
		if binary.LittleEndian.Uint64(out) != 1000 {
			t.Errorf("% x", out)
		}
		q = newRequest()
		q.inline(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, 0, nil, out[:7], nil, q.IRP), ntstatus.BufferTooSmall)
		q = newRequest()
		q.pends(t, s.Disconnect(nil, 0, q.IRP)).open(t)
		peer.SetIdealBacklog(7) // nothing is sent any more
		l.told(t)
		r.close(s)
	})
}

// TestTemplate has a listening socket whose connections begin with callbacks on,
// and callbacks that start requests and close.
func TestTemplate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		a := &acceptor{during: func(_ *wsk.ConnectionSocket, dispatch **wsk.ClientConnectionDispatch) { *dispatch = l.table() }}
		s := r.listening(a.table())
		enable(t, s, wsk.EventAccept|wsk.EventReceive)
		far := r.peer().Arrive(remoteA)
		a.saw(t, 1)
		far.Deliver([]byte("x"))
		far.FIN()
		l.told(t, `data mine "x" 0`) // DISCONNECT is not in the template
		enable(t, a.socket, wsk.EventDisconnect)
		l.told(t, "disconnect 0")
		r.close(a.socket)

		// From inside AcceptEvent, with the table just given.
		a.during = func(s *wsk.ConnectionSocket, dispatch **wsk.ClientConnectionDispatch) {
			*dispatch = l.table()
			switchEvents(s, wsk.EventDisconnect, irp.New(nil, nil))
		}
		r.peer().Arrive(remoteA).FIN()
		a.saw(t, 2)
		l.told(t, "disconnect 0")
		r.close(a.socket)

		// A callback that closes its own socket.
		var own *wsk.ConnectionSocket
		l.answer = func(*wsk.DataIndication, *uint64) ntstatus.Status {
			own.CloseSocket(irp.New(nil, nil))
			return ntstatus.DataNotAccepted
		}
		own, peer := r.heard(l, all)
		peer.Deliver([]byte("x"))
		l.told(t, `data context "x" 0`)
		if own.StateOf() != wsk.Closed {
			t.Errorf("in state %v", own.StateOf())
		}

		// Accepted by a request, it has no callbacks on.
		enable(t, s, wsk.EventDisable|wsk.EventAccept)
		q := newRequest()
		q.pends(t, s.Accept(0, nil, l.table(), nil, nil, q.IRP)).open(t)
		r.peer().SetWindow(-1) // only a wake-up
		q.open(t)
		r.close(s)
		q.ends(t, ntstatus.Cancelled, 0)
	})
}

// TestStaticReceive has static callbacks on sockets that connect and are accepted.
func TestStaticReceive(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: all}.Bytes()
		if st := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.SetStaticEventCallbacks, in, nil, nil, nil); st != ntstatus.Success {
			t.Fatal(st)
		}
		l := &listener{}
		s, peer := r.heard(l, 0)
		peer.Deliver([]byte("x"))
		l.told(t, `data context "x" 0`)
		q := newRequest()
		q.inline(t, switchEvents(s, wsk.EventDisable|wsk.EventReceive, q.IRP), ntstatus.InvalidParameter)
		ls := r.listening(nil)
		q = newRequest()
		q.pends(t, ls.Accept(0, "theirs", l.table(), nil, nil, q.IRP)).open(t)
		r.peer().Arrive(remoteA).Deliver([]byte("y"))
		q.ends(t, ntstatus.Success, 0)
		l.told(t, `data theirs "y" 0`)
		r.close(s)
		r.close(q.result.Object.(*wsk.ConnectionSocket))
		r.close(ls)
	})
}

// TestWakeWhileLooking has data arrive, and wake the socket, between the first look
// after the callback was enabled and the end of that look: it must not be lost.
func TestWakeWhileLooking(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		s, peer := r.heard(l, 0)
		read := peer.Transport.ReadFunc
		first := true
		peer.Transport.ReadFunc = func(dst [][]byte) (int, error) {
			if first {
				first = false
				peer.Deliver([]byte("abc")) // and wakes
				return 0, syscall.EAGAIN
			}
			return read(dst)
		}
		if st := switchEvents(s, wsk.EventReceive, nil); st != ntstatus.Success {
			t.Fatal(st)
		}
		l.told(t, `data context "abc" 0`)
		r.close(s)
	})
}

// TestReceiveGoesFirst has data come just after the worker has looked for it on behalf of
// a pended request: the request has it, not the callback.
func TestReceiveGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		l := &listener{}
		s, peer := r.heard(l, wsk.EventReceive)
		read, first := peer.Transport.ReadFunc, true
		peer.Transport.ReadFunc = func(dst [][]byte) (int, error) {
			if first {
				first = false
				peer.Deliver([]byte("abc"))
				return 0, syscall.EAGAIN
			}
			return read(dst)
		}
		buf := make([]byte, 3)
		receive(t, s, buf).ends(t, ntstatus.Success, 3)
		l.told(t)
		r.close(s)
	})
}
