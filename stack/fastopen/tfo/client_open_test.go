package tfo

import (
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// accepted is a rig whose peer has all of the payload, after the stack's first ACK.
func accepted(t *testing.T, payload string) *rig {
	t.Helper()
	r := sent(t, payload)
	r.c.FromWire(r.now, r.synack(1+len(payload)))
	r.acknowledges(brief(r.bare(1+len(payload), 1), false))
	return r
}

func TestHeldAcknowledgement(t *testing.T) {
	covers.IDs(t, "H-10", "H-34", "H-06")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.wait(19*time.Millisecond, "")
	out := r.wait(time.Millisecond, "A 1 ack 6") // the handshake took 20 ms
	ack := out.ToStack[0]
	if val, ecr, ok := ack.Timestamps(); !ok || val != peerTS || ecr != stackTS+1 {
		t.Errorf("timestamps %d, %d, %v; want the peer's newest and the swallowed segment's", val, ecr, ok)
	}
	r.state(Settled)
	r.wait(settleTime, "")
	r.state(Done)
}

// TestWindowUpdates: a window that grew with the SYN's data, which stays here, is
// told at once only to a peer that may wait for it.
func TestWindowUpdates(t *testing.T) {
	covers.IDs(t, "H-06", "H-07")
	for _, c := range []struct {
		known, now uint16 // as they stand in the header; the stack's shift is 7
		wire       string
	}{
		{0, 200, "A 6 ack 1"},
		{roomyWindow>>7 - 1, 8000, "A 6 ack 1"},
		{roomyWindow >> 7, 8000, ""},
		{512, 512, ""},
		{512, 511, "A 6 ack 1"},
	} {
		r := sent(t, "hello")
		r.fromWire(r.synack(6), "", "SA 0 ack 1")
		bare := r.bare(1, 1)
		bare.SetWindow(c.known)
		r.fromStack(bare, "", "")
		data := r.data(1, "hello")
		data.SetWindow(c.now)
		r.fromStack(data, c.wire, "")
	}
}

// TestNothingIsOwedAfterAReset: an ACK that waits does not outlive its connection.
func TestNothingIsOwedAfterAReset(t *testing.T) {
	r := sent(t, "hello")
	r.c.FromWire(r.now, r.synack(6))
	r.fromStack(r.bare(1, 1), "", "")
	r.fromStack(r.down(seg.RST|seg.ACK, 1, 1, ""), "RA 6 ack 1", "")
	if out := r.c.Expire(r.now + time.Second); len(out.ToWire) != 0 {
		t.Errorf("%q leaves", r.briefs(false, out.ToWire))
	}
}

// TestHoldAtTheEnd: what is held when an opening's life ends is waited for, once.
func TestHoldAtTheEnd(t *testing.T) {
	r := accepted(t, "hello")
	r.now += openLife - time.Millisecond - ackDelay
	r.fromStack(r.data(1, "hello"), "", "")
	if due, _ := r.c.Deadline(); due != r.now+20*time.Millisecond {
		t.Fatalf("due in %v, want when the acknowledgement is: in 20ms", due-r.now)
	}
	r.wait(20*time.Millisecond, "A 1 ack 6")
	r.state(Settled)
}

// TestFarAhead: who has sent more than any window holds has been told of the first
// bytes. Sequence numbers that come round are no repeats.
func TestFarAhead(t *testing.T) {
	covers.IDs(t, "H-06")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.wait(20*time.Millisecond, "A 1 ack 6")
	r.state(Settled)
	r.fromStack(r.data(5+1<<30, "x"), "=", "")
	r.state(Settled)
	r.fromStack(r.data(6+1<<30, "x"), "=", "")
	r.state(Done)
	r.fromStack(r.data(6+1<<31, "x"), "=", "")
}

func TestHoldOnAShortPath(t *testing.T) {
	covers.IDs(t, "H-10")
	r := newRig(t, known(1460), "hello")
	r.c.FromStack(r.now, r.syn())
	r.c.FromWire(r.now, r.synack(6)) // no time at all
	r.acknowledges("A 6 ack 1")
	r.fromStack(r.data(1, "hello"), "", "")
	r.wait(minHoldRTT-1, "")
	r.wait(1, "A 1 ack 6")
}

func TestRealAcknowledgementComesFirst(t *testing.T) {
	covers.IDs(t, "H-10")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.fromWire(r.up(seg.ACK, 1, 6, "answer"), "", "=")
	r.state(Settled)
	r.wait(time.Second, "") // the held one is not needed
}

func TestHoldAfterARepeatedSYN(t *testing.T) {
	covers.IDs(t, "H-10")
	r := sent(t, "hello")
	r.now = 3 * time.Second
	r.c.FromStack(r.now, r.syn())
	r.c.FromWire(r.now, r.synack(6))
	r.acknowledges("A 6 ack 1")
	r.fromStack(r.data(1, "hello"), "", "")
	r.wait(maxHoldRTT, "A 1 ack 6")
}

func TestRepeatOfOldBytes(t *testing.T) {
	covers.IDs(t, "H-06", "H-10")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.fromStack(r.data(1, "hello"), "", "") // before the acknowledgement
	r.wait(20*time.Millisecond, "A 1 ack 6")
	r.fromStack(r.data(1, "hello"), "", "") // after it: it must have got lost
	r.wait(0, "A 1 ack 6")
	r.wait(settleTime, "")
	r.state(Done)
}

func TestMadeSegmentsAreOfTheirTime(t *testing.T) {
	covers.IDs(t, "H-34", "H-07")
	r := accepted(t, "hello")
	stamp := func(ack int, val uint32, window uint16) seg.Segment {
		s := r.up(seg.ACK, 1, ack, "").Rebuild(seg.TimestampOption(val, stackTS), nil)
		s.SetWindow(window)
		return s
	}
	r.c.FromWire(r.now, stamp(6, peerTS+50, 400))
	r.c.FromWire(r.now, stamp(6, peerTS+40, 400)) // overtaken: older
	r.c.FromWire(r.now, stamp(1, peerTS+45, 9))   // an old acknowledgement with its old window
	r.fromStack(r.data(1, "hello"), "", "")
	out := r.wait(20*time.Millisecond, "A 1 ack 6")
	if val, _, _ := out.ToStack[0].Timestamps(); val != peerTS+50 {
		t.Errorf("TSval %d, want the peer's newest, %d", val, peerTS+50)
	}
	if w := out.ToStack[0].Window(); w != 400 {
		t.Errorf("window %d, want that of the newest acknowledgement", w)
	}
}

func TestServerAnswersFirst(t *testing.T) {
	covers.IDs(t, "H-05", "H-07", "H-16")
	r := accepted(t, "hello")
	out := r.fromWire(r.up(seg.ACK, 1, 6, "answer"), "", "A 1:6 ack 1")
	// 500 units of 128 bytes, counted from 5 bytes earlier, rounded up.
	if w := out.ToStack[0].Window(); w != 501 {
		t.Errorf("window %d, want 501", w)
	}
	r.fromStack(r.bare(1, 7), "A 6 ack 7", "")
	r.fromStack(r.down(seg.ACK, 1, 7, "hello"), "", "")
	r.wait(20*time.Millisecond, "A 7 ack 6")
}

func TestWrittenInPieces(t *testing.T) {
	covers.IDs(t, "H-05", "H-06")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "he"), "", "")
	r.fromWire(r.up(seg.ACK, 1, 6, ""), "", "A 1 ack 3") // no further than was sent
	r.fromStack(r.data(3, "llo"), "", "")
	r.wait(20*time.Millisecond, "A 1 ack 6")
}

func TestWindowZero(t *testing.T) {
	covers.IDs(t, "H-07")
	r := sent(t, "hello")
	s := r.synack(6)
	s.SetWindow(0)
	out := r.fromWire(s, "", "SA 0 ack 1")
	if w := out.ToStack[0].Window(); w != 5 {
		t.Errorf("window %d: the stack cannot send the 5 bytes that the peer has", w)
	}
	s = r.synack(6)
	r = sent(t, "hello")
	s.SetWindow(65533)
	if out := r.fromWire(s, "", "SA 0 ack 1"); out.ToStack[0].Window() != 65535 {
		t.Errorf("window %d, want 65535", out.ToStack[0].Window())
	}
	r = accepted(t, "hello")
	s = r.up(seg.ACK, 1, 6, "x")
	s.SetWindow(0)
	if out := r.fromWire(s, "", "A 1:1 ack 1"); out.ToStack[0].Window() != 1 {
		t.Errorf("window %d, want 1 unit", out.ToStack[0].Window())
	}
}

func TestProbes(t *testing.T) {
	covers.IDs(t, "H-02")
	r := accepted(t, "hello")
	r.fromStack(r.bare(0, 1), "A 5 ack 1", "")                  // keep-alive: SND.NXT-1
	r.fromStack(r.down(seg.ACK, 0, 1, "\x00"), "A 5 ack 1", "") // zero-window probe
	r.fromStack(r.bare(1, 1), "A 6 ack 1", "")                  // window update
}

func TestNewsOnASwallowedSegment(t *testing.T) {
	covers.IDs(t, "H-06")
	r := accepted(t, "hello")
	r.fromStack(r.down(seg.ACK|seg.PSH, 1, 7, "hello"), "A 6 ack 7", "")
}

func TestCloseAfterSuccess(t *testing.T) {
	covers.IDs(t, "C-57", "H-09")
	r := accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.fromStack(r.down(seg.FIN|seg.ACK, 6, 1, ""), "=", "") // FIN seq=ISS+1+n
	r.wait(20*time.Millisecond, "A 1 ack 6")

	r = accepted(t, "hello") // data and FIN in one segment
	r.fromStack(r.down(seg.FIN|seg.ACK|seg.PSH, 1, 1, "hello"), "FA 6 ack 1", "")
	r.wait(20*time.Millisecond, "A 1 ack 6")
}

func TestAbortBeforeTheWrite(t *testing.T) {
	covers.IDs(t, "C-58", "H-09")
	r := accepted(t, "hello")
	r.fromStack(r.down(seg.RST|seg.ACK, 1, 1, ""), "RA 6 ack 1", "")
	r.state(Done)
	r = accepted(t, "hello")
	r.fromStack(r.data(1, "hello"), "", "")
	r.fromStack(r.down(seg.RST, 6, 0, ""), "=", "")
}

func TestNothingOld(t *testing.T) {
	covers.IDs(t, "C-59", "B-01", "H-02")
	// Whatever empty segment the stack sends after the answer, its number is not
	// below what the peer expects; a keep-alive probe alone is one below.
	for seq := range 7 {
		for _, f := range []seg.Flags{seg.ACK, seg.ACK | seg.PSH, seg.RST | seg.ACK} {
			r := accepted(t, "hello")
			out := r.c.FromStack(r.now, r.down(f, seq, 1, ""))
			least := iss.Add(6)
			if seq == 0 && !f.Has(seg.RST) {
				least = iss.Add(5)
			}
			for _, s := range out.ToWire {
				if s.Seq().LessThan(least) {
					t.Errorf("%v left with number %d", f, s.Seq()-iss)
				}
			}
			if out.Pass && seq < 6 {
				t.Errorf("%v with number %d passed", f, seq)
			}
		}
	}
}

func TestMismatch(t *testing.T) {
	covers.IDs(t, "H-08", "H-09", "P2")
	for _, tt := range []struct {
		name string
		s    func(r *rig) seg.Segment
	}{
		{"other bytes", func(r *rig) seg.Segment { return r.data(1, "jello") }},
		{"other bytes behind the first", func(r *rig) seg.Segment { return r.data(1, "hellx") }},
		{"FIN inside the bytes", func(r *rig) seg.Segment { return r.down(seg.FIN|seg.ACK, 1, 1, "hel") }},
		{"FIN without the bytes", func(r *rig) seg.Segment { return r.down(seg.FIN|seg.ACK, 1, 1, "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := accepted(t, "hello")
			out := r.c.FromStack(r.now, tt.s(r))
			if len(out.ToWire) != 1 || len(out.ToStack) != 1 || out.Pass {
				t.Fatalf("out %+v, want a reset each way", out)
			}
			if got := brief(out.ToWire[0], false); got != "RA 6 ack 1" {
				t.Errorf("to the wire %q", got)
			}
			if got := out.ToStack[0]; !got.Flags().Has(seg.RST) || got.Seq() != irs.Add(1) {
				t.Errorf("to the stack %q; a reset must have RCV.NXT", brief(got, true))
			}
			r.outcome(5, 5, ReasonMismatch)
			r.state(Done)
		})
	}
}

func TestResetByThePeer(t *testing.T) {
	r := accepted(t, "hello")
	r.fromWire(r.up(seg.RST|seg.ACK, 1, 6, ""), "", "=") // the stack judges by its number
	r.fromWire(r.up(seg.RST, 1, 0, ""), "", "=")
}

func TestRepeatedSYNACK(t *testing.T) {
	covers.IDs(t, "H-01")
	r := accepted(t, "hello")
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	r.fromStack(r.bare(1, 1), "A 6 ack 1", "") // the stack's answer to it
	r.fromStack(r.data(1, "hello"), "", "")
	r.fromWire(r.synack(6), "", "=")
}

func TestAckOfWhatNobodySent(t *testing.T) {
	r := accepted(t, "hello")
	r.fromWire(r.up(seg.ACK, 1, 5000, ""), "", "=") // the stack ignores it
	r.fromStack(r.data(1, "hello"), "", "")
	r.state(Open)
}

func TestNobodyWrites(t *testing.T) {
	r := accepted(t, "hello")
	r.wait(openLife-time.Second, "")
	r.state(Open)
	r.wait(2*time.Second, "")
	r.state(Done)
}

func TestWithoutTimestamps(t *testing.T) {
	covers.IDs(t, "H-10")
	r := newRig(t, known(1460), "hello")
	r.synOptions = []byte{seg.OptMSS, 4, 5, 180}
	r.answerOptions = r.synOptions
	r.c.FromStack(0, r.syn())
	r.now = 20 * time.Millisecond
	out := r.fromWire(r.up(seg.SYN|seg.ACK, 0, 6, "now"), "", "SA 0 ack 1, A 1:3 ack 1")
	if n := len(out.ToStack[1].OptionBytes()); n != 0 {
		t.Errorf("%d bytes of options that were not negotiated", n)
	}
	if w := out.ToStack[1].Window(); w != 505 {
		t.Errorf("window %d, want 505: no scale was agreed on", w)
	}
	r.c.FromStack(r.now, r.data(1, "hello"))
	if out := r.wait(20*time.Millisecond, "A 1 ack 6"); len(out.ToStack[0].OptionBytes()) != 0 {
		t.Error("timestamps that were not negotiated")
	}
}

func TestAnotherAttemptOnTheSameFlow(t *testing.T) {
	covers.IDs(t, "B-09")
	r := sent(t, "hello")
	other := r.syn()
	other.SetSeq(iss.Add(100000))
	r.fromStack(other, "=", "")
	r.state(Done)
	r = accepted(t, "hello")
	r.fromStack(r.syn(), "=", "")
	r.state(Done)
}

func TestHeldAcknowledgementGrows(t *testing.T) {
	covers.IDs(t, "H-06", "H-07", "H-10")
	r := accepted(t, "hello")
	s := r.up(seg.ACK, 1, 6, "")
	r.c.FromWire(r.now, s) // the peer's newest window: 500 units from 6 on
	r.fromStack(r.data(1, "he"), "", "")
	r.fromStack(r.data(3, "l"), "", "")
	out := r.wait(20*time.Millisecond, "A 1 ack 4")
	// 500 units of 128 bytes, and the two bytes that lie between.
	if w := out.ToStack[0].Window(); w != 501 {
		t.Errorf("window %d, want 501", w)
	}
	r.state(Open)
	r.fromStack(r.data(4, "lo"), "", "")
	out = r.wait(20*time.Millisecond, "A 1 ack 6")
	if w := out.ToStack[0].Window(); w != 500 {
		t.Errorf("window %d, want 500", w)
	}
}

func TestAcknowledgementsThatTheStackDoesNotSee(t *testing.T) {
	covers.IDs(t, "H-06", "H-10", "P2")
	for _, tt := range []struct {
		name string
		s    func(r *rig) seg.Segment
	}{
		{"on a repeated SYN-ACK", func(r *rig) seg.Segment { return r.synack(6) }},
		{"on a repeated SYN-ACK with data", func(r *rig) seg.Segment { return r.up(seg.SYN|seg.ACK, 0, 6, text(100)) }},
		{"on old data", func(r *rig) seg.Segment { return r.up(seg.ACK, 1, 6, "answer") }},
		{"on an old empty segment", func(r *rig) seg.Segment { return r.up(seg.ACK, 1, 6, "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := accepted(t, "hello")
			r.c.FromWire(r.now, r.up(seg.ACK, 1, 6, "answer"))
			r.c.FromStack(r.now, r.bare(1, 7)) // the stack has the answer
			r.fromStack(r.down(seg.ACK, 1, 7, "hello"), "", "")
			r.fromWire(tt.s(r), "", "=")
			r.state(Open)
			r.wait(20*time.Millisecond, "A 7 ack 6") // so it still has to be told
		})
	}
}
