// Package capture records the packets that cross a link as pcapng, for
// Wireshark and its kin.
//
//	netstack
//	   │ ▲
//	fastopen.Link        changes SYNs, SYN-ACKs and first ACKs ──► explain.Notes
//	   │ ▲                                                              │ comments
//	capture.Link ──────► io.Writer    exactly what is on the wire ◄─────┘
//	   │ ▲
//	iolink.Link
//
// It wraps any gVisor LinkEndpoint; a stack.Stack has one (CapturePcap). While no
// capture runs it costs one atomic load per batch. Each packet is one Enhanced Packet
// Block of link type RAW (101), with its direction in the flags option and what the
// Commenter says in comment options, stamped by the injected clock.
//
// Ownership: the writer stays the caller's, who closes it after the capture's end.
// Writes to it happen on the goroutines that move packets, through a buffer of 4 KiB:
// give a file, not something that can block for long, and nothing that sends over this
// link. When the writer fails the capture ends, the traffic goes on, and Stop, or what
// Record returned, tells the error. The package starts no goroutine, but a context that
// ends a capture does so on one.
//
// Limits: one capture at a time. An outgoing packet is recorded just before it is handed
// to the link below, so one that the link refuses is in the file too. Super-segments
// are recorded as they pass, not as they are cut further down. With a Commenter a packet
// that came up is written when it has been up, and what passes meanwhile waits behind it,
// 1,024 packets at most.
package capture
