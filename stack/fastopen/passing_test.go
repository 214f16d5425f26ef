package fastopen_test

import (
	"bytes"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A bench is a Link between two ends that the test holds: no netstack.
type bench struct {
	link *fastopen.Link
	wire *channel.Endpoint

	mu        sync.Mutex
	delivered [][]byte
	by        []string      // the goroutines that delivered
	arrived   chan struct{} // holds one sign that something was delivered
	blocked   chan struct{} // deliveries wait until it is closed; nil: they do not
}

func (b *bench) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	v := pkt.ToView()
	defer v.Release()
	if b.blocked != nil {
		select {
		case b.arrived <- struct{}{}:
		default:
		}
		<-b.blocked
	}
	b.mu.Lock()
	b.delivered = append(b.delivered, bytes.Clone(v.AsSlice()))
	b.by = append(b.by, goroutine())
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// goroutine names the one that calls.
func goroutine() string {
	line, _, _ := strings.Cut(string(debug.Stack()), "[")
	return line
}

// await waits until something was delivered.
func (b *bench) await(t testing.TB) [][]byte {
	t.Helper()
	for {
		if got := b.take(); len(got) > 0 {
			return got
		}
		select {
		case <-b.arrived:
		case <-time.After(patient):
			t.Fatal("nothing is delivered")
		}
	}
}

func (b *bench) take() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.delivered
	b.delivered = nil
	return got
}

func (*bench) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{wire: channel.New(16, 1500, ""), arrived: make(chan struct{}, 1)}
	link, err := fastopen.New(b.wire, fastopen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b.link = link
	link.Attach(b)
	t.Cleanup(func() {
		link.Attach(nil)
		link.Close()
		link.Wait()
	})
	return b
}

func (b *bench) arrive(raw []byte) [][]byte {
	b.inject(raw)
	return b.take()
}

func (b *bench) inject(raw []byte) {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(bytes.Clone(raw))})
	b.wire.InjectInbound(header.IPv4ProtocolNumber, pkt)
	pkt.DecRef()
}

// leave sends a segment as netstack would, headers pushed one by one.
func (b *bench) leave(s seg.Segment, owner tcpip.PacketOwner) int {
	raw := s.Bytes()
	ip, pay := s.IPHeaderLen(), len(raw)-len(s.Payload())
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: pay, Payload: buffer.MakeWithData(bytes.Clone(raw[pay:]))})
	copy(pkt.TransportHeader().Push(pay-ip), raw[ip:])
	copy(pkt.NetworkHeader().Push(ip), raw)
	pkt.TransportProtocolNumber, pkt.NetworkProtocolNumber = header.TCPProtocolNumber, header.IPv4ProtocolNumber
	if s.IPv6() {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	}
	pkt.Owner = owner
	var list gstack.PacketBufferList
	list.PushBack(pkt)
	n, _ := b.link.WritePackets(list)
	list.Reset()
	return n
}

func (b *bench) sent() [][]byte {
	var all [][]byte
	for pkt := b.wire.Read(); pkt != nil; pkt = b.wire.Read() {
		v := pkt.ToView()
		all = append(all, bytes.Clone(v.AsSlice()))
		v.Release()
		pkt.DecRef()
	}
	return all
}

// opening makes the bench watch a connection whose SYN has left.
func (b *bench) opening(t testing.TB, v6 bool) seg.Segment {
	t.Helper()
	syn, _ := b.openingFlow(t, v6)
	return syn
}

func (b *bench) openingFlow(t testing.TB, v6 bool) (seg.Segment, *fastopen.Flow) {
	t.Helper()
	f := seg.Fields{Src: netip.AddrPortFrom(ours4, 5000), Dst: netip.AddrPortFrom(theirs4, 80),
		Seq: 1000, Flags: seg.SYN, Window: 1000, Options: []byte{seg.OptMSS, 4, 5, 180}}
	if v6 {
		f.Src, f.Dst = netip.AddrPortFrom(ours6, 5000), netip.AddrPortFrom(theirs6, 80)
	}
	syn := seg.Make(f)
	flow := b.link.Offer(fastopen.OfferOptions{Payload: []byte("hello"), Mode: fastopen.ModeCookieless})
	t.Cleanup(flow.Release)
	if n := b.leave(syn, flow); n != 1 {
		t.Fatalf("%d packets written", n)
	}
	if out := b.sent(); len(out) != 1 || !bytes.HasSuffix(out[0], []byte("hello")) {
		t.Fatalf("%d packets leave, or without the data", len(out))
	}
	return syn, flow
}

func answer(syn seg.Segment, flags seg.Flags, payload string) seg.Segment {
	return seg.Make(seg.Fields{Src: syn.Dst(), Dst: syn.Src(), Seq: 7000, Ack: syn.Seq().Add(6), Flags: flags,
		Window: 500, Payload: []byte(payload)})
}

// open makes the bench watch a connection whose SYN data the peer has taken.
func (b *bench) open(t testing.TB, v6 bool) (seg.Segment, *fastopen.Flow) {
	t.Helper()
	syn, flow := b.openingFlow(t, v6)
	s := answer(syn, seg.SYN|seg.ACK, "")
	if got := b.arrive(s.Bytes()); len(got) != 1 {
		t.Fatalf("%d packets delivered for the SYN-ACK", len(got))
	}
	return syn, flow
}

func (b *bench) ours(syn seg.Segment, payload string) seg.Segment {
	return seg.Make(seg.Fields{Src: syn.Src(), Dst: syn.Dst(), Seq: syn.Seq().Add(1), Ack: 7001,
		Flags: seg.ACK | seg.PSH, Window: 1000, Payload: []byte(payload)})
}

func TestTheHeldAcknowledgementGoesUpByItself(t *testing.T) {
	covers.IDs(t, "H-06", "H-10")
	b := newBench(t)
	syn, flow := b.open(t, false)
	b.leave(b.ours(syn, "hello"), flow)
	for _, raw := range b.await(t) {
		if s, err := seg.Parse(raw); err != nil || s.Flags() != seg.ACK || s.Ack() != syn.Seq().Add(6) || !s.Verify() {
			t.Errorf("delivered %v ack %d, %v", s.Flags(), s.Ack(), err)
		}
	}
}

func TestNothingIsDeliveredUnderTheSendersLock(t *testing.T) {
	covers.IDs(t, "H-08", "H-32")
	b := newBench(t)
	syn, flow := b.open(t, false)
	b.mu.Lock()
	b.by = nil
	b.mu.Unlock()
	b.leave(b.ours(syn, "jello"), flow) // other bytes: both sides are reset
	got := b.await(t)
	if s, err := seg.Parse(got[0]); err != nil || !s.Flags().Has(seg.RST) {
		t.Errorf("delivered %d packets, %v", len(got), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[0] == goroutine() {
		t.Error("delivered from inside WritePackets")
	}
}

func TestPortsUsedAgain(t *testing.T) {
	covers.IDs(t, "B-09")
	for _, v6 := range []bool{false, true} {
		b := newBench(t)
		syn, first := b.open(t, v6)
		again := syn.Clone()
		again.SetSeq(syn.Seq().Add(1000))
		t.Run("without Fast Open", func(t *testing.T) {
			b.leave(again, nil)
			if n := b.link.Stats().Openings; n != 0 || !first.Outcome().Done {
				t.Errorf("%d openings, the first is over: %t", n, first.Outcome().Done)
			}
		})
		t.Run("with Fast Open", func(t *testing.T) {
			b.sent()
			_, second := b.openingFlow(t, v6)
			b.sent()
			_, third := b.openingFlow(t, v6)
			if n := b.link.Stats().Openings; n != 1 || !second.Outcome().Done || third.Outcome().Done {
				t.Errorf("%d openings; over: the older %t, the newer %t", n, second.Outcome().Done, third.Outcome().Done)
			}
		})
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	covers.IDs(t, "P3", "P7")
	b := newBench(t)
	syn, flow := b.open(t, false)
	<-b.arrived // the SYN-ACK
	b.blocked = make(chan struct{})
	defer close(b.blocked)
	b.leave(b.ours(syn, "jello"), flow)
	<-b.arrived // its reset is with the dispatcher, and stays there
	b.sent()
	b.opening(t, false)
	raw := answer(syn, seg.ACK, "early").Bytes()
	damaged := bytes.Clone(raw)
	damaged[len(damaged)-1] ^= 1 // goes up as it is
	const sent = 3 * 4096
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range sent {
			b.inject(damaged)
		}
	}()
	<-done // whoever brings packets up is not kept, but for the one who delivers
	if n := b.link.Stats().QueueDrops; n < sent/2 || n > sent {
		t.Errorf("%d of %d packets dropped; some thousands may be kept", n, sent)
	}
}

func TestUnparsableSYN(t *testing.T) {
	b := newBench(t)
	f := b.link.Offer(fastopen.OfferOptions{Payload: []byte("hello")})
	s := seg.Make(seg.Fields{Src: netip.AddrPortFrom(ours4, 6000), Dst: netip.AddrPortFrom(theirs4, 80), Flags: seg.SYN})
	s.Bytes()[6] |= 0x20 // more fragments
	b.leave(s, f)
	if o := f.Outcome(); o.Reason != tfo.ReasonUnparsable || !o.Done || b.link.Stats().Openings != 0 {
		t.Errorf("outcome %+v", o)
	}
	if out := b.sent(); len(out) != 1 || !bytes.Equal(out[0], s.Bytes()) {
		t.Error("it did not leave as it was")
	}
}

func TestFragmentsPassUnchanged(t *testing.T) {
	covers.IDs(t, "H-30")
	b := newBench(t)
	syn := b.opening(t, false)
	whole := answer(syn, seg.SYN|seg.ACK, "0123456789abcdef").Bytes()
	for _, field := range []uint16{0x2000, 0x2001, 0x0001, 0x1fff} {
		raw := bytes.Clone(whole)
		raw[6], raw[7] = byte(field>>8), byte(field)
		ip := header.IPv4(raw)
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		if got := b.arrive(raw); len(got) != 1 || !bytes.Equal(got[0], raw) {
			t.Errorf("a fragment with field %#x was changed or kept", field)
		}
	}
	if n := len(b.sent()); n != 0 {
		t.Errorf("%d packets answer fragments", n)
	}
}

func TestUnknownOwnersPass(t *testing.T) {
	covers.IDs(t, "B-05", "P6")
	b := newBench(t)
	b.opening(t, false)
	other, err := fastopen.New(channel.New(1, 1500, ""), fastopen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.Offer(fastopen.OfferOptions{Payload: []byte("hello")})
	defer foreign.Release()
	s := seg.Make(seg.Fields{Src: netip.AddrPortFrom(ours4, 6000), Dst: netip.AddrPortFrom(theirs4, 80),
		Flags: seg.SYN, Window: 1000})
	for _, owner := range []tcpip.PacketOwner{nil, foreign} {
		b.leave(s, owner)
		if out := b.sent(); len(out) != 1 || !bytes.Equal(out[0], s.Bytes()) {
			t.Error("a packet that is none of ours was changed")
		}
	}
}

func TestNothingOnTheFastPath(t *testing.T) {
	b := newBench(t)
	s := seg.Make(seg.Fields{Src: netip.AddrPortFrom(ours4, 6000), Dst: netip.AddrPortFrom(theirs4, 80), Flags: seg.ACK})
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(s.Bytes())})
	defer pkt.DecRef()
	var list gstack.PacketBufferList
	list.PushBack(pkt)
	lower := testing.AllocsPerRun(1000, func() {
		_, _ = b.wire.WritePackets(list)
		b.wire.Drain()
	})
	link := testing.AllocsPerRun(1000, func() {
		_, _ = b.link.WritePackets(list)
		b.wire.Drain()
	})
	if link > lower {
		t.Errorf("a batch costs %v allocations, %v without the Link", link, lower)
	}
}

func TestNothingOnTheFastPathUp(t *testing.T) {
	link, err := fastopen.New(sinkhole{channel.New(1, 1500, "")}, fastopen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	link.Attach(nobody{})
	defer link.Wait()
	defer link.Close()
	s := seg.Make(seg.Fields{Src: netip.AddrPortFrom(theirs4, 80), Dst: netip.AddrPortFrom(ours4, 6000), Flags: seg.ACK})
	pkt := packetOf(s.Bytes())
	defer pkt.DecRef()
	if n := testing.AllocsPerRun(1000, func() { link.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt) }); n != 0 {
		t.Errorf("a packet costs %v allocations", n)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []fastopen.Config{{Mode: 9}, {Peers: -1}, {MaxSegment: -1}, {MaxSegment: 65536}} {
		if _, err := fastopen.New(channel.New(1, 1500, ""), cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	if _, err := fastopen.New(nil, fastopen.Config{}); err == nil {
		t.Error("no link is accepted")
	}
}

func TestReleaseAtAnyTime(t *testing.T) {
	b := newBench(t)
	f := b.link.Offer(fastopen.OfferOptions{Payload: []byte("hello")})
	f.Release()
	f.Release()
	if n := b.link.Stats().Openings; n != 0 {
		t.Errorf("%d openings", n)
	}
	b.link.Close()
	b.link.Close()
	if n, _ := b.link.WritePackets(gstack.PacketBufferList{}); n != 0 {
		t.Error("wrote after Close")
	}
}

func FuzzInbound(f *testing.F) {
	seed := newBench(f)
	for _, v6 := range []bool{false, true} {
		syn := seed.opening(f, v6)
		f.Add(answer(syn, seg.SYN|seg.ACK, "").Bytes())
		f.Add(answer(syn, seg.SYN|seg.ACK|seg.FIN, "data").Bytes())
		f.Add(answer(syn, seg.RST|seg.ACK, "").Bytes())
		f.Add(answer(syn, seg.ACK, "early").Bytes())
		f.Add(answer(syn, seg.SYN, "").Bytes())
		f.Add(icmp4(syn.Bytes(), 1300))
		if v6 {
			f.Add(icmp6(syn.Bytes(), 1300))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 || len(raw) > 65535 {
			return
		}
		for _, raw := range mended(raw) {
			toOpening(t, raw)
		}
	})
}

func toOpening(t *testing.T, raw []byte) {
	b := newBench(t)
	syn := b.opening(t, raw[0]>>4 == 6)
	got := b.arrive(raw)
	s, err := seg.Parse(raw)
	_, quotes := seg.ParseICMPError(raw)
	if err == nil && s.Verify() || quotes && seg.VerifyICMP(raw) {
		// Whole: it may be dealt with. But nothing may reach netstack in
		// SYN-SENT that it would answer with a reset and a burst of SYNs.
		for _, up := range got {
			if d, err := seg.Parse(up); err == nil && d.Flags().Has(seg.ACK) && !d.Flags().Has(seg.RST) &&
				d.Dst() == syn.Src() && d.Src() == syn.Dst() && d.Ack() != syn.Seq().Add(1) {
				t.Errorf("%v ack %d goes up", d.Flags(), d.Ack())
			}
		}
		return
	}
	if len(got) != 1 || !bytes.Equal(got[0], raw) {
		t.Errorf("a malformed packet was changed or kept: %d delivered", len(got))
	}
	if n := len(b.sent()); n != 0 {
		t.Errorf("%d packets answer a malformed one", n)
	}
}
