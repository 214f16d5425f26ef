package fastopen_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Two halves are a client and a server, each on a Link, joined by a wire that
// the test listens to. They may be two stacks or one that talks to itself.
type halves struct {
	t              *testing.T
	client, server *host
	to             netip.AddrPort

	mu    sync.Mutex
	trace []seg.Segment // guarded by mu; in the order of the wire
}

// newHalves joins two stacks.
func newHalves(t *testing.T, v6 bool) *halves {
	t.Helper()
	h := &halves{t: t, client: newHost(t, v6, 1500, fastopen.Config{}), server: newHost(t, v6, 1500, fastopen.Config{})}
	h.move(h.client.stack, ours4, theirs4)
	h.move(h.client.stack, ours6, theirs6)
	h.to = netip.AddrPortFrom(h.server.own(), httpPort)
	h.pump(h.client.wire, h.server.wire)
	h.pump(h.server.wire, h.client.wire)
	return h
}

// newSelf joins a stack to itself.
func newSelf(t *testing.T, v6 bool) *halves {
	t.Helper()
	one := newHost(t, v6, 1500, fastopen.Config{})
	h := &halves{t: t, client: one, server: one, to: netip.AddrPortFrom(one.own(), httpPort)}
	h.pump(one.wire, one.wire)
	return h
}

// move gives a stack another address.
func (h *halves) move(s *gstack.Stack, from, to netip.Addr) {
	h.t.Helper()
	must(h.t, s.RemoveAddress(nic, tcpip.AddrFromSlice(from.AsSlice())))
	proto := tcpip.NetworkProtocolNumber(0x0800)
	if to.Is6() {
		proto = 0x86dd
	}
	must(h.t, s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol: proto, AddressWithPrefix: tcpip.AddrFromSlice(to.AsSlice()).WithPrefix(),
	}, gstack.AddressProperties{}))
}

// pump carries what leaves one end to the other until the test ends.
func (h *halves) pump(from, to *channel.Endpoint) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pkt := from.ReadContext(ctx); pkt != nil; pkt = from.ReadContext(ctx) {
			h.carry(pkt, to)
		}
	}()
	h.t.Cleanup(func() { cancel(); <-done })
}

func (h *halves) carry(pkt *gstack.PacketBuffer, to *channel.Endpoint) {
	v := pkt.ToView()
	b := bytes.Clone(v.AsSlice())
	v.Release()
	proto := pkt.NetworkProtocolNumber
	pkt.DecRef()
	if s, err := seg.Parse(b); err != nil || !s.Verify() {
		h.t.Errorf("a packet that is not whole leaves: %v", err)
	} else {
		h.mu.Lock()
		h.trace = append(h.trace, s.Clone())
		h.mu.Unlock()
	}
	in := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	defer in.DecRef()
	to.InjectInbound(proto, in)
}

// ladder is what was on the wire since it was last asked.
func (h *halves) ladder() []seg.Segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.trace
	h.trace = nil
	return all
}

// connect opens a connection whose first bytes are payload.
func (h *halves) connect(payload string, mode fastopen.Mode) *conn {
	h.t.Helper()
	c := &conn{h: h.client, wq: new(waiter.Queue), wake: make(chan struct{}, 1)}
	ep, err := h.client.stack.NewEndpoint(tcp.ProtocolNumber, h.client.proto(), c.wq)
	must(h.t, err)
	c.ep = ep
	watch(c.wq, c.wake)
	c.flow = h.client.link.Offer(fastopen.OfferOptions{Payload: []byte(payload), Mode: mode})
	ep.SetOwner(c.flow)
	to := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(h.to.Addr().AsSlice()), Port: h.to.Port()}
	if _, started := ep.Connect(to).(*tcpip.ErrConnectStarted); !started {
		h.t.Fatal("connect did not start")
	}
	h.t.Cleanup(c.close)
	return c
}

// eachHalves runs a test for two stacks and for one, and for either family.
func eachHalves(t *testing.T, f func(t *testing.T, h *halves)) {
	t.Helper()
	for name, join := range map[string]func(*testing.T, bool) *halves{"two stacks": newHalves, "one stack": newSelf} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, IPv6 %t", name, v6), func(t *testing.T) { f(t, join(t, v6)) })
		}
	}
}

func TestBothHalves(t *testing.T) {
	covers.IDs(t, "B-11", "H-35", "S-02", "S-06", "C-02", "C-19", "P2")
	eachHalves(t, func(t *testing.T, h *halves) {
		s := serve(h.server, 16, &fastopen.ListenConfig{})
		for i := range 3 {
			c := h.connect(text(1000), fastopen.ModeDefault)
			served := s.accept()
			c.established()
			c.write(text(1000))
			if got := served.read(1000); got != text(1000) {
				t.Error("the server reads other bytes")
			}
			served.write("answer")
			if got := c.read(6); got != "answer" {
				t.Errorf("the client reads %q", got)
			}
			o := c.flow.Outcome()
			if i == 0 && (o.Cookie != tfo.CookieGranted || o.BytesInSYN != 0) || i > 0 && (o.BytesInSYN != 1000 || o.BytesAccepted != 1000) {
				t.Errorf("connection %d: %+v", i, o)
			}
			n := 0
			for _, p := range h.ladder() {
				if p.Dst().Port() == httpPort {
					n += len(p.Payload())
				}
			}
			if n != 1000 {
				t.Errorf("connection %d: %d bytes on the wire, want each once", i, n)
			}
			c.close()
			served.fails()
		}
		cs, ss := h.client.link.Stats(), s.tfo.Stats()
		if cs.TCPFastOpenActive != 2 || ss.TCPFastOpenPassive != 2 || ss.TCPFastOpenCookieReqd != 1 || ss.TCPFastOpenPassiveFail != 0 {
			t.Errorf("client %+v\nserver %+v", cs, ss)
		}
	})
}

func TestBothHalvesWithoutCookie(t *testing.T) {
	covers.IDs(t, "C-52", "S-17", "H-35")
	eachHalves(t, func(t *testing.T, h *halves) {
		s := serve(h.server, 16, &fastopen.ListenConfig{Cookieless: true})
		c := h.connect("hello", fastopen.ModeCookieless)
		served := s.accept()
		if got := served.read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		c.established()
		c.write("hello")
		if o := c.flow.Outcome(); o.BytesAccepted != 5 {
			t.Errorf("%+v", o)
		}
	})
}

func TestServerSpeaksFirstToOurClient(t *testing.T) {
	covers.IDs(t, "S-07", "S-08", "H-12", "H-35")
	eachHalves(t, func(t *testing.T, h *halves) {
		s := serve(h.server, 16, &fastopen.ListenConfig{})
		h.connect("", fastopen.ModeDefault).established()
		s.accept()
		c := h.connect("", fastopen.ModeDefault)
		served := s.accept()
		served.write(text(20000))
		if got := c.read(20000); got != text(20000) {
			t.Error("other bytes")
		}
	})
}

func TestKeysChangeUnderOurClient(t *testing.T) {
	covers.IDs(t, "S-09", "S-14", "C-26")
	eachHalves(t, func(t *testing.T, h *halves) {
		s := serve(h.server, 16, &fastopen.ListenConfig{})
		exchange := func(wantAccepted int) {
			t.Helper()
			c := h.connect("hello", fastopen.ModeDefault)
			served := s.accept()
			c.established()
			c.write("hello")
			if got := served.read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			if o := c.flow.Outcome(); o.BytesAccepted != wantAccepted {
				t.Errorf("%+v, want %d bytes accepted", o, wantAccepted)
			}
		}
		rotate := func() {
			if err := h.server.link.RotateKeys(); err != nil {
				t.Fatal(err)
			}
		}
		exchange(0)
		exchange(5)
		rotate()
		exchange(5) // by the backup key, with a new cookie
		rotate()
		exchange(5)
		rotate()
		rotate()
		exchange(0) // forgotten: a new cookie
		exchange(5)
	})
}
