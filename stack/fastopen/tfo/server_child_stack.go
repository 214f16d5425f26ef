package tfo

import (
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// sendWaiting handles what the stack sends before its SYN-ACK.
func (c *Child) sendWaiting(now time.Duration, s seg.Segment) Out {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		c.finish() // nobody listens any more
		return pass()
	case f&(seg.SYN|seg.ACK) != seg.SYN|seg.ACK, s.Ack() != c.first():
		return pass() // of an older connection between the same ports
	case c.crippled(s):
		c.finish() // SYN cookies: no Fast Open, no option (S-23)
		return pass()
	case c.decision.Answer == AnswerGrant:
		c.finish()
		return toWire(withOption(s, c.decision.Option))
	}
	return c.feed(now, s)
}

// crippled reports whether a SYN-ACK lacks what the SYN offered, as that of a
// SYN cookie does (H-18).
func (c *Child) crippled(s seg.Segment) bool {
	if _, offered := c.syn.WScale(); offered {
		_, taken := s.WScale()
		return !taken
	}
	return permitsSACK(c.syn) && !permitsSACK(s)
}

func permitsSACK(s seg.Segment) bool {
	for kind := range s.Options() {
		if kind == seg.OptSACKPerm {
			return true
		}
	}
	return false
}

// withOption returns a SYN-ACK with the option added, if there is one and it
// fits.
func withOption(s seg.Segment, o Option) seg.Segment {
	if o.Cookie.Empty() || s.OptionRoom() < o.paddedSize() {
		return s
	}
	return s.Rebuild(o.append(withoutEnd(s.OptionBytes())), s.Payload())
}

// feed keeps the SYN-ACK back and gives the stack the client's ACK, made here,
// with the SYN's data (H-17).
func (c *Child) feed(now time.Duration, s seg.Segment) Out {
	c.synack = s
	c.iss = s.Seq()
	c.seen, c.left = c.iss.Add(1), c.iss.Add(1)
	c.noteOptions(s)
	c.noteSent(s)
	c.fed = c.takes(s)
	made := c.madeACK(s)
	c.syn = seg.Segment{}
	if c.fed == 0 {
		// The stack does not answer a bare ACK. If it did not take it, it will
		// repeat its SYN-ACK; nothing has been promised to the client.
		c.accepted()
		out := c.open(now, c.decision.Option)
		out.ToStack = []seg.Segment{made}
		return out
	}
	c.state, c.due = ChildFed, now+feedTime
	return toStack(made)
}

// noteOptions notes what the SYN-ACK negotiates.
func (c *Child) noteOptions(s seg.Segment) {
	_, _, offered := c.syn.Timestamps()
	c.ownTS, _, c.useTS = s.Timestamps()
	c.useTS = c.useTS && offered
	if _, offered := c.syn.WScale(); offered {
		c.localShift, _ = s.WScale()
	}
}

// noteSent notes window and time of a segment of the stack's.
func (c *Child) noteSent(s seg.Segment) {
	c.rcvWnd = seqnum.Size(s.Window())
	if !s.Flags().Has(seg.SYN) {
		c.rcvWnd <<= c.localShift
	}
	if val, _, ok := s.Timestamps(); ok && later(val, c.ownTS) {
		c.ownTS = val
	}
}

// takes is how much of the SYN's data is handed on: what fits into a segment and
// the window that the SYN-ACK offers (S-50).
func (c *Child) takes(synack seg.Segment) int {
	n := min(c.n, int(synack.Window()))
	if mss, ok := synack.MSS(); ok {
		n = min(n, int(mss))
	}
	return n
}

// madeACK is the ACK that the client has not sent yet, with its data.
func (c *Child) madeACK(synack seg.Segment) seg.Segment {
	f := seg.Fields{
		Src: c.remote, Dst: c.local, Seq: c.first(), Ack: c.iss.Add(1), Flags: seg.ACK,
		Window: c.scaledWindow(synack), Payload: c.syn.Payload()[:c.fed],
	}
	if c.fed > 0 {
		f.Flags |= seg.PSH
	}
	if c.useTS {
		f.Options = seg.TimestampOption(c.synTS, echo(c.ownTS))
	}
	return seg.Make(f)
}

// scaledWindow is the SYN's window as a segment after it has it: scaled, rounded
// up, at least 1 (H-19).
func (c *Child) scaledWindow(synack seg.Segment) uint16 {
	shift, offered := c.syn.WScale()
	if _, taken := synack.WScale(); !offered || !taken {
		shift = 0
	}
	return uint16(max((c.synWindow+1<<shift-1)>>shift, 1))
}

// echo is the timestamp that gives the stack assumedRTT; 0 would mean none.
func echo(val uint32) uint32 {
	if e := val - assumedRTT; e != 0 {
		return e
	}
	return val - assumedRTT - 1
}

// open lets the SYN-ACK go: it acknowledges what the stack has taken.
func (c *Child) open(now time.Duration, o Option) Out {
	c.state, c.due = ChildPending, now+synAckTimeout
	c.synack.SetAck(c.rcvNxt)
	return toWire(withOption(c.synack.Clone(), o))
}

// sendFed handles what the stack sends while it has the data and the client no
// SYN-ACK.
func (c *Child) sendFed(now time.Duration, s seg.Segment) Out {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		return c.resetFed(now, s)
	case f.Has(seg.SYN):
		// It answers the SYN once more: it did not take the made ACK.
		c.note(EventNotTaken)
		option := c.decision.Fallback
		c.finish()
		return toWire(withOption(s, option))
	}
	c.noteSent(s)
	out := Out{}
	if after(s.Ack(), c.first()) && atLeast(c.first().Add(seqnum.Size(c.fed)), s.Ack()) {
		out = c.taken(now, s)
	}
	if s, ok := c.admit(s); ok {
		out.ToWire = append(out.ToWire, s)
	}
	return out
}

// taken lets the SYN-ACK go now that the stack has the data, or a part of it.
func (c *Child) taken(now time.Duration, s seg.Segment) Out {
	c.accepted()
	c.rcvNxt = s.Ack()
	c.synack.SetWindow(uint16(min(c.rcvWnd, 65535)))
	out := c.open(now, c.decision.Option)
	out.ToWire = append(out.ToWire, c.release()...)
	return out
}

// resetFed lets a reset go, behind the SYN-ACK that makes the client understand
// it.
func (c *Child) resetFed(now time.Duration, s seg.Segment) Out {
	limit := c.first().Add(seqnum.Size(c.fed))
	if s.Flags().Has(seg.ACK) && after(s.Ack(), c.first()) && atLeast(limit, s.Ack()) {
		c.rcvNxt = s.Ack()
	}
	out := c.open(now, Option{})
	out.ToWire = append(out.ToWire, s)
	c.finish()
	return out
}

func (c *Child) accepted() {
	c.opened = true
	c.note(EventAccepted)
}

// notTaken falls back: the stack has not acknowledged the data (H-18). It may
// still do so later; until that is known the SYN-ACK stays ours to repeat.
func (c *Child) notTaken(now time.Duration) Out {
	c.note(EventNotTaken)
	c.unsure = true
	return c.open(now, c.decision.Fallback)
}

// sendPending handles what the stack sends before the client's ACK.
func (c *Child) sendPending(s seg.Segment) Out {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		c.finish()
		return pass()
	case f.Has(seg.SYN):
		c.finish() // its own handshake is not over: it repeats the SYN-ACK itself
		return pass()
	}
	c.noteSent(s)
	if after(s.Ack(), c.rcvNxt) && c.unsure {
		c.rcvNxt = s.Ack() // it took the data after all
		c.opened = true
		c.synack.SetAck(c.rcvNxt)
	}
	if len(s.Payload()) == 0 && !f.Has(seg.FIN) {
		return pass()
	}
	whole := !after(c.seen, s.Seq())
	s, ok := c.admit(s)
	switch {
	case !ok:
		return Out{}
	case whole:
		return pass()
	}
	return toWire(s)
}

// admit lets data go for the first time, if the policy allows it, and drops
// repeats (H-22). What may not leave yet is kept. An empty segment says nothing
// that the SYN-ACK does not.
func (c *Child) admit(s seg.Segment) (_ seg.Segment, ok bool) {
	if s.Len() == 0 || atLeast(c.seen, s.End()) {
		return seg.Segment{}, false
	}
	if known := c.seen; after(known, s.Seq()) {
		s = s.CutFront(min(int(s.Seq().Size(known)), len(s.Payload())))
	}
	c.seen = s.End()
	if c.state == ChildPending && len(c.held) == 0 && c.mayLeave(s) {
		c.leave(s)
		return s, true
	}
	if c.heldBytes+len(s.Bytes()) <= maxHeldData {
		c.held = append(c.held, s)
		c.heldBytes += len(s.Bytes())
	}
	return seg.Segment{}, false
}

// mayLeave reports whether data may leave before the client's ACK: no FIN
// (S-41), no more than the client's first window and the policy allow.
func (c *Child) mayLeave(s seg.Segment) bool {
	total := c.early + len(s.Payload())
	switch {
	case s.Flags().Has(seg.FIN), c.policy.HoldData, c.unsure, total > c.synWindow:
		return false
	}
	return c.policy.EarlyDataCap <= 0 || total <= c.policy.EarlyDataCap
}

func (c *Child) leave(s seg.Segment) {
	c.early += len(s.Payload())
	c.left = last(c.left, s.End())
}

// release takes what may leave by now out of the segments kept back.
func (c *Child) release() []seg.Segment {
	n := 0
	for n < len(c.held) && (c.state == ChildOver || c.mayLeave(c.held[n])) {
		c.leave(c.held[n])
		c.heldBytes -= len(c.held[n].Bytes())
		n++
	}
	out := c.held[:n:n]
	c.held = c.held[n:]
	return out
}
