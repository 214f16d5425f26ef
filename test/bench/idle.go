package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// IdleOptions is what IdleCost measures.
type IdleOptions struct{ Connections int }

// IdleCost measures what idle connections cost this process and the kernel, which has
// the server's half: through the Go API, through WSK with a receive pending on each,
// and between two sockets of the kernel's. If there are descriptors for fewer of those,
// the column's name says how many there were.
func IdleCost(ctx context.Context, o Options, i IdleOptions) (Report, error) {
	o.Rounds = max(o.Rounds, 1)
	return report("idle", o, 0, func() ([]Row, error) { return idle(ctx, o, i) })
}

// idleRequests is the column of connections with a receive pending.
const idleRequests = "wsk, a receive pending"

func idle(ctx context.Context, o Options, i IdleOptions) ([]Row, error) {
	limit, err := checkConnections(i.Connections)
	if err != nil {
		return nil, err
	}
	kernel, pairs := kernelName, min(i.Connections, max(limit/2, 1))
	if pairs < i.Connections {
		kernel = fmt.Sprintf("%s, %d of them", kernelName, pairs)
	}
	ends := map[string]idler{
		"wskstack":   {Stack, i.Connections},
		idleRequests: {requests, i.Connections},
		kernel:       {Kernel, pairs},
	}
	return interleave(ctx, o, []*Subject{{Name: "wskstack"}, {Name: idleRequests}, {Name: kernel}}, []measurement{{
		fmt.Sprintf("%d connections", i.Connections),
		func(which *Subject) ([]value, error) { return ends[which.Name].measure() },
	}})
}

// idler opens a subject anew for n connections.
type idler struct {
	open func(Config) (*Subject, error)
	n    int
}

func (i idler) measure() ([]value, error) {
	s, err := i.open(Config{})
	if err != nil {
		return nil, err
	}
	got, err := s.Idle(i.n)
	return []value{
		{metric: metricHeap, unit: "bytes each", lowerIsBetter: true, x: got.HeapPerConn},
		{metric: metricRSS, unit: "bytes each", lowerIsBetter: true, x: got.RSSPerConn},
		{metric: metricSlab, unit: "bytes each", lowerIsBetter: true, machineWide: true, x: got.SlabPerConn},
		{metric: metricThreads, unit: "each", lowerIsBetter: true, x: got.GoroutinesEach},
	}, errors.Join(err, s.Close())
}

// spareDescriptors are for all that is no connection.
const spareDescriptors = 64

// checkConnections says whether n idle connections are possible, and for how many sockets
// of theirs there are descriptors.
func checkConnections(n int) (sockets int, err error) {
	if err := checkCounts("connections", n); err != nil {
		return 0, err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("bench: the limit of descriptors: %w", err)
	}
	sockets = max(int(min(limit.Cur, 1<<30))-spareDescriptors, 0)
	if sockets < max(n, 2) {
		return 0, fmt.Errorf("%w: %d connections need a descriptor each, and %d are left here (ulimit -n): raise the limit, or ask for fewer", ErrOptions, n, sockets)
	}
	return sockets, nil
}

// Idle is what connections cost that do nothing, one receive pending on each.
type Idle struct {
	Connections    int
	HeapPerConn    float64 // bytes
	RSSPerConn     float64 // bytes
	SlabPerConn    float64 // bytes of the kernel's, for both ends as far as it has them
	GoroutinesEach float64
}

// Idle opens connections, posts a receive on each as WSK does, and looks.
func (s *Subject) Idle(n int) (Idle, error) {
	type pending interface{ pend() }
	ask := []byte{askHold}
	before := look()
	conns := make([]conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	err := s.each(1, func(int) error {
		for range n {
			c, err := s.open(ask, false)
			if err != nil {
				return fmt.Errorf("bench: connection %d: %w", len(conns), err)
			}
			conns = append(conns, c)
			if _, err := c.Read(ask[:1:1]); err != nil {
				return err
			}
			ask[0] = askHold
			if p, ok := c.(pending); ok {
				p.pend()
			}
		}
		return nil
	})
	if err != nil {
		return Idle{}, err
	}
	after := look()
	return Idle{
		Connections:    n,
		HeapPerConn:    float64(after.heap-before.heap) / float64(n),
		RSSPerConn:     float64(after.rss-before.rss) / float64(n),
		SlabPerConn:    float64(after.slab-before.slab) / float64(n),
		GoroutinesEach: float64(after.goroutines-before.goroutines) / float64(n),
	}, nil
}

func goroutines() int64 { return int64(runtime.NumGoroutine()) }

type looked struct{ heap, rss, slab, goroutines int64 }

// look takes stock once everything has come to rest.
func look() looked {
	release()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return looked{heap: int64(m.HeapAlloc), rss: residentBytes(), slab: atRest(kernelBytes), goroutines: atRest(goroutines)}
}
