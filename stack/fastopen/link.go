package fastopen

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Link is a link endpoint that gives the connections going through it Fast Open.
// It is safe for concurrent use.
type Link struct {
	nested.Endpoint
	lower gstack.LinkEndpoint
	cfg   Config
	clock tcpip.Clock
	log   *slog.Logger
	cache *tfo.Cache
	mode  atomic.Uint32
	none  *Flow // see newNone

	// active counts, in its lower half, the openings that may still have to
	// change a packet, and in its upper half (oneListener) the listeners that
	// wait for some; upBusy is in it while the queue going up is. While it is
	// 0, both directions cost this one load.
	active atomic.Int64
	table  table
	up     upQueue
	stats  counters

	children  atomic.Int64 // openings from the other side
	keys      *tfo.KeyRing
	replays   *tfo.Replays
	opened    opened
	listeners listeners
	server    serverCounters

	mu      sync.Mutex
	stop    chan struct{} // guarded by mu; nil while no deliverer runs
	closed  bool          // guarded by mu
	running sync.WaitGroup
}

const (
	oneListener = 1 << 32
	upBusy      = 1 << 62
)

// openings is the number of openings in a value of Link.active.
func openings(active int64) int { return int(uint32(active)) }

// New wraps the link endpoint lower. The Link takes its place: give the Link to
// netstack, and close lower through it.
func New(lower gstack.LinkEndpoint, cfg Config) (*Link, error) {
	if lower == nil {
		return nil, errors.New("fastopen: the link endpoint to wrap is nil")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Mode == ModeDefault {
		cfg.Mode = ModeOn
	}
	if cfg.Clock == nil {
		cfg.Clock = tcpip.NewStdClock()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		lower: lower, cfg: cfg, clock: cfg.Clock, log: cfg.Logger,
		cache:  tfo.NewCache(cfg.Peers),
		opened: newOpened(), keys: tfo.NewKeyRing(cfg.Server.KeyLife, cfg.Server.Random), replays: tfo.NewReplays(cfg.Server.Replays),
	}
	l.none = newNone(l)
	l.mode.Store(uint32(cfg.Mode))
	l.up.kick = make(chan struct{}, 1)
	l.Init(lower, l)
	return l, nil
}

// Mode is that of connections which do not say otherwise.
func (l *Link) Mode() Mode { return Mode(l.mode.Load()) }

// SetMode changes it for connections whose SYN has not been sent; ModeDefault
// means the mode the Link was made with.
func (l *Link) SetMode(m Mode) {
	if m == ModeDefault || m > ModeCookieless {
		m = l.cfg.Mode
	}
	l.mode.Store(uint32(m))
}

// now is the time for machines and cache.
func (l *Link) now() time.Duration {
	return l.clock.NowMonotonic().Sub(tcpip.MonotonicTime{})
}

// Attach implements stack.LinkEndpoint. With a dispatcher it starts the
// goroutine that delivers made segments; with nil it ends it.
func (l *Link) Attach(d gstack.NetworkDispatcher) {
	l.stopDeliverer(false)
	l.Endpoint.Attach(d)
	if d == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.stop != nil {
		return
	}
	l.stop = make(chan struct{})
	l.running.Add(1)
	go l.deliverer(l.stop)
}

// deliverer delivers what was made on goroutines that must not call netstack.
func (l *Link) deliverer(stop <-chan struct{}) {
	defer l.running.Done()
	for {
		select {
		case <-stop:
			return
		case <-l.up.kick:
			l.up.drain(l)
		}
	}
}

func (l *Link) stopDeliverer(forGood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
	}
	l.closed = l.closed || forGood
}

// Close implements stack.LinkEndpoint: it forgets every opening, ends the Link's
// goroutine and closes the link below.
func (l *Link) Close() {
	l.stopDeliverer(true)
	for _, ln := range l.listeners.all() {
		ln.Close()
	}
	for _, o := range l.table.all() {
		o.displaced()
	}
	l.up.discard(l)
	l.Endpoint.Close()
}

// Wait implements stack.LinkEndpoint: it waits for the Link's goroutine, after
// Attach(nil) or Close, and for those of the link below.
func (l *Link) Wait() {
	l.running.Wait()
	l.Endpoint.Wait()
	l.up.discard(l)
}
