// Package bench measures ways from a client to a server of the Linux kernel, side
// by side in one run: the kernel's own over a veth pair, this stack's over a TUN,
// and the naive one that the first version of every such program has.
//
//	client ─ kernel ── veth ───────────────┐
//	client ─ stack ─── TUN, offloads ──────┼── namespace: the kernel's server
//	client ─ stack ─── one packet a time ──┘
//
// Everything runs in one process and takes turns: a round measures each subject
// once, and only ratios within a round mean anything on a machine that others use
// as well. Processor time is the process's, which is client, server and the
// kernel's work for both.
//
// A Subject owns its namespaces, devices and servers; Close ends them and waits. The
// kernel's sockets are used with blocking system calls, as the fastest programs do,
// each on a thread of its own; everything else is goroutines.
package bench
