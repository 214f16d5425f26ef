package explain_test

import (
	"net/netip"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/buffer"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/explain"
	"github.com/wskstack/wskstack/stack/seg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here  = netip.MustParseAddrPort("10.0.0.1:1000")
	there = netip.MustParseAddrPort("10.0.0.2:80")
)

// ours is a segment that leaves, theirs one that comes.
func ours(f seg.Fields) seg.Segment   { f.Src, f.Dst = here, there; return seg.Make(f) }
func theirs(f seg.Fields) seg.Segment { f.Src, f.Dst = there, here; return seg.Make(f) }

func packet(t testing.TB, s seg.Segment) *gstack.PacketBuffer {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(s.Bytes())})
	t.Cleanup(pkt.DecRef)
	return pkt
}

var cookie = []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}

// TestDown has what netstack sends, what became of it, and the words.
func TestDown(t *testing.T) {
	data := []byte("0123456789")
	syn := ours(seg.Fields{Seq: 100, Flags: seg.SYN})
	for _, c := range []struct {
		name      string
		from, out seg.Segment
		want      []string
	}{
		{"cookie and data", syn, ours(seg.Fields{Seq: 100, Flags: seg.SYN, Options: append(cookie, 1, 1), Payload: data}),
			[]string{"Fast Open: option added (cookie of 8 bytes); 10 bytes of data put in"}},
		{"request", syn, ours(seg.Fields{Seq: 100, Flags: seg.SYN, Options: []byte{34, 2, 1, 1}}),
			[]string{"Fast Open: option added (asks for a cookie)"}},
		{"trimmed", ours(seg.Fields{Seq: 101, Flags: seg.ACK, Payload: data}), ours(seg.Fields{Seq: 105, Flags: seg.ACK, Payload: data[4:]}),
			[]string{"Fast Open: the first 4 of 10 bytes trimmed"}},
		{"bare", ours(seg.Fields{Seq: 101, Flags: seg.ACK | seg.FIN, Payload: data}), ours(seg.Fields{Seq: 111, Flags: seg.ACK | seg.FIN}),
			[]string{"Fast Open: its 10 bytes of data taken off; seq raised by 10"}},
		{"acknowledgement", ours(seg.Fields{Seq: 101, Ack: 7, Flags: seg.ACK, Window: 9}), ours(seg.Fields{Seq: 111, Ack: 5, Flags: seg.ACK, Window: 4}),
			[]string{"Fast Open: seq raised by 10; ack lowered by 2; window lowered by 5"}},
		{"the same in a copy", syn, syn.Clone(), nil},
		{"another", ours(seg.Fields{Seq: 101, Flags: seg.ACK}), ours(seg.Fields{Seq: 100, Flags: seg.SYN | seg.ACK}),
			[]string{"Fast Open, before this packet: netstack's " + seg.ACK.String() + " was kept off the wire", "Fast Open: made here"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n explain.Notes
			step := fastopen.Step{Local: here, Remote: there, Packet: packet(t, c.from), Down: true, ToWire: []seg.Segment{c.out}}
			n.Step(step)
			if said := n.Outgoing(c.out.Bytes()); said != nil {
				t.Errorf("switched off it says %q", said)
			}
			n.SetOn(true)
			n.Step(step)
			if said := n.Outgoing(theirs(seg.Fields{Flags: seg.ACK}).Bytes()); said != nil {
				t.Errorf("of another connection it says %q", said)
			}
			if said := n.Outgoing(c.out.Bytes()); !slices.Equal(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
			if said := n.Outgoing(c.out.Bytes()); said != nil {
				t.Errorf("the second time it says %q", said)
			}
		})
	}
}

func TestUp(t *testing.T) {
	var n explain.Notes
	n.SetOn(true)
	answer := theirs(seg.Fields{Seq: 500, Ack: 118, Flags: seg.SYN | seg.ACK, Window: 100})
	pkt := packet(t, answer)
	step := fastopen.Step{Local: here, Remote: there, Packet: pkt, ToStack: []seg.Segment{
		theirs(seg.Fields{Seq: 500, Ack: 101, Flags: seg.SYN | seg.ACK, Window: 117}),
		theirs(seg.Fields{Seq: 501, Ack: 101, Flags: seg.ACK, Payload: []byte("abc")}),
	}}
	n.Arrived(pkt, answer.Bytes())
	n.Step(step)
	want := []string{
		"Fast Open: netstack is shown it changed: ack lowered by 17; window raised by 17",
		"Fast Open: netstack is given a made " + seg.ACK.String() + " with 3 bytes",
	}
	if said := n.Incoming(pkt); !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}

	// A copy of the packet is the packet.
	n.Arrived(pkt, answer.Bytes())
	n.Step(fastopen.Step{Local: here, Remote: there, Packet: pkt, ToStack: []seg.Segment{answer.Clone()}})
	if said := n.Incoming(pkt); said != nil {
		t.Errorf("of one that is not changed it says %q", said)
	}

	// What the layer sees only later is told with the next packet, whichever way.
	n.Step(fastopen.Step{Local: here, Remote: there, Packet: pkt})
	n.Arrived(pkt, answer.Bytes())
	if said := n.Incoming(pkt); !slices.Equal(said, []string{"Fast Open, before this packet: of an earlier one: swallowed"}) {
		t.Errorf("said %q", said)
	}

	// What a timer made; and a note does not outlive its capture.
	again := ours(seg.Fields{Seq: 1, Flags: seg.SYN | seg.ACK})
	timer := fastopen.Step{Local: here, Remote: there, Down: true, ToWire: []seg.Segment{again}}
	n.Step(timer)
	if said := n.Outgoing(again.Bytes()); !slices.Equal(said, []string{"Fast Open: made here"}) {
		t.Errorf("said %q", said)
	}
	n.Step(timer)
	n.SetOn(false)
	n.SetOn(true)
	if said := n.Outgoing(again.Bytes()); said != nil {
		t.Errorf("the next capture says %q", said)
	}
}

// TestBounded has packets that never leave.
func TestBounded(t *testing.T) {
	var n explain.Notes
	n.SetOn(true)
	for i := range 3000 {
		n.Step(fastopen.Step{Local: here, Remote: there, Down: true, ToWire: []seg.Segment{ours(seg.Fields{Seq: 5000, Flags: seg.ACK, Window: uint16(i)})}})
	}
	if got := len(n.Outgoing(ours(seg.Fields{Seq: 5000, Flags: seg.ACK}).Bytes())); got != 1024 {
		t.Errorf("%d notes were kept", got)
	}
}

func TestOffDoesNotAllocate(t *testing.T) {
	var n explain.Notes
	step := fastopen.Step{Local: here, Remote: there, Packet: packet(t, ours(seg.Fields{Flags: seg.SYN})), Down: true}
	if got := testing.AllocsPerRun(100, func() { n.Step(step) }); got != 0 {
		t.Errorf("switched off it allocates %v times", got)
	}
}
