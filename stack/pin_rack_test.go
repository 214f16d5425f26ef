package stack_test

import (
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/covers"
)

// The wires on which netstack's RACK loses all its timers. If a new version of
// netstack makes this test fail because the transfer ends, RACK may be worth
// another look: see the package's documentation and NETSTACK.md.
var rackHangs = []uint64{8, 232}

// TestPinRACKHangs shows a transfer that hangs with RACK, and that it and its
// like do not with this package's defaults.
func TestPinRACKHangs(t *testing.T) {
	covers.IDs(t, "PIN-rack-hang", "P4")
	const size, limit = 64 << 10, 15 * time.Minute
	for _, seed := range rackHangs {
		w := newLossy(t, seed)
		w.rack()
		if took, ok := w.transfer(size, limit); ok {
			t.Errorf("seed %d: with RACK the transfer ended after %v; it used to hang for ever", seed, took)
			continue
		}
		sent := w.count
		w.clock.Advance(24 * time.Hour)
		if w.settle(); w.count != sent {
			t.Errorf("seed %d: in a day the hung stacks sent %d more packets", seed, w.count-sent)
		}
	}
	seeds := rackHangs
	for s := range uint64(40) {
		seeds = append(seeds, s)
	}
	for _, seed := range seeds {
		if _, ok := newLossy(t, seed).transfer(size, limit); !ok {
			t.Errorf("seed %d: the transfer hangs with the defaults", seed)
		}
	}
}

// TestLossyWireRepeats: equal seeds give equal runs, or the seeds above would
// mean nothing.
func TestLossyWireRepeats(t *testing.T) {
	run := func() (time.Duration, int) {
		w := newLossy(t, 3)
		took, ok := w.transfer(64<<10, time.Hour)
		if !ok {
			t.Fatal("the transfer hangs")
		}
		return took, w.count
	}
	took, packets := run()
	for range 3 {
		if t2, p2 := run(); t2 != took || p2 != packets {
			t.Errorf("%v and %d packets, then %v and %d", took, packets, t2, p2)
		}
	}
}
