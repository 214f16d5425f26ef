package gate_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/gate"
	"github.com/wskstack/wskstack/stack/seg"
)

var (
	here  = netip.MustParseAddrPort("192.0.2.1:80")
	there = netip.MustParseAddrPort("192.0.2.2:1000")
)

// bench is a Link between a link of the test's and a dispatcher of the test's.
type bench struct {
	t      testing.TB
	lower  *channel.Endpoint
	clock  *faketime.ManualClock
	link   *gate.Link
	ln     *gate.Listener // what Find returns
	up     []seg.Segment
	resets []seg.Segment
	woken  int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, lower: channel.New(8, 1500, ""), clock: faketime.NewManualClock()}
	l, err := gate.New(b.lower, gate.Config{
		Clock: b.clock,
		Find:  func(netip.AddrPort, netip.AddrPort) *gate.Listener { return b.ln },
		Reset: func(s seg.Segment) { b.resets = append(b.resets, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.link = l
	l.Attach(b)
	t.Cleanup(func() {
		l.Close()
		l.Wait()
		b.lower.Drain()
	})
	return b
}

// DeliverNetworkPacket implements stack.NetworkDispatcher.
func (b *bench) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	s, err := seg.Parse(pkt.Data().AsRange().ToSlice())
	if err != nil {
		b.t.Error(err)
		return
	}
	b.up = append(b.up, s)
}

// DeliverLinkPacket implements stack.NetworkDispatcher.
func (*bench) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

func (b *bench) listen(most int) *gate.Listener {
	b.ln = b.link.Listen(most, func() { b.woken++ })
	return b.ln
}

// recv has the peer send a segment and reports whether it came up.
func (b *bench) recv(from netip.AddrPort, flags seg.Flags, seq, ack seqnum.Value, change ...func([]byte)) bool {
	b.t.Helper()
	raw := seg.Make(seg.Fields{Src: from, Dst: here, Flags: flags, Seq: seq, Ack: ack}).Bytes()
	for _, c := range change {
		c(raw)
	}
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(raw)})
	before := len(b.up)
	b.lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
	pkt.DecRef()
	return len(b.up) > before
}

// send sends a segment to the peer and reports whether it left.
func (b *bench) send(to netip.AddrPort, flags seg.Flags, seq seqnum.Value) bool {
	b.t.Helper()
	s := seg.Make(seg.Fields{Src: here, Dst: to, Flags: flags, Seq: seq})
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{ReserveHeaderBytes: 40})
	ip := s.IPHeaderLen()
	copy(pkt.TransportHeader().Push(20), s.Bytes()[ip:])
	copy(pkt.NetworkHeader().Push(ip), s.Bytes()[:ip])
	pkt.NetworkProtocolNumber, pkt.TransportProtocolNumber = header.IPv4ProtocolNumber, header.TCPProtocolNumber
	var list gstack.PacketBufferList
	list.PushBack(pkt)
	n, err := b.link.WritePackets(list)
	list.Reset()
	if n != 1 || err != nil {
		b.t.Errorf("WritePackets: %d, %v", n, err)
	}
	out := b.lower.Read()
	if out == nil {
		return false
	}
	out.DecRef()
	return true
}

// next takes an event that has to be there.
func (b *bench) next(gone bool, remote netip.AddrPort) gate.ID {
	b.t.Helper()
	e, ok := b.ln.Next()
	if !ok || e.Gone != gone || e.Local != here || e.Remote != remote {
		b.t.Fatalf("%+v, %v; want one from %v, gone: %v", e, ok, remote, gone)
	}
	return e.ID
}

func (b *bench) quiet() {
	b.t.Helper()
	if e, ok := b.ln.Next(); ok {
		b.t.Errorf("%+v", e)
	}
}

func TestConfig(t *testing.T) {
	lower, clock := channel.New(1, 1500, ""), faketime.NewManualClock()
	find, reset := func(netip.AddrPort, netip.AddrPort) *gate.Listener { return nil }, func(seg.Segment) {}
	for name, cfg := range map[string]gate.Config{
		"no clock": {Find: find, Reset: reset}, "no Find": {Clock: clock, Reset: reset}, "no Reset": {Clock: clock, Find: find},
		"a negative limit": {Clock: clock, Find: find, Reset: reset, Hold: -1},
	} {
		if _, err := gate.New(lower, cfg); err == nil {
			t.Error(name)
		}
	}
	if _, err := gate.New(nil, gate.Config{Clock: clock, Find: find, Reset: reset}); err == nil {
		t.Error("no link")
	}
}

// TestHold takes a request all the way: held, repeated, admitted, repeated again,
// taken.
func TestHold(t *testing.T) {
	b := newBench(t)
	if !b.recv(there, seg.SYN, 100, 0) {
		t.Error("held though nobody listens")
	}
	b.listen(0)
	if b.recv(there, seg.SYN, 100, 0) || b.recv(there, seg.SYN, 100, 0) {
		t.Fatal("not held")
	}
	id := b.next(false, there)
	b.quiet()
	if b.woken == 0 {
		t.Error("nobody was woken")
	}
	before := len(b.up)
	if err := b.ln.Decide(id, true); err != nil || len(b.up) != before+1 || b.up[before].Seq() != 100 {
		t.Fatalf("%v, %v", err, b.up)
	}
	if err := b.ln.Decide(id, true); !errors.Is(err, gate.ErrUnknown) {
		t.Errorf("decided twice: %v", err)
	}
	if !b.recv(there, seg.SYN, 100, 0) || !b.send(there, seg.SYN|seg.ACK, 500) || !b.recv(there, seg.ACK, 101, 501) {
		t.Error("the handshake is held up")
	}
	if got, ok := b.ln.Take(here, there); !ok || got != id {
		t.Errorf("taken: %d, %v", got, ok)
	}
	if _, ok := b.ln.Take(here, there); ok {
		t.Error("taken twice")
	}
	b.quiet()
	b.ln.Close()
	b.ln.Close()
	if !b.recv(there, seg.SYN, 900, 0) {
		t.Error("held by a listener that is closed")
	}
	if len(b.resets) != 0 {
		t.Error(b.resets)
	}
}

// TestEnds has requests end in the other ways.
func TestEnds(t *testing.T) {
	pend := func(t *testing.T) (*bench, gate.ID) {
		b := newBench(t)
		b.listen(0)
		if b.recv(there, seg.SYN, 100, 0) {
			t.Fatal("not held")
		}
		return b, b.next(false, there)
	}
	admit := func(t *testing.T) (*bench, gate.ID) {
		b, id := pend(t)
		if err := b.ln.Decide(id, true); err != nil {
			t.Fatal(err)
		}
		b.send(there, seg.SYN|seg.ACK, 500)
		return b, id
	}
	t.Run("refused", func(t *testing.T) {
		b, id := pend(t)
		if err := b.ln.Decide(id, false); err != nil || len(b.resets) != 1 || b.resets[0].Seq() != 100 || len(b.up) != 0 {
			t.Errorf("%v, %v, %v", err, b.resets, b.up)
		}
		b.quiet()
		if b.recv(there, seg.SYN, 100, 0) || b.next(false, there) == id {
			t.Error("the next SYN is not a new request")
		}
	})
	t.Run("taken back", func(t *testing.T) {
		b, id := pend(t)
		if b.recv(there, seg.RST, 55, 0) {
			t.Error("a stray reset comes up")
		}
		b.quiet()
		if b.recv(there, seg.RST, 101, 0) {
			t.Error("the reset comes up")
		}
		if err := b.ln.Decide(id, true); err != nil || len(b.up) != 0 {
			t.Errorf("what is gone and not told of: %v, %v", err, b.up)
		}
		if b.next(true, there) != id {
			t.Error("another one is gone")
		}
		if err := b.ln.Decide(id, true); !errors.Is(err, gate.ErrUnknown) {
			t.Errorf("what is gone and told of: %v", err)
		}
	})
	t.Run("taken back before it was told", func(t *testing.T) {
		b := newBench(t)
		b.listen(0)
		b.recv(there, seg.SYN, 100, 0)
		b.recv(there, seg.RST, 101, 0)
		b.quiet()
	})
	t.Run("another in its place", func(t *testing.T) {
		b, id := pend(t)
		if b.recv(there, seg.SYN, 7000, 0) || b.next(true, there) != id || b.next(false, there) == id {
			t.Error("not renewed")
		}
	})
	t.Run("its time is up", func(t *testing.T) {
		b, id := pend(t)
		b.clock.Advance(gate.DefaultHold - 1)
		b.quiet()
		b.clock.Advance(1)
		if b.next(true, there) != id || len(b.resets) != 0 {
			t.Error("not gone in silence")
		}
	})
	t.Run("the handshake's time is up", func(t *testing.T) {
		b, id := admit(t)
		b.clock.Advance(149 * time.Second)
		b.quiet()
		b.clock.Advance(time.Second)
		if b.next(true, there) != id {
			t.Error("another one is gone")
		}
	})
	t.Run("reset in the handshake", func(t *testing.T) {
		b, id := admit(t)
		if !b.recv(there, seg.RST, 101, 0) || b.next(true, there) != id {
			t.Error("not told")
		}
		if _, ok := b.ln.Take(here, there); ok {
			t.Error("taken")
		}
	})
	t.Run("refused above", func(t *testing.T) {
		b, id := admit(t)
		if !b.send(there, seg.RST|seg.ACK, 0) || b.next(true, there) != id {
			t.Error("not told")
		}
	})
	t.Run("the listener closes", func(t *testing.T) {
		b, id := pend(t)
		b.ln.Close()
		if len(b.resets) != 1 {
			t.Error("no reset")
		}
		if err := b.ln.Decide(id, true); !errors.Is(err, gate.ErrUnknown) {
			t.Error(err)
		}
		b.quiet()
		b.clock.Advance(time.Hour)                                       // its timer is stopped
		end := b.link.Silence(here, netip.AddrPortFrom(there.Addr(), 9)) // so that SYNs are looked at
		defer end()
		if !b.recv(there, seg.SYN, 100, 0) {
			t.Error("held by a listener that is closed")
		}
		b.quiet()
	})
	t.Run("the link closes", func(t *testing.T) {
		b, _ := pend(t)
		b.link.Close()
		b.clock.Advance(time.Hour)
		b.quiet()
	})
}

// TestFlood sends more than a listener holds, damaged SYNs, and lets connections that
// nobody takes make room in time.
func TestFlood(t *testing.T) {
	b := newBench(t)
	const most = 4
	b.listen(most)
	if !b.recv(there, seg.SYN, 1, 0, func(p []byte) { p[len(p)-1] ^= 1 }) {
		t.Error("netstack does not see what is damaged")
	}
	from := func(k int) netip.AddrPort { return netip.AddrPortFrom(there.Addr(), uint16(1000+k)) }
	for k := range 100 {
		if b.recv(from(k), seg.SYN, 100, 0) {
			t.Fatal("comes up")
		}
	}
	var ids []gate.ID
	for k := range most {
		ids = append(ids, b.next(false, from(k)))
	}
	b.quiet()
	for k, id := range ids {
		if err := b.ln.Decide(id, true); err != nil {
			t.Fatal(err)
		}
		b.send(from(k), seg.SYN|seg.ACK, 500)
		b.recv(from(k), seg.ACK, 101, 501)
		b.clock.Advance(time.Second)
	}
	b.recv(from(50), seg.SYN, 100, 0)
	b.quiet()
	b.clock.Advance(time.Hour)
	b.quiet()
	b.recv(from(50), seg.SYN, 100, 0)
	if b.next(true, from(0)) != ids[0] {
		t.Error("not the oldest made room")
	}
	b.next(false, from(50))
	b.quiet()
}

// TestSilence drops a connection's packets both ways, and no other's.
func TestSilence(t *testing.T) {
	b := newBench(t)
	other := netip.AddrPortFrom(there.Addr(), 2000)
	first, second := b.link.Silence(here, there), b.link.Silence(here, there)
	check := func(silent bool) {
		t.Helper()
		if b.recv(there, seg.ACK, 1, 1) == silent || b.send(there, seg.ACK, 1) == silent || b.send(there, seg.RST, 1) == silent {
			t.Errorf("silent: %v expected", silent)
		}
		if !b.recv(other, seg.ACK, 1, 1) || !b.send(other, seg.ACK, 1) {
			t.Error("another connection is silent")
		}
	}
	check(true)
	first()
	first()
	check(true)
	second()
	check(false)
}

type nowhere struct{}

func (nowhere) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}
func (nowhere) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer)    {}
