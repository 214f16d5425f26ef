package iolink

import "github.com/wskstack/wskstack/stack/iolink/frame"

// Device moves IP packets in batches. A TUN device is one.
type Device interface {
	// MTU is the largest packet in bytes, IP header included.
	MTU() int

	// Queues is the number of queues, at least 1. It does not change.
	Queues() int

	// Offloads says what the device takes and gives. It does not change.
	Offloads() frame.Offloads

	// Read fills at least one packet of the batch and returns how many. It
	// blocks until there is one. Each queue has one reader. When the device has
	// been closed the error is os.ErrClosed or net.ErrClosed.
	Read(queue int, batch []frame.Packet) (n int, err error)

	// Write sends the packets in their order and returns how many were taken;
	// the error is that of packet n. A super-segment that the device cannot take
	// after all is refused with syscall.EOPNOTSUPP, and is cut by the Link. It may be called from several goroutines at
	// once and keeps nothing of the batch.
	Write(queue int, batch []frame.Packet) (n int, err error)

	// Close makes every Read return. It may be called twice.
	Close() error
}
