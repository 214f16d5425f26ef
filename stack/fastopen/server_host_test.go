package fastopen_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A server is a host with a listening endpoint; the test is its client. Numbers
// are relative: 0 is ISS going down and IRS going up.
type server struct {
	*host
	ep     tcpip.Endpoint
	wake   chan struct{}
	tfo    *fastopen.Listener
	client netip.AddrPort
	local  netip.AddrPort
	syn    []byte // options of the SYN
	window uint16 // of the SYN
	ts     bool
}

const httpPort = 80

// clientOptions are those of a SYN: MSS, SACK, timestamps (77, 0), scale 7.
func clientOptions() []byte {
	return []byte{seg.OptMSS, 4, 5, 180, seg.OptSACKPerm, 2, seg.OptTS, 10, 0, 0, 0, 77, 0, 0, 0, 0,
		seg.OptNOP, seg.OptWScale, 3, 7}
}

// serve makes a listening endpoint, and Fast Open beside it unless cfg is nil.
func serve(h *host, backlog int, cfg *fastopen.ListenConfig) *server {
	h.t.Helper()
	s := &server{host: h, wake: make(chan struct{}, 1), syn: clientOptions(), window: 64000, ts: true,
		client: netip.AddrPortFrom(h.theirs(), 50000), local: netip.AddrPortFrom(h.own(), httpPort)}
	wq := new(waiter.Queue)
	ep, err := h.stack.NewEndpoint(tcp.ProtocolNumber, h.proto(), wq)
	must(h.t, err)
	s.ep = ep
	watch(wq, s.wake)
	must(h.t, ep.Bind(tcpip.FullAddress{Port: httpPort}))
	must(h.t, ep.Listen(backlog))
	if cfg != nil {
		ln, err := h.link.Listen(netip.AddrPortFrom(netip.Addr{}, httpPort), *cfg)
		if err != nil {
			h.t.Fatal(err)
		}
		s.tfo = ln
		h.t.Cleanup(ln.Close)
	}
	h.t.Cleanup(ep.Close)
	return s
}

// own is the host's address.
func (h *host) own() netip.Addr {
	if h.v6 {
		return ours6
	}
	return ours4
}

func (h *host) proto() tcpip.NetworkProtocolNumber {
	if h.v6 {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}

func watch(wq *waiter.Queue, wake chan struct{}) {
	entry := waiter.NewFunctionEntry(waiter.EventIn|waiter.EventOut|waiter.EventErr|waiter.EventHUp, func(waiter.EventMask) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	wq.EventRegister(&entry)
}

// accept waits for a connection.
func (s *server) accept() *conn {
	s.t.Helper()
	c := &conn{h: s.host, wake: s.wake}
	c.until("a connection is there", func() bool {
		ep, wq, err := s.ep.Accept(nil)
		if err != nil {
			return false
		}
		c.ep, c.wq = ep, wq
		return true
	})
	c.wake = make(chan struct{}, 1)
	watch(c.wq, c.wake)
	s.t.Cleanup(c.ep.Abort)
	return c
}

// none says that there is nothing to accept.
func (s *server) none() {
	s.t.Helper()
	s.settle()
	if _, _, err := s.ep.Accept(nil); err == nil {
		s.t.Error("a connection is there")
	}
}

// cookie is the option with the client's cookie.
func (s *server) cookie() []byte {
	s.t.Helper()
	k, err := s.link.Keys()
	if err != nil {
		s.t.Fatal(err)
	}
	return append([]byte{34, 10}, k.Primary.Cookie(s.client.Addr(), s.local.Addr()).Bytes()...)
}

// request is the option that asks for one.
func request() []byte { return []byte{34, 2} }

// hello hands in a SYN with these options behind the usual ones.
func (s *server) hello(extra []byte, payload string) {
	s.t.Helper()
	s.helloWith(seg.SYN, extra, payload)
}

func (s *server) helloWith(flags seg.Flags, extra []byte, payload string) {
	s.t.Helper()
	s.arrive(seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs, Flags: flags, Window: s.window,
		Options: append(append([]byte(nil), s.syn...), extra...), Payload: []byte(payload)}))
}

// send hands in any other segment of the client's.
func (s *server) send(flags seg.Flags, seq, ack int, payload string) {
	s.t.Helper()
	s.sendWith(flags, seq, ack, nil, payload)
}

func (s *server) sendWith(flags seg.Flags, seq, ack int, extra []byte, payload string) {
	s.t.Helper()
	f := seg.Fields{Src: s.client, Dst: s.local, Seq: irs.Add(seqnum.Size(seq)), Flags: flags, Window: 500, Payload: []byte(payload)}
	if flags.Has(seg.ACK) {
		f.Ack = s.iss.Add(seqnum.Size(ack))
	}
	if s.ts {
		f.Options = seg.TimestampOption(78, 0)
	}
	f.Options = append(f.Options, extra...)
	s.arrive(seg.Make(f))
}

// answer waits for the SYN-ACK, which must acknowledge ack and bring a cookie or
// not.
func (s *server) answer(ack int, cookie bool) seg.Segment {
	s.t.Helper()
	a := s.next()
	s.iss = a.Seq()
	if a.Flags() != seg.SYN|seg.ACK || a.Ack() != irs.Add(seqnum.Size(ack)) || len(a.Payload()) != 0 {
		s.t.Fatalf("%v ack %d with %d bytes, want SYN-ACK ack %d", a.Flags(), a.Ack()-irs, len(a.Payload()), ack)
	}
	o, has := tfo.ParseOption(a)
	if has != cookie || cookie && o.Cookie.Empty() {
		s.t.Errorf("Fast Open option in the SYN-ACK: %t, want %t", has, cookie)
	}
	return a
}

// opened is a connection whose client has not said a word since its SYN.
func (s *server) opened(payload string) *conn {
	s.t.Helper()
	s.hello(s.cookie(), payload)
	c := s.accept()
	s.answer(1+len(payload), false)
	return c
}

// out is the next packet, which must be as given.
func (s *server) out(flags seg.Flags, seq, ack int, payload string) seg.Segment {
	s.t.Helper()
	p := s.next()
	if p.Flags()&^seg.PSH != flags || s.rel(p) != seq || flags.Has(seg.ACK) && p.Ack() != irs.Add(seqnum.Size(ack)) || string(p.Payload()) != payload {
		s.t.Errorf("%v %d ack %d, %d bytes leaves; want %v %d ack %d, %d bytes",
			p.Flags(), s.rel(p), p.Ack()-irs, len(p.Payload()), flags, seq, ack, len(payload))
	}
	return p
}

// quiet says that nothing leaves.
func (s *server) quiet() {
	s.t.Helper()
	s.settle()
	for _, p := range s.left() {
		s.t.Errorf("%v %d ack %d with %d bytes leaves", p.Flags(), s.rel(p), p.Ack()-irs, len(p.Payload()))
	}
}

// drain empties the wire.
func (s *server) drain() { s.settle(); s.left() }

// fails reads until that fails, and returns how.
func (c *conn) fails() tcpip.Error {
	c.h.t.Helper()
	var err tcpip.Error
	c.until("reading fails", func() bool {
		for err = nil; err == nil; {
			_, err = c.ep.Read(new(bytes.Buffer), tcpip.ReadOptions{})
		}
		_, wait := err.(*tcpip.ErrWouldBlock)
		return !wait
	})
	return err
}

func (s *server) pending(want int) {
	s.t.Helper()
	if n := s.tfo.Stats().Pending; n != want {
		s.t.Errorf("%d are pending, want %d", n, want)
	}
}

// sackBlock is a SACK option, padded.
func sackBlock(from, to seqnum.Value) []byte {
	b := []byte{seg.OptNOP, seg.OptNOP, seg.OptSACK, 10}
	b = binary.BigEndian.AppendUint32(b, uint32(from))
	return binary.BigEndian.AppendUint32(b, uint32(to))
}

// bothServers runs a test for either family, with a clock that is no longer
// young.
func bothServers(t *testing.T, backlog int, cfg *fastopen.ListenConfig, f func(t *testing.T, s *server)) {
	t.Helper()
	both(t, func(t *testing.T, h *host) {
		h.clock.Advance(time.Minute)
		f(t, serve(h, backlog, cfg))
	})
}
