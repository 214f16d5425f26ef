package await_test

import (
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// BenchmarkSync is what waiting adds to a call that the provider answers from memory.
func BenchmarkSync(b *testing.B) {
	npi, done := capture(wsktest.NewPeer())
	defer done()
	s := bound(npi)
	defer await.CloseSocket(s).Sync(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		if r := await.SetOption(s, wsk.IPPROTO_TCP, wsk.TCP_NODELAY, 1).Sync(time.Minute); !r.Status.Success() {
			b.Fatal(r.Status)
		}
	}
}
