package stacktest_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
)

// BenchmarkTransfer simulates an upload of 1 MiB over a path with 20 ms of delay each way:
// how many packets a second, and how much longer virtual seconds are than real ones.
func BenchmarkTransfer(b *testing.B) {
	for name, loss := range map[string]float64{"clean": 0, "lossy": 0.01} {
		b.Run(name, func(b *testing.B) {
			path := stacktest.Path{Delay: 20 * time.Millisecond, Loss: loss}
			up, down := pattern(1<<20), pattern(1)
			var packets int
			var virtual time.Duration
			b.SetBytes(int64(len(up)))
			b.ReportAllocs()
			inTest(b, func(t *testing.T) {
				for b.Loop() {
					r := stacktest.Run(t, stacktest.Config{MaxEvents: 1}, func(n *stacktest.Net) {
						client := n.Host("client", stacktest.Both(path), config(clientAddr))
						server := n.Host("server", stacktest.LineConfig{}, config(serverAddr))
						l, err := server.Listen(serverPort, 8, &fastopen.ListenConfig{})
						if err != nil {
							n.T().Fatal(err)
						}
						exchange(n.T(), n, client, server, l, up, down)
					})
					packets += r.Packets
					virtual += r.Took
				}
			})
			b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(virtual.Seconds()/b.Elapsed().Seconds(), "virtual-s/s")
		})
	}
}

// inTest calls f with a test, which a bubble needs and a benchmark is not.
func inTest(b *testing.B, f func(t *testing.T)) {
	b.Helper()
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs) // which RunTests sets
	var once sync.Once              // RunTests does what -count and -cpu say as well
	test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) {
		once.Do(func() {
			runtime.GOMAXPROCS(procs)
			f(t)
		})
	}}
	if !testing.RunTests(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{test}) {
		b.Fatal("the simulation has failed")
	}
}
