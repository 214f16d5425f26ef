package gate

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
)

// TestRequest walks the machine: in each phase, what each segment of either side
// does. The SYN is 1000 and has 10 bytes; our own is 5000.
func TestRequest(t *testing.T) {
	const syn, ack, rst, synAck = seg.SYN, seg.ACK, seg.RST, seg.SYN | seg.ACK
	src, dst := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	make := func(p phase, answered bool) request {
		r := newRequest(seg.Make(seg.Fields{Src: src, Dst: dst, Seq: 1000, Flags: syn, Payload: []byte("ten bytes!")}))
		r.phase, r.answered, r.iss = p, answered, 5000
		return r
	}
	for _, tt := range []struct {
		name     string
		phase    phase
		answered bool
		down     bool
		head     seg.Head
		want     verdict
		after    phase
	}{
		{"the SYN again", pending, false, false, seg.Head{Flags: syn, Seq: 1000}, swallow, pending},
		{"another SYN", pending, false, false, seg.Head{Flags: syn, Seq: 9}, renew, pending},
		{"a reset", pending, false, false, seg.Head{Flags: rst, Seq: 1001}, giveUp, pending},
		{"a reset behind the data", pending, false, false, seg.Head{Flags: rst | ack, Seq: 1011}, giveUp, pending},
		{"a reset out of place", pending, false, false, seg.Head{Flags: rst, Seq: 1002}, swallow, pending},
		{"something else", pending, false, false, seg.Head{Flags: ack, Seq: 1001}, pass, pending},
		{"the SYN again", admitted, false, false, seg.Head{Flags: syn, Seq: 1000}, pass, admitted},
		{"another SYN", admitted, true, false, seg.Head{Flags: syn, Seq: 9}, pass, admitted},
		{"an ACK of nothing", admitted, false, false, seg.Head{Flags: ack, Seq: 1001, Ack: 5001}, pass, admitted},
		{"an ACK of too little", admitted, true, false, seg.Head{Flags: ack, Seq: 1001, Ack: 5000}, pass, admitted},
		{"an ACK from before", admitted, true, false, seg.Head{Flags: ack, Seq: 1000, Ack: 5001}, pass, admitted},
		{"the ACK", admitted, true, false, seg.Head{Flags: ack, Seq: 1001, Ack: 5001}, pass, opened},
		{"a reset", admitted, true, false, seg.Head{Flags: rst, Seq: 1001}, passOver, admitted},
		{"a reset out of place", admitted, true, false, seg.Head{Flags: rst, Seq: 999}, pass, admitted},
		{"a reset", opened, true, false, seg.Head{Flags: rst, Seq: 1001}, pass, opened},
		{"data", opened, true, false, seg.Head{Flags: ack, Seq: 1001, Ack: 5001}, pass, opened},
		{"our SYN-ACK", admitted, false, true, seg.Head{Flags: synAck, Seq: 5000}, pass, admitted},
		{"our data", opened, true, true, seg.Head{Flags: ack, Seq: 5001}, pass, opened},
		{"our reset", admitted, true, true, seg.Head{Flags: rst | ack}, passOver, admitted},
		{"our reset", opened, true, true, seg.Head{Flags: rst}, passOver, opened},
	} {
		r := make(tt.phase, tt.answered)
		ask := r.fromPeer
		if tt.down {
			ask = r.fromHere
		}
		if got := ask(tt.head); got != tt.want || r.phase != tt.after {
			t.Errorf("%s in phase %d: verdict %d and phase %d; want %d and %d", tt.name, tt.phase, got, r.phase, tt.want, tt.after)
		}
	}
	r := make(admitted, false)
	r.fromHere(seg.Head{Flags: synAck, Seq: 7})
	if r.fromPeer(seg.Head{Flags: ack, Seq: 1011, Ack: 8}); r.phase != opened {
		t.Error("the ACK of a SYN-ACK that was seen opens nothing")
	}
}
