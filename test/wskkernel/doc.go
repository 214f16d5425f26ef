// Package wskkernel has no code of its own: its tests are clients of Winsock Kernel
// whose peer is the Linux kernel, in namespaces that they make. What they call is
// package wsk's public functions alone; what judges is the kernel's counters, its
// TCP_INFO, and the packets on the wire.
//
//	wsk client ─ wsk ─ onstack ─ netstack ─ fastopen ─ relay (record) ─ TUN ─ kernel's TCP
//
// They need root, or a user namespace with /dev/net/tun.
package wskkernel
