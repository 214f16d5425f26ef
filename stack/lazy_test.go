package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// served is a listener with Fast Open on b, with a dialer of a that has its cookie.
func served(t *testing.T) (stack.Dialer, *stack.TCPListener) {
	t.Helper()
	a, b := pair(t, stack.Config{}, stack.Config{})
	lc := stack.ListenConfig{Stack: b, FastOpen: new(fastopen.ListenConfig)}
	l, err := lc.Listen(t.Context(), "tcp", addrB.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	d := stack.Dialer{Stack: a}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Close(), s.Close()
	t.Cleanup(func() { _ = l.Close() })
	return d, l.(*stack.TCPListener)
}

func dialTCP(t *testing.T, d stack.Dialer, to net.Addr) *stack.TCPConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*stack.TCPConn)
}

func acceptTCP(t *testing.T, l *stack.TCPListener) *stack.TCPConn {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(guard)); err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(guard)); err != nil {
		t.Fatal(err)
	}
	return c
}

func readFull(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v; want %d equal ones", len(got), err, len(want))
	}
}

// TestLazy writes first: what the SYN holds is in it, and the rest follows.
func TestLazy(t *testing.T) {
	for name, data := range map[string][]byte{"short": []byte("hello"), "long": pattern(200_000)} {
		t.Run(name, func(t *testing.T) {
			d, l := served(t)
			d.Lazy, d.LazyDelay = true, -1
			c := dialTCP(t, d, l.Addr())
			if info := c.FastOpenInfo(); info.BytesInSYN != 0 || info.Done {
				t.Errorf("before the first Write: %+v", info)
			}
			go func() {
				if n, err := c.Write(data); n != len(data) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}()
			s := acceptTCP(t, l)
			readFull(t, s, data)
			in := min(len(data), 1420)
			if got := s.FastOpenInfo(); got.EarlyData != in || !got.Wanted {
				t.Errorf("the server: %+v, want %d bytes early", got, in)
			}
			if got := c.FastOpenInfo(); got.BytesInSYN != in || got.BytesAccepted != in {
				t.Errorf("the client: %+v, want %d bytes in the SYN", got, in)
			}
			if c.LocalAddr().String() != s.RemoteAddr().String() {
				t.Errorf("from %v, the server says %v", c.LocalAddr(), s.RemoteAddr())
			}
		})
	}
}

// TestLazyStartsByItself has clients that do not write first.
func TestLazyStartsByItself(t *testing.T) {
	for name, tt := range map[string]struct {
		delay time.Duration
		do    func(c *stack.TCPConn) error
		want  error
	}{
		"by the timer": {delay: time.Millisecond},
		"by Read":      {delay: -1, do: func(c *stack.TCPConn) error { return second(c.Read(make([]byte, 9))) }},
		"by WriteTo":   {delay: -1, do: func(c *stack.TCPConn) error { return second(c.WriteTo(io.Discard)) }},
		"by CloseWrite": {delay: -1, do: func(c *stack.TCPConn) error {
			if err := c.CloseWrite(); err != nil {
				return err
			}
			return second(c.Read(make([]byte, 9)))
		}},
		"by CloseRead": {delay: -1, want: io.EOF, do: func(c *stack.TCPConn) error {
			if err := c.CloseRead(); err != nil {
				return err
			}
			return allOf(c) // what had arrived before may be there
		}},
		"by a deadline": {delay: -1, do: func(c *stack.TCPConn) error { return c.SetWriteDeadline(past) }},
		"by a deadline that ends a Write": {delay: -1, do: func(c *stack.TCPConn) error {
			var late error
			c.WhenLate(func() { late = second(c.Write([]byte("x"))) })
			if err := c.SetWriteDeadline(past); err != nil || !errors.Is(late, os.ErrDeadlineExceeded) {
				return fmt.Errorf("%w, %w", err, late)
			}
			return second(c.Read(make([]byte, 9)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d, l := served(t)
			d.Lazy, d.LazyDelay = true, tt.delay
			c := dialTCP(t, d, l.Addr())
			done := make(chan error, 1)
			go func() {
				if tt.do == nil {
					done <- nil
					return
				}
				done <- tt.do(c)
			}()
			s := acceptTCP(t, l) // hangs if the client waits for ever
			if _, err := s.Write([]byte("server")); err != nil {
				t.Fatal(err)
			}
			if name == "by WriteTo" {
				_ = s.Close()
			}
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if got := s.FastOpenInfo(); got.EarlyData != 0 {
				t.Errorf("early data in %+v", got)
			}
		})
	}
}

// TestLazyOnTheWire has the clock in its hand: nothing leaves before the first Write,
// the 5 ms of a Read, or the delay; and closed unused nothing ever does.
func TestLazyOnTheWire(t *testing.T) {
	r := withCookie(t, stack.Config{})
	d := stack.Dialer{Stack: r.stack, Lazy: true, FastOpen: fastopen.ModeOn, KeepAlive: -1}
	start := func() net.Conn {
		t.Helper()
		c, err := d.Dial("tcp", r.peer.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		r.silent("a lazy dial")
		return c
	}

	c := start()
	r.clock.Advance(stack.DefaultLazyDelay - 1)
	r.silent("before the delay is over")
	r.clock.Advance(1)
	if syn := r.wait(); !syn.Flags().Has(seg.SYN) || len(syn.Payload()) != 0 {
		t.Errorf("after the delay: %v with %q", describe(syn), syn.Payload())
	}
	_ = c.Close()

	d.LazyDelay = -1 // nothing else starts it
	c = start()
	d.LazyDelay = 0
	reading := make(chan error, 1)
	go func() { reading <- second(c.Read(make([]byte, 1))) }()
	var sent []seg.Segment
	waited := time.Duration(0)
	for limit := time.Now().Add(guard); len(sent) == 0 && time.Now().Before(limit); waited += time.Millisecond {
		r.clock.Advance(time.Millisecond)
		sent = r.all()
	}
	if len(sent) != 1 || waited < 5*time.Millisecond {
		t.Fatalf("a Read alone: %d segments after %v", len(sent), waited)
	}
	syn := sent[0]
	r.answer(syn, seg.SYN|seg.ACK, 100, syn.Seq().Add(1), nil, nil)
	r.answer(syn, seg.PSH|seg.ACK, 101, syn.Seq().Add(1), nil, []byte("x"))
	if err := <-reading; err != nil {
		t.Errorf("Read: %v", err)
	}
	_ = c.(*stack.TCPConn).SetLinger(0)
	_ = c.Close()
	r.all()

	c = start()
	_ = c.Close()
	r.clock.Advance(time.Hour)
	r.silent("closed before it was used")

	c = start()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if syn := r.wait(); string(syn.Payload()) != "hello" {
		t.Errorf("the first Write: %v with %q", describe(syn), syn.Payload())
	}
	_ = c.(*stack.TCPConn).SetLinger(0)
}

// TestLazyRefused has a server that is gone: what the dial did not say, Read says.
func TestLazyRefused(t *testing.T) {
	d, l := served(t)
	_ = l.Close()
	d.Lazy, d.LazyDelay = true, -1
	c := dialTCP(t, d, l.Addr())
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{second(c.Read(make([]byte, 1))), second(c.Write([]byte("x"))), c.CloseWrite()} {
		var op *net.OpError
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) {
			t.Errorf("%v, want an OpError with ECONNREFUSED", err)
		}
	}
}

// TestLazyWithoutCookie dials as always: the caller learns at once that it failed.
func TestLazyWithoutCookie(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, err := b.Listen("tcp", addrB.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	d := stack.Dialer{Stack: a, Lazy: true, LazyDelay: -1}
	c := dialTCP(t, d, l.Addr())
	s := acceptTCP(t, l.(*stack.TCPListener)) // it has connected without any Write
	_, _, _ = c.Close(), s.Close(), l.Close()
	if _, err := d.Dial("tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
}

// TestLazyRead begins to connect 5 ms after a Read, by the stack's clock, or when
// LazyDelay is over.
func TestLazyRead(t *testing.T) {
	for name, tt := range map[string]struct {
		delay, after time.Duration
	}{
		"5 ms":            {after: 5 * time.Millisecond},
		"without a limit": {delay: -1, after: 5 * time.Millisecond},
		"sooner":          {delay: 2 * time.Millisecond, after: 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, stack.Config{})
			d := stack.Dialer{Stack: r.stack, Lazy: true, LazyDelay: tt.delay, FastOpen: fastopen.ModeCookieless}
			c, err := d.Dial("tcp", r.peer.String())
			if err != nil {
				t.Fatal(err)
			}
			over := make(chan error, 1)
			go func() { over <- second(c.Read(make([]byte, 1))) }()
			waiting(t, 1)
			r.clock.Advance(tt.after - time.Millisecond)
			r.silent("too early")
			r.clock.Advance(time.Millisecond)
			if syn := r.wait(); syn.Flags() != seg.SYN {
				t.Errorf("the stack sent %v", describe(syn))
			}
			r.must(c.Close())
			if err := <-over; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
		})
	}
}
