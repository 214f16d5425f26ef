package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// Result is how a run ended.
type Result struct {
	Scenario string   `json:"scenario"`
	Title    string   `json:"title"`
	Peer     string   `json:"peer"`
	Virtual  bool     `json:"virtual_time"`
	Seed     uint64   `json:"seed"`
	OK       bool     `json:"ok"`
	Skipped  string   `json:"skipped,omitempty"` // why it was not run
	Failures []string `json:"failures,omitempty"`
	// Reports are the verifier's, expected or not.
	Reports []Report `json:"reports,omitempty"`
	// Starved says that a request failed with STATUS_INSUFFICIENT_RESOURCES, and
	// EndedEarly that faults kept the scenario from its end, which is no failure.
	Starved    bool   `json:"starved,omitempty"`
	EndedEarly string `json:"ended_early,omitempty"`
	// Sweep is how many requests were made to fail, each in a run of its own.
	Sweep  int           `json:"sweep,omitempty"`
	Took   time.Duration `json:"took_ns"`
	Events []Event       `json:"events"`
}

// cleanLimit bounds each wait of the end of a run.
const cleanLimit = 5 * time.Second

// run is a scenario that runs.
type run struct {
	*Scenario
	world   World
	knobs   Knobs
	own     bool // the completion mode is the scenario's own
	lenient bool // there are faults, so what is expected may not come out
	line    *timeline
	check   *verifier.Verifier // nil: off
	halted  atomic.Bool        // the verifier has stopped the scenario
	starved atomic.Bool        // a request had no resources

	provider *wsk.Provider
	reg      wsk.Registration
	npi      wsk.ProviderNPI
	released bool // the scenario has given the NPI back itself
	deadline time.Duration

	mu      sync.Mutex         // a leaf: the accept event makes sockets too
	sockets map[string]*socket // guarded by mu
	order   []*socket          // guarded by mu; in the order of making

	irps     map[string]*request
	requests []*request
	addrs    map[string]wsk.SockAddr
	peers    playing

	step     *step
	failures []string
	early    string // why a run with faults ended before its last step
}

// Run runs a scenario in a world, which the caller has made for it and closes
// afterwards. knobs are what the command line made of the scenario's own. It returns
// when everything that the scenario began is over; ctx ends the waits.
func (s *Scenario) Run(ctx context.Context, world World, knobs Knobs) Result {
	result := Result{Scenario: s.Name, Title: s.Title, Peer: world.Name, Virtual: world.Virtual, Seed: knobs.Seed}
	if world.Peer == nil && s.PlaysPeer() {
		result.OK, result.Skipped = true, "it plays the peer's part itself, and this peer is a given service"
		return result
	}
	if !world.Virtual && s.scribbles() {
		result.OK, result.Skipped = true, "scribble writes into memory while it is read, which only a simulated peer puts into an order"
		return result
	}
	r := &run{
		Scenario: s, world: world, knobs: knobs, own: knobs.Completion == s.Knobs.Completion,
		lenient: knobs.Faults != Faults{},
		line:    &timeline{now: world.Now, virtual: world.Virtual},
		sockets: map[string]*socket{}, irps: map[string]*request{}, addrs: map[string]wsk.SockAddr{},
		deadline: world.Now() + s.Limit,
	}
	if err := r.prepare(); err != nil {
		r.failf("%v", err)
	} else {
		r.play(ctx)
		r.clean()
	}
	r.judge(&result)
	result.Failures, result.OK = r.failures, len(r.failures) == 0
	result.Took, result.Events = world.Now(), r.line.all()
	return result
}

// prepare starts the provider and the peer's service.
func (r *run) prepare() error {
	if err := r.peers.start(r); err != nil {
		return fmt.Errorf("starting the peer: %w", err)
	}
	r.provider = wsk.NewProvider()
	r.provider.SetCompletionMode(r.knobs.Completion, r.knobs.Seed)
	r.provider.SetResolver(hosts{r})
	network, err := r.verify()
	if err != nil {
		return err
	}
	if err := r.provider.Start(network); err != nil {
		return err
	}
	client := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	if status := r.provider.Register(&client, &r.reg); status != ntstatus.Success {
		return fmt.Errorf("WskRegister: %v", status)
	}
	if status := r.reg.CaptureProviderNPI(wsk.NoWait, &r.npi); status != ntstatus.Success {
		return fmt.Errorf("WskCaptureProviderNPI: %v", status)
	}
	return nil
}

// play takes the steps, up to the first that does not come out as expected.
func (r *run) play(ctx context.Context) {
	for i := range r.steps {
		r.step = &r.steps[i]
		r.line.begin(i + 1)
		if note := r.step.name("note"); note != "" {
			r.line.did(0, "note", "%s", oneLine(note))
		}
		err := r.mayGoOn(ctx)
		if err == nil {
			err = r.take()
		}
		r.settle()
		r.look()
		if err != nil && r.lenient {
			r.early = fmt.Sprintf("step %d, %s: %v", i+1, r.step.title(), err)
		} else if err != nil {
			r.failf("%v", err)
		}
		if err != nil || len(r.failures) > 0 || r.halted.Load() {
			break
		}
	}
	r.line.begin(len(r.steps) + 1)
	r.step = nil
}

// mayGoOn says why no more steps are taken.
func (r *run) mayGoOn(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	case r.world.Now() >= r.deadline:
		return fmt.Errorf("the scenario has taken longer than its limit of %v", r.Limit)
	}
	return nil
}

// settle lets come what is due now, in virtual time.
func (r *run) settle() {
	if r.world.Virtual {
		r.world.Sleep(0)
	}
}

// failf records a failure, of a step if one is being taken.
func (r *run) failf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.step != nil {
		text = fmt.Sprintf("%s:%d: %s: %s", r.file, r.step.line, r.step.title(), text)
	}
	r.failures = append(r.failures, text)
}

// title is a step in a few words.
func (st *step) title() string {
	words := []string{st.verb.name}
	for _, k := range []string{"socket", "irp", "conn", "as"} {
		if st.has(k) {
			words = append(words, st.name(k))
			break
		}
	}
	return strings.Join(words, " ")
}

// limit is how long a step may wait.
func (r *run) limit() time.Duration {
	d := DefaultWait
	if r.step.has("limit") {
		d = r.step.keys["limit"].time
	}
	return max(0, min(d, r.deadline-r.world.Now()))
}

// clean ends what the scenario has left, and checks what holds for every client: each
// IRP that was handed in has completed once, and the registration can end.
func (r *run) clean() {
	for _, q := range r.requests {
		if q.made != nil { // it was not waited for, and may bring a socket
			q.irp.Cancel()
			q.adopt(r.wait(q, cleanLimit))
		}
	}
	for s := r.takeOpen(); s != nil; s = r.takeOpen() {
		s.giveBack()
		r.tryClose(s)
	}
	for _, q := range r.requests {
		if over := q.over(); over != nil && q.irp.State() == irp.Pending {
			q.irp.Cancel()
			within(over, cleanLimit)
		}
	}
	r.freeAll()
	if !r.released {
		if err := r.leave(cleanLimit); err != nil {
			r.failf("after the end: %v", err)
		}
	}
	r.settle()
	for _, q := range r.requests {
		if fault := q.fault(); fault != "" {
			r.failf("IRP %d (%s): %s: this is a fault of the provider", q.number, q.call, fault)
		}
	}
	r.provider.Stop()
	if r.check != nil {
		r.check.Check()
		r.check.Finish()
	}
}

// takeOpen takes a socket that is still to be closed; nil if there is none.
func (r *run) takeOpen() *socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.order {
		if !s.closed {
			s.closed = true
			return s
		}
	}
	return nil
}

// hosts is the resolver of a scenario.
type hosts struct{ r *run }

// LookupHost implements wsk.Resolver.
func (h hosts) LookupHost(_ context.Context, node string) ([]netip.Addr, string, error) {
	var out []netip.Addr
	for _, a := range h.r.hosts[node] {
		if a == "peer" {
			out = append(out, h.r.world.PeerAddr)
			continue
		}
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, "", err
		}
		out = append(out, addr)
	}
	return out, "", nil
}

// LookupService implements wsk.Resolver.
func (h hosts) LookupService(_ context.Context, _, service string) (uint16, error) {
	if service == "peer" {
		return h.r.peers.service.Port(), nil
	}
	return 0, nil
}

// LookupAddr implements wsk.Resolver.
func (h hosts) LookupAddr(_ context.Context, addr netip.Addr) (string, error) {
	for name, list := range h.r.hosts {
		for _, a := range list {
			if a == addr.String() || a == "peer" && addr == h.r.world.PeerAddr {
				return name, nil
			}
		}
	}
	return "", nil
}
