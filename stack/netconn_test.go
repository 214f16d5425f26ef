package stack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// TestLikeNet does the same on package net over loopback and on the stack. What a row
// returns has to be equal.
func TestLikeNet(t *testing.T) {
	port := func(a net.Addr) string { _, p, _ := net.SplitHostPort(a.String()); return p }
	for name, do := range map[string]func(s *side) any{
		"Close from two goroutines": func(s *side) any {
			c, _ := s.join()
			errs := make(chan error, 2)
			for range 2 {
				go func() { errs <- c.Close() }()
			}
			first, second := <-errs, <-errs
			return (first == nil) != (second == nil) && errors.Is(errors.Join(first, second), net.ErrClosed)
		},
		"Close ends a Read that waits": func(s *side) any {
			c, _ := s.join()
			err := make(chan error, 1)
			go func() { err <- second(c.Read(make([]byte, 1))) }()
			s.must(c.Close())
			return shape(<-err)
		},
		"Close ends a Write that waits": func(s *side) any {
			c, _ := s.join()
			err := make(chan error, 1)
			go func() { err <- second(c.Write(make([]byte, 64<<20))) }()
			s.must(c.Close())
			return shape(<-err)
		},
		"Close ends an Accept that waits": func(s *side) any {
			l := s.listen()
			err := make(chan error, 1)
			go func() { err <- second(l.Accept()) }()
			s.must(l.Close())
			return shape(<-err)
		},
		"a deadline ends a Read that waits, and another lets it go on": func(s *side) any {
			c, d := s.join()
			err := make(chan error, 1)
			go func() { err <- second(c.Read(make([]byte, 1))) }()
			s.must(c.SetReadDeadline(past))
			first := <-err
			s.must(c.SetReadDeadline(time.Time{}))
			s.must(second(d.Write([]byte("x"))))
			return shape(first) + "; " + shape(second(c.Read(make([]byte, 1))))
		},
		"a deadline that is over goes before what has arrived": func(s *side) any {
			c, d := s.join()
			s.must(second(d.Write([]byte("xy"))))
			s.must(second(c.Read(make([]byte, 1))))
			s.must(c.SetDeadline(past))
			return shape(second(c.Read(make([]byte, 1))))
		},
		"from an address that says nothing": func(s *side) any {
			l := s.listen()
			_, p := s.packets()
			var out []string
			for _, local := range []net.Addr{&net.TCPAddr{}, (*net.TCPAddr)(nil), &net.UDPAddr{}, (*net.UDPAddr)(nil)} {
				for _, to := range []net.Addr{l.Addr(), p.LocalAddr()} {
					c, err := s.dialer(local).DialContext(s.t.Context(), to.Network(), to.String())
					if err == nil {
						_ = c.Close()
					}
					out = append(out, shape(err))
				}
			}
			return strings.Join(out, "; ")
		},
		"copies that end with an end of the other side's": func(s *side) any {
			c, d := s.join()
			wrapped := iotest.ErrReader(fmt.Errorf("broken: %w", io.EOF))
			sent, sendErr := c.ReadFrom(struct{ io.Reader }{io.MultiReader(strings.NewReader("some"), wrapped)})
			taken, takeErr := d.WriteTo(full{io.EOF})
			s.must(second(c.Write([]byte("more"))))
			again, againErr := d.WriteTo(full{fmt.Errorf("broken: %w", io.EOF)})
			return fmt.Sprint(sent, shape(sendErr), taken, takeErr == io.EOF, again, shape(againErr))
		},
		"a listener closed with connections in its queue": func(s *side) any {
			l := s.listen()
			c, err := s.dialer(nil).DialContext(s.t.Context(), "tcp", l.Addr().String())
			s.must(err)
			s.must(l.Close())
			return errors.Is(allOf(c), syscall.ECONNRESET)
		},
		"a listener's address can be had again at once": func(s *side) any {
			l := s.listen()
			c, err := s.dialer(nil).DialContext(s.t.Context(), "tcp", l.Addr().String())
			s.must(err)
			d, err := l.Accept()
			s.must(err)
			s.must(d.Close()) // its end goes first: TIME-WAIT
			if err := allOf(c); err != io.EOF {
				s.t.Errorf("%s: %v", s.name, err)
			}
			s.must(c.Close())
			s.must(l.Close())
			again, err := s.config.Listen(s.t.Context(), "tcp", l.Addr().String())
			if err == nil {
				s.must(again.Close())
			}
			return shape(err)
		},
		"the wildcard of tcp":          wildcard("tcp", ":0"),
		"the wildcard of tcp, IPv4's":  wildcard("tcp", "0.0.0.0:0"),
		"the wildcard of tcp, IPv6's":  wildcard("tcp", "[::]:0"),
		"the wildcard of tcp4":         wildcard("tcp4", ":0"),
		"the wildcard of tcp6":         wildcard("tcp6", ":0"),
		"the wildcard of tcp4, IPv6's": wildcard("tcp4", "[::]:0"),
		"the port of a service": func(s *side) any {
			_, err := s.dialer(nil).DialContext(s.t.Context(), "tcp", s.host+":nosuchservice")
			return err.Error()
		},
		"dialled without a host": func(s *side) any {
			if s.name == "net" {
				l := s.listen()
				_, err := s.dialer(nil).DialContext(s.t.Context(), "tcp", ":"+port(l.Addr()))
				return shape(err)
			}
			own := s.config.(*stack.ListenConfig).Stack
			l := s.listen()
			_, err := own.DialContext(s.t.Context(), "tcp4", "0.0.0.0:"+port(l.Addr()))
			return shape(err)
		},
		"half closed, both ways": func(s *side) any {
			c, d := s.join()
			s.must(second(c.Write([]byte("hello"))))
			s.must(c.CloseWrite())
			got, err := io.ReadAll(d)
			s.must(err)
			s.must(second(d.Write(bytes.ToUpper(got))))
			s.must(d.CloseWrite())
			back, err := io.ReadAll(c)
			s.must(err)
			return string(back)
		},
		"copied whole, through ReadFrom and WriteTo": func(s *side) any {
			c, d := s.join()
			data := pattern(3_000_000)
			go func() {
				n, err := c.ReadFrom(bytes.NewReader(data))
				if err != nil || n != int64(len(data)) {
					s.t.Errorf("%s: ReadFrom: %d, %v", s.name, n, err)
				}
				_ = c.CloseWrite()
			}()
			var got bytes.Buffer
			n, err := d.WriteTo(&got)
			s.must(err)
			return n == int64(len(data)) && bytes.Equal(got.Bytes(), data)
		},
		"a reader that fails": func(s *side) any {
			c, _ := s.join()
			n, err := c.ReadFrom(io.MultiReader(strings.NewReader("abc"), broken{}))
			return fmt.Sprint(n, shape(err), errors.Is(err, errBroken))
		},
		"a writer that fails": func(s *side) any {
			c, d := s.join()
			s.must(second(d.Write([]byte("abc"))))
			_, err := c.WriteTo(broken{})
			return fmt.Sprint(shape(err), errors.Is(err, errBroken))
		},
		"settings": func(s *side) any {
			c, _ := s.join()
			return errors.Join(c.SetNoDelay(false), c.SetNoDelay(true), c.SetKeepAlive(false), c.SetKeepAlive(true),
				c.SetKeepAlivePeriod(time.Minute), c.SetKeepAlivePeriod(0), c.SetLinger(-1), c.SetLinger(5), c.SetReadBuffer(1<<16),
				c.SetWriteBuffer(1<<16), c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Count: -1}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both := sides(t)
			want, got := do(&both[0]), do(&both[1])
			if got != want {
				t.Errorf("\nstack: %v\nnet:   %v", got, want)
			}
		})
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, errBroken }
func (broken) Write([]byte) (int, error) { return 0, errBroken }

// wildcard is the address that a listener on one of them says it has, without the port.
func wildcard(network, address string) func(s *side) any {
	return func(s *side) any {
		l, err := s.config.Listen(s.t.Context(), network, address)
		if err != nil {
			return shape(err)
		}
		defer func() { _ = l.Close() }()
		host, _, _ := net.SplitHostPort(l.Addr().String())
		return host
	}
}

// TestConnCalledTogether has many readers and writers of one connection: each Write
// arrives in one piece, and every byte once.
func TestConnCalledTogether(t *testing.T) {
	w := newCloses(t)
	const writers, each = 8, 50
	var writing, reading sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for range each {
				if _, err := w.client.Write(bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	count := 0
	for range 4 {
		reading.Go(func() {
			for {
				block := make([]byte, 100)
				n, err := w.server.Read(block)
				mu.Lock()
				count += n
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	writing.Wait()
	_ = w.client.Close()
	reading.Wait()
	if count != writers*each*1000 {
		t.Errorf("%d bytes arrived of %d", count, writers*each*1000)
	}
}

// TestFastOpenInfo asks both ends of a first, a second and an ordinary connection.
func TestFastOpenInfo(t *testing.T) {
	d, l := served(t)
	for name, tt := range map[string]struct {
		dialer stack.Dialer
		data   string
		wanted bool
		early  int
	}{
		"with data":    {data: "hello", wanted: true, early: 5},
		"without data": {wanted: true},
		"off":          {dialer: stack.Dialer{FastOpen: fastopen.ModeOff}, data: "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.dialer.Stack = d.Stack
			c, err := tt.dialer.DialContextData(t.Context(), "tcp", l.Addr().String(), []byte(tt.data))
			if err != nil {
				t.Fatal(err)
			}
			s := acceptTCP(t, l)
			readFull(t, s, []byte(tt.data))
			client, server := c.(*stack.TCPConn).FastOpenInfo(), s.FastOpenInfo()
			if client.Wanted != tt.wanted || client.BytesInSYN != tt.early || client.BytesAccepted != tt.early || client.EarlyData != 0 {
				t.Errorf("the client: %+v", client)
			}
			if server.EarlyData != tt.early || server.BytesInSYN != tt.early {
				t.Errorf("the server: %+v", server)
			}
			_, _ = c.Close(), s.Close()
		})
	}
	if l.FastOpen() == nil || !l.FastOpen().Enabled() {
		t.Error("the listener has no Fast Open")
	}
}

// TestUnproven accepts data from a client whose ACK has not come.
func TestUnproven(t *testing.T) {
	r := newRig(t, stack.Config{})
	lc := stack.ListenConfig{Stack: r.stack, KeepAlive: -1, FastOpen: &fastopen.ListenConfig{Cookieless: true}}
	l, err := lc.Listen(t.Context(), "tcp", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	r.client(1000, seg.SYN, 100, 0, nil, []byte("hello"))
	c, err := l.(*stack.TCPListener).AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	r.settle() // netstack has the connection before it has the data
	if info := c.FastOpenInfo(); !info.Unproven || info.EarlyData != 5 {
		t.Errorf("before the ACK: %+v", info)
	}
	readFull(t, c, []byte("hello"))
	for _, s := range r.all() {
		if s.Flags().Has(seg.SYN) {
			r.answer(s, seg.ACK, 106, s.Seq().Add(1), nil, nil)
		}
	}
	if info := c.FastOpenInfo(); info.Unproven || info.EarlyData != 5 {
		t.Errorf("after it: %+v", info)
	}
	_, _, _ = c.SetLinger(0), c.Close(), l.Close()
}

// TestReadsAndWritesDoNotAllocate moves data a little at a time. What arrives has
// arrived before, and what is written waits to be sent: the packets themselves are
// netstack's, and not counted.
func TestReadsAndWritesDoNotAllocate(t *testing.T) {
	w := newCloses(t)
	c := w.client.(*stack.TCPConn)
	if err := c.SetDeadline(time.Now().Add(guard)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.Write(make([]byte, 30_000)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 20_000)
	readFull(t, w.client, buf) // until all of it is there
	udp, full := queuedDatagrams(t, w, 200), fullConn(t)
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"SetReadDeadline", func() error { return c.SetReadDeadline(time.Now().Add(guard)) }},
		{"Read", func() error { return second(c.Read(buf[:1])) }},
		{"ReadFromUDPAddrPort", func() error { _, _, err := udp.ReadFromUDPAddrPort(buf[:1]); return err }},
		{"Write", func() error { return second(full.Write(buf[:100])) }},
	} {
		n := 1.0
		for range 5 { // a garbage collection that comes between empties the pools
			n = min(n, testing.AllocsPerRun(30, func() {
				if err := call.do(); err != nil {
					t.Fatalf("%s: %v", call.name, err)
				}
			}))
		}
		if n > 0 && !raceEnabled {
			t.Errorf("%s allocates", call.name)
		}
	}
}

// TestLongChainsDoNotAllocate reads into a chain of buffers, as WSK's clients do.
func TestLongChainsDoNotAllocate(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	c, s := join(t, a, b, plain)
	write(t, s, make([]byte, 30_000))
	until(t, s, "acknowledged", func() bool { // so all of it is there
		s.WakeWhenUnacknowledged(0)
		return s.Unacknowledged() == 0
	})
	chain := make([][]byte, 8)
	for i := range chain {
		chain[i] = make([]byte, 2)
	}
	n := 1.0
	for range 5 { // a garbage collection that comes between empties the pools
		n = min(n, testing.AllocsPerRun(30, func() {
			if _, err := c.Read(chain); err != nil {
				t.Fatal(err)
			}
		}))
	}
	if n > 0 && !raceEnabled {
		t.Error("a Read into eight buffers allocates")
	}
}

// fullConn is a connection whose peer acknowledges nothing and which may send nothing
// any more: what is written is queued.
func fullConn(t *testing.T) *stack.TCPConn {
	t.Helper()
	r := newRig(t, stack.Config{})
	dialled := make(chan net.Conn, 1)
	go func() {
		c, err := r.stack.DialContext(t.Context(), "tcp", r.peer.String())
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	syn := r.wait()
	r.answer(syn, seg.SYN|seg.ACK, 100, syn.End(), nil, nil)
	c := (<-dialled).(*stack.TCPConn)
	if _, err := c.Write(make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.SetLinger(0), c.Close() })
	return c
}

// queuedDatagrams is a UDP socket with n datagrams that have arrived.
func queuedDatagrams(t *testing.T, w *closes, n int) *stack.UDPConn {
	t.Helper()
	p, err := w.a.ListenPacket("udp", "10.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.b.DialContext(t.Context(), "udp", p.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range n + 1 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.a.Ping(t.Context(), "10.0.0.2"); err != nil { // behind the last one
		t.Fatal(err)
	}
	return p.(*stack.UDPConn)
}

// TestIdleConnectionsHaveNoGoroutine opens many connections, of each kind, and counts.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	d, l := served(t)
	settle := func() int { // the goroutines of connects and of netstack's timers end soon
		least := runtime.NumGoroutine()
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for range 100 {
			<-look.C
			least = min(least, runtime.NumGoroutine())
		}
		return least
	}
	before := settle()
	for i := range 100 {
		d.Lazy = i%2 == 0
		c := dialTCP(t, d, l.Addr())
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		s := acceptTCP(t, l)
		readFull(t, s, []byte("x"))
		if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if after := settle(); after > before {
		t.Errorf("%d goroutines before, %d with 100 connections", before, after)
	}
}

// full is a writer that takes nothing more.
type full struct{ error }

func (f full) Write([]byte) (int, error) { return 0, f.error }
