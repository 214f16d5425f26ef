package tune

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/stacktest"
)

// setting is one way to set up both stacks.
type setting struct {
	name string
	// config changes what stack.Config can say, options what only netstack can.
	config  func(*stack.Config)
	options []tcpip.SettableTransportProtocolOption
}

// outcome is what became of a transfer.
type outcome struct {
	took        time.Duration // from the connect to the last byte
	hung        bool
	retransmits uint64
	// buffers are as large as they were at the end.
	sendBuffer, receiveBuffer int
}

// limit is how long a transfer may take, in virtual time, before it counts as hung.
const limit = 15 * time.Minute

var clientNet, serverNet = netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("10.2.0.1/24")

// transfer moves n bytes and a FIN over a link.
func transfer(t *testing.T, seed uint64, l link, s setting, n int) (o outcome) {
	t.Helper()
	stacktest.Run(t, stacktest.Config{Seed: seed, MaxEvents: 1}, func(net *stacktest.Net) {
		t := net.T()
		client := host(net, "client", l.path(), clientNet, s)
		server := host(net, "server", stacktest.LineConfig{}, serverNet, s)
		listener, err := server.Listen(netip.AddrPortFrom(serverNet.Addr(), 80), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		var in *stacktest.Conn
		received, whole := 0, false
		wait := net.Go(func() {
			var err error
			if in, err = listener.Accept(); err == nil {
				received, whole = receive(t, in)
			}
		})
		out, err := client.Dial(listener.LocalAddr(), stack.ConnectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out.SetLimit(limit)
		if err := send(out, n); err != nil && !errors.Is(err, stacktest.ErrLimit) {
			t.Errorf("%v, %s, seed %d: sending: %v", l, s.name, seed, err)
		}
		wait()
		o = outcome{
			took: net.Now(), hung: !whole, retransmits: client.Stack.Netstack().Stats().TCP.Retransmits.Value(),
			sendBuffer: out.SendBufferSize(), receiveBuffer: in.ReceiveBufferSize(),
		}
		if whole && received != n {
			t.Errorf("%v, %s, seed %d: %d bytes arrived of %d", l, s.name, seed, received, n)
		}
		out.Abort()
		in.Abort()
		_ = listener.Close()
	})
	return o
}

func host(net *stacktest.Net, name string, line stacktest.LineConfig, addr netip.Prefix, s setting) *stacktest.Host {
	cfg := stack.Config{Addresses: []netip.Prefix{addr}, ConnectTimeout: limit}
	if s.config != nil {
		s.config(&cfg)
	}
	h := net.Host(name, line, cfg)
	for _, o := range s.options {
		if err := h.Stack.Netstack().SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			net.T().Fatalf("netstack refuses %T: %v", o, err)
		}
	}
	return h
}

// chunk is written again and again; its length is no multiple of a segment's, so
// that a segment in the wrong place shows.
var chunk = func() []byte {
	b := make([]byte, 65521)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}()

func send(c *stacktest.Conn, n int) error {
	for n > 0 {
		m, err := c.Write(chunk[:min(n, len(chunk))])
		if n -= m; err != nil {
			return err
		}
	}
	return c.CloseWrite()
}

// receive reads to the FIN. It says false if that does not come.
func receive(t *testing.T, c *stacktest.Conn) (n int, whole bool) {
	c.SetLimit(limit)
	buf := make([]byte, len(chunk))
	for {
		m, err := c.Read(buf[:len(chunk)-n%len(chunk)])
		if !bytes.Equal(buf[:m], chunk[n%len(chunk):][:m]) {
			t.Errorf("other bytes than were sent, within %d of %d", m, n)
		}
		n += m
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, stacktest.ErrLimit) {
				t.Errorf("receiving: %v", err)
			}
			return n, errors.Is(err, io.EOF)
		}
	}
}
