package embed

import (
	"context"
	"fmt"
	"io"
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
	for _, family := range []int{4, 6} {
		for name, e := range nettestEndsOf(w, s, family) {
			for opening, data := range map[string][]byte{"": nil, " by the SYN": {1}} {
				t.Run(fmt.Sprintf("IPv%d %s%s", family, name, opening), func(t *testing.T) {
					nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) { return e.join(data) })
				})
			}
		}
	}
}

// nettestEnds are a kernel and a stack, one of which listens.
type nettestEnds struct {
	listen func(fastOpen bool) (net.Listener, error)
	dial   func(ctx context.Context, to netip.AddrPort, fastOpen bool, data []byte) (net.Conn, error)
	swap   bool // the accepted side is the one that the tests know as the first
}

// nettestEndsOf are the ends of a wire: the stack dials, or accepts.
func nettestEndsOf(w *wire.Wire, s *stack.Stack, family int) map[string]nettestEnds {
	return map[string]nettestEnds{
		"dialled": {
			listen: func(fastOpen bool) (net.Listener, error) {
				cfg := kernelpeer.ServerConfig{Address: netip.AddrPortFrom(w.PeerAddr(family), 0)}
				if fastOpen {
					cfg.FastOpen = 16
				}
				return cfg.Socket(w.Namespace)
			},
			dial: func(ctx context.Context, to netip.AddrPort, fastOpen bool, data []byte) (net.Conn, error) {
				d := stack.Dialer{Stack: s, FastOpen: fastopen.ModeOff}
				if fastOpen {
					d.FastOpen = fastopen.ModeOn
				}
				return d.DialContextData(ctx, "tcp", to.String(), data)
			},
		},
		"accepted": {
			swap: true,
			listen: func(fastOpen bool) (net.Listener, error) {
				lc := stack.ListenConfig{Stack: s}
				if fastOpen {
					lc.FastOpen = new(fastopen.ListenConfig)
				}
				return lc.ListenTCP("tcp", netip.AddrPortFrom(w.StackAddr(family), 0))
			},
			dial: func(ctx context.Context, to netip.AddrPort, fastOpen bool, data []byte) (net.Conn, error) {
				cfg := kernelpeer.ClientConfig{Remote: to, Data: data}
				if fastOpen {
					cfg.Method = kernelpeer.SendTo
				}
				return kernelpeer.Dial(ctx, w.Namespace, cfg)
			},
		},
	}
}

// join connects the two, with Fast Open if there is data. It is in the SYN, and read
// before the tests begin.
func (e nettestEnds) join(data []byte) (c1, c2 net.Conn, stop func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fastOpen := data != nil
	l, err := e.listen(fastOpen)
	if err != nil {
		return nil, nil, nil, err
	}
	if fastOpen { // the cookie first
		if c1, c2, err = e.open(ctx, l, fastOpen, nil); err != nil {
			return nil, nil, nil, err
		}
		_, _ = c1.Close(), c2.Close()
	}
	if c1, c2, err = e.open(ctx, l, fastOpen, data); err != nil {
		return nil, nil, nil, err
	}
	for _, c := range []net.Conn{c1, c2} {
		if got, err := inSYN(c); err != nil || got != fastOpen {
			return nil, nil, nil, fmt.Errorf("%T: data in the SYN: %v, %v", c, got, err)
		}
	}
	if e.swap {
		c1, c2 = c2, c1
	}
	return c1, c2, func() { _, _, _ = c1.Close(), c2.Close(), l.Close() }, nil
}

// open dials with data, which the accepting end reads.
func (e nettestEnds) open(ctx context.Context, l net.Listener, fastOpen bool, data []byte) (dialled, accepted net.Conn, err error) {
	if dialled, err = e.dial(ctx, l.Addr().(*net.TCPAddr).AddrPort(), fastOpen, data); err != nil {
		return nil, nil, err
	}
	if accepted, err = l.Accept(); err != nil {
		return nil, nil, err
	}
	_, err = io.ReadFull(accepted, make([]byte, len(data)))
	return dialled, accepted, err
}

// inSYN says whether the SYN had data that was accepted, as an end of the connection
// tells it.
func inSYN(c net.Conn) (bool, error) {
	switch c := c.(type) {
	case *stack.TCPConn:
		info := c.FastOpenInfo()
		return info.BytesInSYN > 0 && info.BytesAccepted > 0, nil
	case *net.TCPConn:
		return inSYN(kernelpeer.Conn{TCPConn: c})
	}
	info, err := c.(kernelpeer.Conn).Info()
	return info.SYNData, err
}
