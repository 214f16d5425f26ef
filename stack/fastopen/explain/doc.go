// Package explain says in words what the Fast Open layer did to packets, for the
// comments of a capture that lies below it.
//
//	netstack
//	   │ ▲
//	fastopen.Link ── OnStep ──► Notes.Step     what came, what was made of it
//	   │ ▲                        │
//	capture.Link ◄── comments ── Notes.Outgoing, Arrived, Incoming
//	   │ ▲
//	the link below
//
// The words are found by comparing a packet with what became of it, and say nothing
// else:
//
//	Fast Open: option added (cookie of 8 bytes); 17 bytes of data put in
//	Fast Open: netstack is shown it changed: ack lowered by 17; window raised by 17
//	Fast Open: its 17 bytes of data taken off; seq raised by 17; flags PA made A
//	Fast Open: made here
//	Fast Open: swallowed
//	Fast Open, before this packet: netstack's SA was kept off the wire
//
// Control bits are written as packet logs do: SA is SYN and ACK. What never was a packet on the wire, such as a segment of netstack's that was kept
// back or an acknowledgement that was made for it, is told with the next packet of its
// connection.
//
// Who owns what: Notes keeps words, and packets by identity while they are on their way
// up; it changes none. It starts no goroutine. Its lock is a leaf, held over nothing but
// memory.
//
// Limits: at most 1,024 notes wait for their packet; the oldest go. What was done after
// a connection's last packet has none to be told with. A made packet is recognized by its
// addresses, flags, sequence number and length.
package explain
