package relay

import (
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

// Direction is the way a packet goes.
type Direction uint8

// The two ways.
const (
	// Down is from the stack to the wire.
	Down Direction = iota
	// Up is from the wire to the stack.
	Up
)

// String implements fmt.Stringer.
func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Packet is what a filter sees.
type Packet struct {
	Direction Direction
	// Bytes is the IP packet, a copy that the filter may keep and change.
	Bytes []byte
	// Segment views Bytes if they are one whole TCP segment; otherwise its
	// Valid is false.
	Segment seg.Segment
}

func newPacket(d Direction, b []byte) Packet {
	s, err := seg.Parse(b)
	if err != nil {
		s = seg.Segment{}
	}
	return Packet{Direction: d, Bytes: b, Segment: s}
}

// Verdict is what a filter does with a packet. The zero value lets it pass.
type Verdict struct {
	// Drop: the packet itself goes no further.
	Drop bool
	// Extra are IP packets that go on in its direction, after it if it is not
	// dropped.
	Extra [][]byte
	// Answer are IP packets that go back where it came from.
	Answer [][]byte
}

// Filter is a middlebox in one direction. It is called for one packet at a time
// in the order of the packets; it must not block and not call the relay. What it
// returns belongs to the relay.
type Filter func(Packet) Verdict

// Place is one of the two ends of the relay.
type Place uint8

// The two ends.
const (
	// AtStack: packets that the stack has just sent or is just given.
	AtStack Place = iota
	// AtWire: packets that the lower link is just given or has just received.
	AtWire
)

// String implements fmt.Stringer.
func (p Place) String() string {
	if p == AtWire {
		return "wire"
	}
	return "stack"
}

// Fate is what became of a packet at a place.
type Fate uint8

// The fates.
const (
	// Passed it as it is.
	Passed Fate = iota
	// Dropped by the filter.
	Dropped
	// Made by the filter.
	Made
	// Lost because the queue was full.
	Lost
)

// String implements fmt.Stringer.
func (f Fate) String() string {
	return [...]string{"passed", "dropped", "made", "lost"}[f&3]
}

// Event is one packet seen at one place.
type Event struct {
	// At is the relay's clock.
	At        time.Time
	Direction Direction
	Place     Place
	Fate      Fate
	// Bytes is a copy of the IP packet.
	Bytes []byte
}
