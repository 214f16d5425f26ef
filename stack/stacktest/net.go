package stacktest

import (
	"container/heap"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Config is how a run goes. The zero value works.
type Config struct {
	// Seed is where everything random comes from.
	Seed uint64
	// Replay is a command that makes this run again; it is printed when the test
	// fails. Empty: the test's name and the seed.
	Replay string
	// Limit is how long a run may take in virtual time, DefaultLimit if 0. When
	// it is over the test fails, and time stops: what still waits is shown by
	// synctest, as a deadlock.
	Limit time.Duration
	// Watchdog is how long a run may take in real time. Then the process ends
	// with a dump of all goroutines, since what hangs cannot be ended otherwise.
	// 0: as long as go test lets it.
	Watchdog time.Duration
	// MaxEvents bounds the trace that is kept for the ladder and the pcapng;
	// DefaultMaxEvents if 0.
	MaxEvents int
	// Dir is where the pcapng of a failure goes, made if it is not there; the
	// system's directory for temporary files if empty.
	Dir string
}

// Defaults of a Config.
const (
	DefaultLimit     = 24 * time.Hour
	DefaultMaxEvents = 20000
)

func (cfg *Config) fill(t *testing.T) {
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.MaxEvents == 0 {
		cfg.MaxEvents = DefaultMaxEvents
	}
	if cfg.Replay == "" {
		cfg.Replay = fmt.Sprintf("go test -run '^%s$'   # seed %d", t.Name(), cfg.Seed)
	}
}

// Result is what a run leaves behind.
type Result struct {
	// Hash covers when each packet was sent, what became of it and when it
	// arrived. It is the same for the same seed and test.
	Hash uint64
	// Packets were sent by nodes, Delivered reached one.
	Packets, Delivered int
	// Took is the virtual time that the run took.
	Took time.Duration
}

// Net is a simulated network. Its methods are for code in its bubble.
type Net struct {
	t      *testing.T
	cfg    Config
	timers timers
	poked  chan struct{}
	stop   chan struct{}
	driven chan struct{}
	over   chan struct{}
	trace  trace

	// The driver's alone.
	flights flightQueue
	order   uint64

	mu      sync.Mutex
	ports   []*Port              // guarded by mu
	routes  map[netip.Addr]*Port // guarded by mu
	hosts   []*Host              // guarded by mu
	woken   []*sleeper           // guarded by mu; their turn has come
	flying  atomic.Int64         // packets on their way
	expired bool                 // the Limit is over; the driver's
	told    bool                 // of a failure
}

// Run calls f in a bubble with a simulated network, closes all hosts when f has
// returned, and reports what happened. A panic of f is the test's end, as usual.
func Run(t *testing.T, cfg Config, f func(n *Net)) Result {
	t.Helper()
	cfg.fill(t)
	if cfg.Watchdog > 0 {
		dog := time.AfterFunc(cfg.Watchdog, func() {
			panic(fmt.Sprintf("stacktest: a run takes longer than %v of real time; replay: %s", cfg.Watchdog, cfg.Replay))
		})
		defer dog.Stop()
	}
	var r Result
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, cfg)
		go n.drive()
		defer func() { r = n.end() }()
		f(n)
	})
	return r
}

func newNet(t *testing.T, cfg Config) *Net {
	n := &Net{
		t: t, cfg: cfg, poked: make(chan struct{}, 1), stop: make(chan struct{}), driven: make(chan struct{}),
		over:   make(chan struct{}),
		routes: make(map[netip.Addr]*Port),
	}
	n.timers.start, n.timers.poke = time.Now(), n.poke
	n.trace.limit = cfg.MaxEvents
	return n
}

// end stops the driver, closes the hosts and tells of a failure.
func (n *Net) end() Result {
	took := n.timers.now()
	close(n.stop)
	<-n.driven
	n.mu.Lock()
	hosts := n.hosts
	n.mu.Unlock()
	for _, h := range hosts {
		h.Close()
	}
	close(n.over)
	if n.t.Failed() {
		n.tellFailure()
	}
	return Result{Hash: n.trace.hash, Packets: n.trace.sent, Delivered: n.trace.delivered, Took: took}
}

// T is the test in the bubble.
func (n *Net) T() *testing.T { return n.t }

// Now is the virtual time since the run began.
func (n *Net) Now() time.Duration { return n.timers.now() }

// InFlight is how many packets are on their way.
func (n *Net) InFlight() int { return int(n.flying.Load()) }

// Hash is Result.Hash up to now.
func (n *Net) Hash() uint64 {
	n.Settle()
	return n.trace.hash
}

// poke makes the driver look whether there is something to do.
func (n *Net) poke() {
	select {
	case n.poked <- struct{}{}:
	default: // it will look anyway
	}
}

// plug adds a node to the wire.
func (n *Net) plug(name string, cfg LineConfig, addrs []netip.Addr) *Port {
	n.t.Helper()
	for _, p := range []*Path{&cfg.Out, &cfg.In} {
		if err := p.check(); err != nil {
			n.t.Fatal(err)
		}
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	seed := mix(n.cfg.Seed) ^ digestText(name)
	p := &Port{net: n, name: name, mtu: uint32(cfg.MTU)}
	p.line = &Line{port: p, boxes: cfg.Boxes,
		out: lane{path: cfg.Out, seed: mix(seed)}, in: lane{path: cfg.In, seed: mix(seed + 1)}}
	n.mu.Lock()
	defer n.mu.Unlock()
	p.number = len(n.ports)
	n.ports = append(n.ports, p)
	for _, a := range addrs {
		n.routes[a] = p
	}
	return p
}

const defaultMTU = 1500

// Plug adds a node whose stack the caller makes: the Port is its link, Port.Clock
// its clock, and Port.Guard takes in its processors. The caller closes it.
func (n *Net) Plug(name string, line LineConfig, addrs ...netip.Addr) *Port {
	n.t.Helper()
	return n.plug(name, line, addrs)
}

// Random is a random source of the run's, for stacks made by the caller: an
// io.Reader and a math/rand Source, safe for concurrent use. Sources of other
// names give other numbers.
func (n *Net) Random(name string) *Random {
	r := &Random{}
	r.state = mix(n.cfg.Seed ^ digestText(name))
	return r
}

// Random is a seeded source; see Net.Random.
type Random struct{ source }

// flight is a packet on its way.
type flight struct {
	due   time.Duration
	order uint64
	port  *Port
	leg   leg
	b     []byte
}

type leg uint8

const (
	outbound leg = iota // towards the cloud
	inbound             // towards the node
)

// fly sends a packet on its way along one leg.
func (n *Net) fly(due time.Duration, p *Port, l leg, b []byte) {
	n.order++
	heap.Push(&n.flights, &flight{due: due, order: n.order, port: p, leg: l, b: b})
	n.flying.Add(1)
}

// flightQueue implements heap.Interface.
type flightQueue []*flight

func (q flightQueue) Len() int { return len(q) }
func (q flightQueue) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].order < q[j].order
}
func (q flightQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *flightQueue) Push(x any)   { *q = append(*q, x.(*flight)) }
func (q *flightQueue) Pop() any {
	old := *q
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return f
}
