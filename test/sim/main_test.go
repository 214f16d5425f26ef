package sim

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

// smoke is how many runs a plain go test makes, exact how many replays.
const smoke, exact = 400, 60

var (
	runs    = flag.Int("sim.runs", smoke, "how many seeds TestStreams runs")
	replays = flag.Int("sim.replays", exact, "how many seeds TestReplayIsExact runs three times")
	from    = flag.Uint64("sim.from", 0, "the first seed")
	one     = flag.Int64("sim.seed", -1, "run this seed alone")
	dir     = flag.String("sim.dir", "", "where the pcapng of a failure goes")
)

// TestMain fails the run if a goroutine or a packet buffer is left.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}
