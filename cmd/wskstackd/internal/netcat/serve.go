package netcat

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Serve serves connections until as many have come as the options say, the context
// ends, or something fails that concerns them all. Then it takes no more, and those
// that are there get CloseLimit to end. in and out are for Stdio alone.
//
// The error is the context's cause if that ended it. That of a connection is told,
// and returned only by a listener of Stdio that was made for one connection.
func (l *Listener) Serve(ctx context.Context, in io.Reader, out io.Writer, talk Talk) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := &gate{listener: l, ctx: ctx, stop: cancel, talk: talk, slots: make(chan struct{}, l.places())}
	serve := func(c *accepted) error { return c.echo() }
	switch l.opts.Service {
	case HTTP:
		return l.serveHTTP(g)
	case Exec:
		serve = func(c *accepted) error { return c.exec(l.opts.Command, talk.Errors) }
	case Stdio:
		src, err := l.input(ctx, in)
		if err != nil {
			return err
		}
		serve = func(c *accepted) error { return c.stdio(src, out) }
	case Echo:
	}
	for {
		var c *accepted
		err := g.next(func() (_ *account, err error) {
			if c, err = l.accept(ctx); err != nil {
				return nil, err
			}
			return c.account, nil
		})
		if err != nil {
			break // it is over, or the context says why
		}
		go func() {
			err := serve(c)
			c.outcome()          // while it can be asked for
			c.Endpoint().Abort() // does nothing after a Close
			g.leave(c.account, err)
		}()
	}
	return g.end()
}

// places is how many connections are served at a time.
func (l *Listener) places() int {
	if l.opts.Service == Stdio {
		return 1
	}
	return l.opts.MaxConnections
}

// input takes from the input what is sent: as it comes to the only connection, or
// all of it to each.
func (l *Listener) input(ctx context.Context, in io.Reader) (source, error) {
	chunks := pump(ctx, in)
	if l.opts.Repeat == 1 {
		return source{rest: chunks}, nil
	}
	return takeAll(ctx, chunks)
}

// gate lets connections in, as many as may be served at a time and in all.
type gate struct {
	listener *Listener
	ctx      context.Context
	stop     context.CancelCauseFunc // ends ctx
	talk     Talk
	// slots has an element for each connection that is served.
	slots chan struct{}
	// open counts the connections that have not left.
	open sync.WaitGroup
	// taken belongs to the goroutine that calls next.
	taken int

	mu     sync.Mutex // makes the calls of talk exclusive
	failed error      // guarded by mu; the first failure that concerns them all
}

// errEnough says that as many connections have come as were wanted.
var errEnough = errors.New("as many connections have come as were wanted")

// next waits for a place to serve a connection, and then for one, which accept does.
func (g *gate) next(accept func() (*account, error)) error {
	limit := g.listener.opts.Repeat
	if limit != UntilStopped && g.taken == limit {
		return errEnough
	}
	select {
	case g.slots <- struct{}{}:
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	c, err := accept()
	if err != nil {
		<-g.slots
		g.fail(err)
		return err
	}
	g.open.Add(1)
	if g.taken++; g.taken == limit {
		// Others are told at once that nobody will serve them.
		g.listener.deafen()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.talk.Began(c.remote)
	return nil
}

// leave tells of a connection that has ended; err is what went wrong with it.
func (g *gate) leave(c *account, err error) {
	defer g.open.Done()
	if err == nil {
		err = context.Cause(c.soft)
	}
	served := c.over(err)
	<-g.slots
	var output outputError
	one := g.listener.opts.Service == Stdio && g.listener.opts.Repeat == 1
	if errors.As(err, &output) || one {
		g.fail(err)
	}
	g.mu.Lock()
	told := g.talk.Ended(served)
	g.mu.Unlock()
	g.fail(told)
}

// fail ends everything, unless err is nil.
func (g *gate) fail(err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
	g.stop(err)
}

// end waits for the connections that are there, and says how it went.
func (g *gate) end() error {
	g.open.Wait()
	g.listener.deafen()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return g.failed
	}
	return context.Cause(g.ctx)
}
