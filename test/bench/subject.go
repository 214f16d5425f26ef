package bench

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/wskstack/wskstack/test/netns"
)

// Subject is one of the ways that are compared.
type Subject struct {
	// Name is the column's.
	Name string

	server *server
	// dial makes a connection to the server; data goes with the connect call, in
	// the SYN if fastOpen is set and a cookie is there.
	dial func(to netip.AddrPort, data []byte, fastOpen bool) (conn, error)
	// inside is where the client has to run; nil: anywhere.
	inside *netns.Namespace
	closed []func() error // in the order of making
}

// conn is a connection as the measurements use it: blocking, one reader, one writer.
type conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	CloseWrite() error
	Close() error
}

// Close ends what the subject has opened.
func (s *Subject) Close() error {
	var errs []error
	for i := len(s.closed) - 1; i >= 0; i-- {
		errs = append(errs, s.closed[i]())
	}
	s.closed = nil
	return errors.Join(errs...)
}

func (s *Subject) onClose(f func() error) { s.closed = append(s.closed, f) }

// each runs f n times at once where the client's sockets belong, and waits.
func (s *Subject) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if s.inside == nil {
				errs[i] = f(i)
				return
			}
			errs[i] = s.inside.Do(func() error { return f(i) })
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// open connects for what the first byte asks of the server.
func (s *Subject) open(data []byte, fastOpen bool) (conn, error) {
	return s.dial(s.server.addr, data, fastOpen)
}
