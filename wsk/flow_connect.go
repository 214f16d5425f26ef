package wsk

import (
	"net/netip"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// bind is WskBind.
func (f *flow) bind(local *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.bindAs(fnBind, local, flags, i, func() ntstatus.Status { return ntstatus.Success })
}

// bindAs is the frame of a bind; then runs once the transport is bound.
func (f *flow) bindAs(fn function, local *SockAddr, flags uint32, i *irp.IRP, then func() ntstatus.Status) ntstatus.Status {
	return f.call(fn, i, func(*op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if stateTable[fn][f.state].answer != proceed {
			return f.fail(FaultState, ntstatus.InvalidDeviceState)
		}
		if fn == fnBindListen && f.options.conditional {
			fn = fnBindConditional
		}
		addr, status := f.address(local)
		if status != ntstatus.Success {
			return status
		}
		if status := f.bindTransport(addr); status != ntstatus.Success {
			return status
		}
		if status := then(); status != ntstatus.Success {
			return status
		}
		status, _ = f.allow(fn)
		return status
	})
}

// address checks a caller's address against the socket's family and returns it
// in the standard library's form. Precondition: f.mu is held.
func (f *flow) address(a *SockAddr) (netip.AddrPort, ntstatus.Status) {
	if a == nil {
		return netip.AddrPort{}, f.fail(FaultAddress, ntstatus.InvalidParameter)
	}
	if a.Family != f.family {
		return netip.AddrPort{}, f.fail(FaultAddress, ntstatus.InvalidAddressComponent)
	}
	ap := a.AddrPort()
	if ap.Addr().Is4In6() && f.options.v6Only {
		return netip.AddrPort{}, f.fail(FaultAddress, ntstatus.InvalidAddressComponent)
	}
	return ap, ntstatus.Success
}

// peer is address for the peer of a connect, where there are no wildcards.
func (f *flow) peer(a *SockAddr) (netip.AddrPort, ntstatus.Status) {
	ap, status := f.address(a)
	if status == ntstatus.Success && (ap.Port() == 0 || ap.Addr().Unmap().IsUnspecified()) {
		return netip.AddrPort{}, f.fail(FaultAddress, ntstatus.InvalidAddressComponent)
	}
	return ap, status
}

// connectPlain is WskConnect.
func (f *flow) connectPlain(remote *SockAddr, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.connectEx(remote, nil, flags, i)
}

// connectEx is WskConnectEx. The order of the checks is: dead socket, flags, size
// of the buffer, validity of the buffer, state, address.
func (f *flow) connectEx(remote *SockAddr, buf *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.call(fnConnect, i, func(o *op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		data, status := o.connectData(buf)
		if status == ntstatus.BufferOverflow { // documented, so to try is no fault
			return status
		}
		if status != ntstatus.Success {
			return f.fail(FaultBuffer, status)
		}
		if stateTable[fnConnect][f.state].answer != proceed {
			return f.fail(FaultState, ntstatus.InvalidDeviceState)
		}
		addr, status := f.peer(remote)
		if status != ntstatus.Success {
			return status
		}
		return f.startConnect(o, addr, data)
	})
}

// connectData returns a copy of the bytes of a ConnectEx buffer; nil and an empty
// buffer are the same. The copy lets a cancelled request give the memory back at
// once, whatever the transport is still doing.
func (o *op) connectData(buf *Buf) ([]byte, ntstatus.Status) {
	if buf == nil || buf.Length == 0 {
		return nil, ntstatus.Success
	}
	if buf.Length > MaxConnectData {
		return nil, ntstatus.BufferOverflow
	}
	segs, status := buf.segments()
	if status != ntstatus.Success {
		return nil, status
	}
	return flatten(o.call.memory(segs, false), int(buf.Length)), ntstatus.Success
}

// startConnect starts to connect, in state Bound. Precondition: f.mu is held.
func (f *flow) startConnect(o *op, remote netip.AddrPort, data []byte) ntstatus.Status {
	if status := f.renew(); status != ntstatus.Success {
		return status
	}
	if status := f.client.provider.aim(f.claim, remote); status != ntstatus.Success {
		return status
	}
	opts := ConnectOptions{Data: data, FastOpen: f.options.fastOpen, Timeout: f.options.retransmit}
	if err := f.transport.Connect(remote, opts); err != nil {
		f.discard()
		return statusOf(err, connecting)
	}
	if status, work := f.allow(fnConnect); !work {
		return status
	}
	o.kind, o.total = kindConnect, len(data)
	f.connect, f.remote = o, remote
	return ntstatus.Pending
}

// discard gives up a transport that can no longer connect and tries to keep its
// port with a new one. Precondition: f.mu is held, the state is Bound.
func (f *flow) discard() {
	f.transport.Abort()
	f.transport = nil
	f.remote = netip.AddrPort{}
	_ = f.client.provider.aim(f.claim, f.remote)
	f.written, f.acked = 0, 0
	// If the port is taken meanwhile, the next connect says so.
	f.renew()
}

// renew gives a bound socket a transport if it has none. Precondition: f.mu is
// held, the state is Bound.
func (f *flow) renew() ntstatus.Status {
	if f.transport != nil {
		return ntstatus.Success
	}
	if status := f.newTransport(); status != ntstatus.Success {
		return status
	}
	_ = with(f.transport, func(s Sharer) error { return s.ShareAddress(true) })
	if err := f.transport.Bind(f.local); err != nil {
		f.transport.Abort()
		f.transport = nil
		return statusOf(err, binding)
	}
	return ntstatus.Success
}

// newTransport makes a transport with the socket's options; a basic socket has
// none. Precondition: f.mu is held.
func (f *flow) newTransport() ntstatus.Status {
	switch f.category.flag {
	case FlagBasicSocket:
		return ntstatus.Success
	case FlagDatagramSocket:
		return f.newDatagramTransport()
	}
	t, err := f.client.provider.newTransport(f.family == AF_INET6)
	if err != nil {
		return statusOf(err, setting)
	}
	t.SetWake(f.wake)
	if err := f.options.applyTo(t, f.family); err != nil {
		t.Abort()
		return statusOf(err, setting)
	}
	f.transport = t
	return ntstatus.Success
}

// stepConnect follows a connect: it is over when the connection is established
// and the data is sent, as for Send. Precondition: f.mu is held.
func (f *flow) stepConnect() {
	o := f.connect
	progress, err := f.transport.Connected()
	if err == nil && progress == ProgressDone {
		f.written = uint64(o.total)
		err = f.look()
		if err == nil && f.sent(f.written) {
			f.connected(o)
			return
		}
		if err == nil {
			f.awaitSent(f.written)
		}
	}
	if err == nil {
		return
	}
	if progress == ProgressConnecting {
		f.connectFails(o, err)
		return
	}
	f.connectBreaks(o, statusOf(err, always))
}

// connected ends a connect with success.
func (f *flow) connected(o *op) {
	f.connect = nil
	f.happen(hapConnected)
	f.in.backlog = idealBacklog(f.transport)
	if local := f.transport.LocalAddr(); local.IsValid() {
		f.local = local
	}
	o.done = o.total
	o.result.Information = uintptr(o.done)
	if o.stillborn {
		o.result.Object = f.self
	}
	f.finish(o, ntstatus.Success)
}

// connectFails ends a connect whose handshake failed: the socket is bound again.
func (f *flow) connectFails(o *op, err error) {
	status := statusOf(err, connecting)
	if status == ntstatus.FileForcedClosed {
		f.withdraw()
		return
	}
	f.connect = nil
	f.dropConnect(o)
	f.finish(o, status)
}

// dropConnect puts the socket back to where it was before an attempt that never
// came up.
func (f *flow) dropConnect(o *op) {
	if o.stillborn {
		f.happen(hapStillborn)
		f.transport.Abort()
		o.final = true
		return
	}
	f.happen(hapConnectFailed)
	f.discard()
}

// connectBreaks ends a connect whose data could not be sent after the connection
// had come up: the connection is aborted.
func (f *flow) connectBreaks(o *op, status ntstatus.Status) {
	if status == ntstatus.FileForcedClosed {
		f.withdraw()
		return
	}
	f.latched = status
	f.connect = nil
	f.transport.Abort()
	if o.stillborn {
		f.happen(hapStillborn)
		o.final = true
	} else {
		f.happen(hapBroken)
	}
	f.finish(o, status)
}

// cancelConnect ends a connect whose IRP was cancelled: the attempt is dropped,
// or, if the connection had come up, it is aborted and never looks connected.
// Precondition: f.mu is held.
func (f *flow) cancelConnect() {
	o := f.connect
	f.connect = nil
	progress, _ := f.transport.Connected()
	if progress == ProgressConnecting || o.stillborn {
		f.dropConnect(o)
	} else {
		f.latched = ntstatus.ConnectionAborted
		f.happen(hapBroken)
		f.transport.Abort()
	}
	f.end(o, endCancelled)
}

// getLocalAddress is WskGetLocalAddress.
func (f *flow) getLocalAddress(out *SockAddr, i *irp.IRP) ntstatus.Status {
	return f.getAddress(fnGetLocalAddress, out, i, func() netip.AddrPort { return f.local })
}

// getRemoteAddress is WskGetRemoteAddress.
func (f *flow) getRemoteAddress(out *SockAddr, i *irp.IRP) ntstatus.Status {
	return f.getAddress(fnGetRemoteAddress, out, i, func() netip.AddrPort { return f.remote })
}

func (f *flow) getAddress(fn function, out *SockAddr, i *irp.IRP, addr func() netip.AddrPort) ntstatus.Status {
	return f.call(fn, i, func(*op) ntstatus.Status {
		if out == nil {
			return f.fail(FaultAddress, ntstatus.InvalidParameter)
		}
		if status, work := f.allow(fn); !work {
			return status
		}
		*out = sockAddrOf(f.family, addr())
		return ntstatus.Success
	})
}
