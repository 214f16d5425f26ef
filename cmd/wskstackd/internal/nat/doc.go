// Package nat lets a stack behind a TUN reach what its host reaches: the host
// forwards the stack's packets, and their source becomes the host's own address.
//
//	Start ──► journal ──► net.ipv4.ip_forward, net.ipv6.conf.all.forwarding
//	                 └──► nftables: table inet wskstackd-DEVICE
//	                        postrouting: from the stack, not to it: masquerade
//	                        forward:     the stack's own only, where forwarding was off
//	Undo  ◄── journal, newest first
//
// A host on which forwarding was off forwards for nobody else because of this:
// what is not the stack's is dropped, as it was before. Turning the sysctl on
// changes others with it; all of them are put back.
//
// # Ownership
//
// The package owns nothing in this process. What it changes is written into the
// caller's journal before it is made, and Undo takes it back, in this process or in
// one that comes after it. Everything happens in the network namespace of the calling
// thread.
//
// # Limits
//
// Linux 5.2 or later, for the family "inet" in NAT. Rules that others have in the
// hook "forward" can still drop what this table accepts: they have to let the device
// through. IPv6 is left alone on a host whose default route comes from router
// advertisements, since a host that forwards ignores those. If another program turns
// forwarding on later, the table still drops what is not the stack's, and Undo turns
// forwarding off again.
package nat
