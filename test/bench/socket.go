package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

// socket is a TCP socket of the kernel's, used with blocking calls.
type socket int

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6
}

// newSocket makes a socket with a congestion control, "" for the default, which the
// connections that it accepts have too.
func newSocket(family int, congestion string) (socket, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	s := socket(fd)
	if err := s.tune(congestion); err != nil {
		_ = s.Close()
		return -1, err
	}
	return s, nil
}

func (s socket) tune(congestion string) error {
	if err := unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil || congestion == "" {
		return err
	}
	err := unix.SetsockoptString(int(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	if err != nil {
		return fmt.Errorf("%w: the congestion control %q, which this kernel does not give to a socket (sysctl net.ipv4.tcp_available_congestion_control lists what there is): %w", ErrOptions, congestion, err)
	}
	return nil
}

// dialSocket connects a socket of the calling thread's namespace.
func dialSocket(congestion string, to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	sa, family := sockaddr(to)
	s, err := newSocket(family, congestion)
	if err != nil {
		return nil, err
	}
	if fastOpen {
		err = retry(func() error { return unix.Sendto(int(s), data, unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL, sa) })
	} else {
		err = retry(func() error { return unix.Connect(int(s), sa) })
		if err == nil && len(data) > 0 {
			_, err = s.Write(data)
		}
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// retry goes on after signals, by which the runtime interrupts threads.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Read implements conn.
func (s socket) Read(b []byte) (n int, err error) {
	err = retry(func() error { n, err = unix.Read(int(s), b); return err })
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// Write implements conn.
func (s socket) Write(b []byte) (done int, err error) {
	for done < len(b) {
		n := 0
		err = retry(func() error {
			n, err = unix.SendmsgN(int(s), b[done:], nil, nil, unix.MSG_NOSIGNAL)
			return err
		})
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// CloseWrite implements conn.
func (s socket) CloseWrite() error { return unix.Shutdown(int(s), unix.SHUT_WR) }

// Close implements conn.
func (s socket) Close() error { return unix.Close(int(s)) }

// hangUp wakes whoever is inside a call on the socket.
func (s socket) hangUp() { _ = unix.Shutdown(int(s), unix.SHUT_RDWR) }
