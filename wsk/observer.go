package wsk

import (
	"errors"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Observer is told what passes between clients and the provider; package verifier
// has one. Without one a call pays a comparison with nil.
//
// Where no lock is mentioned, a method is called with none held, on the goroutine
// that acts, and may wait: it then delays what it was told of. With a lock of the
// socket's held it must not wait and must call nothing of this package.
type Observer interface {
	// Enter tells that a call begins, Leave that it is about to return status.
	Enter(c *Call)
	Leave(c *Call, status ntstatus.Status)
	// Admit may refuse a call's request for want of resources. The socket's lock may
	// be held.
	Admit(c *Call) ntstatus.Status
	// Memory tells of a request's memory, which the provider reads or, if written,
	// fills. It returns the memory to use instead, of the same size, or segs. The
	// socket's lock is held.
	Memory(c *Call, segs [][]byte, written bool) [][]byte
	// Completing tells that a call's IRP is about to complete: what is to be filled is
	// filled.
	Completing(c *Call, result irp.StatusBlock)

	// Socket tells that a socket is there, or, once its last routine has returned, that
	// it is not any more. A lock of another socket may be held.
	Socket(s *Observed, there bool)

	// Indicate tells of memory that a callback is about to be given, and returns the
	// memory to give, with the same content. The socket's lock is held.
	Indicate(s *Observed, data []byte) []byte
	// Callback tells that an event callback is about to be called, Answered that it has
	// returned.
	Callback(e *Callback)
	Answered(e *Callback)
}

// Call is a call of a function, for an Observer. Its fields do not change once it was
// told of, except where they say so.
type Call struct {
	Function string    // as in LIFECYCLES.md
	Client   *Client   // nil where there is none
	Socket   *Observed // nil where there is none
	IRP      *irp.IRP  // nil where there is none
	List     any       // *DataIndication, *DatagramIndication, or, from Completing on for GetAddressInfo, *AddrInfo
	State    State     // of the socket; set before Memory and Leave
	Fault    Fault     // what was wrong with the call; set before Leave
	Data     any       // the Observer's

	observer Observer
}

// Observed is a socket, for an Observer.
type Observed struct {
	Category string // as in SocketState
	Socket   any    // *ConnectionSocket and so on
	Client   *Client
	Data     any // the Observer's
}

// The events of conditional accept, for Callback.Event: no mask has them.
const (
	CallbackInspect uint32 = 0x1
	CallbackAbort   uint32 = 0x2
)

// Callback is a call of an event callback, for an Observer.
type Callback struct {
	Event  uint32 // EventReceive and so on, or CallbackInspect or CallbackAbort
	Socket *Observed
	Table  any  // the table that the callback is from
	List   any  // *DataIndication or *DatagramIndication, nil where there is none
	Dead   bool // it tells that the socket is dead

	// Set before Answered.

	Answer    ntstatus.Status // of CallbackInspect the InspectAction
	Indicated uint64          // bytes of a ReceiveEvent
	Accepted  uint64          // *bytesAccepted
	Data      any             // the Observer's, any time

	observer Observer
}

// Fault is what was wrong with a call that the client could have known to be wrong.
type Fault uint8

// The faults.
const (
	FaultNone     Fault = iota
	FaultIRP            // an IRP is missing, or there is one where there may be none
	FaultClosed         // the socket is closed, or closing
	FaultState          // the socket is not in a state for it
	FaultFlags          // reserved or contradictory flags or values
	FaultAddress        // an address that is missing, or of another family, or a wildcard
	FaultOutput         // an output buffer is too small
	FaultBuffer         // a Buf that its chain does not hold
	FaultEvents         // a mask of events that cannot be switched like that
	FaultList           // a list that was not given out, or was given back before
	FaultRegister       // the registration is in use, or over
	FaultCapture        // the dispatch table was released, or is not the client's
)

// SetObserver gives the provider its observer, before everything else. It fails once
// the provider was started or has clients.
func (p *Provider) SetObserver(o Observer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network != nil || p.stopped || len(p.clients) > 0 {
		return errors.New("wsk: SetObserver comes before Start and Register")
	}
	p.observer = o
	return nil
}

// watch tells the observer that a call begins, and returns nil if there is none.
func (p *Provider) watch(function string, client *Client, i *irp.IRP, list any) *Call {
	if p == nil || p.observer == nil {
		return nil
	}
	c := &Call{Function: function, Client: client, IRP: i, List: list, observer: p.observer}
	p.observer.Enter(c)
	return c
}

// watch is watch for a client-level function.
func (d *ProviderDispatch) watch(function string, client *Client, i *irp.IRP, list any) *Call {
	if d == nil {
		return nil
	}
	return d.provider.watch(function, client, i, list)
}

// watch is watch for a registration's function.
func (c *Client) watch(function string) *Call {
	if c == nil {
		return nil
	}
	return c.provider.watch(function, c, nil, nil)
}

// watch is watch for a socket's function. Without a socket there is no provider to
// ask; what watches the IRP is told that there was none.
func (f *flow) watch(function string, i *irp.IRP, list any) *Call {
	if f == nil {
		if w, ok := i.Watch(nil).(interface{ NoSocket(function string) }); ok {
			w.NoSocket(function)
		}
		return nil
	}
	if f.observed == nil {
		return nil
	}
	c := &Call{
		Function: function, Client: f.client, Socket: f.observed, IRP: i, List: list, observer: f.client.provider.observer,
	}
	c.observer.Enter(c)
	return c
}

// watchFunction is watch for a function of the tables.
func (f *flow) watchFunction(fn function, i *irp.IRP) *Call {
	if f != nil && f.observed == nil {
		return nil // before its name is made
	}
	return f.watch(fn.String(), i, nil)
}

// The methods of Call are there for a nil Call as well.

// leave tells that the call returns status, and returns it.
func (c *Call) leave(status ntstatus.Status) ntstatus.Status {
	if c != nil {
		c.observer.Leave(c, status)
	}
	return status
}

// fail notes what is wrong with the call.
func (c *Call) fail(fault Fault) {
	if c != nil {
		c.Fault = fault
	}
}

// admit asks whether there are resources.
func (c *Call) admit() ntstatus.Status {
	if c == nil {
		return ntstatus.Success
	}
	return c.observer.Admit(c)
}

// memory tells of a request's memory.
func (c *Call) memory(segs [][]byte, written bool) [][]byte {
	if c == nil {
		return segs
	}
	return c.observer.Memory(c, segs, written)
}

// completing tells that the IRP is about to complete.
func (c *Call) completing(result irp.StatusBlock) {
	if c != nil {
		c.observer.Completing(c, result)
	}
}

// fail notes what is wrong with the call that is going on, and returns status.
// Precondition: f.mu is held.
func (f *flow) fail(fault Fault, status ntstatus.Status) ntstatus.Status {
	f.fault = fault
	return status
}

// exists tells that the socket is there, or not any more.
func (f *flow) exists(there bool) {
	if f.observed != nil {
		f.client.provider.observer.Socket(f.observed, there)
	}
}

// indicate tells of memory that a callback is given. Precondition: f.mu is held.
func (f *flow) indicate(data []byte) []byte {
	if f.observed == nil {
		return data
	}
	return f.client.provider.observer.Indicate(f.observed, data)
}

// calling tells that a callback of table is called, with list if it is given one.
func (f *flow) calling(event uint32, table, list any, dead bool) *Callback {
	if f.observed == nil {
		return nil
	}
	e := &Callback{
		Event: event, Socket: f.observed, Table: table, List: list, Dead: dead, observer: f.client.provider.observer,
	}
	e.observer.Callback(e)
	return e
}

// answered tells what a callback has returned; e may be nil.
func (e *Callback) answered(status ntstatus.Status, indicated, accepted uint64) {
	if e != nil {
		e.Answer, e.Indicated, e.Accepted = status, indicated, accepted
		e.observer.Answered(e)
	}
}
