package wsk

import (
	"math/rand/v2"
	"slices"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// CompletionMode says when requests complete that can be done at once.
type CompletionMode uint32

// The modes. CloseSocket, and calls that wait for a Resolver or the transport list,
// pend in all of them.
const (
	// CompleteLater pends every successful call, as its callers on Windows see most
	// of the time; a routine never runs on the caller's stack. This is the default.
	CompleteLater CompletionMode = iota
	// CompleteInline completes what can be done at once before the call returns, with
	// STATUS_SUCCESS and PendingReturned false: routines may then run on the caller's
	// stack, and while another routine of the same socket is running. Requests that are
	// served in turn (sends, receives, accepts) pend while one that is decided still
	// has to complete, so that none overtakes another.
	CompleteInline
	// CompleteRandom does either, by a seed.
	CompleteRandom
)

// SetCompletionMode sets the mode for calls from now on; the seed matters for
// CompleteRandom, where the same seed decides the same for the same sequence of
// calls.
func (p *Provider) SetCompletionMode(mode CompletionMode, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.random = rand.New(rand.NewPCG(seed, 0))
	p.mode.Store(uint32(mode))
}

// inline decides about one call.
func (p *Provider) inline() bool {
	switch CompletionMode(p.mode.Load()) {
	case CompleteInline:
		return true
	case CompleteRandom:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.random.IntN(2) == 0
	default:
		return false
	}
}

// tryInline moves what can be moved at once and reports whether o is decided by that;
// its status is then in o.result. What else is decided stays with the worker. While a
// callback runs, what it was given is not decided, and nothing may overtake it.
// Precondition: f.mu is held and o is queued.
func (f *flow) tryInline(o *op) bool {
	if f.events.running != 0 || f.behind() {
		return false
	}
	f.move()
	k := slices.Index(f.finished, o)
	if k < 0 {
		return false
	}
	f.resume(f.finished[k : k+1])
	f.finished = slices.Delete(f.finished, k, k+1)
	return o.result.Status != ntstatus.Pending
}

// behind reports whether there are requests that are decided and whose routines have
// not returned: a request that is served in turn must not complete before them.
// Precondition: f.mu is held.
func (f *flow) behind() bool { return len(f.finished) > 0 || f.inHand > 0 }
