package tfo

import (
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// receiveOpening handles the answer to the SYN (RFC 9293 §3.10.7.3).
func (c *Client) receiveOpening(now time.Duration, s seg.Segment) Out {
	f := s.Flags()
	acceptable := f.Has(seg.ACK) && c.covers(s.Ack())
	switch {
	case f.Has(seg.RST) && acceptable:
		return c.refused(now, s)
	case f.Has(seg.RST):
		return pass() // the stack ignores it
	case f.Has(seg.ACK) && !acceptable, f.Has(seg.SYN|seg.ACK) && !c.ownTimestamp(s):
		// The stack would reset, too, but then send a burst of SYNs (H-04).
		return toWire(c.reset(s))
	case f.Has(seg.SYN | seg.ACK):
		return c.answered(now, s)
	case f.Has(seg.SYN):
		c.state = SynRcvd
		c.setback = ReasonCrossed
		c.noteOptions(s)
		return pass()
	case f.Has(seg.ACK) && c.state == SynRcvd:
		return c.answered(now, s)
	case f.Has(seg.ACK):
		return c.keepEarly(s)
	}
	return pass()
}

// covers reports whether ack acknowledges the SYN, and no more data than it had.
func (c *Client) covers(ack seqnum.Value) bool {
	first := c.iss.Add(1)
	return atLeast(ack, first) && atLeast(first.Add(seqnum.Size(c.n)), ack)
}

// ownTimestamp reports whether a SYN-ACK echoes what our SYN carried. Its repeats
// carry the same value.
func (c *Client) ownTimestamp(s seg.Segment) bool {
	val, _, sent := c.syn.Timestamps()
	_, ecr, echoed := s.Timestamps()
	return !sent || !echoed || ecr == 0 || ecr == val
}

// reset answers a segment whose acknowledgement is not acceptable:
// <SEQ=SEG.ACK><CTL=RST>.
func (c *Client) reset(s seg.Segment) seg.Segment {
	return seg.Make(seg.Fields{Src: c.local, Dst: c.remote, Seq: s.Ack(), Flags: seg.RST})
}

// refused handles a reset. If the SYN carried Fast Open it may come from a
// middlebox that dislikes it (P5): one plain SYN is tried at once, and only what
// answers that is the peer's word.
func (c *Client) refused(now time.Duration, s seg.Segment) Out {
	if !c.triedPlain && c.state == SynSent {
		c.triedPlain = true
		c.setback = ReasonRefused
		return toWire(c.plainSYN(now))
	}
	c.outcome.Reason = ReasonRefused
	c.finish()
	if s.Ack() == c.iss.Add(1) {
		return pass()
	}
	s.SetAck(c.iss.Add(1)) // the only one that the stack believes (H-03)
	return toStack(s)
}

// keepEarly holds a segment that overtook the SYN-ACK, which the stack would
// drop (H-12).
func (c *Client) keepEarly(s seg.Segment) Out {
	size := len(s.Bytes())
	if len(c.early) == maxEarly || c.earlyBytes+size > maxEarlyBytes {
		return Out{} // the peer repeats it; the stack would reset the connection (H-04)
	}
	c.early = append(c.early, s)
	c.earlyBytes += size
	return Out{}
}

// answered handles the segment that completes the handshake from the peer's
// side: a SYN-ACK, or after a crossing of SYNs also an ACK.
func (c *Client) answered(now time.Duration, s seg.Segment) Out {
	first := c.iss.Add(1)
	a := int(first.Size(s.Ack()))
	c.enterOpen(now, s, a)
	lesson := c.conclude(s, a)
	early := c.early
	c.early, c.earlyBytes = nil, 0

	out := toStack(c.showAnswer(s, a)...).with(lesson)
	if a == 0 {
		c.finish() // from here on it is ordinary TCP
	}
	for _, e := range early {
		after := c.FromWire(now, e)
		if after.Pass {
			after.ToStack = []seg.Segment{e}
		}
		out.ToStack = append(out.ToStack, after.ToStack...)
	}
	return out
}

// enterOpen notes what the answer says.
func (c *Client) enterOpen(now time.Duration, s seg.Segment, a int) {
	first := c.iss.Add(1)
	c.state, c.expires = Open, now+openLife
	c.outcome.Answered = true
	c.outcome.BytesAccepted = a
	c.outcome.HandshakeRTT = now - c.sentAt
	c.rtt = now - c.sentAt
	if c.repeats > 0 {
		c.rtt = min(c.rtt, maxHoldRTT) // which SYN was answered is not certain
	}
	c.peerNxt = s.Ack()
	c.sndNxt, c.given = first, first
	c.rcvNxt = s.Seq()
	if s.Flags().Has(seg.SYN) {
		c.rcvNxt = s.Seq().Add(1)
	}
	c.peerAck = s.Ack()
	c.noteOptions(s)
	c.note(s)
}

// noteOptions notes what the peer's SYN or SYN-ACK negotiates.
func (c *Client) noteOptions(s seg.Segment) {
	if !s.Flags().Has(seg.SYN) {
		return
	}
	if shift, ok := s.WScale(); ok {
		if own, offered := c.syn.WScale(); offered {
			c.shift, c.ownShift = shift, own
		}
	}
	if val, _, ok := s.Timestamps(); ok {
		_, _, c.useTS = c.syn.Timestamps()
		c.peerTS = val
	}
}

// showAnswer returns what the stack is shown instead of the answer: a SYN-ACK
// that acknowledges the SYN alone (H-01, H-07), and what rode on it as a segment
// of its own (H-11).
func (c *Client) showAnswer(s seg.Segment, a int) []seg.Segment {
	carried := len(s.Payload()) > 0 || s.Flags().Has(seg.FIN)
	val, ecr, _ := s.Timestamps()
	window := s.Window()
	if !s.Flags().Has(seg.SYN) {
		return []seg.Segment{c.lowered(s)}
	}
	rest := seg.Fields{
		Src: c.remote, Dst: c.local, Seq: s.Seq().Add(1), Ack: c.iss.Add(1),
		Flags:  s.Flags() &^ seg.SYN,
		Window: c.scaled(int(window) + a),
	}
	if c.useTS {
		rest.Options = seg.TimestampOption(val, ecr)
	}
	rest.Payload = s.Payload()
	if c.setback == ReasonCrossed {
		// In SYN-RCVD the stack takes an ACK, and no second SYN.
		return []seg.Segment{seg.Make(rest)}
	}
	takes := c.plan.Action == SendCookie || c.plan.Action == SendBare
	if carried {
		s = s.Rebuild(s.OptionBytes(), nil)
		s.SetFlags(s.Flags() &^ (seg.FIN | seg.PSH))
	}
	s.SetAck(c.iss.Add(1))
	s.SetWindow(uint16(min(int(window)+a, 65535)))
	c.clampMSS(s)
	if !carried || !takes {
		return []seg.Segment{s}
	}
	return []seg.Segment{s, seg.Make(rest)}
}

// conclude works out what the answer means (RFC 7413 §4.1.3, §4.2.2) and returns
// what is to be remembered.
func (c *Client) conclude(s seg.Segment, a int) *Lesson {
	lesson := &Lesson{PathMSS: c.pathMSS}
	lesson.MSS, _ = s.MSS()
	asked := c.plan.Action == SendRequest || c.plan.Action == SendCookie
	if opt, ok := ParseOption(s); ok && asked && !opt.Cookie.Empty() {
		lesson.Granted = opt
		c.outcome.Cookie = granted(c.outcome.Cookie)
	}
	lesson.Verdict = c.verdict(a, !lesson.Granted.Cookie.Empty())
	return lesson
}

func granted(was CookieState) CookieState {
	if was == CookieSent {
		return CookieReplaced
	}
	return CookieGranted
}

// verdict also settles the outcome's reason.
func (c *Client) verdict(a int, cookie bool) Verdict {
	switch {
	case c.n > 0 && a == c.n:
		c.outcome.Reason = ReasonNone
		return VerdictAccepted
	case a > 0:
		c.outcome.Reason = ReasonPartlyAcked
		return VerdictAccepted
	case c.setback == ReasonTooBig, c.setback == ReasonCrossed:
		c.outcome.Reason = c.setback
		return VerdictNone
	case c.repeats > 0 && cookie && c.n == 0:
		return VerdictGranted // the first SYN was answered, late
	case c.repeats > 0 && cookie:
		c.outcome.Reason = ReasonNotAcked
		return VerdictStale
	case c.setback == ReasonRefused, c.setback == ReasonUnreachable:
		c.outcome.Reason = c.setback
		return VerdictRefused
	case c.repeats > 0:
		c.outcome.Reason = ReasonSYNLost
		return VerdictLost
	case c.plan.Action == SendRequest && cookie:
		return VerdictGranted
	case c.plan.Action == SendRequest:
		return VerdictIgnored
	case c.n == 0:
		return VerdictNone
	case cookie:
		c.outcome.Reason = ReasonNotAcked
		return VerdictStale
	}
	c.outcome.Reason = ReasonNotAcked
	return VerdictNotAcked
}
