package verifier

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wskstack/wskstack/wsk"
)

// Policy is what becomes of a breach.
type Policy uint8

// The policies.
const (
	PolicyReport Policy = iota // it is kept, and told to OnReport
	PolicyCount                // it is counted
	PolicyStop                 // as PolicyReport, and the first one is told to Stop
	PolicyOff                  // it is not looked for
)

// Defaults of Limits.
const (
	DefaultPending    = 2 * time.Minute
	DefaultCallback   = 10 * time.Second
	DefaultDead       = time.Minute
	DefaultDeregister = 30 * time.Second
	DefaultDepth      = 16
)

// Limits are how long, by Config.Now, something may take before Check reports it, and
// how deep routines may be nested. Zero is the default.
type Limits struct {
	Pending    time.Duration // an IRP (I13)
	Callback   time.Duration // a callback that waits (Q3)
	Dead       time.Duration // from the signal that a socket is dead to its close (S12)
	Deregister time.Duration // a deregistration that waits for sockets (S10)
	Depth      int           // routines on one stack (Q4)
}

// Config says what a Verifier does. The zero value reports every rule and disturbs
// nothing.
type Config struct {
	// Policy decides about each rule, once, in New; nil reports all.
	Policy func(Rule) Policy
	// OnReport is told of each report as it is made, on the goroutine that broke the
	// rule, with no lock held. It may be nil: Reports has them all.
	OnReport func(*Report)
	// Stop is called once, after OnReport, for the first report whose policy is
	// PolicyStop; nothing is reported after that. The package does not panic and does
	// not end anything by itself. Stop runs on the goroutine that broke the rule, often
	// the provider's: it must not end that goroutine (as testing.T.FailNow does), but may
	// end the process, cancel a context or call testing.T.Error.
	Stop func(*Report)
	// Now is the clock. Without one there are no times, and no limits but Depth. It may be
	// called under locks, and must call nothing of wsk's.
	Now    func() time.Time
	Limits Limits
	Faults Faults
}

// ProviderOnly is a Policy that checks the provider's own conduct and nothing of its
// client's.
func ProviderOnly(r Rule) Policy {
	if r.Provider {
		return PolicyReport
	}
	return PolicyOff
}

// maxReports is how many reports are kept; all are counted.
const maxReports = 1000

// Verifier watches the clients of the providers that it is attached to. All methods
// are safe for concurrent use.
type Verifier struct {
	cfg      Config
	policies map[string]Policy // never written to after New
	numbered bool              // goroutines are told apart

	// mu is a leaf: nothing but Config.Now is called with it held. It guards all below and
	// every record's fields.
	mu       sync.Mutex
	reports  []*Report
	untold   []*Report // made, and still to be told of
	counts   map[string]int
	stopped  bool
	numbers  map[string]int // of objects, per kind
	frames   map[uint64][]*frame
	clients  map[*wsk.Client]*clientRecord
	sockets  map[*socketRecord]struct{}
	pending  map[*irpRecord]struct{}
	given    map[*irpRecord]struct{} // by NewIRP and not freed
	unread   map[*irpRecord]struct{} // completed without a routine, and nobody has looked
	lists    map[*wsk.AddrInfo]*listRecord
	nodes    map[any]*node // of indications that are the client's
	blocks   map[*byte]*block
	released []*block // poisoned, the latest
	frozen   []*frozen
	faults   faultState
}

// New returns a verifier. It fails if a policy is PolicyStop and there is no Stop, or
// if the faults contradict each other.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{
		cfg: cfg, policies: map[string]Policy{}, counts: map[string]int{}, numbers: map[string]int{},
		frames: map[uint64][]*frame{}, clients: map[*wsk.Client]*clientRecord{}, sockets: map[*socketRecord]struct{}{},
		pending: map[*irpRecord]struct{}{}, given: map[*irpRecord]struct{}{}, unread: map[*irpRecord]struct{}{},
		lists: map[*wsk.AddrInfo]*listRecord{}, nodes: map[any]*node{}, blocks: map[*byte]*block{},
	}
	for _, r := range ruleTable {
		policy := PolicyReport
		if cfg.Policy != nil {
			policy = cfg.Policy(r)
		}
		if policy > PolicyOff {
			return nil, fmt.Errorf("verifier: rule %s has policy %d, which does not exist", r.ID, policy)
		}
		if policy == PolicyStop && cfg.Stop == nil {
			return nil, fmt.Errorf("verifier: rule %s has PolicyStop and there is no Config.Stop", r.ID)
		}
		v.policies[r.ID] = policy
		v.numbered = v.numbered || policy != PolicyOff && !r.Provider
	}
	v.numbered = v.numbered || cfg.Faults.Completion == ForcePending
	v.cfg.Limits = cfg.Limits.withDefaults()
	if err := cfg.Faults.check(); err != nil {
		return nil, err
	}
	v.faults.sites = map[uint64]bool{}
	return v, nil
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		limit    *time.Duration
		standard time.Duration
	}{
		{&l.Pending, DefaultPending}, {&l.Callback, DefaultCallback}, {&l.Dead, DefaultDead}, {&l.Deregister, DefaultDeregister},
	} {
		if *d.limit == 0 {
			*d.limit = d.standard
		}
	}
	if l.Depth == 0 {
		l.Depth = DefaultDepth
	}
	return l
}

// Attach makes v the observer of a provider that was not started yet, and sets the
// completion mode if the faults have one.
func (v *Verifier) Attach(p *wsk.Provider) error {
	if p == nil {
		return errors.New("verifier: Attach needs a Provider")
	}
	if err := p.SetObserver(observer{v}); err != nil {
		return err
	}
	if mode, forced := v.cfg.Faults.Completion.mode(); forced {
		p.SetCompletionMode(mode, v.cfg.Faults.Seed)
	}
	return nil
}

// Reports returns the reports so far, at most the first 1,000, in order.
func (v *Verifier) Reports() []*Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.reports)
}

// Counts returns how often each rule was broken so far, by ID; rules that were not
// are left out.
func (v *Verifier) Counts() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.counts)
}

func (v *Verifier) now() time.Time {
	if v.cfg.Now == nil {
		return time.Time{}
	}
	return v.cfg.Now()
}

// on reports whether one of the rules is looked for.
func (v *Verifier) on(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return v.policies[id] != PolicyOff })
}

// object is what a report is about.
type object struct {
	name    string
	history history
	told    map[string]bool // rules of which it was reported once for good
}

// newObject returns an object with the next number of its kind. Precondition: v.mu is
// held.
func (v *Verifier) newObject(kind string) object {
	v.numbers[kind]++
	return object{name: fmt.Sprintf("%s #%d", kind, v.numbers[kind])}
}

// breach makes a report; flush tells of it. Precondition: v.mu is held.
func (v *Verifier) breach(id string, o *object, at trace, detail string) {
	policy := v.policies[id]
	if policy == PolicyOff || v.stopped {
		return
	}
	v.counts[id]++
	if policy == PolicyCount {
		return
	}
	if at.goroutine == 0 {
		at.goroutine = goroutine()
	}
	rule, _ := Explain(id)
	r := &Report{
		ID: id, Rule: rule.Misuse, Object: o.name, Detail: detail, Anchor: rule.Anchor,
		Goroutine: at.goroutine, Time: at.time, Stack: at.stack(), History: o.history.readable(),
	}
	if len(v.reports) < maxReports {
		v.reports = append(v.reports, r)
	}
	v.untold = append(v.untold, r)
	v.stopped = policy == PolicyStop
}

// breachOnce is breach for what would be found again and again.
func (v *Verifier) breachOnce(id string, o *object, at trace, detail string) {
	if o.told[id] {
		return
	}
	if o.told == nil {
		o.told = map[string]bool{}
	}
	o.told[id] = true
	v.breach(id, o, at, detail)
}

// flush tells of the reports that were made. No lock is held.
func (v *Verifier) flush() {
	v.mu.Lock()
	untold := v.untold
	v.untold = nil
	v.mu.Unlock()
	for _, r := range untold {
		if v.cfg.OnReport != nil {
			v.cfg.OnReport(r)
		}
		if v.policies[r.ID] == PolicyStop {
			v.cfg.Stop(r)
		}
	}
}
