package tun

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/ippkt"
)

// spillSize is the room behind the caller's buffers into which a packet that is
// too large for them overflows: with it no read is ever cut short by the kernel,
// which would say nothing. No TUN delivers more than its MTU, at most this.
const spillSize = maxMTU + 1

// maxEmpty bounds how many reads of no byte at all are taken in a row.
const maxEmpty = 64

// queue moves packets through one descriptor. Its functions for RawConn are made
// once, so that a read or a write allocates nothing.
type queue struct {
	raw    syscall.RawConn
	mtu    int
	closed *atomic.Bool
	count  *counters
	rd     reader
	wr     writer
}

// reader is the state of one Read, guarded by mu.
type reader struct {
	mu    sync.Mutex
	batch []frame.Packet
	n     int
	empty int
	err   error
	iov   [][]byte
	spill []byte
	step  func(fd uintptr) bool
	readv func(fd int, iov [][]byte) (int, error)
}

// writer is the state of one Write, guarded by mu.
type writer struct {
	mu     sync.Mutex
	batch  []frame.Packet
	n      int
	err    error
	step   func(fd uintptr) bool
	writev func(fd int, iov [][]byte) (int, error)
}

func (q *queue) init(raw syscall.RawConn, mtu int, closed *atomic.Bool, count *counters) {
	q.raw, q.mtu, q.closed, q.count = raw, mtu, closed, count
	q.rd.spill = make([]byte, spillSize)
	q.rd.readv = unix.Readv
	q.rd.step = q.readStep
	q.wr.writev = unix.Writev
	q.wr.step = q.writeStep
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
		r.iov = append(append(r.iov[:0], p.Views...), r.spill)
		size, err := r.readv(int(fd), r.iov)
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

func (q *queue) checkRoom(views [][]byte, room int) error {
	if room < q.mtu {
		return fmt.Errorf("tun: room for %d bytes, the device has the MTU %d: %w", room, q.mtu, io.ErrShortBuffer)
	}
	if len(views) > ippkt.MaxViews {
		return fmt.Errorf("tun: %w: %d views, the kernel takes %d at most", ErrPacket, len(views), ippkt.MaxViews)
	}
	return nil
}

// accept judges a packet that has been read and counts it if it is refused.
func (q *queue) accept(p *frame.Packet, size, room int) bool {
	if size > room {
		q.count.readOversize.Add(1)
		return false
	}
	switch ippkt.Inspect(p.Views, size) {
	case ippkt.Truncated:
		q.count.readTruncated.Add(1)
		return false
	case ippkt.Malformed:
		q.count.readMalformed.Add(1)
		return false
	}
	p.Size = size
	p.Offload = frame.Offload{}
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

func (q *queue) write(batch []frame.Packet) (int, error) {
	w := &q.wr
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	w.batch, w.n, w.err = batch, 0, nil
	err := q.raw.Write(w.step)
	w.batch = nil
	if w.n == len(batch) {
		return w.n, nil
	}
	return w.n, q.outcome(w.err, err)
}

// writeStep writes the rest of the batch. It answers false when the poller has
// to wait first.
func (q *queue) writeStep(fd uintptr) bool {
	w := &q.wr
	for w.n < len(w.batch) {
		if q.closed.Load() {
			w.err = ErrClosed
			return true
		}
		p := &w.batch[w.n]
		if w.err = ippkt.CheckWrite(p); w.err != nil {
			w.err = fmt.Errorf("tun: packet %d: %w", w.n, w.err)
			return true
		}
		_, err := w.writev(int(fd), p.Views)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case unix.EIO, unix.ENETDOWN:
			q.count.writeLinkDown.Add(1)
		case unix.ENOBUFS, unix.ENOMEM:
			q.count.writeNoMemory.Add(1)
		case unix.EINVAL, unix.EMSGSIZE:
			q.count.writeRejected.Add(1)
		default:
			w.err = permanent("write", err)
			return true
		}
		w.n++
	}
	return true
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

// outcome chooses the error of a call: ours, or the poller's, which after Close
// is only ever that the device is closed.
func (q *queue) outcome(own, poller error) error {
	switch {
	case q.closed.Load():
		return ErrClosed
	case own != nil:
		return own
	case poller == nil:
		return errors.New("tun: the poller returned without a result")
	}
	return fmt.Errorf("tun: %w", poller)
}
