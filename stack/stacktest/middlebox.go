package stacktest

import (
	"slices"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

// Direction is the way of a packet on a Line, as its node sees it.
type Direction uint8

// The two ways.
const (
	// Out is from the node.
	Out Direction = iota
	// In is to the node.
	In
)

// Packet is what a middlebox sees.
type Packet struct {
	Direction Direction
	// Bytes is the IP packet; it must not be changed.
	Bytes []byte
	// Segment views Bytes if they are one whole TCP segment; otherwise its Valid
	// is false.
	Segment seg.Segment
	// Now is the time since the run began.
	Now time.Duration
}

func parsed(p Packet) Packet {
	p.Segment = seg.Segment{}
	if s, err := seg.Parse(p.Bytes); err == nil {
		p.Segment = s
	}
	return p
}

// Verdict is what a middlebox does with a packet. The zero value lets it pass.
type Verdict struct {
	// Drop: the packet itself goes no further.
	Drop bool
	// Extra are packets that go on in its direction, behind it if it is not
	// dropped.
	Extra [][]byte
	// Answer are packets that go back.
	Answer [][]byte
}

// Middlebox is something on the path that does more than carry packets. It is
// called for one packet at a time, those of both directions; it must not block.
// What it returns belongs to the simulation.
type Middlebox func(Packet) Verdict

// Replace is the verdict that puts other packets in the place of one.
func Replace(packets ...[]byte) Verdict { return Verdict{Drop: true, Extra: packets} }

// Match picks packets.
type Match func(Packet) bool

// Any packet.
func Any(Packet) bool { return true }

// All picks the packets that each of several picks.
func All(m ...Match) Match {
	return func(p Packet) bool {
		return !slices.ContainsFunc(m, func(f Match) bool { return !f(p) })
	}
}

// Going picks the packets of one direction.
func Going(d Direction) Match { return func(p Packet) bool { return p.Direction == d } }

// SYN picks the first segment of a client.
func SYN(p Packet) bool {
	return p.Segment.Valid() && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN
}

// SYNACK picks the first segment of a server.
func SYNACK(p Packet) bool {
	return p.Segment.Valid() && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN|seg.ACK
}

// Data picks segments with payload.
func Data(p Packet) bool { return p.Segment.Valid() && len(p.Segment.Payload()) > 0 }

// SYNData picks a client's first segment with payload.
func SYNData(p Packet) bool { return SYN(p) && Data(p) }

// HasOption picks segments with an option of a kind.
func HasOption(kind uint8) Match {
	return func(p Packet) bool {
		if !p.Segment.Valid() {
			return false
		}
		for k := range p.Segment.Options() {
			if k == kind {
				return true
			}
		}
		return false
	}
}

// FastOpen picks segments with the Fast Open option, kind 34.
func FastOpen(p Packet) bool { return HasOption(kindFastOpen)(p) }

// On applies a middlebox to the packets that match and lets the others pass.
func On(m Match, box Middlebox) Middlebox {
	return func(p Packet) Verdict {
		if m(p) {
			return box(p)
		}
		return Verdict{}
	}
}

// Nth applies a middlebox to those of the matching packets whose turn, counted
// from 1, is in n.
func Nth(m Match, box Middlebox, n ...int) Middlebox {
	turns, seen := slices.Clone(n), 0
	return func(p Packet) Verdict {
		if !m(p) {
			return Verdict{}
		}
		seen++
		if slices.Contains(turns, seen) {
			return box(p)
		}
		return Verdict{}
	}
}

// Drop lets nothing pass.
func Drop(Packet) Verdict { return Verdict{Drop: true} }

// Duplicate lets a packet pass twice.
func Duplicate(p Packet) Verdict { return Verdict{Extra: [][]byte{p.Bytes}} }

// Reset drops a segment and answers it with the RST of a host where nobody
// listens (RFC 9293 §3.10.7.1). Resets are dropped without an answer.
func Reset(p Packet) Verdict {
	s := p.Segment
	switch {
	case !s.Valid():
		return Verdict{}
	case s.Flags().Has(seg.RST):
		return Verdict{Drop: true}
	}
	f := seg.Fields{Src: s.Dst(), Dst: s.Src(), Flags: seg.RST}
	if s.Flags().Has(seg.ACK) {
		f.Seq = s.Ack()
	} else {
		f.Flags |= seg.ACK
		f.Ack = s.End()
	}
	return Verdict{Drop: true, Answer: [][]byte{seg.Make(f).Bytes()}}
}

// StripOptions puts NOPs in the place of options of these kinds; without kinds,
// of all options. Damaged segments pass: a box that edits a segment must not make
// its checksum right.
func StripOptions(kinds ...uint8) Middlebox {
	return func(p Packet) Verdict {
		s := p.Segment
		if !s.Valid() || !s.Verify() {
			return Verdict{}
		}
		options := slices.Clone(s.OptionBytes())
		changed := false
		for at := 0; at < len(options) && options[at] != seg.OptEnd; {
			if options[at] == seg.OptNOP {
				at++
				continue
			}
			if at+1 >= len(options) || options[at+1] < 2 || at+int(options[at+1]) > len(options) {
				break
			}
			end := at + int(options[at+1])
			if len(kinds) == 0 || slices.Contains(kinds, options[at]) {
				changed = true
				for i := at; i < end; i++ {
					options[i] = seg.OptNOP
				}
			}
			at = end
		}
		if !changed {
			return Verdict{}
		}
		return Replace(s.Rebuild(options, s.Payload()).Bytes())
	}
}

// CutData takes bytes off the end of a segment's payload: n of them, or all if
// there are not so many.
func CutData(n int) Middlebox {
	return func(p Packet) Verdict {
		s := p.Segment
		if !s.Valid() || len(s.Payload()) == 0 || !s.Verify() {
			return Verdict{}
		}
		keep := max(len(s.Payload())-n, 0)
		return Replace(s.Rebuild(s.OptionBytes(), s.Payload()[:keep]).Bytes())
	}
}
