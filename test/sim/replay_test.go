package sim

import (
	"runtime"
	"testing"

	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
)

// A seed is one trace, whatever the number of processors: that is what makes the
// printed command find the failure again.
func TestReplayIsExact(t *testing.T) {
	covers.IDs(t, "P11")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var sum totals
	for seed := *from; seed < *from+uint64(*replays); seed++ {
		var want stacktest.Result
		for i, procs := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(procs)
			s := newScenario(seed)
			got := stacktest.Run(t, stacktest.Config{Seed: seed}, func(n *stacktest.Net) { s.play(n, &sum) })
			if i == 0 {
				want = got
			}
			if got != want {
				t.Errorf("seed %d, GOMAXPROCS %d: %+v, want %+v", seed, procs, got, want)
			}
		}
	}
}
