package wsk_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
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
	stressSeed = flag.Uint64("wsk.seed", 1, "seed of the stress test; 0: a new one")
	stressIRPs = flag.Int64("wsk.irps", 60_000, "IRPs that the stress test completes at least")
)

// Of each storm.
const (
	stormLives   = 120 // sockets that are created, beside those that are accepted
	stormWorkers = 8   // of those at once
	stormGuard   = 2 * time.Minute
)

// TestStress has sockets of every category under random calls, cancels, closes and
// far ends, in storms of a provider each: each IRP completes exactly once, and nothing
// is left. The seed decides what is called; who wins a race is the scheduler's.
func TestStress(t *testing.T) {
	covers.IDs(t, "P1")
	if *stressSeed == 0 {
		*stressSeed = rand.Uint64()
	}
	t.Logf("to run it again: -run '^TestStress$' -wsk.seed=%d -wsk.irps=%d", *stressSeed, *stressIRPs)
	modes := []wsk.CompletionMode{wsk.CompleteLater, wsk.CompleteInline, wsk.CompleteRandom}
	var completed, sockets, transports int64
	statuses := map[ntstatus.Status]int64{}
	succeeded := map[string]int64{}
	for n := uint64(0); completed < *stressIRPs && !t.Failed(); n++ {
		s := newStorm(t, modes[n%3], *stressSeed, n)
		s.run(n%5 == 4)
		completed += s.ledger.Completed()
		sockets += s.sockets.Load()
		transports += int64(len(s.ends) + len(s.boxes))
		for status, k := range s.ledger.Statuses() {
			statuses[status] += k
		}
		for i := range stressVerbs {
			if !stressVerbs[i].fails {
				succeeded[stressVerbs[i].name] += s.succeeded[i].Load()
			}
		}
	}
	t.Logf("%d IRPs completed on %d sockets and %d transports: %v", completed, sockets, transports, statuses)
	for name, k := range succeeded {
		if k == 0 && completed >= 60_000 {
			t.Errorf("%s never succeeded: the storm does not reach it", name)
		}
	}
}

// storm is one provider, its client, its far ends and the account of all IRPs.
type storm struct {
	t         *testing.T
	p         *wsk.Provider
	reg       *wsk.Registration
	npi       wsk.ProviderNPI
	ledger    wsktest.Ledger
	sockets   atomic.Int64
	ports     atomic.Uint32
	succeeded []atomic.Int64 // by verb
	dice      atomic.Uint64  // of callbacks and routines
	seed      uint64

	mu    sync.Mutex // guards all below
	ends  []*farEnd
	live  []*farEnd
	boxes []*wsktest.Mailbox
}

func newStorm(t *testing.T, mode wsk.CompletionMode, seed, number uint64) *storm {
	s := &storm{t: t, p: wsktest.NewProvider(t), seed: seed<<20 + number, succeeded: make([]atomic.Int64, len(stressVerbs))}
	s.p.SetCompletionMode(mode, s.seed)
	s.p.SetResolver(book{})
	network := wsktest.DatagramNetwork{
		Network: s.newTransport, Datagrams: s.newMailbox,
		Raw: func(v6 bool, _ uint8) (wsk.Datagram, error) { return s.newMailbox(v6) },
	}
	if err := s.p.Start(network); err != nil {
		t.Fatal(err)
	}
	s.reg = register(t, s.p, wsk.Version1_0)
	if st := s.reg.CaptureProviderNPI(wsk.NoWait, &s.npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	if number%2 == 1 { // half of the storms have static callbacks
		in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceive | wsk.EventReceiveFrom | wsk.EventAccept}
		if st := s.npi.Dispatch.ControlClient(s.npi.Client, wsk.SetStaticEventCallbacks, in.Bytes(), nil, nil, nil); st != ntstatus.Success {
			t.Fatal(st)
		}
	}
	return s
}

// run lives all lives and looks what is left. With a stop, the provider is withdrawn
// in the middle of it.
func (s *storm) run(stop bool) {
	var lives, ends sync.WaitGroup
	slots := make(chan struct{}, stormWorkers)
	for n := range uint64(stormLives) {
		slots <- struct{}{}
		if stop && n == stormLives/2 {
			ends.Go(s.p.Stop)
		}
		lives.Go(func() {
			defer func() { <-slots }()
			s.life(rand.New(rand.NewPCG(s.seed, n)))
		})
	}
	lives.Wait()
	ends.Wait()
	s.reg.ReleaseProviderNPI()
	ctx, cancel := context.WithTimeout(context.Background(), stormGuard)
	defer cancel()
	if err := s.reg.DeregisterContext(ctx); err != nil {
		s.t.Fatal(err)
	}
	s.p.Stop()
	s.nothingIsLeft()
}

func (s *storm) nothingIsLeft() {
	for _, fault := range s.ledger.Faults() {
		s.t.Error(fault)
	}
	if n := s.ledger.Open(); n != 0 {
		s.t.Errorf("%d IRPs have not completed", n)
	}
	for _, e := range s.ends {
		if seen := e.Seen(); e.known.Load() && !seen.Closed && !seen.Aborted && !e.silenced.Load() {
			s.t.Errorf("a transport was not given up: %+v", seen)
		}
	}
	for _, b := range s.boxes {
		if _, _, closed := b.Told(); !closed {
			s.t.Error("a UDP transport was not closed")
		}
	}
	if s.t.Failed() {
		s.t.Logf("in storm %#x", s.seed)
	}
}

// roll is a die for callbacks and routines.
func (s *storm) roll(n uint64) uint64 {
	x := (s.dice.Add(1) + s.seed) * 0x9E3779B97F4A7C15
	x ^= x >> 32
	return x * 0xD6E8FEB86659FD93 >> 32 % n
}

// farEnd is a peer and how far it has come.
type farEnd struct {
	*wsktest.Peer
	gate
	known    atomic.Bool // the provider has the transport
	asks     atomic.Bool // it is a conditional listener
	silenced atomic.Bool // it was given up in silence
	mu       sync.Mutex
	taken    bool // the connect was answered
	last     wsk.RequestID
}

func (s *storm) newTransport(bool) (wsk.Transport, error) {
	e := s.end(wsktest.NewPeer())
	e.known.Store(true)
	return e.Transport, nil
}

// end puts a peer on the books, and takes it off the live ones when it is given up.
func (s *storm) end(p *wsktest.Peer) *farEnd {
	e := &farEnd{Peer: p}
	over := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = slices.DeleteFunc(s.live, func(l *farEnd) bool { return l == e })
	}
	abort, closing, accept, bind := p.Transport.AbortFunc, p.Transport.CloseFunc, p.Transport.AcceptFunc, p.Transport.BindFunc
	p.Transport.BindFunc = func(local netip.AddrPort) error { return bind(s.free(local)) }
	p.Transport.AbortFunc = func() { abort(); over() }
	p.Transport.CloseFunc = func() error { defer over(); return closing() }
	p.Transport.SilenceFunc = func() (func(), error) { return func() { e.silenced.Store(true); over() }, nil }
	p.Transport.SetInspectFunc = func(on bool) error { e.asks.Store(on); return nil }
	p.Transport.NextRequestFunc = e.next
	p.Transport.DecideFunc = func(id wsk.RequestID, accept bool) error {
		err := e.decide(id, accept)
		if err == nil && accept {
			e.arrive(s, id)
		}
		return err
	}
	p.Transport.AcceptFunc = func() (wsk.Transport, error) {
		t, err := accept()
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, l := range s.ends {
				if l.Transport == t {
					l.known.Store(true)
				}
			}
		}
		return t, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends, s.live = append(s.ends, e), append(s.live, e)
	return e
}

func (s *storm) newMailbox(bool) (wsk.Datagram, error) {
	m := &wsktest.Mailbox{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boxes = append(s.boxes, m)
	return stormBox{m, s}, nil
}

// stormBox is a mailbox with a port of its own.
type stormBox struct {
	*wsktest.Mailbox
	storm *storm
}

func (b stormBox) Bind(local netip.AddrPort) error { return b.Mailbox.Bind(b.storm.free(local)) }

// free gives an address without a port one that nobody has.
func (s *storm) free(a netip.AddrPort) netip.AddrPort {
	if a.Port() != 0 {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), uint16(s.ports.Add(1)))
}

// weather does something to some far end.
func (s *storm) weather(rng *rand.Rand) {
	var e *farEnd
	var m *wsktest.Mailbox
	s.mu.Lock()
	if len(s.live) > 0 {
		e = s.live[rng.IntN(len(s.live))]
	}
	if n := len(s.boxes); n > 0 && rng.IntN(3) == 0 {
		m = s.boxes[n-1-rng.IntN(min(n, stormWorkers))]
	}
	s.mu.Unlock()
	if m != nil {
		post(m, rng)
	}
	if e == nil {
		return
	}
	switch seen := e.Seen(); {
	case e.asks.Load():
		e.request(rng)
	case seen.Backlog > 0:
		if seen.Waiting < 4 {
			e.arrive(s, 0)
		}
	case seen.Connecting:
		e.answer(rng)
	case e.known.Load() && seen.Remote.IsValid():
		e.disturb(rng)
	}
}

// arrive makes a connection, which came from a request unless that is 0.
func (e *farEnd) arrive(s *storm, id wsk.RequestID) {
	e.Arrive(remoteA, func(far *wsktest.Peer) {
		far.Transport.Request = id
		s.end(far)
	})
}

// request makes a request, or ends one.
func (e *farEnd) request(rng *rand.Rand) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := wsk.Request{ID: e.last, Local: server4.AddrPort(), Remote: remoteA, Gone: true}
	if rng.IntN(4) > 0 || !e.drop(q.ID) {
		e.last++
		q.ID, q.Gone = e.last, false
	}
	e.put(e.Peer, q)
}

// answer answers a connect, most of the time well, or does something else to a
// connection that is up.
func (e *farEnd) answer(rng *rand.Rand) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch n := rng.IntN(10); {
	case e.taken:
		e.disturb(rng)
	case n == 0:
		e.Refuse(syscall.ECONNREFUSED)
	case n == 1:
		e.Establish()
	case n < 8:
		e.taken = true
		e.Accept()
	}
}

func (e *farEnd) disturb(rng *rand.Rand) {
	switch n := rng.IntN(1000); {
	case n < 2:
		e.Fail([]error{syscall.ECONNRESET, syscall.ETIMEDOUT}[n])
	case n < 6:
		e.FIN()
	case n < 300:
		e.Deliver(make([]byte, rng.IntN(64)))
	case n < 450:
		e.SetWindow(rng.IntN(64))
	case n < 520:
		e.SetWindow(-1)
	case n < 540:
		e.SetIdealBacklog(rng.IntN(4))
	default:
		e.AckAll()
	}
}

func post(m *wsktest.Mailbox, rng *rand.Rand) {
	switch rng.IntN(12) {
	case 0:
		m.Mishap(syscall.ECONNREFUSED)
	case 1:
		m.Refuse([]error{syscall.EAGAIN, syscall.ENETUNREACH, syscall.EMSGSIZE}[rng.IntN(3)])
	case 2, 3, 4:
		m.Refuse(nil)
	default:
		m.Deliver(remoteA, []netip.Addr{here, netip.MustParseAddr("224.0.0.1")}[rng.IntN(2)], "datagram")
	}
}

// life lives one socket's life, and those of the sockets that it accepts.
func (s *storm) life(rng *rand.Rand) {
	v := s.create(rng)
	if v == nil {
		return
	}
	v.begin(rng)
	var callers sync.WaitGroup
	for range 3 {
		mine := rand.New(rand.NewPCG(rng.Uint64(), 0))
		callers.Go(func() { v.calls(mine, 40) })
	}
	if rng.IntN(4) > 0 {
		callers.Wait() // an orderly client
		v.orderly = true
	}
	// The other kind closes with calls running, which the interface forbids; the
	// IRPs still complete once each.
	v.close()
	callers.Wait()
	v.after()
	for _, next := range v.takeChildren() {
		next.calls(rng, 30)
		next.orderly = true
		next.close()
		next.after()
	}
}

// call makes one call of a verb; sometimes its routine makes another one with the same
// IRP.
func (v *victim) call(rng *rand.Rand, verb int) *wsktest.Entry {
	e := v.storm.ledger.New(nil)
	if rng.IntN(30) == 0 {
		e.Cancel()
	}
	v.submit(e, &stressCall{rng: rng}, verb)
	return e
}

func (v *victim) submit(e *wsktest.Entry, c *stressCall, verb int) {
	v.loose.Add(1)
	v.open.Add(1)
	e.Then(func(e *wsktest.Entry, result irp.StatusBlock) {
		defer v.loose.Done()
		if !c.loose {
			defer v.open.Add(-1)
		}
		if result.Status == ntstatus.Success {
			v.storm.succeeded[verb].Add(1)
		}
		if s, ok := result.Object.(*wsk.ConnectionSocket); ok {
			v.bear(c.child, s)
		}
	})
	e.Submit(func(i *irp.IRP) ntstatus.Status { return stressVerbs[verb].call(v, c, i) })
	if c.loose {
		v.open.Add(-1)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.others = append(v.others, e)
	}
}

// calls makes n random calls, cancels some, and lets the world turn.
func (v *victim) calls(rng *rand.Rand, n int) {
	var pended []*wsktest.Entry
	for range n {
		pended = append(pended, v.call(rng, v.choose(rng)))
		for range rng.IntN(4) {
			v.storm.weather(rng)
			runtime.Gosched()
		}
		switch other := pended[rng.IntN(len(pended))]; rng.IntN(8) {
		case 0, 1:
			other.Cancel()
		case 2: // in use, or used up: refused, and left alone
			if st := v.any.CloseSocket(other.IRP()); st != ntstatus.InvalidParameter {
				v.storm.t.Errorf("an IRP that was not idle was taken: %v", st)
			}
		}
		v.release(rng.IntN(2))
	}
}

// close closes the socket and waits until that is over.
func (v *victim) close() {
	v.release(-1)
	v.closing.Store(true)
	over := make(chan struct{})
	st := v.storm.ledger.New(func(_ *wsktest.Entry, result irp.StatusBlock) {
		defer close(over)
		if result.Status != ntstatus.Success {
			return
		}
		v.over.Store(true)
		if n := v.open.Load(); n != 0 && v.orderly {
			v.storm.t.Errorf("a close completed before %d other requests", n)
		}
	}).Submit(v.any.CloseSocket)
	switch {
	case st == ntstatus.FileForcedClosed && v.closed.Load(): // a callback was quicker
		<-v.closedBy
	case st != ntstatus.Pending:
		v.storm.t.Errorf("a close returned %v", st)
	default:
		<-over
	}
}

// after looks at what must not be there any more.
func (v *victim) after() {
	if left := v.any.(interface{ Left() int }).Left(); left != 0 {
		v.storm.t.Errorf("a closed socket holds on to %d requests, indications or bytes", left)
	}
	e := v.storm.ledger.New(nil)
	if st := e.Submit(v.any.CloseSocket); st != ntstatus.FileForcedClosed {
		v.storm.t.Errorf("a second close returned %v", st)
	}
}
