package tfo

import (
	"encoding/binary"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// receiveWaiting handles what arrives before the stack has answered the SYN. It
// may be of an older connection between the same ports, which a forged SYN must
// not disturb: all but SYNs goes on.
func (c *Child) receiveWaiting(s seg.Segment) Out {
	f := s.Flags()
	data := seqnum.Size(len(c.syn.Payload()))
	switch {
	case f&(seg.SYN|seg.ACK|seg.RST) == seg.SYN && s.Seq() == c.irs && c.fresh:
		c.fresh = false
		return pass()
	case f&(seg.SYN|seg.ACK|seg.RST) == seg.SYN:
		// The same gets its answer in a moment; one with another number would
		// end the stack's handshake (S-46).
		return Out{}
	case f.Has(seg.RST) && (s.Seq() == c.first() || s.Seq() == c.first().Add(data)):
		return c.clientReset()
	}
	return pass()
}

// receiveFed handles what arrives before the SYN-ACK has left. The client can say
// nothing that counts but that it changed its mind.
func (c *Child) receiveFed(s seg.Segment) Out {
	if s.Flags().Has(seg.RST) && s.Seq() == c.first().Add(seqnum.Size(c.fed)) {
		return c.clientReset()
	}
	return Out{}
}

// clientReset lets a reset through. The place of the opening stays taken for a
// while (RFC 7413 §5.1, H-25).
func (c *Child) clientReset() Out {
	if c.decision.Answer == AnswerAccept {
		c.reset = true
		c.note(EventReset)
	}
	c.finish()
	return pass()
}

// receivePending handles the client's segments until one completes the handshake
// (RFC 9293 §3.10.7.4, in Linux's order).
func (c *Child) receivePending(now time.Duration, s seg.Segment) Out {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		if s.Seq() == c.rcvNxt {
			return c.clientReset()
		}
		return pass() // the stack answers it with a challenge ACK, or not at all
	case f.Has(seg.SYN):
		return c.receiveSYN(now, s)
	case !f.Has(seg.ACK):
		return Out{}
	case !after(s.Ack(), c.iss), after(s.Ack(), c.left):
		return toWire(seg.Make(seg.Fields{Src: c.local, Dst: c.remote, Seq: s.Ack(), Flags: seg.RST}))
	case c.older(s):
		return c.challenge(now)
	case !c.inWindow(s):
		return pass() // the stack answers with an ACK (S-45)
	}
	c.state = ChildOver
	out := pass()
	out.ToWire = c.release()
	c.finish()
	return out
}

// receiveSYN answers a repeat of the SYN with the SYN-ACK, at most every
// answerLimit; its data is not looked at (H-23). Any other SYN is the stack's to
// challenge (RFC 5961 §4).
func (c *Child) receiveSYN(now time.Duration, s seg.Segment) Out {
	if s.Flags().Has(seg.ACK) || s.Seq() != c.irs {
		return pass()
	}
	if !c.mayAnswer(now) {
		return Out{}
	}
	return toWire(c.again())
}

// older reports whether a segment was sent before the SYN (RFC 7323 §5; S-51).
func (c *Child) older(s seg.Segment) bool {
	val, _, ok := s.Timestamps()
	return c.useTS && ok && later(c.synTS, val)
}

// inWindow reports whether a segment is within the receive window. Data may
// reach back behind its left edge.
func (c *Child) inWindow(s seg.Segment) bool {
	edge := c.rcvNxt.Add(c.rcvWnd)
	switch {
	case s.Seq() == c.rcvNxt:
		return true
	case after(s.End(), c.rcvNxt) && after(edge, s.Seq()):
		return true
	}
	return s.Seq() == edge && s.Len() == 0
}

// challenge says what is expected.
func (c *Child) challenge(now time.Duration) Out {
	if !c.mayAnswer(now) {
		return Out{}
	}
	f := seg.Fields{Src: c.local, Dst: c.remote, Seq: c.left, Ack: c.rcvNxt, Flags: seg.ACK,
		Window: uint16(min(c.rcvWnd>>c.localShift, 65535))}
	if c.useTS {
		f.Options = seg.TimestampOption(c.ownTS, c.synTS)
	}
	return toWire(seg.Make(f))
}

// mayAnswer keeps the rate of answers.
func (c *Child) mayAnswer(now time.Duration) bool {
	if c.everRated && now-c.answered < answerLimit {
		return false
	}
	c.answered, c.everRated = now, true
	return true
}

// repeat sends the SYN-ACK once more, or gives up: the stack gets a reset
// (H-21).
func (c *Child) repeat(now time.Duration) Out {
	if c.repeats < maxSynAckRepeats {
		c.repeats++
		c.due = now + synAckTimeout<<c.repeats
		return toWire(c.again())
	}
	c.note(EventTimeout)
	c.finish()
	return toStack(c.resetToStack())
}

// resetToStack is a reset that the stack believes.
func (c *Child) resetToStack() seg.Segment {
	return seg.Make(seg.Fields{Src: c.remote, Dst: c.local, Seq: c.rcvNxt, Ack: c.left, Flags: seg.RST | seg.ACK})
}

// again is the SYN-ACK once more, without Fast Open, and with the newest
// timestamp of the stack's (H-34).
func (c *Child) again() seg.Segment {
	s := c.synack.Clone()
	if !c.useTS {
		return s
	}
	for kind, body := range s.Options() {
		if kind == seg.OptTS && len(body) == 8 {
			binary.BigEndian.PutUint32(body, c.ownTS)
		}
	}
	return s.Rebuild(s.OptionBytes(), nil)
}

// FromICMP takes an ICMP error that quotes a segment of this connection. Pass in
// the answer says that the stack may see it. "Unreachable" ends an opening that
// is pending, as RFC 5461 §4.1 has it for handshakes: the stack thinks that it is
// over and would take no notice (S-37).
func (c *Child) FromICMP(e seg.ICMPError) Out {
	switch c.state {
	case ChildOver:
		return pass()
	case ChildWaiting, ChildFed:
		return Out{} // nothing of this connection has left
	case ChildPending:
	}
	smallest := minMTU4
	if c.synack.IPv6() {
		smallest = minMTU6
	}
	switch {
	case !atLeast(e.Seq, c.iss), after(e.Seq, c.left):
		return Out{}
	case e.TooBig && e.MTU < smallest:
		return Out{} // the stack would send single bytes
	case e.TooBig:
		return pass()
	}
	out := pass()
	out.ToStack = []seg.Segment{c.resetToStack()}
	c.finish()
	return out
}
