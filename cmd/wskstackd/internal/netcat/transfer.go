package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/stack"
)

// stream is a connection whose calls wait, an await.Conn or one that is watched.
type stream interface {
	// Read waits for at least one byte; the error is io.EOF after the peer's FIN.
	Read(ctx context.Context, b []byte) (int, error)
	// Write waits until TCP has taken all of b.
	Write(ctx context.Context, b []byte) error
	// Ended waits until the peer has acknowledged everything, the FIN included.
	Ended(ctx context.Context) error
	Endpoint() *stack.Endpoint
}

// ending says when a transfer is over.
type ending bool

const (
	// peerDecides: when the peer has closed its side.
	peerDecides ending = false
	// bothDecide: when both have closed theirs.
	bothDecide ending = true
)

// errPeerDone ends the sending when the peer has closed its side.
var errPeerDone = errors.New("the peer has closed the connection")

// outputError says that what the peer sent cannot be written.
type outputError struct{ error }

func (o outputError) Error() string { return "writing what the peer sent: " + o.error.Error() }
func (o outputError) Unwrap() error { return o.error }

// transfer moves bytes both ways until it is over, or one of the ways fails.
func transfer(ctx context.Context, c stream, src source, out io.Writer, m *meter, until ending) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := send(ctx, c, src, m); err != nil {
			stop(err)
		}
	}()
	err := receive(ctx, c, out, m)
	if err != nil || until == peerDecides {
		stop(errPeerDone)
	}
	<-sent
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, errPeerDone) {
		err = cause
	}
	return err
}

// send sends what is left of the source and closes this side behind it.
func send(ctx context.Context, c stream, src source, m *meter) error {
	if err := c.Write(ctx, src.first); err != nil {
		return err
	}
	m.sent += len(src.first)
	for !src.ended {
		select {
		case next, ok := <-src.rest:
			if !ok {
				return context.Cause(ctx)
			}
			if err := c.Write(ctx, next.data); err != nil {
				return err
			}
			m.sent += len(next.data)
			if err := inputError(next.err); err != nil {
				return err
			}
			src.ended = next.err != nil
		case <-src.stop:
			src.ended = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.Endpoint().CloseWrite()
}

// receive copies what the peer sends, to its FIN.
func receive(ctx context.Context, c stream, out io.Writer, m *meter) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(ctx, buf)
		if n > 0 {
			if m.first == 0 {
				m.first = time.Since(m.begin)
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return outputError{err}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// end closes this side of a connection and waits, but not longer than CloseLimit,
// until the peer has acknowledged everything.
func end(ctx context.Context, c stream) error {
	if err := c.Endpoint().CloseWrite(); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, CloseLimit, fmt.Errorf("the peer has not acknowledged the end of the connection within %v", CloseLimit))
	defer cancel()
	if err := c.Ended(ctx); err != nil {
		return err
	}
	return c.Endpoint().Close()
}
