package iolink

import (
	"errors"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// txBatch is the memory that one WritePackets call needs; it is pooled, so that
// the way down does not allocate.
type txBatch struct {
	frames []frame.Packet
	views  [][]byte // of all frames, one after the other
	ends   []int    // where the views of each frame end
}

func newTxBatch() *txBatch {
	return &txBatch{
		frames: make([]frame.Packet, 0, 16),
		views:  make([][]byte, 0, 64),
		ends:   make([]int, 0, 16),
	}
}

// add appends a packet: its bytes from the first header on, where they lie.
func (b *txBatch) add(pkt *gstack.PacketBuffer) {
	list, skip := pkt.AsViewList()
	size := 0
	for v := list.Front(); v != nil; v = v.Next() {
		p := v.AsSlice()
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		b.views = append(b.views, p[skip:])
		size += len(p) - skip
		skip = 0
	}
	b.frames = append(b.frames, frame.Packet{Size: size, Offload: offloadOf(pkt, size)})
	b.ends = append(b.ends, len(b.views))
}

// offloadOf is what netstack has left undone in a packet of size bytes: the
// checksum of every segment of a connection that may send super-segments, and the
// cutting of those that are larger than the peer's MSS.
func offloadOf(pkt *gstack.PacketBuffer, size int) frame.Offload {
	gso := &pkt.GSOOptions
	if gso.Type == gstack.GSONone || !gso.NeedsCsum {
		return frame.Offload{}
	}
	l4 := len(pkt.NetworkHeader().Slice())
	hdr := l4 + len(pkt.TransportHeader().Slice())
	o := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: uint16(l4), CsumOffset: gso.CsumOffset}
	if size-hdr <= int(gso.MSS) {
		return o
	}
	o.GSO, o.GSOSize, o.HdrLen = frame.GSOTCPv4, gso.MSS, uint16(hdr)
	if gso.Type == gstack.GSOTCPv6 {
		o.GSO = frame.GSOTCPv6
	}
	return o
}

// seal gives each frame its views. The slice of views has its final place only
// when all packets have been added.
func (b *txBatch) seal() {
	from := 0
	for i, end := range b.ends {
		b.frames[i].Views = b.views[from:end:end]
		from = end
	}
}

// reset forgets the packets, so that the pool keeps none of them alive.
func (b *txBatch) reset() {
	clear(b.frames)
	clear(b.views)
	b.frames, b.views, b.ends = b.frames[:0], b.views[:0], b.ends[:0]
}

// WritePackets hands the packets to the device and returns how many it took, and
// the error of the last one refused. It does not wait for anything but the
// device's Write. After Close it takes nothing.
func (l *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if l.over() {
		l.counters.txClosed.Add(uint64(pkts.Len()))
		return 0, &tcpip.ErrClosedForSend{}
	}
	list := pkts.AsSlice()
	if len(list) == 0 {
		return 0, nil
	}
	b := l.tx.Get().(*txBatch)
	for _, pkt := range list {
		b.add(pkt)
	}
	b.seal()
	// Netstack's hash keeps a connection on one queue, and so in order. The kernel
	// behind a TUN sends a connection's packets to the queue that they come from.
	n, err := l.write(l.open(int(list[0].Hash%uint32(l.queues))), b.frames)
	b.reset()
	l.tx.Put(b)
	return n, err
}

// open is the queue, or the next one that takes packets.
func (l *Link) open(queue int) int {
	for i := range l.queues {
		if q := (queue + i) % l.queues; !l.shutQueues[q].Load() {
			return q
		}
	}
	return queue
}

// leave says whether packets that a queue is closed to can go on another one, and
// which. Otherwise connections that the hash puts on that queue would stall for ever.
func (l *Link) leave(queue int) (next int, found bool) {
	if l.over() {
		return queue, false
	}
	l.shutQueues[queue].Store(true)
	next = l.open(queue)
	return next, !l.shutQueues[next].Load()
}

// write sends the frames; one that the device refuses does not keep the ones
// behind it from being tried.
func (l *Link) write(queue int, frames []frame.Packet) (int, tcpip.Error) {
	taken := 0
	var result tcpip.Error
	for len(frames) > 0 {
		n, err := l.dev.Write(queue, frames)
		n = min(max(n, 0), len(frames))
		l.countTaken(frames[:n])
		taken += n
		frames = frames[n:]
		if len(frames) == 0 {
			break
		}
		if err == nil {
			err = syscall.ENOBUFS // a short write without a reason
		}
		if frames[0].Offload.GSO != frame.GSONone && errors.Is(err, syscall.EOPNOTSUPP) {
			if err = l.cutAndWrite(queue, &frames[0]); err == nil {
				taken++
				frames = frames[1:]
				continue
			}
		}
		if isClosed(err) {
			var found bool
			if queue, found = l.leave(queue); found {
				continue
			}
			l.counters.txClosed.Add(uint64(len(frames)))
			return taken, &tcpip.ErrClosedForSend{}
		}
		result = l.refused(err)
		frames = frames[1:]
	}
	return taken, result
}

// cutAndWrite sends a super-segment that the device would not take as the packets
// that it stands for. New connections send none from now on; those that there are
// go on sending them. Each packet is copied once.
func (l *Link) cutAndWrite(queue int, p *frame.Packet) (err error) {
	if l.cutting.CompareAndSwap(false, true) && l.logger != nil {
		l.logger.Warn("the packet device refuses super-segments: they are cut here, and bulk transfer is slow from now on")
	}
	flat := make([]byte, 0, p.Size)
	for _, v := range p.Views {
		flat = append(flat, v...)
	}
	ok := cut(flat, p.Offload, make([]byte, 0, p.Size), func(packet []byte) {
		if err != nil {
			return
		}
		one := [1]frame.Packet{{Views: [][]byte{packet}, Size: len(packet)}}
		var n int
		if n, err = l.dev.Write(queue, one[:]); n == 1 {
			l.countTaken(one[:])
			err = nil
		} else if err == nil {
			err = syscall.ENOBUFS
		}
	})
	if !ok {
		return syscall.EINVAL
	}
	l.counters.txCut.Add(1)
	return err
}

func (l *Link) countTaken(frames []frame.Packet) {
	bytes := 0
	for i := range frames {
		bytes += frames[i].Size
	}
	l.counters.txPackets.Add(uint64(len(frames)))
	l.counters.txBytes.Add(uint64(bytes))
}

func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) }

// refused counts a packet that the device did not take and says it in netstack's
// words.
func (l *Link) refused(err error) tcpip.Error {
	switch {
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EAGAIN):
		l.lost(&l.counters.txNoBuffer, "the device is full", err)
		return &tcpip.ErrNoBufferSpace{}
	case errors.Is(err, syscall.EMSGSIZE):
		l.lost(&l.counters.txErrors, "the device refuses it", err)
		return &tcpip.ErrMessageTooLong{}
	default: // EIO and ENETDOWN of an interface that is down, and whatever else
		l.lost(&l.counters.txErrors, "the device refuses it", err)
		return &tcpip.ErrNetworkUnreachable{}
	}
}
