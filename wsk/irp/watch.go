package irp

// Watcher is told what becomes of one IRP, on the goroutine that does it and with no
// lock held. It is for checkers: an IRP without one pays a comparison. It may call
// nothing of its IRP but Allocated.
type Watcher interface {
	// Happened tells of an event after the IRP has taken or refused it; from is the
	// state before it.
	Happened(event Event, from State, taken bool)
	// Routine is called when the provider has completed the IRP, before its completion
	// routine, if it has one; what it returns is called when that has returned.
	Routine(result StatusBlock, pendingReturned, hasRoutine bool) func()
	// Read tells that the IRP was asked for its result, or for its state only.
	Read(in State, result bool)
}

// Watch makes w the IRP's watcher for good, unless it has one already, and returns
// the one that it has; a nil w only asks.
func (i *IRP) Watch(w Watcher) Watcher {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.watcher == nil {
		i.watcher = w
	}
	return i.watcher
}

// Allocated reports whether New made the IRP: only such a one is to be freed.
func (i *IRP) Allocated() bool { return i != nil && i.allocated }

// tell tells a watcher, if there is one.
func tell(w Watcher, event Event, from State, taken bool) {
	if w != nil {
		w.Happened(event, from, taken)
	}
}
