// Package wskrun is the room in which scenarios of package wsk/scenario run: it makes
// their worlds, and says what came out.
//
//	                        ┌ sim     a second stack on a simulated wire, virtual time
//	scenario.Run ── World ──┤ kernel  the Linux kernel in a namespace of the program's own
//	                        └ host    a given service, through a TUN, as connect does it
//
// A world is made for one run and closed after it. The simulated one needs no
// privilege, and the same seed gives the same time line. Simulation needs package
// testing, also outside of go test: see bubble.go.
//
// Goroutines: the peer's service in the kernel world has some, which end when the
// world is closed; and the test that bubble.go borrows is parked for as long as the
// process lives.
package wskrun

// The kinds of peer.
const (
	PeerSim    = "sim"
	PeerKernel = "kernel"
	PeerHost   = "host"
)

// backlog is how many connections may wait at the peer.
const backlog = 16
