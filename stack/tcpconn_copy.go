package stack

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// copyBuffer is how much ReadFrom and WriteTo move at once, in bytes.
const copyBuffer = 64 << 10

// ReadFrom implements io.ReaderFrom: it writes all that r gives. It reads into a
// buffer of the stack's, which is shared by all connections.
func (c *TCPConn) ReadFrom(r io.Reader) (total int64, err error) {
	buf := c.ep.stack.buffer()
	defer c.ep.stack.putBuffer(buf)
	for {
		n, readErr := r.Read(buf[:])
		if n > 0 {
			sent, err := c.write(buf[:n])
			total += int64(sent)
			if err != nil {
				return total, c.failure("readfrom", "write", err)
			}
		}
		switch {
		case readErr == io.EOF: // one in a chain is no end, but an error (io.Reader)
			return total, nil
		case readErr != nil:
			return total, c.theirs("readfrom", readErr)
		}
	}
}

// WriteTo implements io.WriterTo: it reads until the end and gives all to w. While
// there is nothing to read it holds no buffer.
func (c *TCPConn) WriteTo(w io.Writer) (total int64, err error) {
	for more := true; more && err == nil; {
		var n int64
		n, more, err = c.moveTo(w)
		total += n
	}
	return total, err
}

// moveTo waits for data and gives one buffer full of it to w. more is false at the end.
// A writer's io.EOF is an error, and returned as it is, as package net does.
func (c *TCPConn) moveTo(w io.Writer) (moved int64, more bool, err error) {
	buf := (*[copyBuffer]byte)(nil)
	defer func() {
		if buf != nil {
			c.ep.stack.putBuffer(buf)
		}
	}()
	got, err := c.readWhenReady(&buf)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return 0, false, nil
		}
		return 0, false, c.failure("writeto", "read", err)
	}
	n, err := w.Write(buf[:got])
	if err == nil && n < got {
		err = io.ErrShortWrite
	}
	if err != nil && err != io.EOF { //nolint:errorlint // in a chain it is wrapped as any other
		err = c.theirs("writeto", err)
	}
	return int64(max(n, 0)), true, err
}

// theirs is the error of the other side of a copy.
func (c *TCPConn) theirs(op string, err error) error {
	a := c.addresses()
	return &net.OpError{Op: op, Net: c.network, Source: a.local, Addr: a.remote, Err: err}
}

// readWhenReady reads into a buffer that it takes only once there is something to
// read.
func (c *TCPConn) readWhenReady(buf **[copyBuffer]byte) (n int, err error) {
	c.reads.busy.Lock()
	defer c.reads.busy.Unlock()
	if c.lazy != nil {
		c.lazy.within(lazyReadDelay)
	}
	err = c.reads.await(c.open, func() error {
		if *buf == nil && c.ep.quiet() {
			return syscall.EAGAIN
		}
		if *buf == nil {
			*buf = c.ep.stack.buffer()
		}
		n, err = c.take((*buf)[:])
		return err
	})
	return n, err
}

// buffer takes a copy buffer from the pool.
func (s *Stack) buffer() *[copyBuffer]byte {
	if b, ok := s.buffers.Get().(*[copyBuffer]byte); ok {
		return b
	}
	return new([copyBuffer]byte)
}

func (s *Stack) putBuffer(b *[copyBuffer]byte) { s.buffers.Put(b) }
