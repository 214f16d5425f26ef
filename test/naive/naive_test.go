package naive

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTwoStacks carries a connection from one to the other.
func TestTwoStacks(t *testing.T) {
	for _, family := range []string{"192.0.2.%", "2001:db8::%"} {
		near, far := tuntest.NewPair(tuntest.Config{})
		at := func(n string) netip.Addr { return netip.MustParseAddr(family[:len(family)-1] + n) }
		host := func(dev *tuntest.Device, n string) *stack.Stack {
			a := at(n)
			s, err := stack.New(stack.Config{
				Link:      New(dev, channel.New(Queue, 1500, "")),
				Addresses: []netip.Prefix{netip.PrefixFrom(a, a.BitLen()-8)},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s
		}
		a, b := host(near, "1"), host(far, "2")
		l, err := b.Listen("tcp", netip.AddrPortFrom(at("2"), 80).String())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = c.Write([]byte("hello"))
			_ = c.Close()
		}()
		c, err := a.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
			t.Errorf("%q, %v", buf[:n], err)
		}
		_ = c.Close()
	}
}
