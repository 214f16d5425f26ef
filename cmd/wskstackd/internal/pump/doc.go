// Package pump joins two connections until both directions have ended.
//
//	a ──► read ──► write ──► b      a's FIN closes b's direction, no more
//	a ◄── write ◄── read ◄── b      and the other way round
//
// The end of one direction is carried through, so that a client may close its side
// and still get its answer. From then on the other direction has a limit: if
// nothing moves for so long, or the pump is cut, both connections are reset, and
// so they are if one of them fails. A peer that is told of an end was told the
// truth.
//
// # Ownership
//
// Run owns both connections and closes them. It runs one direction itself and the
// other on a goroutine that has ended when Run returns. Its deadlines are set by
// both; each connection takes them at any time.
package pump
