package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wskstack/wskstack/wsk"
)

// Scenario is one that was read and checked. It is not changed any more, and may be
// run as often as one likes.
type Scenario struct {
	Name, Title, Text string
	// Service is what the peer does by itself: "none", "echo" or "sink".
	Service string
	// FastOpen says that the peer grants cookies.
	FastOpen bool
	// Delay and Loss are those of a simulated peer's wire, each way.
	Delay time.Duration
	Loss  float64
	// Knobs are the scenario's own.
	Knobs Knobs
	// Reports are the rules that the verifier has to report.
	Reports []string
	// Sweep is "low-resources" or empty.
	Sweep string
	// Limit is how long it may take.
	Limit time.Duration

	hosts map[string][]string
	steps []step
	file  string
}

// Knobs are how WSK behaves in a run.
type Knobs struct {
	Completion wsk.CompletionMode
	Seed       uint64
	Verifier   Policy
	Faults     Faults
}

// Faults are those of the verifier; see verifier.Faults.
type Faults struct {
	FailNth                                         int
	FailSites, CancelRace, Delay, ShortIO, FastOpen bool
}

// Policy is what becomes of a breach of the verifier's rules.
type Policy string

// The policies.
const (
	PolicyReport Policy = "report"
	PolicyStop   Policy = "stop"
	PolicyCount  Policy = "count"
	PolicyOff    Policy = "off"
)

// step is one step.
type step struct {
	verb   *verb
	line   int
	keys   map[string]value
	expect map[string]value
}

// Defaults of a scenario and of its steps.
const (
	DefaultDelay = 10 * time.Millisecond
	DefaultLimit = time.Minute
	DefaultWait  = 10 * time.Second
	DefaultSeed  = 1
)

// PlaysPeer reports whether steps play the peer's part, or the peer has to run a
// service: then it takes a peer that can.
func (s *Scenario) PlaysPeer() bool {
	return s.Service == "sink" || slices.ContainsFunc(s.steps, func(st step) bool { return st.verb.peer })
}

// scribbles reports whether a step writes into memory that is the provider's.
func (s *Scenario) scribbles() bool {
	return slices.ContainsFunc(s.steps, func(st step) bool { return st.verb.name == "scribble" })
}

// Steps is the number of steps.
func (s *Scenario) Steps() int { return len(s.steps) }

// Parse reads a scenario. name is the file's, for errors, which are *Error.
func Parse(name string, text []byte) (*Scenario, error) {
	src := &source{name: name, text: string(text)}
	root, err := src.tree()
	if err != nil {
		return nil, err
	}
	top, err := src.mapping(root, "a scenario", topTable[:], nil)
	if err != nil {
		return nil, err
	}
	for _, k := range []string{"name", "title", "steps"} {
		if _, ok := top[k]; !ok {
			return nil, src.fault(root.line, root.column, "a scenario needs the key %s", k)
		}
	}
	s := &Scenario{
		Name: top["name"].text, Title: top["title"].text, Text: strings.TrimSpace(top["text"].text),
		Service: "none", FastOpen: true, Delay: DefaultDelay, Limit: DefaultLimit, Knobs: Knobs{Seed: DefaultSeed, Verifier: PolicyReport},
		Reports: top["reports"].list, Sweep: top["sweep"].text, hosts: top["names"].hosts, file: name,
	}
	if strings.TrimSpace(s.Title) == "" || strings.Contains(s.Title, "\n") {
		at := top["title"].at
		return nil, src.fault(at.line, at.column, "title is one line")
	}
	if v, ok := top["limit"]; ok {
		s.Limit = v.time
	}
	if err := src.peer(s, top["peer"].at); err != nil {
		return nil, err
	}
	if err := src.knobs(s, top["knobs"].at); err != nil {
		return nil, err
	}
	return s, src.steps(s, top["steps"].at)
}

// peer reads the peer's keys; n may be nil.
func (s *source) peer(sc *Scenario, n *node) error {
	if n == nil {
		return nil
	}
	keys, err := s.mapping(n, "peer", peerTable[:], nil)
	if err != nil {
		return err
	}
	if v, ok := keys["service"]; ok {
		sc.Service = v.text
	}
	if v, ok := keys["fast-open"]; ok {
		sc.FastOpen = v.yes
	}
	if v, ok := keys["delay"]; ok {
		sc.Delay = v.time
	}
	sc.Loss = keys["loss"].chance
	return nil
}

// knobs reads the knobs; n may be nil.
func (s *source) knobs(sc *Scenario, n *node) error {
	if n == nil {
		return nil
	}
	keys, err := s.mapping(n, "knobs", knobTable[:], nil)
	if err != nil {
		return err
	}
	if v, ok := keys["seed"]; ok {
		sc.Knobs.Seed = v.count
	}
	if v, ok := keys["verifier"]; ok {
		sc.Knobs.Verifier = Policy(v.text)
	}
	sc.Knobs.Faults = Faults{
		FailNth: int(keys["fail-nth"].count), FailSites: keys["fail-sites"].yes, CancelRace: keys["cancel-race"].yes,
		Delay: keys["delay"].yes, ShortIO: keys["short-io"].yes, FastOpen: keys["fast-open-faults"].yes,
	}
	if v, ok := keys["completion"]; ok {
		sc.Knobs.Completion, err = ParseCompletion(v.text)
	}
	return err
}

// ParseCompletion reads a completion mode: later, inline or random.
func ParseCompletion(text string) (wsk.CompletionMode, error) {
	switch text {
	case "later":
		return wsk.CompleteLater, nil
	case "inline":
		return wsk.CompleteInline, nil
	case "random":
		return wsk.CompleteRandom, nil
	}
	return 0, fmt.Errorf("there is no completion mode %q: use later, inline or random", text)
}

// ParsePolicy reads a policy: report, stop, count or off.
func ParsePolicy(text string) (Policy, error) {
	p := Policy(text)
	if _, ok := policyTable[p]; !ok && p != PolicyOff {
		return "", fmt.Errorf("there is no verifier policy %q: use report, stop, count or off", text)
	}
	return p, nil
}

// faultTable has the faults that are switched on by name.
var faultTable = map[string]func(*Faults){
	"fail-sites":  func(f *Faults) { f.FailSites = true },
	"cancel-race": func(f *Faults) { f.CancelRace = true },
	"delay":       func(f *Faults) { f.Delay = true },
	"short-io":    func(f *Faults) { f.ShortIO = true },
	"fast-open":   func(f *Faults) { f.FastOpen = true },
}

// FaultNames are the names that ParseFaults knows.
func FaultNames() []string { return slices.Sorted(maps.Keys(faultTable)) }

// ParseFaults reads names of faults.
func ParseFaults(list []string) (Faults, error) {
	var f Faults
	for _, name := range list {
		set, ok := faultTable[name]
		if !ok {
			return f, fmt.Errorf("there is no fault %q: use %s", name, strings.Join(FaultNames(), ", "))
		}
		set(&f)
	}
	return f, nil
}

// steps reads the steps.
func (s *source) steps(sc *Scenario, n *node) error {
	if !n.isList || len(n.list) == 0 {
		return s.fault(n.line, n.column, "steps is a list of at least one step: '- do: socket'")
	}
	if len(n.list) > maxSteps {
		return s.fault(n.line, n.column, "%d steps; %d are the most", len(n.list), maxSteps)
	}
	for _, e := range n.list {
		st, err := s.step(e)
		if err != nil {
			return err
		}
		sc.steps = append(sc.steps, st)
	}
	return s.references(sc)
}

// step reads one step.
func (s *source) step(n *node) (step, error) {
	i := slices.IndexFunc(n.pairs, func(p pair) bool { return p.key.text == "do" })
	if i < 0 {
		return step{}, s.fault(n.line, n.column, "a step needs the key do: '- do: socket'")
	}
	word := n.pairs[i].value
	v := findVerb(word.text)
	if v == nil {
		return step{}, s.fault(word.line, word.column, "there is no verb %q: %s", word.text, verbs())
	}
	keys, err := s.mapping(n, v.name, v.keys(), v.flags)
	if err != nil {
		return step{}, err
	}
	st := step{verb: v, line: n.line, keys: keys}
	for _, k := range strings.Fields(v.required) {
		if _, ok := keys[k]; !ok {
			return step{}, s.fault(n.line, n.column, "%s needs the key %s", v.name, k)
		}
	}
	if e, ok := keys["expect"]; ok {
		if st.expect, err = s.mapping(e.at, "expect of "+v.name, v.expectations(), nil); err != nil {
			return step{}, err
		}
	}
	return st, s.consistent(n, st)
}

// consistent checks what keys say together.
func (s *source) consistent(n *node, st step) error {
	if st.verb.irp && st.keys["async"].yes && st.name("irp") == "" {
		return s.fault(n.line, n.column, "a request that is not waited for needs a name: irp")
	}
	given := 0
	for _, k := range []string{"data", "hex", "size"} {
		if st.has(k) {
			given++
		}
	}
	if given > 1 {
		return s.fault(n.line, n.column, "data, hex and size exclude each other")
	}
	if o, ok := st.keys["option"]; ok {
		if _, _, ok := parseOption(o.text); !ok {
			return s.fault(o.at.line, o.at.column, "there is no option %q: use LEVEL:CODE, or one of %s", o.text, optionNames())
		}
	}
	if c, ok := st.keys["code"]; ok {
		if _, ok := parseIoctl(c.text); !ok {
			return s.fault(c.at.line, c.at.column, "there is no ioctl %q: use its number, or one of %s", c.text, ioctlNames())
		}
	}
	return nil
}

// references checks that names are made before they are used.
func (s *source) references(sc *Scenario) error {
	made := map[string]bool{}
	irps := map[string]bool{}
	for _, st := range sc.steps {
		if v, ok := st.keys["socket"]; ok && !made[v.text] && !madeByEvent(made, v.text) {
			return s.fault(v.at.line, v.at.column, "no step before makes %q", v.text)
		}
		if v, ok := st.keys["conn"]; ok && !made[v.text] {
			return s.fault(v.at.line, v.at.column, "no step before makes %q", v.text)
		}
		if v, ok := st.keys["irp"]; ok {
			if !st.verb.irp && !irps[v.text] {
				return s.fault(v.at.line, v.at.column, "no step before has an IRP %q", v.text)
			}
			irps[v.text] = true
		}
		for _, k := range []string{"remote", "local"} {
			if v, ok := st.keys[k]; ok && !knownAddress(v.text, made) {
				return s.fault(v.at.line, v.at.column, "%s is %q; it has to be peer, closed, nowhere, a name that a step gave, or ADDRESS:PORT", k, v.text)
			}
		}
		for _, k := range []string{"as", "accepted"} {
			if v, ok := st.keys[k]; ok {
				made[v.text] = true
			}
		}
	}
	return nil
}

// madeByEvent reports whether a name is the second or a later one of accepted.
func madeByEvent(made map[string]bool, name string) bool {
	i := strings.LastIndexByte(name, '-')
	return i > 0 && made[name[:i]]
}

func findVerb(name string) *verb {
	for i := range verbTable {
		if verbTable[i].name == name {
			return &verbTable[i]
		}
	}
	return nil
}

func verbs() string {
	var list []string
	for _, v := range verbTable {
		list = append(list, v.name)
	}
	return strings.Join(list, ", ")
}

// keys are those that the verb knows.
func (v *verb) keys() []key {
	all := "do " + allKeys + " " + v.required + " " + v.optional
	if v.irp {
		all += " " + irpKeys
	}
	if v.irp || v.expects != "" {
		all += " expect"
	}
	return selectKeys(stepTable[:], all)
}

// expectations are the keys of its expect.
func (v *verb) expectations() []key {
	all := v.expects
	if v.irp {
		all += " " + irpExpects
	}
	return selectKeys(expectTable[:], all)
}

// selectKeys picks the keys with the given names.
func selectKeys(from []key, list string) []key {
	var out []key
	want := strings.Fields(list)
	for _, k := range from {
		if slices.Contains(want, k.name) {
			out = append(out, k)
		}
	}
	return out
}

func (st *step) has(k string) bool { _, ok := st.keys[k]; return ok }

func (st *step) name(k string) string { return st.keys[k].text }
