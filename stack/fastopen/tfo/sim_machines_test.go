package tfo_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"pgregory.net/rapid"
)

// A world is both machines at work: a client's and a server's, each below a simple
// TCP, with a network between them that loses, doubles and reorders as it likes.
//
//	model TCP ◄──► tfo.Client ◄──► wire ◄──► tfo.Server, tfo.Child ◄──► model TCP
type world struct {
	t   chooser
	now time.Duration

	client, server *tcp
	wires          [2][]seg.Segment // by the side that receives
	up             []delivery       // what the machines hand to the TCPs

	machine  *tfo.Client
	listener *tfo.Server
	child    *tfo.Child
	keys     tfo.Keys
	replays  *tfo.Replays
	synData  int // bytes of data that left in the SYN
	idle     time.Duration
}

// chooser decides what happens, and is told what went wrong.
type chooser interface {
	// choose picks a number from lo to hi.
	choose(what string, lo, hi int) int
	Fatalf(format string, args ...any)
}

// drawn chooses as rapid does.
type drawn struct{ *rapid.T }

func (d drawn) choose(what string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(d.T, what) }

type side uint8

const (
	clientSide side = iota
	serverSide
)

type delivery struct {
	to side
	s  seg.Segment
}

// capacity is how many segments fit on a wire: enough for more than an initial
// window, so that what the machines keep can overflow.
const capacity = 14

// windows of the TCPs: less than a SYN's data, and plenty.
var windows = []int{4, 60, 101, 400, 20000}

var (
	clientAt = netip.MustParseAddrPort("192.0.2.1:50000")
	serverAt = netip.MustParseAddrPort("198.51.100.1:80")
)

// newWorld chooses a world and sends its SYN.
func newWorld(t chooser) *world {
	w := &world{t: t, now: time.Hour, replays: tfo.NewReplays(0)}
	w.keys.Primary = tfo.Key{1, 2, 3}
	policy := tfo.Policy{
		Cookieless: t.choose("cookieless", 0, 1) == 1,
		HoldData:   t.choose("hold", 0, 4) == 0,
	}
	if t.choose("capped", 0, 4) == 0 {
		policy.EarlyDataCap = t.choose("cap", 1, 300)
	}
	w.listener = tfo.NewServer(policy)
	w.listener.SetEnabled(t.choose("enabled", 0, 5) > 0)

	right := tfo.Option{Kind: tfo.KindFO, Cookie: w.keys.Primary.Cookie(clientAt.Addr(), serverAt.Addr())}
	wrong, _ := tfo.MakeCookie([]byte("mistaken"))
	plans := []tfo.Plan{
		{Action: tfo.SendCookie, Option: right, MSS: 140},
		{Action: tfo.SendCookie, Option: tfo.Option{Kind: tfo.KindExp, Cookie: right.Cookie}, MSS: 140},
		{Action: tfo.SendCookie, Option: tfo.Option{Kind: tfo.KindFO, Cookie: wrong}, MSS: 140},
		{Action: tfo.SendRequest, Option: tfo.Option{Kind: tfo.KindFO}, Reason: tfo.ReasonNoCookie},
		{Action: tfo.SendBare, MSS: 140},
		{Action: tfo.SendPlain, Reason: tfo.ReasonOff},
	}
	plan := plans[t.choose("plan", 0, len(plans)-1)]
	ts := t.choose("timestamps", 0, 1) == 1
	payload := numbers(t.choose("payload", 0, 250), 1)
	rest := numbers(t.choose("rest", 0, 400), 2)
	answer := numbers(t.choose("answer", 0, 1200), 3)
	w.machine = tfo.NewClient(plan, payload, tfo.Limits{MTU: 1500})
	w.client = &tcp{w: w, side: clientSide, at: clientAt, to: serverAt, iss: 0xffffff80,
		ts: ts, out: append(append([]byte(nil), payload...), rest...), first: len(payload)}
	w.server = &tcp{w: w, side: serverSide, at: serverAt, to: clientAt, iss: 0xfffffff8, ts: ts, out: answer}
	w.client.window = windows[t.choose("client's window", 0, len(windows)-1)]
	w.server.window = windows[t.choose("server's window", 0, len(windows)-1)]
	w.client.open()
	w.settle()
	return w
}

// numbers is a stream that differs from the others.
func numbers(n int, which byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*int(2*which+1)) + which
	}
	return b
}

// down takes a segment that a TCP sends through its machine.
func (w *world) down(from side, s seg.Segment) {
	keep := s.Clone()
	var out tfo.Out
	switch {
	case from == clientSide:
		out = w.machine.FromStack(w.now, s)
		w.carry(clientSide, keep, out, true)
	case w.child != nil:
		out = w.child.FromStack(w.now, s)
		w.carry(serverSide, keep, out, true)
		w.ended()
	default:
		w.send(serverSide, keep)
	}
}

// arrive takes a segment off the wire to the machine of its side.
func (w *world) arrive(at side, s seg.Segment) {
	keep := s.Clone()
	switch {
	case at == clientSide:
		w.carry(clientSide, keep, w.machine.FromWire(w.now, s), false)
	case w.child != nil:
		w.carry(serverSide, keep, w.child.FromWire(w.now, s), false)
		w.ended()
	default:
		w.consider(s)
	}
	w.settle()
}

// consider is what the link does with a segment that belongs to no opening.
func (w *world) consider(s seg.Segment) {
	d := w.listener.Decide(w.now, s, w.keys, w.replays)
	switch d.Answer {
	case tfo.AnswerDrop:
		return
	case tfo.AnswerPlain:
		w.up = append(w.up, delivery{serverSide, s})
		return
	case tfo.AnswerGrant, tfo.AnswerAccept:
	}
	w.child = tfo.NewChild(w.now, s, d, w.listener.Policy())
	w.carry(serverSide, s.Clone(), w.child.FromWire(w.now, s), false)
	w.ended()
}

// ended lets go of a child that is over.
func (w *world) ended() {
	if w.child == nil {
		return
	}
	if o, opened := w.child.Opened(); opened {
		w.replays.Add(o, w.now+time.Minute)
	}
	if w.child.State() == tfo.ChildOver {
		w.listener.End(w.now, w.child.Answer(), clientAt.Addr(), w.child.WasReset())
		w.child = nil
	}
}

// carry does what a machine answered.
func (w *world) carry(at side, in seg.Segment, out tfo.Out, fromStack bool) {
	switch {
	case out.Pass && fromStack:
		w.send(at, in)
	case out.Pass:
		w.up = append(w.up, delivery{at, in})
	}
	for _, s := range out.ToStack {
		w.sound(s)
		w.up = append(w.up, delivery{at, s.Clone()})
	}
	for _, s := range out.ToWire {
		w.send(at, s.Clone())
	}
}

// send puts a segment on the wire; the oldest one gets lost if it is full.
func (w *world) send(from side, s seg.Segment) {
	w.sound(s)
	f := s.Flags()
	if f.Has(seg.RST) {
		w.t.Fatalf("a reset leaves side %d, and nobody had reason to", from)
	}
	if from == clientSide {
		if f.Has(seg.SYN) {
			w.synData = max(w.synData, len(s.Payload()))
		}
		w.notAgain(s)
	}
	to := 1 - from
	if len(w.wires[to]) == capacity {
		w.wires[to] = w.wires[to][1:]
	}
	w.wires[to] = append(w.wires[to], s)
}

// notAgain is what holds for the client's segments once the server has k bytes of
// the SYN's data: none of them is sent again. A probe is old by one on purpose.
func (w *world) notAgain(s seg.Segment) {
	has := w.client.iss.Add(1).Add(size(w.machine.Outcome().BytesAccepted))
	if w.machine.Outcome().BytesAccepted == 0 || s.Flags().Has(seg.SYN) || has.LessThanEq(s.Seq()) {
		return
	}
	if len(s.Payload()) > 0 || s.Seq() != has-1 {
		w.t.Fatalf("the client sends from byte %d what the server has up to %d",
			int(w.client.iss.Add(1).Size(s.Seq())), w.machine.Outcome().BytesAccepted)
	}
}

// late reports whether an ACK is for data of a SYN that was overtaken by its plain
// repeat: the connection was opened by that one, the client's machine is done, and
// the server takes the data when it comes after all.
func (w *world) late(at side, s seg.Segment) bool {
	o := w.machine.Outcome()
	return at == clientSide && w.machine.State() == tfo.Done && o.BytesAccepted == 0 &&
		s.Ack().LessThanEq(w.client.iss.Add(1).Add(size(o.BytesInSYN)))
}

// sound is what holds for every segment (B-01 to B-03).
func (w *world) sound(s seg.Segment) {
	again, err := seg.Parse(s.Bytes())
	if err != nil || !again.Verify() {
		w.t.Fatalf("a segment that is not whole: %v", err)
	}
	if !s.Flags().Has(seg.SYN) {
		for kind := range s.Options() {
			if tfo.Kind(kind) == tfo.KindFO || tfo.Kind(kind) == tfo.KindExp {
				w.t.Fatalf("a Fast Open option without a SYN")
			}
		}
	}
}

// settle delivers what the machines hand up, in order.
func (w *world) settle() {
	for len(w.up) > 0 {
		d := w.up[0]
		w.up = w.up[1:]
		if d.to == clientSide {
			w.client.receive(d.s)
		} else {
			w.server.receive(d.s)
		}
	}
}

// pass lets time go by; timers of the machines fire when they are due.
func (w *world) pass(d time.Duration) {
	end := w.now + d
	for {
		due, ok := w.machine.Deadline()
		var other time.Duration
		otherOK := false
		if w.child != nil {
			other, otherOK = w.child.Deadline()
		}
		switch {
		case ok && due <= end && (!otherOK || due <= other):
			w.now = max(w.now, due)
			w.carry(clientSide, seg.Segment{}, w.machine.Expire(w.now), true)
		case otherOK && other <= end:
			w.now = max(w.now, other)
			w.carry(serverSide, seg.Segment{}, w.child.Expire(w.now), true)
			w.ended()
		default:
			w.now = end
			w.settle()
			return
		}
		w.settle()
	}
}

// idles lets time go by in which the network does nothing, though not so much in all
// that either side would give up: then there is no stream to keep.
func (w *world) idles(d time.Duration) {
	const most = 100 * time.Second // netstack gives up after 127 s, and so do the machines
	d = min(d, most-w.idle)
	w.idle += d
	w.pass(d)
}

// check is what holds at any time: safety.
func (w *world) check() {
	if !bytes.HasPrefix(w.client.out, w.server.in) {
		w.t.Fatalf("the server has %d bytes that are not the stream's first", len(w.server.in))
	}
	if !bytes.HasPrefix(w.server.out, w.client.in) {
		w.t.Fatalf("the client has %d bytes that are not the stream's first", len(w.client.in))
	}
	if w.server.opened > 1 {
		w.t.Fatalf("the server accepted %d connections", w.server.opened)
	}
	o := w.machine.Outcome()
	if o.BytesAccepted > o.BytesInSYN || o.BytesInSYN != w.synData {
		w.t.Fatalf("the outcome is %+v, and %d bytes left in the SYN", o, w.synData)
	}
}

// finish lets the network be kind: everything has to come to its end.
func (w *world) finish() {
	for round := 0; round < 4000; round++ {
		if w.complete() {
			return
		}
		for _, to := range []side{serverSide, clientSide} {
			for len(w.wires[to]) > 0 {
				s := w.wires[to][0]
				w.wires[to] = w.wires[to][1:]
				w.arrive(to, s)
				w.check()
			}
		}
		w.client.write(len(w.client.out))
		w.server.write(len(w.server.out))
		w.settle()
		if len(w.wires[0])+len(w.wires[1]) > 0 {
			continue
		}
		w.pass(time.Second)
		w.client.timeout()
		w.server.timeout()
		w.settle()
	}
	w.t.Fatalf("it does not end: client %v sent %d of %d and has %d of %d, server %v has %d and sent %d; machines in %v, %v",
		w.client.state, w.client.acked(), len(w.client.out), len(w.client.in), len(w.server.out),
		w.server.state, len(w.server.in), w.server.acked(), w.machine.State(), w.child)
}

func (w *world) complete() bool {
	pending, _ := w.listener.Pending(w.now)
	return bytes.Equal(w.client.in, w.server.out) && bytes.Equal(w.server.in, w.client.out) &&
		w.client.acked() == len(w.client.out) && w.server.acked() == len(w.server.out) &&
		w.machine.State() == tfo.Done && w.child == nil && pending == 0
}

// take picks a segment on a wire.
func (w *world) take(to side) (int, bool) {
	if len(w.wires[to]) == 0 {
		return 0, false
	}
	return w.t.choose(fmt.Sprintf("which to %d", to), 0, len(w.wires[to])-1), true
}

// steps are what can happen.
func (w *world) steps() map[string]func() {
	steps := map[string]func(){
		"time":           func() { w.idles(time.Duration(w.t.choose("ms", 1, 1500)) * time.Millisecond) },
		"client's timer": func() { w.client.timeout(); w.settle() },
		"server's timer": func() { w.server.timeout(); w.settle() },
		"client writes":  func() { w.client.write(w.t.choose("bytes", 1, 200)); w.settle() },
		"server writes":  func() { w.server.write(w.t.choose("bytes", 1, 1200)); w.settle() },
	}
	for to, name := range map[side]string{clientSide: "client", serverSide: "server"} {
		steps["deliver to "+name] = func() { w.deliver(to, false) }
		steps["deliver first to "+name] = func() { w.deliver(to, true) }
		steps["lose to "+name] = func() {
			if i, ok := w.take(to); ok {
				w.wires[to] = append(w.wires[to][:i:i], w.wires[to][i+1:]...)
			}
		}
		steps["double to "+name] = func() {
			if i, ok := w.take(to); ok && len(w.wires[to]) < capacity {
				w.wires[to] = append(w.wires[to], w.wires[to][i].Clone())
			}
		}
	}
	return steps
}

// The machines, between a network that does what it likes and TCPs that know
// nothing of them: streams stay what they are, data in a SYN arrives once, and when
// the network turns kind everything ends.
func TestMachinesKeepTheStream(t *testing.T) {
	covers.IDs(t, "P2", "P5", "B-01", "B-02", "B-03", "C-59", "S-29", "S-30", "H-01", "H-05", "H-12", "H-17", "H-23")
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawn{t})
		actions := map[string]func(*rapid.T){"": func(*rapid.T) { w.check() }}
		for name, step := range w.steps() {
			actions[name] = func(t *rapid.T) { w.t = drawn{t}; step() }
		}
		t.Repeat(actions)
		w.t = drawn{t}
		w.finish()
	})
}

func (w *world) deliver(to side, first bool) {
	i, ok := 0, len(w.wires[to]) > 0
	if !first {
		i, ok = w.take(to)
	}
	if !ok {
		return
	}
	s := w.wires[to][i]
	w.wires[to] = append(w.wires[to][:i:i], w.wires[to][i+1:]...)
	w.arrive(to, s)
}
