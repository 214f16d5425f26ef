// Package netcat is the commands connect and listen: standard input to a TCP peer,
// what the peer sends to standard output, the first bytes in the SYN.
//
//	stdin ──► first payload ──► Connect(Data) ┐                      host's kernel
//	      ──► the rest ───────► Write ────────┤ stack ── iolink ── TUN ── its own addresses
//	stdout ◄────────────────────Read ◄────────┤                      └─ others, if it forwards
//	                                          │
//	gate ◄── Accept ◄── listening endpoint ◄──┤
//	  │                                       │
//	  └──► stdin and stdout, or echo, exec, for each connection
//	                                          │
//	net/http ◄── gate ◄── stack.TCPListener ◄─┘
//
// The stack has an address of its own: on a small network between it and the
// host, or one that the host gets a route to. So it reaches the host's own
// addresses directly and they reach it, and others only as far as the host forwards
// packets and something translates or routes that network; Open says so before
// anything is changed.
//
// # Ownership
//
// Session and Listener own the TUN, which takes its addresses and itself back in
// Close, and the stack on it. A goroutine reads standard input: it ends with the
// input, or, where a read cannot be interrupted, with the program. Each connection
// has one more, which writes, and which has ended when the connection is over.
//
// A listener's connections are counted by its gate: Serve returns when the last one
// has left. Each has a goroutine that serves it, net/http's with HTTP, and Exec two
// more, which end with the command. An accepted connection has a soft end, at which
// it is brought to an end in good order, and a hard one CloseLimit later. With HTTP the first
// is net/http's Shutdown, and at the end the stack's, which waits until all is delivered.
//
// # Limits
//
// No Happy Eyeballs: of the addresses of a name, the first of the wanted family
// is used. A connection that was made ends when the peer has closed its side, one
// that was accepted when both have. A command that is run for a connection and
// leaves its process group is on its own, and if this program is killed so are all.
// With HTTP a connection is reported when net/http closes it; a peer that then does not
// acknowledge the last of it is not told of.
package netcat
