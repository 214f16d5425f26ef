package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
)

var (
	client4, server4 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")
	client6, server6 = netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:2::1")
)

const (
	port = 80
	// idle is how long after the last connection a stack may have anything left.
	idle = 10 * time.Minute
	// closeTimeout is longer than a FIN takes on the worst path here.
	closeTimeout = 8 * time.Minute
	// connectTimeout lets netstack send all its SYNs.
	connectTimeout = 130 * time.Second
)

// world is a client and a server on a wire.
type world struct {
	t    *testing.T
	n    *stacktest.Net
	v6   bool
	mode fastopen.Mode

	// abandon makes finish reset what the server still serves.
	abandon bool

	client, server *stacktest.Host
	listener       *stacktest.Listener

	mu        sync.Mutex
	arrivals  map[netip.AddrPort][]*arrival // guarded by mu; by the client's port
	serving   []func()                      // guarded by mu
	waited    int                           // of serving; finish's
	plans     map[netip.AddrPort]planned    // guarded by mu
	conns     []*stacktest.Conn             // guarded by mu; accepted
	accepting []func()
}

// arrival is a connection that the server accepted.
type arrival struct {
	got []byte
	err error // why the stream ended; nil: with a FIN
}

// build makes the two hosts, each with both families. line is the client's.
func build(n *stacktest.Net, v6 bool, mode fastopen.Mode, line stacktest.LineConfig) *world {
	w := &world{t: n.T(), n: n, v6: v6, mode: mode, arrivals: make(map[netip.AddrPort][]*arrival)}
	w.client = n.Host("client", line, hostConfig(client4, client6))
	w.server = n.Host("server", stacktest.LineConfig{}, hostConfig(server4, server6))
	return w
}

func hostConfig(addrs ...netip.Addr) stack.Config {
	cfg := stack.Config{ConnectTimeout: connectTimeout, CloseTimeout: closeTimeout}
	for _, a := range addrs {
		cfg.Addresses = append(cfg.Addresses, netip.PrefixFrom(a, a.BitLen()/2))
	}
	return cfg
}

func (w *world) serverAddr() netip.AddrPort {
	if w.v6 {
		return netip.AddrPortFrom(server6, port)
	}
	return netip.AddrPortFrom(server4, port)
}

// serve listens and accepts until finish. handle deals with one connection.
func (w *world) serve(fast *fastopen.ListenConfig, handle func(*world, *stacktest.Conn, *arrival)) {
	w.t.Helper()
	l, err := w.server.Listen(w.serverAddr(), 64, fast)
	if err != nil {
		w.t.Fatal(err)
	}
	l.SetLimit(24 * time.Hour)
	w.listener = l
	w.accepting = append(w.accepting, w.n.Go(func() { w.accept(l, handle) }))
}

func (w *world) accept(l *stacktest.Listener, handle func(*world, *stacktest.Conn, *arrival)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed by finish
		}
		a := &arrival{}
		w.mu.Lock()
		w.arrivals[c.RemoteAddr()] = append(w.arrivals[c.RemoteAddr()], a)
		w.conns = append(w.conns, c)
		w.serving = append(w.serving, w.n.Go(func() { handle(w, c, a) }))
		w.mu.Unlock()
	}
}

// finish waits for what is being served, lets idle go by and looks for what is
// left.
func (w *world) finish() {
	w.t.Helper()
	fast := w.listener.Fast()
	for i := 0; w.abandon && i < len(w.conns); i++ {
		w.conns[i].Abort()
	}
	for more := true; more; {
		w.served()
		w.n.Sleep(idle)
		more = w.served() // a connection may be accepted after its client has gone
	}
	if fast != nil {
		if s := fast.Stats(); s.Pending != 0 || s.Held != 0 {
			w.t.Errorf("after %v of silence the listener has %d pending, %d held", idle, s.Pending, s.Held)
		}
	}
	if err := w.listener.Close(); err != nil {
		w.t.Error(err)
	}
	for _, wait := range w.accepting {
		wait()
	}
	w.n.Settle()
	for _, h := range []*stacktest.Host{w.client, w.server} {
		for _, left := range h.Leftovers() {
			w.t.Errorf("after %v of silence: %s", idle, left)
		}
	}
	if n := w.n.InFlight(); n > 0 {
		w.t.Errorf("after %v of silence %d packets are under way", idle, n)
	}
}

// served waits for the connections that are being served, and reports whether
// there was one that had not been waited for.
func (w *world) served() bool {
	some := false
	for ; ; w.waited++ {
		w.mu.Lock()
		var wait func()
		if w.waited < len(w.serving) {
			wait = w.serving[w.waited]
		}
		w.mu.Unlock()
		if wait == nil {
			return some
		}
		wait()
		some = true
	}
}

// stream is the i-th connection's bytes in one direction: no two are alike.
func stream(seed uint64, i, n int, down bool) []byte {
	side := uint64(0)
	if down {
		side = 1 << 32
	}
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(i), byte(side >> 32)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// result is what a client's connection came to.
type result struct {
	local   netip.AddrPort
	sent    []byte // what the server must get
	got     []byte
	want    []byte
	err     error // of the connect or of the stream
	dialed  bool  // the connect succeeded
	left    bool  // it closed when all was sent, so no error of the stream could reach it
	outcome fastopen.Outcome
}

// check compares a connection with what the server saw. lenient: it may have
// failed, with an error if somebody was there to be told, if nothing was delivered
// twice or wrong; but a server that took data of a SYN has to have accepted it.
func (w *world) check(i int, r *result, lenient bool) {
	w.t.Helper()
	w.mu.Lock()
	as := w.arrivals[r.local]
	delete(w.arrivals, r.local)
	w.mu.Unlock()
	if len(as) > 1 {
		w.t.Errorf("connection %d was accepted %d times", i, len(as))
	}
	for _, a := range as {
		switch {
		case a.err == nil && r.err == nil && !bytes.Equal(a.got, r.sent),
			!bytes.HasPrefix(r.sent, a.got):
			w.t.Errorf("connection %d: the server got %s", i, difference(a.got, r.sent))
		case a.err != nil && !lenient:
			w.t.Errorf("connection %d: the server's stream ended after %d of %d bytes: %v", i, len(a.got), len(r.sent), a.err)
		}
	}
	switch {
	case !bytes.HasPrefix(r.want, r.got), r.err == nil && len(r.got) != len(r.want):
		w.t.Errorf("connection %d: the client got %s", i, difference(r.got, r.want))
	case r.err != nil && !lenient:
		w.t.Errorf("connection %d failed: %v (%+v)", i, r.err, r.outcome)
	case r.err == nil && len(as) == 0 && !(lenient && r.left && r.outcome.BytesAccepted == 0):
		w.t.Errorf("connection %d was never accepted", i)
	}
}

// ghosts are connections that nobody opened.
func (w *world) ghosts() {
	w.t.Helper()
	for from, as := range w.arrivals {
		for _, a := range as {
			w.t.Errorf("a connection from %v that nobody opened brought %d bytes", from, len(a.got))
		}
	}
}

func difference(got, want []byte) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("%d bytes, want %d; they differ from byte %d", len(got), len(want), at)
}

// read reads up to the FIN. The bytes read before an error are returned with it.
func read(c *stacktest.Conn) ([]byte, error) { return io.ReadAll(c) }

func timedOut(err error) bool { return errors.Is(err, syscall.ETIMEDOUT) }
