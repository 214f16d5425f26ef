package stacktest

import (
	"fmt"
	"slices"
	"time"
)

// Path is one direction of a Line. The zero value is perfect: nothing is lost and
// nothing takes time. Probabilities are from 0 to 1, each drawn for every packet.
// Faults strike in the order of the fields' groups.
type Path struct {
	// Blackouts are times, since the run began, in which everything is lost.
	Blackouts []Window
	// Drop are the numbers of packets that are lost: 1 is the first one that
	// takes the path.
	Drop []int
	// Loss is the probability of being lost.
	Loss float64
	// Burst loses packets in bursts (Gilbert's model).
	Burst Burst

	// MTU is the size of the largest IP packet that passes; larger ones are
	// answered with an ICMP error, or with nothing if Silent. 0: any.
	MTU    int
	Silent bool

	// Corrupt is the probability that one bit changes, Swap that two 16-bit words
	// of the payload change places, which no checksum notices. Truncate cuts the
	// packet, Pad adds up to 64 bytes behind it.
	Corrupt, Swap, Truncate, Pad float64

	// Duplicate is the probability that a packet arrives twice.
	Duplicate float64

	// Rate is in bits per second, 0: no limit. Queue is how many packets may
	// wait for their turn, DefaultQueue if 0; what comes then is lost.
	Rate  int64
	Queue int

	// Delay is what a packet takes at least, Jitter what it may take more:
	// packets stay in order all the same. Spike is the probability of taking
	// SpikeDelay more, everything behind the packet included.
	Delay, Jitter time.Duration
	Spike         float64
	SpikeDelay    time.Duration
	// Reorder is the probability that a packet is held up by as much as
	// ReorderBy (DefaultReorderBy if 0) while others overtake it.
	Reorder   float64
	ReorderBy time.Duration
}

// Defaults of a Path.
const (
	DefaultQueue     = 1000
	DefaultReorderBy = 50 * time.Millisecond
)

// Window is a time from From on and before To, since the run began.
type Window struct{ From, To time.Duration }

// Burst says how losses cluster: Gap is the mean number of packets between two
// bursts, Length that of those lost in each. Zero: no bursts.
type Burst struct{ Gap, Length float64 }

// check says what is wrong with a Path.
func (p *Path) check() error {
	for name, v := range map[string]float64{
		"Loss": p.Loss, "Corrupt": p.Corrupt, "Swap": p.Swap, "Truncate": p.Truncate, "Pad": p.Pad,
		"Duplicate": p.Duplicate, "Spike": p.Spike, "Reorder": p.Reorder,
	} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("stacktest: Path.%s is %v; it is a probability from 0 to 1", name, v)
		}
	}
	switch {
	case p.Delay < 0 || p.Jitter < 0 || p.SpikeDelay < 0 || p.ReorderBy < 0:
		return fmt.Errorf("stacktest: a Path's times may not be negative: %+v", *p)
	case p.Rate < 0 || p.Queue < 0 || p.MTU < 0:
		return fmt.Errorf("stacktest: a Path's Rate, Queue and MTU may not be negative: %+v", *p)
	case p.Burst != (Burst{}) && (p.Burst.Gap < 1 || p.Burst.Length < 1):
		return fmt.Errorf("stacktest: Path.Burst is %+v; both means have to be 1 or more", p.Burst)
	}
	return nil
}

// lane is a Path at work. It is the driver's alone.
type lane struct {
	path  Path
	seed  uint64
	count int            // packets so far
	seen  map[uint64]int // how often each content
	bad   bool           // within a burst
	free  time.Duration  // when the rate has room for the next packet
	last  time.Duration  // no packet that keeps the order arrives before
	wait  []time.Duration
}

// fate is what becomes of one packet, or one copy of it.
type fate struct {
	b      []byte
	due    time.Duration
	lost   string // why, if it is lost
	tooBig int    // it is lost, and an ICMP error is to say that this fits; 0: none
	what   string // what else happened to it
}

// enter decides what becomes of a packet.
func (l *lane) enter(now time.Duration, b []byte) []fate {
	l.count++
	if l.seen == nil {
		l.seen = make(map[uint64]int)
	}
	content := digest(l.seed, b)
	l.seen[content]++
	d := draws{state: content + mix(uint64(l.seen[content]))}
	p := &l.path

	f := fate{b: b}
	if f.lost = l.loses(now, &d); f.lost != "" {
		return []fate{f}
	}
	if p.MTU > 0 && len(b) > p.MTU {
		f.lost = fmt.Sprintf("larger than %d", p.MTU)
		if !p.Silent {
			f.tooBig = p.MTU
		}
		return []fate{f}
	}
	f.b, f.what = p.damage(b, &d)
	twice := d.chance(p.Duplicate)
	out := []fate{l.travel(now, f, &d)}
	if twice {
		f.what = note(f.what, "duplicate")
		out = append(out, l.travel(now, f, &d))
	}
	return out
}

// loses says why a packet is lost, if it is.
func (l *lane) loses(now time.Duration, d *draws) string {
	p := &l.path
	change := 0.0
	switch {
	case l.bad:
		change = 1 / max(p.Burst.Length, 1)
	case p.Burst.Gap >= 1:
		change = 1 / p.Burst.Gap
	}
	if d.chance(change) {
		l.bad = !l.bad
	}
	dark := slices.ContainsFunc(p.Blackouts, func(w Window) bool { return now >= w.From && now < w.To })
	lost := d.chance(p.Loss)
	switch {
	case dark:
		return "blackout"
	case slices.Contains(p.Drop, l.count):
		return fmt.Sprintf("number %d", l.count)
	case l.bad:
		return "burst"
	case lost:
		return "lost"
	}
	return ""
}

// damage returns the packet as it comes out, and what happened to it.
func (p *Path) damage(b []byte, d *draws) ([]byte, string) {
	what := ""
	if d.chance(p.Corrupt) && len(b) > 0 {
		b = slices.Clone(b)
		bit := d.below(int64(len(b)) * 8)
		b[bit/8] ^= 1 << (bit % 8)
		what = note(what, fmt.Sprintf("bit %d flipped", bit))
	}
	if d.chance(p.Swap) {
		b, what = swap(b, what, d)
	}
	if d.chance(p.Truncate) && len(b) > 1 {
		b = b[:1+d.below(int64(len(b))-1)]
		what = note(what, fmt.Sprintf("cut to %d", len(b)))
	}
	if d.chance(p.Pad) {
		b = append(slices.Clone(b), make([]byte, 1+d.below(64))...)
		what = note(what, "padded")
	}
	return b, what
}

// swap exchanges two aligned words of the payload.
func swap(b []byte, what string, d *draws) ([]byte, string) {
	const headers = 80 // of TCP over IPv4 or IPv6, with options, mostly
	words := (int64(len(b)) - headers) / 2
	if words < 2 {
		return b, what
	}
	b = slices.Clone(b)
	i, j := headers+2*d.below(words), headers+2*d.below(words)
	b[i], b[i+1], b[j], b[j+1] = b[j], b[j+1], b[i], b[i+1]
	return b, note(what, "words swapped")
}

func note(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

// travel works out when a packet arrives.
func (l *lane) travel(now time.Duration, f fate, d *draws) fate {
	p := &l.path
	leave := now
	if p.Rate > 0 {
		for len(l.wait) > 0 && l.wait[0] <= now {
			l.wait = l.wait[1:]
		}
		most := p.Queue
		if most == 0 {
			most = DefaultQueue
		}
		if len(l.wait) >= most {
			f.lost = "queue full"
			return f
		}
		leave = max(now, l.free) + time.Duration(int64(len(f.b))*8*int64(time.Second)/p.Rate)
		l.free = leave
		l.wait = append(l.wait, leave)
	}
	f.due = leave + p.Delay + time.Duration(d.below(int64(p.Jitter)))
	if d.chance(p.Spike) {
		f.due += p.SpikeDelay
		f.what = note(f.what, "spike")
	}
	if d.chance(p.Reorder) {
		most := p.ReorderBy
		if most == 0 {
			most = DefaultReorderBy
		}
		f.due += 1 + time.Duration(d.below(int64(most)))
		f.what = note(f.what, "held up")
		return f
	}
	f.due = max(f.due, l.last)
	l.last = f.due
	return f
}
