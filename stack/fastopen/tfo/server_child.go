package tfo

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// ChildState is where a passive open stands.
//
//	ChildWaiting ─SYN-ACK, data fed─► ChildFed ─the stack has it─► ChildPending ─client's ACK─► ChildOver
//	      │  └────SYN-ACK, no data to feed──────────────────────────► │
//	      └─SYN-ACK that only takes a cookie, or no answer───────────────────────────────────► │
type ChildState uint8

// The states.
const (
	// ChildWaiting: the SYN went to the stack. Ends with its answer, or when
	// there is none for answerTime.
	ChildWaiting ChildState = iota
	// ChildFed: the stack was given a made ACK with the SYN's data, and its
	// SYN-ACK is kept back. Ends with its acknowledgement, or after feedTime.
	ChildFed
	// ChildPending: the SYN-ACK is out. Ends with the client's ACK or reset, or
	// when the SYN-ACK has been repeated in vain.
	ChildPending
	// ChildOver: the connection is ordinary TCP, or gone; nothing is changed any
	// more.
	ChildOver
)

const (
	// answerTime is how long the stack may take to answer a SYN; the client
	// repeats it after 1 s (RFC 6298 §2.1).
	answerTime = time.Second
	// feedTime is how long it may take to acknowledge the data (H-18). Longer
	// only costs the client a late SYN-ACK.
	feedTime = 200 * time.Millisecond
	// synAckTimeout is the time before the first repeat of the SYN-ACK; each
	// further one takes twice as long (RFC 6298 §5). maxSynAckRepeats is Linux's
	// tcp_synack_retries + 1.
	synAckTimeout    = time.Second
	maxSynAckRepeats = 6
	// answerLimit is the time between answers to repeated SYNs (H-23), as in
	// Linux.
	answerLimit = 500 * time.Millisecond
	// assumedRTT is the round trip that the stack is led to believe, in
	// milliseconds: it makes its first retransmission timer 1 s (H-20).
	assumedRTT = 333
	// maxHeldData bounds what is kept back of the server's answer: ten segments
	// of the largest kind that a wire carries, no less than an initial window
	// (RFC 6928).
	maxHeldData = 10 * 9000
)

// Child is the machine of one passive open (RFC 7413 §4.2, and hazards H-17 to
// H-26 of living below a TCP).
type Child struct {
	decision Decision
	policy   Policy
	state    ChildState
	reset    bool     // the client reset it: its place is held
	events   EventSet // not yet taken
	due      time.Duration

	local, remote netip.AddrPort
	syn           seg.Segment // until its data was fed
	fresh         bool        // the SYN itself has yet to go up
	irs           seqnum.Value
	n             int    // bytes of data in the SYN
	fed           int    // bytes of it that the stack was given
	synWindow     int    // the client's window until its ACK
	synTS         uint32 // TSval of the SYN

	// From the stack's SYN-ACK on.
	synack     seg.Segment // as it is repeated
	iss        seqnum.Value
	useTS      bool
	localShift uint8 // our window scale, 0 if none was negotiated
	repeats    int
	answered   time.Duration // last answer made here
	everRated  bool          // answered means something
	unsure     bool          // the stack may not have taken the made ACK
	opened     bool          // it has: the connection is open

	// What the stack has said. All before rcvNxt has arrived.
	rcvNxt seqnum.Value
	rcvWnd seqnum.Size
	ownTS  uint32       // newest TSval
	seen   seqnum.Value // highest sequence number it has sent, plus one
	left   seqnum.Value // the same for what has left
	early  int          // bytes of data that left before the client's ACK

	held      []seg.Segment // what may not leave yet
	heldBytes int
}

// NewChild returns the machine for a SYN that was answered by AnswerGrant or
// AnswerAccept. The first thing to hand to FromWire is that SYN.
func NewChild(now time.Duration, syn seg.Segment, d Decision, p Policy) *Child {
	c := &Child{
		decision: d, policy: p, due: now + answerTime,
		local: syn.Dst(), remote: syn.Src(), syn: syn.Clone(), fresh: true,
		irs: syn.Seq(), synWindow: int(syn.Window()),
	}
	if d.Answer == AnswerAccept {
		c.n = len(syn.Payload())
	}
	c.synTS, _, _ = syn.Timestamps()
	c.rcvNxt = c.first()
	return c
}

// first is the sequence number of the client's first byte.
func (c *Child) first() seqnum.Value { return c.irs.Add(1) }

// State is where the opening stands.
func (c *Child) State() ChildState { return c.state }

// Answer is what the machine was made for.
func (c *Child) Answer() Answer { return c.decision.Answer }

// WasReset reports whether the client reset the opening (see Server.End).
func (c *Child) WasReset() bool { return c.reset }

// TakeEvents returns what happened since it was last called.
func (c *Child) TakeEvents() EventSet {
	e := c.events
	c.events = 0
	return e
}

// Opened returns the opening and whether the stack was given what opens its
// connection before the client's ACK, so that a duplicate must not do so again.
func (c *Child) Opened() (Opening, bool) {
	return Opening{Local: c.local, Remote: c.remote, IRS: c.irs}, c.opened || c.fed > 0
}

// Bytes are those of data in the SYN, and those of them that the stack took; ok
// if the connection was opened by its SYN.
func (c *Child) Bytes() (inSYN, taken int, ok bool) {
	return c.n, min(int(c.first().Size(c.rcvNxt)), c.n), c.opened
}

// FromStack takes a segment that the stack above sends.
func (c *Child) FromStack(now time.Duration, s seg.Segment) Out {
	switch c.state {
	case ChildWaiting:
		return c.sendWaiting(now, s)
	case ChildFed:
		return c.sendFed(now, s)
	case ChildPending:
		return c.sendPending(s)
	case ChildOver:
	}
	return pass()
}

// FromWire takes a segment of the client's whose checksum is right.
func (c *Child) FromWire(now time.Duration, s seg.Segment) Out {
	switch c.state {
	case ChildWaiting:
		return c.receiveWaiting(s)
	case ChildFed:
		return c.receiveFed(s)
	case ChildPending:
		return c.receivePending(now, s)
	case ChildOver:
	}
	return pass()
}

// Deadline is when Expire is due, if ever.
func (c *Child) Deadline() (time.Duration, bool) {
	return c.due, c.state != ChildOver
}

// Expire does what is due at now.
func (c *Child) Expire(now time.Duration) Out {
	if c.state == ChildOver || now < c.due {
		return Out{}
	}
	switch c.state {
	case ChildFed:
		return c.notTaken(now)
	case ChildPending:
		return c.repeat(now)
	case ChildWaiting, ChildOver:
	}
	c.finish() // the stack does not answer: its queue is full (S-24)
	return Out{}
}

// Release ends the machine from outside.
func (c *Child) Release() { c.finish() }

func (c *Child) finish() {
	c.state = ChildOver
	c.syn, c.synack = seg.Segment{}, seg.Segment{}
	c.held = nil
}

func (c *Child) note(e Event) { c.events |= setOf(e) }
