// Package tun opens a Linux TUN device and moves IP packets through it, without
// leaving anything behind.
//
//	caller ──► Write(batch) ──► writev ──┐                    ┌──► addresses,
//	                                     ├── /dev/net/tun ── kernel  routes, MTU,
//	caller ◄── Read(batch)  ◄── readv  ──┘   (water's fd)     └──► link state
//	                                                                ▲
//	       Open ──► journal ──► netlink ────────────────────────────┘
//	       Close ◄── journal, newest first
//
// The descriptor is opened by github.com/songgao/water, in water.go and nowhere
// else. Packets do not pass through water: they are read and written in batches
// straight from and into the caller's buffers.
//
// A stack stands on it like this; package stack has the whole as an example, and says
// what can be reached:
//
//	dev, err := tun.Open(tun.Config{Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}})
//	link, err := iolink.New(dev, iolink.Config{})  // owns the device from here on
//	s, err := stack.New(stack.Config{Link: link, Addresses: ...})  // 10.9.0.2/24
//
// # Who owns what
//
// A Device owns its descriptors, one netlink socket in the device's namespace and
// the journal of what Open has changed; it runs no goroutine. The caller owns the
// buffers of a batch before and after a call. Open creates a device and Close
// removes it, or, if a persistent device of that name exists and nobody holds it,
// Open uses it and Close leaves it exactly as it was found. A created device
// ends with the process, however that ends. What was set on an adopted device
// stays if the process is killed: nobody is left to take it back, and the next
// Open cannot tell it from an administrator's settings.
//
// One thing on an adopted device is the kernel's own doing and stays: when a link
// that was up gets a carrier, which is what attaching means, the kernel gives it a
// link-local address (RFC 4291 §2.5.6).
//
// # Namespaces
//
// A device is opened in the namespace of the calling thread or in
// Config.Namespace. Afterwards its Device works from any thread.
//
// # Offloads
//
// The device carries super-segments of up to 64 KiB and unfinished checksums both
// ways (virtio_net headers, TUNSETOFFLOAD), which is worth about an order of
// magnitude in bulk. Water does not know of this: a queue of our own is attached
// first, with IFF_VNET_HDR; water's queues then join it, and the kernel leaves the
// framing as it is; ours is closed before the link comes up. What was really got is
// asked of the kernel, and Device.Offloads tells. A device that cannot do it moves
// ordinary packets, and one line in the log says so. A super-segment that the
// kernel refuses later is given back to the writer, who can cut it. A build with the
// tag nooffload opens every device without.
//
// What the kernel may leave undone is a property of the device. On an adopted
// device Close takes it back; if the process is killed it stays, and a program that
// then opens the device without virtio_net headers has to ask for whole packets
// itself (TUNSETOFFLOAD 0), as this package does.
//
// # Limits
//
// Linux 3.8 or later; UDP super-segments need 6.2. A created device has the
// multi_queue flag, and an owner, so that no other user can join it; an adopted one
// without that flag has one queue and no offloads. Open is serial work of a few
// system calls and takes no context.
package tun
