package demo

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
)

// The names of the runs.
const (
	runConnectThenSend = "connect-then-send"
	runCookieRequest   = "cookie-request"
	runFastOpen        = "fast-open"
	runFastOpenLarge   = "fast-open-large"
	runSYNDataDropped  = "syn-data-dropped"
	runCancel          = "cancel"
	runServerFastOpen  = "server-fast-open"
)

// Lengths of the questions, in bytes: one that fits into a SYN with much room,
// and one that fits into none.
const (
	smallQuestion = 64
	largeQuestion = 8000
)

// How often a connection is made whose time is claimed: at least tries times, and
// again until one is close to what the protocol takes, as on a quiet machine. Where
// maxTries were not enough for the claim, the machine is busy, and it goes on. After
// patience it is over in any case; five runs of it are well within limit.
const (
	tries    = 3
	maxTries = 10
	patience = 8 * time.Second
)

// tolerance is how far the time to the first byte may be from the round trips
// that it stands for, as a part of them. Trying again ends when half of it is met.
const tolerance = 0.15

// result is one run: what is reported, and what is drawn.
type result struct {
	report.Run
	// how says which calls were used.
	how string
	// trips are the round trips to the answer on the packet log.
	trips int
	// times are those of all connections made; the reported one is the fastest.
	times []time.Duration
	// parts are the ladders to draw, each with a heading, empty for the only one.
	parts []part
	// notes are further lines for people.
	notes []string
}

type part struct {
	heading string
	trace   ladder.Trace
	// served: the peer is the client, and the stack the server.
	served bool
}

// reported turns a sample into what is reported of it.
func (r *rig) reported(name string, question []byte, s sample) report.Run {
	return report.Run{
		Name:               name,
		Family:             report.Family(r.opts.Family),
		Bytes:              len(question),
		BytesInSYN:         s.trace.BytesInSYN(),
		BytesAcceptedInSYN: s.trace.BytesAcceptedInSYN(),
		TTFBms:             report.Milliseconds(s.ttfb),
		RoundTrips:         report.RoundTrips(s.ttfb, r.rtt()),
		FastOpen:           s.trace.BytesAcceptedInSYN() > 0,
		Reason:             report.Reason(s.outcome, len(question)),
	}
}

// timed is a run whose time is claimed: it takes trips round trips. before, which
// may be nil, precedes each connection.
func (r *rig) timed(ctx context.Context, name, how string, size, trips int, before func(), make exchange) (result, error) {
	res, _, err := r.best(ctx, name, how, size, trips, before, make)
	return res, err
}

// best is timed, and returns the sample that is reported as well.
func (r *rig) best(ctx context.Context, name, how string, size, trips int, before func(), make exchange) (result, sample, error) {
	question := request(size)
	want := time.Duration(trips) * r.rtt()
	res := result{how: how}
	var best sample
	begin := time.Now()
	for n := 0; n < tries || again(n, best.ttfb, want, time.Since(begin)); n++ {
		if before != nil {
			before()
		}
		s, err := make(ctx, question)
		if err != nil {
			return result{}, sample{}, fmt.Errorf("%s: %w", name, err)
		}
		res.times = append(res.times, s.ttfb)
		if n == 0 || s.ttfb < best.ttfb {
			best = s
		}
	}
	res.Run = r.reported(name, question, best)
	res.trips = best.trace.RoundTrips()
	res.parts = []part{{trace: best.trace}}
	return res, best, nil
}

// again says whether to try once more after n connections, of which the fastest took
// best, and which took spent in all.
func again(n int, best, want, spent time.Duration) bool {
	switch {
	case within(best, want, tolerance/2), spent >= patience:
		return false
	case n < maxTries:
		return true
	}
	return !within(best, want, tolerance)
}

// within says whether a time is as long as another, but for a part of it.
func within(d, want time.Duration, part float64) bool {
	return math.Abs(float64(d-want)) <= part*float64(want)
}
