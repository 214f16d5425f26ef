package bench

import (
	"errors"
	"fmt"
	"io"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Flow is one bulk measurement.
type Flow struct {
	Up    bool // from the client to the server
	Flows int
	// For is how long is measured, after a third of that to get going.
	For time.Duration
}

// Bulk is what one bulk measurement gave.
type Bulk struct {
	BitsPerSecond float64
	// CPUSecondsPerGB is the processor time of both ends and the kernel's for them.
	CPUSecondsPerGB float64
}

// Throughput measures a subject once.
func (s *Subject) Throughput(f Flow) (Bulk, error) {
	var received, ending atomic.Int64
	ask, count := []byte{askSource}, &received
	if f.Up {
		ask, count = []byte{askSink}, &s.server.received
	}
	failed := make(chan error, 1)
	go func() {
		failed <- s.each(f.Flows, func(int) error {
			c, err := s.open(ask, false)
			if err != nil {
				return err
			}
			return errors.Join(move(c, f.Up, &received, &ending), c.Close())
		})
	}()
	b, err := watch(count, f.For, failed)
	ending.Store(1)
	if err != nil {
		return b, err
	}
	return b, <-failed
}

// move writes or reads until the end.
func move(c conn, up bool, received, ending *atomic.Int64) error {
	if own, ok := c.(interface {
		bulk(up bool, received, ending *atomic.Int64) error
	}); ok {
		return own.bulk(up, received, ending)
	}
	buf := make([]byte, block)
	for ending.Load() == 0 {
		if up {
			if _, err := c.Write(buf); err != nil {
				return err
			}
			continue
		}
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		received.Add(int64(n))
	}
	return nil
}

// watch takes the rate of a counter over a time.
func watch(count *atomic.Int64, d time.Duration, failed <-chan error) (Bulk, error) {
	sleep := func(d time.Duration) error {
		select {
		case err := <-failed:
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("bench: a connection ended early: %w", err)
		case <-time.After(d):
			return nil
		}
	}
	if err := sleep(d / 3); err != nil {
		return Bulk{}, err
	}
	n, begin, cpu := count.Load(), time.Now(), processorTime()
	// A window in which nothing moves says that the machine had no time for us, or
	// that the connection hangs: the one passes.
	for {
		if err := sleep(d); err != nil {
			return Bulk{}, err
		}
		if count.Load() != n {
			break
		}
		if time.Since(begin) > stall {
			return Bulk{}, fmt.Errorf("bench: nothing moved in %v: a stall", stall)
		}
	}
	moved, took, used := float64(count.Load()-n), time.Since(begin), processorTime()-cpu
	return Bulk{BitsPerSecond: moved * 8 / took.Seconds(), CPUSecondsPerGB: used.Seconds() / moved * 1e9}, nil
}

// stall is how long nothing may move: longer than any timer of TCP's that a loss
// could leave running here.
const stall = 20 * time.Second

// processorTime is what this process has used, the kernel's work for it included.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocated is how many objects the process has ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(sample) // which, unlike runtime.ReadMemStats, stops nobody
	return sample[0].Value.Uint64() + sample[1].Value.Uint64()
}

// Setups is what one measurement of connections gave.
type Setups struct {
	PerSecond float64
	// What each took of the processors, at both ends and in the kernel, and how many
	// objects were allocated for it.
	CPUEach    time.Duration
	AllocsEach float64
	// The latency of connect, 100 bytes, 100 bytes back and the server's close.
	P50, P99, P999 time.Duration
}

// latency bounds of the histograms, in nanoseconds, with three digits.
const (
	shortest = int64(time.Microsecond)
	longer   = int64(30 * time.Second)
	digits   = 3
)

// Connect measures set-ups: clients at once, for a time each.
func (s *Subject) Connect(clients int, fastOpen bool, d time.Duration) (Setups, error) {
	hist := make([]*hdrhistogram.Histogram, clients)
	message := make([]byte, messageSize)
	message[0] = askExchange
	if err := s.each(1, func(int) error { return s.exchange(message, make([]byte, block), fastOpen) }); err != nil {
		return Setups{}, err // which also fetched the cookie
	}
	begin, cpu, objects := time.Now(), processorTime(), allocated()
	err := s.each(clients, func(i int) error {
		hist[i] = hdrhistogram.New(shortest, longer, digits)
		buf := make([]byte, 4096)
		for now := time.Now(); now.Sub(begin) < d; {
			if err := s.exchange(message, buf, fastOpen); err != nil {
				return err
			}
			next := time.Now()
			_ = hist[i].RecordValue(min(max(int64(next.Sub(now)), shortest), longer))
			now = next
		}
		return nil
	})
	took, used, made := time.Since(begin), processorTime()-cpu, allocated()-objects
	if err != nil {
		return Setups{}, err
	}
	all := hdrhistogram.New(shortest, longer, digits)
	for _, h := range hist {
		all.Merge(h)
	}
	at := func(q float64) time.Duration { return time.Duration(all.ValueAtQuantile(q)) }
	if all.TotalCount() == 0 {
		return Setups{}, fmt.Errorf("%w: no connection was made in %v: measure for longer", ErrOptions, d)
	}
	n := float64(all.TotalCount())
	return Setups{
		PerSecond: n / took.Seconds(), CPUEach: time.Duration(float64(used) / n), AllocsEach: float64(made) / n,
		P50: at(50), P99: at(99), P999: at(99.9),
	}, nil
}

// FirstByte measures the time from the connect call to the first byte of the answer,
// once.
func (s *Subject) FirstByte(fastOpen bool) (time.Duration, error) {
	message, buf := make([]byte, messageSize), make([]byte, 4096)
	message[0] = askExchange
	var took time.Duration
	err := s.each(1, func(int) error {
		if fastOpen {
			if err := s.exchange(message, buf, true); err != nil { // for the cookie
				return err
			}
		}
		begin := time.Now()
		c, err := s.open(message, fastOpen)
		if err != nil {
			return err
		}
		_, err = c.Read(buf)
		took = time.Since(begin)
		return errors.Join(err, c.Close())
	})
	return took, err
}
