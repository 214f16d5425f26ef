package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/ippkt"
)

var errStopped = errors.New("poller stopped")

// script is a descriptor whose every read or write answers the next step, and a
// poller that counts how often it was asked to wait. When the steps have run
// out, waiting fails.
type script struct {
	t     *testing.T
	steps []step
	waits int
	polls int // calls that the poller was asked to make until they are done
	wrote [][]byte
	gone  error // what the device answers when it is asked whether it is there
}

type step struct {
	packet []byte
	err    error
}

func (s *script) Control(f func(uintptr)) error    { f(3); return nil }
func (s *script) Read(f func(uintptr) bool) error  { return s.poll(f) }
func (s *script) Write(f func(uintptr) bool) error { s.polls++; return s.poll(f) }

func (s *script) poll(f func(uintptr) bool) error {
	for !f(3) {
		s.waits++
		if len(s.steps) == 0 {
			return errStopped
		}
	}
	return nil
}

func (s *script) next() step {
	if len(s.steps) == 0 {
		return step{err: unix.EAGAIN}
	}
	st := s.steps[0]
	s.steps = s.steps[1:]
	return st
}

func (s *script) readv(_ int, iov [][]byte) (int, error) {
	st := s.next()
	if st.err != nil {
		return -1, st.err
	}
	// As the kernel: what does not fit is lost without a word.
	return ippkt.Scatter(iov, st.packet), nil
}

func (s *script) writev(_ int, iov [][]byte) (int, error) {
	st := s.next()
	if st.err != nil {
		return -1, st.err
	}
	s.wrote = append(s.wrote, bytes.Join(iov, nil))
	return ippkt.Capacity(iov), nil
}

type scripted struct {
	queue
	*script
	stats  *counters
	closed *atomic.Bool
}

func newScripted(t *testing.T, mtu int, steps ...step) *scripted {
	return newScriptedDevice(t, &Device{mtu: mtu}, false, steps...)
}

func newScriptedDevice(t *testing.T, d *Device, headers bool, steps ...step) *scripted {
	s := &scripted{script: &script{t: t, steps: steps}, stats: &d.counters, closed: &d.closed}
	s.queue.init(s.script, d, headers)
	s.rd.readv, s.queue.writev = s.script.readv, s.script.writev
	s.queue.state = func(int) error { return s.gone }
	return s
}

// ip4 returns an IPv4 packet of size bytes that announces announced.
func ip4(size, announced int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(announced))
	return b
}

// room returns a batch of n packets with buffers of the given sizes.
func room(n int, sizes ...int) []frame.Packet {
	batch := make([]frame.Packet, n)
	for i := range batch {
		for _, size := range sizes {
			batch[i].Views = append(batch[i].Views, make([]byte, size))
		}
		batch[i].Offload = frame.Offload{GSO: frame.GSOTCPv4} // stale, to be cleared
	}
	return batch
}

func content(p *frame.Packet) []byte { return bytes.Join(p.Views, nil)[:p.Size] }

func full(packet []byte) frame.Packet {
	return frame.Packet{Views: [][]byte{packet}, Size: len(packet)}
}

func TestReadKeepsWholePacketsOnly(t *testing.T) {
	whole := ip4(100, 100)
	q := newScripted(t, 100,
		step{packet: ip4(101, 101)},   // larger than the buffers
		step{packet: ip4(60000, 200)}, // much larger
		step{packet: ip4(99, 100)},    // cut
		step{packet: []byte("?")},     // not IP
		step{},                        // no bytes at all
		step{packet: whole},
	)
	batch := room(4, 1, 19, 80)
	n, err := q.read(batch)
	if n != 1 || err != nil {
		t.Fatalf("got %d packets, %v; want the whole one", n, err)
	}
	if !bytes.Equal(content(&batch[0]), whole) {
		t.Error("the packet was changed")
	}
	if batch[0].Offload != (frame.Offload{}) {
		t.Errorf("stale offload facts were left: %+v", batch[0].Offload)
	}
	over, cut, bad := q.stats.readOversize.Load(), q.stats.readTruncated.Load(), q.stats.readMalformed.Load()
	if over != 2 || cut != 1 || bad != 2 {
		t.Errorf("counted %d oversize, %d truncated, %d malformed; want 2, 1, 2", over, cut, bad)
	}
}

func TestReadTakesWhatIsThereAndNoMore(t *testing.T) {
	q := newScripted(t, 40, step{packet: ip4(20, 20)}, step{packet: ip4(30, 30)}, step{packet: ip4(40, 40)}, step{err: unix.EAGAIN})
	batch := room(2, 40)
	if n, err := q.read(batch); n != 2 || err != nil || batch[0].Size != 20 || batch[1].Size != 30 {
		t.Fatalf("got %d, %v; want two of the three packets", n, err)
	}
	if n, err := q.read(batch); n != 1 || err != nil || batch[0].Size != 40 {
		t.Fatalf("got %d, %v; want the third", n, err)
	}
	if q.waits != 0 {
		t.Errorf("waited %d times with packets in hand", q.waits)
	}
}

func TestReadErrorsThatPass(t *testing.T) {
	var storm []step
	for range 1000 {
		storm = append(storm, step{err: unix.EAGAIN})
	}
	for _, errno := range []error{unix.EIO, unix.ENETDOWN, unix.ENOBUFS, unix.ENOMEM} {
		storm = append(storm, step{err: errno})
	}
	storm = append(storm, step{err: unix.EINTR}, step{packet: ip4(20, 20)})
	q := newScripted(t, 20, storm...)
	if n, err := q.read(room(1, 20)); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	// Every failure but EINTR goes through the poller: none is a spin.
	if q.waits != 1004 {
		t.Errorf("waited %d times, want 1004", q.waits)
	}
	if got := q.stats.readErrors.Load(); got != 4 {
		t.Errorf("counted %d errors, want 4", got)
	}
}

func TestReadErrorsThatStay(t *testing.T) {
	for _, errno := range []error{unix.EBADFD, unix.EFAULT, unix.ENODEV, unix.ENXIO} {
		q := newScripted(t, 20, step{packet: ip4(20, 20)}, step{err: errno}, step{err: errno})
		if n, err := q.read(room(4, 20)); n != 1 || err != nil {
			t.Fatalf("%v: the packet before the error was lost: %d, %v", errno, n, err)
		}
		if n, err := q.read(room(4, 20)); n != 0 || !errors.Is(err, ErrGone) {
			t.Errorf("%v: got %d, %v; want ErrGone", errno, n, err)
		}
	}
	q := newScripted(t, 20, step{err: unix.EACCES})
	if _, err := q.read(room(1, 20)); !errors.Is(err, unix.EACCES) {
		t.Errorf("an unknown error was not passed on: %v", err)
	}
	q = newScripted(t, 20)
	if _, err := q.read(room(1, 20)); !errors.Is(err, errStopped) {
		t.Errorf("the poller's error was not passed on: %v", err)
	}
	q.gone = unix.EBADFD // deleted, and the poller knew first
	if _, err := q.read(room(1, 20)); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}

func TestReadOfNothingForEverEnds(t *testing.T) {
	q := newScripted(t, 20)
	q.rd.readv = func(int, [][]byte) (int, error) { return 0, nil }
	if _, err := q.read(room(1, 20)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestReadEndsWhenClosedAmidBadPackets(t *testing.T) {
	q := newScripted(t, 20)
	reads := 0
	q.rd.readv = func(_ int, iov [][]byte) (int, error) {
		if reads++; reads == 100 {
			q.closed.Store(true)
		}
		return ippkt.Scatter(iov, []byte("not a packet, and no end of them")), nil
	}
	if _, err := q.read(room(1, 100)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestReadRefusesUselessBuffers(t *testing.T) {
	q := newScripted(t, 1500, step{packet: ip4(20, 20)})
	if _, err := q.read(room(1, 1000, 499)); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("one byte short: got %v", err)
	}
	many := make([]int, ippkt.MaxViews+1)
	for i := range many {
		many[i] = 2
	}
	if _, err := q.read(room(1, many...)); !errors.Is(err, ErrPacket) {
		t.Errorf("too many views: got %v", err)
	}
	if n, err := q.read(nil); n != 0 || err != nil {
		t.Errorf("empty batch: got %d, %v", n, err)
	}
}

func TestWriteDropsCountedAndGoesOn(t *testing.T) {
	q := newScripted(t, 1500,
		step{err: unix.EIO}, step{err: unix.ENETDOWN}, step{err: unix.ENOBUFS}, step{err: unix.ENOMEM},
		step{err: unix.EINVAL}, step{err: unix.EMSGSIZE}, step{err: unix.EAGAIN}, step{err: unix.EINTR}, step{})
	var batch []frame.Packet
	for i := range 7 {
		p := ip4(20+i, 20+i)
		batch = append(batch, frame.Packet{Views: [][]byte{p[:7], p[7:]}, Size: len(p)})
	}
	if n, err := q.write(batch); n != 7 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if q.polls != 1 {
		t.Errorf("asked the poller %d times, want once for EAGAIN", q.polls)
	}
	if len(q.wrote) != 1 || !bytes.Equal(q.wrote[0], ip4(26, 26)) {
		t.Errorf("wrote %d packets; want the last, unchanged", len(q.wrote))
	}
	down, mem, bad := q.stats.writeLinkDown.Load(), q.stats.writeNoMemory.Load(), q.stats.writeRejected.Load()
	if down != 2 || mem != 2 || bad != 2 {
		t.Errorf("counted %d, %d, %d; want 2 each", down, mem, bad)
	}
}

func TestWriteStopsAtWhatIsTheCallersFault(t *testing.T) {
	good := full(ip4(20, 20))
	gso := good
	gso.Offload = frame.Offload{GSO: frame.GSOTCPv4, GSOSize: 1000}
	lie := good
	lie.Size = 19
	for _, c := range []struct {
		bad  frame.Packet
		want error
	}{{gso, ErrOffload}, {lie, ErrPacket}, {frame.Packet{}, ErrPacket}} {
		q := newScripted(t, 1500, step{}, step{}, step{})
		n, err := q.write([]frame.Packet{good, c.bad, good})
		if n != 1 || !errors.Is(err, c.want) || len(q.wrote) != 1 {
			t.Errorf("got %d, %v, %d written; want 1, %v, 1", n, err, len(q.wrote), c.want)
		}
	}
}

func TestWriteErrorsThatStay(t *testing.T) {
	q := newScripted(t, 1500, step{}, step{err: unix.EBADFD})
	n, err := q.write([]frame.Packet{full(ip4(20, 20)), full(ip4(20, 20))})
	if n != 1 || !errors.Is(err, ErrGone) {
		t.Errorf("got %d, %v; want 1, ErrGone", n, err)
	}
	q = newScripted(t, 1500, step{err: unix.EAGAIN})
	if n, err := q.write([]frame.Packet{full(ip4(20, 20))}); n != 0 || !errors.Is(err, errStopped) {
		t.Errorf("got %d, %v; want the poller's error", n, err)
	}
	q.closed.Store(true)
	if n, err := q.write([]frame.Packet{full(ip4(20, 20))}); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("got %d, %v; want ErrClosed", n, err)
	}
}
