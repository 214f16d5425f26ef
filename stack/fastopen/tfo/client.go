package tfo

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// State is where a connection attempt stands.
//
//	Idle ─SYN─► SynSent ─SYN-ACK that acknowledges SYN data─► Open ─the stack knows─► Settled ─quiet─► Done
//	              │ ▲  └─SYN-ACK that does not, refusal──────────────────────────────────────────────►
//	              ▼ │
//	            SynRcvd (both sides connected at once)
type State uint8

// The states.
const (
	// Idle: the SYN has not been seen yet.
	Idle State = iota
	// SynSent: a SYN with Fast Open is on its way. Ends with an answer, or with
	// the longest handshake's time.
	SynSent
	// SynRcvd: the peer's own SYN crossed ours. Ends as SynSent.
	SynRcvd
	// Open: the peer has the SYN's data and the stack above does not know.
	Open
	// Settled: the stack knows. Ends when it has not repeated old bytes for
	// settleTime.
	Settled
	// Done: the connection is ordinary TCP, or over; nothing is changed any more.
	Done
)

const (
	// synLife is longer than the stack's whole SYN schedule (127 s).
	synLife = 130 * time.Second
	// openLife bounds a connection whose owner never writes the data it
	// offered. Letting go is harmless: the peer ignores bytes it has.
	openLife = 5 * time.Minute
	// shortWait is how long a SYN has to go unanswered before giving up on it
	// says something about the path: longer than most round trips.
	shortWait = 500 * time.Millisecond
	// settleTime is how long repeats of old bytes are watched for: beyond any
	// retransmission timer that started before the stack was told.
	settleTime = 2 * time.Second
	// maxHoldRTT bounds the time for which an acknowledgement made here is held
	// when the handshake's round trip is not certain; the first retransmission
	// timer is 1 s (RFC 6298 §2.1).
	maxHoldRTT = 500 * time.Millisecond
	// minHoldRTT is how long it is held at least. Peers delay their
	// acknowledgements by more (RFC 9293 §3.8.6.3), so no retransmission timer
	// is longer for it, and on a short path a real one comes first.
	minHoldRTT = 10 * time.Millisecond
	// ackDelay is how long the handshake's ACK may wait for a segment that says
	// the same and more (RFC 9293 §3.8.6.3 allows 500 ms).
	ackDelay = 2 * time.Millisecond
	// roomyWindow is what holds the peer's first flight, whatever it sends
	// (RFC 6928).
	roomyWindow = 16 << 10
	// MaxAhead is the largest window (RFC 7323 §2.3): who sends what lies that far
	// ahead has been told of all before.
	MaxAhead = 1 << 30
	// maxEarly and maxEarlyBytes bound what is kept of segments that overtook
	// the SYN-ACK: an initial window (RFC 6928).
	maxEarly      = 10
	maxEarlyBytes = 65535
)

// Limits bound the SYN of a client.
type Limits struct {
	// MTU is the link's, IP header included.
	MTU int
	// MaxSegment caps the segment size that the SYN's data is counted against;
	// 0 means 1460 for IPv4 and 1440 for IPv6, so that jumbo links do not send
	// SYNs that others find odd (RFC 7413 §4.1.3).
	MaxSegment int
}

// Out is a machine's answer. Segments are in the order in which they are to go.
type Out struct {
	// Pass says that the segment handed in goes on as it is.
	Pass bool
	// ToWire and ToStack are segments to send and to deliver. They belong to
	// the taker.
	ToWire, ToStack []seg.Segment
	// Lesson, if not nil, is for the cache.
	Lesson *Lesson
}

func pass() Out                      { return Out{Pass: true} }
func toWire(s ...seg.Segment) Out    { return Out{ToWire: s} }
func toStack(s ...seg.Segment) Out   { return Out{ToStack: s} }
func (o Out) with(l *Lesson) Out     { o.Lesson = l; return o }
func after(a, b seqnum.Value) bool   { return b.LessThan(a) }
func atLeast(a, b seqnum.Value) bool { return b.LessThanEq(a) }
func later(a, b uint32) bool         { return int32(a-b) > 0 }
func last(a, b seqnum.Value) seqnum.Value {
	if after(a, b) {
		return a
	}
	return b
}

// Client is the machine of one active open (RFC 7413 §4.2, and hazards H-01 to
// H-34 of living below a TCP).
type Client struct {
	plan    Plan
	limits  Limits
	payload []byte
	state   State
	outcome Outcome

	local, remote netip.AddrPort
	syn           seg.Segment // the stack's own SYN, for a plain repeat
	iss           seqnum.Value
	n             int // bytes of payload in the SYN
	sentAt        time.Duration
	expires       time.Duration // the state's end, whatever happens

	// While the handshake goes on.
	repeats    int           // plain SYNs since the first
	triedPlain bool          // a refusal has been answered by a plain SYN
	setback    Reason        // what went wrong with the first SYN
	pathMSS    uint16        // bound from ICMP, 0 if none
	early      []seg.Segment // what overtook the SYN-ACK
	earlyBytes int

	// Once it is over. peerNxt is ISS+1+a: the peer has all before it.
	peerNxt  seqnum.Value
	sndNxt   seqnum.Value // highest sequence number the stack has sent, plus one
	given    seqnum.Value // highest ACK the stack was shown
	rcvNxt   seqnum.Value // newest ACK that the stack sent
	sentWnd  uint16       // window of that
	rtt      time.Duration
	peerAck  seqnum.Value // newest real ACK of the peer
	peerEdge seqnum.Value // right edge of its window
	shift    uint8        // peer's window scale
	ownShift uint8        // the stack's
	useTS    bool
	peerTS   uint32 // newest TSval of the peer

	held heldAck
	owed owedAck
}

// heldAck is the acknowledgement for bytes that were kept off the wire (H-10).
type heldAck struct {
	active bool
	upTo   seqnum.Value
	ecr    uint32
	due    time.Duration
}

// owedAck is the stack's ACK of the SYN-ACK. It waits a moment, since the next
// segment says the same and more: the rest of the data, or the ACK of an answer
// that came with the SYN-ACK.
type owedAck struct {
	active bool
	paid   bool // the peer got an ACK
	ack    seg.Segment
	due    time.Duration
}

// NewClient returns the machine for one connection attempt. payload is what the
// caller wants to send first; the machine keeps it, unchanged, as long as it
// lives.
func NewClient(plan Plan, payload []byte, limits Limits) *Client {
	return &Client{plan: plan, payload: payload, limits: limits,
		outcome: Outcome{Wanted: plan.Reason != ReasonOff, Reason: plan.Reason, PausedUntil: plan.PausedUntil}}
}

// State is where the attempt stands.
func (c *Client) State() State { return c.state }

// FromStack takes a segment that the stack above sends.
func (c *Client) FromStack(now time.Duration, s seg.Segment) Out {
	switch c.state {
	case Idle:
		if s.Flags()&(seg.SYN|seg.ACK|seg.RST|seg.FIN) == seg.SYN {
			return c.start(now, s)
		}
		return pass()
	case SynSent, SynRcvd:
		return c.sendOpening(now, s)
	case Open, Settled:
		return c.sendOpen(now, s)
	case Done:
	}
	return pass()
}

// FromWire takes a segment of the peer's whose checksum is right.
func (c *Client) FromWire(now time.Duration, s seg.Segment) Out {
	switch c.state {
	case SynSent, SynRcvd:
		return c.receiveOpening(now, s)
	case Open:
		return c.receiveOpen(now, s)
	case Idle, Settled, Done:
	}
	return pass()
}

// Deadline is when Expire is due, if ever.
func (c *Client) Deadline() (time.Duration, bool) {
	switch c.state {
	case Idle, Done:
		return 0, false
	case SynSent, SynRcvd, Open, Settled:
	}
	due := c.expires
	if c.held.active {
		due = c.held.due // the end waits for it
	}
	if c.owed.active {
		due = min(due, c.owed.due)
	}
	return due, true
}

// Expire does what is due at now.
func (c *Client) Expire(now time.Duration) Out {
	var out Out
	if c.held.active && now >= c.held.due {
		out = toStack(c.makeAck())
		c.giveAck(now, c.held.upTo)
	}
	if c.owed.active && now >= c.owed.due {
		out.ToWire = append(out.ToWire, c.owed.ack)
		c.pay()
	}
	if d, ok := c.Deadline(); ok && !c.held.active && now >= d {
		return out.with(c.Release(now).Lesson)
	}
	return out
}

// Release ends the machine: the endpoint above is gone. What can be learned from
// an attempt that got no answer is in the Lesson.
func (c *Client) Release(now time.Duration) Out {
	waiting := c.state == SynSent || c.state == SynRcvd
	waited := now - c.sentAt
	c.finish()
	switch {
	case !waiting:
		return Out{}
	case c.setback == ReasonRefused, c.repeats == 0 && waited < shortWait:
		// Refused, or given up at once: that says nothing of Fast Open.
		c.outcome.Reason = c.setback.or(c.outcome.Reason)
		return Out{}
	}
	c.outcome.Reason = c.setback.or(ReasonNoAnswer)
	lesson := &Lesson{Verdict: VerdictNoAnswer, PathMSS: c.pathMSS}
	if c.repeats == 0 {
		// The caller's limit is shorter than the SYN's timer: no plain SYN was
		// tried. The next attempt shall be one (P5).
		lesson.Verdict = VerdictLost
	}
	return Out{Lesson: lesson}
}

func (c *Client) finish() {
	c.state = Done
	c.outcome.Done = true
	c.held, c.owed = heldAck{}, owedAck{}
	c.early, c.payload = nil, nil
	c.syn = seg.Segment{}
}
