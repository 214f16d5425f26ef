package bench

import (
	"errors"
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

func newSocket(family int) (socket, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return socket(fd), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

// dialSocket connects a socket of the calling thread's namespace.
func dialSocket(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	sa, family := sockaddr(to)
	s, err := newSocket(family)
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
