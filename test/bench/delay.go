package bench

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// longest is the largest packet, and the memory of each that is on its way.
const longest = 64 << 10

// line holds packets for a time. It loses none: a measurement of bulk is of the
// two ends, not of a queue between them.
type line struct {
	delay time.Duration
	mu    sync.Mutex // a leaf
	some  *sync.Cond // on mu: a packet came, or the end
	queue []delayedPacket
	ended bool
}

type delayedPacket struct {
	due  time.Time
	data []byte
	off  frame.Offload
}

func newLine(delay time.Duration) *line {
	l := &line{delay: delay}
	l.some = sync.NewCond(&l.mu)
	return l
}

// put copies the packets onto the line.
func (l *line) put(batch []frame.Packet) {
	due := time.Now().Add(l.delay)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batch {
		data, left := make([]byte, 0, batch[i].Size), batch[i].Size
		for _, v := range batch[i].Views {
			v = v[:min(len(v), left)]
			data, left = append(data, v...), left-len(v)
		}
		l.queue = append(l.queue, delayedPacket{due, data, batch[i].Offload})
	}
	l.some.Signal()
}

// take waits until packets are due and returns them, nil at the end.
func (l *line) take(most int) []delayedPacket {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.queue) == 0 && !l.ended {
			l.some.Wait()
		}
		if l.ended {
			return nil
		}
		if wait := time.Until(l.queue[0].due); wait > 0 {
			l.mu.Unlock()
			pause(wait)
			l.mu.Lock()
			continue
		}
		n, now := 0, time.Now()
		for n < min(most, len(l.queue)) && !l.queue[n].due.After(now) {
			n++
		}
		out := append([]delayedPacket(nil), l.queue[:n]...)
		l.queue = l.queue[n:]
		return out
	}
}

// pause is as exact as the kernel can: a timer of Go's runtime is up to a millisecond
// late when its threads wait for files, which is 5 % of a round trip of 20 ms.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // who is interrupted looks again
}

func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.some.Broadcast()
}

// batchOf is memory for reads of a device.
func batchOf(n int) []frame.Packet {
	b := make([]frame.Packet, n)
	for i := range b {
		b[i].Views = [][]byte{make([]byte, longest)}
	}
	return b
}

// pump moves what a device delivers onto a line, until the device is closed.
func pump(from iolink.Device, to *line) {
	batch := batchOf(8)
	for {
		n, err := from.Read(0, batch)
		if err != nil {
			to.end()
			return
		}
		to.put(batch[:n])
	}
}

// drain writes what comes off a line to a device, until its end.
func drain(from *line, to iolink.Device) {
	for {
		packets := from.take(16)
		if packets == nil {
			return
		}
		for _, p := range packets {
			_, _ = to.Write(0, []frame.Packet{{Views: [][]byte{p.data}, Size: len(p.data), Offload: p.off}})
		}
	}
}

// join connects two devices by lines, and returns what ends that and waits.
func join(a, b iolink.Device, oneWay time.Duration) (end func() error) {
	ab, ba := newLine(oneWay), newLine(oneWay)
	var all sync.WaitGroup
	all.Go(func() { pump(a, ab) })
	all.Go(func() { pump(b, ba) })
	all.Go(func() { drain(ab, b) })
	all.Go(func() { drain(ba, a) })
	return func() error {
		err := a.Close()
		if other := b.Close(); err == nil {
			err = other
		}
		ab.end()
		ba.end()
		all.Wait()
		return err
	}
}

// slow is a device behind a line: what is written to it, and what comes from it,
// takes a time.
type slow struct {
	iolink.Device
	down, up *line
	all      sync.WaitGroup
	once     sync.Once
	rest     []delayedPacket // the reader's
}

func delayed(dev iolink.Device, oneWay time.Duration) iolink.Device {
	s := &slow{Device: dev, down: newLine(oneWay), up: newLine(oneWay)}
	s.all.Go(func() { pump(dev, s.up) })
	s.all.Go(func() { drain(s.down, dev) })
	return s
}

// Queues implements iolink.Device.
func (*slow) Queues() int { return 1 }

// Write implements iolink.Device.
func (s *slow) Write(_ int, batch []frame.Packet) (int, error) {
	s.down.put(batch)
	return len(batch), nil
}

// Read implements iolink.Device.
func (s *slow) Read(_ int, batch []frame.Packet) (int, error) {
	if len(s.rest) == 0 {
		if s.rest = s.up.take(len(batch)); s.rest == nil {
			return 0, net.ErrClosed
		}
	}
	n := 0
	for ; n < len(batch) && len(s.rest) > 0; n++ {
		p := s.rest[0]
		s.rest = s.rest[1:]
		left := p.data
		for _, v := range batch[n].Views {
			left = left[copy(v, left):]
		}
		batch[n].Size, batch[n].Offload = len(p.data), p.off
	}
	return n, nil
}

// Close implements iolink.Device.
func (s *slow) Close() (err error) {
	s.once.Do(func() {
		err = s.Device.Close()
		s.down.end()
		s.up.end()
		s.all.Wait()
	})
	return err
}
