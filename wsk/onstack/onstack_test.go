package onstack_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/tun/tuntest"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// TestMain fails the run if a goroutine or a packet buffer is left.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}

// guard is how long a test waits for what must come; it says nothing about speed.
const guard = 20 * time.Second

var (
	client4, server4 = netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
	client6, server6 = netip.MustParseAddr("fd09::1"), netip.MustParseAddr("fd09::2")
)

// world is a WSK client on one stack and a server on another, joined in memory.
type world struct {
	t        *testing.T
	client   *stack.Stack
	server   *stack.Stack
	path     *relay.Link
	seen     relay.Recorder
	provider *wsk.Provider
	reg      wsk.Registration
	npi      wsk.ProviderNPI
}

func newWorld(t *testing.T, mode fastopen.Mode) *world {
	t.Helper()
	return newWorldOn(t, mode, wsktest.NewStrictProvider(t))
}

// newWorldOn is newWorld with a provider that was not started.
func newWorldOn(t *testing.T, mode fastopen.Mode, provider *wsk.Provider) *world {
	t.Helper()
	w := &world{t: t, provider: provider}
	near, far := tuntest.NewPair(tuntest.Config{Queue: 8192})
	link := func(d iolink.Device) *iolink.Link {
		l, err := iolink.New(d, iolink.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	var err error
	if w.path, err = relay.New(link(near), relay.Config{Observe: w.seen.Observe}); err != nil {
		t.Fatal(err)
	}
	w.client = newStack(t, w.path, mode, client4, client6)
	w.server = newStack(t, link(far), fastopen.ModeOff, server4, server6)
	if err := w.provider.Start(onstack.Network(w.client)); err != nil {
		t.Fatal(err)
	}
	npi := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	w.provider.Register(&npi, &w.reg)
	if st := w.reg.CaptureProviderNPI(wsk.NoWait, &w.npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	t.Cleanup(func() { end(t, &w.reg) })
	return w
}

// end releases and deregisters; a test that has failed may have left its sockets open.
func end(t *testing.T, reg *wsk.Registration) {
	t.Helper()
	reg.ReleaseProviderNPI()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	if err := reg.DeregisterContext(ctx); err != nil {
		t.Error(err)
	}
}

func newStack(t *testing.T, link gstack.LinkEndpoint, mode fastopen.Mode, addrs ...netip.Addr) *stack.Stack {
	t.Helper()
	cfg := stack.Config{Link: link, FastOpen: fastopen.Config{Mode: mode}}
	for _, a := range addrs {
		cfg.Addresses = append(cfg.Addresses, netip.PrefixFrom(a, a.BitLen()-8))
	}
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// waiter turns an endpoint's wake-ups into waiting.
type waiter struct {
	*stack.Endpoint
	woken chan struct{}
}

func watch(e *stack.Endpoint) *waiter {
	w := &waiter{e, make(chan struct{}, 1)}
	e.SetWake(func() {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	})
	return w
}

// until waits for done and reports whether it came.
func (w *waiter) until(done func() bool) bool {
	limit := time.NewTimer(guard)
	defer limit.Stop()
	for !done() {
		select {
		case <-w.woken:
		case <-limit.C:
			return false
		}
	}
	return true
}

// serve accepts one connection and hands it to handle on a goroutine that the
// test waits for.
func (w *world) serve(network string, addr netip.AddrPort, handle func(*waiter)) {
	w.t.Helper()
	l, err := w.server.NewEndpoint(network)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(l.Bind(addr), l.Listen(4)); err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer l.Close()
		var conn *stack.Endpoint
		if !watch(l).until(func() bool { var err error; conn, err = l.Accept(); return err == nil }) {
			w.t.Error("nobody connected")
			return
		}
		handle(watch(conn))
	})
	w.t.Cleanup(wg.Wait)
}

// echo sends everything back, and a FIN for a FIN.
func echo(t *testing.T) func(*waiter) {
	return func(c *waiter) {
		defer c.Close()
		buf := make([]byte, 32<<10)
		for {
			var n int
			var err error
			if !c.until(func() bool { n, err = c.Read([][]byte{buf}); return !errors.Is(err, syscall.EAGAIN) }) {
				t.Error("the server waits for ever")
				return
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("the server reads %v", err)
				}
				break
			}
			for rest := buf[:n]; len(rest) > 0; {
				c.until(func() bool { n, err = c.Write([][]byte{rest}); return !errors.Is(err, syscall.EAGAIN) })
				if err != nil {
					t.Errorf("the server writes %v", err)
					return
				}
				rest = rest[n:]
			}
		}
		_ = c.CloseWrite()
		if !c.until(func() bool { return c.State() == stack.StateClosed }) {
			t.Error("the client does not close")
		}
	}
}

// call submits a request and waits for its end.
type call struct {
	t    *testing.T
	irp  *irp.IRP
	done chan struct{}
}

func newCall(t *testing.T) *call {
	c := &call{t: t, done: make(chan struct{})}
	c.irp = irp.New(func(*irp.IRP, any) { close(c.done) }, nil)
	return c
}

func (c *call) ends(want ntstatus.Status) irp.StatusBlock {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(guard):
		c.t.Fatal("the IRP does not complete")
	}
	got := c.irp.IoStatus()
	if got.Status != want {
		c.t.Fatalf("completed with %v, want %v", got.Status, want)
	}
	return got
}

// do is a request that must succeed.
func (w *world) do(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	w.t.Helper()
	c := newCall(w.t)
	if st := submit(c.irp); st != ntstatus.Pending {
		w.t.Fatalf("returned %v", st)
	}
	return c.ends(ntstatus.Success)
}

// socket makes a bound connection socket, dual stack if it is IPv6.
func (w *world) socket(family uint16, fastOpen bool) *wsk.ConnectionSocket {
	w.t.Helper()
	s := w.do(func(i *irp.IRP) ntstatus.Status {
		return w.npi.Dispatch.Socket(w.npi.Client, family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
	}).Object.(*wsk.ConnectionSocket)
	set := func(level, code, value uint32) {
		w.t.Helper()
		in := binary.LittleEndian.AppendUint32(nil, value)
		w.do(func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.SetOption, code, level, in, nil, nil, i)
		})
	}
	if family == wsk.AF_INET6 {
		set(wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY, 0)
	}
	if fastOpen {
		set(wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1)
	}
	set(wsk.IPPROTO_TCP, wsk.TCP_NODELAY, 1)
	set(wsk.IPPROTO_TCP, wsk.TCP_MAXSEG, 1200)
	set(wsk.SOL_SOCKET, wsk.SO_KEEPALIVE, 1)
	set(wsk.SOL_SOCKET, wsk.SO_RCVBUF, 100_000)
	set(wsk.SOL_SOCKET, wsk.SO_SNDBUF, 50_000)
	local := wsk.SockAddr{Family: family}
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&local, 0, i) })
	return s
}

func (w *world) close(s *wsk.ConnectionSocket) {
	w.t.Helper()
	w.do(s.CloseSocket)
}

func TestConversation(t *testing.T) {
	for name, tt := range map[string]struct {
		family   uint16
		server   netip.Addr
		remote   string
		fastOpen bool
	}{
		"IPv4":                {wsk.AF_INET, server4, "10.9.0.2", false},
		"IPv6":                {wsk.AF_INET6, server6, "fd09::2", false},
		"mapped":              {wsk.AF_INET6, server4, "::ffff:10.9.0.2", false},
		"IPv4 with Fast Open": {wsk.AF_INET, server4, "10.9.0.2", true},
		"IPv6 with Fast Open": {wsk.AF_INET6, server6, "fd09::2", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fastopen.ModeCookieless)
			addr := netip.AddrPortFrom(tt.server, 80)
			w.serve(map[bool]string{true: "tcp4", false: "tcp6"}[tt.server.Is4()], addr, echo(t))
			s := w.socket(tt.family, tt.fastOpen)
			w.converse(s, wsk.SockAddrFrom(netip.AddrPortFrom(netip.MustParseAddr(tt.remote), 80)))
			w.close(s)
			w.judge(tt.fastOpen)
		})
	}
}

// converse sends the most a ConnectEx takes and a megabyte more, gets it all
// back, and disconnects.
func (w *world) converse(s *wsk.ConnectionSocket, remote wsk.SockAddr) {
	t := w.t
	t.Helper()
	data := make([]byte, wsk.MaxConnectData+1<<20)
	rand.New(rand.NewSource(3)).Read(data)
	back := make([]byte, len(data))
	first := data[:wsk.MaxConnectData]
	if got := w.do(func(i *irp.IRP) ntstatus.Status {
		return s.ConnectEx(&remote, wsk.NewBuf(first[:9], first[9:]), 0, i)
	}).Information; got != wsk.MaxConnectData {
		t.Errorf("ConnectEx sent %d bytes", got)
	}
	var peer, local wsk.SockAddr
	w.do(func(i *irp.IRP) ntstatus.Status { return s.GetRemoteAddress(&peer, i) })
	w.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&local, i) })
	if peer != remote || local.AddrPort().Addr().IsUnspecified() || local.Port == 0 {
		t.Errorf("connected from %v to %v, want to %v", local, peer, remote)
	}
	receive, send, disconnect := newCall(t), newCall(t), newCall(t)
	s.Receive(wsk.NewBuf(back[:1000], back[1000:]), wsk.FlagWaitAll, receive.irp)
	rest := data[wsk.MaxConnectData:]
	s.Send(wsk.NewBuf(rest[:len(rest)-5]), wsk.FlagNoDelay, send.irp)
	s.Disconnect(wsk.NewBuf(rest[len(rest)-5:]), 0, disconnect.irp)
	if n := send.ends(ntstatus.Success).Information; int(n) != len(rest)-5 {
		t.Errorf("Send sent %d bytes", n)
	}
	disconnect.ends(ntstatus.Success)
	if n := receive.ends(ntstatus.Success).Information; int(n) != len(data) || !bytes.Equal(back, data) {
		t.Errorf("%d of %d bytes came back, or others", n, len(data))
	}
	if n := w.do(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) }).Information; n != 0 {
		t.Errorf("%d bytes behind the end", n)
	}
}

// judge looks at the packets: whether the first SYN had data, and that nobody
// reset anything.
func (w *world) judge(fastOpen bool) {
	w.t.Helper()
	first := true
	ended := make(map[relay.Direction]bool)
	for _, e := range w.seen.Events() {
		p, err := seg.Parse(e.Bytes)
		if err != nil || e.Place != relay.AtWire {
			continue
		}
		if first && p.Flags().Has(seg.SYN) {
			first = false
			if got := len(p.Payload()) > 0; got != fastOpen {
				w.t.Errorf("data in the SYN: %v, want %v", got, fastOpen)
			}
		}
		if p.Flags().Has(seg.FIN) {
			ended[e.Direction] = true
		}
		// A window update behind the last ACK finds nobody any more: that RST is
		// as it should be.
		if p.Flags().Has(seg.RST) && len(ended) < 2 {
			w.t.Error("somebody sent a RST")
		}
	}
	if first {
		w.t.Error("no SYN was seen")
	}
}

// TestRefusedAndCancelled fails two connects on one socket and succeeds at last,
// from the same port.
func TestRefusedAndCancelled(t *testing.T) {
	w := newWorld(t, fastopen.ModeOn)
	s := w.socket(wsk.AF_INET, true)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	var before, after wsk.SockAddr
	w.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&before, i) })

	refused := newCall(t)
	s.ConnectEx(&remote, wsk.NewBuf([]byte("x")), 0, refused.irp)
	refused.ends(ntstatus.ConnectionRefused)

	w.path.SetFilter(relay.Down, relay.On(relay.SYN, relay.Drop))
	cancelled := newCall(t)
	s.ConnectEx(&remote, wsk.NewBuf([]byte("x")), 0, cancelled.irp)
	cancelled.irp.Cancel()
	cancelled.ends(ntstatus.Cancelled)
	w.path.SetFilter(relay.Down, nil)

	w.serve("tcp4", netip.AddrPortFrom(server4, 80), echo(t))
	w.converse(s, remote)
	w.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&after, i) })
	if before.Port != after.Port {
		t.Errorf("bound to port %d, connected from %d", before.Port, after.Port)
	}
	w.close(s)
}

// TestDisconnectWaitsForItsFIN drops our FIN, twice: a graceful disconnect is not over
// before the peer has acknowledged it.
func TestDisconnectWaitsForItsFIN(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	w.serve("tcp4", netip.AddrPortFrom(server4, 80), echo(t))
	s := w.socket(wsk.AF_INET, false)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remote, 0, i) })
	fins := make(chan struct{}, 100)
	w.path.SetFilter(relay.Down, relay.On(
		func(p relay.Packet) bool { return p.Segment.Valid() && p.Segment.Flags().Has(seg.FIN) },
		func(p relay.Packet) relay.Verdict {
			fins <- struct{}{}
			return relay.Drop(p)
		}))
	disconnect := newCall(t)
	s.Disconnect(nil, 0, disconnect.irp)
	for range 2 { // the second is sent because nobody has acknowledged the first
		select {
		case <-fins:
		case <-time.After(guard):
			t.Fatal("no FIN")
		}
	}
	select {
	case <-disconnect.done:
		t.Error("the disconnect is over, and nobody has seen its FIN")
	default:
	}
	w.path.SetFilter(relay.Down, nil)
	disconnect.ends(ntstatus.Success)
	w.close(s)
}

// TestReset has the peer reset the connection: what is pended says so.
func TestReset(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	receiving := make(chan struct{})
	w.serve("tcp4", netip.AddrPortFrom(server4, 80), func(c *waiter) {
		<-receiving
		c.Abort()
	})
	s := w.socket(wsk.AF_INET, false)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remote, 0, i) })
	receive := newCall(t)
	s.Receive(wsk.NewBuf(make([]byte, 1)), 0, receive.irp)
	close(receiving)
	receive.ends(ntstatus.ConnectionReset)
	w.close(s)
}

// TestResetWhileSending resets a connection whose sends wait for the peer: they
// fail, although nothing is unacknowledged on a connection that is gone.
func TestResetWhileSending(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	sending := make(chan struct{})
	w.serve("tcp4", netip.AddrPortFrom(server4, 80), func(c *waiter) {
		<-sending
		c.Abort()
	})
	s := w.socket(wsk.AF_INET, false)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remote, 0, i) })
	send, behind := newCall(t), newCall(t)
	s.Send(wsk.NewBuf(make([]byte, 8<<20)), 0, send.irp)
	s.Disconnect(nil, 0, behind.irp)
	close(sending)
	send.ends(ntstatus.ConnectionReset)
	behind.ends(ntstatus.ConnectionReset)
	w.close(s)
}

// TestStackGoes closes the stack under a connected socket: it is dead.
func TestStackGoes(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	accepted, over := make(chan struct{}), make(chan struct{})
	w.serve("tcp4", netip.AddrPortFrom(server4, 80), func(c *waiter) {
		close(accepted)
		<-over // the reset may be lost with the link
		c.Abort()
	})
	s := w.socket(wsk.AF_INET, false)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remote, 0, i) })
	receive := newCall(t)
	s.Receive(wsk.NewBuf(make([]byte, 1)), 0, receive.irp)
	<-accepted
	if err := w.client.Close(); err != nil {
		t.Fatal(err)
	}
	close(over)
	receive.ends(ntstatus.FileForcedClosed)
	w.close(s)
}
