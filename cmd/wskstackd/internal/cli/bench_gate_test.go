package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/benchtext"
	"github.com/wskstack/wskstack/test/bench"
)

// recorded gives the reports of a run of the gate, changed.
func recorded(t *testing.T, change func(*bench.Report)) gateMeasure {
	return func(suite string) (bench.Report, error) {
		rep, err := readReport(filepath.Join("testdata", "gate", suite+".json"))
		if err != nil {
			t.Error(err)
		}
		if change != nil {
			change(&rep)
		}
		return rep, err
	}
}

// slower makes a column of rows of a metric worse.
func slower(metric string, factor float64) func(*bench.Report) {
	return func(r *bench.Report) {
		for _, row := range r.Rows {
			for _, c := range row.Columns {
				for i := range c.Samples {
					if row.Metric == metric && c.Subject == "wskstack" {
						c.Samples[i] *= factor
					}
				}
			}
		}
	}
}

// TestGateEndToEnd: what --update stores, the gate compares with; what is measured
// is recorded.
func TestGateEndToEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gate.json")
	busy := func(r *bench.Report) { r.Foreign = 0.9 }
	if err := updateGate(file, recorded(t, busy)); !errors.Is(err, bench.ErrBusy) {
		t.Errorf("stored from a busy machine: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if err := updateGate(file, recorded(t, nil)); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	stored, err := readRatios(file)
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		measure  gateMeasure
		want     error
		out, err string
	}{
		"the same":     {recorded(t, nil), nil, "good", ""},
		"half as fast": {recorded(t, slower("throughput", 0.3)), benchtext.ErrGate, "WORSE", "throughput is measured again: bulk up"},
		"twice":        {recorded(t, slower("throughput", 3)), nil, "better", ""},
		"no number":    {recorded(t, slower("first byte", 0)), benchtext.ErrGate, "NOT MEASURED", "ttfb is measured again"},
		"busy":         {recorded(t, busy), nil, "90 % (too busy) 90 % (too busy) 90 % (too busy)", "others had 90 %"},
		"a fault":      {func(string) (bench.Report, error) { return bench.Report{}, gone }, gone, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out, diag, object bytes.Buffer
			err := runGate(IO{Out: &out, Err: &diag}, stored, false, c.measure)
			if !errors.Is(err, c.want) || !strings.Contains(out.String(), c.out) || !strings.Contains(diag.String(), c.err) || (c.err == "" && diag.Len() > 0) {
				t.Errorf("%v, want %v\n%s\n%s", err, c.want, out.String(), diag.String())
			}
			if errors.Is(err, gone) {
				return
			}
			if err := runGate(IO{Out: &object, Err: &diag}, stored, true, c.measure); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			var result bench.GateResult
			if err := json.Unmarshal(object.Bytes(), &result); err != nil || result.Passed != (c.want == nil) || len(result.Figures) != len(bench.GateFigures()) {
				t.Errorf("%v: %s", err, object.String())
			}
		})
	}
}

// TestGateRefuses: before anything is measured, and with what to do.
func TestGateRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "gate.json")
	if err := os.WriteFile(bad, []byte(`{"format": 1, "kind": "gate", "figures": {"pace": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{nil, exitUsage, "arg"},
		{[]string{"--update", "--json", "x"}, exitUsage, "leave --json out"},
		{[]string{filepath.Join(filepath.Dir(bad), "none")}, exitFailure, "no such file"},
		{[]string{bad}, exitUsage, "make it anew with 'wskstackd bench gate --update " + bad},
	} {
		r := run(t, append([]string{"bench", "gate"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.err, c.say) || r.out != "" {
			t.Errorf("%q: %+v, want %d, %q", c.args, r, c.code, c.say)
		}
	}
}

// TestStoredRatiosAreThisPrograms: the file that CI compares with.
func TestStoredRatiosAreThisPrograms(t *testing.T) {
	stored, err := readRatios(filepath.Join("..", "..", "..", "..", "test", "bench", "gate.json"))
	if err != nil {
		t.Fatal(err)
	}
	if stored.Foreign > bench.Quiet || reflect.ValueOf(stored.Machine).IsZero() {
		t.Errorf("%+v", stored)
	}
}

func TestHelpHasTheGatesFields(t *testing.T) {
	helpHas(t, "gate", bench.GateResult{}, bench.Verdict{}, bench.Ratios{})
}
