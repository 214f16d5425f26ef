package ladder

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

// Packet is one packet between the two ends of the relay.
type Packet struct {
	// FromClient is the direction. The client is the stack above the relay, unless
	// the trace was made by NewFromWire.
	FromClient bool
	// AtClient and AtServer are the times at the two ends, relative to the
	// trace's first packet. Only one of them means something if the packet
	// never came to the other end: see Fate and Arrived.
	AtClient, AtServer time.Duration
	// Arrived: it came to its far end, and was not dropped there.
	Arrived bool
	// Fate is what the relay did with it.
	Fate relay.Fate
	// Segment views the packet.
	Segment seg.Segment
}

// Trace is what was seen of one connection, in the order in which the packets
// left their senders.
type Trace struct {
	Packets []Packet
	client  netip.AddrPort
	below   bool // the client is at the wire's end
}

// New picks the packets of one connection, named by its client's address, from a
// relay's events. The same port may serve two connections one after the other:
// both are in the trace then.
func New(events []relay.Event, client netip.AddrPort) Trace {
	return Trace{client: client}.with(events)
}

// NewFromWire is New for a client at the wire's end: the stack above the relay is
// the server.
func NewFromWire(events []relay.Event, client netip.AddrPort) Trace {
	return Trace{client: client, below: true}.with(events)
}

// with is the trace with the packets of events.
func (t Trace) with(events []relay.Event) Trace {
	client := t.client
	var start time.Time
	for _, e := range events {
		s, err := seg.Parse(e.Bytes)
		if err != nil || s.Src() != client && s.Dst() != client {
			continue
		}
		if start.IsZero() {
			start = e.At
		}
		t.add(e, s, e.At.Sub(start))
	}
	return t
}

// add enters one event. The relay keeps the order within a direction, so what
// appears at the far end is the first packet on its way there.
func (t *Trace) add(e relay.Event, s seg.Segment, at time.Duration) {
	p := Packet{FromClient: (e.Direction == relay.Down) != t.below, Fate: e.Fate, Segment: s}
	begins := (e.Direction == relay.Down) == (e.Place == relay.AtStack)
	switch {
	case e.Fate == relay.Made:
		// The middlebox's own: it begins at the wire's end, and one that goes
		// down is there already.
		p.Arrived = e.Direction == relay.Down
		if t.below {
			p.AtClient = at
		} else {
			p.AtServer = at
		}
		t.Packets = append(t.Packets, p)
	case begins && e.Fate == relay.Lost && e.Direction == relay.Up:
		// Seen at the wire as passed just before.
		if on := t.onTheWay(p.FromClient, s); on != nil {
			on.Fate = relay.Lost
		}
	case begins:
		p.AtClient, p.AtServer = at, at
		t.Packets = append(t.Packets, p)
	default:
		on := t.onTheWay(p.FromClient, s)
		if on == nil {
			return // it left before the recording began
		}
		on.Fate = e.Fate
		on.Arrived = e.Fate == relay.Passed
		if p.FromClient {
			on.AtServer = at
		} else {
			on.AtClient = at
		}
	}
}

// onTheWay finds the oldest packet of a direction that has left and not arrived,
// and is this one.
func (t *Trace) onTheWay(fromClient bool, s seg.Segment) *Packet {
	for i := range t.Packets {
		p := &t.Packets[i]
		if p.FromClient == fromClient && !p.Arrived && p.Fate != relay.Dropped && p.Fate != relay.Lost && same(p.Segment, s) {
			return p
		}
	}
	return nil
}

func same(a, b seg.Segment) bool { return string(a.Bytes()) == string(b.Bytes()) }

// first finds the first packet of a direction with the given SYN, ACK and RST
// bits.
func (t Trace) first(fromClient bool, flags seg.Flags) (Packet, bool) {
	for _, p := range t.Packets {
		if p.FromClient == fromClient && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == flags {
			return p, true
		}
	}
	return Packet{}, false
}

// SYNs counts the SYNs that the client sent.
func (t Trace) SYNs() int {
	n := 0
	for _, p := range t.Packets {
		if p.FromClient && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN {
			n++
		}
	}
	return n
}

// BytesInSYN is the payload of the client's first SYN.
func (t Trace) BytesInSYN() int {
	syn, ok := t.first(true, seg.SYN)
	if !ok {
		return 0
	}
	return len(syn.Segment.Payload())
}

// BytesAcceptedInSYN is how many of those bytes the first SYN-ACK acknowledged.
func (t Trace) BytesAcceptedInSYN() int {
	syn, ok := t.first(true, seg.SYN)
	answer, answered := t.first(false, seg.SYN|seg.ACK)
	if !ok || !answered {
		return 0
	}
	n := int(syn.Segment.Seq().Add(1).Size(answer.Segment.Ack()))
	if n > len(syn.Segment.Payload()) {
		return 0 // not an answer to this SYN
	}
	return n
}

// Option is the Fast Open option of the client's first SYN, or of the server's
// first SYN-ACK, and whether there is one. An empty cookie in a SYN is a request.
func (t Trace) Option(fromClient bool) (tfo.Option, bool) {
	flags := seg.SYN
	if !fromClient {
		flags |= seg.ACK
	}
	p, ok := t.first(fromClient, flags)
	if !ok {
		return tfo.Option{}, false
	}
	return tfo.ParseOption(p.Segment)
}

// Reached says whether the client's first SYN came to the far end of the path.
func (t Trace) Reached() bool {
	syn, ok := t.first(true, seg.SYN)
	return ok && syn.Arrived
}

// FirstAnswer is when the first payload from the server reached the client,
// relative to the first packet.
func (t Trace) FirstAnswer() (time.Duration, bool) {
	for _, p := range t.Packets {
		if !p.FromClient && p.Arrived && len(p.Segment.Payload()) > 0 {
			return p.AtClient, true
		}
	}
	return 0, false
}

// RoundTrips is how often the path was crossed both ways until the first payload from
// the server was on its way to the client, as the order of arriving and leaving at each
// end has it: a packet may be due to all that had come before it left. It is 0 if there
// was no answer.
func (t Trace) RoundTrips() int {
	var atClient, atServer []crossing // what has arrived there
	for _, p := range t.Packets {
		trips := 0
		if p.FromClient {
			trips = latest(atClient, p.AtClient)
			if p.Arrived {
				atServer = append(atServer, crossing{p.AtServer, trips})
			}
			continue
		}
		trips = latest(atServer, p.AtServer) + 1
		if p.Arrived {
			if len(p.Segment.Payload()) > 0 {
				return trips
			}
			atClient = append(atClient, crossing{p.AtClient, trips})
		}
	}
	return 0
}

// crossing is a packet that arrived, and the round trips that led to it.
type crossing struct {
	at    time.Duration
	trips int
}

// latest is the most round trips of what had arrived by then.
func latest(arrived []crossing, by time.Duration) int {
	most := 0
	for _, c := range arrived {
		if c.at <= by {
			most = max(most, c.trips)
		}
	}
	return most
}

// AnsweredBeforeACK says whether the server's first payload left it before any
// segment of the client's but SYNs had come there: before its handshake was over. It
// is false if one of the two was not seen. lead is by how much.
func (t Trace) AnsweredBeforeACK() (lead time.Duration, before bool) {
	var answer, ack *Packet
	for i := range t.Packets {
		p := &t.Packets[i]
		switch {
		case !p.FromClient && answer == nil && len(p.Segment.Payload()) > 0:
			answer = p
		case p.FromClient && ack == nil && p.Arrived && !p.Segment.Flags().Has(seg.SYN):
			ack = p
		}
	}
	if answer == nil || ack == nil {
		return 0, false
	}
	lead = ack.AtServer - answer.AtServer
	return lead, lead > 0
}

// bases are the sequence numbers that count as 0: each side's first.
type bases struct {
	client, server       seqnum.Value
	haveClient, haveServ bool
}

// relative gives a packet's sequence and acknowledgment numbers as they count
// from each side's first, and notes a side's first. A SYN begins anew: the same
// port may serve two connections.
func (b *bases) relative(p Packet) (seq, ack uint32) {
	s := p.Segment
	own, haveOwn, other, haveOther := &b.client, &b.haveClient, &b.server, &b.haveServ
	if !p.FromClient {
		own, haveOwn, other, haveOther = other, haveOther, own, haveOwn
	}
	if !*haveOwn || s.Flags().Has(seg.SYN) {
		*own, *haveOwn = s.Seq(), true
	}
	if s.Flags().Has(seg.ACK) && *haveOther {
		ack = uint32(other.Size(s.Ack()))
	}
	return uint32(own.Size(s.Seq())), ack
}

// Payload is how many bytes of payload one side sent, those that it sent again
// and those that were dropped included.
func (t Trace) Payload(fromClient bool) int {
	n := 0
	for _, p := range t.Packets {
		if p.FromClient == fromClient {
			n += len(p.Segment.Payload())
		}
	}
	return n
}

// LastSYNIsPlain says whether the last SYN of the client had neither payload nor
// Fast Open option.
func (t Trace) LastSYNIsPlain() bool {
	plain := false
	for _, p := range t.Packets {
		if p.FromClient && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN {
			_, option := tfo.ParseOption(p.Segment)
			plain = !option && len(p.Segment.Payload()) == 0
		}
	}
	return plain
}
