package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// limit ends a demo that hangs.
const limit = 60 * time.Second

// Listener is told what happens, in order. Its methods are called one at a time.
type Listener interface {
	// Began: the wire and the peer are there.
	Began(Setting)
	// Ran: a run is over.
	Ran(Shown)
	// Ended: all is over, and the claims are checked.
	Ended([]Claim, kernelpeer.Counters)
}

// Setting is what the runs have in common.
type Setting struct {
	Wire, WireText, Why string
	Peer, PeerText      string
	Family              int
	Delay               time.Duration
}

// Run is the demo. barred is why this program could not be given a namespace, nil
// if it is in one of its own. The result is complete also if claims are false; an
// error means that the demo could not be brought to its end.
func Run(ctx context.Context, o Options, barred error, to Listener) (report.Demo, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it hung for %v: this is a defect", limit))
	defer cancel()
	w, why, err := openWire(o.Wire, barred)
	if err != nil {
		return report.Demo{}, err
	}
	name := w.Name()
	r, err := build(w, o)
	if err != nil {
		return report.Demo{}, err
	}
	to.Began(Setting{
		Wire: name, WireText: wireText(name), Why: why,
		Peer: r.peer.name(), PeerText: r.peer.text(), Family: o.Family, Delay: o.Delay,
	})
	d, err := r.runs(ctx, to)
	d.Wire, d.Peer, d.OneWayDelayMS = name, r.peer.name(), report.Milliseconds(o.Delay)
	return d, errors.Join(err, r.close())
}

// runs makes all runs and judges them.
func (r *rig) runs(ctx context.Context, to Listener) (report.Demo, error) {
	var d report.Demo
	var v verdict
	before, err := r.peer.counters()
	if err != nil {
		return d, err
	}
	show := func(res result) {
		d.Runs = append(d.Runs, res.Run)
		to.Ran(r.shown(res))
	}
	if err := r.warmUp(ctx); err != nil {
		return d, err
	}
	for _, one := range []struct {
		run   func(context.Context) (result, error)
		judge func(result, time.Duration)
	}{
		{r.connectThenSend, v.plain},
		{r.cookieRequest, v.requested},
		{r.fastOpen, v.opened},
		{r.fastOpenLarge, v.openedLarge},
	} {
		res, err := one.run(ctx)
		if err != nil {
			return d, err
		}
		one.judge(res, r.rtt())
		show(res)
	}
	dropped, again, err := r.synDataDropped(ctx)
	if err != nil {
		return d, err
	}
	v.fellBack(dropped, again)
	show(dropped)
	c, err := r.cancel(ctx)
	if err != nil {
		return d, err
	}
	v.cancelledCleanly(c)
	show(c.result)
	server, err := r.serverFastOpen(ctx)
	if err != nil {
		return d, err
	}
	v.servedEarly(server, r.rtt())
	show(server.result)
	after, err := r.peer.counters()
	if err != nil {
		return d, err
	}
	d.PeerCounters = after.Since(before)
	v.counted(r.peer.name(), d.PeerCounters, r.traces, r.served)
	d.OK = v.ok()
	to.Ended(v.claims, d.PeerCounters)
	return d, nil
}
