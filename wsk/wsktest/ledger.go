package wsktest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Ledger keeps account of requests: that each completes exactly once, and that what
// the call returned, the status of the IRP and PendingReturned agree. The zero value
// is an empty ledger; all methods are safe for concurrent use.
type Ledger struct {
	submitted, completed atomic.Int64

	mu       sync.Mutex // a leaf; guards all below
	faults   []string
	statuses map[ntstatus.Status]int64
}

// maxFaults is how many faults a ledger keeps; the first ones tell the most.
const maxFaults = 20

// Entry is one request of a ledger.
type Entry struct {
	ledger *Ledger
	irp    *irp.IRP
	then   func(e *Entry, result irp.StatusBlock)

	mu       sync.Mutex // guards all below; before the ledger's
	returned ntstatus.Status
	back     bool // the call has returned
	times    int  // that the routine was called
	pending  bool
	result   irp.StatusBlock
}

// New returns an entry with an idle IRP. then, which may be nil, is called by the
// completion routine, after the entry has been brought up to date.
func (l *Ledger) New(then func(e *Entry, result irp.StatusBlock)) *Entry {
	return &Entry{ledger: l, irp: new(irp.IRP), then: then}
}

// Submit hands the IRP in with call, once, and returns what call returned.
func (e *Entry) Submit(call func(i *irp.IRP) ntstatus.Status) ntstatus.Status {
	e.irp.SetCompletionRoutine(complete, e)
	e.ledger.submitted.Add(1)
	status := call(e.irp)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.returned, e.back = status, true
	if status != ntstatus.Pending && e.times == 0 {
		e.ledger.fault("a call returned %v, and its IRP has not completed", status)
	}
	e.compare()
	return status
}

// Again returns an entry for the next use of a completed IRP. It is for the completion
// routine, which owns the IRP.
func (e *Entry) Again(then func(e *Entry, result irp.StatusBlock)) *Entry {
	if status := e.irp.Reuse(ntstatus.Unsuccessful); status != ntstatus.Success {
		e.ledger.fault("a completed IRP cannot be used again: %v", status)
	}
	return &Entry{ledger: e.ledger, irp: e.irp, then: then}
}

// Then sets what the completion routine calls, before Submit.
func (e *Entry) Then(then func(e *Entry, result irp.StatusBlock)) { e.then = then }

// Cancel cancels the request.
func (e *Entry) Cancel() bool { return e.irp.Cancel() }

// IRP is the entry's; it belongs to the entry.
func (e *Entry) IRP() *irp.IRP { return e.irp }

// complete is the completion routine of all entries.
func complete(i *irp.IRP, context any) {
	e := context.(*Entry)
	result := i.IoStatus()
	e.mu.Lock()
	e.times++
	e.pending, e.result = i.PendingReturned(), result
	if e.times > 1 {
		e.ledger.fault("an IRP was completed %d times, at last with %v", e.times, result.Status)
	}
	e.compare()
	then := e.then
	e.mu.Unlock()
	e.ledger.count(result.Status)
	if then != nil {
		then(e, result)
	}
}

// compare looks whether the return and the completion agree, once both are known.
// Precondition: e.mu is held.
func (e *Entry) compare() {
	switch {
	case !e.back || e.times != 1:
	case e.pending != (e.returned == ntstatus.Pending):
		e.ledger.fault("a call returned %v, and PendingReturned is %v", e.returned, e.pending)
	case !e.pending && e.returned != e.result.Status:
		e.ledger.fault("a call returned %v, and its IRP completed with %v", e.returned, e.result.Status)
	case e.result.Status == ntstatus.Pending:
		e.ledger.fault("an IRP completed with STATUS_PENDING")
	}
}

func (l *Ledger) count(status ntstatus.Status) {
	l.completed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.statuses == nil {
		l.statuses = map[ntstatus.Status]int64{}
	}
	l.statuses[status]++
}

func (l *Ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// Completed is the number of completions so far.
func (l *Ledger) Completed() int64 { return l.completed.Load() }

// Open is the number of requests that have not completed.
func (l *Ledger) Open() int64 { return l.submitted.Load() - l.completed.Load() }

// Faults are the first faults that were found.
func (l *Ledger) Faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.faults...)
}

// Statuses says how often each status was the result.
func (l *Ledger) Statuses() map[ntstatus.Status]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[ntstatus.Status]int64, len(l.statuses))
	for s, n := range l.statuses {
		all[s] = n
	}
	return all
}
