package stack_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/covers"
)

// TestServeFastOpen connects twice: for a cookie, and with it.
func TestServeFastOpen(t *testing.T) {
	covers.IDs(t, "S-02", "S-06", "S-21")
	for _, tt := range []struct {
		network, dial string
		bind, to      netip.Addr
	}{
		{"tcp4", "tcp4", addrB, addrB},
		{"tcp6", "tcp6", netip.IPv6Unspecified(), addrB6},
		{"tcp", "tcp4", netip.IPv6Unspecified(), addrB},
	} {
		a, b := pair(t, stack.Config{}, stack.Config{})
		l, at := listen(t, b, tt.network, tt.bind)
		ln, err := l.ServeFastOpen(fastopen.ListenConfig{})
		if err != nil {
			t.Fatal(err)
		}
		at = netip.AddrPortFrom(tt.to, at.Port())
		data := pattern(1000)
		exchange := func(accepted int) {
			t.Helper()
			c := endpoint(t, a, tt.dial)
			if err := c.Connect(at, stack.ConnectOptions{Data: data}); err != nil {
				t.Fatal(err)
			}
			s := accept(t, l)
			mustRead(t, s, data)
			if err := connected(t, c); err != nil {
				t.Fatal(err)
			}
			for side, e := range map[string]*stack.Endpoint{"client": c, "server": s} {
				if o := e.FastOpenInfo(); o.BytesAccepted != accepted {
					t.Errorf("%s to %s, %s: %+v, want %d bytes accepted in the SYN", tt.dial, tt.network, side, o, accepted)
				}
			}
			s.Abort()
			c.Abort()
		}
		exchange(0)
		exchange(1000)
		ln.SetEnabled(false)
		exchange(0)
		if n := ln.Stats().TCPFastOpenPassive; n != 1 {
			t.Errorf("%d connections by their SYN, want 1", n)
		}
		if _, err := l.ServeFastOpen(fastopen.ListenConfig{}); !errors.Is(err, fastopen.ErrListening) {
			t.Errorf("a second time: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.ServeFastOpen(fastopen.ListenConfig{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		// Its place is free again.
		again, err := b.FastOpen().Listen(ln.Addr(), fastopen.ListenConfig{})
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	}
}

func TestServeFastOpenWithoutListening(t *testing.T) {
	_, b := pair(t, stack.Config{}, stack.Config{})
	e := endpoint(t, b, "tcp4")
	if _, err := e.ServeFastOpen(fastopen.ListenConfig{}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v, want %v", err, syscall.EINVAL)
	}
	e.Abort()
}

// TestNoOpeningIsLeft: however a connect ends, the Fast Open layer is told.
func TestNoOpeningIsLeft(t *testing.T) {
	covers.IDs(t, "C-42", "P7")
	a, b := pair(t, stack.Config{}, stack.Config{})
	openings := func() int { return a.FastOpen().Stats().Openings }
	refused := endpoint(t, a, "tcp4")
	if err := refused.Connect(netip.AddrPortFrom(addrB, 9), stack.ConnectOptions{Data: pattern(10)}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, refused); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	if n := openings(); n != 0 {
		t.Errorf("%d openings after a refusal", n)
	}
	silent := endpoint(t, a, "tcp4")
	if err := silent.Connect(netip.MustParseAddrPort("10.0.0.99:9"), stack.ConnectOptions{Data: pattern(10)}); err != nil {
		t.Fatal(err)
	}
	silent.Abort()
	if n := openings(); n != 0 {
		t.Errorf("%d openings after an abort", n)
	}
	l, at := listen(t, b, "tcp4", addrB)
	c := endpoint(t, a, "tcp4")
	if err := c.Connect(at, stack.ConnectOptions{Data: pattern(10)}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, c); err != nil {
		t.Fatal(err)
	}
	s := accept(t, l)
	mustRead(t, s, pattern(10))
	c.Abort()
	if n := openings(); n != 0 {
		t.Errorf("%d openings after a connection", n)
	}
	s.Abort()
	refused.Abort()
	l.Abort()
}
