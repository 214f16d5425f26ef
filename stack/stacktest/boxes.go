package stacktest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// The middleboxes of this file stand on a client's line.

// DropSYNData is a firewall that drops SYNs with payload.
func DropSYNData() Middlebox { return On(SYNData, Drop) }

// DropFastOpen is a firewall that drops segments with the Fast Open option.
func DropFastOpen() Middlebox { return On(FastOpen, Drop) }

// ResetSYNData is a firewall that answers SYNs with payload by a RST.
func ResetSYNData() Middlebox { return On(SYNData, Reset) }

// StripSYNOption takes the Fast Open option off SYNs.
func StripSYNOption() Middlebox { return On(SYN, StripOptions(kindFastOpen)) }

// StripSYNACKOption takes the Fast Open option off SYN-ACKs.
func StripSYNACKOption() Middlebox { return On(SYNACK, StripOptions(kindFastOpen)) }

// AckAllButOne lets the last byte of data in a SYN get lost: the server
// acknowledges the others.
func AckAllButOne() Middlebox { return On(SYNData, CutData(1)) }

// AckAndDropSYNData is a proxy that takes the data off a SYN and acknowledges it
// all the same: those bytes are gone.
func AckAndDropSYNData() Middlebox {
	taken := make(map[netip.AddrPort]int)
	return func(p Packet) Verdict {
		switch {
		case SYNData(p):
			taken[p.Segment.Src()] = len(p.Segment.Payload())
			return CutData(len(p.Bytes))(p)
		case SYNACK(p) && taken[p.Segment.Dst()] > 0 && p.Segment.Verify():
			s := p.Segment.Clone()
			s.SetAck(s.Ack().Add(seqnum.Size(taken[p.Segment.Dst()])))
			return Replace(s.Bytes())
		}
		return Verdict{}
	}
}

// ClampMSS lowers the MSS of SYNs and SYN-ACKs.
func ClampMSS(most uint16) Middlebox {
	return func(p Packet) Verdict {
		if !SYN(p) && !SYNACK(p) || !p.Segment.Verify() {
			return Verdict{}
		}
		if mss, ok := p.Segment.MSS(); !ok || mss <= most {
			return Verdict{}
		}
		s := p.Segment.Clone()
		s.SetMSS(most)
		return Replace(s.Bytes())
	}
}

// Split cuts segments with more payload than size into several; of a FIN or PSH
// the last one has it. SYNs pass.
func Split(size int) Middlebox {
	return func(p Packet) Verdict {
		s := p.Segment
		if !Data(p) || s.Flags().Has(seg.SYN) || len(s.Payload()) <= size || !s.Verify() {
			return Verdict{}
		}
		var out [][]byte
		rest := s.Payload()
		for at := 0; len(rest) > 0; at += size {
			piece := s.Rebuild(s.OptionBytes(), rest[:min(size, len(rest))])
			piece.SetSeq(s.Seq().Add(seqnum.Size(at)))
			if rest = rest[len(piece.Payload()):]; len(rest) > 0 {
				piece.SetFlags(s.Flags() &^ (seg.FIN | seg.PSH))
			}
			out = append(out, piece.Bytes())
		}
		return Replace(out...)
	}
}

// Coalesce keeps a data segment back until the next packet of its direction comes
// and makes one of the two if they adjoin and fit into size bytes of payload.
func Coalesce(size int) Middlebox {
	var kept [2][]byte
	return func(p Packet) Verdict {
		var first seg.Segment
		if b := kept[p.Direction]; b != nil {
			first, _ = seg.Parse(b)
			kept[p.Direction] = nil
		}
		s := p.Segment
		plain := Data(p) && s.Flags()&(seg.SYN|seg.FIN|seg.RST) == 0 && s.Verify()
		switch {
		case !first.Valid() && !plain:
			return Verdict{}
		case !first.Valid():
			kept[p.Direction] = p.Bytes
			return Verdict{Drop: true}
		case plain && adjoin(first, s) && len(first.Payload())+len(s.Payload()) <= size:
			both := s.Rebuild(s.OptionBytes(), slices.Concat(first.Payload(), s.Payload()))
			both.SetSeq(first.Seq())
			return Replace(both.Bytes())
		}
		return Replace(first.Bytes(), p.Bytes)
	}
}

func adjoin(a, b seg.Segment) bool {
	return a.Src() == b.Src() && a.Dst() == b.Dst() && a.End() == b.Seq()
}

// ShiftSequence is a firewall that hides the client's sequence numbers: it adds
// by to them, and takes it off the server's acknowledgements and SACK blocks.
func ShiftSequence(by uint32) Middlebox {
	return func(p Packet) Verdict {
		if !p.Segment.Valid() || !p.Segment.Verify() {
			return Verdict{}
		}
		s := p.Segment.Clone()
		if p.Direction == Out {
			s.SetSeq(s.Seq() + seqnum.Value(by))
			return Replace(s.Bytes())
		}
		if !s.Flags().Has(seg.ACK) {
			return Verdict{}
		}
		s.SetAck(s.Ack() - seqnum.Value(by))
		for kind, body := range s.Options() {
			for ; kind == seg.OptSACK && len(body) >= 4; body = body[4:] {
				binary.BigEndian.PutUint32(body, binary.BigEndian.Uint32(body)-by)
			}
		}
		return Replace(s.Rebuild(s.OptionBytes(), s.Payload()).Bytes())
	}
}

// NAT translates the node's address into another, as a home router does; ports
// stay. Rebind changes that address, as after a new dial-up: connections that are
// open die, and cookies belong to the old one.
type NAT struct {
	line   *Line
	inside netip.Addr

	mu      sync.Mutex
	outside netip.Addr // guarded by mu
}

// NewNAT makes a translator for a node's line. It has to be put among the line's
// boxes (SetBoxes).
func NewNAT(line *Line, inside, outside netip.Addr) *NAT {
	n := &NAT{line: line, inside: inside, outside: outside}
	line.SetAliases(outside)
	return n
}

// Rebind changes the outer address.
func (n *NAT) Rebind(outside netip.Addr) {
	n.mu.Lock()
	n.outside = outside
	n.mu.Unlock()
	n.line.SetAliases(outside)
}

// Box is the translator as a Middlebox. Damaged segments are dropped: their
// checksum must not be made right.
func (n *NAT) Box(p Packet) Verdict {
	n.mu.Lock()
	outside := n.outside
	n.mu.Unlock()
	s := p.Segment
	switch {
	case !s.Valid() || !s.Verify():
		return Verdict{Drop: true}
	case p.Direction == Out && s.Src().Addr() == n.inside:
		return Replace(readdress(s, outside, s.Dst().Addr()))
	case p.Direction == In && s.Dst().Addr() == outside:
		return Replace(readdress(s, s.Src().Addr(), n.inside))
	}
	return Verdict{Drop: true}
}

// readdress returns the packet with other addresses of the same family.
func readdress(s seg.Segment, src, dst netip.Addr) []byte {
	b := slices.Clone(s.Bytes())
	at, size := 12, 4
	if s.IPv6() {
		at, size = 8, 16
	}
	copy(b[at:at+size], src.AsSlice())
	copy(b[at+size:at+2*size], dst.AsSlice())
	moved, err := seg.Parse(b)
	if err != nil {
		return b // it was whole before; addresses do not change that
	}
	return moved.Rebuild(moved.OptionBytes(), moved.Payload()).Bytes()
}
