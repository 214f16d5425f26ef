package gate

import (
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/stack/seg"
)

// phase is how far a request has come.
type phase uint8

const (
	pending  phase = iota // its SYN is held
	admitted              // its SYN went up; the handshake is under way
	opened                // the handshake is over; the connection waits to be accepted
)

// request is a request's state machine, without time, packets or locks.
type request struct {
	phase    phase
	isn, end seqnum.Value // the sequence numbers of the SYN and behind it
	iss      seqnum.Value // that of our SYN-ACK
	answered bool         // there was a SYN-ACK
}

func newRequest(syn seg.Segment) request {
	return request{isn: syn.Seq(), end: syn.End()}
}

// verdict is what becomes of a segment, and of the request.
type verdict uint8

const (
	pass     verdict = iota // the segment goes on
	swallow                 // it is dropped
	giveUp                  // it is dropped and the request is over
	passOver                // it goes on and the request is over
	renew                   // another request takes this one's place
)

// fromPeer takes a segment that the peer has sent.
func (r *request) fromPeer(h seg.Head) verdict {
	const kind = seg.SYN | seg.ACK | seg.RST
	switch {
	case h.Flags.Has(seg.RST):
		return r.peerResets(h.Seq)
	case r.phase == pending && h.Flags&kind == seg.SYN:
		if h.Seq == r.isn {
			return swallow
		}
		return renew
	case r.phase == admitted && h.Flags&kind == seg.ACK && r.acknowledges(h):
		r.phase = opened
	}
	return pass
}

// peerResets takes the peer's RST. One that is not in its place is left to
// netstack, or is of no use while there is no connection (RFC 9293 §3.10.7.2).
func (r *request) peerResets(seq seqnum.Value) verdict {
	inPlace := seq == r.isn+1 || seq == r.end
	switch {
	case r.phase == pending && inPlace:
		return giveUp
	case r.phase == pending:
		return swallow
	case r.phase == admitted && inPlace:
		return passOver
	}
	return pass
}

// acknowledges reports whether a segment acknowledges our SYN.
func (r *request) acknowledges(h seg.Head) bool {
	return r.answered && r.iss.LessThan(h.Ack) && r.isn.LessThan(h.Seq)
}

// fromHere takes a segment that goes to the peer.
func (r *request) fromHere(h seg.Head) verdict {
	switch {
	case h.Flags.Has(seg.RST):
		return passOver // whoever answers for us wants no such connection
	case h.Flags.Has(seg.SYN | seg.ACK):
		r.iss, r.answered = h.Seq, true
	}
	return pass
}
