package stack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

type duration = time.Duration

// fault is one row of the table of errors: something that goes wrong, and what it is.
type fault struct {
	provoke func(s *side) error
	is      error
	// unlike says why the oracle says something else, and is not asked; or what else
	// it says.
	unlike string
}

var past = time.Unix(1, 0)

// allOf reads until there is an error.
func allOf(c net.Conn) error {
	_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
	if err == nil {
		return io.EOF
	}
	return err
}

func second[T any](_ T, err error) error { return err }

var faultTable = map[string]fault{
	"dial: refused": {is: syscall.ECONNREFUSED, provoke: func(s *side) error {
		l := s.listen()
		s.must(l.Close())
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp", l.Addr().String()))
	}},
	"dial: port 0": {is: syscall.ECONNREFUSED, provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp", s.host+":0"))
	}},
	"dial: no such network": {is: net.UnknownNetworkError("tcp5"), provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp5", s.host+":1"))
	}},
	"dial: no port": {provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp", s.host))
	}},
	"dial: port too large": {provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp", s.host+":65536"))
	}},
	"dial: IPv6 over tcp4": {provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp4", "[fd00::2]:1"))
	}},
	"dial: IPv4 over tcp6": {provoke: func(s *side) error {
		return second(s.dialer(nil).DialContext(s.t.Context(), "tcp6", s.host+":1"))
	}},
	"dial: from the other family": {provoke: func(s *side) error {
		local := &net.TCPAddr{IP: net.ParseIP("fd00::1")}
		return second(s.dialer(local).DialContext(s.t.Context(), "tcp4", s.host+":1"))
	}},
	"dial: from an address of UDP": {provoke: func(s *side) error {
		return second(s.dialer(new(net.UDPAddr)).DialContext(s.t.Context(), "tcp", s.host+":1"))
	}},
	"dial: from a stranger's address": {is: syscall.EADDRNOTAVAIL, provoke: func(s *side) error {
		local := &net.TCPAddr{IP: net.ParseIP(s.strange)}
		return second(s.dialer(local).DialContext(s.t.Context(), "tcp", s.host+":1"))
	}},
	"dial: the context has been cancelled": {is: context.Canceled, provoke: func(s *side) error {
		ctx, cancel := context.WithCancel(s.t.Context())
		cancel()
		return second(s.dialer(nil).DialContext(ctx, "tcp", s.host+":1"))
	}},
	"dial: the context's time is over": {is: context.DeadlineExceeded,
		unlike: "os.ErrDeadlineExceeded as well here",
		provoke: func(s *side) error {
			ctx, cancel := context.WithDeadline(s.t.Context(), past)
			defer cancel()
			return second(s.dialer(nil).DialContext(ctx, "tcp", s.host+":1"))
		}},
	"dial: udp to nowhere, then read": {is: syscall.ECONNREFUSED, provoke: func(s *side) error {
		c, p := s.packets()
		s.must(p.Close())
		s.must(second(c.Write([]byte("x"))))
		return second(c.Read(make([]byte, 1)))
	}},

	"listen: in use": {is: syscall.EADDRINUSE, provoke: func(s *side) error {
		l := s.listen()
		return second(s.config.Listen(s.t.Context(), "tcp", l.Addr().String()))
	}},
	"listen: a stranger's address": {is: syscall.EADDRNOTAVAIL, provoke: func(s *side) error {
		return second(s.config.Listen(s.t.Context(), "tcp", s.strange+":0"))
	}},
	"listen: no such network": {provoke: func(s *side) error {
		return second(s.config.Listen(s.t.Context(), "tcp5", s.host+":1"))
	}},
	"listen: a network of packets": {unlike: "net has another type for it", provoke: func(s *side) error {
		return second(s.config.Listen(s.t.Context(), "udp", s.host+":1"))
	}},
	"listen: IPv4 over tcp6": {provoke: func(s *side) error {
		return second(s.config.Listen(s.t.Context(), "tcp6", s.host+":1"))
	}},
	"listen: packets in use": {is: syscall.EADDRINUSE, provoke: func(s *side) error {
		_, p := s.packets()
		return second(s.config.ListenPacket(s.t.Context(), "udp", p.LocalAddr().String()))
	}},
	"accept: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		l := s.listen()
		s.must(l.Close())
		return second(l.Accept())
	}},
	"accept: deadline": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		l := s.listen()
		s.must(l.(interface{ SetDeadline(time.Time) error }).SetDeadline(past))
		return second(l.Accept())
	}},
	"accept: closed, and the deadline is over": {is: net.ErrClosed, provoke: func(s *side) error {
		l := s.listen()
		s.must(l.(interface{ SetDeadline(time.Time) error }).SetDeadline(past))
		s.must(l.Close())
		return second(l.Accept())
	}},
	"listener: closed twice": {is: net.ErrClosed, provoke: func(s *side) error {
		l := s.listen()
		s.must(l.Close())
		return l.Close()
	}},
	"listener: deadline after close": {is: net.ErrClosed, unlike: "bare there", provoke: func(s *side) error {
		l := s.listen()
		s.must(l.Close())
		return l.(interface{ SetDeadline(time.Time) error }).SetDeadline(past)
	}},

	"read: deadline in the past": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.SetReadDeadline(past))
		return second(c.Read(make([]byte, 1)))
	}},
	"read: deadline comes": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		return second(c.Read(make([]byte, 1)))
	}},
	"read: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.Read(make([]byte, 1)))
	}},
	"read: closed, and the deadline is over": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.SetDeadline(past))
		s.must(c.Close())
		return second(c.Read(make([]byte, 1)))
	}},
	"read: nothing, closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.Read(nil))
	}},
	"read: nothing": {provoke: func(s *side) error {
		c, _ := s.join()
		return second(c.Read(nil))
	}},
	"read: the peer's end": {is: io.EOF, provoke: func(s *side) error {
		c, d := s.join()
		s.must(d.Close())
		return second(c.Read(make([]byte, 1)))
	}},
	"read: after CloseRead": {is: io.EOF, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.CloseRead())
		return second(c.Read(make([]byte, 1)))
	}},
	"read: reset": {is: syscall.ECONNRESET, provoke: func(s *side) error {
		c, d := s.join()
		s.must(d.SetLinger(0))
		s.must(d.Close())
		return allOf(c)
	}},
	"writeto: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.WriteTo(io.Discard))
	}},
	"write: nothing, closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.Write(nil))
	}},
	"write: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.Write([]byte("x")))
	}},
	"write: deadline in the past": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.SetWriteDeadline(past))
		return second(c.Write([]byte("x")))
	}},
	"write: deadline comes": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)))
		for { // nobody reads
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}},
	"write: after CloseWrite": {is: syscall.EPIPE, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.CloseWrite())
		return second(c.Write([]byte("x")))
	}},
	"write: reset": {unlike: "EPIPE there, once the reason was told; here the reason again", is: syscall.ECONNRESET,
		provoke: func(s *side) error {
			c, d := s.join()
			s.must(d.SetLinger(0))
			s.must(d.Close())
			_ = allOf(c)
			return second(c.Write([]byte("x")))
		}},
	"readfrom: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return second(c.ReadFrom(struct{ io.Reader }{strings.NewReader("x")}))
	}},
	"close: twice": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.Close()
	}},
	"close: CloseWrite after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.CloseWrite()
	}},
	"close: CloseRead after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.CloseRead()
	}},
	"set: deadline after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.SetDeadline(past)
	}},
	"set: NoDelay after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.SetNoDelay(true)
	}},
	"set: linger after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.join()
		s.must(c.Close())
		return c.SetLinger(1)
	}},

	"udp: deadline": {is: os.ErrDeadlineExceeded, provoke: func(s *side) error {
		c, _ := s.packets()
		s.must(c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		return second(c.Read(make([]byte, 1)))
	}},
	"udp: closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.packets()
		s.must(c.Close())
		return second(c.Read(make([]byte, 1)))
	}},
	"udp: ReadFrom closed": {is: net.ErrClosed, provoke: func(s *side) error {
		_, p := s.packets()
		s.must(p.Close())
		_, _, err := p.ReadFrom(make([]byte, 1))
		return err
	}},
	"udp: written closed": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.packets()
		s.must(c.Close())
		return second(c.Write([]byte("x")))
	}},
	"udp: closed twice": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.packets()
		s.must(c.Close())
		return c.Close()
	}},
	"udp: too long": {is: syscall.EMSGSIZE, provoke: func(s *side) error {
		c, _ := s.packets()
		return second(c.Write(make([]byte, 65536)))
	}},
	"udp: WriteTo with a peer": {is: net.ErrWriteToConnected, provoke: func(s *side) error {
		c, p := s.packets()
		return second(c.(net.PacketConn).WriteTo([]byte("x"), p.LocalAddr()))
	}},
	"udp: Write without a peer": {is: syscall.EDESTADDRREQ, provoke: func(s *side) error {
		_, p := s.packets()
		return second(p.(net.Conn).Write([]byte("x")))
	}},
	"udp: no address": {unlike: "net's own error", provoke: func(s *side) error {
		_, p := s.packets()
		return second(p.WriteTo([]byte("x"), (*net.UDPAddr)(nil)))
	}},
	"udp: deadline after Close": {is: net.ErrClosed, provoke: func(s *side) error {
		c, _ := s.packets()
		s.must(c.Close())
		return c.SetDeadline(past)
	}},
}

// TestErrors provokes every row on both networks. On the stack the error has to be a
// *net.OpError, or io.EOF as it is, with the cause that the row names; and both have to
// look the same to a program.
func TestErrors(t *testing.T) {
	for name, row := range faultTable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both := sides(t)
			oracle, ours := &both[0], &both[1]
			got := row.provoke(ours)
			var op *net.OpError
			if got != nil && got != io.EOF && !errors.As(got, &op) {
				t.Errorf("%v (%T) is no *net.OpError", got, got)
			}
			if row.is != nil && !errors.Is(got, row.is) {
				t.Errorf("%v is not %v", got, row.is)
			}
			want := row.provoke(oracle)
			t.Logf("\nstack: %v\nnet:   %v", got, want)
			if same := shape(got) == shape(want); same == (row.unlike != "") {
				t.Errorf("\nstack: %s\nnet:   %s\nunlike: %q", shape(got), shape(want), row.unlike)
			}
		})
	}
}
