package seg_test

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
)

// BenchmarkSegment is what the views cost, and the edits in place and with a copy.
func BenchmarkSegment(b *testing.B) {
	s := seg.Make(seg.Fields{
		Src: netip.MustParseAddrPort("10.0.0.1:1000"), Dst: netip.MustParseAddrPort("10.0.0.2:80"),
		Seq: 1, Ack: 2, Flags: seg.ACK, Options: seg.TimestampOption(3, 4), Payload: make([]byte, 1400),
	})
	packet := s.Bytes()
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"Parse", func() { s, _ = seg.Parse(packet) }},
		{"Peek", func() { seg.Peek(packet) }},
		{"Verify", func() { s.Verify() }},
		{"SetAck", func() { s.SetAck(s.Ack() + 1) }},
		{"CutFront", func() { s.CutFront(400) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.do()
			}
		})
	}
}
