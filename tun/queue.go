package tun

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/ippkt"
	"github.com/wskstack/wskstack/tun/internal/vnet"
)

// spillSize is the room behind the caller's buffers into which a packet that is
// too large for them overflows: with it no read is ever cut short by the kernel,
// which would say nothing. No TUN delivers more than its MTU, at most this.
const spillSize = maxMTU + 1

// maxEmpty bounds how many reads of no byte at all are taken in a row.
const maxEmpty = 64

// queue moves packets through one descriptor. Its functions for RawConn are made
// once for each reader and writer, so that a read or a write allocates nothing.
type queue struct {
	raw     syscall.RawConn
	room    int // what the Views of a read have to hold
	headers bool
	offers  frame.Offloads
	closed  *atomic.Bool
	count   *counters
	log     *slog.Logger
	device  string
	rd      reader
	writers sync.Pool // of *writer: the state of each Write under way
	writev  func(fd int, iov [][]byte) (int, error)
	state   func(fd int) error // of the device: nil if it is there
}

// reader is the state of one Read, guarded by mu.
type reader struct {
	mu    sync.Mutex
	batch []frame.Packet
	n     int
	empty int
	err   error
	head  [vnet.Size]byte
	iov   [][]byte
	spill []byte
	step  func(fd uintptr) bool
	readv func(fd int, iov [][]byte) (int, error)
}

// writer is the state of one Write, which owns it.
type writer struct {
	q     *queue
	batch []frame.Packet
	n     int
	again bool // the kernel's queue is full
	err   error
	head  [vnet.Size]byte
	iov   [][]byte
	try   func(fd uintptr)
	step  func(fd uintptr) bool
}

func (q *queue) init(raw syscall.RawConn, d *Device, headers bool) {
	q.raw, q.headers, q.offers = raw, headers, d.offers
	q.room = max(d.mtu, d.offers.MaxSize)
	q.closed, q.count = &d.closed, &d.counters
	q.log, q.device = d.log, d.name
	q.rd.spill = make([]byte, spillSize)
	q.rd.readv = unix.Readv
	q.rd.step = q.readStep
	q.writev = unix.Writev
	q.state = func(fd int) error { _, err := deviceFlags(fd); return err }
	q.writers.New = func() any {
		w := &writer{q: q}
		w.try, w.step = w.attempt, w.run
		return w
	}
}

func (q *queue) read(batch []frame.Packet) (int, error) {
	r := &q.rd
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	r.batch, r.n, r.empty, r.err = batch, 0, 0, nil
	err := q.raw.Read(r.step)
	r.batch = nil
	clear(r.iov) // keep no reference to the caller's buffers
	if r.n > 0 {
		return r.n, nil // an error comes back with the next call
	}
	return 0, q.outcome(r.err, err)
}

// readStep fills the batch with what is there. It answers false when the poller
// has to wait first.
func (q *queue) readStep(fd uintptr) bool {
	r := &q.rd
	for r.n < len(r.batch) {
		if q.closed.Load() {
			r.err = ErrClosed
			return true
		}
		p := &r.batch[r.n]
		room := ippkt.Capacity(p.Views)
		if err := q.checkRoom(p.Views, room); err != nil {
			r.err = err
			return true
		}
		size, err := q.readOne(int(fd), p.Views)
		if err != nil {
			if err == unix.EINTR {
				continue
			}
			return q.readFailed(err)
		}
		if size == 0 {
			if r.empty++; r.empty > maxEmpty {
				r.err = fmt.Errorf("tun: the descriptor delivers nothing but empty packets: %w", io.ErrUnexpectedEOF)
				return true
			}
		}
		if q.accept(p, size, room) {
			r.n++
		}
	}
	return true
}

// readOne reads a packet, and the header before it where there is one. It
// returns the packet's size, 0 if there was no packet in what came.
func (q *queue) readOne(fd int, views [][]byte) (int, error) {
	r := &q.rd
	r.iov = r.iov[:0]
	if q.headers {
		r.iov = append(r.iov, r.head[:])
	}
	r.iov = append(append(r.iov, views...), r.spill)
	size, err := r.readv(fd, r.iov)
	if q.headers && err == nil {
		size = max(size-vnet.Size, 0)
	}
	return size, err
}

func (q *queue) checkRoom(views [][]byte, room int) error {
	if room < q.room {
		return fmt.Errorf("tun: room for %d bytes, packets of the device have up to %d (MTU, or Offloads().MaxSize): %w", room, q.room, io.ErrShortBuffer)
	}
	if len(views) > ippkt.MaxViews {
		return fmt.Errorf("tun: %w: %d views, the kernel takes %d at most", ErrPacket, len(views), ippkt.MaxViews)
	}
	return nil
}

// accept judges a packet that has been read and counts it if it is refused.
func (q *queue) accept(p *frame.Packet, size, room int) bool {
	if size > room {
		q.lost(&q.count.readOversize, "a packet from the kernel is larger than the buffers", nil)
		return false
	}
	verdict := ippkt.Inspect(p.Views, size)
	switch verdict {
	case ippkt.Truncated:
		q.lost(&q.count.readTruncated, "a packet from the kernel is shorter than its header says", nil)
		return false
	case ippkt.Malformed:
		q.lost(&q.count.readMalformed, "a packet from the kernel is neither IPv4 nor IPv6", nil)
		return false
	}
	p.Size, p.Offload = size, frame.Offload{}
	if !q.headers {
		return true
	}
	var err error
	p.Offload, err = vnet.Decode(q.rd.head[:], ippkt.First(p.Views), size)
	if err == nil && p.Offload.GSO != frame.GSONone && verdict == ippkt.Padded {
		err = vnet.ErrLength
	}
	if err != nil {
		q.lost(&q.count.readBadOffload, "the virtio_net header of a packet from the kernel contradicts it", err)
		return false
	}
	return true
}

// readFailed sorts a failed read: wait for the next event, or give up.
func (q *queue) readFailed(err error) (done bool) {
	r := &q.rd
	switch err {
	case unix.EAGAIN:
		return r.n > 0
	case unix.EIO, unix.ENETDOWN, unix.ENOBUFS, unix.ENOMEM:
		// Passing. The poller reports the next packet, so waiting is no spin.
		q.count.readErrors.Add(1)
		return r.n > 0
	}
	r.err = permanent("read", err)
	return true
}

// lost counts a packet, and says so if it is the first that is lost for that reason.
func (q *queue) lost(count *atomic.Uint64, why string, err error) {
	if count.Add(1) > 1 || q.log == nil {
		return
	}
	attrs := []any{slog.String("device", q.device), slog.String("reason", why)}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	q.log.Warn("the TUN device loses packets; more that are lost for this reason are only counted", attrs...)
}

func (q *queue) write(batch []frame.Packet) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	w := q.writers.Get().(*writer)
	w.batch, w.n, w.err = batch, 0, nil
	// First past the lock that the descriptor has for writers: the kernel takes
	// packets from several at once. Its queue is hardly ever full; only then the
	// poller, which needs that lock, waits.
	w.again = false
	err := q.raw.Control(w.try)
	if err == nil && w.again {
		err = q.raw.Write(w.step)
	}
	n, own := w.n, w.err
	w.batch = nil
	clear(w.iov) // keep no reference to the caller's buffers
	q.writers.Put(w)
	if n == len(batch) {
		return n, nil
	}
	return n, q.outcome(own, err)
}

func (w *writer) attempt(fd uintptr) { w.again = !w.run(fd) }

// run writes the rest of the batch. It answers false when the poller has to wait
// first.
func (w *writer) run(fd uintptr) bool {
	q := w.q
	for w.n < len(w.batch) {
		if q.closed.Load() {
			w.err = ErrClosed
			return true
		}
		p := &w.batch[w.n]
		if err := ippkt.CheckWrite(p, q.offers); err != nil {
			w.err = fmt.Errorf("tun: packet %d: %w", w.n, err)
			return true
		}
		switch err := w.writeOne(int(fd), p); err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			if w.err = q.writeFailed(p, err); w.err != nil {
				return true
			}
		}
		w.n++
	}
	return true
}

func (w *writer) writeOne(fd int, p *frame.Packet) error {
	iov := p.Views
	if w.q.headers {
		vnet.Encode(w.head[:], p.Offload)
		w.iov = append(append(w.iov[:0], w.head[:]), p.Views...)
		iov = w.iov
	}
	_, err := w.q.writev(fd, iov)
	return err
}

// writeFailed counts a packet that the kernel dropped, and returns nil; or it says
// why the batch ends here.
func (q *queue) writeFailed(p *frame.Packet, err error) error {
	switch err {
	case unix.EIO, unix.ENETDOWN:
		q.lost(&q.count.writeLinkDown, "the interface is down", err)
	case unix.ENOBUFS, unix.ENOMEM:
		q.lost(&q.count.writeNoMemory, "the kernel has no memory for it", err)
	case unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP:
		if p.Offload.GSO != frame.GSONone {
			q.count.writeSegmentsRefused.Add(1)
			return fmt.Errorf("tun: the kernel refuses a super-segment of %d bytes (%v): %w (%w)", p.Size, err, ErrOffload, unix.EOPNOTSUPP)
		}
		q.lost(&q.count.writeRejected, "the kernel finds a packet malformed", err)
	default:
		return permanent("write", err)
	}
	return nil
}

// permanent classifies an errno that does not pass: EBADFD and EFAULT are what
// the driver answers once the device is deleted.
func permanent(op string, err error) error {
	switch err {
	case unix.EBADFD, unix.EFAULT, unix.ENODEV, unix.ENXIO:
		return ErrGone
	}
	return fmt.Errorf("tun: %s: %w", op, err)
}

// outcome chooses the error of a call: ours, or the poller's. That one does not say
// what has happened: once a device is deleted the poller only says that the descriptor
// can no longer be waited for, before anybody has read the errno that would tell.
func (q *queue) outcome(own, poller error) error {
	switch {
	case q.closed.Load():
		return ErrClosed
	case own != nil:
		return own
	case poller == nil:
		return errors.New("tun: the poller returned without a result")
	}
	var state error
	switch err := q.raw.Control(func(fd uintptr) { state = q.state(int(fd)) }); {
	case err != nil:
		return fmt.Errorf("tun: the queue is closed (%w): %w", err, os.ErrClosed)
	case state != nil:
		return permanent("read", state)
	}
	return fmt.Errorf("tun: %w", poller)
}
