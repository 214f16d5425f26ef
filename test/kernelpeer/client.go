package kernelpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns"
)

// Method is how a client of the kernel opens a connection.
type Method uint8

// The methods.
const (
	// Plain connects, and then sends.
	Plain Method = iota
	// SendTo uses sendto(2) with MSG_FASTOPEN: connect and send in one call. The
	// data rides the SYN if the kernel has a cookie; otherwise the SYN asks for one.
	SendTo
	// Deferred uses TCP_FASTOPEN_CONNECT: connect(2) sends nothing if the kernel
	// has a cookie, and the first write sends the SYN with its bytes.
	Deferred
)

// ClientConfig describes a client socket of the kernel.
type ClientConfig struct {
	Remote netip.AddrPort
	// Local is the address to connect from; zero: the kernel chooses.
	Local  netip.AddrPort
	Method Method
	// Data is sent first. With SendTo and no data only a cookie is asked for, or
	// an empty Fast Open done.
	Data []byte
	// NoCookie (TCP_FASTOPEN_NO_COOKIE) sends the data in the SYN without one.
	NoCookie bool
}

// Conn is a connected client socket of the kernel; it belongs to the caller, who
// closes it.
type Conn struct{ *net.TCPConn }

// Info asks the kernel about the connection.
func (c Conn) Info() (Info, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Info{}, fmt.Errorf("kernelpeer: %w", err)
	}
	return readInfo(raw)
}

// Dial opens a connection from a namespace, and returns when it is established
// (at once, for a connection that Deferred has put off and that has no Data) and
// the kernel has taken the data whole. The context bounds it.
func Dial(ctx context.Context, ns *netns.Namespace, cfg ClientConfig) (Conn, error) {
	conn, err := dial(ctx, ns, cfg)
	if err != nil {
		return Conn{}, fmt.Errorf("kernelpeer: connecting to %v from the namespace: %w", cfg.Remote, err)
	}
	return Conn{conn}, nil
}

func dial(ctx context.Context, ns *netns.Namespace, cfg ClientConfig) (*net.TCPConn, error) {
	var file *os.File
	var opened opening
	err := ns.Do(func() (err error) { file, opened, err = open(cfg); return err })
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if opened.inProgress {
		if err := established(ctx, file); err != nil {
			return nil, err
		}
	}
	// A duplicate, with the net package's own poller.
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn) // what FileConn gives for a TCP socket
	if err := finish(ctx, conn, file, cfg.Data[opened.sent:], !opened.inProgress); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// opening is how far the first system call brought the connection.
type opening struct {
	// sent is how many bytes of the data the kernel has taken.
	sent int
	// inProgress: the handshake is under way; false: it starts with the first
	// write.
	inProgress bool
}

// open makes the socket and starts the connection. Called in the namespace.
func open(cfg ClientConfig) (*os.File, opening, error) {
	family := unix.AF_INET
	if cfg.Remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, opening{}, os.NewSyscallError("socket", err)
	}
	opened, err := start(fd, cfg)
	if err != nil {
		unix.Close(fd)
		return nil, opening{}, err
	}
	// Only now, as a socket that is not connecting looks ready to the poller.
	return os.NewFile(uintptr(fd), "tcp"), opened, nil
}

func start(fd int, cfg ClientConfig) (opening, error) {
	if cfg.Local.IsValid() {
		if err := unix.Bind(fd, sockaddr(cfg.Local)); err != nil {
			return opening{}, os.NewSyscallError("bind", err)
		}
	}
	if cfg.NoCookie {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_NO_COOKIE, 1); err != nil {
			return opening{}, os.NewSyscallError("setsockopt TCP_FASTOPEN_NO_COOKIE", err)
		}
	}
	switch cfg.Method {
	case SendTo:
		n, err := unix.SendmsgN(fd, cfg.Data, nil, sockaddr(cfg.Remote), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return opening{}, os.NewSyscallError("sendto MSG_FASTOPEN", err)
		}
		return opening{sent: max(n, 0), inProgress: true}, nil
	case Deferred:
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1); err != nil {
			return opening{}, os.NewSyscallError("setsockopt TCP_FASTOPEN_CONNECT", err)
		}
	case Plain:
	}
	err := unix.Connect(fd, sockaddr(cfg.Remote))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return opening{}, os.NewSyscallError("connect", err)
	}
	inProgress := err != nil || cfg.Method == Plain
	return opening{inProgress: inProgress}, nil //nolint:nilerr // EINPROGRESS is what is hoped for
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// finish writes the rest of the data. A put-off connection is started by it; it
// is waited for as well.
func finish(ctx context.Context, conn *net.TCPConn, file *os.File, rest []byte, putOff bool) error {
	if len(rest) == 0 {
		return nil
	}
	stop := bound(ctx, conn.SetDeadline)
	_, err := conn.Write(rest)
	stop()
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if putOff {
		return established(ctx, file)
	}
	return nil
}

// established waits until a connection that is in progress is established.
func established(ctx context.Context, file *os.File) error {
	defer bound(ctx, file.SetDeadline)()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = os.NewSyscallError("getsockopt SO_ERROR", err)
		case code != 0:
			result = os.NewSyscallError("connect", unix.Errno(code))
		default:
			// A socket has a peer as soon as the handshake is over; before
			// that the poller goes on waiting.
			_, err = unix.Getpeername(int(fd))
			return err == nil
		}
		return true
	})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return result
}

// bound makes a context's end the end of calls that obey a deadline, until stop
// is called.
func bound(ctx context.Context, setDeadline func(time.Time) error) (stop func()) {
	past := time.Unix(1, 0)
	cancel := context.AfterFunc(ctx, func() { _ = setDeadline(past) })
	return func() {
		if cancel() {
			_ = setDeadline(time.Time{})
		}
	}
}
