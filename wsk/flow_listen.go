package wsk

import (
	"errors"
	"net"
	"syscall"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// listenBacklog is how many connections may wait to be accepted: the interface has
// no say in it. Our own choice.
const listenBacklog = 128

// acceptRequest is what an Accept brings along.
type acceptRequest struct {
	context       any
	dispatch      *ClientConnectionDispatch
	local, remote *SockAddr // filled in just before the IRP completes; may be nil
	socket        *flow     // what was accepted
}

// offer is where an AcceptEvent callback leaves what the new socket is to have.
type offer struct {
	context  any
	dispatch *ClientConnectionDispatch
}

// startListening makes a bound transport listen. Precondition: f.mu is held.
func (f *flow) startListening() ntstatus.Status {
	if status := f.renew(); status != ntstatus.Success {
		return status
	}
	if err := f.transport.Listen(listenBacklog); err != nil {
		return statusOf(err, binding)
	}
	return statusOf(f.options.serveFastOpen(f.transport), setting)
}

// bindListen is WskBind of a listening socket, which listens from then on.
func (f *flow) bindListen(local *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.bindAs(fnBindListen, local, flags, i, func() ntstatus.Status {
		status := f.startListening()
		if status == ntstatus.Success {
			return status
		}
		// A bound transport cannot be bound again, but the socket can.
		f.transport.Abort()
		f.transport = nil
		f.unclaim()
		if renewed := f.newTransport(); renewed != ntstatus.Success {
			return renewed
		}
		return status
	})
}

// listen is WskListen.
func (f *flow) listen(i *irp.IRP) ntstatus.Status {
	return f.call(fnListen, i, func(*op) ntstatus.Status {
		if stateTable[fnListen][f.state].answer != proceed {
			return f.fail(FaultState, ntstatus.InvalidDeviceState)
		}
		if status := f.startListening(); status != ntstatus.Success {
			return status
		}
		status, _ := f.allow(fnListen)
		return status
	})
}

// accept is WskAccept.
func (f *flow) accept(flags uint32, context any, dispatch *ClientConnectionDispatch, local, remote *SockAddr, i *irp.IRP) ntstatus.Status {
	return f.call(fnAccept, i, func(o *op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if status, work := f.allow(fnAccept); !work {
			return status
		}
		o.kind = kindAccept
		o.accept = &acceptRequest{context: context, dispatch: dispatch, local: local, remote: remote}
		f.accepts.add(o)
		return ntstatus.Pending
	})
}

// stepAccept gives waiting connections to the requests, first come, first served.
// Precondition: f.mu is held, the state listens.
func (f *flow) stepAccept() {
	for !f.accepts.empty() {
		o := f.accepts.first
		g, status := f.takeConnection()
		if status == ntstatus.Pending || !f.state.listens() {
			return // nobody waits, or the socket died and took the requests
		}
		f.accepts.take()
		if status == ntstatus.Success {
			o.accept.deliver(g)
			o.accept.socket = g
			o.result.Object = g.self
		}
		f.finish(o, status)
	}
}

// deliver gives an accepted socket what the request brought.
func (a *acceptRequest) deliver(g *flow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.context, g.events.tables.connection = a.context, a.dispatch
	g.enableStatic()
	if a.local != nil {
		*a.local = sockAddrOf(g.family, g.local)
	}
	if a.remote != nil {
		*a.remote = sockAddrOf(g.family, g.remote)
	}
}

// takeConnection accepts a connection and makes its socket; STATUS_PENDING if none
// waits. Precondition: f.mu is held.
func (f *flow) takeConnection() (*flow, ntstatus.Status) {
	t, err := f.transport.Accept()
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil, ntstatus.Pending
	case errors.Is(err, net.ErrClosed):
		f.withdraw()
		return nil, ntstatus.FileForcedClosed
	case err != nil:
		return nil, statusOf(err, always)
	}
	g := newFlow(f.client, connectionCategory(), f.family, f.options.socketType, nil, clientTables{})
	g.options = f.options
	if q, ok := as[Inspector](t); ok {
		g.inspected, _ = q.RequestID()
	}
	g.local, g.remote = t.LocalAddr(), t.RemoteAddr()
	// It is complete before Stop can find it on the books, and withdraw it.
	g.transport = t
	g.happen(hapAccepted)
	g.in.backlog = idealBacklog(t)
	t.SetWake(g.wake)
	if status := f.client.adopt(g); status != ntstatus.Success {
		t.Abort()
		f.withdraw()
		return nil, ntstatus.FileForcedClosed
	}
	g.exists(true)
	return g, ntstatus.Success
}

// dueAccept returns the call of AcceptEvent if a connection waits that nobody has
// asked for. Precondition: f.mu is held, the state listens.
func (f *flow) dueAccept() func() {
	if !f.accepts.empty() {
		return nil
	}
	g, status := f.takeConnection()
	if status != ntstatus.Success {
		return nil
	}
	g.offer = &offer{}
	table, context, template := f.events.tables.listen, f.context, f.events.template
	return func() {
		local, remote := sockAddrOf(g.family, g.local), sockAddrOf(g.family, g.remote)
		o := g.offer
		e := f.calling(EventAccept, table, nil, false)
		status := table.AcceptEvent(context, 0, &local, &remote, g.self.(*ConnectionSocket), &o.context, &o.dispatch)
		e.answered(status, 0, 0)
		if status != ntstatus.Success {
			g.abandon()
			return
		}
		g.accepted(template)
	}
}

// accepted makes a socket the client's that AcceptEvent has taken.
func (f *flow) accepted(template uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takeOffer()
	f.offer = nil
	f.enableStatic()
	f.events.enabled |= template & f.events.tables.has()
	f.kick()
}

// takeOffer takes over what AcceptEvent has left. Precondition: f.mu is held.
func (f *flow) takeOffer() {
	f.context, f.events.tables.connection = f.offer.context, f.offer.dispatch
}

// abandon closes a socket that its client does not want: a close without an IRP.
func (f *flow) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := f.state
	if _, work := f.allow(fnClose); !work {
		return // the client closed it
	}
	f.giveUp(from)
	f.endAll(endClosed)
	f.closing = &op{flow: f, kind: kindClose}
	f.pended.Add(1)
	f.kick()
}
