package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The names of rows, which the headline table looks up.
func bulkName(up bool, flows, mtu int, rtt time.Duration) string {
	way := "down"
	if up {
		way = "up"
	}
	name := fmt.Sprintf("%s, %d flows, MTU %d", way, flows, mtu)
	if flows == 1 {
		name = fmt.Sprintf("%s, 1 flow, MTU %d", way, mtu)
	}
	if rtt > 0 {
		name += fmt.Sprintf(", RTT %v", rtt)
	}
	return name
}

func setupName(clients int, fastOpen bool) string {
	name := fmt.Sprintf("%d clients", clients)
	if clients == 1 {
		name = "1 client"
	}
	if fastOpen {
		name += ", Fast Open"
	}
	return name
}

func firstByteName(rtt time.Duration, fastOpen bool) string {
	if fastOpen {
		return fmt.Sprintf("RTT %v, Fast Open", rtt)
	}
	return fmt.Sprintf("RTT %v", rtt)
}

// The metrics.
const (
	metricRate    = "throughput"
	metricCPU     = "processor time"
	metricSetups  = "connections"
	metricAllocs  = "allocations"
	metricP50     = "p50"
	metricP99     = "p99"
	metricP999    = "p99.9"
	metricFirst   = "first byte"
	metricHeap    = "heap"
	metricRSS     = "resident"
	metricSlab    = "kernel's memory"
	metricThreads = "goroutines"
)

func (b Bulk) values() []value {
	return []value{
		{metric: metricRate, unit: "Gbit/s", x: b.BitsPerSecond / 1e9},
		{metric: metricCPU, unit: "s/GB", lowerIsBetter: true, x: b.CPUSecondsPerGB},
	}
}

func (s Setups) values() []value {
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return []value{
		{metric: metricSetups, unit: "1/s", x: s.PerSecond},
		{metric: metricP50, unit: "µs", lowerIsBetter: true, x: us(s.P50)},
		{metric: metricP99, unit: "µs", lowerIsBetter: true, x: us(s.P99)},
		{metric: metricP999, unit: "µs", lowerIsBetter: true, x: us(s.P999)},
		{metric: metricCPU, unit: "µs each", lowerIsBetter: true, x: us(s.CPUEach)},
	}
}

// opened opens subjects, all or none, and gives them to f.
func opened(cfg Config, open []func(Config) (*Subject, error), f func([]*Subject) ([]Row, error)) (rows []Row, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	var all []*Subject
	defer func() {
		for _, s := range all {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, o := range open {
		s, err := o(cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return f(all)
}

func columns(naive bool) []func(Config) (*Subject, error) {
	all := []func(Config) (*Subject, error){Kernel, Stack}
	if naive {
		all = append(all, Naive)
	}
	return all
}

// ThroughputOptions is what Throughput measures.
type ThroughputOptions struct {
	MTUs, Flows []int
	RTT         time.Duration
	// Congestion is the kernel's, see Config. The rows have it in their names, so that
	// runs with different ones are not compared.
	Congestion string
	For        time.Duration
	Naive      bool
}

// Throughput measures bulk in both directions.
func Throughput(ctx context.Context, o Options, t ThroughputOptions) (Report, error) {
	return report("throughput", o, t.For, func() ([]Row, error) {
		rows, err := throughput(ctx, o, t)
		return named(rows, t.Congestion), err
	})
}

// named puts a congestion control that was asked for into the rows' names.
func named(rows []Row, congestion string) []Row {
	for i := range rows {
		if congestion != "" {
			rows[i].Name += ", " + congestion
		}
	}
	return rows
}

func throughput(ctx context.Context, o Options, t ThroughputOptions) (all []Row, err error) {
	if err := errors.Join(checkCounts("MTUs", len(t.MTUs)), checkCounts("flows", t.Flows...), checkFor(t.For)); err != nil {
		return nil, err
	}
	if t.Naive && t.RTT > 0 {
		return nil, fmt.Errorf("%w: the naive link is not measured over a delay; leave one of the two out", ErrOptions)
	}
	connections := max(defaultConnections, slices.Max(t.Flows))
	for _, mtu := range t.MTUs {
		rows, err := opened(Config{MTU: mtu, RTT: t.RTT, Congestion: t.Congestion, Connections: connections}, columns(t.Naive), func(subjects []*Subject) ([]Row, error) {
			return interleave(ctx, o, subjects, bulkOf(mtu, t))
		})
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func bulkOf(mtu int, t ThroughputOptions) (ms []measurement) {
	for _, flows := range t.Flows {
		for _, up := range []bool{true, false} {
			ms = append(ms, measurement{bulkName(up, flows, mtu, t.RTT), func(s *Subject) ([]value, error) {
				b, err := s.Throughput(Flow{Up: up, Flows: flows, For: t.For})
				return b.values(), err
			}})
		}
	}
	return ms
}

// ConnectOptions is what Connect measures.
type ConnectOptions struct {
	Clients []int
	For     time.Duration
	Naive   bool
}

// Connect measures how fast connections are made, and how long one takes.
func Connect(ctx context.Context, o Options, c ConnectOptions) (Report, error) {
	return report("connect", o, c.For, func() ([]Row, error) { return connect(ctx, o, c) })
}

func connect(ctx context.Context, o Options, c ConnectOptions) ([]Row, error) {
	if err := errors.Join(checkCounts("clients", c.Clients...), checkFor(c.For)); err != nil {
		return nil, err
	}
	var ms []measurement
	for _, clients := range c.Clients {
		ms = append(ms, setupsOf(clients, false, c.For), setupsOf(clients, true, c.For))
	}
	return opened(Config{}, columns(c.Naive), func(subjects []*Subject) ([]Row, error) { return interleave(ctx, o, subjects, ms) })
}

// setupsOf measures set-ups; more are values that are wanted besides.
func setupsOf(clients int, fastOpen bool, d time.Duration, more ...func(Setups) value) measurement {
	return measurement{setupName(clients, fastOpen), func(s *Subject) ([]value, error) {
		got, err := s.Connect(clients, fastOpen, d)
		values := got.values()
		for _, v := range more {
			values = append(values, v(got))
		}
		return values, err
	}}
}

// FirstByteOptions is what TTFB measures.
type FirstByteOptions struct{ RTTs []time.Duration }

// TTFB measures the time to the first byte of an answer, in round trips.
func TTFB(ctx context.Context, o Options, f FirstByteOptions) (Report, error) {
	return report("ttfb", o, 0, func() ([]Row, error) { return firstByte(ctx, o, f) })
}

func firstByte(ctx context.Context, o Options, f FirstByteOptions) (all []Row, err error) {
	for _, rtt := range f.RTTs {
		if rtt <= 0 {
			return nil, fmt.Errorf("%w: a round trip time of %v, more than 0 is needed", ErrOptions, rtt)
		}
	}
	for _, rtt := range f.RTTs {
		var ms []measurement
		for _, fastOpen := range []bool{false, true} {
			ms = append(ms, measurement{firstByteName(rtt, fastOpen), func(s *Subject) ([]value, error) {
				took, err := s.FirstByte(fastOpen)
				return []value{{metric: metricFirst, unit: "RTT", lowerIsBetter: true, x: float64(took) / float64(rtt)}}, err
			}})
		}
		rows, err := opened(Config{RTT: rtt}, columns(false), func(subjects []*Subject) ([]Row, error) { return interleave(ctx, o, subjects, ms) })
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// LayerOptions is what LayerCost measures.
type LayerOptions struct {
	// Congestion is that of the kernel's server, as in ThroughputOptions.
	Congestion string
	For        time.Duration
}

// LayerCost measures what each layer on top of netstack costs, with the kernel beside
// them.
func LayerCost(ctx context.Context, o Options, l LayerOptions) (Report, error) {
	return report("layers", o, l.For, func() ([]Row, error) {
		rows, err := layers(ctx, o, l)
		return named(rows, l.Congestion), err
	})
}

func layers(ctx context.Context, o Options, l LayerOptions) ([]Row, error) {
	if err := checkFor(l.For); err != nil {
		return nil, err
	}
	return layered(ctx, o, Config{Congestion: l.Congestion}, append(bulkOf(DefaultMTU, ThroughputOptions{Flows: []int{1}, For: l.For}), setupsOf(1, false, l.For)))
}

// layered measures layers; unless some are named all, and the kernel as well.
func layered(ctx context.Context, o Options, cfg Config, ms []measurement, names ...string) (rows []Row, err error) {
	subjects, err := Layers(cfg, names...)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.Close())
		}
	}()
	if len(names) == 0 {
		kernel, err := Kernel(cfg)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, kernel)
	}
	return interleave(ctx, o, subjects, ms)
}
