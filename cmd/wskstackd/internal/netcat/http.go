package netcat

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"
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
	// Stopped: what is being answered is answered to the end, as long as CloseLimit
	// allows.
	stopped := make(chan struct{})
	stop := context.AfterFunc(g.ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), l.grace)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	})
	err = srv.Serve(netListener{g})
	if !errors.Is(err, errEnough) && !errors.Is(err, http.ErrServerClosed) {
		g.fail(err) // does nothing if it has failed already
	}
	over := g.end()
	if !stop() {
		<-stopped
	}
	return over
}

// netListener is a gate as a net.Listener.
type netListener struct{ gate *gate }

// Accept implements net.Listener.
func (n netListener) Accept() (net.Conn, error) {
	c, err := n.gate.next()
	if err != nil {
		return nil, err
	}
	return newNetConn(c, n.gate), nil
}

// Close implements net.Listener.
func (n netListener) Close() error { return n.gate.listener.listening.Endpoint().Close() }

// Addr implements net.Listener.
func (n netListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(n.gate.listener.listening.Endpoint().LocalAddr())
}
