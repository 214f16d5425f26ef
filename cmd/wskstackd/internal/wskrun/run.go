package wskrun

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gvisor.dev/gvisor/pkg/log"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// Options are what the user chose.
type Options struct {
	// Peer is PeerSim, PeerKernel or PeerHost.
	Peer string
	// Family is 4 or 6; with PeerHost 0 means the first that the name has.
	Family int
	// Override changes a scenario's own knobs; nil leaves them.
	Override func(*scenario.Knobs)
	// Host is how the service is reached, with PeerHost.
	Host netcat.Options
	// Test is a test to simulate in; nil: one is borrowed.
	Test *testing.T
}

// Check says which option cannot be.
func (o Options) Check() error {
	if o.Family != 4 && o.Family != 6 && (o.Family != 0 || o.Peer != PeerHost) {
		return fmt.Errorf("there is no address family %d: use 4 or 6", o.Family)
	}
	return nil
}

// NeedsNamespace says whether the options ask for a namespace of the program's own.
func (o Options) NeedsNamespace() bool { return o.Peer == PeerKernel }

// Run runs scenarios one after the other, each in a world of its own, and tells each
// of the results. An error means that it could not go on.
func Run(ctx context.Context, o Options, list []*scenario.Scenario, each func(scenario.Result) error) error {
	log.SetTarget(quiet{})
	if o.Peer == PeerSim && o.Test == nil {
		t, err := borrow()
		if err != nil {
			return err
		}
		o.Test = t
	}
	for _, sc := range list {
		knobs := sc.Knobs
		if o.Override != nil {
			o.Override(&knobs)
		}
		r, err := all(ctx, o, sc, knobs)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.Name, err)
		}
		if err := each(r); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// maxSweep bounds a sweep: no scenario has so many steps that need something.
const maxSweep = 10_000

// all runs a scenario as often as it wants to be run.
func all(ctx context.Context, o Options, sc *scenario.Scenario, knobs scenario.Knobs) (scenario.Result, error) {
	r, err := one(ctx, o, sc, knobs)
	if sc.Sweep == "" || knobs.Faults != (scenario.Faults{}) {
		return r, err
	}
	whole := r
	for n := 1; err == nil && r.OK && r.Skipped == "" && n <= maxSweep; n++ {
		knobs.Faults.FailNth = n
		if r, err = one(ctx, o, sc, knobs); err != nil {
			break
		}
		if !r.OK {
			r.Title = fmt.Sprintf("%s: with the allocation number %d failing", r.Title, n)
			return r, nil
		}
		if !r.Starved {
			break // the scenario has fewer than n
		}
		whole.Sweep = n
		whole.Took += r.Took
	}
	return whole, err
}

// one runs a scenario once, in the world that was chosen.
func one(ctx context.Context, o Options, sc *scenario.Scenario, knobs scenario.Knobs) (scenario.Result, error) {
	switch o.Peer {
	case PeerSim:
		r, _ := simulate(ctx, o.Test, sc, knobs, o.Family)
		return r, nil
	case PeerKernel:
		return inKernel(ctx, sc, knobs, o.Family)
	case PeerHost:
		return onHost(ctx, sc, knobs, o.Host)
	}
	return scenario.Result{}, errors.New("there is no such peer: use sim, kernel or HOST:PORT")
}

// inSYN is what rode in the SYN of a network's newest connection.
func inSYN(n *watched.Network) func() (sent, accepted int) {
	return func() (sent, accepted int) {
		o := n.Outcome()
		return o.BytesInSYN, o.BytesAccepted
	}
}
