package tun

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Device is an open TUN. It owns the descriptors, one per queue, a netlink
// socket in the device's namespace and the journal of what Open changed; it has
// no goroutine.
//
// All methods may be called from several goroutines at once. Locks: a queue's
// rd.mu is held by a Read of it for the whole call, and taken with no other.
// Writes take none: each has a state of its own, and the kernel orders them. Close
// takes none either.
type Device struct {
	name      string
	mtu       int
	offers    frame.Offloads
	ephemeral bool
	files     []*os.File
	nl        *links
	journal   *journal // used by Open, then by the one closing call
	log       *slog.Logger
	queues    []queue
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

// Queues returns the number of queues, numbered from 0.
func (d *Device) Queues() int { return len(d.queues) }

// Offloads returns what may be written, and what Read delivers, beside ordinary
// packets with complete checksums. The zero value means nothing else: so it is with
// Config.NoOffload, and where the kernel refused. It does not change.
func (d *Device) Offloads() frame.Offloads { return d.offers }

// Read waits for at least one packet from the kernel, takes what more is there
// already, up to len(batch), and returns how many entries it has filled: Size
// and Offload are set.
//
// The Views of an entry need room for at least MTU bytes in all, and for
// Offloads().MaxSize where that is more (io.ErrShortBuffer otherwise). A packet
// that does not fit, is not IP, has fewer bytes than its header announces, or
// offload facts that contradict it, is dropped and counted, never delivered cut.
//
// Errors: ErrClosed after Close, which ends a waiting Read at once; ErrGone when
// the device was deleted. Both are permanent. Errors that pass by themselves are
// waited out.
func (d *Device) Read(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	return d.queues[queue].read(batch)
}

// Write hands the packets to the kernel, in order, and returns how many were
// taken. It does not wait for anything but the kernel's receive path.
//
// Taken is also what the kernel would not have: packets written while the link
// is down or the kernel short of memory, and packets it finds malformed, are
// dropped and counted as on a wire. An error ends the batch: ErrOffload (a thing
// that Offloads does not say, or a super-segment that the kernel would not take),
// ErrPacket for the entry at n; ErrClosed; ErrGone.
func (d *Device) Write(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	return d.queues[queue].write(batch)
}

func (d *Device) use(queue int) error {
	if d.closed.Load() {
		return ErrClosed
	}
	if queue < 0 || queue >= len(d.queues) {
		return fmt.Errorf("tun: there is no queue %d: %s has %d, numbered from 0", queue, d.name, len(d.queues))
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
		// Wakes whoever waits, while the descriptors still hold the device.
		for _, f := range d.files {
			_ = f.SetDeadline(time.Unix(1, 0))
		}
		err := d.journal.undo()
		d.nl.close()
		if err != nil && !d.ephemeral {
			d.closeErr = fmt.Errorf("tun: closing %s: %w", d.name, err)
		}
	})
	return d.closeErr
}

// persistNow makes a created device outlive its descriptors.
func persistNow(file *os.File, name string) error {
	if err := control(file, func(fd int) error { return setPersist(fd, true) }); err != nil {
		return fail(ErrSystem, "cannot make %s persistent: %v", name, err)
	}
	return nil
}
