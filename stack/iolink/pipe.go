package iolink

import (
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Pipe makes a device whose packets come from a program and go to it: a tunnel, a
// simulation, another stack. The device goes to New; end is the program's: each Read
// takes one IP packet that the stack has sent, each Write gives it one.
//
// mtu is the largest packet in bytes. Up to depth packets wait each way; when that many
// wait for the program, what the stack sends is dropped and counted as TxNoBuffer, and
// when that many wait for the stack, Write waits.
func Pipe(mtu, depth int) (dev Device, end *PipeEnd) {
	depth = max(depth, 1)
	p := &pipe{mtu: mtu, closed: make(chan struct{}),
		down: make(chan *[]byte, depth), up: make(chan *[]byte, depth)}
	p.free.New = func() any {
		b := make([]byte, 0, mtu)
		return &b
	}
	return &pipeDevice{p}, &PipeEnd{p}
}

// pipe is what both ends share. Packets in the channels are copies of the pipe's own,
// which go back to the pool when they have been read.
type pipe struct {
	mtu      int
	down, up chan *[]byte
	free     sync.Pool // of *[]byte
	once     sync.Once
	closed   chan struct{}
}

func (p *pipe) close() { p.once.Do(func() { close(p.closed) }) }

func (p *pipe) over() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// copyOf is the packet in memory of the pipe's own.
func (p *pipe) copyOf(views ...[]byte) *[]byte {
	b := p.free.Get().(*[]byte)
	*b = (*b)[:0]
	for _, v := range views {
		*b = append(*b, v...)
	}
	return b
}

func (p *pipe) release(b *[]byte) { p.free.Put(b) }

// pipeDevice is the stack's end of a pipe.
type pipeDevice struct{ *pipe }

// MTU implements Device.
func (d *pipeDevice) MTU() int { return d.mtu }

// Queues implements Device.
func (d *pipeDevice) Queues() int { return 1 }

// Offloads implements Device.
func (d *pipeDevice) Offloads() frame.Offloads { return frame.Offloads{} }

// Close implements Device.
func (d *pipeDevice) Close() error {
	d.close()
	return nil
}

// Read implements Device.
func (d *pipeDevice) Read(_ int, batch []frame.Packet) (int, error) {
	if d.over() {
		return 0, net.ErrClosed
	}
	select {
	case b := <-d.up:
		d.fill(&batch[0], b)
	case <-d.closed:
		return 0, net.ErrClosed
	}
	for n := 1; n < len(batch); n++ {
		select {
		case b := <-d.up:
			d.fill(&batch[n], b)
		default:
			return n, nil
		}
	}
	return len(batch), nil
}

func (d *pipeDevice) fill(to *frame.Packet, b *[]byte) {
	to.Size = scatter(to.Views, *b)
	d.release(b)
}

// scatter copies a packet into views and returns how much they hold of it.
func scatter(views [][]byte, b []byte) (n int) {
	for _, v := range views {
		n += copy(v, b[n:])
	}
	return n
}

// Write implements Device.
func (d *pipeDevice) Write(_ int, batch []frame.Packet) (int, error) {
	for i := range batch {
		if d.over() {
			return i, net.ErrClosed
		}
		b := d.copyOf(batch[i].Views...)
		select {
		case d.down <- b:
		default:
			d.release(b)
			return i, syscall.ENOBUFS
		}
	}
	return len(batch), nil
}

// PipeEnd is the program's end of a Pipe. All methods may be called from any goroutine.
type PipeEnd struct{ pipe *pipe }

var _ io.ReadWriteCloser = (*PipeEnd)(nil)

// Read waits for a packet that the stack has sent and copies it into p. Errors:
// io.ErrShortBuffer if p does not hold it, and it is lost; io.EOF once the pipe is
// closed from either end.
func (e *PipeEnd) Read(p []byte) (int, error) {
	if e.pipe.over() {
		return 0, io.EOF
	}
	select {
	case b := <-e.pipe.down:
		defer e.pipe.release(b)
		if len(p) < len(*b) {
			return 0, io.ErrShortBuffer
		}
		return copy(p, *b), nil
	case <-e.pipe.closed:
		return 0, io.EOF
	}
}

// Write gives the stack a packet, of which it makes a copy. It waits while as many as
// the pipe holds wait for the stack. Errors: syscall.EMSGSIZE for one that is larger
// than the MTU, net.ErrClosed once the pipe is closed from either end.
func (e *PipeEnd) Write(p []byte) (int, error) {
	switch {
	case e.pipe.over():
		return 0, net.ErrClosed
	case len(p) > e.pipe.mtu:
		return 0, syscall.EMSGSIZE
	}
	b := e.pipe.copyOf(p)
	select {
	case e.pipe.up <- b:
		return len(p), nil
	case <-e.pipe.closed:
		e.pipe.release(b)
		return 0, net.ErrClosed
	}
}

// Close closes the pipe; to the stack it is a device that is gone. It may be called
// twice, and returns nil.
func (e *PipeEnd) Close() error {
	e.pipe.close()
	return nil
}
