package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/metrics"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
)

// gate lets connections in while there are not too many, and knows when all have
// ended. Its methods may be called from any goroutine, but nobody enters once
// somebody waits.
type gate struct {
	limit int64
	open  atomic.Int64
	all   sync.WaitGroup
}

// run runs f on a goroutine unless there are too many.
func (g *gate) run(f func()) bool {
	if g.open.Add(1) > g.limit {
		g.open.Add(-1)
		return false
	}
	g.all.Go(func() {
		defer g.open.Add(-1)
		f()
	})
	return true
}

// acceptPause is how long an accept that failed, for want of descriptors mostly, is
// not tried again.
const acceptPause = 100 * time.Millisecond

// port is a listener with what it is for.
type port struct {
	net.Listener
	counters *metrics.Service
	serve    func(ctx context.Context, c pump.Conn)
}

// accept takes connections until the listener is closed. The context is that of the
// connections.
func (d *daemon) accept(ctx context.Context, p port) {
	failing := false
	for {
		c, err := p.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !failing { // one line, however long it lasts
				d.log.Warn("connections cannot be accepted", slog.String("listener", p.Addr().String()), slog.Any("error", err))
			}
			failing = true
			if !sleep(ctx, acceptPause) {
				return
			}
			continue
		}
		failing = false
		d.enter(ctx, p, c.(pump.Conn)) // TCP's are
	}
}

// enter serves a connection, or resets it if there are too many.
func (d *daemon) enter(ctx context.Context, p port, c pump.Conn) {
	ok := d.gate.run(func() {
		p.counters.Open.Add(1)
		defer p.counters.Open.Add(-1)
		p.serve(ctx, c)
	})
	if ok {
		p.counters.Accepted.Add(1)
		return
	}
	pump.Reset(c)
	p.counters.TooMany.Add(1)
	if d.full.CompareAndSwap(false, true) {
		d.log.Warn("too many connections: new ones are reset until some have ended (this is said once)", slog.Int64("limit", d.gate.limit))
	}
}

// sleep waits; false if the context has ended.
func sleep(ctx context.Context, for_ time.Duration) bool {
	t := time.NewTimer(for_)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
