package iolink

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

const (
	// rxBatch is how many packets a reader asks for at once.
	rxBatch = 8
	// rxHead is the first of the two buffers of a packet. Netstack wants the
	// headers in one piece and copies a shared piece that it parses, so a large
	// packet has its headers in a small piece of their own.
	rxHead = 128
	// rxTail is the second one. Together they hold any IP packet whatever the
	// MTU, which may rise while a read is going on: no read can cut a packet.
	rxTail = 64 << 10
	// keepWhole is the size above which a packet is not copied but travels in
	// the buffers that it was read into: at most four times its size is pinned.
	keepWhole = 16 << 10

	// The pause after a failed read, doubled with each failure in a row. The
	// first failure is retried at once: most are of one packet.
	firstPause = time.Millisecond
	lastPause  = time.Second
)

// slot is one packet's place in a reader's batch.
type slot struct {
	head, tail *buffer.View
	views      [2][]byte
}

func (s *slot) fill() {
	if s.head == nil {
		s.head = buffer.NewViewSize(rxHead)
		s.views[0] = s.head.AsSlice()
	}
	if s.tail == nil {
		s.tail = buffer.NewViewSize(rxTail)
		s.views[1] = s.tail.AsSlice()
	}
}

func (s *slot) release() {
	s.head.Release()
	s.tail.Release()
}

// take returns the packet's first size bytes as a buffer of its own and leaves
// the slot ready for another read.
func (s *slot) take(size int) buffer.Buffer {
	if size <= keepWhole {
		v := buffer.NewViewSize(size)
		n := copy(v.AsSlice(), s.views[0])
		copy(v.AsSlice()[n:], s.views[1])
		return buffer.MakeWithView(v)
	}
	s.tail.CapLength(size - rxHead)
	b := buffer.MakeWithView(s.head)
	_ = b.Append(s.tail) // fails only when a buffer's size would overflow an int64
	s.head, s.tail = nil, nil
	s.fill()
	return b
}

// at returns the two bytes at offset, which may lie on both sides of the seam.
func (s *slot) at(offset int) (hi, lo *byte) {
	return s.byteAt(offset), s.byteAt(offset + 1)
}

func (s *slot) byteAt(i int) *byte {
	if i < rxHead {
		return &s.views[0][i]
	}
	return &s.views[1][i-rxHead]
}

// reader is what the goroutine of one queue owns.
type reader struct {
	link  *Link
	queue int
	to    gstack.NetworkDispatcher
	slots [rxBatch]slot
	batch [rxBatch]frame.Packet
	// pieces are the batch's packets that can be joined: those that fit.
	pieces [rxBatch]piece
	fit    [rxBatch]bool
	// flat and part hold a UDP super-segment and a datagram of it; made when one
	// comes.
	flat, part []byte
}

// read is the goroutine of one queue. It ends when the device is closed or dead.
func (l *Link) read(queue int, to gstack.NetworkDispatcher) {
	defer l.readers.Done()
	r := &reader{link: l, queue: queue, to: to}
	for i := range r.slots {
		r.slots[i].fill()
		defer r.slots[i].release()
	}
	if err := r.run(); err != nil {
		l.readerFailed(queue, err)
	}
}

// run reads until the link is closed (nil) or the device fails for good.
func (r *reader) run() error {
	pause := time.Duration(0)
	for {
		for i := range r.batch {
			s := &r.slots[i]
			r.batch[i] = frame.Packet{Views: s.views[:]}
		}
		n, err := r.link.dev.Read(r.queue, r.batch[:])
		if r.link.over() {
			return nil
		}
		r.deliverAll(min(n, len(r.batch)))
		if n <= 0 && err == nil {
			err = io.ErrNoProgress
		}
		switch {
		case err == nil:
			pause = 0
		case fatal(err):
			return err
		default:
			r.link.counters.readErrors.Add(1)
			if !r.link.sleep(pause) {
				return nil
			}
			pause = min(max(2*pause, firstPause), lastPause)
		}
	}
}

// fatal says whether a read error means that no later read can succeed. All
// others (EINTR, ENOBUFS, EIO of a device that is down, ...) are tried again.
func fatal(err error) bool {
	for _, e := range []error{
		os.ErrClosed, net.ErrClosed, io.EOF,
		syscall.EBADF, syscall.EBADFD, syscall.ENODEV, syscall.ENXIO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// sleep waits for d on the link's clock and says whether the link is still open.
func (l *Link) sleep(d time.Duration) bool {
	if d > 0 {
		over := make(chan struct{})
		t := l.clock.AfterFunc(d, func() { close(over) })
		defer t.Stop()
		select {
		case <-over:
		case <-l.closed:
		}
	}
	return !l.over()
}

func (l *Link) readerFailed(queue int, err error) {
	if l.over() {
		return
	}
	if l.counters.readersFailed.Add(1) == 1 && l.logger != nil {
		l.logger.Error("the packet device can no longer be read", "queue", queue, "err", err)
	}
	if l.failed != nil {
		l.failed(queue, err)
	}
}

// deliver passes packet i of the batch up, or counts why not.
func (r *reader) deliver(i int) {
	p, s, c := &r.batch[i], &r.slots[i], &r.link.counters
	if p.Size < 0 || p.Size > rxHead+rxTail {
		r.link.lost(&c.rxMalformed, "it is larger than its memory", nil)
		return
	}
	proto, ok := protocol(p.Size, s.views[0][0])
	if !ok {
		c.rxNotIP.Add(1)
		return
	}
	if p.Offload.GSO == frame.GSOUDP {
		if !r.deliverParts(proto, p, s) {
			r.link.lost(&c.rxMalformed, "a super-segment that contradicts itself", nil)
		}
		return
	}
	if r.link.verifies {
		if !s.sound(p.Size, p.Offload.Checksum) {
			r.link.lost(&c.rxBadChecksum, "a wrong checksum", nil)
			return
		}
	} else if p.Offload.Checksum == frame.ChecksumPartial && !s.complete(p.Size, p.Offload) {
		r.link.lost(&c.rxMalformed, "its checksum's place is outside it", nil)
		return
	}
	r.up(proto, s.take(p.Size))
}

// up hands one packet to netstack.
func (r *reader) up(proto tcpip.NetworkProtocolNumber, payload buffer.Buffer) {
	r.link.counters.rxPackets.Add(1)
	r.link.counters.rxBytes.Add(uint64(payload.Size()))
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: payload})
	r.to.DeliverNetworkPacket(proto, pkt)
	pkt.DecRef()
}

// deliverParts delivers the datagrams of a UDP super-segment, which netstack does
// not know. Each is copied twice: they are not what this link is fast for.
func (r *reader) deliverParts(proto tcpip.NetworkProtocolNumber, p *frame.Packet, s *slot) bool {
	if r.flat == nil {
		r.flat, r.part = make([]byte, 0, rxHead+rxTail), make([]byte, 0, rxHead+rxTail)
	}
	flat := r.flat[:0]
	s.each(0, p.Size, func(b []byte) { flat = append(flat, b...) })
	return cut(flat, p.Offload, r.part, func(datagram []byte) {
		r.up(proto, buffer.MakeWithView(buffer.NewViewWithData(datagram)))
	})
}

// protocol tells IPv4 from IPv6 by the version in the first byte.
func protocol(size int, first byte) (tcpip.NetworkProtocolNumber, bool) {
	if size < 1 {
		return 0, false
	}
	switch first >> 4 {
	case header.IPv4Version:
		return header.IPv4ProtocolNumber, true
	case header.IPv6Version:
		return header.IPv6ProtocolNumber, true
	}
	return 0, false
}
