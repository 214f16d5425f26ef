package stacktest_test

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
)

func TestEcho(t *testing.T) {
	bad := stacktest.Path{Delay: 20 * time.Millisecond, Loss: 0.1, Reorder: 0.1}
	host := func(addr string) stack.Config {
		return stack.Config{Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	for seed := range uint64(100) {
		stacktest.Run(t, stacktest.Config{Seed: seed}, func(n *stacktest.Net) {
			server := n.Host("server", stacktest.LineConfig{}, host("10.0.0.1/24"))
			client := n.Host("client", stacktest.Both(bad), host("10.0.0.2/24"))
			l, err := server.Listen(netip.MustParseAddrPort("10.0.0.1:80"), 16, &fastopen.ListenConfig{})
			if err != nil {
				n.T().Fatal(err)
			}
			n.Go(func() {
				if c, err := l.Accept(); err == nil {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}
			})
			c, err := client.Dial(l.LocalAddr(), stack.ConnectOptions{Data: []byte("hello")})
			if err != nil {
				n.T().Fatal(err)
			}
			_ = c.CloseWrite()
			if got, err := c.ReadAll(); err != nil || string(got) != "hello" {
				n.T().Errorf("read %q, %v", got, err)
			}
			_ = c.Close()
		})
	}
}

// The package's page shows TestEcho as it is.
func TestPageShowsTheTest(t *testing.T) {
	page, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("quickstart_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(file), "\nfunc TestEcho(")
	body, _, _ := strings.Cut(rest, "\n}\n")
	shown := "//\tfunc TestEcho(" + strings.ReplaceAll(body, "\n", "\n//\t") + "\n//\t}\n"
	if !bytes.Contains(page, []byte(shown)) {
		t.Errorf("doc.go does not have\n%s", shown)
	}
}
