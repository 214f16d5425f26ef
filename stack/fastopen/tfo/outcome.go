package tfo

import "time"

// CookieState is what became of a cookie in a connection attempt.
type CookieState uint8

// The states of a cookie.
const (
	// CookieNone: none was asked for or sent.
	CookieNone CookieState = iota
	// CookieRequested: one was asked for and did not come (yet).
	CookieRequested
	// CookieGranted: one was asked for and came.
	CookieGranted
	// CookieSent: the known one was sent.
	CookieSent
	// CookieReplaced: the known one was sent and another came back.
	CookieReplaced
)

// String names the state.
func (c CookieState) String() string {
	switch c {
	case CookieNone:
		return "none"
	case CookieRequested:
		return "requested"
	case CookieGranted:
		return "granted"
	case CookieSent:
		return "sent"
	case CookieReplaced:
		return "replaced"
	}
	return "unknown"
}

// Outcome is what Fast Open did for a connection.
type Outcome struct {
	// Wanted: Fast Open was switched on for the connection.
	Wanted bool
	// Done: the opening is over and the rest will not change.
	Done bool
	// Answered: the handshake got its answer; BytesAccepted and Reason hold.
	Answered bool
	// Cookie is what became of the cookie.
	Cookie CookieState
	// BytesInSYN are the bytes of data that left in the first SYN,
	// BytesAccepted those of them that the peer acknowledged with its SYN-ACK.
	BytesInSYN, BytesAccepted int
	// SYNRetransmitted: the SYN was sent again, without Fast Open.
	SYNRetransmitted bool
	// Reason says why not all of the data was accepted in the SYN; ReasonNone
	// if it was.
	Reason Reason
	// PausedUntil goes with the reasons that pass by themselves: the time, on
	// the link's clock, from which Fast Open may be tried again.
	PausedUntil time.Duration
	// HandshakeRTT is the time from the first SYN to its answer, 0 if none came.
	HandshakeRTT time.Duration
}

// or is r, or s where r says nothing.
func (r Reason) or(s Reason) Reason {
	if r != ReasonNone {
		return r
	}
	return s
}

// Outcome is what Fast Open has done so far.
func (c *Client) Outcome() Outcome { return c.outcome }
