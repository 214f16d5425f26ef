package bench

import (
	"context"
	"fmt"
	"time"
)

// GateFigure is a ratio that must not get worse: of two subjects in the same round,
// or a count, but never a time.
type GateFigure struct {
	Name string
	// Lower: the lower, the better.
	Lower bool
	// Margin is the share by which it may be worse than the stored one: 0.5 is half
	// as fast, or half as much again of what should be low. On a machine that was too
	// busy it is BusyFactor times that, unless the figure is counted.
	Margin float64
	// Counted: it is the same on every kind of machine, busy or not.
	Counted bool
	suite   string
	of      func(Report) (Summary, bool)
}

// gateLength is how much the gate measures.
type gateLength struct {
	rounds       int
	bulk, setups time.Duration
	connections  int
}

// theGates makes a run of half a minute. A bulk measurement has to be long enough
// for the windows to grow.
func theGates() gateLength {
	return gateLength{5, 400 * time.Millisecond, 200 * time.Millisecond, 1000}
}

// gateRTT is the round trip of the first byte's measurement.
const gateRTT = 50 * time.Millisecond

// GateFigures are all figures of the gate. DESIGN.md, D-55, has the noise that the
// margins come from.
func GateFigures() []GateFigure {
	const higher, lower = false, true   // is better
	const alike, anywhere = false, true // the machines on which it holds
	up, down := bulkName(true, 1, DefaultMTU, 0), bulkName(false, 1, DefaultMTU, 0)
	one, fast, many := "connect: "+setupName(1, false), "connect: "+setupName(1, true), "connect: "+setupName(16, false)
	return []GateFigure{
		{"bulk up, against veth", higher, 0.45, alike, "throughput", ratio("throughput: "+up, metricRate, "wskstack", "kernel")},
		{"bulk down, against veth", higher, 0.45, alike, "throughput", ratio("throughput: "+down, metricRate, "wskstack", "kernel")},
		{"processor time up, against veth", lower, 0.40, alike, "throughput", ratio("throughput: "+up, metricCPU, "wskstack", "kernel")},
		{"processor time down, against veth", lower, 0.40, alike, "throughput", ratio("throughput: "+down, metricCPU, "wskstack", "kernel")},
		{"IRPs up, against netstack's endpoint", higher, 0.40, alike, "layers", ratio("layers: "+up, metricRate, layerIRPs, layerBare)},
		{"IRPs down, against netstack's endpoint", higher, 0.30, alike, "layers", ratio("layers: "+down, metricRate, layerIRPs, layerBare)},
		{"processor time of IRPs up, against netstack's endpoint", lower, 0.40, alike, "layers", ratio("layers: "+up, metricCPU, layerIRPs, layerBare)},
		{"processor time of IRPs down, against netstack's endpoint", lower, 0.30, alike, "layers", ratio("layers: "+down, metricCPU, layerIRPs, layerBare)},
		{"set-ups of 1 client, against veth", higher, 0.30, alike, "connect", ratio(one, metricSetups, "wskstack", "kernel")},
		{"set-ups of 16 clients, against veth", higher, 0.30, alike, "connect", ratio(many, metricSetups, "wskstack", "kernel")},
		{"p50 of a set-up, against veth", lower, 0.40, alike, "connect", ratio(one, metricP50, "wskstack", "kernel")},
		{"p50 of a set-up with Fast Open, against veth", lower, 0.40, alike, "connect", ratio(fast, metricP50, "wskstack", "kernel")},
		{"processor time of a set-up, against veth", lower, 0.30, alike, "connect", ratio(one, metricCPU, "wskstack", "kernel")},
		{"processor time of a set-up with Fast Open, against veth", lower, 0.30, alike, "connect", ratio(fast, metricCPU, "wskstack", "kernel")},
		{"processor time of 16 clients' set-ups, against veth", lower, 0.30, alike, "connect", ratio(many, metricCPU, "wskstack", "kernel")},
		{"allocations of a set-up", lower, 0.10, anywhere, "connect", own(one, metricAllocs)},
		{"allocations of a set-up with Fast Open", lower, 0.10, anywhere, "connect", own(fast, metricAllocs)},
		{"first byte with Fast Open, in round trips", lower, 0.50, anywhere, "ttfb", own("ttfb: "+firstByteName(gateRTT, true), metricFirst)},
		{"memory of an idle connection, bytes of heap", lower, 0.05, anywhere, "idle", idleHeap},
	}
}

func idleHeap(r Report) (Summary, bool) {
	c, ok := idleRow(r, metricHeap)
	if !ok {
		return Summary{}, false
	}
	return c.Summary(), true
}

// MeasureGate measures one suite of the gate.
func MeasureGate(ctx context.Context, o Options, name string) (Report, error) {
	return theGates().measure(ctx, o, name)
}

func (l gateLength) measure(ctx context.Context, o Options, name string) (Report, error) {
	o.Rounds = l.rounds
	if _, err := checkConnections(l.connections); err != nil {
		return Report{}, err // before the first suite, though only one needs them
	}
	return report(name, o, 0, func() ([]Row, error) {
		return inSuites([]suite{{name, func() ([]Row, error) { return l.rows(ctx, o, name) }}})
	})
}

func (l gateLength) rows(ctx context.Context, o Options, name string) ([]Row, error) {
	bulk := bulkOf(DefaultMTU, ThroughputOptions{Flows: []int{1}, For: l.bulk})
	both := func(ms []measurement) ([]Row, error) {
		return opened(Config{}, columns(false), func(subjects []*Subject) ([]Row, error) { return interleave(ctx, o, subjects, ms) })
	}
	switch name {
	case "throughput":
		return both(bulk)
	case "layers":
		return layered(ctx, o, Config{}, bulk, layerBare, layerIRPs)
	case "connect":
		return both([]measurement{
			setupsOf(1, false, l.setups, allocations), setupsOf(1, true, l.setups, allocations), setupsOf(16, false, l.setups),
		})
	case "ttfb":
		return firstByte(ctx, o, FirstByteOptions{RTTs: []time.Duration{gateRTT}})
	case "idle":
		o.Rounds = 1 // it hardly varies
		return idle(ctx, o, IdleOptions{Connections: l.connections})
	}
	return nil, fmt.Errorf("%w: the gate has no suite %q", ErrOptions, name)
}

// allocations are this process's, in which the kernel's ends have next to none.
func allocations(s Setups) value {
	return value{metric: metricAllocs, unit: "each", lowerIsBetter: true, x: s.AllocsEach}
}
