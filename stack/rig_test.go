package stack_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

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

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/seg"
)

// rig is a stack whose peer is the test: what it sends is taken off its link, and
// the test makes the answers. Its clock stands still unless it is moved.
type rig struct {
	t     testing.TB
	stack *stack.Stack // nil for a bare netstack
	ns    *gstack.Stack
	link  *channel.Endpoint
	clock *faketime.ManualClock
	local netip.Addr
	peer  netip.AddrPort
}

var rigPeer = netip.MustParseAddrPort("10.0.0.2:80")

// newRig makes one of this package's stacks.
func newRig(t testing.TB, cfg stack.Config) *rig {
	t.Helper()
	r := &rig{t: t, link: channel.New(512, 1500, ""), clock: faketime.NewManualClock(), local: addrA, peer: rigPeer}
	cfg.Link, cfg.Clock, cfg.Addresses = r.link, r.clock, prefixes(addrA, addrA6)
	r.stack = newStack(t, cfg)
	r.ns = r.stack.Netstack()
	t.Cleanup(func() { r.link.Drain() })
	return r
}

// newBareRig makes a netstack as it comes, with nothing of ours in between: what
// a test sees is netstack's doing.
func newBareRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, link: channel.New(512, 1500, ""), clock: faketime.NewManualClock(), local: addrA, peer: rigPeer}
	r.ns = bareNetstack(t, r.link, r.clock, addrA, nil)
	t.Cleanup(func() { r.link.Drain() })
	return r
}

func bareNetstack(t testing.TB, link gstack.LinkEndpoint, clock tcpip.Clock, addr netip.Addr, opts *gstack.Options) *gstack.Stack {
	t.Helper()
	if opts == nil {
		opts = &gstack.Options{}
	}
	opts.NetworkProtocols = []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol}
	opts.TransportProtocols = []gstack.TransportProtocolFactory{tcp.NewProtocolCUBIC}
	opts.Clock = clock
	ns := gstack.New(*opts)
	t.Cleanup(ns.Destroy)
	if err := ns.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	if err := ns.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol:          header.IPv4ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom4(addr.As4()).WithPrefix(),
	}, gstack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	ns.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	return ns
}

// settle returns when netstack has worked off every segment that it was given:
// Pause waits for its processors to have empty queues.
func (r *rig) settle() {
	r.ns.Pause()
	r.ns.Resume()
}

// all takes what the stack has sent so far.
func (r *rig) all() []seg.Segment {
	r.t.Helper()
	r.settle()
	var out []seg.Segment
	for {
		pkt := r.link.Read()
		if pkt == nil {
			return out
		}
		v := pkt.ToView()
		s, err := seg.Parse(v.ToSlice())
		v.Release()
		pkt.DecRef()
		if err != nil {
			r.t.Fatalf("the stack sent %v", err)
		}
		if !s.Verify() {
			r.t.Errorf("the stack sent a wrong checksum: %v", describe(s))
		}
		out = append(out, s)
	}
}

// next takes the one segment that the stack has sent.
func (r *rig) next() seg.Segment {
	r.t.Helper()
	all := r.all()
	if len(all) != 1 {
		for _, s := range all {
			r.t.Log(describe(s))
		}
		r.t.Fatalf("the stack sent %d segments, want 1", len(all))
	}
	return all[0]
}

// silent says that the stack has sent nothing.
func (r *rig) silent(why string) {
	r.t.Helper()
	for _, s := range r.all() {
		r.t.Errorf("%s: the stack sent %v", why, describe(s))
	}
}

func describe(s seg.Segment) string {
	return s.Src().String() + " > " + s.Dst().String() + " " + s.Flags().String()
}

// send gives the stack a segment from the peer.
func (r *rig) send(f seg.Fields) {
	r.t.Helper()
	if !f.Src.IsValid() {
		f.Src = r.peer
	}
	r.inject(seg.Make(f).Bytes())
}

// inject gives the stack an IP packet, and lets it work it off.
func (r *rig) inject(packet []byte) {
	r.deliver(packet)
	r.settle()
}

// deliver gives the stack an IP packet that may be its last.
func (r *rig) deliver(packet []byte) {
	proto := header.IPv4ProtocolNumber
	if header.IPVersion(packet) == header.IPv6Version {
		proto = header.IPv6ProtocolNumber
	}
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	r.link.InjectInbound(proto, pkt)
	pkt.DecRef()
}

// answer gives the stack a segment in answer to one of its own.
func (r *rig) answer(to seg.Segment, flags seg.Flags, seq, ack seqnum.Value, options, payload []byte) {
	r.t.Helper()
	r.send(seg.Fields{Src: to.Dst(), Dst: to.Src(), Flags: flags, Seq: seq, Ack: ack, Window: 0xffff, Options: options, Payload: payload})
}

// socket makes a bare TCP endpoint.
func (r *rig) socket() (tcpip.Endpoint, *waiter.Queue) {
	r.t.Helper()
	q := new(waiter.Queue)
	ep, err := r.ns.NewEndpoint(tcp.ProtocolNumber, header.IPv4ProtocolNumber, q)
	if err != nil {
		r.t.Fatal(err)
	}
	return ep, q
}

// connect makes a bare endpoint send its SYN.
func (r *rig) connect() (tcpip.Endpoint, seg.Segment) {
	r.t.Helper()
	ep, _ := r.socket()
	err := ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom4(r.peer.Addr().As4()), Port: r.peer.Port()})
	if _, ok := err.(*tcpip.ErrConnectStarted); !ok {
		r.t.Fatalf("Connect: %v", err)
	}
	return ep, r.next()
}

// establish connects a bare endpoint; the peer's next sequence number is irs+1.
func (r *rig) establish(irs seqnum.Value) (tcpip.Endpoint, seg.Segment) {
	r.t.Helper()
	ep, syn := r.connect()
	r.answer(syn, seg.SYN|seg.ACK, irs, syn.Seq().Add(1), nil, nil)
	r.next()
	return ep, syn
}

// listener makes a bare endpoint that listens on port 80.
func (r *rig) listener(backlog int) tcpip.Endpoint {
	r.t.Helper()
	ep, _ := r.socket()
	if err := ep.Bind(tcpip.FullAddress{Port: 80}); err != nil {
		r.t.Fatal(err)
	}
	if err := ep.Listen(backlog); err != nil {
		r.t.Fatal(err)
	}
	return ep
}

// client is a segment from a client to the listener.
func (r *rig) client(port uint16, flags seg.Flags, seq, ack seqnum.Value, options, payload []byte) {
	r.t.Helper()
	r.send(seg.Fields{
		Src: netip.AddrPortFrom(r.peer.Addr(), port), Dst: netip.AddrPortFrom(r.local, 80),
		Flags: flags, Seq: seq, Ack: ack, Window: 0xffff, Options: options, Payload: payload,
	})
}

// contents reads all that an endpoint has.
func contents(t testing.TB, ep tcpip.Endpoint) string {
	t.Helper()
	var b sliceWriter
	for {
		if _, err := ep.Read(&b, tcpip.ReadOptions{}); err != nil {
			return string(b)
		}
	}
}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// at moves the clock to a time after its beginning and returns what was sent.
func (r *rig) at(d time.Duration) []seg.Segment {
	r.clock.Advance(d - r.clock.Now().Sub(time.Unix(0, 0)))
	return r.all()
}

// wait takes the next segment that the stack sends, whenever it does.
func (r *rig) wait() seg.Segment {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	pkt := r.link.ReadContext(ctx)
	if pkt == nil {
		r.t.Fatalf("the stack sent nothing in %v", guard)
	}
	v := pkt.ToView()
	s, err := seg.Parse(v.ToSlice())
	v.Release()
	pkt.DecRef()
	if err != nil {
		r.t.Fatalf("the stack sent %v", err)
	}
	return s
}

// dial connects an endpoint of the stack and answers its SYN; the peer's next
// sequence number is irs+1. It returns the SYN.
func (r *rig) dial(e *stack.Endpoint, opts stack.ConnectOptions, irs seqnum.Value, synAckOptions []byte) seg.Segment {
	r.t.Helper()
	if err := e.Connect(r.peer, opts); err != nil {
		r.t.Fatal(err)
	}
	syn := r.wait()
	r.answer(syn, seg.SYN|seg.ACK, irs, syn.End(), synAckOptions, nil)
	return syn
}

// fragments cuts an IPv4 packet in two, behind the first 24 bytes of its TCP header.
func fragments(packet []byte) [][]byte {
	const cut = 24
	const ipLen = header.IPv4MinimumSize
	first, second := slices.Clone(packet[:ipLen+cut]), slices.Concat(packet[:ipLen], packet[ipLen+cut:])
	for i, b := range [][]byte{first, second} {
		ip := header.IPv4(b)
		flags, offset := uint8(header.IPv4FlagMoreFragments), uint16(0)
		if i == 1 {
			flags, offset = 0, cut
		}
		ip.SetFlagsFragmentOffset(flags, offset)
		ip.SetID(7)
		ip.SetTotalLength(uint16(len(b)))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
	}
	return [][]byte{first, second}
}

func seqSize(b []byte) seqnum.Size { return seqnum.Size(len(b)) }
