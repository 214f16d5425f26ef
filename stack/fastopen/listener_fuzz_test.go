package fastopen_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// hello is a SYN to the fuzzed listener.
func hello(v6 bool, extra []byte, payload string) seg.Segment {
	f := seg.Fields{Src: netip.AddrPortFrom(theirs4, 5000), Dst: netip.AddrPortFrom(ours4, httpPort), Seq: 9000, Flags: seg.SYN, Window: 1000,
		Options: append(clientOptions(), extra...), Payload: []byte(payload)}
	if v6 {
		f.Src, f.Dst = netip.AddrPortFrom(theirs6, 5000), netip.AddrPortFrom(ours6, httpPort)
	}
	return seg.Make(f)
}

// FuzzListener has any packet arrive where a listener takes data without a cookie,
// and plays the netstack that answers. What is no SYN, or not whole, passes as it is;
// a SYN is acknowledged for no more than netstack took, once.
func FuzzListener(f *testing.F) {
	covers.IDs(f, "P3", "S-25", "S-50", "H-17")
	request := []byte{byte(tfo.KindFO), 2, 1, 1}
	for _, v6 := range []bool{false, true} {
		for _, extra := range [][]byte{nil, request, append([]byte{byte(tfo.KindFO), 10}, eight+"\x01\x01"...)} {
			f.Add(hello(v6, extra, "").Bytes(), uint16(1460))
			f.Add(hello(v6, extra, "hello").Bytes(), uint16(3))
		}
		f.Add(icmp4(hello(v6, nil, "hello").Bytes(), 1300), uint16(1460))
	}
	f.Fuzz(func(t *testing.T, raw []byte, mss uint16) {
		if len(raw) == 0 || len(raw) > 65535 {
			return
		}
		for _, raw := range mended(raw) {
			toListener(t, raw, mss)
		}
	})
}

// mended is a packet, and the same with right sums if it has wrong ones: those keep a
// fuzzer from getting any further.
func mended(raw []byte) [][]byte {
	s, err := seg.Parse(raw)
	if err != nil || s.Verify() {
		return [][]byte{raw}
	}
	return [][]byte{raw, s.Clone().Rebuild(s.OptionBytes(), s.Payload()).Bytes()}
}

func toListener(t *testing.T, raw []byte, mss uint16) {
	b := newBench(t)
	l, err := b.link.Listen(netip.AddrPortFrom(netip.Addr{}, httpPort), fastopen.ListenConfig{Cookieless: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	s, err := seg.Parse(raw)
	whole := err == nil && s.Verify()
	syn := whole && s.Flags()&(seg.SYN|seg.ACK|seg.RST) == seg.SYN && s.Dst().Port() == httpPort
	b.inject(raw)
	if n := len(b.sent()); n != 0 {
		t.Fatalf("%d packets leave before netstack has answered", n)
	}
	if syn && s.Flags().Has(seg.FIN) {
		if len(b.take()) != 0 {
			t.Error("SYN and FIN go up")
		}
		return
	}
	// The Link's goroutine may be the one that delivers.
	if got := b.await(t); len(got) != 1 || !bytes.Equal(got[0], raw) {
		t.Fatalf("a packet was changed or kept: %d delivered", len(got))
	}
	if syn {
		b.play(t, s.Clone(), mss)
	}
	l.Close()
	b.link.Close()
	if n := b.link.Stats().Openings; n != 0 {
		t.Errorf("%d openings are left", n)
	}
}

// play is netstack: it answers a SYN, takes the data that it is given, and sees the
// SYN come again.
func (b *bench) play(t *testing.T, syn seg.Segment, mss uint16) {
	first := syn.Seq().Add(1)
	options := clientOptions()
	options[2], options[3] = byte(mss>>8), byte(mss)
	answer := seg.Fields{Src: syn.Dst(), Dst: syn.Src(), Seq: 70000, Ack: first, Flags: seg.SYN | seg.ACK, Window: 500, Options: options}
	b.leave(seg.Make(answer), nil)
	out := b.sent()
	taken := seqnum.Size(0)
	if len(out) == 0 { // kept back, for the data to be taken first
		made := whole(t, b.await(t)[0])
		taken = seqnum.Size(len(made.Payload()))
		if made.Seq() != first || made.Ack() != 70001 || taken == 0 || int(taken) > int(mss) || !bytes.HasPrefix(syn.Payload(), made.Payload()) {
			t.Fatalf("netstack is given %v seq %d ack %d with %d bytes", made.Flags(), made.Seq(), made.Ack(), taken)
		}
		answer.Flags, answer.Seq, answer.Ack, answer.Options = seg.ACK, 70001, first.Add(taken), nil
		b.leave(seg.Make(answer), nil)
	}
	b.inject(syn.Bytes())
	answers := 0
	for _, raw := range append(out, b.sent()...) {
		s := whole(t, raw)
		if !s.Flags().Has(seg.SYN | seg.ACK) {
			continue
		}
		answers++
		if s.Ack() != first.Add(taken) {
			t.Errorf("the SYN-ACK acknowledges %d bytes of %d that netstack took", first.Size(s.Ack()), taken)
		}
	}
	if answers == 0 || answers > 2 {
		t.Errorf("%d SYN-ACKs for a SYN that came twice", answers)
	}
}

func whole(t *testing.T, raw []byte) seg.Segment {
	t.Helper()
	s, err := seg.Parse(raw)
	if err != nil || !s.Verify() {
		t.Fatalf("a packet that is not whole: %v", err)
	}
	return s
}
