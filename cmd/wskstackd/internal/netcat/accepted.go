package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
)

// accepted is a connection that came in, for services that wait with contexts. It is
// a stream that counts.
type accepted struct {
	*await.Conn
	*account

	reading sync.Mutex // held by the one who reads: they share a wake-up
}

// accept takes the next connection over.
func (l *Listener) accept(ctx context.Context) (*accepted, error) {
	conn, err := l.listening.Accept(ctx)
	if err != nil {
		return nil, err
	}
	ep := conn.Endpoint()
	return &accepted{Conn: conn, account: l.account(ctx, ep.RemoteAddr(), ep.FastOpenInfo)}, nil
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
