// Package stack is a TCP/IP stack in user space: gVisor's netstack on a link of
// the caller's choice, with TCP Fast Open (RFC 7413) below it, and endpoints
// whose calls never block.
//
//	     Endpoint   Bind Connect Read Write Listen Accept ... never block
//	        │ ▲
//	        │ └ SetWake: "look again", from netstack's goroutines
//	        ▼
//	     netstack   TCP, UDP, ICMP, IPv4, IPv6
//	        │ ▲
//	fastopen.Link   puts the first bytes into the SYN
//	        │ ▲
//	    gate.Link   holds SYNs until their listener was asked, if it wants that
//	        │ ▲
//	  Config.Link   any gVisor LinkEndpoint: iolink over a TUN, a channel, ...
//
// Only standard-library types cross an Endpoint: netip addresses, byte slices
// and errors. An error is a syscall.Errno (EAGAIN: not now, wait for the wake),
// io.EOF after the peer's FIN, or net.ErrClosed after the endpoint's own Close.
//
// # Ownership and goroutines
//
// The Stack owns its link, netstack, and every endpoint: Close aborts what is
// left, closes the link and waits for all goroutines. An idle connection has no
// goroutine of ours. A connect has one from Connect until it is done. Netstack
// has one per CPU for TCP; a link has its own.
//
// # Limits of time
//
// Nothing waits for ever: a connect ends after Config.ConnectTimeout, a closed
// endpoint is aborted after Config.CloseTimeout. Both are visible and can be
// set, the former for each connect.
//
// # Defaults that differ from netstack's
//
// RACK loss detection is off: with it on, some losses leave a connection without
// any timer, and it hangs for ever; recovery is RFC 6675's, with SACK. Listen
// allows one connection more than its backlog, as everywhere else. Congestion
// control is CUBIC. Buffers begin small and grow. IPv6 sends no solicitations of
// its own, since the link has no neighbours to find.
//
// # Limits
//
// One link, one NIC. No forwarding, no fragmentation of what TCP sends, no ECN
// and no urgent data, as netstack has none. UDP and ICMP are there for those who
// use Netstack directly.
package stack
