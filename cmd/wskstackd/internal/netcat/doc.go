// Package netcat is the connect command: standard input to a TCP peer, what the
// peer sends to standard output, the first bytes in the SYN.
//
//	stdin ──► first payload ──► Connect(Data) ┐                      host's kernel
//	      ──► the rest ───────► Write ────────┤ stack ── iolink ── TUN ── its own addresses
//	stdout ◄────────────────────Read ◄────────┘                      └─ others, if it forwards
//
// The stack has an address of its own on a small network between it and the
// host. So it reaches the host's own addresses directly, and others only as far
// as the host forwards packets and something translates or routes that network;
// Open says so before anything is changed.
//
// # Ownership
//
// Session owns the TUN, which takes its addresses and itself back in Close, and
// the stack on it. A goroutine reads standard input: it ends with the input, or,
// where a read cannot be interrupted, with the program. Each connection has one
// more, which writes, and which has ended when the connection is over.
//
// # Limits
//
// No Happy Eyeballs: of the addresses of a name, the first of the wanted family
// is used. A connection ends when the peer has closed its side.
package netcat
