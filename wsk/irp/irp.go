package irp

import (
	"sync"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// CompletionRoutine is called once for each time the IRP is handed in, with the
// context given to SetCompletionRoutine. It may free or reuse the IRP, start new
// requests and close the socket; it must not wait for another request. If the
// call pended it runs on a goroutine of the provider, otherwise on the caller's,
// before the call returns.
type CompletionRoutine func(i *IRP, context any)

// StatusBlock is the result of a request (IO_STATUS_BLOCK).
type StatusBlock struct {
	// Status is the final status, never STATUS_PENDING.
	Status ntstatus.Status
	// Information is the count that the function documents: bytes, as a rule.
	Information uintptr
	// Object is what the function made, where Windows puts a pointer into
	// Information: the new socket. Nil otherwise.
	Object any
}

// IRP is one request. The zero value is an idle IRP without a routine, so one
// may be embedded in another object; it must not be copied after first use. All
// methods are safe for concurrent use and never block; on a nil IRP they refuse.
type IRP struct {
	mu sync.Mutex // a leaf; guards all below

	state           State
	pendingReturned bool
	hooked          bool // in this turn the hook is being called, or was
	allocated       bool // made by New
	routine         CompletionRoutine
	context         any
	status          StatusBlock
	hook            func() // the operation's cancel hook while the provider owns the IRP
	turn            uint64 // how often it was submitted
	watcher         Watcher
}

// New returns an idle IRP with the given routine and context (IoAllocateIrp and
// IoSetCompletionRoutine). routine may be nil: then nothing is called and State
// tells when it is over.
func New(routine CompletionRoutine, context any) *IRP {
	return &IRP{routine: routine, context: context, allocated: true}
}

// SetCompletionRoutine sets what is called on completion, whatever the result
// (IoSetCompletionRoutine with all three invoke flags). It answers
// STATUS_INVALID_DEVICE_STATE and changes nothing unless the client owns the IRP
// and it is ready for use: after a completion, Reuse comes first.
func (i *IRP) SetCompletionRoutine(routine CompletionRoutine, context any) ntstatus.Status {
	if i == nil {
		return ntstatus.InvalidParameter
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, legal := Next(i.state, EventSubmit); !legal {
		return ntstatus.InvalidDeviceState
	}
	i.routine, i.context = routine, context
	return ntstatus.Success
}

// Reuse makes a completed or idle IRP ready for its next use (IoReuseIrp): the
// routine, the result and the cancel mark are cleared and the status is set to
// the one given. It answers STATUS_INVALID_DEVICE_STATE and changes nothing if
// the provider owns the IRP or it was freed.
func (i *IRP) Reuse(status ntstatus.Status) ntstatus.Status {
	if i == nil {
		return ntstatus.InvalidParameter
	}
	i.mu.Lock()
	from, w := i.state, i.watcher
	_, legal := i.happen(EventReuse)
	if legal {
		i.routine, i.context = nil, nil
		i.status = StatusBlock{Status: status}
		i.pendingReturned = false
	}
	i.mu.Unlock()
	tell(w, EventReuse, from, legal)
	if !legal {
		return ntstatus.InvalidDeviceState
	}
	return ntstatus.Success
}

// Cancel asks for the request to be cancelled (IoCancelIrp) and reports whether
// an operation was told; that says nothing about the outcome, since the operation
// may complete first. Before the IRP is submitted it marks it: the next call that
// takes it ends with STATUS_CANCELLED. After completion it does nothing.
func (i *IRP) Cancel() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	from, w := i.state, i.watcher
	c, legal := i.happen(EventCancel)
	hook, turn := i.hook, i.turn
	i.mu.Unlock()
	tell(w, EventCancel, from, legal)
	if !c.hook || hook == nil {
		return false
	}
	i.mu.Lock()
	if i.turn == turn && i.state == Cancelling { // it may have completed, and be out again
		i.hooked = true
	}
	i.mu.Unlock()
	hook()
	return true
}

// Free gives the IRP up (IoFreeIrp): nothing can be done with it any more. It
// answers STATUS_INVALID_DEVICE_STATE and changes nothing if the provider owns
// the IRP or it was freed before. The memory is the garbage collector's.
func (i *IRP) Free() ntstatus.Status {
	if i == nil {
		return ntstatus.InvalidParameter
	}
	i.mu.Lock()
	from, w := i.state, i.watcher
	_, legal := i.happen(EventFree)
	if legal {
		i.routine, i.context, i.hook = nil, nil, nil
		i.status.Object = nil
	}
	i.mu.Unlock()
	tell(w, EventFree, from, legal)
	if !legal {
		return ntstatus.InvalidDeviceState
	}
	return ntstatus.Success
}

// IoStatus returns the result. It is that of the request from its completion
// until Reuse; before, it is what New or Reuse left.
func (i *IRP) IoStatus() StatusBlock {
	if i == nil {
		return StatusBlock{Status: ntstatus.InvalidParameter}
	}
	i.mu.Lock()
	state, value, w := i.state, i.status, i.watcher
	i.mu.Unlock()
	if w != nil {
		w.Read(state, true)
	}
	return value
}

// PendingReturned reports, from completion until Reuse, whether the call that
// took the IRP answered STATUS_PENDING.
func (i *IRP) PendingReturned() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	state, value, w := i.state, i.pendingReturned, i.watcher
	i.mu.Unlock()
	if w != nil {
		w.Read(state, true)
	}
	return value
}

// State returns where the IRP is in its life; a snapshot only.
func (i *IRP) State() State {
	if i == nil {
		return Freed
	}
	i.mu.Lock()
	value, w := i.state, i.watcher
	i.mu.Unlock()
	if w != nil {
		w.Read(value, false)
	}
	return value
}

// happen is the only place that changes the state. Precondition: i.mu is held.
func (i *IRP) happen(event Event) (cell, bool) {
	c := table[i.state][event]
	if c.legal {
		i.state = c.next
	}
	return c, c.legal
}
