package embed

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

// TestNettestWithTheKernel runs golang.org/x/net's conformance tests between the stack
// and the kernel's own TCP on a TUN, each in the place of either end.
func TestNettestWithTheKernel(t *testing.T) {
	w, err := wire.Open(wire.TUN, wire.Config{})
	netnstest.Require(t, err)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := kernelpeer.EnableFastOpen(w.Namespace); err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(stack.Config{Link: w.Link, Addresses: w.StackAddresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ours := &stack.Dialer{Stack: s}
	theirs := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = w.Namespace.Do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	for _, family := range []int{4, 6} {
		for name, make := range map[string]nettest.MakePipe{
			"dialled": func() (c1, c2 net.Conn, stop func(), err error) {
				var l net.Listener
				err = w.Namespace.Do(func() error {
					l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.PeerAddr(family), 0)))
					return err
				})
				if err != nil {
					return nil, nil, nil, err
				}
				return join(l, ours.DialContext)
			},
			"accepted": func() (c1, c2 net.Conn, stop func(), err error) {
				lc := stack.ListenConfig{Stack: s, FastOpen: new(fastopen.ListenConfig)}
				l, err := lc.ListenTCP("tcp", netip.AddrPortFrom(w.StackAddr(family), 0))
				if err != nil {
					return nil, nil, nil, err
				}
				c2, c1, stop, err = join(l, theirs)
				return c1, c2, stop, err
			},
		} {
			t.Run(map[int]string{4: "IPv4 ", 6: "IPv6 "}[family]+name, func(t *testing.T) { nettest.TestConn(t, make) })
		}
	}
}

// join connects to a listener; c1 is the dialler's.
func join(l net.Listener, to dial) (c1, c2 net.Conn, stop func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if c1, err = to(ctx, "tcp", l.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if c2, err = l.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return c1, c2, func() { _, _, _ = c1.Close(), c2.Close(), l.Close() }, nil
}
