// Package verifier finds misuse of package wsk: what would crash, hang or corrupt on
// Windows, where Driver Verifier, Static Driver Verifier or nobody finds it.
//
//	client ---- wsk.Provider ---- wsk.Network
//	               |                  ^
//	  wsk.Observer |                  | short I/O, Fast Open
//	               v                  |
//	           Verifier: records of IRPs, sockets, indications, registrations
//	               |
//	               v
//	     Report: rule, object, stack, and the object's history
//
// New, Attach it to a provider that was not started, start the provider on
// Verifier.Network, run the client, Finish. Rules has every rule, with a stable ID, and
// VERIFIER.md the same as a table, with the rules that mean nothing in Go and why.
//
// A verifier adds detection, not semantics: every status is what it would be without.
// What is different is memory: a receive buffer is filled just before its IRP completes,
// and an indication is a copy, which is overwritten when it goes back. Only Faults
// change what happens, and only to what could happen anyway.
//
// Who owns what: records live in the IRPs and sockets that they are about, and go with
// them. Of what went back, memory is kept until 64 receive buffers and 128 indications
// later. At most 1,000 reports are kept.
//
// It has no goroutine, unless somebody calls Run, and one lock, a leaf. OnReport and
// Stop are called with none held. A goroutine that breaks a rule is not stopped.
//
// Limits: what Go cannot see is not seen. Memory that is read too early or too late is
// found by its content, not by the access; a nil socket is seen only through an IRP that
// was used before or that Verifier.NewIRP made; a registration that never was has no
// provider to tell. A wait inside a callback (Q3) is found by the runtime's own account
// of what the goroutine does.
package verifier
