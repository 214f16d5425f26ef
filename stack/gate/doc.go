// Package gate is a link endpoint that can hold a connection request back until its
// listener has been asked, and keep a connection silent. It stands below whatever
// would answer a SYN:
//
//	netstack ── fastopen.Link ── gate.Link ── the link below
//	                                │
//	            SYN to a listener that inspects:   held, its Listener told
//	              Decide(id, true)  ─► the SYN goes up, and the handshake begins
//	              Decide(id, false) ─► the peer gets a reset
//	              repeated SYNs     ─► swallowed
//	              the peer's reset, or the limit ─► over, its Listener told
//	            a connection that was silenced:    dropped, both ways
//
// Each request that a Listener was told of ends in one of four ways: Take (its
// connection was accepted), Decide with false, an Event that it is Gone, or the
// Listener's Close. A SYN with Fast Open's option is held like any other and meets
// the Fast Open layer when it goes up.
//
// A request is remembered until its connection is taken, so that a SYN that is
// repeated during the handshake is not asked about again; and a connection that
// comes up without one was admitted by nobody (a SYN in fragments, which netstack
// puts together, is not seen here): whoever accepts is to drop it.
//
// Who owns what: a held packet is the gate's, by a reference of its own, until it goes
// up or its request is over. Listeners belong to whoever made them; Find only shows them.
//
// Limits: memory is bounded: a Listener holds at most Max requests, each with a copy of its
// SYN; what comes when they are full is dropped, as with a full backlog.
//
// While nobody inspects and nothing is silent, a packet costs one atomic load in
// each direction. Otherwise the fixed headers of each packet are looked at, and the
// table of requests under a lock for reading.
//
// The state machine of a request (request.go) is pure. Locks: Link.mu guards table,
// Listeners and queues, and is a leaf: packets are sent and delivered, and wake
// functions called, without it. There is no goroutine but those of the clock's
// timers; Close stops them.
package gate
