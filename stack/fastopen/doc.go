// Package fastopen adds TCP Fast Open (RFC 7413) to an unmodified gVisor
// netstack, from below: Link is a link endpoint that wraps another.
//
//	 application ── connect, with data ──► netstack        netstack ──► application
//	                                          │ SYN           ▲ SYN-ACK that acknowledges
//	                                          │               │ the SYN alone
//	                                   ┌──────▼───────────────┴─────┐
//	Offer(payload) ──► Flow ─────────► │            Link            │
//	(owner of the endpoint's packets)  │  table ─► tfo.Client ◄─► tfo.Cache
//	                                   └──────┬───────────────▲─────┘
//	                                          │ SYN, cookie,  │ SYN-ACK that acknowledges
//	                                          ▼ data          │ the data, too
//	                                        the link below, any LinkEndpoint
//
// A connection takes part when its endpoint's packets carry a Flow as their
// owner: call Offer, give the Flow to tcpip.Endpoint.SetOwner, then connect. Once
// the connection is up, write the whole payload, as if there were no Fast Open:
// what the peer has already does not leave again. Outcome says what became of it.
// Every other packet goes through untouched, and while no connection is being
// opened, each batch costs one atomic load.
//
// # Who owns what
//
// Packets going down run on the sender's goroutine, under its endpoint's lock;
// packets coming up on that of the link below. One goroutine of the Link's own
// delivers the segments that it made: it starts with Attach and ends with
// Attach(nil) or Close; Wait waits for it. Timers are those of Config.Clock, at
// most one for each Flow.
//
// Locks: Flow.mu, then any one of table.mu, upQueue.mu and the cache's. None is
// held over a call into netstack or the link below.
//
// # Limits
//
// Fragments and packets that do not parse whole pass unchanged. A connection
// that ends before its handshake does is forgotten when the Flow is released, or
// by itself after the longest handshake. Data in a SYN may be delivered to the
// server's application twice (RFC 7413 §2.1): offer only what may be.
package fastopen
