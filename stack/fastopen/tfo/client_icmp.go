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
		ours := atLeast(e.Seq, c.iss) && atLeast(last(c.sndNxt, c.peerNxt), e.Seq)
		return Out{Pass: ours && (!e.TooBig || e.MTU >= c.smallestMTU())}
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

// The smallest MTUs that are believed. No IPv6 link has less (RFC 8200 §5); for
// IPv4 it is what Linux takes, since below 68 (RFC 791) the stack would send
// single bytes, and a router that does not say (RFC 1191 §4) says 0.
const (
	minMTU4 = 552
	minMTU6 = 1280
)

func (c *Client) smallestMTU() int {
	if c.local.Addr().Is6() {
		return minMTU6
	}
	return minMTU4
}

// tooBig answers "fragmentation needed" at once with a plain SYN that fits; the
// stack would wait for its timer (H-14). It does so once: whatever comes after
// that is about the plain SYN, which the stack repeats.
func (c *Client) tooBig(now time.Duration, e seg.ICMPError) Out {
	smallest := c.smallestMTU()
	mss := uint16(min(max(e.MTU, smallest)-c.syn.IPHeaderLen()-minTCPHeader, 65535))
	if c.pathMSS == 0 || mss < c.pathMSS {
		c.pathMSS = mss
	}
	out := Out{Pass: e.MTU >= smallest}
	if !c.triedPlain {
		c.triedPlain = true
		c.setback = ReasonTooBig
		out.ToWire = []seg.Segment{c.plainSYN(now)}
	}
	return out
}
