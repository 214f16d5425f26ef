package tfo

import (
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

// FromICMP takes an ICMP error that quotes a segment of this connection. Pass in
// the answer says that the stack may see it.
func (c *Client) FromICMP(now time.Duration, e seg.ICMPError) Out {
	switch c.state {
	case Idle, Done:
		return pass()
	case Open, Settled:
		// Ours are the numbers from the SYN to what has been sent or taken.
		if atLeast(e.Seq, c.iss) && atLeast(last(c.sndNxt, c.peerNxt), e.Seq) {
			return pass()
		}
		return Out{}
	case SynSent, SynRcvd:
	}
	if e.Seq != c.iss {
		return Out{} // forged, or about another connection; the stack does not look
	}
	if e.TooBig {
		return c.tooBig(now, e)
	}
	if c.triedPlain || c.state == SynRcvd {
		return pass()
	}
	// As with a reset: only what answers a plain SYN is believed.
	c.triedPlain = true
	c.setback = ReasonUnreachable
	return toWire(c.plainSYN(now))
}

// Smallest MTUs that the protocols allow (RFC 791, RFC 8200 §5).
const (
	minMTU4 = 68
	minMTU6 = 1280
)

// tooBig answers "fragmentation needed" at once with a plain SYN that fits; the
// stack would wait for its timer (H-14).
func (c *Client) tooBig(now time.Duration, e seg.ICMPError) Out {
	c.setback = ReasonTooBig
	smallest := minMTU4
	if c.syn.IPv6() {
		smallest = minMTU6
	}
	out := Out{}
	if e.MTU >= smallest {
		c.pathMSS = uint16(min(e.MTU-c.syn.IPHeaderLen()-minTCPHeader, 65535))
		out.Pass = true // below that the stack would send single bytes
	}
	out.ToWire = []seg.Segment{c.plainSYN(now)}
	return out
}
