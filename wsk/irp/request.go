package irp

import "github.com/wskstack/wskstack/wsk/ntstatus"

// Request is the provider's hold on an IRP that a call has taken: from Submit
// until Complete. The zero Request holds nothing.
type Request struct {
	irp *IRP
}

// Submit takes an idle IRP for a call. hook, which may be nil, is called without
// a lock, at most once, when Cancel asks for the request to be cancelled; it must
// not block, and it may still be called while or just after the request
// completes. If i is nil, owned by another call, completed and not reused, or
// freed, Submit answers STATUS_INVALID_PARAMETER and touches nothing: there is no
// IRP that could be completed.
func Submit(i *IRP, hook func()) (Request, ntstatus.Status) {
	if i == nil {
		return Request{}, ntstatus.InvalidParameter
	}
	i.mu.Lock()
	from, w := i.state, i.watcher
	_, legal := i.happen(EventSubmit)
	if legal {
		i.hook, i.hooked = hook, false
		i.turn++
		i.status = StatusBlock{Status: ntstatus.Pending}
		i.pendingReturned = false
	}
	i.mu.Unlock()
	tell(w, EventSubmit, from, legal)
	if !legal {
		return Request{}, ntstatus.InvalidParameter
	}
	return Request{irp: i}, ntstatus.Success
}

// Cancelled reports whether cancel has been asked for.
func (r Request) Cancelled() bool {
	if r.irp == nil {
		return false
	}
	r.irp.mu.Lock()
	defer r.irp.mu.Unlock()
	return r.irp.state == Cancelling
}

// Hooked reports whether the request's cancel hook is being called, or was: what the hook
// would say if it knew the request.
func (r Request) Hooked() bool {
	if r.irp == nil {
		return false
	}
	r.irp.mu.Lock()
	defer r.irp.mu.Unlock()
	return r.irp.hooked
}

// MarkPending says that the call is going to answer STATUS_PENDING
// (IoMarkIrpPending). It comes before anything that could complete the request on
// another goroutine.
func (r Request) MarkPending() {
	if r.irp == nil {
		return
	}
	r.irp.mu.Lock()
	defer r.irp.mu.Unlock()
	r.irp.pendingReturned = true
}

// Complete ends the request and calls the completion routine on the caller's
// goroutine, which must hold no lock. It reports whether the request was there to
// be completed: false, and nothing happens, the second time. The IRP belongs to
// the client as soon as the routine is called.
func (r Request) Complete(result StatusBlock) bool {
	i := r.irp
	if i == nil {
		return false
	}
	i.mu.Lock()
	from, w := i.state, i.watcher
	if _, legal := i.happen(EventComplete); !legal {
		i.mu.Unlock()
		tell(w, EventComplete, from, false)
		return false
	}
	i.status = result
	i.hook = nil
	routine, context, pended := i.routine, i.context, i.pendingReturned
	i.mu.Unlock()
	tell(w, EventComplete, from, true)
	if w != nil {
		defer w.Routine(result, pended, routine != nil)()
	}
	if routine != nil {
		routine(i, context)
	}
	return true
}
