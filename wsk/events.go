package wsk

import (
	"encoding/binary"
	"math/bits"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// GUID is a Windows GUID.
type GUID struct {
	Data1        uint32
	Data2, Data3 uint16
	Data4        [8]byte
}

// append appends the GUID in its binary form.
func (g GUID) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, g.Data1)
	b = binary.LittleEndian.AppendUint16(b, g.Data2)
	b = binary.LittleEndian.AppendUint16(b, g.Data3)
	return append(b, g.Data4[:]...)
}

// NPI_WSK_INTERFACE_ID identifies the event callbacks of the interface itself.
func NPI_WSK_INTERFACE_ID() GUID {
	return GUID{0x2227E803, 0x8D8B, 0x11D4, [8]byte{0xAB, 0xAD, 0x00, 0x90, 0x27, 0x71, 0x9E, 0x09}}
}

// EventCallbackControl says which event callbacks to enable or disable
// (WSK_EVENT_CALLBACK_CONTROL). Bytes gives it the form that ControlSocket and
// ControlClient take; the GUID is in place, where Windows has a pointer to it.
type EventCallbackControl struct {
	NpiID     GUID   // NPI_WSK_INTERFACE_ID
	EventMask uint32 // EventAccept and so on
}

const eventCallbackControlSize = 20 // bytes

// Bytes returns c in its binary form, 20 bytes, little-endian.
func (c EventCallbackControl) Bytes() []byte {
	b := c.NpiID.append(make([]byte, 0, eventCallbackControlSize))
	return binary.LittleEndian.AppendUint32(b, c.EventMask)
}

// parseEventMask reads the mask out of the binary form.
func parseEventMask(b []byte) (uint32, ntstatus.Status) {
	if len(b) < eventCallbackControlSize {
		return 0, ntstatus.InvalidParameter
	}
	mask := binary.LittleEndian.Uint32(b[16:])
	known := EventCallbackControl{NPI_WSK_INTERFACE_ID(), mask}.Bytes()
	if string(known) != string(b[:eventCallbackControlSize]) {
		return 0, ntstatus.NotSupported // there are no other interfaces
	}
	return mask, ntstatus.Success
}

// The events of each flow.
const (
	connectionEvents = EventReceive | EventDisconnect | EventSendBacklog
	allEvents        = EventAccept | EventReceiveFrom | connectionEvents
)

// The two callbacks of conditional accept have no mask; these are for running and
// dead, and for an Observer.
const (
	eventInspect = CallbackInspect
	eventAbort   = CallbackAbort
)

// events is a socket's event callbacks; flow.mu guards it.
type events struct {
	tables   clientTables
	enabled  uint32 // callbacks that may be called
	static   uint32 // of those, the ones that cannot be switched
	template uint32 // of a listening socket: what sockets given to AcceptEvent have
	running  uint32 // the callback that is being called
	dead     uint32 // the callback that is still to be told that the socket is dead
}

// enableStatic turns the client's static callbacks on, as far as the socket has
// them. Precondition: f.mu is held, or nobody knows f yet.
func (f *flow) enableStatic() {
	f.client.provider.mu.Lock()
	static := f.client.static
	f.client.provider.mu.Unlock()
	f.events.static = static & f.events.tables.has()
	f.events.enabled |= f.events.static
}

// eventCallback is WskControlSocket with SO_WSK_EVENT_CALLBACK; i may be nil.
func (f *flow) eventCallback(input []byte, i *irp.IRP) ntstatus.Status {
	fn := fnEvents
	if f.category.flag == FlagDatagramSocket {
		fn = fnEventsDatagram
	}
	if i == nil {
		return f.sync(fn, func() ntstatus.Status { return f.switchEvents(fn, input, true) })
	}
	return f.call(fn, i, func(*op) ntstatus.Status { return f.switchEvents(fn, input, false) })
}

// switchEvents enables or disables callbacks. A disable that comes with an IRP
// needs no wait for a callback that is being called: the worker, which calls it,
// completes the IRP when it returned. Precondition: f.mu is held.
func (f *flow) switchEvents(fn function, input []byte, synchronous bool) ntstatus.Status {
	mask, status := parseEventMask(input)
	if status != ntstatus.Success {
		return f.fail(FaultEvents, status)
	}
	if status, work := f.allow(fn); !work {
		return status
	}
	if mask&EventDisable == 0 {
		if !synchronous {
			f.fault = FaultIRP // by the book; real clients wait for it
		}
		return f.enableEvents(mask)
	}
	event := mask &^ EventDisable
	if bits.OnesCount32(event) != 1 || event&^f.ownEvents() != 0 || event&f.events.static != 0 {
		return f.fail(FaultEvents, ntstatus.InvalidParameter)
	}
	f.events.enabled &^= event
	if synchronous && f.events.running == event {
		return ntstatus.EventPending
	}
	return ntstatus.Success
}

// ownEvents returns the events that can come from the socket in its flow.
func (f *flow) ownEvents() uint32 {
	switch {
	case f.category.flag == FlagDatagramSocket:
		return EventReceiveFrom
	case f.state.listens():
		return EventAccept
	}
	return connectionEvents
}

// enableEvents checks and enables. Precondition: f.mu is held.
func (f *flow) enableEvents(mask uint32) ntstatus.Status {
	own, template := mask&f.ownEvents(), uint32(0)
	if f.state.listens() {
		template = mask & connectionEvents
	}
	if f.offer != nil { // the client gives the table and the context in these days
		f.takeOffer()
	}
	if mask == 0 || mask != own|template || own&^f.events.tables.has() != 0 || own&f.events.static != 0 {
		return f.fail(FaultEvents, ntstatus.InvalidParameter)
	}
	if mask&EventReceive != 0 {
		f.in.stopped = false // what is there is told of
	}
	f.events.enabled |= own
	f.events.template |= template
	return ntstatus.Success
}

// armed reports whether the socket is to look when its transport wakes it though
// no request is pended. Precondition: f.mu is held.
func (f *flow) armed() bool {
	return (f.events.enabled != 0 || f.state == Conditional) && f.state < Closing
}

// nextEvent returns the call of the next callback that is due, nil if none is, and
// says that it is running. Precondition: f.mu is held.
func (f *flow) nextEvent() func() {
	event, call := f.dueEvent()
	f.events.running = event
	return call
}

func (f *flow) dueEvent() (event uint32, call func()) {
	if event, call = f.dueInspect(); call != nil {
		return event, call
	}
	if f.state.listens() && f.events.enabled&EventAccept != 0 {
		if call = f.dueAccept(); call != nil {
			return EventAccept, call
		}
	}
	if call = f.dueReceiveFrom(); call != nil {
		return EventReceiveFrom, call
	}
	if call = f.dueReceive(); call != nil {
		return EventReceive, call
	}
	if call = f.dueDisconnect(); call != nil {
		return EventDisconnect, call
	}
	if call = f.dueBacklog(); call != nil {
		return EventSendBacklog, call
	}
	return f.dueDead()
}

// dueDead returns the call that tells a dead socket's client, once. A socket has
// one flow, so it is one callback. Precondition: f.mu is held.
func (f *flow) dueDead() (uint32, func()) {
	event := f.events.dead
	f.events.dead = 0
	if f.state != Dead || event == 0 {
		return 0, nil
	}
	t, context := f.events.tables, f.context
	switch event {
	case EventReceiveFrom:
		return event, func() {
			e := f.calling(event, t.datagram, nil, true)
			e.answered(t.datagram.ReceiveFromEvent(context, 0, nil), 0, 0)
		}
	case eventInspect:
		return event, func() {
			e := f.calling(event, t.listen, nil, true)
			t.listen.InspectEvent(context, nil, nil, nil)
			e.answered(ntstatus.Success, 0, 0)
		}
	case EventAccept:
		return event, func() {
			e := f.calling(event, t.listen, nil, true)
			e.answered(t.listen.AcceptEvent(context, 0, nil, nil, nil, nil, nil), 0, 0)
		}
	}
	return event, func() {
		e := f.calling(event, t.connection, nil, true)
		e.answered(t.connection.ReceiveEvent(context, 0, nil, 0, nil), 0, 0)
	}
}

// eventOver is called when a callback has returned.
func (f *flow) eventOver() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events.running = 0
}
