package stacktest

import (
	"net/netip"
	"sync"
	"time"
)

// Line is the stretch between a node and the cloud in which all lines meet. What
// the node sends takes Out, then passes the middleboxes, at the cloud's end; what
// is sent to it passes them in the same order and then takes In.
type Line struct {
	port *Port

	mu      sync.Mutex
	out, in lane         // guarded by mu
	boxes   []Middlebox  // guarded by mu
	aliases []netip.Addr // guarded by mu
}

// LineConfig is what a Line begins with.
type LineConfig struct {
	Out, In Path
	// Boxes are the middleboxes, the one nearest to the node first.
	Boxes []Middlebox
	// MTU is the link's for the node's stack; 1500 if 0. What the path lets pass
	// is Path.MTU's to say.
	MTU int
}

// Both is a line with the same path in both directions.
func Both(p Path) LineConfig { return LineConfig{Out: p, In: p} }

// SetOut changes the path from the node for packets to come.
func (l *Line) SetOut(p Path) { l.set(&l.out, p) }

// SetIn changes the path to the node for packets to come.
func (l *Line) SetIn(p Path) { l.set(&l.in, p) }

// Set changes both.
func (l *Line) Set(p Path) { l.SetOut(p); l.SetIn(p) }

func (l *Line) set(at *lane, p Path) {
	if err := p.check(); err != nil {
		l.port.net.t.Error(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at.path = p
	at.count = 0
}

// SetBoxes changes the middleboxes.
func (l *Line) SetBoxes(boxes ...Middlebox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boxes = append([]Middlebox(nil), boxes...)
}

// SetAliases changes the addresses whose packets come to this line beside the
// node's own: a translator's.
func (l *Line) SetAliases(a ...netip.Addr) {
	n := l.port.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, old := range l.aliases {
		delete(n.routes, old)
	}
	l.aliases = append([]netip.Addr(nil), a...)
	for _, alias := range a {
		n.routes[alias] = l.port
	}
}

// Counted is how many packets have taken the line out and in since the paths were
// last set.
func (l *Line) Counted() (out, in int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.count, l.in.count
}

// enterOut takes a packet of the node's on its way. It runs on the driver, as do
// the functions below.
func (l *Line) enterOut(now time.Duration, b []byte) {
	l.mu.Lock()
	fates := l.out.enter(now, b)
	l.mu.Unlock()
	for _, f := range fates {
		l.port.net.event(now, l.port, Sent, f)
		switch {
		case f.lost == "":
			l.port.net.fly(f.due, l.port, outbound, f.b)
		case f.tooBig > 0:
			l.port.net.tooBig(now, l.port, b, f.tooBig)
		}
	}
}

// leaveOut takes a packet past the middleboxes into the cloud.
func (l *Line) leaveOut(now time.Duration, b []byte) {
	for _, p := range l.judge(now, Packet{Direction: Out, Bytes: b}) {
		if p.Direction == In {
			l.enterIn(now, p.Bytes)
			continue
		}
		l.port.net.route(now, l.port, p.Bytes)
	}
}

// arrive takes a packet from the cloud past the middleboxes.
func (l *Line) arrive(now time.Duration, b []byte) {
	for _, p := range l.judge(now, Packet{Direction: In, Bytes: b}) {
		if p.Direction == Out {
			l.port.net.route(now, l.port, p.Bytes)
			continue
		}
		l.enterIn(now, p.Bytes)
	}
}

func (l *Line) enterIn(now time.Duration, b []byte) {
	l.mu.Lock()
	fates := l.in.enter(now, b)
	l.mu.Unlock()
	for _, f := range fates {
		if f.lost != "" || f.what != "" {
			l.port.net.event(now, l.port, Changed, f)
		}
		switch {
		case f.lost == "":
			l.port.net.fly(f.due, l.port, inbound, f.b)
		case f.tooBig > 0:
			l.port.net.tooBig(now, nil, b, f.tooBig)
		}
	}
}

// judge sends a packet past the middleboxes and returns what comes out of it at
// either end.
func (l *Line) judge(now time.Duration, p Packet) []Packet {
	l.mu.Lock()
	boxes := l.boxes
	l.mu.Unlock()
	p.Now = now
	through := []Packet{p}
	var back []Packet
	for _, box := range boxes {
		var next []Packet
		for _, q := range through {
			q = parsed(q)
			v := box(q)
			if !v.Drop {
				next = append(next, q)
			}
			for _, b := range v.Extra {
				next = append(next, Packet{Direction: q.Direction, Bytes: b, Now: now})
			}
			for _, b := range v.Answer {
				back = append(back, Packet{Direction: 1 - q.Direction, Bytes: b, Now: now})
			}
			l.tell(now, q, v)
		}
		through = next
	}
	return append(through, back...)
}

// tell notes what a middlebox did.
func (l *Line) tell(now time.Duration, p Packet, v Verdict) {
	if v.Drop {
		l.port.net.event(now, l.port, Boxed, fate{b: p.Bytes, lost: "taken by a middlebox"})
	}
	for _, b := range v.Extra {
		l.port.net.event(now, l.port, Boxed, fate{b: b, what: "made by a middlebox"})
	}
	for _, b := range v.Answer {
		l.port.net.event(now, l.port, Boxed, fate{b: b, what: "answered by a middlebox"})
	}
}
