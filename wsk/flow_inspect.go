package wsk

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// inspectIDOf is a request's identity as clients have it. The serial number is in the
// key as well.
func inspectIDOf(id RequestID) InspectID {
	return InspectID{Key: uint64(id), SerialNumber: uint32(id)}
}

// dueInspect returns the call of InspectEvent or AbortEvent if there is news of a
// connection request. Precondition: f.mu is held.
func (f *flow) dueInspect() (event uint32, call func()) {
	for f.state == Conditional {
		q, err := f.inspector().NextRequest()
		switch {
		case errors.Is(err, net.ErrClosed):
			f.withdraw()
			return 0, nil
		case err != nil:
			return 0, nil
		case !q.Gone:
			return eventInspect, f.inspectCall(q)
		}
		if f.events.tables.listen.AbortEvent != nil {
			return eventAbort, f.abortCall(q)
		}
	}
	return 0, nil
}

// inspectCall asks the client about a request. Precondition: f.mu is held.
func (f *flow) inspectCall(q Request) func() {
	table, context := f.events.tables.listen, f.context
	return func() {
		id := inspectIDOf(q.ID)
		local, remote := sockAddrOf(f.family, q.Local), sockAddrOf(f.family, q.Remote)
		e := f.calling(eventInspect, table, nil, false)
		action := table.InspectEvent(context, &local, &remote, &id)
		e.answered(ntstatus.Status(action), 0, 0)
		if action == InspectPend {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.state == Conditional {
			// The client may have decided by InspectComplete already.
			_ = f.inspector().Decide(q.ID, action == InspectAccept)
		}
	}
}

// abortCall tells the client that a request is gone. Precondition: f.mu is held.
func (f *flow) abortCall(q Request) func() {
	table, context := f.events.tables.listen, f.context
	return func() {
		id := inspectIDOf(q.ID)
		e := f.calling(eventAbort, table, nil, false)
		e.answered(table.AbortEvent(context, &id), 0, 0)
	}
}

// inspectComplete is WskInspectComplete.
func (f *flow) inspectComplete(id *InspectID, action InspectAction, i *irp.IRP) ntstatus.Status {
	return f.call(fnInspectComplete, i, func(*op) ntstatus.Status {
		if id == nil || action != InspectAccept && action != InspectReject {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if status, work := f.allow(fnInspectComplete); !work {
			return status
		}
		if f.state != Conditional || *id != inspectIDOf(RequestID(id.Key)) {
			return ntstatus.NotFound
		}
		err := f.inspector().Decide(RequestID(id.Key), action == InspectAccept)
		if errors.Is(err, syscall.ENOENT) {
			return ntstatus.NotFound
		}
		return statusOf(err, always)
	})
}

// inspector is the transport of a conditional socket, which would not be one without.
func (f *flow) inspector() Inspector {
	i, _ := as[Inspector](f.transport)
	return i
}

// setConditional tells a transport whether to ask; it must be able to.
func (o options) setConditional(t Transport) error {
	q, ok := as[Inspector](t)
	if !ok {
		return syscall.EOPNOTSUPP
	}
	return q.SetInspect(o.conditional)
}

// inspectIDSize is the size of WSK_INSPECT_ID with its padding, in bytes.
const inspectIDSize = 16

// Bytes returns the id in its binary form, 16 bytes, little-endian.
func (id InspectID) Bytes() []byte {
	b := binary.LittleEndian.AppendUint64(nil, id.Key)
	b = binary.LittleEndian.AppendUint32(b, id.SerialNumber)
	return append(b, 0, 0, 0, 0)
}

// ParseInspectID is the way back from Bytes; false if b is too short.
func ParseInspectID(b []byte) (InspectID, bool) {
	if len(b) < inspectIDSize {
		return InspectID{}, false
	}
	return InspectID{Key: binary.LittleEndian.Uint64(b), SerialNumber: binary.LittleEndian.Uint32(b[8:])}, true
}

// queryInspectID is SIO_WSK_QUERY_INSPECT_ID.
func (f *flow) queryInspectID(r *ioctlRequest) ntstatus.Status {
	if f.inspected == 0 {
		return ntstatus.InvalidDeviceRequest
	}
	return r.answer(f, inspectIDOf(f.inspected).Bytes())
}

// silence is SIO_WSK_SET_TCP_SILENT_MODE. Receives that are pended stay so until they
// are cancelled or the socket is closed.
func (f *flow) silence(*ioctlRequest) ntstatus.Status {
	if stateTable[fnSilence][f.state].answer != proceed || !f.sends.empty() {
		return f.fail(FaultState, ntstatus.InvalidDeviceState)
	}
	t, ok := as[Silencer](f.transport)
	if !ok {
		return ntstatus.NotSupported
	}
	end, err := t.Silence()
	if err != nil {
		return statusOf(err, setting)
	}
	f.speak = end
	status, _ := f.allow(fnSilence)
	return status
}

// endSilence lets the ports of a silent connection speak again. Precondition: f.mu is
// held.
func (f *flow) endSilence() {
	if f.speak != nil {
		f.speak()
		f.speak = nil
	}
}
