package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// listenName is the name of a connection in reports.
const listenName = "listen"

// accepted is a connection that came in. It is a stream that counts, and that ends
// when nothing has moved for too long.
//
// Two contexts bound it. soft ends when it ought to end: the listener was stopped,
// or the connection was idle. hard ends CloseLimit later, and everything with it:
// what is done for the connection between the two is to end it in good order.
type accepted struct {
	*await.Conn
	remote   netip.AddrPort
	listener *Listener

	soft, hard context.Context
	stop       context.CancelCauseFunc // ends soft
	release    func()                  // gives up both contexts

	idle *time.Timer // nil: no limit

	received, sent atomic.Int64

	reading sync.Mutex // held by the one who reads: they share a wake-up

	mu     sync.Mutex
	opened fastopen.Outcome // guarded by mu
}

// accept takes the next connection over.
func (l *Listener) accept(ctx context.Context) (*accepted, error) {
	conn, err := l.listening.Accept(ctx)
	if err != nil {
		return nil, err
	}
	c := &accepted{Conn: conn, remote: conn.Endpoint().RemoteAddr(), listener: l}
	c.soft, c.stop = context.WithCancelCause(ctx)
	var release func()
	c.hard, release = withGrace(c.soft, l.grace)
	c.release = func() { c.stop(nil); release() }
	if limit := l.opts.Idle; limit > 0 {
		why := fmt.Errorf("nothing came or went for %v (--idle)", limit)
		c.idle = time.AfterFunc(limit, func() { c.stop(why) })
	}
	return c, nil
}

// withGrace is a context that ends some time after another has, with its cause.
func withGrace(soft context.Context, grace time.Duration) (hard context.Context, release func()) {
	hard, cancel := context.WithCancelCause(context.WithoutCancel(soft))
	var mu sync.Mutex
	var timer *time.Timer // guarded by mu
	stop := context.AfterFunc(soft, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { cancel(context.Cause(soft)) })
	})
	return hard, func() {
		cancel(nil)
		if stop() {
			return // soft has not ended, there is no timer
		}
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
	}
}

// Read implements stream.
func (c *accepted) Read(ctx context.Context, b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n, err := c.Conn.Read(ctx, b)
	if n > 0 {
		c.moved(&c.received, n)
		c.outcome() // the layer forgets it in time
	}
	return n, err
}

// writeSize is how much is written before it counts as movement, in bytes.
const writeSize = 16 << 10

// Write implements stream.
func (c *accepted) Write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeSize)
		if err := c.Conn.Write(ctx, b[:n]); err != nil {
			return err
		}
		c.moved(&c.sent, n)
		b = b[n:]
	}
	return nil
}

func (c *accepted) moved(counter *atomic.Int64, n int) {
	counter.Add(int64(n))
	if c.idle != nil && c.soft.Err() == nil {
		c.idle.Reset(c.listener.opts.Idle)
	}
}

// outcome is what Fast Open did, as far as it is known.
func (c *accepted) outcome() fastopen.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.opened.Wanted {
		c.opened = c.Endpoint().FastOpenInfo()
	}
	return c.opened
}

// finish ends the connection in good order: this side is closed, what still comes
// is dropped, since closing with something unread would be a reset and take what
// was sent with it. It takes no longer than twice CloseLimit.
func (c *accepted) finish() error {
	_ = c.Endpoint().CloseWrite() // end does it again, and looks at the error
	ctx, cancel := context.WithTimeoutCause(c.hard, CloseLimit, errNotOver)
	defer cancel()
	buf := make([]byte, 4096)
	for {
		_, err := c.Read(ctx, buf)
		switch {
		case errors.Is(err, io.EOF):
			return end(c.hard, c)
		case err != nil:
			return err
		}
	}
}

// errNotOver says that the peer goes on sending, or does not close its side.
var errNotOver = fmt.Errorf("the peer has not closed its side within %v", CloseLimit)

// over ends the connection, by a reset unless it was closed, and tells of it. err
// is what went wrong.
func (c *accepted) over(err error) report.Served {
	o := c.outcome()
	c.Endpoint().Abort() // does nothing after a Close
	c.release()
	if c.idle != nil {
		c.idle.Stop()
	}
	served := report.Served{
		Name: listenName, Remote: c.remote.String(), Family: report.Family(4),
		BytesReceived: c.received.Load(), BytesSent: c.sent.Load(),
		BytesInSYN: o.BytesInSYN, BytesAcceptedInSYN: o.BytesAccepted, FastOpen: o.BytesAccepted > 0,
		Reason: c.reason(o),
	}
	if c.remote.Addr().Is6() {
		served.Family = report.Family(6)
	}
	if err != nil {
		served.Error = err.Error()
	}
	return served
}

// reason says why the SYN did not open the connection; empty if it did.
func (c *accepted) reason(o fastopen.Outcome) string {
	why := c.listener.reasons.take(c.remote)
	switch {
	case o.BytesAccepted > 0:
		return ""
	case !c.listener.opts.FastOpen:
		return reasonOff
	case o.Reason != 0:
		return o.Reason.String()
	case why != "":
		return why
	}
	return reasonNotAsked
}
