package tfo

import (
	"bytes"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// sendOpen handles what the stack sends while the peer has bytes that the stack
// has yet to send, or to be told of. No segment leaves with a sequence number
// below peerNxt (H-02), but for the probes that are meant to be old.
func (c *Client) sendOpen(now time.Duration, s seg.Segment) Out {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		return c.sendReset(s)
	case f.Has(seg.SYN):
		c.finish() // another attempt on the same ports
		return pass()
	case c.state == Settled && atLeast(s.Seq(), c.peerNxt.Add(MaxAhead)):
		c.finish() // before its numbers come round, and look like repeats
		return pass()
	}
	news := c.isNews(s)
	first := !c.owed.active && !c.owed.paid && s.Ack() == c.rcvNxt
	c.rcvNxt, c.sentWnd = s.Ack(), s.Window()
	if len(s.Payload()) > 0 {
		return c.sendData(now, s, news)
	}
	end := s.End()
	if atLeast(s.Seq(), c.peerNxt) {
		c.sndNxt = last(c.sndNxt, end)
		c.pay()
		return pass()
	}
	if f.Has(seg.FIN) {
		return c.mismatch(s) // closed before the offered bytes were written (H-09)
	}
	if s.Seq().Add(1) == c.sndNxt {
		s.SetSeq(c.peerNxt - 1) // a keep-alive probe is old on purpose
	} else {
		s.SetSeq(c.peerNxt)
	}
	if first {
		c.owed = owedAck{active: true, ack: s, due: now + ackDelay}
		return Out{}
	}
	c.pay()
	return toWire(s)
}

// pay notes that the peer gets an ACK.
func (c *Client) pay() { c.owed = owedAck{paid: true} }

// isNews reports whether the peer has to be told what a segment says besides its
// data. That a window has grown can wait for the next segment if the window that
// the peer knows holds what it sends until then.
func (c *Client) isNews(s seg.Segment) bool {
	known := int(c.sentWnd) << c.ownShift
	return s.Ack() != c.rcvNxt || s.Window() < c.sentWnd || s.Window() > c.sentWnd && known < roomyWindow
}

// sendReset lets a reset through with a number that the peer believes (H-09).
func (c *Client) sendReset(s seg.Segment) Out {
	old := !atLeast(s.Seq(), c.peerNxt)
	if old {
		s.SetSeq(c.peerNxt)
	}
	c.finish()
	if old {
		return toWire(s)
	}
	return pass()
}

// sendData keeps off the wire what the peer has (H-06).
func (c *Client) sendData(now time.Duration, s seg.Segment, news bool) Out {
	if atLeast(s.Seq(), c.peerNxt) {
		c.sndNxt = last(c.sndNxt, s.End())
		c.pay()
		return pass()
	}
	if len(s.Payload()) == 1 && s.Seq() == c.given-1 {
		// A zero-window probe: one byte of no meaning before SND.UNA.
		probe := s.Rebuild(s.OptionBytes(), nil)
		probe.SetFlags(seg.ACK)
		probe.SetSeq(c.peerNxt - 1)
		return toWire(probe)
	}
	known := min(int(s.Seq().Size(c.peerNxt)), len(s.Payload()))
	at := int(c.iss.Add(1).Size(s.Seq()))
	if !atLeast(s.Seq(), c.iss.Add(1)) || !bytes.Equal(s.Payload()[:known], c.payload[at:at+known]) {
		return c.mismatch(s)
	}
	c.sndNxt = last(c.sndNxt, s.End())
	if known < len(s.Payload()) {
		c.pay()
		return toWire(s.CutFront(known))
	}
	upTo := s.Seq().Add(seqnum.Size(known))
	fin := s.Flags().Has(seg.FIN)
	if fin && upTo != c.peerNxt {
		return c.mismatch(s) // the stream ends inside the offered bytes
	}
	c.hold(now, upTo, s)
	if !fin && !news {
		return Out{}
	}
	c.pay()
	bare := s.Rebuild(s.OptionBytes(), nil)
	bare.SetSeq(c.peerNxt)
	if !fin {
		bare.SetFlags(seg.ACK)
	}
	return toWire(bare)
}

// hold schedules the acknowledgement of bytes that were kept off the wire. It
// waits for the handshake's round trip, as the peer's would have, so that the
// stack's estimate of the path stays true (H-10). A repeat of bytes that were
// acknowledged before is answered at once: that acknowledgement got lost.
func (c *Client) hold(now time.Duration, upTo seqnum.Value, s seg.Segment) {
	switch {
	case c.state == Settled:
		c.state, c.expires = Open, now+openLife
		c.held = heldAck{active: true, upTo: c.given, due: now}
	case !c.held.active:
		val, _, _ := s.Timestamps()
		c.held = heldAck{active: true, upTo: upTo, due: now + max(c.rtt, minHoldRTT), ecr: val}
	default:
		c.held.upTo = last(c.held.upTo, upTo)
	}
}

// makeAck is the acknowledgement that is held.
func (c *Client) makeAck() seg.Segment {
	f := seg.Fields{
		Src: c.remote, Dst: c.local, Seq: c.rcvNxt, Ack: c.held.upTo,
		Flags:  seg.ACK,
		Window: c.scaled(c.windowFrom(c.held.upTo)),
	}
	if c.useTS {
		f.Options = seg.TimestampOption(c.peerTS, c.held.ecr)
	}
	return seg.Make(f)
}

// windowFrom is the peer's window counted from ack, in bytes.
func (c *Client) windowFrom(ack seqnum.Value) int {
	if !atLeast(c.peerEdge, ack) {
		return 0
	}
	return int(ack.Size(c.peerEdge))
}

// scaled is a window of so many bytes as it stands in a header, rounded up.
func (c *Client) scaled(window int) uint16 {
	return uint16(min((window+1<<c.shift-1)>>c.shift, 65535))
}

// receiveOpen handles the peer's segments while it may acknowledge bytes that
// the stack has not sent.
func (c *Client) receiveOpen(now time.Duration, s seg.Segment) Out {
	if !s.Flags().Has(seg.ACK) || s.Flags().Has(seg.RST) {
		return pass()
	}
	if !atLeast(last(c.sndNxt, c.iss.Add(1).Add(seqnum.Size(c.n))), s.Ack()) {
		return pass() // acknowledges what nobody sent; the stack ignores that
	}
	c.note(s)
	out := pass()
	if after(s.Ack(), c.sndNxt) {
		s = c.lowered(s)
		out = toStack(s)
	}
	if c.counts(s) {
		c.giveAck(now, s.Ack())
	}
	return out
}

// counts reports whether the stack looks at a segment's acknowledgement: not on
// a repeated SYN-ACK, and not on what lies before its window (RFC 9293
// §3.10.7.4).
func (c *Client) counts(s seg.Segment) bool {
	return !s.Flags().Has(seg.SYN) && (atLeast(s.Seq(), c.rcvNxt) || after(s.End(), c.rcvNxt))
}

// note remembers what the peer said last.
func (c *Client) note(s seg.Segment) {
	if val, _, ok := s.Timestamps(); ok && later(val, c.peerTS) {
		c.peerTS = val
	}
	if !atLeast(s.Ack(), c.peerAck) {
		return
	}
	window := seqnum.Size(s.Window())
	if !s.Flags().Has(seg.SYN) {
		window <<= c.shift
	}
	c.peerAck, c.peerEdge = s.Ack(), s.Ack().Add(window)
}

// lowered makes a segment acknowledge no more than the stack has sent (H-05),
// with the window's right edge where it was (H-07).
func (c *Client) lowered(s seg.Segment) seg.Segment {
	by := int(c.sndNxt.Size(s.Ack()))
	if by == 0 {
		return s
	}
	if s.Flags().Has(seg.SYN) {
		s.SetWindow(uint16(min(int(s.Window())+by, 65535)))
	} else {
		s.SetWindow(c.scaled(int(s.Window())<<c.shift + by))
	}
	s.SetAck(c.sndNxt)
	return s
}

// giveAck notes that the stack was shown this acknowledgement.
func (c *Client) giveAck(now time.Duration, ack seqnum.Value) {
	c.given = last(c.given, ack)
	if c.held.active && atLeast(c.given, c.held.upTo) {
		c.held = heldAck{}
	}
	if atLeast(c.given, c.peerNxt) {
		c.state, c.expires = Settled, now+settleTime
	}
}

// mismatch ends a connection on which the stack sends other bytes than those
// that were in the SYN: the peer cannot be told (H-08).
func (c *Client) mismatch(s seg.Segment) Out {
	c.outcome.Reason = ReasonMismatch
	c.finish()
	return Out{
		ToWire: []seg.Segment{seg.Make(seg.Fields{
			Src: c.local, Dst: c.remote, Seq: c.peerNxt, Ack: s.Ack(), Flags: seg.RST | seg.ACK})},
		ToStack: []seg.Segment{seg.Make(seg.Fields{
			Src: c.remote, Dst: c.local, Seq: s.Ack(), Ack: s.Seq(), Flags: seg.RST | seg.ACK})},
	}
}

// Floor is where the stack's segments that are no concern of the machine begin: those
// from there up to MaxAhead. The peer's are none then, whatever their numbers. ok is
// false while all have to be looked at.
func (c *Client) Floor() (floor seqnum.Value, ok bool) {
	return c.peerNxt, c.state == Settled && !c.owed.active
}
