package stacktest

import (
	"sync"
	"sync/atomic"
)

// Pausable is what has goroutines that testing/synctest cannot see blocking:
// a *gstack.Stack. Pause returns when all work that was queued is done.
type Pausable interface {
	Pause()
	Resume()
}

// barrier keeps the processors of one stack paused, but for its rounds.
//
//	none ──guard──► paused ──round──► paused        open: resumed for good
type barrier struct {
	// left is how many rounds may still find something to do. Two follow a
	// packet or a timer: the first may wake goroutines that queue more without
	// anything being seen on the wire.
	left atomic.Int32

	mu     sync.Mutex
	stack  Pausable // guarded by mu; nil: nothing to pause
	opened bool     // guarded by mu
}

// guard pauses a stack.
func (b *barrier) guard(p Pausable) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stack == nil && !b.opened {
		b.stack = p
		p.Pause()
	}
}

// touch asks for at least n rounds.
func (b *barrier) touch(n int32) {
	for {
		old := b.left.Load()
		if old >= n || b.left.CompareAndSwap(old, n) {
			return
		}
	}
}

// round lets the processors work until they have nothing to do. It reports
// whether that was asked for.
func (b *barrier) round() bool {
	old := b.left.Load()
	for old > 0 && !b.left.CompareAndSwap(old, old-1) {
		old = b.left.Load()
	}
	if old == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stack != nil && !b.opened {
		b.stack.Resume()
		b.stack.Pause()
	}
	return true
}

// open resumes the processors for good: the stack is about to be closed.
func (b *barrier) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stack != nil && !b.opened {
		b.stack.Resume()
	}
	b.opened = true
}
