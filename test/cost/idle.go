package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
)

// patience is how long one step may take on a machine that is busy with other things.
const patience = time.Minute

var (
	serverAt = netip.MustParseAddrPort("10.0.0.1:7")
	clientAt = netip.MustParsePrefix("10.0.0.2/24")
)

// kind is a way to have connections.
type kind struct {
	name string
	// open prepares the client's stack and returns what makes a connection and what
	// undoes the preparation. The connection is closed by what was returned with it.
	open func(client *stack.Stack) (dial func() (end func() error, err error), undo func(), err error)
	// most is what the test allows of heap for one end, in bytes: one in a hundred more
	// than there was when it was last lowered.
	most float64
}

func kinds() []kind {
	return []kind{
		{"stack.Endpoint", viaEndpoint, 5780},
		{"Go API", viaGo, 6120},
		{"Go API, a Read waits (on the caller's goroutine)", viaGoReading, 6520},
		{"WSK, a receive is pending", viaWSK, 6390},
	}
}

// cost is what one connection costs; the heap is one end's.
type cost struct{ heap, stack, goroutines float64 }

// measure opens n connections of the kind and looks what has become more.
func (k kind) measure(n int) (_ cost, err error) {
	a, b := tuntest.NewPair(tuntest.Config{})
	server, err := newStack(a, netip.PrefixFrom(serverAt.Addr(), 24))
	if err != nil {
		return cost{}, errors.Join(err, b.Close())
	}
	defer server.Close()
	client, err := newStack(b, clientAt)
	if err != nil {
		return cost{}, err
	}
	defer client.Close()
	lc := stack.ListenConfig{Stack: server}
	l, err := lc.ListenTCP("tcp", serverAt)
	if err != nil {
		return cost{}, err
	}
	defer l.Close()
	dial, undo, err := k.open(client)
	if err != nil {
		return cost{}, err
	}
	defer undo()

	ends := make([]func() error, 0, 2*n)
	defer func() {
		for _, end := range ends {
			err = errors.Join(err, end())
		}
	}()
	pair := func() error {
		end, err := dial()
		if err != nil {
			return err
		}
		ends = append(ends, end)
		c, err := l.AcceptTCP()
		if err != nil {
			return err
		}
		ends = append(ends, c.Close)
		return nil
	}
	if err := pair(); err != nil { // what the first one needs is not each one's
		return cost{}, err
	}
	before := look()
	for i := range n {
		if err := pair(); err != nil {
			return cost{}, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	after := look()
	each := func(before, after uint64) float64 { return (float64(after) - float64(before)) / float64(n) }
	return cost{
		heap: each(before.heap, after.heap) / 2, stack: each(before.stack, after.stack), goroutines: each(before.goroutines, after.goroutines),
	}, nil
}

// looked is what the process has.
type looked struct{ heap, stack, goroutines uint64 }

func look() looked {
	debug.FreeOSMemory() // collects; twice, since the first may leave what had finalizers
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return looked{m.HeapAlloc, m.StackInuse, uint64(runtime.NumGoroutine())}
}

func newStack(dev iolink.Device, at netip.Prefix) (*stack.Stack, error) {
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		return nil, err
	}
	return stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{at}})
}

func dialGo(client *stack.Stack) (*stack.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := stack.Dialer{Stack: client}
	return d.DialTCP(ctx, "tcp", netip.AddrPort{}, serverAt)
}

func viaEndpoint(client *stack.Stack) (func() (func() error, error), func(), error) {
	woken := make(chan struct{}, 1)
	wake := func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
	return func() (func() error, error) {
		e, err := client.NewEndpoint("tcp4")
		if err != nil {
			return nil, err
		}
		e.SetWake(wake)
		if err := e.Connect(serverAt, stack.ConnectOptions{Timeout: patience}); err != nil {
			return nil, errors.Join(err, e.Close())
		}
		for {
			done, err := e.Connected()
			if err != nil {
				return nil, errors.Join(err, e.Close())
			}
			if done {
				return e.Close, nil
			}
			<-woken
		}
	}, func() {}, nil
}

func viaGo(client *stack.Stack) (func() (func() error, error), func(), error) {
	return func() (func() error, error) {
		c, err := dialGo(client)
		if err != nil {
			return nil, err
		}
		return c.Close, nil
	}, func() {}, nil
}

func viaGoReading(client *stack.Stack) (func() (func() error, error), func(), error) {
	return func() (func() error, error) {
		c, err := dialGo(client)
		if err != nil {
			return nil, err
		}
		over := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			over <- err
		}()
		return func() error {
			if err := c.Close(); err != nil {
				return err
			}
			if err := <-over; !errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("the read that waited: %w", err)
			}
			return nil
		}, nil
	}, func() {}, nil
}

func viaWSK(client *stack.Stack) (func() (func() error, error), func(), error) {
	provider := wsk.NewProvider()
	if err := provider.Start(onstack.Network(client)); err != nil {
		return nil, nil, err
	}
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.Success {
		provider.Stop()
		return nil, nil, st.Err()
	}
	undo := func() {
		reg.ReleaseProviderNPI()
		reg.Deregister()
		provider.Stop()
	}
	return func() (func() error, error) {
		s, err := await.Socket[*wsk.ConnectionSocket](npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil).Sync(patience).Get()
		if err != nil {
			return nil, err
		}
		if err := await.Bind(s, wsk.SockAddr{Family: wsk.AF_INET}).Sync(patience).Status.Err(); err != nil {
			return nil, err
		}
		if err := await.Connect(s, wsk.SockAddrFrom(serverAt)).Sync(patience).Status.Err(); err != nil {
			return nil, err
		}
		pending := await.Receive(s, 1, 0).Async()
		return func() error {
			err := await.CloseSocket(s).Sync(patience).Status.Err()
			pending.Await(patience)
			return err
		}, nil
	}, undo, nil
}
