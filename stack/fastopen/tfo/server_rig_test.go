package tfo

import (
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// A host plays the stack above and the client below one listener: its Server,
// and the Child of the SYN at hand. Numbers are relative as in rig: ISS is the
// server's, IRS the client's.
type host struct {
	*rig
	server  *Server
	keys    Keys
	replays *Replays
	child   *Child
	got     Decision

	client, local netip.AddrPort
	synWindow     uint16
	clientOptions []byte // of the SYN
	mss           uint16 // of the SYN-ACK
	window        uint16 // of the stack's segments
}

var (
	server4 = netip.MustParseAddrPort("192.0.2.1:80")
	client4 = netip.MustParseAddrPort("198.51.100.1:50000")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:80")
	client6 = netip.MustParseAddrPort("[2001:db8:1::1]:50000")
)

func newHost(t *testing.T, p Policy) *host {
	t.Helper()
	return &host{
		rig: &rig{t: t, now: time.Hour}, server: NewServer(p), keys: mustKeys(t, linuxKey), replays: NewReplays(0),
		client: client4, local: server4, synWindow: 64000, mss: 1460, window: 500,
		clientOptions: stackOptions(1460),
	}
}

func (h *host) useV6() *host { h.client, h.local = client6, server6; return h }

// cookie is the option with the right cookie.
func (h *host) cookie() []byte {
	return Option{Kind: KindFO, Cookie: h.keys.Primary.Cookie(h.client.Addr(), h.local.Addr())}.append(nil)
}

// syn is a SYN of the client's; extra are options behind its usual ones.
func (h *host) synWith(flags seg.Flags, extra []byte, payload string) seg.Segment {
	return seg.Make(seg.Fields{Src: h.client, Dst: h.local, Seq: irs, Flags: flags, Window: h.synWindow,
		Options: append(append([]byte(nil), h.clientOptions...), extra...), Payload: []byte(payload)})
}

func (h *host) syn(extra []byte, payload string) seg.Segment {
	return h.synWith(seg.SYN, extra, payload)
}

// decide hands a SYN to the Server, and to a Child if there is to be one.
func (h *host) decide(s seg.Segment, want Answer) Decision {
	h.t.Helper()
	h.got = h.server.Decide(h.now, s, h.keys, h.replays)
	if h.got.Answer != want {
		h.t.Fatalf("answer %d to %q, want %d", h.got.Answer, brief(s, true), want)
	}
	h.child = nil
	if want == AnswerGrant || want == AnswerAccept {
		h.child = NewChild(h.now, s, h.got, h.server.Policy())
		h.wire(s, "", "=")
	}
	return h.got
}

// pendingHost is a host whose client was answered: the SYN-ACK has left.
func pendingHost(t *testing.T, p Policy, payload string) *host {
	t.Helper()
	h := newHost(t, p)
	h.open(payload)
	return h
}

func (h *host) open(payload string) {
	h.t.Helper()
	h.decide(h.syn(h.cookie(), payload), AnswerAccept)
	n := len(payload)
	if n == 0 {
		h.stack(h.synack(), "SA 0 ack 1", "A 1 ack 1")
	} else {
		h.stack(h.synack(), "", brief(h.up(seg.ACK, 1, 1, payload), true))
		h.stack(h.ours(seg.ACK, 1, 1+n, ""), "SA 0 ack "+num(1+n), "")
	}
	if h.child.State() != ChildPending {
		h.t.Fatalf("state %d", h.child.State())
	}
}

// synack is the stack's answer to a SYN.
func (h *host) synack() seg.Segment {
	s := h.ours(seg.SYN|seg.ACK, 0, 1, "")
	o := peerOptions(h.mss)
	copy(o[8:12], []byte{0, 0, stackTS >> 8, stackTS & 0xff})
	copy(o[12:16], []byte{0, 0, peerTS >> 8, peerTS & 0xff})
	return s.Rebuild(o, nil)
}

// ours is a segment of the stack's, theirs one of the client's.
func (h *host) ours(flags seg.Flags, seq, ack int, payload string) seg.Segment {
	return seg.Make(seg.Fields{Src: h.local, Dst: h.client, Seq: iss + seqnum.Value(seq), Ack: irs + seqnum.Value(ack),
		Flags: flags, Window: h.window, Payload: []byte(payload), Options: seg.TimestampOption(stackTS+1, peerTS)})
}

func (h *host) theirs(flags seg.Flags, seq, ack int, payload string) seg.Segment {
	return seg.Make(seg.Fields{Src: h.client, Dst: h.local, Seq: irs + seqnum.Value(seq), Ack: iss + seqnum.Value(ack),
		Flags: flags, Window: 500, Payload: []byte(payload), Options: seg.TimestampOption(peerTS+9, stackTS)})
}

// stack and wire hand a segment to the machine and say what must follow.
func (h *host) stack(s seg.Segment, wire, stack string) Out {
	h.t.Helper()
	in := s.Clone()
	out := h.child.FromStack(h.now, s)
	h.want(out, wire, stack, in, false)
	h.finish()
	return out
}

func (h *host) wire(s seg.Segment, wire, stack string) Out {
	h.t.Helper()
	in := s.Clone()
	out := h.child.FromWire(h.now, s)
	h.want(out, wire, stack, in, true)
	h.finish()
	return out
}

// finish does what the Link does after each step.
func (h *host) finish() {
	if o, opened := h.child.Opened(); opened {
		h.replays.Add(o, h.now+DefaultReplayWindow)
	}
	if h.child.State() == ChildOver && h.got.Answer != AnswerPlain {
		h.server.End(h.now, h.got.Answer, h.client.Addr(), h.child.WasReset())
		h.got.Answer = AnswerPlain
	}
}

// pass moves time on and says what the machine does meanwhile.
func (h *host) pass(d time.Duration, wire, stack string) {
	h.t.Helper()
	end := h.now + d
	var all Out
	for {
		due, ok := h.child.Deadline()
		if !ok || due > end {
			break
		}
		h.now = max(h.now, due)
		out := h.child.Expire(h.now)
		all.ToWire = append(all.ToWire, out.ToWire...)
		all.ToStack = append(all.ToStack, out.ToStack...)
		h.finish()
	}
	h.now = end
	if w, s := h.briefs(false, all.ToWire), h.briefs(true, all.ToStack); w != wire || s != stack {
		h.t.Errorf("in %v: to the wire %q, want %q; to the stack %q, want %q", d, w, wire, s, stack)
	}
}

func (h *host) pending(want int) {
	h.t.Helper()
	if n, _ := h.server.Pending(h.now); n != want {
		h.t.Errorf("%d openings are pending, want %d", n, want)
	}
}

// events are those of the SYN's decision and of the child since.
func (h *host) events(want ...Event) {
	h.t.Helper()
	set := h.got.Events
	if h.child != nil {
		set |= h.child.TakeEvents()
	}
	var all EventSet
	for _, e := range want {
		all |= setOf(e)
	}
	if set != all {
		h.t.Errorf("events %b, want %b", set, all)
	}
}

func num(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return num(n/10) + num(n%10)
}
