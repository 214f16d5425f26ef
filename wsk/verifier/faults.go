package verifier

import (
	"errors"
	"hash/fnv"
	"runtime"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Completion says when requests complete that can be done at once.
type Completion uint8

// The ways to complete.
const (
	// AsConfigured leaves the provider's completion mode alone.
	AsConfigured Completion = iota
	// ForcePending pends everything, and no routine runs before its call is over and
	// Faults.Pause has let 16 steps pass.
	ForcePending
	// ForceInline completes before the call returns whatever can be.
	ForceInline
	// ForceRandom does either, by the seed.
	ForceRandom
)

// mode is the provider's mode for c, and whether there is one.
func (c Completion) mode() (wsk.CompletionMode, bool) {
	switch c {
	case ForcePending:
		return wsk.CompleteLater, true
	case ForceInline:
		return wsk.CompleteInline, true
	case ForceRandom:
		return wsk.CompleteRandom, true
	default:
		return 0, false
	}
}

// Faults are ways to disturb a client that all are legal: nothing here happens that
// could not happen on Windows. The same seed decides the same for the same calls: what
// happens to a call depends on the seed, on which socket it is made (the first, the
// second), and on which of that socket's calls it is. The zero value disturbs nothing.
type Faults struct {
	Seed       uint64
	Completion Completion

	// CancelRace makes cancels and completions of requests meet.
	CancelRace bool
	// Delay makes goroutines wait where calls begin and requests complete.
	Delay bool
	// Pause is how CancelRace, Delay and ForcePending wait: 1 to 16 steps, whose length is Pause's to
	// choose. Nil yields the processor once for each step.
	Pause func(steps int)

	// FailNth makes the n-th request, from 1, that needs resources fail with
	// STATUS_INSUFFICIENT_RESOURCES; 0 none. FailSites makes the first one from each
	// place in the client's code fail: from each stack once. Closes never fail.
	FailNth   int
	FailSites bool

	// ShortIO makes a Network's transports move less at a time than they could: single
	// bytes, a few, or nothing for now. FastOpen makes their connects go as if there were
	// no cookie, or as if the peer had taken only a part of the SYN's data. Both need
	// Verifier.Network.
	ShortIO  bool
	FastOpen bool
}

func (f Faults) check() error {
	if f.Completion > ForceRandom {
		return errors.New("verifier: Faults.Completion does not exist")
	}
	if f.FailNth < 0 {
		return errors.New("verifier: Faults.FailNth is negative: it counts from 1, and 0 is none")
	}
	return nil
}

// faultState is what the faults remember; v.mu guards it.
type faultState struct {
	admitted int
	sites    map[uint64]bool
}

// point is where a decision is made.
type point uint64

const (
	pointEnter point = iota + 1
	pointComplete
	pointCancel
	pointRace
	pointSelfCancel
	pointRead
	pointWrite
	pointConnect
	pointPart
)

// decide returns a number that depends on the seed, the point and the keys only
// (SplitMix64).
func (v *Verifier) decide(at point, keys ...uint64) uint64 {
	x := v.cfg.Faults.Seed
	for _, k := range append([]uint64{uint64(at)}, keys...) {
		x += 0x9E3779B97F4A7C15 ^ k
		x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
		x = (x ^ x>>27) * 0x94D049BB133111EB
		x ^= x >> 31
	}
	return x
}

// Admit implements wsk.Observer.
func (o observer) Admit(*wsk.Call) ntstatus.Status {
	v, f := o.v, o.v.cfg.Faults
	if f.FailNth == 0 && !f.FailSites {
		return ntstatus.Success
	}
	at := v.take()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults.admitted++
	fail := v.faults.admitted == f.FailNth
	if f.FailSites {
		site := at.site()
		fail = fail || !v.faults.sites[site]
		v.faults.sites[site] = true
	}
	if fail {
		return ntstatus.InsufficientResources
	}
	return ntstatus.Success
}

// site is a number for the stack.
func (t trace) site() uint64 {
	h := fnv.New64a()
	for _, pc := range t.pcs {
		for shift := 0; shift < 64; shift += 8 {
			h.Write([]byte{byte(pc >> shift)})
		}
	}
	return h.Sum64()
}

// maxSteps is how long a pause is at most.
const maxSteps = 16

// pause waits for some steps, perhaps none. No lock is held.
func (v *Verifier) pause(choice uint64) {
	steps := int(choice % (maxSteps + 1))
	if steps == 0 {
		return
	}
	if v.cfg.Faults.Pause != nil {
		v.cfg.Faults.Pause(steps)
		return
	}
	for range steps {
		runtime.Gosched()
	}
}

// delay is the delay fuzz at a point of a call's life.
func (v *Verifier) delay(at point, call *callRecord) {
	if v.cfg.Faults.Delay {
		v.pause(v.decide(at, call.object, call.ordinal))
	}
}

// raceCancel holds a cancel back before the operation is told of it, so that a
// completion can overtake it.
func (v *Verifier) raceCancel(r *irpRecord) {
	v.mu.Lock()
	call := r.call
	v.mu.Unlock()
	if v.cfg.Faults.CancelRace && call != nil {
		v.pause(v.decide(pointCancel, call.object, call.ordinal))
	}
}

// raceCompletion holds a completion back, so that a cancel can hit it, and cancels some
// requests itself, when that has no effect any more.
func (v *Verifier) raceCompletion(c *wsk.Call, call *callRecord) {
	if !v.cfg.Faults.CancelRace {
		return
	}
	v.pause(v.decide(pointRace, call.object, call.ordinal))
	if c.IRP != nil && v.decide(pointSelfCancel, call.object, call.ordinal)%2 == 0 {
		c.IRP.Cancel()
	}
}
