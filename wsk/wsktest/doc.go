// Package wsktest provides networks and transports for tests of package wsk and
// of code that uses it: no packets, no privilege, no time.
//
//	wsk.Socket ---> Transport (one function per method) ---> Peer (a model of the other end)
//	                                                          ^
//	                                  the test: Accept, Deliver, Ack, FIN, Reset ...
//
// A Transport is made of functions; each that is nil does something harmless. A
// Peer fills them all in with a model of a TCP connection whose far end the test
// plays; a test may then replace single functions to inject a failure.
//
// Who owns what: a transport is the socket's that was made on it, which closes it; a
// Peer and a Mailbox stay the test's. What the socket writes is copied.
//
// Limits: a model has no time, no loss and no segments; what depends on those is tested
// on package stack, through onstack.
//
// The package starts no goroutine. Locks: a Peer has one, a leaf; a Transport's
// wake-up is called under none.
package wsktest
