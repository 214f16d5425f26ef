package seg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

var (
	src4 = netip.MustParseAddrPort("192.0.2.1:5000")
	dst4 = netip.MustParseAddrPort("198.51.100.1:80")
	src6 = netip.MustParseAddrPort("[2001:db8::1]:5000")
	dst6 = netip.MustParseAddrPort("[2001:db8::2]:80")
)

func sample(v6 bool, payload string) Segment {
	f := Fields{Src: src4, Dst: dst4, Seq: 100, Ack: 200, Flags: ACK | PSH, Window: 300,
		Options: TimestampOption(7, 8), Payload: []byte(payload)}
	if v6 {
		f.Src, f.Dst = src6, dst6
	}
	return Make(f)
}

// isValid asks netstack's own header code.
func isValid(t *testing.T, s Segment) {
	t.Helper()
	b := s.Bytes()
	if s.IPv6() {
		h := header.IPv6(b)
		if !h.IsValid(len(b)) {
			t.Fatal("netstack does not take the IPv6 header")
		}
		tcp := header.TCP(h.Payload())
		if !tcp.IsChecksumValid(h.SourceAddress(), h.DestinationAddress(), sumOf(s), uint16(len(s.Payload()))) {
			t.Error("netstack does not take the TCP checksum")
		}
		return
	}
	h := header.IPv4(b)
	if !h.IsValid(len(b)) || !h.IsChecksumValid() {
		t.Fatal("netstack does not take the IPv4 header")
	}
	tcp := header.TCP(h.Payload())
	if !tcp.IsChecksumValid(h.SourceAddress(), h.DestinationAddress(), sumOf(s), uint16(len(s.Payload()))) {
		t.Error("netstack does not take the TCP checksum")
	}
}

func sumOf(s Segment) uint16 {
	var sum uint32
	p := s.Payload()
	for i := 0; i+1 < len(p); i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	if len(p)%2 == 1 {
		sum += uint32(p[len(p)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func TestMakeAndParse(t *testing.T) {
	covers.IDs(t, "B-03")
	for _, v6 := range []bool{false, true} {
		for _, payload := range []string{"", "x", "hello", string(make([]byte, 1400))} {
			made := sample(v6, payload)
			isValid(t, made)
			s, err := Parse(append(bytes.Clone(made.Bytes()), "padding"...))
			if err != nil {
				t.Fatal(err)
			}
			val, ecr, ok := s.Timestamps()
			if s.Seq() != 100 || s.Ack() != 200 || s.Flags() != ACK|PSH || s.Window() != 300 ||
				string(s.Payload()) != payload || val != 7 || ecr != 8 || !ok || s.IPv6() != v6 {
				t.Errorf("read back %v", s)
			}
			if s.Src().Port() != 5000 || s.Dst().Port() != 80 || s.Len() != seqnum.Size(len(payload)) {
				t.Errorf("ports %v %v, length %d", s.Src(), s.Dst(), s.Len())
			}
			if !s.Verify() {
				t.Error("checksums are wrong")
			}
		}
	}
}

func TestEdits(t *testing.T) {
	covers.IDs(t, "B-03")
	for _, v6 := range []bool{false, true} {
		s := sample(v6, "hello")
		s.SetSeq(0xffffffff)
		s.SetAck(0)
		s.SetWindow(65535)
		s.SetFlags(SYN | ECE)
		isValid(t, s)
		if s.Seq() != 0xffffffff || s.Ack() != 0 || s.Window() != 65535 || s.Flags() != SYN|ECE {
			t.Errorf("after the edits: %v %v %v %v", s.Seq(), s.Ack(), s.Window(), s.Flags())
		}
		if len(s.OptionBytes()) != 12 {
			t.Error("SetFlags changed the data offset")
		}
		cut := s.CutFront(3)
		isValid(t, cut)
		if string(cut.Payload()) != "lo" || cut.Seq() != 2 {
			t.Errorf("cut: %q at %d", cut.Payload(), cut.Seq())
		}
		grown := s.Rebuild([]byte{34, 6, 1, 2, 3, 4}, []byte("longer payload"))
		isValid(t, grown)
		if got := grown.OptionBytes(); !bytes.Equal(got, []byte{34, 6, 1, 2, 3, 4, 1, 1}) {
			t.Errorf("options %v", got)
		}
		if string(s.Payload()) != "hello" {
			t.Error("Rebuild changed the original")
		}
	}
}

func TestEditsKeepAWrongSumWrong(t *testing.T) {
	covers.IDs(t, "H-29")
	s := sample(false, "hello")
	s.Bytes()[len(s.Bytes())-1] ^= 1
	s.SetSeq(7)
	s.SetAck(8)
	if s.Verify() {
		t.Error("a damaged segment looks whole after an edit")
	}
	s = sample(false, "hello")
	s.Bytes()[8]-- // TTL: the IPv4 header's own checksum
	if s.Verify() {
		t.Error("a damaged IPv4 header is not noticed")
	}
}

func TestOtherSums(t *testing.T) {
	covers.IDs(t, "H-28")
	for _, v6 := range []bool{false, true} {
		s := sample(v6, "hello").WithSum(SumPartial)
		s = s.Rebuild(s.OptionBytes(), []byte("hell"))
		field := binary.BigEndian.Uint16(s.Bytes()[s.IPHeaderLen()+16:])
		s.SetSeq(9)
		if binary.BigEndian.Uint16(s.Bytes()[s.IPHeaderLen()+16:]) != field {
			t.Error("a partial sum covers no sequence number")
		}
		isValid(t, s.Complete())
		none := sample(v6, "hello").WithSum(SumNone)
		none = none.Rebuild(none.OptionBytes(), []byte("hell"))
		if none.Bytes()[none.IPHeaderLen()+16] != 0 || none.Bytes()[none.IPHeaderLen()+17] != 0 {
			t.Error("an unset sum was set")
		}
	}
}

func TestParseRefuses(t *testing.T) {
	covers.IDs(t, "H-30")
	v4 := func(change func(b []byte)) []byte { b := sample(false, "hello").Bytes(); change(b); return b }
	v6 := func(change func(b []byte)) []byte { b := sample(true, "hello").Bytes(); change(b); return b }
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrEmpty},
		{"one byte", []byte{0x45}, ErrIPHeader},
		{"19 bytes", v4(func([]byte) {})[:19], ErrIPHeader},
		{"version 5", v4(func(b []byte) { b[0] = 0x55 }), ErrVersion},
		{"IHL 4", v4(func(b []byte) { b[0] = 0x44 }), ErrIPHeader},
		{"IHL past the end", v4(func(b []byte) { b[0] = 0x4f })[:30], ErrIPHeader},
		{"total length past the end", v4(func(b []byte) { b[3] = 200 }), ErrIPLength},
		{"total length below the header", v4(func(b []byte) { b[3] = 10 }), ErrIPLength},
		{"total length cuts the TCP header", v4(func(b []byte) { b[3] = 30 }), ErrTCPHeader},
		{"more fragments", v4(func(b []byte) { b[6] = 0x20 }), ErrFragment},
		{"fragment offset", v4(func(b []byte) { b[7] = 1 }), ErrFragment},
		{"UDP", v4(func(b []byte) { b[9] = 17 }), ErrNotTCP},
		{"data offset 4", v4(func(b []byte) { b[32] = 0x40 }), ErrDataOffset},
		{"data offset past the end", v4(func(b []byte) { b[32] = 0xf0 }), ErrDataOffset},
		{"IPv6 39 bytes", v6(func([]byte) {})[:39], ErrIPHeader},
		{"IPv6 jumbo", v6(func(b []byte) { b[4], b[5] = 0, 0 }), ErrIPLength},
		{"IPv6 too long", v6(func(b []byte) { b[4] = 1 }), ErrIPLength},
		{"IPv6 fragment", v6(func(b []byte) { b[6] = 44 }), ErrFragment},
		{"IPv6 UDP", v6(func(b []byte) { b[6] = 17 }), ErrNotTCP},
		{"IPv6 extension past the end", v6(func(b []byte) { b[6] = 60; b[41] = 200 }), ErrExtension},
		{"IPv6 no next header", v6(func(b []byte) { b[6] = 59 }), ErrNotTCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.b); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestExtensionHeaders(t *testing.T) {
	covers.IDs(t, "H-30")
	plain := sample(true, "hello")
	ext := []byte{6, 0, 1, 4, 0, 0, 0, 0} // destination options: PadN
	b := append(bytes.Clone(plain.Bytes()[:40]), ext...)
	b = append(b, plain.Bytes()[40:]...)
	b[6] = 60
	b[5] += 8
	s, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Verify() || s.IPHeaderLen() != 48 || string(s.Payload()) != "hello" {
		t.Errorf("header %d, payload %q", s.IPHeaderLen(), s.Payload())
	}
	r := s.Rebuild(s.OptionBytes(), []byte("hello, world"))
	if again, err := Parse(r.Bytes()); err != nil || !again.Verify() {
		t.Errorf("rebuilt: %v", err)
	}
	many := bytes.Clone(plain.Bytes()[:40])
	many[6] = 60
	for range 100 {
		many = append(many, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	binary.BigEndian.PutUint16(many[4:], 800)
	if _, err := Parse(many); !errors.Is(err, ErrExtension) {
		t.Errorf("a chain without end: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []byte
		mss     uint16
		shift   uint8
	}{
		{"usual", []byte{2, 4, 5, 180, 1, 3, 3, 7}, 1460, 7},
		{"last MSS counts", []byte{2, 4, 5, 180, 2, 4, 2, 0}, 512, 0},
		{"length 0 ends it", []byte{2, 4, 5, 180, 3, 0, 3, 3}, 1460, 0},
		{"length 1 ends it", []byte{2, 4, 5, 180, 3, 1, 3, 3}, 1460, 0},
		{"overrun ends it", []byte{2, 4, 5, 180, 1, 1, 3, 9}, 1460, 0},
		{"end of options ends it", []byte{2, 4, 5, 180, 0, 3, 3, 7}, 1460, 0},
		{"wrong lengths", []byte{2, 3, 5, 3, 4, 7, 7, 1}, 0, 0},
		{"shift above 14", []byte{3, 3, 200, 1}, 0, 14},
		{"kind alone in the last byte", []byte{1, 1, 1, 2}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Make(Fields{Src: src4, Dst: dst4, Flags: SYN, Options: tt.options})
			mss, _ := s.MSS()
			shift, _ := s.WScale()
			if mss != tt.mss || shift != tt.shift {
				t.Errorf("MSS %d, shift %d; want %d, %d", mss, shift, tt.mss, tt.shift)
			}
			s.SetMSS(700)
			isValid(t, s)
			if mss, ok := s.MSS(); ok && mss != 700 {
				t.Errorf("MSS %d after setting 700", mss)
			}
		})
	}
}

func quote(v6 bool, mtu int, typ, code byte) []byte {
	q := sample(v6, "hello").Bytes()
	m := append([]byte{typ, code, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, q...)
	if v6 {
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, 58, 64
		binary.BigEndian.PutUint16(h[4:], uint16(len(m)))
		copy(h[8:], q[24:40])
		copy(h[24:], q[8:24])
		b := append(h, m...)
		binary.BigEndian.PutUint16(b[42:], ^icmpSum(b, true))
		return b
	}
	h := bytes.Clone(q[:20])
	h[9] = 1
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(m)))
	b := append(h, m...)
	binary.BigEndian.PutUint16(b[22:], ^icmpSum(b, false))
	return b
}

func icmpSum(b []byte, v6 bool) uint16 {
	var sum uint32
	body := b[20:]
	if v6 {
		body = append(bytes.Clone(b[8:]), 0, 0, 0, 58, byte((len(b)-40)>>8), byte(len(b)-40))
		if len(b)%2 == 1 { // keep the words aligned: the pseudo-header goes first
			body = append(append([]byte{0, 0, 0, 58, byte((len(b) - 40) >> 8), byte(len(b) - 40)}, b[8:40]...), b[40:]...)
		}
	}
	for i := 0; i < len(body); i += 2 {
		w := uint32(body[i]) << 8
		if i+1 < len(body) {
			w |= uint32(body[i+1])
		}
		sum += w
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func TestICMPErrors(t *testing.T) {
	for _, tt := range []struct {
		name      string
		b         []byte
		ok        bool
		tooBig    bool
		mtu       int
		wantEmpty bool
	}{
		{"fragmentation needed", quote(false, 800, 3, 4), true, true, 800, false},
		{"host unreachable", quote(false, 0, 3, 1), true, false, 0, false},
		{"IPv6 too big", quote(true, 1300, 2, 0), true, true, 1300, false},
		{"IPv6 unreachable", quote(true, 0, 1, 3), true, false, 0, false},
		{"echo", quote(false, 0, 8, 0), false, false, 0, true},
		{"IPv6 echo", quote(true, 0, 128, 0), false, false, 0, true},
		{"quote cut off", quote(false, 0, 3, 1)[:20+8+20+7], false, false, 0, true},
		{"IPv6 quote cut off", quote(true, 0, 1, 3)[:40+8+40+7], false, false, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := ParseICMPError(tt.b)
			if ok != tt.ok || e.TooBig != tt.tooBig || e.MTU != tt.mtu {
				t.Fatalf("got %+v, %v", e, ok)
			}
			if !ok {
				return
			}
			if e.Seq != 100 || e.Src.Port() != 5000 || e.Dst.Port() != 80 {
				t.Errorf("quoted %+v", e)
			}
			if !VerifyICMP(tt.b) {
				t.Error("checksum of a good message is refused")
			}
			tt.b[len(tt.b)-1] ^= 1
			if VerifyICMP(tt.b) {
				t.Error("a damaged message is believed")
			}
		})
	}
}

func TestFlagNames(t *testing.T) {
	if got := (SYN | ACK | ECE).String(); got != "SAE" {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		f.Add(sample(v6, "hello").Bytes())
		f.Add(quote(v6, 1300, 3, 4))
		f.Add(quote(v6, 1300, 2, 0))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if e, ok := ParseICMPError(b); ok {
			_ = VerifyICMP(b)
			_ = e
		}
		s, err := Parse(b)
		if err != nil {
			return
		}
		for range s.Options() {
			continue // walking is the test
		}
		s.MSS()
		s.WScale()
		s.Timestamps()
		s.Verify()
		s.End()
		s.Src()
		s.Dst()
		if !bytes.Equal(before, b) {
			t.Error("looking changed the packet")
		}
		if len(s.Bytes())+MaxOptionBytes > 65535 {
			return
		}
		c := s.Clone()
		c.SetSeq(1)
		c.SetMSS(1)
		r := c.Rebuild(c.OptionBytes(), c.Payload())
		again, err := Parse(r.Bytes())
		if err != nil {
			t.Fatalf("a rebuilt packet does not parse: %v", err)
		}
		if again.Seq() != 1 || !bytes.Equal(again.Payload(), s.Payload()) {
			t.Error("a rebuilt packet reads back differently")
		}
	})
}
