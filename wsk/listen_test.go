package wsk_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

var (
	remoteA = netip.MustParseAddrPort("198.51.100.1:1001")
	remoteB = netip.MustParseAddrPort("198.51.100.2:1002")
)

// TestAccept has connections that wait and requests that wait, in order.
func TestAccept(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.listening(nil)
		peer := r.peer()
		if got := peer.Seen(); got.Backlog != 128 || got.Local.Port() != 80 {
			t.Errorf("the transport was told %+v", got)
		}
		var local, remote wsk.SockAddr
		first, second := newRequest(), newRequest()
		first.pends(t, s.Accept(0, "ctx", nil, &local, &remote, first.IRP))
		second.pends(t, s.Accept(0, nil, nil, nil, nil, second.IRP)).open(t)
		peer.Arrive(remoteA)
		first.ends(t, ntstatus.Success, 0)
		if local != server4 || remote != wsk.SockAddrFrom(remoteA) {
			t.Errorf("addresses %v and %v", local, remote)
		}
		second.open(t)
		far := peer.Arrive(remoteB)
		second.ends(t, ntstatus.Success, 0)
		peer.Arrive(remoteA) // this one waits for somebody to ask
		third := newRequest()
		third.pends(t, s.Accept(0, nil, nil, nil, nil, third.IRP)).ends(t, ntstatus.Success, 0)

		// What was accepted is a connection socket that works.
		c := second.result.Object.(*wsk.ConnectionSocket)
		if got := c.StateOf(); got != wsk.Connected {
			t.Errorf("accepted in state %v", got)
		}
		recv, send := newRequest(), newRequest()
		buf := make([]byte, 4)
		recv.pends(t, c.Receive(wsk.NewBuf(buf), 0, recv.IRP)).open(t)
		far.Deliver([]byte("ping"))
		recv.ends(t, ntstatus.Success, 4)
		send.pends(t, c.Send(wsk.NewBuf([]byte("pong")), 0, send.IRP)).open(t)
		far.AckAll()
		send.ends(t, ntstatus.Success, 4)
		if string(buf) != "ping" || string(far.Received()) != "pong" {
			t.Errorf("moved %q and %q", buf, far.Received())
		}
		r.close(s) // the listening socket goes, the connection stays
		get := newRequest()
		get.pends(t, c.GetRemoteAddress(&remote, get.IRP)).ends(t, ntstatus.Success, 0)
		if remote != wsk.SockAddrFrom(remoteB) {
			t.Errorf("the peer is %v", remote)
		}
		for _, q := range []*request{first, second, third} {
			r.close(q.result.Object.(*wsk.ConnectionSocket))
		}
		if !far.Seen().Aborted {
			t.Error("no RST")
		}
	})
}

// TestAcceptRefusals has everything that an Accept or a listening Bind refuses.
func TestAcceptRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.make(wsk.AF_INET, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
		q := newRequest()
		q.inline(t, s.Accept(0, nil, nil, nil, nil, q.IRP), ntstatus.InvalidDeviceState)
		peer := r.peer()
		peer.Transport.ListenFunc = func(int) error { return syscall.EADDRINUSE }
		q = newRequest()
		q.inline(t, s.Bind(&server4, 0, q.IRP), ntstatus.AddressAlreadyExists)
		if !peer.Seen().Aborted || s.StateOf() != wsk.Init {
			t.Errorf("in state %v after a Bind that failed", s.StateOf())
		}
		q = newRequest()
		q.pends(t, s.Bind(&server4, 0, q.IRP)).ends(t, ntstatus.Success, 0)
		q = newRequest()
		q.inline(t, s.Accept(1, nil, nil, nil, nil, q.IRP), ntstatus.InvalidParameter)
		if st := s.Accept(0, nil, nil, nil, nil, nil); st != ntstatus.InvalidParameter {
			t.Errorf("without an IRP: %v", st)
		}
		for _, tt := range []struct {
			id     *wsk.InspectID
			action wsk.InspectAction
			want   ntstatus.Status
		}{
			{nil, wsk.InspectAccept, ntstatus.InvalidParameter},
			{&wsk.InspectID{}, wsk.InspectPend, ntstatus.InvalidParameter},
			{&wsk.InspectID{}, wsk.InspectReject, ntstatus.NotFound},
		} {
			q = newRequest()
			q.inline(t, s.InspectComplete(tt.id, tt.action, q.IRP), tt.want)
		}
		// A transport that fails once fails one request.
		accept := newRequest()
		accept.pends(t, s.Accept(0, nil, nil, nil, nil, accept.IRP)).open(t)
		good := r.peer().Transport.AcceptFunc
		r.peer().Transport.AcceptFunc = func() (wsk.Transport, error) { return nil, syscall.ENOBUFS }
		r.peer().Arrive(remoteA)
		accept.ends(t, ntstatus.InsufficientResources, 0)
		r.peer().Transport.AcceptFunc = good
		accept = newRequest()
		accept.pends(t, s.Accept(0, nil, nil, nil, nil, accept.IRP)).ends(t, ntstatus.Success, 0)
		r.close(accept.result.Object.(*wsk.ConnectionSocket))
		// A cancelled one takes nothing.
		accept = newRequest()
		accept.pends(t, s.Accept(0, nil, nil, nil, nil, accept.IRP)).open(t)
		accept.Cancel()
		accept.ends(t, ntstatus.Cancelled, 0)
		r.peer().Arrive(remoteB)
		synctest.Wait()
		if n := r.peer().Seen().Waiting; n != 1 {
			t.Errorf("%d connections wait", n)
		}
		r.close(s)
		if !r.peer().Seen().Closed {
			t.Error("the transport was not closed")
		}
	})
	for _, s := range []*wsk.ListenSocket{nil, {}} {
		q := newRequest()
		q.inline(t, s.Accept(0, nil, nil, nil, nil, q.IRP), ntstatus.InvalidParameter)
		if st := switchEventsOf(s, nil); st != ntstatus.InvalidParameter {
			t.Errorf("events of no socket: %v", st)
		}
	}
}

func switchEventsOf(s *wsk.ListenSocket, q *request) ntstatus.Status {
	if q == nil {
		return s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, nil, nil, nil, nil)
	}
	return switchEvents(s, wsk.EventAccept, q.IRP)
}

// TestAcceptDies has a network that goes while a connection is accepted.
func TestAcceptDies(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.listening(nil)
		r.peer().Transport.AcceptFunc = func() (wsk.Transport, error) { return nil, syscall.EAGAIN }
		accept := newRequest()
		accept.pends(t, s.Accept(0, nil, nil, nil, nil, accept.IRP)).open(t)
		r.peer().Fail(errors.New("")) // wakes
		accept.open(t)
		r.p.Stop()
		accept.ends(t, ntstatus.FileForcedClosed, 0)
		r.close(s)
	})
}

// TestStreamListens has a stream socket in the listening flow.
func TestStreamListens(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.make(wsk.AF_INET, wsk.FlagStreamSocket, nil).(*wsk.StreamSocket)
		q := newRequest()
		q.inline(t, s.Listen(q.IRP), ntstatus.InvalidDeviceState)
		q = newRequest()
		q.pends(t, s.Bind(&server4, 0, q.IRP)).ends(t, ntstatus.Success, 0)
		listen := r.peer().Transport.ListenFunc
		r.peer().Transport.ListenFunc = func(int) error { return syscall.EADDRINUSE }
		q = newRequest()
		q.inline(t, s.Listen(q.IRP), ntstatus.AddressAlreadyExists)
		r.peer().Transport.ListenFunc = listen
		q = newRequest()
		q.pends(t, s.Listen(q.IRP)).ends(t, ntstatus.Success, 0)
		q = newRequest()
		q.pends(t, s.Accept(0, nil, nil, nil, nil, q.IRP)).open(t)
		r.peer().Arrive(remoteA)
		q.ends(t, ntstatus.Success, 0)
		r.close(q.result.Object.(*wsk.ConnectionSocket))
		r.close(s)
	})
}

// TestBasic has a basic socket, which has options and nothing else.
func TestBasic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, tt := range []struct {
			kind     uint16
			protocol uint32
			nodelay  bool
		}{
			{wsk.SOCK_STREAM, wsk.IPPROTO_TCP, true},
			{wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, false},
			{wsk.SOCK_RAW, wsk.IPPROTO_ICMP, false},
		} {
			q := newRequest()
			q.pends(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, tt.kind, tt.protocol, wsk.FlagBasicSocket, nil, nil, q.IRP))
			q.ends(t, ntstatus.Success, 0)
			s := q.result.Object.(*wsk.BasicSocket)
			out := make([]byte, 4)
			q = newRequest()
			q.pends(t, s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, 4)
			if out[0] != byte(tt.kind) {
				t.Errorf("SO_TYPE is %v, want %d", out, tt.kind)
			}
			q = newRequest()
			if got := s.ControlSocket(wsk.SetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP, le(1), nil, nil, q.IRP); tt.nodelay {
				q.pends(t, got).ends(t, ntstatus.Success, 0)
			} else {
				q.inline(t, got, ntstatus.NotSupported)
			}
			q = newRequest()
			q.inline(t, switchEvents(s, wsk.EventReceive, q.IRP), ntstatus.NotSupported)
			r.close(s)
		}
		if len(r.peers) != 0 {
			t.Error("a basic socket made a transport")
		}
	})
	var none *wsk.BasicSocket
	q := newRequest()
	q.inline(t, none.CloseSocket(q.IRP), ntstatus.InvalidParameter)
}
