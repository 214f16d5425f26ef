package stack_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// inspecting makes an endpoint that listens on port 80 and is asked first.
func (r *rig) inspecting(backlog int) *stack.Endpoint {
	r.t.Helper()
	e := endpoint(r.t, r.stack, "tcp")
	if err := e.SetInspect(true); err != nil {
		r.t.Fatal(err)
	}
	if err := e.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 80)); err != nil {
		r.t.Fatal(err)
	}
	if err := e.Listen(backlog); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) request(e *stack.Endpoint, gone bool) stack.Request {
	r.t.Helper()
	q, err := e.NextRequest()
	if err != nil || q.Gone != gone {
		r.t.Fatalf("%+v, %v; gone: %v", q, err, gone)
	}
	return q
}

// TestInspect has SYNs wait for the listener: no SYN-ACK before Decide, a reset for
// who is refused, and an accepted connection that knows its request.
func TestInspect(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := r.inspecting(8)
	if _, err := e.NextRequest(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("nothing to tell: %v", err)
	}
	r.client(1000, seg.SYN, 100, 0, nil, nil)
	r.client(1000, seg.SYN, 100, 0, nil, nil)
	r.silent("before Decide")
	q := r.request(e, false)
	if q.Local != netip.AddrPortFrom(addrA, 80) || q.Remote != netip.AddrPortFrom(r.peer.Addr(), 1000) {
		t.Errorf("%+v", q)
	}
	if err := e.Decide(q.ID, true); err != nil {
		t.Fatal(err)
	}
	synAck := r.next()
	if synAck.Flags() != seg.SYN|seg.ACK {
		t.Fatalf("admitted: %v", describe(synAck))
	}
	if err := e.Decide(q.ID, true); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("decided twice: %v", err)
	}
	r.client(1000, seg.ACK, 101, synAck.Seq().Add(1), nil, []byte("hello"))
	c, err := e.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := c.RequestID(); !ok || id != q.ID {
		t.Errorf("the connection is of request %d, %v; want %d", id, ok, q.ID)
	}
	mustRead(t, c, []byte("hello"))
	c.Abort()
	r.all()

	r.client(2000, seg.SYN, 100, 0, nil, nil)
	if err := e.Decide(r.request(e, false).ID, false); err != nil {
		t.Fatal(err)
	}
	if rst := r.next(); rst.Flags() != seg.RST|seg.ACK || rst.Ack() != 101 || rst.Dst().Port() != 2000 {
		t.Errorf("refused: %v", describe(rst))
	}

	r.client(3000, seg.SYN, 100, 0, nil, nil)
	taken := r.request(e, false)
	r.client(3000, seg.RST, 101, 0, nil, nil)
	if r.request(e, true).ID != taken.ID {
		t.Error("another one is gone")
	}
	r.client(4000, seg.SYN, 100, 0, nil, nil)
	late := r.request(e, false)
	r.clock.Advance(time.Minute * 2)
	if r.request(e, true).ID != late.ID {
		t.Error("another one is gone")
	}
	r.silent("gone")
	for port := range uint16(20) {
		r.client(5000+port, seg.SYN, 100, 0, nil, nil)
	}
	for range 8 {
		r.request(e, false)
	}
	if _, err := e.NextRequest(); !errors.Is(err, syscall.EAGAIN) {
		t.Error("more are held than the backlog")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if rsts := r.all(); len(rsts) != 8 || !rsts[0].Flags().Has(seg.RST) {
		t.Errorf("%d segments after the close, want 8 resets", len(rsts))
	}
	if _, err := e.NextRequest(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the close: %v", err)
	}
	if err := e.Decide(1, true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the close: %v", err)
	}
}

// TestInspectBypassed has a SYN that netstack puts together from fragments, which
// the gate does not see: its connection is not handed out.
func TestInspectBypassed(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := r.inspecting(8)
	f := seg.Fields{Src: r.peer, Dst: netip.AddrPortFrom(addrA, 80), Flags: seg.SYN, Seq: 100, Window: 0xffff, Options: make([]byte, 8)}
	for i := range f.Options {
		f.Options[i] = seg.OptNOP
	}
	for _, fragment := range fragments(seg.Make(f).Bytes()) {
		r.inject(fragment)
	}
	synAck := r.next()
	if synAck.Flags() != seg.SYN|seg.ACK {
		t.Fatalf("netstack did not put it together: %v", describe(synAck))
	}
	r.answer(synAck, seg.ACK, 101, synAck.Seq().Add(1), nil, nil)
	if _, err := e.Accept(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("handed out: %v", err)
	}
	if rst := r.next(); !rst.Flags().Has(seg.RST) {
		t.Errorf("%v", describe(rst))
	}
	e.Abort()
}

// TestInspectStates has the calls in the wrong states.
func TestInspectStates(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	if _, err := e.NextRequest(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("NextRequest: %v", err)
	}
	if err := e.Decide(1, true); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Decide: %v", err)
	}
	if _, ok := e.RequestID(); ok {
		t.Error("a request of nothing")
	}
	if _, err := e.Silence(); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("Silence: %v", err)
	}
	if err := e.Listen(1); err != nil {
		t.Fatal(err)
	}
	if err := e.SetInspect(true); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("SetInspect: %v", err)
	}
	e.Abort()
	if err := e.SetInspect(true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetInspect after the close: %v", err)
	}
	if _, err := e.Silence(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Silence after the close: %v", err)
	}
	// A connection between the same ports comes before the listener: its SYN is
	// netstack's.
	e = r.inspecting(8)
	r.client(1000, seg.SYN, 100, 0, nil, nil)
	if err := e.Decide(r.request(e, false).ID, true); err != nil {
		t.Fatal(err)
	}
	r.client(1000, seg.ACK, 101, r.next().Seq().Add(1), nil, nil)
	c, err := e.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.client(1000, seg.SYN, 7000, 0, nil, nil)
	if _, err := e.NextRequest(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a SYN on a connection is a request: %v", err)
	}
	c.Abort()
	e.Abort()
	if err := r.stack.Close(); err != nil {
		t.Error(err)
	}
}

// TestInspectFastOpen: a SYN with a cookie and data waits like any other, and is the
// Fast Open layer's once it is admitted.
func TestInspectFastOpen(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l := endpoint(t, b, "tcp4")
	if err := errors.Join(l.SetInspect(true), l.Bind(netip.AddrPortFrom(addrB, 80)), l.Listen(8)); err != nil {
		t.Fatal(err)
	}
	ln, err := l.ServeFastOpen(fastopen.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	data := pattern(1000)
	for accepted := range []int{0, 1} {
		woken := make(chan struct{}, 1)
		l.SetWake(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		c := endpoint(t, a, "tcp4")
		if err := c.Connect(netip.AddrPortFrom(addrB, 80), stack.ConnectOptions{Data: data}); err != nil {
			t.Fatal(err)
		}
		var q stack.Request
		for {
			if q, err = l.NextRequest(); err == nil {
				break
			}
			if !errors.Is(err, syscall.EAGAIN) {
				t.Fatal(err)
			}
			<-woken
		}
		if n := ln.Stats().TCPFastOpenPassive; n != 0 {
			t.Errorf("%d were opened before they were admitted", n)
		}
		if err := l.Decide(q.ID, true); err != nil {
			t.Fatal(err)
		}
		l.SetWake(nil)
		s := accept(t, l)
		mustRead(t, s, data)
		if err := connected(t, c); err != nil {
			t.Fatal(err)
		}
		if n := ln.Stats().TCPFastOpenPassive; int(n) != accepted {
			t.Errorf("connection %d: %d by their SYN", accepted, n)
		}
		s.Abort()
		c.Abort()
	}
	l.Abort()
}

// TestSilenced: a silent connection sends no reset and answers nothing; when it is
// over, netstack answers again.
func TestSilenced(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	syn := r.dial(e, stack.ConnectOptions{}, 500, nil)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	r.all()
	if _, err := e.Write([][]byte{[]byte("unacknowledged")}); err != nil {
		t.Fatal(err)
	}
	r.next()
	end, err := e.Silence()
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	r.silent("no retransmission and no reset")
	r.answer(syn, seg.ACK, 501, syn.End(), nil, []byte("hello"))
	r.silent("no answer")
	if _, err := e.Write([][]byte{{1}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	end()
	end()
	r.answer(syn, seg.ACK, 501, syn.End(), nil, []byte("hello"))
	if rst := r.next(); !rst.Flags().Has(seg.RST) {
		t.Errorf("afterwards: %v", describe(rst))
	}
}

// TestSilencedLoopback: what does not leave netstack cannot be silenced.
func TestSilencedLoopback(t *testing.T) {
	_, b := pair(t, stack.Config{}, stack.Config{})
	l, at := listen(t, b, "tcp4", addrB)
	c := endpoint(t, b, "tcp4")
	if err := c.Connect(at, stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Silence(); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("got %v", err)
	}
	c.Abort()
	l.Abort()
}
