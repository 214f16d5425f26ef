package tfo

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

func TestDataIsTaken(t *testing.T) {
	covers.IDs(t, "S-06", "H-17")
	for _, v6 := range []bool{false, true} {
		h := newHost(t, Policy{})
		if v6 {
			h.useV6()
		}
		h.decide(h.syn(h.cookie(), text(10)), AnswerAccept)
		h.pending(1)
		out := h.stack(h.synack(), "", "A 1:10 ack 1")
		made := out.ToStack[0]
		if string(made.Payload()) != text(10) || made.Src() != h.client || made.Dst() != h.local {
			t.Error("other bytes, or other addresses")
		}
		out = h.stack(h.ours(seg.ACK, 1, 11, ""), "SA 0 ack 11", "")
		if val, ecr, ok := out.ToWire[0].Timestamps(); !ok || val != stackTS || ecr != peerTS {
			t.Errorf("timestamps %d %d %t", val, ecr, ok)
		}
		if w := out.ToWire[0].Window(); w != 500<<7 { // the ACK's, as a SYN-ACK has it: unscaled
			t.Errorf("window %d", w)
		}
		h.events(EventAccepted)
		if in, taken, ok := h.child.Bytes(); !ok || in != 10 || taken != 10 {
			t.Errorf("%d of %d bytes", taken, in)
		}
		h.wire(h.theirs(seg.ACK, 11, 1, ""), "", "=")
		h.pending(0)
		h.stack(h.ours(seg.ACK|seg.PSH, 1, 11, "answer"), "=", "")
	}
}

func TestTheMadeACK(t *testing.T) {
	covers.IDs(t, "H-19", "H-20")
	for _, c := range []struct {
		shift  int // -1: no window scale in the SYN
		window uint16
		want   uint16
	}{{7, 64000, 500}, {7, 64001, 501}, {7, 1, 1}, {7, 0, 1}, {0, 1000, 1000}, {-1, 65535, 65535}, {14, 65535, 4}} {
		h := newHost(t, Policy{})
		h.synWindow = c.window
		h.clientOptions = stackOptions(1460)
		h.clientOptions[19] = byte(c.shift)
		synack := h.synack()
		if c.shift < 0 {
			h.clientOptions = h.clientOptions[:16]
			synack = synack.Rebuild(synack.OptionBytes()[:16], nil)
		}
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		out := h.stack(synack, "", "A 1:5 ack 1")
		made := out.ToStack[0]
		if made.Window() != c.want {
			t.Errorf("shift %d, window %d: made %d, want %d", c.shift, c.window, made.Window(), c.want)
		}
		// A third of a second makes the stack's first timer one second.
		if val, ecr, ok := made.Timestamps(); !ok || val != stackTS || ecr != stackTS-assumedRTT {
			t.Errorf("timestamps %d %d %t", val, ecr, ok)
		}
	}
	if echo(assumedRTT) == 0 || echo(5) != ^uint32(0)-(assumedRTT-6) {
		t.Error("the echo of a young clock")
	}
}

func TestNoTimestamps(t *testing.T) {
	covers.IDs(t, "H-20")
	h := newHost(t, Policy{})
	h.clientOptions = []byte{seg.OptMSS, 4, 5, 180}
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	synack := h.synack()
	out := h.stack(synack.Rebuild([]byte{seg.OptMSS, 4, 5, 180}, nil), "", "A 1:5 ack 1")
	if n := len(out.ToStack[0].OptionBytes()); n != 0 {
		t.Errorf("%d bytes of options in the made ACK", n)
	}
	h.stack(h.ours(seg.ACK, 1, 6, ""), "SA 0 ack 6", "")
	h.pass(time.Second, "SA 0 ack 6", "")
}

func TestCookieAlone(t *testing.T) {
	covers.IDs(t, "S-08")
	h := newHost(t, Policy{})
	h.decide(h.syn(h.cookie(), ""), AnswerAccept)
	h.stack(h.synack(), "SA 0 ack 1", "A 1 ack 1")
	h.events(EventAccepted)
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 1, "greeting"), "=", "")
	h.wire(h.theirs(seg.ACK, 1, 9, ""), "", "=")
	h.pending(0)
	if h.replays.Len() != 1 {
		t.Error("a SYN without data is not remembered")
	}
}

func TestServerSpeaksFirst(t *testing.T) {
	covers.IDs(t, "S-07", "S-33", "H-22")
	h := pendingHost(t, Policy{}, "hello")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, text(1000)), "=", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 1001, 6, text(500)), "=", "")
	// Nothing is repeated before the client has said a word.
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, text(1000)), "", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 0, 6, "x"), "", "") // a window probe
	h.stack(h.ours(seg.ACK|seg.PSH, 1001, 6, text(800)), "A 1501:300 ack 6", "")
	h.wire(h.theirs(seg.ACK, 6, 1001, ""), "", "=")
	h.stack(h.ours(seg.ACK|seg.PSH, 1001, 6, text(500)), "=", "")
}

func TestNoRepeatBeforeTheACK(t *testing.T) {
	covers.IDs(t, "S-27", "H-22", "S-41")
	h := pendingHost(t, Policy{}, "hello")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
	h.stack(h.ours(seg.ACK|seg.FIN, 7, 6, ""), "", "")
	for range 4 {
		h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "", "")
		h.stack(h.ours(seg.ACK|seg.FIN, 7, 6, ""), "", "")
	}
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "FA 7 ack 6", "=")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
	h.stack(h.ours(seg.ACK|seg.FIN, 7, 6, ""), "=", "")
}

func TestDataIsHeld(t *testing.T) {
	covers.IDs(t, "S-48")
	h := pendingHost(t, Policy{HoldData: true}, "hello")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, text(1000)), "", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, text(1000)), "", "")
	h.stack(h.ours(seg.ACK|seg.FIN, 1001, 6, ""), "", "")
	h.pass(3*time.Second, "SA 0 ack 6, SA 0 ack 6", "")
	h.wire(h.theirs(seg.ACK, 6, 2, ""), "R 2", "") // what was held it cannot have
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "A 1:1000 ack 6, FA 1001 ack 6", "=")
}

func TestEarlyDataIsCapped(t *testing.T) {
	covers.IDs(t, "S-43")
	for name, c := range map[string]struct {
		p      Policy
		window uint16
	}{"by the policy": {Policy{EarlyDataCap: 2500}, 64000}, "by the client's window": {Policy{}, 2500}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, c.p)
			h.synWindow = c.window
			h.open("hello")
			h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, text(1000)), "=", "")
			h.stack(h.ours(seg.ACK|seg.PSH, 1001, 6, text(1000)), "=", "")
			h.stack(h.ours(seg.ACK|seg.PSH, 2001, 6, text(1000)), "", "")
			h.stack(h.ours(seg.ACK|seg.PSH, 3001, 6, "x"), "", "") // never ahead of others
			h.wire(h.theirs(seg.ACK, 6, 1, ""), "A 2001:1000 ack 6, A 3001:1 ack 6", "=")
		})
	}
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	h := pendingHost(t, Policy{HoldData: true}, "hello")
	for i := range 200 {
		h.stack(h.ours(seg.ACK|seg.PSH, 1+1000*i, 6, text(1000)), "", "")
	}
	if h.child.heldBytes > maxHeldData || len(h.child.held) > maxHeldData/1000 {
		t.Errorf("%d segments, %d bytes are held", len(h.child.held), h.child.heldBytes)
	}
}

func TestDataBeforeOurSYNACK(t *testing.T) {
	covers.IDs(t, "H-22")
	// The application answers before the stack has acknowledged the data.
	h := newHost(t, Policy{})
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	h.stack(h.synack(), "", "A 1:5 ack 1")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 1, "hi"), "", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 3, 6, "you"), "SA 0 ack 6, A 1:2 ack 1, A 3:3 ack 6", "")
}

func TestSYNACKIsRepeated(t *testing.T) {
	covers.IDs(t, "S-26", "S-28", "H-21", "P4")
	h := pendingHost(t, Policy{}, "hello")
	start := h.now
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
	for _, at := range []int{1, 3, 7, 15, 31, 63} {
		h.pass(start+time.Duration(at)*time.Second-h.now-1, "", "")
		h.pass(1, "SA 0 ack 6", "")
	}
	h.pass(start+127*time.Second-h.now-1, "", "")
	h.pending(1)
	h.pass(1, "", "RA 6 ack 7") // the application sees an error
	h.pending(0)
	h.events(EventAccepted, EventTimeout)
	h.pass(time.Hour, "", "")
}

func TestRepeatsHaveTheNewestTime(t *testing.T) {
	covers.IDs(t, "H-34", "S-51")
	h := pendingHost(t, Policy{}, "hello")
	s := h.ours(seg.ACK|seg.PSH, 1, 6, "answer")
	h.stack(s.Rebuild(seg.TimestampOption(stackTS+700, peerTS), s.Payload()), "=", "")
	h.now += time.Second
	again := h.child.Expire(h.now).ToWire[0]
	if val, ecr, ok := again.Timestamps(); !ok || val != stackTS+700 || ecr != peerTS {
		t.Errorf("timestamps %d %d %t", val, ecr, ok)
	}
	if !again.Verify() || len(again.OptionBytes()) != 20 {
		t.Error("the repeat is not whole")
	}
}

func TestRepeatedSYN(t *testing.T) {
	covers.IDs(t, "S-29", "S-30", "H-23")
	h := pendingHost(t, Policy{}, "hello")
	plain := h.syn(nil, "")
	h.wire(plain.Clone(), "SA 0 ack 6", "")
	for range 3 {
		h.now += 160 * time.Millisecond
		h.wire(h.syn(h.cookie(), "hello"), "", "")
	}
	h.now += 20 * time.Millisecond
	h.wire(h.syn(h.cookie(), "other bytes"), "SA 0 ack 6", "")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
}

func TestDuplicateSYNBeforeTheAnswer(t *testing.T) {
	covers.IDs(t, "S-30", "S-46")
	h := newHost(t, Policy{})
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	other := h.syn(h.cookie(), "hello")
	other.SetSeq(irs.Add(7))
	h.wire(h.syn(h.cookie(), "jello"), "", "")
	h.wire(other.Clone(), "", "")
	out := h.stack(h.synack(), "", "A 1:5 ack 1")
	if string(out.ToStack[0].Payload()) != "hello" {
		t.Error("not the first SYN's data")
	}
	h.wire(h.syn(h.cookie(), "jello"), "", "")
	h.wire(other.Clone(), "", "")
	h.wire(h.theirs(seg.ACK|seg.PSH, 6, 1, "more"), "", "")
	h.stack(h.ours(seg.ACK, 1, 6, ""), "SA 0 ack 6", "")
}

func TestAnotherSYNWhilePending(t *testing.T) {
	covers.IDs(t, "S-46")
	h := pendingHost(t, Policy{}, "hello")
	other := h.syn(h.cookie(), "hello")
	other.SetSeq(irs.Add(1000))
	h.wire(other, "", "=") // for the stack's challenge ACK
	h.stack(h.ours(seg.ACK, 1, 6, ""), "=", "")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
}

func TestACKsThatCount(t *testing.T) {
	covers.IDs(t, "S-32", "S-33", "S-44", "S-45", "H-24")
	for name, c := range map[string]struct {
		flags    seg.Flags
		seq, ack int
		payload  string
		wire     string
		stack    string
		over     bool
	}{
		"the plain ACK":                 {seg.ACK, 6, 1, "", "", "=", true},
		"of early data":                 {seg.ACK, 6, 7, "", "", "=", true},
		"of a part of it":               {seg.ACK, 6, 3, "", "", "=", true},
		"with data":                     {seg.ACK | seg.PSH, 6, 1, "more", "", "=", true},
		"with data, the ACK lost":       {seg.ACK | seg.PSH, 10, 1, "more", "", "=", true},
		"with data that overlaps":       {seg.ACK | seg.PSH, 1, 1, "hello more", "", "=", true},
		"with FIN":                      {seg.ACK | seg.FIN, 6, 1, "", "", "=", true},
		"of nothing":                    {seg.ACK, 6, 0, "", "R 0", "", false},
		"of what was not sent":          {seg.ACK, 6, 8, "", "R 8", "", false},
		"of much that was not sent":     {seg.ACK, 6, 1 << 20, "", "R 1048576", "", false},
		"with data, of what was not":    {seg.ACK | seg.PSH, 6, 99, "bad", "R 99", "", false},
		"the SYN's data not counted":    {seg.ACK, 1, 1, "", "", "=", false},
		"the SYN's data once more":      {seg.ACK | seg.PSH, 1, 1, "hello", "", "=", false},
		"beyond the window":             {seg.ACK | seg.PSH, 99999, 1, "x", "", "=", false},
		"no ACK at all":                 {0, 6, 0, "x", "", "", false},
		"a SYN-ACK":                     {seg.SYN | seg.ACK, 0, 1, "", "", "=", false},
		"a reset with a number outside": {seg.RST, 1, 0, "", "", "=", false},
		"a reset with one inside":       {seg.RST, 7, 0, "", "", "=", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := pendingHost(t, Policy{}, "hello")
			h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
			h.wire(h.theirs(c.flags, c.seq, c.ack, c.payload), c.wire, c.stack)
			if over := h.child.State() == ChildOver; over != c.over {
				t.Errorf("over is %t", over)
			}
			if !c.over { // it survives
				h.wire(h.theirs(seg.ACK, 6, 7, ""), "", "=")
				h.pending(0)
			}
		})
	}
}

func TestOldTimestamp(t *testing.T) {
	covers.IDs(t, "S-51")
	h := pendingHost(t, Policy{}, "hello")
	old := h.theirs(seg.ACK, 6, 1, "")
	old = old.Rebuild(seg.TimestampOption(stackTS-1, stackTS), nil)
	out := h.wire(old.Clone(), "A 1 ack 6", "")
	if val, ecr, _ := out.ToWire[0].Timestamps(); val != stackTS+1 || ecr != stackTS {
		t.Errorf("timestamps %d %d", val, ecr)
	}
	h.wire(old, "", "") // at most one answer in half a second
	equal := h.theirs(seg.ACK, 6, 1, "")
	h.wire(equal.Rebuild(seg.TimestampOption(stackTS, stackTS), nil), "", "=")
	h.pending(0)
}

func TestTheStackDoesNotTakeIt(t *testing.T) {
	t.Run("no acknowledgement", func(t *testing.T) {
		covers.IDs(t, "H-18", "S-24")
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.pass(feedTime, "SA 0 ack 1 "+h.right(KindFO), "")
		h.events(EventNotTaken)
		// The stack goes on by itself: it repeats its SYN-ACK, and so it has no
		// connection that needs ours.
		h.stack(h.synack(), "=", "")
		h.pending(0)
	})
	t.Run("the acknowledgement comes late", func(t *testing.T) {
		covers.IDs(t, "H-18")
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.pass(feedTime, "SA 0 ack 1 "+h.right(KindFO), "")
		h.stack(h.ours(seg.ACK, 1, 6, ""), "=", "")
		// Now nobody but this layer repeats the SYN-ACK.
		h.pass(time.Second, "SA 0 ack 6", "")
		h.wire(h.theirs(seg.ACK|seg.PSH, 1, 1, "hello"), "", "=") // out of window: the stack's ACK corrects it
		h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
		h.pending(0)
	})
	t.Run("the client's ACK comes first", func(t *testing.T) {
		covers.IDs(t, "H-18")
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.pass(feedTime, "SA 0 ack 1 "+h.right(KindFO), "")
		h.wire(h.theirs(seg.ACK|seg.PSH, 1, 1, "hello"), "", "=")
		h.pending(0)
	})
	t.Run("it answers the SYN again", func(t *testing.T) {
		covers.IDs(t, "H-18")
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.stack(h.synack(), "SA 0 ack 1 "+h.right(KindFO), "")
		h.events(EventNotTaken)
		h.pending(0)
	})
	t.Run("only a part", func(t *testing.T) {
		covers.IDs(t, "S-50")
		h := newHost(t, Policy{})
		h.window = 2000
		h.decide(h.syn(h.cookie(), text(1000)), AnswerAccept)
		h.stack(h.synack(), "", "A 1:1000 ack 1")
		h.stack(h.ours(seg.ACK, 1, 401, ""), "SA 0 ack 401", "")
		if in, taken, ok := h.child.Bytes(); !ok || in != 1000 || taken != 400 {
			t.Errorf("%d of %d", taken, in)
		}
		h.wire(h.theirs(seg.ACK|seg.PSH, 401, 1, text(600)), "", "=")
		h.pending(0)
	})
	t.Run("no answer at all", func(t *testing.T) {
		covers.IDs(t, "S-24")
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.pass(answerTime, "", "")
		h.pending(0)
		h.stack(h.synack(), "=", "") // whatever comes later is plain
	})
}

func TestNoMoreThanFits(t *testing.T) {
	covers.IDs(t, "S-50")
	for name, c := range map[string]struct{ mss, window uint16 }{"segment": {700, 60000}, "window": {1460, 700}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Policy{})
			h.mss, h.window = c.mss, c.window
			h.decide(h.syn(h.cookie(), text(1400)), AnswerAccept)
			h.stack(h.synack(), "", "A 1:700 ack 1")
			h.stack(h.ours(seg.ACK, 1, 701, ""), "SA 0 ack 701", "")
		})
	}
}

func TestSYNCookies(t *testing.T) {
	covers.IDs(t, "S-23", "H-18")
	sack := []byte{seg.OptMSS, 4, 5, 180, seg.OptSACKPerm, 2, seg.OptNOP, seg.OptNOP}
	only := []byte{seg.OptMSS, 4, 5, 180}
	for name, c := range map[string]struct{ offered, taken []byte }{
		"window scale is missing":    {stackOptions(1460), sack},
		"SACK is missing":            {sack, only},
		"timestamps do not help":     {stackOptions(1460), append(append([]byte(nil), only...), seg.TimestampOption(1, 2)...)},
		"nothing but a segment size": {stackOptions(1460), only},
	} {
		t.Run(name, func(t *testing.T) {
			for _, extra := range []func(h *host) []byte{(*host).cookie, func(*host) []byte { return fo(KindFO, "") }} {
				h := newHost(t, Policy{})
				h.clientOptions = c.offered
				d := h.server.Decide(h.now, h.syn(extra(h), "hello"), h.keys, h.replays)
				h.decide(h.syn(extra(h), "hello"), d.Answer)
				s := h.synack()
				h.stack(s.Rebuild(c.taken, nil), "=", "")
				if h.child.State() != ChildOver {
					t.Error("something is left behind")
				}
			}
		})
	}
}

func TestNoRoomForTheOption(t *testing.T) {
	h := newHost(t, Policy{})
	h.decide(h.syn(fo(KindFO, ""), ""), AnswerGrant)
	s := h.synack()
	full := append(append([]byte(nil), s.OptionBytes()...), make([]byte, 12)...)
	for i := 20; i < 32; i++ {
		full[i] = seg.OptNOP
	}
	h.stack(s.Rebuild(full, nil), "SA 0 ack 1", "")
}

func TestStackResets(t *testing.T) {
	covers.IDs(t, "S-38", "S-39", "S-42", "H-26")
	t.Run("nobody listens", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.ours(seg.RST|seg.ACK, 0, 6, ""), "=", "")
		h.pending(0)
	})
	t.Run("before the SYN-ACK", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.stack(h.ours(seg.RST|seg.ACK, 1, 6, ""), "SA 0 ack 6, RA 1 ack 6", "")
		h.pending(0)
	})
	t.Run("before it took the data", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.stack(h.ours(seg.RST|seg.ACK, 1, 1, ""), "SA 0 ack 1, RA 1 ack 1", "")
		h.pending(0)
	})
	t.Run("while pending", func(t *testing.T) {
		h := pendingHost(t, Policy{}, "hello")
		h.stack(h.ours(seg.RST|seg.ACK, 1, 6, ""), "=", "")
		h.pending(0)
		h.pass(time.Hour, "", "") // and no SYN-ACK after it
	})
}

func TestClientResets(t *testing.T) {
	covers.IDs(t, "H-25", "S-35", "S-36")
	t.Run("before the stack answers", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.wire(h.theirs(seg.RST, 3, 0, ""), "", "=") // of an older connection: this one is not over
		h.pending(1)
		h.wire(h.theirs(seg.RST, 6, 0, ""), "", "=")
		h.events(EventReset)
	})
	t.Run("before the SYN-ACK", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.wire(h.theirs(seg.RST, 1, 0, ""), "", "")
		h.wire(h.theirs(seg.RST, 6, 0, ""), "", "=")
		h.events(EventReset)
		if p, held := h.server.Pending(h.now); p != 0 || held != 1 {
			t.Errorf("%d pending, %d held", p, held)
		}
	})
	t.Run("of a grant", func(t *testing.T) {
		h := newHost(t, Policy{})
		h.decide(h.syn(fo(KindFO, ""), ""), AnswerGrant)
		h.wire(h.theirs(seg.RST, 1, 0, ""), "", "=")
		h.events(EventCookieRequested)
		if p, held := h.server.Pending(h.now); p != 0 || held != 0 || h.server.grants != 0 {
			t.Errorf("%d pending, %d held, %d grants", p, held, h.server.grants)
		}
	})
	t.Run("while pending", func(t *testing.T) {
		h := pendingHost(t, Policy{}, "hello")
		h.wire(h.theirs(seg.RST, 6, 0, ""), "", "=")
		h.pass(time.Hour, "", "")
	})
}

func TestICMPWhilePending(t *testing.T) {
	covers.IDs(t, "S-37")
	quote := func(seq int, tooBig bool, mtu int) seg.ICMPError {
		return seg.ICMPError{Src: server4, Dst: client4, Seq: iss.Add(seqnum.Size(seq)), TooBig: tooBig, MTU: mtu}
	}
	h := newHost(t, Policy{})
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	in := h.synack()
	h.want(h.child.FromICMP(quote(0, false, 0)), "", "", in, true)
	h.stack(h.synack(), "", "A 1:5 ack 1")
	h.want(h.child.FromICMP(quote(0, false, 0)), "", "", in, true)
	h.stack(h.ours(seg.ACK, 1, 6, ""), "SA 0 ack 6", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
	h.want(h.child.FromICMP(quote(8, false, 0)), "", "", in, true)
	h.want(h.child.FromICMP(quote(-1, false, 0)), "", "", in, true)
	h.want(h.child.FromICMP(quote(1, true, 67)), "", "", in, true)
	h.want(h.child.FromICMP(quote(1, true, 900)), "", "=", in, true)
	h.want(h.child.FromICMP(quote(0, false, 0)), "", "=, RA 6 ack 7", in, true)
	h.finish()
	h.pending(0)
	h.want(h.child.FromICMP(quote(99, false, 0)), "", "=", in, true)
}

func TestRelease(t *testing.T) {
	h := pendingHost(t, Policy{}, "hello")
	h.child.Release()
	h.finish()
	h.pending(0)
	h.pass(time.Hour, "", "")
	h.stack(h.ours(seg.ACK|seg.PSH, 1, 6, "answer"), "=", "")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
	h.want(h.child.Expire(h.now), "", "", h.synack(), true)
}

func TestOlderConnection(t *testing.T) {
	// A connection between the same ports is still there: its challenge is not
	// the answer to the SYN.
	h := newHost(t, Policy{})
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	h.stack(h.ours(seg.ACK, 500, 700, ""), "=", "")
	h.stack(h.ours(seg.SYN|seg.ACK, 0, 700, ""), "=", "")
	h.wire(h.theirs(seg.ACK|seg.PSH, 700, 500, "old"), "", "=")
	h.wire(h.theirs(seg.RST, 700, 0, ""), "", "=")
	h.stack(h.synack(), "", "A 1:5 ack 1")
}

// FuzzChild feeds a child whatever comes: no panic, no segment that is not whole,
// and an end.
func FuzzChild(f *testing.F) {
	f.Add(uint8(0), []byte("hello"), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add(uint8(1), []byte{}, []byte{3, 0, 0, 0, 9, 9, 0, 0})
	f.Add(uint8(2), []byte("hello"), []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 6, 200, 0, 1, 0x10, 0, 6, 0, 1, 0, 0})
	f.Add(uint8(4), []byte("hello"), []byte{2, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, how uint8, payload, script []byte) {
		policy := Policy{HoldData: how&1 != 0}
		if how&2 != 0 {
			policy.EarlyDataCap = 100
		}
		h := newHost(t, policy)
		payload = payload[:min(len(payload), 1400)]
		if how&4 != 0 {
			h.decide(h.syn(fo(KindFO, ""), string(payload)), AnswerGrant)
		} else {
			h.decide(h.syn(h.cookie(), string(payload)), AnswerAccept)
		}
		for len(script) >= 8 {
			op, flags := script[0], seg.Flags(script[1]&0x1f)
			seq, ack := int(int16(binary.BigEndian.Uint16(script[2:]))), int(int16(binary.BigEndian.Uint16(script[4:])))
			data := string(make([]byte, script[6]))
			script = script[8:]
			var out Out
			switch op % 5 {
			case 0:
				out = h.child.FromStack(h.now, h.ours(flags, seq, ack, data))
			case 1:
				out = h.child.FromWire(h.now, h.theirs(flags, seq, ack, data))
			case 2:
				out = h.child.FromStack(h.now, h.synack())
			case 3:
				h.now += time.Duration(uint16(seq)) * time.Millisecond
				out = h.child.Expire(h.now)
			case 4:
				out = h.child.FromICMP(seg.ICMPError{Src: server4, Dst: client4, Seq: iss.Add(seqnum.Size(seq)), TooBig: ack > 0, MTU: ack})
			}
			for _, s := range append(out.ToWire, out.ToStack...) {
				h.sound(s)
			}
			h.finish()
		}
		for range 2 * maxSynAckRepeats {
			if due, ok := h.child.Deadline(); ok {
				h.now = max(h.now, due)
				h.child.Expire(h.now)
				h.finish()
			}
		}
		if h.child.State() != ChildOver {
			t.Fatal("a child that does not end")
		}
		h.pending(0)
	})
}
