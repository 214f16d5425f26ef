package tuntest

import (
	"fmt"
	"io"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun"
	"github.com/wskstack/wskstack/tun/internal/ippkt"
)

// Defaults of Config.
const (
	DefaultMTU   = 1500
	DefaultQueue = 512
)

// Config describes a pair. The zero value is useful.
type Config struct {
	// MTU in bytes; 0 or less: DefaultMTU. Like a TUN's, it is what the
	// buffers given to Read must hold; it does not limit Write.
	MTU int
	// Queue is how many packets wait in each direction before further ones are
	// dropped; 0 or less: DefaultQueue.
	Queue int
}

// Device is one end of a pair. Its methods may be called from several
// goroutines at once. Locks: only those of the two rings, leaves, one at a time.
type Device struct {
	name    string
	mtu     int
	in, out *ring
}

// NewPair returns two devices: what is written to one is read from the other.
func NewPair(cfg Config) (a, b *Device) {
	if cfg.MTU <= 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.Queue <= 0 {
		cfg.Queue = DefaultQueue
	}
	ab, ba := newRing(cfg.Queue), newRing(cfg.Queue)
	a = &Device{name: "mem0", mtu: cfg.MTU, in: ba, out: ab}
	b = &Device{name: "mem1", mtu: cfg.MTU, in: ab, out: ba}
	return a, b
}

// Name returns "mem0" for the first of a pair and "mem1" for the second.
func (d *Device) Name() string { return d.name }

// MTU returns the MTU in bytes.
func (d *Device) MTU() int { return d.mtu }

// Queues returns 1.
func (d *Device) Queues() int { return 1 }

// Offloads returns the zero value.
func (d *Device) Offloads() frame.Offloads { return frame.Offloads{} }

// Dropped returns how many packets written here were lost: the other side was
// closed or its ring full, the packet was not whole, or too large for the buffers
// that it was to be read into.
func (d *Device) Dropped() uint64 { return d.out.dropped() }

// Read waits for at least one packet and takes what more is there, up to
// len(batch). Packets too large for the Views are dropped, like those that are
// not whole IP packets. Errors are those of tun.Device.
func (d *Device) Read(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	if len(batch) == 0 {
		return 0, nil
	}
	for i := range batch {
		if room := ippkt.Capacity(batch[i].Views); room < d.mtu {
			if i == 0 {
				return 0, fmt.Errorf("tuntest: room for %d bytes, the device has the MTU %d: %w", room, d.mtu, io.ErrShortBuffer)
			}
			batch = batch[:i] // refused when it comes first
			break
		}
	}
	n := d.in.pop(batch)
	if n == 0 {
		return 0, tun.ErrClosed
	}
	return n, nil
}

// Write copies the packets into the other side's ring and returns how many were
// taken. It never waits. Errors are those of tun.Device.
func (d *Device) Write(queue int, batch []frame.Packet) (int, error) {
	if err := d.use(queue); err != nil {
		return 0, err
	}
	for i := range batch {
		if err := ippkt.CheckWrite(&batch[i], d.Offloads()); err != nil {
			return i, fmt.Errorf("tuntest: packet %d: %w", i, err)
		}
		d.out.push(&batch[i])
	}
	return len(batch), nil
}

func (d *Device) use(queue int) error {
	if d.in.isClosed() {
		return tun.ErrClosed
	}
	if queue != 0 {
		return fmt.Errorf("tuntest: there is no queue %d: %s has one, numbered 0", queue, d.name)
	}
	return nil
}

// Close ends a waiting Read and discards the packets that were not read. The
// other side goes on: what it writes is dropped. Close is idempotent and
// returns nil.
func (d *Device) Close() error {
	d.in.close()
	return nil
}
