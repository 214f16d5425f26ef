package onstack_test

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

var (
	stressSeed = flag.Uint64("onstack.seed", 1, "seed of the stress test; 0: a new one")
	stressIRPs = flag.Int64("onstack.irps", 8000, "IRPs that the stress test completes at least, in each mode")
)

// storm is sockets at both ends of a wire under random calls.
type storm struct {
	*world
	ledger wsktest.Ledger
	far    wsk.ProviderNPI
	server wsk.SockAddr
	post   wsk.SockAddr
}

// TestStress has real connections, datagrams and a real stack below: each IRP
// completes exactly once in every mode, and nothing is left. What is called comes from
// the seed, who wins a race from the scheduler.
func TestStress(t *testing.T) {
	covers.IDs(t, "P1")
	if *stressSeed == 0 {
		*stressSeed = rand.Uint64()
	}
	t.Logf("to run it again: -run '^TestStress$' -onstack.seed=%d -onstack.irps=%d", *stressSeed, *stressIRPs)
	for name, mode := range map[string]wsk.CompletionMode{
		"later": wsk.CompleteLater, "inline": wsk.CompleteInline, "random": wsk.CompleteRandom,
	} {
		t.Run(name, func(t *testing.T) {
			s := &storm{world: newWorldOn(t, fastopen.ModeCookieless, wsktest.NewProvider(t))}
			s.provider.SetCompletionMode(mode, *stressSeed)
			s.run(mode)
			for _, fault := range s.ledger.Faults() {
				t.Error(fault)
			}
			if n := s.ledger.Open(); n != 0 {
				t.Errorf("%d IRPs have not completed", n)
			}
			all := s.ledger.Statuses()
			t.Logf("%d IRPs completed: %v", s.ledger.Completed(), all)
			if all[ntstatus.Success]*5 < s.ledger.Completed() || all[ntstatus.Cancelled] == 0 {
				t.Error("too little of it worked to show anything")
			}
		})
	}
}

// run has a server, that serves for as long as clients come.
func (s *storm) run(mode wsk.CompletionMode) {
	provider, reg := wsktest.NewProvider(s.t), new(wsk.Registration)
	provider.SetCompletionMode(mode, *stressSeed+1)
	if err := provider.Start(onstack.Network(s.world.server)); err != nil {
		s.t.Fatal(err)
	}
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, reg)
	if st := reg.CaptureProviderNPI(wsk.NoWait, &s.far); st != ntstatus.Success {
		s.t.Fatal(st)
	}
	s.server = wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	s.post = wsk.SockAddrFrom(netip.AddrPortFrom(server4, 53))
	l := s.create(s.far, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket).(*wsk.ListenSocket)
	s.await(func(i *irp.IRP) ntstatus.Status { return l.Bind(&s.server, 0, i) })
	box := s.create(s.far, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket).(*wsk.DatagramSocket)
	s.await(func(i *irp.IRP) ntstatus.Status { return box.Bind(&s.post, 0, i) })

	var serving, clients sync.WaitGroup
	var accept func(n uint64)
	accept = func(n uint64) {
		s.ledger.New(func(_ *wsktest.Entry, result irp.StatusBlock) {
			if result.Status != ntstatus.Success {
				return // the listener is closed
			}
			serving.Go(func() {
				s.talk(result.Object.(*wsk.ConnectionSocket), rand.New(rand.NewPCG(*stressSeed, n)), 30)
				accept(n + 4)
			})
		}).Submit(func(i *irp.IRP) ntstatus.Status { return l.Accept(0, nil, nil, nil, nil, i) })
	}
	for n := range uint64(4) {
		accept(1000 + n)
	}
	for n := range uint64(3) {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(*stressSeed, n))
			for s.ledger.Completed() < *stressIRPs && !s.t.Failed() {
				s.client(rng)
				s.letter(box, rng)
			}
		})
	}
	clients.Wait()
	s.await(box.CloseSocket)
	s.await(l.CloseSocket)
	serving.Wait()
	end(s.t, reg)
}

// await submits a request and waits for it.
func (s *storm) await(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	done := make(chan irp.StatusBlock, 1)
	s.ledger.New(func(_ *wsktest.Entry, result irp.StatusBlock) { done <- result }).Submit(submit)
	return <-done
}

func (s *storm) create(npi wsk.ProviderNPI, kind uint16, protocol, flag uint32) any {
	result := s.await(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, kind, protocol, flag, nil, nil, i)
	})
	if result.Status != ntstatus.Success {
		s.t.Errorf("a socket cannot be made: %v", result.Status)
	}
	return result.Object
}

// client is one connection from its begin to its end.
func (s *storm) client(rng *rand.Rand) {
	c := s.create(s.npi, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket).(*wsk.ConnectionSocket)
	s.await(func(i *irp.IRP) ntstatus.Status {
		return c.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, []byte{byte(rng.IntN(2))}, nil, nil, i)
	})
	s.await(func(i *irp.IRP) ntstatus.Status { return c.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) })
	connected := make(chan struct{})
	connect := s.ledger.New(func(*wsktest.Entry, irp.StatusBlock) { close(connected) })
	connect.Submit(func(i *irp.IRP) ntstatus.Status {
		return c.ConnectEx(&s.server, wsk.NewBuf(make([]byte, rng.IntN(3000))), 0, i)
	})
	if rng.IntN(8) == 0 {
		connect.Cancel()
	}
	if rng.IntN(8) > 0 {
		<-connected
	}
	s.talk(c, rng, 60)
}

// talk makes n random calls, cancels some, and closes.
func (s *storm) talk(c *wsk.ConnectionSocket, rng *rand.Rand, n int) {
	var pended []*wsktest.Entry
	for range n {
		e := s.ledger.New(nil)
		e.Submit(func(i *irp.IRP) ntstatus.Status { return s.verb(c, rng, i) })
		pended = append(pended, e)
		if rng.IntN(6) == 0 {
			pended[rng.IntN(len(pended))].Cancel()
		}
		for range rng.IntN(20) {
			runtime.Gosched()
		}
	}
	if rng.IntN(2) == 0 { // wait for an orderly end, but not for ever
		over := make(chan struct{})
		e := s.ledger.New(func(*wsktest.Entry, irp.StatusBlock) { close(over) })
		e.Submit(func(i *irp.IRP) ntstatus.Status { return c.Disconnect(nil, 0, i) })
		limit := time.AfterFunc(100*time.Millisecond, func() { e.Cancel() })
		<-over
		limit.Stop()
	}
	if result := s.await(c.CloseSocket); result.Status != ntstatus.Success {
		s.t.Errorf("a close completed with %v", result.Status)
	}
}

func (s *storm) verb(c *wsk.ConnectionSocket, rng *rand.Rand, i *irp.IRP) ntstatus.Status {
	buf := wsk.NewBuf(make([]byte, rng.IntN(2000)), make([]byte, rng.IntN(100)))
	switch n := rng.IntN(200); {
	case n < 90:
		return c.Send(buf, uint32(rng.IntN(2))*wsk.FlagNoDelay, i)
	case n < 180:
		return c.Receive(buf, uint32(rng.IntN(2))*wsk.FlagWaitAll, i)
	case n < 181:
		return c.Disconnect(nil, wsk.FlagAbortive, i)
	case n < 182:
		return c.Disconnect(buf, 0, i)
	case n < 190:
		return c.GetRemoteAddress(new(wsk.SockAddr), i)
	default:
		return c.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, 0, nil, make([]byte, 8), nil, i)
	}
}

// letter sends a datagram to a box that all share.
func (s *storm) letter(box *wsk.DatagramSocket, rng *rand.Rand) {
	receive := s.ledger.New(nil)
	receive.Submit(func(i *irp.IRP) ntstatus.Status {
		return box.ReceiveFrom(wsk.NewBuf(make([]byte, 100)), 0, new(wsk.SockAddr), nil, nil, nil, i)
	})
	d := s.create(s.npi, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket).(*wsk.DatagramSocket)
	s.await(func(i *irp.IRP) ntstatus.Status { return d.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) })
	s.await(func(i *irp.IRP) ntstatus.Status {
		return d.SendTo(wsk.NewBuf(make([]byte, rng.IntN(100))), 0, &s.post, nil, i)
	})
	s.await(d.CloseSocket)
	if rng.IntN(2) == 0 {
		receive.Cancel()
	}
}
