package stack_test

import (
	"bytes"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"

	"github.com/wskstack/wskstack/stack"
)

// guard is how long a test waits for an event before it says that it never came.
const guard = 20 * time.Second

var (
	addrA  = netip.MustParseAddr("10.0.0.1")
	addrB  = netip.MustParseAddr("10.0.0.2")
	addrA6 = netip.MustParseAddr("fd00::1")
	addrB6 = netip.MustParseAddr("fd00::2")
)

func prefixes(a ...netip.Addr) []netip.Prefix {
	var p []netip.Prefix
	for _, a := range a {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		p = append(p, netip.PrefixFrom(a, bits))
	}
	return p
}

// pair makes two stacks on the two ends of a pipe.
func pair(t testing.TB, a, b stack.Config) (*stack.Stack, *stack.Stack) {
	t.Helper()
	la, lb := pipe.New("", "", 1500)
	a.Link, b.Link = la, lb
	a.Addresses, b.Addresses = prefixes(addrA, addrA6), prefixes(addrB, addrB6)
	return newStack(t, a), newStack(t, b)
}

func newStack(t testing.TB, cfg stack.Config) *stack.Stack {
	t.Helper()
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := s.Stats().Sockets; n != 0 {
			t.Errorf("%d sockets are left after Close", n)
		}
	})
	return s
}

func endpoint(t testing.TB, s *stack.Stack, network string) *stack.Endpoint {
	t.Helper()
	e, err := s.NewEndpoint(network)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// until waits for cond, looking each time the endpoint says that it should.
func until(t testing.TB, e *stack.Endpoint, what string, cond func() bool) {
	t.Helper()
	woken := make(chan struct{}, 1)
	e.SetWake(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	defer e.SetWake(nil)
	limit := time.NewTimer(guard)
	defer limit.Stop()
	for {
		if left := e.Unacknowledged(); left > 0 {
			e.WakeWhenUnacknowledged(left - 1)
		}
		if cond() {
			return
		}
		select {
		case <-woken:
		case <-limit.C:
			t.Fatalf("%s: no such thing in %v; state %v", what, guard, e.State())
		}
	}
}

// connected waits until a connect is done and returns its error.
func connected(t testing.TB, e *stack.Endpoint) (err error) {
	t.Helper()
	until(t, e, "connected", func() bool {
		var done bool
		done, err = e.Connected()
		return done || err != nil
	})
	return err
}

func accept(t testing.TB, l *stack.Endpoint) (c *stack.Endpoint) {
	t.Helper()
	until(t, l, "accept", func() bool {
		var err error
		c, err = l.Accept()
		if err != nil && err != syscall.EAGAIN {
			t.Fatal(err)
		}
		return err == nil
	})
	return c
}

// listen makes a listener on an ephemeral port.
func listen(t testing.TB, s *stack.Stack, network string, addr netip.Addr) (*stack.Endpoint, netip.AddrPort) {
	t.Helper()
	l := endpoint(t, s, network)
	if err := l.Bind(netip.AddrPortFrom(addr, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(0); err != nil {
		t.Fatal(err)
	}
	return l, l.LocalAddr()
}

// join connects an endpoint of a to a listener of b.
func join(t testing.TB, a, b *stack.Stack, opts stack.ConnectOptions) (client, server *stack.Endpoint) {
	t.Helper()
	l, at := listen(t, b, "tcp4", addrB)
	client = endpoint(t, a, "tcp4")
	if err := client.Connect(at, opts); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, client); err != nil {
		t.Fatal(err)
	}
	server = accept(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func write(t testing.TB, e *stack.Endpoint, data []byte) {
	t.Helper()
	until(t, e, "write", func() bool {
		n, err := e.Write([][]byte{data})
		if err != nil && err != syscall.EAGAIN {
			t.Fatal(err)
		}
		data = data[n:]
		return len(data) == 0
	})
}

// read reads until n bytes are there, or an error that is returned.
func read(t testing.TB, e *stack.Endpoint, n int) (got []byte, err error) {
	t.Helper()
	buf := make([]byte, 70000)
	until(t, e, "read", func() bool {
		for len(got) < n {
			var m int
			m, err = e.Read([][]byte{buf[:min(7, len(buf))], buf[7:]})
			if errors.Is(err, syscall.EAGAIN) {
				err = nil
				return false
			}
			if err != nil {
				return true
			}
			got = append(got, buf[:m]...)
		}
		return true
	})
	return got, err
}

func mustRead(t testing.TB, e *stack.Endpoint, want []byte) {
	t.Helper()
	got, err := read(t, e, len(want))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v; want %d equal ones", len(got), err, len(want))
	}
}

// fails reads until there is an error.
func fails(t testing.TB, e *stack.Endpoint) error {
	t.Helper()
	_, err := read(t, e, 1<<30)
	return err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}
