package stack_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// The tests in this file pin facts about netstack that this project leans on:
// each fails when a new version of netstack is different. They run on netstack as
// it comes. NETSTACK.md says what leans on which.

// timestamps makes the options of an ordinary SYN or SYN-ACK with timestamps.
func timestamps() []byte { return seg.TimestampOption(1000, 0) }

// kinds lists the kinds of a segment's options in their order.
func kinds(s seg.Segment) []byte {
	var k []byte
	for kind := range s.Options() {
		k = append(k, kind)
	}
	return k
}

func TestPinOptionBudget(t *testing.T) {
	covers.IDs(t, "PIN-option-budget")
	r := newBareRig(t)
	_, syn := r.connect()
	// MSS; SACK permitted and timestamps without padding; NOP and window scale.
	if got, want := kinds(syn), []byte{2, 4, 8, 3}; !bytes.Equal(got, want) {
		t.Errorf("option kinds %v, want %v", got, want)
	}
	if b := syn.OptionBytes(); len(b) != 20 || b[16] != header.TCPOptionNOP {
		t.Errorf("the options are % x: %d bytes, want 20 with a NOP before the window scale", b, len(b))
	}
	if syn.OptionRoom() != 20 {
		t.Errorf("%d bytes are left for a cookie, want 20", syn.OptionRoom())
	}
	if mss, ok := syn.MSS(); mss != 1460 || !ok {
		t.Errorf("MSS %d", mss)
	}
}

func TestPinOptionBudgetIPv6(t *testing.T) {
	covers.IDs(t, "PIN-option-budget")
	r := newBareRig(t)
	if err := r.ns.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol:          header.IPv6ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom16(addrA6.As16()).WithPrefix(),
	}, gstack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	r.ns.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: 1})
	ep, err := r.ns.NewEndpoint(tcp.ProtocolNumber, header.IPv6ProtocolNumber, new(waiter.Queue))
	if err != nil {
		t.Fatal(err)
	}
	_ = ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom16(addrB6.As16()), Port: 80})
	syn := r.next()
	if got := kinds(syn); !bytes.Equal(got, []byte{2, 4, 8, 3}) || syn.OptionRoom() != 20 {
		t.Errorf("option kinds %v, room %d", got, syn.OptionRoom())
	}
}

func TestPinSYNBurst(t *testing.T) {
	covers.IDs(t, "PIN-syn-burst")
	r := newBareRig(t)
	_, syn := r.connect()
	bad := syn.Seq().Add(6) // as a SYN-ACK that acknowledges five bytes of data
	r.answer(syn, seg.SYN|seg.ACK, 100, bad, nil, nil)
	if rst := r.next(); rst.Flags() != seg.RST || rst.Seq() != bad {
		t.Errorf("the answer is %v at %d, want a RST at the number acknowledged", describe(rst), rst.Seq())
	}
	// From now the SYN is repeated after 2 µs, 4 µs more, 8 µs more, ...
	var at []time.Duration
	for range 4_000_000 / 2 {
		r.clock.Advance(2 * time.Microsecond)
		if r.link.NumQueued() == 0 {
			continue
		}
		for _, s := range r.all() {
			if s.Flags() != seg.SYN || s.Seq() != syn.Seq() {
				t.Errorf("sent %v", describe(s))
			}
			at = append(at, r.clock.Now().Sub(time.Unix(0, 0)))
		}
	}
	if len(at) != 20 {
		t.Fatalf("%d SYNs in 4 s, want 20: %v", len(at), at)
	}
	for i, d := range at {
		if want := time.Duration(2<<(i+1)-2) * time.Microsecond; d != want {
			t.Errorf("SYN %d after %v, want %v", i, d, want)
		}
	}
}

func TestPinSYNACKPayload(t *testing.T) {
	covers.IDs(t, "PIN-synack-payload")
	r := newBareRig(t)
	ep, syn := r.connect()
	r.answer(syn, seg.SYN|seg.ACK|seg.FIN, 100, syn.Seq().Add(1), nil, []byte("hello"))
	if ack := r.next(); ack.Ack() != 101 || ack.Flags() != seg.ACK {
		t.Errorf("answered with %v, acknowledging %d, want 101", describe(ack), ack.Ack())
	}
	if got := contents(t, ep); got != "" {
		t.Errorf("%q of the SYN-ACK's payload was delivered", got)
	}
	if state := tcp.EndpointState(ep.State()); state != tcp.StateEstablished {
		t.Errorf("state %v: the SYN-ACK's FIN was looked at", state)
	}
}

func TestPinSYNSchedule(t *testing.T) {
	covers.IDs(t, "PIN-syn-schedule")
	r := newBareRig(t)
	retries := tcpip.TCPSynRetriesOption(2) // stored, never used
	if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &retries); err != nil {
		t.Fatal(err)
	}
	ep, first := r.connect()
	for _, seconds := range []int{1, 3, 7, 15, 31, 63} {
		due := time.Duration(seconds) * time.Second
		if early := r.at(due - time.Millisecond); len(early) != 0 {
			t.Errorf("%d segments before %v", len(early), due)
		}
		again := r.at(due)
		if len(again) != 1 || !bytes.Equal(again[0].Bytes()[first.IPHeaderLen():], first.Bytes()[first.IPHeaderLen():]) {
			t.Errorf("at %v: %d segments, want the first SYN again, timestamp included", due, len(again))
		}
	}
	r.at(127*time.Second - time.Millisecond)
	if state := tcp.EndpointState(ep.State()); state != tcp.StateSynSent {
		t.Errorf("before 127 s: %v", state)
	}
	r.at(127 * time.Second)
	if err, ok := ep.LastError().(*tcpip.ErrTimeout); !ok {
		t.Errorf("at 127 s: %v", err)
	}
}

func TestPinAckAboveNext(t *testing.T) {
	covers.IDs(t, "PIN-ack-above-nxt")
	r := newBareRig(t)
	ep, syn := r.establish(100)
	r.answer(syn, seg.ACK|seg.PSH, 101, syn.Seq().Add(1000), nil, []byte("data"))
	ack := r.next()
	if ack.Ack() != 105 {
		t.Errorf("acknowledged %d, want 105", ack.Ack())
	}
	if got := contents(t, ep); got != "data" {
		t.Errorf("delivered %q", got)
	}
	// Its acknowledgement was ignored: what is written next begins at ISS+1.
	if _, err := ep.Write(bytes.NewReader([]byte("mine")), tcpip.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := r.next(); s.Seq() != syn.Seq().Add(1) || string(s.Payload()) != "mine" {
		t.Errorf("wrote %q at ISS+%d", s.Payload(), syn.Seq().Size(s.Seq()))
	}
}

func TestPinListenerSYNData(t *testing.T) {
	covers.IDs(t, "PIN-listener-syn-data")
	r := newBareRig(t)
	r.listener(10)
	r.client(999, seg.SYN, 100, 0, nil, []byte("early"))
	if s := r.next(); s.Flags() != seg.SYN|seg.ACK || s.Ack() != 101 {
		t.Errorf("answered with %v, acknowledging %d", describe(s), s.Ack())
	}
}

// accepted takes a connection off a listener and says what is in it.
func accepted(t *testing.T, l tcpip.Endpoint) (tcpip.Endpoint, string) {
	t.Helper()
	ep, _, err := l.Accept(nil)
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return ep, contents(t, ep)
}

func TestPinHandshakeAckData(t *testing.T) {
	covers.IDs(t, "PIN-handshake-ack-data")
	for _, flags := range []seg.Flags{seg.ACK, seg.ACK | seg.FIN} {
		r := newBareRig(t)
		l := r.listener(10)
		r.client(999, seg.SYN, 100, 0, nil, nil)
		synAck := r.next()
		r.client(999, flags, 101, synAck.Seq().Add(1), nil, []byte("early"))
		ep, got := accepted(t, l)
		if got != "early" {
			t.Errorf("%v: delivered %q", flags, got)
		}
		fin := tcp.EndpointState(ep.State()) == tcp.StateCloseWait
		if fin != flags.Has(seg.FIN) {
			t.Errorf("%v: state %v", flags, tcp.EndpointState(ep.State()))
		}
		ep.Abort()
	}
}

func TestPinCookieAckData(t *testing.T) {
	covers.IDs(t, "PIN-cookie-ack-data")
	r := newBareRig(t)
	always := tcpip.TCPAlwaysUseSynCookies(true)
	if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &always); err != nil {
		t.Fatal(err)
	}
	l := r.listener(10)
	r.client(999, seg.SYN, 100, 0, nil, nil)
	synAck := r.next()
	if _, scale := synAck.WScale(); scale || synAck.Ack() != 101 {
		t.Errorf("%v with a window scale: not a SYN cookie", describe(synAck))
	}
	r.client(999, seg.ACK, 101, synAck.Seq().Add(1), nil, []byte("early"))
	ep, got := accepted(t, l)
	if got != "early" {
		t.Errorf("delivered %q", got)
	}
	ep.Abort()
}

func TestPinTimestampRequired(t *testing.T) {
	covers.IDs(t, "PIN-ts-required")
	r := newBareRig(t)
	l := r.listener(10)
	r.client(999, seg.SYN, 100, 0, timestamps(), nil)
	synAck := r.next()
	val, _, ok := synAck.Timestamps()
	if !ok {
		t.Fatal("the SYN-ACK has no timestamps")
	}
	r.client(999, seg.ACK, 101, synAck.Seq().Add(1), nil, []byte("early"))
	r.silent("an ACK without timestamps")
	if _, _, err := l.Accept(nil); err == nil {
		t.Error("an ACK without timestamps completed the handshake")
	}
	r.client(999, seg.ACK, 101, synAck.Seq().Add(1), seg.TimestampOption(1001, val), []byte("early"))
	ep, got := accepted(t, l)
	if got != "early" {
		t.Errorf("delivered %q", got)
	}
	ep.Abort()
}

func TestPinForwarderAck(t *testing.T) {
	covers.IDs(t, "PIN-forwarder-ack")
	r := newBareRig(t)
	made := make(chan tcpip.Endpoint, 1)
	f := tcp.NewForwarder(r.ns, 0, 1, func(req *tcp.ForwarderRequest) {
		ep, err := req.CreateEndpoint(new(waiter.Queue))
		req.Complete(false)
		if err != nil {
			t.Errorf("CreateEndpoint: %v", err)
			ep = nil
		}
		made <- ep
	})
	r.ns.SetTransportProtocolHandler(tcp.ProtocolNumber, f.HandlePacket)
	forged := netip.MustParseAddrPort("192.0.2.66:6666")
	to := netip.AddrPortFrom(r.local, 80)
	r.send(seg.Fields{Src: forged, Dst: to, Flags: seg.SYN, Seq: 100, Window: 1000})
	synAck := r.wait() // the handshake has a goroutine of its own
	blind := synAck.Seq() + 0x1234_5678
	r.send(seg.Fields{Src: forged, Dst: to, Flags: seg.ACK, Seq: 101, Ack: blind, Window: 1000, Payload: []byte("forged")})
	ep := <-made
	if ep == nil {
		t.FailNow()
	}
	r.settle()
	if got := contents(t, ep); got != "forged" {
		t.Errorf("delivered %q", got)
	}
	ep.Abort()
}

// TestPinPortGivenBack: the reservation of a live connection's port can be given back.
// The connection lives on, its addresses and ports are refused to others all the same, and
// when it ends nobody else's reservation goes.
func TestPinPortGivenBack(t *testing.T) {
	covers.IDs(t, "PIN-port-given-back")
	r := newBareRig(t)
	ep, syn := r.establish(100)
	port := syn.Src().Port()
	reservation := ports.Reservation{
		Networks: []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber}, Transport: tcp.ProtocolNumber,
		Addr: tcpip.AddrFrom4(r.local.As4()), Port: port,
		Dest: tcpip.FullAddress{Addr: tcpip.AddrFrom4(r.peer.Addr().As4()), Port: r.peer.Port()},
	}
	bind := func() tcpip.Error {
		other, _ := r.socket()
		return other.Bind(tcpip.FullAddress{Addr: tcpip.AddrFrom4(r.local.As4()), Port: port})
	}
	if bind() == nil {
		t.Fatal("the port of a connection is not reserved")
	}
	r.ns.ReleasePort(reservation)
	if err := r.ns.SetPortRange(port, port); err != nil {
		t.Fatal(err)
	}
	again, _ := r.socket()
	if err, ok := again.Connect(tcpip.FullAddress{Addr: reservation.Dest.Addr, Port: reservation.Dest.Port}).(*tcpip.ErrNoPortAvailable); !ok {
		t.Errorf("a second connection between the same ports: %v", err)
	}
	if err := bind(); err != nil {
		t.Errorf("the port is still reserved: %v", err)
	}
	r.answer(syn, seg.ACK|seg.PSH, 101, syn.Seq().Add(1), nil, []byte("alive"))
	if got := contents(t, ep); got != "alive" {
		t.Errorf("it delivered %q", got)
	}
	ep.Abort()
	if bind() == nil {
		t.Error("the end of the connection took the reservation of another endpoint")
	}
}

// TestPinWildcardPort: netstack never gives back the port of an endpoint that was
// bound to the wildcard and connected, in one family or both. Endpoint replaces
// such sockets before it connects them; when this fails it need not any more.
func TestPinWildcardPort(t *testing.T) {
	covers.IDs(t, "PIN-wildcard-port")
	for _, proto := range []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber} {
		r := newBareRig(t)
		bind := func() (tcpip.Endpoint, tcpip.Error) {
			ep, err := r.ns.NewEndpoint(tcp.ProtocolNumber, proto, new(waiter.Queue))
			if err != nil {
				t.Fatal(err)
			}
			return ep, ep.Bind(tcpip.FullAddress{Port: 5000})
		}
		ep, err := bind()
		if err != nil {
			t.Fatal(err)
		}
		ep.Close()
		if ep, err = bind(); err != nil {
			t.Fatalf("a port that was only bound is not given back: %v", err)
		}
		_ = ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom4(r.peer.Addr().As4()), Port: 80})
		ep.Abort()
		if ep, err = bind(); err == nil {
			t.Errorf("%#x: netstack now gives the port back", proto)
		}
		ep.Close()
	}
}
