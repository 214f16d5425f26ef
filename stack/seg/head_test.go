package seg_test

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
)

// TestHead compares what Peek says with what Parse says, and has it refuse what is
// no TCP header in its place.
func TestHead(t *testing.T) {
	for name, f := range map[string]seg.Fields{
		"IPv4": {Src: netip.MustParseAddrPort("192.0.2.1:1000"), Dst: netip.MustParseAddrPort("192.0.2.2:80")},
		"IPv6": {Src: netip.MustParseAddrPort("[2001:db8::1]:1000"), Dst: netip.MustParseAddrPort("[2001:db8::2]:80")},
	} {
		t.Run(name, func(t *testing.T) {
			f.Seq, f.Ack, f.Flags, f.Payload = 7, 9, seg.SYN|seg.ACK, []byte("payload")
			s := seg.Make(f)
			b := s.Bytes()
			got, ok := seg.Peek(b)
			if !ok || got != s.Head() || got.Src != f.Src || got.Dst != f.Dst || got.Seq != 7 || got.Ack != 9 || got.Flags != f.Flags {
				t.Errorf("got %+v, %v; want %+v", got, ok, s.Head())
			}
			if got, ok := seg.Peek(b[:min(len(b), seg.MaxHead)]); !ok || got != s.Head() {
				t.Errorf("cut off: %+v, %v", got, ok)
			}
			if seg.Hidden(b) {
				t.Error("hidden")
			}
			for n := range s.IPHeaderLen() + 20 {
				if _, ok := seg.Peek(b[:n]); ok {
					t.Fatalf("%d bytes are enough", n)
				}
			}
			udp := s.Clone().Bytes()
			if s.IPv6() {
				udp[6] = 17
			} else {
				udp[9] = 17
			}
			if _, ok := seg.Peek(udp); ok {
				t.Error("UDP is taken for TCP")
			}
		})
	}
	fragment := seg.Make(seg.Fields{Src: netip.MustParseAddrPort("192.0.2.1:1"), Dst: netip.MustParseAddrPort("192.0.2.2:2")}).Bytes()
	fragment[6] |= 0x20
	if _, ok := seg.Peek(fragment); ok {
		t.Error("a fragment is taken for a segment")
	}
	behind := seg.Make(seg.Fields{Src: netip.MustParseAddrPort("[2001:db8::1]:1"), Dst: netip.MustParseAddrPort("[2001:db8::2]:2")}).Bytes()
	behind[6] = 60
	if _, ok := seg.Peek(behind); ok || !seg.Hidden(behind) {
		t.Error("extension headers are not seen")
	}
}
