package tfo

import (
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
)

// BenchmarkClient takes an opening from the SYN to the SYN-ACK that acknowledges its
// data, without and with the segments' making.
func BenchmarkClient(b *testing.B) {
	payload := make([]byte, 100)
	syn := seg.Make(seg.Fields{Src: local4, Dst: remote4, Seq: 1000, Flags: seg.SYN, Window: 65535, Options: stackOptions(1460)})
	answer := seg.Make(seg.Fields{Src: remote4, Dst: local4, Seq: 9000, Ack: 1101, Flags: seg.SYN | seg.ACK, Window: 65535, Options: peerOptions(1460)})
	plan := known(1460)
	b.ReportAllocs()
	for b.Loop() {
		c := NewClient(plan, payload, Limits{MTU: 1500})
		out := c.FromStack(0, syn.Clone())
		if len(out.ToWire) != 1 || len(out.ToWire[0].Payload()) != len(payload) {
			b.Fatal("the SYN has no data")
		}
		if out := c.FromWire(1, answer.Clone()); len(out.ToStack) != 1 {
			b.Fatal("the SYN-ACK was not changed")
		}
	}
}

// BenchmarkCookie makes a cookie, as a server does for each SYN.
func BenchmarkCookie(b *testing.B) {
	var k Key
	client, server := local4.Addr(), remote4.Addr()
	b.ReportAllocs()
	for b.Loop() {
		k.Cookie(client, server)
	}
}

// BenchmarkPlan asks the cache about a peer that it knows.
func BenchmarkPlan(b *testing.B) {
	c := NewCache(0)
	path := Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: remote4.Port()}
	c.Learn(0, path, Lesson{Verdict: VerdictGranted, Granted: Option{Kind: KindFO, Cookie: cookieOf(eight)}, MSS: 1460})
	b.ReportAllocs()
	for b.Loop() {
		if c.Plan(1, path, ModeOn).Action != SendCookie {
			b.Fatal("the cookie was forgotten")
		}
	}
}
