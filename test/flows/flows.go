// Package flows puts a load on a stack: TCP connections to the kernel of a namespace,
// each with bytes both ways at once that both ends know beforehand and compare.
//
//	stack.Stack ── TCPConn ─┐                 ┌─ net.TCPConn ── the kernel's TCP
//	   writes n bytes  ─────┼── what is ──────┼────► compared, in order
//	   compared        ◄────┼── under test ───┼────  writes n bytes
//
// Each connection has two goroutines at each end; they end when all bytes have
// passed, all that were sent before Finish, or with the first error of their call, and
// Wait waits for them.
//
// Limits: TCP only, and what is sent depends on nothing but the number of the
// connection and the direction.
package flows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/netns"
)

// Endless is more than anybody waits for: such a load is ended by Finish.
const Endless = 1 << 50

// Config says what load is wanted.
type Config struct {
	Stack *stack.Stack
	// Namespace is the kernel's.
	Namespace *netns.Namespace
	// StackAddr and KernelAddr are an address of each. Both listen; every second
	// connection is made by the kernel.
	StackAddr, KernelAddr netip.Addr
	// Flows is how many connections there are, Bytes how many each sends each way.
	Flows, Bytes int
}

// Load is a load that runs. Its methods may be called from any goroutine.
type Load struct {
	flows []*flow
	ends  []net.Conn
	work  sync.WaitGroup
	last  atomic.Bool // nobody begins another block

	mu    sync.Mutex
	moved *sync.Cond // on mu: a count has grown, or an end was reached
}

// flow is one connection. What it has is guarded by Load.mu.
type flow struct {
	up, down way
	ended    int // of its four goroutines
	errs     []error
}

// way is one direction of a flow, in bytes. sent is known when all have been; mark is
// what Progress waits for.
type way struct{ sent, got, mark int }

// goroutines is how many a flow has.
const goroutines = 4

// Start opens the connections and starts to send. It returns when all are open.
func Start(ctx context.Context, cfg Config) (*Load, error) {
	o := &opener{cfg: cfg}
	if err := o.listen(); err != nil {
		return nil, err
	}
	defer o.close()
	load := new(Load)
	load.moved = sync.NewCond(&load.mu)
	for i := range cfg.Flows {
		open := o.fromStack
		if i%2 == 1 {
			open = o.fromKernel
		}
		ours, theirs, err := open(ctx)
		if err != nil {
			load.Close()
			return nil, fmt.Errorf("flow %d: %w", i, err)
		}
		load.ends = append(load.ends, ours, theirs)
		load.add(i, ours, theirs, cfg.Bytes)
	}
	return load, nil
}

// opener makes connections.
type opener struct {
	cfg          Config
	ours, theirs net.Listener
}

func (o *opener) listen() (err error) {
	if o.ours, err = o.cfg.Stack.Listen("tcp", netip.AddrPortFrom(o.cfg.StackAddr, 0).String()); err != nil {
		return err
	}
	err = o.cfg.Namespace.Do(func() (err error) {
		o.theirs, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.cfg.KernelAddr, 0)))
		return err
	})
	if err != nil {
		_ = o.ours.Close()
	}
	return err
}

func (o *opener) close() { _, _ = o.ours.Close(), o.theirs.Close() }

func (o *opener) fromStack(ctx context.Context) (ours, theirs net.Conn, err error) {
	if ours, err = o.cfg.Stack.DialContext(ctx, "tcp", o.theirs.Addr().String()); err != nil {
		return nil, nil, err
	}
	if theirs, err = o.theirs.Accept(); err != nil {
		_ = ours.Close()
	}
	return ours, theirs, err
}

func (o *opener) fromKernel(ctx context.Context) (ours, theirs net.Conn, err error) {
	err = o.cfg.Namespace.Do(func() (err error) {
		theirs, err = new(net.Dialer).DialContext(ctx, "tcp", o.ours.Addr().String())
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if ours, err = o.ours.Accept(); err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// end is what TCP connections of both packages have.
type end interface {
	io.Writer
	CloseWrite() error
}

func (l *Load) add(i int, ours, theirs net.Conn, n int) {
	f := new(flow)
	l.flows = append(l.flows, f)
	l.do(f, "stack's write", func() error { return l.send(ours.(end), block(2*i), n, &f.up) })
	l.do(f, "stack's read", func() error { return l.receive(ours, block(2*i+1), &f.down) })
	l.do(f, "kernel's write", func() error { return l.send(theirs.(end), block(2*i+1), n, &f.down) })
	l.do(f, "kernel's read", func() error { return l.receive(theirs, block(2*i), &f.up) })
}

// do runs one of a flow's goroutines.
func (l *Load) do(f *flow, what string, run func() error) {
	l.work.Go(func() {
		err := run()
		l.mu.Lock()
		defer l.mu.Unlock()
		f.ended++
		if err != nil {
			f.errs = append(f.errs, fmt.Errorf("%s: %w", what, err))
		}
		l.moved.Broadcast()
	})
}

// blockSize is odd, so that no loss of a round number of bytes goes unseen.
const blockSize = 128<<10 - 1

// block is what a direction repeats.
func block(seed int) []byte {
	b := make([]byte, blockSize)
	for i := range b {
		b[i] = byte(i>>11) ^ byte(i*(2*seed+7))
	}
	return b
}

func (l *Load) send(to end, block []byte, n int, w *way) error {
	sent := 0
	for sent < n && !l.last.Load() {
		m, err := to.Write(block[:min(n-sent, len(block))])
		if err != nil {
			return err
		}
		sent += m
	}
	l.mu.Lock()
	w.sent = sent // before the end can be seen
	l.mu.Unlock()
	return to.CloseWrite()
}

// receive compares what comes, to its end.
func (l *Load) receive(from io.Reader, block []byte, w *way) error {
	buf := make([]byte, len(block))
	for at := 0; ; {
		m, err := from.Read(buf)
		for rest := buf[:m]; len(rest) > 0; {
			want := block[at%len(block):]
			k := min(len(rest), len(want))
			if !bytes.Equal(rest[:k], want[:k]) {
				return fmt.Errorf("other bytes than were sent, within %d behind byte %d", k, at)
			}
			rest, at = rest[k:], at+k
		}
		l.mu.Lock()
		w.got = at
		sent := w.sent
		l.moved.Broadcast()
		l.mu.Unlock()
		switch {
		case errors.Is(err, io.EOF) && at == sent:
			return nil
		case err != nil:
			return fmt.Errorf("after %d bytes of %d: %w", at, sent, err)
		}
	}
}

// Progress waits until each flow has moved n more bytes in both directions, or all
// that there were. One call at a time. Errors: that of a flow that has ended, the
// context's.
func (l *Load) Progress(ctx context.Context, n int) error {
	defer context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.moved.Broadcast()
	})()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.flows {
		f.up.mark, f.down.mark = f.up.got+n, f.down.got+n
	}
	for i, f := range l.flows {
		for f.ended < goroutines && (f.up.got < f.up.mark || f.down.got < f.down.mark) {
			switch {
			case len(f.errs) > 0:
				return fmt.Errorf("flow %d: %w", i, errors.Join(f.errs...))
			case ctx.Err() != nil:
				return fmt.Errorf("flow %d did not reach %d bytes up and %d down, but %d and %d: %w", i, f.up.mark, f.down.mark, f.up.got, f.down.got, ctx.Err())
			}
			l.moved.Wait()
		}
		if len(f.errs) > 0 {
			return fmt.Errorf("flow %d: %w", i, errors.Join(f.errs...))
		}
	}
	return nil
}

// Finish lets every flow end after the blocks that are being sent.
func (l *Load) Finish() { l.last.Store(true) }

// Wait waits until every goroutine has ended and returns the errors of each flow; nil
// for one of which every byte has passed.
func (l *Load) Wait() []error {
	l.work.Wait()
	var all []error
	for _, f := range l.flows {
		all = append(all, errors.Join(f.errs...))
	}
	return all
}

// Close closes both ends of every connection and waits for the goroutines. Whether
// bytes were missing does not matter any more.
func (l *Load) Close() {
	for _, c := range l.ends {
		_ = c.Close() // closed already, or cut by the test
	}
	l.work.Wait()
}
