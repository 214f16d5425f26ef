package tfo

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// sent is a rig whose SYN with data is on its way.
func sent(t *testing.T, payload string) *rig {
	t.Helper()
	r := newRig(t, known(1460), payload)
	r.c.FromStack(r.now, r.syn())
	r.now += 20 * time.Millisecond
	return r
}

// requested is a rig whose cookie request is on its way.
func requested(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, request, "hello")
	r.c.FromStack(r.now, r.syn())
	r.now += 20 * time.Millisecond
	return r
}

func TestGrant(t *testing.T) {
	covers.IDs(t, "C-02")
	r := requested(t)
	r.fromWire(r.synack(1, fo(KindFO, eight)...), "", "SA 0 ack 1 "+foEight)
	r.fromStack(r.bare(1, 1), "=", "")
	r.fromStack(r.data(1, "hello"), "=", "")
	l := r.lesson(VerdictGranted)
	if l.Granted.Cookie != cookieOf(eight) || l.MSS != 1460 {
		t.Errorf("learned cookie %v, MSS %d", l.Granted.Cookie, l.MSS)
	}
	cache, path := NewCache(0), Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: 80}
	cache.Learn(0, path, l)
	next := newRig(t, cache.Plan(0, path, ModeOn), "hello")
	next.fromStack(next.syn(), "S 0:5 "+foEight, "")
}

func TestBadCookieIsIgnored(t *testing.T) {
	covers.IDs(t, "C-16")
	for _, body := range []string{"\x01\x02", "\x01\x02\x03", eight + eight + "\x01\x02"} {
		r := sent(t, "hello")
		r.answerOptions = peerOptions(1400)
		bad := append([]byte{byte(KindFO), byte(2 + len(body))}, body...)
		r.answerOptions = append([]byte{seg.OptMSS, 4, 5, 120}, bad...) // MSS 1400
		r.fromWire(r.up(seg.SYN|seg.ACK, 0, 6, ""), "", "SA 0 ack 1")
		l := r.lesson(VerdictAccepted)
		if !l.Granted.Cookie.Empty() || l.MSS != 1400 {
			t.Errorf("cookie of %d bytes: learned %v and MSS %d", len(body), l.Granted.Cookie, l.MSS)
		}
	}
}

// Every length of a cookie that fits into a SYN-ACK: those that RFC 7413 allows are
// kept, the others change nothing.
func TestEveryLengthOfAGrant(t *testing.T) {
	covers.IDs(t, "C-14", "C-15", "C-16")
	for n := range 35 {
		r := sent(t, "hello")
		option := append([]byte{byte(KindFO), byte(2 + n)}, text(n)...)
		r.answerOptions = append([]byte{seg.OptMSS, 4, 5, 120}, append(option, make([]byte, -len(option)&3)...)...)
		r.fromWire(r.up(seg.SYN|seg.ACK, 0, 6, ""), "", "SA 0 ack 1"+map[bool]string{true: " fo=" + cookieText(n)}[n == 0 || kept(n)])
		if got := r.lesson(VerdictAccepted).Granted.Cookie; got.Empty() == kept(n) {
			t.Errorf("cookie of %d bytes: learned %v", n, got)
		}
	}
}

func kept(n int) bool { return n%2 == 0 && n >= 4 && n <= 16 }

func cookieText(n int) string { return hex.EncodeToString([]byte(text(n))) }

func TestCookieWhereNoneBelongs(t *testing.T) {
	t.Run("on a segment without SYN", func(t *testing.T) {
		covers.IDs(t, "C-17")
		r := sent(t, "hello")
		r.fromWire(r.synack(6), "", "SA 0 ack 1")
		s := r.up(seg.ACK, 1, 6, "").Rebuild(fo(KindFO, eight+eight), nil)
		out := r.c.FromWire(r.now, s)
		if out.Lesson != nil {
			t.Error("learned from a segment without SYN")
		}
	})
	t.Run("without having been asked for", func(t *testing.T) {
		covers.IDs(t, "C-18")
		r := newRig(t, Plan{Action: SendBare, MSS: 1460}, "hello")
		r.fromStack(r.syn(), "S 0:5", "")
		r.fromWire(r.synack(6, fo(KindFO, eight)...), "", "SA 0 ack 1 "+foEight)
		if l := r.lesson(VerdictAccepted); !l.Granted.Cookie.Empty() {
			t.Error("a cookie nobody asked for was kept")
		}
	})
}

func TestAllAccepted(t *testing.T) {
	covers.IDs(t, "C-19", "H-01", "H-02", "H-06")
	r := sent(t, "hello")
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	r.acknowledges("A 6 ack 1")
	r.fromStack(r.data(1, "hello"), "", "")
	r.outcome(5, 5, ReasonNone)
	r.lesson(VerdictAccepted)
}

// TestHandshakeACKRides: what leaves within a moment of the SYN-ACK acknowledges it.
func TestHandshakeACKRides(t *testing.T) {
	covers.IDs(t, "C-19", "C-20")
	for name, next := range map[string]struct {
		s    func(r *rig) seg.Segment
		wire string
	}{
		"more data":       {func(r *rig) seg.Segment { return r.data(6, "more") }, "="},
		"an answer's ACK": {func(r *rig) seg.Segment { return r.bare(1, 7) }, "A 6 ack 7"},
		"a repeat":        {func(r *rig) seg.Segment { return r.bare(1, 1) }, "A 6 ack 1"},
		"a reset":         {func(r *rig) seg.Segment { return r.down(seg.RST|seg.ACK, 1, 1, "") }, "RA 6 ack 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sent(t, "hello")
			r.fromWire(r.synack(6), "", "SA 0 ack 1")
			r.fromStack(r.bare(1, 1), "", "")
			r.fromStack(next.s(r), next.wire, "")
			r.wait(ackDelay, "") // nothing follows
		})
	}
}

func TestMoreThanTheSYN(t *testing.T) {
	covers.IDs(t, "C-20")
	// What follows the SYN's bytes leaves as soon as the stack hands it down.
	r := sent(t, text(5000))
	r.fromWire(r.synack(1421), "", "SA 0 ack 1")
	r.fromStack(r.bare(1, 1), "", "") // they carry it
	r.fromStack(r.data(1, text(5000)[:1420]), "", "")
	r.fromStack(r.data(1421, text(5000)[1420:2840]), "=", "")
	r.fromStack(r.data(2841, text(5000)[2840:]), "=", "")
}

func TestStraddle(t *testing.T) {
	covers.IDs(t, "C-20", "H-06")
	r := sent(t, text(5000))
	r.fromWire(r.synack(1421), "", "SA 0 ack 1")
	out := r.fromStack(r.data(1, text(5000)[:2000]), "A 1421:580 ack 1", "")
	if string(out.ToWire[0].Payload()) != text(5000)[1420:2000] {
		t.Error("the part that leaves is not the one the peer lacks")
	}
	if !out.ToWire[0].Flags().Has(seg.PSH) {
		t.Error("PSH was lost")
	}
	r.fromWire(r.up(seg.ACK, 1, 2001, ""), "", "=")
	r.state(Settled)
}

func TestNothingAccepted(t *testing.T) {
	covers.IDs(t, "C-21")
	r := sent(t, "hello")
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.state(Done)
	r.fromStack(r.bare(1, 1), "=", "")
	r.fromStack(r.data(1, "hello"), "=", "")
	r.outcome(5, 0, ReasonNotAcked)
	r.lesson(VerdictNotAcked)
}

func TestPartAccepted(t *testing.T) {
	covers.IDs(t, "C-24", "C-25", "C-59")
	for _, a := range []int{1, 2, 3, 4} {
		r := sent(t, "hello")
		r.fromWire(r.synack(1+a), "", "SA 0 ack 1")
		r.acknowledges(brief(r.bare(1+a, 1), false))
		out := r.fromStack(r.data(1, "hello"), brief(r.data(1+a, "hello"[a:]), false), "")
		if string(out.ToWire[0].Payload()) != "hello"[a:] {
			t.Errorf("resent %q", out.ToWire[0].Payload())
		}
		r.outcome(5, a, ReasonPartlyAcked)
		cache, path := NewCache(0), Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: 80}
		cache.Learn(0, path, Lesson{Verdict: VerdictGranted, Granted: known(0).Option})
		cache.Learn(0, path, r.lesson(VerdictAccepted))
		if !cache.HasCookie(0, path) {
			t.Error("the cookie was dropped")
		}
	}
}

func TestNewCookieReplacesTheOld(t *testing.T) {
	covers.IDs(t, "C-26", "H-33") // a NAT that changed looks just like this
	for _, tt := range []struct {
		ack  int
		want Verdict
	}{{1, VerdictStale}, {6, VerdictAccepted}} {
		r := sent(t, "hello")
		r.fromWire(r.synack(tt.ack, fo(KindFO, "newcooki")...), "", "SA 0 ack 1 fo=6e6577636f6f6b69")
		cache, path := NewCache(0), Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: 80}
		cache.Learn(0, path, Lesson{Granted: known(0).Option})
		cache.Learn(0, path, r.lesson(tt.want))
		if p := cache.Plan(0, path, ModeOn); p.Option.Cookie != cookieOf("newcooki") || p.Action != SendCookie {
			t.Errorf("next plan is %+v", p)
		}
		if r.c.Outcome().Cookie != CookieReplaced {
			t.Errorf("cookie state %v", r.c.Outcome().Cookie)
		}
	}
}

func TestBogusAcknowledgement(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags seg.Flags
		ack   int
	}{
		{"C-27 beyond SND.NXT", seg.SYN | seg.ACK, 7},
		{"C-27 far beyond", seg.SYN | seg.ACK, 100000},
		{"C-28 the ISS itself", seg.SYN | seg.ACK, 0},
		{"C-28 before the ISS", seg.SYN | seg.ACK, -5},
		{"an ACK without SYN", seg.ACK, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			covers.IDs(t, "C-27", "C-28", "C-29", "H-04")
			r := sent(t, "hello")
			s := r.up(tt.flags, 0, tt.ack, "")
			r.fromWire(s, brief(r.down(seg.RST, tt.ack, 0, ""), false), "")
			r.state(SynSent)
			if r.last != nil {
				t.Error("the cache was told something")
			}
			// No SYN follows; a good answer still completes.
			r.fromWire(r.synack(6), "", "SA 0 ack 1")
			r.outcome(5, 5, ReasonNone)
		})
	}
}

func TestImpossibleTimestamp(t *testing.T) {
	covers.IDs(t, "C-30")
	r := sent(t, "hello")
	good := r.answerOptions
	r.answerOptions = peerOptions(1460)
	copy(r.answerOptions[12:16], []byte{0, 0, 0, 9})
	r.fromWire(r.synack(6, fo(KindFO, "poisoned")...), "R 6", "")
	if r.last != nil {
		t.Error("the cache was told something")
	}
	r.answerOptions = good
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	r.state(Open)
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		ack  int
	}{{"C-31 acknowledging the SYN", 1}, {"C-32 acknowledging the data", 6}} {
		t.Run(tt.name, func(t *testing.T) {
			covers.IDs(t, "C-31", "C-32", "H-03", "H-13")
			r := sent(t, "hello")
			r.fromWire(r.up(seg.RST|seg.ACK, 0, tt.ack, ""), "S 0", "")
			r.fromWire(r.up(seg.RST|seg.ACK, 0, tt.ack, ""), "", map[int]string{1: "=", 6: "RA 0 ack 1"}[tt.ack])
			r.state(Done)
			r.outcome(5, 0, ReasonRefused)
			if r.last != nil {
				t.Error("a closed port says nothing about Fast Open")
			}
		})
	}
	t.Run("by a middlebox that lets a plain SYN pass", func(t *testing.T) {
		covers.IDs(t, "C-31", "P5")
		r := sent(t, "hello")
		r.fromWire(r.up(seg.RST|seg.ACK, 0, 6, ""), "S 0", "")
		r.fromWire(r.synack(1), "", "SA 0 ack 1")
		r.lesson(VerdictRefused)
		r.outcome(5, 0, ReasonRefused)
	})
	t.Run("a request", func(t *testing.T) {
		r := requested(t)
		r.fromWire(r.up(seg.RST|seg.ACK, 0, 1, ""), "S 0", "")
		r.fromWire(r.up(seg.RST|seg.ACK, 0, 1, ""), "", "=")
	})
}

func TestResetsThatDoNotCount(t *testing.T) {
	covers.IDs(t, "C-33")
	r := sent(t, "hello")
	r.fromWire(r.up(seg.RST, 0, 0, ""), "", "=")
	r.fromWire(r.up(seg.RST|seg.ACK, 0, 7, ""), "", "=")
	r.fromWire(r.up(seg.RST|seg.ACK, 0, 0, ""), "", "=")
	r.state(SynSent)
	r.now += time.Second
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.outcome(5, 0, ReasonSYNLost)
}

func TestRepeatsStayPlain(t *testing.T) {
	covers.IDs(t, "C-34", "C-35", "H-13")
	for _, r := range []*rig{sent(t, "hello"), requested(t)} {
		for range 3 {
			r.now += time.Second
			r.fromStack(r.syn(), "=", "") // the stack's own SYN has neither data nor option
		}
		if !r.c.Outcome().SYNRetransmitted {
			t.Error("outcome does not say so")
		}
	}
}

func TestLateGrant(t *testing.T) {
	covers.IDs(t, "C-36")
	r := requested(t)
	r.now += time.Second
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(1, fo(KindFO, eight)...), "", "SA 0 ack 1 "+foEight)
	if l := r.lesson(VerdictGranted); l.Granted.Cookie.Empty() {
		t.Error("the cookie was dropped")
	}
}

func TestLostSYN(t *testing.T) {
	covers.IDs(t, "C-37", "C-39")
	for _, r := range []*rig{sent(t, "hello"), requested(t)} {
		r.now += time.Second
		r.fromStack(r.syn(), "=", "")
		r.fromWire(r.synack(1), "", "SA 0 ack 1")
		r.fromStack(r.bare(1, 1), "=", "")
		r.fromStack(r.data(1, "hello"), "=", "")
		r.lesson(VerdictLost)
		if r.c.Outcome().Reason != ReasonSYNLost {
			t.Errorf("reason %q", r.c.Outcome().Reason)
		}
	}
}

func TestLateAnswerToTheData(t *testing.T) {
	covers.IDs(t, "C-38")
	r := sent(t, "hello")
	r.now += time.Second
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	r.acknowledges("A 6 ack 1")
	r.fromStack(r.data(1, "hello"), "", "")
	r.lesson(VerdictAccepted)
	r.outcome(5, 5, ReasonNone)
}

func TestLateRejectionWithACookie(t *testing.T) {
	covers.IDs(t, "C-40")
	r := sent(t, "hello")
	r.now += time.Second
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(1, fo(KindFO, "newcooki")...), "", "SA 0 ack 1 fo=6e6577636f6f6b69")
	r.lesson(VerdictStale)
}

func TestNoAnswer(t *testing.T) {
	covers.IDs(t, "C-42")
	r := sent(t, "hello")
	for _, at := range []int{1, 3, 7, 15, 31, 63} {
		r.now = time.Duration(at) * time.Second
		r.fromStack(r.syn(), "=", "")
	}
	r.want(r.c.Release(127*time.Second), "", "", r.syn(), false)
	r.lesson(VerdictNoAnswer)
	r.outcome(5, 0, ReasonNoAnswer)

	t.Run("nobody releases it", func(t *testing.T) {
		r := sent(t, "hello")
		r.now += time.Second
		r.fromStack(r.syn(), "=", "")
		r.wait(129*time.Second, "")
		r.state(SynSent)
		r.wait(2*time.Second, "")
		r.state(Done)
		r.lesson(VerdictNoAnswer)
	})
	t.Run("given up at once", func(t *testing.T) {
		r := sent(t, "hello")
		if out := r.c.Release(r.now); out.Lesson != nil {
			t.Error("an impatient caller taught the cache something")
		}
	})
	t.Run("given up before the first repeat", func(t *testing.T) {
		covers.IDs(t, "C-42", "P5")
		r := sent(t, "hello")
		// A limit shorter than the SYN's timer: the next attempt has to be plain,
		// or no connection would ever open.
		r.now = 900 * time.Millisecond
		r.want(r.c.Release(r.now), "", "", r.syn(), false)
		r.lesson(VerdictLost)
	})
	t.Run("refused and given up", func(t *testing.T) {
		r := sent(t, "hello")
		r.c.FromWire(r.now, r.up(seg.RST|seg.ACK, 0, 6, ""))
		if out := r.c.Release(10 * time.Second); out.Lesson != nil {
			t.Errorf("a refusal taught %q", out.Lesson.Verdict)
		}
		r.outcome(5, 0, ReasonRefused)
	})
}

func icmpFor(r *rig, tooBig bool, mtu int) seg.ICMPError {
	s := r.syn()
	return seg.ICMPError{Src: s.Src(), Dst: s.Dst(), Seq: iss, TooBig: tooBig, MTU: mtu}
}

func TestTooBig(t *testing.T) {
	for _, tt := range []struct {
		name string
		v6   bool
		mtu  int
		want uint16
	}{
		{"C-44 MTU 800", false, 800, 760},
		{"C-44 MTU 840", false, 840, 800},
		{"C-45 IPv6 MTU 1400", true, 1400, 1340},
		{"C-45 IPv6 MTU 1280", true, 1280, 1220},
	} {
		t.Run(tt.name, func(t *testing.T) {
			covers.IDs(t, "C-44", "C-45", "C-46", "H-14", "H-15")
			r := newRigFor(t, known(1460), text(1400), Limits{MTU: 1500}, tt.v6)
			r.c.FromStack(0, r.syn())
			r.now += 10 * time.Millisecond // no timer has fired
			out := r.c.FromICMP(r.now, icmpFor(r, true, tt.mtu))
			r.want(out, "S 0", "=", r.syn(), true)
			if mss, _ := out.ToWire[0].MSS(); mss != tt.want {
				t.Errorf("the plain SYN advertises %d, want %d", mss, tt.want)
			}
			// The stack's own repeats fit, too, and its data does: the answer it
			// is shown has no larger MSS.
			again := r.fromStack(r.syn(), "S 0", "")
			if mss, _ := again.ToWire[0].MSS(); mss != tt.want {
				t.Errorf("a repeated SYN advertises %d, want %d", mss, tt.want)
			}
			shown := r.fromWire(r.synack(1), "", "SA 0 ack 1")
			if mss, _ := shown.ToStack[0].MSS(); mss != tt.want {
				t.Errorf("the stack is shown MSS %d, want %d", mss, tt.want)
			}
			if l := r.lesson(VerdictNone); l.PathMSS != tt.want {
				t.Errorf("learned a path MSS of %d", l.PathMSS)
			}
		})
	}
	t.Run("an MTU that is not believed", func(t *testing.T) {
		covers.IDs(t, "C-44", "H-15")
		for _, mtu := range []int{0, 67, 551} {
			r := sent(t, "hello")
			out := r.c.FromICMP(r.now, icmpFor(r, true, mtu))
			r.want(out, "S 0", "", r.syn(), true)
			if mss, _ := out.ToWire[0].MSS(); mss != 512 {
				t.Errorf("MTU %d: the plain SYN advertises %d, want 512", mtu, mss)
			}
			r.fromWire(r.synack(1), "", "SA 0 ack 1")
			if l := r.lesson(VerdictNone); l.PathMSS != 512 {
				t.Errorf("MTU %d: learned %d", mtu, l.PathMSS)
			}
			r = accepted(t, "hello")
			r.want(r.c.FromICMP(r.now, icmpFor(r, true, mtu)), "", "", r.syn(), true)
			r.want(r.c.FromICMP(r.now, icmpFor(r, true, 1300)), "", "=", r.syn(), true)
		}
	})
	t.Run("many of them", func(t *testing.T) {
		covers.IDs(t, "H-14", "P3")
		r := sent(t, "hello")
		r.want(r.c.FromICMP(r.now, icmpFor(r, true, 1300)), "S 0", "=", r.syn(), true)
		for mtu := 1299; mtu > 1200; mtu-- {
			r.want(r.c.FromICMP(r.now, icmpFor(r, true, mtu)), "", "=", r.syn(), true)
		}
		again := r.fromStack(r.syn(), "S 0", "")
		if mss, _ := again.ToWire[0].MSS(); mss != 1201-40 {
			t.Errorf("a repeated SYN advertises %d, want the smallest that was told", mss)
		}
	})
}

func TestForgedICMP(t *testing.T) {
	covers.IDs(t, "C-47", "H-15")
	for _, tooBig := range []bool{true, false} {
		r := sent(t, "hello")
		e := icmpFor(r, tooBig, 800)
		e.Seq = iss.Add(77)
		r.want(r.c.FromICMP(r.now, e), "", "", r.syn(), true)
		r.fromWire(r.synack(6), "", "SA 0 ack 1")
		e.Seq = iss.Add(seqnum.Size(1000))
		r.want(r.c.FromICMP(r.now, e), "", "", r.syn(), true)
		e.Seq = iss.Add(6)
		r.want(r.c.FromICMP(r.now, e), "", "=", r.syn(), true)
	}
}

func TestUnreachable(t *testing.T) {
	covers.IDs(t, "P5")
	r := sent(t, "hello")
	r.want(r.c.FromICMP(r.now, icmpFor(r, false, 0)), "S 0", "", r.syn(), true)
	r.want(r.c.FromICMP(r.now, icmpFor(r, false, 0)), "", "=", r.syn(), true)
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.lesson(VerdictRefused)
	r.outcome(5, 0, ReasonUnreachable)
}

func TestDataOnTheSYNACK(t *testing.T) {
	covers.IDs(t, "C-48", "C-49", "H-11")
	r := sent(t, "hello")
	out := r.fromWire(r.up(seg.SYN|seg.ACK, 0, 6, text(1400)), "", "SA 0 ack 1, A 1:1400 ack 1")
	if string(out.ToStack[1].Payload()) != text(1400) {
		t.Error("other bytes")
	}
	if val, ecr, ok := out.ToStack[1].Timestamps(); !ok || val != peerTS || ecr != stackTS {
		t.Error("the data lacks the answer's timestamps")
	}
	r.acknowledges("A 6 ack 1")
	r.fromStack(r.bare(1, 1401), "A 6 ack 1401", "")

	r = sent(t, "hello")
	r.fromWire(r.up(seg.SYN|seg.ACK|seg.FIN, 0, 6, "bye"), "", "SA 0 ack 1, FA 1:3 ack 1")
	r.fromStack(r.bare(1, 5), "A 6 ack 5", "")

	r = requested(t) // not ours to take: nothing was sent that it could answer
	r.fromWire(r.up(seg.SYN|seg.ACK, 0, 1, "bye"), "", "SA 0 ack 1")
}

func TestDataBeforeTheSYNACK(t *testing.T) {
	covers.IDs(t, "C-50", "H-12")
	r := sent(t, "hello")
	r.fromWire(r.up(seg.ACK, 1, 6, "early"), "", "")
	r.fromWire(r.up(seg.ACK|seg.FIN, 6, 6, "data"), "", "")
	r.fromWire(r.synack(6), "", "SA 0 ack 1, A 1:5 ack 1, FA 6:4 ack 1")

	r = sent(t, "hello")
	for range maxEarly {
		r.fromWire(r.up(seg.ACK, 1, 6, "early"), "", "")
	}
	r.fromWire(r.up(seg.ACK, 1, 6, "early"), "", "") // bounded: this one is lost
	out := r.c.FromWire(r.now, r.synack(6))
	if len(out.ToStack) != 1+maxEarly {
		t.Errorf("%d segments behind the SYN-ACK, want %d", len(out.ToStack)-1, maxEarly)
	}
	r = sent(t, "hello")
	r.fromWire(r.up(seg.ACK, 1, 1, "early"), "", "")
	r.fromWire(r.synack(1), "", "SA 0 ack 1, A 1:5 ack 1")
}

func TestSimultaneousOpen(t *testing.T) {
	covers.IDs(t, "C-51")
	for _, a := range []int{0, 5} {
		r := sent(t, "hello")
		r.fromWire(r.up(seg.SYN, 0, 0, "their data"), "", "=") // the stack ignores its payload
		r.state(SynRcvd)
		r.fromStack(r.down(seg.SYN|seg.ACK, 0, 1, ""), "=", "") // ack IRS+1, no option
		out := r.fromWire(r.synack(1+a), "", "A 1 ack 1")
		if w := out.ToStack[0].Window(); w != uint16(500+a+127)>>7 {
			t.Errorf("window %d", w)
		}
		if a == 0 {
			r.state(Done)
			continue
		}
		r.acknowledges("A 6 ack 1")
		r.fromStack(r.data(1, "hello"), "", "")
	}
	t.Run("completed by an ACK", func(t *testing.T) {
		r := sent(t, "hello")
		r.fromWire(r.up(seg.SYN, 0, 0, ""), "", "=")
		r.fromWire(r.up(seg.ACK, 1, 6, ""), "", "A 1 ack 1")
		r.fromStack(r.data(1, "hello"), "A 6 ack 1", "")
	})
}

func TestCookielessMode(t *testing.T) {
	covers.IDs(t, "C-52")
	plan := Plan{Action: SendBare, MSS: 1460}
	r := newRig(t, plan, "hello")
	r.fromStack(r.syn(), "S 0:5", "")
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.lesson(VerdictNotAcked)
	r = newRig(t, plan, "hello")
	r.fromStack(r.syn(), "S 0:5", "")
	r.now += time.Second
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	r.outcome(5, 5, ReasonNone)
	r = newRig(t, plan, "")
	r.fromStack(r.syn(), "=", "")
	r.state(Done)
}

func TestStrippedOnTheWay(t *testing.T) {
	covers.IDs(t, "B-06", "B-04")
	r := sent(t, "hello") // option and data stripped: the answer covers the SYN alone
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.fromStack(r.data(1, "hello"), "=", "")
	r.fromWire(r.up(seg.ACK, 1, 6, "answer"), "", "=")

	r = requested(t)
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.lesson(VerdictIgnored)
	r.fromStack(r.data(1, "hello"), "=", "")
}

func TestOptionStrippedFromTheAnswer(t *testing.T) {
	covers.IDs(t, "B-07")
	r := sent(t, "hello")
	r.fromWire(r.synack(6), "", "SA 0 ack 1")
	cache, path := NewCache(0), Path{Local: netip.MustParseAddr("192.0.2.1"), Remote: remote4.Addr(), Port: 80}
	cache.Learn(0, path, Lesson{Granted: known(0).Option})
	before := cache.Plan(0, path, ModeOn).Option
	cache.Learn(0, path, r.lesson(VerdictAccepted))
	if cache.Plan(0, path, ModeOn).Option != before {
		t.Error("the cookie changed")
	}
}
