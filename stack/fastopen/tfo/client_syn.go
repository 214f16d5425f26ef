package tfo

import (
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

const (
	minTCPHeader = 20
	// maxSegment4 and maxSegment6 are the segment sizes of Ethernet.
	maxSegment4, maxSegment6 = 1460, 1440
	// unknownMSS4 and unknownMSS6 bound the data when nothing is known of the
	// peer (RFC 7413 §4.1.3).
	unknownMSS4, unknownMSS6 = 536, 1220
)

// start decorates the first SYN of the attempt (RFC 7413 §4.2.1, §4.2.2).
func (c *Client) start(now time.Duration, s seg.Segment) Out {
	if c.plan.Action == SendPlain {
		return c.plain(c.plan.Reason)
	}
	if c.plan.Action != SendBare && s.OptionRoom() < c.plan.Option.paddedSize() {
		return c.plain(ReasonNoOptionRoom)
	}
	options := withoutEnd(s.OptionBytes())
	switch c.plan.Action {
	case SendRequest:
		options = c.plan.Option.append(options)
		c.outcome.Cookie = CookieRequested
	case SendCookie:
		options = c.plan.Option.append(options)
		c.outcome.Cookie = CookieSent
		c.n = c.dataRoom(s)
	case SendBare:
		if c.n = c.dataRoom(s); c.n == 0 {
			return c.plain(c.outcome.Reason)
		}
	case SendPlain:
	}
	c.state = SynSent
	c.syn = s
	c.iss = s.Seq()
	c.local, c.remote = s.Src(), s.Dst()
	c.sentAt, c.expires = now, now+synLife
	c.outcome.BytesInSYN = c.n
	return toWire(s.Rebuild(options, c.payload[:c.n]))
}

// plain gives Fast Open up for this attempt, before anything was sent.
func (c *Client) plain(why Reason) Out {
	c.outcome.Reason = why
	c.finish()
	return pass()
}

// dataRoom is how many bytes of the payload ride in the SYN. Like Linux it keeps
// all 40 bytes of options free, so that a middlebox which adds some cannot push
// the packet over the MTU.
func (c *Client) dataRoom(s seg.Segment) int {
	segment, unknown := maxSegment4, unknownMSS4
	if s.IPv6() {
		segment, unknown = maxSegment6, unknownMSS6
	}
	if c.limits.MaxSegment > 0 {
		segment = c.limits.MaxSegment
	}
	segment = min(segment, c.limits.MTU-s.IPHeaderLen()-minTCPHeader)
	if own, ok := s.MSS(); ok {
		segment = min(segment, int(own))
	}
	if c.plan.MSS != 0 {
		segment = min(segment, int(c.plan.MSS))
	}
	room := segment - seg.MaxOptionBytes
	if c.plan.MSS == 0 {
		room = min(room, unknown)
	}
	switch {
	case len(c.payload) == 0:
		c.outcome.Reason = ReasonNoPayload
		return 0
	case room <= 0:
		c.outcome.Reason = ReasonNoPayloadRoom
		return 0
	}
	return min(room, len(c.payload))
}

// withoutEnd returns a copy of the options up to an end-of-options kind, behind
// which nothing that is appended would be seen.
func withoutEnd(options []byte) []byte {
	out := make([]byte, 0, seg.MaxOptionBytes)
	for i := 0; i < len(options); {
		switch {
		case options[i] == seg.OptEnd:
			return append(out, options[:i]...)
		case options[i] == seg.OptNOP:
			i++
		case i+1 < len(options) && options[i+1] >= 2:
			i += int(options[i+1])
		default:
			i = len(options)
		}
	}
	return append(out, options...)
}

// sendOpening handles what the stack sends before the handshake is over.
func (c *Client) sendOpening(now time.Duration, s seg.Segment) Out {
	switch f := s.Flags(); {
	case f.Has(seg.RST):
		c.finish()
	case f&(seg.SYN|seg.ACK) == seg.SYN && s.Seq() != c.iss:
		c.finish() // another attempt: this machine has no part in it
	case f&(seg.SYN|seg.ACK) == seg.SYN:
		// The stack repeats its SYN: it stays plain (RFC 7413 §4.2.2, H-13).
		c.repeated(now)
		if c.pathMSS != 0 {
			c.clampMSS(s)
			return toWire(s)
		}
	}
	return pass()
}

// repeated notes that a plain SYN went out.
func (c *Client) repeated(now time.Duration) {
	c.repeats++
	c.outcome.SYNRetransmitted = true
	c.expires = now + synLife
}

// plainSYN is the stack's SYN once more, as it was.
func (c *Client) plainSYN(now time.Duration) seg.Segment {
	c.repeated(now)
	s := c.syn.Clone()
	c.clampMSS(s)
	return s
}

// clampMSS lowers the MSS that a SYN advertises to what ICMP has shown.
func (c *Client) clampMSS(s seg.Segment) {
	if mss, ok := s.MSS(); ok && c.pathMSS != 0 && mss > c.pathMSS {
		s.SetMSS(c.pathMSS)
	}
}
