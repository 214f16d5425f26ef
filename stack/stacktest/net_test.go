package stacktest_test

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
)

var (
	clientAddr  = netip.MustParseAddr("10.0.0.1")
	serverAddr  = netip.MustParseAddr("10.0.0.2")
	clientAddr6 = netip.MustParseAddr("fd00::1")
	serverAddr6 = netip.MustParseAddr("fd00::2")
	serverPort  = netip.AddrPortFrom(serverAddr, 80)
)

func config(addrs ...netip.Addr) stack.Config {
	var c stack.Config
	for _, a := range addrs {
		c.Addresses = append(c.Addresses, netip.PrefixFrom(a, a.BitLen()-8))
	}
	return c
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}

// exchange sends up to the server and down to the client, on a connection whose
// first bytes are offered to Fast Open.
func exchange(t testing.TB, n *stacktest.Net, client, server *stacktest.Host, l *stacktest.Listener, up, down []byte) {
	t.Helper()
	served := n.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		got, err := c.ReadAll()
		if err != nil || !bytes.Equal(got, up) {
			t.Errorf("the server read %d bytes, %v; want %d", len(got), err, len(up))
		}
		if _, err := c.Write(down); err != nil {
			t.Errorf("server: %v", err)
		}
		_ = c.Close()
	})
	c, err := client.Dial(l.LocalAddr(), stack.ConnectOptions{Data: up})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	got, err := c.ReadAll()
	if err != nil || !bytes.Equal(got, down) {
		t.Errorf("the client read %d bytes, %v; want %d", len(got), err, len(down))
	}
	_ = c.Close()
	served()
}

// lossy is a run with everything in it.
func lossy(t *testing.T, seed uint64) stacktest.Result {
	bad := stacktest.Path{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05,
		Duplicate: 0.05, Reorder: 0.05, Corrupt: 0.02}
	return stacktest.Run(t, stacktest.Config{Seed: seed}, func(n *stacktest.Net) {
		client := n.Host("client", stacktest.Both(bad), config(clientAddr, clientAddr6))
		server := n.Host("server", stacktest.LineConfig{}, config(serverAddr, serverAddr6))
		l, err := server.Listen(serverPort, 8, &fastopen.ListenConfig{})
		if err != nil {
			n.T().Fatal(err)
		}
		for range 3 {
			exchange(n.T(), n, client, server, l, pattern(3000), pattern(20000))
		}
		_ = l.Close()
		n.Sleep(10 * time.Minute)
		for _, h := range []*stacktest.Host{client, server} {
			for _, left := range h.Leftovers() {
				n.T().Errorf("left: %s", left)
			}
		}
		if n.InFlight() != 0 {
			n.T().Errorf("%d packets are in flight", n.InFlight())
		}
	})
}

func TestSameSeedSameTrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for seed := range uint64(20) {
		var want stacktest.Result
		for i, procs := range []int{1, 2, 8, 2, 1} {
			runtime.GOMAXPROCS(procs)
			got := lossy(t, seed)
			if i == 0 {
				want = got
			}
			if got != want {
				t.Errorf("seed %d, GOMAXPROCS %d: %+v, want %+v", seed, procs, got, want)
			}
		}
	}
	if a, b := lossy(t, 1), lossy(t, 2); a.Hash == b.Hash {
		t.Error("two seeds have one trace")
	}
}

func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }
func portOf(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
