package tfo

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// fuzzPlans are what the cache can want of a connection.
var fuzzPlans = []Plan{
	known(1460), request,
	{Action: SendCookie, Option: Option{Kind: KindExp, Cookie: cookieOf(eight)}},
	{Action: SendBare, MSS: 100},
	{Action: SendPlain, Reason: ReasonOff},
}

// FuzzClient feeds a client whatever comes, from both sides: no panic, no segment
// that is not whole, nothing that netstack would answer with a reset in SYN-SENT,
// and an end.
func FuzzClient(f *testing.F) {
	covers.IDs(f, "H-04", "P4")
	f.Add(uint8(0), []byte("hello"), []byte{0, 0x12, 0, 0, 0, 6, 0, 8, 1, 0x10, 0, 1, 0, 1, 5, 0, 3, 0, 4, 0, 0, 0, 0, 0})
	f.Add(uint8(1), []byte{}, []byte{0, 0x12, 0, 0, 0, 1, 9, 8, 0, 0x12, 0, 0, 0, 1, 0, 3})
	f.Add(uint8(3), []byte("data that is acknowledged in part"), []byte{0, 0x12, 0, 0, 0, 9, 0, 0, 0, 0x10, 0, 1, 0, 40, 3, 0})
	f.Fuzz(func(t *testing.T, plan uint8, payload, steps []byte) {
		payload = payload[:min(len(payload), 2000)]
		r := newRigFor(t, fuzzPlans[int(plan)%len(fuzzPlans)], string(payload), Limits{MTU: 1500}, plan&0x80 != 0)
		r.fuzzed(r.c.FromStack(r.now, r.syn()))
		for len(steps) >= 8 && r.c.State() != Done {
			r.fuzzed(r.fuzzStep(steps[:8]))
			steps = steps[8:]
		}
		r.now += 5 * time.Minute
		for range 100 {
			due, ok := r.c.Deadline()
			if !ok {
				break
			}
			r.now = max(r.now, due)
			r.fuzzed(r.c.Expire(r.now))
		}
		if s := r.c.State(); s != Done && s != Idle {
			t.Fatalf("a client that does not end: state %d", s)
		}
	})
}

// fuzzStep does what eight bytes say. Of a segment they are its kind, flags, numbers,
// the length of its data, and that of a cookie.
func (r *rig) fuzzStep(b []byte) Out {
	flags := seg.Flags(b[1] & 0x1f)
	seq, ack := int(int16(binary.BigEndian.Uint16(b[2:]))), int(int16(binary.BigEndian.Uint16(b[4:])))
	data := text(int(b[6]))
	switch b[0] % 5 {
	case 0:
		r.answerOptions = peerOptions(1460)
		if n := int(b[7] % 19); n > 0 {
			r.answerOptions = append(r.answerOptions, byte(KindFO), byte(2+n))
			r.answerOptions = append(r.answerOptions, text(n)...)
			r.answerOptions = append(r.answerOptions, make([]byte, -len(r.answerOptions)&3)...)
		}
		return r.c.FromWire(r.now, r.up(flags, seq, ack, data))
	case 1:
		return r.c.FromStack(r.now, r.down(flags, seq, ack, data))
	case 2:
		return r.c.FromStack(r.now, r.syn())
	case 3:
		r.now += time.Duration(uint16(seq)) * time.Millisecond
		return r.c.Expire(r.now)
	}
	return r.c.FromICMP(r.now, seg.ICMPError{Src: local4, Dst: remote4, Seq: iss.Add(seqnum.Size(seq)), TooBig: ack > 0, MTU: ack})
}

// fuzzed is what holds whatever the client was fed.
func (r *rig) fuzzed(out Out) {
	for _, s := range append(out.ToWire, out.ToStack...) {
		r.sound(s)
	}
	for _, s := range out.ToStack {
		f := s.Flags()
		if f.Has(seg.SYN|seg.ACK) && s.Ack() != iss.Add(1) {
			r.t.Fatalf("the stack is shown %q", brief(s, true))
		}
	}
	if o := r.c.Outcome(); o.BytesAccepted > o.BytesInSYN || o.BytesAccepted < 0 {
		r.t.Fatalf("the outcome is %+v", o)
	}
}
