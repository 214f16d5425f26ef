package daemon

import (
	"context"
	"log/slog"
	"time"
)

// drain waits for the connections to end, and cuts those that have not in time. What
// was closed may still have to be delivered by the stack, which is waited for too.
func (d *daemon) drain(hurry context.Context, cut context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(hurry, d.opts.Drain)
	defer cancel()
	if n := d.gate.open.Load(); n > 0 {
		d.log.Info("stopping: waiting for connections (a second signal cuts them)", slog.Int64("open", n), slog.String("limit", d.opts.Drain.String()))
	}
	for d.gate.open.Load() > 0 {
		if !sleep(ctx, drainPoll) {
			d.log.Warn("cutting connections", slog.Int64("open", d.gate.open.Load()))
			cut(errStopped)
			return
		}
	}
	if err := d.stack.Shutdown(ctx); err != nil {
		d.log.Warn("not all was delivered to the peers", slog.Any("error", err))
	}
}

// drainPoll is how often it is looked whether connections are left: nobody waits for
// the last one while it serves, so nobody is told.
const drainPoll = 10 * time.Millisecond
