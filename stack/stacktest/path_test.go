package stacktest

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// through sends n packets of so many bytes, gap apart, down a path.
func through(p Path, n, size int, gap time.Duration) [][]fate {
	l := lane{path: p, seed: 1}
	var out [][]fate
	for i := range n {
		b := make([]byte, size)
		b[0], b[len(b)-1] = byte(i>>8), byte(i)
		out = append(out, l.enter(time.Duration(i)*gap, b))
	}
	return out
}

func lostOf(all [][]fate) (lost int) {
	for _, fs := range all {
		if fs[0].lost != "" {
			lost++
		}
	}
	return lost
}

func between(t *testing.T, what string, got, low, high int) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %d, want %d to %d", what, got, low, high)
	}
}

func TestPerfectPath(t *testing.T) {
	for i, fs := range through(Path{}, 100, 40, time.Millisecond) {
		f := fs[0]
		if len(fs) != 1 || f.lost != "" || f.what != "" || f.due != time.Duration(i)*time.Millisecond {
			t.Errorf("packet %d: %+v", i, fs)
		}
	}
}

func TestLoss(t *testing.T) {
	between(t, "of 10000 at 20 % lost", lostOf(through(Path{Loss: 0.2}, 10000, 40, 0)), 1850, 2150)
	if n := lostOf(through(Path{Loss: 1}, 100, 40, 0)); n != 100 {
		t.Errorf("%d of 100 lost at certainty", n)
	}
}

func TestDropByNumber(t *testing.T) {
	for i, fs := range through(Path{Drop: []int{1, 7}}, 10, 40, 0) {
		if lost := fs[0].lost != ""; lost != (i == 0 || i == 6) {
			t.Errorf("number %d: lost is %v", i+1, lost)
		}
	}
}

// Losses come in bursts of the length asked for.
func TestBursts(t *testing.T) {
	all := through(Path{Burst: Burst{Gap: 100, Length: 10}}, 50000, 40, 0)
	bursts, lost, in := 0, 0, false
	for _, fs := range all {
		now := fs[0].lost != ""
		if now && !in {
			bursts++
		}
		if now {
			lost++
		}
		in = now
	}
	between(t, "bursts", bursts, 380, 530)
	between(t, "packets per burst", lost/bursts, 8, 12)
}

func TestBlackout(t *testing.T) {
	p := Path{Blackouts: []Window{{From: 10 * time.Millisecond, To: 20 * time.Millisecond}}}
	for i, fs := range through(p, 30, 40, time.Millisecond) {
		if lost := fs[0].lost != ""; lost != (i >= 10 && i < 20) {
			t.Errorf("at %d ms: lost is %v", i, lost)
		}
	}
}

func TestDuplicate(t *testing.T) {
	twice := 0
	for _, fs := range through(Path{Duplicate: 0.3}, 10000, 40, 0) {
		twice += len(fs) - 1
	}
	between(t, "of 10000 at 30 % doubled", twice, 2850, 3150)
}

// Jitter keeps the order, reordering does not, and never by more than asked for.
func TestOrder(t *testing.T) {
	const gap, delay = time.Millisecond, 50 * time.Millisecond
	last := time.Duration(0)
	for i, fs := range through(Path{Delay: delay, Jitter: 20 * time.Millisecond}, 1000, 40, gap) {
		f := fs[0]
		if took := f.due - time.Duration(i)*gap; f.due < last || took < delay || took > delay+20*time.Millisecond {
			t.Fatalf("packet %d arrives at %v, the one before at %v", i, f.due, last)
		}
		last = f.due
	}
	overtaken := 0
	last = 0
	for i, fs := range through(Path{Delay: delay, Reorder: 0.1, ReorderBy: 10 * time.Millisecond}, 1000, 40, gap) {
		f := fs[0]
		if took := f.due - time.Duration(i)*gap; took < delay || took > delay+10*time.Millisecond {
			t.Fatalf("packet %d took %v", i, took)
		}
		if f.due < last {
			overtaken++
		}
		last = max(last, f.due)
	}
	between(t, "arrivals behind a later one", overtaken, 200, 500)
}

func TestSpike(t *testing.T) {
	spikes := 0
	for i, fs := range through(Path{Spike: 0.01, SpikeDelay: time.Second}, 10000, 40, time.Minute) {
		if fs[0].due-time.Duration(i)*time.Minute == time.Second {
			spikes++
		}
	}
	between(t, "spikes", spikes, 60, 140)
}

// 1000 bytes at 1 Mb/s take 8 ms each; five may wait.
func TestRate(t *testing.T) {
	all := through(Path{Rate: 1e6, Queue: 5, Delay: time.Millisecond}, 10, 1000, 0)
	for i, fs := range all {
		f := fs[0]
		switch {
		case i < 5 && (f.lost != "" || f.due != time.Duration(i+1)*8*time.Millisecond+time.Millisecond):
			t.Errorf("packet %d: %+v", i, f)
		case i >= 5 && f.lost != "queue full":
			t.Errorf("packet %d found room: %v", i, f.due)
		}
	}
	if n := lostOf(through(Path{Rate: 1e6, Queue: 5}, 100, 1000, 8*time.Millisecond)); n != 0 {
		t.Errorf("%d lost at exactly the rate", n)
	}
}

func TestDamage(t *testing.T) {
	original := make([]byte, 200)
	for i := range original {
		original[i] = byte(i)
	}
	for name, c := range map[string]struct {
		path  Path
		right func(b []byte) bool
	}{
		"corrupt": {Path{Corrupt: 1}, func(b []byte) bool {
			bits := 0
			for i := range b {
				for x := b[i] ^ original[i]; x != 0; x &= x - 1 {
					bits++
				}
			}
			return len(b) == 200 && bits == 1
		}},
		"swap": {Path{Swap: 1}, func(b []byte) bool {
			sum := func(b []byte) (s int) {
				for i := 0; i < len(b); i += 2 {
					s += int(b[i])<<8 + int(b[i+1])
				}
				return s
			}
			return bytes.Equal(b[:80], original[:80]) && sum(b) == sum(original)
		}},
		"truncate": {Path{Truncate: 1}, func(b []byte) bool {
			return len(b) >= 1 && len(b) < 200 && bytes.HasPrefix(original, b)
		}},
		"pad": {Path{Pad: 1}, func(b []byte) bool {
			return len(b) > 200 && len(b) <= 264 && bytes.HasPrefix(b, original)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := lane{path: c.path, seed: 3}
			same := 0
			for range 200 {
				in := bytes.Clone(original)
				f := l.enter(0, in)[0]
				if !bytes.Equal(in, original) {
					t.Fatal("the sender's packet was changed")
				}
				if bytes.Equal(f.b, original) {
					same++
				}
				if !c.right(f.b) || f.what == "" {
					t.Fatalf("came out as %x, %q", f.b, f.what)
				}
			}
			if same > 20 { // two words may happen to be one
				t.Errorf("%d of 200 came out as they were", same)
			}
		})
	}
}

func TestMTU(t *testing.T) {
	for _, silent := range []bool{false, true} {
		l := lane{path: Path{MTU: 100, Silent: silent}}
		if f := l.enter(0, make([]byte, 100))[0]; f.lost != "" {
			t.Errorf("100 bytes: %v", f.lost)
		}
		f := l.enter(0, make([]byte, 101))[0]
		if f.lost == "" || (f.tooBig == 100) == silent {
			t.Errorf("101 bytes, silent %v: %+v", silent, f)
		}
	}
}

// What happens to a packet depends on its content and how often it was seen, not
// on what else takes the path.
func TestFateIsThePackets(t *testing.T) {
	p := Path{Loss: 0.3, Duplicate: 0.3, Corrupt: 0.3, Jitter: time.Second}
	fateOf := func(before int) fate {
		l := lane{path: p, seed: 9}
		for i := range before {
			l.enter(0, []byte{byte(i), byte(i >> 8), 1})
		}
		l.last = 0
		return l.enter(0, []byte("this one"))[0]
	}
	want := fateOf(0)
	for n := range 50 {
		if got := fateOf(n); got.lost != want.lost || got.due != want.due || !bytes.Equal(got.b, want.b) {
			t.Errorf("after %d others: %+v, want %+v", n, got, want)
		}
	}
}

func TestPathRefused(t *testing.T) {
	for name, p := range map[string]Path{
		"loss":   {Loss: 1.1},
		"repeat": {Duplicate: -1},
		"delay":  {Delay: -1},
		"rate":   {Rate: -1},
		"burst":  {Burst: Burst{Gap: 0.5, Length: 1}},
	} {
		if p.check() == nil {
			t.Errorf("%s: %+v is taken", name, p)
		}
	}
	if err := (&Path{Loss: 1, Burst: Burst{Gap: 1, Length: 1}, Delay: 1}).check(); err != nil {
		t.Error(err)
	}
}

// Timers fire when they are due, in the order in which they were set, and not
// after Stop.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}
		cfg.fill(t)
		n := newNet(t, cfg)
		go n.drive()
		clock := &hostClock{timers: &n.timers}
		var fired []int
		add := func(i int, d time.Duration) interface{ Stop() bool } {
			return clock.AfterFunc(d, func() { fired = append(fired, i) })
		}
		add(1, 3*time.Second)
		add(2, 2*time.Second)
		stopped := add(3, 2*time.Second)
		add(4, 2*time.Second)
		moved := clock.AfterFunc(time.Second, func() { fired = append(fired, 5) })
		moved.Reset(4 * time.Second)
		if !stopped.Stop() || stopped.Stop() {
			t.Error("Stop did not say what it did")
		}
		before := clock.NowMonotonic()
		n.Sleep(10 * time.Second)
		if took := clock.NowMonotonic().Sub(before); took != 10*time.Second {
			t.Errorf("slept for %v", took)
		}
		want := []int{2, 4, 1, 5}
		for i := range want {
			if len(fired) != len(want) || fired[i] != want[i] {
				t.Fatalf("fired %v, want %v", fired, want)
			}
		}
		n.end()
	})
}
