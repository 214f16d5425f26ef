package iolink

import (
	"io"
	"sync"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// maxPacket is the largest IP packet, in bytes.
const maxPacket = 65535

// FromReadWriter makes a device of anything that moves one IP packet with each Read and
// each Write, as the descriptor of a TUN does, a datagram socket, or another tunnel.
// mtu is the largest packet in bytes that the stack sends.
//
// The device closes rw. A Read of rw that waits has to return when rw is closed, with
// os.ErrClosed, net.ErrClosed or io.EOF. Writes come one at a time; the bytes are the
// stack's and must not be kept.
func FromReadWriter(rw io.ReadWriteCloser, mtu int) Device {
	return &streamDevice{rw: rw, mtu: mtu, in: make([]byte, maxPacket)}
}

// streamDevice is a device of one packet a call.
type streamDevice struct {
	rw  io.ReadWriteCloser
	mtu int
	in  []byte // the reader's

	mu  sync.Mutex // held over a Write of rw
	out []byte     // guarded by mu
}

// MTU implements Device.
func (d *streamDevice) MTU() int { return d.mtu }

// Queues implements Device.
func (d *streamDevice) Queues() int { return 1 }

// Offloads implements Device.
func (d *streamDevice) Offloads() frame.Offloads { return frame.Offloads{} }

// Close implements Device.
func (d *streamDevice) Close() error { return d.rw.Close() }

// Read implements Device.
func (d *streamDevice) Read(_ int, batch []frame.Packet) (int, error) {
	n, err := d.rw.Read(d.in)
	if n <= 0 {
		return 0, err // an error beside a packet comes again
	}
	batch[0].Size = scatter(batch[0].Views, d.in[:n])
	return 1, nil
}

// Write implements Device.
func (d *streamDevice) Write(_ int, batch []frame.Packet) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batch {
		packet := d.gather(batch[i].Views)
		n, err := d.rw.Write(packet)
		if err == nil && n < len(packet) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// gather is a packet in one piece. Called with mu held.
func (d *streamDevice) gather(views [][]byte) []byte {
	if len(views) == 1 {
		return views[0]
	}
	d.out = d.out[:0]
	for _, v := range views {
		d.out = append(d.out, v...)
	}
	return d.out
}
