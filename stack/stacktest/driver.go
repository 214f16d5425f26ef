package stacktest

import (
	"bytes"
	"container/heap"
	"net/netip"
	"slices"
	"testing/synctest"
	"time"
)

// drive is the driver: it does one thing that is due, waits until everything it
// set going has come to rest, and lets time pass when nothing is due.
func (n *Net) drive() {
	defer close(n.driven)
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for {
		synctest.Wait()
		select {
		case <-n.stop:
			return
		default:
		}
		if !n.step() && !n.rest(pause) {
			return
		}
	}
}

// step does one thing that is due now and reports whether there was one. What
// follows from the last one comes before what is due next.
func (n *Net) step() bool {
	worked := false
	for _, p := range n.nodes() {
		worked = p.barrier.round() || worked
	}
	if worked {
		return true
	}
	if n.collect() {
		return true
	}
	if s := n.nextWoken(); s != nil {
		s.release()
		return true
	}
	now := n.timers.now()
	if t := n.timers.take(now); t != nil {
		t.f()
		if t.barrier != nil {
			t.barrier.touch(2)
		}
		return true
	}
	return n.move(now)
}

func (n *Net) nodes() []*Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports
}

// collect takes up what the nodes have sent, in an order that does not depend on
// which of their goroutines was first: node by node, connection by connection.
func (n *Net) collect() bool {
	found := false
	now := n.timers.now()
	for _, p := range n.nodes() {
		out := p.collect()
		if len(out) > 1 {
			slices.SortStableFunc(out, func(a, b []byte) int { return bytes.Compare(flowOf(a), flowOf(b)) })
		}
		for _, b := range out {
			found = true
			p.line.enterOut(now, b)
		}
	}
	return found
}

// flowOf is addresses and ports of a packet.
func flowOf(b []byte) []byte {
	switch {
	case len(b) >= 24 && b[0] == 0x45:
		return b[12:24]
	case len(b) >= 44 && b[0]>>4 == 6:
		return b[8:44]
	}
	return nil
}

// move takes packets that are due to the end of their leg, up to the first one
// that reaches a node.
func (n *Net) move(now time.Duration) bool {
	for len(n.flights) > 0 && n.flights[0].due <= now {
		f := heap.Pop(&n.flights).(*flight)
		n.flying.Add(-1)
		if f.leg == outbound {
			f.port.line.leaveOut(now, f.b)
			continue
		}
		n.event(now, f.port, Arrived, fate{b: f.b})
		f.port.deliver(f.b)
		return true
	}
	return false
}

// route takes a packet through the cloud to the line of its destination.
func (n *Net) route(now time.Duration, from *Port, b []byte) {
	dst := destination(b)
	n.mu.Lock()
	p := n.routes[dst]
	n.mu.Unlock()
	if p == nil || p == from {
		n.event(now, from, Changed, fate{b: b, lost: "no route"})
		return
	}
	p.line.arrive(now, b)
}

func destination(b []byte) netip.Addr {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[16:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[24:]))
	}
	return netip.Addr{}
}

// tooBig answers a packet that does not fit. The answer goes to its source: with
// from, to that node without passing its middleboxes; else through the cloud.
func (n *Net) tooBig(now time.Duration, from *Port, b []byte, mtu int) {
	answer := icmpTooBig(b, mtu)
	switch {
	case answer == nil:
	case from != nil:
		from.line.enterIn(now, answer)
	default:
		n.route(now, nil, answer)
	}
}

// rest waits for the next thing to do. It reports false when the run is over.
func (n *Net) rest(pause *time.Timer) bool {
	due, ok := n.timers.next()
	if len(n.flights) > 0 && (!ok || n.flights[0].due < due) {
		due, ok = n.flights[0].due, true
	}
	if n.overdue(due, ok) {
		ok = false
	}
	var wake <-chan time.Time
	if ok {
		pause.Reset(max(due-n.timers.now(), 0))
		wake = pause.C
		defer pause.Stop()
	}
	select {
	case <-n.stop:
		return false
	case <-n.poked:
	case <-wake:
	}
	return true
}

// overdue reports whether the next thing to do is beyond the run's limit. Then
// time does not go on.
func (n *Net) overdue(due time.Duration, ok bool) bool {
	if !ok || due <= n.cfg.Limit {
		return false
	}
	if !n.expired {
		n.expired = true
		n.t.Errorf("stacktest: the run is not over after %v of virtual time", n.cfg.Limit)
		n.tellFailure()
	}
	return true
}

// icmpTooBig is the ICMP error about a packet that is larger than mtu; nil if none
// may be sent about it.
func icmpTooBig(b []byte, mtu int) []byte {
	if len(b) == 0 {
		return nil
	}
	quote := b[:min(len(b), 128)]
	if b[0]>>4 == 6 {
		return icmp6TooBig(quote, mtu)
	}
	return icmp4TooBig(quote, mtu)
}
