package stack_test

import (
	"net/netip"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// TestBindToTheWildcard: below, an endpoint that is bound to the wildcard has the only
// address of its family if there is but one; nobody can tell.
func TestBindToTheWildcard(t *testing.T) {
	second, late := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.10")
	for name, addresses := range map[string][]netip.Addr{
		"one address": {addrA, addrA6}, "two addresses": {addrA, second},
	} {
		for _, network := range []string{"tcp4", "tcp"} {
			t.Run(name+", "+network, func(t *testing.T) {
				la, lb := pipe.New("", "", 1500)
				a := newStack(t, stack.Config{Link: la, Addresses: prefixes(addresses...)})
				b := newStack(t, stack.Config{Link: lb, Addresses: prefixes(addrB)})
				_, at := listen(t, b, "tcp4", addrB)

				e := wildcardBound(t, a, network, 0)
				port := e.LocalAddr().Port()
				dialTo(t, e, at)
				if got := e.LocalAddr(); got != netip.AddrPortFrom(addrA, port) {
					t.Errorf("connected from %v, bound to port %d", got, port)
				}
				if err := endpoint(t, a, network).Bind(netip.AddrPortFrom(netip.Addr{}, port)); err != syscall.EADDRINUSE {
					t.Errorf("its port bound once more: %v", err)
				}
				e.Abort()

				l := wildcardBound(t, a, network, port)
				if err := l.Listen(1); err != nil {
					t.Fatal(err)
				}
				if got := l.LocalAddr(); !got.Addr().IsUnspecified() || got.Port() != port {
					t.Errorf("it listens on %v", got)
				}
				if err := a.Netstack().AddProtocolAddress(1, tcpip.ProtocolAddress{
					Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom4(late.As4()).WithPrefix(),
				}, gstack.AddressProperties{}); err != nil {
					t.Fatal(err)
				}
				dialTo(t, endpoint(t, b, "tcp4"), netip.AddrPortFrom(late, port))
			})
		}
	}
}

// TestReuseAddressOfAListener: who wants to share a port is told at once that one
// listens on it.
func TestReuseAddressOfAListener(t *testing.T) {
	a, _ := pair(t, stack.Config{}, stack.Config{})
	sharing := func() *stack.Endpoint {
		e := endpoint(t, a, "tcp4")
		if err := e.SetReuseAddress(true); err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := sharing()
	if err := first.Bind(netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.Addr{}, first.LocalAddr().Port())
	if err := sharing().Bind(at); err != nil {
		t.Errorf("nobody listens yet: %v", err)
	}
	if err := first.Listen(1); err != nil {
		t.Fatal(err)
	}
	if err := sharing().Bind(at); err != syscall.EADDRINUSE {
		t.Errorf("one listens: %v", err)
	}
}

// TestPortOfAConnection: while a connection lives nobody binds its port, although
// netstack does not keep it reserved.
func TestPortOfAConnection(t *testing.T) {
	second := netip.MustParseAddr("10.0.0.9")
	la, lb := pipe.New("", "", 1500)
	a := newStack(t, stack.Config{Link: la, Addresses: prefixes(addrA, second, addrA6, netip.MustParseAddr("fd00::9"))})
	b := newStack(t, stack.Config{Link: lb, Addresses: prefixes(addrB)})
	_, at := listen(t, b, "tcp4", addrB)
	for name, bound := range map[string]bool{"Connect chose it": false, "Bind chose it": true} {
		e := endpoint(t, a, "tcp4")
		if bound {
			e = wildcardBound(t, a, "tcp4", 0)
		}
		dialTo(t, e, at)
		local := e.LocalAddr()
		try := func(network string, addr netip.Addr, want error) {
			t.Helper()
			o := endpoint(t, a, network)
			if err := o.Bind(netip.AddrPortFrom(addr, local.Port())); err != want {
				t.Errorf("%s: Bind(%s, %v): %v, want %v", name, network, addr, err, want)
			}
			o.Abort()
		}
		try("tcp4", netip.Addr{}, syscall.EADDRINUSE)
		try("tcp", netip.Addr{}, syscall.EADDRINUSE)
		try("tcp4", local.Addr(), syscall.EADDRINUSE)
		try("tcp6", netip.Addr{}, nil)
		try("tcp4", map[netip.Addr]netip.Addr{addrA: second, second: addrA}[local.Addr()], nil)
		e.Abort()
		try("tcp", netip.Addr{}, nil)
	}
	closed := endpoint(t, a, "tcp4")
	dialTo(t, closed, at)
	closed.Close() // the connection waits for the peer's FIN
	if err := endpoint(t, a, "tcp4").Bind(closed.LocalAddr()); err != syscall.EADDRINUSE {
		t.Errorf("the port of a closed connection that has not ended: %v", err)
	}
}

// TestSharedPortOfAConnection: a connection that shares its port takes nobody's from him.
func TestSharedPortOfAConnection(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	_, at := listen(t, b, "tcp4", addrB)
	sharing := func(port uint16) *stack.Endpoint {
		e := endpoint(t, a, "tcp4")
		if err := e.SetReuseAddress(true); err != nil {
			t.Fatal(err)
		}
		if err := e.Bind(netip.AddrPortFrom(addrA, port)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	one := sharing(0)
	port := one.LocalAddr().Port()
	sharing(port)
	dialTo(t, one, at)
	one.Abort()
	if err := endpoint(t, a, "tcp4").Bind(netip.AddrPortFrom(addrA, port)); err != syscall.EADDRINUSE {
		t.Errorf("one of two has gone, and its port is free: %v", err)
	}
}

// TestSharedPortThatConnectChose: a connection that shares its port does so with who binds
// it later.
func TestSharedPortThatConnectChose(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	_, at := listen(t, b, "tcp4", addrB)
	e := endpoint(t, a, "tcp4")
	if err := e.SetReuseAddress(true); err != nil {
		t.Fatal(err)
	}
	dialTo(t, e, at)
	for share, want := range map[bool]error{true: nil, false: syscall.EADDRINUSE} {
		o := endpoint(t, a, "tcp4")
		if err := o.SetReuseAddress(share); err != nil {
			t.Fatal(err)
		}
		if err := o.Bind(e.LocalAddr()); err != want {
			t.Errorf("bound with sharing %v: %v, want %v", share, err, want)
		}
		o.Abort()
	}
}

// TestPortsOfConnectionsRunOut: a port that a connection has is no free one, but for
// connections to other peers.
func TestPortsOfConnectionsRunOut(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	if err := a.Netstack().SetPortRange(40000, 40003); err != nil {
		t.Fatal(err)
	}
	_, at := listen(t, b, "tcp4", addrB)
	_, elsewhere := listen(t, b, "tcp4", addrB)
	var open []*stack.Endpoint
	for i := range 2 {
		e := endpoint(t, a, "tcp4")
		if i == 1 {
			e = wildcardBound(t, a, "tcp4", 0)
		}
		dialTo(t, e, at)
		open = append(open, e)
	}
	sharing := endpoint(t, a, "tcp4")
	if err := sharing.SetReuseAddress(true); err != nil {
		t.Fatal(err)
	}
	if err := sharing.Bind(netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	unbound := endpoint(t, a, "tcp4")
	if err := unbound.Listen(1); err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]bool{}
	for _, e := range append(open, sharing, unbound) {
		seen[e.LocalAddr().Port()] = true
	}
	if len(seen) != 4 {
		t.Errorf("the ports are %v, want four", seen)
	}
	for _, share := range []bool{false, true} {
		e := endpoint(t, a, "tcp4")
		if err := e.SetReuseAddress(share); err != nil {
			t.Fatal(err)
		}
		if err := e.Bind(netip.AddrPort{}); err != syscall.EADDRINUSE {
			t.Errorf("a fifth port, shared %v: %v", share, err)
		}
	}
	if err := endpoint(t, a, "tcp4").Connect(at, stack.ConnectOptions{}); err != syscall.EADDRNOTAVAIL {
		t.Errorf("another connection to the same peer: %v", err)
	}
	other := endpoint(t, a, "tcp4")
	dialTo(t, other, elsewhere)
	other.Abort() // it has the port of one of the two
	open[1].Abort()
	wildcardBound(t, a, "tcp4", 0)
}

// TestPortThatBindWasAskedFor: nobody connects by chance from a port that somebody wants.
func TestPortThatBindWasAskedFor(t *testing.T) {
	second := netip.MustParseAddr("10.0.0.9")
	for name, addresses := range map[string][]netip.Addr{"one address": {addrA}, "two addresses": {addrA, second}} {
		t.Run(name, func(t *testing.T) {
			la, lb := pipe.New("", "", 1500)
			a := newStack(t, stack.Config{Link: la, Addresses: prefixes(addresses...)})
			b := newStack(t, stack.Config{Link: lb, Addresses: prefixes(addrB)})
			const port = 40000
			if err := a.Netstack().SetPortRange(port, port); err != nil {
				t.Fatal(err)
			}
			_, at := listen(t, b, "tcp4", addrB)
			_, elsewhere := listen(t, b, "tcp4", addrB)
			wanted := wildcardBound(t, a, "tcp4", port)
			dialTo(t, wanted, at)
			if err := endpoint(t, a, "tcp4").Connect(elsewhere, stack.ConnectOptions{}); err != syscall.EADDRNOTAVAIL {
				t.Errorf("another connects from the port: %v", err)
			}
			wanted.Abort()
			dialTo(t, wildcardBound(t, a, "tcp4", 0), at)
			dialTo(t, endpoint(t, a, "tcp4"), elsewhere) // any port was good enough
		})
	}
}

// TestDeferredConnectCannotBegin: who waits for a connection whose first Write fails is
// woken.
func TestDeferredConnectCannotBegin(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	_, at := listen(t, b, "tcp4", addrB)
	e := endpoint(t, a, "tcp4")
	if err := e.Connect(at, stack.ConnectOptions{Deferred: true, FastOpen: fastopen.ModeCookieless}); err != nil {
		t.Fatal(err)
	}
	woken := 0
	e.SetWake(func() { woken++ })
	a.Netstack().SetRouteTable(nil)
	if _, err := e.Write([][]byte{[]byte("first")}); err != syscall.ENETUNREACH {
		t.Errorf("Write: %v", err)
	}
	if woken == 0 {
		t.Error("nobody was woken")
	}
	if _, err := e.Read([][]byte{make([]byte, 1)}); err != syscall.ENETUNREACH {
		t.Errorf("Read: %v", err)
	}
}

func wildcardBound(t *testing.T, s *stack.Stack, network string, port uint16) *stack.Endpoint {
	t.Helper()
	e := endpoint(t, s, network)
	if err := e.Bind(netip.AddrPortFrom(netip.Addr{}, port)); err != nil {
		t.Fatalf("Bind to port %d: %v", port, err)
	}
	if got := e.LocalAddr(); !got.Addr().IsUnspecified() || got.Port() == 0 || port != 0 && got.Port() != port {
		t.Errorf("bound to %v, asked for the wildcard and port %d", got, port)
	}
	return e
}

func dialTo(t *testing.T, e *stack.Endpoint, to netip.AddrPort) {
	t.Helper()
	if err := e.Connect(to, stack.ConnectOptions{}); err != nil {
		t.Fatalf("Connect to %v: %v", to, err)
	}
	if err := connected(t, e); err != nil {
		t.Fatalf("Connect to %v: %v", to, err)
	}
}
