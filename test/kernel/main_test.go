package kernel

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
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
