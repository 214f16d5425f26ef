package tfo

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

const (
	// DefaultPending is how many openings of a listener may be pending
	// (RFC 7413 §5.1): about 4 KiB each.
	DefaultPending = 128
	// resetHold is how long the place of an opening that its client reset stays
	// taken, so that resets do not make room for a flood (RFC 7413 §5.1; 60 s as
	// in Linux).
	resetHold = 60 * time.Second
	// maxGrants bounds the cookies that are on their way into a SYN-ACK, which
	// takes as long as the stack above needs to answer a SYN.
	maxGrants = 1024
)

// Policy is how a listener treats openings.
type Policy struct {
	// MaxPending is the number of openings that may wait for the client's ACK;
	// over it Fast Open is off (RFC 7413 §4.2). 0 means DefaultPending.
	MaxPending int
	// MaxPerSource is the same for each client address; 0 means MaxPending.
	MaxPerSource int
	// Cookieless takes data without a cookie, for closed networks in which no
	// address can be forged (RFC 7413 §7.3).
	Cookieless bool
	// HoldData delivers the SYN's data at once and keeps the answer until the
	// client's ACK has come, so that nothing is sent to a forged address
	// (RFC 7413 §5.2).
	HoldData bool
	// EarlyDataCap is how many bytes of the answer may leave before the client's
	// ACK; 0 means what the initial window allows.
	EarlyDataCap int
}

// Event is something that a server does or sees, to be counted.
type Event uint8

// The events. The names in parentheses are Linux's counters.
const (
	// EventCookieRequested: a SYN asks for a cookie (TCPFastOpenCookieReqd).
	EventCookieRequested Event = iota
	// EventOverflow: too many openings are pending (TCPFastOpenListenOverflow).
	EventOverflow
	// EventBadCookie: the cookie is not the client's (TCPFastOpenPassiveFail).
	EventBadCookie
	// EventNotTaken: the stack above did not take the data in time
	// (TCPFastOpenPassiveFail).
	EventNotTaken
	// EventAccepted: a connection was opened with its SYN (TCPFastOpenPassive).
	EventAccepted
	// EventBackupKey: the cookie was made with the backup key
	// (TCPFastOpenPassiveAltKey).
	EventBackupKey
	// EventReplay: a duplicate of an earlier SYN; it opens nothing, and its data
	// was dropped.
	EventReplay
	// EventReset: the client reset a pending opening.
	EventReset
	// EventTimeout: the client never acknowledged the SYN-ACK.
	EventTimeout
	// Events is the number of events.
	Events
)

// EventSet is a set of events.
type EventSet uint16

// Has reports whether e is in the set.
func (s EventSet) Has(e Event) bool { return s&(1<<e) != 0 }

func setOf(e Event) EventSet { return 1 << e }

// Answer is what is to be done with a SYN.
type Answer uint8

// The answers.
const (
	// AnswerPlain: it goes on; there is nothing to do.
	AnswerPlain Answer = iota
	// AnswerDrop: it goes no further.
	AnswerDrop
	// AnswerGrant: it goes on; a cookie is added to the SYN-ACK. A Child does it.
	AnswerGrant
	// AnswerAccept: it opens the connection; a Child does it.
	AnswerAccept
)

// Decision is what Server.Decide made of a SYN.
type Decision struct {
	Answer Answer
	// Option goes into the first SYN-ACK; with an empty cookie there is none.
	Option Option
	// Fallback takes its place if the data is not taken after all.
	Fallback Option
	// Events are for the counters.
	Events EventSet
}

// hold is the place of a reset opening.
type hold struct {
	until  time.Duration
	source netip.Addr
}

// Server decides for one listener which SYNs open a connection, and keeps count
// of those that are pending. It is not safe for concurrent use.
type Server struct {
	policy  Policy
	off     bool
	pending int
	grants  int
	sources map[netip.Addr]int // places taken by each client, held ones included
	held    []hold             // in the order of their time
}

// NewServer returns the machine of a listener.
func NewServer(p Policy) *Server {
	if p.MaxPending <= 0 {
		p.MaxPending = DefaultPending
	}
	if p.MaxPerSource <= 0 {
		p.MaxPerSource = p.MaxPending
	}
	return &Server{policy: p, sources: make(map[netip.Addr]int)}
}

// Policy is the listener's, its defaults filled in.
func (s *Server) Policy() Policy { return s.policy }

// SetEnabled switches Fast Open on or off for SYNs to come. Openings that are
// pending go on (S-49).
func (s *Server) SetEnabled(on bool) { s.off = !on }

// Enabled reports whether Fast Open is on.
func (s *Server) Enabled() bool { return !s.off }

// Pending is how many openings wait for their client, and how many places are
// held after a reset.
func (s *Server) Pending(now time.Duration) (pending, held int) {
	s.prune(now)
	return s.pending, len(s.held)
}

// Decide says what to do with a SYN to the listener whose checksum is right, in
// Linux's order: the limit before the cookie, as that costs less. Each
// AnswerGrant and AnswerAccept is ended by one call of End.
func (s *Server) Decide(now time.Duration, syn seg.Segment, keys Keys, replays *Replays) Decision {
	f := syn.Flags()
	switch {
	case f&(seg.SYN|seg.ACK|seg.RST) != seg.SYN:
		return Decision{}
	case f.Has(seg.FIN):
		return Decision{Answer: AnswerDrop} // as Linux; the stack would take it for a SYN
	}
	option, has := ParseOption(syn)
	data := len(syn.Payload()) > 0
	d := Decision{}
	request := has && option.Cookie.Empty()
	if request {
		d.Events |= setOf(EventCookieRequested)
	}
	switch {
	case s.off, !has && !(data && s.policy.Cookieless):
		return d
	case replays.Seen(now, openingOf(syn)):
		d.Events |= setOf(EventReplay)
		return d
	case s.full(now, syn.Src().Addr()), request && !s.policy.Cookieless && s.grants >= maxGrants:
		d.Events |= setOf(EventOverflow)
		return d
	case s.policy.Cookieless:
		return s.accept(d, syn)
	}
	return s.check(d, syn, option, keys)
}

// check looks at the cookie.
func (s *Server) check(d Decision, syn seg.Segment, option Option, keys Keys) Decision {
	match, right := keys.check(syn.Src().Addr(), syn.Dst().Addr(), option.Cookie)
	d.Fallback = Option{Kind: option.Kind, Cookie: right}
	switch match {
	case primaryMatch:
		return s.accept(d, syn)
	case backupMatch:
		d.Events |= setOf(EventBackupKey)
		d.Option = d.Fallback
		return s.accept(d, syn)
	case noMatch:
	}
	if !option.Cookie.Empty() {
		d.Events |= setOf(EventBadCookie)
	}
	if s.grants >= maxGrants {
		d.Events |= setOf(EventOverflow)
		return d
	}
	d.Answer, d.Option = AnswerGrant, d.Fallback
	s.grants++
	return d
}

func (s *Server) accept(d Decision, syn seg.Segment) Decision {
	d.Answer = AnswerAccept
	s.pending++
	s.sources[syn.Src().Addr()]++
	return d
}

func openingOf(syn seg.Segment) Opening {
	return Opening{Local: syn.Dst(), Remote: syn.Src(), IRS: syn.Seq()}
}

// full reports whether one more opening of this client is too many.
func (s *Server) full(now time.Duration, source netip.Addr) bool {
	s.prune(now)
	return s.pending+len(s.held) >= s.policy.MaxPending || s.sources[source] >= s.policy.MaxPerSource
}

// prune gives back places whose time is over.
func (s *Server) prune(now time.Duration) {
	for len(s.held) > 0 && now >= s.held[0].until {
		s.leave(s.held[0].source)
		s.held = s.held[1:]
	}
	if len(s.held) == 0 {
		s.held = nil
	}
}

func (s *Server) leave(source netip.Addr) {
	if s.sources[source]--; s.sources[source] <= 0 {
		delete(s.sources, source)
	}
}

// End gives back the place of an opening, at once or, if its client reset it,
// when the hold is over.
func (s *Server) End(now time.Duration, a Answer, source netip.Addr, reset bool) {
	switch a {
	case AnswerPlain, AnswerDrop:
		return
	case AnswerGrant:
		s.grants--
		return
	case AnswerAccept:
	}
	s.pending--
	if reset {
		s.held = append(s.held, hold{until: now + resetHold, source: source})
		return
	}
	s.leave(source)
}
