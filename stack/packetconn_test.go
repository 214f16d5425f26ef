package stack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/header"

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

// TestBroadcast: as with package net, a UDPConn may send to all; a Datagram has to ask.
func TestBroadcast(t *testing.T) {
	r := newRig(t, stack.Config{})
	p, err := r.stack.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteTo([]byte("all"), &net.UDPAddr{IP: net.IPv4bcast, Port: 9}); err != nil {
		t.Fatal(err)
	}
	pkt := r.link.Read()
	if pkt == nil {
		t.Fatal("nothing was sent")
	}
	if to := pkt.Network().DestinationAddress(); to != header.IPv4Broadcast {
		t.Errorf("sent to %v", to)
	}
	pkt.DecRef()
	d, err := r.stack.NewDatagram("udp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Send([][]byte{{1}}, netip.MustParseAddrPort("255.255.255.255:9"), 0); !errors.Is(err, syscall.EACCES) {
		t.Error(err)
	}
}

// TestUDPAddr: the methods with *net.UDPAddr are those with net.Addr.
func TestUDPAddr(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	p, err := b.ListenPacket("udp", addrB.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	q, err := a.ListenPacket("udp", addrA.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	one, other := p.(*stack.UDPConn), q.(*stack.UDPConn)
	if n, err := one.WriteToUDP([]byte("hello"), other.LocalAddr().(*net.UDPAddr)); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 9)
	if n, from, err := other.ReadFromUDP(buf); string(buf[:n]) != "hello" || err != nil || from.String() != one.LocalAddr().String() {
		t.Errorf("%q from %v, %v", buf[:n], from, err)
	}
	if _, err := one.WriteToUDP([]byte("x"), nil); err == nil {
		t.Error("sent to nobody")
	}
	if err := other.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	if _, from, err := other.ReadFromUDP(buf); from != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(from, err)
	}
}

// TestNoWake: a socket that nobody waits for any more receives all the same.
func TestNoWake(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	d, err := b.NewDatagram("udp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Bind(netip.AddrPortFrom(addrB, 9)); err != nil {
		t.Fatal(err)
	}
	woken := make(chan struct{}, 9)
	send := func() {
		t.Helper()
		c, err := a.DialContext(t.Context(), "udp", "10.0.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	d.SetWake(nil)
	send()
	buf := make([]byte, 9)
	for _, err = d.Receive([][]byte{buf}); errors.Is(err, syscall.EAGAIN); _, err = d.Receive([][]byte{buf}) {
		runtime.Gosched()
	}
	if err != nil {
		t.Error(err)
	}
	d.SetWake(func() { woken <- struct{}{} })
	send()
	<-woken
}
