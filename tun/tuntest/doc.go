// Package tuntest is a pair of packet devices in memory, for code that wants a
// device like tun's and has no privilege.
//
//	a.Write ──► [ ring of packets ] ──► b.Read
//	a.Read  ◄── [ ring of packets ] ◄── b.Write
//
// A Device has the methods of tun.Device and their meaning: the same checks of
// what is written and read, the same errors, the same rules for Close. In place
// of the kernel stands the other Device of the pair.
//
// # Who owns what
//
// Packets are copied in and out; the caller's buffers are its own again when a
// call returns. A ring belongs to the pair and is bounded. There is no goroutine
// and no clock, so that a pair works in a testing/synctest bubble.
//
// # Limits
//
// Like a TUN, and unlike a socket, a Device gives no back-pressure: when the
// other side does not read and its ring is full, Write takes the packet and drops
// it, counted by Dropped. A packet for a closed Device is dropped likewise.
// One queue, no offloads.
package tuntest
