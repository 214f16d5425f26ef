package kernelpeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns"
)

// ServerConfig describes a listening socket of the kernel.
type ServerConfig struct {
	// Address to listen on, an address of the namespace; port 0: any.
	Address netip.AddrPort
	// FastOpen is the limit of pending Fast Open connections (TCP_FASTOPEN);
	// 0: the listener has no Fast Open.
	FastOpen int
	// Keys are keys of the listener's own, the primary one first; at most two.
	Keys []Key
	// Handler serves each connection; nil: [Echo].
	Handler Handler
}

// Record is what the kernel and the handler know about one connection.
type Record struct {
	Remote netip.AddrPort
	// AtAccept is how many bytes could be read when the connection was accepted
	// (at most 64 KiB), and AcceptInfo its TCP_INFO at that moment. With Fast
	// Open both are from before the end of the handshake, if this goroutine was
	// quicker than the client's ACK; AcceptInfo.SYNData is certain.
	AtAccept   int
	AcceptInfo Info
	// Received is all that the handler read, and EndInfo the TCP_INFO after it.
	// Set when it is finished.
	Received []byte
	EndInfo  Info
	// Err is what the handler returned.
	Err error
}

// Server is a TCP server of the kernel inside a namespace.
type Server struct {
	listener *net.TCPListener
	handler  Handler
	running  sync.WaitGroup // the accepting goroutine and one per connection

	mu       sync.Mutex
	records  []Record
	finished []bool
	open     map[*net.TCPConn]struct{}
	closed   bool
	// changed is closed and replaced whenever a record changes.
	changed chan struct{}
}

// Socket makes the listening socket alone, without a server; it belongs to the caller.
// Handler has no effect.
func (cfg ServerConfig) Socket(ns *netns.Namespace) (l *net.TCPListener, err error) {
	lc := net.ListenConfig{
		KeepAlive: -1, // no probes in the trace
		Control:   func(_, _ string, c syscall.RawConn) error { return cfg.control(c) },
	}
	lc.SetMultipathTCP(false) // Go's default for listeners; it is not the TCP under test
	err = ns.Do(func() error {
		made, err := lc.Listen(context.Background(), "tcp", cfg.Address.String())
		if err == nil {
			l = made.(*net.TCPListener) // what Listen gives for "tcp"
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernelpeer: listening on %v in the namespace: %w", cfg.Address, err)
	}
	return l, nil
}

// Listen starts a server in a namespace. It accepts at once.
func Listen(ns *netns.Namespace, cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil {
		cfg.Handler = Echo
	}
	l, err := cfg.Socket(ns)
	if err != nil {
		return nil, err
	}
	s := &Server{
		listener: l,
		handler:  cfg.Handler,
		open:     make(map[*net.TCPConn]struct{}),
		changed:  make(chan struct{}),
	}
	s.running.Go(s.accept)
	return s, nil
}

// control sets the options of the listening socket before it is bound.
func (cfg *ServerConfig) control(c syscall.RawConn) error {
	var opErr error
	err := c.Control(func(fd uintptr) {
		if cfg.FastOpen != 0 {
			opErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, cfg.FastOpen)
		}
		if opErr == nil && len(cfg.Keys) > 0 {
			var raw []byte
			for _, k := range cfg.Keys {
				raw = append(raw, k[:]...)
			}
			opErr = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_KEY, string(raw))
		}
	})
	return errors.Join(err, opErr)
}

// Addr is the address the server listens on, with the port it got.
func (s *Server) Addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// accept takes connections until the listener is closed.
func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptTCP()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// A connection that died in the queue; the listener lives on.
			continue
		}
		i, ok := s.begin(c)
		if !ok {
			c.Close()
			return
		}
		s.running.Go(func() { s.serve(i, c) })
	}
}

// begin makes the record of a connection, first thing.
func (s *Server) begin(c *net.TCPConn) (index int, ok bool) {
	r := Record{Remote: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
	if raw, err := c.SyscallConn(); err != nil {
		r.Err = err
	} else {
		n, errN := queued(raw)
		info, errInfo := readInfo(raw)
		r.AtAccept, r.AcceptInfo, r.Err = n, info, errors.Join(errN, errInfo)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	s.open[c] = struct{}{}
	s.records = append(s.records, r)
	s.finished = append(s.finished, false)
	s.announce()
	return len(s.records) - 1, true
}

// serve runs the handler and ends the record.
func (s *Server) serve(i int, c *net.TCPConn) {
	stream := &Stream{Conn: c, tcp: c}
	err := s.handler(stream)
	var info Info
	if raw, rawErr := c.SyscallConn(); rawErr == nil {
		// After the server's own Close there is nothing left to ask.
		if got, infoErr := readInfo(raw); infoErr == nil {
			info = got
		}
	}
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	r := &s.records[i]
	r.Received, r.EndInfo = stream.received, info
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		r.Err = errors.Join(r.Err, err)
	}
	s.finished[i] = true
	s.announce()
}

// announce wakes those who wait for records. Preconditions: mu is held.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Accepted waits until connection i, counted from 0 in the order of accept, is
// accepted, and returns its record so far.
func (s *Server) Accepted(ctx context.Context, i int) (Record, error) {
	return s.wait(ctx, i, func() bool { return true })
}

// Finished waits until the handler of connection i has returned, and returns the
// whole record.
func (s *Server) Finished(ctx context.Context, i int) (Record, error) {
	return s.wait(ctx, i, func() bool { return s.finished[i] })
}

// wait waits for a record that satisfies ready, which is called under the lock.
func (s *Server) wait(ctx context.Context, i int, ready func() bool) (Record, error) {
	for {
		s.mu.Lock()
		have, closed, changed := len(s.records), s.closed, s.changed
		if i < have && ready() {
			r := s.records[i]
			s.mu.Unlock()
			return r, nil
		}
		s.mu.Unlock()
		if closed {
			return Record{}, fmt.Errorf("kernelpeer: the server was closed: %w", net.ErrClosed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Record{}, fmt.Errorf("kernelpeer: waiting for connection %d of %d accepted so far: %w",
				i, have, context.Cause(ctx))
		}
	}
}

// Records are all connections accepted so far, in the order of accept.
func (s *Server) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Close closes the listener and all connections, and waits for their handlers.
// Idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	if first {
		s.announce()
	}
	s.mu.Unlock()
	var err error
	if first {
		err = s.listener.Close()
	}
	s.running.Wait()
	return err
}
