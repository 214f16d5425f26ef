// Package kernel has no code of its own: its tests run the stack against the
// Linux kernel's own TCP, in namespaces that they make, and let the kernel's
// counters and TCP_INFO be the judge.
//
//	stack.Endpoint ─ netstack ─ fastopen ─ relay ─ iolink ─ TUN ─ kernel's TCP
//	                                       (middleboxes, record)
//
// They need root, or a user namespace with /dev/net/tun.
package kernel
