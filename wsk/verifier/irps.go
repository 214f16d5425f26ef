package verifier

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// irpRecord is what is known of one IRP; it is the IRP's watcher and lives as long as
// the IRP does.
type irpRecord struct {
	v   *Verifier
	irp *irp.IRP

	// v.mu guards all below.
	object
	inside []*callRecord // calls with it that have not returned, the innermost last
	call   *callRecord   // the submission that it is out with, or was last
	last   trace         // its last completion
	client *clientRecord // that used it last, nil if none has
}

// NewIRP is irp.New for clients that free their IRPs, as drivers do: the IRP's
// history begins here, and it must be freed before its registration ends (I11). On a
// nil Verifier it is irp.New.
func (v *Verifier) NewIRP(routine irp.CompletionRoutine, context any) *irp.IRP {
	i := irp.New(routine, context)
	if v == nil {
		return i
	}
	at := v.take()
	r := v.record(i)
	v.mu.Lock()
	defer v.mu.Unlock()
	r.history.add("allocated", at)
	v.given[r] = struct{}{}
	return i
}

// record returns the record of an IRP, nil if another verifier watches it.
func (v *Verifier) record(i *irp.IRP) *irpRecord {
	w := i.Watch(nil)
	if w == nil {
		r := &irpRecord{v: v, irp: i}
		v.mu.Lock()
		r.object = v.newObject("IRP")
		v.mu.Unlock()
		w = i.Watch(r)
	}
	if r, ok := w.(*irpRecord); ok && r.v == v {
		return r
	}
	return nil
}

// Happened implements irp.Watcher.
func (r *irpRecord) Happened(event irp.Event, from irp.State, taken bool) {
	v := r.v
	if event == irp.EventSubmit {
		r.submitted(from, taken)
		v.flush()
		return
	}
	at := v.take()
	v.mu.Lock()
	switch event {
	case irp.EventSubmit: // see above
	case irp.EventComplete:
		r.last = at
		r.completed(at, taken)
	case irp.EventReuse:
		r.history.add(word("reused", taken), at)
		delete(v.unread, r)
		if !taken {
			v.breach(ownedOr(from, "I1", "I4"), &r.object, at, "IoReuseIrp while "+from.String())
		}
	case irp.EventFree:
		r.freed(at, from, taken)
	case irp.EventCancel:
		r.history.add(word("cancelled", taken), at)
	}
	v.mu.Unlock()
	if event == irp.EventCancel && from == irp.Pending {
		v.raceCancel(r)
	}
	v.flush()
}

// word says what happened, or that it was refused.
func word(what string, taken bool) string {
	if taken {
		return what
	}
	return what + " (refused)"
}

// ownedOr picks a rule by whether the provider owns the IRP.
func ownedOr(from irp.State, owned, other string) string {
	if from == irp.Pending || from == irp.Cancelling {
		return owned
	}
	return other
}

// submitted is told of a submission: by a call, or, outside of one, by a client that
// plays the provider.
func (r *irpRecord) submitted(from irp.State, taken bool) {
	v := r.v
	v.mu.Lock()
	defer v.mu.Unlock()
	call, what := r.submitter(), "submitted by its client itself"
	var at trace
	if call != nil {
		at, what = v.takeOn(call.at.goroutine), "submitted ("+call.function+")"
	} else {
		at = v.take()
	}
	r.history.add(word(what, taken), at)
	switch {
	case taken:
		r.call = call
		delete(v.unread, r)
		if call != nil {
			r.client = call.client
			call.taken = true
			v.pending[r] = struct{}{}
			if call.socket != nil {
				call.socket.pended++
			}
		}
	case call == nil:
		v.breach("I3", &r.object, at, "submitted by its client while "+from.String())
	case from == irp.Completed:
		v.breach("I2", &r.object, at, call.function)
	default:
		v.breach(ownedOr(from, "I1", "I4"), &r.object, at, call.function+" while "+from.String())
	}
}

// submitter returns the call that submits it just now, nil if none does. Precondition:
// v.mu is held.
func (r *irpRecord) submitter() *callRecord {
	for k := len(r.inside) - 1; k >= 0; k-- {
		if !r.inside[k].taken {
			return r.inside[k]
		}
	}
	return nil
}

// completed is told of a completion. Precondition: v.mu is held.
func (r *irpRecord) completed(at trace, taken bool) {
	v := r.v
	r.history.add(word("completed", taken), at)
	if !taken {
		id := "M1"
		if r.call == nil {
			id = "I3"
		}
		v.breach(id, &r.object, at, "completed again")
		return
	}
	delete(v.pending, r)
	if r.call == nil {
		return
	}
	if s := r.call.socket; s != nil {
		s.pended--
	}
}

// freed is told of an IoFreeIrp. Precondition: v.mu is held.
func (r *irpRecord) freed(at trace, from irp.State, taken bool) {
	v := r.v
	r.history.add(word("freed", taken), at)
	switch {
	case taken && !r.irp.Allocated():
		v.breach("I4", &r.object, at, "it did not come from IoAllocateIrp")
	case taken:
		delete(v.given, r)
		delete(v.unread, r)
	default:
		v.breach("I4", &r.object, at, "freed while "+from.String())
	}
}

// Routine implements irp.Watcher.
func (r *irpRecord) Routine(result irp.StatusBlock, pendingReturned, hasRoutine bool) func() {
	v := r.v
	v.mu.Lock()
	call, at := r.call, r.last
	f := &frame{what: "completion routine", irp: r, since: at}
	if call != nil {
		call.completed, call.marked, call.status = true, pendingReturned, result.Status
		f.socket = call.socket
		if call.left {
			v.checkReturn(call, at)
		}
		if pendingReturned {
			v.callbackBegins(f, at)
		}
		if !hasRoutine {
			v.unread[r] = struct{}{}
		}
	}
	v.push(at.goroutine, f)
	if depth := v.routinesOn(at.goroutine); depth == v.cfg.Limits.Depth+1 {
		v.breach("Q4", &r.object, at, "routines are nested deeper than the limit")
	}
	v.mu.Unlock()
	v.flush()
	return func() {
		v.mu.Lock()
		v.pop(at.goroutine, f)
		v.callbackEnds(f)
		v.mu.Unlock()
	}
}

// checkReturn compares what a call has returned with what its IRP was completed with;
// both are known. Precondition: v.mu is held.
func (v *Verifier) checkReturn(c *callRecord, at trace) {
	if (c.returned == ntstatus.Pending) != c.marked {
		v.breach("M2", &c.irp.object, at, c.function+" returned "+c.returned.String())
	}
	if c.returned != ntstatus.Pending && c.returned != c.status {
		v.breach("M6", &c.irp.object, at, c.function+" returned "+c.returned.String()+", the IRP has "+c.status.String())
	}
}

// Read implements irp.Watcher.
func (r *irpRecord) Read(in irp.State, result bool) {
	v := r.v
	owned := in == irp.Pending || in == irp.Cancelling
	if owned && !result {
		return // somebody waits by looking
	}
	v.mu.Lock()
	delete(v.unread, r)
	if owned {
		v.breach("I14", &r.object, v.takeOn(0), "while "+in.String())
	}
	v.mu.Unlock()
	v.flush()
}

// NoSocket is told of a call with this IRP on a socket that is none.
func (r *irpRecord) NoSocket(function string) {
	at := r.v.take()
	r.v.mu.Lock()
	r.v.breach("S1", &r.object, at, function+" on no socket")
	r.v.mu.Unlock()
	r.v.flush()
}
