package bench

import (
	"context"
	"time"
)

// HeadlineOptions is how long Headline measures.
type HeadlineOptions struct {
	For         time.Duration
	Connections int
}

// Headline measures what the table of figures needs, one suite after the other. The
// rows' names begin with the suite's.
func Headline(ctx context.Context, o Options, h HeadlineOptions) (Report, error) {
	return report("table", o, h.For, func() (all []Row, err error) {
		if _, err := checkConnections(h.Connections); err != nil {
			return nil, err // before minutes of measuring
		}
		if err := checkFor(h.For); err != nil {
			return nil, err
		}
		return inSuites([]suite{
			{"throughput", func() ([]Row, error) {
				return throughput(ctx, o, ThroughputOptions{MTUs: []int{DefaultMTU}, Flows: []int{1}, Congestion: headlineCongestion, For: h.For, Naive: true})
			}},
			{"distance", func() ([]Row, error) {
				return throughput(ctx, o, ThroughputOptions{MTUs: []int{DefaultMTU}, Flows: []int{1}, RTT: distance, Congestion: headlineCongestion, For: 2 * h.For})
			}},
			{"connect", func() ([]Row, error) { return connect(ctx, o, ConnectOptions{Clients: []int{1, 16}, For: h.For}) }},
			{"ttfb", func() ([]Row, error) { return firstByte(ctx, o, FirstByteOptions{RTTs: headlineRTTs()}) }},
			{"layers", func() ([]Row, error) { return layers(ctx, o, LayerOptions{Congestion: headlineCongestion, For: h.For}) }},
			{"idle", func() ([]Row, error) { return idle(ctx, o, IdleOptions{Connections: h.Connections}) }},
		})
	})
}

// suite is a part of a report that has several.
type suite struct {
	kind string
	rows func() ([]Row, error)
}

// inSuites measures one after the other. The rows' names begin with the suite's.
func inSuites(suites []suite) (all []Row, err error) {
	for _, s := range suites {
		rows, err := s.rows()
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			r.Name = s.kind + ": " + r.Name
			all = append(all, r)
		}
	}
	return all, nil
}

// distance is the round trip of the bulk measurement over a long way.
const distance = 50 * time.Millisecond

// headlineCongestion is what the kernel uses for bulk: the same as this stack, whatever
// the machine's default. It decides more than anything else over a long way, and
// one that paces holds the kernel back over a short one, too.
const headlineCongestion = "cubic"

func headlineRTTs() []time.Duration {
	return []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}
}

// Figure is one line of the headline table.
type Figure struct {
	Name string
	// Reach and Aim are what was set as a goal; Better is below them if Lower.
	Reach, Aim float64
	Lower      bool
	Unit       string // "" for a ratio
	Digits     int    // how many are worth reading; 0: three
	of         func(Report) (Summary, bool)
}

// Of looks the figure up in a Headline report.
func (f Figure) Of(r Report) (Summary, bool) { return f.of(r) }

// met says whether a value is as good as a goal; what is no number never is.
func (f Figure) met(value, goal float64) bool {
	if f.Lower {
		return value <= goal
	}
	return value >= goal
}

// Reached is the verdict on a value.
type Reached int

// How far a value gets.
const (
	Neither Reached = iota
	ReachedGoal
	ReachedAim
)

// Reached says which of the figure's goals a value is as good as.
func (f Figure) Reached(value float64) Reached {
	switch {
	case f.met(value, f.Aim):
		return ReachedAim
	case f.met(value, f.Reach):
		return ReachedGoal
	}
	return Neither
}

// Figures are the lines of the headline table.
func Figures() []Figure {
	up, down := bulkName(true, 1, DefaultMTU, 0), bulkName(false, 1, DefaultMTU, 0)
	figures := []Figure{
		{Name: "bulk up against the kernel's veth, with CUBIC", Reach: 0.25, Aim: 0.40, of: ratio("throughput: "+up, metricRate, "wskstack", "kernel")},
		{Name: "bulk down against the kernel's veth, with CUBIC", Reach: 0.40, Aim: 0.50, of: ratio("throughput: "+down, metricRate, "wskstack", "kernel")},
		{Name: "bulk up against the naive link", Reach: 8, Aim: 12, of: ratio("throughput: "+up, metricRate, "wskstack", "naive")},
		{Name: "bulk down against the naive link", Reach: 8, Aim: 12, of: ratio("throughput: "+down, metricRate, "wskstack", "naive")},
		{Name: "processor time per GB up against veth", Reach: 3.5, Aim: 2.2, Lower: true, of: ratio("throughput: "+up, metricCPU, "wskstack", "kernel")},
		{Name: "processor time per GB down against veth", Reach: 2.5, Aim: 2.0, Lower: true, of: ratio("throughput: "+down, metricCPU, "wskstack", "kernel")},
		{Name: "IRPs and Fast Open against netstack's endpoint, up", Reach: 0.95, Aim: 0.98, of: ratio("layers: "+up, metricRate, layerIRPs, layerBare)},
		{Name: "IRPs and Fast Open against netstack's endpoint, down", Reach: 0.95, Aim: 0.98, of: ratio("layers: "+down, metricRate, layerIRPs, layerBare)},
	}
	for i, goals := range [][2]float64{{1.03, 1.017}, {1.02, 1.008}, {1.01, 1.005}} {
		rtt := headlineRTTs()[i]
		figures = append(figures, Figure{
			Name: "first byte with Fast Open, RTT " + rtt.String(), Reach: goals[0], Aim: goals[1], Lower: true, Unit: "RTT", Digits: 4,
			of: own("ttfb: "+firstByteName(rtt, true), metricFirst),
		})
	}
	for _, c := range []struct {
		clients int
		aim     float64
	}{{1, 0.50}, {16, 0.45}} {
		name := "connect: " + setupName(c.clients, false)
		figures = append(figures,
			Figure{Name: "set-ups a second against the kernel's, " + setupName(c.clients, false), Reach: 0.30, Aim: c.aim, of: ratio(name, metricSetups, "wskstack", "kernel")},
			Figure{Name: "p99 of a set-up against the kernel's, " + setupName(c.clients, false), Reach: 3, Aim: 1.5, Lower: true, of: ratio(name, metricP99, "wskstack", "kernel")})
	}
	return append(figures,
		Figure{Name: "p50 of a set-up with Fast Open against one without", Reach: 0.85, Aim: 0.70, Lower: true, of: fastAgainstPlain},
		Figure{Name: "bulk up at 50 ms RTT against the kernel's CUBIC", Reach: 0.70, Aim: 0.95, of: ratio("distance: "+bulkName(true, 1, DefaultMTU, distance), metricRate, "wskstack", "kernel")},
		Figure{Name: "bulk down at 50 ms RTT against the kernel's CUBIC", Reach: 0.70, Aim: 0.95, of: ratio("distance: "+bulkName(false, 1, DefaultMTU, distance), metricRate, "wskstack", "kernel")},
		Figure{Name: "resident memory of an idle connection with a receive pending", Reach: 8, Aim: 7, Lower: true, Unit: "KB", of: idleMemory},
		Figure{Name: "goroutines of an idle connection", Reach: 0, Aim: 0, Lower: true, Unit: "each", of: idleGoroutines},
	)
}

// ratio looks up how a subject compares with another.
func ratio(name, metric, subject, base string) func(Report) (Summary, bool) {
	return func(r Report) (Summary, bool) { return r.Ratio(name, metric, subject, base) }
}

// own looks up what this stack gave.
func own(name, metric string) func(Report) (Summary, bool) {
	return func(r Report) (Summary, bool) {
		row, _ := r.Find(name, metric)
		c, ok := row.Column("wskstack")
		if !ok {
			return Summary{}, false
		}
		return c.Summary(), true
	}
}

// fastAgainstPlain compares two rows of one subject, round by round.
func fastAgainstPlain(r Report) (Summary, bool) {
	fast, _ := r.Find("connect: "+setupName(1, true), metricP50)
	plain, _ := r.Find("connect: "+setupName(1, false), metricP50)
	f, ok := fast.Column("wskstack")
	p, also := plain.Column("wskstack")
	if !ok || !also {
		return Summary{}, false
	}
	return Summarise(f.Ratios(p)), true
}

func idleRow(r Report, metric string) (Column, bool) {
	for _, row := range r.Rows {
		if row.Metric == metric {
			return row.Column(idleRequests)
		}
	}
	return Column{}, false
}

func idleMemory(r Report) (Summary, bool) {
	c, ok := idleRow(r, metricRSS)
	if !ok {
		return Summary{}, false
	}
	s := c.Summary()
	return Summary{s.Median / 1000, s.Min / 1000, s.Max / 1000}, true
}

func idleGoroutines(r Report) (Summary, bool) {
	c, ok := idleRow(r, metricThreads)
	if !ok {
		return Summary{}, false
	}
	return c.Summary(), true
}
