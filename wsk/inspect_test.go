package wsk_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// gate plays the transport of a conditional listener: what a test puts into it is what
// the transport tells, and what the socket decides is kept.
type gate struct {
	mu      sync.Mutex
	news    []wsk.Request
	waiting map[wsk.RequestID]bool
	decided []decision
	err     error // what NextRequest answers instead
}

type decision struct {
	id     wsk.RequestID
	accept bool
}

func (g *gate) put(p *wsktest.Peer, q wsk.Request) {
	g.mu.Lock()
	g.news = append(g.news, q)
	g.mu.Unlock()
	p.Transport.Wake()
}

func (g *gate) next() (wsk.Request, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return wsk.Request{}, g.err
	}
	if len(g.news) == 0 {
		return wsk.Request{}, syscall.EAGAIN
	}
	q := g.news[0]
	g.news = g.news[1:]
	if g.waiting == nil {
		g.waiting = map[wsk.RequestID]bool{}
	}
	g.waiting[q.ID] = !q.Gone
	return q, nil
}

func (g *gate) decide(id wsk.RequestID, accept bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.waiting[id] {
		return syscall.ENOENT
	}
	g.waiting[id] = false
	g.decided = append(g.decided, decision{id, accept})
	return nil
}

// drop ends a request and reports whether it waited.
func (g *gate) drop(id wsk.RequestID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	waited := g.waiting[id]
	delete(g.waiting, id)
	return waited
}

func (g *gate) seen() []decision {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.decided)
}

// conditional makes a conditional listener over a gate.
func (r *rig) conditional(table *wsk.ClientListenDispatch) (*wsk.ListenSocket, *gate) {
	r.t.Helper()
	g := &gate{}
	s := r.make(wsk.AF_INET, wsk.FlagListenSocket, table).(*wsk.ListenSocket)
	on := false
	tr := r.peer().Transport
	tr.SetInspectFunc = func(v bool) error { on = v; return nil }
	tr.NextRequestFunc, tr.DecideFunc = g.next, g.decide
	set(r.t, s, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 1)
	q := newRequest()
	q.pends(r.t, s.Bind(&server4, 0, q.IRP)).ends(r.t, ntstatus.Success, 0)
	if !on || s.StateOf() != wsk.Conditional {
		r.t.Fatalf("on: %v, in state %v", on, s.StateOf())
	}
	return s, g
}

func request1(id wsk.RequestID) wsk.Request {
	return wsk.Request{ID: id, Local: server4.AddrPort(), Remote: remoteA}
}

// inspector is a client that answers as it is told and keeps what it was called for.
type inspector struct {
	mu      sync.Mutex
	answer  wsk.InspectAction
	during  func(wsk.InspectID)
	ids     []wsk.InspectID
	aborted []wsk.InspectID
	dead    int
	remote  netip.AddrPort
}

func (c *inspector) table() *wsk.ClientListenDispatch {
	return &wsk.ClientListenDispatch{
		InspectEvent: func(context any, local, remote *wsk.SockAddr, id *wsk.InspectID) wsk.InspectAction {
			c.mu.Lock()
			defer c.mu.Unlock()
			if id == nil {
				c.dead++
				return wsk.InspectReject
			}
			c.ids = append(c.ids, *id)
			c.remote = remote.AddrPort()
			if context != "context" || local.AddrPort() != server4.AddrPort() {
				c.dead = -1
			}
			if c.during != nil {
				c.during(*id)
			}
			return c.answer
		},
		AbortEvent: func(_ any, id *wsk.InspectID) ntstatus.Status {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.aborted = append(c.aborted, *id)
			return ntstatus.Success
		},
	}
}

func (c *inspector) saw(t *testing.T, inspected, aborted, dead int) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) != inspected || len(c.aborted) != aborted || c.dead != dead {
		t.Errorf("inspected %v, aborted %v, dead %d; want %d, %d, %d", c.ids, c.aborted, c.dead, inspected, aborted, dead)
	}
}

// TestInspect has each answer of InspectEvent, and InspectComplete in each situation.
func TestInspect(t *testing.T) {
	for _, action := range []wsk.InspectAction{wsk.InspectAccept, wsk.InspectReject, wsk.InspectPend, 9} {
		bubble(t, func(t *testing.T, r *rig) {
			c := &inspector{answer: action}
			s, g := r.conditional(c.table())
			g.put(r.peer(), request1(7))
			c.saw(t, 1, 0, 0)
			if c.remote != remoteA {
				t.Errorf("from %v", c.remote)
			}
			want := []decision{{7, action == wsk.InspectAccept}}
			if action == wsk.InspectPend {
				want = nil
			}
			if got := g.seen(); !slices.Equal(got, want) {
				t.Errorf("action %d: decided %v, want %v", action, got, want)
			}
			q := newRequest()
			got := s.InspectComplete(&c.ids[0], wsk.InspectReject, q.IRP)
			if action != wsk.InspectPend {
				q.inline(t, got, ntstatus.NotFound) // it is decided
			} else {
				q.pends(t, got).ends(t, ntstatus.Success, 0)
				if got := g.seen(); !slices.Equal(got, []decision{{7, false}}) {
					t.Errorf("completed: %v", got)
				}
			}
			r.close(s)
		})
	}
}

// TestInspectComplete has what it refuses, and its call from inside the callback.
func TestInspectComplete(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := &inspector{answer: wsk.InspectPend}
		inside := newRequest()
		var s *wsk.ListenSocket
		c.during = func(id wsk.InspectID) { s.InspectComplete(&id, wsk.InspectAccept, inside.IRP) }
		s, g := r.conditional(c.table())
		g.put(r.peer(), request1(7))
		c.saw(t, 1, 0, 0)
		inside.ends(t, ntstatus.Success, 0)
		if got := g.seen(); !slices.Equal(got, []decision{{7, true}}) {
			t.Errorf("from inside: %v", got)
		}
		id := c.ids[0]
		for _, tt := range []struct {
			id     *wsk.InspectID
			action wsk.InspectAction
			want   ntstatus.Status
		}{
			{nil, wsk.InspectAccept, ntstatus.InvalidParameter},
			{&id, wsk.InspectPend, ntstatus.InvalidParameter},
			{&id, 3, ntstatus.InvalidParameter},
			{&wsk.InspectID{}, wsk.InspectAccept, ntstatus.NotFound},
			{&wsk.InspectID{Key: id.Key, SerialNumber: id.SerialNumber + 1}, wsk.InspectAccept, ntstatus.NotFound},
			{&id, wsk.InspectReject, ntstatus.NotFound},
		} {
			q := newRequest()
			q.inline(t, s.InspectComplete(tt.id, tt.action, q.IRP), tt.want)
		}
		r.close(s)
	})
}

// TestInspectGone has requests that are taken back, with and without an AbortEvent.
func TestInspectGone(t *testing.T) {
	for _, with := range []bool{true, false} {
		bubble(t, func(t *testing.T, r *rig) {
			c := &inspector{answer: wsk.InspectPend}
			table := c.table()
			if !with {
				table.AbortEvent = nil
			}
			s, g := r.conditional(table)
			g.put(r.peer(), request1(7))
			gone := request1(7)
			gone.Gone = true
			g.put(r.peer(), gone)
			g.put(r.peer(), request1(8))
			if with {
				c.saw(t, 2, 1, 0)
				if c.aborted[0] != c.ids[0] {
					t.Error("another one is gone")
				}
			} else {
				c.saw(t, 2, 0, 0)
			}
			r.close(s)
		})
	}
}

// TestInspectDead withdraws conditional listeners: one is told by InspectEvent, one by
// AcceptEvent, none twice.
func TestInspectDead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, c, d := &acceptor{}, &inspector{}, &inspector{}
		s, _ := r.conditional(c.table())
		table := d.table()
		table.AcceptEvent = a.table().AcceptEvent
		other := r.make(wsk.AF_INET6, wsk.FlagListenSocket, table).(*wsk.ListenSocket)
		g := &gate{}
		tr := r.peer().Transport
		tr.SetInspectFunc, tr.NextRequestFunc = func(bool) error { return nil }, g.next
		set(t, other, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 1)
		q := newRequest()
		q.pends(t, other.Bind(&wildcard6, 0, q.IRP)).ends(t, ntstatus.Success, 0)
		enable(t, other, wsk.EventAccept)
		g.mu.Lock()
		g.err = net.ErrClosed
		g.mu.Unlock()
		r.peer().Transport.Wake()
		a.saw(t, 1)
		r.p.Stop()
		c.saw(t, 0, 0, 1)
		d.saw(t, 0, 0, 0)
		a.saw(t, 1)
		r.close(s)
		r.close(other)
	})
}

// TestConditionalOption has all that SO_CONDITIONAL_ACCEPT refuses.
func TestConditionalOption(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		try := func(s closer, want ntstatus.Status) {
			t.Helper()
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, wsk.SO_CONDITIONAL_ACCEPT, wsk.SOL_SOCKET, le(1), nil, nil, q.IRP), want)
		}
		bare := r.make(wsk.AF_INET, wsk.FlagListenSocket, nil)
		try(bare, ntstatus.InvalidParameter) // no InspectEvent
		cannot := r.make(wsk.AF_INET, wsk.FlagListenSocket, inspecting())
		try(cannot, ntstatus.NotSupported) // its transport
		late := r.listening(inspecting())
		try(late, ntstatus.InvalidDeviceState)
		q := newRequest()
		q.inline(t, late.InspectComplete(&wsk.InspectID{}, wsk.InspectAccept, q.IRP), ntstatus.NotFound)
		for _, flag := range []uint32{wsk.FlagStreamSocket, wsk.FlagConnectionSocket, wsk.FlagBasicSocket} {
			s := r.make(wsk.AF_INET, flag, nil)
			try(s, ntstatus.NotSupported)
			r.close(s)
		}
		for _, s := range []closer{bare, cannot, late} {
			r.close(s)
		}
	})
}

// TestQueryInspectID asks accepted sockets where they come from.
func TestQueryInspectID(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := &inspector{answer: wsk.InspectAccept}
		s, g := r.conditional(c.table())
		g.put(r.peer(), request1(1<<40+7))
		c.saw(t, 1, 0, 0)
		p := r.peer()
		q := newRequest()
		q.pends(t, s.Accept(0, nil, nil, nil, nil, q.IRP)).open(t)
		peer := wsktest.NewPeer()
		peer.Transport.Request = 1<<40 + 7
		peer.Accept()
		p.Transport.AcceptFunc = func() (wsk.Transport, error) { return peer.Transport, nil }
		p.Transport.Wake()
		q.ends(t, ntstatus.Success, 0)
		p.Transport.AcceptFunc = func() (wsk.Transport, error) { return nil, syscall.EAGAIN }
		accepted := q.result.Object.(*wsk.ConnectionSocket)
		out, size := make([]byte, 16), uint64(0)
		if st := accepted.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, out, &size, nil); st != ntstatus.Success || size != 16 {
			t.Fatalf("%v, %d bytes", st, size)
		}
		if id, ok := wsk.ParseInspectID(out); !ok || id != c.ids[0] {
			t.Errorf("%+v, want %+v", id, c.ids[0])
		}
		if _, ok := wsk.ParseInspectID(out[:15]); ok {
			t.Error("parsed what is too short")
		}
		if st := accepted.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, out[:15], &size, nil); st != ntstatus.BufferTooSmall {
			t.Errorf("too small: %v", st)
		}
		if st := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, out, &size, nil); st != ntstatus.InvalidDeviceRequest {
			t.Errorf("the listener: %v", st)
		}
		r.close(accepted)
		r.close(s)
	})
}

// TestSilentMode makes a connection silent, and has all that this refuses.
func TestSilentMode(t *testing.T) {
	silence := func(s closer, q *request) ntstatus.Status {
		return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_TCP_SILENT_MODE, 0, nil, nil, nil, q.IRP)
	}
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		ended := 0
		peer.Transport.SilenceFunc = func() (func(), error) { return func() { ended++ }, nil }
		receive, send := newRequest(), newRequest()
		receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, receive.IRP)).open(t)
		send.pends(t, s.Send(wsk.NewBuf([]byte("x")), 0, send.IRP)).open(t)
		q := newRequest()
		q.inline(t, silence(s, q), ntstatus.InvalidDeviceState) // a send is pended
		peer.AckAll()
		send.ends(t, ntstatus.Success, 1)
		q = newRequest()
		q.pends(t, silence(s, q)).ends(t, ntstatus.Success, 0)
		peer.Deliver([]byte("nobody reads this"))
		receive.open(t)
		if ended != 0 || s.StateOf() != wsk.Silent {
			t.Errorf("ended %d times, in state %v", ended, s.StateOf())
		}
		r.close(s)
		receive.ends(t, ntstatus.Cancelled, 0)
		if seen := peer.Seen(); ended != 1 || seen.Aborted || seen.Closed {
			t.Errorf("ended %d times, %+v", ended, seen)
		}
	})
	bubble(t, func(t *testing.T, r *rig) { // the network goes
		s, peer := r.connected()
		ended := 0
		peer.Transport.SilenceFunc = func() (func(), error) { return func() { ended++ }, nil }
		q := newRequest()
		q.pends(t, silence(s, q)).ends(t, ntstatus.Success, 0)
		r.p.Stop()
		r.close(s)
		if ended != 1 {
			t.Errorf("ended %d times", ended)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		s, peer := r.connected()
		q := newRequest()
		q.inline(t, silence(s, q), ntstatus.NotSupported) // the transport cannot
		peer.Transport.SilenceFunc = func() (func(), error) { return nil, syscall.ENOTCONN }
		q = newRequest()
		q.inline(t, silence(s, q), ntstatus.InvalidDeviceState)
		peer.Transport.SilenceFunc = func() (func(), error) { return nil, errors.ErrUnsupported }
		q = newRequest()
		q.inline(t, silence(s, q), ntstatus.Unsuccessful)
		for _, other := range []closer{r.make(wsk.AF_INET, wsk.FlagBasicSocket, nil), r.listening(nil), r.datagram(wsk.AF_INET, nil)} {
			q = newRequest()
			q.inline(t, silence(other, q), ntstatus.NotSupported)
			r.close(other)
		}
		if s.StateOf() != wsk.Connected {
			t.Error(s.StateOf())
		}
		r.close(s)
	})
}
