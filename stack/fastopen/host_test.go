package fastopen_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A host is a real netstack on a Link, whose peer is the test itself: it reads
// what leaves, and hands in what arrives. Time stands still unless it is moved.
type host struct {
	t     *testing.T
	stack *gstack.Stack
	link  *fastopen.Link
	wire  *channel.Endpoint
	clock *faketime.ManualClock
	v6    bool

	iss seqnum.Value // of the connection at hand
}

const (
	nic     = 1
	irs     = seqnum.Value(0xfffff000)
	eight   = "\x01\x02\x03\x04\x05\x06\x07\x08"
	patient = 30 * time.Second // real time after which a test gives up
)

var (
	ours4, theirs4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	ours6, theirs6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1")
)

func newHost(t *testing.T, v6 bool, mtu uint32, cfg fastopen.Config) *host {
	t.Helper()
	h := &host{t: t, v6: v6, clock: faketime.NewManualClock(), wire: channel.New(256, mtu, "")}
	cfg.Clock = h.clock
	link, err := fastopen.New(h.wire, cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.link = link
	h.stack = newStack(t, h.clock, link)
	t.Cleanup(func() {
		// Not Destroy alone: it waits for the link's goroutine with a lock held
		// that a delivery may want.
		h.stack.Close()
		must(t, h.stack.RemoveNIC(nic))
		h.link.Wait()
		h.stack.Wait()
		h.wire.Close()
		h.left()
		if n := h.link.Stats().Openings; n != 0 {
			t.Errorf("%d openings are left behind", n)
		}
	})
	return h
}

func newStack(t *testing.T, clock tcpip.Clock, link gstack.LinkEndpoint) *gstack.Stack {
	t.Helper()
	s := gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
		Clock:              clock,
		SecureRNG:          &seeded{r: rand.New(rand.NewSource(1))},
		RandSource:         rand.NewSource(1),
	})
	recovery := tcpip.TCPRecovery(0)
	must(t, s.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery))
	must(t, s.CreateNIC(nic, link))
	for _, a := range []netip.Addr{ours4, ours6} {
		proto := ipv4.ProtocolNumber
		if a.Is6() {
			proto = ipv6.ProtocolNumber
		}
		must(t, s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol:          proto,
			AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix(),
		}, gstack.AddressProperties{}))
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return s
}

// seeded is a source of randomness that is the same each time, for netstack's
// goroutines to share.
type seeded struct {
	mu sync.Mutex
	r  *rand.Rand // guarded by mu
}

func (s *seeded) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(b)
}

func must(t *testing.T, err tcpip.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) theirs() netip.Addr {
	if h.v6 {
		return theirs6
	}
	return theirs4
}

// conn is an endpoint of the host's and its flow.
type conn struct {
	h    *host
	ep   tcpip.Endpoint
	wq   *waiter.Queue
	flow *fastopen.Flow
	wake chan struct{}
}

func (h *host) dial(payload string, mode fastopen.Mode) *conn {
	h.t.Helper()
	return h.dialFrom(0, payload, mode)
}

func (h *host) dialFrom(port uint16, payload string, mode fastopen.Mode) *conn {
	h.t.Helper()
	c := &conn{h: h, wq: new(waiter.Queue), wake: make(chan struct{}, 1)}
	proto := ipv4.ProtocolNumber
	if h.v6 {
		proto = ipv6.ProtocolNumber
	}
	ep, err := h.stack.NewEndpoint(tcp.ProtocolNumber, proto, c.wq)
	must(h.t, err)
	c.ep = ep
	entry := waiter.NewFunctionEntry(waiter.EventIn|waiter.EventOut|waiter.EventErr|waiter.EventHUp, func(waiter.EventMask) {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	})
	c.wq.EventRegister(&entry)
	c.flow = h.link.Offer(fastopen.OfferOptions{Payload: []byte(payload), Mode: mode})
	ep.SetOwner(c.flow)
	if port != 0 {
		ep.SocketOptions().SetReuseAddress(true)
		must(h.t, ep.Bind(tcpip.FullAddress{Port: port}))
	}
	to := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(h.theirs().AsSlice()), Port: 80}
	if _, started := ep.Connect(to).(*tcpip.ErrConnectStarted); !started {
		h.t.Fatal("connect did not start")
	}
	h.t.Cleanup(c.close)
	return c
}

func (c *conn) close() {
	c.flow.Release()
	c.ep.Abort()
}

// until waits for the endpoint to be in a state.
func (c *conn) until(what string, done func() bool) {
	c.h.t.Helper()
	timeout := time.After(patient)
	for !done() {
		select {
		case <-c.wake:
		case <-timeout:
			c.h.t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func (c *conn) established() {
	c.h.t.Helper()
	c.until("established", func() bool { return tcp.EndpointState(c.ep.State()) == tcp.StateEstablished })
}

func (c *conn) write(p string) {
	c.h.t.Helper()
	n, err := c.ep.Write(bytes.NewReader([]byte(p)), tcpip.WriteOptions{})
	must(c.h.t, err)
	if int(n) != len(p) {
		c.h.t.Fatalf("wrote %d of %d bytes", n, len(p))
	}
}

// read waits for n bytes.
func (c *conn) read(n int) string {
	c.h.t.Helper()
	var b bytes.Buffer
	c.until("there is something to read", func() bool {
		for b.Len() < n {
			if _, err := c.ep.Read(&b, tcpip.ReadOptions{}); err != nil {
				return false
			}
		}
		return true
	})
	return b.String()
}

// next is the next packet that leaves.
func (h *host) next() seg.Segment {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	pkt := h.wire.ReadContext(ctx)
	if pkt == nil {
		h.t.Fatal("nothing leaves")
	}
	return h.parse(pkt)
}

// handshakeACK is the ACK of a SYN-ACK that took data: nothing else carries it within
// a moment.
func (h *host) handshakeACK() seg.Segment {
	h.t.Helper()
	h.settle()
	h.clock.Advance(2 * time.Millisecond)
	return h.next()
}

func (h *host) parse(pkt *gstack.PacketBuffer) seg.Segment {
	h.t.Helper()
	v := pkt.ToView()
	b := bytes.Clone(v.AsSlice())
	v.Release()
	pkt.DecRef()
	s, err := seg.Parse(b)
	if err != nil {
		h.t.Fatal(err)
	}
	if !s.Verify() {
		h.t.Error("a packet with a wrong checksum leaves")
	}
	return s
}

// settle waits until netstack has done what the packets so far lead to.
func (h *host) settle() {
	h.link.Flush()
	h.stack.Pause()
	h.stack.Resume()
}

// left are the packets that have left, all processing done.
func (h *host) left() []seg.Segment {
	var all []seg.Segment
	for pkt := h.wire.Read(); pkt != nil; pkt = h.wire.Read() {
		all = append(all, h.parse(pkt))
	}
	return all
}

// arrive hands a segment of the peer's in.
func (h *host) arrive(s seg.Segment) { h.arriveRaw(s.Bytes()) }

func packetOf(b []byte) *gstack.PacketBuffer {
	return gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(bytes.Clone(b))})
}

func (h *host) arriveRaw(b []byte) {
	pkt := packetOf(b)
	defer pkt.DecRef()
	proto := header.IPv4ProtocolNumber
	if len(b) > 0 && b[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	h.wire.InjectInbound(proto, pkt)
}

// reply is a segment of the peer's; seq and ack are relative, as 1 is the first
// byte of data.
func (h *host) reply(to seg.Segment, flags seg.Flags, seq, ack int, options []byte, payload string) seg.Segment {
	if flags.Has(seg.SYN) && to.Flags() == seg.SYN {
		h.iss = to.Seq()
	}
	if options == nil {
		val, _, ok := to.Timestamps()
		switch {
		case flags.Has(seg.SYN):
			options = []byte{seg.OptMSS, 4, 5, 180, seg.OptSACKPerm, 2, seg.OptTS, 10, 0, 0, 0, 77}
			options = binary.BigEndian.AppendUint32(options, val)
			options = append(options, seg.OptNOP, seg.OptWScale, 3, 7)
		case ok:
			options = seg.TimestampOption(78, val)
		}
	}
	f := seg.Fields{Src: to.Dst(), Dst: to.Src(), Seq: irs.Add(seqnum.Size(seq)), Flags: flags, Window: 500,
		Options: options, Payload: []byte(payload)}
	if flags.Has(seg.ACK) {
		f.Ack = h.iss.Add(seqnum.Size(ack))
	}
	if flags.Has(seg.SYN) {
		f.Window = 64000
	}
	return seg.Make(f)
}

// teach makes the link know a cookie for the peer, by a connection of its own.
func (h *host) teach() {
	h.t.Helper()
	c := h.dial("", fastopen.ModeOn)
	syn := h.next()
	if o, ok := tfo.ParseOption(syn); !ok || !o.Cookie.Empty() {
		h.t.Fatal("the first SYN is no cookie request")
	}
	answer := h.reply(syn, seg.SYN|seg.ACK, 0, 1, nil, "")
	h.arrive(answer.Rebuild(append(bytes.Clone(answer.OptionBytes()), append([]byte{34, 10}, eight...)...), nil))
	h.next()
	c.established()
	c.close()
	if !h.next().Flags().Has(seg.RST) {
		h.t.Fatal("no reset after the abort")
	}
}

// rel is the sequence number of a segment of ours, relative.
func (h *host) rel(s seg.Segment) int { return int(int32(s.Seq() - h.iss)) }
