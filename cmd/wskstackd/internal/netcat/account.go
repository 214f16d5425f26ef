package netcat

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// listenName is the name of a connection in reports.
const listenName = "listen"

// account is what is known of a connection that came in, whoever serves it: it
// counts, it ends when nothing has moved for too long, and it tells.
//
// Two contexts bound it. soft ends when it ought to end: the listener was stopped,
// or the connection was idle. hard ends CloseLimit later, and everything with it:
// what is done for the connection between the two is to end it in good order.
type account struct {
	remote   netip.AddrPort
	listener *Listener
	// ask is what Fast Open did.
	ask func() fastopen.Outcome

	soft, hard context.Context
	stop       context.CancelCauseFunc // ends soft
	release    func()                  // gives up both contexts

	idle *time.Timer // nil: no limit

	received, sent atomic.Int64

	mu     sync.Mutex
	opened fastopen.Outcome // guarded by mu
}

// account begins to keep the account of a connection.
func (l *Listener) account(ctx context.Context, remote netip.AddrPort, ask func() fastopen.Outcome) *account {
	c := &account{remote: remote, listener: l, ask: ask}
	c.soft, c.stop = context.WithCancelCause(ctx)
	var release func()
	c.hard, release = withGrace(c.soft, l.grace)
	c.release = func() { c.stop(nil); release() }
	if limit := l.opts.Idle; limit > 0 {
		why := fmt.Errorf("nothing came or went for %v (--idle)", limit)
		c.idle = time.AfterFunc(limit, func() { c.stop(why) })
	}
	return c
}

// withGrace is a context that ends some time after another has, with its cause.
func withGrace(soft context.Context, grace time.Duration) (hard context.Context, release func()) {
	hard, cancel := context.WithCancelCause(context.WithoutCancel(soft))
	var mu sync.Mutex
	var timer *time.Timer // guarded by mu
	stop := context.AfterFunc(soft, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { cancel(context.Cause(soft)) })
	})
	return hard, func() {
		cancel(nil)
		if stop() {
			return // soft has not ended, there is no timer
		}
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
	}
}

func (c *account) moved(counter *atomic.Int64, n int) {
	counter.Add(int64(n))
	if c.idle != nil && c.soft.Err() == nil {
		c.idle.Reset(c.listener.opts.Idle)
	}
}

// outcome is what Fast Open did, as far as it is known.
func (c *account) outcome() fastopen.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.opened.Wanted {
		c.opened = c.ask()
	}
	return c.opened
}

// over closes the account of a connection that has ended. err is what went wrong.
func (c *account) over(err error) report.Served {
	o := c.outcome()
	c.release()
	if c.idle != nil {
		c.idle.Stop()
	}
	served := report.Served{
		Name: listenName, Remote: c.remote.String(), Family: report.Family(4),
		BytesReceived: c.received.Load(), BytesSent: c.sent.Load(),
		BytesInSYN: o.BytesInSYN, BytesAcceptedInSYN: o.BytesAccepted, FastOpen: o.BytesAccepted > 0,
		Reason: c.reason(o),
	}
	if c.remote.Addr().Is6() {
		served.Family = report.Family(6)
	}
	if err != nil {
		served.Error = err.Error()
	}
	return served
}

// reason says why the SYN did not open the connection; empty if it did.
func (c *account) reason(o fastopen.Outcome) string {
	why := c.listener.reasons.take(c.remote)
	switch {
	case o.BytesAccepted > 0:
		return ""
	case !c.listener.opts.FastOpen:
		return reasonOff
	case o.Reason != 0:
		return o.Reason.String()
	case why != "":
		return why
	}
	return reasonNotAsked
}
