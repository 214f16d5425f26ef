package stack_test

import (
	"context"
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
		dialer stack.Dialer
		listen stack.ListenConfig
		swap   bool // the accepted side is the one that the tests know as the first
		lazy   bool
	}{
		"plain":     {dialer: stack.Dialer{FastOpen: fastopen.ModeOff}},
		"accepted":  {dialer: stack.Dialer{FastOpen: fastopen.ModeOff}, swap: true},
		"fast open": {listen: stack.ListenConfig{FastOpen: new(fastopen.ListenConfig)}},
		"lazy":      {listen: stack.ListenConfig{FastOpen: new(fastopen.ListenConfig)}, lazy: true},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := pair(t, stack.Config{}, stack.Config{})
				kind.dialer.Stack, kind.listen.Stack = a, b
				l, err := kind.listen.Listen(context.Background(), "tcp", addrB.String()+":0")
				if err != nil {
					return nil, nil, nil, err
				}
				if kind.lazy { // the cookie first
					if c1, err = kind.dialer.Dial("tcp", l.Addr().String()); err != nil {
						return nil, nil, nil, err
					}
					if c2, err = l.Accept(); err != nil {
						return nil, nil, nil, err
					}
					_, _ = c1.Close(), c2.Close()
				}
				kind.dialer.Lazy = kind.lazy
				if c1, err = kind.dialer.Dial("tcp", l.Addr().String()); err != nil {
					return nil, nil, nil, err
				}
				if c2, err = l.Accept(); err != nil {
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
