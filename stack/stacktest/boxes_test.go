package stacktest_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

var clientPort = netip.AddrPortFrom(clientAddr, 40000)

func segment(flags seg.Flags, seq, ack int, options []byte, payload string) stacktest.Packet {
	s := seg.Make(seg.Fields{Src: clientPort, Dst: serverPort, Seq: seqnum.Value(seq), Ack: seqnum.Value(ack),
		Flags: flags, Window: 1000, Options: options, Payload: []byte(payload)})
	return stacktest.Packet{Bytes: s.Bytes(), Segment: s}
}

func back(p stacktest.Packet) stacktest.Packet {
	s := p.Segment
	r := seg.Make(seg.Fields{Src: s.Dst(), Dst: s.Src(), Seq: s.Seq(), Ack: s.Ack(), Flags: s.Flags(),
		Window: s.Window(), Options: s.OptionBytes(), Payload: s.Payload()})
	return stacktest.Packet{Direction: stacktest.In, Bytes: r.Bytes(), Segment: r}
}

// only is the one segment that a box lets out, whole and with right sums.
func only(t *testing.T, v stacktest.Verdict, p stacktest.Packet) seg.Segment {
	t.Helper()
	b := p.Bytes
	switch {
	case v.Drop && len(v.Extra) == 1:
		b = v.Extra[0]
	case v.Drop || len(v.Extra) > 0 || len(v.Answer) > 0:
		t.Fatalf("not one packet comes out: %+v", v)
	}
	s, err := seg.Parse(b)
	if err != nil || !s.Verify() {
		t.Fatalf("what comes out is not whole: %v", err)
	}
	return s
}

var (
	mss    = []byte{seg.OptMSS, 4, 5, 180}
	cookie = []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	both   = append(append([]byte{}, mss...), cookie...)
)

func TestDroppingBoxes(t *testing.T) {
	synData := segment(seg.SYN, 1, 0, both, "data")
	syn := segment(seg.SYN, 1, 0, both, "")
	plain := segment(seg.SYN, 1, 0, mss, "")
	data := segment(seg.ACK, 2, 1, nil, "data")
	for name, c := range map[string]struct {
		box         stacktest.Middlebox
		drop, keeps []stacktest.Packet
	}{
		"data":     {stacktest.DropSYNData(), []stacktest.Packet{synData}, []stacktest.Packet{syn, plain, data}},
		"fastopen": {stacktest.DropFastOpen(), []stacktest.Packet{synData, syn}, []stacktest.Packet{plain, data}},
		"reset":    {stacktest.ResetSYNData(), []stacktest.Packet{synData}, []stacktest.Packet{syn, plain, data}},
		"nth":      {stacktest.Nth(stacktest.SYN, stacktest.Drop, 2), nil, nil},
	} {
		for i, p := range c.drop {
			if v := c.box(p); !v.Drop {
				t.Errorf("%s: %d passes", name, i)
			}
		}
		for i, p := range c.keeps {
			if v := c.box(p); v.Drop {
				t.Errorf("%s: %d does not pass", name, i)
			}
		}
	}
	v := stacktest.ResetSYNData()(synData)
	if len(v.Answer) != 1 {
		t.Fatal("no answer")
	}
	s, err := seg.Parse(v.Answer[0])
	if err != nil || s.Flags() != seg.RST|seg.ACK || s.Ack() != 6 || s.Dst() != clientPort {
		t.Errorf("answered by %v ack %d to %v", s.Flags(), s.Ack(), s.Dst())
	}
	nth := stacktest.Nth(stacktest.SYN, stacktest.Drop, 2)
	if nth(syn).Drop || nth(data).Drop || !nth(syn).Drop || nth(syn).Drop {
		t.Error("not the second one was dropped")
	}
}

func TestStrippingBoxes(t *testing.T) {
	p := segment(seg.SYN, 1, 0, both, "data")
	s := only(t, stacktest.StripSYNOption()(p), p)
	if m, ok := s.MSS(); !ok || m != 1460 || stacktest.FastOpen(stacktest.Packet{Segment: s}) || string(s.Payload()) != "data" {
		t.Errorf("options %x, payload %q", s.OptionBytes(), s.Payload())
	}
	if s := only(t, stacktest.StripSYNACKOption()(p), p); !stacktest.FastOpen(stacktest.Packet{Segment: s}) {
		t.Error("a SYN was taken for a SYN-ACK")
	}
	if s := only(t, stacktest.StripOptions()(p), p); !bytes.Equal(bytes.Trim(s.OptionBytes(), "\x01"), nil) {
		t.Errorf("left: %x", s.OptionBytes())
	}
	damaged := p
	damaged.Bytes = bytes.Clone(p.Bytes)
	damaged.Bytes[len(damaged.Bytes)-1] ^= 1
	damaged.Segment, _ = seg.Parse(damaged.Bytes)
	for name, box := range map[string]stacktest.Middlebox{
		"strip": stacktest.StripOptions(), "cut": stacktest.CutData(1), "clamp": stacktest.ClampMSS(100),
		"shift": stacktest.ShiftSequence(1), "split": stacktest.Split(1),
	} {
		if v := box(damaged); v.Drop || len(v.Extra) > 0 {
			t.Errorf("%s makes a damaged segment whole", name)
		}
	}
}

func TestEditingBoxes(t *testing.T) {
	p := segment(seg.SYN, 1, 0, both, "data")
	if s := only(t, stacktest.AckAllButOne()(p), p); string(s.Payload()) != "dat" {
		t.Errorf("left: %q", s.Payload())
	}
	if s := only(t, stacktest.ClampMSS(500)(p), p); func() uint16 { m, _ := s.MSS(); return m }() != 500 {
		t.Error("the MSS is not clamped")
	}
	liar := stacktest.AckAndDropSYNData()
	if s := only(t, liar(p), p); len(s.Payload()) != 0 {
		t.Errorf("left: %q", s.Payload())
	}
	answer := back(segment(seg.SYN|seg.ACK, 9, 2, mss, ""))
	if s := only(t, liar(answer), answer); s.Ack() != 6 {
		t.Errorf("acknowledges %d, want 6", s.Ack())
	}
}

func TestShiftSequence(t *testing.T) {
	box := stacktest.ShiftSequence(1000)
	p := segment(seg.ACK, 5, 7, nil, "x")
	if s := only(t, box(p), p); s.Seq() != 1005 || s.Ack() != 7 {
		t.Errorf("out: seq %d ack %d", s.Seq(), s.Ack())
	}
	sack := []byte{seg.OptNOP, seg.OptNOP, seg.OptSACK, 10, 0, 0, 4, 0, 0, 0, 4, 8}
	in := back(segment(seg.ACK, 7, 1005, sack, ""))
	s := only(t, box(in), in)
	if want := append(append([]byte{}, sack[:4]...), 0, 0, 0, 24, 0, 0, 0, 32); s.Ack() != 5 || !bytes.Equal(s.OptionBytes(), want) {
		t.Errorf("in: ack %d, options %x", s.Ack(), s.OptionBytes())
	}
}

func TestSplitAndCoalesce(t *testing.T) {
	p := segment(seg.ACK|seg.PSH|seg.FIN, 100, 1, nil, "abcdefghij")
	v := stacktest.Split(4)(p)
	var whole string
	for i, b := range v.Extra {
		s, err := seg.Parse(b)
		if err != nil || !s.Verify() {
			t.Fatal(err)
		}
		if last := i == len(v.Extra)-1; s.Seq() != seqnum.Value(100+len(whole)) || s.Flags().Has(seg.FIN) != last || s.Flags().Has(seg.PSH) != last {
			t.Errorf("piece %d: seq %d %v", i, s.Seq(), s.Flags())
		}
		whole += string(s.Payload())
	}
	if !v.Drop || len(v.Extra) != 3 || whole != "abcdefghij" {
		t.Errorf("%d pieces, together %q", len(v.Extra), whole)
	}

	box := stacktest.Coalesce(8)
	a, b, c := segment(seg.ACK, 10, 1, nil, "abcd"), segment(seg.ACK, 14, 1, nil, "efgh"), segment(seg.ACK, 30, 1, nil, "z")
	if v := box(a); !v.Drop || len(v.Extra) > 0 {
		t.Errorf("the first is not kept: %+v", v)
	}
	if s := only(t, box(b), b); s.Seq() != 10 || string(s.Payload()) != "abcdefgh" {
		t.Errorf("seq %d, %q", s.Seq(), s.Payload())
	}
	box(a)
	if v := box(c); !v.Drop || len(v.Extra) != 2 {
		t.Errorf("what does not adjoin: %+v", v)
	}
}

// A translator changes addresses and nothing else, both ways, and drops what is
// not its node's.
func TestNAT(t *testing.T) {
	outside := netip.MustParseAddr("192.0.2.9")
	stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
		a := n.Peer("a", stacktest.LineConfig{}, clientAddr)
		b := n.Peer("b", stacktest.LineConfig{}, serverAddr)
		nat := stacktest.NewNAT(a.Line(), clientAddr, outside)
		a.Line().SetBoxes(nat.Box)
		exchange := func(from netip.Addr) {
			t.Helper()
			a.Send(segment(seg.SYN, 1, 0, mss, "").Segment)
			at, err := b.Receive(time.Second)
			if err != nil || !at.Verify() || at.Src() != netip.AddrPortFrom(from, 40000) {
				t.Fatalf("%v from %v", err, at)
			}
			b.Send(seg.Make(seg.Fields{Src: at.Dst(), Dst: at.Src(), Flags: seg.SYN | seg.ACK, Ack: 2}))
			if s, err := a.Receive(time.Second); err != nil || !s.Verify() || s.Dst() != clientPort {
				t.Fatalf("%v to %v", err, s)
			}
		}
		exchange(outside)
		moved := netip.MustParseAddr("192.0.2.10")
		nat.Rebind(moved)
		exchange(moved)
		b.Send(seg.Make(seg.Fields{Src: serverPort, Dst: netip.AddrPortFrom(outside, 40000), Flags: seg.ACK}))
		if _, err := a.Receive(time.Second); err != stacktest.ErrLimit {
			t.Errorf("the old address still leads here: %v", err)
		}
	})
}
