package verifier

import (
	"fmt"
	"reflect"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// socketRecord is what is known of one socket; v.mu guards it.
type socketRecord struct {
	object
	number  uint64
	client  *clientRecord
	calls   uint64 // so far
	inside  map[*callRecord]struct{}
	pended  int    // IRPs that are out
	running *frame // the callback that is being called
	closing bool   // CloseSocket was called
	closed  bool
	dead    trace // when it was told that it is dead
	table   []uintptr
}

// eventRecord is one call of an event callback.
type eventRecord struct {
	frame *frame
	nodes []*node
}

// socketOf returns the record of a socket; nil for none. Precondition: v.mu is held.
func (v *Verifier) socketOf(s *wsk.Observed, at trace) *socketRecord {
	if s == nil {
		return nil
	}
	if r, ok := s.Data.(*socketRecord); ok {
		return r
	}
	r := &socketRecord{
		object: v.newObject(s.Category + " socket"), client: v.clientOf(s.Client, at), inside: map[*callRecord]struct{}{},
	}
	v.numbers["socket"]++
	r.number = uint64(v.numbers["socket"])
	r.history.add("created", at)
	s.Data = r
	v.sockets[r] = struct{}{}
	return r
}

// Socket implements wsk.Observer.
func (o observer) Socket(s *wsk.Observed, there bool) {
	v := o.v
	at := v.take()
	v.mu.Lock()
	r := v.socketOf(s, at)
	if there {
		v.mu.Unlock()
		return // and a lock of another socket's is held
	}
	r.history.add("closed", at)
	r.closed = true
	delete(v.sockets, r)
	for i := range v.pending {
		if i.call.socket == r && i.call.left { // one that is still inside is not pended yet
			v.breach("M1", &i.object, at, i.call.function+" is still out, and "+r.name+" is closed")
		}
	}
	v.mu.Unlock()
	v.flush()
}

// callbackBegins checks that a socket's callbacks are called one at a time, and none
// after its close. Precondition: v.mu is held.
func (v *Verifier) callbackBegins(f *frame, at trace) {
	s := f.socket
	if s == nil {
		return
	}
	if s.closed {
		v.breach("M5", &s.object, at, f.what)
	}
	if s.running != nil {
		v.breach("M4", &s.object, at, f.what+" while another goroutine, or this one, is in "+s.running.what)
	}
	s.running, f.serial = f, true
}

func (v *Verifier) callbackEnds(f *frame) {
	if f.serial && f.socket.running == f {
		f.socket.running = nil
	}
}

// checkAnswer checks what a callback has answered. Precondition: v.mu is held.
func (v *Verifier) checkAnswer(e *wsk.Callback, s *socketRecord, at trace) {
	if e.Dead {
		return // what it answers does not matter
	}
	detail := ""
	switch e.Event {
	case wsk.EventReceive:
		switch {
		case e.Answer != ntstatus.Success && e.Answer != ntstatus.Pending && e.Answer != ntstatus.DataNotAccepted:
			detail = "answered " + e.Answer.String()
		case e.Accepted > e.Indicated:
			detail = fmt.Sprintf("accepted %d bytes of %d", e.Accepted, e.Indicated)
		case e.Answer == ntstatus.Pending && e.Accepted != e.Indicated:
			detail = fmt.Sprintf("retained all and accepted %d bytes of %d", e.Accepted, e.Indicated)
		}
	case wsk.EventReceiveFrom:
		if e.Answer != ntstatus.Success && e.Answer != ntstatus.Pending && e.Answer != ntstatus.DataNotAccepted {
			detail = "answered " + e.Answer.String()
		}
	case wsk.CallbackInspect:
		if e.Answer > ntstatus.Status(wsk.InspectPend) {
			detail = fmt.Sprintf("answered %d, which is no action", uint32(e.Answer))
		}
	case wsk.EventAccept:
		if e.Answer != ntstatus.Success && e.Answer != ntstatus.RequestNotAccepted {
			detail = "answered " + e.Answer.String()
		}
	default:
		if e.Answer != ntstatus.Success {
			detail = "answered " + e.Answer.String()
		}
	}
	if detail != "" {
		v.breach("B6", &s.object, at, eventName(e.Event)+" callback "+detail)
	}
}

// checkTable checks that a socket's table of callbacks is as it was at its first use.
// Precondition: v.mu is held.
func (v *Verifier) checkTable(s *socketRecord, e *wsk.Callback, at trace) {
	now := functionsOf(e.Table)
	if s.table == nil {
		s.table = now
		return
	}
	for k := range now {
		if k < len(s.table) && s.table[k] != now[k] {
			v.breachOnce("S11", &s.object, at, "its table of callbacks was changed while in use")
			return
		}
	}
}

// functionsOf returns what identifies the functions of a table.
func functionsOf(table any) []uintptr {
	t := reflect.ValueOf(table)
	if t.Kind() != reflect.Pointer || t.IsNil() {
		return nil
	}
	var out []uintptr
	for k := range t.Elem().NumField() {
		if f := t.Elem().Field(k); f.Kind() == reflect.Func {
			out = append(out, f.Pointer())
		}
	}
	return out
}

func eventName(event uint32) string {
	switch event {
	case wsk.EventAccept:
		return "Accept"
	case wsk.EventReceive:
		return "Receive"
	case wsk.EventReceiveFrom:
		return "ReceiveFrom"
	case wsk.EventDisconnect:
		return "Disconnect"
	case wsk.EventSendBacklog:
		return "SendBacklog"
	case wsk.CallbackInspect:
		return "Inspect"
	case wsk.CallbackAbort:
		return "Abort"
	}
	return fmt.Sprintf("event %#x", event)
}
