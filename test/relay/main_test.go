package relay_test

import (
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(leakCheck{m})
}

// leakCheck runs the tests and then looks for packet buffers nobody let go.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	code := l.m.Run()
	if code == 0 {
		refs.DoLeakCheck()
	}
	return code
}
