// Package demo shows, with packets and with the peer's own counters, that the
// first bytes handed to a connect leave in the SYN, and that those of a client's SYN
// are read before its handshake is over.
//
//	wsk  WskConnectEx, WskSend, WskReceive        stack.Endpoint
//	        └────────── wsk/onstack ──────────────┬──┘
//	                                      stack (netstack)
//	                                      stack/fastopen
//	                                      CapturePcap ──► --pcap FILE
//	         the delay and the middlebox  test/relay ─────► the ladders
//	                                      stack/iolink
//	                     TUN, or veth and packet socket, or memory
//	                     peer: the Linux kernel, or this stack's other half
//
// Each run is a connection that asks a question and waits for the answer, which
// the peer gives when it has the whole question and which proves what arrived:
// it has the number of bytes and their hash. What the runs claim is checked
// against the packets seen below the Fast Open layer, the time to the first byte,
// and the peer's counters; the demo fails if one claim is false.
//
// # Ownership
//
// Run opens everything that it uses and closes it before it returns, whatever
// happens: stacks, wire, namespace, file.
//
// # Limits
//
// The machine's own scheduling is part of every time that is measured. It can
// only add to the time that the protocol takes, so a run whose time is claimed is
// repeated and the fastest connection is reported; the text lists them all.
package demo
