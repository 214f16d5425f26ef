// Package daemon is the run command: programs of this host reach others through
// the stack, and programs of the host are reached through it.
//
//	client ──► 127.0.0.1:1080, SOCKS5 or CONNECT ──► names, deny rules ┐
//	client ──► --forward ──────────────────────────────────────────────┤ first bytes
//	                                                                   ▼ for the SYN
//	host's service ◄── --expose ◄── Fast Open listener ◄── stack ──► dial ──► TUN ──► host
//	                                                                          (--nat) ──► others
//
// Each pair of connections is joined by pump. Before a dial whose SYN may carry
// data, the client is given a moment to say what that is: the proxy grants the
// request first, since a client says nothing before. Where the SYN may not carry
// data (no cookie yet), it dials first and answers truthfully.
//
// # Life
//
//	lock ► leftovers taken back ► TUN ► stack ► NAT ► listeners ► ready
//	signal ► listeners closed ► connections end, or are cut at the deadline or at a
//	second signal ► stack and TUN closed ► NAT taken back ► lock let go
//
// If a step on the way up fails, those before it are taken back.
//
// # Ownership
//
// Run owns everything and returns when no goroutine is left: one for each listener,
// two for each connection that is joined (pump), one for the metrics' server and
// one for each of its requests. gate counts the connections; its limit holds for all
// listeners together. No lock is held over a call.
//
// # Limits
//
// TCP only: UDP ASSOCIATE and BIND are refused. One network namespace, that of the
// process. The options are fixed while it runs.
package daemon
