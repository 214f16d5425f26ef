package stack

import (
	"net/netip"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// TestGiveBackOfAnEnded: a connection that ends before its port is given back gives it
// back itself; who binds it then keeps it.
func TestGiveBackOfAnEnded(t *testing.T) {
	s, at := twoStacks(t)
	e := bound(t, s, 0)
	port := e.bound.Port()
	woken := newSignal()
	e.SetWake(func() { signal(woken) })
	k := e.sock
	if _, ok := k.ep.Connect(full(at)).(*tcpip.ErrConnectStarted); !ok {
		t.Fatal("the connect has not begun")
	}
	for tcp.EndpointState(k.ep.State()) != tcp.StateEstablished {
		<-woken
	}
	k.queue.EventUnregister(&k.entry) // its end is not known yet
	k.ep.Abort()

	bound(t, s, port)
	e.mu.Lock()
	s.ports.Lock()
	k.giveBack(true)
	s.ports.Unlock()
	e.mu.Unlock()
	e.Abort()
	third, err := s.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Bind(netip.AddrPortFrom(netip.Addr{}, port)); err != syscall.EADDRINUSE {
		t.Errorf("the port belongs to another endpoint by now, and is bound once more: %v", err)
	}
	if s.held.has(port) {
		t.Error("the port is held by a connection that has ended")
	}
}

// twoStacks are a stack, and the address of a listener on another one.
func twoStacks(t *testing.T) (*Stack, netip.AddrPort) {
	t.Helper()
	la, lb := pipe.New("", "", 1500)
	make := func(link *pipe.Endpoint, addr string) *Stack {
		s, err := New(Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	a, b := make(la, "10.0.0.1/24"), make(lb, "10.0.0.2/24")
	l, err := b.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(1); err != nil {
		t.Fatal(err)
	}
	return a, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), l.LocalAddr().Port())
}

func bound(t *testing.T, s *Stack, port uint16) *Endpoint {
	t.Helper()
	e, err := s.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Bind(netip.AddrPortFrom(netip.Addr{}, port)); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestWatchersShareAPlace: of several sockets with one hash the newest is found, and each
// goes alone.
func TestWatchersShareAPlace(t *testing.T) {
	s, _ := twoStacks(t)
	var w watchers
	w.start()
	all := make([]*socket, 3)
	for i := range all {
		e := bound(t, s, 0)
		all[i] = e.sock
		all[i].ep.(*tcp.Endpoint).ID.LocalPort = 1 // as of one connection after the other
		w.add(all[i])
	}
	id := idOf(all[0])
	for _, step := range []struct{ gone, next *socket }{{all[1], all[2]}, {all[2], all[0]}, {all[1], all[0]}, {all[0], nil}} {
		w.remove(step.gone)
		if got := w.find(id); got != step.next {
			t.Errorf("found %p, want %p", got, step.next)
		}
	}
	if len(w.sockets) != 0 {
		t.Errorf("%d places are left", len(w.sockets))
	}
}
