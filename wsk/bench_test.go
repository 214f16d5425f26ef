package wsk_test

import (
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// requests are a send that is acknowledged at once, and a receive of what has arrived,
// through the whole of wsk; the transport is a model. The IRP and its routine are used
// again, as a driver does.
func requests(tb testing.TB) map[string]func() {
	peer := wsktest.NewPeer()
	peer.Transport.UnacknowledgedFunc = func() int { return 0 }
	peer.Transport.WriteFunc = func(segs [][]byte) (int, error) { return len(segs[0]), nil }
	peer.Transport.ReadFunc = func(segs [][]byte) (int, error) { return len(segs[0]), nil }
	npi, stop := begin(peer, nil)
	tb.Cleanup(stop)
	s := connectedSocket(npi, peer, nil)
	tb.Cleanup(func() { finish(s.CloseSocket) })

	done := make(chan struct{})
	routine := func(*irp.IRP, any) { done <- struct{}{} }
	i, buf := irp.New(nil, nil), wsk.NewBuf(make([]byte, 700), make([]byte, 700))
	once := func(call func(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status) func() {
		return func() {
			i.Reuse(ntstatus.Success)
			i.SetCompletionRoutine(routine, nil)
			if status := call(buf, 0, i); status != ntstatus.Pending {
				tb.Fatal(status)
			}
			<-done
			if r := i.IoStatus(); r.Status != ntstatus.Success || r.Information == 0 {
				tb.Fatal(r)
			}
		}
	}
	return map[string]func(){"Send": once(s.Send), "Receive": once(s.Receive)}
}

// BenchmarkRequests is what requests cost.
func BenchmarkRequests(b *testing.B) {
	for name, once := range requests(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// TestRequestsDoNotAllocate: sends and receives in steady state use their operation,
// queues and goroutine again.
func TestRequestsDoNotAllocate(t *testing.T) {
	for name, once := range requests(t) {
		n := 1.0
		for range 5 { // a garbage collection that comes between empties the pools
			n = min(n, testing.AllocsPerRun(100, once))
		}
		if n > 0 && !raceEnabled {
			t.Errorf("%s allocates", name)
		}
	}
}
