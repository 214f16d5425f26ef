package tfo

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// A rig plays the stack above and the peer below one Client. Numbers are relative:
// 0 is ISS going down and IRS going up, so that 1 is the first byte of data.
type rig struct {
	t    *testing.T
	c    *Client
	now  time.Duration
	v6   bool
	last *Lesson

	synOptions, answerOptions []byte
}

const (
	iss = seqnum.Value(0xfffffff0) // wraps soon: sequence arithmetic is under test, too
	irs = seqnum.Value(0xfffff000)

	stackTS, peerTS = 1000, 5000
)

var (
	local4  = netip.MustParseAddrPort("192.0.2.1:50000")
	remote4 = netip.MustParseAddrPort("198.51.100.1:80")
	local6  = netip.MustParseAddrPort("[2001:db8::1]:50000")
	remote6 = netip.MustParseAddrPort("[2001:db8:1::1]:80")
)

// The options that netstack's SYN has, 20 bytes.
func stackOptions(mss uint16) []byte {
	b := []byte{seg.OptMSS, 4, byte(mss >> 8), byte(mss), seg.OptSACKPerm, 2, seg.OptTS, 10}
	b = binary.BigEndian.AppendUint32(b, stackTS)
	b = binary.BigEndian.AppendUint32(b, 0)
	return append(b, seg.OptNOP, seg.OptWScale, 3, 7)
}

func peerOptions(mss uint16, extra ...byte) []byte {
	b := stackOptions(mss)
	binary.BigEndian.PutUint32(b[8:], peerTS)
	binary.BigEndian.PutUint32(b[12:], stackTS)
	return append(b, extra...)
}

func cookieOf(s string) Cookie {
	c, ok := MakeCookie([]byte(s))
	if !ok {
		panic("no cookie has this length: " + s)
	}
	return c
}

func fo(kind Kind, cookie string) []byte {
	o := Option{Kind: kind}
	if cookie != "" {
		o.Cookie = cookieOf(cookie)
	}
	return o.append(nil)
}

const eight = "\x01\x02\x03\x04\x05\x06\x07\x08"

// known is the plan for a peer whose cookie and MSS are known.
func known(mss uint16) Plan {
	return Plan{Action: SendCookie, Option: Option{Kind: KindFO, Cookie: cookieOf(eight)}, MSS: mss}
}

var request = Plan{Action: SendRequest, Option: Option{Kind: KindFO}, Reason: ReasonNoCookie}

func newRig(t *testing.T, plan Plan, payload string) *rig {
	t.Helper()
	return newRigFor(t, plan, payload, Limits{MTU: 1500}, false)
}

func newRigFor(t *testing.T, plan Plan, payload string, l Limits, v6 bool) *rig {
	t.Helper()
	mss := uint16(l.MTU - 40)
	if v6 {
		mss = uint16(l.MTU - 60)
	}
	return &rig{t: t, c: NewClient(plan, []byte(payload), l), v6: v6,
		synOptions: stackOptions(mss), answerOptions: peerOptions(1460)}
}

// down is a segment of the stack's, up one of the peer's.
func (r *rig) down(flags seg.Flags, seq, ack int, payload string) seg.Segment {
	f := seg.Fields{Src: local4, Dst: remote4, Seq: iss + seqnum.Value(seq), Flags: flags,
		Window: 1000, Payload: []byte(payload)}
	if r.v6 {
		f.Src, f.Dst = local6, remote6
	}
	if flags.Has(seg.ACK) {
		f.Ack = irs + seqnum.Value(ack)
	}
	f.Options = seg.TimestampOption(stackTS+1, peerTS)
	if flags.Has(seg.SYN) {
		f.Options = r.synOptions
	}
	return seg.Make(f)
}

func (r *rig) up(flags seg.Flags, seq, ack int, payload string) seg.Segment {
	f := seg.Fields{Src: remote4, Dst: local4, Seq: irs + seqnum.Value(seq), Flags: flags,
		Window: 500, Payload: []byte(payload)}
	if r.v6 {
		f.Src, f.Dst = remote6, local6
	}
	if flags.Has(seg.ACK) {
		f.Ack = iss + seqnum.Value(ack)
	}
	f.Options = seg.TimestampOption(peerTS+1, stackTS+1)
	if flags.Has(seg.SYN) {
		f.Options = r.answerOptions
	}
	return seg.Make(f)
}

func (r *rig) syn() seg.Segment              { return r.down(seg.SYN, 0, 0, "") }
func (r *rig) bare(seq, ack int) seg.Segment { return r.down(seg.ACK, seq, ack, "") }
func (r *rig) data(seq int, p string) seg.Segment {
	return r.down(seg.ACK|seg.PSH, seq, 1, p)
}
func (r *rig) synack(ack int, extra ...byte) seg.Segment {
	was := r.answerOptions
	defer func() { r.answerOptions = was }()
	r.answerOptions = append(append([]byte(nil), was...), extra...)
	return r.up(seg.SYN|seg.ACK, 0, ack, "")
}

// brief is a segment as the tests write it: flags, sequence number, length,
// acknowledgement, Fast Open option.
func brief(s seg.Segment, theirs bool) string {
	from, to := iss, irs
	if theirs {
		from, to = irs, iss
	}
	b := fmt.Sprintf("%s %d", s.Flags()&^seg.PSH, int32(s.Seq()-from))
	if n := len(s.Payload()); n > 0 {
		b += fmt.Sprintf(":%d", n)
	}
	if s.Flags().Has(seg.ACK) {
		b += fmt.Sprintf(" ack %d", int32(s.Ack()-to))
	}
	if o, ok := ParseOption(s); ok {
		b += map[Kind]string{KindFO: " fo=", KindExp: " exp="}[o.Kind] + o.Cookie.String()
	}
	return b
}

func (r *rig) briefs(theirs bool, segments []seg.Segment) string {
	var b []string
	for _, s := range segments {
		r.sound(s)
		b = append(b, brief(s, theirs))
	}
	return strings.Join(b, ", ")
}

// sound checks what holds for every segment that is changed or made: B-01, B-02
// and B-03.
func (r *rig) sound(s seg.Segment) {
	r.t.Helper()
	again, err := seg.Parse(s.Bytes())
	if err != nil {
		r.t.Fatalf("%v: %v", brief(s, false), err)
	}
	if s.Sum() == seg.SumFull && !again.Verify() {
		r.t.Errorf("%v: checksum is wrong", brief(s, false))
	}
	if len(s.OptionBytes())%4 != 0 || len(s.OptionBytes()) > seg.MaxOptionBytes {
		r.t.Errorf("%v: %d bytes of options", brief(s, false), len(s.OptionBytes()))
	}
	if !s.Flags().Has(seg.SYN) {
		for kind := range s.Options() {
			if Kind(kind) == KindFO || Kind(kind) == KindExp {
				r.t.Errorf("%v: Fast Open option without SYN", brief(s, false))
			}
		}
	}
}

// Want is what an event leads to. An empty string means nothing at all; "=" that
// the segment handed in goes on unchanged.
func (r *rig) want(out Out, wire, stack string, in seg.Segment, theirs bool) {
	r.t.Helper()
	if out.Lesson != nil {
		r.last = out.Lesson
	}
	gotWire, gotStack := r.briefs(false, out.ToWire), r.briefs(true, out.ToStack)
	if out.Pass && theirs {
		gotStack = join("=", gotStack)
	} else if out.Pass {
		gotWire = join("=", gotWire)
	}
	if gotWire != wire || gotStack != stack {
		r.t.Errorf("after %q\n  to the wire:  got %q, want %q\n  to the stack: got %q, want %q",
			brief(in, theirs), gotWire, wire, gotStack, stack)
	}
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ", " + b
}

// fromStack and fromWire hand a segment to the machine and say what must follow.
func (r *rig) fromStack(s seg.Segment, wire, stack string) Out {
	r.t.Helper()
	in := s.Clone()
	out := r.c.FromStack(r.now, s)
	r.want(out, wire, stack, in, false)
	return out
}

func (r *rig) fromWire(s seg.Segment, wire, stack string) Out {
	r.t.Helper()
	in := s.Clone()
	out := r.c.FromWire(r.now, s)
	r.want(out, wire, stack, in, true)
	return out
}

// acknowledges has the stack send its ACK of the SYN-ACK, which nothing else carries.
func (r *rig) acknowledges(wire string) {
	r.t.Helper()
	bare := r.bare(1, 1)
	in := bare.Clone()
	r.fromStack(bare, "", "")
	r.now += ackDelay
	r.want(r.c.Expire(r.now), wire, "", in, false)
}

// wait moves time on, and says what the machine does meanwhile.
func (r *rig) wait(d time.Duration, stack string) Out {
	r.t.Helper()
	end := r.now + d
	var all Out
	for {
		due, ok := r.c.Deadline()
		if !ok || due > end {
			break
		}
		r.now = max(r.now, due)
		out := r.c.Expire(r.now)
		if out.Lesson != nil {
			r.last, all.Lesson = out.Lesson, out.Lesson
		}
		all.ToStack = append(all.ToStack, out.ToStack...)
		if len(out.ToWire) > 0 {
			r.t.Errorf("a timer sent %q", r.briefs(false, out.ToWire))
		}
	}
	r.now = end
	if got := r.briefs(true, all.ToStack); got != stack {
		r.t.Errorf("after %v: got %q, want %q", d, got, stack)
	}
	return all
}

func (r *rig) lesson(want Verdict) Lesson {
	r.t.Helper()
	if r.last == nil {
		r.t.Fatalf("no lesson; want %q", want)
	}
	if r.last.Verdict != want {
		r.t.Errorf("lesson is %q, want %q", r.last.Verdict, want)
	}
	return *r.last
}

func (r *rig) outcome(inSYN, accepted int, why Reason) {
	r.t.Helper()
	o := r.c.Outcome()
	if o.BytesInSYN != inSYN || o.BytesAccepted != accepted || o.Reason != why {
		r.t.Errorf("outcome: %d in the SYN, %d accepted, reason %q; want %d, %d, %q",
			o.BytesInSYN, o.BytesAccepted, o.Reason, inSYN, accepted, why)
	}
}

func (r *rig) state(want State) {
	r.t.Helper()
	if got := r.c.State(); got != want {
		r.t.Errorf("state is %d, want %d", got, want)
	}
}

func text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return string(b)
}
