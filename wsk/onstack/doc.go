// Package onstack joins package wsk to package stack: sockets of the one stand on
// endpoints of the other.
//
//	wsk.Socket --- wsk.Transport --- transport --- *stack.Endpoint --- netstack
//
// The join has no rules of its own, no goroutine, no lock and no state but what
// it has seen of a connect. Most methods are the endpoint's own.
//
// Who owns what: a transport owns its endpoint and ends it with Close or Abort.
// The stack is the caller's: stop the wsk.Provider first, then close the stack.
//
// Limits: the stack does not tell the size of its segments, so this option can be
// read only after it was set. An address' scope is
// dropped: a stack has one link only.
package onstack
