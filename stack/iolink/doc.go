// Package iolink joins a packet device to netstack: a gVisor LinkEndpoint over
// the small interface Device, which this package declares.
//
//	netstack ──WritePackets──►  Link  ──Write(batch)──►  Device   caller's goroutine
//	netstack ◄─DeliverNetwork─  Link  ◄─Read(batch)────  Device   one reader per queue
//
// On the way down nothing is queued and nothing is copied: WritePackets hands
// the packets' own bytes to the device and returns when the device has taken or
// refused them. A packet that was refused is counted and its error is returned;
// no packet disappears in silence, and the first of each kind is logged. Each
// connection has one queue, by netstack's hash, so nothing of it overtakes; if the
// device closes that queue, it has the next one.
//
// On the way up each queue of the device has one goroutine. It owns the buffers
// that it reads into. A packet is copied out of them into memory of its own
// size, so that netstack can keep it without keeping 64 KiB; only packets above
// 16 KiB travel in the buffer that they were read into.
//
// Ownership: Link owns the device from New on and closes it, in Close or when it
// is detached. The readers begin with Attach and end when the device is closed
// or dead; Wait waits for them. A Link is used once. Netstack's own Stack.Wait and
// Stack.Destroy wait for the readers with a lock held that a delivery may want, and
// can hang for ever: call Stack.RemoveNIC and Link.Wait first, as package stack does.
//
// Over a device with offloads netstack sends TCP super-segments of up to 64 KiB
// with unfinished checksums, which go down as they are. If the device refuses one
// after all, it is cut here, and new connections send none. Netstack learns of
// super-segments from the link on top, so a wrapper must not hide them
// (CapabilityHostGSO). On the way up a
// super-segment is delivered whole, UDP ones are cut into datagrams, and netstack
// verifies no checksum: what the device did not vouch for is verified here, and
// dropped and counted if it is wrong. Over a device without offloads netstack
// verifies and completes every checksum itself. TCP packets that came in one read and
// follow one another are joined there (generic receive offload), since netstack's
// work is per packet; the whole has right sums if all parts had, and wrong ones if one
// part had, and no packet waits for another.
//
// # Without a device
//
// Packets may come from anything: Pipe makes a device whose other end is a program, and
// FromReadWriter one of whatever reads and writes a packet a call. Config.Clock, and
// stack.Config.Clock above it, need not be the system's.
//
//	dev, end := iolink.Pipe(1500, 256)
//	link, err := iolink.New(dev, iolink.Config{})  // a Config.Link for a stack, or a
//	...                                            // lower link for fastopen.New
//	n, err := end.Read(buf)                        // a packet that the stack has sent
//	_, err = end.Write(packet)                     // one that it is to have
//
// Limits: Link speaks raw IP, without a link-layer header, and no link-layer
// addresses. With offloads on, the transport checksum of a datagram that arrives in
// fragments is not verified, since no fragment has it.
package iolink
