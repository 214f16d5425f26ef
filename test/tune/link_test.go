package tune

import (
	"fmt"
	"time"

	"github.com/wskstack/wskstack/stack/stacktest"
)

// packet is the largest one, in bytes.
const packet = 1500

// link is a way between two stacks: data goes over a bottleneck in one direction,
// acknowledgements come back freely.
type link struct {
	rtt  time.Duration
	rate int64 // bits a second
	// queue is how much of a round trip's worth of packets may wait at the bottleneck.
	queue float64
	// loss is the share of data packets that is lost; reorder the share that is held
	// up, by as much as by.
	loss, reorder float64
	by            time.Duration
	// dirty are more faults, those of D-07's last row, and jitter.
	duplicate, corrupt float64
	jitter             time.Duration
}

func (l link) String() string {
	s := l.rtt.String()
	if l.rate != 0 {
		s += fmt.Sprintf(", %d Mbit/s, queue %g", l.rate/1e6, l.queue)
	}
	for _, f := range []struct {
		what string
		p    float64
	}{{"lost", l.loss}, {"reordered", l.reorder}, {"doubled", l.duplicate}, {"corrupt", l.corrupt}} {
		if f.p > 0 {
			s += fmt.Sprintf(", %g %% %s", 100*f.p, f.what)
		}
	}
	if l.reorder > 0 {
		s += fmt.Sprintf(" by %v", l.by)
	}
	if l.jitter > 0 {
		s += fmt.Sprintf(", jitter %v", l.jitter)
	}
	return s
}

// path is the line of the stack that sends the data.
func (l link) path() stacktest.LineConfig {
	out := stacktest.Path{
		Rate: l.rate, Delay: l.rtt / 2, Jitter: l.jitter, Loss: l.loss, Reorder: l.reorder, ReorderBy: l.by,
		Duplicate: l.duplicate, Corrupt: l.corrupt,
	}
	if l.rate > 0 {
		bdp := float64(l.rate) / 8 * l.rtt.Seconds() / packet
		out.Queue = max(int(bdp*l.queue), 10)
	}
	back := stacktest.Path{Delay: l.rtt / 2, Jitter: l.jitter}
	if l.rate == 0 { // nothing else to tell the directions apart
		back = out
	}
	return stacktest.LineConfig{Out: out, In: back}
}
