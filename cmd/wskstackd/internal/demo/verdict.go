package demo

import (
	"fmt"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Claim is something that the demo says and checks.
type Claim struct {
	Text string
	True bool
}

// verdict collects claims.
type verdict struct{ claims []Claim }

func (v *verdict) claim(ok bool, format string, args ...any) {
	v.claims = append(v.claims, Claim{fmt.Sprintf(format, args...), ok})
}

func (v *verdict) ok() bool {
	for _, c := range v.claims {
		if !c.True {
			return false
		}
	}
	return len(v.claims) > 0
}

// takes claims that a run took so many round trips, on the packet log as well as by the
// time of them.
func (v *verdict) takes(r result, trips int, rtt time.Duration) {
	got := time.Duration(r.TTFBms * float64(time.Millisecond))
	want := time.Duration(trips) * rtt
	v.claim(r.trips == trips, "%s: %s on the packet log before the first byte of the answer", r.Name, plural(r.trips, "round trip"))
	v.claim(r.RoundTrips == trips && within(got, want, tolerance),
		"%s: first byte of the answer after %.1f ms, %s of %v (within %.0f %%)",
		r.Name, r.TTFBms, plural(trips, "round trip"), rtt, tolerance*100)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// plain is what is claimed of connections without Fast Open.
func (v *verdict) plain(res result, rtt time.Duration) {
	syn, answer := options(res.parts[0].trace)
	v.claim(res.BytesInSYN == 0 && syn == "none" && answer == "none", "%s: a SYN without payload and without option", res.Name)
	v.takes(res, 2, rtt)
}

// requested is what is claimed of a first contact.
func (v *verdict) requested(res result, rtt time.Duration) {
	syn, answer := options(res.parts[0].trace)
	v.claim(res.BytesInSYN == 0 && syn == "request" && answer == "cookie",
		"%s: the SYN asks for a cookie and carries no payload, the SYN-ACK brings one", res.Name)
	v.takes(res, 2, rtt)
}

// opened is what is claimed of Fast Open with a question that fits.
func (v *verdict) opened(res result, rtt time.Duration) {
	syn, _ := options(res.parts[0].trace)
	v.claim(syn == "cookie" && res.BytesInSYN == res.Bytes, "%s: all %d bytes left in the SYN, behind the cookie", res.Name, res.Bytes)
	v.claim(res.BytesAcceptedInSYN == res.Bytes, "%s: the SYN-ACK acknowledged all %d of them", res.Name, res.Bytes)
	v.claim(res.parts[0].trace.Payload(true) == res.Bytes, "%s: no byte of the request crossed the wire twice", res.Name)
	v.takes(res, 1, rtt)
}

// openedLarge is what is claimed of one that does not.
func (v *verdict) openedLarge(res result, rtt time.Duration) {
	v.claim(res.BytesInSYN > 0 && res.BytesInSYN < res.Bytes && res.BytesAcceptedInSYN == res.BytesInSYN,
		"%s: %d of %d bytes left in the SYN, all of these were accepted", res.Name, res.BytesInSYN, res.Bytes)
	v.claim(res.parts[0].trace.Payload(true) == res.Bytes, "%s: the rest followed, no byte crossed the wire twice", res.Name)
	v.takes(res, 2, rtt)
}

// fellBack is what is claimed of a path that drops SYNs with payload.
func (v *verdict) fellBack(dropped, again result) {
	first, second := dropped.parts[0].trace, dropped.parts[1].trace
	v.claim(dropped.BytesInSYN == dropped.Bytes && !first.Reached() && dropped.BytesAcceptedInSYN == 0,
		"%s: the SYN with %d bytes was dropped", dropped.Name, dropped.BytesInSYN)
	v.claim(first.SYNs() == 2 && first.LastSYNIsPlain(), "%s: a plain SYN opened the connection, and the answer came", dropped.Name)
	syn, _ := options(second)
	v.claim(again.BytesInSYN == 0 && syn == "none" && second.SYNs() == 1,
		"%s: the next connection to that server did not try (%s)", dropped.Name, again.Reason)
}

// cancelledCleanly is what is claimed of a cancelled request.
func (v *verdict) cancelledCleanly(c cancelled) {
	v.claim(c.status == ntstatus.Cancelled && c.pended && c.completions == 1,
		"%s: WskConnectEx pended, and its IRP completed once, with %v", c.Name, c.status)
	text := "the same socket connected afterwards, and all its bytes arrived once"
	if c.connected != nil {
		text += " (" + oneLine(c.connected) + ")"
	}
	v.claim(c.connected == nil, "%s: %s", c.Name, text)
}

// servedEarly is what is claimed of the run in which the peer is the client.
func (v *verdict) servedEarly(s served, rtt time.Duration) {
	syn, _ := options(s.parts[0].trace)
	v.claim(syn == "cookie" && s.BytesInSYN == s.Bytes && s.BytesAcceptedInSYN == s.Bytes,
		"%s: all %d bytes came in the peer's SYN, behind our cookie, and our SYN-ACK acknowledged them", s.Name, s.Bytes)
	v.claim(s.inSYN, "%s: the peer says that its data in the SYN was acknowledged: %s", s.Name, s.judge)
	v.claim(s.AcceptedBeforeACK != nil && *s.AcceptedBeforeACK && s.lead > 0,
		"%s: the request was read, and the answer had left, %.1f ms before the client's ACK came", s.Name, report.Milliseconds(s.lead))
	v.takes(s.result, 1, rtt)
}

// counted compares the peer's counters with what was on the wire: traces are of
// connections to the peer, served of those from it.
func (v *verdict) counted(peer string, got kernelpeer.Counters, traces, served []ladder.Trace) {
	var want kernelpeer.Counters
	for _, t := range traces {
		switch syn, _ := options(t); {
		case !t.Reached():
		case syn == "request":
			want.CookieReqd++
		case syn == "cookie" && t.BytesAcceptedInSYN() > 0:
			want.Passive++
		}
	}
	for _, t := range served {
		if t.BytesInSYN() > 0 && t.BytesAcceptedInSYN() == t.BytesInSYN() {
			want.Active++
		}
	}
	v.claim(got == want && want.Passive > 0 && want.CookieReqd > 0 && want.Active > 0,
		"%s's own counters: TCPFastOpenPassive %d, TCPFastOpenCookieReqd %d and TCPFastOpenActive %d, as on the wire (%d, %d and %d), and no failures",
		peer, got.Passive, got.CookieReqd, got.Active, want.Passive, want.CookieReqd, want.Active)
}

// options are the Fast Open options of a trace's first SYN and SYN-ACK in a word
// each: none, request, cookie.
func options(t ladder.Trace) (syn, answer string) {
	word := func(o tfo.Option, ok bool) string {
		switch {
		case !ok:
			return "none"
		case o.Cookie.Empty():
			return "request"
		}
		return "cookie"
	}
	return word(t.Option(true)), word(t.Option(false))
}
