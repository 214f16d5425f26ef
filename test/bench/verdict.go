package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// KindGate is Ratios' kind.
const KindGate = "gate"

// Ratios are what the gate compares with. Its JSON form is stable, and a line for
// each figure.
type Ratios struct {
	Format  int     `json:"format"`
	Kind    string  `json:"kind"`
	Machine Machine `json:"machine"`
	// Foreign is the largest share that others had of the processors meanwhile.
	Foreign float64            `json:"foreign"`
	Figures map[string]float64 `json:"figures"`
}

// ReadRatios reads what Write wrote, and sees to it that the figures are those of
// this program.
func ReadRatios(r io.Reader) (Ratios, error) { return readRatios(r, GateFigures()) }

func readRatios(r io.Reader, figures []GateFigure) (Ratios, error) {
	var stored Ratios
	if err := readJSON(r, &stored); err != nil {
		return Ratios{}, err
	}
	if stored.Kind != KindGate {
		return Ratios{}, fmt.Errorf("%w: it is of %q, not of %q", ErrReport, stored.Kind, KindGate)
	}
	names := make(map[string]bool)
	for _, f := range figures {
		names[f.Name] = true
		if x, ok := stored.Figures[f.Name]; !ok || !sound(x) {
			return Ratios{}, fmt.Errorf("%w: it has no value above 0 for %q, which this program measures", ErrReport, f.Name)
		}
	}
	for name := range stored.Figures {
		if !names[name] {
			return Ratios{}, fmt.Errorf("%w: it has %q, which this program does not measure", ErrReport, name)
		}
	}
	return stored, nil
}

// sound: a figure that can be compared with.
func sound(x float64) bool { return x > 0 && !math.IsInf(x, 1) }

// Write writes the JSON form.
func (r Ratios) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Attempts is how often a suite of the gate is measured at most.
const Attempts = 3

// TooBusy is the share of foreign processor time above which a run is not to be
// believed.
const TooBusy = 0.25

// Quiet is the share up to which the gate's margins hold: they are narrower than what
// is to be believed with more.
const Quiet = 0.1

// BusyFactor is how much wider the margins are on a machine that was too busy.
const BusyFactor = 2

// Gate decides whether a program is as fast as the stored ratios say. A suite is
// measured again where a figure is out of its margin, or where the machine was too
// busy; a figure is worse only if it was so each time, on a machine that was too busy
// by BusyFactor times the margin. It does not measure: whoever has it asks Next, measures, and
// hands over what came out.
type Gate struct {
	figures []GateFigure
	stored  Ratios
	tries   map[string][]Report // by suite
}

// NewGate compares with stored ratios. With those of no figure it can only collect
// new ones.
func NewGate(stored Ratios) *Gate { return newGate(GateFigures(), stored) }

func newGate(figures []GateFigure, stored Ratios) *Gate {
	return &Gate{figures: figures, stored: stored, tries: make(map[string][]Report)}
}

// Add takes what MeasureGate gave.
func (g *Gate) Add(r Report) { g.tries[r.Kind] = append(g.tries[r.Kind], r) }

// Next returns the suites that have to be measured, or measured again; none: it is
// decided.
func (g *Gate) Next() (suites []string) {
	for _, f := range g.figures {
		if !slices.Contains(suites, f.suite) && len(g.tries[f.suite]) < Attempts && !g.settled(f) {
			suites = append(suites, f.suite)
		}
	}
	return suites
}

// settled: the figure was good on a machine that was not too busy, or there is
// nothing to compare it with.
func (g *Gate) settled(f GateFigure) bool {
	return len(g.tries[f.suite]) > 0 && !g.judges(f) || slices.ContainsFunc(g.tries[f.suite], func(r Report) bool {
		return !busy(r) && f.holds(r, g.stored.Figures[f.Name])
	})
}

// judges: what is not counted is judged on one kind of machine only.
func (g *Gate) judges(f GateFigure) bool {
	return f.Counted || !slices.ContainsFunc(g.tries[f.suite], func(r Report) bool { return !r.Machine.SameKind(g.stored.Machine) })
}

// in is the figure's value in a report; NaN if it is not there.
func (f GateFigure) in(r Report) float64 {
	if s, ok := f.of(r); ok {
		return s.Median
	}
	return math.NaN()
}

func busy(r Report) bool { return r.Foreign > Quiet }

// limit is the worst value that is good enough.
func (f GateFigure) limit(stored, margin float64) float64 {
	if f.Lower {
		return stored * (1 + margin)
	}
	return stored * (1 - margin)
}

// holds says whether a report's value is good enough: what is no number never is.
func (f GateFigure) holds(r Report, stored float64) bool {
	margin := f.Margin
	if busy(r) && !f.Counted {
		margin *= BusyFactor
	}
	x := f.in(r)
	return sound(x) && !f.better(f.limit(stored, margin), x)
}

func (f GateFigure) better(a, b float64) bool {
	if f.Lower {
		return a < b
	}
	return a > b
}

// The outcomes of a figure.
const (
	OutcomeGood       = "good"
	OutcomeBetter     = "better"       // by more than the margin, on a quiet machine
	OutcomeWorse      = "worse"        // each time
	OutcomeUnmeasured = "not measured" // each time
	OutcomeUnjudged   = "not judged"   // another kind of machine
)

// Verdict is what the gate says of a figure.
type Verdict struct {
	Figure        string  `json:"figure"`
	LowerIsBetter bool    `json:"lower_is_better"`
	Margin        float64 `json:"margin"`
	Stored        float64 `json:"stored"`
	Limit         float64 `json:"limit"`
	// Measured is each attempt's median, those left out that gave none.
	Measured []float64 `json:"measured"`
	Outcome  string    `json:"outcome"`
}

// Failed says whether the gate does not pass because of it.
func (v Verdict) Failed() bool { return v.Outcome == OutcomeWorse || v.Outcome == OutcomeUnmeasured }

// GateResult is what the gate says. Its JSON form is stable.
type GateResult struct {
	Format  int     `json:"format"`
	Kind    string  `json:"kind"`
	Machine Machine `json:"machine"`
	Stored  Machine `json:"stored_on"`
	// Foreign is the share that others had of the processors, for each attempt at
	// each suite.
	Foreign map[string][]float64 `json:"foreign"`
	Passed  bool                 `json:"passed"`
	Figures []Verdict            `json:"figures"`
}

// Result is the state of things; it is final if Next returns nothing.
func (g *Gate) Result() GateResult {
	out := GateResult{Format: Format, Kind: KindGate, Stored: g.stored.Machine, Foreign: make(map[string][]float64), Passed: true}
	for suite, tries := range g.tries {
		for _, r := range tries {
			out.Machine = r.Machine
			out.Foreign[suite] = append(out.Foreign[suite], r.Foreign)
		}
	}
	for _, f := range g.figures {
		v := g.verdict(f)
		out.Figures = append(out.Figures, v)
		out.Passed = out.Passed && !v.Failed()
	}
	return out
}

func (g *Gate) verdict(f GateFigure) Verdict {
	stored, held, better := g.stored.Figures[f.Name], false, false
	v := Verdict{Figure: f.Name, LowerIsBetter: f.Lower, Margin: f.Margin, Stored: stored, Limit: f.limit(stored, f.Margin), Measured: []float64{}}
	for _, r := range g.tries[f.suite] {
		held = held || f.holds(r, stored)
		if x := f.in(r); sound(x) {
			v.Measured = append(v.Measured, x)
			better = better || !busy(r) && f.better(x, stored*stored/v.Limit)
		}
	}
	switch {
	case len(v.Measured) == 0:
		v.Outcome = OutcomeUnmeasured
	case !g.judges(f):
		v.Outcome = OutcomeUnjudged
	case !held:
		v.Outcome = OutcomeWorse
	case better:
		v.Outcome = OutcomeBetter
	default:
		v.Outcome = OutcomeGood
	}
	return v
}

// ErrBusy is in the chain of an error about a machine that was too busy.
var ErrBusy = errors.New("the machine was too busy to believe what was measured")

// Gather returns the suites that have to be measured, or measured again, before there
// are ratios to be stored: from machines that were not too busy, and after three
// times as many attempts there will be none.
func (g *Gate) Gather() (suites []string) {
	for _, f := range g.figures {
		if n := len(g.believed(f)); !slices.Contains(suites, f.suite) && n < Attempts && len(g.tries[f.suite]) < 3*Attempts {
			suites = append(suites, f.suite)
		}
	}
	return suites
}

// believed are the attempts on a machine that was not too busy.
func (g *Gate) believed(f GateFigure) []Report {
	return slices.DeleteFunc(slices.Clone(g.tries[f.suite]), busy)
}

// Ratios are the medians of what was gathered, to be stored.
func (g *Gate) Ratios() (Ratios, error) {
	out := Ratios{Format: Format, Kind: KindGate, Figures: make(map[string]float64)}
	for _, f := range g.figures {
		var medians []float64
		for _, r := range g.believed(f) {
			out.Machine, out.Foreign = r.Machine, max(out.Foreign, r.Foreign)
			medians = append(medians, f.in(r))
		}
		if len(medians) < Attempts {
			return Ratios{}, fmt.Errorf("%w: in %d of %d attempts at %q others had more than %.0f %% of its processors",
				ErrBusy, len(g.tries[f.suite])-len(medians), len(g.tries[f.suite]), f.suite, 100*Quiet)
		}
		median := Summarise(medians).Median
		if !sound(median) {
			return Ratios{}, fmt.Errorf("%w: it did not give %q", ErrReport, f.Name)
		}
		out.Figures[f.Name] = significant(median)
	}
	return out, nil
}

// significant rounds to the digits that mean something.
func significant(x float64) float64 {
	scale := math.Pow(10, 3-math.Ceil(math.Log10(x)))
	return math.Round(x*scale) / scale
}

// Why says what is the matter with a suite that has to be measured again.
func (g *Gate) Why(suite string) string {
	tries := g.tries[suite]
	if len(tries) == 0 {
		return ""
	}
	last := tries[len(tries)-1]
	var why []string
	if busy(last) {
		why = append(why, fmt.Sprintf("others had %.0f %% of the processors", 100*last.Foreign))
	}
	for _, f := range g.figures {
		stored := g.stored.Figures[f.Name]
		if f.suite == suite && g.judges(f) && !f.holds(last, stored) {
			why = append(why, fmt.Sprintf("%s: %.3g, the limit is %.3g", f.Name, f.in(last), f.limit(stored, f.Margin)))
		}
	}
	return strings.Join(why, "; ")
}
