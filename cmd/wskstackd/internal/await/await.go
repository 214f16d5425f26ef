// Package await makes the calls of a stack.Endpoint wait: each takes a context,
// and tries again whenever the endpoint says that something may have changed.
//
//	caller ──► Conn.Read(ctx) ──► Endpoint.Read ── EAGAIN ──► wait for the wake
//	                  ▲                                            │
//	                  └────────────────────────────────────────────┘
//
// A Conn has no goroutine. Reading, writing and waiting for the end may each be
// done by one goroutine, at the same time; the Conn owns its endpoint, and
// closing or aborting it wakes them all.
package await

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"syscall"

	"github.com/wskstack/wskstack/stack"
)

// Conn is an endpoint whose calls wait.
type Conn struct {
	ep *stack.Endpoint
	// One for each of those who may wait at the same time.
	readable, writable, changed chan struct{}
}

// New takes an endpoint over.
func New(ep *stack.Endpoint) *Conn {
	c := &Conn{
		ep:       ep,
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}
	ep.SetWake(func() {
		for _, ch := range []chan struct{}{c.readable, c.writable, c.changed} {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	})
	return c
}

// Endpoint is the endpoint itself, for what needs no waiting.
func (c *Conn) Endpoint() *stack.Endpoint { return c.ep }

// until calls try until it has an answer other than EAGAIN.
func until(ctx context.Context, wake <-chan struct{}, try func() error) error {
	for {
		if err := try(); !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Connect connects and waits until the connection is up and TCP has taken all of
// opts.Data.
func (c *Conn) Connect(ctx context.Context, remote netip.AddrPort, opts stack.ConnectOptions) error {
	if err := c.ep.Connect(remote, opts); err != nil {
		return err
	}
	return until(ctx, c.changed, func() error {
		done, err := c.ep.Connected()
		if err == nil && !done {
			return syscall.EAGAIN
		}
		return err
	})
}

// Accept waits for a connection of a listening endpoint.
func (c *Conn) Accept(ctx context.Context) (*Conn, error) {
	var ep *stack.Endpoint
	err := until(ctx, c.changed, func() (err error) { ep, err = c.ep.Accept(); return err })
	if err != nil {
		return nil, err
	}
	return New(ep), nil
}

// Read waits for at least one byte. The error is io.EOF after the peer's FIN.
func (c *Conn) Read(ctx context.Context, b []byte) (n int, err error) {
	err = until(ctx, c.readable, func() (err error) { n, err = c.ep.Read([][]byte{b}); return err })
	return n, err
}

// Write waits until TCP has taken all of b.
func (c *Conn) Write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		var n int
		err := until(ctx, c.writable, func() (err error) { n, err = c.ep.Write([][]byte{b}); return err })
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Ended waits until the connection, whose write side was closed, needs nothing
// of this side any more: the peer has acknowledged everything, the FIN included.
func (c *Conn) Ended(ctx context.Context) error {
	return until(ctx, c.changed, func() error {
		switch c.ep.State() {
		case stack.StateClosed, stack.StateTimeWait, stack.StateFinWait2:
			return nil
		}
		return syscall.EAGAIN
	})
}

// Reader is Read as an io.Reader, for as long as the context lasts.
func (c *Conn) Reader(ctx context.Context) io.Reader { return reader{ctx, c} }

// Writer is Write as an io.Writer, for as long as the context lasts.
func (c *Conn) Writer(ctx context.Context) io.Writer { return writer{ctx, c} }

type (
	reader struct {
		ctx  context.Context
		conn *Conn
	}
	writer struct {
		ctx  context.Context
		conn *Conn
	}
)

func (r reader) Read(b []byte) (int, error) { return r.conn.Read(r.ctx, b) }

func (w writer) Write(b []byte) (int, error) {
	if err := w.conn.Write(w.ctx, b); err != nil {
		return 0, err // how many bytes went out does not matter any more
	}
	return len(b), nil
}
