// Package capture records the packets that cross a link as pcapng, for
// Wireshark and its kin.
//
//	netstack
//	   │ ▲
//	fastopen.Link        changes SYNs, SYN-ACKs and first ACKs
//	   │ ▲
//	capture.Link ──────► io.Writer    exactly what is on the wire
//	   │ ▲
//	iolink.Link
//
// It wraps any gVisor LinkEndpoint. While no capture runs it costs one atomic
// load per batch. Each packet is one Enhanced Packet Block of link type RAW
// (101), with its direction in the flags option, stamped by the injected clock.
//
// Ownership: the writer stays the caller's, who closes it after Stop. Writes to
// it happen on the goroutines that move packets, through a buffer of 4 KiB: give
// a file, not something that can block for long. When the writer fails the
// capture ends, the traffic goes on, and Stop returns the error.
//
// Limits: an outgoing packet is recorded just before it is handed to the link
// below, so one that the link refuses is in the file too. Super-segments are
// recorded as they pass, not as they are cut further down.
package capture
