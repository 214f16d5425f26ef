package explain_test

import (
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/explain"
	"github.com/wskstack/wskstack/stack/seg"
)

func BenchmarkStep(b *testing.B) {
	syn := ours(seg.Fields{Seq: 100, Flags: seg.SYN})
	out := ours(seg.Fields{Seq: 100, Flags: seg.SYN, Options: append(cookie, 1, 1), Payload: make([]byte, 100)})
	step := fastopen.Step{Local: here, Remote: there, Packet: packet(b, syn), Down: true, ToWire: []seg.Segment{out}}
	for _, on := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			var n explain.Notes
			n.SetOn(on)
			b.ReportAllocs()
			for b.Loop() {
				n.Step(step)
				n.Outgoing(out.Bytes())
			}
		})
	}
}
