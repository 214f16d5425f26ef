// Package seg gives thin views of TCP segments in whole IP packets, and the few
// edits that the Fast Open layer makes to them.
//
//	0            tcp          opt         pay             len
//	| IP header  | TCP header | options   | payload       |
//	'-- Parse checks every length once; after it no accessor can fail --'
//
// A Segment is a view: it shares the caller's bytes. The Set methods change
// those bytes in place and keep the checksum's truth as it was: a sum that was
// right stays right, and one that was wrong stays wrong (so that a damaged
// packet is never made to look whole). Everything that changes a length builds a
// new packet with Rebuild or Make.
//
// Who owns what: the bytes are the caller's, and the caller's to guard; the package has
// no state, no lock and no goroutine. A Clone, and what Rebuild and Make return, has
// memory of its own.
//
// Sequence numbers have the type seqnum.Value and are compared only through it.
//
// Limits: fragments, IPv6 jumbograms and packets whose TCP header does not lie
// wholly in the slice are refused by Parse, never guessed at.
package seg
