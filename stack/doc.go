// Package stack is a TCP/IP stack in user space: gVisor's netstack on a link of
// the caller's choice, with TCP Fast Open (RFC 7413) below it, and endpoints
// whose calls never block.
//
//	DialContext, Listen, TCPConn, UDPConn, PingConn ... as in package net: they wait
//	        │
//	     Endpoint, Datagram   Bind Connect Read Write Listen Accept ... never block
//	        │ ▲
//	        │ └ SetWake: "look again", from netstack's goroutines
//	        ▼
//	     netstack   TCP, UDP, ICMP, IPv4, IPv6
//	        │ ▲
//	fastopen.Link   puts the first bytes into the SYN
//	        │ ▲
//	    gate.Link   holds SYNs until their listener was asked, if it wants that
//	        │ ▲
//	 capture.Link   pcapng of the wire with comments, while CapturePcap runs
//	        │ ▲
//	  Config.Link   any gVisor LinkEndpoint: iolink over a TUN, a Pipe, ...
//
// # As in package net
//
// A Stack dials and listens with package net's signatures, and the connections have
// its methods: http.Transport, http.Server, crypto/tls, grpc and database drivers use
// them unchanged.
//
//	s, err := stack.New(stack.Config{Link: link, Addresses: addresses})
//	conn, err := s.DialContext(ctx, "tcp", "example.org:443")
//	conn, err = s.DialContextData(ctx, "tcp", "example.org:80", request)  // in the SYN
//	l, err := s.Listen("tcp", ":80")
//	err = s.Shutdown(ctx)
//
// Data gets into a SYN in two ways: DialContextData is given it, and the connection of
// a Dialer with Lazy set takes its first Write. FastOpenInfo says what became of it. A
// listener takes data from SYNs if ListenConfig.FastOpen is set; it may be data that an
// earlier connection had already (RFC 7413 §2.1), so that is the server's to decide.
//
// Every error is a *net.OpError, but for io.EOF. What is in it answers errors.Is as
// package net's does:
//
//	nobody listens                 syscall.ECONNREFUSED
//	no answer                      syscall.ETIMEDOUT, or os.ErrDeadlineExceeded and
//	                               context.DeadlineExceeded if a caller's limit was first
//	the context was cancelled      context.Canceled, and its cause
//	no route, a loopback address   syscall.ENETUNREACH
//	a router says so               syscall.EHOSTUNREACH, syscall.ENETUNREACH
//	the address is not the stack's syscall.EADDRNOTAVAIL, also if a dial finds no free port
//	it is in use                   syscall.EADDRINUSE, also if there is no free port to bind
//	the peer has reset             syscall.ECONNRESET, on each later call as well
//	written after CloseWrite       syscall.EPIPE
//	a deadline is over             os.ErrDeadlineExceeded
//	closed, by itself or the stack net.ErrClosed
//	a name                         *net.DNSError
//
// What differs from package net: there is no loopback network (a dial without a host,
// or to the stack's own address, stays inside); a zone says nothing, since there is one
// link; deadlines are times of Config.Clock; Close never waits; there is no file
// descriptor, so no SyscallConn; an error that a lazy dial would have told is told by
// Read and Write.
//
// # What can be reached
//
// A stack reaches whoever takes its packets off the link. On a TUN that is this host's
// kernel: with tun.Config.Addresses 10.9.0.1/24 and Config.Addresses 10.9.0.2/24 the
// host and the stack reach each other at once. Other hosts are reached if the host
// forwards (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding), and they answer if they
// have a route to the stack's address, or the host translates it; "wskstackd run --nat"
// does both. A dial that no one answers ends with ETIMEDOUT after Config.ConnectTimeout.
// See the examples Http, Tun and, in package iolink, Pipe.
//
// # Without waiting
//
// Only standard-library types cross an Endpoint: netip addresses, byte slices
// and errors. An error is a syscall.Errno (EAGAIN: not now, wait for the wake),
// io.EOF after the peer's FIN, or net.ErrClosed after the endpoint's own Close.
//
// # Ownership and goroutines
//
// The Stack owns its link, netstack, and every endpoint: Close aborts what is
// left, closes the link and waits for all goroutines. An idle connection has no
// goroutine of ours, and a Read or Write that waits has its caller's alone. A connect
// has one from Connect until it is done, a dial by name one for each look-up and each
// address that is being tried. Netstack has one per CPU for TCP; a link has its own.
//
// # Limits of time
//
// Nothing waits for ever: a connect ends after Config.ConnectTimeout, a closed
// endpoint is aborted after Config.CloseTimeout. Both are visible and can be
// set, the former for each connect. Reads, writes and accepts have deadlines.
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
// and no urgent data, as netstack has none. Of ICMP a program gets echo alone.
package stack
