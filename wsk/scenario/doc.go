// Package scenario runs lists of WSK calls, written down in YAML, and compares what
// comes out with what was expected.
//
//	file ──► Parse ──► Scenario ──► Run(World, Knobs) ──► Result ──► text, JSON, JUnit
//	                                  │       │
//	            sockets stand on its Network  └ completion mode, seed, verifier, faults
//	            and its Peer plays the other end
//
// A run registers a client, takes the steps one after the other, up to the first that
// does not come out as expected, gives back, closes and frees what is left, and
// deregisters. Whatever the steps say, it then looks whether each IRP that was handed
// in has completed once, as the call said it would, and whether the verifier has
// reported what the scenario names, and nothing else.
//
// With faults, what was expected need not come out: then the scenario ends there,
// which is no failure; all else is looked at as before.
//
// SCENARIOS.md is the reference of the files; it is made from the parser's tables.
//
// Who owns what: a run owns its registration, sockets and IRPs, and has given them back
// when it ends. The World, its network and its peer are the caller's.
//
// Goroutines: a run has none but those of the peer's service, which World.Peer starts
// and ends. Callbacks and completion routines run on the provider's; what they share
// with the steps is guarded by locks that are leaves.
//
// A run calls no clock: World has one, which may be virtual. Then the time line of the
// same scenario, seed and knobs is the same each time.
//
// Limits: faults that make goroutines wait (delay, cancel-race) leave the order of what
// happens at one instant to the scheduler.
package scenario
