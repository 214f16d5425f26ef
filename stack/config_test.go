package stack_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// closing is a link that knows whether it was closed.
type closing struct {
	gstack.LinkEndpoint
	closed bool
}

func (c *closing) Close() { c.closed = true; c.LinkEndpoint.Close() }

// fixed is a link whose MTU cannot be set.
type fixed struct{ *channel.Endpoint }

func (fixed) SetMTU(uint32) {}

func TestConfigRefused(t *testing.T) {
	p := netip.MustParsePrefix
	v4, v6 := []netip.Prefix{p("10.0.0.1/24")}, []netip.Prefix{p("fd00::1/64")}
	gateway := func(to, via string) []stack.Route {
		return []stack.Route{{Destination: p(to), Gateway: netip.MustParseAddr(via)}}
	}
	for _, c := range []struct {
		say string // what the error has to say
		mtu uint32
		cfg stack.Config
	}{
		{"link's MTU is 67", 67, stack.Config{Addresses: v4}},
		{"link's MTU is 1279; IPv6 needs 1280", 1279, stack.Config{Addresses: v6}},
		{"Config.MTU is 67", 1500, stack.Config{Addresses: v4, MTU: 67}},
		{"Config.MTU is 1279; IPv6 needs 1280", 1500, stack.Config{Addresses: v6, MTU: 1279}},
		{"carries no more than 1500", 1500, stack.Config{Addresses: v4, MTU: 1501}},
		{"not an address with a prefix length", 1500, stack.Config{Addresses: []netip.Prefix{{}}}},
		{"the unspecified address", 1500, stack.Config{Addresses: []netip.Prefix{p("0.0.0.0/0")}}},
		{"a loopback address", 1500, stack.Config{Addresses: []netip.Prefix{p("127.0.0.1/8")}}},
		{"a multicast address", 1500, stack.Config{Addresses: []netip.Prefix{p("ff02::1/64")}}},
		{"the broadcast address", 1500, stack.Config{Addresses: []netip.Prefix{p("255.255.255.255/32")}}},
		{"IPv4 address in IPv6 form", 1500, stack.Config{Addresses: []netip.Prefix{p("::ffff:10.0.0.1/120")}}},
		{"twice", 1500, stack.Config{Addresses: []netip.Prefix{p("10.0.0.1/24"), p("10.0.0.1/8")}}},
		{"not a network", 1500, stack.Config{Addresses: v4, Routes: []stack.Route{{}}}},
		{"none of the networks", 1500, stack.Config{Addresses: v4, Routes: gateway("0.0.0.0/0", "192.0.2.1")}},
		{"own address", 1500, stack.Config{Addresses: v4, Routes: gateway("0.0.0.0/0", "10.0.0.1")}},
		{"other family", 1500, stack.Config{Addresses: v4, Routes: gateway("::/0", "10.0.0.2")}},
		{"multicast", 1500, stack.Config{Addresses: v4, Routes: gateway("0.0.0.0/0", "224.0.0.1")}},
		{"zone", 1500, stack.Config{Addresses: v6, Routes: gateway("::/0", "fe80::1%eth0")}},
		{"Config.MinRTO", 1500, stack.Config{MinRTO: -1}},
		{"Config.MinRTO", 1500, stack.Config{MinRTO: time.Hour}},
		{"Config.ReceiveBuffer", 1500, stack.Config{ReceiveBuffer: stack.BufferSize{Min: -1}}},
		{"Config.ReceiveBuffer", 1500, stack.Config{ReceiveBuffer: stack.BufferSize{Default: 10, Max: 5}}},
		{"Config.SendBuffer", 1500, stack.Config{SendBuffer: stack.BufferSize{Max: 1 << 40}}},
		{`"vegas"`, 1500, stack.Config{CongestionControl: "vegas"}},
		{"ConnectTimeout", 1500, stack.Config{ConnectTimeout: -1}},
		{"CloseTimeout", 1500, stack.Config{CloseTimeout: -1}},
		{"Backlog", 1500, stack.Config{Backlog: -1}},
		{"Peers", 1500, stack.Config{FastOpen: fastopen.Config{Peers: -1}}},
	} {
		link := &closing{LinkEndpoint: channel.New(1, c.mtu, "")}
		c.cfg.Link = link
		s, err := stack.New(c.cfg)
		if err == nil {
			t.Errorf("%q: taken", c.say)
			s.Close()
			continue
		}
		if !strings.Contains(err.Error(), c.say) {
			t.Errorf("the error is %q, which does not say %q", err, c.say)
		}
		if !link.closed {
			t.Errorf("%q: the link was not closed", c.say)
		}
	}
	if _, err := stack.New(stack.Config{}); err == nil || !strings.Contains(err.Error(), "Config.Link") {
		t.Errorf("no link: %v", err)
	}
	if _, err := stack.New(stack.Config{Link: fixed{channel.New(1, 1500, "")}, MTU: 1400}); err == nil || !strings.Contains(err.Error(), "1400") {
		t.Errorf("a link whose MTU stays: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	s := newStack(t, stack.Config{Link: channel.New(1, 1500, "")})
	ns := s.Netstack()
	var recovery tcpip.TCPRecovery
	var sack tcpip.TCPSACKEnabled
	var cc tcpip.CongestionControlOption
	var receive tcpip.TCPReceiveBufferSizeRangeOption
	var send tcpip.TCPSendBufferSizeRangeOption
	var rto tcpip.TCPMinRTOOption
	for _, o := range []tcpip.GettableTransportProtocolOption{&recovery, &sack, &cc, &receive, &send, &rto} {
		if err := ns.TransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			t.Fatal(err)
		}
	}
	size := stack.BufferSize{Min: stack.DefaultBufferMin, Default: stack.DefaultBufferInitial, Max: stack.DefaultSendBufferMax}
	in := size
	in.Max = stack.DefaultReceiveBufferMax
	if time.Duration(rto) != stack.DefaultMinRTO {
		t.Errorf("the least retransmission time-out is %v", time.Duration(rto))
	}
	if recovery != 0 || !bool(sack) || cc != "cubic" || stack.BufferSize(receive) != in || stack.BufferSize(send) != size {
		t.Errorf("RACK %d, SACK %v, %s, receive %+v, send %+v", recovery, sack, cc, receive, send)
	}
	if !ns.HandleLocal() {
		t.Error("packets from the stack's own address would be taken in from the wire")
	}
}

func TestConfigReachesNetstack(t *testing.T) {
	link := channel.New(1, 1500, "")
	s := newStack(t, stack.Config{
		Link: link, MTU: 1400, DisableSACK: true, CongestionControl: "reno",
		ReceiveBuffer: stack.BufferSize{Max: 8 << 10}, SendBuffer: stack.BufferSize{Min: 1 << 20},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")},
		Routes: []stack.Route{
			{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.254")},
			{Destination: netip.MustParsePrefix("192.0.2.77/24")},
		},
	})
	ns := s.Netstack()
	var sack tcpip.TCPSACKEnabled
	var cc tcpip.CongestionControlOption
	var receive tcpip.TCPReceiveBufferSizeRangeOption
	var send tcpip.TCPSendBufferSizeRangeOption
	for _, o := range []tcpip.GettableTransportProtocolOption{&sack, &cc, &receive, &send} {
		if err := ns.TransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			t.Fatal(err)
		}
	}
	if bool(sack) || cc != "reno" || link.MTU() != 1400 ||
		stack.BufferSize(receive) != (stack.BufferSize{Min: 4 << 10, Default: 8 << 10, Max: 8 << 10}) ||
		stack.BufferSize(send) != (stack.BufferSize{Min: 1 << 20, Default: 1 << 20, Max: 4 << 20}) {
		t.Errorf("SACK %v, %s, MTU %d, receive %+v, send %+v", sack, cc, link.MTU(), receive, send)
	}
	// Longest prefix first; routes to the stack's own networks are there.
	var got []string
	for _, r := range ns.GetRouteTable() {
		got = append(got, r.Destination.String()+" "+r.Gateway.String())
	}
	want := "fd00::/64 ,192.0.2.0/24 ,10.0.0.0/24 ,0.0.0.0/0 10.0.0.254"
	if strings.Join(got, ",") != want {
		t.Errorf("routes: %s, want %s", strings.Join(got, ","), want)
	}
}

// TestSecureRandom shows that the same source gives the same sequence numbers
// and ports, and that one that fails does no harm.
func TestSecureRandom(t *testing.T) {
	syn := func(seed byte, broken bool) (string, uint32) {
		r := newRig(t, stack.Config{SecureRandom: bytes.NewReader(bytes.Repeat([]byte{seed}, 1<<16))})
		if broken {
			r = newRig(t, stack.Config{SecureRandom: iotest.ErrReader(errors.New("empty"))})
		}
		e := endpoint(t, r.stack, "tcp4")
		if err := e.Connect(r.peer, stack.ConnectOptions{FastOpen: fastopen.ModeOff}); err != nil {
			t.Fatal(err)
		}
		s := r.next()
		return s.Src().String(), uint32(s.Seq())
	}
	a1, s1 := syn(1, false)
	a2, s2 := syn(1, false)
	if a1 != a2 || s1 != s2 {
		t.Errorf("equal sources: %s %d and %s %d", a1, s1, a2, s2)
	}
	if a3, s3 := syn(2, false); a3 == a1 && s3 == s1 {
		t.Error("other sources, equal connections")
	}
	if _, s4 := syn(0, true); s4 == s1 {
		t.Error("a broken source gives what a whole one did")
	}
}

// TestMinRTO: what nobody acknowledges on a way of a millisecond is sent again after it.
func TestMinRTO(t *testing.T) {
	for _, want := range []time.Duration{0, 50 * time.Millisecond} {
		r := newRig(t, stack.Config{MinRTO: want})
		e := endpoint(t, r.stack, "tcp4")
		opts := plain
		opts.Data = []byte("data")
		if err := e.Connect(r.peer, opts); err != nil {
			t.Fatal(err)
		}
		syn := r.wait()
		r.clock.Advance(time.Millisecond)
		r.answer(syn, seg.SYN|seg.ACK, 100, syn.End(), nil, nil)
		if err := connected(t, e); err != nil {
			t.Fatal(err)
		}
		r.all() // the handshake's ACK and the data
		if want == 0 {
			want = stack.DefaultMinRTO
		}
		if early := r.at(want); len(early) != 0 {
			t.Errorf("%v: %d segments too early", want, len(early))
		}
		if again := r.at(want + 2*time.Millisecond); len(again) != 1 || string(again[0].Payload()) != "data" {
			t.Errorf("%v: %d segments, want the data again", want, len(again))
		}
	}
}
