package tfo

import "time"

// Mode says whether a client uses Fast Open.
type Mode uint8

// The modes of a client.
const (
	// ModeDefault takes the mode of the next wider scope.
	ModeDefault Mode = iota
	// ModeOff sends what the TCP above sends, untouched.
	ModeOff
	// ModeOn asks for cookies and uses them (RFC 7413).
	ModeOn
	// ModeCookieless puts data in the SYN without an option, for closed networks
	// in which no address can be forged.
	ModeCookieless
)

// String names the mode.
func (m Mode) String() string {
	switch m {
	case ModeDefault:
		return "default"
	case ModeOff:
		return "off"
	case ModeOn:
		return "on"
	case ModeCookieless:
		return "cookieless"
	}
	return "unknown"
}

// Action is what the first SYN of a connection carries.
type Action uint8

// The actions.
const (
	// SendPlain leaves the SYN as it is.
	SendPlain Action = iota
	// SendRequest adds an empty option: please give me a cookie.
	SendRequest
	// SendCookie adds the cookie, and data as it fits.
	SendCookie
	// SendBare adds data and no option (ModeCookieless).
	SendBare
)

// String names the action.
func (a Action) String() string {
	switch a {
	case SendPlain:
		return "plain"
	case SendRequest:
		return "cookie request"
	case SendCookie:
		return "cookie"
	case SendBare:
		return "bare data"
	}
	return "unknown"
}

// Plan is what one connection attempt is to do. Cache.Plan makes it.
type Plan struct {
	Action Action
	Option Option
	// MSS is the peer's, as last seen; 0 when it is not known.
	MSS uint16
	// Reason says why no data is to ride in the SYN; ReasonNone if it may.
	Reason Reason
	// PausedUntil goes with the reasons that pass by themselves.
	PausedUntil time.Duration
}

// Verdict is what an attempt showed about Fast Open on its path.
type Verdict uint8

// The verdicts.
const (
	// VerdictNone: nothing can be concluded.
	VerdictNone Verdict = iota
	// VerdictAccepted: data in the SYN was acknowledged, wholly or in part.
	VerdictAccepted
	// VerdictStale: the data was not taken, and a new cookie came instead.
	VerdictStale
	// VerdictNotAcked: the data was not taken and no cookie came.
	VerdictNotAcked
	// VerdictGranted: a cookie was asked for and came.
	VerdictGranted
	// VerdictIgnored: a cookie was asked for and did not come.
	VerdictIgnored
	// VerdictLost: only a plain SYN got an answer.
	VerdictLost
	// VerdictRefused: a reset or an ICMP error answered the SYN with Fast Open,
	// and a plain SYN opened the connection.
	VerdictRefused
	// VerdictNoAnswer: nothing was answered at all.
	VerdictNoAnswer
)

// String names the verdict.
func (v Verdict) String() string {
	names := [...]string{"none", "accepted", "stale cookie", "data not acknowledged", "granted",
		"request ignored", "lost", "refused", "no answer"}
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}

// Pauses reports whether the verdict holds Fast Open back on its path for a while:
// SYNs with it get lost there, or are refused.
func (v Verdict) Pauses() bool {
	return v == VerdictLost || v == VerdictRefused || v == VerdictNoAnswer
}

// Lesson is what the cache is told about an attempt.
type Lesson struct {
	Verdict Verdict
	// Granted is the option of the SYN-ACK, if it carried a usable cookie.
	Granted Option
	// MSS is that of the SYN-ACK, 0 if none; PathMSS a bound learned from an
	// ICMP "too big", 0 if none.
	MSS, PathMSS uint16
}

// Reason says why Fast Open was not used, or not wholly.
type Reason uint8

// The reasons.
const (
	ReasonNone Reason = iota
	// ReasonOff: the mode of the connection or of the link is off.
	ReasonOff
	// ReasonNoCookie: there was no cookie for the peer; one was asked for.
	ReasonNoCookie
	// ReasonPaused: SYNs with Fast Open were lost or refused on this path.
	ReasonPaused
	// ReasonServerSilent: the server did not answer requests for a cookie.
	ReasonServerSilent
	// ReasonDataRefused: the server keeps ignoring data in SYNs.
	ReasonDataRefused
	// ReasonNoOptionRoom: the option does not fit into the SYN's header.
	ReasonNoOptionRoom
	// ReasonNoPayloadRoom: MTU or MSS leave no room for data.
	ReasonNoPayloadRoom
	// ReasonNoPayload: the caller gave no data.
	ReasonNoPayload
	// ReasonNotAcked: the peer acknowledged the SYN and none of its data.
	ReasonNotAcked
	// ReasonPartlyAcked: the peer acknowledged a part of the data.
	ReasonPartlyAcked
	// ReasonSYNLost: the SYN with Fast Open got no answer, a plain one did.
	ReasonSYNLost
	// ReasonRefused: the SYN with Fast Open was answered by a reset.
	ReasonRefused
	// ReasonUnreachable: it was answered by an ICMP error.
	ReasonUnreachable
	// ReasonTooBig: it was too big for the path.
	ReasonTooBig
	// ReasonNoAnswer: no SYN got an answer.
	ReasonNoAnswer
	// ReasonMismatch: the bytes written are not those that were in the SYN; the
	// connection was reset (hazard H-08).
	ReasonMismatch
	// ReasonUnparsable: the SYN was not one that can be changed.
	ReasonUnparsable
	// ReasonCrossed: the peer connected to us at the same moment.
	ReasonCrossed
	// Reasons is the number of reasons.
	Reasons
)

var reasonNames = [Reasons]string{
	ReasonNone:          "",
	ReasonOff:           "off",
	ReasonNoCookie:      "no-cookie",
	ReasonPaused:        "path-paused",
	ReasonServerSilent:  "server-ignores-requests",
	ReasonDataRefused:   "server-ignores-data",
	ReasonNoOptionRoom:  "no-option-room",
	ReasonNoPayloadRoom: "no-payload-room",
	ReasonNoPayload:     "no-payload",
	ReasonNotAcked:      "data-not-acknowledged",
	ReasonPartlyAcked:   "data-partly-acknowledged",
	ReasonSYNLost:       "syn-lost",
	ReasonRefused:       "syn-refused",
	ReasonUnreachable:   "unreachable",
	ReasonTooBig:        "too-big",
	ReasonNoAnswer:      "no-answer",
	ReasonMismatch:      "payload-mismatch",
	ReasonUnparsable:    "unparsable-syn",
	ReasonCrossed:       "simultaneous-open",
}

// String is the reason as a short word for logs and JSON; ReasonNone is "".
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "unknown"
}
