package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Recorder keeps the events of a relay: Config.Observe is its Observe method.
// The zero value is ready. All methods may be called at the same time.
type Recorder struct {
	mu     sync.Mutex
	events []Event
	// changed is closed, and forgotten, at the next event; nil if nobody waits.
	changed chan struct{}
}

// Observe notes an event.
func (r *Recorder) Observe(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Events are those noted since the last Reset, in order.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Reset forgets all events and returns them.
func (r *Recorder) Reset() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// Wait blocks until an event that was or will be noted satisfies want, and
// returns the first. It fails when the context ends.
func (r *Recorder) Wait(ctx context.Context, want func(Event) bool) (Event, error) {
	for {
		e, found, changed := r.find(want)
		if found {
			return e, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("relay: no such packet was seen: %w", context.Cause(ctx))
		}
	}
}

func (r *Recorder) find(want func(Event) bool) (Event, bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.events, want); i >= 0 {
		return r.events[i], true, nil
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return Event{}, false, r.changed
}
