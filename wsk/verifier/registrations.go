package verifier

import (
	"fmt"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// clientRecord is what is known of one registration; v.mu guards it.
type clientRecord struct {
	object
	calls    uint64
	captures int
	leaving  trace // when Deregister was called
	gone     bool
}

// listRecord is a list that GetAddressInfo has made.
type listRecord struct {
	object
	client *clientRecord
}

// clientOf returns the record of a registration; nil for none. Precondition: v.mu is
// held.
func (v *Verifier) clientOf(c *wsk.Client, at trace) *clientRecord {
	if c == nil {
		return nil
	}
	r := v.clients[c]
	if r == nil {
		r = &clientRecord{object: v.newObject("registration")}
		r.history.add("registered", at)
		v.clients[c] = r
	}
	return r
}

// freeList is told of a FreeAddressInfo. Precondition: v.mu is held.
func (v *Verifier) freeList(c *wsk.Call, call *callRecord, at trace) {
	list, _ := c.List.(*wsk.AddrInfo)
	l := v.lists[list]
	switch {
	case l != nil && l.client == call.client:
		delete(v.lists, list)
	case l != nil:
		v.breach("B7", &l.object, at, "freed for another client")
	default:
		about := &object{name: "call of " + c.Function}
		if call.client != nil {
			about = &call.client.object
		}
		v.breach("B7", about, at, "no such list, or freed before")
	}
}

// deregistered is told how a Deregister ended. Precondition: v.mu is held.
func (v *Verifier) deregistered(c *wsk.Call, r *clientRecord, status ntstatus.Status, at trace) {
	if status != ntstatus.Success {
		v.blockers(r, at, "Deregister has given up")
		return
	}
	r.gone = true
	delete(v.clients, c.Client)
	v.leaks(r, at)
}

// blockers reports the sockets that a deregistration waits for.
func (v *Verifier) blockers(r *clientRecord, at trace, why string) {
	for s := range v.sockets {
		if s.client == r {
			v.breachOnce("S10", &s.object, at, why)
		}
	}
}

// leaks reports what belongs to a client that is gone, or, with nil, to anybody.
func (v *Verifier) leaks(r *clientRecord, at trace) {
	for i := range v.given {
		if r == nil || i.client == r {
			v.breach("I11", &i.object, at, "")
			delete(v.given, i)
		}
	}
	for key, l := range v.lists {
		if r == nil || l.client == r {
			v.breach("B7", &l.object, at, "never freed")
			delete(v.lists, key)
		}
	}
}

// Finish is the unload of the client's driver: it reports what should not be there
// any more, and looks a last time at everything that is kept. Call it when the client
// is done; it may be called again.
func (v *Verifier) Finish() {
	at := v.take()
	v.mu.Lock()
	for s := range v.sockets {
		v.breachOnce("R2", &s.object, at, "a socket is open")
	}
	for r := range v.pending {
		v.breachOnce("R2", &r.object, at, "an IRP is pending")
	}
	for _, c := range v.clients {
		v.breachOnce("R2", &c.object, at, "a registration has not ended")
		if c.captures > 0 {
			v.breachOnce("R1", &c.object, at, fmt.Sprintf("%d captures are not released", c.captures))
		}
	}
	for r := range v.unread {
		v.breachOnce("I13", &r.object, at, "it has completed, and nobody has looked")
	}
	v.leaks(nil, at)
	v.checkMemory(at)
	v.mu.Unlock()
	v.flush()
}
