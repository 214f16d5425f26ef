package benchtext

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/wskstack/wskstack/test/bench"
)

// TestGateText: what the gate prints where it passes, and where it does not.
func TestGateText(t *testing.T) {
	m := bench.Machine{Processor: "p", CPUs: 2, MemoryGiB: 1, Kernel: "k", Go: "g"}
	passed := bench.GateResult{
		Machine: m, Stored: m, Passed: true, Foreign: map[string][]float64{"connect": {0.1}, "bulk": {0.3, 0.02}},
		Figures: []bench.Verdict{
			{Figure: "bulk", Stored: 0.8, Limit: 0.6, Measured: []float64{0.5, 0.7}, Outcome: bench.OutcomeGood},
			{Figure: "set-ups", Stored: 0.5, Limit: 0.4, Measured: []float64{0.9}, Outcome: bench.OutcomeBetter},
		},
	}
	alien := passed
	alien.Stored.CPUs = 64
	alien.Figures = []bench.Verdict{{Figure: "bulk", Stored: 0.8, Limit: 0.6, Measured: []float64{0.5}, Outcome: bench.OutcomeUnjudged}}
	failed := passed
	failed.Passed = false
	failed.Stored.Kernel = "j"
	failed.Figures = []bench.Verdict{
		{Figure: "cost", LowerIsBetter: true, Stored: 2, Limit: 2.5, Measured: []float64{2.6, 3, 9}, Outcome: bench.OutcomeWorse},
		{Figure: "memory", LowerIsBetter: true, Stored: 2, Limit: 2.5, Outcome: bench.OutcomeUnmeasured},
		passed.Figures[0],
	}
	for name, c := range map[string]struct {
		result bench.GateResult
		err    error
	}{"gate-passed": {passed, nil}, "gate-failed": {failed, ErrGate}, "gate-elsewhere": {alien, nil}} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := Gate(&text, c.result); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			golden(t, filepath.Join("testdata", name+".txt"), text.String())
		})
	}
}
