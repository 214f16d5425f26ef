package tun

import "sync/atomic"

// Stats counts the packets lost between the kernel and the caller, since Open.
type Stats struct {
	// ReadTruncated: the IP header announced more bytes than there were.
	ReadTruncated uint64
	// ReadOversize: larger than the Views given.
	ReadOversize uint64
	// ReadMalformed: neither IPv4 nor IPv6.
	ReadMalformed uint64
	// ReadBadOffload: the virtio_net header contradicts the packet.
	ReadBadOffload uint64
	// ReadErrors: system calls that failed for a passing reason.
	ReadErrors uint64
	// WriteLinkDown: written while the interface was down.
	WriteLinkDown uint64
	// WriteNoMemory: the kernel had no buffer.
	WriteNoMemory uint64
	// WriteRejected: the kernel found the packet malformed.
	WriteRejected uint64
	// WriteSegmentsRefused: super-segments that the kernel would not take. They
	// are the caller's to cut, not lost.
	WriteSegmentsRefused uint64
}

type counters struct {
	readTruncated, readOversize, readMalformed, readErrors atomic.Uint64
	writeLinkDown, writeNoMemory, writeRejected            atomic.Uint64
	readBadOffload, writeSegmentsRefused                   atomic.Uint64
}

// Stats returns the counts. They go on being readable after Close.
func (d *Device) Stats() Stats {
	c := &d.counters
	return Stats{
		ReadTruncated: c.readTruncated.Load(),
		ReadOversize:  c.readOversize.Load(),
		ReadMalformed: c.readMalformed.Load(),
		ReadErrors:    c.readErrors.Load(),
		WriteLinkDown: c.writeLinkDown.Load(),
		WriteNoMemory: c.writeNoMemory.Load(),
		WriteRejected: c.writeRejected.Load(),

		ReadBadOffload:       c.readBadOffload.Load(),
		WriteSegmentsRefused: c.writeSegmentsRefused.Load(),
	}
}
