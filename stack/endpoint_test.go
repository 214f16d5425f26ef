package stack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

func TestTransferBothWays(t *testing.T) {
	for _, n := range []int{1, 1460, 65535, 3 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			a, b := pair(t, stack.Config{}, stack.Config{})
			c, s := join(t, a, b, stack.ConnectOptions{})
			var wg sync.WaitGroup
			for _, d := range []struct{ from, to *stack.Endpoint }{{c, s}, {s, c}} {
				// Each direction waits on endpoints of its own: a pair of duplicates
				// would take each other's wake function.
				wg.Add(1)
				func() {
					defer wg.Done()
					data := pattern(n)
					for sent, got := 0, 0; got < n; {
						m, err := d.from.Write([][]byte{data[sent:min(sent+3, n)], data[min(sent+3, n):]})
						if err != nil && err != syscall.EAGAIN {
							t.Fatal(err)
						}
						sent += m
						buf := make([]byte, 100000)
						until(t, d.to, "read", func() bool {
							m, err = d.to.Read([][]byte{buf})
							return err != syscall.EAGAIN
						})
						if err != nil || string(buf[:m]) != string(data[got:got+m]) {
							t.Fatalf("at %d: %d bytes, %v", got, m, err)
						}
						got += m
					}
				}()
			}
			wg.Wait()
		})
	}
}

func TestNetworks(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	for _, c := range []struct {
		network string
		to      netip.Addr
		from    netip.Addr // the local address in the end; invalid: refused
		err     error
	}{
		{"tcp4", addrB, addrA, nil},
		{"tcp6", addrB6, addrA6, nil},
		{"tcp", addrB, addrA, nil},
		{"tcp", addrB6, addrA6, nil},
		{"tcp", netip.AddrFrom16(addrB.As16()), addrA, nil},
		{"tcp4", addrB6, netip.Addr{}, syscall.EAFNOSUPPORT},
		{"tcp6", addrB, netip.Addr{}, syscall.EAFNOSUPPORT},
	} {
		for _, bound := range []bool{false, true} {
			l, at := listen(t, b, "tcp", netip.Addr{})
			e := endpoint(t, a, c.network)
			var port uint16
			if bound {
				if err := e.Bind(netip.AddrPort{}); err != nil {
					t.Fatal(err)
				}
				port = e.LocalAddr().Port()
				if port == 0 || !e.LocalAddr().Addr().IsUnspecified() {
					t.Errorf("%s: bound to %v", c.network, e.LocalAddr())
				}
			}
			remote := netip.AddrPortFrom(c.to, at.Port())
			err := e.Connect(remote, stack.ConnectOptions{})
			if err != c.err {
				t.Errorf("%s to %v: %v", c.network, c.to, err)
			}
			if err == nil {
				if err := connected(t, e); err != nil {
					t.Fatal(err)
				}
				if got := e.LocalAddr(); got.Addr() != c.from || bound && got.Port() != port {
					t.Errorf("%s to %v: local address %v", c.network, c.to, got)
				}
				s := accept(t, l)
				if s.RemoteAddr() != e.LocalAddr() || s.LocalAddr() != netip.AddrPortFrom(c.to.Unmap(), at.Port()) {
					t.Errorf("%s: accepted %v from %v", c.network, s.LocalAddr(), s.RemoteAddr())
				}
				s.Abort()
			}
			e.Abort()
			// Nothing keeps the port, in either family.
			again := endpoint(t, a, "tcp")
			if err := again.Bind(netip.AddrPortFrom(netip.Addr{}, port)); err != nil {
				t.Errorf("%s to %v: the port is not free again: %v", c.network, c.to, err)
			}
			again.Close()
			l.Close()
		}
	}
	if _, err := a.NewEndpoint("udp"); err != syscall.EPROTONOSUPPORT {
		t.Errorf("NewEndpoint(udp): %v", err)
	}
}

func TestConnectRefused(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	e := endpoint(t, a, "tcp")
	if _, err := e.Connected(); err != syscall.ENOTCONN {
		t.Errorf("Connected before Connect: %v", err)
	}
	if err := e.Bind(netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	local := e.LocalAddr()
	l, at := listen(t, b, "tcp4", addrB)
	l.Close()
	for range 2 {
		if err := e.Connect(at, stack.ConnectOptions{Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if err := connected(t, e); err != syscall.ECONNREFUSED {
			t.Fatalf("connect: %v", err)
		}
		if _, err := e.Read([][]byte{make([]byte, 1)}); err != syscall.ECONNREFUSED {
			t.Errorf("Read after it: %v", err)
		}
		if _, err := e.Write([][]byte{{1}}); err != syscall.ECONNREFUSED {
			t.Errorf("Write after it: %v", err)
		}
		if e.State() != stack.StateClosed || e.LocalAddr() != local {
			t.Errorf("state %v, address %v", e.State(), e.LocalAddr())
		}
	}
	// The same endpoint connects from the same port when there is a listener.
	l = endpoint(t, b, "tcp4")
	if err := l.Bind(at); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(0); err != nil {
		t.Fatal(err)
	}
	if err := e.Connect(at, stack.ConnectOptions{Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	if e.LocalAddr() != netip.AddrPortFrom(addrA, local.Port()) {
		t.Errorf("connected from %v", e.LocalAddr())
	}
	mustRead(t, accept(t, l), []byte("hello"))
}

func TestConnectRefusesAddresses(t *testing.T) {
	a, _ := pair(t, stack.Config{}, stack.Config{})
	for to, want := range map[string]error{
		"0.0.0.0:80":         syscall.EADDRNOTAVAIL,
		"[::]:80":            syscall.EADDRNOTAVAIL,
		"10.0.0.2:0":         syscall.EADDRNOTAVAIL,
		"224.0.0.1:80":       syscall.ENETUNREACH,
		"[ff02::1]:80":       syscall.ENETUNREACH,
		"127.0.0.1:80":       syscall.ENETUNREACH,
		"[::1]:80":           syscall.ENETUNREACH,
		"255.255.255.255:80": syscall.EACCES,
		"10.0.0.255:80":      syscall.EACCES,
		"[fe80::1%eth0]:80":  syscall.EINVAL,
	} {
		e := endpoint(t, a, "tcp")
		if err := e.Connect(netip.MustParseAddrPort(to), stack.ConnectOptions{}); err != want {
			t.Errorf("%s: %v, want %v", to, err, want)
		}
		e.Close()
	}
	e := endpoint(t, a, "tcp4")
	if err := e.Connect(netip.AddrPort{}, stack.ConnectOptions{}); err != syscall.EADDRNOTAVAIL {
		t.Errorf("the zero address: %v", err)
	}
	if err := e.Connect(netip.MustParseAddrPort("10.0.0.2:80"), stack.ConnectOptions{Timeout: -1}); err != syscall.EINVAL {
		t.Errorf("negative timeout: %v", err)
	}
}

func TestBindErrors(t *testing.T) {
	a, _ := pair(t, stack.Config{}, stack.Config{})
	one := endpoint(t, a, "tcp4")
	if err := one.Bind(netip.AddrPortFrom(addrA, 0)); err != nil {
		t.Fatal(err)
	}
	if err := one.Bind(netip.AddrPortFrom(addrA, 0)); err != syscall.EINVAL {
		t.Errorf("second Bind: %v", err)
	}
	two := endpoint(t, a, "tcp4")
	for local, want := range map[netip.AddrPort]error{
		one.LocalAddr():                                   syscall.EADDRINUSE,
		netip.MustParseAddrPort("10.0.0.99:0"):            syscall.EADDRNOTAVAIL,
		netip.MustParseAddrPort("[fd00::1]:0"):            syscall.EAFNOSUPPORT,
		netip.AddrPortFrom(addrA, one.LocalAddr().Port()): syscall.EADDRINUSE,
	} {
		if err := two.Bind(local); err != want {
			t.Errorf("Bind(%v): %v, want %v", local, err, want)
		}
	}
	one.Close()
	if err := two.Bind(one.LocalAddr()); err != nil {
		t.Errorf("Bind to a port that was given back: %v", err)
	}
	if got := one.LocalAddr(); got.Addr() != addrA || got.Port() == 0 {
		t.Errorf("the local address after Close: %v", got)
	}
}

func TestWrongPhase(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, _ := join(t, a, b, stack.ConnectOptions{})
	l, at := listen(t, b, "tcp4", addrB)
	idle := endpoint(t, a, "tcp4")
	buf := [][]byte{make([]byte, 10)}
	call := map[string]func(*stack.Endpoint) error{
		"Bind":       func(e *stack.Endpoint) error { return e.Bind(netip.AddrPort{}) },
		"Connect":    func(e *stack.Endpoint) error { return e.Connect(at, stack.ConnectOptions{}) },
		"Listen":     func(e *stack.Endpoint) error { return e.Listen(1) },
		"Accept":     func(e *stack.Endpoint) error { _, err := e.Accept(); return err },
		"Read":       func(e *stack.Endpoint) error { _, err := e.Read(buf); return err },
		"Write":      func(e *stack.Endpoint) error { _, err := e.Write(buf); return err },
		"CloseWrite": (*stack.Endpoint).CloseWrite,
		"CloseRead":  (*stack.Endpoint).CloseRead,
	}
	for _, row := range []struct {
		name string
		e    *stack.Endpoint
		want map[string]error
	}{
		{"idle", idle, map[string]error{"Accept": syscall.EINVAL, "Read": syscall.ENOTCONN, "Write": syscall.ENOTCONN, "CloseWrite": syscall.ENOTCONN, "CloseRead": syscall.ENOTCONN}},
		{"connected", c, map[string]error{"Bind": syscall.EINVAL, "Connect": syscall.EISCONN, "Listen": syscall.EINVAL, "Accept": syscall.EINVAL, "Read": syscall.EAGAIN}},
		{"listening", l, map[string]error{"Bind": syscall.EINVAL, "Connect": syscall.EINVAL, "Listen": nil, "Accept": syscall.EAGAIN, "Read": syscall.ENOTCONN, "Write": syscall.ENOTCONN, "CloseWrite": syscall.ENOTCONN, "CloseRead": syscall.ENOTCONN}},
	} {
		for name, want := range row.want {
			if err := call[name](row.e); err != want {
				t.Errorf("%s of an endpoint that is %s: %v, want %v", name, row.name, err, want)
			}
		}
	}
	for _, e := range []*stack.Endpoint{c, l, idle} {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		call["Close"] = (*stack.Endpoint).Close
		call["Connected"] = func(e *stack.Endpoint) error { _, err := e.Connected(); return err }
		call["SetNoDelay"] = func(e *stack.Endpoint) error { return e.SetNoDelay(true) }
		call["SetV6Only"] = func(e *stack.Endpoint) error { return e.SetV6Only(true) }
		for name, f := range call {
			if err := f(e); err != net.ErrClosed {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		e.Abort()
		if e.Readable() != 0 || e.Unacknowledged() != 0 || e.State() != stack.StateClosed {
			t.Error("a closed endpoint has something left")
		}
	}
}

func TestConnectWithData(t *testing.T) {
	for _, n := range []int{0, 1, 1300, 65535, 1 << 20} {
		for _, mode := range []fastopen.Mode{fastopen.ModeOff, fastopen.ModeOn, fastopen.ModeCookieless} {
			t.Run(fmt.Sprintf("%d/%d", n, mode), func(t *testing.T) {
				a, b := pair(t, stack.Config{}, stack.Config{})
				l, at := listen(t, b, "tcp4", addrB)
				e := endpoint(t, a, "tcp4")
				data := pattern(n)
				if err := e.Connect(at, stack.ConnectOptions{Data: data, FastOpen: mode}); err != nil {
					t.Fatal(err)
				}
				s := accept(t, l)
				mustRead(t, s, data)
				if err := connected(t, e); err != nil {
					t.Fatal(err)
				}
				write(t, e, []byte("after"))
				mustRead(t, s, []byte("after"))
				until(t, e, "acknowledged", func() bool { return e.Unacknowledged() == 0 })
				if o := e.FastOpenInfo(); o.Wanted != (mode != fastopen.ModeOff) {
					t.Errorf("outcome %+v", o)
				}
			})
		}
	}
}

func TestHalfClose(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	write(t, c, []byte("last words"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([][]byte{{1}}); err != syscall.EPIPE {
		t.Errorf("Write after CloseWrite: %v", err)
	}
	mustRead(t, s, []byte("last words"))
	if err := fails(t, s); err != io.EOF {
		t.Errorf("after the FIN: %v", err)
	}
	until(t, c, "FIN acknowledged", func() bool { return c.State() == stack.StateFinWait2 })
	if s.State() != stack.StateCloseWait {
		t.Errorf("the peer is in %v", s.State())
	}
	write(t, s, []byte("still here"))
	mustRead(t, c, []byte("still here"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fails(t, c); err != io.EOF {
			t.Errorf("after the peer's FIN: %v", err)
		}
	}
}

func TestCloseRead(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	write(t, s, []byte("x"))
	mustRead(t, c, []byte("x"))
	if err := c.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := fails(t, c); err != io.EOF {
		t.Errorf("Read after CloseRead: %v", err)
	}
	write(t, c, []byte("y"))
	mustRead(t, s, []byte("y"))
}

func TestReset(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	write(t, s, []byte("before the reset"))
	until(t, c, "readable", func() bool { return c.Readable() == 16 })
	s.Abort()
	until(t, c, "reset", func() bool { return c.State() == stack.StateClosed })
	// What arrived before can be read; then the reason is told, every time.
	mustRead(t, c, []byte("before the reset"))
	for range 2 {
		if err := fails(t, c); err != syscall.ECONNRESET {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write([][]byte{{1}}); err != syscall.ECONNRESET {
			t.Errorf("Write: %v", err)
		}
	}
}

func TestResetToldToWriterFirst(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	write(t, s, []byte("data"))
	until(t, c, "readable", func() bool { return c.Readable() == 4 })
	s.Abort()
	until(t, c, "reset", func() bool { return c.State() == stack.StateClosed })
	if _, err := c.Write([][]byte{{1}}); err != syscall.ECONNRESET {
		t.Errorf("Write: %v", err)
	}
	mustRead(t, c, []byte("data"))
	if err := fails(t, c); err != syscall.ECONNRESET {
		t.Errorf("Read behind the data: %v", err) // an io.EOF here would hide a truncation
	}
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	write(t, c, []byte("never read"))
	until(t, s, "readable", func() bool { return s.Readable() > 0 })
	s.Close()
	if err := fails(t, c); err != syscall.ECONNRESET {
		t.Errorf("Read: %v", err)
	}
}

func TestLinger(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, at := listen(t, b, "tcp4", addrB)
	if err := l.SetLinger(0); err != nil { // goes to the accepted connection
		t.Fatal(err)
	}
	e := endpoint(t, a, "tcp4")
	if err := e.Connect(at, stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	accept(t, l).Close()
	if err := fails(t, e); err != syscall.ECONNRESET {
		t.Errorf("Read: %v", err)
	}
}

func TestUnacknowledged(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{ReceiveBuffer: stack.BufferSize{Default: 16 << 10, Max: 16 << 10}})
	c, s := join(t, a, b, stack.ConnectOptions{})
	// The peer does not read, so some of this stays here.
	sent := 0
	until(t, c, "full", func() bool {
		for {
			n, err := c.Write([][]byte{pattern(64 << 10)})
			sent += n
			if err != nil {
				return err == syscall.EAGAIN
			}
		}
	})
	until(t, c, "the peer's window full", func() bool { return s.Readable() > 0 && c.Unacknowledged() == sent-s.Readable() })
	got, err := read(t, s, sent)
	if err != nil || len(got) != sent {
		t.Fatalf("read %d of %d: %v", len(got), sent, err)
	}
	until(t, c, "all acknowledged", func() bool { return c.Unacknowledged() == 0 })
}

// TestWakeWhenUnacknowledged: an acknowledgement wakes who has asked for it, once, and
// nobody else.
func TestWakeWhenUnacknowledged(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{FastOpen: fastopen.ModeOff})
	for range 2 { // the first segment shows that the state is another
		write(t, c, []byte("0"))
		mustRead(t, s, []byte("0"))
		write(t, s, []byte("0"))
		mustRead(t, c, []byte("0"))
	}
	woken := make(chan struct{}, 100)
	c.SetWake(func() { woken <- struct{}{} })
	defer c.SetWake(nil)
	wakes := func(what string) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(guard):
			t.Fatalf("%s: no wake-up", what)
		}
		if n := len(woken); n > 0 {
			t.Errorf("%s: %d wake-ups too many", what, n)
		}
	}
	send := func(text string) {
		t.Helper()
		if n, err := c.Write([][]byte{[]byte(text)}); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	send("one")
	mustRead(t, s, []byte("one"))
	write(t, s, []byte("x"))
	wakes("data behind an acknowledgement that nobody asked for")
	c.WakeWhenUnacknowledged(0)
	wakes("acknowledged before")
	for _, most := range []int{0, 4} {
		send("12345")
		c.WakeWhenUnacknowledged(most)
		wakes("asked for")
		if n := c.Unacknowledged(); n > most {
			t.Errorf("%d bytes are unacknowledged, no more than %d were asked for", n, most)
		}
	}
	c.Abort()
	c.WakeWhenUnacknowledged(0) // asks for nothing
}

func TestListenBacklog(t *testing.T) {
	a, b := pair(t, stack.Config{ConnectTimeout: time.Hour}, stack.Config{})
	l := endpoint(t, b, "tcp4")
	if err := l.Bind(netip.AddrPortFrom(addrB, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(1); err != nil {
		t.Fatal(err)
	}
	waiting := make(map[netip.AddrPort]bool)
	for range 2 { // a queue for one takes one more than none
		e := endpoint(t, a, "tcp4")
		if err := e.Connect(l.LocalAddr(), stack.ConnectOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := connected(t, e); err != nil {
			t.Fatal(err)
		}
		waiting[e.LocalAddr()] = true
	}
	for range 2 { // in either order
		s := accept(t, l)
		if !waiting[s.RemoteAddr()] {
			t.Errorf("accepted %v, of %v", s.RemoteAddr(), waiting)
		}
		delete(waiting, s.RemoteAddr())
	}
	if _, err := l.Accept(); err != syscall.EAGAIN {
		t.Errorf("Accept: %v", err)
	}
	// Closing the listener resets what waits.
	queued := make(chan struct{}, 1)
	l.SetWake(func() {
		select {
		case queued <- struct{}{}:
		default:
		}
	})
	e := endpoint(t, a, "tcp4")
	if err := e.Connect(l.LocalAddr(), stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	<-queued
	l.Close()
	if err := fails(t, e); err != syscall.ECONNRESET {
		t.Errorf("a connection that nobody accepted: %v", err)
	}
}

func TestOptions(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, at := listen(t, b, "tcp4", addrB)
	e := endpoint(t, a, "tcp")
	for name, err := range map[string]error{
		"NoDelay":       e.SetNoDelay(false),
		"KeepAlive":     e.SetKeepAlive(true, time.Minute, time.Second, 3),
		"MaxSegment":    e.SetMaxSegment(500),
		"ReuseAddress":  e.SetReuseAddress(true),
		"ReceiveBuffer": e.SetReceiveBuffer(10000),
		"SendBuffer":    e.SetSendBuffer(1 << 40),
		"V6Only":        e.SetV6Only(true),
		"V6Only off":    e.SetV6Only(false),
		"Linger":        e.SetLinger(time.Second),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ got, want error }{
		"MaxSegment 47":      {e.SetMaxSegment(47), syscall.EINVAL},
		"KeepAlive negative": {e.SetKeepAlive(true, -1, 0, 0), syscall.EINVAL},
		"V6Only of IPv4":     {l.SetV6Only(true), syscall.ENOPROTOOPT},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if err := e.Connect(at, stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	if err := e.SetV6Only(true); err != syscall.EINVAL {
		t.Errorf("V6Only of a connection: %v", err)
	}
	s := accept(t, l)
	write(t, s, pattern(5000))
	mustRead(t, e, pattern(5000))
}

func TestConnectToSelf(t *testing.T) {
	a, _ := pair(t, stack.Config{}, stack.Config{})
	c, s := join2(t, a, addrA)
	write(t, c, []byte("to myself"))
	mustRead(t, s, []byte("to myself"))
}

func join2(t *testing.T, s *stack.Stack, addr netip.Addr) (client, server *stack.Endpoint) {
	l, at := listen(t, s, "tcp4", addr)
	client = endpoint(t, s, "tcp4")
	if err := client.Connect(at, stack.ConnectOptions{Data: []byte("0")}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, client); err != nil {
		t.Fatal(err)
	}
	server = accept(t, l)
	mustRead(t, server, []byte("0"))
	return client, server
}

func TestStackClose(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, stack.ConnectOptions{})
	l, _ := listen(t, a, "tcp4", addrA)
	idle := endpoint(t, a, "tcp4")
	under := endpoint(t, a, "tcp4") // no answer will come: nobody is there
	if err := under.Connect(netip.MustParseAddrPort("10.0.0.77:1"), stack.ConnectOptions{Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	closing, peer := join(t, a, b, stack.ConnectOptions{})
	write(t, closing, pattern(1000))
	closing.Close()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := fails(t, s); err != syscall.ECONNRESET {
		t.Errorf("the peer of an aborted connection: %v", err)
	}
	_ = fails(t, peer)
	for _, e := range []*stack.Endpoint{c, l, idle, under} {
		if _, err := e.Read([][]byte{make([]byte, 1)}); err != net.ErrClosed {
			t.Errorf("Read after the stack's Close: %v", err)
		}
		if err := e.Close(); err != net.ErrClosed {
			t.Errorf("Close after the stack's Close: %v", err)
		}
	}
	if _, err := a.NewEndpoint("tcp"); err != net.ErrClosed {
		t.Errorf("NewEndpoint after Close: %v", err)
	}
}

// TestStackCloseRaces closes a stack while everything is going on.
func TestStackCloseRaces(t *testing.T) {
	for range 5 {
		a, b := pair(t, stack.Config{}, stack.Config{})
		l, at := listen(t, b, "tcp4", addrB)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					e, err := a.NewEndpoint("tcp4")
					if err != nil {
						return
					}
					_ = e.Connect(at, stack.ConnectOptions{Data: []byte("hi")})
					_, _ = e.Write([][]byte{[]byte("hi")})
					_ = e.Close()
				}
			})
		}
		wg.Go(func() {
			for {
				switch s, err := l.Accept(); {
				case err == nil:
					_, _ = s.Read([][]byte{make([]byte, 10)})
				case errors.Is(err, net.ErrClosed):
					return
				}
			}
		})
		wg.Go(func() { a.Close() })
		wg.Go(func() { b.Close() })
		wg.Wait()
	}
}
