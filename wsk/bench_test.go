package wsk_test

import (
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// BenchmarkRequests is what requests cost through the whole of wsk, the transport being
// a model: a send that is acknowledged at once, and a receive of what has arrived. The
// IRP and its routine are used again.
func BenchmarkRequests(b *testing.B) {
	peer := wsktest.NewPeer()
	peer.Transport.UnacknowledgedFunc = func() int { return 0 }
	peer.Transport.WriteFunc = func(segs [][]byte) (int, error) { return len(segs[0]), nil }
	peer.Transport.ReadFunc = func(segs [][]byte) (int, error) { return len(segs[0]), nil }
	npi, stop := begin(peer, nil)
	defer stop()
	s := connectedSocket(npi, peer, nil)
	defer finish(s.CloseSocket)

	done := make(chan struct{})
	routine := func(*irp.IRP, any) { done <- struct{}{} }
	i, buf := irp.New(nil, nil), wsk.NewBuf(make([]byte, 1400))
	for _, c := range []struct {
		name string
		call func() ntstatus.Status
	}{
		{"Send", func() ntstatus.Status { return s.Send(buf, 0, i) }},
		{"Receive", func() ntstatus.Status { return s.Receive(buf, 0, i) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				i.Reuse(ntstatus.Success)
				i.SetCompletionRoutine(routine, nil)
				if status := c.call(); status != ntstatus.Pending {
					b.Fatal(status)
				}
				<-done
				if r := i.IoStatus(); r.Information != 1400 {
					b.Fatal(r)
				}
			}
		})
	}
}
