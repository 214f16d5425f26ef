package iolink_test

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/stack/seg"
)

// batches is a device that gives several packets in one read.
type batches struct {
	*device
	given chan given
}

// given are packets, and what the device says of each.
type given struct {
	packets [][]byte
	says    frame.Offload
}

func newBatches() *batches { return &batches{newDevice(1), make(chan given)} }

func (d *batches) Read(_ int, batch []frame.Packet) (int, error) {
	select {
	case g := <-d.given:
		for i, rest := range g.packets {
			batch[i].Size, batch[i].Offload = len(rest), g.says
			for _, v := range batch[i].Views {
				rest = rest[copy(v, rest):]
			}
		}
		return len(g.packets), nil
	case <-d.closed:
		return 0, os.ErrClosed
	}
}

// joined gives a link a batch and returns what it delivers.
func joined(t *testing.T, offers frame.Offloads, in [][]byte) (out [][]byte, st iolink.Stats) {
	t.Helper()
	return joinedOf(t, offers, given{packets: in})
}

func joinedOf(t *testing.T, offers frame.Offloads, in given) (out [][]byte, st iolink.Stats) {
	t.Helper()
	d, s := newBatches(), newSink()
	d.offers = offers
	l := newLink(t, d, iolink.Config{})
	l.Attach(s)
	d.given <- in
	end := packet(4, 20) // behind them, so that they have been delivered
	d.given <- given{packets: [][]byte{end}}
	for g := range s.ch {
		if bytes.Equal(g.data, end) {
			break
		}
		out = append(out, g.data)
	}
	return out, l.Stats()
}

// stream is n packets that follow one another, the last one shorter and with PSH.
func stream(v6 bool, payload, n int) (packets [][]byte, all []byte) {
	src, dst := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:16000")
	if v6 {
		src, dst = netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:16000")
	}
	seq := seqnum.Value(0xffff_ff00) // it wraps
	for i := range n {
		size, flags := payload, seg.ACK
		if i == n-1 {
			size, flags = payload-payload/3, seg.ACK|seg.PSH
		}
		data := make([]byte, size)
		for k := range data {
			data[k] = byte(k*(i+3) + i)
		}
		packets = append(packets, seg.Make(seg.Fields{
			Src: src, Dst: dst, Flags: flags, Seq: seq, Ack: 7, Window: 500, Options: seg.TimestampOption(1, 2), Payload: data,
		}).Bytes())
		seq, all = seq.Add(seqnum.Size(size)), append(all, data...)
	}
	return packets, all
}

func TestJoin(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{2, 3, 8} {
			in, want := stream(v6, 1448, n)
			out, st := joined(t, frame.Offloads{}, in)
			if len(out) != 1 || st.RxJoined != uint64(n-1) || st.RxPackets != 2 {
				t.Fatalf("v6 %v: %d packets became %d; %+v", v6, n, len(out), st)
			}
			s, err := seg.Parse(out[0])
			if err != nil || !s.Verify() || !bytes.Equal(s.Payload(), want) {
				t.Errorf("v6 %v: the joined packet is wrong: %v, its sums right: %v", v6, err, s.Verify())
			}
			first, _ := seg.Parse(in[0])
			if s.Flags() != seg.ACK|seg.PSH || s.Seq() != first.Seq() || !bytes.Equal(s.OptionBytes(), first.OptionBytes()) {
				t.Errorf("v6 %v: %v at %d with % x", v6, s.Flags(), s.Seq(), s.OptionBytes())
			}
			if !v6 && !header.IPv4(out[0]).IsChecksumValid() {
				t.Error("the header's sum is wrong")
			}
		}
	}
}

// TestJoinKeepsApart: each change of the second packet of three keeps the three as
// they were, but for the third, which follows the second in some cases.
func TestJoinKeepsApart(t *testing.T) {
	type change struct {
		name string
		v6   bool
		make func(seg.Segment) seg.Segment
	}
	ip4 := func(f func(header.IPv4)) func(seg.Segment) seg.Segment {
		return func(s seg.Segment) seg.Segment {
			ip := header.IPv4(s.Bytes())
			f(ip)
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
			return s
		}
	}
	edit := func(f func(seg.Segment)) func(seg.Segment) seg.Segment {
		return func(s seg.Segment) seg.Segment { f(s); return s }
	}
	for _, c := range []change{
		{"a gap", false, edit(func(s seg.Segment) { s.SetSeq(s.Seq().Add(1)) })},
		{"another ACK", false, edit(func(s seg.Segment) { s.SetAck(8) })},
		{"another window", true, edit(func(s seg.Segment) { s.SetWindow(501) })},
		{"a FIN", false, edit(func(s seg.Segment) { s.SetFlags(seg.ACK | seg.FIN) })},
		{"a RST", true, edit(func(s seg.Segment) { s.SetFlags(seg.ACK | seg.RST) })},
		{"an ECE", false, edit(func(s seg.Segment) { s.SetFlags(seg.ACK | 0x40) })},
		{"a CWR", true, edit(func(s seg.Segment) { s.SetFlags(seg.ACK | 0x80) })},
		{"a reserved bit", false, edit(func(s seg.Segment) { s.Bytes()[20+12] ^= 1 })},
		{"no ACK", false, edit(func(s seg.Segment) { s.SetFlags(0) })},
		{"another timestamp", false, func(s seg.Segment) seg.Segment { return s.Rebuild(seg.TimestampOption(9, 2), s.Payload()) }},
		{"no options", false, func(s seg.Segment) seg.Segment { return s.Rebuild(nil, s.Payload()) }},
		{"no payload", false, func(s seg.Segment) seg.Segment { return s.Rebuild(s.OptionBytes(), nil) }},
		{"more payload", false, func(s seg.Segment) seg.Segment {
			return s.Rebuild(s.OptionBytes(), append(slices.Clone(s.Payload()), 1, 2))
		}},
		{"another port", false, func(s seg.Segment) seg.Segment {
			return seg.Make(seg.Fields{
				Src: s.Src(), Dst: netip.AddrPortFrom(s.Dst().Addr(), 16001), Flags: seg.ACK, Seq: s.Seq(), Ack: 7, Window: 500,
				Options: s.OptionBytes(), Payload: s.Payload(),
			})
		}},
		{"another address", true, func(s seg.Segment) seg.Segment {
			return seg.Make(seg.Fields{
				Src: s.Src(), Dst: netip.MustParseAddrPort("[fd00::3]:16000"), Flags: seg.ACK, Seq: s.Seq(), Ack: 7, Window: 500,
				Options: s.OptionBytes(), Payload: s.Payload(),
			})
		}},
		{"another TOS", false, ip4(func(ip header.IPv4) { ip.SetTOS(3, 0) })},
		{"another TTL", false, ip4(func(ip header.IPv4) { ip.SetTTL(9) })},
		{"another word on fragments", false, ip4(func(ip header.IPv4) { ip[6] ^= 0x40 })},
		{"a fragment", false, ip4(func(ip header.IPv4) { ip.SetFlagsFragmentOffset(header.IPv4FlagMoreFragments, 0) })},
		{"another flow label", true, edit(func(s seg.Segment) { s.Bytes()[3] ^= 1 })},
		{"another header", true, edit(func(s seg.Segment) { s.Bytes()[6] = 60 })},
		{"a length that lies", true, edit(func(s seg.Segment) { s.Bytes()[5]++ })},
		{"a wrong header sum", false, edit(func(s seg.Segment) { header.IPv4(s.Bytes()).SetChecksum(1) })},
		{"an urgent pointer", false, edit(func(s seg.Segment) { s.Bytes()[20+18] = 1 })},
		{"a header without end", false, edit(func(s seg.Segment) { s.Bytes()[20+12] = 0xf0 })},
		{"a header too short", false, edit(func(s seg.Segment) { s.Bytes()[20+12] = 0x40 })},
	} {
		in, _ := stream(c.v6, 1000, 3)
		second, err := seg.Parse(in[1])
		if err != nil {
			t.Fatal(err)
		}
		in[1] = c.make(second).Bytes()
		out, _ := joined(t, frame.Offloads{}, in)
		if len(out) < 2 || !bytes.Equal(out[0], in[0]) || (len(out) == 3 && !bytes.Equal(out[1], in[1])) {
			t.Errorf("%s: joined with the first, or changed: %d packets", c.name, len(out))
		}
	}
}

// TestJoinIsBounded: PSH ends a run, as do an odd size, the largest packet, and a
// device with offloads has no runs.
func TestJoinIsBounded(t *testing.T) {
	pushed, _ := stream(false, 1000, 3)
	s, _ := seg.Parse(pushed[1])
	s.SetFlags(seg.ACK | seg.PSH)
	odd, _ := stream(false, 1001, 4)
	ended, _ := stream(false, 900, 2) // the second has 600 bytes
	ended[1] = shorter(t, ended[1], 599, seqnum.Value(0xffff_ff00).Add(900))
	ended = append(ended, shorter(t, ended[1], 100, seqnum.Value(0xffff_ff00).Add(900+599)))
	fragments := func(flags uint8, offset uint16) [][]byte {
		all, _ := stream(false, 1000, 3)
		for _, b := range all {
			ip := header.IPv4(b)
			ip.SetFlagsFragmentOffset(flags, offset)
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
		}
		return all
	}
	huge, _ := stream(true, 10_000, 8)
	ordinary, _ := stream(false, 1000, 3)
	for _, c := range []struct {
		name   string
		offers frame.Offloads
		in     [][]byte
		want   int
	}{
		{"PSH in the middle", frame.Offloads{}, pushed, 2},
		{"an odd size", frame.Offloads{}, odd, 4},
		{"a short one in the middle", frame.Offloads{}, ended, 2},
		{"first fragments", frame.Offloads{}, fragments(header.IPv4FlagMoreFragments, 0), 3},
		{"last fragments", frame.Offloads{}, fragments(0, 800), 3},
		{"8 packets of 10,000 bytes", frame.Offloads{}, huge, 2},
		{"with offloads", frame.Offloads{Checksum: true}, ordinary, 3},
	} {
		if out, _ := joined(t, c.offers, c.in); len(out) != c.want {
			t.Errorf("%s: %d packets became %d, want %d", c.name, len(c.in), len(out), c.want)
		}
	}
}

// TestJoinLeavesWhatIsUnfinished: a device that has offloads although it offers none
// may leave sums undone, of which nothing can be made.
func TestJoinLeavesWhatIsUnfinished(t *testing.T) {
	in, _ := stream(false, 1000, 2)
	says := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}
	if out, st := joinedOf(t, frame.Offloads{}, given{in, says}); len(out) != 2 || st.RxJoined != 0 {
		t.Errorf("2 packets became %d; %+v", len(out), st)
	}
}

// shorter is a packet of the same stream with other data.
func shorter(t *testing.T, b []byte, size int, seq seqnum.Value) []byte {
	t.Helper()
	s, err := seg.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return seg.Make(seg.Fields{
		Src: s.Src(), Dst: s.Dst(), Flags: seg.ACK, Seq: seq, Ack: s.Ack(), Window: s.Window(),
		Options: s.OptionBytes(), Payload: make([]byte, size),
	}).Bytes()
}

// FuzzJoin changes one byte of a stream: what is delivered is what was given, in its
// order, and a packet has right sums if and only if all that are in it had.
func FuzzJoin(f *testing.F) {
	for at := range uint16(80) {
		f.Add(at%2 == 1, uint16(200), uint8(4), 240+at, byte(1)<<(at%8))
	}
	f.Add(false, uint16(1448), uint8(8), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, v6 bool, payload uint16, n uint8, at uint16, flip byte) {
		in, _ := stream(v6, int(payload%3000), 1+int(n%8))
		k := int(at)
		for i := range in {
			if k < len(in[i]) {
				in[i][k] ^= flip
				break
			}
			k -= len(in[i])
		}
		out, st := joined(t, frame.Offloads{}, in)
		if len(out)+int(st.RxJoined)+int(st.RxNotIP) != len(in) {
			t.Fatalf("%d packets, %d delivered, %+v", len(in), len(out), st)
		}
		rest := slices.DeleteFunc(slices.Clone(in), func(b []byte) bool { return b[0]>>4 != 4 && b[0]>>4 != 6 })
		for _, b := range out {
			rest = consist(t, b, rest)
		}
		if len(rest) != 0 {
			t.Errorf("%d packets are lost", len(rest))
		}
	})
}

// consist takes the packets that a delivered one is made of off the rest.
func consist(t *testing.T, b []byte, rest [][]byte) [][]byte {
	t.Helper()
	if bytes.Equal(b, rest[0]) {
		return rest[1:]
	}
	s, err := seg.Parse(b)
	if err != nil {
		t.Fatalf("a packet that is none of those given: %v", err)
	}
	left, right := s.Payload(), true
	for len(left) > 0 && len(rest) > 0 {
		part, err := seg.Parse(rest[0])
		if err != nil || !bytes.HasPrefix(left, part.Payload()) {
			t.Fatalf("other bytes than were given, or another order: %v", err)
		}
		left, rest, right = left[len(part.Payload()):], rest[1:], right && part.Verify()
	}
	if s.Verify() != right {
		t.Errorf("the sums of the whole are right: %v, those of its parts: %v", s.Verify(), right)
	}
	return rest
}
