package stack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/wskstack/wskstack/stack"
)

// TestUDP sends both ways, in each family and from a socket of both.
func TestUDP(t *testing.T) {
	for name, tt := range map[string]struct{ network, at, to string }{
		"IPv4":              {"udp4", "10.0.0.2:0", "10.0.0.2"},
		"IPv6":              {"udp6", "[fd00::2]:0", "fd00::2"},
		"IPv4 to both":      {"udp", ":0", "10.0.0.2"},
		"IPv6 to both":      {"udp", "[::]:0", "fd00::2"},
		"IPv4's wildcard":   {"udp4", ":0", "10.0.0.2"},
		"IPv6's wildcard":   {"udp6", ":0", "fd00::2"},
		"the stack, itself": {"udp4", ":0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, stack.Config{}, stack.Config{})
			p, err := b.ListenPacket(tt.network, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			from := a
			if tt.to == "" {
				from = b
			}
			_, port, _ := net.SplitHostPort(p.LocalAddr().String())
			c, err := from.DialContext(t.Context(), "udp", net.JoinHostPort(tt.to, port))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 3)
			n, peer, err := p.ReadFrom(buf)
			if err != nil || string(buf[:n]) != "pin" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
			if peer.String() != c.LocalAddr().String() {
				t.Errorf("from %v, the client is %v", peer, c.LocalAddr())
			}
			if _, err := p.WriteTo([]byte("pong"), peer); err != nil {
				t.Fatal(err)
			}
			buf = make([]byte, 99)
			n, at, err := c.(*stack.UDPConn).ReadFromUDPAddrPort(buf)
			if err != nil || string(buf[:n]) != "pong" || at.String() != c.RemoteAddr().String() {
				t.Fatalf("%q from %v, %v", buf[:n], at, err)
			}
			if _, err := p.(*stack.UDPConn).WriteToUDPAddrPort([]byte("2"), netip.MustParseAddrPort(peer.String())); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			for _, err := range []error{
				c.(*stack.UDPConn).SetReadBuffer(1 << 20), c.(*stack.UDPConn).SetWriteBuffer(1 << 20),
				c.SetDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Time{}), c.Close(), p.Close(),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestUDPData dials with a first datagram.
func TestUDPData(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	p, err := b.ListenPacket("udp", "10.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.DialContextData(t.Context(), "udp", p.LocalAddr().String(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 9)
	if n, _, err := p.ReadFrom(buf); string(buf[:n]) != "first" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	long := make([]byte, 70000)
	if _, err := a.DialContextData(t.Context(), "udp", p.LocalAddr().String(), long); err == nil {
		t.Error("sent 70,000 bytes")
	}
}

// TestPing has echo requests answered, and not.
func TestPing(t *testing.T) {
	a, _ := pair(t, stack.Config{ConnectTimeout: 50 * time.Millisecond}, stack.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	for _, host := range []string{"10.0.0.2", "fd00::2"} {
		pong, err := a.Ping(ctx, host)
		if err != nil || pong.From != netip.MustParseAddr(host) || pong.HopLimit != 64 || pong.RTT <= 0 {
			t.Errorf("%s: %+v, %v", host, pong, err)
		}
	}
	gone, leave := context.WithCancelCause(t.Context())
	why := errors.New("no patience")
	leave(why)
	for name, tt := range map[string]struct {
		ctx context.Context
		is  error
	}{
		"for as long as a connect": {ctx: t.Context(), is: os.ErrDeadlineExceeded},
		"no longer than it may":    {ctx: gone, is: why},
	} {
		_, err := a.Ping(tt.ctx, "10.0.0.99")
		var op *net.OpError
		if !errors.Is(err, tt.is) || !errors.As(err, &op) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPingConn uses the messages of golang.org/x/net/icmp.
func TestPingConn(t *testing.T) {
	a, _ := pair(t, stack.Config{}, stack.Config{})
	for _, tt := range []struct {
		network, host string
		request       icmp.Type
		reply         icmp.Type
	}{
		{"ping4", "10.0.0.2", ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply},
		{"ping6", "fd00::2", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply},
	} {
		t.Run(tt.network, func(t *testing.T) {
			request := icmp.Message{Type: tt.request, Body: &icmp.Echo{Seq: 7, Data: []byte("hello")}}
			wire, err := request.Marshal(nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := a.ListenPacket(tt.network, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.WriteTo(wire, &net.IPAddr{IP: net.ParseIP(tt.host)}); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 99)
			n, from, err := p.ReadFrom(buf)
			if err != nil || from.String() != tt.host {
				t.Fatalf("from %v, %v", from, err)
			}
			answer, err := icmp.ParseMessage(tt.reply.Protocol(), buf[:n])
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := answer.Body.(*icmp.Echo); !ok || answer.Type != tt.reply || e.Seq != 7 || string(e.Data) != "hello" {
				t.Errorf("%+v", answer)
			}
			if _, err := p.WriteTo([]byte("too short"), &net.IPAddr{IP: net.ParseIP(tt.host)}); err == nil {
				t.Error("sent what is no echo request")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, network := range []string{"ping", "tcp", "udp9"} {
		if _, err := a.ListenPacket(network, ":0"); !errors.Is(err, net.UnknownNetworkError(network)) {
			t.Errorf("ListenPacket %q: %v", network, err)
		}
	}
}
