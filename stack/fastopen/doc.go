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
// The other half serves clients, at the addresses given to Listen. A service need
// not know of it: its accept returns, and the SYN's data can be read, while the
// SYN-ACK is still on its way.
//
//	               netstack ── accept, data ──► application
//	   the SYN as it is ▲ │ SYN-ACK    ▲ ACK and data,      │ its ACK
//	                    │ │ (kept)     │ made by the Link   │
//	             ┌──────┴─▼────────────┴────────────────────▼─┐
//	Listen ────► │ Listener ─► tfo.Server    child: tfo.Child │
//	             └──────▲──────────────────────────────┬──────┘
//	   SYN, cookie, data│                              ▼ SYN-ACK of SYN and data
//
// # Who owns what
//
// Packets going down run on the sender's goroutine, under its endpoint's lock;
// packets coming up on that of the link below. One goroutine of the Link's own
// delivers the segments that it made: it starts with Attach and ends with
// Attach(nil) or Close; Wait waits for it. Timers are those of Config.Clock, at
// most one for each Flow and one for each connection that is being served.
//
// Locks: Flow.mu or child.mu, of which nobody holds two, then any one of
// table.mu, upQueue.mu, Listener.mu, listeners.mu, opened.mu and those of cache,
// keys and replay memory. None is held over a call into netstack or the link
// below. Netstack's Stack.Wait and Destroy wait for links under a lock that a
// delivery may want: remove the NIC and wait for the Link first.
//
// # Limits
//
// Fragments and packets that do not parse whole pass unchanged. A connection
// that ends before its handshake does is forgotten when the Flow is released, or
// by itself after the longest handshake. Data in a SYN may be delivered to the
// server's application twice (RFC 7413 §2.1): offer only what may be.
//
// A server's state is bounded: for each listener ListenConfig.MaxPending
// connections and places held after resets, and 1024 SYNs that asked for a cookie
// and have no answer yet; for the Link ServerConfig.Replays SYNs remembered.
// Beyond that SYNs open connections the ordinary way. Netstack tells the
// application of a client that never answered with a reset, not a time-out. When
// the SYN offered neither window scale nor SACK, netstack's SYN cookies cannot be
// told from its usual answer, and Fast Open goes on under them. Without
// timestamps netstack takes the round trip for nearly nothing until its first
// answer was acknowledged. An answer lost before the client's ACK is repeated by
// netstack's timer, after the ACK.
package fastopen
