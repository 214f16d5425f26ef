package kernel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

// bulk is what goes each way: many times the largest window.
const bulk = 24 << 20

// TestBulk sends a lot both ways at once over a TUN without anything between, with
// and without offloads: super-segments that are sent, cut by the kernel, made by
// the kernel and taken whole, on a connection that began with Fast Open.
func TestBulk(t *testing.T) {
	covers.IDs(t, "H-28", "H-29")
	modes := []bool{false}
	if offloads {
		modes = append(modes, true)
	}
	for _, offload := range modes {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("offload %v/IPv%d", offload, family), func(t *testing.T) {
				w, err := wire.Open(wire.TUN, wire.Config{NoOffload: !offload})
				netnstest.Require(t, err)
				t.Cleanup(func() { check(t, w.Close()) })
				check(t, kernelpeer.EnableFastOpen(w.Namespace))
				s, err := stack.New(stack.Config{Link: w.Link, Addresses: w.StackAddresses})
				check(t, err)
				t.Cleanup(func() { check(t, s.Close()) })
				if got := hasHostGSO(t, s, w.PeerAddr(family)); got != offload {
					t.Errorf("netstack's routes have super-segments: %v", got)
				}
				transfer(t, w, s, family)
				st := w.Link.Stats()
				perPacket := st.TxBytes / st.TxPackets
				t.Logf("%d bytes per packet down, %d up; %+v", perPacket, st.RxBytes/st.RxPackets, st)
				if few := perPacket > 4000; few != offload {
					t.Errorf("%d bytes per packet sent with offload %v", perPacket, offload)
				}
				if st.RxBadChecksum != 0 || st.TxCut != 0 || st.TxErrors != 0 || st.RxMalformed != 0 {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

// hasHostGSO is what netstack asks the route of each connection.
func hasHostGSO(t *testing.T, s *stack.Stack, to netip.Addr) bool {
	t.Helper()
	proto := header.IPv4ProtocolNumber
	if to.Is6() {
		proto = header.IPv6ProtocolNumber
	}
	r, err := s.Netstack().FindRoute(1, tcpip.Address{}, tcpip.AddrFromSlice(to.AsSlice()), proto, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	return r.HasHostGSOCapability()
}

// transfer makes two connections; the second has a cookie, and 65,535 bytes to go
// with the connect.
func transfer(t *testing.T, w *wire.Wire, s *stack.Stack, family int) {
	t.Helper()
	sums := make(chan [sha256.Size]byte, 1)
	srv, err := kernelpeer.Listen(w.Namespace, kernelpeer.ServerConfig{
		Address: netip.AddrPortFrom(w.PeerAddr(family), 0), FastOpen: 8, Handler: func(c *kernelpeer.Stream) error { sums <- mirror(c.TCP()); return nil },
	})
	check(t, err)
	t.Cleanup(func() { check(t, srv.Close()) })
	for i := range 2 {
		ep, err := s.NewEndpoint(fmt.Sprintf("tcp%d", family))
		check(t, err)
		wake := make(chan struct{}, 1)
		ep.SetWake(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		first := []byte(text(65535))
		check(t, ep.Connect(srv.Addr(), stack.ConnectOptions{Data: first}))
		sent, got := sha256.New(), sha256.New()
		sent.Write(first)
		pump(t, ep, wake, sent, got, bulk-len(first))
		if o := ep.FastOpenInfo(); i == 1 && (o.BytesInSYN < 1000 || o.BytesAccepted != o.BytesInSYN) {
			t.Errorf("Fast Open: %+v", o)
		}
		check(t, ep.Close())
		want := [sha256.Size]byte(sent.Sum(nil))
		if seen := <-sums; seen != want || [sha256.Size]byte(got.Sum(nil)) != want {
			t.Fatalf("connection %d: the bytes are not the same at both ends", i)
		}
	}
}

// pump writes n more bytes and reads all that come back, in step with the wake.
func pump(t *testing.T, ep *stack.Endpoint, wake <-chan struct{}, sent, got hash.Hash, n int) {
	t.Helper()
	block, in := []byte(text(256<<10)), make([]byte, 256<<10)
	finished := false
	for read := 0; ; {
		moved := false
		if n > 0 {
			m, err := ep.Write([][]byte{block[:min(n, len(block))]})
			if err != nil && !errors.Is(err, syscall.EAGAIN) {
				t.Fatal("write:", err)
			}
			sent.Write(block[:m])
			n, moved = n-m, m > 0
		} else if !finished {
			check(t, ep.CloseWrite())
			finished = true
		}
		m, err := ep.Read([][]byte{in})
		got.Write(in[:m])
		read += m
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil && !errors.Is(err, syscall.EAGAIN):
			t.Fatalf("read after %d bytes: %v", read, err)
		case !moved && m == 0:
			<-wake
		}
	}
}

// mirror sends back what it reads, and returns its sum.
func mirror(c *net.TCPConn) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.CopyBuffer(struct{ io.Writer }{c}, io.TeeReader(c, h), make([]byte, 256<<10))
	_ = c.CloseWrite()
	return [sha256.Size]byte(h.Sum(nil))
}
