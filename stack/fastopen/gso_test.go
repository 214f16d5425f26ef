package fastopen_test

import (
	"bytes"
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A super-segment whose front the peer already has is trimmed before it is cut:
// what is left goes as a smaller super-segment, or as an ordinary packet with a
// whole checksum.
func TestSuperSegmentIsTrimmed(t *testing.T) {
	covers.IDs(t, "H-28", "H-06")
	const mss = 1000
	for _, tt := range []struct {
		name  string
		rest  int
		super bool
	}{{"more than a segment is left", 2500, true}, {"one segment is left", mss, false}, {"less is left", 1, false}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			syn, flow := b.open(t, false)
			s := b.ours(syn, "hello"+text(tt.rest)).WithSum(seg.SumPartial)
			s = s.Rebuild(s.OptionBytes(), s.Payload())
			raw := s.Bytes()
			ip, pay := s.IPHeaderLen(), len(raw)-len(s.Payload())
			pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
				ReserveHeaderBytes: pay, Payload: buffer.MakeWithData(bytes.Clone(raw[pay:]))})
			copy(pkt.TransportHeader().Push(pay-ip), raw[ip:])
			copy(pkt.NetworkHeader().Push(ip), raw)
			pkt.TransportProtocolNumber = header.TCPProtocolNumber
			pkt.GSOOptions = gstack.GSO{Type: gstack.GSOTCPv4, NeedsCsum: true, MSS: mss, L3HdrLen: uint16(ip), CsumOffset: 16}
			pkt.Owner = flow
			var list gstack.PacketBufferList
			list.PushBack(pkt)
			_, _ = b.link.WritePackets(list)
			list.Reset()

			out := b.wire.Read()
			if out == nil {
				t.Fatal("nothing leaves")
			}
			defer out.DecRef()
			v := out.ToView()
			defer v.Release()
			got, err := seg.Parse(v.AsSlice())
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Payload()) != text(tt.rest) || got.Seq() != syn.Seq().Add(6) {
				t.Errorf("%d bytes leave, want %d", len(got.Payload()), tt.rest)
			}
			if super := out.GSOOptions.Type != gstack.GSONone; super != tt.super {
				t.Errorf("left as a super-segment: %t, want %t", super, tt.super)
			}
			if got.Verify() == tt.super {
				t.Errorf("whole checksum: %t, want %t", got.Verify(), !tt.super)
			}
			if !got.WithSum(seg.SumPartial).Clone().Complete().Verify() {
				t.Error("the checksum cannot be completed")
			}
		})
	}
}
