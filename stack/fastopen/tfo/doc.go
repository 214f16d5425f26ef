// Package tfo is TCP Fast Open (RFC 7413) alone: the option, the cookies, what a
// client remembers, and the state machine of a connection being opened from
// below a TCP that knows nothing of it.
//
//	                FromStack                    ToWire
//	 TCP above   ────────────►  ┌────────┐  ────────────►   wire
//	(netstack)                  │ Client │
//	             ◄────────────  └────────┘  ◄────────────
//	                ToStack        ▲  │          FromWire
//	                          Plan │  │ Lesson
//	                             ┌────────┐
//	                             │ Cache  │
//	                             └────────┘
//
// A machine takes segments and the time, and answers with segments and a
// deadline. It has no goroutine, no lock and no clock, so a test is a list of
// segments. What a connection may do is decided once, by Cache.Plan, when its SYN
// is seen; what it found out goes back once, as Lessons for Cache.Learn.
//
// Nothing is translated: bytes in the SYN have the sequence numbers that the
// first bytes of the stream have anyway. The machine adds them to the SYN, shows
// the TCP above a SYN-ACK that acknowledges the SYN alone, keeps off the wire
// what the peer already has, and acknowledges those bytes itself.
//
// A server has two machines: Server decides which SYNs to one listener open a
// connection, with the Keys of a KeyRing, and counts those that are pending; a
// Child sees one of them through. It shows the TCP above the client's ACK with
// the SYN's data before the client has sent it, and keeps the SYN-ACK back until
// the TCP above has acknowledged the data. From then on until the real ACK the
// SYN-ACK is its own to repeat.
//
// Time is a duration since any fixed moment of a clock that never goes back.
//
// Ownership: a machine keeps the payload it was given and copies of segments it
// needs later. A segment handed to FromStack or FromWire belongs to the machine
// from then on: it may be changed in place and handed out again.
//
// Limits: a Client or Child serves one connection attempt, a Server one listener;
// none is safe for concurrent use. Cache, KeyRing and Replays are.
package tfo
