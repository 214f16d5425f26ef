package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ProviderDispatch holds the client-level functions (WSK_PROVIDER_DISPATCH). It
// comes from a capture and may be used until that is released.
type ProviderDispatch struct {
	Version  uint16
	provider *Provider
}

// Socket creates a socket (WskSocket): family AF_INET or AF_INET6, one category
// in flags, and a type and protocol that fit it. The new socket is the Object of
// the IRP's status block: a *BasicSocket, *ListenSocket, *ConnectionSocket,
// *DatagramSocket or *StreamSocket. dispatch is the category's table of event callbacks, or nil; the
// callbacks are disabled unless they are static. On an AF_INET6 socket IPV6_V6ONLY
// is on.
//
// It answers STATUS_PENDING; STATUS_INVALID_PARAMETER for a nil or foreign
// client, flags that are not one category, or a type, protocol or dispatch that does
// not fit it; STATUS_NOT_SUPPORTED for another family, and for raw datagram sockets of
// another protocol than IPPROTO_ICMP or, for AF_INET6, IPPROTO_ICMPV6;
// STATUS_DEVICE_NOT_READY after Stop or Deregister. It does not block.
func (d *ProviderDispatch) Socket(client *Client, addressFamily, socketType uint16, protocol, flags uint32,
	socketContext any, dispatch EventTable, i *irp.IRP) ntstatus.Status {
	return d.create("Socket", client, i, func(watched *Call) (*flow, ntstatus.Status) {
		c, status := findCategory(addressFamily, socketType, protocol, flags)
		if status != ntstatus.Success {
			if status != ntstatus.NotSupported { // to ask for that is no fault
				watched.fail(FaultFlags)
			}
			return nil, status
		}
		tables, status := tablesOf(c, dispatch)
		if status != ntstatus.Success {
			return nil, status
		}
		return newFlow(client, c, addressFamily, socketType, socketContext, tables), ntstatus.Success
	}, func(f *flow, watched *Call) ntstatus.Status {
		return f.perform(fnControl, watched, i, func(o *op) ntstatus.Status {
			if status := f.newTransport(); status != ntstatus.Success {
				return notReady(status)
			}
			o.result.Object = f.self
			return ntstatus.Success
		})
	})
}

// SocketConnect creates a connection socket, binds it and connects it
// (WskSocketConnect). Both addresses have the same family; the usual local one is
// the wildcard with port 0. flags must be 0. The connected socket, a
// *ConnectionSocket, is the Object of the IRP's status block; after a failure or a
// cancel there is no socket.
//
// It answers STATUS_PENDING, what Socket and Bind answer, or
// STATUS_INVALID_PARAMETER for nonzero flags. It does not block.
func (d *ProviderDispatch) SocketConnect(client *Client, socketType uint16, protocol uint32,
	localAddress, remoteAddress *SockAddr, flags uint32,
	socketContext any, dispatch EventTable, i *irp.IRP) ntstatus.Status {
	return d.create("SocketConnect", client, i, func(watched *Call) (*flow, ntstatus.Status) {
		if flags != 0 {
			watched.fail(FaultFlags)
			return nil, ntstatus.InvalidParameter
		}
		if localAddress == nil || remoteAddress == nil {
			watched.fail(FaultAddress)
			return nil, ntstatus.InvalidParameter
		}
		c, status := findCategory(localAddress.Family, socketType, protocol, FlagConnectionSocket)
		if status != ntstatus.Success {
			return nil, status
		}
		tables, status := tablesOf(c, dispatch)
		if status != ntstatus.Success {
			return nil, status
		}
		return newFlow(client, c, localAddress.Family, socketType, socketContext, tables), ntstatus.Success
	}, func(f *flow, watched *Call) ntstatus.Status {
		return f.perform(fnControl, watched, i, func(o *op) ntstatus.Status {
			return f.createConnected(o, *localAddress, *remoteAddress)
		})
	})
}

// create is the frame of both: it makes the flow, puts it on the client's books,
// and takes it off again if start fails.
func (d *ProviderDispatch) create(function string, client *Client, i *irp.IRP,
	build func(*Call) (*flow, ntstatus.Status), start func(*flow, *Call) ntstatus.Status) ntstatus.Status {
	c := d.watch(function, client, i, nil)
	return c.leave(d.make(c, client, i, build, start))
}

// make is create without its observer's frame.
func (d *ProviderDispatch) make(c *Call, client *Client, i *irp.IRP,
	build func(*Call) (*flow, ntstatus.Status), start func(*flow, *Call) ntstatus.Status) ntstatus.Status {
	status := d.begin(c, client)
	var f *flow
	if status == ntstatus.Success {
		defer client.end()
		f, status = build(c)
	}
	if status == ntstatus.Success {
		status = client.adopt(f)
	}
	if status != ntstatus.Success {
		return refuseIRP(c, i, status)
	}
	f.exists(true)
	f.mu.Lock() // Stop may have found it by now
	f.enableStatic()
	f.mu.Unlock()
	status = start(f, c)
	if !status.Success() {
		f.disown()
	}
	return status
}

// refuseIRP completes i with status before the call returns.
func refuseIRP(c *Call, i *irp.IRP, status ntstatus.Status) ntstatus.Status {
	req, taken := irp.Submit(i, nil)
	if taken != ntstatus.Success {
		if i == nil {
			c.fail(FaultIRP)
		}
		return taken
	}
	if req.Cancelled() {
		status = ntstatus.Cancelled
	}
	req.Complete(irp.StatusBlock{Status: status})
	return status
}

// begin counts a call of a client.
func (d *ProviderDispatch) begin(call *Call, c *Client) ntstatus.Status {
	if d == nil || d.provider == nil || c == nil || c.provider != d.provider {
		call.fail(FaultCapture)
		return ntstatus.InvalidParameter
	}
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	if c.captures == 0 {
		call.fail(FaultCapture)
	}
	if c.isGone() {
		return ntstatus.DeviceNotReady
	}
	c.running++
	return ntstatus.Success
}

// end uncounts it.
func (c *Client) end() {
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	c.running--
	c.settle()
}

// adopt puts f on the client's books.
func (c *Client) adopt(f *flow) ntstatus.Status {
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	if status := c.provider.ready(); status != ntstatus.Success {
		return status
	}
	c.sockets[f] = struct{}{}
	c.created = true
	return ntstatus.Success
}

// newFlow returns a socket in state Init without a transport.
func newFlow(client *Client, c *category, family, socketType uint16, context any, tables clientTables) *flow {
	f := &flow{client: client, category: c, family: family, context: context, options: client.provider.share(defaultOptions(family, socketType))}
	f.events.tables = tables
	f.hook, f.worker = f.kick, f.work
	switch c.flag {
	case FlagBasicSocket:
		f.self = &BasicSocket{f}
	case FlagListenSocket:
		f.self = &ListenSocket{f}
	case FlagDatagramSocket:
		f.self, f.dg = &DatagramSocket{f}, new(datagrams)
	case FlagStreamSocket:
		f.self = &StreamSocket{f}
	default:
		f.self = &ConnectionSocket{f}
	}
	if client.provider.observer != nil {
		f.observed = &Observed{Category: c.name, Socket: f.self, Client: client}
	}
	return f
}

// notReady turns the status of a transport that could not be made because the
// network is gone into that of a provider that is not there.
func notReady(status ntstatus.Status) ntstatus.Status {
	if status == ntstatus.FileForcedClosed {
		return ntstatus.DeviceNotReady
	}
	return status
}

// createConnected is SocketConnect's work. Precondition: f.mu is held, the state
// is Init.
func (f *flow) createConnected(o *op, local, remote SockAddr) ntstatus.Status {
	from, status := f.address(&local)
	if status != ntstatus.Success {
		return status
	}
	to, status := f.peer(&remote)
	if status != ntstatus.Success {
		return status
	}
	if status := f.newTransport(); status != ntstatus.Success {
		return notReady(status)
	}
	if status := f.bindTransport(from); status != ntstatus.Success {
		return status
	}
	if status, work := f.allow(fnBind); !work {
		return status
	}
	o.stillborn = true
	return f.startConnect(o, to, nil)
}

// disown takes back a socket that its client never got.
func (f *flow) disown() {
	f.mu.Lock()
	f.happen(hapStillborn)
	f.unclaim()
	t, d := f.transport, f.datagram
	f.transport, f.datagram = nil, nil
	f.mu.Unlock()
	if d != nil {
		_ = d.Close()
	}
	if t != nil {
		t.Abort()
	}
	f.client.socketGone(f)
}
