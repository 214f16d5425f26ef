package relay

import (
	"encoding/binary"
	"slices"

	"github.com/wskstack/wskstack/stack/seg"
)

// Match picks packets.
type Match func(Packet) bool

// Any packet.
func Any(Packet) bool { return true }

// SYN picks the first segment of a client.
func SYN(p Packet) bool {
	return p.Segment.Valid() && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN
}

// SYNACK picks the first segment of a server.
func SYNACK(p Packet) bool {
	return p.Segment.Valid() && p.Segment.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN|seg.ACK
}

// SYNWithData picks a client's first segment with payload.
func SYNWithData(p Packet) bool { return SYN(p) && len(p.Segment.Payload()) > 0 }

// Data picks segments with payload that are no SYN.
func Data(p Packet) bool {
	return p.Segment.Valid() && !p.Segment.Flags().Has(seg.SYN) && len(p.Segment.Payload()) > 0
}

// FastOpen picks segments with a Fast Open option, kind 34 or experimental.
func FastOpen(p Packet) bool {
	if !p.Segment.Valid() {
		return false
	}
	for kind, body := range p.Segment.Options() {
		if isFastOpen(kind, body) {
			return true
		}
	}
	return false
}

// Drop lets nothing pass.
func Drop(Packet) Verdict { return Verdict{Drop: true} }

// Duplicate lets the packet pass twice.
func Duplicate(p Packet) Verdict { return Verdict{Extra: [][]byte{p.Bytes}} }

// StripFastOpen takes Fast Open options (kind 34, and 254 with the magic 0xF989
// of RFC 7413 §2.1) off the packet: NOPs stand in their place, as middleboxes
// leave them.
func StripFastOpen(p Packet) Verdict {
	if !FastOpen(p) {
		return Verdict{}
	}
	// The bodies share the packet's memory, so the options are blanked in a
	// copy and the packet is built anew round it.
	options := slices.Clone(p.Segment.OptionBytes())
	for at := 0; at < len(options) && options[at] != seg.OptEnd; {
		if options[at] == seg.OptNOP {
			at++
			continue
		}
		if at+1 >= len(options) || options[at+1] < 2 || at+int(options[at+1]) > len(options) {
			break
		}
		end := at + int(options[at+1])
		if isFastOpen(options[at], options[at+2:end]) {
			for i := at; i < end; i++ {
				options[i] = seg.OptNOP
			}
		}
		at = end
	}
	return Replace(p.Segment.Rebuild(options, p.Segment.Payload()).Bytes())
}

// Option kinds and magic of RFC 7413 §4.1.1 and §7 (and RFC 6994).
const (
	kindFastOpen     = 34
	kindExperimental = 254
	magicFastOpen    = 0xf989
)

func isFastOpen(kind uint8, body []byte) bool {
	return kind == kindFastOpen ||
		kind == kindExperimental && len(body) >= 2 && binary.BigEndian.Uint16(body) == magicFastOpen
}

// StripData takes the payload off a segment and lets the rest pass.
func StripData(p Packet) Verdict {
	if !p.Segment.Valid() || len(p.Segment.Payload()) == 0 {
		return Verdict{}
	}
	return Replace(p.Segment.Rebuild(slices.Clone(p.Segment.OptionBytes()), nil).Bytes())
}

// Reset drops a segment and answers it with the RST that a host without a
// listener would send (RFC 9293 §3.10.7.1). A segment that is itself a RST is
// dropped without an answer, and what is no TCP passes.
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

// Replace is the verdict that puts other packets in the place of one.
func Replace(packets ...[]byte) Verdict { return Verdict{Drop: true, Extra: packets} }

// On applies a filter to the packets that match, and lets the others pass:
// On(SYNWithData, Drop) is the middlebox that drops SYNs with data.
func On(match Match, f Filter) Filter {
	return func(p Packet) Verdict {
		if match(p) {
			return f(p)
		}
		return Verdict{}
	}
}

// Nth applies a filter to the packets that match whose turn is in n, counted
// from 1: Nth(Data, Drop, 1, 3). Each call makes a counter of its own.
func Nth(match Match, f Filter, n ...int) Filter {
	turns := slices.Clone(n)
	seen := 0
	return func(p Packet) Verdict {
		if !match(p) {
			return Verdict{}
		}
		seen++
		if slices.Contains(turns, seen) {
			return f(p)
		}
		return Verdict{}
	}
}

// Chain asks several filters in their order. The first one that does anything
// but let the packet pass decides.
func Chain(filters ...Filter) Filter {
	all := slices.Clone(filters)
	return func(p Packet) Verdict {
		for _, f := range all {
			if v := f(p); v.Drop || len(v.Extra) > 0 || len(v.Answer) > 0 {
				return v
			}
		}
		return Verdict{}
	}
}
