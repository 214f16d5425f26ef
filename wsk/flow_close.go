package wsk

import (
	"errors"
	"io"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// closeSocket is WskCloseSocket: everything pended is cancelled, and the close
// itself completes after all of that, from which point nothing of the socket runs.
func (f *flow) closeSocket(i *irp.IRP) ntstatus.Status {
	return f.call(fnClose, i, func(o *op) ntstatus.Status {
		from := f.state
		if status, work := f.allow(fnClose); !work {
			return status
		}
		f.giveUp(from)
		f.endAll(endClosed)
		f.in = indications{}
		o.kind = kindClose
		f.closing = o
		return ntstatus.Pending
	})
}

// giveUp parts with the transport of a socket that was in state from: a reset if
// there is a connection that is not closed both ways. Precondition: f.mu is held.
func (f *flow) giveUp(from State) {
	f.unclaim()
	f.endSilence()
	if f.datagram != nil {
		// The socket is gone whatever a transport says to that.
		_ = f.datagram.Close()
		*f.dg = datagrams{}
	}
	t := f.transport
	if t == nil {
		return
	}
	if from.carries() && f.bothWaysClosed(from) {
		from = Disconnected
	}
	switch {
	case from == Connecting || from.carries():
		t.Abort()
	case from == Aborted || from == Dead || from == Silent:
		// It was given up when that happened.
	default:
		// The socket is gone whatever a transport says to that.
		_ = t.Close()
	}
}

// bothWaysClosed looks whether both FINs are there though no request has told so
// yet. A byte that is read here is lost with the connection.
func (f *flow) bothWaysClosed(from State) bool {
	if len(f.in.held) > 0 || !f.finSent || !f.transport.WriteClosed() {
		return false
	}
	if from.finSeen() {
		return true
	}
	_, err := f.transport.Read([][]byte{make([]byte, 1)})
	return errors.Is(err, io.EOF)
}

// stepClose completes the close once nothing else of the socket is left.
// Precondition: f.mu is held.
func (f *flow) stepClose() {
	if f.closing == nil || f.calls > 0 || len(f.finished) > 0 {
		return
	}
	o := f.closing
	f.closing = nil
	o.final = true
	f.happen(hapCloseDone)
	f.finish(o, ntstatus.Success)
}
