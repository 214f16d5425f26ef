package fastopen

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// OfferOptions are what a connection wants of Fast Open.
type OfferOptions struct {
	// Payload is what will be written first on the connection. As much of it as
	// fits may leave in the SYN; that part is copied, the rest is not looked
	// at. It may be empty: a cookie is then sent, or asked for, all the same.
	Payload []byte
	// Mode overrides the Link's; ModeDefault does not.
	Mode Mode
}

// Flow is one connection attempt's part in Fast Open. As the owner of its
// endpoint's packets (tcpip.Endpoint.SetOwner) it lets the Link find it without
// a look-up. It is safe for concurrent use.
type Flow struct {
	link *Link

	// done says that no packet of the connection is changed any more; floor,
	// that packets going down are left alone from this sequence number up to
	// tfo.MaxAhead (set when floorSet is in it). Both spare the lock.
	done  atomic.Bool
	floor atomic.Uint64

	mu       sync.Mutex
	outcome  Outcome // guarded by mu; the client's last word
	*attempt         // guarded by mu; nil once done
}

// attempt is what a Flow needs while its connection is being opened. It is let go of
// with the opening: the Flow lives as long as the connection.
type attempt struct {
	mode    Mode
	payload []byte
	client  *tfo.Client // nil before the SYN
	key     key
	alarm   alarm
	egress  egress // of the newest packet going down
	linkHdr []byte // of the newest packet coming up
}

const floorSet = 1 << 32

// newNone makes the Flow of all connections that want no Fast Open: it is over from the
// start, so they pay nothing for the layer, in time or in memory.
func newNone(l *Link) *Flow {
	f := &Flow{link: l, outcome: Outcome{Done: true, Reason: tfo.ReasonOff}}
	f.done.Store(true)
	return f
}

// Offer announces a connection: make the Flow the owner of the endpoint's packets
// and connect. Every Flow needs a Release at its end, or the Link goes on looking
// for its packets.
func (l *Link) Offer(o OfferOptions) *Flow {
	if o.Mode == ModeOff {
		l.stats.reasons[tfo.ReasonOff].Add(1)
		return l.none
	}
	most := l.cfg.MaxSegment
	if most == 0 {
		most = maxEthernetSegment
	}
	f := &Flow{link: l, attempt: &attempt{mode: o.Mode}}
	f.payload = append(f.payload, o.Payload[:min(len(o.Payload), most)]...)
	f.outcome.Wanted = f.resolve() != ModeOff
	l.active.Add(1)
	return f
}

const maxEthernetSegment = 1460

func (f *Flow) resolve() Mode {
	if f.mode == ModeDefault || f.mode > ModeCookieless {
		return f.link.Mode()
	}
	return f.mode
}

// KUID implements tcpip.PacketOwner.
func (*Flow) KUID() uint32 { return 0 }

// KGID implements tcpip.PacketOwner.
func (*Flow) KGID() uint32 { return 0 }

// Outcome is what Fast Open did for the connection so far. BytesAccepted is final
// as soon as the connection is up.
func (f *Flow) Outcome() Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attempt != nil && f.client != nil {
		return f.client.Outcome()
	}
	return f.outcome
}

// Release says that the connection's endpoint is closed or failed to connect.
// What an unanswered SYN teaches is remembered now. It may be called at any time
// and more than once.
func (f *Flow) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done.Load() {
		return
	}
	if f.client == nil {
		f.outcome.Done = true
		f.end()
		return
	}
	f.carry(f.client.Release(f.link.now()))
	f.link.up.wake()
}

// unparsable ends a flow whose SYN cannot be changed: it goes out as it is.
func (f *Flow) unparsable() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done.Load() && f.client == nil {
		f.outcome.Reason, f.outcome.Done = tfo.ReasonUnparsable, true
		f.end()
	}
}

// begin makes the machine when the SYN is seen. It is called with f.mu held.
func (f *Flow) begin(now time.Duration, s seg.Segment) {
	f.key = key{local: s.Src(), remote: s.Dst()}
	path := tfo.Path{Local: s.Src().Addr(), Remote: s.Dst().Addr(), Port: s.Dst().Port()}
	plan := f.link.cache.Plan(now, path, f.resolve())
	f.client = tfo.NewClient(plan, f.payload, tfo.Limits{
		MTU: int(f.link.lower.MTU()), MaxSegment: f.link.cfg.MaxSegment,
	})
}

// carry does what goes with every answer of the machine: lesson, timer, end. It
// queues what goes up, and returns what goes down. It is called with f.mu held.
func (f *Flow) carry(out tfo.Out) (down []seg.Segment) {
	l := f.link
	var paused time.Duration
	if out.Lesson != nil {
		path := tfo.Path{Local: f.key.local.Addr(), Remote: f.key.remote.Addr(), Port: f.key.remote.Port()}
		paused = l.cache.Learn(l.now(), path, *out.Lesson)
	}
	for _, s := range out.ToStack {
		l.up.push(l, inbound(s, f.linkHdr))
	}
	o := f.client.Outcome()
	l.observe(f.outcome, o, out.Lesson, f.key)
	l.tellClient(f.outcome, o, out.Lesson, paused, f.key)
	f.outcome = o
	if f.client.State() == tfo.Done {
		f.end()
		return out.ToWire
	}
	if floor, ok := f.client.Floor(); ok {
		f.floor.Store(floorSet | uint64(floor))
	} else {
		f.floor.Store(0)
	}
	if due, ok := f.client.Deadline(); ok {
		f.alarm.set(l, due, f.expire)
	}
	return out.ToWire
}

// expire runs on the clock's goroutine.
func (f *Flow) expire() {
	f.mu.Lock()
	var down []seg.Segment
	var e egress
	if !f.done.Load() {
		f.alarm.rang()
		e = f.egress
		out := f.client.Expire(f.link.now())
		f.link.tellStep(f.key, nil, true, out)
		down = f.carry(out)
	}
	f.mu.Unlock()
	f.link.up.wake()
	f.link.send(down, e)
}

// end forgets the flow. It is called with f.mu held.
func (f *Flow) end() {
	if f.done.Swap(true) {
		return
	}
	f.alarm.stop()
	f.link.table.remove(f.key, f)
	f.link.active.Add(-1)
	f.attempt = nil
}

// displaced ends the flow because its ports belong to another connection now.
func (f *Flow) displaced() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done.Load() {
		f.carry(f.client.Release(f.link.now()))
		f.link.up.wake()
	}
}

// untouched reports, without a lock, whether a packet going down is no concern
// of the flow.
func (f *Flow) untouched(tcp header.TCP) bool {
	if f.done.Load() {
		return true
	}
	floor := f.floor.Load()
	return floor&floorSet != 0 &&
		tcp.SequenceNumber()-uint32(floor) < tfo.MaxAhead &&
		tcp.Flags()&(header.TCPFlagSyn|header.TCPFlagRst) == 0
}

// settled reports, without a lock, whether the flow only watches for repeats of old
// bytes: the peer's segments are then no concern of it.
func (f *Flow) settled() bool { return f.floor.Load()&floorSet != 0 }

// down takes a packet that the flow's endpoint sends. handled is false if the
// packet is to go on as it is.
func (f *Flow) down(pkt *gstack.PacketBuffer) (segments []seg.Segment, e egress, handled bool) {
	if len(pkt.TransportHeader().Slice()) < header.TCPMinimumSize ||
		f.untouched(header.TCP(pkt.TransportHeader().Slice())) {
		return nil, egress{}, false
	}
	s, err := seg.Parse(ipBytes(pkt))
	if err != nil {
		f.unparsable()
		return nil, egress{}, false
	}
	s = s.WithSum(f.link.sentSum(pkt))
	segments, e, handled, old := f.step(pkt, s, egressOf(pkt))
	if old != nil {
		old.displaced() // after f.mu is free: no two flows are locked at once
	}
	f.link.up.wake()
	return segments, e, handled
}

// step feeds the machine. old is the flow whose ports f took over.
func (f *Flow) step(pkt *gstack.PacketBuffer, s seg.Segment, e egress) (segments []seg.Segment, _ egress, handled bool, old opening) {
	now := f.link.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done.Load() {
		return nil, egress{}, false, nil
	}
	if f.client == nil {
		f.begin(now, s)
	}
	f.egress = e
	enter := f.client.State() == tfo.Idle
	out := f.client.FromStack(now, s)
	if enter && f.client.State() == tfo.SynSent {
		old = f.link.table.put(f.key, f)
	}
	f.link.tellStep(f.key, pkt, true, out)
	return f.carry(out), e, !out.Pass, old
}
