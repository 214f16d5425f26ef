package iolink

import "sync/atomic"

// Stats is a snapshot of a Link's counters. All count from New on.
type Stats struct {
	// RxPackets and RxBytes count the packets delivered to the stack.
	RxPackets, RxBytes uint64
	// RxJoined counts packets that went up as part of the one before them; the whole
	// is one of RxPackets. Only where the device gives no super-segments itself.
	RxJoined uint64
	// RxNotIP counts packets that are neither IPv4 nor IPv6, empty ones included.
	RxNotIP uint64
	// RxMalformed counts packets whose offload facts or sizes contradict
	// themselves.
	RxMalformed uint64
	// RxBadChecksum counts packets dropped here for a wrong checksum, where the
	// device has offloads. Elsewhere netstack verifies and counts.
	RxBadChecksum uint64
	// ReadErrors counts reads that failed and were tried again.
	ReadErrors uint64
	// ReadersFailed counts readers that ended by an error that stays.
	ReadersFailed uint64

	// TxPackets and TxBytes count the packets that the device took.
	TxPackets, TxBytes uint64
	// TxNoBuffer counts packets refused because the device's queue was full.
	TxNoBuffer uint64
	// TxErrors counts packets refused for any other reason.
	TxErrors uint64
	// TxCut counts super-segments that the device offered to take and then did
	// not; they were cut here and sent as packets.
	TxCut uint64
	// TxClosed counts packets that came after the link was closed.
	TxClosed uint64
}

type counters struct {
	rxPackets, rxBytes, rxJoined, rxNotIP                     atomic.Uint64
	rxMalformed, rxBadChecksum                                atomic.Uint64
	readErrors, readersFailed                                 atomic.Uint64
	txPackets, txBytes, txNoBuffer, txErrors, txCut, txClosed atomic.Uint64
}

// lost counts a packet, and says so if it is the first that is lost for that reason.
func (l *Link) lost(count *atomic.Uint64, why string, err error) {
	if count.Add(1) == 1 && l.logger != nil {
		l.logger.Warn("a packet is lost between the device and the stack; more that are lost for this reason are only counted", "reason", why, "err", err)
	}
}

// Stats returns the counters. They are read one after the other, so a packet in
// flight may be in one and not yet in another.
func (l *Link) Stats() Stats {
	c := &l.counters
	return Stats{
		RxPackets:     c.rxPackets.Load(),
		RxBytes:       c.rxBytes.Load(),
		RxJoined:      c.rxJoined.Load(),
		RxNotIP:       c.rxNotIP.Load(),
		RxMalformed:   c.rxMalformed.Load(),
		RxBadChecksum: c.rxBadChecksum.Load(),
		ReadErrors:    c.readErrors.Load(),
		ReadersFailed: c.readersFailed.Load(),
		TxPackets:     c.txPackets.Load(),
		TxBytes:       c.txBytes.Load(),
		TxNoBuffer:    c.txNoBuffer.Load(),
		TxErrors:      c.txErrors.Load(),
		TxCut:         c.txCut.Load(),
		TxClosed:      c.txClosed.Load(),
	}
}
