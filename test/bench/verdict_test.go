package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// Three figures of two suites, and no link.
func figuresOfTests() []GateFigure {
	return []GateFigure{
		{"speed", false, 0.25, false, "bulk", ratio("r", "m", "wskstack", "kernel")},
		{"cost", true, 0.25, false, "bulk", own("c", "m")},
		{"memory", true, 0.1, true, "idle", own("c", "m")},
	}
}

func storedOfTests() Ratios {
	return Ratios{Format: Format, Kind: KindGate, Machine: Machine{Processor: "p"}, Figures: map[string]float64{"speed": 0.8, "cost": 2, "memory": 100}}
}

// attempt is a report of a suite. speed is a ratio, cost what the other row has; a
// row that is none is left out.
func attempt(suite string, foreign, speed, cost float64) Report {
	r := Report{Kind: suite, Foreign: foreign, Machine: Machine{Processor: "p", Kernel: "now"}}
	if speed >= 0 {
		r.Rows = append(r.Rows, Row{Name: "r", Metric: "m", Columns: []Column{{Subject: "kernel", Samples: []float64{10, 20, 5}}, {Subject: "wskstack", Samples: []float64{10 * speed, 20 * speed, 5 * speed}}}})
	}
	if !(cost < 0) { // NaN is one
		r.Rows = append(r.Rows, Row{Name: "c", Metric: "m", Columns: []Column{{Subject: "wskstack", Samples: []float64{cost}}}})
	}
	return r
}

// TestGateVerdicts: what is measured how often, and what comes out.
func TestGateVerdicts(t *testing.T) {
	good, idle := attempt("bulk", 0, 0.8, 2), attempt("idle", 0, -1, 100)
	elsewhere := func(r Report) Report {
		r.Machine.CPUs = 64
		return r
	}
	other, pacing := good, good
	other.Machine.Processor = "q"
	pacing.Machine.Congestion = "bbr"
	for name, c := range map[string]struct {
		bulk []Report // the attempts that there are; more must not be asked for
		idle []Report // one that is good, if there is none
		want [3]string
	}{
		"as stored":                     {bulk: []Report{good}, want: [3]string{"good", "good", "good"}},
		"at the limits":                 {bulk: []Report{attempt("bulk", 0, 0.601, 2.5)}, want: [3]string{"good", "good", "good"}},
		"a little better":               {bulk: []Report{attempt("bulk", 0, 0.9, 1.9)}, want: [3]string{"good", "good", "good"}},
		"a better ratio":                {bulk: []Report{attempt("bulk", 0, 1.2, 2)}, want: [3]string{"better", "good", "good"}},
		"better while busy":             {bulk: []Report{attempt("bulk", 0.5, 1.2, 2), good}, want: [3]string{"good", "good", "good"}},
		"a lower cost":                  {bulk: []Report{attempt("bulk", 0, 0.8, 1)}, want: [3]string{"good", "better", "good"}},
		"slower each time":              {bulk: []Report{attempt("bulk", 0, 0.59, 2), attempt("bulk", 0, 0.5, 2), attempt("bulk", 0, 0.59, 2)}, want: [3]string{"worse", "good", "good"}},
		"slower twice":                  {bulk: []Report{attempt("bulk", 0, 0.59, 2), attempt("bulk", 0, 0.1, 2), good}, want: [3]string{"good", "good", "good"}},
		"slower once":                   {bulk: []Report{attempt("bulk", 0, 0.1, 2), good}, want: [3]string{"good", "good", "good"}},
		"dearer each time":              {bulk: []Report{attempt("bulk", 0, 0.8, 2.6), attempt("bulk", 0, 0.8, 2.6), attempt("bulk", 0, 0.8, 9)}, want: [3]string{"good", "worse", "good"}},
		"one or the other":              {bulk: []Report{attempt("bulk", 0, 0.8, 2.6), attempt("bulk", 0, 0.1, 2)}, want: [3]string{"good", "good", "good"}},
		"busy, then not":                {bulk: []Report{attempt("bulk", 0.5, 0.8, 2), good}, want: [3]string{"good", "good", "good"}},
		"busy each time, and good":      {bulk: []Report{attempt("bulk", 0.5, 0.8, 2), attempt("bulk", 0.5, 0.1, 9), attempt("bulk", 0.5, 0.1, 9)}, want: [3]string{"good", "good", "good"}},
		"busy each time, and slower":    {bulk: []Report{attempt("bulk", 0.5, 0.39, 2), attempt("bulk", 0.5, 0.1, 2), attempt("bulk", 0.5, 0.1, 2)}, want: [3]string{"worse", "good", "good"}},
		"busy, in the wider margin":     {bulk: []Report{attempt("bulk", 0.5, 0.41, 2.9), attempt("bulk", 0, 0.1, 9), attempt("bulk", 0, 0.1, 9)}, want: [3]string{"good", "good", "good"}},
		"good while busy, slower after": {bulk: []Report{attempt("bulk", 0.5, 0.8, 2), attempt("bulk", 0, 0.1, 2), attempt("bulk", 0, 0.1, 2)}, want: [3]string{"good", "good", "good"}},
		"no number":                     {bulk: []Report{attempt("bulk", 0, 0.8, math.NaN()), attempt("bulk", 0, 0.8, math.NaN()), attempt("bulk", 0, 0.8, math.Inf(1))}, want: [3]string{"good", "not measured", "good"}},
		"no number once":                {bulk: []Report{attempt("bulk", 0, 0.8, math.NaN()), good}, want: [3]string{"good", "good", "good"}},
		"nothing":                       {bulk: []Report{attempt("bulk", 0, 0.8, 0), attempt("bulk", 0, 0.8, 0), attempt("bulk", 0, 0.8, 0)}, want: [3]string{"good", "not measured", "good"}},
		"a row that is gone":            {bulk: []Report{attempt("bulk", 0, -1, 2), attempt("bulk", 0, -1, 2), attempt("bulk", 0, -1, 2)}, want: [3]string{"not measured", "good", "good"}},
		"another kind of machine":       {bulk: []Report{elsewhere(attempt("bulk", 0.9, 0.1, 9))}, want: [3]string{"not judged", "not judged", "good"}},
		"another congestion control":    {bulk: []Report{pacing}, want: [3]string{"not judged", "not judged", "good"}},
		"another processor":             {bulk: []Report{other}, want: [3]string{"not judged", "not judged", "good"}},
		"more memory on another kind": {
			bulk: []Report{elsewhere(good)}, idle: []Report{elsewhere(attempt("idle", 0, -1, 111)), elsewhere(attempt("idle", 0, -1, 111)), elsewhere(attempt("idle", 0, -1, 111))},
			want: [3]string{"not judged", "not judged", "worse"},
		},
		"more memory while busy": {
			bulk: []Report{good}, idle: []Report{attempt("idle", 0.9, -1, 111), attempt("idle", 0.9, -1, 111), attempt("idle", 0.9, -1, 111)},
			want: [3]string{"good", "good", "worse"},
		},
		"more memory": {
			bulk: []Report{good}, idle: []Report{attempt("idle", 0, -1, 111), attempt("idle", 0, -1, 111), attempt("idle", 0, -1, 111)},
			want: [3]string{"good", "good", "worse"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := map[string][]Report{"bulk": c.bulk, "idle": c.idle}
			if c.idle == nil {
				left["idle"] = []Report{idle}
			}
			g := newGate(figuresOfTests(), storedOfTests())
			for next := g.Next(); len(next) > 0; next = g.Next() {
				for _, suite := range next {
					if len(left[suite]) == 0 {
						t.Fatalf("%s is asked for once more: %s", suite, g.Why(suite))
					}
					if (len(g.tries[suite]) > 0) != (g.Why(suite) != "") {
						t.Errorf("%s: attempt %d because of %q", suite, len(g.tries[suite])+1, g.Why(suite))
					}
					g.Add(left[suite][0])
					left[suite] = left[suite][1:]
				}
			}
			if n := len(left["bulk"]) + len(left["idle"]); n > 0 {
				t.Errorf("%d attempts were not asked for", n)
			}
			r := g.Result()
			for i, want := range c.want {
				if r.Figures[i].Outcome != want {
					t.Errorf("%s is %s, want %s", r.Figures[i].Figure, r.Figures[i].Outcome, want)
				}
			}
			failed := slices.ContainsFunc(c.want[:], func(o string) bool { return o == OutcomeWorse || o == OutcomeUnmeasured })
			if r.Passed == failed {
				t.Errorf("passed: %v", r.Passed)
			}
		})
	}
}

// TestGateSaysWhy: each reason for another attempt, with the numbers.
func TestGateSaysWhy(t *testing.T) {
	g := newGate(figuresOfTests(), storedOfTests())
	g.Add(attempt("bulk", 0.11, 0.1, 3.6))
	for _, want := range []string{"others had 11 % of the processors", "speed: 0.1, the limit is 0.6", "cost: 3.6, the limit is 2.5"} {
		if !strings.Contains(g.Why("bulk"), want) {
			t.Errorf("no %q in %q", want, g.Why("bulk"))
		}
	}
}

// TestRatiosAreStored: the medians of three attempts come back as they were written,
// and those of a busy machine are not among them.
func TestRatiosAreStored(t *testing.T) {
	g := newGate(figuresOfTests(), Ratios{})
	for _, x := range []float64{0.8, 0.9, 0.5} {
		if next := g.Gather(); !slices.Equal(next, []string{"bulk", "idle"}) {
			t.Errorf("asks for %v", next)
		}
		g.Add(attempt("bulk", x/9, x, 1234.56))
		g.Add(attempt("idle", 0.9, -1, 1))
	}
	if _, err := g.Ratios(); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "3 of 3 attempts at \"idle\"") {
		t.Errorf("of a busy machine: %v", err)
	}
	for range Attempts {
		if next := g.Gather(); !slices.Equal(next, []string{"idle"}) {
			t.Errorf("asks for %v", next)
		}
		g.Add(attempt("idle", 0.1, -1, 0.0123456))
	}
	if next := g.Gather(); len(next) > 0 {
		t.Errorf("asks for %v", next)
	}
	ratios, err := g.Ratios()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := ratios.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := readRatios(&file, figuresOfTests())
	if err != nil {
		t.Fatal(err)
	}
	if got.Figures["speed"] != 0.8 || got.Figures["cost"] != 1230 || got.Figures["memory"] != 0.0123 || got.Foreign != 0.1 || got.Machine != (Machine{Processor: "p", Kernel: "now"}) {
		t.Errorf("%+v", got)
	}
}

// TestNothingIsStored of a machine that is nearly always busy, or of what is no number.
func TestNothingIsStored(t *testing.T) {
	always := newGate(figuresOfTests(), Ratios{})
	for n := 0; len(always.Gather()) > 0; n++ {
		if n == 3*Attempts {
			t.Fatal("it never gives up")
		}
		for _, suite := range always.Gather() {
			foreign := 0.9
			if n >= 3*Attempts-2 { // two are too few
				foreign = 0
			}
			always.Add(attempt(suite, foreign, 1, 1))
		}
	}
	if _, err := always.Ratios(); !errors.Is(err, ErrBusy) {
		t.Errorf("of a busy machine: %v", err)
	}
	strange := newGate(figuresOfTests(), Ratios{})
	for range Attempts {
		strange.Add(attempt("bulk", 0, 1, math.NaN()))
	}
	if _, err := strange.Ratios(); !errors.Is(err, ErrReport) {
		t.Errorf("of no number: %v", err)
	}
}

func TestBadRatios(t *testing.T) {
	const whole = `{"format": 1, "kind": "gate", "machine": {"processor": "p"}, "foreign": 0, "figures": {"speed": 0.8, "cost": 2, "memory": 100%s}}`
	good := fmt.Sprintf(whole, "")
	if _, err := readRatios(strings.NewReader(good), figuresOfTests()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, say string }{
		"nothing":           {"", "not a whole one"},
		"cut":               {good[:len(good)/2], "not a whole one"},
		"another version":   {strings.Replace(good, `"format": 1`, `"format": 2, "novelty": 1`, 1), "format 2, this program knows 1"},
		"a report":          {`{"format": 1, "kind": "connect", "rounds": 1}`, "rounds"},
		"another kind":      {strings.Replace(good, "gate", "grate", 1), `"grate"`},
		"a missing figure":  {strings.Replace(good, `"cost": 2, `, "", 1), `"cost"`},
		"a renamed one":     {strings.Replace(good, "speed", "pace", 1), `"speed"`},
		"one too many":      {fmt.Sprintf(whole, `, "pace": 1`), `"pace", which this program does not measure`},
		"nought":            {strings.Replace(good, "0.8", "0", 1), `"speed"`},
		"less than nothing": {strings.Replace(good, "0.8", "-0.8", 1), `"speed"`},
		"no number":         {strings.Replace(good, "0.8", "NaN", 1), "not a whole one"},
		"words":             {strings.Replace(good, "0.8", `"fast"`, 1), "figures"},
		"too large":         {strings.Replace(good, "0.8", "1e999", 1), "1e999"},
	} {
		if _, err := readRatios(strings.NewReader(c.file), figuresOfTests()); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %q", name, err, c.say)
		}
	}
}

// TestGateFiguresAreSound: no two of a name, and a margin that can be reached.
func TestGateFiguresAreSound(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range GateFigures() {
		if seen[f.Name] || f.Margin <= 0 || (!f.Lower && BusyFactor*f.Margin >= 1) {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
	}
}
