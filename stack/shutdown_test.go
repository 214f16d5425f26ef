package stack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/seg"
)

// closes is the two stacks of a pair with a connection and its listener.
type closes struct {
	a, b           *stack.Stack
	l              net.Listener
	client, server net.Conn
}

func newCloses(t *testing.T) *closes {
	t.Helper()
	w := new(closes)
	w.a, w.b = pair(t, stack.Config{}, stack.Config{})
	var err error
	if w.l, err = w.b.Listen("tcp", addrB.String()+":0"); err != nil {
		t.Fatal(err)
	}
	if w.client, err = w.a.DialContext(t.Context(), "tcp", w.l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if w.server, err = w.l.Accept(); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestShutdown waits for what is open, and for nothing else.
func TestShutdown(t *testing.T) {
	w := newCloses(t)
	over := make(chan error, 1)
	go func() { over <- w.b.Shutdown(t.Context()) }()
	if _, err := w.l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := w.b.Listen("tcp", ":0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen: %v", err)
	}
	if _, err := w.b.ListenPacket("udp", ":0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ListenPacket: %v", err)
	}
	if _, err := w.a.DialContext(t.Context(), "tcp", w.l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dial to it: %v", err)
	}
	data := pattern(300_000) // more than both buffers hold
	go func() {
		if _, err := w.server.Write(data); err != nil {
			t.Error(err)
		}
		_ = w.server.Close() // the stack is to wait for its delivery all the same
	}()
	select {
	case err := <-over:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	readFull(t, w.client, data)
	if n, err := w.client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the end: %d, %v", n, err)
	}
	_ = w.client.Close()
	if err := <-over; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := w.b.DialContext(t.Context(), "tcp", "10.0.0.1:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial afterwards: %v", err)
	}
	if err := w.b.Shutdown(t.Context()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

// TestShutdownOfTheSideInTimeWait closes first, which is an end as well.
func TestShutdownOfTheSideInTimeWait(t *testing.T) {
	w := newCloses(t)
	over := make(chan error, 1)
	go func() { over <- w.a.Shutdown(t.Context()) }()
	_ = w.client.Close()
	if _, err := w.server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
	_ = w.server.Close()
	if err := <-over; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestShutdownDelivers waits until the peer has what a closed connection has written.
func TestShutdownDelivers(t *testing.T) {
	r := newRig(t, stack.Config{})
	c := r.established()
	r.must(second(c.Write([]byte("x"))))
	r.must(c.Close())
	var last seg.Segment
	for _, s := range r.all() {
		last = s
	}
	over := make(chan error, 1)
	go func() { over <- r.stack.Shutdown(t.Context()) }()
	waiting(t, 1) // so it did not end at once, which would have been a reset
	r.deliver(seg.Make(seg.Fields{
		Src: last.Dst(), Dst: last.Src(), Flags: seg.FIN | seg.ACK, Seq: 101, Ack: last.End(), Window: 0xffff,
	}).Bytes())
	if err := <-over; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestShutdownLetsNoEndpointListen has one that was bound before.
func TestShutdownLetsNoEndpointListen(t *testing.T) {
	w := newCloses(t)
	e := endpoint(t, w.b, "tcp4")
	if err := e.Bind(netip.AddrPortFrom(addrB, 0)); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- w.b.Shutdown(t.Context()) }()
	waiting(t, 1)
	if err := e.Listen(1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen: %v", err)
	}
	_, _, _ = e.Close(), w.client.Close(), w.server.Close()
	if err := <-over; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestLingerOfAConn looks when a closed connection whose peer is silent is reset.
func TestLingerOfAConn(t *testing.T) {
	r := newRig(t, stack.Config{})
	c := r.established()
	r.must(second(c.Write([]byte("x"))))
	r.must(c.(*stack.TCPConn).SetLinger(5))
	r.must(c.Close())
	reset := func() bool {
		return slices.ContainsFunc(r.all(), func(s seg.Segment) bool { return s.Flags()&seg.RST != 0 })
	}
	for at := time.Second; at <= 6*time.Second; at += time.Second {
		r.clock.Advance(time.Second)
		if got, want := reset(), at == 5*time.Second; got != want {
			t.Errorf("after %v: reset %v, want %v", at, got, want)
		}
	}
}

// TestShutdownInTime ends what its context does not wait for.
func TestShutdownInTime(t *testing.T) {
	w := newCloses(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no patience")
	cancel(why)
	if err := w.b.Shutdown(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := w.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer: %v", err)
	}
}

// TestCloseUnblocksEverything has a call of each kind wait when the stack is closed,
// and tries each kind afterwards.
func TestCloseUnblocksEverything(t *testing.T) {
	w := newCloses(t)
	p, err := w.b.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	ping, err := w.b.ListenPacket("ping4", "")
	if err != nil {
		t.Fatal(err)
	}
	buf := func() []byte { return make([]byte, 1<<20) }
	calls := map[string]func() error{
		"Read":          func() error { return second(w.server.Read(buf())) },
		"Write":         func() error { return second(w.server.Write(make([]byte, 64<<20))) },
		"Accept":        func() error { return second(w.l.Accept()) },
		"udp ReadFrom":  func() error { _, _, err := p.ReadFrom(buf()); return err },
		"ping ReadFrom": func() error { _, _, err := ping.ReadFrom(buf()); return err },
		"Dial":          func() error { return second(w.b.DialContext(context.Background(), "tcp", "10.0.0.99:1")) },
		"Dial by name": func() error {
			d := stack.Dialer{Stack: w.b, Resolver: stubborn{}}
			return second(d.Dial("tcp", "name:1"))
		},
		"Ping": func() error { return second(w.b.Ping(context.Background(), "10.0.0.99")) },
	}
	var running sync.WaitGroup
	errs := make(map[string]error)
	var mu sync.Mutex
	try := func() {
		for name, call := range calls {
			running.Go(func() {
				err := call()
				mu.Lock()
				defer mu.Unlock()
				errs[name] = err
			})
		}
	}
	check := func(when string) {
		running.Wait()
		for name, err := range errs {
			var op *net.OpError
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
	}
	try()
	waiting(t, len(calls))
	if err := w.b.Close(); err != nil {
		t.Error(err)
	}
	check("meanwhile")
	try()
	check("afterwards")
	for name, c := range map[string]io.Closer{"conn": w.server, "listener": w.l, "udp": p, "ping": ping} {
		if err := c.Close(); err != nil {
			t.Errorf("the first Close of the %s: %v", name, err)
		}
	}
	if err := w.b.Close(); err != nil {
		t.Errorf("the second Close of the stack: %v", err)
	}
}

// stubborn is a resolver that answers when its context ends.
type stubborn struct{}

func (stubborn) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// waiting returns once n goroutines wait in calls of the package's.
func waiting(t testing.TB, n int) {
	t.Helper()
	stacks(t, fmt.Sprintf("%d waiting calls", n), func(all []string) bool {
		got := 0
		for _, g := range all {
			parked := strings.Contains(g, "[chan receive") || strings.Contains(g, "[select")
			if parked && (strings.Contains(g, "stack.(*half).await(") ||
				strings.Contains(g, "stack.(*TCPConn).connected(") || strings.Contains(g, "stack.(*Stack).Shutdown(") || strings.Contains(g, "stack.(*racing).run(")) {
				got++
			}
		}
		return got >= n
	})
}

// stacks returns once the stacks of all goroutines are as enough wants them.
func stacks(t testing.TB, what string, enough func(all []string) bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	all := make([]byte, 1<<20)
	for limit := time.Now().Add(guard); !enough(strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n")); <-look.C {
		if time.Now().After(limit) {
			t.Fatalf("no %s in %v", what, guard)
		}
	}
}
