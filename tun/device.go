package tun

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Device is an open TUN with one queue. It owns the descriptor, a netlink
// socket in the device's namespace and the journal of what Open changed; it has
// no goroutine.
//
// All methods may be called from several goroutines at once. Locks: queue.rd.mu
// is held by a Read, queue.wr.mu by a Write, each for the whole call; neither is
// taken while the other is held, and Close takes neither.
type Device struct {
	name      string
	mtu       int
	ephemeral bool
	file      *os.File
	nl        *links
	journal   *journal // used by Open, then by the one closing call
	queue     queue
	counters  counters

	closed   atomic.Bool
	closing  sync.Once
	closeErr error // written inside closing
}

// Name returns the name that the device had when it was opened. A device that
// is renamed meanwhile goes on working, and is cleaned up by its index.
func (d *Device) Name() string { return d.name }

// MTU returns the MTU in bytes that was in force when Open returned. A later
// change by an administrator loses no packet here: Read is not bound to it.
func (d *Device) MTU() int { return d.mtu }

// Queues returns the number of queues, numbered from 0: one.
func (d *Device) Queues() int { return 1 }

// Offloads returns the zero value: ordinary packets with complete checksums.
func (d *Device) Offloads() frame.Offloads { return frame.Offloads{} }

// Read waits for at least one packet from the kernel, takes what more is there
// already, up to len(batch), and returns how many entries it has filled: Size
// is set, Offload cleared.
//
// The Views of an entry need room for at least MTU bytes in all (io.ErrShortBuffer
// otherwise). A packet that does not fit, is not IP, or has fewer bytes than
// its header announces is dropped and counted, never delivered cut.
//
// Errors: ErrClosed after Close, which ends a waiting Read at once; ErrGone when
// the device was deleted. Both are permanent. Errors that pass by themselves are
// waited out.
func (d *Device) Read(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	return d.queue.read(batch)
}

// Write hands the packets to the kernel, in order, and returns how many were
// taken. It does not wait for anything but the kernel's receive path.
//
// Taken is also what the kernel would not have: packets written while the link
// is down or the kernel short of memory, and packets it finds malformed, are
// dropped and counted as on a wire. An error ends the batch: ErrOffload,
// ErrPacket for the entry at n; ErrClosed; ErrGone.
func (d *Device) Write(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	return d.queue.write(batch)
}

func (d *Device) use(queue int) error {
	if d.closed.Load() {
		return ErrClosed
	}
	if queue != 0 {
		return fmt.Errorf("tun: there is no queue %d: %s has one, numbered 0", queue, d.name)
	}
	return nil
}

// Close ends a waiting Read, takes back what Open changed, newest first, and
// returns when the descriptor is closed: a device that Open created is gone
// then, one that existed is as it was. Things that are gone already are no
// error. It is idempotent; further calls wait for the first and return the same.
// It takes a few exchanges with the kernel, each bounded by 10 seconds.
func (d *Device) Close() error {
	d.closing.Do(func() {
		d.closed.Store(true)
		// Wakes whoever waits, while the descriptor still holds the device.
		_ = d.file.SetDeadline(time.Unix(1, 0))
		err := d.journal.undo()
		d.nl.close()
		if err != nil && !d.ephemeral {
			d.closeErr = fmt.Errorf("tun: closing %s: %w", d.name, err)
		}
	})
	return d.closeErr
}

// persistNow makes a created device outlive its descriptor.
func persistNow(raw syscall.RawConn, name string) error {
	var err error
	if ctl := raw.Control(func(fd uintptr) { err = setPersist(int(fd), true) }); ctl != nil {
		err = ctl
	}
	if err != nil {
		return fail(ErrSystem, "cannot make %s persistent: %v", name, err)
	}
	return nil
}
