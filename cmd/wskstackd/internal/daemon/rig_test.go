package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is when something that hangs gives up; nothing is measured with it.
const patience = 60 * time.Second

// names is a resolver.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// dialled is what a dial was asked for.
type dialled struct {
	addrs []netip.Addr
	data  string
}

// scripted is a network that connects to the test.
type scripted struct {
	data  bool // SYNs carry data
	v4    bool // IPv4 only
	err   error
	dials chan dialled
	peer  pump.Conn
}

func (s *scripted) has(a netip.Addr) bool       { return !s.v4 || a.Is4() }
func (s *scripted) carries(netip.AddrPort) bool { return s.data }
func (s *scripted) dial(_ context.Context, _ proxy.Target, addrs []netip.Addr, data []byte) (pump.Conn, error) {
	s.dials <- dialled{addrs, string(data)}
	return s.peer, s.err
}

// pair is two ends of a TCP connection of the kernel.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// rig is a daemon on a scripted network, and a client of its proxy.
type rig struct {
	t      *testing.T
	d      *daemon
	net    *scripted
	client *net.TCPConn
	// far is the peer's end of the connection that the network gives.
	far   *net.TCPConn
	ended chan struct{}
}

func newRig(t *testing.T, ctx context.Context, wait time.Duration, change func(*scripted)) *rig { //nolint:revive // t comes first in tests
	t.Helper()
	r := &rig{t: t, ended: make(chan struct{}), net: &scripted{dials: make(chan dialled, 1)}}
	var peer *net.TCPConn
	peer, r.far = pair(t)
	r.net.peer = peer
	if err := r.far.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	change(r.net)
	r.d = newDaemon(Options{MaxConnections: 1, HalfClose: patience, ConnectTimeout: patience}, slog.New(slog.DiscardHandler))
	r.d.net, r.d.resolver = r.net, names{"peer.example": {netip.MustParseAddr("192.0.2.1")}, "local.example": {netip.MustParseAddr("127.0.0.1")}}
	r.d.guard = newGuard([]netip.Addr{netip.MustParseAddr("198.18.0.2")}, nil)
	var server *net.TCPConn
	r.client, server = pair(t)
	go func() {
		defer close(r.ended)
		r.d.proxied(ctx, server, wait, &r.d.services[0])
	}()
	t.Cleanup(func() {
		r.client.Close()
		r.far.Close()
		<-r.ended
	})
	return r
}

func (r *rig) send(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.client, s); err != nil {
		r.t.Fatal(err)
	}
}

// expect reads what has to come.
func (r *rig) expect(c net.Conn, want string) {
	r.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		r.t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

// dial is what the network was asked for.
func (r *rig) dial() dialled {
	r.t.Helper()
	select {
	case d := <-r.net.dials:
		return d
	case <-time.After(patience):
		r.t.Fatal("nobody dialled")
		return dialled{}
	}
}

// undialled checks that nobody has dialled yet.
func (r *rig) undialled() {
	r.t.Helper()
	if len(r.net.dials) > 0 {
		r.t.Errorf("it dialled already: %+v", <-r.net.dials)
	}
}

const (
	hello   = "\x05\x01\x00"
	toPeer  = "\x05\x01\x00\x03\x0cpeer.example\x00\x50"
	granted = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return slices.Clip(all)
}
