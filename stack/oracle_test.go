package stack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
)

// side is a network to provoke errors on: two stacks, or package net over loopback,
// which is the oracle.
type side struct {
	t       *testing.T
	name    string
	host    string // where servers listen
	strange string // an address that is nobody's here
	dialer  func(local net.Addr) dialer
	config  listener
}

type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

type listener interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// conn has the methods that *net.TCPConn and *stack.TCPConn share.
type conn interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseRead() error
	CloseWrite() error
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(d duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetLinger(int) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

var (
	_ conn = (*net.TCPConn)(nil)
	_ conn = (*stack.TCPConn)(nil)
)

// sides are both networks.
func sides(t *testing.T) []side {
	a, b := pair(t, stack.Config{}, stack.Config{})
	return []side{
		{
			t: t, name: "net", host: "127.0.0.1", strange: "192.0.2.77",
			dialer: func(local net.Addr) dialer { return &net.Dialer{LocalAddr: local} },
			config: new(net.ListenConfig),
		},
		{
			t: t, name: "stack", host: addrB.String(), strange: "192.0.2.77",
			dialer: func(local net.Addr) dialer { return &stack.Dialer{Stack: a, LocalAddr: local} },
			config: &stack.ListenConfig{Stack: b},
		},
	}
}

func (s *side) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

// listen makes a listener that ends with the test.
func (s *side) listen() net.Listener {
	s.t.Helper()
	l, err := s.config.Listen(s.t.Context(), "tcp", s.host+":0")
	s.must(err)
	s.t.Cleanup(func() { _ = l.Close() })
	return l
}

// join makes a connection.
func (s *side) join() (client, server conn) {
	s.t.Helper()
	l := s.listen()
	c, err := s.dialer(nil).DialContext(s.t.Context(), "tcp", l.Addr().String())
	s.must(err)
	d, err := l.Accept()
	s.must(err)
	s.t.Cleanup(func() { _, _ = c.Close(), d.Close() })
	return c.(conn), d.(conn)
}

// packets makes a UDP socket and one connected to it.
func (s *side) packets() (client net.Conn, server net.PacketConn) {
	s.t.Helper()
	p, err := s.config.ListenPacket(s.t.Context(), "udp", s.host+":0")
	s.must(err)
	c, err := s.dialer(nil).DialContext(s.t.Context(), "udp", p.LocalAddr().String())
	s.must(err)
	s.t.Cleanup(func() { _, _ = c.Close(), p.Close() })
	return c, p
}

// knownErrors are what errors are compared by.
var knownErrors = []error{
	io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded, net.ErrWriteToConnected,
	syscall.ECONNREFUSED, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EINVAL, syscall.ENOTCONN, syscall.EMSGSIZE,
	syscall.EACCES, syscall.EAFNOSUPPORT, syscall.EDESTADDRREQ,
}

// shape is what programs can tell of an error without its addresses.
func shape(err error) string {
	if err == nil {
		return "none"
	}
	var op *net.OpError
	text := "bare"
	if errors.As(err, &op) {
		text = fmt.Sprintf("%s %s source=%v addr=%v timeout=%v", op.Op, op.Net, op.Source != nil, op.Addr != nil, op.Timeout())
		var call *os.SyscallError
		if errors.As(err, &call) {
			text += " call=" + call.Syscall
		}
		var address *net.AddrError
		if errors.As(err, &address) {
			text += " " + address.Err
		}
		if errors.Is(err, context.Canceled) || op.Timeout() {
			text += " " + op.Err.Error()
		}
		var network net.UnknownNetworkError
		if errors.As(err, &network) {
			text += " " + network.Error()
		}
	}
	for _, known := range knownErrors {
		if errors.Is(err, known) {
			text += fmt.Sprintf(" is=%v", known)
		}
	}
	return text
}
