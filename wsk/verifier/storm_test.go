package verifier_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// TestStorm has clients that break every rule they can, from many goroutines at once,
// under every fault: the verifier stays on its feet, each IRP that a call took completes
// once, and the provider keeps its own rules.
func TestStorm(t *testing.T) {
	for _, completion := range []verifier.Completion{verifier.ForcePending, verifier.ForceInline, verifier.ForceRandom} {
		faults := verifier.Faults{
			Seed: 1, Completion: completion, CancelRace: true, Delay: true, ShortIO: true, FastOpen: true, FailSites: true, FailNth: 50,
			Pause: func(steps int) {
				for range steps {
					runtime.Gosched()
				}
			},
		}
		var taken, completed atomic.Int64
		v := inBed(t, verifier.Config{Faults: faults}, func(b *bed) {
			for seed := range uint64(8) {
				b.misuse(seed, &taken, &completed)
			}
		})
		counts := v.Counts()
		for id, n := range counts {
			if rule, _ := verifier.Explain(id); rule.Provider {
				t.Errorf("%s was broken %d times", id, n)
			}
		}
		for _, r := range v.Reports() {
			if strings.HasPrefix(r.ID, "M") {
				t.Error(r)
			}
		}
		if taken.Load() != completed.Load() || taken.Load() < 1000 {
			t.Errorf("%d IRPs were taken, %d completed", taken.Load(), completed.Load())
		}
		for _, id := range []string{"I1", "S1", "S3", "S6", "S7", "B1"} {
			if counts[id] == 0 {
				t.Errorf("%s was never broken: the storm is none", id)
			}
		}
	}
}

// misuse has four goroutines on one connection, which they do not close in order.
func (b *bed) misuse(seed uint64, taken, completed *atomic.Int64) {
	table := receive(func(*wsk.DataIndication, uint64, *uint64) ntstatus.Status { return ntstatus.Pending })
	s := b.sure(func(i *irp.IRP) ntstatus.Status {
		return b.npi.Dispatch.Socket(b.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, table, i)
	}).Object.(*wsk.ConnectionSocket)
	peer := b.peer()
	var wg sync.WaitGroup
	for n := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, n))
		wg.Go(func() {
			var old *irp.IRP
			for range 40 {
				i := irp.New(func(*irp.IRP, any) { completed.Add(1) }, nil)
				b.randomCall(s, rng, i, taken)
				if old != nil && rng.IntN(4) == 0 {
					s.Receive(wsk.NewBuf(make([]byte, 4)), 0, old) // I1, I2 or I4
				}
				if rng.IntN(3) == 0 {
					i.Cancel()
				}
				if rng.IntN(6) == 0 {
					i.Free()
				}
				old = i
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			peer.Accept()
			peer.Deliver([]byte("data"))
			peer.AckAll()
		}
	})
	wg.Wait()
	b.close(s)
}

// randomCall makes one call, which takes the IRP whatever it answers.
func (b *bed) randomCall(s *wsk.ConnectionSocket, rng *rand.Rand, i *irp.IRP, taken *atomic.Int64) {
	taken.Add(1)
	buf := wsk.NewBuf(make([]byte, rng.IntN(20)))
	if rng.IntN(10) == 0 {
		buf.Length += 1000
	}
	flags := slices.Max([]uint32{0, uint32(rng.IntN(8)) &^ 3})
	switch rng.IntN(9) {
	case 0:
		s.Bind(&wildcard, flags, i)
	case 1:
		s.ConnectEx(&server, buf, flags, i)
	case 2, 3:
		s.Send(buf, flags, i)
	case 4, 5:
		s.Receive(buf, flags, i)
	case 6:
		s.Disconnect(buf, uint32(rng.IntN(2)), i)
	case 7:
		b.events(s, wsk.EventReceive)
		s.GetLocalAddress(new(wsk.SockAddr), i)
	default:
		if rng.IntN(6) > 0 {
			s.GetRemoteAddress(new(wsk.SockAddr), i)
			return
		}
		s.CloseSocket(i)
	}
}
