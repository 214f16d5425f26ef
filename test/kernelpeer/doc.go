// Package kernelpeer is the Linux kernel as the other end of a connection: its
// TCP server and client with Fast Open inside a network namespace, and its own
// counters as the judge.
//
//	the test's goroutines          | the namespace
//	                               |
//	srv := Listen(ns, ...)  ───────┼─► listening socket, TCP_FASTOPEN = n
//	srv.Accepted(ctx, 0)    ◄──────┼── what the kernel had at accept: bytes, TCP_INFO
//	srv.Finished(ctx, 0)    ◄──────┼── what the handler read in the end
//	conn := Dial(ctx, ns, ...) ────┼─► socket with MSG_FASTOPEN or TCP_FASTOPEN_CONNECT
//	ReadCounters(ns)        ◄──────┼── /proc/thread-self/net/netstat, TcpExt
//	SetKeys(ns, ...)        ───────┼─► net.ipv4.tcp_fastopen_key
//
// Sockets are made inside the namespace and used from any goroutine. A namespace
// starts with net.ipv4.tcp_fastopen = 1 (client only): [EnableFastOpen] switches
// the server half on as well, in that namespace alone.
//
// # Ownership
//
// A [Server] owns its listener, one goroutine that accepts and one per
// connection; Close ends them all and waits. A connection made with [Dial]
// belongs to the caller and has no goroutine.
//
// # Limits
//
// TCP only. Counters that a kernel does not have read as zero.
package kernelpeer
