package tfo_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// tcp is a TCP as simple as can be: it sends in order from SND.UNA on a time-out,
// keeps nothing that comes out of order, and answers everything else with an ACK.
// Where netstack is peculiar and the machines have to know it, it is peculiar, too:
// in SYN-SENT only ISS+1 is acceptable, a segment without the timestamps that were
// agreed on is not looked at.
type tcp struct {
	w      *world
	side   side
	at, to netip.AddrPort
	ts     bool
	iss    seqnum.Value
	out    []byte // what the application will write
	first  int    // of which so many at once when the connection is up

	state   tcpState
	irs     seqnum.Value
	una     seqnum.Value
	nxt     seqnum.Value
	rcv     seqnum.Value
	written int
	in      []byte
	opened  int
	most    seqnum.Value // the highest NXT ever
	window  int          // offered, counted from RCV.NXT
	edge    seqnum.Value // up to where the peer's window reaches
	peerTS  uint32
	synTS   uint32 // as in netstack, repeats of a SYN have the same
}

type tcpState uint8

const (
	closed tcpState = iota
	synSent
	synRcvd
	established
)

func (s tcpState) String() string {
	return [...]string{"closed", "syn-sent", "syn-rcvd", "established"}[s]
}

func size(n int) seqnum.Size { return seqnum.Size(n) }

const (
	segmentSize = 100 // of data; the MSS is larger by the room for options
	inFlight    = 1000
	shift       = 2 // of windows
)

func (c *tcp) open() {
	c.state, c.una, c.nxt, c.synTS = synSent, c.iss, c.iss.Add(1), c.clock()
	c.most = c.nxt
	c.sendSYN()
}

func (c *tcp) sendSYN() {
	b := []byte{seg.OptMSS, 4, 0, 140, seg.OptSACKPerm, 2}
	if c.ts {
		b = append(b, seg.OptTS, 10)
		b = binary.BigEndian.AppendUint32(b, c.synTS)
		b = binary.BigEndian.AppendUint32(b, c.peerTS)
	} else {
		b = append(b, seg.OptNOP, seg.OptNOP)
	}
	b = append(b, seg.OptNOP, seg.OptWScale, 3, shift)
	f := seg.Fields{Src: c.at, Dst: c.to, Seq: c.iss, Flags: seg.SYN, Window: uint16(c.window), Options: b}
	if c.state == synRcvd {
		f.Flags, f.Ack = seg.SYN|seg.ACK, c.rcv
	}
	c.w.down(c.side, seg.Make(f))
}

// clock is a timestamp. It does not begin at 0.
func (c *tcp) clock() uint32 { return uint32(c.w.now.Milliseconds()) + uint32(c.side)*1e6 }

func (c *tcp) send(flags seg.Flags, seq seqnum.Value, payload []byte) {
	f := seg.Fields{Src: c.at, Dst: c.to, Seq: seq, Ack: c.rcv, Flags: flags | seg.ACK,
		Window: uint16((c.window + 1<<shift - 1) >> shift), Payload: payload}
	if c.ts {
		f.Options = seg.TimestampOption(c.clock(), c.peerTS)
	}
	c.w.down(c.side, seg.Make(f))
}

// write is the application's: n more bytes, but what was offered to Fast Open comes
// first and whole.
func (c *tcp) write(n int) {
	if c.state != established {
		return
	}
	if c.written == 0 {
		n = max(n, c.first)
	}
	c.written = min(c.written+n, len(c.out))
	c.push()
}

// push sends what was written and may be under way.
func (c *tcp) push() {
	for {
		sent := int(c.iss.Add(1).Size(c.nxt))
		n := min(c.written-sent, segmentSize, inFlight-int(c.una.Size(c.nxt)), int(int32(c.edge-c.nxt)))
		if n <= 0 {
			return
		}
		seq := c.nxt
		c.nxt = c.nxt.Add(size(n))
		if c.most.LessThan(c.nxt) {
			c.most = c.nxt
		}
		c.send(seg.PSH, seq, c.out[sent:sent+n])
	}
}

// timeout sends again what is not acknowledged.
func (c *tcp) timeout() {
	switch c.state {
	case closed:
	case synSent, synRcvd:
		c.sendSYN()
	case established:
		if c.una != c.nxt {
			c.nxt = c.una
			c.push()
		}
	}
}

// acked is how much of the stream the peer has acknowledged.
func (c *tcp) acked() int {
	if c.state != established {
		return 0
	}
	return int(c.iss.Add(1).Size(c.una))
}

func (c *tcp) receive(s seg.Segment) {
	f := s.Flags()
	switch {
	case f.Has(seg.RST):
		c.w.t.Fatalf("side %d is shown a reset", c.side)
	case f.Has(seg.SYN):
		c.receiveSYN(s)
	case c.state == closed, !f.Has(seg.ACK):
	case c.ts && !hasTimestamps(s):
		c.w.t.Fatalf("side %d is shown a segment without timestamps", c.side)
	case c.state == synSent:
		if s.Ack() != c.iss.Add(1) {
			c.w.t.Fatalf("side %d is shown an ACK in SYN-SENT that it would reset", c.side)
		}
	default:
		c.receiveData(s)
	}
}

func hasTimestamps(s seg.Segment) bool {
	_, _, ok := s.Timestamps()
	return ok
}

func (c *tcp) receiveSYN(s seg.Segment) {
	ack := s.Flags().Has(seg.ACK)
	switch {
	case c.state == closed && !ack && c.side == serverSide:
		c.irs, c.rcv = s.Seq(), s.Seq().Add(1) // its data is not looked at
		c.peerTS, _, _ = s.Timestamps()
		c.state, c.una, c.nxt, c.synTS = synRcvd, c.iss, c.iss.Add(1), c.clock()
		c.most = c.nxt
		c.edge = c.nxt.Add(size(int(s.Window())))
		c.sendSYN()
	case c.state == synSent && ack:
		if s.Ack() != c.iss.Add(1) {
			c.w.t.Fatalf("side %d is shown a SYN-ACK for %d bytes that it has not sent", c.side, int(c.iss.Add(1).Size(s.Ack())))
		}
		c.irs, c.rcv, c.una = s.Seq(), s.Seq().Add(1), s.Ack()
		c.edge = s.Ack().Add(size(int(s.Window())))
		c.peerTS, _, _ = s.Timestamps()
		c.established()
		c.send(0, c.nxt, nil)
	case c.state != closed:
		c.send(0, c.nxt, nil) // a challenge
	}
}

func (c *tcp) established() {
	c.state = established
	c.opened++
}

func (c *tcp) receiveData(s seg.Segment) {
	if c.state == synRcvd {
		if s.Ack() != c.nxt {
			c.w.t.Fatalf("side %d is shown the ACK %v in SYN-RCVD, want %v", c.side, s.Ack(), c.nxt)
		}
		c.una = s.Ack()
		c.established()
	}
	if c.una.LessThanEq(s.Ack()) {
		c.edge = s.Ack().Add(size(int(s.Window()) << shift))
	}
	switch {
	case c.most.LessThan(s.Ack()) && c.w.late(c.side, s):
		// It is ignored, and the data taken, as netstack does.
	case c.most.LessThan(s.Ack()):
		c.w.t.Fatalf("side %d is shown an ACK beyond what it has sent", c.side)
	case c.una.LessThan(s.Ack()):
		c.una = s.Ack()
		if c.nxt.LessThan(c.una) {
			c.nxt = c.una
		}
	}
	if len(s.Payload()) > 0 {
		c.take(s)
	}
	c.push()
}

// take takes what is new of a segment's data, and acknowledges.
func (c *tcp) take(s seg.Segment) {
	end := s.Seq().Add(size(len(s.Payload())))
	if s.Seq().LessThanEq(c.rcv) && c.rcv.LessThan(end) {
		c.in = append(c.in, s.Payload()[s.Seq().Size(c.rcv):]...)
		c.rcv = end
		if ts, _, ok := s.Timestamps(); ok {
			c.peerTS = ts
		}
	}
	c.send(0, c.nxt, nil)
}
