package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSummarise(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Summary
	}{
		{[]float64{3}, Summary{3, 3, 3}},
		{[]float64{9, 1}, Summary{5, 1, 9}},
		{[]float64{5, 1, 3}, Summary{3, 1, 5}},
		{[]float64{4, 2, 8, 6}, Summary{5, 2, 8}},
	} {
		if got := Summarise(c.in); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.in, got, c.want)
		}
	}
}

// TestRatiosAreOfTheSameRound: a machine that is slow in one round is so for both.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	r := Report{Rows: []Row{{Name: "n", Metric: "m", Columns: []Column{
		{Subject: "a", Samples: []float64{10, 1, 100}}, {Subject: "b", Samples: []float64{5, 0.5, 50}},
	}}}}
	if s, ok := r.Ratio("n", "m", "b", "a"); !ok || s != (Summary{0.5, 0.5, 0.5}) {
		t.Errorf("%+v, %v", s, ok)
	}
	for _, missing := range [][4]string{{"x", "m", "b", "a"}, {"n", "x", "b", "a"}, {"n", "m", "x", "a"}, {"n", "m", "b", "x"}} {
		if _, ok := r.Ratio(missing[0], missing[1], missing[2], missing[3]); ok {
			t.Errorf("%v was found", missing)
		}
	}
}

func TestReportSurvivesJSON(t *testing.T) {
	want := Report{Format: Format, Kind: "connect", Machine: ThisMachine(), Rounds: 5, Rows: []Row{{Name: "n", Metric: "m", Columns: []Column{{Subject: "a", Samples: []float64{1, 2}}}}}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(bytes.NewReader(data))
	if err != nil || got.Machine != want.Machine || got.Rows[0].Columns[0].Samples[1] != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"nothing":         "",
		"another format":  `{"format": 2}`,
		"a foreign field": `{"format": 1, "colour": "red"}`,
		"no samples":      `{"format": 1, "rows": [{"name": "n", "columns": [{"subject": "a"}]}]}`,
		"no columns":      `{"format": 1, "rows": [{"name": "n"}]}`,
		"more behind it":  string(data) + "{}",
		"cut":             string(data[:len(data)/2]),
	} {
		if _, err := ReadReport(strings.NewReader(bad)); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReadReport: a file of anybody's gives a report or an error.
func FuzzReadReport(f *testing.F) {
	f.Add([]byte(`{"format": 1, "kind": "idle", "rows": [{"name": "n", "columns": [{"subject": "a", "samples": [1]}]}]}`))
	f.Add([]byte(`{"format": 1, "kind": "gate", "machine": {}, "foreign": 0.1, "figures": {"bulk up, against veth": 0.5}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ReadRatios(bytes.NewReader(data)); err != nil && !errors.Is(err, ErrReport) {
			t.Error(err)
		}
		r, err := ReadReport(bytes.NewReader(data))
		if err != nil && !errors.Is(err, ErrReport) {
			t.Error(err)
		}
		for _, row := range r.Rows {
			for _, c := range row.Columns {
				_ = c.Ratios(row.Columns[0])
				_ = c.Summary()
			}
		}
	})
}

func TestProcessorIsNamedWithItsGeneration(t *testing.T) {
	const second = "\n\nprocessor\t: 1\ncpu family\t: 6\nmodel\t\t: 7\nmodel name\t: other\n"
	for in, want := range map[string]string{
		"processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n" + second: "AMD EPYC (family 25, model 17)",
		"model name\t: ARMv7 Processor rev 1\n" + second:                                     "ARMv7 Processor rev 1",
		"processor\t: 0\nBogoMIPS\t: 50.00\n" + second:                                       runtime.GOARCH,
	} {
		if got := parseProcessor([]byte(in)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestForeignLoad(t *testing.T) {
	before := parseLoad([]byte("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1\n"))
	after := parseLoad([]byte("cpu  150 10 130 980 5 5 10 10 0 0\n"))
	// 290 ticks: 95 busy, 10 stolen, 185 idle; 60 of them are ours.
	if got, want := Foreign(before, after, 60), 55.0/300; math.Abs(got-want) > 0.02 {
		t.Errorf("%v, want about %v", got, want)
	}
	if got := Foreign(before, before, 0); got != 0 {
		t.Errorf("of no time: %v", got)
	}
	for _, bad := range []string{"", "cpu", "cpu a b c d e f g h", "intr 1 2 3 4 5 6 7 8 9"} {
		if parseLoad([]byte(bad)) != (Load{}) {
			t.Errorf("%q was taken for a load", bad)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	for _, bad := range []Config{{MTU: 1279}, {MTU: 65521}, {MTU: -1}, {RTT: -1}, {Connections: -1}} {
		if bad.Check() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	for _, good := range []Config{{}, {MTU: 1280}, {MTU: 65520, RTT: time.Second}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// quick is a run that shows that everything works, and measures nothing.
const quick = 50 * time.Millisecond

// TestEverySuite runs each once, on real links.
func TestEverySuite(t *testing.T) {
	probe, err := Kernel(Config{})
	netnstest.Require(t, err)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	o := Options{Rounds: 1}
	for name, suite := range map[string]struct {
		columns []string
		run     func(context.Context) (Report, error)
	}{
		"throughput": {[]string{"kernel", "wskstack", "naive"}, func(ctx context.Context) (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500, 9000, 65520}, Flows: []int{1, 4}, For: quick, Naive: true})
		}},
		"throughput over a distance": {[]string{"kernel", "wskstack"}, func(ctx context.Context) (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, Flows: []int{1}, RTT: 4 * time.Millisecond, For: quick})
		}},
		"connect": {[]string{"kernel", "wskstack", "naive"}, func(ctx context.Context) (Report, error) {
			return Connect(ctx, o, ConnectOptions{Clients: []int{1, 16}, For: quick, Naive: true})
		}},
		"ttfb": {[]string{"kernel", "wskstack"}, func(ctx context.Context) (Report, error) {
			return TTFB(ctx, o, FirstByteOptions{RTTs: []time.Duration{4 * time.Millisecond}})
		}},
		"idle": {[]string{"wskstack", "wsk, a receive pending", "kernel"}, func(ctx context.Context) (Report, error) {
			return IdleCost(ctx, o, IdleOptions{Connections: 50})
		}},
		"layers": {[]string{"bare", "+fastopen", "+endpoint", "+go", "+irps", "kernel"}, func(ctx context.Context) (Report, error) {
			return LayerCost(ctx, o, LayerOptions{For: quick})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := suite.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range r.Rows {
				var columns []string
				for _, c := range row.Columns {
					columns = append(columns, c.Subject)
				}
				if !slices.Equal(columns, suite.columns) {
					t.Errorf("%s, %s: %q", row.Name, row.Metric, columns)
				}
				for _, c := range row.Columns {
					if len(c.Samples) != 1 {
						t.Errorf("%s, %s, %s: %d samples", row.Name, row.Metric, c.Subject, len(c.Samples))
					}
				}
			}
		})
	}
}

// TestHeadlineHasEveryFigure: the table looks its figures up by name.
func TestHeadlineHasEveryFigure(t *testing.T) {
	probe, err := Kernel(Config{})
	netnstest.Require(t, err)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Headline(t.Context(), Options{Rounds: 1}, HeadlineOptions{For: quick, Connections: 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Figures() {
		if s, ok := f.Of(r); !ok || math.IsNaN(s.Median) {
			t.Errorf("%s: %+v, %v", f.Name, s, ok)
		}
	}
}

// TestGateHasEveryFigure: so does the gate.
func TestGateHasEveryFigure(t *testing.T) {
	probe, err := Kernel(Config{})
	netnstest.Require(t, err)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	g := NewGate(Ratios{})
	for _, name := range g.Gather() {
		r, err := gateLength{1, quick, quick, 50}.measure(t.Context(), Options{}, name)
		if err != nil {
			t.Fatal(err)
		}
		g.Add(r)
	}
	for _, f := range g.figures {
		if x := f.in(g.tries[f.suite][0]); !sound(x) {
			t.Errorf("%s: %v", f.Name, x)
		}
	}
	if _, err := MeasureGate(t.Context(), Options{}, "nothing"); !errors.Is(err, ErrOptions) {
		t.Error(err)
	}
}

// TestFewDescriptors: idle connections need some, which is said before anything is
// measured; the kernel's need two each, and its column says how many there were.
func TestFewDescriptors(t *testing.T) {
	probe, err := Kernel(Config{})
	netnstest.Require(t, err)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	less := unix.Rlimit{Cur: 500, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	said := Options{Rounds: 1, Progress: func(what string) { t.Errorf("%s, in spite of that", what) }}
	for name, run := range map[string]func() (Report, error){
		"idle": func() (Report, error) { return IdleCost(t.Context(), said, IdleOptions{Connections: 500}) },
		"table": func() (Report, error) {
			return Headline(t.Context(), said, HeadlineOptions{Connections: 500, For: quick})
		},
		"gate": func() (Report, error) { return MeasureGate(t.Context(), said, "connect") },
	} {
		if _, err := run(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	const most = 500 - spareDescriptors
	r, err := IdleCost(t.Context(), Options{Rounds: 1}, IdleOptions{Connections: most})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("kernel, %d of them", most/2); r.Rows[0].Columns[2].Subject != want || !r.Rows[0].Columns[2].IsKernel() {
		t.Errorf("%q, want %q", r.Rows[0].Columns[2].Subject, want)
	}
}

// TestNoTimeForOne: a time in which nothing could be done is no measurement.
func TestNoTimeForOne(t *testing.T) {
	s, err := Kernel(Config{})
	netnstest.Require(t, err)
	if got, err := s.Connect(1, false, time.Nanosecond); !errors.Is(err, ErrOptions) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestCancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	_, err := interleave(ctx, Options{}, []*Subject{{Name: "a"}}, []measurement{{"m", func(*Subject) ([]value, error) {
		t.Error("measured in spite of that")
		return nil, nil
	}}})
	if !errors.Is(err, why) {
		t.Error(err)
	}
}

// TestWhatCannotBeMeasured is refused before anything is opened.
func TestWhatCannotBeMeasured(t *testing.T) {
	ctx, o := t.Context(), Options{Rounds: 1}
	for name, run := range map[string]func() (Report, error){
		"no flow": func() (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, Flows: []int{1, 0}, For: quick})
		},
		"no list of flows": func() (Report, error) { return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, For: quick}) },
		"no MTU":           func() (Report, error) { return Throughput(ctx, o, ThroughputOptions{Flows: []int{1}, For: quick}) },
		"a small MTU": func() (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{10}, Flows: []int{1}, For: quick})
		},
		"a negative delay": func() (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, Flows: []int{1}, RTT: -1, For: quick})
		},
		"naive and a delay": func() (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, Flows: []int{1}, RTT: time.Millisecond, Naive: true, For: quick})
		},
		"no client":        func() (Report, error) { return Connect(ctx, o, ConnectOptions{Clients: []int{0}, For: quick}) },
		"too many clients": func() (Report, error) { return Connect(ctx, o, ConnectOptions{Clients: []int{most + 1}, For: quick}) },
		"no round trip":    func() (Report, error) { return TTFB(ctx, o, FirstByteOptions{RTTs: []time.Duration{0}}) },
		"no time": func() (Report, error) {
			return Throughput(ctx, o, ThroughputOptions{MTUs: []int{1500}, Flows: []int{1}})
		},
		"no time for clients":  func() (Report, error) { return Connect(ctx, o, ConnectOptions{Clients: []int{1}}) },
		"no time for layers":   func() (Report, error) { return LayerCost(ctx, o, LayerOptions{}) },
		"no time for a table":  func() (Report, error) { return Headline(ctx, o, HeadlineOptions{Connections: 1}) },
		"no connection":        func() (Report, error) { return IdleCost(ctx, o, IdleOptions{}) },
		"negative connections": func() (Report, error) { return Headline(ctx, o, HeadlineOptions{Connections: -1, For: quick}) },
	} {
		if _, err := run(); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
