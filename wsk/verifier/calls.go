package verifier

import (
	"slices"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// observer is the Verifier as the provider sees it. Each method first takes the
// caller's stack down, then does its work under v.mu, tells of what it found, and
// last may wait, if a fault says so.
type observer struct{ v *Verifier }

// frame is something of ours that is on a goroutine's stack: a call, a completion
// routine or an event callback.
type frame struct {
	what   string
	call   *callRecord   // of a call, else nil
	irp    *irpRecord    // of a completion routine, else nil
	socket *socketRecord // nil if there is none
	serial bool          // it counts as the one callback of its socket
	since  trace
}

// callback reports whether the frame is a routine or an event callback.
func (f *frame) callback() bool { return f.call == nil }

// callRecord is one call; v.mu guards the fields that change.
type callRecord struct {
	function string
	at       trace
	ordinal  uint64 // of the calls on its socket, or of its client
	object   uint64 // number that stands for that socket or client
	client   *clientRecord
	socket   *socketRecord // nil at client level
	irp      *irpRecord    // nil without an IRP, or with one that another verifier watches
	memory   []*memory

	taken     bool // its IRP was submitted
	completed bool // its IRP was
	marked    bool // PendingReturned
	status    ntstatus.Status
	left      bool // it has returned
	returned  ntstatus.Status
	gone      chan struct{} // closed when it has returned; nil unless a fault waits for that
}

// faultRules says which rule a fault of a call breaks.
var faultTable = map[wsk.Fault]string{
	wsk.FaultIRP: "I12", wsk.FaultClosed: "S1", wsk.FaultState: "S6", wsk.FaultFlags: "S7", wsk.FaultAddress: "S8",
	wsk.FaultOutput: "S8", wsk.FaultBuffer: "B1", wsk.FaultEvents: "S11", wsk.FaultList: "S5",
	wsk.FaultRegister: "R1", wsk.FaultCapture: "R1",
}

const (
	closeSocket = "CloseSocket"
	deregister  = "Deregister"
)

// Enter implements wsk.Observer.
func (o observer) Enter(c *wsk.Call) {
	v := o.v
	at := v.take()
	call := &callRecord{function: c.Function, at: at}
	c.Data = call
	if c.IRP != nil {
		call.irp = v.record(c.IRP)
	}
	v.mu.Lock()
	call.client = v.clientOf(c.Client, at)
	call.socket = v.socketOf(c.Socket, at)
	v.number(call)
	v.entering(c, call, at)
	if call.irp != nil {
		call.irp.inside = append(call.irp.inside, call)
	}
	if call.socket != nil {
		call.socket.inside[call] = struct{}{}
	}
	v.push(at.goroutine, &frame{what: c.Function, call: call, socket: call.socket, since: at})
	v.mu.Unlock()
	v.flush()
	v.delay(pointEnter, call)
}

// number gives a call its place among its socket's, or its client's.
func (v *Verifier) number(call *callRecord) {
	switch {
	case call.socket != nil:
		call.socket.calls++
		call.object, call.ordinal = call.socket.number, call.socket.calls
	case call.client != nil:
		call.client.calls++
		call.ordinal = call.client.calls
	}
	if v.cfg.Faults.Completion == ForcePending {
		call.gone = make(chan struct{})
	}
}

// entering checks what can be seen before a call does anything. Precondition: v.mu is
// held.
func (v *Verifier) entering(c *wsk.Call, call *callRecord, at trace) {
	if s := call.socket; s != nil {
		s.history.add(call.function, at)
		v.checkParallel(s, call, at)
		if call.function == closeSocket {
			v.checkRetained(s, at)
			s.closing = true
		}
	}
	switch call.function {
	case deregister:
		call.client.history.add(deregister, at)
		call.client.leaving = at
		if f := v.callbackOn(at.goroutine); f != nil {
			v.breach("R3", &call.client.object, at, "inside "+f.what)
		}
	case "FreeAddressInfo":
		v.freeList(c, call, at)
	}
}

// checkParallel looks for calls of other goroutines on the same socket that must not
// run at the same time. Precondition: v.mu is held.
func (v *Verifier) checkParallel(s *socketRecord, call *callRecord, at trace) {
	for other := range s.inside {
		if other.at.goroutine == at.goroutine || other.completed {
			continue // a routine of the other's already runs: it is as good as over
		}
		switch {
		case call.function == closeSocket || other.function == closeSocket:
			s.history.add("inside "+other.function, other.at)
			v.breach("S2", &s.object, at, call.function+" while another goroutine is inside "+other.function)
			return
		case call.function == "Accept" && other.function == "Accept":
			s.history.add("inside Accept", other.at)
			v.breach("S9", &s.object, at, "")
			return
		}
	}
}

// Leave implements wsk.Observer.
func (o observer) Leave(c *wsk.Call, status ntstatus.Status) {
	v := o.v
	call := c.Data.(*callRecord)
	at := v.takeOn(call.at.goroutine)
	v.mu.Lock()
	if r := call.irp; r != nil {
		r.inside = slices.DeleteFunc(r.inside, func(other *callRecord) bool { return other == call })
	}
	v.popCall(at.goroutine, call)
	call.left, call.returned = true, status
	if call.socket != nil {
		delete(call.socket.inside, call)
	}
	if call.gone != nil {
		close(call.gone)
	}
	v.checkFault(c, call, at)
	if call.taken && call.irp != nil {
		switch {
		case call.completed:
			v.checkReturn(call, at)
		case status != ntstatus.Pending:
			v.breach("M2", &call.irp.object, at, c.Function+" returned "+status.String()+" before the IRP was completed")
		}
	}
	v.leaving(c, call, status, at)
	v.mu.Unlock()
	v.flush()
}

// checkFault reports what the provider has found wrong with a call. Precondition: v.mu
// is held.
func (v *Verifier) checkFault(c *wsk.Call, call *callRecord, at trace) {
	id := faultTable[c.Fault]
	if id == "" {
		return
	}
	about, detail := &object{name: "call of " + c.Function}, c.Function
	switch {
	case call.socket != nil:
		about, detail = &call.socket.object, detail+" in state "+c.State.String()
	case call.client != nil:
		about = &call.client.object
	}
	if c.Fault == wsk.FaultClosed && c.Function == closeSocket {
		id = "S3"
	}
	v.breach(id, about, at, detail)
}

// leaving follows what a call has done. Precondition: v.mu is held.
func (v *Verifier) leaving(c *wsk.Call, call *callRecord, status ntstatus.Status, at trace) {
	switch call.function {
	case "Register":
		if status != ntstatus.Success {
			delete(v.clients, c.Client)
		}
	case "CaptureProviderNPI":
		if status == ntstatus.Success {
			call.client.captures++
		}
	case "ReleaseProviderNPI":
		if c.Fault == wsk.FaultNone {
			call.client.captures--
		}
	case "Release":
		if status == ntstatus.Success {
			v.takeBack(c.List, call.socket, at)
		}
	case deregister:
		v.deregistered(c, call.client, status, at)
	}
}

// Completing implements wsk.Observer.
func (o observer) Completing(c *wsk.Call, result irp.StatusBlock) {
	v := o.v
	at := v.takeOn(0)
	call := c.Data.(*callRecord)
	if call.gone != nil {
		at.goroutine = goroutine()
	}
	v.mu.Lock()
	v.settleMemory(call, int(result.Information), at)
	if list, ok := c.List.(*wsk.AddrInfo); ok && result.Status == ntstatus.Success && c.Function == "GetAddressInfo" {
		v.lists[list] = &listRecord{object: v.newObject("address list"), client: call.client}
		v.lists[list].history.add("made", at)
	}
	inline := call.gone != nil && v.insideCall(at.goroutine, call)
	v.mu.Unlock()
	v.flush()
	v.delay(pointComplete, call)
	v.raceCompletion(c, call)
	if call.gone != nil && !inline {
		<-call.gone       // force-pending: not before the call has returned,
		v.pause(maxSteps) // which is its last step, and then the caller's turn
	}
}

// Callback implements wsk.Observer.
func (o observer) Callback(e *wsk.Callback) {
	v := o.v
	at := v.take()
	v.mu.Lock()
	s := v.socketOf(e.Socket, at)
	f := &frame{what: eventName(e.Event) + " callback", socket: s, since: at}
	e.Data = &eventRecord{frame: f, nodes: v.handOut(e.List, s)}
	what := f.what
	if e.Dead {
		what += " (the socket is dead)"
		s.dead = at
	}
	s.history.add(what, at)
	v.checkTable(s, e, at)
	v.callbackBegins(f, at)
	v.push(at.goroutine, f)
	v.mu.Unlock()
	v.flush()
}

// Answered implements wsk.Observer.
func (o observer) Answered(e *wsk.Callback) {
	v := o.v
	record := e.Data.(*eventRecord)
	at := v.takeOn(record.frame.since.goroutine)
	v.mu.Lock()
	s := record.frame.socket
	v.checkAnswer(e, s, at)
	retained := e.Answer == ntstatus.Pending && e.Event&(wsk.EventReceive|wsk.EventReceiveFrom) != 0
	for _, n := range record.nodes {
		v.handedBack(n, retained, at)
	}
	v.pop(at.goroutine, record.frame)
	v.callbackEnds(record.frame)
	v.mu.Unlock()
	v.flush()
}

// push and pop keep the frames of a goroutine. Precondition: v.mu is held.
func (v *Verifier) push(goroutine uint64, f *frame) {
	if !v.numbered {
		return
	}
	v.frames[goroutine] = append(v.frames[goroutine], f)
}

func (v *Verifier) pop(goroutine uint64, f *frame) {
	stack := v.frames[goroutine]
	for k := len(stack) - 1; k >= 0; k-- {
		if stack[k] == f {
			stack = append(stack[:k], stack[k+1:]...)
			break
		}
	}
	if len(stack) == 0 {
		delete(v.frames, goroutine)
		return
	}
	v.frames[goroutine] = stack
}

func (v *Verifier) popCall(goroutine uint64, call *callRecord) {
	for _, f := range v.frames[goroutine] {
		if f.call == call {
			v.pop(goroutine, f)
			return
		}
	}
}

// insideCall reports whether a goroutine is inside a call.
func (v *Verifier) insideCall(goroutine uint64, call *callRecord) bool {
	for _, f := range v.frames[goroutine] {
		if f.call == call {
			return true
		}
	}
	return false
}

// callbackOn returns a routine or callback on a goroutine's stack, nil if there is none.
func (v *Verifier) callbackOn(goroutine uint64) *frame {
	for _, f := range v.frames[goroutine] {
		if f.callback() {
			return f
		}
	}
	return nil
}

// routinesOn counts the completion routines on a goroutine's stack.
func (v *Verifier) routinesOn(goroutine uint64) int {
	n := 0
	for _, f := range v.frames[goroutine] {
		if f.irp != nil {
			n++
		}
	}
	return n
}
