package wsk_test

import (
	"flag"
	"math/rand"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

var (
	stressSeed = flag.Int64("wsk.seed", 1, "seed of the random stress test")
	stressN    = flag.Int("wsk.sockets", 600, "sockets in the random stress test")
)

// counted is an IRP of the stress test: submitted says whether a call took it.
type counted struct {
	irp.IRP
	completed atomic.Int32
	pending   atomic.Bool
	done      chan struct{}
	status    ntstatus.Status
}

func newCounted() *counted {
	c := &counted{done: make(chan struct{})}
	c.SetCompletionRoutine(func(i *irp.IRP, ctx any) {
		c := ctx.(*counted)
		if c.completed.Add(1) == 1 {
			c.status = i.IoStatus().Status
			c.pending.Store(i.PendingReturned())
			close(c.done)
		}
	}, c)
	return c
}

// check verifies one call: what was returned against what happened.
func (c *counted) check(t *testing.T, returned ntstatus.Status) {
	<-c.done
	if n := c.completed.Load(); n != 1 {
		t.Errorf("an IRP was completed %d times", n)
	}
	if pended := returned == ntstatus.Pending; c.pending.Load() != pended {
		t.Errorf("returned %v, PendingReturned %v", returned, c.pending.Load())
	} else if !pended && c.status != returned {
		t.Errorf("returned %v inline, completed with %v", returned, c.status)
	}
}

// TestStress has many sockets under random calls, cancels, closes and peers; each
// IRP completes exactly once and nothing is left.
func TestStress(t *testing.T) {
	covers.IDs(t, "P1")
	for name, mode := range map[string]wsk.CompletionMode{
		"later": wsk.CompleteLater, "inline": wsk.CompleteInline, "random": wsk.CompleteRandom,
	} {
		t.Run(name, func(t *testing.T) { stress(t, mode) })
	}
}

func stress(t *testing.T, mode wsk.CompletionMode) {
	var mu sync.Mutex
	peers := map[*wsktest.Peer]bool{}
	var peersOver sync.WaitGroup
	p := wsk.NewProvider()
	p.SetCompletionMode(mode, uint64(*stressSeed))
	seeds := rand.New(rand.NewSource(*stressSeed))
	seed := func() int64 { mu.Lock(); defer mu.Unlock(); return seeds.Int63() }
	err := p.Start(wsktest.Network(func(bool) (wsk.Transport, error) {
		peer := wsktest.NewPeer()
		over := make(chan struct{})
		var once sync.Once
		end := func() { once.Do(func() { close(over) }) }
		abort, closing := peer.Transport.AbortFunc, peer.Transport.CloseFunc
		peer.Transport.AbortFunc = func() { abort(); end() }
		peer.Transport.CloseFunc = func() error { defer end(); return closing() }
		rng := rand.New(rand.NewSource(seed()))
		peersOver.Go(func() { drive(peer, rng, over) })
		mu.Lock()
		defer mu.Unlock()
		peers[peer] = true
		return peer.Transport, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	reg := register(t, p, wsk.Version1_0)
	var npi wsk.ProviderNPI
	if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	var total atomic.Int64
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for range *stressN {
		slots <- struct{}{}
		s := seed()
		wg.Go(func() {
			defer func() { <-slots }()
			total.Add(socketLife(t, npi, rand.New(rand.NewSource(s))))
		})
	}
	wg.Wait()
	reg.ReleaseProviderNPI()
	reg.Deregister()
	p.Stop()
	peersOver.Wait()
	t.Logf("seed %d: %d IRPs on %d sockets, %d transports", *stressSeed, total.Load(), *stressN, len(peers))
}

// drive plays the far end at random until the transport is given up: some peers
// refuse, some never answer, most accept and then do anything.
func drive(p *wsktest.Peer, rng *rand.Rand, over <-chan struct{}) {
	answer := rng.Intn(6)
	for {
		select {
		case <-over:
			return
		default:
			runtime.Gosched()
		}
		if !p.Seen().Connecting {
			continue
		}
		switch answer {
		case 0:
			p.Refuse(syscall.ECONNREFUSED)
			<-over
			return
		case 1:
			<-over
			return
		case 2:
			p.Establish()
			answer = 3 + rng.Intn(40) // and some time later the data is through
		case 3:
			p.Accept()
			answer = -1
		case -1:
			disturb(p, rng)
		default:
			answer--
		}
	}
}

// disturb does something to a connection.
func disturb(p *wsktest.Peer, rng *rand.Rand) {
	switch n := rng.Intn(1000); {
	case n < 2:
		p.Fail(syscall.ECONNRESET)
	case n < 6:
		p.FIN()
	case n < 300:
		p.Deliver(make([]byte, rng.Intn(64)))
	case n < 500:
		p.SetWindow(rng.Intn(64))
	case n < 550:
		p.SetWindow(-1)
	default:
		p.AckAll()
	}
}

// socketLife lives one socket's life and returns how many IRPs it took.
func socketLife(t *testing.T, npi wsk.ProviderNPI, rng *rand.Rand) int64 {
	create := newCounted()
	st := npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, &create.IRP)
	create.check(t, st)
	s := create.IoStatus().Object.(*wsk.ConnectionSocket)
	bind := newCounted()
	bind.check(t, s.Bind(&wildcard, 0, &bind.IRP))

	var submitted, completed sync.WaitGroup
	var n atomic.Int64
	n.Store(4)
	connect := newCounted()
	st = s.ConnectEx(&server4, wsk.NewBuf(make([]byte, 500)), 0, &connect.IRP)
	if rng.Intn(3) > 0 {
		// Some of these connect for ever; the random calls below find them so.
		time.AfterFunc(5*time.Millisecond, func() { connect.Cancel() })
		connect.check(t, st)
	} else {
		completed.Go(func() { connect.check(t, st) })
	}
	for range 3 {
		mine := rand.New(rand.NewSource(rng.Int63()))
		submitted.Go(func() {
			for range 25 {
				n.Add(1)
				randomCall(t, s, mine, &completed)
			}
		})
	}
	if rng.Intn(4) > 0 {
		submitted.Wait() // an orderly client
	}
	// The other kind closes with calls running, which the interface forbids; the
	// IRPs still complete once each.
	last := newCounted()
	last.check(t, s.CloseSocket(&last.IRP))
	if last.status != ntstatus.Success {
		t.Errorf("the close completed with %v", last.status)
	}
	submitted.Wait()
	completed.Wait()
	return n.Load()
}

// randomCall submits one operation, cancels it sometimes, and waits for it
// somewhere else.
func randomCall(t *testing.T, s *wsk.ConnectionSocket, rng *rand.Rand, waits *sync.WaitGroup) {
	q := newCounted()
	if rng.Intn(20) == 0 {
		q.Cancel()
	}
	buf := wsk.NewBuf(make([]byte, rng.Intn(100)), make([]byte, rng.Intn(100)))
	cancel := rng.Intn(4) == 0
	var st ntstatus.Status
	switch n := rng.Intn(100); {
	case n < 2:
		st = s.ConnectEx(&server4, buf, 0, &q.IRP)
	case n < 40:
		st = s.Send(buf, uint32(rng.Intn(2))*wsk.FlagNoDelay, &q.IRP)
	case n < 80:
		st = s.Receive(buf, uint32(rng.Intn(2))*wsk.FlagWaitAll, &q.IRP)
	case n < 82:
		st, cancel = s.Receive(&wsk.Buf{}, wsk.FlagDrain, &q.IRP), true
	case n < 84:
		st = s.Disconnect(buf, 0, &q.IRP)
	case n < 85:
		st = s.Disconnect(nil, wsk.FlagAbortive, &q.IRP)
	case n < 92:
		st = s.GetLocalAddress(new(wsk.SockAddr), &q.IRP)
	default:
		st = s.ControlSocket(wsk.GetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP, nil, make([]byte, 4), nil, &q.IRP)
	}
	for range rng.Intn(60) {
		runtime.Gosched() // let the peer and the worker do something
	}
	waits.Go(func() { q.check(t, st) })
	if cancel {
		q.Cancel()
	}
}
