package bench

import (
	"context"
	"fmt"
	"time"
)

// value is one metric of one measurement.
type value struct {
	metric, unit  string
	lowerIsBetter bool
	machineWide   bool
	x             float64
}

// measurement is made of each subject in each round.
type measurement struct {
	name string
	of   func(*Subject) ([]value, error)
}

// Options are those of every run.
type Options struct {
	// Rounds is how often each subject is measured, in turns; 0: DefaultRounds.
	Rounds int
	// Progress is told what is being done, if it is not nil.
	Progress func(what string)
}

// DefaultRounds is how many rounds make a median worth something.
const DefaultRounds = 5

func (o Options) rounds() int {
	if o.Rounds == 0 {
		return DefaultRounds
	}
	return o.Rounds
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// interleave makes the measurements, each of each subject, round after round, and
// the subjects in an order that turns, so that none is always the first.
func interleave(ctx context.Context, o Options, subjects []*Subject, ms []measurement) ([]Row, error) {
	var rows []Row
	for _, m := range ms {
		found := make(map[string]*Row)
		var order []string
		samples := make(map[string]map[string][]float64)
		for round := range o.rounds() {
			for i := range subjects {
				if err := ctx.Err(); err != nil {
					return nil, context.Cause(ctx)
				}
				s := subjects[(i+round)%len(subjects)]
				o.say("%s: round %d of %d, %s", m.name, round+1, o.rounds(), s.Name)
				values, err := m.of(s)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", m.name, s.Name, err)
				}
				for _, v := range values {
					if found[v.metric] == nil {
						found[v.metric] = &Row{Name: m.name, Metric: v.metric, Unit: v.unit, LowerIsBetter: v.lowerIsBetter, MachineWide: v.machineWide}
						samples[v.metric] = make(map[string][]float64)
						order = append(order, v.metric)
					}
					samples[v.metric][s.Name] = append(samples[v.metric][s.Name], v.x)
				}
			}
		}
		for _, metric := range order {
			row := found[metric]
			for _, s := range subjects {
				if got := samples[metric][s.Name]; len(got) > 0 {
					row.Columns = append(row.Columns, Column{Subject: s.Name, Samples: got})
				}
			}
			rows = append(rows, *row)
		}
	}
	return rows, nil
}

// report runs f and puts its rows into a report, with what the machine did besides.
// each is how long one measurement takes, if that was set.
func report(kind string, o Options, each time.Duration, f func() ([]Row, error)) (Report, error) {
	load, own := ReadLoad(), ownTicks()
	rows, err := f()
	if err != nil {
		return Report{}, err
	}
	return Report{
		Format: Format, Kind: kind, Machine: ThisMachine(), Rounds: o.rounds(), Seconds: each.Seconds(),
		Foreign: Foreign(load, ReadLoad(), ownTicks()-own), Rows: rows,
	}, nil
}
