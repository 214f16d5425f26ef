package verifier

import (
	"context"
	"runtime"
	"strings"
	"time"
)

// Run calls Check at each tick, until ctx ends.
func (v *Verifier) Run(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			v.Check()
		}
	}
}

// Check looks, by Config.Now, for what takes longer than the limits, and again at
// memory that went back. Without a clock only the memory is looked at. It does not
// wait for anything.
func (v *Verifier) Check() {
	at := v.take()
	v.mu.Lock()
	v.checkMemory(at)
	if v.cfg.Now != nil {
		v.checkTimes(at)
	}
	v.mu.Unlock()
	v.flush()
}

// checkTimes looks at everything that has a limit. Precondition: v.mu is held.
func (v *Verifier) checkTimes(at trace) {
	over := func(since trace, limit time.Duration) bool {
		return !since.time.IsZero() && at.time.Sub(since.time) >= limit
	}
	limits := v.cfg.Limits
	for r := range v.pending {
		if over(r.call.at, limits.Pending) {
			v.breachOnce("I13", &r.object, at, r.call.function+" is pending for "+at.time.Sub(r.call.at.time).String())
		}
	}
	for s := range v.sockets {
		if !s.closing && over(s.dead, limits.Dead) {
			v.breachOnce("S12", &s.object, at, "")
		}
	}
	for _, c := range v.clients {
		if over(c.leaving, limits.Deregister) {
			v.blockers(c, at, "Deregister waits for it")
		}
	}
	v.checkWaits(over)
}

// checkWaits looks for callbacks that wait for a request. Precondition: v.mu is held.
func (v *Verifier) checkWaits(over func(trace, time.Duration) bool) {
	var waiting map[uint64]string // read once, if needed
	for goroutine, stack := range v.frames {
		for _, f := range stack {
			if !f.callback() || !over(f.since, v.cfg.Limits.Callback) || !v.holdsUp(goroutine, f) {
				continue
			}
			if waiting == nil {
				waiting = waits()
			}
			if how := waiting[goroutine]; how != "" {
				v.breachOnce("Q3", &f.socket.object, f.since, f.what+" waits ("+how+") since "+f.since.time.Format(time.RFC3339Nano))
			}
		}
	}
}

// holdsUp reports whether a request is pended that cannot complete before a callback
// has returned: one of the same socket, or one that the callback has made.
func (v *Verifier) holdsUp(goroutine uint64, f *frame) bool {
	if f.socket == nil {
		return false
	}
	if f.socket.pended > 0 {
		return true
	}
	for r := range v.pending {
		if r.call.at.goroutine == goroutine && !r.call.at.time.Before(f.since.time) {
			return true
		}
	}
	return false
}

// maxDump is how much of the goroutines' stacks is read, in bytes.
const maxDump = 16 << 20

// waits tells of every goroutine that waits what it waits in, as a dump says it.
func waits() map[uint64]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= maxDump {
			return parseWaits(string(buf[:n]))
		}
		buf = make([]byte, 4*len(buf))
	}
}

// parseWaits reads the headings of a dump: "goroutine N [chan receive, 2 minutes]:".
func parseWaits(dump string) map[uint64]string {
	found := map[uint64]string{}
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, "goroutine ") {
			continue
		}
		_, state, ok := strings.Cut(line, "[")
		if !ok {
			continue
		}
		state, _, _ = strings.Cut(state, "]")
		state, _, _ = strings.Cut(state, ",")
		for _, kind := range []string{"chan ", "select", "sync.", "semacquire", "sleep"} {
			if strings.HasPrefix(state, kind) {
				found[parseGoroutine(line)] = state
			}
		}
	}
	return found
}
