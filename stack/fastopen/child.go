package fastopen

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// opening is what the table holds: a connection being opened, from either side.
type opening interface {
	// up takes a packet that comes up. What netstack is to see, the packet
	// itself included, is queued; what is to be answered is returned.
	up(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) ([]seg.Segment, egress)
	// down takes a packet that netstack sends. handled is false if the packet
	// is to go on as it is.
	down(pkt *gstack.PacketBuffer) (segments []seg.Segment, e egress, handled bool)
	// displaced ends the opening: its ports belong to another connection now.
	displaced()
}

// child is a passive open: a connection that a client opens with its SYN, or
// that asks for a cookie. It is in the table from the SYN until its handshake is
// over.
type child struct {
	link     *Link
	listener *Listener
	key      key

	// done says that no packet is changed any more. It spares the lock.
	done atomic.Bool

	mu         sync.Mutex
	machine    *tfo.Child // guarded by mu
	alarm      alarm      // guarded by mu
	egress     egress     // guarded by mu; of the newest packet going down
	linkHdr    []byte     // guarded by mu; of the newest packet coming up
	remembered bool       // guarded by mu; the replay memory has it
}

// up implements opening.
func (c *child) up(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) ([]seg.Segment, egress) {
	b := ipBytes(pkt)
	s, err := seg.Parse(b)
	damaged := err == nil && !c.link.trusted(pkt) && !s.Verify()
	now := c.link.now()

	c.mu.Lock()
	defer c.mu.Unlock()
	out := tfo.Out{Pass: true}
	switch {
	case c.done.Load() || damaged:
		// Netstack counts and drops what is damaged.
	case err == nil:
		c.linkHdr = append(c.linkHdr[:0], pkt.LinkHeader().Slice()...)
		out = c.machine.FromWire(now, s)
	default:
		if e, ok := seg.ParseICMPError(b); ok && seg.VerifyICMP(b) {
			out = c.machine.FromICMP(e)
		}
	}
	c.link.tellStep(c.key, pkt, false, out)
	if out.Pass {
		c.link.up.push(c.link, upItem{proto: proto, pkt: pkt.IncRef()})
	}
	if c.done.Load() {
		return nil, egress{}
	}
	return c.carry(out), c.egress
}

// down implements opening.
func (c *child) down(pkt *gstack.PacketBuffer) (segments []seg.Segment, e egress, handled bool) {
	if c.done.Load() {
		return nil, egress{}, false
	}
	s, err := seg.Parse(ipBytes(pkt))
	if err != nil {
		return nil, egress{}, false
	}
	s = s.WithSum(c.link.sentSum(pkt))
	segments, e, handled = c.step(pkt, s, egressOf(pkt))
	c.link.up.wake()
	return segments, e, handled
}

func (c *child) step(pkt *gstack.PacketBuffer, s seg.Segment, e egress) ([]seg.Segment, egress, bool) {
	now := c.link.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done.Load() {
		return nil, egress{}, false
	}
	if e.gso.Type == gstack.GSONone {
		e.gso = c.egress.gso // for what was kept back; the rest does not need it
	}
	c.egress = e
	out := c.machine.FromStack(now, s)
	c.link.tellStep(c.key, pkt, true, out)
	return c.carry(out), e, !out.Pass
}

// carry does what goes with every answer of the machine: events, replay memory,
// timer, end. It queues what goes up, and returns what goes down. It is called
// with c.mu held.
func (c *child) carry(out tfo.Out) (down []seg.Segment) {
	l := c.link
	_, taken, _ := c.machine.Bytes()
	c.listener.count(c.machine.TakeEvents(), taken, c.key)
	if o, opened := c.machine.Opened(); opened && !c.remembered {
		c.remembered = true
		if window := c.listener.replayWindow; window > 0 {
			l.replays.Add(o, l.now()+window)
		}
	}
	for _, s := range out.ToStack {
		l.up.push(l, inbound(s, c.linkHdr))
	}
	if c.machine.State() == tfo.ChildOver {
		c.end()
		return out.ToWire
	}
	if due, ok := c.machine.Deadline(); ok {
		c.alarm.set(l, due, c.expire)
	}
	return out.ToWire
}

// expire runs on the clock's goroutine.
func (c *child) expire() {
	c.mu.Lock()
	var down []seg.Segment
	if !c.done.Load() {
		c.alarm.rang()
		out := c.machine.Expire(c.link.now())
		c.link.tellStep(c.key, nil, true, out)
		down = c.carry(out)
	}
	e := c.egress
	c.mu.Unlock()
	c.link.up.wake()
	c.link.send(down, e)
}

// end forgets the child and gives its place back. It is called with c.mu held.
func (c *child) end() {
	if c.done.Swap(true) {
		return
	}
	c.alarm.stop()
	l := c.link
	if in, taken, ok := c.machine.Bytes(); ok {
		l.opened.add(c.key, Accepted{BytesInSYN: in, BytesTaken: taken})
		if l.log.Enabled(context.Background(), slog.LevelDebug) {
			l.log.Debug("fast open accepted", slog.String("local", c.key.local.String()),
				slog.String("remote", c.key.remote.String()), slog.Int("in_syn", in), slog.Int("taken", taken))
		}
	}
	l.table.remove(c.key, c)
	l.active.Add(-1)
	l.children.Add(-1)
	c.listener.ended(c.machine.Answer(), c.key.remote.Addr(), c.machine.WasReset())
}

// displaced implements opening.
func (c *child) displaced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done.Load() {
		c.machine.Release()
		c.end()
	}
}

// refused stands for a packet that goes no further.
type refused struct{}

func (refused) up(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) ([]seg.Segment, egress) {
	return nil, egress{}
}
func (refused) down(*gstack.PacketBuffer) ([]seg.Segment, egress, bool) { return nil, egress{}, false }
func (refused) displaced()                                              {}
