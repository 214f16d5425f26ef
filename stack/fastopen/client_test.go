package fastopen_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func text(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }

// both runs a test for either family.
func both(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) {
			f(t, newHost(t, v6, 1500, fastopen.Config{}))
		})
	}
}

// opened connects with a known cookie; the peer takes a bytes of the payload and
// the round trip lasts 20 ms.
func opened(h *host, payload string, a int, options []byte) (*conn, seg.Segment) {
	h.t.Helper()
	h.teach()
	c := h.dial(payload, fastopen.ModeDefault)
	syn := h.next()
	if o, ok := tfo.ParseOption(syn); !ok || string(o.Cookie.Bytes()) != eight {
		h.t.Fatal("the SYN does not carry the cookie")
	}
	h.clock.Advance(20 * time.Millisecond)
	h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 1+a, options, ""))
	c.established()
	return c, syn
}

func TestAccepted(t *testing.T) {
	covers.IDs(t, "C-04", "C-19", "H-01", "H-02", "H-06", "H-10", "H-32")
	both(t, func(t *testing.T, h *host) {
		c, syn := opened(h, text(1000), 1000, nil)
		if string(syn.Payload()) != text(1000) {
			t.Fatalf("%d bytes in the SYN", len(syn.Payload()))
		}
		if s := h.handshakeACK(); s.Flags() != seg.ACK || h.rel(s) != 1001 || s.Ack() != irs.Add(1) {
			t.Errorf("the first ACK has number %d", h.rel(s))
		}
		c.write(text(1000))
		h.settle()
		for _, s := range h.left() { // it may carry a larger window, and nothing else
			if s.Flags() != seg.ACK || len(s.Payload()) != 0 || h.rel(s) != 1001 {
				t.Errorf("%v with number %d and %d bytes leaves for bytes that the peer has", s.Flags(), h.rel(s), len(s.Payload()))
			}
		}
		h.clock.Advance(20 * time.Millisecond)
		h.settle()
		// Netstack believes what it would have measured itself.
		if rtt := info(t, c).RTT; rtt < 15*time.Millisecond || rtt > 25*time.Millisecond {
			t.Errorf("netstack's estimate of the round trip is %v, want 20 ms", rtt)
		}
		if o := c.flow.Outcome(); o.BytesAccepted != 1000 || o.Reason != tfo.ReasonNone || o.HandshakeRTT != 20*time.Millisecond {
			t.Errorf("outcome %+v", o)
		}
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1, 1001, seg.TimestampOption(90, 1), "answer"))
		if got := c.read(6); got != "answer" {
			t.Errorf("read %q", got)
		}
		h.clock.Advance(3 * time.Second)
		if n := h.link.Stats().Openings; n != 0 {
			t.Errorf("%d openings are watched after it is over", n)
		}
		c.write("more")
		for _, s := range h.left() {
			if h.rel(s) < 1001 {
				t.Errorf("number %d leaves", h.rel(s))
			}
		}
	})
}

// TestSettledSegmentsGoStraightUp: a connection that is watched for repeats pays
// nothing for what comes to it.
func TestSettledSegmentsGoStraightUp(t *testing.T) {
	covers.IDs(t, "H-06")
	both(t, func(t *testing.T, h *host) {
		c, syn := opened(h, "hello", 5, nil)
		answer := h.reply(syn, seg.ACK, 1, 6, nil, "answer")
		if !h.link.Looks(packetOf(answer.Bytes())) {
			t.Error("nobody looks at a segment of a connection whose bytes netstack has yet to send")
		}
		c.write("hello")
		h.settle()
		h.clock.Advance(20 * time.Millisecond)
		h.settle()
		if h.link.Stats().Openings != 1 {
			t.Fatal("it is not watched for repeats")
		}
		if h.link.Looks(packetOf(answer.Bytes())) {
			t.Error("a segment is looked at although the connection has settled")
		}
		for ahead, want := range map[int]bool{-1: false, 0: true, tfo.MaxAhead - 1: true, tfo.MaxAhead: false} {
			if got := c.flow.Untouched(uint32(h.iss) + 6 + uint32(ahead)); got != want {
				t.Errorf("%d bytes ahead: left alone is %v, want %v", ahead, got, want)
			}
		}
		h.left()
	})
}

// TestEndedSinceLookedUp: a packet whose flow ends just before it is looked at is
// delivered as it is.
func TestEndedSinceLookedUp(t *testing.T) {
	h := newHost(t, false, 1500, fastopen.Config{})
	c, syn := opened(h, "hello", 5, nil)
	h.handshakeACK()
	c.flow.Release()
	c.flow.ComesUp(header.IPv4ProtocolNumber, packetOf(h.reply(syn, seg.ACK|seg.PSH, 1, 1, nil, "answer").Bytes()))
	h.link.Flush()
	if got := c.read(6); got != "answer" {
		t.Errorf("read %q", got)
	}
}

// TestNoOldAcknowledgementFollowsANewerOne: what has settled has nothing left that
// waits to be sent.
func TestNoOldAcknowledgementFollowsANewerOne(t *testing.T) {
	covers.IDs(t, "C-19")
	both(t, func(t *testing.T, h *host) {
		c, syn := opened(h, "hello", 5, nil)
		h.settle() // the ACK of the SYN-ACK waits
		c.write("hello")
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1, 6, nil, text(1400)))
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1401, 6, nil, text(1400)))
		c.read(2800)
		h.settle()
		h.clock.Advance(time.Second)
		h.settle()
		var acks []int
		for _, s := range h.left() {
			acks = append(acks, int(s.Ack()-irs))
		}
		if len(acks) == 0 || acks[len(acks)-1] != 2801 || !slices.IsSorted(acks) {
			t.Errorf("the acknowledgements that leave are %v; want ascending ones, to 2801", acks)
		}
	})
}

func info(t *testing.T, c *conn) tcpip.TCPInfoOption {
	t.Helper()
	var o tcpip.TCPInfoOption
	must(t, c.ep.GetSockOpt(&o))
	return o
}

func TestServerSpeaksBeforeTheWrite(t *testing.T) {
	covers.IDs(t, "H-05", "H-07", "C-50")
	both(t, func(t *testing.T, h *host) {
		// Without timestamps a wrong ACK would give a wrong round trip.
		plain := []byte{seg.OptMSS, 4, 5, 180, seg.OptNOP, seg.OptWScale, 3, 7}
		h.clock.Advance(time.Hour)
		c, syn := opened(h, "hello", 5, plain)
		h.handshakeACK()
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1, 6, []byte{}, "answer"))
		if got := c.read(6); got != "answer" {
			t.Errorf("read %q", got)
		}
		if rtt := info(t, c).RTT; rtt > 100*time.Millisecond {
			t.Errorf("netstack's estimate of the round trip is %v, want 20 ms", rtt)
		}
		c.write("hello")
		h.clock.Advance(20 * time.Millisecond)
		h.settle()
		if rto := info(t, c).RTO; rto > time.Second {
			t.Errorf("netstack's retransmission timer is at %v", rto)
		}
	})
}

func TestDataOvertakesTheAnswer(t *testing.T) {
	covers.IDs(t, "C-50", "H-12")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		h.iss = syn.Seq()
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1, 6, nil, "early "))
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, ""))
		h.arrive(h.reply(syn, seg.ACK|seg.PSH, 7, 6, nil, "bird"))
		if got := c.read(10); got != "early bird" {
			t.Errorf("read %q", got)
		}
		for _, s := range h.left() {
			if s.Flags().Has(seg.RST) {
				t.Error("a reset leaves")
			}
		}
	})
}

func TestTooMuchOvertakesTheAnswer(t *testing.T) {
	covers.IDs(t, "C-29", "C-50", "H-04", "H-12", "P5")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		h.iss = syn.Seq()
		for i := range 15 {
			h.arrive(h.reply(syn, seg.ACK|seg.PSH, 1+4*i, 6, nil, "data"))
		}
		h.settle()
		h.clock.Advance(900 * time.Millisecond)
		h.settle()
		for _, s := range h.left() {
			t.Errorf("%v leaves before the answer", s.Flags())
		}
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, ""))
		c.established()
		if got := c.read(40); got != strings.Repeat("data", 10) {
			t.Errorf("read %q", got)
		}
	})
}

func TestDataAndFINOnTheAnswer(t *testing.T) {
	covers.IDs(t, "C-48", "C-49", "H-11")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		h.arrive(h.reply(syn, seg.SYN|seg.ACK|seg.FIN, 0, 6, nil, text(1400)))
		if got := c.read(1400); got != text(1400) {
			t.Error("read other bytes")
		}
		c.until("the end is seen", func() bool {
			_, err := c.ep.Read(new(bytes.Buffer), tcpip.ReadOptions{})
			_, closed := err.(*tcpip.ErrClosedForReceive)
			return closed
		})
		h.settle()
		var ack seqnum.Value
		for _, s := range h.left() {
			ack = s.Ack()
		}
		if ack != irs.Add(1402) {
			t.Errorf("acknowledged %d, want data and FIN", ack-irs)
		}
	})
}

func TestRejectedDataFollowsAtOnce(t *testing.T) {
	covers.IDs(t, "C-21", "C-22")
	both(t, func(t *testing.T, h *host) {
		c, _ := opened(h, text(6000), 0, nil)
		c.write(text(6000))
		h.settle() // no time passes
		all := h.left()
		if len(all) < 2 || h.rel(all[1]) != 1 {
			t.Fatalf("%d segments leave", len(all))
		}
		var b strings.Builder
		for _, s := range all {
			b.Write(s.Payload())
		}
		if b.String() != text(6000) {
			t.Errorf("%d bytes leave at once in %d segments, want all 6000", b.Len(), len(all))
		}
		if cwnd := info(t, c).SndCwnd; cwnd < 10 {
			t.Errorf("congestion window %d, want the initial 10", cwnd)
		}
	})
}

func TestResendIsCutToTheNewMSS(t *testing.T) {
	covers.IDs(t, "C-23")
	h := newHost(t, false, 1500, fastopen.Config{})
	small := []byte{seg.OptMSS, 4, 1040 >> 8, 1040 & 0xff}
	for _, a := range []int{0, 100} {
		c, syn := opened(h, text(1400), a, small)
		if len(syn.Payload()) <= 1040 {
			t.Fatalf("only %d bytes in the SYN", len(syn.Payload()))
		}
		c.write(text(1400))
		h.settle()
		var b strings.Builder
		for _, s := range h.left() {
			if len(s.Payload()) > 1040 {
				t.Errorf("a segment of %d bytes", len(s.Payload()))
			}
			b.Write(s.Payload())
		}
		if b.String() != text(1400)[a:] {
			t.Errorf("resent %d bytes, want %d", b.Len(), 1400-a)
		}
		c.close()
		h.settle()
		h.left()
		h.link.Forget()
	}
}

func icmp(h *host, s seg.Segment, mtu int) []byte {
	b := s.Bytes()
	if s.IPv6() {
		return icmp6(b, mtu)
	}
	return icmp4(b, mtu)
}

func TestTooBigOnTheWay(t *testing.T) {
	covers.IDs(t, "C-44", "C-45", "C-46", "H-14", "H-15")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial(text(1380), fastopen.ModeDefault)
		syn := h.next()
		h.arriveRaw(icmp(h, syn, 1300))
		again := h.next() // no time passes
		want := 1300 - again.IPHeaderLen() - 20
		if mss, _ := again.MSS(); again.Flags() != seg.SYN || again.Seq() != syn.Seq() || len(again.Payload()) != 0 || int(mss) != want {
			t.Errorf("%v with %d bytes and MSS %d, want a plain SYN with %d", again.Flags(), len(again.Payload()), mss, want)
		}
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 1, nil, ""))
		c.established()
		c.write(text(1380))
		h.settle()
		total := 0
		for _, s := range h.left() {
			total += len(s.Payload())
			if len(s.Bytes()) > 1300 {
				t.Errorf("a packet of %d bytes on a path of 1300", len(s.Bytes()))
			}
		}
		if total != 1380 {
			t.Errorf("resent %d bytes", total)
		}
		if n := h.link.Stats().TCPFastOpenActiveFail; n != 1 {
			t.Errorf("TCPFastOpenActiveFail is %d", n)
		}
	})
}

func TestForgedICMPOnTheWay(t *testing.T) {
	covers.IDs(t, "C-47", "H-15")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		forged := syn.Clone()
		forged.SetSeq(syn.Seq().Add(99))
		h.arriveRaw(icmp(h, forged, 1300))
		h.settle()
		if n := len(h.left()); n != 0 {
			t.Errorf("%d packets answer a forged message", n)
		}
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, ""))
		c.established()
	})
}

func TestBogusAnswerStartsNoBurst(t *testing.T) {
	covers.IDs(t, "C-27", "C-28", "C-29", "H-04")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		for _, ack := range []int{0, 7, 99999} {
			h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, ack, nil, ""))
			if s := h.next(); s.Flags() != seg.RST || s.Seq() != h.iss.Add(seqnum.Size(ack)) {
				t.Errorf("%v with number %d, want RST with %d", s.Flags(), h.rel(s), ack)
			}
		}
		h.clock.Advance(990 * time.Millisecond)
		h.settle()
		if n := len(h.left()); n != 0 {
			t.Errorf("%d packets leave before the SYN timer", n)
		}
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, ""))
		c.established()
	})
}

func TestRepeatedSYNIsPlain(t *testing.T) {
	covers.IDs(t, "C-34", "C-37", "H-13")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		first := h.next()
		h.clock.Advance(time.Second)
		second := h.next()
		if _, ok := tfo.ParseOption(second); ok || second.Seq() != first.Seq() || len(second.Payload()) != 0 {
			t.Error("the repeated SYN is not plain")
		}
		h.arrive(h.reply(second, seg.SYN|seg.ACK, 0, 1, nil, ""))
		c.established()
		c.write("hello")
		h.settle()
		all := h.left()
		if len(all) != 2 || string(all[1].Payload()) != "hello" {
			t.Errorf("%d segments", len(all))
		}
		// And the next connection does not try.
		c.close()
		h.settle()
		h.left()
		h.dial("hello", fastopen.ModeDefault)
		if _, ok := tfo.ParseOption(h.next()); ok {
			t.Error("Fast Open again on a path that lost it")
		}
	})
}

func TestRefusedTwice(t *testing.T) {
	covers.IDs(t, "C-31", "C-32", "H-03")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		h.iss = syn.Seq()
		h.arrive(h.reply(syn, seg.RST|seg.ACK, 0, 6, []byte{}, ""))
		plain := h.next()
		if plain.Flags() != seg.SYN || len(plain.Payload()) != 0 {
			t.Error("no plain SYN after the first refusal")
		}
		h.arrive(h.reply(syn, seg.RST|seg.ACK, 0, 1, []byte{}, ""))
		c.until("refused", func() bool { return tcp.EndpointState(c.ep.State()) == tcp.StateError })
		if _, refused := c.ep.LastError().(*tcpip.ErrConnectionRefused); !refused {
			t.Error("the error is another")
		}
	})
}

func TestDamagedAnswer(t *testing.T) {
	covers.IDs(t, "H-29")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		s := h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, "")
		good := s.Clone()
		s.Bytes()[len(s.Bytes())-3] ^= 0x40
		h.arrive(s)
		h.settle()
		if n := len(h.left()); n != 0 {
			t.Errorf("%d packets answer a damaged one", n)
		}
		if o := c.flow.Outcome(); o.Answered || o.BytesAccepted != 0 {
			t.Errorf("a damaged answer was believed: %+v", o)
		}
		if n := h.stack.Stats().TCP.ChecksumErrors.Value(); n != 1 {
			t.Errorf("netstack counted %d checksum errors, want 1", n)
		}
		h.arrive(good)
		c.established()
	})
}

func TestOffChangesNothing(t *testing.T) {
	covers.IDs(t, "B-05", "C-03", "P6")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		h.link.SetMode(fastopen.ModeOff)
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		if _, ok := tfo.ParseOption(syn); ok || len(syn.Payload()) != 0 {
			t.Error("the SYN is decorated")
		}
		h.link.SetMode(fastopen.ModeDefault)
		if o := c.flow.Outcome(); o.Wanted || o.Reason != tfo.ReasonOff {
			t.Errorf("outcome %+v", o)
		}
		c = h.dial("hello", fastopen.ModeOff)
		if s := h.next(); len(s.Payload()) != 0 {
			t.Error("the connection's own mode does not count")
		}
		if o := c.flow.Outcome(); o.Wanted || !o.Done || o.Reason != tfo.ReasonOff || h.link.Stats().Reasons[tfo.ReasonOff] != 2 {
			t.Errorf("outcome %+v, %v", o, h.link.Stats().Reasons)
		}
		h.dial("hello", fastopen.ModeCookieless)
		if s := h.next(); string(s.Payload()) != "hello" || len(s.OptionBytes()) != 20 {
			t.Error("cookieless: the SYN has no data, or an option")
		}
	})
}

func TestSamePortsAgain(t *testing.T) {
	covers.IDs(t, "B-09")
	both(t, func(t *testing.T, h *host) {
		h.teach()
		first := h.dialFrom(40000, "hello", fastopen.ModeDefault)
		syn := h.next()
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 6, nil, ""))
		first.established()
		first.ep.Abort() // the flow is not released: it still waits for the write
		first.ep.Close()
		for s := h.next(); !s.Flags().Has(seg.RST); s = h.next() {
		}
		second := h.dialFrom(40000, "hello", fastopen.ModeOff)
		syn = h.next()
		// An ACK that the first flow would have lowered.
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 1, nil, ""))
		second.established()
		second.write("other bytes than hello")
		h.settle()
		for _, s := range h.left() {
			if n := len(s.Payload()); n > 0 && string(s.Payload()) != "other bytes than hello" {
				t.Errorf("%d bytes leave", n)
			}
		}
	})
}

func TestOtherBytesThanOffered(t *testing.T) {
	covers.IDs(t, "H-08")
	both(t, func(t *testing.T, h *host) {
		c, _ := opened(h, "hello", 5, nil)
		h.handshakeACK()
		c.write("jello")
		if s := h.next(); !s.Flags().Has(seg.RST) || h.rel(s) != 6 {
			t.Errorf("%v leaves, want a reset that the peer believes", s.Flags())
		}
		c.until("reset", func() bool { return tcp.EndpointState(c.ep.State()) == tcp.StateError })
		if o := c.flow.Outcome(); o.Reason != tfo.ReasonMismatch {
			t.Errorf("reason %q", o.Reason)
		}
	})
}

func TestAbortBeforeTheWrite(t *testing.T) {
	covers.IDs(t, "C-58", "H-09")
	both(t, func(t *testing.T, h *host) {
		c, _ := opened(h, "hello", 5, nil)
		h.handshakeACK()
		c.ep.Abort()
		if s := h.next(); !s.Flags().Has(seg.RST) || h.rel(s) != 6 {
			t.Errorf("%v with number %d, want RST with 6", s.Flags(), h.rel(s))
		}
	})
}

func TestCloseAfterSuccess(t *testing.T) {
	covers.IDs(t, "C-57")
	both(t, func(t *testing.T, h *host) {
		c, _ := opened(h, "hello", 5, nil)
		h.handshakeACK()
		c.write("hello")
		must(t, c.ep.Shutdown(tcpip.ShutdownWrite))
		s := h.next()
		for s.Flags() == seg.ACK {
			s = h.next()
		}
		if !s.Flags().Has(seg.FIN) || h.rel(s) != 6 || len(s.Payload()) != 0 {
			t.Errorf("%v with number %d, want FIN with 6", s.Flags(), h.rel(s))
		}
	})
}
