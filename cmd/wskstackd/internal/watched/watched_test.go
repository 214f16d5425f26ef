package watched_test

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
	"github.com/wskstack/wskstack/wsk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOutcome: it is the newest transport's, and the network hides nothing of the
// stack's.
func TestOutcome(t *testing.T) {
	near, far := tuntest.NewPair(tuntest.Config{Queue: 64})
	defer far.Close()
	link, err := iolink.New(near, iolink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := watched.New(s)
	if o := n.Outcome(); o != (fastopen.Outcome{}) {
		t.Errorf("before anything: %+v", o)
	}
	for _, fastOpen := range []bool{true, false} {
		c, err := n.NewTransport(false)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(netip.MustParseAddrPort("192.0.2.1:80"), wsk.ConnectOptions{Data: []byte("x"), FastOpen: fastOpen}); err != nil {
			t.Fatal(err)
		}
		if o := n.Outcome(); o.Wanted != fastOpen {
			t.Errorf("with Fast Open %v: %+v", fastOpen, o)
		}
		c.Abort()
	}
	if _, ok := n.Unwrap().(wsk.RawNetwork); !ok {
		t.Error("raw transports are hidden")
	}
}
