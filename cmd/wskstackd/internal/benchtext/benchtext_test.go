package benchtext

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/test/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// of makes a report with one row whose second column is ratio times the first.
func of(lowerIsBetter bool, ratios ...float64) bench.Report {
	base, mine := make([]float64, len(ratios)), make([]float64, len(ratios))
	for i, r := range ratios {
		base[i] = 10 + float64(i)
		mine[i] = base[i] * r
	}
	return bench.Report{
		Format: bench.Format, Kind: "throughput", Rounds: len(ratios), Machine: bench.Machine{Processor: "a", CPUs: 2},
		Rows: []bench.Row{{
			Name: "up <&>", Metric: "throughput", Unit: "Gbit/s", LowerIsBetter: lowerIsBetter,
			Columns: []bench.Column{{Subject: "kernel", Samples: base}, {Subject: "wskstack", Samples: mine}},
		}},
	}
}

func TestReportText(t *testing.T) {
	var out bytes.Buffer
	if err := Report(&out, of(false, 0.5, 0.5, 0.25, 0.5, 0.5)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"up <&>", "throughput, Gbit/s", "12.0 [10.0-14.0]", "0.500 [0.250-0.500]", "others had 0 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestBelief(t *testing.T) {
	r := of(false, 1, 1, 1, 1, 1)
	r.Foreign = 0.26
	if !strings.Contains(Belief(r), "TOO BUSY") {
		t.Error(Belief(r))
	}
	if r = of(false, 1); !strings.Contains(Belief(r), "few") {
		t.Error(Belief(r))
	}
}

func TestCompare(t *testing.T) {
	good := of(false, 0.5, 0.51, 0.49, 0.5, 0.52)
	other := good
	other.Machine.CPUs = 64
	kind := good
	kind.Kind = "idle"
	strange := good
	strange.Rows = []bench.Row{{Name: "?", Columns: good.Rows[0].Columns}}
	more := good
	more.Rows = append(slices.Clip(good.Rows), bench.Row{Name: "more", Columns: good.Rows[0].Columns})
	busy := good
	busy.Foreign = 0.5
	// The kernel beside what is measured, and what is the whole machine's: none is judged.
	beside := func(ours, kernels, all float64) bench.Report {
		r := of(true, ours, ours, ours, ours, ours)
		r.Rows[0].Columns = append(r.Rows[0].Columns, bench.Column{Subject: "kernel, 9 of them", Samples: of(true, kernels, kernels, kernels, kernels, kernels).Rows[0].Columns[1].Samples})
		r.Rows[0].Columns[0].Subject = "bare"
		wide := of(true, all, all, all, all, all).Rows[0]
		wide.Metric, wide.MachineWide = "kernel's memory", true
		r.Rows = append(r.Rows, wide)
		return r
	}
	for name, c := range map[string]struct {
		was, is bench.Report
		margin  float64
		any     bool
		err     error
		say     string
	}{
		"the same":                {was: good, is: good, say: "no difference"},
		"better":                  {was: good, is: of(false, 0.9, 0.91, 0.92, 0.9, 0.93), say: "better"},
		"worse, no margin":        {was: good, is: of(false, 0.1, 0.11, 0.12, 0.1, 0.1), say: "worse"},
		"worse, within":           {was: good, is: of(false, 0.4, 0.41, 0.42, 0.4, 0.4), margin: 0.5, say: "worse"},
		"worse than the margin":   {was: good, is: of(false, 0.1, 0.11, 0.12, 0.1, 0.1), margin: 0.5, err: ErrWorse, say: "WORSE"},
		"a time that is longer":   {was: of(true, 1, 1, 1, 1, 1), is: of(true, 2.1, 2.1, 2.1, 2.1, 2.1), margin: 0.5, err: ErrWorse, say: "WORSE"},
		"a time that is shorter":  {was: of(true, 1, 1, 1, 1, 1), is: of(true, 0.5, 0.5, 0.4, 0.5, 0.5), margin: 0.5, say: "better"},
		"another machine":         {was: other, is: good, err: ErrOtherMachine},
		"another machine, wanted": {was: other, is: good, any: true, say: "no difference"},
		"another command":         {was: kind, is: good, err: bench.ErrReport},
		"another command, asked":  {was: kind, is: good, any: true, err: bench.ErrReport},
		"nothing in common":       {was: strange, is: good, err: bench.ErrReport},
		"one that is gone":        {was: more, is: good, say: "1 more ratios are in one of the two reports only"},
		"a new one":               {was: good, is: more, say: "1 more ratios are in one of the two reports only"},
		"a kernel beside it":      {was: beside(1, 1, 1), is: beside(1, 9, 9), margin: 0.5, say: "no difference"},
		"something beside it":     {was: beside(1, 1, 1), is: beside(9, 1, 1), margin: 0.5, err: ErrWorse, say: "WORSE"},
		"nothing, and nothing":    {was: of(true, 0, 0, 0), is: of(true, 0, 0, 0), margin: 0.5, say: "no difference"},
		"nothing, then something": {was: of(true, 0, 0, 0, 0, 0), is: of(true, 1, 1, 1, 1, 1), margin: 0.5, err: ErrWorse, say: "WORSE"},
		"nothing, then a moment":  {was: of(true, 0, 0, 0), is: of(true, 0, 1, 1), margin: 0.5, say: "no difference"},
		"a rate that is gone":     {was: good, is: of(false, 0, 0, 0, 0, 0), margin: 0.5, err: ErrWorse, say: "WORSE"},
		"something, then nothing": {was: of(true, 1, 1, 1, 1, 1), is: of(true, 0, 0, 0, 0, 0), margin: 0.5, say: "better"},
		"a busy machine then":     {was: busy, is: good, say: "the stored report: THE MACHINE WAS TOO BUSY"},
		"a busy machine now":      {was: good, is: busy, say: "now: THE MACHINE WAS TOO BUSY"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Compare(&out, c.was, c.is, c.margin, c.any)
			if !errors.Is(err, c.err) || !strings.Contains(out.String(), c.say) || strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
				t.Errorf("%v, want %v; %q in:\n%s", err, c.err, c.say, out.String())
			}
		})
	}
}

func TestPlotIsSVG(t *testing.T) {
	var out bytes.Buffer
	if err := Plot(&out, of(false, 0.5, 1.5)); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(out.Bytes()))
	rects := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, out.String())
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			rects++
		}
	}
	if rects != 2 { // the ground and one bar
		t.Errorf("%d rectangles", rects)
	}
	if err := Plot(&out, bench.Report{}); !errors.Is(err, bench.ErrReport) {
		t.Errorf("of nothing: %v", err)
	}
}

// TestHeadlineText: a figure that misses its goals says so in its line, and so does
// one that was not measured.
func TestHeadlineText(t *testing.T) {
	for name, c := range map[string]struct {
		ratios []float64
		line   string
	}{
		"the aim":  {[]float64{0.5, 0.6, 0.4}, "0.500 [0.400-0.600] | aim |"},
		"the goal": {[]float64{0.3, 0.3, 0.3}, "0.300 [0.300-0.300] | goal |"},
		"neither":  {[]float64{0.2, 0.9, 0.2}, "0.200 [0.200-0.900] | **neither** |"},
		"none":     {nil, "not measured | **neither** |"},
	} {
		t.Run(name, func(t *testing.T) {
			r := of(false, c.ratios...)
			r.Rows[0].Name = "throughput: up, 1 flow, MTU 1500"
			r.Rounds, r.Seconds = 5, 1.5
			var out bytes.Buffer
			if err := Headline(&out, r); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"| bulk up against the kernel's veth, with CUBIC | ≥ 0.25 | ≥ 0.4 | " + c.line, "5 rounds of 1.5s", "others had 0 %"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
		})
	}
}

// TestHeadlineDigits: where the third digit behind the point decides, it is shown.
func TestHeadlineDigits(t *testing.T) {
	r := bench.Report{Rows: []bench.Row{{Name: "ttfb: RTT 50ms, Fast Open", Metric: "first byte", Columns: []bench.Column{{Subject: "wskstack", Samples: []float64{1.0234}}}}}}
	var out bytes.Buffer
	if err := Headline(&out, r); err != nil {
		t.Fatal(err)
	}
	if want := "≤ 1.02 RTT | ≤ 1.008 | 1.023 [1.023-1.023] RTT | **neither** |"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		x    float64
		n    int
		want string
	}{{0, 3, "0"}, {0.5, 3, "0.500"}, {1, 3, "1.00"}, {9.999, 3, "10.00"}, {12.34, 3, "12.3"}, {123.4, 3, "123"}, {12345, 3, "12345"}, {-1.5, 3, "-1.50"}, {1.0049, 4, "1.005"}} {
		if got := digits(c.x, c.n); got != c.want {
			t.Errorf("%v, %d digits: %s, want %s", c.x, c.n, got, c.want)
		}
	}
}
