package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
)

// standard is a warm-up and two connections with data in the SYN, of a kind each.
func standard(seed uint64, v6 bool) scenario {
	return scenario{
		seed: seed, v6: v6, role: both, warm: true,
		path: stacktest.Path{Delay: 20 * time.Millisecond},
		talks: []talk{
			{style: ask, up: 10, down: 10, offered: 10},
			{style: greet, up: 5000, down: 9000, offered: 5000},
			{style: ask, up: 1000, down: 20000, offered: 1000},
		},
	}
}

// fault is one value of a row.
type fault struct {
	name string
	set  func(s *scenario)
}

// seeds is how many seeds a fault gets, for each family.
const seeds = 4

// row runs the standard scenario with each fault.
func row(t *testing.T, faults ...fault) {
	t.Helper()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for i := range uint64(2 * seeds) {
				s := standard(i/2, i%2 == 1)
				f.set(&s)
				s.test = strings.ReplaceAll(t.Name(), "/", "$/^")
				var sum totals
				if !s.run(t, &sum) {
					return
				}
			}
		})
	}
}

func paths(faults map[string]stacktest.Path, names ...string) []fault {
	var out []fault
	for _, name := range names {
		p := faults[name]
		if p.Delay == 0 {
			p.Delay = 20 * time.Millisecond
		}
		out = append(out, fault{name, func(s *scenario) { s.path = p }})
	}
	return out
}

func each[T any](of []T, name func(T) string, set func(*scenario, T)) []fault {
	var out []fault
	for _, v := range of {
		out = append(out, fault{name(v), func(s *scenario) { set(s, v) }})
	}
	return out
}

func percent(p float64) string { return fmt.Sprintf("%vpercent", p*100) }

func TestRow01Loss(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	row(t, each([]float64{0.001, 0.01, 0.05, 0.2, 0.3}, percent, func(s *scenario, p float64) { s.path.Loss = p })...)
}

func TestRow02Bursts(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	row(t, each([]float64{5, 20, 50}, func(n float64) string { return fmt.Sprintf("%vpackets", n) },
		func(s *scenario, n float64) {
			s.path.Burst = stacktest.Burst{Gap: 100, Length: n}
			// A burst counts packets: a connection that sends one at a time may be
			// within it for longer than it lives.
			s.lenient = n > 5
		})...)
}

func TestRow05Duplication(t *testing.T) {
	covers.IDs(t, "P2")
	row(t, each([]float64{0.01, 0.1, 0.5}, percent, func(s *scenario, p float64) { s.path.Duplicate = p })...)
}

func TestRow06Reordering(t *testing.T) {
	covers.IDs(t, "P2")
	row(t, each([]float64{0.01, 0.1, 0.5}, percent, func(s *scenario, p float64) {
		s.path.Reorder, s.path.ReorderBy = p, 200*time.Millisecond
	})...)
}

func TestRow07Corruption(t *testing.T) {
	covers.IDs(t, "P2", "P3")
	row(t, each([]float64{0.001, 0.02, 0.1}, percent, func(s *scenario, p float64) {
		s.path.Corrupt = p
		s.and = func(w *world, _ []*result) {
			a, b := w.client.Stack.Stats(), w.server.Stack.Stats()
			if p >= 0.1 && a.ChecksumErrors+a.InvalidSegments+b.ChecksumErrors+b.InvalidSegments == 0 {
				w.t.Error("nothing was counted as damaged")
			}
		}
	})...)
}

// What no checksum notices goes through: nothing must break for it.
func TestRow08SwappedWords(t *testing.T) {
	covers.IDs(t, "P3")
	row(t, each([]float64{0.001, 0.1}, percent, func(s *scenario, p float64) {
		s.path.Swap, s.wild = p, true
	})...)
}

func TestRow09CutAndPadded(t *testing.T) {
	covers.IDs(t, "P2", "P3")
	row(t,
		fault{"cut", func(s *scenario) { s.path.Truncate = 0.01 }},
		fault{"padded", func(s *scenario) { s.path.Pad = 0.1 }},
		fault{"both", func(s *scenario) { s.path.Truncate, s.path.Pad = 0.05, 0.05 }})
}

func TestRow10Delay(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	row(t, paths(map[string]stacktest.Path{
		"none":   {Delay: time.Nanosecond},
		"jitter": {Delay: 100 * time.Millisecond, Jitter: 100 * time.Millisecond},
		"long":   {Delay: 2 * time.Second},
		"wild":   {Delay: time.Millisecond, Jitter: 2 * time.Second},
		"spikes": {Delay: 50 * time.Millisecond, Spike: 0.02, SpikeDelay: 10 * time.Second},
	}, "none", "jitter", "long", "wild", "spikes")...)
}

func TestRow11Bandwidth(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	row(t, paths(map[string]stacktest.Path{
		"64k":        {Rate: 64e3, Queue: 10},
		"64kbloated": {Rate: 64e3, Queue: 1000},
		"1M":         {Rate: 1e6, Queue: 20},
		"1G":         {Rate: 1e9, Queue: 1000},
	}, "64k", "64kbloated", "1M", "1G")...)
}

func TestRow12Blackout(t *testing.T) {
	covers.IDs(t, "P2", "P4", "P5")
	lengths := []time.Duration{time.Second, 5 * time.Second, 31 * time.Second, 130 * time.Second}
	for _, way := range []string{"out", "in"} {
		t.Run(way, func(t *testing.T) {
			row(t, each(lengths, time.Duration.String, func(s *scenario, d time.Duration) {
				// From within the second connection's handshake, its data, its end.
				from := 10*time.Millisecond + time.Duration(s.seed)*45*time.Millisecond
				clear := s.path
				dark := s.path
				dark.Blackouts = []stacktest.Window{{From: from, To: from + d}}
				s.path, s.in = dark, &clear
				if way == "in" {
					s.path, s.in = clear, &dark
				}
				// The connect's limit is the blackout's length, nearly.
				s.lenient = d >= 130*time.Second
			})...)
		})
	}
}

func TestRow13Flaps(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	row(t, each([]time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second},
		time.Duration.String, func(s *scenario, d time.Duration) {
			// Not quite regular, or timers that double stay in step with it.
			r := rand.New(rand.NewPCG(s.seed, 13))
			about := func() time.Duration { return d/2 + time.Duration(r.Int64N(int64(d))) }
			for at := about(); at < 10*time.Minute; at += 5 * about() {
				from := at
				at += about()
				s.path.Blackouts = append(s.path.Blackouts, stacktest.Window{From: from, To: at})
			}
		})...)
}

const fastOpenKind = 34

func boxes(b ...stacktest.Middlebox) func(*world) []stacktest.Middlebox {
	return func(*world) []stacktest.Middlebox { return b }
}

func TestRow17Stripping(t *testing.T) {
	covers.IDs(t, "B-06", "B-07", "P2", "P5")
	strip := func(kinds ...uint8) func(*scenario) {
		return func(s *scenario) { s.boxes = boxes(stacktest.StripOptions(kinds...)) }
	}
	row(t,
		fault{"fastopen", strip(fastOpenKind)},
		fault{"fastopen-syn", func(s *scenario) { s.boxes = boxes(stacktest.StripSYNOption()) }},
		fault{"fastopen-synack", func(s *scenario) { s.boxes = boxes(stacktest.StripSYNACKOption()) }},
		fault{"timestamps", strip(seg.OptTS)},
		fault{"sack", strip(seg.OptSACKPerm, seg.OptSACK)},
		fault{"wscale", strip(seg.OptWScale)},
		fault{"all", strip()},
		fault{"all-cold", func(s *scenario) { strip()(s); s.warm = false }})
}

// survives is P5: every connection opens at the price of one SYN more at most, and
// the one after a loss does not try again.
func survives(w *world, results []*result) {
	w.t.Helper()
	lost := false
	for i, r := range results[1:] {
		o := r.outcome
		if lost && (o.BytesInSYN > 0 || o.SYNRetransmitted) {
			w.t.Errorf("connection %d tried again: %+v", i+1, o)
		}
		lost = lost || o.SYNRetransmitted
	}
	if !lost {
		w.t.Error("no SYN was lost: the fault was not one")
	}
	if n := w.client.Stack.FastOpen().Stats().TCPFastOpenBlackhole; n != 1 {
		w.t.Errorf("TCPFastOpenBlackhole is %d", n)
	}
}

func TestRow18Droppers(t *testing.T) {
	covers.IDs(t, "P5", "C-34", "C-39")
	withCookie := stacktest.All(stacktest.SYNACK, stacktest.FastOpen)
	row(t,
		fault{"syn-data", func(s *scenario) { s.boxes, s.and = boxes(stacktest.DropSYNData()), survives }},
		fault{"syn-option", func(s *scenario) {
			s.boxes, s.and = boxes(stacktest.On(stacktest.All(stacktest.SYN, stacktest.FastOpen), stacktest.Drop)), survives
		}},
		fault{"any-option", func(s *scenario) { s.boxes, s.and = boxes(stacktest.DropFastOpen()), survives }},
		fault{"synack-option-cold", func(s *scenario) {
			s.boxes, s.warm = boxes(stacktest.On(withCookie, stacktest.Drop)), false
		}},
		fault{"reset", func(s *scenario) { s.boxes, s.and = boxes(stacktest.ResetSYNData()), survives }})
}

func TestRow19Rewriters(t *testing.T) {
	covers.IDs(t, "P2", "C-24")
	row(t,
		fault{"mss", func(s *scenario) { s.boxes = boxes(stacktest.ClampMSS(700)) }},
		fault{"mss-tiny", func(s *scenario) { s.boxes = boxes(stacktest.ClampMSS(100)) }},
		fault{"sequence", func(s *scenario) { s.boxes = boxes(stacktest.ShiftSequence(0x7fff1234)) }},
		fault{"sequence-lossy", func(s *scenario) { s.boxes, s.path.Loss = boxes(stacktest.ShiftSequence(99)), 0.05 }},
		fault{"split", func(s *scenario) { s.boxes = boxes(stacktest.Split(300)) }},
		fault{"merge", func(s *scenario) { s.boxes = boxes(stacktest.Coalesce(8000)) }},
		fault{"split-merge", func(s *scenario) { s.boxes = boxes(stacktest.Split(100), stacktest.Coalesce(250)) }},
		fault{"all-but-one", func(s *scenario) {
			s.boxes = boxes(stacktest.AckAllButOne())
			s.and = func(w *world, results []*result) {
				for _, r := range results[1:] {
					if o := r.outcome; o.BytesInSYN == 0 || o.BytesAccepted != o.BytesInSYN-1 || o.Reason != tfo.ReasonPartlyAcked {
						w.t.Errorf("%+v", o)
					}
				}
			}
		}})
}
