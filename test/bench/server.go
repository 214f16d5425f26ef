package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns"
)

// What a client asks for with the first byte it sends.
const (
	askSink     = 'u' // read until the end
	askSource   = 'd' // write until the client has gone
	askExchange = 'e' // read one message, answer with one, close first
	askHold     = 'h' // answer with one byte, then wait for the end
)

// messageSize is what each side sends in an exchange.
const messageSize = 100

// block is what is read and written at a time.
const block = 256 << 10

// server is the kernel's end of all connections of a subject: threads that take
// turns at one listening socket. Whoever serves a connection serves no other.
type server struct {
	addr     netip.AddrPort
	listen   socket
	received atomic.Int64
	threads  sync.WaitGroup

	// mu guards open; it is a leaf.
	mu     sync.Mutex
	open   map[socket]bool
	ending bool
}

// queue is the backlog, and how many connections may be opening with Fast Open.
const queue = 4096

// serve starts a server in a namespace.
func serve(ns *netns.Namespace, at netip.Addr, cfg Config) (*server, error) {
	s := &server{open: make(map[socket]bool)}
	err := ns.Do(func() error {
		sa, family := sockaddr(netip.AddrPortFrom(at, 0))
		var err error
		if s.listen, err = newSocket(family, cfg.Congestion); err != nil {
			return err
		}
		err = errors.Join(
			unix.SetsockoptInt(int(s.listen), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, queue),
			unix.Bind(int(s.listen), sa), unix.Listen(int(s.listen), queue))
		if err != nil {
			return err
		}
		name, err := unix.Getsockname(int(s.listen))
		if err != nil {
			return err
		}
		s.addr = netip.AddrPortFrom(at, portOf(name))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bench: the server: %w", err)
	}
	for range cfg.threads() {
		buf := make([]byte, block) // here, so that it is nobody's when memory is counted
		s.threads.Go(func() { s.run(buf) })
	}
	return s, nil
}

func portOf(sa unix.Sockaddr) uint16 {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port)
	case *unix.SockaddrInet6:
		return uint16(a.Port)
	}
	return 0
}

// run serves one connection after the other until the server is closed.
func (s *server) run(buf []byte) {
	for {
		var fd int
		err := retry(func() (err error) {
			fd, _, err = unix.Accept4(int(s.listen), unix.SOCK_CLOEXEC)
			return err
		})
		c := socket(fd)
		if err != nil || !s.take(c) {
			return
		}
		held := s.talk(c, buf) // what the client did to it shows there
		if !held {
			s.drop(c)
		}
	}
}

func (s *server) take(c socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		_ = c.Close()
		return false
	}
	s.open[c] = true
	return true
}

func (s *server) drop(c socket) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.Close()
}

// talk does what the client asks for. A connection that is held costs no thread: it
// stays open until the server ends.
func (s *server) talk(c socket, buf []byte) (held bool) {
	n, err := c.Read(buf)
	if err != nil {
		return false
	}
	switch buf[0] {
	case askSink:
		s.received.Add(int64(n))
		for err == nil {
			n, err = c.Read(buf)
			s.received.Add(int64(n))
		}
	case askSource:
		for err == nil {
			_, err = c.Write(buf)
		}
	case askExchange:
		for n < messageSize && err == nil {
			var m int
			m, err = c.Read(buf[n:messageSize])
			n += m
		}
		if err == nil {
			_, _ = c.Write(buf[:messageSize])
		}
	case askHold:
		_, err = c.Write(buf[:1])
		return err == nil
	}
	return false
}

// close ends the server and all its connections, and waits.
func (s *server) close() error {
	s.mu.Lock()
	s.ending = true
	for c := range s.open {
		c.hangUp()
	}
	s.mu.Unlock()
	s.listen.hangUp()
	s.threads.Wait()
	for c := range s.open {
		_ = c.Close()
	}
	return s.listen.Close()
}

// exchange sends a message and reads the answer to its end.
func (s *Subject) exchange(message, buf []byte, fastOpen bool) error {
	c, err := s.open(message, fastOpen)
	if err != nil {
		return err
	}
	got := 0
	for {
		n, err := c.Read(buf)
		got += n
		if err != nil {
			closeErr := c.Close()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if err == nil && got != messageSize {
				err = fmt.Errorf("bench: an answer of %d bytes, %d are right", got, messageSize)
			}
			return errors.Join(err, closeErr)
		}
	}
}
