package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// headerLimit is how long a client may take for the head of a request.
const headerLimit = 30 * time.Second

// serveHTTP serves the files below a directory, and nothing that a symbolic link in
// it leads to elsewhere.
func (l *Listener) serveHTTP(g *gate) error {
	root, err := os.OpenRoot(l.opts.Dir)
	if err != nil {
		return fmt.Errorf("--http: the directory cannot be served: %w", err)
	}
	defer root.Close()
	srv := &http.Server{
		Handler:           http.FileServerFS(root.FS()),
		ReadHeaderTimeout: headerLimit,
		IdleTimeout:       l.opts.Idle,
		ErrorLog:          log.New(g.talk.Errors, "listen: ", 0),
	}
	// Stopped: what is being answered is answered to the end, and delivered, as long as
	// CloseLimit allows.
	hard, release := withGrace(g.ctx, l.grace)
	defer release()
	stopped := make(chan struct{})
	stop := context.AfterFunc(g.ctx, func() {
		defer close(stopped)
		if srv.Shutdown(hard) != nil {
			_ = srv.Close()
		}
	})
	err = srv.Serve(webListener{l.web, g})
	if !errors.Is(err, errEnough) && !errors.Is(err, http.ErrServerClosed) {
		g.fail(err) // does nothing if it has failed already
	}
	over := g.end()
	if !stop() {
		<-stopped
	}
	// The connections are closed by now. What was written to them may be under way.
	_ = l.stack.Shutdown(hard) // fails only when there is no more time for it
	return over
}

// webListener is the stack's listener, with a gate before it.
type webListener struct {
	*stack.TCPListener
	gate *gate
}

// Accept implements net.Listener.
func (w webListener) Accept() (net.Conn, error) {
	c := &webConn{gate: w.gate}
	err := w.gate.next(func() (*account, error) {
		conn, err := w.AcceptTCP()
		switch {
		case err != nil && w.gate.ctx.Err() != nil:
			return nil, context.Cause(w.gate.ctx) // which is why the server has closed it
		case err != nil:
			return nil, err
		}
		c.take(conn)
		return c.account, nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// webConn is a connection that came in, for net/http. It hides what would move bytes
// past the account.
type webConn struct {
	net.Conn
	*account
	tcp  *stack.TCPConn // Conn
	gate *gate
	cut  func() bool // takes back that it is reset when hard ends

	closing sync.Once
	failed  atomic.Pointer[error] // the first error that ended it
}

// take begins with a connection.
func (c *webConn) take(conn *stack.TCPConn) {
	c.Conn, c.tcp = conn, conn
	remote := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	c.account = c.gate.listener.account(c.gate.ctx, remote, func() fastopen.Outcome { return conn.FastOpenInfo().Outcome })
	c.cut = context.AfterFunc(c.hard, func() {
		_ = conn.SetLinger(0) // fails only when it has just been closed
		_ = c.Close()
	})
}

// Read implements net.Conn.
func (c *webConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.moved(&c.received, n)
		c.outcome() // the layer forgets it in time
	}
	c.note(err)
	return n, err
}

// Write implements net.Conn.
func (c *webConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.moved(&c.sent, n)
	}
	c.note(err)
	return n, err
}

// note keeps what ended the connection, unless that is how connections end: net/http
// has closed it, or waits no longer.
func (c *webConn) note(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	c.failed.CompareAndSwap(nil, &err)
}

// CloseWrite closes this side; net/http asks for it.
func (c *webConn) CloseWrite() error { return c.tcp.CloseWrite() }

// Close implements net.Conn. What was written is delivered in the background, which
// the listener waits for when it ends.
func (c *webConn) Close() (err error) {
	c.closing.Do(func() {
		c.cut()
		c.outcome() // while it can be asked for
		err = c.Conn.Close()
		var failed error
		if p := c.failed.Load(); p != nil {
			failed = *p
		}
		c.gate.leave(c.account, failed)
	})
	return err
}
