// Package frame holds what crosses between a packet device and the stack: IP
// packets in batches, each with its offload facts.
//
// It is a leaf: it imports nothing, so that a device (package tun) and the link
// endpoint above it (package iolink) share a vocabulary without knowing each
// other.
//
//	stack/iolink  ──►  []frame.Packet  ──►  a device
//	stack/iolink  ◄──  []frame.Packet  ◄──  a device
//
// The facts are those of a virtio_net header, in the host's byte order, without
// its flags' double meanings: what the sum in the packet is worth, and whether
// the packet is a super-segment that the other side has to cut.
//
// Who owns what: a packet's memory is that of whoever calls Read or Write, before and
// after the call; during it the device may use it, and it keeps nothing. The package
// is types alone: no state, no goroutine.
//
// Limits: what the facts do not say cannot be handed on. There is no link-layer header,
// no priority and no receive hash; a packet has at most 65,535 bytes.
package frame
