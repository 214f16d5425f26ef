// Package wire joins a stack's link to a peer, in the best way that the machine
// allows this user.
//
//	           our stack                               the peer
//	TUN        Link ── iolink ── /dev/net/tun ──────── Linux kernel  ┐ a network
//	Veth       Link ── iolink ── packet socket ─ veth ─ Linux kernel ┘ namespace
//	Memory     Link ── iolink ── two rings ── iolink ── PeerLink, for another stack
//
// A wire with the kernel has a namespace of its own, in which the kernel owns
// the peer's addresses; the test's servers and clients are made there
// (package kernelpeer). Nothing of the machine's own network is touched, and
// nothing is left of the wire when the process ends, in whatever way.
//
// # Veth
//
// Where an ordinary user may not open /dev/net/tun, a user namespace still
// allows a pair of virtual Ethernet devices and a packet socket. The stack's
// Ethernet address is none of the namespace's, so the kernel never takes the
// stack's packets for its own; neighbour entries are permanent, so no ARP and no
// neighbour discovery is needed; and offloads are off at both ends, so packets
// have full checksums and the size they have on a wire.
//
// # Ownership
//
// Who opens a [Wire] closes it, after the stacks on its links. Each link serves
// one stack. No goroutine runs but iolink's readers, from attach to close.
//
// # Limits
//
// One queue. Offloads on a TUN only. Addresses are fixed, from the documentation blocks
// (RFC 5737, RFC 3849). On a kernel without IPv6 the wire has IPv4 only.
package wire
