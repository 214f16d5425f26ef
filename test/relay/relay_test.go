package relay_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

const ms = time.Millisecond

var (
	client = netip.MustParseAddrPort("192.0.2.1:1000")
	server = netip.MustParseAddrPort("192.0.2.2:80")
)

// upper is the stack above the relay: it keeps what it is given.
type upper struct{ got [][]byte }

func (u *upper) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	v := pkt.ToView()
	defer v.Release()
	u.got = append(u.got, slices.Clone(v.AsSlice()))
}

func (*upper) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

// rig is a relay under a clock that the test advances, between an upper and a
// lower link that both keep what they get.
type rig struct {
	t     *testing.T
	clock *faketime.ManualClock
	lower *channel.Endpoint
	upper *upper
	seen  relay.Recorder
	*relay.Link
}

func newRig(t *testing.T, cfg relay.Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: faketime.NewManualClock(), lower: channel.New(64, 1500, ""), upper: &upper{}}
	cfg.Clock = r.clock
	cfg.Observe = r.seen.Observe
	link, err := relay.New(r.lower, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Link = link
	link.Attach(r.upper)
	t.Cleanup(func() {
		link.Attach(nil)
		link.Close()
		link.Wait()
		r.lower.Drain()
	})
	return r
}

// send writes packets as the stack does: the caller's references stay its own.
func (r *rig) send(packets ...[]byte) {
	r.t.Helper()
	var list gstack.PacketBufferList
	for _, b := range packets {
		list.PushBack(gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)}))
	}
	if n, err := r.WritePackets(list); n != len(packets) || err != nil {
		r.t.Errorf("wrote %d of %d, %v", n, len(packets), err)
	}
	list.DecRef()
}

// receive delivers packets as the lower link does.
func (r *rig) receive(packets ...[]byte) {
	for _, b := range packets {
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		r.lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
		pkt.DecRef()
	}
}

// onWire takes what the lower link was given, and atStack what the stack was.
func (r *rig) onWire() string {
	var out [][]byte
	for pkt := r.lower.Read(); pkt != nil; pkt = r.lower.Read() {
		v := pkt.ToView()
		out = append(out, slices.Clone(v.AsSlice()))
		v.Release()
		pkt.DecRef()
	}
	return describe(out)
}

func (r *rig) atStack() string {
	got := r.upper.got
	r.upper.got = nil
	return describe(got)
}

// describe puts packets in one line: flags, then the options' kinds, then data.
func describe(packets [][]byte) string {
	var out []string
	for _, b := range packets {
		s, err := seg.Parse(b)
		if err != nil {
			out = append(out, string(b))
			continue
		}
		line := s.Flags().String()
		for kind := range s.Options() {
			line += fmt.Sprintf(" %d", kind)
		}
		if len(s.Payload()) > 0 {
			line += " " + string(s.Payload())
		}
		if !s.Verify() {
			line += " BAD CHECKSUM"
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

// tcp makes a segment of the client.
func tcp(flags seg.Flags, options []byte, data string) []byte {
	return seg.Make(seg.Fields{
		Src: client, Dst: server, Seq: 100, Ack: 200, Flags: flags, Options: options, Payload: []byte(data),
	}).Bytes()
}

func data(s string) []byte { return tcp(seg.ACK|seg.PSH, nil, s) }

func (r *rig) want(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestDelayEachWay(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: 20 * ms, UpDelay: 30 * ms})
	r.send(data("a"))
	r.receive(data("x"))
	r.clock.Advance(10 * ms)
	r.send(data("b"), data("c"))
	r.clock.Advance(9 * ms)
	r.want("after 19 ms on the wire", r.onWire(), "")
	r.clock.Advance(1 * ms)
	r.want("after 20 ms on the wire", r.onWire(), "PA a")
	r.clock.Advance(9 * ms)
	r.want("after 29 ms at the stack", r.atStack(), "")
	r.clock.Advance(1 * ms)
	r.want("after 30 ms at the stack", r.atStack(), "PA x")
	r.want("after 30 ms on the wire", r.onWire(), "PA b, PA c")
}

func TestNoDelay(t *testing.T) {
	r := newRig(t, relay.Config{})
	r.send(data("a"), data("b"))
	r.receive(data("x"))
	r.clock.Advance(0)
	r.want("on the wire", r.onWire(), "PA a, PA b")
	r.want("at the stack", r.atStack(), "PA x")
}

func TestOrderIsKeptWhenTheDelayShrinks(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: 50 * ms})
	r.send(data("first"))
	r.SetDelay(relay.Down, 5*ms)
	r.send(data("second"))
	r.clock.Advance(49 * ms)
	r.want("early", r.onWire(), "")
	r.clock.Advance(1 * ms)
	r.want("in time", r.onWire(), "PA first, PA second")
	r.send(data("third"))
	r.clock.Advance(5 * ms)
	r.want("with the new delay", r.onWire(), "PA third")
}

func TestQueueIsBounded(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: ms, UpDelay: ms, Queue: 2})
	r.send(data("1"), data("2"), data("3"))
	r.receive(data("4"), data("5"), data("6"), data("7"))
	r.clock.Advance(ms)
	r.want("on the wire", r.onWire(), "PA 1, PA 2")
	r.want("at the stack", r.atStack(), "PA 4, PA 5")
	if down, up := r.Lost(relay.Down), r.Lost(relay.Up); down != 1 || up != 2 {
		t.Errorf("%d lost down, %d up; want 1 and 2", down, up)
	}
	r.send(data("8"))
	r.clock.Advance(ms)
	r.want("afterwards", r.onWire(), "PA 8")
}

func TestPacketsAreNotSharedWithTheSender(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: ms, DownFilter: func(p relay.Packet) relay.Verdict {
		p.Bytes[len(p.Bytes)-1] = '!' // a filter owns its copy
		return relay.Verdict{}
	}})
	r.send(data("kept"))
	r.clock.Advance(ms)
	r.want("on the wire", r.onWire(), "PA kept")
}

func TestAnswerTakesARoundTrip(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: 20 * ms, UpDelay: 30 * ms, DownFilter: relay.On(relay.SYNWithData, relay.Reset)})
	r.send(tcp(seg.SYN, nil, "hello"))
	r.clock.Advance(49 * ms)
	r.want("early", r.atStack(), "")
	r.clock.Advance(1 * ms)
	answer := r.upper.got
	r.want("at the stack", r.atStack(), "RA")
	s, err := seg.Parse(answer[0])
	if err != nil {
		t.Fatal(err)
	}
	if s.Src() != server || s.Dst() != client || s.Ack() != 100+1+5 || s.Seq() != 0 {
		t.Errorf("%v > %v seq %d ack %d", s.Src(), s.Dst(), s.Seq(), s.Ack())
	}
	r.want("on the wire", r.onWire(), "")
}

// What the middlebox answers to the peer leaves at once: the peer is beside it.
func TestAnswerToTheWire(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: 20 * ms, UpDelay: 20 * ms, UpFilter: relay.Reset})
	r.receive(data("x"))
	r.clock.Advance(0)
	r.want("on the wire", r.onWire(), "R")
	r.clock.Advance(time.Second)
	r.want("at the stack", r.atStack(), "")
}

func TestSetFilter(t *testing.T) {
	r := newRig(t, relay.Config{})
	step := func(want string) {
		t.Helper()
		r.send(data("a"))
		r.clock.Advance(0)
		r.want("on the wire", r.onWire(), want)
	}
	step("PA a")
	r.SetFilter(relay.Down, relay.Drop)
	step("")
	r.SetFilter(relay.Down, nil)
	step("PA a")
}

func TestBytesThatAreNoIPGoDownAndNotUp(t *testing.T) {
	r := newRig(t, relay.Config{DownFilter: relay.On(relay.SYN, relay.Drop)})
	r.send([]byte("rubbish"), []byte{})
	r.receive([]byte("\x15rubbish"), []byte{})
	r.clock.Advance(0)
	r.want("on the wire", r.onWire(), "rubbish, ")
	r.want("at the stack", r.atStack(), "")
}

func TestDetachDropsWhatIsOnItsWay(t *testing.T) {
	r := newRig(t, relay.Config{DownDelay: ms, UpDelay: ms})
	r.send(data("a"))
	r.receive(data("x"))
	r.Attach(nil)
	r.Wait()
	r.send(data("b")) // netstack writes after a close, too
	r.clock.Advance(time.Second)
	r.want("on the wire", r.onWire(), "")
	r.want("at the stack", r.atStack(), "")
	r.Attach(r.upper)
	r.send(data("c"))
	r.clock.Advance(ms)
	r.want("attached again", r.onWire(), "PA c")
	r.Close()
	r.Attach(r.upper)
	r.seen.Reset()
	r.send(data("d"))
	r.clock.Advance(ms)
	if events := r.seen.Events(); len(events) != 0 {
		t.Errorf("a closed relay carries packets: %v", events)
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t, relay.Config{
		DownDelay: 20 * ms, UpDelay: 30 * ms, Queue: 1,
		DownFilter: relay.On(relay.SYNWithData, relay.Reset),
	})
	start := r.clock.Now()
	r.send(tcp(seg.SYN, nil, "hi"), data("too much"))
	r.clock.Advance(time.Second)
	var got []string
	for _, e := range r.seen.Events() {
		got = append(got, fmt.Sprintf("%v %v %v %v %s", e.At.Sub(start), e.Direction, e.Place, e.Fate, describe([][]byte{e.Bytes})))
	}
	want := []string{
		"0s down stack passed S hi",
		"0s down stack lost PA too much",
		"20ms down wire dropped S hi",
		"20ms up wire made RA",
		"50ms up stack passed RA",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := len(r.seen.Reset()); n != len(want) || len(r.seen.Events()) != 0 {
		t.Errorf("Reset returned %d events and left %d", n, len(r.seen.Events()))
	}
}

func TestClaimsNoOffload(t *testing.T) {
	r := newRig(t, relay.Config{})
	r.lower.LinkEPCapabilities = gstack.CapabilityTXChecksumOffload | gstack.CapabilityRXChecksumOffload
	r.lower.SupportedGSOKind = gstack.HostGSOSupported
	if r.Capabilities() != gstack.CapabilityRXChecksumOffload {
		t.Errorf("capabilities %v", r.Capabilities())
	}
	if r.SupportedGSO() != gstack.GSONotSupported || r.GSOMaxSize() != 0 {
		t.Error("segmentation offload is claimed")
	}
	if r.MTU() != 1500 {
		t.Errorf("MTU %d", r.MTU())
	}
}

// A device may vouch for a packet whose sum was never completed. The packet
// passes as it is; a filter's copy of it is good on its own.
func TestFiltersSeeCompleteChecksums(t *testing.T) {
	r := newRig(t, relay.Config{UpFilter: relay.Duplicate})
	b := data("x")
	b[20+16] ^= 0xff
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	pkt.RXChecksumValidated = true
	r.lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
	pkt.DecRef()
	r.clock.Advance(0)
	r.want("at the stack", r.atStack(), "PA x BAD CHECKSUM, PA x")
}

func TestNewRefuses(t *testing.T) {
	lower := channel.New(1, 1500, "")
	for name, c := range map[string]struct {
		lower gstack.LinkEndpoint
		cfg   relay.Config
	}{
		"no link":        {nil, relay.Config{}},
		"negative delay": {lower, relay.Config{UpDelay: -1}},
		"negative queue": {lower, relay.Config{Queue: -1}},
		"ethernet":       {&ethernet{lower}, relay.Config{}},
	} {
		if _, err := relay.New(c.lower, c.cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type ethernet struct{ *channel.Endpoint }

func (*ethernet) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
