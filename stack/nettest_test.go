package stack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// TestNettest runs golang.org/x/net's own conformance tests over every kind of
// connection between two stacks.
func TestNettest(t *testing.T) {
	for name, kind := range map[string]struct {
		inSYN int  // how many bytes open the connection, read before the tests begin
		lazy  bool // the first Write does
		swap  bool // the accepted side is the one that the tests know as the first
	}{
		"plain":               {},
		"accepted":            {swap: true},
		"fast open":           {inSYN: 1},
		"fast open, accepted": {inSYN: 1, swap: true},
		"lazy":                {inSYN: 1, lazy: true},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				d, l := dialerTo(t, kind.inSYN > 0)
				d.Lazy, d.LazyDelay = kind.lazy, -1
				if c1, c2, err = open(d, l, pattern(kind.inSYN)); err != nil {
					return nil, nil, nil, err
				}
				if kind.swap {
					c1, c2 = c2, c1
				}
				return c1, c2, func() {
					_, _, _ = c1.Close(), c2.Close(), l.Close()
				}, nil
			})
		})
	}
}

// dialerTo is a dialer and a listener on another stack, with Fast Open and a cookie or
// without.
func dialerTo(t *testing.T, fastOpen bool) (stack.Dialer, net.Listener) {
	t.Helper()
	if fastOpen {
		return served(t)
	}
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, err := b.Listen("tcp", addrB.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	return stack.Dialer{Stack: a, FastOpen: fastopen.ModeOff}, l
}

// open connects with data, and looks whether both ends say that it was in the SYN.
func open(d stack.Dialer, l net.Listener, data []byte) (dialled, accepted *stack.TCPConn, err error) {
	first := data
	if d.Lazy {
		first = nil
	}
	c, err := d.DialContextData(context.Background(), "tcp", l.Addr().String(), first)
	if err != nil {
		return nil, nil, err
	}
	if d.Lazy {
		if _, err := c.Write(data); err != nil {
			return nil, nil, err
		}
	}
	s, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.ReadFull(s, make([]byte, len(data))); err != nil {
		return nil, nil, err
	}
	dialled, accepted = c.(*stack.TCPConn), s.(*stack.TCPConn)
	if sent, came := dialled.FastOpenInfo().BytesInSYN, accepted.FastOpenInfo().EarlyData; sent != len(data) || came != len(data) {
		return nil, nil, fmt.Errorf("%d bytes were in the SYN and %d came early, want %d", sent, came, len(data))
	}
	return dialled, accepted, nil
}
