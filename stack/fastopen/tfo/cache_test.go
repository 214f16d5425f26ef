package tfo

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/covers"
)

func pathTo(remote string) Path {
	ap := netip.MustParseAddrPort(remote)
	return Path{Local: netip.MustParseAddr("192.0.2.1"), Remote: ap.Addr(), Port: ap.Port()}
}

// taught is a cache that has a cookie for the path.
func taught(p Path) *Cache {
	c := NewCache(0)
	c.Learn(0, p, Lesson{Verdict: VerdictGranted, Granted: known(0).Option, MSS: 1460})
	return c
}

func wantPlan(t *testing.T, c *Cache, now time.Duration, p Path, action Action, why Reason) Plan {
	t.Helper()
	plan := c.Plan(now, p, ModeOn)
	if plan.Action != action || plan.Reason != why {
		t.Errorf("at %v: %v because %q, want %v because %q", now, plan.Action, plan.Reason, action, why)
	}
	return plan
}

func TestLossPausesThePath(t *testing.T) {
	covers.IDs(t, "C-39", "C-41", "P5")
	for _, verdict := range []Verdict{VerdictLost, VerdictRefused} {
		p := pathTo("198.51.100.1:80")
		c := taught(p)
		wantPlan(t, c, 0, p, SendCookie, ReasonNone)
		c.Learn(0, p, Lesson{Verdict: verdict})
		plan := wantPlan(t, c, 4*time.Minute-1, p, SendPlain, ReasonPaused)
		if plan.PausedUntil != 4*time.Minute {
			t.Errorf("paused until %v", plan.PausedUntil)
		}
		// One attempt when the pause is over; others wait for its verdict.
		now := 4 * time.Minute
		wantPlan(t, c, now, p, SendCookie, ReasonNone)
		wantPlan(t, c, now, p, SendPlain, ReasonPaused)
		// It fails: twice as long.
		c.Learn(now, p, Lesson{Verdict: verdict})
		wantPlan(t, c, now+8*time.Minute-1, p, SendPlain, ReasonPaused)
		now += 8 * time.Minute
		wantPlan(t, c, now, p, SendCookie, ReasonNone)
		// It works: all is forgotten.
		c.Learn(now, p, Lesson{Verdict: VerdictAccepted, MSS: 1460})
		wantPlan(t, c, now, p, SendCookie, ReasonNone)
		wantPlan(t, c, now, p, SendCookie, ReasonNone)
		c.Learn(now, p, Lesson{Verdict: verdict})
		wantPlan(t, c, now+4*time.Minute, p, SendCookie, ReasonNone)
	}
}

func TestProbeWithoutVerdict(t *testing.T) {
	covers.IDs(t, "C-41")
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	c.Learn(0, p, Lesson{Verdict: VerdictLost})
	now := 4 * time.Minute
	if !c.HasCookie(now, p) || !c.HasCookie(now, p) {
		t.Error("asking used up the attempt")
	}
	wantPlan(t, c, now, p, SendCookie, ReasonNone)
	wantPlan(t, c, now+probeTime-1, p, SendPlain, ReasonPaused)
	wantPlan(t, c, now+probeTime, p, SendCookie, ReasonNone)
}

func TestPauseIsBounded(t *testing.T) {
	covers.IDs(t, "C-39", "C-42")
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	for range 100 {
		c.Learn(0, p, Lesson{Verdict: VerdictNoAnswer})
	}
	wantPlan(t, c, 24*time.Hour-1, p, SendPlain, ReasonPaused)
	wantPlan(t, c, 24*time.Hour, p, SendCookie, ReasonNone)
}

func TestNoAnswerWeighsDouble(t *testing.T) {
	covers.IDs(t, "C-42")
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	c.Learn(0, p, Lesson{Verdict: VerdictNoAnswer})
	wantPlan(t, c, 8*time.Minute-1, p, SendPlain, ReasonPaused)
	wantPlan(t, c, 8*time.Minute, p, SendCookie, ReasonNone)
}

func TestStaleCookieIsNoLoss(t *testing.T) {
	covers.IDs(t, "C-40")
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	for range 5 {
		c.Learn(0, p, Lesson{Verdict: VerdictStale, Granted: known(0).Option})
	}
	wantPlan(t, c, 0, p, SendCookie, ReasonNone)
}

func TestServerIgnoresData(t *testing.T) {
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	c.Learn(0, p, Lesson{Verdict: VerdictNotAcked})
	wantPlan(t, c, 0, p, SendCookie, ReasonNone)
	c.Learn(0, p, Lesson{Verdict: VerdictNotAcked})
	wantPlan(t, c, time.Hour-1, p, SendRequest, ReasonDataRefused)
	wantPlan(t, c, time.Hour, p, SendCookie, ReasonNone)
	c.Learn(0, p, Lesson{Verdict: VerdictNotAcked})
	c.Learn(0, p, Lesson{Verdict: VerdictGranted, Granted: known(0).Option}) // a request was answered
	wantPlan(t, c, 0, p, SendCookie, ReasonNone)
}

func TestQuietPeriod(t *testing.T) {
	covers.IDs(t, "C-43")
	p, c, now := pathTo("198.51.100.1:80"), NewCache(0), time.Duration(0)
	for _, quiet := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute} {
		wantPlan(t, c, now, p, SendRequest, ReasonNoCookie)
		c.Learn(now, p, Lesson{Verdict: VerdictIgnored, MSS: 1460})
		wantPlan(t, c, now+quiet-1, p, SendPlain, ReasonServerSilent)
		now += quiet
	}
}

func TestKindLadder(t *testing.T) {
	covers.IDs(t, "C-53")
	p, c, now := pathTo("198.51.100.1:80"), NewCache(0), time.Duration(0)
	for i, kind := range []Kind{KindFO, KindExp, KindFO, KindFO} {
		if plan := c.Plan(now, p, ModeOn); plan.Option.Kind != kind {
			t.Errorf("request %d has kind %d, want %d", i, plan.Option.Kind, kind)
		}
		c.Learn(now, p, Lesson{Verdict: VerdictIgnored})
		now += 24 * time.Hour
	}
}

func TestKindIsLearned(t *testing.T) {
	covers.IDs(t, "C-53", "C-54")
	for _, kind := range []Kind{KindFO, KindExp} {
		r := newRig(t, Plan{Action: SendRequest, Option: Option{Kind: KindExp}}, "hello")
		r.fromStack(r.syn(), "S 0 exp=", "")
		want := map[Kind]string{KindFO: "fo=", KindExp: "exp="}[kind] + "0102030405060708"
		r.fromWire(r.synack(1, fo(kind, eight)...), "", "SA 0 ack 1 "+want)
		c, p := NewCache(0), pathTo("198.51.100.1:80")
		c.Learn(0, p, r.lesson(VerdictGranted))
		next := newRig(t, c.Plan(0, p, ModeOn), "hello")
		next.fromStack(next.syn(), "S 0:5 "+want, "")
	}
}

func TestPairsAndPorts(t *testing.T) {
	covers.IDs(t, "C-60", "C-61")
	a := pathTo("198.51.100.1:80")
	c := taught(a)
	other := a
	other.Local = netip.MustParseAddr("192.0.2.2")
	wantPlan(t, c, 0, other, SendRequest, ReasonNoCookie) // each pair its own cookie
	b := a
	b.Port = 443
	wantPlan(t, c, 0, b, SendCookie, ReasonNone) // which serves all ports
	c.Learn(0, a, Lesson{Verdict: VerdictLost})
	wantPlan(t, c, 0, a, SendPlain, ReasonPaused)
	wantPlan(t, c, 0, b, SendCookie, ReasonNone) // a verdict is for one port
	mapped := b
	mapped.Local = netip.AddrFrom16(b.Local.As16())
	mapped.Remote = netip.AddrFrom16(b.Remote.As16())
	wantPlan(t, c, 0, mapped, SendCookie, ReasonNone)
}

func TestMSSIsLearned(t *testing.T) {
	covers.IDs(t, "C-16", "C-44")
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	c.Learn(0, p, Lesson{Verdict: VerdictAccepted, MSS: 1400})
	if plan := c.Plan(0, p, ModeOn); plan.MSS != 1400 {
		t.Errorf("MSS %d", plan.MSS)
	}
	c.Learn(0, p, Lesson{MSS: 1460, PathMSS: 760})
	c.Learn(0, p, Lesson{Verdict: VerdictAccepted, MSS: 1460}) // the peer's does not undo the path's
	for _, tt := range []struct {
		now  time.Duration
		want uint16
	}{{0, 760}, {10*time.Minute - 1, 760}, {10 * time.Minute, 1460}} {
		if plan := c.Plan(tt.now, p, ModeOn); plan.MSS != tt.want {
			t.Errorf("at %v MSS %d, want %d", tt.now, plan.MSS, tt.want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	covers.IDs(t, "B-12")
	const size = 100
	c := NewCache(size)
	path := func(i int) Path {
		p := pathTo("198.51.100.1:80")
		p.Remote = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))
		return p
	}
	for i := range 10 * size {
		c.Learn(0, path(i), Lesson{Verdict: VerdictGranted, Granted: known(0).Option})
		c.Learn(0, path(i), Lesson{Verdict: VerdictLost})
		c.Plan(0, path(0), ModeOn) // keep the first one young
	}
	if peers, paths := c.Len(); peers != size || paths != size {
		t.Errorf("%d peers and %d paths, want %d", peers, paths, size)
	}
	if c.Plan(time.Hour, path(0), ModeOn).Action != SendCookie || c.Plan(time.Hour, path(1), ModeOn).Action != SendRequest {
		t.Error("the oldest entry was not the one to go")
	}
	c.Clear()
	if peers, paths := c.Len(); peers+paths != 0 {
		t.Error("not empty after Clear")
	}
}

func TestPlanForOtherModes(t *testing.T) {
	p := pathTo("198.51.100.1:80")
	c := taught(p)
	for _, m := range []Mode{ModeOff, ModeDefault, 99} {
		if plan := c.Plan(0, p, m); plan.Action != SendPlain || plan.Reason != ReasonOff {
			t.Errorf("mode %v: %+v", m, plan)
		}
	}
	if plan := c.Plan(0, p, ModeCookieless); plan.Action != SendBare || plan.MSS != 1460 {
		t.Errorf("cookieless: %+v", plan)
	}
}
