package stack_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// plain is a connect without Fast Open.
var plain = stack.ConnectOptions{FastOpen: fastopen.ModeOff}

func TestConnectTimeout(t *testing.T) {
	covers.IDs(t, "P4")
	for _, c := range []struct {
		cfg, own, want time.Duration
		syns           int
	}{
		{0, 0, stack.DefaultConnectTimeout, 5},
		{5 * time.Second, 0, 5 * time.Second, 3},
		{5 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond, 1},
		{time.Hour, 0, 127 * time.Second, 7}, // netstack's own limit
	} {
		r := newRig(t, stack.Config{ConnectTimeout: c.cfg})
		e := endpoint(t, r.stack, "tcp4")
		opts := plain
		opts.Timeout, opts.Data = c.own, []byte("data")
		if err := e.Connect(r.peer, opts); err != nil {
			t.Fatal(err)
		}
		if err := e.Connect(r.peer, opts); err != syscall.EALREADY {
			t.Errorf("Connect while connecting: %v", err)
		}
		if e.Unacknowledged() != 4 {
			t.Errorf("%d bytes unacknowledged", e.Unacknowledged())
		}
		r.clock.Advance(c.want - time.Millisecond)
		if done, err := e.Connected(); done || err != nil {
			t.Errorf("before the limit: %v, %v", done, err)
		}
		r.clock.Advance(time.Millisecond)
		if err := connected(t, e); err != syscall.ETIMEDOUT {
			t.Errorf("%v: %v", c, err)
		}
		if n := len(r.all()); n != c.syns {
			t.Errorf("%v: %d segments, want %d SYNs", c, n, c.syns)
		}
		r.clock.Advance(time.Hour)
		r.silent("after the timeout")
		if r.stack.FastOpen().Stats().Openings != 0 {
			t.Error("the Fast Open layer still knows the connect")
		}
	}
}

// TestConnectWakesOnce: what goes on inside a connect is nobody's but its worker's.
func TestConnectWakesOnce(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	woken := make(chan struct{}, 1)
	e.SetWake(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	opts := plain
	opts.Data = []byte("data")
	r.dial(e, opts, 100, nil)
	<-woken
	if done, err := e.Connected(); !done || err != nil {
		t.Errorf("woken before the connect was over: %v, %v", done, err)
	}
}

// TestConnectTimeoutCoversTheData has a peer that takes the handshake and then
// opens no window for the data.
func TestConnectTimeoutCoversTheData(t *testing.T) {
	covers.IDs(t, "P4")
	r := newRig(t, stack.Config{SendBuffer: stack.BufferSize{Max: 4096}})
	e := endpoint(t, r.stack, "tcp4")
	opts := plain
	opts.Data = pattern(64 << 10)
	if err := e.Connect(r.peer, opts); err != nil {
		t.Fatal(err)
	}
	syn := r.next()
	r.send(seg.Fields{Dst: syn.Src(), Flags: seg.SYN | seg.ACK, Seq: 1, Ack: syn.Seq().Add(1), Window: 0})
	if ack := r.wait(); ack.Flags() != seg.ACK {
		t.Fatalf("the handshake ends with %v", describe(ack))
	}
	r.clock.Advance(stack.DefaultConnectTimeout)
	if err := connected(t, e); err != syscall.ETIMEDOUT {
		t.Errorf("connect: %v", err)
	}
	all := r.all()
	if last := all[len(all)-1]; !last.Flags().Has(seg.RST) {
		t.Errorf("the connection was not reset but ended with %v", describe(last))
	}
}

func TestCloseWhileConnecting(t *testing.T) {
	for name, end := range map[string]func(*stack.Endpoint){
		"Close": func(e *stack.Endpoint) { e.Close() },
		"Abort": (*stack.Endpoint).Abort,
	} {
		r := newRig(t, stack.Config{})
		e := endpoint(t, r.stack, "tcp4")
		if err := e.Connect(r.peer, stack.ConnectOptions{Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([][]byte{{1}}); err != syscall.EAGAIN {
			t.Errorf("Write while connecting: %v", err)
		}
		if _, err := e.Read([][]byte{{1}}); err != syscall.EAGAIN {
			t.Errorf("Read while connecting: %v", err)
		}
		if err := e.CloseWrite(); err != syscall.ENOTCONN {
			t.Errorf("CloseWrite while connecting: %v", err)
		}
		r.next()
		end(e)
		if _, err := e.Connected(); err != net.ErrClosed {
			t.Errorf("%s: Connected says %v", name, err)
		}
		r.clock.Advance(time.Hour)
		r.silent(name)
		if n := r.stack.Stats().Sockets; n != 0 {
			t.Errorf("%s: %d sockets are left", name, n)
		}
		if r.stack.FastOpen().Stats().Openings != 0 {
			t.Errorf("%s: the Fast Open layer still knows the connect", name)
		}
	}
}

// TestCloseWhileDataIsHandedOver: half of a connect's data and a FIN would look
// like the whole to the peer, so it gets a reset.
func TestCloseWhileDataIsHandedOver(t *testing.T) {
	r := newRig(t, stack.Config{SendBuffer: stack.BufferSize{Max: 4096}})
	e := endpoint(t, r.stack, "tcp4")
	opts := plain
	opts.Data = pattern(64 << 10)
	syn := r.dial(e, opts, 100, nil)
	for got := 0; got == 0; got = len(r.wait().Payload()) { // the first of the data
	}
	e.Close()
	all := r.all()
	if len(all) == 0 || !all[len(all)-1].Flags().Has(seg.RST) {
		t.Errorf("after Close came %d segments, the last not a RST", len(all))
	}
	if n := r.stack.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets are left", n)
	}
	r.answer(syn, seg.ACK, 101, syn.End(), nil, nil)
}

// TestBrokenByTimeout: a connection whose data nobody acknowledges breaks, and
// every call says why.
func TestBrokenByTimeout(t *testing.T) {
	covers.IDs(t, "P4")
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	r.dial(e, plain, 100, nil)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	write(t, e, []byte("x"))
	for range 3600 {
		r.clock.Advance(time.Second)
	}
	for range 2 {
		if err := fails(t, e); err != syscall.ETIMEDOUT {
			t.Errorf("Read: %v", err)
		}
		if _, err := e.Write([][]byte{{1}}); err != syscall.ETIMEDOUT {
			t.Errorf("Write: %v", err)
		}
	}
	if e.Unacknowledged() != 0 || e.State() != stack.StateClosed {
		t.Errorf("%d bytes unacknowledged, %v", e.Unacknowledged(), e.State())
	}
}

// TestCloseTimeout closes a connection whose peer has gone: it is reset after
// CloseTimeout, or after the endpoint's own.
func TestCloseTimeout(t *testing.T) {
	covers.IDs(t, "P4")
	for _, c := range []struct {
		linger, want time.Duration
	}{{-1, 40 * time.Second}, {10 * time.Second, 10 * time.Second}} {
		r := newRig(t, stack.Config{CloseTimeout: 40 * time.Second})
		e := endpoint(t, r.stack, "tcp4")
		r.dial(e, plain, 100, nil)
		if err := connected(t, e); err != nil {
			t.Fatal(err)
		}
		if err := e.SetLinger(c.linger); err != nil {
			t.Fatal(err)
		}
		write(t, e, []byte("nobody answers"))
		e.Close()
		r.clock.Advance(c.want - time.Millisecond)
		for _, s := range r.all() {
			if s.Flags().Has(seg.RST) {
				t.Errorf("reset before the limit")
			}
		}
		r.clock.Advance(time.Millisecond)
		if s := r.next(); !s.Flags().Has(seg.RST) {
			t.Errorf("at the limit: %v", describe(s))
		}
		if n := r.stack.Stats().Sockets; n != 0 {
			t.Errorf("%d sockets are left", n)
		}
		r.clock.Advance(time.Hour)
		r.silent("after the reset")
	}
}

// TestCloseInTimeWait closes a connection properly. TIME-WAIT may outlive
// CloseTimeout: there is nothing to abort.
func TestCloseInTimeWait(t *testing.T) {
	r := newRig(t, stack.Config{CloseTimeout: time.Second})
	e := endpoint(t, r.stack, "tcp4")
	syn := r.dial(e, plain, 100, nil)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	r.all()
	e.Close()
	fin := r.next()
	if !fin.Flags().Has(seg.FIN) {
		t.Fatalf("Close sent %v", describe(fin))
	}
	r.answer(syn, seg.FIN|seg.ACK, 101, fin.End(), nil, nil)
	r.next() // the ACK of the peer's FIN
	r.clock.Advance(59 * time.Second)
	r.silent("in TIME-WAIT")
	if n := r.stack.Stats().Sockets; n != 1 {
		t.Errorf("%d sockets in TIME-WAIT", n)
	}
	r.clock.Advance(2 * time.Second)
	r.silent("after TIME-WAIT")
	if n := r.stack.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// cookie is a Fast Open option with a cookie of 8 bytes, padded.
var cookie = append([]byte{1, 1, 34, 10}, "8-octets"...)

// withCookie makes a rig whose stack has a cookie for its peer.
func withCookie(t *testing.T, cfg stack.Config) *rig {
	t.Helper()
	r := newRig(t, cfg)
	e := endpoint(t, r.stack, "tcp4")
	syn := r.dial(e, stack.ConnectOptions{FastOpen: fastopen.ModeOn}, 100, cookie)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	if !r.stack.FastOpen().HasCookie(syn.Src().Addr(), r.peer) {
		t.Fatal("the cookie was not kept")
	}
	e.Abort()
	r.all()
	return r
}

func TestDeferredConnectSendsNothingBeforeTheFirstWrite(t *testing.T) {
	covers.IDs(t, "C-55")
	r := withCookie(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp")
	if err := e.Bind(netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour)
	r.silent("a deferred connect before the first write")
	if done, err := e.Connected(); !done || err != nil {
		t.Errorf("Connected: %v, %v", done, err)
	}
	if err := e.Connect(r.peer, plain); err != syscall.EISCONN {
		t.Errorf("second Connect: %v", err)
	}
	if _, err := e.Read([][]byte{{1}}); err != syscall.ENOTCONN {
		t.Errorf("Read: %v", err)
	}
	if n, err := e.Write([][]byte{[]byte("first "), []byte("bytes")}); n != 11 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if n, err := e.Write([][]byte{[]byte("more")}); n != 0 || err != syscall.EAGAIN {
		t.Errorf("Write while connecting: %d, %v", n, err)
	}
	syn := r.wait()
	if string(syn.Payload()) != "first bytes" || !syn.Flags().Has(seg.SYN) {
		t.Fatalf("the first segment is %v with %q", describe(syn), syn.Payload())
	}
	r.answer(syn, seg.SYN|seg.ACK, 7, syn.End(), nil, nil)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	write(t, e, []byte("more"))
	for { // its ACK, and then the rest, which follows the SYN's bytes
		s := r.wait()
		if len(s.Payload()) == 0 {
			continue
		}
		if string(s.Payload()) != "more" || s.Seq() != syn.End() {
			t.Errorf("then came %q at %d, want it at %d", s.Payload(), s.Seq(), syn.End())
		}
		break
	}
	if o := e.FastOpenInfo(); o.BytesInSYN != 11 || o.BytesAccepted != 11 {
		t.Errorf("outcome %+v", o)
	}
}

func TestDeferredConnectClosedBeforeTheFirstWrite(t *testing.T) {
	covers.IDs(t, "C-56")
	for name, end := range map[string]func(*stack.Endpoint){
		"Close": func(e *stack.Endpoint) { e.Close() },
		"Abort": (*stack.Endpoint).Abort,
	} {
		r := withCookie(t, stack.Config{})
		e := endpoint(t, r.stack, "tcp4")
		if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
			t.Fatal(err)
		}
		end(e)
		r.clock.Advance(time.Hour)
		r.silent(name)
	}
}

// TestDeferredConnectStartsAtOnce: without a cookie, with data, or with Fast Open
// off there is nothing to wait for.
func TestDeferredConnectStartsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		cookie bool
		opts   stack.ConnectOptions
	}{
		"no cookie":     {false, stack.ConnectOptions{}},
		"data":          {true, stack.ConnectOptions{Data: []byte("x")}},
		"Fast Open off": {true, stack.ConnectOptions{FastOpen: fastopen.ModeOff}},
	} {
		r := newRig(t, stack.Config{})
		if c.cookie {
			r = withCookie(t, stack.Config{})
		}
		e := endpoint(t, r.stack, "tcp4")
		c.opts.Deferred = true
		if err := e.Connect(r.peer, c.opts); err != nil {
			t.Fatal(err)
		}
		if s := r.wait(); !s.Flags().Has(seg.SYN) || !bytes.Equal(s.Payload(), c.opts.Data) {
			t.Errorf("%s: %v with %q", name, describe(s), s.Payload())
		}
		if done, err := e.Connected(); done || err != nil {
			t.Errorf("%s: Connected says %v, %v", name, done, err)
		}
	}
}

func TestDeferredConnectFails(t *testing.T) {
	r := withCookie(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Write([][]byte{[]byte("x")}); n != 1 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	r.clock.Advance(stack.DefaultConnectTimeout)
	if err := connected(t, e); err != syscall.ETIMEDOUT {
		t.Errorf("Connected: %v", err)
	}
	if _, err := e.Read([][]byte{{1}}); err != syscall.ETIMEDOUT {
		t.Errorf("Read: %v", err)
	}
	if _, err := e.Write([][]byte{{1}}); err != syscall.ETIMEDOUT {
		t.Errorf("Write: %v", err)
	}
}

// TestDeferredConnectWriteThenClose: what Write has taken is delivered, and a FIN
// behind it; H-09 wants the FIN to wait for the payload.
func TestDeferredConnectWriteThenClose(t *testing.T) {
	covers.IDs(t, "H-09")
	for name, end := range map[string]func(*stack.Endpoint) error{
		"Close":      (*stack.Endpoint).Close,
		"CloseWrite": (*stack.Endpoint).CloseWrite,
	} {
		r := withCookie(t, stack.Config{})
		e := endpoint(t, r.stack, "tcp4")
		if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
			t.Fatal(err)
		}
		if n, err := e.Write([][]byte{[]byte("payload")}); n != 7 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		if err := end(e); err != nil {
			t.Fatal(err)
		}
		syn := r.wait()
		// The peer takes none of the SYN's bytes.
		r.answer(syn, seg.SYN|seg.ACK, 7, syn.Seq().Add(1), nil, nil)
		var got []byte
		for {
			s := r.wait()
			if s.Seq() == syn.Seq().Add(1).Add(seqSize(got)) {
				got = append(got, s.Payload()...)
			}
			if s.Flags().Has(seg.RST) {
				t.Fatalf("%s: reset", name)
			}
			if s.Flags().Has(seg.FIN) {
				break
			}
		}
		if string(got) != "payload" {
			t.Errorf("%s: before the FIN came %q", name, got)
		}
	}
}

// TestDeferredConnectClosedAndUnanswered: the delivery after Close has a limit.
func TestDeferredConnectClosedAndUnanswered(t *testing.T) {
	covers.IDs(t, "P4")
	for _, limit := range []time.Duration{5 * time.Second, time.Hour} {
		r := withCookie(t, stack.Config{CloseTimeout: limit, ConnectTimeout: 20 * time.Second})
		e := endpoint(t, r.stack, "tcp4")
		if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([][]byte{[]byte("payload")}); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([][]byte{{1}}); err != net.ErrClosed {
			t.Errorf("Write after Close: %v", err)
		}
		r.clock.Advance(min(limit, 20*time.Second))
		until(t, e, "the end of the delivery", func() bool { return r.stack.Stats().Sockets == 0 })
	}
}

func TestDeferredConnectStartedWithoutData(t *testing.T) {
	r := withCookie(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Write(nil); n != 0 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if s := r.wait(); !s.Flags().Has(seg.SYN) || len(s.Payload()) != 0 {
		t.Errorf("%v with %q", describe(s), s.Payload())
	}
}

// TestDeferredWriteIsBounded: no more is taken than a connect's data may be.
func TestDeferredWriteIsBounded(t *testing.T) {
	r := withCookie(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	if err := e.Connect(r.peer, stack.ConnectOptions{Deferred: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Write([][]byte{pattern(60000), pattern(60000)}); n != 65535 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
}

// TestDataGoesFirst connects with data while others write: nothing comes before
// the data, which is written whole (H-08).
func TestDataGoesFirst(t *testing.T) {
	covers.IDs(t, "H-08")
	a, b := pair(t, stack.Config{SendBuffer: stack.BufferSize{Max: 8 << 10}}, stack.Config{})
	l, at := listen(t, b, "tcp4", addrB)
	e := endpoint(t, a, "tcp4")
	data := pattern(65535)
	if err := e.Connect(at, stack.ConnectOptions{Data: data, FastOpen: fastopen.ModeCookieless}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() { // a writer that does not wait for Connected
		defer close(stop)
		for {
			if n, _ := e.Write([][]byte{[]byte("!")}); n == 1 {
				return
			}
		}
	}()
	s := accept(t, l)
	mustRead(t, s, append(bytes.Clone(data), '!'))
	<-stop
}

// TestLAND sends a SYN whose source is its own destination, and one from the
// stack's own address to a listener: neither may be answered.
func TestLAND(t *testing.T) {
	r := newRig(t, stack.Config{})
	l := endpoint(t, r.stack, "tcp4")
	if err := l.Bind(netip.AddrPortFrom(r.local, 80)); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(0); err != nil {
		t.Fatal(err)
	}
	for _, port := range []uint16{80, 999} {
		r.send(seg.Fields{
			Src: netip.AddrPortFrom(r.local, port), Dst: netip.AddrPortFrom(r.local, 80),
			Flags: seg.SYN, Seq: 5, Window: 1000,
		})
		r.silent("a SYN from one's own address")
	}
	r.client(999, seg.SYN, 5, 0, nil, nil) // an ordinary one is answered
	if s := r.next(); !s.Flags().Has(seg.SYN | seg.ACK) {
		t.Errorf("an ordinary SYN was answered with %v", describe(s))
	}
}

// TestSilence: a stack that nobody uses says nothing, IPv6 included.
func TestSilence(t *testing.T) {
	r := newRig(t, stack.Config{})
	r.clock.Advance(time.Hour)
	if n := r.link.Drain(); n != 0 {
		t.Errorf("an idle stack sent %d packets", n)
	}
}

// TestStateIsWoken follows the states through a proper end by the peer; each
// change has to wake, as no other event tells that a FIN was acknowledged.
func TestStateIsWoken(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	woken := make(chan struct{}, 100)
	e.SetWake(func() { woken <- struct{}{} })
	syn := r.dial(e, plain, 100, nil)
	limit := time.After(guard)
	for {
		if done, _ := e.Connected(); done {
			break
		}
		select {
		case <-woken:
		case <-limit:
			t.Fatal("not connected")
		}
	}
	for len(woken) > 0 {
		<-woken
	}
	step := func(want stack.State, do func()) {
		t.Helper()
		limit := time.After(guard)
		do()
		awake := false
		for e.State() != want {
			select {
			case <-woken:
				awake = true
			case <-limit:
				t.Fatalf("nobody was woken for %v; it is %v", want, e.State())
			}
		}
		if !awake && len(woken) == 0 {
			t.Errorf("nobody was woken for %v", want)
		}
		for len(woken) > 0 {
			<-woken
		}
	}
	var fin seg.Segment
	step(stack.StateFinWait1, func() {
		if err := e.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for fin = r.wait(); !fin.Flags().Has(seg.FIN); {
			fin = r.wait()
		}
	})
	step(stack.StateFinWait2, func() { r.answer(syn, seg.ACK, 101, fin.End(), nil, nil) })
	step(stack.StateTimeWait, func() { r.answer(syn, seg.ACK|seg.FIN, 101, fin.End(), nil, nil) })
	if err := fails(t, e); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
}

// A simulation decides when a connect goes on: each wake-up is given to it, and the
// connect needs those that come after the buffer is full.
func TestWakeWorkerDecides(t *testing.T) {
	var asked atomic.Int32
	a, b := pair(t, stack.Config{
		SendBuffer: stack.BufferSize{Default: 4096, Max: 4096},
		WakeWorker: func(wake func()) {
			asked.Add(1)
			wake()
		},
	}, stack.Config{})
	l, to := listen(t, b, "tcp4", addrB)
	e := endpoint(t, a, "tcp4")
	data := bytes.Repeat([]byte("turn"), 5000)
	if err := e.Connect(to, stack.ConnectOptions{Data: data, FastOpen: fastopen.ModeOff}); err != nil {
		t.Fatal(err)
	}
	c := accept(t, l)
	mustRead(t, c, data)
	if err := connected(t, e); err != nil {
		t.Error(err)
	}
	if asked.Load() == 0 {
		t.Error("nothing was asked")
	}
}
