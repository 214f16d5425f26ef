// Package relay is a stretch of path between a stack and its link: it delays
// packets each way, shows them to an observer, and has room for one middlebox.
// It does not need the kernel's netem, and under a clock of the test's own it is
// exact.
//
//	           netstack (or the layer under it)
//	AtStack  ──────┬──────────────────▲──────────   events: sent, delivered
//	               ▼ down line        │ up line     delay each way, order kept,
//	               │                  │             bounded: full means lost
//	AtWire   ──────▼──────────────────┴──────────   events: passed, dropped, made
//	             Filter             Filter          the middlebox stands here
//	               ▼                  │
//	           the lower link (iolink, a memory link, ...)
//
// The middlebox stands at the far end of the delay, next to the lower link: what
// it answers to a packet of the stack reaches the stack one round trip after
// that packet left.
//
// # Packets
//
// The relay is for links that carry bare IP packets. A packet that goes through
// unchanged is netstack's own, cloned; filters and observers get copies of its
// bytes and may keep them. Super-segments are not asked for: the relay claims
// neither segmentation nor checksum offload on the way down, so what it shows is
// what a wire would carry.
//
// # Goroutines, locks and blocking
//
// WritePackets and DeliverNetworkPacket only enqueue. Packets leave a line in the
// callback of one timer of the injected clock, never two at a time; with
// faketime.ManualClock that is inside Advance, so after it all that was due has
// happened. Detaching (Attach(nil)) and Close drop what is on the way; Wait then
// waits for a callback still running, and for the lower link. Over a
// line's lock only those of the clock and of the observer are taken.
//
// # Limits
//
// One filter per direction ([Chain] joins several). A shorter delay set while
// packets are on their way does not let later ones overtake them.
package relay
